//! The conditions under which a round may get each verdict.

use std::collections::BTreeMap;

use arete::wire::rendezvous::Party;
use serde_json::Value;

use super::absent::{CANNOT_COME, TOO_FEW};
use super::{Arrival, CLOCKS, Key, MeetingChecks, Name, Told};
use crate::world::{MILLISECOND, SECOND, World};

impl MeetingChecks {
    /// Returns whether this arrival can be in this round, which is released now.
    fn may_be_in(&self, key: &Key, name: &Name, round: u64, alive: bool) -> bool {
        let arrival = &self.arrivals[key];
        let elsewhere = arrival.told.as_ref().is_some_and(|told| told.round != round);
        // An arrival that was withdrawn in the same turn may have been released just before.
        let gone = alive && arrival.told.is_none() && arrival.taken_back.is_some_and(|at| at < self.now);
        self.came(key, name, round).is_some() && !elsewhere && !gone
    }

    /// A release needs all members, and a sign of life from each, not older than the stated time before the last
    /// arrival.
    pub(super) fn may_be_released(&mut self, name: &Name, round: u64, key: Key) -> Result<(), String> {
        let serial = self.arrivals[&key].serial;
        let alive = !name.0 || self.planned[&serial].all_alive;
        let may_be_in = |key: &&Key| self.may_be_in(key, name, round, alive);
        let candidates: Vec<&Key> = self.by_name[name].iter().filter(may_be_in).collect();
        let mut by_member: BTreeMap<String, Vec<&Key>> = BTreeMap::new();
        for key in candidates {
            by_member.entry(self.member(key)).or_default().push(key);
        }
        let (wanted, all): (usize, Vec<String>) = match self.party_of(&key) {
            Some(Party::Members(members)) => {
                hold!(members.contains(&self.member(&key)), "{name:?}: a stranger is released: {}", self.member(&key));
                (members.len(), members)
            }
            Some(Party::Count(count)) => (count as usize, by_member.keys().cloned().collect()),
            None => (0, Vec::new()),
        };
        let first_of = |member: &String| {
            by_member.get(member).and_then(|keys| keys.iter().filter_map(|key| self.came(key, name, round)).min())
        };
        let came: Vec<u64> = all.iter().filter_map(first_of).collect();
        hold!(came.len() >= wanted, "{name:?} {round} is released, and of {all:?} these have come: {by_member:?}");
        if let Some(Value::Object(map)) =
            self.rounds[&(name.clone(), round)].map.as_ref().and_then(|map| serde_json::from_slice(map).ok())
        {
            let exact = map.len() == wanted && map.keys().all(|it| all.contains(it));
            hold!(exact, "{name:?} {round}: the map has {:?}, and {wanted} of {all:?} must be in it", map.keys());
        } else {
            hold!(!name.0, "{name:?} {round} is released without a map");
        }
        let told = self.rounds[&(name.clone(), round)].told.len();
        let recorded = self.log.rounds.get(&(name.clone(), round)).map_or(wanted as u64, |met| met.members);
        hold!(told <= wanted && recorded == wanted as u64, "{name:?} {round}: {recorded} met, {told} are released");
        if told == 1 && wanted < all.len() {
            self.seen.surplus += 1;
        }
        let last = came.iter().max().copied().unwrap_or(0);
        if alive && wanted == all.len() {
            for member in &all {
                let shown = by_member[member].iter().any(|key| self.was_alive(key, last));
                hold!(shown, "{name:?} {round}: {member} has not shown that it is alive since {last}");
            }
        }
        Ok(())
    }

    /// Returns whether the controller has received something from this arrival's life since a moment before `last`,
    /// and its command lived then.
    fn was_alive(&self, key: &Key, last: u64) -> bool {
        let fresh = SECOND + CLOCKS;
        let heard = self.heard.get(&key.0).is_some_and(|at| *at + fresh >= last);
        let wait = self.waits.get(&(key.0, self.arrivals[key].serial));
        let over = wait.and_then(|wait| wait.over_at);
        let even = self.calm && self.even;
        let told = self.arrivals[key].told.is_some();
        heard && (!even || told || over.is_none_or(|over| over + fresh + 200 * MILLISECOND >= last))
    }

    fn unruled_or_of(&self, name: &Name, round: u64) -> impl Iterator<Item = &Arrival> {
        let all = self.by_name[name].iter().map(|key| &self.arrivals[key]);
        all.filter(move |arrival| arrival.told.as_ref().is_none_or(|told| told.round == round))
    }

    pub(super) fn may_time_out(&self, name: &Name, told: &Told, world: &World) -> Result<(), String> {
        let due = self.by_name[name].iter().any(|key| {
            let arrival = &self.arrivals[key];
            let here = arrival.told.as_ref().is_none_or(|it| it.round == told.round);
            let timeout = self.planned[&arrival.serial].timeout.map(|it| it * MILLISECOND);
            let over_at = match self.waits.get(&(key.0, arrival.serial)) {
                Some(wait) => timeout.map(|timeout| wait.asked_at + timeout),
                None => arrival.over_at,
            };
            let over = over_at.is_some_and(|over_at| over_at <= world.now + CLOCKS);
            here && over && self.came(key, name, told.round).is_some()
        });
        hold!(due, "{name:?} times out before any timeout has passed: {told:?}");
        let members = matches!(
            self.unruled_or_of(name, told.round).next().map(|it| &self.parties[&it.serial]),
            Some(Some(Party::Members(_)))
        );
        hold!(!members || !told.who.is_empty(), "{name:?} times out without a missing member");
        Ok(())
    }

    pub(super) fn may_be_aborted(&self, name: &Name, told: &Told) -> Result<(), String> {
        let aborts = |it: &&Arrival| it.first_at.is_some() && self.planned[&it.serial].abort.is_some();
        let Some(it) = self.unruled_or_of(name, told.round).find(aborts) else {
            return Err(format!("{name:?} is aborted by no member: {told:?}"));
        };
        let planned = &self.planned[&it.serial];
        let why = planned.abort.as_deref().unwrap_or_default();
        hold!(told.who == [planned.member()] && told.reason.contains(why), "{planned:?} aborts, and {told:?} is sent");
        Ok(())
    }

    pub(super) fn may_be_lost(&self, name: &Name, told: &Told) -> Result<(), String> {
        if told.reason.contains(TOO_FEW) || told.reason.contains(CANNOT_COME) {
            return Ok(());
        }
        for member in &told.who {
            let slave = self.absent.is_lost(member);
            let member = (name.clone(), member.clone());
            let recorded = slave || self.log.away.contains(&member) && self.log.lost.contains(&member);
            hold!(recorded || !self.logged, "{member:?} is lost, and its departure is not recorded");
        }
        hold!(!told.who.is_empty(), "{name:?}: it names no lost member: {told:?}");
        Ok(())
    }
}
