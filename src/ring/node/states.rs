//! The table of states: what a node in each state does upon each message, a function a message. `arete-ring(8)` has the
//! same table, row for row.
//!
//! | in state | upon | does |
//! | --- | --- | --- |
//! | any | a message from an unknown node | adds it; answers a broadcast with `ping` |
//! | owner | stronger `token is here` | cancels any hand-over, `ping` to its sender, waiter |
//! | owner | weaker `token is here` | `token is here` to its sender and to all |
//! | owner | `where is token` | `token is here` |
//! | owner | `generating token` | `token is here` to its sender and to all |
//! | waiter | `token is here` | restarts the waiter time |
//! | waiter | `where is token`, `generating token` | `token was here recently` |
//! | seeker, generating | `token is here` | waiter |
//! | seeker | `token was here recently` | restarts the ask and answer times |
//! | seeker | weaker `generating token` | answers it and all with its own, generating |
//! | seeker | stronger `generating token` | stays, restarts the ask and answer times |
//! | generating | weaker `generating token` | answers its sender and all with its own |
//! | generating | stronger `generating token` | seeker |
//! | generating | `token was here recently` | seeker |
//! | not owner | `take token`, not older than what was seen | owner, with its data |
//! | owner, or older | `take token` | refuses, and says where the token is |
//!
//! Among originals a node sends `ping` to the sender of `token is here` if it becomes a waiter, or has sent nothing to it
//! for five waiter times, because the sender may not know this node.
//!
//! An owner that has sent `take token` and waits for the acknowledgement does not act. In this table it is not an owner.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::send::Accepted;
use super::{Ring, State};
use crate::machine::faults::{Fault, injected};
use crate::machine::{Outbox, Time};
use crate::ring::memory::{Copy, Grant};
use crate::ring::message::Body;
use crate::ring::nodes::Why;
use crate::ring::token::{Fence, Token, strength};

/// Why a token that is handed to this node must not be taken.
#[derive(Debug)]
enum Refusal {
    /// This node has the token.
    HasToken,
    /// It has heard of a stronger token.
    Older,
    /// A token that is not older was here.
    WasHere(Fence),
    /// It has granted a newer epoch.
    Granted(Grant),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::HasToken => f.write_str("this node has the token"),
            Refusal::Older => f.write_str("it is older than the one that was heard of"),
            Refusal::WasHere(seen) => write!(f, "token {seen} was here already"),
            Refusal::Granted(grant) => write!(f, "epoch {} was granted to {}", grant.epoch, grant.to),
        }
    }
}

impl std::error::Error for Refusal {}

impl Ring {
    /// Handles a message from a known node.
    pub(super) fn react(&mut self, now: Time, heard: Accepted, out: &mut Outbox) {
        self.hear_grant(now, &heard, out);
        match &heard.body {
            Body::Ping => {}
            Body::WhereIsToken => self.where_is_token(now, &heard, out),
            Body::TokenWasHereRecently => self.token_was_here_recently(now, &heard, out),
            Body::TokenIsHere(token) => return self.token_is_here(now, &heard, token, out),
            Body::GeneratingToken(token) => return self.generating_token(now, &heard, token, out),
            Body::TakeToken { token, nodes, data } => return self.take_token(now, &heard, (token, nodes, data), out),
            Body::MyState { .. } => return,
        }
        self.hear_answer(now, &heard, out);
        self.hear_of_token(now, &heard, out);
    }

    /// Whether this node has the token, and has not handed it over.
    fn is_owner(&self) -> bool {
        matches!(&self.state, State::Owner(owner) if !owner.has_handed_over())
    }

    fn where_is_token(&mut self, now: Time, heard: &Accepted, out: &mut Outbox) {
        match &self.state {
            State::Owner(_) if self.is_owner() => self.say_where(now, &heard.author, false, out),
            State::Owner(_) | State::Waiter => self.say_recently(now, &heard.author, out),
            State::Seeker | State::Generating(_) => {}
        }
    }

    fn say_recently(&mut self, now: Time, id: &str, out: &mut Outbox) {
        self.say_to(now, id, Body::TokenWasHereRecently, |_| {}, out);
    }

    /// Sends the place of the token, as its owner, to one node, and to all if `to_all`.
    fn say_where(&mut self, now: Time, id: &str, to_all: bool, out: &mut Outbox) {
        let State::Owner(owner) = &self.state else { return };
        let (token, fence) = (owner.token.clone(), owner.fence);
        self.say_to(now, id, Body::TokenIsHere(token.clone()), |extra| extra.fence = fence, out);
        if to_all {
            self.say(Body::TokenIsHere(token), |extra| extra.fence = fence, out);
        }
    }

    fn token_was_here_recently(&mut self, now: Time, heard: &Accepted, out: &mut Outbox) {
        match &self.state {
            State::Seeker => self.seek_later(now),
            // The sender knows of the token that this node had.
            State::Generating(_) if !self.config.compat && heard.extra.fence < self.memory.copy.fence => {}
            State::Generating(_) => {
                self.become_seeker(now, &format!("{} has heard of the token", heard.author), out);
            }
            State::Owner(_) | State::Waiter => {}
        }
    }

    fn token_is_here(&mut self, now: Time, heard: &Accepted, token: &Token, out: &mut Outbox) {
        if self.is_owner() {
            return self.another_is_owner(now, heard, token, out);
        }
        let fence = heard.extra.fence;
        if fence < self.memory.seen {
            // Its sender does not know that the token is elsewhere.
            return self.say_recently(now, &heard.author, out);
        }
        let news = !matches!(self.state, State::Waiter);
        self.memory.token = Some(token.clone());
        self.holder = Some(heard.author.clone());
        self.wait(now, &format!("the token is at {}", heard.author), out);
        if self.config.compat && (news || self.nodes.is_due(now, &heard.author, self.config.periods.again())) {
            // Waiters are silent. Without this ping, an owner that was restarted would never learn of this node.
            self.say_to(now, &heard.author, Body::Ping, |_| {}, out);
        }
        self.answer_beat(now, heard, out);
    }

    /// Decides between two owners: the stronger token stays.
    fn another_is_owner(&mut self, now: Time, heard: &Accepted, token: &Token, out: &mut Outbox) {
        let State::Owner(owner) = &self.state else { return };
        match strength(heard.extra.fence, token).cmp(&strength(owner.fence, &owner.token)) {
            // It is the same token. An answer would be answered without end.
            Ordering::Equal => {}
            Ordering::Less => self.say_where(now, &heard.author, true, out),
            Ordering::Greater => {
                self.holder = Some(heard.author.clone());
                self.wait(now, &format!("{} has a stronger token", heard.author), out);
                self.say_to(now, &heard.author, Body::Ping, |_| {}, out);
                self.answer_beat(now, heard, out);
            }
        }
    }

    /// Confirms the lease of the owner, and stores the data in the heartbeat. For the waiter time no other node is
    /// granted an epoch.
    fn answer_beat(&mut self, now: Time, heard: &Accepted, out: &mut Outbox) {
        let Some(beat) = heard.extra.beat else { return };
        let fence = heard.extra.fence;
        if fence.epoch < self.memory.grant.epoch {
            // From the answer the owner learns that a newer epoch was granted, and makes its token again.
            return self.say_to(now, &heard.author, Body::Ping, |_| {}, out);
        }
        self.grants.promise(&heard.author, now + self.config.periods.waiter);
        match (&heard.extra.data, &heard.body) {
            (Some(data), Body::TokenIsHere(token)) if fence > self.memory.copy.fence => {
                self.memory.take(Copy { fence, progress: token.progress, data: data.clone() });
                self.keep_data(out);
            }
            _ if fence > self.memory.seen => {
                self.memory.seen = fence;
                self.keep_state(out);
            }
            _ => {}
        }
        let stored = self.memory.copy.fence == fence;
        self.say_to(
            now,
            &heard.author,
            Body::Ping,
            |extra| (extra.fence, extra.beat, extra.stored) = (fence, Some(beat), stored),
            out,
        );
    }

    fn generating_token(&mut self, now: Time, heard: &Accepted, token: &Token, out: &mut Outbox) {
        if self.is_owner() {
            self.say_where(now, &heard.author, true, out);
        } else {
            self.another_generates(now, heard, token, out);
        }
    }

    fn take_token(
        &mut self,
        now: Time,
        heard: &Accepted,
        (token, nodes, data): (&Token, &BTreeMap<String, String>, &str),
        out: &mut Outbox,
    ) {
        let fence = heard.extra.fence;
        // The acknowledgement was lost, so it is sent again.
        let was_taken = !self.config.compat && fence == self.memory.copy.fence && fence == self.memory.seen;
        let refusal = self.may_take(heard, token).err().filter(|_| !was_taken);
        if let Some(why) = &refusal {
            self.log.complain(now, format!("refuses token {fence} from {}: {why}", heard.author), out);
        }
        if was_taken || refusal.is_some() {
            return match self.is_owner() {
                true => self.say_where(now, &heard.author, false, out),
                false => self.say_recently(now, &heard.author, out),
            };
        }
        for (id, address) in nodes {
            if let Ok(address) = address.parse()
                && *id != self.config.id
            {
                self.nodes.add(id, address);
            }
        }
        for id in &heard.extra.silent {
            if self.nodes.live(now, self.config.periods.waiter).all(|live| live != id) {
                self.nodes.lose(now, id, Why::Silent);
            }
        }
        self.memory.take(Copy { fence, progress: token.progress, data: data.to_owned() });
        self.own(now, token.clone(), &format!("{} hands the token over", heard.author), out);
        self.say_where(now, &heard.author, false, out);
    }

    /// Fails if a token that is handed to this node must not be taken.
    fn may_take(&self, heard: &Accepted, token: &Token) -> Result<(), Refusal> {
        let fence = heard.extra.fence;
        if self.config.compat {
            if self.is_owner() {
                return Err(Refusal::HasToken);
            }
            let older = self.memory.token.as_ref().is_some_and(|seen| token.strength() < seen.strength());
            return if older { Err(Refusal::Older) } else { Ok(()) };
        }
        if injected(Fault::TakesOldToken) {
            return Ok(());
        }
        if fence <= self.memory.seen {
            return Err(Refusal::WasHere(self.memory.seen));
        }
        if fence.epoch < self.memory.grant.epoch {
            return Err(Refusal::Granted(self.memory.grant.clone()));
        }
        Ok(())
    }
}
