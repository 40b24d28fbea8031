//! The limits for arrivals: each room is bounded, and each process has a share of it.

use super::Rendezvous;
use super::arrival::ArrivalRequest;
use super::seats::{ARRIVALS_MAX, CLIENT_ARRIVALS_MAX, SLAVE_ARRIVALS_MAX};
use super::turn::Turn;
use crate::wire::rendezvous::Party;

/// The highest number of meetings in one room.
const MEETINGS_MAX: usize = 10_000;

impl<V: PartialEq> Rendezvous<V> {
    /// Checks whether an arrival can be admitted.
    pub(super) fn admissible(
        &mut self,
        name: &str,
        request: &ArrivalRequest<V>,
        turn: &mut Turn<'_, V>,
    ) -> Result<(), String> {
        let (who, most) = match turn.presence.is_slave(request.process) {
            true => ("slave", SLAVE_ARRIVALS_MAX),
            false => ("client", CLIENT_ARRIVALS_MAX),
        };
        if self.places.count_of(request.process) >= most {
            return Err(format!(
                "one {who} may have {most} arrivals at once, including those without a confirmed outcome"
            ));
        }
        let full = self.meetings.len() >= MEETINGS_MAX && !self.meetings.contains_key(name);
        let full = full && !self.drop_one_failed(turn);
        if full || self.places.len() >= ARRIVALS_MAX {
            return Err(format!(
                "this room is full: it holds {MEETINGS_MAX} meetings and {ARRIVALS_MAX} arrivals at most"
            ));
        }
        match &request.party {
            Some(Party::Members(members)) if !members.iter().any(|member| **member == *request.member) => {
                Err(format!("{} is not among the members that it names", request.member))
            }
            Some(Party::Count(0)) => Err("the count must be at least 1".to_owned()),
            _ => Ok(()),
        }
    }
}
