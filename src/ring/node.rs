//! A node: its states, its memory and its turns.
//!
//! This file owns [`Ring`], the machine of one node. Its parts are below: `states` is the table of states and messages,
//! `ownership` is what an owner does, `election` how a token is made, `send` how a message is sent and received. No
//! part may act on a token before what it has promised is written down.

mod election;
mod ownership;
mod send;
mod states;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use super::candidate::Candidate;
use super::config::Config;
use super::grants::Grants;
use super::log::Log;
use super::memory::{Memory, Store};
use super::message::{Body, Message};
use super::messenger::{Messenger, Sent};
use super::nodes::{Nodes, Why};
use super::owner::Owner;
use crate::machine::{ConnId, Input, Machine, Outbox, Peer, ReadId, Signal, Stream, SystemError, Time, Timers};
use crate::{exit_code, text};

/// The pings that a starting node sends to all.
const FIRST_PINGS: u32 = 3;

/// How often a node in the normal mode shows watchers that it is alive.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// The state of a node. The table in [`states`] lists what it does in each.
#[derive(Debug)]
enum State {
    /// It has the token.
    Owner(Box<Owner>),
    /// It has received news of the token within the waiter time.
    Waiter,
    /// It has not, and asks for the token.
    Seeker,
    /// It makes a new token, if no node objects.
    Generating(Candidate),
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            State::Owner(_) => "owner",
            State::Waiter => "waiter",
            State::Seeker => "seeker",
            State::Generating(_) => "generating",
        }
    }

    /// Returns the name of the state in the original program.
    fn original_name(&self) -> &'static str {
        match self {
            State::Owner(_) => "OWNER",
            State::Waiter => "WAITER",
            State::Seeker => "LOOSER",
            State::Generating(_) => "GENERATING",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The next of the first pings.
    Start,
    Heartbeat,
    /// There was no news of the token for the waiter time.
    Waiter,
    /// It is time to ask again, or to hand over again.
    Ask,
    /// No node has answered.
    Answer,
    /// No node has objected.
    Generating,
    /// The token has been held long enough.
    Hold,
    /// The lease ends.
    Lease,
    /// Watchers are shown that the node is alive.
    Show,
    /// A leaving node has waited long enough for its hand-over.
    Leave,
}

/// A node.
pub struct Ring {
    config: Config,
    store: Option<Store>,
    memory: Memory,
    nodes: Nodes,
    messenger: Messenger,
    state: State,
    /// The number of first pings that are not sent yet. Until then the node does not look for the token.
    first_pings: u32,
    /// The last known holder of the token.
    holder: Option<String>,
    grants: Grants,
    /// The number of messages that were sent.
    nr: u64,
    /// Since when there was no news of a token.
    missing_since: Option<Time>,
    log: Log,
    /// The node has received a signal to stop.
    leaving: bool,
    timers: Timers<Timer>,
}

impl Ring {
    /// Returns a node that has not started yet.
    pub fn new(config: Config) -> Ring {
        let most = config.members.map_or(usize::MAX, |members| members.saturating_sub(1) as usize);
        Ring {
            store: config.state.as_deref().map(Store::new),
            memory: Memory::default(),
            nodes: Nodes::new(most, config.key.is_some(), config.members.is_none().then(|| config.periods.again())),
            messenger: Messenger::new(
                config.tcp_port,
                config.periods.connect(),
                config
                    .compat
                    .then(|| Message { author: config.id.clone(), body: Body::Ping, extra: None }.encode(None)),
            ),
            state: State::Seeker,
            first_pings: FIRST_PINGS,
            holder: None,
            grants: Grants::default(),
            nr: 0,
            missing_since: None,
            log: Log::new(config.wall_offset),
            leaving: false,
            timers: Timers::default(),
            config,
        }
    }

    /// Returns the name of its state.
    pub fn state(&self) -> &'static str {
        self.state.name()
    }

    fn begin(&mut self, now: Time, out: &mut Outbox) {
        if self.config.members.is_some() {
            self.grants.restarted(now + self.config.periods.waiter);
        }
        match &mut self.store {
            Some(store) => store.recall(out),
            None => self.start(now, out),
        }
    }

    /// Takes the answer to a read of the state directory or of an output of the work.
    fn read(&mut self, now: Time, read: ReadId, result: Result<&[u8], SystemError>, out: &mut Outbox) {
        let Some(store) = &mut self.store else { return self.work_read(now, read, result, out) };
        match store.recalled(read, &result, &mut self.memory, out) {
            Ok(false) => self.work_read(now, read, result, out),
            Ok(true) if store.is_recalling() => {}
            Ok(true) => self.start(now, out),
            Err(error) => {
                let why = format!("state directory {}: {error}", store.directory().display());
                self.give_up(&why, out);
            }
        }
    }

    fn start(&mut self, now: Time, out: &mut Outbox) {
        let Config { id, address, compat, members, key, .. } = &self.config;
        let mode = match (compat, members) {
            (true, _) => "with original programs, in the end one token".to_owned(),
            (_, Some(members)) => format!("one of {members} members"),
            (_, None) => "without --members: a partition can have two owners".to_owned(),
        };
        let sealed = if key.is_some() { ", sealed" } else { "" };
        let text = format!("node {id} at {address}, {mode}{sealed}");
        self.log.tell(now, &text, out);
        if self.memory != Memory::default() {
            let (seen, length) = (self.memory.seen, self.memory.copy.data.len());
            self.log.tell(now, &format!("remembers token {seen} and {length} bytes of data"), out);
        }
        if let (Some(_), false) = (self.config.state_port, *compat) {
            self.timers.set(Timer::Show, now + SHOW_EVERY);
        }
        self.missing_since = Some(now);
        self.timers.set(Timer::Start, now);
    }

    /// Sends one of the first pings. After the last the node looks for the token.
    fn first_ping(&mut self, now: Time, out: &mut Outbox) {
        if self.first_pings == 0 {
            if matches!(self.state, State::Seeker) {
                self.seek(now, out);
            }
            return;
        }
        self.first_pings -= 1;
        self.say(Body::Ping, |_| {}, out);
        self.timers.set(Timer::Start, now + self.config.periods.ask);
    }

    /// Logs that a node without a majority cannot get a token, once until there is news of a token.
    fn miss_majority(&mut self, now: Time, out: &mut Outbox) {
        let (Some(members), Some(majority)) = (self.config.members, self.majority()) else { return };
        let answer = self.config.periods.answer;
        let heard = self.nodes.live(now, answer).count() + 1;
        if heard < majority && self.missing_since.is_some_and(|since| now.since(since) >= answer) {
            self.missing_since = None;
            let text =
                format!("no token without a majority: hears {heard} of {members} members, {majority} are needed");
            self.log.tell(now, &text, out);
        }
    }

    /// Changes the state, and shows that to watchers.
    fn become_state(&mut self, now: Time, state: State, why: &str, out: &mut Outbox) {
        let of_state = [Timer::Heartbeat, Timer::Waiter, Timer::Ask, Timer::Answer, Timer::Generating];
        for timer in of_state.into_iter().chain([Timer::Hold, Timer::Lease]) {
            self.timers.cancel(&timer);
        }
        let (old, old_name, had) = (self.state.original_name(), self.state.name(), self.has_heard());
        if let State::Owner(owner) = std::mem::replace(&mut self.state, state) {
            owner.stop(out);
            self.messenger.take_back(out);
        }
        if had != self.has_heard() {
            self.missing_since = had.then_some(now);
        }
        let name = self.state.name();
        if old_name != name {
            self.log.tell(now, &format!("{old_name} -> {name}: {why}"), out);
            self.show(old, old_name, out);
        }
        if self.leaving && !matches!(self.state, State::Owner(_)) {
            out.exit(exit_code::PASSED);
        }
    }

    /// Whether it knows of a token.
    fn has_heard(&self) -> bool {
        matches!(self.state, State::Owner(_) | State::Waiter)
    }

    /// Becomes or stays a waiter, because another node has the token.
    fn wait(&mut self, now: Time, why: &str, out: &mut Outbox) {
        if !matches!(self.state, State::Waiter) {
            self.become_state(now, State::Waiter, why, out);
        }
        self.timers.set(Timer::Waiter, now + self.config.periods.waiter);
    }

    /// Becomes a seeker, because there was no news of the token.
    fn nothing_heard(&mut self, now: Time, out: &mut Outbox) {
        let holder = self.holder.take();
        if let Some(holder) = &holder {
            self.nodes.lose(now, holder, Why::Swallows);
        }
        let at = holder.map_or_else(String::new, |holder| format!("; it was at {holder}"));
        let waiter = text::duration(self.config.periods.waiter);
        self.become_seeker(now, &format!("the token was not heard of for {waiter}{at}"), out);
    }

    fn become_seeker(&mut self, now: Time, why: &str, out: &mut Outbox) {
        self.become_state(now, State::Seeker, why, out);
        self.seek(now, out);
    }

    /// Asks for the token from now on, unless the first pings are still being sent.
    fn seek(&mut self, now: Time, out: &mut Outbox) {
        if self.first_pings == 0 {
            self.ask(now, out);
            self.timers.set(Timer::Answer, now + self.config.periods.answer);
        }
    }

    fn ask(&mut self, now: Time, out: &mut Outbox) {
        self.say(Body::WhereIsToken, |_| {}, out);
        self.timers.set(Timer::Ask, now + self.config.periods.ask);
    }

    /// Writes the memory without the data, before anything of this turn goes out.
    fn keep_state(&self, out: &mut Outbox) {
        if let Some(store) = &self.store {
            store.keep_state(&self.memory, out);
        }
    }

    fn keep_data(&self, out: &mut Outbox) {
        if let Some(store) = &self.store {
            store.keep_data(&self.memory, out);
        }
    }

    /// Returns the grants or confirmations that are a majority, this node's own included.
    fn majority(&self) -> Option<usize> {
        self.config.members.map(|members| members as usize / 2 + 1)
    }

    fn fire(&mut self, now: Time, out: &mut Outbox) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Start => self.first_ping(now, out),
                Timer::Heartbeat => self.heartbeat(now, out),
                Timer::Waiter => self.nothing_heard(now, out),
                Timer::Ask => self.ask_again(now, out),
                Timer::Answer => self.no_answer(now, out),
                Timer::Generating => self.nobody_objects(now, out),
                Timer::Hold => self.held(now, out),
                Timer::Lease => self.lease_ends(now, out),
                Timer::Show => {
                    self.show(self.state.original_name(), self.state.name(), out);
                    self.timers.set(Timer::Show, now + SHOW_EVERY);
                }
                Timer::Leave => out.exit(exit_code::PASSED),
            }
        }
        for sent in self.messenger.fire(now, out) {
            self.sent(now, sent, out);
        }
    }

    fn ask_again(&mut self, now: Time, out: &mut Outbox) {
        match self.state {
            State::Owner(_) => self.hand_over_again(now, out),
            State::Waiter => {}
            State::Seeker => {
                self.miss_majority(now, out);
                self.ask(now, out);
            }
            State::Generating(_) => self.generate_again(now, out),
        }
    }

    /// Takes the outcome of a message to one node.
    fn sent(&mut self, now: Time, sent: Sent, out: &mut Outbox) {
        match sent {
            Sent::Out(id, hands_over) => {
                self.nodes.reach(&id);
                if hands_over {
                    self.handed_over(now, &id, out);
                }
            }
            Sent::Unreachable(id, hands_over) => {
                if self.nodes.lose(now, &id, Why::Unreachable) {
                    self.log.tell(now, &format!("{id} cannot be reached"), out);
                }
                if hands_over {
                    self.not_handed_over(now, &id, out);
                }
            }
        }
    }

    /// Stops the node. An owner hands the token on first. A second signal stops it at once.
    fn signal(&mut self, now: Time, signal: Signal, out: &mut Outbox) {
        let code = if signal == Signal::TERM { exit_code::PASSED } else { exit_code::INTERRUPTED };
        if std::mem::replace(&mut self.leaving, true) || !self.leave(now, out) {
            if let State::Owner(owner) = &mut self.state {
                owner.kill_work(out);
            }
            out.exit(code);
        } else {
            self.timers.set(Timer::Leave, now + self.config.periods.answer);
        }
    }

    /// Stops the node because of an error. Nothing of this turn goes out.
    fn give_up(&mut self, why: &str, out: &mut Outbox) {
        if let State::Owner(owner) = &mut self.state {
            owner.kill_work(out);
        }
        out.print(Stream::Err, format!("arete: ring: {why}\n"));
        out.halt(exit_code::FAILED);
    }

    fn closed(&mut self, now: Time, conn: ConnId, out: &mut Outbox) {
        match self.messenger.closed(conn) {
            Ok(Some((from, bytes))) => self.heard(now, from, &bytes, false, out),
            Ok(None) => {}
            Err(sent) => self.sent(now, sent, out),
        }
    }

    fn turn(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => self.begin(now, out),
            Input::Datagram { from, bytes, .. } => {
                if let IpAddr::V4(from) = from.ip() {
                    self.heard(now, from, bytes, true, out);
                }
            }
            Input::Accepted { conn, peer: Peer::Inet(from), .. } => match from.ip() {
                IpAddr::V4(from) => self.messenger.accepted(now, conn, from, out),
                IpAddr::V6(_) => out.close(conn, "the ring speaks IPv4"),
            },
            Input::Connected { conn, .. } => {
                let nodes = &self.nodes;
                let address = |id: &str| nodes.get(id).map(|node| node.address);
                if let Some(sent) = self.messenger.connected(now, conn, address, out) {
                    self.sent(now, sent, out);
                }
            }
            Input::Received { conn, bytes } => self.messenger.received(conn, bytes, out),
            Input::Closed { conn, .. } => self.closed(now, conn, out),
            Input::Signal(signal) => self.signal(now, signal, out),
            Input::SpawnFailed { child, error } => self.child_ended(now, child, Err(error), out),
            Input::Exited { child, exit } => self.child_ended(now, child, Ok(exit), out),
            Input::Read { read, result } => self.read(now, read, result, out),
            Input::WriteFailed { path, error } => {
                self.give_up(&format!("{}: {error}; the node stops rather than forget", path.display()), out);
            }
            _ => {}
        }
    }
}

impl Machine for Ring {
    /// Deadlines fire before the input is handled. Otherwise a node would act on a lease that ended while the process or the
    /// machine was suspended.
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.fire(now, out);
        self.turn(now, input, out);
        self.fire(now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.timers.next(), self.messenger.next_deadline()].into_iter().flatten().min()
    }
}
