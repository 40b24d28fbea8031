//! The limits for arrivals: each room is bounded, and each process has a share.

use super::Rendezvous;
use super::arrival::ArrivalRequest;
use super::arrival_error::ArrivalError;
use super::arrivals::{ARRIVALS_MAX, CLIENT_ARRIVALS_MAX, MEETINGS_MAX, SLAVE_ARRIVALS_MAX};
use super::turn::Turn;
use crate::wire::rendezvous::Party;

impl Rendezvous {
    /// Checks whether an arrival can be admitted.
    pub(super) fn admissible(
        &mut self,
        name: &str,
        request: &ArrivalRequest,
        turn: &mut Turn<'_>,
    ) -> Result<(), ArrivalError> {
        let slave = turn.presence.is_slave(request.process);
        if self.arrivals.count_of(request.process) >= if slave { SLAVE_ARRIVALS_MAX } else { CLIENT_ARRIVALS_MAX } {
            return Err(ArrivalError::TooMany { slave });
        }
        let full = self.meetings.len() >= MEETINGS_MAX && !self.meetings.contains_key(name);
        let full = full && !self.evict_one_failed_round(turn);
        if full || self.arrivals.len() >= ARRIVALS_MAX {
            return Err(ArrivalError::RoomFull);
        }
        match &request.party {
            Some(Party::Members(members)) if !members.iter().any(|member| **member == *request.member) => {
                Err(ArrivalError::NotInOwnParty { member: request.member.to_string() })
            }
            Some(Party::Count(0)) => Err(ArrivalError::PartySize(0)),
            _ => Ok(()),
        }
    }
}
