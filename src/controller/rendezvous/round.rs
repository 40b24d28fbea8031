//! One round of a meeting: who shall be there, who is, and what they want together.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::{Assembly, Comer, Presence, Process, Ruling};
use crate::controller::budget::{Budget, Held};
use crate::machine::Time;
use crate::wire::rendezvous::Party;

/// How many members may meet.
pub const MEMBERS_MAX: usize = 100_000;

/// What a round and each name of its party hold beside the names themselves, which are there twice, in bytes.
const ROUND_COST: usize = 512;
const NAME_COST: usize = 128;

/// How many members a ruling names.
pub const WHO_MAX: usize = 100;

/// A member that is there.
#[derive(Debug)]
pub struct There<V> {
    pub process: Process,
    pub id: u64,
    pub value: V,
    pub weight: usize,
    /// When its patience ends.
    pub deadline: Option<Time>,
    /// Its process or its connection is gone.
    pub away: bool,
    /// Its process has said so itself, and asks for no ruling.
    pub taken_back: bool,
}

/// A round that forms.
#[derive(Debug)]
pub struct Round<V> {
    wanted: Wanted,
    /// The party as it was said first: most say it in the same words.
    said: Party,
    /// Who said so first; `None`: it is declared.
    pub said_by: Option<Rc<str>>,
    pub there: Assembly<V>,
    /// How many of them are away.
    pub away: usize,
    /// How long their values are together, in bytes.
    pub weight: usize,
    /// Others that have come under the name of a member that is there.
    pub contenders: BTreeMap<Rc<str>, Comer<V>>,
    /// The earliest end of anybody's patience.
    pub deadline: Option<Time>,
    fresh: Duration,
    /// A lost member fails the round.
    pub alive: bool,
    /// Those who wait are asked for signs of life.
    pub looked_after: bool,
    pub harmonize: bool,
    /// When the last member arrived.
    pub full_since: Option<Time>,
    /// What it costs to know who shall meet.
    pub held: Held,
}

#[derive(Debug, PartialEq)]
enum Wanted {
    Members(BTreeSet<Rc<str>>),
    Count(usize),
}

/// A failed round, for those of its members that had not arrived.
#[derive(Debug)]
pub struct Standing {
    pub ruling: Rc<Ruling>,
    pub told: BTreeSet<Rc<str>>,
    missing: Missing,
    pub held: Held,
}

#[derive(Debug)]
enum Missing {
    Members(BTreeSet<Rc<str>>),
    /// So many, whoever they are.
    Count(usize),
}

impl Standing {
    /// `None` when nobody is missing.
    pub fn new<V>(round: &Round<V>, ruling: Rc<Ruling>) -> Option<Standing> {
        let missing = match &round.wanted {
            Wanted::Members(members) => {
                let absent = |member: &&Rc<str>| !round.there.contains_key(*member);
                Missing::Members(members.iter().filter(absent).cloned().collect())
            }
            Wanted::Count(count) => Missing::Count(count.saturating_sub(round.there.len())),
        };
        let told: BTreeSet<Rc<str>> = round.there.keys().cloned().collect();
        let mut held = round.held.clone();
        held.grow(told.iter().map(|member| NAME_COST + member.len()).sum());
        let standing = Standing { ruling, told, missing, held };
        (!standing.is_told()).then_some(standing)
    }

    /// The ruling for a member that has not got it.
    pub fn tell(&mut self, member: &Rc<str>) -> Option<Rc<Ruling>> {
        if self.told.contains(member) {
            return None;
        }
        match &mut self.missing {
            Missing::Members(members) => members.take(member).map(|_| ())?,
            Missing::Count(count) => *count = count.checked_sub(1)?,
        }
        self.held.grow(NAME_COST + member.len());
        self.told.insert(member.clone());
        Some(self.ruling.clone())
    }

    /// Whether everybody has it.
    pub fn is_told(&self) -> bool {
        match &self.missing {
            Missing::Members(members) => members.is_empty(),
            Missing::Count(count) => *count == 0,
        }
    }
}

impl<V> Round<V> {
    pub fn new(party: &Party, said_by: Option<Rc<str>>, budget: &Budget) -> Result<Round<V>, String> {
        let held = budget.admit(ROUND_COST + cost(party))?;
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
            said: party.clone(),
            said_by,
            there: BTreeMap::new(),
            away: 0,
            weight: 0,
            contenders: BTreeMap::new(),
            deadline: None,
            fresh: Duration::MAX,
            alive: false,
            looked_after: false,
            harmonize: false,
            full_since: None,
            held,
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
        self.said == *party || self.wanted == wanted(party)
    }

    pub fn party_in_words(&self) -> String {
        in_words(&self.said)
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
        self.weight += comer.weight;
        let Comer { process, id, member, value, weight, .. } = comer;
        let former =
            self.there.insert(member, There { process, id, value, weight, deadline, away: false, taken_back: false });
        debug_assert!(former.is_none(), "who was there has left");
        earlier
    }

    /// Takes a member out.
    pub fn leave(&mut self, member: &str) -> Option<There<V>> {
        let there = self.there.remove(member)?;
        self.away -= usize::from(there.away);
        self.weight -= there.weight;
        self.full_since = None;
        if there.deadline.is_some() && there.deadline == self.deadline {
            self.deadline = self.there.values().filter_map(|there| there.deadline).min();
        }
        Some(there)
    }

    /// Notes whether a member is away. Whether that is news.
    pub fn set_away(&mut self, member: &str, away: bool) -> bool {
        let Some(there) = self.there.get_mut(member).filter(|there| there.away != away) else { return false };
        there.away = away;
        there.taken_back &= away;
        if away {
            self.away += 1
        } else {
            self.away -= 1
        }
        true
    }

    /// Whether all are there that shall meet.
    pub fn is_full(&self) -> bool {
        match &self.wanted {
            Wanted::Members(members) => self.there.len() == members.len(),
            Wanted::Count(count) => self.there.len() >= *count,
        }
    }

    /// Who has not shown that it is alive since a little before the last arrived.
    pub fn unproven(&self, presence: &dyn Presence) -> BTreeSet<Process> {
        let last = self.full_since.unwrap_or_default();
        let fresh = i64::try_from(self.fresh.as_micros()).unwrap_or(i64::MAX);
        let since = last.offset(-fresh);
        let stale = |process: Process| presence.heard(process).is_none_or(|heard| heard < since);
        self.there.values().map(|there| there.process).filter(|process| stale(*process)).collect()
    }

    /// Takes out those that contend for the place of this process.
    pub fn contenders_with(&mut self, process: Process) -> Vec<(Rc<str>, Comer<V>)> {
        let there = &self.there;
        let with = |member: &Rc<str>| there.get(member).is_some_and(|there| there.process == process);
        let names: Vec<Rc<str>> = self.contenders.keys().filter(|member| with(member)).cloned().collect();
        names.into_iter().filter_map(|name| self.contenders.remove_entry(&name)).collect()
    }

    /// Who is missing, by name if it is known, and in words.
    pub fn missing_in_words(&self, presence: &dyn Presence) -> (Vec<String>, String) {
        let away = || self.there.iter().filter(|(_, there)| there.away).map(|(member, _)| &**member);
        let missing: Vec<&str> = match &self.wanted {
            Wanted::Members(members) => {
                let absent = |member: &&Rc<str>| self.there.get(*member).is_none_or(|there| there.away);
                members.iter().filter(absent).map(|member| &**member).collect()
            }
            Wanted::Count(count) if self.there.len() < *count => {
                let there: Vec<&str> = self.there.keys().map(|member| &**member).collect();
                let (have, there) = (there.len(), crate::spoken::list(&there));
                let reason = format!("timed out; {have} of {count} were there: {there}");
                return (away().map(str::to_owned).collect(), reason);
            }
            Wanted::Count(_) => away().collect(),
        };
        if !missing.is_empty() {
            let who = missing.iter().take(WHO_MAX).map(|member| (*member).to_owned()).collect();
            return (who, format!("timed out; missing: {}", crate::spoken::list(&missing)));
        }
        let unproven = self.unproven(presence);
        let silent = self.there.iter().filter(|(_, there)| unproven.contains(&there.process));
        let silent: Vec<&str> = silent.map(|(member, _)| &**member).collect();
        let who = silent.iter().take(WHO_MAX).map(|member| (*member).to_owned()).collect();
        (who, format!("timed out; all had arrived, but no sign of life came from {}", crate::spoken::list(&silent)))
    }
}

fn wanted(party: &Party) -> Wanted {
    match party {
        Party::Members(members) => Wanted::Members(members.iter().map(|member| Rc::from(&**member)).collect()),
        Party::Count(count) => Wanted::Count(*count as usize),
    }
}

/// What the names of a party hold.
fn cost(party: &Party) -> usize {
    match party {
        Party::Members(members) => members.iter().map(|member| NAME_COST + 2 * member.len()).sum(),
        Party::Count(_) => 0,
    }
}

/// A party as a person says it.
pub fn in_words(party: &Party) -> String {
    match party {
        Party::Members(members) => {
            let mut names: Vec<&str> = members.iter().map(String::as_str).collect();
            names.sort_unstable();
            names.dedup();
            crate::spoken::list(&names)
        }
        Party::Count(count) => format!("any {count}"),
    }
}
