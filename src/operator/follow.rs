//! Follows a run from its beginning to its end: shows it as a run on this machine is shown, has its results brought here
//! if they are wanted, and says its last words.

use std::path::PathBuf;
use std::time::Duration;

use super::fetch::{EVENTS, Fetch, output_of};
use super::pending_requests::{Next, Question, Talk};
use super::run_view::RunView;
use super::show::Show;
use crate::machine::{Address, Outbox, Signal, Stream, Time, Timers};
use crate::testfile::{self, FILE_MAX, Shipped, Test};
use crate::timeline::event::Past;
use crate::timeline::view::View;
use crate::wire::operate::{Files, Piece, RunState, RunStatus};
use crate::wire::{Frames, Verdict};
use crate::{exit_code, text};

/// How often it is looked how a run stands that waits or ends.
const LOOK_SOON: Duration = Duration::from_millis(250);

/// The same of a run that goes on: its events say more.
const LOOK_LATER: Duration = Duration::from_secs(2);

/// How often it is looked what the commands have written, when it is shown.
const LIST_SOON: Duration = Duration::from_millis(250);

/// The same when it is only kept.
const LIST_LATER: Duration = Duration::from_secs(5);

/// How often the live picture is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// The longest line of a time line, in bytes.
const EVENT_MAX: usize = 32 * 1024 * 1024;

/// The test, as the controller was given it.
const TEST: &str = "test.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tick {
    Look,
    List,
    Draw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The test file is read, for the picture.
    Reading,
    Following,
    /// It is over: the rest of its results is brought.
    Fetching,
    /// The results are being written.
    Writing,
}

/// A run that is followed.
pub struct Follow {
    pub state: RunState,
    show: Show,
    /// A signal ends the run, not only this.
    owns: bool,
    view: View,
    run_view: RunView,
    fetch: Fetch,
    stage: Stage,
    /// What is there of the test file while it is read.
    test: Vec<u8>,
    /// The bytes of an event that has not ended.
    lines: Frames,
    /// How much of the time line has been read.
    have: u64,
    awaits: bool,
    looks: bool,
    /// Nothing follows what has been read of the time line.
    all_read: bool,
    /// What it waits for, as it was said last.
    waits_for: String,
    /// The connection was gone since it is followed.
    was_away: bool,
    away: bool,
    interrupts: u32,
    /// The end of the run was asked for, at once or in order, and not answered.
    cancels: Option<bool>,
    timers: Timers<Tick>,
}

impl Follow {
    /// Follows a run; `test`: what is known of it, `results`: where they go.
    pub fn new(state: RunState, test: Option<&Test>, results: Option<PathBuf>, owns: bool, show: Show) -> Follow {
        let run = state.run.clone();
        let mut follow = Follow {
            state,
            owns,
            view: view(&show, 1),
            run_view: RunView::default(),
            fetch: Fetch::new(run, results, show.follow),
            stage: Stage::Reading,
            test: Vec::new(),
            lines: Frames::default(),
            have: 0,
            awaits: false,
            looks: false,
            all_read: false,
            waits_for: String::new(),
            was_away: false,
            away: false,
            interrupts: 0,
            cancels: None,
            timers: Timers::default(),
            show,
        };
        follow.fetch.follows = true;
        if let Some(test) = test {
            follow.knows(test);
        }
        follow
    }

    /// The test is known: its slaves and triggers are in the picture.
    fn knows(&mut self, test: &Test) {
        let width = test.slaves.iter().map(|slave| slave.name.len()).max().unwrap_or(1);
        self.view = view(&self.show, width).of_slaves(test.slaves.len());
        self.run_view = RunView::of(test);
        self.stage = Stage::Following;
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.show.terminal = self.show.terminal.map(|_| (columns, rows));
        self.view.resize(columns, rows);
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The controller is there, perhaps again.
    pub fn begin(&mut self, talk: &mut Talk<'_>) {
        (self.awaits, self.looks) = (false, false);
        if std::mem::take(&mut self.away) {
            self.view.line("connected to the controller again", talk.out);
        }
        if let Some(now) = self.cancels {
            talk.cancel(&self.state.run, now);
        }
        self.fetch.begin(talk);
        self.look(talk);
        if self.stage == Stage::Reading {
            self.test.clear();
            talk.get(&self.state.run, TEST, 0);
        }
        for (tick, every) in [(Tick::List, LIST_SOON), (Tick::Draw, DRAW_EVERY)] {
            self.timers.set(tick, talk.now + every);
        }
        self.show_status(talk);
    }

    /// The connection is gone; the picture would be of nothing.
    pub fn lost(&mut self, out: &mut Outbox) {
        (self.away, self.was_away) = (true, true);
        self.view.hide(out);
        self.timers.clear();
    }

    fn look(&mut self, talk: &mut Talk<'_>) {
        if !self.looks {
            self.looks = talk.look(&self.state.run);
        }
        let waits = matches!(self.state.state, RunStatus::Running) && !self.all_read;
        self.timers.set(Tick::Look, talk.now + if waits { LOOK_LATER } else { LOOK_SOON });
    }

    fn is_over(&self) -> bool {
        self.state.state == RunStatus::Over
    }

    /// The controller has said how the run stands.
    pub fn seen(&mut self, state: RunState, asked: &Question, talk: &mut Talk<'_>) {
        match asked {
            Question::Cancel => self.cancels = None,
            _ => self.looks = false,
        }
        if self.is_over() && state.state != RunStatus::Over {
            return;
        }
        self.run_view.set_status(talk.now, &state);
        self.state = state;
        if self.all_read && !self.is_over() {
            // It has been told that nothing more comes, by a controller that went away.
            self.all_read = false;
        }
        self.show_status(talk);
    }

    /// Does what the state of the run asks for.
    fn show_status(&mut self, talk: &mut Talk<'_>) {
        match self.state.state {
            RunStatus::Queued | RunStatus::Gathering => self.say_what_it_waits_for(talk.out),
            RunStatus::Running | RunStatus::Ending | RunStatus::Over => self.await_events(talk),
        }
        self.go_on(talk);
    }

    fn say_what_it_waits_for(&mut self, out: &mut Outbox) {
        let why = match (&*self.state.why, self.state.state) {
            ("", RunStatus::Queued) => "queued",
            (why, _) => why,
        };
        if why != self.waits_for && !why.is_empty() {
            self.waits_for = why.to_owned();
            let line = text::harmless(&self.waits_for).into_owned();
            self.view.line(&line, out);
        }
    }

    fn await_events(&mut self, talk: &mut Talk<'_>) {
        if self.stage == Stage::Following && !self.awaits && !self.all_read {
            self.awaits = talk.wait_for(&self.state.run, EVENTS, self.have);
        }
    }

    /// Takes the next step towards the end, if its time has come.
    fn go_on(&mut self, talk: &mut Talk<'_>) {
        if self.stage == Stage::Following && self.is_over() && self.all_read {
            self.stage = Stage::Fetching;
            self.fetch.follows = false;
            if self.was_away {
                self.fetch.anew(EVENTS);
            }
            self.fetch.list(talk);
        }
        if self.stage == Stage::Fetching && self.fetch.is_still() {
            self.stage = Stage::Writing;
            self.view.end_output(talk.out);
            self.view.close(talk.out);
            talk.out.confirm();
        }
    }

    /// A piece of a file has come.
    pub fn piece(&mut self, piece: &Piece<'_>, asked: &Question, talk: &mut Talk<'_>) {
        match asked {
            Question::Await(_) => self.events(piece, talk),
            Question::Get(file) if file == TEST && self.stage == Stage::Reading => self.test_piece(piece, talk),
            _ => {
                let new = self.fetch.piece(piece, talk);
                if let Some((slave, file)) = output_of(&piece.file) {
                    self.view.output(slave, file, new, talk.out);
                }
            }
        }
        self.go_on(talk);
    }

    fn test_piece(&mut self, piece: &Piece<'_>, talk: &mut Talk<'_>) {
        if piece.offset == self.test.len() as u64 && !piece.data.is_empty() && self.test.len() <= FILE_MAX {
            self.test.extend_from_slice(&piece.data);
            talk.get(&self.state.run, TEST, self.test.len() as u64);
            return;
        }
        // What it ships does not matter here.
        let mut ship = |_: &str| {
            let (path, sha256) = (PathBuf::new(), String::new());
            Ok(Shipped { path, size: 0, sha256, executable: false })
        };
        let text = String::from_utf8(std::mem::take(&mut self.test)).unwrap_or_default();
        self.stage = Stage::Following;
        if let Ok(test) = testfile::parse::<std::convert::Infallible>(TEST, &text, &mut ship) {
            self.knows(&test);
        }
        self.show_status(talk);
    }

    /// More of the time line, or its end.
    fn events(&mut self, piece: &Piece<'_>, talk: &mut Talk<'_>) {
        self.awaits = false;
        if piece.offset == self.have && piece.data.is_empty() {
            self.all_read = true;
            return self.look(talk);
        }
        if piece.offset == self.have {
            self.have += piece.data.len() as u64;
            self.fetch.keep(EVENTS, &piece.data, talk);
            let mut lines = std::mem::take(&mut self.lines);
            let fed = lines.feed(&piece.data, EVENT_MAX, |line| {
                self.event(line, talk.out);
                true
            });
            if fed.is_ok() {
                self.lines = lines;
            }
        }
        self.await_events(talk);
    }

    fn event(&mut self, line: &[u8], out: &mut Outbox) {
        // One that this arete does not know is in the file all the same.
        let Ok(past) = Past::decode(line) else { return };
        let slave = past.slave.as_deref().map(text::harmless);
        self.run_view.event(slave.as_deref(), &past.event);
        let since_start = Some(past.micros()).filter(|micros| *micros >= 0);
        self.view.event(since_start, slave.as_deref(), &past.event, out);
    }

    pub fn files(&mut self, files: Files<'_>, talk: &mut Talk<'_>) {
        self.fetch.told(files, talk);
        self.go_on(talk);
    }

    /// Something that was asked for is denied.
    pub fn denied(&mut self, asked: Option<Question>, reason: &str, talk: &mut Talk<'_>) -> Next {
        match asked {
            Some(Question::Look) => {
                self.view.close(talk.out);
                return Next::Failed { code: exit_code::FAILED, why: reason.to_owned() };
            }
            Some(Question::Cancel) => {
                self.cancels = None;
                let line = text::harmless(reason).into_owned();
                self.view.line(&line, talk.out);
            }
            Some(Question::Files) => self.fetch.denied(None, reason, talk),
            Some(Question::Get(file)) if file == TEST && self.stage == Stage::Reading => {
                self.stage = Stage::Following;
                self.show_status(talk);
            }
            Some(Question::Get(file)) => self.fetch.denied(Some(&file), reason, talk),
            // There is no time line yet, or there never will be one: how the run stands says which.
            Some(Question::Await(_)) => {
                self.awaits = false;
                self.all_read = self.is_over();
                self.look(talk);
            }
            _ => {}
        }
        self.go_on(talk);
        Next::On
    }

    pub fn fire(&mut self, talk: &mut Talk<'_>) {
        while let Some(tick) = self.timers.pop_due(talk.now) {
            match tick {
                Tick::Look if self.stage <= Stage::Following => self.look(talk),
                Tick::List if self.stage == Stage::Following => {
                    let started = self.state.started.is_some();
                    if self.fetch.is_still() && started && (self.show.follow || self.fetch.directory().is_some()) {
                        self.fetch.list(talk);
                    }
                    let every = if self.show.follow { LIST_SOON } else { LIST_LATER };
                    self.timers.set(Tick::List, talk.now + every);
                }
                Tick::Draw if self.stage == Stage::Following => {
                    self.view.flush(talk.out);
                    if self.view.is_live() {
                        self.view.draw(&self.run_view.picture(talk.now, &self.state), talk.out);
                    }
                    self.timers.set(Tick::Draw, talk.now + DRAW_EVERY);
                }
                Tick::Look | Tick::List | Tick::Draw => {}
            }
        }
    }

    /// Somebody pressed Ctrl-C, or the system ends us. Who only looks on leaves; who has handed in the run ends it first.
    pub fn signal(&mut self, signal: Signal, controller: &Address, talk: &mut Talk<'_>) -> Next {
        let run = &self.state.run;
        let code = exit_code::INTERRUPTED;
        if self.stage >= Stage::Fetching {
            self.view.close(talk.out);
            let why = match self.fetch.directory() {
                Some(_) => format!(
                    "interrupted: the results of {run} are not all here: arete results {run} --controller {controller}"
                ),
                None => format!("interrupted; run {run} is over"),
            };
            return Next::Failed { code, why };
        }
        self.interrupts += 1;
        // The terminal is gone, not the wish.
        if !self.owns || signal == Signal::HUP || self.interrupts > 2 {
            self.view.close(talk.out);
            let goes_on = if self.interrupts > 2 { "goes on ending" } else { "goes on" };
            let more = if self.interrupts > 2 {
                format!("arete attach {run} --controller {controller}")
            } else {
                format!("arete attach {run} --controller {controller} follows it, arete stop ends it")
            };
            return Next::Failed { code, why: format!("run {run} {goes_on}: {more}") };
        }
        let at_once = self.interrupts > 1;
        let line = match (at_once, talk.link.up()) {
            (_, false) => "interrupted: the run is told as soon as the controller is there; again to leave it alone",
            (false, true) => "interrupted: everything is being stopped; again to give up at once",
            (true, true) => "interrupted: the run gives up at once; again to leave it alone",
        };
        self.view.line(line, talk.out);
        self.cancels = Some(at_once);
        talk.cancel(&self.state.run, at_once);
        Next::On
    }

    /// Something of the results cannot be written here.
    pub fn write_failed(&mut self, path: &std::path::Path, error: &str, talk: &mut Talk<'_>) {
        self.fetch.cannot_write(path, error);
        self.go_on(talk);
    }

    /// What has come is written: says the last words.
    pub fn written(&mut self, out: &mut Outbox) -> Next {
        if self.stage != Stage::Writing {
            return Next::On;
        }
        let mut code = self.state.code.unwrap_or(match self.state.verdict {
            Some(Verdict::Passed) => exit_code::PASSED,
            Some(Verdict::Interrupted) => exit_code::INTERRUPTED,
            Some(Verdict::Failed) | None => exit_code::FAILED,
        });
        let mut text = self.last_words();
        if let Some(directory) = self.fetch.directory() {
            text += &format!("results are in {}\n", directory.display());
            if let Some(wrong) = self.fetch.wrong() {
                let again = format!("arete results {} fetches them again", self.state.run);
                out.print(
                    Stream::Err,
                    format!("arete: not all results are here: {}; {again}\n", text::harmless(wrong)),
                );
                code = if code == exit_code::PASSED { exit_code::INFRASTRUCTURE } else { code };
            }
        }
        out.print_surely(Stream::Out, text);
        Next::Over(code)
    }

    fn last_words(&self) -> String {
        let report = String::from_utf8_lossy(&self.fetch.report);
        let report = report.trim_matches('\n');
        if !report.is_empty() {
            let lines = report.lines().map(|line| format!("{}\n", text::harmless(line)));
            return format!("\n{}", lines.collect::<String>());
        }
        let verdict = match self.state.verdict {
            Some(Verdict::Passed) => "passed",
            Some(Verdict::Interrupted) => "was interrupted",
            Some(Verdict::Failed) | None => "failed",
        };
        format!("\n{} {verdict}: {}\n", text::harmless(&self.state.test), text::harmless(&self.state.why))
    }
}

fn view(show: &Show, name_width: usize) -> View {
    View::new(show.follow, show.terminal, show.colors, name_width)
}
