//! Rounds that were over when the controller was killed: their rulings wait for those who have not heard them, and those
//! that failed stand for those who have not come. Rounds that formed begin anew with those who say that they wait.

use std::ops::Bound;
use std::rc::Rc;

use super::arrival::Arrival;
use super::former::Former;
use super::memory::{ROUND_COST, RULING_COST, cost};
use super::place::Place;
use super::ruling::Ruling;
use super::standing::Standing;
use super::{Meeting, Rendezvous};
use crate::controller::session::budget::Line as SharedLine;
use crate::machine::Time;

/// All that comes behind this, or all.
fn behind<T: ?Sized>(last: Option<&T>) -> (Bound<&T>, Bound<&T>) {
    (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl<V: PartialEq> Rendezvous<V> {
    /// The meeting whose name comes next behind this one, with the failed round that stands there.
    pub fn meeting_after(&self, last: Option<&str>) -> Option<(Rc<str>, Option<Former>)> {
        let (name, meeting) = self.meetings.range::<str, _>(behind(last)).next()?;
        let former = meeting.standing.as_ref().map(|standing| {
            let mut former = Former::new(&standing.ruling, Vec::new(), Some(standing.stands()));
            former.reason = standing.reason().to_owned();
            former
        });
        Some((name.clone(), former))
    }

    /// The arrivals behind this one, with the rulings of those that have one and have not heard it.
    pub fn arrivals_after(&self, last: Option<Arrival>) -> impl Iterator<Item = (Arrival, Option<&Ruling>)> {
        self.places.after(last).map(|(arrival, place)| match place {
            Place::Ruled(ruling, ..) => (*arrival, Some(&**ruling)),
            Place::Waits { .. } => (*arrival, None),
        })
    }

    /// A round was over then. Gives its ruling, for one that was told it late.
    pub fn restore(&mut self, name: &str, former: Former, since: Time) -> Rc<Ruling> {
        let Former { round, kind, who, reason, at, line, arrivals, stands } = former;
        self.last_round = self.last_round.max(round);
        let line = line.map(|line| SharedLine::new(line, &self.budget));
        let held = self.budget.hold(RULING_COST + reason.len());
        let ruling = Rc::new(Ruling { round, kind, who, reason, at, line, held });
        for arrival in arrivals {
            self.is_ruled(arrival, ruling.clone(), since);
        }
        if let Some(stands) = stands {
            let name: Rc<str> = Rc::from(name);
            self.meetings.entry(name.clone()).or_insert_with(|| Meeting { forming: None, standing: None });
            let held = self.budget.hold(ROUND_COST + cost(stands.party()));
            let (agreed, told) = (stands.agreed, stands.told.iter().cloned().collect());
            self.let_stand(&name, Standing::new(agreed, told, &ruling, stands.other.as_ref(), stands.until, held));
            self.tidy(&name);
        }
        ruling
    }

    /// More arrivals have a ruling that they have not heard.
    pub fn restore_unheard(&mut self, arrivals: &[Arrival], ruling: &Rc<Ruling>, since: Time) {
        for arrival in arrivals {
            self.is_ruled(*arrival, ruling.clone(), since);
        }
    }

    /// A member got the ruling of a round that failed before it came, or, as it was `last`, because of it.
    pub fn restore_late(
        &mut self,
        name: &str,
        member: &Rc<str>,
        arrival: Arrival,
        last: Option<Rc<Ruling>>,
        since: Time,
    ) {
        let standing = self.tell_standing(name, member);
        if let Some(ruling) = last.or(standing) {
            self.is_ruled(arrival, ruling, since);
        }
    }

    /// A failed round stood no longer.
    pub fn restore_stood_down(&mut self, name: &str) {
        self.stand_down(name);
    }
}
