//! Rounds that wait for members that cannot arrive any more. Such a round ends at once, because waiting for the timeout
//! would change nothing and would hide the cause.

use std::ops::Bound;
use std::rc::Rc;

use super::arrival::Process;
use super::arrival_state::{ArrivalState, How};
use super::ending::Ending;
use super::outlook::{Forming, Outlook};
use super::round::Expected;
use super::turn::Turn;
use super::{Rendezvous, Timer};
use crate::wire::rendezvous::OutcomeKind;

impl Rendezvous {
    /// Marks a process as lost at once, because it cannot reconnect.
    pub fn lose(&mut self, process: Process, why: &str, turn: &mut Turn<'_>) {
        let rejoin = turn.presence.rejoin(process);
        let waits: Vec<u64> = self.waits_of(process).collect();
        for arrival in waits.into_iter().map(|id| (process, id)) {
            self.away(arrival, rejoin, turn);
            let Some(ArrivalState::Waits { meeting, member, how: How::Participant }) = self.arrivals.get(&arrival)
            else {
                continue;
            };
            let (meeting, member) = (meeting.clone(), member.clone());
            // Without this timer the member is known to be lost already.
            let timer = Timer::Away(meeting.clone(), member.clone());
            if self.timers.get(&timer).is_some() {
                self.timers.cancel(&timer);
                self.on_member_lost(&meeting, &member, format!("{member} was lost: {why}"), turn);
            }
        }
    }

    /// Ends the round if a member was lost before an arrival required all to be alive.
    pub(super) fn fail_if_lost(&mut self, name: &Rc<str>, turn: &mut Turn<'_>) -> bool {
        let Some(round) = self.round(name) else { return false };
        let away = round.present.iter().filter(|(_, there)| there.away).map(|(member, _)| member);
        // Without this timer the time to reconnect is over.
        let is_lost = |member: &&Rc<str>| self.timers.get(&Timer::Away(name.clone(), (*member).clone())).is_none();
        let Some(member) = away.filter(|_| round.away > 0).find(is_lost).cloned() else { return false };
        self.end(name, Ending::of(OutcomeKind::Lost, &member, format!("{member} was lost")), turn);
        true
    }

    fn waits_of(&self, process: Process) -> impl Iterator<Item = u64> {
        self.arrivals.of(process).filter(|(_, state)| matches!(state, ArrivalState::Waits { .. })).map(|(id, _)| id)
    }

    /// Returns whether an arrival of this process waits.
    pub fn has_waiting(&self, process: Process) -> bool {
        self.waits_of(process).next().is_some()
    }

    /// Ends the rounds that wait for members who cannot come, from the meeting `from` on. Subtracts from `left` how many
    /// members it compares. Stops before the next meeting when nothing is left, and returns the name of that meeting.
    pub fn end_hopeless(
        &mut self,
        outlook: &dyn Outlook,
        from: Option<&str>,
        left: &mut usize,
        turn: &mut Turn<'_>,
    ) -> Option<Rc<str>> {
        let first = from.map_or(Bound::Unbounded, Bound::Included);
        let names: Vec<Rc<str>> =
            self.meetings.range::<str, _>((first, Bound::Unbounded)).map(|(name, _)| name.clone()).collect();
        for name in names {
            // The next round of a count may be as hopeless as this one.
            loop {
                if *left == 0 {
                    return Some(name);
                }
                let Some(round) = self.forming(&name) else { break };
                *left = left.saturating_sub(1 + round.weight(outlook));
                let Some(ending) = round.hopeless(&name, outlook) else { break };
                self.end(&name, ending, turn);
            }
        }
        None
    }

    /// Ends the round of one meeting that waits for this member, because its host is lost.
    pub fn end_for_lost_host(&mut self, name: &str, member: &str, why: &str, turn: &mut Turn<'_>) {
        let Some((name, _)) = self.meetings.get_key_value(name) else { return };
        let name = name.clone();
        self.end(&name, Ending::of(OutcomeKind::Lost, member, format!("{member} was lost: {why}")), turn);
    }

    /// Returns the first known fact about a missing member of a meeting.
    pub fn first_missing<T>(&self, name: &str, known: impl Fn(&Rc<str>) -> Option<T>) -> Option<T> {
        let round = self.round(name).filter(|round| !round.is_full())?;
        let Expected::Members(members) = &round.agreed.wanted else { return None };
        members.iter().filter(|member| !round.present.contains_key(*member)).find_map(known)
    }

    /// Returns the rounds in which a member waits.
    pub fn forming_rounds(&self) -> impl Iterator<Item = Forming> {
        let rounds = self.meetings.iter().filter_map(|(name, meeting)| Some((name, meeting.forming.as_ref()?)));
        rounds.filter(|(_, round)| !round.present.is_empty()).map(|(name, round)| round.to_forming(name))
    }
}
