//! A standstill: everything that runs in a run waits. The run is not ended, because a command that waits may have a second
//! process that does not. The time line gets an event that names who waits where for whom.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::controller::room::meeting::Meeting;
use crate::controller::run::history::{EntryHistory, SlaveHistory};
use crate::controller::run::plan::{Does, EntryPlan};
use crate::controller::run::roster::Stage;
use crate::controller::run::run::{Phase, Run};
use crate::machine::{Outbox, Time};
use crate::timeline::event::{Event, Waiting};
use crate::wire::rendezvous::{Wait, Waits};

/// The most waits of a slave's commands that are remembered.
const WAITS_MAX: usize = 1_000;

/// The most places that the event lists.
const PLACES_MAX: usize = 100;

/// The most names that it lists for each place.
const NAMES_MAX: usize = 100;

/// Returns who waits where for whom: at barriers and syncs, and for the triggers for which commands wait.
pub fn waiting(run: &Run) -> Vec<Waiting> {
    let rounds = run.room.forming_rounds().map(|(kind, round)| {
        let names = |names: &[Rc<str>]| names.iter().take(NAMES_MAX).map(|it| it.to_string()).collect();
        let name = Some(round.meeting.to_string());
        let (barrier, session) = match kind {
            Meeting::Barrier => (name, None),
            Meeting::Sync => (None, name),
        };
        let left = (round.more > 0).then_some(round.more as u64);
        Waiting { barrier, session, trigger: None, who: names(&round.there), missing: names(&round.missing), left }
    });
    let mut triggers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for member in run.roster.iter().filter(|member| member.stage != Stage::Lost) {
        for trigger in member.waits.iter().filter_map(|wait| wait.trigger.as_deref()) {
            let who = triggers.entry(trigger).or_default();
            if who.last() != Some(&member.name) && who.len() < NAMES_MAX {
                who.push(member.name.clone());
            }
        }
    }
    let of_trigger = |(trigger, who): (&str, Vec<String>)| {
        let state = run.room.triggers.get(trigger).filter(|state| state.fired.is_none())?;
        let trigger = Some(trigger.to_owned());
        Some(Waiting { trigger, who, left: Some(state.left()), ..Waiting::default() })
    };
    let triggers: Vec<Waiting> = triggers.into_iter().filter_map(of_trigger).collect();
    rounds.filter(|waiting| !waiting.who.is_empty()).chain(triggers).take(PLACES_MAX).collect()
}

/// Returns the same for the end of a sentence: `; a waits at barrier up for b`. Empty if no member waits.
pub fn in_words(run: &Run) -> String {
    waiting(run).iter().map(|waiting| format!("; {waiting}")).collect()
}

impl Run {
    /// Takes the report of a slave about what its commands wait for. Waits of unknown entries and for unknown triggers are
    /// ignored.
    pub(in crate::controller) fn slave_waits(&mut self, ix: usize, waits: Waits<'_>) {
        let Some((plan, _)) = self.absent.known() else { return };
        let shape = plan.shape(ix);
        let ours = |wait: &Wait| shape.find(&wait.entry).is_some();
        let known = |wait: &Wait| wait.trigger.as_ref().is_none_or(|it| self.room.triggers.get(it).is_some());
        let waits: Vec<Wait> =
            waits.waits.into_iter().take(WAITS_MAX).filter(|wait| ours(wait) && known(wait)).collect();
        self.absent.set_waits(ix, &waits);
        self.roster.get_mut(ix).waits = waits;
    }

    /// Records who waits for whom when everything that runs waits, once until something happens again. Returns how many
    /// entries it has looked at.
    pub(in crate::controller) fn look_for_standstill(&mut self, now: Time, out: &mut Outbox) -> usize {
        let seen = (self.event_log.count(), self.shipped.bytes());
        if !self.absent.standstill.is_due(now, seen) || self.phase != Phase::Running {
            return 0;
        }
        if self.all_wait() {
            // Clients come back to a round without an event, so an empty list may not stay empty.
            let waits = waiting(self);
            if !waits.is_empty() {
                self.note(now, &Event::Stalled { waits: waits.into() }, out);
                self.absent.standstill.record(now, (self.event_log.count(), self.shipped.bytes()));
            }
        } else {
            self.absent.standstill.found_none();
        }
        self.absent.known().map_or(0, |(plan, _)| plan.entries())
    }

    /// Returns whether everything that runs waits, and nothing starts by itself. A service runs without doing anything.
    fn all_wait(&self) -> bool {
        let Some((plan, history)) = self.absent.known() else { return false };
        let mut slaves = self.roster.iter().enumerate().filter(|(_, member)| member.stage != Stage::Lost);
        slaves.all(|(ix, member)| {
            let mut entries = (0..).zip(&plan.shape(ix).entries);
            let is_there = member.conn.is_some() && member.begun.is_some();
            is_there && entries.all(|(nr, entry)| rests(history.of(ix), nr, entry))
        })
    }
}

/// Returns whether an entry of a slave does nothing by itself: it waits, or it does not run and does not start at a later
/// time.
fn rests(history: &SlaveHistory, nr: u16, entry: &EntryPlan) -> bool {
    let known = history.entry(nr);
    if !known.is_some_and(EntryHistory::goes_on) {
        return !history.is_due(nr, &entry.starts);
    }
    // Between two attempts at a job nothing runs, but the next one begins by itself.
    if known.is_some_and(EntryHistory::is_between_attempts) {
        return false;
    }
    match entry.does {
        Does::Meets => true,
        Does::Anything { service } => service || history.waits(nr),
        Does::Notifies(_) | Does::Nothing => false,
    }
}
