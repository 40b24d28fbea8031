//! The events that this slave reports: numbered, and kept until the controller has them on its disk.
//!
//! An event may be sent on several connections. Its number lets the controller count it once.

use std::collections::VecDeque;

use crate::machine::faults::{Fault, injected};
use crate::machine::{Bytes, Time};
use crate::slave::turn::Turn;
use crate::wire::{Message, Report, SlaveEvent};

/// With this many unrecorded reports, pokes are refused. Commands that run may still add reports.
const UNRECORDED_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Reports {
    run: String,
    /// The number of the last report.
    last: u64,
    /// The reports that the controller has not recorded, oldest first.
    unrecorded: VecDeque<(u64, Bytes)>,
}

impl Reports {
    pub(super) fn new(run: &str) -> Reports {
        Reports { run: run.to_owned(), ..Reports::default() }
    }

    /// Reports an event of now.
    pub(super) fn push(&mut self, event: SlaveEvent<'_>, turn: &mut Turn<'_>) {
        self.last += 1;
        let time: Time = turn.link.clock().to_theirs(turn.now);
        let line = Report { run: self.run.as_str().into(), seq: self.last, time, event }.encode();
        turn.link.say_line(turn.out, &line);
        self.unrecorded.push_back((self.last, line));
    }

    /// The controller has recorded this report and all earlier ones.
    pub(super) fn recorded(&mut self, seq: u64) {
        while self.unrecorded.front().is_some_and(|(number, _)| *number <= seq) {
            self.unrecorded.pop_front();
        }
    }

    /// Sends again every report that is not recorded.
    pub(super) fn resend(&self, turn: &mut Turn<'_>) {
        for (_, line) in self.unrecorded.iter().filter(|_| !injected(Fault::ReportsSaidOnce)) {
            turn.link.say_line(turn.out, line);
        }
    }

    /// Returns whether anything was ever reported.
    pub(super) fn any(&self) -> bool {
        self.last > 0
    }

    pub(super) fn all_recorded(&self) -> bool {
        self.unrecorded.is_empty()
    }

    /// Returns whether pokes must be refused.
    pub(super) fn full(&self) -> bool {
        self.unrecorded.len() >= UNRECORDED_MAX
    }
}
