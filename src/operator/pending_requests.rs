//! The requests of an operator that have no answer yet.
//!
//! A controller answers in order, except for requests that may wait. An answer without a request is ignored.

use std::collections::VecDeque;

use crate::link::Link;
use crate::machine::{Outbox, Time};
use crate::wire::Message;
use crate::wire::operate::{AskFiles, AskRuns, AskSlaves, Cancel, Get, Look};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Submit,
    Upload,
    Look,
    Cancel,
    Runs,
    Slaves,
    Files,
    /// A piece of this file, at once.
    Get(String),
    /// A piece of this file, as soon as it exists.
    Await(String),
}

impl Question {
    /// Returns whether it submits a test, and may be answered by its run.
    pub fn is_of_a_submission(&self) -> bool {
        matches!(self, Question::Submit | Question::Upload)
    }

    /// Returns whether it is about a run, and a denial answers it in order.
    fn is_of_a_run(&self) -> bool {
        matches!(self, Question::Look | Question::Cancel | Question::Files | Question::Get(_))
    }
}

/// The requests of one connection, the oldest first.
#[derive(Debug, Default)]
pub struct PendingRequests(VecDeque<Question>);

impl PendingRequests {
    /// The connection is lost: drops the requests.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Takes the oldest request of this kind.
    pub fn answered(&mut self, which: impl Fn(&Question) -> bool) -> Option<Question> {
        let at = self.0.iter().position(which)?;
        self.0.remove(at)
    }

    /// Takes the request that a denial most likely answers: one that may wait only if there is no other.
    pub fn denied(&mut self) -> Option<Question> {
        self.answered(Question::is_of_a_run)
            .or_else(|| self.answered(|question| matches!(question, Question::Await(_))))
    }
}

/// The means of a concern to send requests.
pub struct Talk<'a> {
    pub now: Time,
    pub link: &'a mut Link,
    pub asked: &'a mut PendingRequests,
    pub out: &'a mut Outbox,
}

impl Talk<'_> {
    /// Sends a request, if the controller is connected. Returns whether it is. If not, the concern sends its requests
    /// when it is.
    pub fn ask(&mut self, question: Question, message: &impl Message) -> bool {
        if self.link.up() {
            self.asked.0.push_back(question);
            self.link.say(self.out, message);
        }
        self.link.up()
    }

    pub fn look(&mut self, run: &str) -> bool {
        self.ask(Question::Look, &Look { run: run.into(), end: false })
    }

    /// Requests the state of a run that will be ended.
    pub fn look_to_end(&mut self, run: &str) -> bool {
        self.ask(Question::Look, &Look { run: run.into(), end: true })
    }

    pub fn cancel(&mut self, run: &str, now: bool) -> bool {
        self.ask(Question::Cancel, &Cancel { run: run.into(), now })
    }

    pub fn runs(&mut self, after: &str, over: bool) -> bool {
        self.ask(Question::Runs, &AskRuns { after: after.into(), over })
    }

    pub fn slaves(&mut self, after: &str) -> bool {
        self.ask(Question::Slaves, &AskSlaves { after: after.into() })
    }

    pub fn files(&mut self, run: &str, after: &str) -> bool {
        self.ask(Question::Files, &AskFiles { run: run.into(), after: after.into() })
    }

    pub fn get(&mut self, run: &str, file: &str, offset: u64) -> bool {
        let get = Get { run: run.into(), file: file.into(), offset, wait: false };
        self.ask(Question::Get(file.to_owned()), &get)
    }

    pub fn wait_for(&mut self, run: &str, file: &str, offset: u64) -> bool {
        let get = Get { run: run.into(), file: file.into(), offset, wait: true };
        self.ask(Question::Await(file.to_owned()), &get)
    }
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// The concern goes on.
    On,
    /// The operator exits with this code.
    Over(u8),
    /// The operator exits with this code and a message.
    Failed { code: u8, why: String },
}
