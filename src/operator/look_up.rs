//! Finds a run by its name, ends one, and fetches results.

use std::path::PathBuf;
use std::time::Duration;

use super::fetch::Fetch;
use super::pending_requests::{Next, Question, Talk};
use crate::machine::{Outbox, Stream, Time};
use crate::wire::operate::{Piece, RunState, RunStatus, Runs};
use crate::{exit_code, text};

/// The name of the run that was submitted last.
const LATEST: &str = "latest";

/// How often to request the state of a run that ends.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The search for a run by its id, by the beginning of its id, or by `latest`.
pub struct Find {
    what: String,
    /// The run will be ended.
    end: bool,
    latest: Option<RunState>,
}

impl Find {
    pub fn new(what: String, end: bool) -> Find {
        Find { what, end, latest: None }
    }

    pub fn begin(&mut self, talk: &mut Talk<'_>) {
        self.latest = None;
        if self.what == LATEST {
            talk.runs("", true);
        } else if self.end {
            talk.look_to_end(&self.what);
        } else {
            talk.look(&self.what);
        }
    }

    /// A part of the list of runs has arrived. Returns the run once it is certain. Fails if there are no runs.
    pub fn told(&mut self, runs: Runs<'_>, talk: &mut Talk<'_>) -> Result<Option<RunState>, Next> {
        let last = runs.runs.last().map(|run| (run.run.clone(), run.state == RunStatus::Over));
        for run in runs.runs {
            if self.latest.as_ref().is_none_or(|latest| latest.submitted < run.submitted) {
                self.latest = Some(run);
            }
        }
        match last {
            // Of the runs that are over, the latest is listed first.
            Some((last, false)) if runs.more => {
                talk.runs(&last, true);
                Ok(None)
            }
            _ => match self.latest.take() {
                Some(latest) => Ok(Some(latest)),
                None => Err(Next::Failed { code: exit_code::FAILED, why: "there are no runs".to_owned() }),
            },
        }
    }
}

/// Ends a run, and waits until it is over.
pub struct Stop {
    state: RunState,
    now: bool,
    waits: bool,
    told: bool,
    look: Option<Time>,
}

impl Stop {
    pub fn new(state: RunState, now: bool, waits: bool) -> Stop {
        Stop { state, now, waits, told: false, look: None }
    }

    pub fn begin(&mut self, talk: &mut Talk<'_>) {
        if self.told {
            talk.look(&self.state.run);
        } else {
            talk.cancel(&self.state.run, self.now);
        }
    }

    pub fn seen(&mut self, state: RunState, asked: &Question, talk: &mut Talk<'_>) -> Next {
        self.told |= *asked == Question::Cancel;
        self.state = state;
        let over = self.state.state == RunStatus::Over;
        if !over && (self.waits || !self.told) {
            self.look = Some(talk.now + LOOK_EVERY);
            return Next::On;
        }
        let (run, why) = (text::harmless(&self.state.run), text::harmless(&self.state.why));
        let how = match over {
            true if why.is_empty() => "is over".to_owned(),
            true => format!("is over: {why}"),
            false => "is being stopped".to_owned(),
        };
        talk.out.print_surely(Stream::Out, format!("run {run} {how}\n"));
        Next::Over(exit_code::PASSED)
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.look
    }

    pub fn fire(&mut self, talk: &mut Talk<'_>) {
        if self.look.take_if(|at| *at <= talk.now).is_some() {
            talk.look(&self.state.run);
        }
    }
}

/// Fetches the results of a run so far.
pub struct Results {
    goes_on: bool,
    pub fetch: Fetch,
    writes: bool,
}

impl Results {
    pub fn new(state: &RunState, into: PathBuf) -> Results {
        let fetch = Fetch::new(state.run.clone(), Some(into), false);
        Results { goes_on: state.state != RunStatus::Over, fetch, writes: false }
    }

    pub fn begin(&mut self, talk: &mut Talk<'_>) {
        self.fetch.begin(talk);
        self.fetch.list(talk);
    }

    pub fn piece(&mut self, piece: &Piece<'_>, talk: &mut Talk<'_>) {
        self.fetch.piece(piece, talk);
        self.go_on(talk);
    }

    /// Once everything has arrived, waits until it is written.
    pub fn go_on(&mut self, talk: &mut Talk<'_>) {
        if self.fetch.is_still() && !std::mem::replace(&mut self.writes, true) {
            talk.out.confirm();
        }
    }

    pub fn written(&self, out: &mut Outbox) -> Next {
        if !self.writes {
            return Next::On;
        }
        if let Some(wrong) = self.fetch.wrong() {
            return Next::Failed { code: exit_code::FAILED, why: format!("not all results are here: {wrong}") };
        }
        let directory = self.fetch.directory().map(|directory| directory.display().to_string()).unwrap_or_default();
        let so_far = if self.goes_on { "the run goes on: its partial results are in" } else { "results are in" };
        out.print_surely(Stream::Out, format!("{so_far} {directory}\n"));
        Next::Over(exit_code::PASSED)
    }
}
