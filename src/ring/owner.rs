//! The owner of the token, with the token itself and the present phase.
//!
//! An owner waits until its lease is confirmed, works, holds the token, and hands it over. This file owns these phases,
//! and the heartbeats with their answers. It must not send a message or set a timer: `node/ownership.rs` does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::token::{Fence, Token};
use super::work::{self, Done, StepError, StepOutcome, Work};
use crate::machine::{Outbox, Time};

/// The most heartbeats that wait for answers. An answer to an older one is too late.
const BEATS_KEPT: usize = 8;

/// The owner of the token.
#[derive(Debug)]
pub struct Owner {
    pub fence: Fence,
    pub token: Token,
    data: String,
    phase: Phase,
    /// Since when it has the token.
    since: Time,
    beats: Beats,
    outdated: bool,
}

#[derive(Debug)]
enum Phase {
    /// Waits until its lease is confirmed.
    Confirming,
    Working(Work),
    /// The step is done.
    Holding,
    /// Does no more work.
    HandingOver(HandOver),
}

/// The token on its way to the next owner.
#[derive(Debug)]
pub struct HandOver {
    pub to: String,
    pub fence: Fence,
    pub begun: Time,
    /// Since when it may have arrived. From then on no other node may get it.
    pub sent: Option<Time>,
    /// The nodes that could not be reached.
    pub unreachable: BTreeSet<String>,
}

/// A heartbeat: when it was sent, and the nodes that have answered it.
pub type Beat = (Time, BTreeSet<String>);

/// The heartbeats and their answers.
#[derive(Debug, Default)]
struct Beats {
    last: u64,
    open: BTreeMap<u64, Beat>,
    /// The nodes that have stored the data.
    stored: BTreeSet<String>,
    /// The end of the lease.
    until: Option<Time>,
}

impl Owner {
    pub fn new(now: Time, fence: Fence, token: Token, data: String) -> Owner {
        let (phase, beats) = (Phase::Confirming, Beats::default());
        Owner { fence, token, data, phase, since: now, beats, outdated: false }
    }

    /// Returns the data that goes with the token.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Returns when it got the token.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Whether it waits for its lease.
    pub fn is_confirming(&self) -> bool {
        matches!(self.phase, Phase::Confirming)
    }

    /// Whether it neither works nor hands the token over.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Confirming | Phase::Holding)
    }

    /// Whether the token may have left it.
    pub fn has_handed_over(&self) -> bool {
        matches!(&self.phase, Phase::HandingOver(HandOver { sent: Some(_), .. }))
    }

    /// Whether a newer epoch was granted to another node, so that the token must be made again.
    pub fn is_outdated(&self) -> bool {
        self.outdated
    }

    pub fn set_outdated(&mut self) {
        self.outdated = true;
    }

    /// Counts a heartbeat that is sent now, and returns its number.
    pub fn next_beat(&mut self, now: Time) -> u64 {
        self.beats.last += 1;
        self.beats.open.insert(self.beats.last, (now, BTreeSet::new()));
        if self.beats.open.len() > BEATS_KEPT {
            self.beats.open.pop_first();
        }
        self.beats.last
    }

    /// Awaits no answers to the heartbeats until now.
    pub fn forget_beats(&mut self) {
        self.beats.open.clear();
    }

    /// Returns the last heartbeat.
    pub fn last_beat(&self) -> Option<&Beat> {
        self.beats.open.last_key_value().map(|(_, beat)| beat)
    }

    /// Notes that `node` has answered heartbeat `nr`, and whether it has stored the data.
    pub fn answer(&mut self, node: &str, nr: u64, stored: bool) {
        if stored {
            self.beats.stored.insert(node.to_owned());
        }
        if let Some((_, answered)) = self.beats.open.get_mut(&nr) {
            answered.insert(node.to_owned());
        }
    }

    /// Returns the nodes that have answered one of the last heartbeats.
    pub fn answered(&self) -> BTreeSet<String> {
        self.beats.open.values().flat_map(|(_, nodes)| nodes).cloned().collect()
    }

    /// Returns the nodes that have stored the data.
    pub fn stored(&self) -> &BTreeSet<String> {
        &self.beats.stored
    }

    /// Extends the lease to `lease` after the last heartbeat that is confirmed, and returns its end.
    pub fn extend_lease(&mut self, lease: Duration, is_confirmed: impl Fn(&Beat) -> bool) -> Option<Time> {
        let last = self.beats.open.values().rev().find(|beat| is_confirmed(beat)).map(|(sent, _)| *sent + lease);
        self.beats.until = self.beats.until.max(last);
        self.beats.until
    }

    /// Returns the end of the lease, if it was ever confirmed.
    pub fn lease_until(&self) -> Option<Time> {
        self.beats.until
    }

    /// Starts the work step.
    pub fn start_work(&mut self, config: &work::Config, out: &mut Outbox) {
        self.phase = Phase::Working(Work::start(config, self.fence, self.token.progress, &self.data, out));
    }

    /// Returns the work step, while one runs.
    pub fn work(&mut self) -> Option<&mut Work> {
        match &mut self.phase {
            Phase::Working(work) => Some(work),
            _ => None,
        }
    }

    /// Ends the work step, and holds the token. Fails if the step failed; the data is then as it was.
    pub fn end_work(&mut self, outcome: StepOutcome) -> Result<(), StepError> {
        self.phase = Phase::Holding;
        let Done { data, progress } = outcome?;
        (self.data, self.token.progress) = (data, progress);
        Ok(())
    }

    /// Kills the work step, if one runs.
    pub fn kill_work(&mut self, out: &mut Outbox) {
        if let Phase::Working(_) = self.phase
            && let Phase::Working(work) = std::mem::replace(&mut self.phase, Phase::Holding)
        {
            work.kill(out);
        }
    }

    /// Stops being the owner.
    pub fn stop(mut self, out: &mut Outbox) {
        self.kill_work(out);
    }

    /// Starts to hold the token, if it [is idle](Owner::is_idle). Returns whether it holds the token.
    pub fn hold(&mut self) -> bool {
        let idle = self.is_idle();
        if idle {
            self.phase = Phase::Holding;
        }
        idle
    }

    /// Starts to hand the token over.
    pub fn hand_over(&mut self, hand_over: HandOver) {
        self.phase = Phase::HandingOver(hand_over);
    }

    /// Returns the hand-over, while there is one.
    pub fn handing_over(&mut self) -> Option<&mut HandOver> {
        match &mut self.phase {
            Phase::HandingOver(hand_over) => Some(hand_over),
            _ => None,
        }
    }
}
