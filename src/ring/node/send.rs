//! How a node sends a message to one node or to all, and which messages it accepts before the table of states handles
//! them.
//!
//! A message that is not meant for this node, or that comes from an unknown start of a node, must not reach the table.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::Ring;
use crate::machine::{Bytes, Outbox, SocketId, Time};
use crate::ring::limits::DATAGRAM_MAX;
use crate::ring::memory::Store;
use crate::ring::message::{Body, Extra, Message};
use crate::ring::nodes::Origin;
use crate::ring::seal::is_sealed;
use crate::ring::token::Fence;

/// The only datagram socket.
const SOCKET: SocketId = SocketId(0);

/// A message that was accepted.
pub struct Accepted {
    pub author: String,
    pub body: Body,
    /// Empty if it comes from an original program.
    pub extra: Extra,
}

/// Why a message cannot be meant for this node. Each names the author.
#[derive(Debug)]
enum Misfit<'a> {
    /// It comes from an original program.
    Original(&'a str),
    /// Its ring has another number of members.
    Members { author: &'a str, theirs: Option<u32>, ours: Option<u32> },
    /// It is for another node, or for an earlier start of this one.
    NotForUs(&'a str),
}

impl fmt::Display for Misfit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |members: &Option<u32>| members.map_or("none".to_owned(), |members| members.to_string());
        match self {
            Misfit::Original(author) => {
                write!(f, "{author} speaks as the original program does; --compat makes a ring with such nodes")
            }
            Misfit::Members { author, theirs, ours } => {
                let (theirs, ours) = (number(theirs), number(ours));
                write!(f, "{author} has --members {theirs}, this node {ours}: say the same on all")
            }
            Misfit::NotForUs(author) => {
                write!(f, "{author} says something to another node, or to an earlier start of this one")
            }
        }
    }
}

impl std::error::Error for Misfit<'_> {}

impl Ring {
    /// Returns what the normal mode adds to a message; `None` among originals.
    fn extra(&mut self, adjust: impl FnOnce(&mut Extra)) -> Option<Extra> {
        if self.config.compat {
            return None;
        }
        self.nr += 1;
        let grant = &self.memory.grant;
        let mut extra = Extra {
            boot: self.config.boot,
            nr: self.nr,
            members: self.config.members,
            fence: self.memory.seen,
            granted: grant.epoch,
            granted_to: (grant.epoch > 0).then(|| grant.to.clone()),
            ..Extra::default()
        };
        adjust(&mut extra);
        Some(extra)
    }

    fn encode(&mut self, body: Body, adjust: impl FnOnce(&mut Extra)) -> Bytes {
        let extra = self.extra(adjust);
        Message { author: self.config.id.clone(), body, extra }.encode(self.config.key.as_ref())
    }

    /// Sends a message to all nodes.
    pub(super) fn say(&mut self, body: Body, adjust: impl FnOnce(&mut Extra), out: &mut Outbox) {
        let bytes = self.encode(body, adjust);
        out.datagram(SOCKET, SocketAddr::from((self.config.broadcast, self.config.udp_port)), bytes);
    }

    /// Sends a message to one node, on a connection of its own.
    pub(super) fn say_to(
        &mut self,
        now: Time,
        id: &str,
        body: Body,
        adjust: impl FnOnce(&mut Extra),
        out: &mut Outbox,
    ) {
        let Some(node) = self.nodes.get(id) else { return };
        let (address, boot) = (node.address, node.boot);
        self.nodes.tell(now, id);
        let hands_over = matches!(body, Body::TakeToken { .. });
        let addressed = |extra: &mut Extra| {
            (extra.to, extra.to_boot) = (Some(id.to_owned()), boot);
            adjust(extra);
        };
        let bytes = self.encode(body, addressed);
        self.messenger.send(now, (id, address), bytes, hands_over, out);
    }

    /// Shows the state of this node to watchers.
    pub(super) fn show(&mut self, old_original: &str, old: &str, out: &mut Outbox) {
        let Some(port) = self.config.state_port else { return };
        let (old, new) = match self.config.compat {
            true => (old_original, self.state.original_name()),
            false => (old, self.state.name()),
        };
        let body = Body::MyState { old: old.to_owned(), new: new.to_owned() };
        let bytes = self.encode(body, |_| {});
        out.datagram(SOCKET, SocketAddr::from((self.config.broadcast, port)), bytes);
    }

    /// Takes bytes that may be a message, and ignores them if they are not.
    pub(super) fn heard(&mut self, now: Time, from: Ipv4Addr, bytes: &[u8], to_all: bool, out: &mut Outbox) {
        if self.store.as_ref().is_some_and(Store::is_recalling) || to_all && bytes.len() > DATAGRAM_MAX {
            return;
        }
        match Message::decode(bytes, self.config.key.as_ref()) {
            Ok(message) if message.author == self.config.id => self.heard_own(now, from, &message, out),
            Ok(message) => {
                if self.config.key.is_none() && is_sealed(bytes) {
                    self.log.complain(
                        now,
                        format!("{from} is in a ring with a key; this node needs --key-file too"),
                        out,
                    );
                }
                self.heard_message(now, from, message, to_all, out);
            }
            Err(why) if self.config.key.is_some() && from != self.config.address => {
                log::debug!("{from}: {why}");
                self.log.complain(
                    now,
                    format!("{from} says what is not sealed with our key; give all nodes the same"),
                    out,
                );
            }
            Err(why) => log::debug!("{from} sends bytes that are not a message: {why}"),
        }
    }

    /// Ignores our own broadcasts, and logs a message of another node under our name.
    fn heard_own(&mut self, now: Time, from: Ipv4Addr, message: &Message, out: &mut Outbox) {
        let ours = message.extra.as_ref().is_none_or(|extra| extra.boot == self.config.boot);
        if from != self.config.address && !ours {
            let why = format!("{from} says that it is {}, as we are; give each node an id of its own", message.author);
            self.log.complain(now, why, out);
        }
    }

    fn heard_message(&mut self, now: Time, from: Ipv4Addr, message: Message, to_all: bool, out: &mut Outbox) {
        let Message { author, body, extra } = message;
        let extra = if self.config.compat { None } else { extra };
        if let Err(misfit) = self.fits(&author, extra.as_ref(), to_all) {
            return self.log.complain(now, misfit.to_string(), out);
        }
        let every = self.config.periods.ask;
        let origin = self.nodes.hear(now, (&author, from), extra.as_ref(), self.config.boot, every);
        let extra = extra.unwrap_or_default();
        if extra.hello && matches!(origin, Origin::Known | Origin::New | Origin::Unproven(_)) {
            self.answer_hello(now, (&author, from), &extra, out);
        }
        match origin {
            Origin::Known => self.reach_again(now, &author, out),
            Origin::New => {
                self.log.tell(now, &format!("node {author} is at {from}"), out);
                if to_all {
                    self.say_to(now, &author, Body::Ping, |_| {}, out);
                }
            }
            Origin::Unproven(true) => return self.say_hello(now, (&author, from), out),
            Origin::Unproven(false) => return,
            Origin::Refused(why) => return log::debug!("{from} as {author}: {why}"),
        }
        if to_all && matches!(body, Body::TakeToken { .. }) {
            return log::debug!("{from} as {author}: a hand-over must not be a broadcast");
        }
        if !self.config.compat && !extra.fence.is_credible(self.memory.epoch())
            || !Fence::of_epoch(extra.granted).is_credible(self.memory.epoch())
        {
            return log::debug!("{from} as {author}: token {} is too far ahead", extra.fence);
        }
        self.react(now, Accepted { author, body, extra }, out);
    }

    /// Fails if a message cannot be meant for this node.
    fn fits<'a>(&self, author: &'a str, extra: Option<&Extra>, to_all: bool) -> Result<(), Misfit<'a>> {
        if self.config.compat {
            return Ok(());
        }
        let Some(extra) = extra else { return Err(Misfit::Original(author)) };
        if extra.members != self.config.members {
            return Err(Misfit::Members { author, theirs: extra.members, ours: self.config.members });
        }
        let to_us = extra.to.as_ref().is_none_or(|to| *to == self.config.id);
        let to_this_start = extra.to_boot.is_none_or(|boot| boot == self.config.boot);
        let bound = to_all || extra.hello || extra.to_boot.is_some() || self.config.key.is_none();
        if to_us && to_this_start && bound {
            return Ok(());
        }
        Err(Misfit::NotForUs(author))
    }

    /// Sends a ping to a node that could not be reached and now sends messages.
    fn reach_again(&mut self, now: Time, id: &str, out: &mut Outbox) {
        let is_unreachable = self.nodes.get(id).is_some_and(|node| node.is_unreachable());
        if is_unreachable && self.nodes.is_due(now, id, self.config.periods.ask) {
            self.say_to(now, id, Body::Ping, |_| {}, out);
        }
    }

    /// Asks a node to show that it is alive.
    fn say_hello(&mut self, now: Time, (id, address): (&str, Ipv4Addr), out: &mut Outbox) {
        let to = id.to_owned();
        let bytes = self.encode(Body::Ping, |extra| (extra.to, extra.hello) = (Some(to), true));
        self.nodes.asked(now, (id, address), self.nr);
        self.say_to_whoever(now, (id, address), bytes, out);
    }

    fn answer_hello(&mut self, now: Time, (id, address): (&str, Ipv4Addr), hello: &Extra, out: &mut Outbox) {
        let (to, boot, nr) = (id.to_owned(), hello.boot, hello.nr);
        let bytes = self.encode(Body::Ping, |extra| {
            (extra.to, extra.to_boot, extra.answers) = (Some(to), Some(boot), Some(nr));
        });
        self.say_to_whoever(now, (id, address), bytes, out);
    }

    /// Sends a message to an address that uses a node's name. If it is another address than the node's, the message
    /// has a queue of its own: that it cannot be sent must not count against the node.
    fn say_to_whoever(&mut self, now: Time, (id, address): (&str, Ipv4Addr), bytes: Bytes, out: &mut Outbox) {
        let is_there = self.nodes.get(id).is_none_or(|node| node.address == address);
        // No node can have this name.
        let name = if is_there { id.to_owned() } else { format!("\n{id}") };
        self.messenger.send(now, (&name, address), bytes, false, out);
    }
}
