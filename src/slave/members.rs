//! The members of this slave that wait for the verdict of a barrier or a sync.
//!
//! [`Members`] sends every arrival again after a reconnect; its number lets the controller count it once. The timeouts
//! are kept here, so that a member never waits longer because the controller is out of reach.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::link::Link;
use crate::machine::{Bytes, Outbox, Time, Timers};
use crate::session::{is_meeting, is_tag};
use crate::slave::notifies::Waiter;
use crate::slave::refusal::Refusal;
use crate::slave::shorten::clip;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::verdict::{RoundResult, VERDICT_SLACK};
use crate::wire::rendezvous::{Arrive, Give, Gone, Heard, Map, Party, RoundVerdict, VALUE_MOST, Wait};
use crate::wire::{Message, RawJson};

/// The limit of all values that wait here for their syncs, in bytes: two of the longest.
const VALUES_MAX: usize = 2 * VALUE_MOST;

/// An arrival at a barrier, or a value for a sync.
#[derive(Debug, Clone)]
pub(super) struct MeetRequest {
    /// The name of the barrier, or the session id of the sync.
    pub(super) name: String,
    /// The tag that distinguishes several members of this slave.
    pub(super) tag: Option<String>,
    pub(super) party: Option<Party>,
    /// In microseconds.
    pub(super) timeout: Option<u64>,
    /// The entry of the command, as the command states it.
    pub(super) entry: Option<String>,
    pub(super) what: MeetKind,
}

#[derive(Debug, Clone)]
pub(super) enum MeetKind {
    Barrier { fresh: Option<u64>, abort: Option<String>, harmonize: bool },
    Sync { all_alive: bool, value: Rc<RawValue> },
}

impl MeetRequest {
    /// `barrier server-up`, for a message.
    pub(super) fn subject(&self) -> String {
        match self.what {
            MeetKind::Barrier { .. } => format!("barrier {}", self.name),
            MeetKind::Sync { .. } => format!("sync {}", self.name),
        }
    }
}

/// A member that is released, or has timed out.
#[derive(Debug)]
pub(super) struct Released {
    pub(super) asked: MeetRequest,
    pub(super) waiter: Waiter,
    pub(super) verdict: RoundResult,
    /// The message with the map of its sync.
    pub(super) line: Option<Bytes>,
}

/// A member that waits here.
#[derive(Debug)]
struct LocalMember {
    member: String,
    asked: MeetRequest,
    waiter: Waiter,
    deadline: Option<Time>,
    /// Its verdict, which takes effect at a later instant.
    release: Option<(RoundResult, Option<Bytes>)>,
}

impl LocalMember {
    fn say(&self, room: &str, id: u64, now: Time, link: &mut Link, out: &mut Outbox) {
        let timeout = self.deadline.map(|deadline| deadline.since(now).as_micros() as u64);
        let (member, party) = (self.member.as_str().into(), self.asked.party.clone());
        match &self.asked.what {
            MeetKind::Barrier { fresh, abort, harmonize } => {
                let barrier = self.asked.name.as_str().into();
                let abort = abort.as_deref().map(Into::into);
                let (fresh, harmonize) = (*fresh, *harmonize);
                let room = room.into();
                link.say(out, &Arrive { room, barrier, id, member, party, timeout, fresh, abort, harmonize });
            }
            MeetKind::Sync { all_alive, value } => {
                let (room, session) = (room.into(), self.asked.name.as_str().into());
                let value = RawJson { json: value };
                link.say(out, &Give { room, session, id, member, party, timeout, all_alive: *all_alive, value });
            }
        }
    }
}

/// The map of a sync, until the verdict of its round arrives.
#[derive(Debug)]
struct Received {
    round: u64,
    line: Bytes,
}

#[derive(Debug)]
pub(super) struct Members {
    /// The room in which they meet others: the run's id.
    room: String,
    waiting: BTreeMap<u64, LocalMember>,
    map: Option<Received>,
    /// The arrivals taken back that the controller may not know, each with the time of the message.
    gone: Vec<(u64, Time)>,
    /// The verdicts received that the controller may not know, likewise.
    heard: Vec<(u64, Time)>,
}

impl Members {
    pub(super) fn new(run: &str) -> Members {
        Members { room: run.to_owned(), waiting: BTreeMap::new(), map: None, gone: Vec::new(), heard: Vec::new() }
    }

    /// The map of a sync has arrived; its verdict follows.
    pub(super) fn map(&mut self, map: &Map<'_>) {
        self.map = Some(Received { round: map.round, line: map.encode() });
    }

    /// The connection is lost, and with it the verdict that belongs to the map.
    pub(super) fn disconnected(&mut self) {
        self.map = None;
    }

    /// The controller has answered a ping of this instant, so it knows the messages before it.
    pub(super) fn answered(&mut self, ping: Time) {
        self.gone.retain(|(_, said)| *said >= ping);
        self.heard.retain(|(_, said)| *said >= ping);
    }

    /// Sends again everything that the controller may not know.
    pub(super) fn resume(&mut self, turn: &mut Turn<'_>) {
        let gone: Vec<u64> = self.gone.iter_mut().map(|(id, said)| (*id, *said = turn.now).0).collect();
        if !gone.is_empty() {
            turn.say(&Gone { room: self.room.as_str().into(), ids: gone });
        }
        let heard: Vec<u64> = self.heard.iter_mut().map(|(id, said)| (*id, *said = turn.now).0).collect();
        if !heard.is_empty() {
            turn.say(&Heard { room: self.room.as_str().into(), ids: heard });
        }
        for (&id, member) in self.waiting.iter().filter(|(_, member)| member.release.is_none()) {
            member.say(&self.room, id, turn.now, turn.link, turn.out);
        }
    }

    /// Takes arrivals back.
    pub(super) fn take_back(&mut self, ids: Vec<u64>, turn: &mut Turn<'_>) {
        if !ids.is_empty() {
            self.gone.extend(ids.iter().map(|&id| (id, turn.now)));
            turn.say(&Gone { room: self.room.as_str().into(), ids });
        }
    }

    /// Returns how many bytes of values wait here.
    fn values(&self) -> usize {
        let value = |member: &LocalMember| match &member.asked.what {
            MeetKind::Sync { value, .. } => value.get().len(),
            MeetKind::Barrier { .. } => 0,
        };
        self.waiting.values().map(value).sum()
    }

    /// Returns the barriers and syncs at which commands wait.
    pub(super) fn commands_wait(&self) -> impl Iterator<Item = Wait> {
        let commands = self.waiting.values().filter(|member| matches!(member.waiter, Waiter::Command(_)));
        commands.filter_map(|member| {
            let (entry, name) = (member.asked.entry.clone()?, Some(member.asked.name.clone()));
            Some(match member.asked.what {
                MeetKind::Barrier { .. } => Wait { entry, barrier: name, ..Wait::default() },
                MeetKind::Sync { .. } => Wait { entry, session: name, ..Wait::default() },
            })
        })
    }

    /// Adds a member of this slave and sends its arrival. `waiter` gets the verdict. Fails if the request is not valid,
    /// or if the values that wait here are too long together.
    pub(super) fn add(
        &mut self,
        slave: &str,
        asked: MeetRequest,
        waiter: Waiter,
        timers: &mut Timers<Timer>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        if !is_meeting(&asked.name) {
            return Err(Refusal::MeetingName(asked.name));
        }
        if let MeetKind::Sync { value, .. } = &asked.what
            && self.values() + value.get().len() > VALUES_MAX
        {
            return Err(Refusal::Values { most: VALUES_MAX });
        }
        let member = match &asked.tag {
            Some(tag) if !is_tag(tag) => return Err(Refusal::Tag(tag.clone())),
            Some(tag) => format!("{slave}#{tag}"),
            None => slave.to_owned(),
        };
        let deadline = asked.timeout.map(|micros| turn.now + Duration::from_micros(micros));
        *turn.arrivals += 1;
        let id = *turn.arrivals;
        if let Some(deadline) = deadline {
            timers.set(Timer::Patience(id), deadline);
        }
        let member = LocalMember { member, asked, waiter, deadline, release: None };
        member.say(&self.room, id, turn.now, turn.link, turn.out);
        self.waiting.insert(id, member);
        Ok(())
    }

    /// Takes the verdict of a round for its members here. Returns the ones that are released now. A timer releases the
    /// others at their instant.
    pub(super) fn ruled(
        &mut self,
        verdict: &RoundVerdict<'_>,
        timers: &mut Timers<Timer>,
        turn: &Turn<'_>,
    ) -> Vec<Released> {
        let line = self.map.take_if(|map| map.round == verdict.round).map(|map| map.line);
        let heard = RoundResult {
            verdict: Some(verdict.verdict),
            who: verdict.who.clone(),
            reason: clip(&verdict.reason).to_owned(),
        };
        let at = verdict.at.filter(|_| heard.released()).map(|at| turn.link.release_at(turn.now, at));
        let at = at.filter(|at| *at > turn.now);
        let mut released = Vec::new();
        for id in &verdict.ids {
            let Some(member) = self.waiting.get_mut(id).filter(|member| member.release.is_none()) else { continue };
            timers.cancel(&Timer::Patience(*id));
            member.release = Some((heard.clone(), line.clone()));
            match at {
                Some(at) => timers.set(Timer::Release(*id), at),
                None => released.extend(self.release(*id)),
            }
        }
        released
    }

    /// Tells the controller that verdicts have arrived.
    pub(super) fn confirm(&mut self, ids: &[u64], turn: &mut Turn<'_>) {
        self.heard.extend(ids.iter().map(|&id| (id, turn.now)));
        turn.link.say_soon(turn.now, &Heard { room: self.room.as_str().into(), ids: ids.to_vec() });
    }

    /// Removes a member that is released now.
    pub(super) fn release(&mut self, id: u64) -> Option<Released> {
        let member = self.waiting.remove(&id)?;
        let (verdict, line) = member.release.unwrap_or_default();
        Some(Released { asked: member.asked, waiter: member.waiter, verdict, line })
    }

    /// A member has timed out. If the controller is connected, it gets a moment to send its own verdict. Then the
    /// member is released without a verdict, and its arrival is taken back.
    pub(super) fn expire(&mut self, id: u64, timers: &mut Timers<Timer>, turn: &mut Turn<'_>) -> Option<Released> {
        let deadline = self.waiting.get(&id)?.deadline?;
        if turn.link.up() && turn.now < deadline + VERDICT_SLACK {
            timers.set(Timer::Patience(id), deadline + VERDICT_SLACK);
            return None;
        }
        let member = self.waiting.remove(&id)?;
        self.take_back(vec![id], turn);
        let verdict = RoundResult::none(turn.link.up(), turn.link.why_away());
        Some(Released { asked: member.asked, waiter: member.waiter, verdict, line: None })
    }

    /// Removes the members of these waiters. Returns the arrivals without a verdict, which must be taken back.
    pub(super) fn remove(&mut self, whose: impl Fn(&Waiter) -> bool, timers: &mut Timers<Timer>) -> Vec<u64> {
        let ids: Vec<u64> =
            self.waiting.iter().filter(|(_, member)| whose(&member.waiter)).map(|(id, _)| *id).collect();
        let mut unruled = Vec::new();
        for id in ids {
            timers.cancel(&Timer::Patience(id));
            timers.cancel(&Timer::Release(id));
            if self.waiting.remove(&id).is_some_and(|member| member.release.is_none()) {
                unruled.push(id);
            }
        }
        unruled
    }
}
