//! Members do not wait for others that cannot arrive: a lost slave is lost to every meeting at once, and a member of
//! which a verdict says that it cannot come does not arrive.

use std::collections::{BTreeMap, BTreeSet};

use arete::wire::rendezvous::{OutcomeKind, Party};
use serde_json::Value;

use super::{Key, MeetingChecks, Name, Told};
use crate::world::node::Life;
use crate::world::{SECOND, World};

/// The most time that members may wait for a slave after its loss: a controller checks counts once a second.
const TOLD_WITHIN: u64 = 2 * SECOND;

/// The words of a verdict about members of which nothing is left that could arrive.
pub const CANNOT_COME: &str = "cannot come any more";
pub const TOO_FEW: &str = "members can still arrive";

#[derive(Default)]
pub struct Absent {
    read: usize,
    /// When each slave was lost.
    lost: BTreeMap<String, u64>,
    /// The slaves whose connections have ended.
    away: BTreeSet<String>,
    /// When each slave returned last.
    back: BTreeMap<String, u64>,
    ending: bool,
    /// The members that do not arrive at a meeting any more, according to a verdict.
    given_up: BTreeSet<(Name, String)>,
    /// The counts that cannot be reached, according to a verdict, with the members that have arrived.
    too_few: BTreeMap<Name, (usize, BTreeSet<String>)>,
}

fn host_of(member: &str) -> &str {
    member.split('#').next().unwrap_or(member)
}

impl Absent {
    /// Returns whether the slave of a member is lost.
    pub fn is_lost(&self, member: &str) -> bool {
        self.lost.contains_key(host_of(member))
    }

    /// Reads the new events of the log.
    pub fn read(&mut self, events: &[Value], now: u64) {
        for event in &events[self.read.min(events.len())..] {
            let slave = event["slave"].as_str().unwrap_or_default().to_owned();
            match event["event"].as_str() {
                Some("lost") => drop(self.lost.insert(slave, now)),
                Some("disconnected") => drop(self.away.insert(slave)),
                Some("rejoined") => {
                    self.away.remove(&slave);
                    self.back.insert(slave, now);
                }
                Some("ending") => self.ending = true,
                _ => {}
            }
        }
        self.read = events.len();
    }
}

impl MeetingChecks {
    /// A member that waits for a slave that was lost a while ago should have its verdict.
    pub(super) fn lost_slaves_are_not_waited_for(&self, world: &World) -> Result<(), String> {
        let Some(controller) = self.controller.filter(|life| self.logged && world.is_alive(*life)) else {
            return Ok(());
        };
        let node = &world.nodes[controller.node];
        let since = world.now.saturating_sub(TOLD_WITHIN);
        if self.absent.ending || node.paused || node.resumed_at > since {
            return Ok(());
        }
        let lost: BTreeSet<&str> =
            self.absent.lost.iter().filter(|(_, at)| **at < since).map(|(slave, _)| slave.as_str()).collect();
        for (name, keys) in self.by_name.iter().filter(|_| !lost.is_empty()) {
            for key in keys.iter().filter(|key| self.is_waited_for(key, since, world)) {
                let Some(Party::Members(members)) = self.party_of(key) else { continue };
                let mut of_lost = members.iter().filter(|member| lost.contains(host_of(member)));
                let awaited = of_lost.find(|member| !(name.0 && self.has_given(name, member)));
                let waits = self.member(key);
                hold!(awaited.is_none(), "{name:?}: {waits} waits for {awaited:?} on a lost slave");
            }
        }
        Ok(())
    }

    /// Returns whether the controller has known this arrival for a while, and could have given it a verdict.
    fn is_waited_for(&self, key: &Key, since: u64, world: &World) -> bool {
        let arrival = &self.arrivals[key];
        let received = arrival.received_at.is_some_and(|at| at < since);
        let slave = &world.nodes[key.0.node].name;
        let absent = &self.absent;
        let there = !absent.lost.contains_key(slave)
            && !absent.away.contains(slave)
            && absent.back.get(slave).is_none_or(|at| *at < since);
        received && arrival.told.is_none() && arrival.taken_back.is_none() && !arrival.withdrawn && there
    }

    /// A lost member's value in a sync remains valid.
    fn has_given(&self, name: &Name, member: &str) -> bool {
        let given = |key: &&Key| {
            let arrival = &self.arrivals[*key];
            arrival.first_at.is_some() && arrival.told.is_none() && self.member(key) == *member
        };
        self.by_name[name].iter().any(|key| given(&key))
    }

    /// Records a verdict which says that others cannot arrive.
    pub(super) fn remember_given_up(&mut self, name: &Name, key: Key, told: &Told) {
        if told.kind != OutcomeKind::Lost {
            return;
        }
        if told.reason.contains(CANNOT_COME) {
            self.seen.given_up += 1;
            let lost = |member: &&String| self.absent.lost.contains_key(host_of(member));
            let members = told.who.iter().filter(|member| !lost(member));
            self.absent.given_up.extend(members.map(|member| (name.clone(), member.clone())));
        }
        if let (true, Some(Party::Count(count))) = (told.reason.contains(TOO_FEW), self.party_of(&key)) {
            self.seen.given_up += 1;
            let there =
                self.rounds.get(&(name.clone(), told.round)).map(|round| round.told.clone()).unwrap_or_default();
            let there: BTreeSet<String> = there.iter().map(|key| self.member(key)).collect();
            self.absent.too_few.entry(name.clone()).or_insert((count as usize, BTreeSet::new())).1.extend(there);
        }
    }

    /// An arrival reaches the controller for the first time.
    pub(super) fn may_still_come(&mut self, from: Life, id: u64) -> Result<(), String> {
        let key = (from, id);
        let (name, member) = (self.name_of(self.arrivals[&key].serial), self.member(&key));
        if self.absent.lost.contains_key(host_of(&member)) {
            return Ok(());
        }
        let given_up = self.absent.given_up.contains(&(name.clone(), member.clone()));
        hold!(!given_up, "{name:?}: {member} arrives after a verdict that it cannot");
        if let Some((count, there)) = self.absent.too_few.get_mut(&name) {
            there.insert(member);
            hold!(there.len() < *count, "{name:?}: {there:?} arrive after a verdict that {count} cannot");
        }
        Ok(())
    }
}
