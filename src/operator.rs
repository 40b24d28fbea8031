//! An operator of a controller: submits a test and follows its run, attaches to a run, ends one, fetches results, or
//! shows the slaves and runs.
//!
//! The operator reconnects while the controller is away. The run goes on meanwhile, and data that was read is not read
//! again. [`Operator`] owns the connection and passes each answer to one concern: `submit` submits a test, `follow`
//! follows a run to its end, `fetch` fetches files, `look_up` finds and ends runs, and `overview` shows tables. A
//! concern gets an answer only if `pending_requests` has the request for it.

mod fetch;
mod follow;
mod look_up;
mod overview;
mod pending_requests;
mod several;
mod show;
mod submit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::follow::Follow;
use self::look_up::{Find, Results, Stop};
use self::overview::Overview;
pub use self::overview::OverviewOptions;
use self::pending_requests::{Next, PendingRequests, Question, Talk};
pub use self::several::{Job, Jobs, Several, Worker};
pub use self::show::Show;
pub use self::submit::Submission;
use self::submit::Submitting;
use crate::link::{Link, Linked};
use crate::machine::{Address, Bytes, Input, Machine, Outbox, Signal, Stream, Time};
use crate::session::VERSION;
use crate::verdict::out_of_reach;
use crate::wire::operate::{Operate, Piece, RunState, Seen};
use crate::wire::{Bye, FromController, LINE_MAX, Message, PROTOCOL, Welcome};
use crate::{exit_code, text};

/// The configuration of an operator.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the controller.
    pub controller: Address,
    /// The seed for the jitter of reconnects.
    pub seed: u64,
    /// What to do.
    pub task: Task,
    /// How to show runs.
    pub show: Show,
    /// The beginning of `timeout`. `None`: the first input.
    pub begun: Option<Time>,
    /// The time limit. `None`: no limit. For a new test it applies until the controller has the test.
    pub timeout: Option<Duration>,
}

/// The task of an operator. A run is named by its id, by the beginning of its id, or by `latest`.
#[derive(Debug, Clone)]
pub enum Task {
    /// Submits a test, follows the run and fetches its results.
    Run {
        /// The test.
        submission: Box<Submission>,
        /// The directory for the results. `None`: only submits the test.
        results: Option<PathBuf>,
    },
    /// Follows a run.
    Attach {
        /// The name of the run.
        run: String,
    },
    /// Ends a run.
    Stop {
        /// The name of the run.
        run: String,
        /// Kills its commands at once.
        now: bool,
        /// Waits until the run is over.
        waits: bool,
    },
    /// Finds a run.
    Find {
        /// The name of the run.
        run: String,
    },
    /// Fetches the results of a run.
    Results {
        /// The run, as [`Task::Find`] has found it.
        run: Box<RunState>,
        /// The directory for the results.
        into: PathBuf,
    },
    /// Shows slaves and runs.
    Overview(OverviewOptions),
}

impl Task {
    /// Returns the subject of messages, such as `stop relay-2026`.
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

/// The current step of the task.
enum Work {
    Submit(Submitting),
    Find(Find),
    Follow(Box<Follow>),
    Stop(Stop),
    Results(Results),
    Overview(Overview),
}

/// An operator of a controller.
pub struct Operator {
    config: Config,
    link: Link,
    asked: PendingRequests,
    work: Work,
    /// The end of the timeout.
    patience: Option<Time>,
    /// The run that was found.
    found: Option<RunState>,
    over: Option<u8>,
}

impl Operator {
    /// Returns an operator that has not connected yet.
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

    /// Returns the run that [`Task::Find`] has found.
    pub fn into_found(self) -> Option<RunState> {
        self.found
    }

    /// Sends the requests of the current step.
    fn begin(&mut self, now: Time, out: &mut Outbox) {
        self.asked.forget();
        let mut talk = Talk { now, link: &mut self.link, asked: &mut self.asked, out };
        match &mut self.work {
            Work::Submit(submitting) => submitting.begin(&mut talk),
            Work::Find(find) => find.begin(&mut talk),
            Work::Follow(follow) => follow.begin(&mut talk),
            Work::Stop(stop) => stop.begin(&mut talk),
            Work::Results(results) => results.begin(&mut talk),
            Work::Overview(overview) => overview.begin(&mut talk),
        }
    }

    /// The controller has sent the state of a run.
    fn seen(&mut self, now: Time, seen: Seen<'_>, out: &mut Outbox) {
        let looks = |question: &Question| matches!(question, Question::Look | Question::Cancel);
        let asked = if seen.submission.is_some() {
            self.asked.answered(Question::is_of_a_submission)
        } else {
            self.asked.answered(looks)
        };
        let Some(asked) = asked else { return };
        let mut talk = Talk { now, link: &mut self.link, asked: &mut self.asked, out };
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
        if !self.config.show.silent {
            let line = format!("run {} at {}\n", text::harmless(&state.run), self.config.controller);
            out.print(Stream::Out, line);
        }
        let test = submission.test.clone();
        let follow = Follow::new(state, Some(&test), Some(results), true, self.config.show.clone());
        self.work = Work::Follow(Box::new(follow));
        self.begin(now, out);
    }

    /// The run that the task names is found.
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

    /// Handles an answer.
    fn heard(&mut self, now: Time, message: FromController<'_>, out: &mut Outbox) -> Next {
        let mut talk = Talk { now, link: &mut self.link, asked: &mut self.asked, out };
        match (message, &mut self.work) {
            (FromController::Wanted(wanted), Work::Submit(submitting)) => {
                talk.asked.answered(Question::is_of_a_submission);
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
            _ => log::debug!("the controller has sent a message that was not requested"),
        }
        Next::On
    }

    fn piece(&mut self, now: Time, piece: &Piece<'_>, out: &mut Outbox) {
        let asked = self.asked.answered(|question| match question {
            Question::Get(file) | Question::Await(file) => *file == piece.file,
            _ => false,
        });
        let Some(asked) = asked else { return };
        let mut talk = Talk { now, link: &mut self.link, asked: &mut self.asked, out };
        match &mut self.work {
            Work::Follow(follow) => follow.piece(piece, &asked, &mut talk),
            Work::Results(results) => results.piece(piece, &mut talk),
            _ => {}
        }
    }

    /// The controller denies a request.
    fn denied(&mut self, now: Time, asked: Option<Question>, reason: &str, out: &mut Outbox) -> Next {
        let mut talk = Talk { now, link: &mut self.link, asked: &mut self.asked, out };
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

    fn signal(&mut self, now: Time, signal: Signal, out: &mut Outbox) {
        let mut talk = Talk { now, link: &mut self.link, asked: &mut self.asked, out };
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

    /// An input that concerns neither the connection nor time.
    fn other(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) -> Next {
        let mut talk = Talk { now, link: &mut self.link, asked: &mut self.asked, out };
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

    /// Fires the timers that are due.
    fn fire(&mut self, now: Time, out: &mut Outbox) {
        if self.over.is_some() {
            return;
        }
        self.link.fire(now, out);
        let mut talk = Talk { now, link: &mut self.link, asked: &mut self.asked, out };
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
                false => out_of_reach(&format!("controller {}", self.config.controller), self.link.why_away()),
                true if matches!(self.work, Work::Follow(_) | Work::Stop(_)) => "the run goes on".to_owned(),
                true if matches!(self.work, Work::Overview(_)) => "the watch ends".to_owned(),
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
                    // Neither is a verdict of the test.
                    (Task::Run { .. }, exit_code::FAILED | exit_code::TIME_LIMIT) => exit_code::INFRASTRUCTURE,
                    (_, code) => code,
                };
                // A problem in a test file begins with its place in the file.
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

impl Linked for Operator {
    const LONGEST: usize = LINE_MAX;

    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn greeting(&mut self, _now: Time) -> Bytes {
        Operate { protocol: PROTOCOL, version: VERSION.into() }.encode()
    }

    fn on_welcome(&mut self, now: Time, _welcome: &Welcome<'_>, out: &mut Outbox) {
        self.begin(now, out);
    }

    fn on_message(&mut self, now: Time, message: FromController<'_>, out: &mut Outbox) {
        match message {
            FromController::Pong(_) => {}
            FromController::Seen(seen) => self.seen(now, seen, out),
            message => {
                let next = self.heard(now, message, out);
                self.take(next, out);
            }
        }
    }

    fn on_bye(&mut self, _now: Time, bye: &Bye<'_>, out: &mut Outbox) -> bool {
        if bye.fatal {
            let why = format!("controller {}: {}", self.config.controller, bye.reason);
            self.take(Next::Failed { code: exit_code::FAILED, why }, out);
        }
        !bye.fatal
    }

    fn on_lost(&mut self, _now: Time, was_up: bool, out: &mut Outbox) {
        self.asked.forget();
        if let Work::Follow(follow) = &mut self.work
            && was_up
        {
            follow.lost(out);
        }
    }
}

impl Worker for Operator {
    fn writes(&self, path: &Path) -> bool {
        matches!(&self.config.task, Task::Run { results: Some(results), .. } if path.starts_with(results))
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
            // The reader of the output is gone. A run is followed to its verdict all the same.
            Input::OutputEnded if matches!(&self.work, Work::Overview(overview) if overview.watches()) => {
                self.end(exit_code::PASSED, None, out);
            }
            input => match self.on_link_input(now, input, out) {
                None => {}
                Some(Input::Signal(signal)) => self.signal(now, signal, out),
                Some(input) => {
                    let next = self.other(now, input, out);
                    self.take(next, out);
                }
            },
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
        // Timers of the current step fire only while the controller is connected.
        [self.link.next_deadline(), self.patience, work.filter(|_| self.link.up())].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
