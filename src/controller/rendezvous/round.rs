//! One round of a meeting: who shall be there, who is, and what they want together.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::{Comer, Process, Ruling};
use crate::machine::Time;
use crate::wire::rendezvous::Party;

/// How many members may meet.
pub const MEMBERS_MAX: usize = 100_000;

/// A member that is there.
#[derive(Debug)]
pub struct There<V> {
    pub process: Process,
    pub id: u64,
    pub member: String,
    pub value: V,
    /// Since when its process or its connection is gone.
    pub away: Option<Time>,
}

/// A round that forms.
#[derive(Debug)]
pub struct Round<V> {
    wanted: Wanted,
    /// Who said so first.
    pub said_by: String,
    pub there: BTreeMap<String, There<V>>,
    /// Others that have come under the name of a member that is there.
    pub contenders: BTreeMap<String, Comer<V>>,
    /// The earliest end of anybody's patience.
    pub deadline: Option<Time>,
    pub fresh: Duration,
    /// A lost member fails the round.
    pub alive: bool,
    pub harmonize: bool,
    /// When the last member arrived.
    pub full_since: Option<Time>,
}

#[derive(Debug, PartialEq)]
enum Wanted {
    Members(BTreeSet<String>),
    Count(usize),
}

/// A failed round, for those of its members that had not arrived.
#[derive(Debug)]
pub struct Standing {
    pub ruling: Rc<Ruling>,
    pub told: BTreeSet<String>,
    pub missing: BTreeSet<String>,
}

impl Standing {
    /// `None` when nobody is missing, or nobody knows who.
    pub fn new<V>(round: &Round<V>, ruling: Rc<Ruling>) -> Option<Standing> {
        let Wanted::Members(members) = &round.wanted else { return None };
        let missing: BTreeSet<String> =
            members.iter().filter(|member| !round.there.contains_key(*member)).cloned().collect();
        let told = round.there.keys().cloned().collect();
        (!missing.is_empty()).then_some(Standing { ruling, told, missing })
    }
}

impl<V> Round<V> {
    pub fn new(party: &Party, said_by: &str) -> Result<Round<V>, String> {
        let wanted = wanted(party);
        let size = match &wanted {
            Wanted::Members(members) => members.len(),
            Wanted::Count(count) => *count,
        };
        if size == 0 || size > MEMBERS_MAX {
            return Err(format!("1 to {MEMBERS_MAX} members can meet, not {size}"));
        }
        Ok(Round {
            wanted,
            said_by: said_by.to_owned(),
            there: BTreeMap::new(),
            contenders: BTreeMap::new(),
            deadline: None,
            fresh: Duration::MAX,
            alive: false,
            harmonize: false,
            full_since: None,
        })
    }

    /// Whether this member is wanted here.
    pub fn belongs(&self, member: &str) -> Result<(), String> {
        match &self.wanted {
            Wanted::Members(members) if !members.contains(member) => {
                Err(format!("{member} is not a member; the members are {}", self.party_in_words()))
            }
            _ => Ok(()),
        }
    }

    /// Whether somebody wants the same party.
    pub fn agrees(&self, party: &Party) -> bool {
        self.wanted == wanted(party)
    }

    pub fn party_in_words(&self) -> String {
        match &self.wanted {
            Wanted::Members(members) => {
                let names: Vec<&str> = members.iter().map(String::as_str).collect();
                crate::spoken::list(&names)
            }
            Wanted::Count(count) => format!("any {count}"),
        }
    }

    /// Takes a member in. Whether the deadline has moved.
    pub fn enter(&mut self, comer: Comer<V>, now: Time) -> bool {
        let deadline = comer.timeout.map(|timeout| now + timeout);
        let earlier = deadline.is_some_and(|deadline| self.deadline.is_none_or(|known| deadline < known));
        if earlier {
            self.deadline = deadline;
        }
        self.fresh = self.fresh.min(comer.fresh);
        self.alive |= comer.alive;
        self.harmonize |= comer.harmonize;
        let Comer { process, id, member, value, .. } = comer;
        self.there.insert(member.clone(), There { process, id, member, value, away: None });
        earlier
    }

    /// Whether all are there that shall meet.
    pub fn is_full(&self) -> bool {
        match &self.wanted {
            Wanted::Members(members) => self.there.len() == members.len(),
            Wanted::Count(count) => self.there.len() >= *count,
        }
    }

    /// Takes out those that contend for the place of this process.
    pub fn contenders_with(&mut self, process: Process) -> Vec<(String, Comer<V>)> {
        let there = &self.there;
        let with = |member: &String| there.get(member).is_some_and(|there| there.process == process);
        let names: Vec<String> = self.contenders.keys().filter(|member| with(member)).cloned().collect();
        names.into_iter().filter_map(|name| self.contenders.remove_entry(&name)).collect()
    }

    /// Who is missing, by name if it is known, and in words.
    pub fn missing_in_words(&self) -> (Vec<String>, String) {
        match &self.wanted {
            Wanted::Members(members) => {
                let absent = |member: &&String| self.there.get(*member).is_none_or(|there| there.away.is_some());
                let missing: Vec<String> = members.iter().filter(absent).cloned().collect();
                let names: Vec<&str> = missing.iter().map(String::as_str).collect();
                let reason = format!("timed out; missing: {}", crate::spoken::list(&names));
                (missing, reason)
            }
            Wanted::Count(count) => {
                let names: Vec<&str> = self.there.keys().map(String::as_str).collect();
                let reason =
                    format!("timed out; {} of {count} were there: {}", names.len(), crate::spoken::list(&names));
                (Vec::new(), reason)
            }
        }
    }
}

fn wanted(party: &Party) -> Wanted {
    match party {
        Party::Members(members) => Wanted::Members(members.iter().cloned().collect()),
        Party::Count(count) => Wanted::Count(*count as usize),
    }
}

/// A party as a person says it.
pub fn in_words(party: &Party) -> String {
    match party {
        Party::Members(members) => {
            let mut names: Vec<&str> = members.iter().map(String::as_str).collect();
            names.sort_unstable();
            crate::spoken::list(&names)
        }
        Party::Count(count) => format!("any {count}"),
    }
}
