//! One round of a meeting: the party, the members that have arrived, and their options.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::arrival::{ArrivalRequest, Presence, Process, Value};
use super::arrival_error::ArrivalError;
use super::ending::Ending;
use super::memory::{ROUND_COST, cost};
use super::outlook::{Forming, Outlook};
use super::overflow::Overflow;
use super::proofs::Proofs;
use crate::controller::session::budget::{Asker, Budget, Held, Shortage};
use crate::machine::Time;
use crate::machine::faults::{Fault, injected};
use crate::testfile::MEMBERS_MAX;
use crate::wire::rendezvous::{OutcomeKind, Party};

/// The highest number of members that an outcome names.
pub const WHO_MAX: usize = 100;

/// The members of a round, by name.
pub type Assembly = BTreeMap<Rc<str>, Participant>;

/// A member that has arrived.
#[derive(Debug)]
pub struct Participant {
    pub process: Process,
    pub id: u64,
    pub value: Value,
    /// When its timeout expires, and how long it was.
    pub patience: Option<(Time, Duration)>,
    /// Its process has disconnected or has withdrawn it.
    pub away: bool,
    /// Its process has withdrawn it, and needs no outcome.
    pub withdrawn: bool,
    /// It has not reconnected in time.
    pub lost: bool,
}

/// A round that forms.
#[derive(Debug)]
pub struct Round {
    pub agreed: Rc<Agreed>,
    /// The member that named the party first. `None`: the test declares it.
    pub said_by: Option<Rc<str>>,
    pub present: Assembly,
    /// How many members are away.
    pub away: usize,
    /// How many of those are lost.
    lost: usize,
    /// The members that were withdrawn.
    left: BTreeSet<Rc<str>>,
    /// The length of all values, in bytes.
    pub weight: usize,
    /// The contenders for names of members that have arrived.
    pub contenders: BTreeMap<Rc<str>, ArrivalRequest>,
    /// The arrivals beyond the count, which wait for the next round.
    pub overflow: Overflow,
    /// The earliest timeout of a member, and how long it was.
    pub patience: Option<(Time, Duration)>,
    /// The timeouts of all members.
    ends: BTreeSet<(Time, Duration, Rc<str>)>,
    /// Which processes have shown that they are alive, and when.
    pub proofs: Proofs,
    fresh: Duration,
    /// A lost member fails the round.
    pub alive: bool,
    /// Silent members are asked for signs of life.
    pub checks_silence: bool,
    pub harmonize: bool,
    /// When the last member arrived.
    pub full_since: Option<Time>,
    /// The memory of the party.
    pub held: Held,
}

/// The party as the first member named it, kept to compare cheaply: most members name it in the same words.
#[derive(Debug, PartialEq)]
pub struct Agreed {
    pub said: Party,
    pub wanted: Expected,
}

impl Agreed {
    pub fn on(party: &Party) -> Rc<Agreed> {
        Rc::new(Agreed { said: party.clone(), wanted: Expected::from(party) })
    }

    /// Returns whether the party has this member by name.
    pub fn has(&self, member: &str) -> bool {
        self.wanted.has(member)
    }

    /// Returns whether this is the same party.
    pub fn is(&self, party: &Party) -> bool {
        self.said == *party || self.wanted == Expected::from(party)
    }
}

/// The members that a round waits for.
#[derive(Debug, PartialEq)]
pub enum Expected {
    Members(BTreeSet<Rc<str>>),
    Count(usize),
}

impl Expected {
    /// Returns whether the party has this member by name.
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

impl Round {
    /// Creates a round. `said` is the member that names the party, and the process that pays for it; `None` if the test
    /// declares it.
    pub fn new(party: &Party, said: Option<(Rc<str>, Asker)>, budget: &Budget) -> Result<Round, ArrivalError> {
        let (said_by, asker) = said.unzip();
        let cost = ROUND_COST + cost(party);
        let held = asker.map_or_else(|| budget.admit(cost), |asker| budget.admit_for(asker, cost))?;
        let agreed = Agreed::on(party);
        let size = match &agreed.wanted {
            Expected::Members(members) => members.len(),
            Expected::Count(count) => *count,
        };
        if size == 0 || size > MEMBERS_MAX {
            return Err(ArrivalError::PartySize(size));
        }
        Ok(Round::of(agreed, said_by, held))
    }

    fn of(agreed: Rc<Agreed>, said_by: Option<Rc<str>>, held: Held) -> Round {
        Round {
            agreed,
            said_by,
            present: BTreeMap::new(),
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
            checks_silence: false,
            harmonize: false,
            full_since: None,
            held,
        }
    }

    /// Returns how many names the round stores: of its party or of its members.
    pub fn names(&self) -> usize {
        match &self.agreed.wanted {
            Expected::Members(members) => members.len(),
            Expected::Count(_) => self.present.len(),
        }
    }

    /// Checks that this member belongs to the party.
    pub fn belongs(&self, member: &str) -> Result<(), ArrivalError> {
        match &self.agreed.wanted {
            Expected::Members(members) if !members.contains(member) => {
                Err(ArrivalError::NotInParty { member: member.to_owned(), party: self.party_in_words() })
            }
            _ => Ok(()),
        }
    }

    pub fn party_in_words(&self) -> String {
        in_words(&self.agreed.said)
    }

    /// Returns the next round, for the same party, if the overflow is not empty. Its first arrival names the party.
    pub fn take_next(&mut self) -> Option<Round> {
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

    /// Replaces the party if the only member has left the round, because then no member can disagree.
    pub fn replace_party(&mut self, request: &ArrivalRequest, asker: Asker, budget: &Budget) {
        let deserted = self.present.is_empty() && self.overflow.is_empty() && self.said_by.is_some();
        if let Some(party) = request.party.as_ref().filter(|party| deserted && !self.agreed.is(party))
            && let Ok(round) = Round::new(party, Some((request.member.clone(), asker)), budget)
        {
            *self = round;
        }
    }

    /// Keeps the party of a contender if it differs from the party of the round. Fails if there is no memory for it.
    pub fn keep_party(
        &self,
        request: ArrivalRequest,
        asker: Asker,
        budget: &Budget,
    ) -> Result<ArrivalRequest, Shortage> {
        let party = request.party.filter(|party| !self.agreed.is(party));
        let held = party.as_ref().map(|party| budget.admit_for(asker, cost(party))).transpose()?;
        Ok(ArrivalRequest { party, held, ..request })
    }

    /// Returns the process that holds a member's name, and whether it is away.
    pub fn holder(&self, member: &str) -> Option<(Process, bool)> {
        let there = self.present.get(member).map(|there| (there.process, there.away));
        there.or_else(|| self.overflow.get(member).map(|request| (request.process, false)))
    }

    /// Returns the value of a member.
    pub fn value(&self, member: &str) -> Option<&Value> {
        let there = self.present.get(member).map(|there| &there.value);
        there.or_else(|| self.overflow.get(member).map(|request| &request.value))
    }

    /// Adds a member. Returns whether the deadline has moved.
    pub fn enter(&mut self, request: ArrivalRequest, now: Time) -> bool {
        debug_assert!(!self.is_full(), "an arrival beyond the count goes to the overflow");
        let patience = request.timeout.map(|timeout| (now + timeout, timeout));
        let earlier = patience.is_some_and(|(end, _)| self.patience.is_none_or(|(known, _)| end < known));
        if earlier {
            self.patience = patience;
        }
        self.fresh = self.fresh.min(request.fresh);
        self.alive |= request.alive;
        self.harmonize |= request.harmonize;
        self.weight += request.value.json.len();
        let ArrivalRequest { process, id, member, value, .. } = request;
        if let Some((end, timeout)) = patience {
            self.ends.insert((end, timeout, member.clone()));
        }
        let there = Participant { process, id, value, patience, away: false, withdrawn: false, lost: false };
        let holder = self.present.insert(member, there);
        debug_assert!(holder.is_none(), "the earlier holder of the name was removed");
        earlier
    }

    /// Removes a member.
    pub fn leave(&mut self, member: &str) -> Option<Participant> {
        let there = self.present.remove(member)?;
        self.left.remove(member);
        self.away -= usize::from(there.away);
        self.lost -= usize::from(there.lost);
        self.weight -= there.value.json.len();
        self.full_since = None;
        self.proofs.leave(there.process);
        if let Some((end, timeout)) = there.patience {
            self.ends.remove(&(end, timeout, Rc::from(member)));
            self.patience = self.ends.first().map(|(end, timeout, _)| (*end, *timeout));
        }
        Some(there)
    }

    /// Marks a member as withdrawn by its process.
    pub fn withdraw(&mut self, member: &Rc<str>) {
        if let Some(there) = self.present.get_mut(member) {
            there.withdrawn = true;
            self.left.insert(member.clone());
        }
    }

    /// Returns a withdrawn member; an arrival in the overflow can take its place.
    pub fn withdrawn_member(&self) -> Option<Rc<str>> {
        let counted = matches!(self.agreed.wanted, Expected::Count(_));
        self.left.first().filter(|_| counted).cloned()
    }

    /// Sets whether a member is away. Returns whether that has changed.
    pub fn set_away(&mut self, member: &str, away: bool) -> bool {
        let Some(there) = self.present.get_mut(member).filter(|there| there.away != away) else { return false };
        there.away = away;
        if away {
            self.away += 1
        } else {
            self.away -= 1;
            self.lost -= usize::from(std::mem::take(&mut there.lost));
            there.withdrawn = false;
            self.left.remove(member);
        }
        true
    }

    /// Marks a member as lost: it has not reconnected in time.
    pub fn set_lost(&mut self, member: &str) {
        if let Some(there) = self.present.get_mut(member).filter(|there| there.away && !there.lost) {
            there.lost = true;
            self.lost += 1;
        }
    }

    /// Returns whether every member is lost, and the overflow is empty.
    pub fn is_abandoned(&self) -> bool {
        let others = !self.overflow.is_empty() || !self.contenders.is_empty();
        self.lost == self.present.len() && !others
    }

    /// Returns whether the whole party has arrived.
    pub fn is_full(&self) -> bool {
        match &self.agreed.wanted {
            Expected::Members(members) => {
                self.present.len() + usize::from(injected(Fault::ReleasesOneShort)) >= members.len()
            }
            Expected::Count(count) => self.present.len() == *count,
        }
    }

    /// Returns the instant since which every process must have been heard: shortly before the last arrival.
    pub fn since(&self) -> Time {
        let fresh = i64::try_from(self.fresh.as_micros()).unwrap_or(i64::MAX);
        self.full_since.unwrap_or_default().offset(-fresh)
    }

    /// Records that a process was heard.
    pub fn heard(&mut self, process: Process, presence: &dyn Presence) {
        let since = self.since();
        self.proofs.heard(process, since, presence);
    }

    /// Returns the missing members that are known by name, and the reason in words.
    pub fn missing_in_words(&self) -> (Vec<String>, String) {
        let away = || self.present.iter().filter(|(_, there)| there.away).map(|(member, _)| &**member);
        let missing: Vec<&str> = match &self.agreed.wanted {
            Expected::Members(members) => {
                let absent = |member: &&Rc<str>| self.present.get(*member).is_none_or(|there| there.away);
                members.iter().filter(absent).map(|member| &**member).collect()
            }
            Expected::Count(count) if self.present.len() < *count => {
                let there: Vec<&str> = self.present.keys().map(|member| &**member).collect();
                let (have, there) = (there.len(), crate::text::list(&there));
                let reason = format!("timed out; {have} of {count} had arrived: {there}");
                return (away().map(str::to_owned).collect(), reason);
            }
            Expected::Count(_) => away().collect(),
        };
        if !missing.is_empty() {
            let text = format!("timed out; missing: {}", crate::text::list(&missing));
            return (first_of(missing), text);
        }
        let awaited = self.proofs.awaited();
        let silent = self.present.iter().filter(|(_, there)| awaited.contains(&there.process));
        let silent: Vec<&str> = silent.map(|(member, _)| &**member).collect();
        let text = format!("timed out; all had arrived, but no sign of life came from {}", crate::text::list(&silent));
        (first_of(silent), text)
    }
}

impl Round {
    /// Returns how many members are compared to find that this round can never be complete.
    pub fn weight(&self, outlook: &dyn Outlook) -> usize {
        match &self.agreed.wanted {
            Expected::Members(members) => members.len(),
            Expected::Count(_) => self.present.len() + outlook.weight(),
        }
    }

    /// Returns why this round can never be complete, if that is known.
    pub fn hopeless(&self, name: &str, outlook: &dyn Outlook) -> Option<Ending> {
        if self.is_full() || self.present.is_empty() {
            return None;
        }
        let (who, reason) = match &self.agreed.wanted {
            Expected::Members(members) => {
                let absent = members.iter().filter(|member| !self.present.contains_key(*member));
                let mut barred = absent.filter_map(|member| Some((member, outlook.barred(name, member)?)));
                let (first, reason) = barred.next()?;
                let others: Vec<&str> = barred.map(|(member, _)| &**member).collect();
                let who = std::iter::once(&**first).chain(others.iter().copied()).map(str::to_owned).collect();
                let nor = match others.is_empty() {
                    true => String::new(),
                    false => format!("; nor can {} arrive", crate::text::list(&others)),
                };
                (who, reason + &nor)
            }
            Expected::Count(count) => {
                let there: Vec<&str> = self.present.keys().map(|member| &**member).collect();
                outlook.unfillable(name, *count, &there)?
            }
        };
        Some(Ending { kind: OutcomeKind::Lost, who, reason })
    }

    pub fn to_forming(&self, name: &Rc<str>) -> Forming {
        let there = |there: &Participant| !there.away;
        let here = self.present.iter().filter(|(_, it)| there(it)).map(|(member, _)| member.clone()).collect();
        let (missing, more) = match &self.agreed.wanted {
            Expected::Members(members) => {
                let absent = |member: &&Rc<str>| !self.present.get(*member).is_some_and(there);
                (members.iter().filter(absent).cloned().collect(), 0)
            }
            Expected::Count(count) => (Vec::new(), count.saturating_sub(self.present.len())),
        };
        Forming { meeting: name.clone(), there: here, missing, more }
    }
}

/// Returns the first members, as many as an outcome names.
fn first_of(members: Vec<&str>) -> Vec<String> {
    crate::text::ranges::first(members, WHO_MAX).into_iter().map(str::to_owned).collect()
}

/// Returns a party as messages show it.
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
