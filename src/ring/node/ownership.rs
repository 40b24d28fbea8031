//! The actions of an owner: it announces where the token is, works, holds the token, and hands it to the next node in the
//! order of ids.
//!
//! In the normal mode an owner must act only while its *lease* lasts: it starts a step and hands on only after the last
//! heartbeats were confirmed, by a majority with `--members`, otherwise by all nodes that answer. It must work only on
//! data that the same majority has stored. A node that was stopped or cut off finds that its lease is over.

use std::collections::BTreeSet;

use super::send::Accepted;
use super::{Ring, State, Timer};
use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, Exit, Outbox, ReadId, SystemError, Time};
use crate::ring::memory::Copy;
use crate::ring::message::{Body, Extra};
use crate::ring::nodes::Why;
use crate::ring::owner::{Beat, HandOver, Owner};
use crate::ring::token::{Fence, Token};
use crate::ring::work::StepOutcome;

/// The heartbeats that a node may leave unanswered.
const SILENT_BEATS: u32 = 3;

impl Ring {
    /// Becomes the owner of a token that was taken or made.
    pub(super) fn own(&mut self, now: Time, token: Token, why: &str, out: &mut Outbox) {
        let fence = self.memory.copy.fence;
        self.memory.token = Some(token.clone());
        if !injected(Fault::TokenTakenUnwritten) {
            self.keep_data(out);
        }
        self.holder = None;
        let data = self.memory.copy.data.clone();
        let progress = token.progress;
        let owner = Owner::new(now, fence, token, data);
        self.become_state(now, State::Owner(Box::new(owner)), why, out);
        self.log.tell(now, &format!("token {fence} is here, progress {progress}"), out);
        self.beat(now, true, out);
        match self.config.compat {
            true => self.work(now, out),
            false => self.timers.set(Timer::Lease, now + self.config.periods.lease()),
        }
        self.confirm(now, out);
    }

    fn owner(&mut self) -> Option<&mut Owner> {
        match &mut self.state {
            State::Owner(owner) => Some(owner),
            _ => None,
        }
    }

    /// Sends a heartbeat to all. While a majority must still store the data, sends it with the data to each node.
    fn beat(&mut self, now: Time, first: bool, out: &mut Outbox) {
        let majority = self.majority();
        let Some(owner) = self.owner() else { return };
        let nr = owner.next_beat(now);
        let (token, fence, data) = (owner.token.clone(), owner.fence, owner.data().to_owned());
        let stored = owner.stored().clone();
        let enough = majority.is_none_or(|majority| stored.len() + 1 >= majority);
        self.say(Body::TokenIsHere(token.clone()), |extra| (extra.fence, extra.beat) = (fence, Some(nr)), out);
        self.timers.set(Timer::Heartbeat, now + self.config.periods.heartbeat);
        if !self.config.compat && majority.is_some() && (first || !enough) {
            let lacking: Vec<String> =
                self.nodes.iter().map(|(id, _)| id.to_owned()).filter(|id| !stored.contains(id)).collect();
            for id in lacking {
                let with_data = |extra: &mut Extra| {
                    (extra.fence, extra.beat, extra.data) = (fence, Some(nr), Some(data.clone()));
                };
                self.say_to(now, &id, Body::TokenIsHere(token.clone()), with_data, out);
            }
        }
    }

    /// Sends the next heartbeat, after checking which nodes have answered.
    pub(super) fn heartbeat(&mut self, now: Time, out: &mut Outbox) {
        if self.owner().is_none_or(|owner| owner.has_handed_over()) {
            return;
        }
        if !self.config.compat {
            self.lose_silent(now, out);
            self.confirm(now, out);
        }
        if self.owner().is_some_and(|owner| !owner.has_handed_over()) {
            self.beat(now, false, out);
            for id in self.nodes.due_probes(now, self.config.periods.waiter) {
                self.say_to(now, &id, Body::Ping, |_| {}, out);
            }
        }
    }

    /// Marks nodes that have not answered for some heartbeats, or not the first: they get no token until they answer
    /// again.
    fn lose_silent(&mut self, now: Time, out: &mut Outbox) {
        let within = self.config.periods.heartbeat * SILENT_BEATS;
        let Some(owner) = self.owner() else { return };
        let since = owner.since();
        let last = owner.last_beat().map_or(since, |(sent, _)| *sent);
        let (confirming, answered) = (owner.is_confirming(), owner.answered());
        if now.since(last) > self.config.periods.heartbeat * 2 {
            // This node was silent itself, so the others had nothing to answer.
            return;
        }
        let silent: Vec<String> = self
            .nodes
            .iter()
            .filter(|(id, node)| {
                let quiet = node.heard.is_none_or(|at| now.since(at.max(since)) > within);
                node.lost.is_none() && (quiet || confirming && !answered.contains(*id))
            })
            .map(|(id, _)| id.to_owned())
            .collect();
        for id in silent {
            self.nodes.lose(now, &id, Why::Silent);
            self.log.tell(now, &format!("{id} does not answer"), out);
        }
    }

    /// Takes the answer to a heartbeat.
    pub(super) fn hear_answer(&mut self, now: Time, heard: &Accepted, out: &mut Outbox) {
        let Some(nr) = heard.extra.beat else { return };
        let Some(owner) = self.owner() else { return };
        if heard.extra.fence != owner.fence {
            return;
        }
        owner.answer(&heard.author, nr, heard.extra.stored);
        self.confirm(now, out);
    }

    /// Extends the lease by the answers until now. An owner that waits for its lease starts to work.
    fn confirm(&mut self, now: Time, out: &mut Outbox) {
        if self.config.compat {
            return;
        }
        let (lease, ask) = (self.config.periods.lease(), self.config.periods.heartbeat);
        let majority = self.majority();
        let everybody: Vec<String> =
            self.nodes.iter().filter(|(_, node)| node.lost.is_none()).map(|(id, _)| id.to_owned()).collect();
        let alone = self.nodes.is_empty();
        let Some(owner) = self.owner() else { return };
        let confirms = |(said, who): &Beat| match majority {
            Some(majority) => who.len() + 1 >= majority || injected(Fault::ActsWithoutMajority),
            // All live nodes have answered, or have had the time to object.
            None => {
                let all = everybody.iter().all(|id| who.contains(id)) && (alone || !everybody.is_empty());
                all || now.since(*said) >= ask
            }
        };
        let Some(until) = owner.extend_lease(lease, confirms).filter(|until| *until > now) else { return };
        let stored = majority.is_none_or(|majority| owner.stored().len() + 1 >= majority);
        let waits = owner.is_confirming();
        self.timers.set(Timer::Lease, until);
        if waits && stored {
            self.work(now, out);
        }
    }

    /// Whether this owner may act now.
    fn may_act(&self, now: Time) -> bool {
        match &self.state {
            State::Owner(_) if injected(Fault::LeaseNeverEnds) => true,
            State::Owner(owner) => self.config.compat || owner.lease_until().is_some_and(|until| until > now),
            _ => false,
        }
    }

    /// Gives up the token, because the lease was not confirmed in time.
    pub(super) fn lease_ends(&mut self, now: Time, out: &mut Outbox) {
        let (members, majority) = (self.config.members, self.majority());
        let Some(owner) = self.owner() else { return };
        if owner.has_handed_over() || injected(Fault::LeaseNeverEnds) {
            return;
        }
        let Some((members, majority)) = members.zip(majority) else {
            // Without a majority only the other owner can tell that there is one, so ask before acting again.
            owner.forget_beats();
            self.beat(now, false, out);
            return;
        };
        let heard = owner.last_beat().map_or(0, |(_, answered)| answered.len()) + 1;
        let why = format!("the work stops: {heard} of {members} members answer, {majority} are needed");
        self.become_seeker(now, &why, out);
    }

    /// Starts the work step.
    fn work(&mut self, now: Time, out: &mut Outbox) {
        let config = self.config.work.clone();
        if self.leaving {
            return self.held(now, out);
        }
        if self.owner().is_some_and(|owner| owner.is_outdated()) {
            return self.renew(now, out);
        }
        if let Some(owner) = self.owner() {
            owner.start_work(&config, out);
        }
    }

    pub(super) fn child_ended(&mut self, now: Time, child: ChildId, end: Result<Exit, SystemError>, out: &mut Outbox) {
        let Some(work) = self.owner().and_then(Owner::work) else { return };
        let outcome = work.exited(child, end, out);
        self.worked(now, outcome, out);
    }

    pub(super) fn work_read(&mut self, now: Time, read: ReadId, result: Result<&[u8], SystemError>, out: &mut Outbox) {
        let Some(work) = self.owner().and_then(Owner::work) else { return };
        let outcome = work.read(read, result, out);
        self.worked(now, outcome, out);
    }

    /// Ends the work step, and holds the token.
    fn worked(&mut self, now: Time, outcome: Option<StepOutcome>, out: &mut Outbox) {
        let Some(outcome) = outcome else { return };
        let hold = self.config.periods.hold;
        let Some(owner) = self.owner() else { return };
        let (since, ended) = (owner.since(), owner.end_work(outcome));
        if let Err(why) = ended {
            self.log.tell(now, &format!("{why}; the data stays as it was"), out);
        }
        self.timers.set(Timer::Hold, since + hold);
    }

    /// Hands the token on, after it was held long enough.
    pub(super) fn held(&mut self, now: Time, out: &mut Outbox) {
        let Some(owner) = self.owner() else { return };
        if !owner.hold() {
            return;
        }
        if owner.is_outdated() {
            return self.renew(now, out);
        }
        if !self.may_act(now) {
            // Until the lease is confirmed again, or ends.
            return self.timers.set(Timer::Hold, now + self.config.periods.heartbeat / 4);
        }
        self.hand_over(now, BTreeSet::new(), out);
    }

    /// Makes the token again, because a newer epoch was granted to a node that has no token.
    fn renew(&mut self, now: Time, out: &mut Outbox) {
        self.keep_result();
        self.generate(now, "a newer epoch was granted while the token was here", out);
    }

    /// Takes the result of the step as this node's copy, before any other node has it.
    fn keep_result(&mut self) -> Option<(Token, Fence)> {
        let (token, fence) = self.carried()?;
        let data = self.owner()?.data().to_owned();
        self.memory.take(Copy { fence, progress: token.progress, data });
        Some((token, fence))
    }

    /// Hands the token to the next node that can be reached, or keeps it for another hop.
    fn hand_over(&mut self, now: Time, unreachable: BTreeSet<String>, out: &mut Outbox) {
        let next = self.nodes.next_behind(now, &self.config.id, self.config.periods.again(), &unreachable);
        let first = unreachable.is_empty();
        let carried = if first { self.keep_result() } else { self.carried() };
        let Some((token, fence)) = carried else { return };
        let Some(to) = next else {
            if self.leaving {
                return self.timers.set(Timer::Leave, now);
            }
            return self.own(now, token, "no other node is there", out);
        };
        if first {
            self.keep_data(out);
        }
        let hand_over = HandOver { to: to.clone(), fence, begun: now, sent: None, unreachable };
        if let Some(owner) = self.owner() {
            owner.hand_over(hand_over);
        }
        self.say_take_token(now, out);
    }

    /// Returns the token, and the fence that it has for the next owner.
    fn carried(&mut self) -> Option<(Token, Fence)> {
        let compat = self.config.compat;
        self.owner().map(|owner| (owner.token.clone(), if compat { owner.fence } else { owner.fence.next() }))
    }

    /// Sends `take token`, each time the same to the same node.
    fn say_take_token(&mut self, now: Time, out: &mut Outbox) {
        let nodes = self.nodes.iter().map(|(id, node)| (id.to_owned(), node.address.to_string()));
        let nodes = nodes.chain([(self.config.id.clone(), self.config.address.to_string())]).collect();
        let lost = self.nodes.iter().filter(|(_, node)| node.lost.is_some());
        let silent: Vec<String> = lost.map(|(id, _)| id.to_owned()).collect();
        let Some(owner) = self.owner() else { return };
        let (token, data) = (owner.token.clone(), owner.data().to_owned());
        let Some(hand_over) = owner.handing_over() else { return };
        let (to, fence) = (hand_over.to.clone(), hand_over.fence);
        let body = Body::TakeToken { token, nodes, data };
        self.say_to(now, &to, body, |extra| (extra.fence, extra.silent) = (fence, silent), out);
        self.timers.set(Timer::Ask, now + self.config.periods.ask);
    }

    /// Notes that the hand-over has been sent.
    pub(super) fn handed_over(&mut self, now: Time, id: &str, out: &mut Outbox) {
        let compat = self.config.compat;
        let Some(owner) = self.owner() else { return };
        let fence = owner.fence;
        let Some(hand_over) = owner.handing_over() else { return };
        if hand_over.to != id {
            return;
        }
        let first = hand_over.sent.is_none();
        let at = if compat { fence } else { hand_over.fence };
        hand_over.sent.get_or_insert(now);
        if compat {
            self.holder = Some(id.to_owned());
            return self.wait(now, &format!("handed the token to {id}"), out);
        }
        if first {
            self.timers.cancel(&Timer::Lease);
            self.timers.cancel(&Timer::Heartbeat);
            self.log.tell(now, &format!("hands token {at} to {id}"), out);
        }
    }

    /// Notes that the hand-over could not be sent. If no byte of it was sent before, another node may get the token.
    pub(super) fn not_handed_over(&mut self, now: Time, id: &str, out: &mut Outbox) {
        let may_act = self.may_act(now);
        let Some(hand_over) = self.owner().and_then(Owner::handing_over) else { return };
        if hand_over.to != id || hand_over.sent.is_some() {
            return;
        }
        let mut unreachable = std::mem::take(&mut hand_over.unreachable);
        unreachable.insert(id.to_owned());
        if may_act {
            self.hand_over(now, unreachable, out);
        } else {
            self.become_seeker(now, "the lease ended before the token could be handed on", out);
        }
    }

    /// Sends the hand-over again, because it was not acknowledged. After a while a new epoch is needed.
    pub(super) fn hand_over_again(&mut self, now: Time, out: &mut Outbox) {
        let periods = self.config.periods;
        let Some(hand_over) = self.owner().and_then(Owner::handing_over) else { return };
        match hand_over.sent {
            Some(since) if now.since(since) >= periods.waiter + periods.ask => {
                let to = hand_over.to.clone();
                self.nodes.lose(now, &to, Why::Swallows);
                self.generate(now, &format!("{to} does not say that it has the token"), out);
            }
            Some(_) => self.say_take_token(now, out),
            None if now.since(hand_over.begun) >= periods.connect() + periods.ask => {
                let to = hand_over.to.clone();
                self.messenger.take_back(out);
                self.nodes.lose(now, &to, Why::Unreachable);
                self.not_handed_over(now, &to, out);
            }
            // The messenger reports if the node cannot be reached.
            None => self.timers.set(Timer::Ask, now + periods.ask),
        }
    }

    /// Gives way if another node knows of the same token at the next owner, or of a newer one.
    pub(super) fn hear_of_token(&mut self, now: Time, heard: &Accepted, out: &mut Outbox) {
        let Some(owner) = self.owner() else { return };
        let granted = heard.extra.granted;
        let newer_epoch = granted > owner.fence.epoch;
        let fence = owner.fence;
        if let Some(hand_over) = owner.handing_over().filter(|hand_over| hand_over.sent.is_some()) {
            if heard.extra.fence >= hand_over.fence {
                let why = format!("{} has the token", hand_over.to);
                return self.wait(now, &why, out);
            }
            if newer_epoch && heard.author == hand_over.to && granted != heard.extra.fence.epoch {
                return self.generate(now, &format!("{} was granted a newer epoch", heard.author), out);
            }
            return;
        }
        if heard.extra.fence > fence {
            let why = format!("{} knows of token {}", heard.author, heard.extra.fence);
            return self.wait(now, &why, out);
        }
        if newer_epoch {
            owner.set_outdated();
            let idle = owner.is_idle();
            self.grants.note(granted);
            if idle {
                self.renew(now, out);
            }
        }
    }

    /// Begins to leave. Returns whether there is a token to hand on first.
    pub(super) fn leave(&mut self, now: Time, out: &mut Outbox) -> bool {
        let Some(owner) = self.owner() else { return false };
        owner.kill_work(out);
        if owner.has_handed_over() {
            return true;
        }
        if !self.may_act(now) || self.nodes.is_empty() {
            return false;
        }
        self.hand_over(now, BTreeSet::new(), out);
        true
    }
}
