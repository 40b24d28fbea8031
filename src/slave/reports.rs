//! What happened here, numbered, and kept until the controller has it on its disk.

use std::collections::VecDeque;

use crate::machine::faults::{Fault, injected};
use crate::machine::{Bytes, Time};
use crate::slave::turn::Turn;
use crate::wire::{Message, Report, SlaveEvent};

/// So many unrecorded reports are kept before pokes are refused. What already runs may still add to them.
const UNRECORDED_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Reports {
    run: String,
    /// The number of the last report.
    last: u64,
    /// Those that the controller has not recorded, oldest first.
    unrecorded: VecDeque<(u64, Bytes)>,
}

impl Reports {
    pub(super) fn new(run: &str) -> Reports {
        Reports { run: run.to_owned(), ..Reports::default() }
    }

    /// Reports something that happened now.
    pub(super) fn push(&mut self, what: SlaveEvent<'_>, turn: &mut Turn<'_>) {
        self.last += 1;
        let time: Time = turn.link.clock.to_theirs(turn.now);
        let line = Report { run: self.run.as_str().into(), seq: self.last, time, what }.encode();
        turn.link.say_line(turn.out, &line);
        self.unrecorded.push_back((self.last, line));
    }

    /// The controller has this one and all before it.
    pub(super) fn recorded(&mut self, seq: u64) {
        while self.unrecorded.front().is_some_and(|(number, _)| *number <= seq) {
            self.unrecorded.pop_front();
        }
    }

    /// Says again what the controller does not have.
    pub(super) fn resend(&self, turn: &mut Turn<'_>) {
        for (_, line) in self.unrecorded.iter().filter(|_| !injected(Fault::ReportsSaidOnce)) {
            turn.link.say_line(turn.out, line);
        }
    }

    /// Whether anything was ever reported.
    pub(super) fn any(&self) -> bool {
        self.last > 0
    }

    pub(super) fn all_recorded(&self) -> bool {
        self.unrecorded.is_empty()
    }

    /// Whether there is no room for what a person outside the run sets off.
    pub(super) fn full(&self) -> bool {
        self.unrecorded.len() >= UNRECORDED_MAX
    }
}
