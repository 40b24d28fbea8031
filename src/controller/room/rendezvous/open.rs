//! The rounds that form, for a person who looks on: who is there, and who is missing.

use super::Rendezvous;
use super::round::{Round, Wanted};

/// A round that forms.
#[derive(Debug, PartialEq, Eq)]
pub struct Open<'a> {
    pub name: &'a str,
    /// How many are there, and of how many.
    pub there: usize,
    pub wanted: usize,
    /// Who is missing, as far as that is known by name.
    pub missing: Vec<&'a str>,
}

impl<V> Rendezvous<V> {
    /// All rounds in which somebody waits.
    pub fn open(&self) -> impl Iterator<Item = Open<'_>> {
        self.meetings.iter().filter_map(|(name, meeting)| Some(open(name, meeting.forming.as_ref()?)))
    }
}

fn open<'a, V>(name: &'a str, round: &'a Round<V>) -> Open<'a> {
    let here = |member: &str| round.there.get(member).is_some_and(|there| !there.away);
    let (wanted, missing) = match &round.agreed.wanted {
        Wanted::Members(members) => {
            (members.len(), members.iter().map(|member| &**member).filter(|member| !here(member)).collect())
        }
        Wanted::Count(count) => {
            (*count, round.there.keys().map(|member| &**member).filter(|member| !here(member)).collect())
        }
    };
    Open { name, there: round.there.len() - round.away, wanted, missing }
}
