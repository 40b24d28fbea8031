//! Recounts what the meetings hold.

use super::*;

impl Rendezvous {
    /// Returns whether there is an overflow, a failed round, and a contender with another party.
    pub(in crate::controller) fn has_rare(&self) -> [bool; 3] {
        let forming = || self.meetings.values().filter_map(|meeting| meeting.forming.as_ref());
        let contends = |round: &Round| round.contenders.values().any(|request| request.held.is_some());
        let audience = self.meetings.values().any(|meeting| meeting.failed_round.is_some());
        [forming().any(|round| !round.overflow.is_empty()), audience, forming().any(contends)]
    }

    /// Returns what the meetings hold of the budget, in bytes.
    pub(in crate::controller) fn recount(&self) -> usize {
        let of_comer =
            |request: &ArrivalRequest| request.value.held.bytes() + request.held.as_ref().map_or(0, Held::bytes);
        let of_round = |round: &Round| {
            let there = round.present.values().map(|there| there.value.held.bytes()).sum::<usize>();
            let others = round.contenders.values().chain(round.overflow.iter()).map(of_comer).sum::<usize>();
            there + others + round.held.bytes()
        };
        let forming = || self.meetings.values().filter_map(|meeting| meeting.forming.as_ref());
        let failed_round = || self.meetings.values().filter_map(|meeting| meeting.failed_round.as_ref());
        let unconfirmed = self.arrivals.iter().filter_map(|(_, state)| match state {
            ArrivalState::Concluded(outcome, ..) => Some(outcome),
            ArrivalState::Waits { .. } => None,
        });
        let places = self.arrivals.iter().map(|(_, state)| match state {
            ArrivalState::Concluded(_, _, held) => held.bytes(),
            ArrivalState::Waits { .. } => 0,
        });
        // Each outcome counts once, even if several arrivals share it.
        let outcomes = failed_round().map(|failed_round| &failed_round.outcome).chain(unconfirmed);
        let outcomes: BTreeMap<_, _> = outcomes.map(|outcome| (Rc::as_ptr(outcome), outcome)).collect();
        let of_ruling =
            |outcome: &Rc<Outcome>| outcome.held.bytes() + outcome.line.as_ref().map_or(0, |line| line.len());
        forming().map(of_round).sum::<usize>()
            + failed_round().map(|failed_round| failed_round.held.bytes()).sum::<usize>()
            + outcomes.into_values().map(of_ruling).sum::<usize>()
            + places.sum::<usize>()
    }
}
