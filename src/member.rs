//! A client of a controller: joins a room, does one thing there, and leaves.
//!
//! It arrives at a barrier or gives a value to a sync as one member, notifies or waits for a trigger, or creates, removes
//! or lists triggers. The client reconnects while the controller is away, so it may start first. After each reconnect it
//! sends its request again, which counts once.

use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::exit_code;
use crate::link::{Link, Linked};
use crate::machine::{Address, Bytes, ConnId, Input, Machine, Outbox, Signal, Stream, Time, Timers};
use crate::session::VERSION;
use crate::text;
use crate::verdict::{RoundResult, VERDICT_SLACK, map_as_line, notes_in_lines, out_of_reach, too_late};
use crate::wire::rendezvous::{Alive, Arrive, Elsewhere, Give, Gone, Heard, Map, Party, RoundVerdict};
use crate::wire::room::{Create, Delete, Join, List, Listing, Watch};
use crate::wire::{
    Bye, FromController, LINE_MAX_BEFORE_HELLO, Message, Noted, Notify, PROTOCOL, RawJson, Triggered, Welcome,
};

/// The number of the only arrival, value or notify of this process.
const ONLY: u64 = 1;

/// The longest request that is sent together with the greeting, in bytes: far below the longest line that a controller
/// reads before its welcome.
const ASKED_AT_ONCE_MAX: usize = LINE_MAX_BEFORE_HELLO / 16;

/// The configuration of a client.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the controller.
    pub controller: Address,
    /// The room to join.
    pub room: String,
    /// The member that the client acts for, `HOST` or `HOST#TAG`.
    pub member: Option<String>,
    /// A random text that distinguishes this process from others of the same member.
    pub incarnation: String,
    /// The seed for the jitter of reconnects.
    pub seed: u64,
    /// The task of the client in the room.
    pub task: Task,
    /// The beginning of `timeout`. `None`: the first input.
    pub begun: Option<Time>,
    /// The time limit. `None`: no limit.
    pub timeout: Option<Duration>,
}

/// The task of a client.
#[derive(Debug, Clone)]
pub enum Task {
    /// Arrives at a barrier.
    Barrier {
        /// The name of the barrier.
        barrier: String,
        /// The members that must arrive; `None` if the test or another member names them.
        party: Option<Party>,
        /// How recent a sign of life must be, in microseconds.
        fresh: Option<u64>,
        /// Fails the round for this reason instead of waiting.
        abort: Option<String>,
        /// Releases all members at one instant.
        harmonize: bool,
    },
    /// Gives a value to a sync, and prints the map of all values.
    Sync {
        /// The name of the session.
        session: String,
        /// The members that must give a value; `None` if the test or another member names them.
        party: Option<Party>,
        /// Waits for a sign of life from each member.
        all_alive: bool,
        /// The value, as JSON.
        value: Rc<RawValue>,
    },
    /// Notifies a trigger once.
    Notify {
        /// The name of the trigger.
        trigger: String,
        /// The data of the notify, as JSON.
        data: Option<Rc<RawValue>>,
    },
    /// Waits until a trigger has fired.
    Wait {
        /// The name of the trigger.
        trigger: String,
    },
    /// Creates a trigger.
    Create {
        /// The name of the trigger.
        trigger: String,
        /// The number of notifies after which it fires.
        count: u64,
    },
    /// Removes a trigger.
    Delete {
        /// The name of the trigger.
        trigger: String,
    },
    /// Prints the triggers of the room.
    List,
}

impl Task {
    fn meets(&self) -> bool {
        matches!(self, Task::Barrier { .. } | Task::Sync { .. })
    }

    /// Returns the subject of messages, such as `barrier server-up`.
    fn subject(&self) -> String {
        match self {
            Task::Barrier { barrier, .. } => format!("barrier {barrier}"),
            Task::Sync { session, .. } => format!("sync {session}"),
            Task::Notify { trigger, .. } => format!("notify {trigger}"),
            Task::Wait { trigger } => format!("wait {trigger}"),
            Task::Create { trigger, .. } | Task::Delete { trigger } => format!("trigger {trigger}"),
            Task::List => "trigger list".to_owned(),
        }
    }
}

/// A client of a controller.
pub struct Member {
    config: Config,
    link: Link,
    deadline: Option<Time>,
    /// The map of a sync, which becomes the output when its verdict arrives.
    output: Vec<u8>,
    /// The round of the map.
    round: u64,
    /// The last run that the controller has suggested as the room.
    pointed_to: Option<String>,
    over: Option<u8>,
    /// The request was sent with the greeting of this connection.
    request_sent: bool,
    timers: Timers<Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The timeout.
    Patience,
    /// The instant of the release.
    Release,
}

impl Member {
    /// Returns a client that has not connected yet.
    pub fn new(config: Config) -> Member {
        Member {
            link: Link::new(config.controller.clone(), config.seed),
            deadline: None,
            output: Vec::new(),
            round: 0,
            pointed_to: None,
            over: None,
            request_sent: false,
            timers: Timers::default(),
            config,
        }
    }

    /// Returns the exit code, once nothing is left to do.
    pub fn over(&self) -> Option<u8> {
        self.over
    }

    /// Returns the member, or an empty text.
    pub fn name(&self) -> &str {
        self.config.member.as_deref().unwrap_or_default()
    }

    /// Returns the subject of messages, such as `barrier server-up`.
    pub fn subject(&self) -> String {
        self.config.task.subject()
    }

    /// Returns the standard output. It may be long and must be written completely after the exit.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Returns whether this is the connection to the controller.
    pub fn is(&self, conn: ConnId) -> bool {
        self.link.is(conn)
    }

    /// Takes one input, as a [`Machine`] that does not exit when it is [over](Member::over).
    pub fn turn(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if self.over.is_some() {
            return;
        }
        match input {
            Input::Begin => {
                let begun = self.config.begun.unwrap_or(now);
                self.deadline = self.config.timeout.map(|timeout| begun + timeout);
                if let Some(deadline) = self.deadline {
                    self.timers.set(Timer::Patience, deadline);
                }
                self.link.connect(now, out);
            }
            input => {
                if let Some(Input::Signal(signal)) = self.on_link_input(now, input, out) {
                    self.signal(signal, out);
                }
            }
        }
        self.fire(now, out);
    }

    /// Returns whether it still waits for an answer. A member that waits for the instant of its release has its verdict.
    fn lacks_verdict(&self) -> bool {
        self.timers.get(&Timer::Release).is_none()
    }

    /// Returns the request as a line.
    fn request(&self, now: Time) -> Bytes {
        let room = || self.config.room.as_str().into();
        let member = || self.config.member.as_deref().unwrap_or_default().into();
        let timeout = self.deadline.map(|deadline| deadline.since(now).as_micros() as u64);
        match &self.config.task {
            Task::Barrier { barrier, party, fresh, abort, harmonize } => {
                let arrive = Arrive {
                    room: room(),
                    barrier: barrier.as_str().into(),
                    id: ONLY,
                    member: member(),
                    party: party.clone(),
                    timeout,
                    fresh: *fresh,
                    abort: abort.as_deref().map(Into::into),
                    harmonize: *harmonize,
                };
                arrive.encode()
            }
            Task::Sync { session, party, all_alive, value } => {
                let give = Give {
                    room: room(),
                    session: session.as_str().into(),
                    id: ONLY,
                    member: member(),
                    party: party.clone(),
                    timeout,
                    all_alive: *all_alive,
                    value: RawJson { json: value },
                };
                give.encode()
            }
            Task::Notify { trigger, data } => {
                let data = data.as_deref().map(|json| RawJson { json });
                Notify { room: room(), trigger: trigger.as_str().into(), count: ONLY, data }.encode()
            }
            Task::Wait { trigger } => Watch { room: room(), trigger: trigger.as_str().into() }.encode(),
            Task::Create { trigger, count } => {
                Create { room: room(), trigger: trigger.as_str().into(), count: *count }.encode()
            }
            Task::Delete { trigger } => Delete { room: room(), trigger: trigger.as_str().into() }.encode(),
            Task::List => List { room: room() }.encode(),
        }
    }

    /// A run has a barrier or sync of this name, in another room. The hint is printed once for each run.
    fn meets_elsewhere(&mut self, elsewhere: &Elsewhere<'_>, out: &mut Outbox) {
        if self.pointed_to.as_deref() == Some(&*elsewhere.run) {
            return;
        }
        self.pointed_to = Some(elsewhere.run.clone().into_owned());
        let (what, subject) = (if elsewhere.sync { "sync" } else { "barrier" }, self.config.task.subject());
        let Elsewhere { run, name, .. } = elsewhere;
        let line = format!("arete: {subject}: run {run:?} has a {what} {name:?}: use --room {run}");
        out.print(Stream::Err, text::harmless(&line).into_owned() + "\n");
    }

    /// The map of the sync has arrived. The verdict follows.
    fn map(&mut self, map: &Map<'_>) {
        if self.lacks_verdict() {
            self.output = map_as_line(&map.map);
            self.round = map.round;
        }
    }

    fn ruled(&mut self, now: Time, verdict: &RoundVerdict<'_>, out: &mut Outbox) {
        let room = self.config.room.as_str().into();
        self.link.say_soon(now, &Heard { room, ids: verdict.ids.clone() });
        let waits = self.config.task.meets() && self.lacks_verdict();
        if !waits || !verdict.ids.contains(&ONLY) {
            return;
        }
        let heard = RoundResult::from(verdict);
        if !heard.released() || verdict.round != self.round {
            self.output.clear();
        }
        match verdict.at.map(|at| self.link.release_at(now, at)).filter(|at| heard.released() && *at > now) {
            Some(at) => {
                self.timers.cancel(&Timer::Patience);
                self.timers.set(Timer::Release, at);
            }
            None => self.met(&heard, out),
        }
    }

    fn met(&mut self, heard: &RoundResult, out: &mut Outbox) {
        let message = heard.in_words(&self.config.task.subject(), self.config.timeout);
        self.end(heard.exit_code(), message.as_deref(), out);
    }

    fn triggered(&mut self, triggered: &Triggered<'_>, out: &mut Outbox) {
        match &self.config.task {
            Task::Wait { trigger } if **trigger == *triggered.trigger => {}
            _ => return,
        }
        match triggered.notes.as_ref().map(notes_in_lines) {
            Some(Err(error)) => return self.fail(&format!("the controller's answer: {error}"), out),
            Some(Ok(lines)) => self.output = lines.into_bytes(),
            None => {}
        }
        self.done(out);
    }

    fn noted(&mut self, noted: &Noted<'_>, out: &mut Outbox) {
        let Task::Notify { trigger, data } = &self.config.task else { return };
        if data.is_some() && noted.in_time.is_some_and(|in_time| in_time < ONLY) {
            out.print(Stream::Err, format!("arete: {}\n", too_late(trigger)));
        }
        self.done(out);
    }

    /// Makes the output: a line `NAME LEFT of INITIAL` for each trigger.
    fn listed(&mut self, listing: &Listing<'_>, out: &mut Outbox) {
        let line = |it: &crate::wire::room::TriggerState| {
            let fired = if it.fired { " fired" } else { "" };
            format!("{} {} of {}{fired}\n", text::harmless(&it.trigger), it.left, it.initial)
        };
        self.output = listing.triggers.iter().map(line).collect::<String>().into_bytes();
        self.done(out);
    }

    fn signal(&mut self, signal: Signal, out: &mut Outbox) {
        log::debug!("{}: leaving", signal.name());
        self.take_back(out);
        self.end(exit_code::INTERRUPTED, None, out);
    }

    /// Takes the arrival back.
    fn take_back(&mut self, out: &mut Outbox) {
        if self.config.task.meets() && self.lacks_verdict() {
            let gone = Gone { room: self.config.room.as_str().into(), ids: vec![ONLY] };
            match self.request_sent {
                true => self.link.say_early(out, &gone),
                false => self.link.say(out, &gone),
            }
        }
    }

    /// Fires the timers that are due.
    fn fire(&mut self, now: Time, out: &mut Outbox) {
        if self.over.is_some() {
            return;
        }
        self.link.fire(now, out);
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Release => self.done(out),
                Timer::Patience => self.out_of_patience(now, out),
            }
        }
    }

    /// The time is up. If the controller is connected, it gets a moment to send its own verdict.
    fn out_of_patience(&mut self, now: Time, out: &mut Outbox) {
        if !self.config.task.meets() {
            let within = text::duration(self.config.timeout.unwrap_or_default());
            let why = match &self.config.task {
                _ if !self.link.up() => {
                    out_of_reach(&format!("controller {}", self.config.controller), self.link.why_away())
                }
                Task::Wait { .. } => "the trigger has not fired".to_owned(),
                _ => "the controller has not answered".to_owned(),
            };
            let message = format!("{}: not done within {within}: {why}", self.config.task.subject());
            return self.end(exit_code::TIME_LIMIT, Some(&message), out);
        }
        let until = self.deadline.map_or(now, |deadline| deadline + VERDICT_SLACK);
        if self.link.up() && now < until {
            return self.timers.set(Timer::Patience, until);
        }
        self.take_back(out);
        self.output.clear();
        self.met(&RoundResult::none(self.link.up(), self.link.why_away()), out);
    }

    fn done(&mut self, out: &mut Outbox) {
        self.end(exit_code::PASSED, None, out);
    }

    fn fail(&mut self, reason: &str, out: &mut Outbox) {
        let message = format!("{}: {reason}", self.config.task.subject());
        self.output.clear();
        self.end(exit_code::FAILED, Some(&message), out);
    }

    fn end(&mut self, code: u8, message: Option<&str>, out: &mut Outbox) {
        if self.over.is_some() {
            return;
        }
        self.over = Some(code);
        self.timers.clear();
        self.link.leave("done", out);
        if let Some(message) = message {
            out.print(Stream::Err, format!("arete: {}\n", text::harmless(message)));
        }
    }

    /// Returns when the client must get its next turn.
    pub fn deadline(&self) -> Option<Time> {
        [self.link.next_deadline(), self.timers.next()].into_iter().flatten().min()
    }
}

impl Linked for Member {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn greeting(&mut self, now: Time) -> Bytes {
        let join = Join {
            protocol: PROTOCOL,
            version: VERSION.into(),
            incarnation: self.config.incarnation.as_str().into(),
            room: self.config.room.as_str().into(),
            member: self.config.member.as_deref().map(Into::into),
        };
        let (join, request) = (join.encode(), self.request(now));
        // A round trip less.
        self.request_sent = self.lacks_verdict() && request.len() <= ASKED_AT_ONCE_MAX;
        if !self.request_sent {
            return join;
        }
        // If the answer is a verdict with an instant, the clock is measured before.
        [&*join, &*self.link.first_ping(now), &*request].concat().into()
    }

    fn on_welcome(&mut self, now: Time, _welcome: &Welcome<'_>, out: &mut Outbox) {
        if !self.lacks_verdict() {
            // The controller may not have received the confirmation.
            let room = self.config.room.as_str().into();
            self.link.say_soon(now, &Heard { room, ids: vec![ONLY] });
        } else if !self.request_sent {
            let request = self.request(now);
            self.link.say_line(out, &request);
        }
    }

    fn on_message(&mut self, now: Time, message: FromController<'_>, out: &mut Outbox) {
        match &message {
            FromController::Pong(_) => {}
            FromController::Check(_) => self.link.say(out, &Alive { lifetime: PhantomData }),
            FromController::Elsewhere(elsewhere) if self.config.task.meets() => self.meets_elsewhere(elsewhere, out),
            FromController::Map(map) => self.map(map),
            FromController::RoundVerdict(verdict) => self.ruled(now, verdict, out),
            FromController::Triggered(triggered) => self.triggered(triggered, out),
            FromController::Noted(noted) => self.noted(noted, out),
            FromController::Created(_) if matches!(self.config.task, Task::Create { .. } | Task::Delete { .. }) => {
                self.done(out);
            }
            FromController::Listing(listing) if matches!(self.config.task, Task::List) => self.listed(listing, out),
            FromController::Refused(refused) => self.fail(&refused.reason, out),
            _ => log::debug!("the controller has sent a message that was not requested"),
        }
    }

    fn on_bye(&mut self, _now: Time, bye: &Bye<'_>, out: &mut Outbox) -> bool {
        if bye.fatal {
            self.fail(&format!("controller {}: {}", self.config.controller, bye.reason), out);
        }
        !bye.fatal
    }

    fn on_lost(&mut self, _now: Time, _was_up: bool, _out: &mut Outbox) {}
}

impl Machine for Member {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.turn(now, input, out);
        if let Some(code) = self.over {
            out.exit(code);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.deadline()
    }
}

#[cfg(test)]
mod tests;
