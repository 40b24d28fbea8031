//! The members that this slave speaks for: who stands at a barrier or has given to a sync here, and waits for the
//! verdict. What is waiting is said again after every reconnect; the time that it has is kept here, so that it ends
//! also while the controller is out of reach.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::link::Link;
use crate::machine::{Bytes, ConnId, Exit, Outbox, Time};
use crate::session::{is_meeting, is_tag, words_rule};
use crate::slave::notifies::Waiter;
use crate::slave::process::{RunKey, unexpected};
use crate::slave::run::Run;
use crate::slave::text::clip;
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::verdict::{Heard as Verdict, map_as_line};
use crate::wire::rendezvous::{Arrive, Give, Gone, Heard, Map, Party, RoundVerdict, SYNC_TIMEOUT, VALUE_MOST, Wait};
use crate::wire::{Action, Expect, FromController, Message, Note, Outcome};

/// How much longer than the member's time it is waited for the controller's own verdict, while it is there.
const VERDICT_SLACK: Duration = Duration::from_millis(250);

/// How long the values may be together that wait here for their sessions, in bytes: two of the longest.
const VALUES_MAX: usize = 2 * VALUE_MOST;

/// What a member asks for: an arrival at a barrier, or a gift to a sync.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The barrier's name or the session id.
    pub(super) name: String,
    /// What makes the member one of several on this slave.
    pub(super) tag: Option<String>,
    pub(super) party: Option<Party>,
    /// In microseconds.
    pub(super) timeout: Option<u64>,
    /// The entry whose command asks, as that says.
    pub(super) entry: Option<String>,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Barrier { fresh: Option<u64>, abort: Option<String>, harmonize: bool },
    Sync { all_alive: bool, value: Rc<RawValue> },
}

impl Asked {
    /// `barrier server-up`, for a message.
    fn subject(&self) -> String {
        match self.what {
            What::Barrier { .. } => format!("barrier {}", self.name),
            What::Sync { .. } => format!("sync {}", self.name),
        }
    }
}

/// A member that waits here.
#[derive(Debug)]
struct Member {
    member: String,
    asked: Asked,
    waiter: Waiter,
    deadline: Option<Time>,
    /// Its verdict, when that holds from a later instant on.
    release: Option<(Verdict, Option<Bytes>)>,
}

impl Member {
    fn say(&self, room: &str, id: u64, now: Time, link: &Link, out: &mut Outbox) {
        let timeout = self.deadline.map(|deadline| deadline.since(now).as_micros() as u64);
        let (member, party) = (self.member.as_str().into(), self.asked.party.clone());
        match &self.asked.what {
            What::Barrier { fresh, abort, harmonize } => {
                let barrier = self.asked.name.as_str().into();
                let abort = abort.as_deref().map(Into::into);
                let (fresh, harmonize) = (*fresh, *harmonize);
                let room = room.into();
                link.say(out, &Arrive { room, barrier, id, member, party, timeout, fresh, abort, harmonize });
            }
            What::Sync { all_alive, value } => {
                let (room, session) = (room.into(), self.asked.name.as_str().into());
                let value = Note { json: value };
                link.say(out, &Give { room, session, id, member, party, timeout, all_alive: *all_alive, value });
            }
        }
    }
}

/// The map of a sync, until the verdict of its round comes.
#[derive(Debug)]
struct Received {
    round: u64,
    line: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    waiting: BTreeMap<u64, Member>,
    map: Option<Received>,
    /// What was said and may not have arrived: arrivals taken back, and verdicts heard, with the time of saying.
    gone: Vec<(u64, Time)>,
    heard: Vec<(u64, Time)>,
}

impl Members {
    /// The values of a session arrived; its verdict follows.
    pub(super) fn map(&mut self, map: &Map<'_>) {
        self.map = Some(Received { round: map.round, line: map.encode() });
    }

    /// The connection is gone, and with it what it was about to say.
    pub(super) fn disconnected(&mut self) {
        self.map = None;
    }

    /// The controller has answered a ping of this instant, so it has taken what was said before.
    pub(super) fn answered(&mut self, ping: Time) {
        self.gone.retain(|(_, said)| *said >= ping);
        self.heard.retain(|(_, said)| *said >= ping);
    }

    /// Says again everything that the controller may not know.
    pub(super) fn resume(&mut self, room: &str, turn: &mut Turn<'_>) {
        self.say_gone(room, turn);
        let heard: Vec<u64> = self.heard.iter_mut().map(|(id, said)| (*id, *said = turn.now).0).collect();
        if !heard.is_empty() {
            turn.say(&Heard { room: room.into(), ids: heard });
        }
        for (&id, member) in self.waiting.iter().filter(|(_, member)| member.release.is_none()) {
            member.say(room, id, turn.now, turn.link, turn.out);
        }
    }

    fn say_gone(&mut self, room: &str, turn: &mut Turn<'_>) {
        let ids: Vec<u64> = self.gone.iter_mut().map(|(id, said)| (*id, *said = turn.now).0).collect();
        if !ids.is_empty() {
            turn.say(&Gone { room: room.into(), ids });
        }
    }

    /// Takes arrivals back.
    fn take_back(&mut self, room: &str, ids: Vec<u64>, turn: &mut Turn<'_>) {
        if !ids.is_empty() {
            self.gone.extend(ids.iter().map(|&id| (id, turn.now)));
            turn.say(&Gone { room: room.into(), ids });
        }
    }

    /// How many bytes of values wait here for their sessions.
    fn values(&self) -> usize {
        let value = |member: &Member| match &member.asked.what {
            What::Sync { value, .. } => value.get().len(),
            What::Barrier { .. } => 0,
        };
        self.waiting.values().map(value).sum()
    }

    /// What commands wait for.
    pub(super) fn commands_wait(&self) -> impl Iterator<Item = Wait> {
        let commands = self.waiting.values().filter(|member| matches!(member.waiter, Waiter::Command(_)));
        commands.filter_map(|member| {
            let (entry, name) = (member.asked.entry.clone()?, Some(member.asked.name.clone()));
            Some(match member.asked.what {
                What::Barrier { .. } => Wait { entry, barrier: name, ..Wait::default() },
                What::Sync { .. } => Wait { entry, session: name, ..Wait::default() },
            })
        })
    }

    fn of(&self, waiter: impl Fn(&Waiter) -> bool) -> Vec<u64> {
        self.waiting.iter().filter(|(_, member)| waiter(&member.waiter)).map(|(id, _)| *id).collect()
    }
}

impl Run {
    /// A member arrives or gives, and `waiter` waits for its verdict.
    pub(super) fn meet(&mut self, asked: Asked, waiter: Waiter, turn: &mut Turn<'_>) -> Result<(), String> {
        if !is_meeting(&asked.name) {
            let shown = clip(&asked.name);
            return Err(format!("{shown:?} can name no barrier and no sync: a {}", words_rule()));
        }
        if let What::Sync { value, .. } = &asked.what
            && self.members.values() + value.get().len() > VALUES_MAX
        {
            return Err(format!("the values that wait on this slave have at most {VALUES_MAX} bytes together"));
        }
        let member = match &asked.tag {
            Some(tag) if !is_tag(tag) => {
                let shown = clip(tag);
                return Err(format!("{shown:?} is no tag: it is too long, or has control characters"));
            }
            Some(tag) => format!("{}#{tag}", self.slave_name()),
            None => self.slave_name().to_owned(),
        };
        let default = matches!(asked.what, What::Sync { .. }).then_some(SYNC_TIMEOUT);
        let timeout = asked.timeout.or_else(|| self.part.timeouts.get(&asked.name).copied()).or(default);
        let deadline = timeout.map(|micros| turn.now + Duration::from_micros(micros));
        *turn.arrivals += 1;
        let id = *turn.arrivals;
        if let Some(deadline) = deadline {
            self.timers.set(Timer::Patience(id), deadline);
        }
        let member = Member { member, asked: Asked { timeout, ..asked }, waiter, deadline, release: None };
        member.say(self.id(), id, turn.now, turn.link, turn.out);
        self.members.waiting.insert(id, member);
        Ok(())
    }

    /// The controller says what became of a round, for those of our members that were in it.
    pub(super) fn ruled(&mut self, verdict: &RoundVerdict<'_>, turn: &mut Turn<'_>) {
        let line = self.members.map.take_if(|map| map.round == verdict.round).map(|map| map.line);
        let heard = Verdict {
            verdict: Some(verdict.verdict),
            who: verdict.who.clone(),
            reason: clip(&verdict.reason).to_owned(),
        };
        let at = verdict.at.filter(|_| heard.released()).map(|at| turn.link.release_at(turn.now, at));
        let at = at.filter(|at| *at > turn.now);
        for id in &verdict.ids {
            let Some(member) = self.members.waiting.get_mut(id).filter(|member| member.release.is_none()) else {
                continue;
            };
            self.timers.cancel(&Timer::Patience(*id));
            member.release = Some((heard.clone(), line.clone()));
            match at {
                Some(at) => self.timers.set(Timer::Release(*id), at),
                None => self.release(*id, turn),
            }
        }
        self.members.heard.extend(verdict.ids.iter().map(|&id| (id, turn.now)));
        turn.say(&Heard { room: self.id().into(), ids: verdict.ids.clone() });
    }

    /// The instant of a member's release is here.
    pub(super) fn release(&mut self, id: u64, turn: &mut Turn<'_>) {
        let Some(mut member) = self.members.waiting.remove(&id) else { return };
        let (verdict, line) = member.release.take().unwrap_or_default();
        self.met(&member, &verdict, line, turn);
    }

    /// A member's time is up. The controller, while it is there, is given a moment to say so itself.
    pub(super) fn out_of_patience(&mut self, id: u64, turn: &mut Turn<'_>) {
        let Some(deadline) = self.members.waiting.get(&id).and_then(|member| member.deadline) else { return };
        if turn.link.up() && turn.now < deadline + VERDICT_SLACK {
            return self.timers.set(Timer::Patience(id), deadline + VERDICT_SLACK);
        }
        let Some(member) = self.members.waiting.remove(&id) else { return };
        let room = self.id().to_owned();
        self.members.take_back(&room, vec![id], turn);
        self.met(&member, &Verdict::none(turn.link.up(), turn.link.why_away()), None, turn);
    }

    /// Answers whoever waits for this member's verdict.
    fn met(&mut self, member: &Member, verdict: &Verdict, line: Option<Bytes>, turn: &mut Turn<'_>) {
        match member.waiter {
            Waiter::Command(conn) => turn.control.met(conn, verdict, line, turn.out),
            Waiter::Entry(key) => {
                let waited = member.asked.timeout.map(Duration::from_micros);
                let why = verdict.in_words(&member.asked.subject(), waited);
                self.entry_met(key, verdict, why, line, turn);
            }
            Waiter::Nobody => {}
        }
    }

    /// An entry whose action is a barrier or a sync is over; the map is its standard output.
    fn entry_met(
        &mut self,
        key: RunKey,
        verdict: &Verdict,
        why: Option<String>,
        line: Option<Bytes>,
        turn: &mut Turn<'_>,
    ) {
        if let Some(bytes) = line.and_then(|line| map_of(&line)) {
            self.write_output(key, bytes, turn);
        }
        let exit = Exit::Code(i32::from(verdict.exit_code()));
        let (outcome, why) = self.judge_meeting(key, exit, why);
        self.meeting_over(key, exit, outcome, why, turn);
    }

    /// What the exit of an entry that met means to its test.
    fn judge_meeting(&self, key: RunKey, exit: Exit, why: Option<String>) -> (Outcome, Option<String>) {
        let action = self.processes.get(key).map(|run| &self.part.entries[run.entry].action);
        match action {
            Some(Action::Barrier { expect, .. } | Action::Sync { expect, .. }) if expect.allows(exit) => {
                (Outcome::Passed, None)
            }
            Some(Action::Barrier { expect, barrier: name, .. } | Action::Sync { expect, session: name, .. }) => {
                let what = if matches!(action, Some(Action::Barrier { .. })) { "barrier" } else { "sync" };
                let why = why.unwrap_or_else(|| format!("{what} {name}: all were there"));
                let usual = *expect == Expect::default();
                (Outcome::Failed, Some(if usual { why } else { format!("{why}; {}", unexpected(expect, exit)) }))
            }
            _ => (Outcome::Failed, why),
        }
    }

    /// The connection of a command is gone: nobody waits for its members any more.
    pub(super) fn command_gone(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let ids = self.members.of(|waiter| *waiter == Waiter::Command(conn));
        self.withdraw(ids, turn);
    }

    /// An entry does not wait any longer.
    pub(super) fn entry_gone(&mut self, key: RunKey, turn: &mut Turn<'_>) {
        let ids = self.members.of(|waiter| *waiter == Waiter::Entry(key));
        self.withdraw(ids, turn);
    }

    /// Nobody here waits any longer.
    pub(super) fn all_gone(&mut self, turn: &mut Turn<'_>) {
        let ids = self.members.of(|_| true);
        self.withdraw(ids, turn);
    }

    fn withdraw(&mut self, ids: Vec<u64>, turn: &mut Turn<'_>) {
        let mut unruled = Vec::new();
        for id in ids {
            self.timers.cancel(&Timer::Patience(id));
            self.timers.cancel(&Timer::Release(id));
            if self.members.waiting.remove(&id).is_some_and(|member| member.release.is_none()) {
                unruled.push(id);
            }
        }
        if let Some(room) = self.named().map(str::to_owned) {
            self.members.take_back(&room, unruled, turn);
        }
    }
}

/// The map alone, with a newline, out of its line.
fn map_of(line: &[u8]) -> Option<Vec<u8>> {
    match FromController::decode(line.strip_suffix(b"\n")?) {
        Ok(FromController::Map(map)) => Some(map_as_line(&map.map)),
        _ => None,
    }
}
