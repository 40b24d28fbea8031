//! What is held, counted anew.

use super::*;

impl<V> Rendezvous<V> {
    /// Whether some wait for the next round, a failed one stands, and one contends that wants another party.
    pub(in crate::controller) fn has_rare(&self) -> [bool; 3] {
        let forming = || self.meetings.values().filter_map(|meeting| meeting.forming.as_ref());
        let contends = |round: &Round<V>| round.contenders.values().any(|comer| comer.held.is_some());
        let stands = self.meetings.values().any(|meeting| meeting.standing.is_some());
        [forming().any(|round| !round.surplus.is_empty()), stands, forming().any(contends)]
    }

    /// What everything here holds of the budget.
    pub(in crate::controller) fn recount(&self, of_value: impl Fn(&V) -> usize) -> usize {
        let of_comer = |comer: &Comer<V>| of_value(&comer.value) + comer.held.as_ref().map_or(0, Held::bytes);
        let of_round = |round: &Round<V>| {
            let there = round.there.values().map(|there| of_value(&there.value)).sum::<usize>();
            let others = round.contenders.values().chain(round.surplus.iter()).map(of_comer).sum::<usize>();
            there + others + round.held.bytes()
        };
        let forming = || self.meetings.values().filter_map(|meeting| meeting.forming.as_ref());
        let standing = || self.meetings.values().filter_map(|meeting| meeting.standing.as_ref());
        let told = self.places.iter().filter_map(|(_, place)| match place {
            Place::Ruled(ruling, ..) => Some(ruling),
            Place::Waits { .. } => None,
        });
        let places = self.places.iter().map(|(_, place)| match place {
            Place::Ruled(_, _, held) => held.bytes(),
            Place::Waits { .. } => 0,
        });
        // Each of them once, however many share it.
        let rulings = standing().map(|standing| &standing.ruling).chain(told);
        let rulings: BTreeMap<_, _> = rulings.map(|ruling| (Rc::as_ptr(ruling), ruling)).collect();
        let of_ruling = |ruling: &Rc<Ruling>| ruling.held.bytes() + ruling.line.as_ref().map_or(0, |line| line.len());
        forming().map(of_round).sum::<usize>()
            + standing().map(|standing| standing.held.bytes()).sum::<usize>()
            + rulings.into_values().map(of_ruling).sum::<usize>()
            + places.sum::<usize>()
    }
}
