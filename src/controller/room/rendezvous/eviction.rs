//! Evicts rounds when memory is short: first failed rounds, which only explain a failure to late members, then rounds
//! in which every member is lost. No waiting arrival and no unconfirmed outcome is ever evicted.

use std::rc::Rc;
use std::time::Duration;

use super::acts::Decision;
use super::memory::Eviction;
use super::turn::Turn;
use super::{Rendezvous, Timer};

/// How long a round in which every member is lost is kept. Then its values are useless.
pub const ABANDONED_FOR: Duration = Duration::from_secs(600);

impl Rendezvous {
    /// Returns how much can be evicted: the bytes of failed rounds, or the number of abandoned rounds.
    pub fn evictable(&self, what: Eviction) -> usize {
        match what {
            Eviction::Failed => self.failed.iter().map(|(bytes, _)| bytes).sum(),
            Eviction::Abandoned => self.abandoned.len(),
        }
    }

    /// Evicts, the largest first, until `bytes` more fit into the budget.
    pub fn evict(&mut self, what: Eviction, bytes: usize, turn: &mut Turn<'_>) {
        while !self.budget.has_room_for(bytes) {
            let name = match what {
                Eviction::Failed => self.failed.last().map(|(_, name)| name.clone()),
                Eviction::Abandoned => self.abandoned.first().cloned(),
            };
            let Some(name) = name else { return };
            match what {
                Eviction::Failed => self.decide(&name, Decision::FailedRoundDropped, turn),
                Eviction::Abandoned => self.drop_abandoned(&name),
            }
        }
    }

    /// Evicts the largest failed round of a meeting at which no member waits, to make room for a new meeting. Returns
    /// whether there was one.
    pub(super) fn evict_one_failed_round(&mut self, turn: &mut Turn<'_>) -> bool {
        let alone = |name: &Rc<str>| self.meetings.get(name).is_some_and(|meeting| meeting.forming.is_none());
        let Some(name) = self.failed.iter().rev().map(|(_, name)| name).find(|name| alone(name)).cloned() else {
            return false;
        };
        self.decide(&name, Decision::FailedRoundDropped, turn);
        true
    }

    /// Marks a round as abandoned if every member is lost.
    pub(super) fn mark_abandoned(&mut self, name: &Rc<str>, turn: &Turn<'_>) {
        let abandoned = self.forming(name).is_some_and(|round| round.is_abandoned());
        if abandoned && self.abandoned.insert(name.clone()) {
            self.timers.set(Timer::Abandoned(name.clone()), turn.now + ABANDONED_FOR);
        }
    }

    /// Unmarks a round, because a member has returned or the round is over.
    pub(super) fn unmark_abandoned(&mut self, name: &Rc<str>) {
        if !self.abandoned.is_empty() && self.abandoned.remove(name) {
            self.timers.cancel(&Timer::Abandoned(name.clone()));
        }
    }

    /// Drops a round in which every member is lost. A member that reconnects repeats its arrival.
    pub(super) fn drop_abandoned(&mut self, name: &Rc<str>) {
        self.unmark_abandoned(name);
        if !self.forming(name).is_some_and(|round| round.is_abandoned()) {
            return;
        }
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.take()) else { return };
        self.waiting -= round.present.len();
        for (member, there) in &round.present {
            self.arrivals.remove(&(there.process, there.id));
            self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
        }
        self.cancel_timers_of(name);
        self.tidy(name);
    }

    /// Cancels the timers of the round that formed here.
    pub(super) fn cancel_timers_of(&mut self, name: &Rc<str>) {
        for timer in [Timer::Deadline(name.clone()), Timer::Silence(name.clone()), Timer::Overflow(name.clone())] {
            self.timers.cancel(&timer);
        }
    }
}
