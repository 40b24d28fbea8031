//! One round of a meeting: who shall be there, who is, and what they want together.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::arrival::{ArrivalRequest, Presence, Process};
use super::ending::Ending;
use super::memory::{ROUND_COST, cost};
use super::outlook::{Forming, Outlook};
use super::overflow::Overflow;
use super::proofs::Proofs;
use crate::controller::session::budget::{Asker, Budget, Held};
use crate::machine::Time;
use crate::machine::faults::{Fault, injected};
use crate::testfile::MEMBERS_MAX;
use crate::wire::rendezvous::{OutcomeKind, Party};

/// How many members a ruling names.
pub const WHO_MAX: usize = 100;

/// The members of a complete round, by name.
pub type Assembly<V> = BTreeMap<Rc<str>, Participant<V>>;

/// A member that is there.
#[derive(Debug)]
pub struct Participant<V> {
    pub process: Process,
    pub id: u64,
    pub value: V,
    pub weight: usize,
    /// When its patience ends, and how long that was.
    pub patience: Option<(Time, Duration)>,
    /// Its process or its connection is gone.
    pub away: bool,
    /// Its process has said so itself, and asks for no ruling.
    pub taken_back: bool,
    /// It has not come back in time.
    pub lost: bool,
}

/// A round that forms.
#[derive(Debug)]
pub struct Round<V> {
    pub agreed: Rc<Agreed>,
    /// Who said so first; `None`: it is declared.
    pub said_by: Option<Rc<str>>,
    pub there: Assembly<V>,
    /// How many of them are away.
    pub away: usize,
    /// How many of those are lost.
    lost: usize,
    /// Those of them whose processes have taken them back.
    left: BTreeSet<Rc<str>>,
    /// How long their values are together, in bytes.
    pub weight: usize,
    /// Others that have come under the name of a member that is there.
    pub contenders: BTreeMap<Rc<str>, ArrivalRequest<V>>,
    /// Who has come to a count that is complete, and waits for the next round.
    pub overflow: Overflow<V>,
    /// The earliest end of anybody's patience, and how long that was.
    pub patience: Option<(Time, Duration)>,
    /// The end of everybody's patience.
    ends: BTreeSet<(Time, Duration, Rc<str>)>,
    /// Who has shown that it is alive, and when.
    pub proofs: Proofs,
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

/// Who shall be there, as it was said first: most say it in the same words.
#[derive(Debug, PartialEq)]
pub struct Agreed {
    pub said: Party,
    pub wanted: Expected,
}

impl Agreed {
    pub fn on(party: &Party) -> Rc<Agreed> {
        Rc::new(Agreed { said: party.clone(), wanted: Expected::from(party) })
    }

    /// Whether a member is wanted by its name.
    pub fn has(&self, member: &str) -> bool {
        self.wanted.has(member)
    }

    /// Whether somebody wants the same party.
    pub fn is(&self, party: &Party) -> bool {
        self.said == *party || self.wanted == Expected::from(party)
    }
}

/// Who shall be there.
#[derive(Debug, PartialEq)]
pub enum Expected {
    Members(BTreeSet<Rc<str>>),
    Count(usize),
}

impl Expected {
    /// Whether a member is wanted by its name.
    pub fn has(&self, member: &str) -> bool {
        matches!(self, Expected::Members(members) if members.contains(member))
    }
}

impl From<&Party> for Expected {
    fn from(party: &Party) -> Expected {
        match party {
            Party::Members(members) => Expected::Members(members.iter().map(|member| Rc::from(&**member)).collect()),
            Party::Count(count) => Expected::Count(*count as usize),
        }
    }
}

impl<V> Round<V> {
    /// `said`: who says who shall meet, and the process that says it; `None`: it is declared.
    pub fn new(party: &Party, said: Option<(Rc<str>, Asker)>, budget: &Budget) -> Result<Round<V>, String> {
        let (said_by, asker) = said.unzip();
        let cost = ROUND_COST + cost(party);
        let held = asker.map_or_else(|| budget.admit(cost), |asker| budget.admit_for(asker, cost))?;
        let agreed = Agreed::on(party);
        let size = match &agreed.wanted {
            Expected::Members(members) => members.len(),
            Expected::Count(count) => *count,
        };
        if size == 0 || size > MEMBERS_MAX {
            return Err(format!("1 to {MEMBERS_MAX} members can meet, not {size}"));
        }
        Ok(Round::of(agreed, said_by, held))
    }

    fn of(agreed: Rc<Agreed>, said_by: Option<Rc<str>>, held: Held) -> Round<V> {
        Round {
            agreed,
            said_by,
            there: BTreeMap::new(),
            away: 0,
            lost: 0,
            left: BTreeSet::new(),
            weight: 0,
            contenders: BTreeMap::new(),
            overflow: Overflow::default(),
            patience: None,
            ends: BTreeSet::new(),
            proofs: Proofs::default(),
            fresh: Duration::MAX,
            alive: false,
            looked_after: false,
            harmonize: false,
            full_since: None,
            held,
        }
    }

    /// How many names it knows: of those who shall meet, or of those who are there.
    pub fn names(&self) -> usize {
        match &self.agreed.wanted {
            Expected::Members(members) => members.len(),
            Expected::Count(_) => self.there.len(),
        }
    }

    /// Whether this member is wanted here.
    pub fn belongs(&self, member: &str) -> Result<(), String> {
        match &self.agreed.wanted {
            Expected::Members(members) if !members.contains(member) => {
                Err(format!("{member} is not a member; the members are {}", self.party_in_words()))
            }
            _ => Ok(()),
        }
    }

    pub fn party_in_words(&self) -> String {
        in_words(&self.agreed.said)
    }

    /// The round after this one, for the same party, when some wait for it already. The first of them asks for it.
    pub fn take_next(&mut self) -> Option<Round<V>> {
        let first = self.overflow.first()?;
        let said_by = self.said_by.is_some().then(|| first.member.clone());
        let mut next = Round::of(self.agreed.clone(), said_by, self.held.clone());
        next.overflow = std::mem::take(&mut self.overflow);
        let (theirs, ours) = std::mem::take(&mut self.contenders)
            .into_iter()
            .partition(|(member, _)| next.overflow.get(member).is_some());
        (next.contenders, self.contenders) = (theirs, ours);
        Some(next)
    }

    /// In a round that its only member has left there is nobody to disagree with: who comes says who shall meet.
    pub fn begin_anew(&mut self, request: &ArrivalRequest<V>, asker: Asker, budget: &Budget) {
        let deserted = self.there.is_empty() && self.overflow.is_empty() && self.said_by.is_some();
        if let Some(party) = request.party.as_ref().filter(|party| deserted && !self.agreed.is(party))
            && let Ok(round) = Round::new(party, Some((request.member.clone(), asker)), budget)
        {
            *self = round;
        }
    }

    /// One that shall contend for a place, with its party only if that is another: then there must be room for it.
    pub fn keep_party(
        &self,
        request: ArrivalRequest<V>,
        asker: Asker,
        budget: &Budget,
    ) -> Result<ArrivalRequest<V>, String> {
        let party = request.party.filter(|party| !self.agreed.is(party));
        let held = party.as_ref().map(|party| budget.admit_for(asker, cost(party))).transpose()?;
        Ok(ArrivalRequest { party, held, ..request })
    }

    /// Which process waits under a member's name, and whether it is away.
    pub fn holder(&self, member: &str) -> Option<(Process, bool)> {
        let there = self.there.get(member).map(|there| (there.process, there.away));
        there.or_else(|| self.overflow.get(member).map(|request| (request.process, false)))
    }

    /// What is given in a member's name.
    pub fn value(&self, member: &str) -> Option<&V> {
        let there = self.there.get(member).map(|there| &there.value);
        there.or_else(|| self.overflow.get(member).map(|request| &request.value))
    }

    /// Takes a member in. Whether the deadline has moved.
    pub fn enter(&mut self, request: ArrivalRequest<V>, now: Time) -> bool {
        debug_assert!(!self.is_full(), "who comes to a full round waits for the next");
        let patience = request.timeout.map(|timeout| (now + timeout, timeout));
        let earlier = patience.is_some_and(|(end, _)| self.patience.is_none_or(|(known, _)| end < known));
        if earlier {
            self.patience = patience;
        }
        self.fresh = self.fresh.min(request.fresh);
        self.alive |= request.alive;
        self.harmonize |= request.harmonize;
        self.weight += request.weight;
        let ArrivalRequest { process, id, member, value, weight, .. } = request;
        if let Some((end, timeout)) = patience {
            self.ends.insert((end, timeout, member.clone()));
        }
        let there = Participant { process, id, value, weight, patience, away: false, taken_back: false, lost: false };
        let former = self.there.insert(member, there);
        debug_assert!(former.is_none(), "who was there has left");
        earlier
    }

    /// Takes a member out.
    pub fn leave(&mut self, member: &str) -> Option<Participant<V>> {
        let there = self.there.remove(member)?;
        self.left.remove(member);
        self.away -= usize::from(there.away);
        self.lost -= usize::from(there.lost);
        self.weight -= there.weight;
        self.full_since = None;
        self.proofs.leave(there.process);
        if let Some((end, timeout)) = there.patience {
            self.ends.remove(&(end, timeout, Rc::from(member)));
            self.patience = self.ends.first().map(|(end, timeout, _)| (*end, *timeout));
        }
        Some(there)
    }

    /// A member's process asks for no ruling any more.
    pub fn take_back(&mut self, member: &Rc<str>) {
        if let Some(there) = self.there.get_mut(member) {
            there.taken_back = true;
            self.left.insert(member.clone());
        }
    }

    /// Somebody who has left, and whose place anybody can take who comes.
    pub fn left(&self) -> Option<Rc<str>> {
        let counted = matches!(self.agreed.wanted, Expected::Count(_));
        self.left.first().filter(|_| counted).cloned()
    }

    /// Notes whether a member is away. Whether that is news.
    pub fn set_away(&mut self, member: &str, away: bool) -> bool {
        let Some(there) = self.there.get_mut(member).filter(|there| there.away != away) else { return false };
        there.away = away;
        if away {
            self.away += 1
        } else {
            self.away -= 1;
            self.lost -= usize::from(std::mem::take(&mut there.lost));
            there.taken_back = false;
            self.left.remove(member);
        }
        true
    }

    /// A member that is away has not come back in time.
    pub fn set_lost(&mut self, member: &str) {
        if let Some(there) = self.there.get_mut(member).filter(|there| there.away && !there.lost) {
            there.lost = true;
            self.lost += 1;
        }
    }

    /// Whether everybody who was there is lost, and nobody else waits here.
    pub fn is_abandoned(&self) -> bool {
        let others = !self.overflow.is_empty() || !self.contenders.is_empty();
        self.lost == self.there.len() && !others
    }

    /// Whether all are there that shall meet.
    pub fn is_full(&self) -> bool {
        match &self.agreed.wanted {
            Expected::Members(members) => {
                self.there.len() + usize::from(injected(Fault::ReleasesOneShort)) >= members.len()
            }
            Expected::Count(count) => self.there.len() == *count,
        }
    }

    /// Since when everybody must have been heard: a little before the last arrived.
    pub fn since(&self) -> Time {
        let fresh = i64::try_from(self.fresh.as_micros()).unwrap_or(i64::MAX);
        self.full_since.unwrap_or_default().offset(-fresh)
    }

    /// Knows that a process was heard.
    pub fn heard(&mut self, process: Process, presence: &dyn Presence) {
        let since = self.since();
        self.proofs.heard(process, since, presence);
    }

    /// Who is missing, by name if it is known, and in words.
    pub fn missing_in_words(&self) -> (Vec<String>, String) {
        let away = || self.there.iter().filter(|(_, there)| there.away).map(|(member, _)| &**member);
        let missing: Vec<&str> = match &self.agreed.wanted {
            Expected::Members(members) => {
                let absent = |member: &&Rc<str>| self.there.get(*member).is_none_or(|there| there.away);
                members.iter().filter(absent).map(|member| &**member).collect()
            }
            Expected::Count(count) if self.there.len() < *count => {
                let there: Vec<&str> = self.there.keys().map(|member| &**member).collect();
                let (have, there) = (there.len(), crate::text::list(&there));
                let reason = format!("timed out; {have} of {count} were there: {there}");
                return (away().map(str::to_owned).collect(), reason);
            }
            Expected::Count(_) => away().collect(),
        };
        if !missing.is_empty() {
            let text = format!("timed out; missing: {}", crate::text::list(&missing));
            return (first_of(missing), text);
        }
        let awaited = self.proofs.awaited();
        let silent = self.there.iter().filter(|(_, there)| awaited.contains(&there.process));
        let silent: Vec<&str> = silent.map(|(member, _)| &**member).collect();
        let text = format!("timed out; all had arrived, but no sign of life came from {}", crate::text::list(&silent));
        (first_of(silent), text)
    }
}

impl<V> Round<V> {
    /// How many members are compared to find that this round can never be complete.
    pub fn weight(&self, outlook: &dyn Outlook) -> usize {
        match &self.agreed.wanted {
            Expected::Members(members) => members.len(),
            Expected::Count(_) => self.there.len() + outlook.weight(),
        }
    }

    /// Why this round can never be complete, if that is known.
    pub fn hopeless(&self, name: &str, outlook: &dyn Outlook) -> Option<Ending<'static>> {
        if self.is_full() || self.there.is_empty() {
            return None;
        }
        let (who, reason) = match &self.agreed.wanted {
            Expected::Members(members) => {
                let absent = members.iter().filter(|member| !self.there.contains_key(*member));
                let mut barred = absent.filter_map(|member| Some((member, outlook.barred(name, member)?)));
                let (first, reason) = barred.next()?;
                let others: Vec<&str> = barred.map(|(member, _)| &**member).collect();
                let who = std::iter::once(&**first).chain(others.iter().copied()).map(str::to_owned).collect();
                let nor = match others.is_empty() {
                    true => String::new(),
                    false => format!("; nor can {} come", crate::text::list(&others)),
                };
                (who, reason + &nor)
            }
            Expected::Count(count) => {
                let there: Vec<&str> = self.there.keys().map(|member| &**member).collect();
                outlook.unfillable(name, *count, &there)?
            }
        };
        Some(Ending { kind: OutcomeKind::Lost, who, reason, other: None, timeout: None })
    }

    pub fn as_it_forms(&self, name: &Rc<str>) -> Forming {
        let there = |there: &Participant<V>| !there.away;
        let here = self.there.iter().filter(|(_, it)| there(it)).map(|(member, _)| member.clone()).collect();
        let (missing, more) = match &self.agreed.wanted {
            Expected::Members(members) => {
                let absent = |member: &&Rc<str>| !self.there.get(*member).is_some_and(there);
                (members.iter().filter(absent).cloned().collect(), 0)
            }
            Expected::Count(count) => (Vec::new(), count.saturating_sub(self.there.len())),
        };
        Forming { meeting: name.clone(), there: here, missing, more }
    }
}

/// Those whom a ruling names of so many.
fn first_of(members: Vec<&str>) -> Vec<String> {
    crate::text::ranges::first(members, WHO_MAX).into_iter().map(str::to_owned).collect()
}

/// A party as a person says it.
pub fn in_words(party: &Party) -> String {
    match party {
        Party::Members(members) => {
            let mut names: Vec<&str> = members.iter().map(String::as_str).collect();
            names.sort_unstable();
            names.dedup();
            crate::text::list(&names)
        }
        Party::Count(count) => format!("any {count}"),
    }
}
