//! Rounds that wait for members who cannot come any more. Such a round ends at once, because waiting for the timeout
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

impl<V: PartialEq> Rendezvous<V> {
    /// A process will never come back: what waits behind it is lost now, not when its time to come back is over.
    pub fn lose(&mut self, process: Process, why: &str, turn: &mut Turn<'_, V>) {
        let rejoin = turn.presence.rejoin(process);
        let waits: Vec<u64> = self.waits_of(process).collect();
        for arrival in waits.into_iter().map(|id| (process, id)) {
            self.away(arrival, rejoin, turn);
            let Some(ArrivalState::Waits { meeting, member, how: How::Participant }) = self.places.get(&arrival) else {
                continue;
            };
            let (meeting, member) = (meeting.clone(), member.clone());
            // Without that timer, it is known to be lost already.
            let timer = Timer::Away(meeting.clone(), member.clone());
            if self.timers.get(&timer).is_some() {
                self.timers.cancel(&timer);
                self.lost_there(&meeting, &member, format!("{member} was lost: {why}"), turn);
            }
        }
    }

    /// All must be alive from now on: ends the round if one that has come was lost before.
    pub(super) fn ends_with_the_lost(&mut self, name: &Rc<str>, turn: &mut Turn<'_, V>) -> bool {
        let Some(round) = self.meetings.get(name).and_then(|meeting| meeting.forming.as_ref()) else { return false };
        let away = round.there.iter().filter(|(_, there)| there.away).map(|(member, _)| member);
        // Without that timer, its time to come back is over.
        let is_lost = |member: &&Rc<str>| self.timers.get(&Timer::Away(name.clone(), (*member).clone())).is_none();
        let Some(member) = away.filter(|_| round.away > 0).find(is_lost).cloned() else { return false };
        self.end(name, Ending::of(OutcomeKind::Lost, &member, format!("{member} was lost")), turn);
        true
    }

    fn waits_of(&self, process: Process) -> impl Iterator<Item = u64> {
        self.places.of(process).filter(|(_, place)| matches!(place, ArrivalState::Waits { .. })).map(|(id, _)| id)
    }

    /// Whether anything waits behind this process.
    pub fn has_waiting(&self, process: Process) -> bool {
        self.waits_of(process).next().is_some()
    }

    /// Ends the rounds that wait for members who cannot come, from the meeting `from` on. Subtracts from `left` how many
    /// members it compares. Stops before the next meeting when nothing is left, and returns the name of that meeting.
    pub fn give_up(
        &mut self,
        outlook: &dyn Outlook,
        from: Option<&str>,
        left: &mut usize,
        turn: &mut Turn<'_, V>,
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

    /// The same at one meeting, which waits for a member that is lost.
    pub fn give_up_on(&mut self, name: &str, member: &str, why: &str, turn: &mut Turn<'_, V>) {
        let Some((name, _)) = self.meetings.get_key_value(name) else { return };
        let name = name.clone();
        self.end(&name, Ending::of(OutcomeKind::Lost, member, format!("{member} was lost: {why}")), turn);
    }

    /// The first of those who have not come to a meeting about whom something is known.
    pub fn first_missing<T>(&self, name: &str, known: impl Fn(&Rc<str>) -> Option<T>) -> Option<T> {
        let round = self.meetings.get(name)?.forming.as_ref().filter(|round| !round.is_full())?;
        let Expected::Members(members) = &round.agreed.wanted else { return None };
        members.iter().filter(|member| !round.there.contains_key(*member)).find_map(known)
    }

    /// The rounds in which somebody waits.
    pub fn forming_rounds(&self) -> impl Iterator<Item = Forming> {
        let rounds = self.meetings.iter().filter_map(|(name, meeting)| Some((name, meeting.forming.as_ref()?)));
        rounds.filter(|(_, round)| !round.there.is_empty()).map(|(name, round)| round.as_it_forms(name))
    }
}
