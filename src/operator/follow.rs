//! Follows a run to its end: shows its events and its live picture, fetches its results, and prints its report.
//!
//! The run does not depend on this: if the operator is interrupted or loses the connection, the run goes on.

use std::path::PathBuf;
use std::time::Duration;

use super::fetch::{EVENTS, Fetch, output_of};
use super::pending_requests::{Next, Question, Talk};
use super::show::Show;
use crate::machine::{Address, Outbox, Signal, Stream, Time, Timers};
use crate::testfile::{self, End, FILE_MAX, Shipped, Test};
use crate::timeline::event::Past;
use crate::timeline::progress::{self, Progress, Slave, Trigger};
use crate::timeline::view::View;
use crate::wire::operate::{Files, Piece, RunState, RunStatus};
use crate::wire::{Frames, Verdict};
use crate::{exit_code, text};

/// How often to request the state of a run that waits or ends.
const LOOK_SOON: Duration = Duration::from_millis(250);

/// The same for a run that goes on: its events are more precise.
const LOOK_LATER: Duration = Duration::from_secs(2);

/// How often to request the list of files if the output of commands is shown.
const LIST_SOON: Duration = Duration::from_millis(250);

/// The same if the output is only kept.
const LIST_LATER: Duration = Duration::from_secs(5);

/// How often the live picture is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// The longest line of a time line, in bytes.
const EVENT_MAX: usize = 32 * 1024 * 1024;

/// The test, as it was submitted.
const TEST: &str = "test.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tick {
    Look,
    List,
    Draw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The test file is being read, for the picture.
    Reading,
    Following,
    /// The run is over, and the rest of its results is being fetched.
    Fetching,
    /// The results are being written.
    Writing,
}

/// A run that the operator follows.
pub struct Follow {
    pub state: RunState,
    show: Show,
    /// A signal ends the run, not only the operator.
    owns: bool,
    view: View,
    progress: Progress,
    fetch: Fetch,
    stage: Stage,
    /// The beginning of the test file, while the file is being read.
    test: Vec<u8>,
    /// The bytes of an event that has not ended.
    lines: Frames,
    /// How many bytes of the time line have been read.
    have: u64,
    awaits: bool,
    looks: bool,
    /// The time line has been read to its end.
    all_read: bool,
    /// The last line about what the run waits for.
    waits_for: String,
    /// The connection has been lost at least once.
    was_away: bool,
    away: bool,
    interrupts: u32,
    /// The request to end the run that has no answer yet: whether at once.
    cancels: Option<bool>,
    timers: Timers<Tick>,
}

impl Follow {
    /// Follows a run. `test`: the test, if it is known. `results`: the directory for the results. `owns`: a signal ends
    /// the run.
    pub fn new(state: RunState, test: Option<&Test>, results: Option<PathBuf>, owns: bool, show: Show) -> Follow {
        let run = state.run.clone();
        let mut follow = Follow {
            state,
            owns,
            view: view(&show, 1),
            progress: Progress::default(),
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

    /// The test is known, so the picture shows its slaves and triggers.
    fn knows(&mut self, test: &Test) {
        let width = test.slaves.iter().map(|slave| slave.name.len()).max().unwrap_or(1);
        self.view = view(&self.show, width).of_slaves(test.slaves.len());
        let start = self.progress.start;
        self.progress = progress_of(test);
        self.progress.start = start;
        self.progress.set_status(&self.state);
        self.stage = Stage::Following;
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.show.terminal = self.show.terminal.map(|_| (columns, rows));
        self.view.resize(columns, rows);
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The controller is connected, perhaps again.
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

    /// The connection is lost, so the picture would be out of date.
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

    /// The controller has sent the state of the run.
    pub fn seen(&mut self, state: RunState, asked: &Question, talk: &mut Talk<'_>) {
        match asked {
            Question::Cancel => self.cancels = None,
            _ => self.looks = false,
        }
        if self.is_over() && state.state != RunStatus::Over {
            return;
        }
        self.progress.set_seconds(talk.now, state.seconds);
        self.progress.set_status(&state);
        self.state = state;
        if self.all_read && !self.is_over() {
            // The end of the time line came from a controller that was restarted since.
            self.all_read = false;
        }
        self.show_status(talk);
    }

    /// Does what the state of the run requires.
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

    /// Takes the next step towards the end, if it is possible.
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

    /// A piece of a file has arrived.
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
        // The shipped files do not matter for the picture.
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

    /// A piece of the time line has arrived, or its end.
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
        // An event of another version of arete is kept in the file all the same.
        let Ok(past) = Past::decode(line) else { return };
        let slave = past.slave.as_deref().map(text::harmless);
        let since_start = Some(past.micros()).filter(|micros| *micros >= 0);
        self.progress.event(since_start, slave.as_deref(), &past.event);
        self.view.event(since_start, slave.as_deref(), &past.event, out);
    }

    pub fn files(&mut self, files: Files<'_>, talk: &mut Talk<'_>) {
        self.fetch.told(files, talk);
        self.go_on(talk);
    }

    /// A request is denied.
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
            // The time line does not exist yet, or never will. The state of the run tells which.
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
                        self.view.draw(&self.progress.picture(talk.now), talk.out);
                    }
                    self.timers.set(Tick::Draw, talk.now + DRAW_EVERY);
                }
                Tick::Look | Tick::List | Tick::Draw => {}
            }
        }
    }

    /// A signal ends this operator. If the operator has submitted the run, the run is ended first.
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
        // SIGHUP closes the terminal, but does not ask for the end of the run.
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
            (_, false) => {
                "interrupted: stopping the run once the controller is connected; interrupt again to leave it alone"
            }
            (false, true) => "interrupted: stopping everything; interrupt again to kill it at once",
            (true, true) => "interrupted: killing everything; interrupt again to leave the run alone",
        };
        self.view.line(line, talk.out);
        self.cancels = Some(at_once);
        talk.cancel(&self.state.run, at_once);
        Next::On
    }

    /// A file of the results cannot be written.
    pub fn write_failed(&mut self, path: &std::path::Path, error: &str, talk: &mut Talk<'_>) {
        self.fetch.cannot_write(path, error);
        self.go_on(talk);
    }

    /// The results are written: prints the report.
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
        if !self.view.is_silent() {
            out.print_surely(Stream::Out, text);
        }
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

/// Returns the state of a run of this test before it starts.
fn progress_of(test: &Test) -> Progress {
    let mut progress = Progress::new(&test.name);
    progress.slaves_wanted = test.slaves.len();
    progress.end = Some(match &test.end {
        End::Duration(time) => (progress::End::Duration, *time),
        End::Trigger { trigger, limit } => (progress::End::Trigger(trigger.clone()), *limit),
        End::Idle { limit } => (progress::End::Idle, *limit),
    });
    for slave in &test.slaves {
        progress.add_slave(&slave.name, Slave::default());
    }
    for (name, &count) in &test.triggers {
        progress.add_trigger(name, Trigger { left: Some(count), initial: Some(count), fired: false });
    }
    progress
}

fn view(show: &Show, name_width: usize) -> View {
    if show.silent { View::silent() } else { View::new(show.follow, show.terminal, show.colors, name_width) }
}
