//! The rounds that form, as a status shows them: who has arrived and who is missing.

use super::Rendezvous;
use super::arrival::Process;
use super::outlook::Open;
use super::round::{Expected, Round};

impl Rendezvous {
    /// Returns all rounds in which a member waits.
    pub fn open(&self) -> impl Iterator<Item = Open<'_>> {
        self.meetings.iter().filter_map(|(name, meeting)| Some(open(name, meeting.forming.as_ref()?)))
    }

    /// Returns how many members have arrived in the round that forms.
    pub fn how_many_wait(&self, name: &str) -> usize {
        self.round(name).map_or(0, |round| round.present.len())
    }

    /// Returns the processes of the members that have arrived.
    pub fn who_waits(&self, name: &str) -> Vec<Process> {
        let there = self.round(name).into_iter().flat_map(|round| round.present.values());
        there.map(|there| there.process).collect()
    }

    /// Returns the process that waits as this member.
    pub fn who_waits_as(&self, name: &str, member: &str) -> Option<Process> {
        self.round(name)?.present.get(member).map(|there| there.process)
    }
}

fn open<'a>(name: &'a str, round: &'a Round) -> Open<'a> {
    let here = |member: &str| round.present.get(member).is_some_and(|there| !there.away);
    let (wanted, missing) = match &round.agreed.wanted {
        Expected::Members(members) => {
            (members.len(), members.iter().map(|member| &**member).filter(|member| !here(member)).collect())
        }
        Expected::Count(count) => {
            (*count, round.present.keys().map(|member| &**member).filter(|member| !here(member)).collect())
        }
    };
    Open { name, there: round.present.len() - round.away, wanted, missing }
}
