//! What happened in seeds of meetings, to check that a sweep tests what it should.

use arete::wire::rendezvous::OutcomeKind;

/// The number of times that each thing happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct MeetingsSeen {
    pub arrivals: u64,
    pub again: u64,
    pub rounds: u64,
    pub released: u64,
    pub timed_out: u64,
    pub aborted: u64,
    pub lost: u64,
    pub disagreed: u64,
    pub refused: u64,
    pub unheard: u64,
    pub maps: u64,
    pub told_again: u64,
    pub taken_back: u64,
    pub killed: u64,
    pub harmonized: u64,
    /// Arrivals that got the verdict of an earlier round.
    pub late: u64,
    /// Rounds of a count with more members than the count.
    pub surplus: u64,
    pub lost_members: u64,
    /// Arrivals with the verdict that others cannot arrive.
    pub given_up: u64,
    /// Restarts of the controller.
    pub restarts: u64,
    pub steps: u64,
    pub drops: u64,
}

impl MeetingsSeen {
    pub fn add(&mut self, other: MeetingsSeen) {
        let pairs = [
            (&mut self.arrivals, other.arrivals),
            (&mut self.again, other.again),
            (&mut self.rounds, other.rounds),
            (&mut self.released, other.released),
            (&mut self.timed_out, other.timed_out),
            (&mut self.aborted, other.aborted),
            (&mut self.lost, other.lost),
            (&mut self.disagreed, other.disagreed),
            (&mut self.refused, other.refused),
            (&mut self.unheard, other.unheard),
            (&mut self.maps, other.maps),
            (&mut self.told_again, other.told_again),
            (&mut self.taken_back, other.taken_back),
            (&mut self.killed, other.killed),
            (&mut self.given_up, other.given_up),
            (&mut self.harmonized, other.harmonized),
            (&mut self.late, other.late),
            (&mut self.surplus, other.surplus),
            (&mut self.lost_members, other.lost_members),
            (&mut self.restarts, other.restarts),
            (&mut self.steps, other.steps),
            (&mut self.drops, other.drops),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum += more);
    }

    pub fn count(&mut self, verdict: Option<OutcomeKind>) {
        *match verdict {
            Some(OutcomeKind::Released) => &mut self.released,
            Some(OutcomeKind::TimedOut) => &mut self.timed_out,
            Some(OutcomeKind::Aborted) => &mut self.aborted,
            Some(OutcomeKind::Lost) => &mut self.lost,
            Some(OutcomeKind::Disagreed) => &mut self.disagreed,
            Some(OutcomeKind::Refused) => &mut self.refused,
            None => &mut self.unheard,
        } += 1;
    }
}
