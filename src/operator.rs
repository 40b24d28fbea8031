//! An operator of a controller: it hands in a test and follows its run, looks on at one, ends one, brings results, or
//! shows which slaves and runs there are. While the controller is not there it tries again; a run goes on meanwhile, and
//! what has been read of it is not read again.
//!
//! This file knows the connection and hands each answer to the concern whose business it is: `submit` hands a test in,
//! `follow` follows a run to its end, `fetch` brings files, `look_up` finds a run and ends one, and `overview` shows
//! what there is. `pending_requests` keeps the requests without an answer, and `run_view` what the live picture shows.

mod fetch;
mod follow;
mod look_up;
mod overview;
mod pending_requests;
mod run_view;
mod show;
mod submit;

use std::path::PathBuf;
use std::time::Duration;

use self::follow::Follow;
use self::look_up::{Find, Results, Stop};
use self::overview::Overview;
pub use self::overview::OverviewOptions;
use self::pending_requests::{Next, PendingRequests, Question, Talk};
pub use self::show::Show;
pub use self::submit::Submission;
use self::submit::Submitting;
use crate::link::Link;
use crate::machine::{Address, Input, Machine, Outbox, Reason, Signal, Stream, Time};
use crate::session::VERSION;
use crate::wire::operate::{Operate, Piece, RunState, Seen};
use crate::wire::{Bye, Code, FromController, LINE_MAX, Malformed, PROTOCOL, Welcome};
use crate::{exit_code, text};

/// What an operator is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    pub controller: Address,
    /// For the jitter of reconnects.
    pub seed: u64,
    pub task: Task,
    pub show: Show,
    /// Since when it is waited; `None`: since it begins.
    pub begun: Option<Time>,
    /// How long to wait; `None`: for ever. Who hands in a test waits so long until the controller has it.
    pub timeout: Option<Duration>,
}

/// What an operator does. Runs are meant by their ids, by the beginning of an id, or by `latest`.
#[derive(Debug, Clone)]
pub enum Task {
    /// Hands in a test, follows the run and brings its results here; without a place for them it only hands it in.
    Run { submission: Box<Submission>, results: Option<PathBuf> },
    /// Follows a run.
    Attach { run: String },
    /// Ends a run.
    Stop { run: String, now: bool, waits: bool },
    /// Finds a run.
    Find { run: String },
    /// Brings the results of this run.
    Results { run: Box<RunState>, into: PathBuf },
    /// Shows slaves and runs.
    Overview(OverviewOptions),
}

impl Task {
    /// `stop relay-2026`, for a message.
    fn subject(&self) -> String {
        match self {
            Task::Run { submission, .. } => format!("run {}", submission.file),
            Task::Attach { run } => format!("attach {run}"),
            Task::Stop { run, .. } => format!("stop {run}"),
            Task::Find { run } => format!("results {run}"),
            Task::Results { run, .. } => format!("results {}", run.run),
            Task::Overview(wanted) => if wanted.slaves { "status" } else { "runs" }.to_owned(),
        }
    }
}

/// What it is at.
enum Work {
    Submit(Submitting),
    Find(Find),
    Follow(Box<Follow>),
    Stop(Stop),
    Results(Results),
    Overview(Overview),
}

/// An operator.
pub struct Operator {
    config: Config,
    link: Link,
    asked: PendingRequests,
    work: Work,
    /// When the time is up.
    patience: Option<Time>,
    /// The run that was found.
    found: Option<RunState>,
    over: Option<u8>,
}

impl Operator {
    pub fn new(config: Config) -> Operator {
        let work = match &config.task {
            Task::Run { submission, .. } => Work::Submit(Submitting::new((**submission).clone())),
            Task::Attach { run } | Task::Find { run } => Work::Find(Find::new(run.clone(), false)),
            Task::Stop { run, .. } => Work::Find(Find::new(run.clone(), true)),
            Task::Results { run, into } => Work::Results(Results::new(run, into.clone())),
            Task::Overview(wanted) => {
                Work::Overview(Overview::new(wanted.clone(), config.controller.to_string(), config.show.terminal))
            }
        };
        Operator {
            link: Link::new(config.controller.clone(), config.seed),
            asked: PendingRequests::default(),
            work,
            patience: None,
            found: None,
            over: None,
            config,
        }
    }

    /// The run that [`Task::Find`] has found.
    pub fn into_found(self) -> Option<RunState> {
        self.found
    }

    fn received(&mut self, now: Time, bytes: &[u8], out: &mut Outbox) {
        let (mut frames, _) = self.link.take_frames(now);
        let conn = self.link.conn();
        let mut wrong = None;
        let fed = frames.feed(bytes, LINE_MAX, |line| match self.line(now, line, out) {
            Ok(()) => self.over.is_none() && self.link.conn() == conn,
            Err(malformed) => {
                wrong = Some(malformed.to_string());
                false
            }
        });
        if self.over.is_some() || self.link.conn() != conn {
            return;
        }
        self.link.put_frames(frames);
        if let Some(wrong) = wrong.or(fed.err().map(|bound| bound.to_string())) {
            self.close(now, &self.link.misspoken(&wrong), out);
        }
    }

    /// One line from the controller.
    fn line(&mut self, now: Time, line: &[u8], out: &mut Outbox) -> Result<(), Malformed> {
        match FromController::decode(line)? {
            FromController::Bye(bye) => self.refused(now, &bye, out),
            FromController::Welcome(welcome) if !self.link.up() => self.welcomed(now, &welcome, out),
            _ if !self.link.up() => return Err(Malformed("it did not begin with a welcome".to_owned())),
            FromController::Pong(pong) => self.link.ponged(now, &pong, out),
            FromController::Seen(seen) => self.seen(now, seen, out),
            message => {
                let next = self.heard(now, message, out);
                self.take(next, out);
            }
        }
        Ok(())
    }

    /// The controller has accepted us.
    fn welcomed(&mut self, now: Time, welcome: &Welcome<'_>, out: &mut Outbox) {
        if welcome.protocol != PROTOCOL {
            let reason = format!("it speaks protocol {}, this is protocol {PROTOCOL}", welcome.protocol);
            return self.refused(now, &Bye { code: Code::Protocol, reason: reason.into(), fatal: true }, out);
        }
        self.link.welcomed(now, false, out);
        self.begin(now, out);
    }

    /// Asks for what is wanted, from where it is.
    fn begin(&mut self, now: Time, out: &mut Outbox) {
        self.asked.forget();
        let mut talk = Talk { now, link: &self.link, asked: &mut self.asked, out };
        match &mut self.work {
            Work::Submit(submitting) => submitting.begin(&mut talk),
            Work::Find(find) => find.begin(&mut talk),
            Work::Follow(follow) => follow.begin(&mut talk),
            Work::Stop(stop) => stop.begin(&mut talk),
            Work::Results(results) => results.begin(&mut talk),
            Work::Overview(overview) => overview.begin(&mut talk),
        }
    }

    /// The controller has said how a run stands.
    fn seen(&mut self, now: Time, seen: Seen<'_>, out: &mut Outbox) {
        let submits = |question: &Question| matches!(question, Question::Submit | Question::Upload);
        let looks = |question: &Question| matches!(question, Question::Look | Question::Cancel);
        let asked = if seen.submission.is_some() { self.asked.answered(submits) } else { self.asked.answered(looks) };
        let Some(asked) = asked else { return };
        let mut talk = Talk { now, link: &self.link, asked: &mut self.asked, out };
        match &mut self.work {
            Work::Submit(submitting) if seen.submission.as_deref() == Some(&submitting.what.id) => {
                self.accepted(now, seen.run, out);
            }
            Work::Find(_) if asked == Question::Look => self.on_found(now, seen.run, out),
            Work::Follow(follow) => follow.seen(seen.run, &asked, &mut talk),
            Work::Stop(stop) => {
                let next = stop.seen(seen.run, &asked, &mut talk);
                self.take(next, out);
            }
            _ => {}
        }
    }

    /// The controller has our test.
    fn accepted(&mut self, now: Time, state: RunState, out: &mut Outbox) {
        let Task::Run { submission, results } = &self.config.task else { return };
        self.patience = None;
        let Some(results) = results.clone() else {
            out.print_surely(Stream::Out, format!("{}\n", text::harmless(&state.run)));
            return self.end(exit_code::PASSED, None, out);
        };
        let line = format!("run {} at {}\n", text::harmless(&state.run), self.config.controller);
        out.print(Stream::Out, line);
        let test = submission.test.clone();
        let follow = Follow::new(state, Some(&test), Some(results), true, self.config.show.clone());
        self.work = Work::Follow(Box::new(follow));
        self.begin(now, out);
    }

    /// The run that was meant is this one.
    fn on_found(&mut self, now: Time, state: RunState, out: &mut Outbox) {
        self.work = match &self.config.task {
            Task::Attach { .. } => {
                Work::Follow(Box::new(Follow::new(state, None, None, false, self.config.show.clone())))
            }
            Task::Stop { now, waits, .. } => Work::Stop(Stop::new(state, *now, *waits)),
            _ => {
                self.found = Some(state);
                return self.end(exit_code::PASSED, None, out);
            }
        };
        self.begin(now, out);
    }

    /// An answer.
    fn heard(&mut self, now: Time, message: FromController<'_>, out: &mut Outbox) -> Next {
        let mut talk = Talk { now, link: &self.link, asked: &mut self.asked, out };
        let submits = |question: &Question| matches!(question, Question::Submit | Question::Upload);
        match (message, &mut self.work) {
            (FromController::Wanted(wanted), Work::Submit(submitting)) => {
                talk.asked.answered(submits);
                return submitting.wanted(wanted, &mut talk);
            }
            (FromController::Unfit(unfit), Work::Submit(submitting)) if unfit.submission == submitting.what.id => {
                return Next::Failed { code: exit_code::USAGE, why: unfit.problems.join("\n") };
            }
            (FromController::Denied(denied), _) => {
                let asked = talk.asked.denied();
                return self.denied(now, asked, &denied.reason, out);
            }
            (FromController::Piece(piece), _) => self.piece(now, &piece, out),
            (FromController::Files(files), work) => {
                if talk.asked.answered(|question| *question == Question::Files).is_some() {
                    match work {
                        Work::Follow(follow) => follow.files(files, &mut talk),
                        Work::Results(results) => {
                            results.fetch.told(files, &mut talk);
                            results.go_on(&mut talk);
                        }
                        _ => {}
                    }
                }
            }
            (FromController::Runs(runs), work) => {
                if talk.asked.answered(|question| *question == Question::Runs).is_none() {
                    return Next::On;
                }
                match work {
                    Work::Overview(overview) => return overview.runs(runs, &mut talk),
                    Work::Find(find) => match find.told(runs, &mut talk) {
                        Ok(Some(state)) => self.on_found(now, state, out),
                        Ok(None) => {}
                        Err(next) => return next,
                    },
                    _ => {}
                }
            }
            (FromController::Slaves(slaves), Work::Overview(overview)) => {
                if talk.asked.answered(|question| *question == Question::Slaves).is_some() {
                    return overview.slaves(slaves, &mut talk);
                }
            }
            _ => log::debug!("the controller said something that was not asked for"),
        }
        Next::On
    }

    fn piece(&mut self, now: Time, piece: &Piece<'_>, out: &mut Outbox) {
        let asked = self.asked.answered(|question| match question {
            Question::Get(file) | Question::Await(file) => *file == piece.file,
            _ => false,
        });
        let Some(asked) = asked else { return };
        let mut talk = Talk { now, link: &self.link, asked: &mut self.asked, out };
        match &mut self.work {
            Work::Follow(follow) => follow.piece(piece, &asked, &mut talk),
            Work::Results(results) => results.piece(piece, &mut talk),
            _ => {}
        }
    }

    /// The controller does not do what it was asked for.
    fn denied(&mut self, now: Time, asked: Option<Question>, reason: &str, out: &mut Outbox) -> Next {
        let mut talk = Talk { now, link: &self.link, asked: &mut self.asked, out };
        match &mut self.work {
            Work::Follow(follow) => follow.denied(asked, reason, &mut talk),
            Work::Results(results) => {
                match asked {
                    Some(Question::Get(file)) => results.fetch.denied(Some(&file), reason, &mut talk),
                    _ => results.fetch.denied(None, reason, &mut talk),
                }
                results.go_on(&mut talk);
                Next::On
            }
            _ => Next::Failed { code: exit_code::FAILED, why: reason.to_owned() },
        }
    }

    /// The controller ends the connection.
    fn refused(&mut self, now: Time, bye: &Bye<'_>, out: &mut Outbox) {
        if bye.fatal {
            let why = format!("controller {}: {}", self.config.controller, bye.reason);
            return self.take(Next::Failed { code: exit_code::FAILED, why }, out);
        }
        self.link.refused(&bye.reason);
        self.close(now, &Reason::from(&*bye.reason), out);
    }

    /// Closes the connection, to try again later.
    fn close(&mut self, now: Time, reason: &Reason, out: &mut Outbox) {
        self.lost(out);
        self.link.close(now, reason, out);
    }

    /// The connection is gone.
    fn lost(&mut self, out: &mut Outbox) {
        self.asked.forget();
        if let Work::Follow(follow) = &mut self.work
            && self.link.up()
        {
            follow.lost(out);
        }
    }

    fn signal(&mut self, now: Time, signal: Signal, out: &mut Outbox) {
        let mut talk = Talk { now, link: &self.link, asked: &mut self.asked, out };
        let next = match &mut self.work {
            Work::Follow(follow) => follow.signal(signal, &self.config.controller, &mut talk),
            Work::Overview(overview) if overview.watches() => Next::Over(exit_code::PASSED),
            Work::Submit(submitting) if submitting.said => {
                let why = format!(
                    "interrupted: the controller may have the test already: arete runs --controller {} shows it",
                    self.config.controller
                );
                Next::Failed { code: exit_code::INTERRUPTED, why }
            }
            _ => Next::Over(exit_code::INTERRUPTED),
        };
        self.take(next, out);
    }

    /// What concerns neither the connection nor time.
    fn other(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) -> Next {
        let mut talk = Talk { now, link: &self.link, asked: &mut self.asked, out };
        match (input, &mut self.work) {
            (Input::Resized { columns, rows }, work) => {
                self.config.show.terminal = self.config.show.terminal.map(|_| (columns, rows));
                match work {
                    Work::Follow(follow) => follow.resize(columns, rows),
                    Work::Overview(overview) => overview.resize(columns, rows),
                    _ => {}
                }
            }
            (Input::Read { read, result }, Work::Submit(submitting)) => {
                return submitting.read(read, result, &mut talk);
            }
            (Input::Written { .. }, Work::Follow(follow)) => return follow.written(talk.out),
            (Input::Written { .. }, Work::Results(results)) => return results.written(talk.out),
            (Input::WriteFailed { path, error }, Work::Follow(follow)) => {
                follow.write_failed(&path, &error.text, &mut talk)
            }
            (Input::WriteFailed { path, error }, Work::Results(results)) => {
                results.fetch.cannot_write(&path, &error.text);
                results.go_on(&mut talk);
            }
            _ => {}
        }
        Next::On
    }

    /// Does what is due.
    fn fire(&mut self, now: Time, out: &mut Outbox) {
        if self.over.is_some() {
            return;
        }
        self.link.fire(now, out);
        let mut talk = Talk { now, link: &self.link, asked: &mut self.asked, out };
        if talk.link.up() {
            match &mut self.work {
                Work::Follow(follow) => follow.fire(&mut talk),
                Work::Stop(stop) => stop.fire(&mut talk),
                Work::Overview(overview) => overview.fire(&mut talk),
                Work::Submit(_) | Work::Find(_) | Work::Results(_) => {}
            }
        }
        if self.patience.take_if(|at| *at <= now).is_some() {
            let within = text::duration(self.config.timeout.unwrap_or_default());
            let why = match self.link.up() {
                false => match self.link.why_away() {
                    "" => format!("the controller {} is out of reach", self.config.controller),
                    why => format!("the controller {} is out of reach ({why})", self.config.controller),
                },
                true if matches!(self.work, Work::Follow(_) | Work::Stop(_)) => "the run goes on".to_owned(),
                true => "the controller has not answered".to_owned(),
            };
            let why = format!("not done within {within}: {why}");
            self.take(Next::Failed { code: exit_code::TIME_LIMIT, why }, out);
        }
    }

    fn take(&mut self, next: Next, out: &mut Outbox) {
        match next {
            Next::On => {}
            Next::Over(code) => self.end(code, None, out),
            Next::Failed { code, why } => {
                let code = match (&self.config.task, code) {
                    // Neither is a verdict on the test.
                    (Task::Run { .. }, exit_code::FAILED | exit_code::TIME_LIMIT) => exit_code::INFRASTRUCTURE,
                    (_, code) => code,
                };
                // What is wrong with a test file has its place before it.
                let named = matches!(self.work, Work::Submit(_)) && code == exit_code::USAGE;
                let subject = if named { String::new() } else { format!("{}: ", self.config.task.subject()) };
                self.end(code, Some(&format!("{subject}{why}")), out);
            }
        }
    }

    fn end(&mut self, code: u8, message: Option<&str>, out: &mut Outbox) {
        if self.over.replace(code).is_some() {
            return;
        }
        self.patience = None;
        self.link.leave("done", out);
        for line in message.unwrap_or_default().lines() {
            out.print(Stream::Err, format!("arete: {}\n", text::harmless(line)));
        }
        out.exit(code);
    }
}

impl Machine for Operator {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if self.over.is_some() {
            return;
        }
        match input {
            Input::Begin => {
                let begun = self.config.begun.unwrap_or(now);
                self.patience = self.config.timeout.map(|timeout| begun + timeout);
                self.link.connect(now, out);
            }
            Input::Connected { conn, .. } if self.link.is(conn) => {
                self.link.connected(now, &Operate { protocol: PROTOCOL, version: VERSION.into() }, out);
            }
            Input::Received { conn, bytes } if self.link.is(conn) => self.received(now, bytes, out),
            Input::Closed { conn, reason } if self.link.is(conn) => {
                self.lost(out);
                self.link.closed(now, &reason);
            }
            Input::Signal(signal) => self.signal(now, signal, out),
            Input::Behind { .. } => self.link.behind(now),
            Input::Deadline => {
                if let Some(silent) = self.link.silence(now) {
                    self.close(now, &silent, out);
                }
            }
            // Nobody looks on any more. A run that is followed goes on to its verdict.
            Input::OutputEnded if matches!(&self.work, Work::Overview(overview) if overview.watches()) => {
                self.end(exit_code::PASSED, None, out);
            }
            input => {
                let next = self.other(now, input, out);
                self.take(next, out);
            }
        }
        self.fire(now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        if self.over.is_some() {
            return None;
        }
        let work = match &self.work {
            Work::Follow(follow) => follow.next_deadline(),
            Work::Stop(stop) => stop.next_deadline(),
            Work::Overview(overview) => overview.next_deadline(),
            Work::Submit(_) | Work::Find(_) | Work::Results(_) => None,
        };
        // What is due while the controller is away is done when it is back.
        [self.link.next_deadline(), self.patience, work.filter(|_| self.link.up())].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
