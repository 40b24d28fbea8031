//! Several operators in one process, each with a run of its own.
//!
//! A number of them work at the same time. What each prints is held until it is done, because the lines of several runs
//! would be hard to tell apart. Each gets the signals of the process, and after a signal no further one begins.

use std::collections::BTreeMap;
use std::path::Path;

use crate::machine::{ConfirmId, ConnId, Effect, Input, Machine, Outbox, ReadId, Stream, Time};

/// The most output of one operator that is held, in bytes. More is left out at its beginning.
const HELD_MAX: usize = 1024 * 1024;

/// A machine that works side by side with others of its kind.
pub trait Worker: Machine {
    /// Returns whether it writes the file at `path`.
    fn writes(&self, path: &Path) -> bool;
}

/// An operator, and what is printed around its output.
pub struct Job<W> {
    /// The number that names it in [`Jobs::ended`]. No two that work at the same time have the same.
    pub id: usize,
    /// The operator, which has not had an input yet.
    pub operator: W,
    /// Printed when it begins.
    pub begins: String,
    /// Printed before its output, after its end.
    pub before: String,
    /// Printed after its output.
    pub after: String,
}

/// The jobs of [`Several`].
pub trait Jobs {
    /// The operators.
    type Worker: Worker;

    /// Returns the next job, `None` if there is none.
    fn next(&mut self) -> Option<Job<Self::Worker>>;

    /// A job has ended with this exit code. Returns what is printed after its output. Afterwards there may be a next job
    /// again.
    fn ended(&mut self, id: usize, code: u8) -> String;
}

/// A job that works.
struct Working<W> {
    job: Job<W>,
    held: Held,
}

/// Output that is printed later.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    /// The number of lines that were left out.
    left_out: usize,
}

/// Runs jobs, up to a number of them at the same time.
pub struct Several<J: Jobs> {
    jobs: J,
    at_once: usize,
    working: BTreeMap<usize, Working<J::Worker>>,
    conns: BTreeMap<ConnId, usize>,
    reads: BTreeMap<ReadId, usize>,
    confirms: BTreeMap<ConfirmId, usize>,
    /// A signal has arrived.
    stopping: bool,
}

impl<J: Jobs> Several<J> {
    /// Returns a machine that runs `at_once` of the jobs at the same time.
    pub fn new(jobs: J, at_once: usize) -> Several<J> {
        Several {
            jobs,
            at_once,
            working: BTreeMap::new(),
            conns: BTreeMap::new(),
            reads: BTreeMap::new(),
            confirms: BTreeMap::new(),
            stopping: false,
        }
    }

    /// Returns the jobs.
    pub fn jobs(&self) -> &J {
        &self.jobs
    }

    /// Returns the jobs, after the last has ended.
    pub fn into_jobs(self) -> J {
        self.jobs
    }

    /// Begins jobs as long as fewer than the wanted number work. Exits if there is none.
    fn fill(&mut self, now: Time, out: &mut Outbox) {
        while !self.stopping && self.working.len() < self.at_once {
            let Some(job) = self.jobs.next() else { break };
            let id = job.id;
            out.print(Stream::Out, job.begins.clone());
            self.working.insert(id, Working { job, held: Held::default() });
            self.give(id, now, Input::Begin, out);
        }
        if self.working.is_empty() {
            out.exit(0);
        }
    }

    /// Gives an input to one operator, and sorts out its effects.
    fn give(&mut self, id: usize, now: Time, input: Input<'_>, out: &mut Outbox) {
        let Some(working) = self.working.get_mut(&id) else { return };
        let mark = out.mark();
        working.job.operator.handle(now, input, out);
        let mut code = None;
        for effect in out.split_off(mark) {
            match &effect {
                Effect::Print { stream: Stream::Out, bytes, .. } => {
                    working.held.add(bytes);
                    continue;
                }
                Effect::Exit { code: ended } | Effect::Halt { code: ended } => {
                    code = Some(*ended);
                    continue;
                }
                Effect::Connect { conn, .. } => drop(self.conns.insert(*conn, id)),
                Effect::Read { read, .. } => drop(self.reads.insert(*read, id)),
                Effect::Confirm { confirm } => drop(self.confirms.insert(*confirm, id)),
                _ => {}
            }
            out.push(effect);
        }
        if let Some(code) = code {
            self.end(id, code, out);
        }
    }

    fn end(&mut self, id: usize, code: u8, out: &mut Outbox) {
        let Some(Working { job, held }) = self.working.remove(&id) else { return };
        self.conns.retain(|_, owner| *owner != id);
        self.reads.retain(|_, owner| *owner != id);
        self.confirms.retain(|_, owner| *owner != id);
        let mut text = job.before.into_bytes();
        text.extend(held.into_bytes());
        text.extend(self.jobs.ended(id, code).into_bytes());
        text.extend(job.after.into_bytes());
        out.print_surely(Stream::Out, text);
    }

    fn give_all(&mut self, now: Time, make: impl Fn() -> Input<'static>, out: &mut Outbox) {
        let ids: Vec<usize> = self.working.keys().copied().collect();
        ids.into_iter().for_each(|id| self.give(id, now, make(), out));
    }

    /// Returns the operator that an input concerns.
    fn owner(&mut self, input: &Input<'_>) -> Option<usize> {
        match input {
            Input::Connected { conn, .. } | Input::Received { conn, .. } | Input::Disproved { conn, .. } => {
                self.conns.get(conn).copied()
            }
            Input::Closed { conn, .. } => self.conns.remove(conn),
            Input::Read { read, .. } => self.reads.remove(read),
            Input::Written { confirm } => self.confirms.remove(confirm),
            Input::WriteFailed { path, .. } => {
                let owns =
                    |(id, working): (&usize, &Working<J::Worker>)| working.job.operator.writes(path).then_some(*id);
                self.working.iter().find_map(owns)
            }
            _ => None,
        }
    }
}

impl Held {
    /// Adds whole lines. More than the bound is held for a while, so that not each line moves all others.
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * HELD_MAX {
            self.shorten();
        }
    }

    /// Leaves out the first lines, if there is more than the bound.
    fn shorten(&mut self) {
        let Some(more) = self.bytes.len().checked_sub(HELD_MAX).filter(|more| *more > 0) else { return };
        let line_end = self.bytes[more..].iter().position(|byte| *byte == b'\n');
        let end = line_end.map_or(self.bytes.len(), |at| more + at + 1);
        self.left_out += self.bytes[..end].iter().filter(|byte| **byte == b'\n').count();
        self.bytes.drain(..end);
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.shorten();
        match self.left_out {
            0 => self.bytes,
            count => [format!("({count} lines not shown)\n").as_bytes(), &self.bytes].concat(),
        }
    }
}

impl<J: Jobs> Machine for Several<J> {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => {}
            Input::Signal(signal) => {
                self.stopping = true;
                self.give_all(now, || Input::Signal(signal), out);
            }
            Input::Deadline => self.give_all(now, || Input::Deadline, out),
            Input::Behind { since } => self.give_all(now, || Input::Behind { since }, out),
            Input::OutputEnded => self.give_all(now, || Input::OutputEnded, out),
            input => {
                if let Some(id) = self.owner(&input) {
                    self.give(id, now, input, out);
                }
            }
        }
        self.fill(now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.working.values().filter_map(|working| working.job.operator.next_deadline()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_has_a_bound_and_begins_with_a_whole_line() {
        let line = format!("{}\n", "x".repeat(99));
        let mut held = Held::default();
        let lines = 3 * HELD_MAX / line.len();
        for _ in 0..lines {
            held.add(line.as_bytes());
            assert!(held.bytes.len() <= 2 * HELD_MAX);
        }
        let text = String::from_utf8(held.into_bytes()).expect("text");
        let (note, rest) = text.split_once('\n').expect("a note");
        let left_out = lines - rest.len() / line.len();
        assert_eq!(note, format!("({left_out} lines not shown)"));
        assert!(rest.len() <= HELD_MAX && rest.len() > HELD_MAX - 200 && rest.starts_with(&line));
        let mut short = Held::default();
        short.add(b"a\n");
        assert_eq!(short.into_bytes(), b"a\n");
    }
}
