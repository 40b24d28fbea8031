//! What an operator has asked and what was not answered yet. A controller answers in order, except that what may wait is
//! answered when there is something to say.

use std::collections::VecDeque;

use crate::link::Link;
use crate::machine::{Outbox, Time};
use crate::wire::Message;
use crate::wire::operate::{AskFiles, AskRuns, AskSlaves, Cancel, Get, Look};

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Submit,
    Upload,
    Look,
    Cancel,
    Runs,
    Slaves,
    Files,
    /// A piece of this file, which is there or not.
    Get(String),
    /// A piece of this file when it is there.
    Await(String),
}

impl Question {
    /// Whether it may be denied: it is about a run.
    fn is_of_a_run(&self) -> bool {
        matches!(self, Question::Look | Question::Cancel | Question::Files | Question::Get(_))
    }
}

/// The questions of one connection, the oldest first.
#[derive(Debug, Default)]
pub struct PendingRequests(VecDeque<Question>);

impl PendingRequests {
    /// The connection is another: nothing that was asked will be answered.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Takes out the oldest question that this is the answer to.
    pub fn answered(&mut self, which: impl Fn(&Question) -> bool) -> Option<Question> {
        let at = self.0.iter().position(which)?;
        self.0.remove(at)
    }

    /// Something was denied: what is most likely meant. What may wait is denied last.
    pub fn denied(&mut self) -> Option<Question> {
        self.answered(Question::is_of_a_run)
            .or_else(|| self.answered(|question| matches!(question, Question::Await(_))))
    }
}

/// What a concern of the operator is given to speak with.
pub struct Talk<'a> {
    pub now: Time,
    pub link: &'a Link,
    pub asked: &'a mut PendingRequests,
    pub out: &'a mut Outbox,
}

impl Talk<'_> {
    /// Asks, if the controller is there. If it is not, all that matters is asked anew when it is.
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

    /// Asks for a run that is to be ended.
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

/// What a concern says when it was told something.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// It goes on.
    On,
    /// There is nothing left to do.
    Over(u8),
    /// It cannot be done.
    Failed { code: u8, why: String },
}
