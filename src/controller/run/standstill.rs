//! A run in which all that runs waits: nothing is ended, because a command that waits may have a second process, but it is
//! told who waits where for whom.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::room::meeting::Meeting;
use crate::controller::run::roster::{RunSlave, Stage};
use crate::controller::run::run::{Phase, Run};
use crate::machine::{Outbox, Time};
use crate::timeline::event::{Event, Waiting};
use crate::wire::rendezvous::{Wait, Waits};
use crate::wire::{Action, Entry, Policy};

/// How many waits of a slave's commands are known.
const WAITS_MAX: usize = 1_000;

/// At how many places waits are told, and how many names each lists.
const PLACES_MAX: usize = 100;
const NAMES_MAX: usize = 100;

/// Who waits where for whom, in a run: for barriers, syncs, and triggers that commands wait for.
pub fn waiting(run: &Run) -> Vec<Waiting> {
    let rounds = run.room.forming_rounds().map(|(kind, round)| {
        let names = |names: &[std::rc::Rc<str>]| names.iter().take(NAMES_MAX).map(|it| it.to_string()).collect();
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

/// The same for the end of a sentence: `; a waits at barrier up for b`. Nothing when nobody waits.
pub fn in_words(run: &Run) -> String {
    waiting(run).iter().map(|waiting| format!("; {waiting}")).collect()
}

impl Run {
    /// A slave says what its commands wait for.
    pub(in crate::controller) fn slave_waits(&mut self, ix: usize, waits: Waits<'_>) {
        let entries: BTreeSet<&str> = self.test.slaves[ix].entries.iter().map(|entry| entry.name.as_str()).collect();
        let ours = |wait: &Wait| entries.contains(&*wait.entry);
        let known = |wait: &Wait| wait.trigger.as_ref().is_none_or(|it| self.room.triggers.get(it).is_some());
        let waits = waits.waits.into_iter().take(WAITS_MAX).filter(|wait| ours(wait) && known(wait)).collect();
        self.roster.get_mut(ix).waits = waits;
    }

    /// Tells who waits for whom when all that runs waits, once until something happens again.
    pub(in crate::controller) fn look_for_standstill(&mut self, now: Time, out: &mut Outbox) {
        let seen = (self.event_log.count(), self.shipped);
        let is_due = self.absent.standstill.is_due(now, seen);
        if !is_due || self.phase != Phase::Running || !self.all_wait() {
            return;
        }
        let waits = waiting(self);
        if !waits.is_empty() {
            self.note(now, &Event::Stalled { waits: waits.into() }, out);
            self.absent.standstill.tell(now, (self.event_log.count(), self.shipped));
        }
    }

    /// Whether everything that runs waits, and nothing starts by itself. Services are meant to run and not to do anything.
    fn all_wait(&self) -> bool {
        let mut slaves = self.roster.iter().enumerate().filter(|(_, member)| member.stage != Stage::Lost);
        slaves.all(|(ix, member)| {
            let entries = &self.test.slaves[ix].entries;
            let waits: BTreeSet<&str> = member.waits.iter().map(|wait| wait.entry.as_str()).collect();
            member.conn.is_some() && member.begun.is_some() && entries.iter().all(|entry| rests(member, &waits, entry))
        })
    }
}

/// Whether an entry of a slave does nothing by itself: it is among those that wait, or it does not run and its time is not ahead.
fn rests(member: &RunSlave, waits: &BTreeSet<&str>, entry: &Entry) -> bool {
    if !member.runs_now(&entry.name) {
        let ran = member.counts.get(&entry.name).is_some_and(|counts| counts.runs > 0);
        return ran || !matches!(entry.policy, Policy::At(_));
    }
    match &entry.action {
        Action::Barrier { .. } | Action::Sync { .. } => true,
        Action::Shell(shell) => shell.service || waits.contains(entry.name.as_str()),
        Action::Notify { .. } | Action::Kill { .. } | Action::End { .. } => false,
    }
}
