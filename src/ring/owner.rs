//! What an owner does: it says where the token is, works, holds, and hands over to the next node in the order of ids.
//!
//! In the normal mode it acts only while its *lease* lasts: it starts a step and hands on only when those who heard its
//! last heartbeats have said so, a majority with `--members`, else all that answer; and it works only on data that the
//! same majority has stored. A node that was stopped, or cut off, finds its lease over when it goes on.

use std::collections::{BTreeMap, BTreeSet};

use super::memory::Copy;
use super::message::Body;
use super::nodes::Why;
use super::speech::Heard;
use super::token::{Fence, Token};
use super::work::{Outcome, Work};
use super::{Ring, State, Timer};
use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, Exit, Outbox, ReadId, Time};

/// How many heartbeats an answer may be late for.
const BEATS_KEPT: usize = 8;

/// How many heartbeats a node may leave unanswered.
const SILENT_BEATS: u32 = 3;

/// The token, and what its owner is doing.
#[derive(Debug)]
pub struct Owner {
    pub fence: Fence,
    pub token: Token,
    data: String,
    phase: Phase,
    /// Since when it has the token.
    since: Time,
    beats: Beats,
    /// Somebody has been granted a newer epoch: the token must be made anew.
    outdated: bool,
}

#[derive(Debug)]
enum Phase {
    /// Waits until its lease is confirmed.
    Confirming,
    Working(Work),
    /// The step is done.
    Holding,
    /// Acts no more.
    HandingOver(HandOver),
}

#[derive(Debug)]
struct HandOver {
    to: String,
    fence: Fence,
    begun: Time,
    /// Since when it may have arrived; from then on nobody else may get it.
    sent: Option<Time>,
    /// Who could not be reached.
    unreachable: BTreeSet<String>,
}

/// The heartbeats, and what has become of them.
#[derive(Debug, Default)]
struct Beats {
    last: u64,
    /// When it was said, and who has answered.
    open: BTreeMap<u64, (Time, BTreeSet<String>)>,
    /// Who has stored the data.
    stored: BTreeSet<String>,
    /// The end of the lease.
    until: Option<Time>,
}

impl Owner {
    pub fn kill_work(&mut self, out: &mut Outbox) {
        if let Phase::Working(_) = self.phase
            && let Phase::Working(work) = std::mem::replace(&mut self.phase, Phase::Holding)
        {
            work.kill(out);
        }
    }

    /// It is no owner any more.
    pub fn stop(mut self, out: &mut Outbox) {
        self.kill_work(out);
    }

    /// Whether the token may have left it.
    pub fn has_handed_over(&self) -> bool {
        matches!(&self.phase, Phase::HandingOver(HandOver { sent: Some(_), .. }))
    }
}

impl Ring {
    /// The token is here: it was taken, or made.
    pub(super) fn own(&mut self, now: Time, token: Token, why: &str, out: &mut Outbox) {
        let fence = self.memory.copy.fence;
        self.memory.token = Some(token.clone());
        if !injected(Fault::TokenTakenUnwritten) {
            self.keep_data(out);
        }
        self.holder = None;
        let data = self.memory.copy.data.clone();
        let progress = token.progress;
        let owner = Owner {
            fence,
            token,
            data,
            phase: Phase::Confirming,
            since: now,
            beats: Beats::default(),
            outdated: false,
        };
        self.become_state(now, State::Owner(Box::new(owner)), why, out);
        self.tell(now, &format!("token {fence} is here, progress {progress}"), out);
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

    /// Says where the token is; to each node, with the data, when a majority has to store it.
    fn beat(&mut self, now: Time, first: bool, out: &mut Outbox) {
        let majority = self.majority();
        let Some(owner) = self.owner() else { return };
        owner.beats.last += 1;
        let nr = owner.beats.last;
        owner.beats.open.insert(nr, (now, BTreeSet::new()));
        if owner.beats.open.len() > BEATS_KEPT {
            owner.beats.open.pop_first();
        }
        let (token, fence, data) = (owner.token.clone(), owner.fence, owner.data.clone());
        let stored = owner.beats.stored.clone();
        let enough = majority.is_none_or(|majority| stored.len() + 1 >= majority);
        self.say(Body::TokenIsHere(token.clone()), |extra| (extra.fence, extra.beat) = (fence, Some(nr)), out);
        self.timers.set(Timer::Heartbeat, now + self.config.periods.heartbeat);
        if !self.config.compat && majority.is_some() && (first || !enough) {
            let lacking: Vec<String> =
                self.nodes.iter().map(|(id, _)| id.to_owned()).filter(|id| !stored.contains(id)).collect();
            for id in lacking {
                let with_data = |extra: &mut super::message::Extra| {
                    (extra.fence, extra.beat, extra.data) = (fence, Some(nr), Some(data.clone()));
                };
                self.say_to(now, &id, Body::TokenIsHere(token.clone()), with_data, out);
            }
        }
    }

    /// Says it again, and takes stock of who has answered.
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

    /// Nodes that have not answered for some heartbeats get no token until they speak again; nor those that have not
    /// answered the first.
    fn lose_silent(&mut self, now: Time, out: &mut Outbox) {
        let within = self.config.periods.heartbeat * SILENT_BEATS;
        let Some(owner) = self.owner() else { return };
        let since = owner.since;
        let last = owner.beats.open.last_key_value().map_or(since, |(_, (said, _))| *said);
        if now.since(last) > self.config.periods.heartbeat * 2 {
            // It is we who were silent.
            return;
        }
        let Some(owner) = self.owner() else { return };
        let confirming = matches!(owner.phase, Phase::Confirming);
        let answered: BTreeSet<String> = owner.beats.open.values().flat_map(|(_, who)| who).cloned().collect();
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
            self.tell(now, &format!("{id} does not answer"), out);
        }
    }

    /// A node has answered a heartbeat.
    pub(super) fn hear_answer(&mut self, now: Time, heard: &Heard, out: &mut Outbox) {
        let Some(nr) = heard.extra.beat else { return };
        let Some(owner) = self.owner() else { return };
        if heard.extra.fence != owner.fence {
            return;
        }
        if heard.extra.stored {
            owner.beats.stored.insert(heard.author.clone());
        }
        if let Some((_, who)) = owner.beats.open.get_mut(&nr) {
            who.insert(heard.author.clone());
        }
        self.confirm(now, out);
    }

    /// Extends the lease by what has been answered; an owner that waits for it goes to work.
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
        let confirms = |(said, who): &(Time, BTreeSet<String>)| match majority {
            Some(majority) => who.len() + 1 >= majority || injected(Fault::ActsWithoutMajority),
            // All that live have answered, or who could object has had the time to.
            None => {
                let all = everybody.iter().all(|id| who.contains(id)) && (alone || !everybody.is_empty());
                all || now.since(*said) >= ask
            }
        };
        let last = owner.beats.open.values().rev().find(|beat| confirms(beat)).map(|(said, _)| *said + lease);
        owner.beats.until = owner.beats.until.max(last);
        let Some(until) = owner.beats.until.filter(|until| *until > now) else { return };
        let stored = majority.is_none_or(|majority| owner.beats.stored.len() + 1 >= majority);
        let waits = matches!(owner.phase, Phase::Confirming);
        self.timers.set(Timer::Lease, until);
        if waits && stored {
            self.work(now, out);
        }
    }

    /// Whether this owner may act now.
    fn may_act(&self, now: Time) -> bool {
        match &self.state {
            State::Owner(_) if injected(Fault::LeaseNeverEnds) => true,
            State::Owner(owner) => self.config.compat || owner.beats.until.is_some_and(|until| until > now),
            _ => false,
        }
    }

    /// Nobody has confirmed the lease for too long.
    pub(super) fn lease_ends(&mut self, now: Time, out: &mut Outbox) {
        let (members, majority) = (self.config.members, self.majority());
        let Some(owner) = self.owner() else { return };
        if owner.has_handed_over() || injected(Fault::LeaseNeverEnds) {
            return;
        }
        let Some((members, majority)) = members.zip(majority) else {
            // Without a majority nobody can say that the token is elsewhere but who has it. Ask before acting on.
            owner.beats.open.clear();
            self.beat(now, false, out);
            return;
        };
        let heard = owner.beats.open.last_key_value().map_or(0, |(_, (_, who))| who.len()) + 1;
        let why = format!("the work stops: {heard} of {members} members answer, {majority} are needed");
        self.become_seeker(now, &why, out);
    }

    /// Starts the work step.
    fn work(&mut self, now: Time, out: &mut Outbox) {
        let config = self.config.work.clone();
        if self.leaving {
            return self.held(now, out);
        }
        if self.owner().is_some_and(|owner| owner.outdated) {
            return self.renew(now, out);
        }
        let Some(owner) = self.owner() else { return };
        owner.phase = Phase::Working(Work::start(&config, owner.fence, owner.token.progress, &owner.data, out));
    }

    pub(super) fn child_ended(&mut self, now: Time, child: ChildId, end: Result<Exit, String>, out: &mut Outbox) {
        let Some(Owner { phase: Phase::Working(work), .. }) = self.owner() else { return };
        let outcome = work.exited(child, end, out);
        self.worked(now, outcome, out);
    }

    pub(super) fn work_read(&mut self, now: Time, read: ReadId, result: Result<&[u8], String>, out: &mut Outbox) {
        let Some(Owner { phase: Phase::Working(work), .. }) = self.owner() else { return };
        let outcome = work.read(read, result, out);
        self.worked(now, outcome, out);
    }

    /// The step is over: the token is held for a while, and then handed on.
    fn worked(&mut self, now: Time, outcome: Option<Outcome>, out: &mut Outbox) {
        let Some(outcome) = outcome else { return };
        let hold = self.config.periods.hold;
        let Some(owner) = self.owner() else { return };
        owner.phase = Phase::Holding;
        let since = owner.since;
        match outcome {
            Outcome::Done { data, progress } => (owner.data, owner.token.progress) = (data, progress),
            Outcome::Failed(why) => self.tell(now, &format!("{why}; the data stays as it was"), out),
        }
        self.timers.set(Timer::Hold, since + hold);
    }

    /// The token has been held long enough.
    pub(super) fn held(&mut self, now: Time, out: &mut Outbox) {
        let Some(owner) = self.owner() else { return };
        if !matches!(owner.phase, Phase::Holding | Phase::Confirming) {
            return;
        }
        owner.phase = Phase::Holding;
        if owner.outdated {
            return self.renew(now, out);
        }
        if !self.may_act(now) {
            // The lease comes back, or ends.
            return self.timers.set(Timer::Hold, now + self.config.periods.heartbeat / 4);
        }
        self.hand_over(now, BTreeSet::new(), out);
    }

    /// Makes the token anew: a newer epoch has been granted to somebody who has no token.
    fn renew(&mut self, now: Time, out: &mut Outbox) {
        self.keep_result();
        self.generate(now, "a newer epoch was granted while the token was here", out);
    }

    /// What the step has made is our copy now, also before anybody else has it.
    fn keep_result(&mut self) -> Option<(Token, Fence)> {
        let (token, fence) = self.carried()?;
        let data = self.owner()?.data.clone();
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
            return self.own(now, token, "nobody else is there", out);
        };
        if first {
            self.keep_data(out);
        }
        let hand_over = HandOver { to: to.clone(), fence, begun: now, sent: None, unreachable };
        if let Some(owner) = self.owner() {
            owner.phase = Phase::HandingOver(hand_over);
        }
        self.say_take_token(now, out);
    }

    /// The token and where it stands for the next owner.
    fn carried(&mut self) -> Option<(Token, Fence)> {
        let compat = self.config.compat;
        self.owner().map(|owner| (owner.token.clone(), if compat { owner.fence } else { owner.fence.next() }))
    }

    /// Says `take token`, the same to the same node each time.
    fn say_take_token(&mut self, now: Time, out: &mut Outbox) {
        let nodes = self.nodes.iter().map(|(id, node)| (id.to_owned(), node.address.to_string()));
        let nodes = nodes.chain([(self.config.id.clone(), self.config.address.to_string())]).collect();
        let lost = self.nodes.iter().filter(|(_, node)| node.lost.is_some());
        let silent: Vec<String> = lost.map(|(id, _)| id.to_owned()).collect();
        let Some(Owner { token, data, phase: Phase::HandingOver(HandOver { to, fence, .. }), .. }) = self.owner()
        else {
            return;
        };
        let (to, fence) = (to.clone(), *fence);
        let body = Body::TakeToken { token: token.clone(), nodes, data: data.clone() };
        self.say_to(now, &to, body, |extra| (extra.fence, extra.silent) = (fence, silent), out);
        self.timers.set(Timer::Ask, now + self.config.periods.ask);
    }

    /// The hand-over has gone out.
    pub(super) fn handed_over(&mut self, now: Time, id: &str, out: &mut Outbox) {
        let compat = self.config.compat;
        let Some(Owner { fence, phase: Phase::HandingOver(hand_over), .. }) = self.owner() else { return };
        if hand_over.to != id {
            return;
        }
        let first = hand_over.sent.is_none();
        let at = if compat { *fence } else { hand_over.fence };
        hand_over.sent.get_or_insert(now);
        if compat {
            self.holder = Some(id.to_owned());
            return self.wait(now, &format!("handed the token to {id}"), out);
        }
        if first {
            self.timers.cancel(&Timer::Lease);
            self.timers.cancel(&Timer::Heartbeat);
            self.tell(now, &format!("hands token {at} to {id}"), out);
        }
    }

    /// No byte has gone out. If none has before either, somebody else may get the token.
    pub(super) fn not_handed_over(&mut self, now: Time, id: &str, out: &mut Outbox) {
        let may_act = self.may_act(now);
        let Some(Owner { phase: Phase::HandingOver(hand_over), .. }) = self.owner() else { return };
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

    /// No acknowledgement has come: the same again to the same node, until a new epoch must be agreed.
    pub(super) fn hand_over_again(&mut self, now: Time, out: &mut Outbox) {
        let periods = self.config.periods;
        let Some(Owner { phase: Phase::HandingOver(hand_over), .. }) = self.owner() else { return };
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
            // The messenger says when it cannot be reached.
            None => self.timers.set(Timer::Ask, now + periods.ask),
        }
    }

    /// Somebody knows of a token that stands where ours does, or further.
    pub(super) fn hear_of_token(&mut self, now: Time, heard: &Heard, out: &mut Outbox) {
        let Some(owner) = self.owner() else { return };
        let granted = heard.extra.granted;
        let newer_epoch = granted > owner.fence.epoch;
        if let Phase::HandingOver(hand_over) = &owner.phase
            && hand_over.sent.is_some()
        {
            if heard.extra.fence >= hand_over.fence {
                let why = format!("{} has the token", hand_over.to);
                return self.wait(now, &why, out);
            }
            if newer_epoch && heard.author == hand_over.to && granted != heard.extra.fence.epoch {
                return self.generate(now, &format!("{} was granted a newer epoch", heard.author), out);
            }
            return;
        }
        if heard.extra.fence > owner.fence {
            let why = format!("{} knows of token {}", heard.author, heard.extra.fence);
            return self.wait(now, &why, out);
        }
        if newer_epoch {
            owner.outdated = true;
            self.granted = self.granted.max(granted);
            if let Some(Owner { phase: Phase::Confirming | Phase::Holding, .. }) = self.owner() {
                self.renew(now, out);
            }
        }
    }

    /// This node is told to go. Whether there is a token that it hands on first.
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
