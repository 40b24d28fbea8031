//! How a token is made: a seeker that got no answer announces a token to all, and becomes the owner if no node objects.
//!
//! In the normal mode a node that does not object *grants* the candidate an epoch. Each epoch is granted to one node
//! only, so the candidate knows when no node is left that could object. With `--members` a majority must have granted.
//! A node must grant an epoch only to a stronger candidate, which therefore has no older copy of the data, and only while it
//! has not promised another node that the present token is valid: `grants.rs` has that rule.

use std::collections::BTreeSet;

use super::send::Accepted;
use super::{Ring, State, Timer};
use crate::machine::{Outbox, Time};
use crate::ring::candidate::Candidate;
use crate::ring::memory::{Copy, Grant};
use crate::ring::message::Body;
use crate::ring::token::{Fence, Token, strength};
use crate::text;

impl Ring {
    /// Returns the token that this node would make, with the fence of the data that it would use.
    fn candidate_token(&self) -> (Fence, Token) {
        let copy = &self.memory.copy;
        (copy.fence, Token::new(copy.progress, &self.config.id, self.memory.revision + 1))
    }

    /// Makes a token, because no node has answered, unless this node has promised not to.
    pub(super) fn no_answer(&mut self, now: Time, out: &mut Outbox) {
        match self.grants.promised_until(now, &self.config.id) {
            Some(until) => self.timers.set(Timer::Answer, until),
            None => self.generate(now, "no node knows where the token is", out),
        }
    }

    pub(super) fn generate(&mut self, now: Time, why: &str, out: &mut Outbox) {
        let (_, token) = self.candidate_token();
        let candidate = Candidate { token, epoch: 0, grants: BTreeSet::new() };
        self.become_state(now, State::Generating(candidate), why, out);
        self.timers.set(Timer::Generating, now + self.config.periods.generating);
        self.want_epoch(out);
        self.announce(now, out);
    }

    /// Takes the next epoch that no node was granted, and grants it to itself.
    fn want_epoch(&mut self, out: &mut Outbox) {
        if self.config.compat {
            return;
        }
        let next = self.memory.epoch().max(self.grants.newest()).saturating_add(1);
        let State::Generating(candidate) = &mut self.state else { return };
        (candidate.epoch, candidate.grants) = (next, BTreeSet::new());
        self.memory.grant = Grant { epoch: next, to: self.config.id.clone() };
        self.keep_state(out);
    }

    /// Announces to all which token it makes.
    fn announce(&mut self, now: Time, out: &mut Outbox) {
        let State::Generating(candidate) = &self.state else { return };
        let (token, have) = (candidate.token.clone(), self.memory.copy.fence);
        self.say(Body::GeneratingToken(token), |extra| extra.fence = have, out);
        self.timers.set(Timer::Ask, now + self.config.periods.ask);
    }

    /// Announces it to one node that makes a weaker token.
    fn announce_to(&mut self, now: Time, id: &str, out: &mut Outbox) {
        let State::Generating(candidate) = &self.state else { return };
        let (token, have) = (candidate.token.clone(), self.memory.copy.fence);
        self.say_to(now, id, Body::GeneratingToken(token), |extra| extra.fence = have, out);
    }

    /// Announces it again, with another epoch if another node was granted this one.
    pub(super) fn generate_again(&mut self, now: Time, out: &mut Outbox) {
        let taken = matches!(&self.state, State::Generating(candidate) if self.grants.newest() >= candidate.epoch);
        if taken && !self.config.compat {
            self.want_epoch(out);
        }
        self.announce(now, out);
    }

    /// Handles that another node makes a token, for a node that is not the owner.
    pub(super) fn another_generates(&mut self, now: Time, heard: &Accepted, token: &Token, out: &mut Outbox) {
        if self.nodes.get(&heard.author).is_some_and(|node| node.is_unreachable()) {
            // It does not receive our messages, so a node that gives way to it would do so for ever.
            return;
        }
        let (have, ours) = self.candidate_token();
        let stronger = strength(heard.extra.fence, token) > strength(have, &ours);
        match (&self.state, stronger) {
            (State::Generating(_), true) => {
                self.grants.yield_until(now + self.config.periods.answer);
                self.become_seeker(now, &format!("{} makes a stronger token", heard.author), out);
                self.grant(now, heard, out);
            }
            (State::Generating(_), false) => {
                self.announce_to(now, &heard.author, out);
                self.announce(now, out);
            }
            (State::Seeker, true) => {
                self.grants.yield_until(now + self.config.periods.answer);
                self.seek_later(now);
                self.grant(now, heard, out);
            }
            // The node that makes a stronger token will answer.
            (State::Seeker, false) if self.grants.is_yielding(now) => {}
            (State::Seeker, false) if self.grants.promised_until(now, &self.config.id).is_none() => {
                self.generate(now, &format!("{} makes a weaker token", heard.author), out);
                self.announce_to(now, &heard.author, out);
            }
            // The owner itself makes its token again, because another node was granted a newer epoch.
            (State::Waiter, true) if !self.config.compat && self.holder.as_ref() == Some(&heard.author) => {
                self.grant(now, heard, out);
            }
            _ => self.say_to(now, &heard.author, Body::TokenWasHereRecently, |_| {}, out),
        }
    }

    /// Restarts the timers of a seeker.
    pub(super) fn seek_later(&mut self, now: Time) {
        if self.first_pings == 0 {
            self.timers.set(Timer::Ask, now + self.config.periods.ask);
            self.timers.set(Timer::Answer, now + self.config.periods.answer);
        }
    }

    /// Grants a candidate its epoch, or tells it which epoch was granted to which node.
    fn grant(&mut self, now: Time, heard: &Accepted, out: &mut Outbox) {
        if self.config.compat {
            return;
        }
        let epoch = heard.extra.granted;
        if self.grants.may_grant(now, (epoch, &heard.author), &self.memory) {
            self.grants.note(epoch);
            self.memory.grant = Grant { epoch, to: heard.author.clone() };
            self.keep_state(out);
        } else if self.grants.promised_until(now, &heard.author).is_some() {
            return self.say_to(now, &heard.author, Body::TokenWasHereRecently, |_| {}, out);
        }
        self.say_to(now, &heard.author, Body::Ping, |_| {}, out);
    }

    /// Takes the grant in a message of another node.
    pub(super) fn hear_grant(&mut self, now: Time, heard: &Accepted, out: &mut Outbox) {
        // An epoch that has had a token is taken too, even if this node does not know of that token.
        if !matches!(heard.body, Body::GeneratingToken(_)) {
            self.grants.note(heard.extra.fence.epoch);
        }
        let State::Generating(candidate) = &mut self.state else {
            return self.grants.note(heard.extra.granted);
        };
        let ours = heard.extra.granted_to.as_deref() == Some(&self.config.id);
        if ours && heard.extra.granted == candidate.epoch {
            candidate.grants.insert(heard.author.clone());
            if self.is_elected(now) {
                self.win(now, out);
            }
        } else if !ours {
            self.grants.note(heard.extra.granted);
        }
    }

    /// Whether no node is left that could object: all live nodes have granted, and they are enough.
    fn is_elected(&self, now: Time) -> bool {
        let State::Generating(candidate) = &self.state else { return false };
        let lately = self.config.periods.answer;
        let all = self.nodes.live(now, lately).all(|id| candidate.grants.contains(id));
        let enough = self.majority().is_none_or(|majority| candidate.grants.len() + 1 >= majority);
        all && enough && !candidate.grants.is_empty()
    }

    /// Ends the time for objections: becomes the owner, or a seeker without a majority.
    pub(super) fn nobody_objects(&mut self, now: Time, out: &mut Outbox) {
        let State::Generating(candidate) = &self.state else { return };
        let (have, majority) = (candidate.grants.len() + 1, self.majority().unwrap_or(1));
        if have >= majority {
            return self.win(now, out);
        }
        let members = self.config.members.unwrap_or_default();
        let why = format!("no token without a majority: {have} of {members} members are for it, {majority} are needed");
        self.become_seeker(now, &why, out);
    }

    fn win(&mut self, now: Time, out: &mut Outbox) {
        let State::Generating(Candidate { token, epoch, grants }) = &self.state else { return };
        let (token, fence) = (token.clone(), Fence::of_epoch(*epoch));
        let granted = grants.iter().map(String::as_str).collect::<Vec<_>>();
        let why = match granted.is_empty() {
            true => "no node objects".to_owned(),
            false => format!("granted by {}", text::list(&granted)),
        };
        self.memory.revision = token.author_token_revision;
        let Copy { data, progress, .. } = std::mem::take(&mut self.memory.copy);
        self.memory.take(Copy { fence, progress, data });
        self.own(now, token, &why, out);
    }
}
