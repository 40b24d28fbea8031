//! What is dropped when memory is short, because somebody else needs it more: first the failed rounds, which only tell
//! the late why, then the rounds in which everybody who was there is lost. Nobody who waits, and nobody who has a
//! ruling to hear, loses anything.

use std::rc::Rc;
use std::time::Duration;

use super::acts::Act;
use super::memory::Eviction;
use super::turn::Turn;
use super::{Rendezvous, Timer};

/// How long a round waits in which everybody is lost, if nobody comes: then its values are of no use to anybody.
pub const ABANDONED_FOR: Duration = Duration::from_secs(600);

impl<V: PartialEq> Rendezvous<V> {
    /// How much of it there is: the bytes of failed rounds, the number of abandoned ones.
    pub fn spare(&self, what: Eviction) -> usize {
        match what {
            Eviction::Failed => self.failed.iter().map(|(bytes, _)| bytes).sum(),
            Eviction::Abandoned => self.abandoned.len(),
        }
    }

    /// Drops what can be spared, the largest first, until there is room for so many bytes.
    pub fn drop_spare(&mut self, what: Eviction, bytes: usize, turn: &mut Turn<'_, V>) {
        while !self.budget.has_room_for(bytes) {
            let name = match what {
                Eviction::Failed => self.failed.last().map(|(_, name)| name.clone()),
                Eviction::Abandoned => self.abandoned.first().cloned(),
            };
            let Some(name) = name else { return };
            match what {
                Eviction::Failed => self.drop_failed(&name, turn),
                Eviction::Abandoned => self.drop_abandoned(&name),
            }
        }
    }

    /// Drops the largest failed round in which nobody waits, for the sake of a new meeting. Whether there was one.
    pub(super) fn drop_one_failed(&mut self, turn: &mut Turn<'_, V>) -> bool {
        let alone = |name: &Rc<str>| self.meetings.get(name).is_some_and(|meeting| meeting.forming.is_none());
        let Some(name) = self.failed.iter().rev().map(|(_, name)| name).find(|name| alone(name)).cloned() else {
            return false;
        };
        self.drop_failed(&name, turn);
        true
    }

    fn drop_failed(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) {
        self.stand_down(name);
        turn.acts.push(Act::StoodDown { meeting: name.clone() });
    }

    /// Notes whether everybody who is in a round is lost.
    pub(super) fn note_abandoned(&mut self, name: &Rc<str>, turn: &Turn<'_, V>) {
        let abandoned = self.forming(name).is_some_and(|round| round.is_abandoned());
        if abandoned && self.abandoned.insert(name.clone()) {
            self.timers.set(Timer::Abandoned(name.clone()), turn.now + ABANDONED_FOR);
        }
    }

    /// Somebody is in this round again, or it is over.
    pub(super) fn not_abandoned(&mut self, name: &Rc<str>) {
        if !self.abandoned.is_empty() && self.abandoned.remove(name) {
            self.timers.cancel(&Timer::Abandoned(name.clone()));
        }
    }

    /// Drops a round in which everybody is lost. Who comes back all the same says again that it has arrived.
    pub(super) fn drop_abandoned(&mut self, name: &Rc<str>) {
        self.not_abandoned(name);
        if !self.forming(name).is_some_and(|round| round.is_abandoned()) {
            return;
        }
        let Some(round) = self.meetings.get_mut(name).and_then(|meeting| meeting.forming.take()) else { return };
        self.waiting -= round.there.len();
        for (member, there) in &round.there {
            self.places.remove(&(there.process, there.id));
            self.timers.cancel(&Timer::Away(name.clone(), member.clone()));
        }
        self.cancel_timers_of(name);
        self.tidy(name);
    }

    /// Nothing is due of the round that formed here.
    pub(super) fn cancel_timers_of(&mut self, name: &Rc<str>) {
        for timer in [Timer::Deadline(name.clone()), Timer::Look(name.clone()), Timer::Overflow(name.clone())] {
            self.timers.cancel(&timer);
        }
    }
}
