//! The connection of a slave, a client or an operator to its controller.
//!
//! `Link` owns the connection: it reconnects with a growing delay, cuts the stream into messages, pings, detects a
//! silent controller and estimates the offset of its clock. `Linked` is what a machine implements to receive the
//! messages. A line that is not a valid message closes the connection and never reaches a machine, and neither does any
//! message before the welcome.

use std::fmt;
use std::time::Duration;

use crate::machine::{Address, Bytes, Cause, ConnId, Input, Outbox, Reason, Time, Timers};
use crate::session::{Backoff, ClockOffset, FIRST_PINGS, HELLO_WITHIN, PING_EVERY, SILENT_AFTER};
use crate::wire::rendezvous::SESSION_MOST;
use crate::wire::{
    Bound, Bye, Code, Frames, FromController, LINE_AROUND_VALUES, LINE_MAX, Malformed, Message, PROTOCOL, Ping, Pong,
    Welcome,
};

/// The longest line that a controller may send after its welcome, in bytes: the map of a sync. The limit of values is
/// configured at the controller alone, so this is the highest limit that can be configured.
pub const LINE_FROM_CONTROLLER_MAX: usize = SESSION_MOST + LINE_AROUND_VALUES;

/// If a connection has lasted this long, the next attempt is made at once. Otherwise the delay grows.
const LASTING: Duration = Duration::from_secs(5);

/// How much later the silence of a controller is checked again if its bytes have not all been read.
const BEHIND_AGAIN: Duration = Duration::from_millis(10);

/// How long a confirmation waits for a message with which it can be sent.
const HOLD_MAX: Duration = Duration::from_millis(5);

/// The longest wait for the instant of a release that the controller names.
const RELEASE_AHEAD_MAX: Duration = Duration::from_secs(1);

/// The message if the other end sends something that no controller sends before its welcome.
pub const NO_CONTROLLER: &str = "no controller of arete listens there";

/// A machine with a link to a controller.
///
/// The machine gives each of its inputs to [`on_link_input`](Linked::on_link_input) first.
pub(crate) trait Linked {
    /// The longest line that the machine accepts after the welcome, in bytes.
    const LONGEST: usize = LINE_FROM_CONTROLLER_MAX;

    /// Returns the machine's link.
    fn link(&mut self) -> &mut Link;

    /// Returns the first message of a connection, encoded, and possibly others. The controller answers the first one with a
    /// welcome or a bye.
    fn greeting(&mut self, now: Time) -> Bytes;

    /// Returns whether the controller continues what it did on the last connection, so that its clock is the same.
    fn goes_on(&self, _welcome: &Welcome<'_>) -> bool {
        false
    }

    /// The controller has accepted the greeting.
    fn on_welcome(&mut self, now: Time, welcome: &Welcome<'_>, out: &mut Outbox);

    /// The controller has sent a message after its welcome.
    fn on_message(&mut self, now: Time, message: FromController<'_>, out: &mut Outbox);

    /// The controller ends the connection. Returns whether to try again later; otherwise the machine has done what
    /// there was to do.
    fn on_bye(&mut self, now: Time, bye: &Bye<'_>, out: &mut Outbox) -> bool;

    /// The connection has closed or could not be made. `was_up`: the controller had accepted the greeting.
    fn on_lost(&mut self, now: Time, was_up: bool, out: &mut Outbox);

    /// Handles an input of the link. Returns the input if it does not concern the link.
    fn on_link_input<'i>(&mut self, now: Time, input: Input<'i>, out: &mut Outbox) -> Option<Input<'i>> {
        let link = self.link();
        match input {
            Input::Connected { conn, .. } if link.is(conn) => {
                let greeting = self.greeting(now);
                self.link().greet(now, greeting, out);
            }
            Input::Received { conn, bytes } if link.is(conn) => receive(self, now, conn, bytes, out),
            Input::Closed { conn, reason } if link.is(conn) => {
                let was_up = link.up();
                link.closed(now, &reason);
                self.on_lost(now, was_up, out);
            }
            Input::Disproved { conn, why } if link.is(conn) => hang_up(self, now, &Reason::from(why), out),
            Input::Behind { .. } => link.behind(now),
            Input::Deadline => {
                if let Some(silent) = link.silence(now) {
                    hang_up(self, now, &silent, out);
                }
            }
            input => return Some(input),
        }
        None
    }
}

/// Reads the bytes of the connection, and closes it at the first line that is not a valid message.
fn receive<M: Linked + ?Sized>(machine: &mut M, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
    let link = machine.link();
    link.alive(now);
    let longest = if link.up() { M::LONGEST } else { LINE_MAX };
    let mut frames = std::mem::take(&mut link.frames);
    let mut wrong = None;
    let fed = frames.feed(bytes, longest, |line| {
        wrong = hear(machine, now, line, out).err();
        wrong.is_none() && machine.link().is(conn)
    });
    let link = machine.link();
    if !link.is(conn) {
        return;
    }
    link.frames = frames;
    if let Some(wrong) = wrong.or(fed.err().map(Misspoken::TooLong)) {
        let reason = link.misspoken(&wrong);
        hang_up(machine, now, &reason, out);
    }
}

/// Handles one line.
fn hear<M: Linked + ?Sized>(machine: &mut M, now: Time, line: &[u8], out: &mut Outbox) -> Result<(), Misspoken> {
    match FromController::decode(line).map_err(Misspoken::Malformed)? {
        FromController::Bye(bye) => turn_away(machine, now, &bye, out),
        FromController::Welcome(welcome) if !machine.link().up() => {
            if welcome.protocol == PROTOCOL {
                let goes_on = machine.goes_on(&welcome);
                machine.link().welcomed(now, goes_on, out);
                machine.on_welcome(now, &welcome, out);
            } else {
                let reason = format!("it speaks protocol {}, this is protocol {PROTOCOL}", welcome.protocol);
                turn_away(machine, now, &Bye { code: Code::Protocol, reason: reason.into(), fatal: true }, out);
            }
        }
        _ if !machine.link().up() => return Err(Misspoken::NoWelcome),
        message => {
            if let FromController::Pong(pong) = &message {
                machine.link().ponged(now, pong, out);
            }
            machine.on_message(now, message, out);
        }
    }
    Ok(())
}

/// The controller ends the connection.
fn turn_away<M: Linked + ?Sized>(machine: &mut M, now: Time, bye: &Bye<'_>, out: &mut Outbox) {
    if machine.on_bye(now, bye, out) {
        machine.link().refused(&bye.reason);
        hang_up(machine, now, &Reason::from(&*bye.reason), out);
        machine.link().is_refused = true;
    }
}

/// Closes the connection, to try again later.
fn hang_up<M: Linked + ?Sized>(machine: &mut M, now: Time, reason: &Reason, out: &mut Outbox) {
    let link = machine.link();
    let Some(conn) = link.conn() else { return };
    let was_up = link.up();
    out.close(conn, reason.words.clone());
    link.closed(now, reason);
    machine.on_lost(now, was_up, out);
}

/// Why the received bytes are not the messages of a controller.
#[derive(Debug)]
enum Misspoken {
    Malformed(Malformed),
    TooLong(Bound),
    /// The first message is neither a welcome nor a bye.
    NoWelcome,
}

impl fmt::Display for Misspoken {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misspoken::Malformed(malformed) => malformed.fmt(to),
            Misspoken::TooLong(bound) => bound.fmt(to),
            Misspoken::NoWelcome => to.write_str("it did not begin with a welcome"),
        }
    }
}

/// The connection to the controller.
pub(crate) struct Link {
    to: Address,
    state: State,
    clock: ClockOffset,
    /// The bytes of a line that has not ended yet.
    frames: Frames,
    backoff: Backoff,
    /// When the controller accepted the greeting.
    since: Option<Time>,
    /// When the ping was sent that has no answer yet.
    ping: Option<Time>,
    /// Round trips since the clock was reset.
    round_trips: u32,
    /// The log says already that the controller is away.
    absent: bool,
    /// The last refusal in the log.
    refusal: Option<String>,
    /// Why there is no connection.
    trouble: Option<String>,
    /// Whether `trouble` is a refusal of the controller.
    is_refused: bool,
    /// When the connection is closed unless something is received.
    silent: Option<Time>,
    /// Lines that are sent with the next message, or soon. Empty without a connection.
    held: Vec<u8>,
    timers: Timers<Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Away,
    Connecting(ConnId),
    /// The greeting was sent.
    Greeting(ConnId),
    /// The welcome was received.
    Up(ConnId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Reconnect,
    Ping,
    /// What is held is sent.
    Held,
}

impl Link {
    /// Returns a link to this address, not connected yet. `seed` determines the jitter of its attempts.
    pub(crate) fn new(to: Address, seed: u64) -> Link {
        Link {
            to,
            state: State::Away,
            clock: ClockOffset::default(),
            frames: Frames::default(),
            backoff: Backoff::new(seed),
            since: None,
            ping: None,
            round_trips: 0,
            absent: false,
            refusal: None,
            trouble: None,
            is_refused: false,
            silent: None,
            held: Vec::new(),
            timers: Timers::default(),
        }
    }

    /// Returns the offset between this clock and the controller's.
    pub(crate) fn clock(&self) -> &ClockOffset {
        &self.clock
    }

    /// Returns why there is no connection, without the advice that may follow it. Empty if the reason is unknown.
    pub(crate) fn why_away(&self) -> &str {
        self.trouble().and_then(|trouble| trouble.split(": ").next()).unwrap_or_default()
    }

    /// Returns the reason to close the connection. Before the welcome the other end may be another program.
    fn misspoken(&self, wrong: &Misspoken) -> Reason {
        match self.up() {
            true => format!("the controller breaks the protocol: {wrong}").into(),
            false => Reason::new(Cause::NoController, format!("{NO_CONTROLLER}: {wrong}")),
        }
    }

    fn conn(&self) -> Option<ConnId> {
        match self.state {
            State::Away => None,
            State::Connecting(conn) | State::Greeting(conn) | State::Up(conn) => Some(conn),
        }
    }

    /// Returns whether `conn` is this connection, made or being made.
    pub(crate) fn is(&self, conn: ConnId) -> bool {
        self.conn() == Some(conn)
    }

    /// Returns whether the controller has accepted the greeting.
    pub(crate) fn up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Returns why the last connection ended or could not be made.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Returns whether the controller itself gave the reason in [`trouble`](Link::trouble).
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Returns whether enough round trips were measured to start a run by the controller's clock.
    pub(crate) fn measured(&self) -> bool {
        self.round_trips >= FIRST_PINGS
    }

    /// Sends a message, if the controller has accepted the greeting. Otherwise the message is dropped.
    pub(crate) fn say(&mut self, out: &mut Outbox, message: &impl Message) {
        let State::Up(conn) = self.state else { return };
        let mut line = self.take_held();
        line.reserve(128);
        message.write_to(&mut line);
        out.send(conn, line.into());
    }

    /// Sends a line that is already encoded, as [`say`](Link::say).
    pub(crate) fn say_line(&mut self, out: &mut Outbox, line: &Bytes) {
        let State::Up(conn) = self.state else { return };
        self.send_held(out);
        out.send(conn, line.clone());
    }

    /// As [`say`](Link::say), but also before the controller has accepted the greeting that was sent.
    pub(crate) fn say_early(&mut self, out: &mut Outbox, message: &impl Message) {
        match self.state {
            State::Greeting(conn) => out.send(conn, message.encode()),
            _ => self.say(out, message),
        }
    }

    /// Sends a message with the next one, or within a few milliseconds: for confirmations, which nobody waits for. A
    /// segment of their own, and its acknowledgement, would cost the controller a third of its time for a barrier. If the
    /// connection is lost before, the message is dropped.
    pub(crate) fn say_soon(&mut self, now: Time, message: &impl Message) {
        if self.up() {
            if self.held.is_empty() {
                self.timers.set(Timer::Held, now + HOLD_MAX);
            }
            message.write_to(&mut self.held);
        }
    }

    fn take_held(&mut self) -> Vec<u8> {
        if !self.held.is_empty() {
            self.timers.cancel(&Timer::Held);
        }
        std::mem::take(&mut self.held)
    }

    fn send_held(&mut self, out: &mut Outbox) {
        let held = self.take_held();
        if let State::Up(conn) = self.state
            && !held.is_empty()
        {
            out.send(conn, held.into());
        }
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, now: Time, out: &mut Outbox) {
        self.state = State::Connecting(out.connect(self.to.clone()));
        self.frames = Frames::default();
        self.silent = Some(now + HELLO_WITHIN);
    }

    fn greet(&mut self, now: Time, greeting: Bytes, out: &mut Outbox) {
        let State::Connecting(conn) = self.state else { return };
        out.send(conn, greeting);
        self.state = State::Greeting(conn);
        self.silent = Some(now + HELLO_WITHIN);
    }

    /// The greeting is accepted. Unless the controller `goes_on`, its clock may be another one.
    fn welcomed(&mut self, now: Time, goes_on: bool, out: &mut Outbox) {
        let State::Greeting(conn) = self.state else { return };
        self.state = State::Up(conn);
        self.since = Some(now);
        (self.trouble, self.is_refused) = (None, false);
        if !goes_on {
            self.clock.clear();
            self.round_trips = 0;
        }
        self.alive(now);
        match self.ping {
            Some(_) => self.timers.set(Timer::Ping, now + PING_EVERY),
            None => self.send_ping(now, out),
        }
    }

    /// Something was received.
    fn alive(&mut self, now: Time) {
        self.silent = Some(now + SILENT_AFTER);
    }

    /// Returns the first ping of a connection, to be sent with the greeting.
    pub(crate) fn first_ping(&mut self, now: Time) -> Bytes {
        self.ping = Some(now);
        Ping { time: now, measured: self.clock.measured(), lifetime: std::marker::PhantomData }.encode()
    }

    fn send_ping(&mut self, now: Time, out: &mut Outbox) {
        let ping = self.first_ping(now);
        self.say_line(out, &ping);
        self.timers.set(Timer::Ping, now + PING_EVERY);
    }

    /// Takes the answer to a ping as a sample of the clock offset.
    fn ponged(&mut self, now: Time, pong: &Pong<'_>, out: &mut Outbox) {
        if self.ping != Some(pong.time) {
            return;
        }
        self.ping = None;
        self.log_connected();
        self.clock.sample(pong.time, pong.now, now);
        self.round_trips = self.round_trips.saturating_add(1);
        if !self.measured() {
            self.send_ping(now, out);
        }
    }

    /// Only a pong proves that the controller keeps the connection: after its welcome it may still say that there is
    /// no run.
    fn log_connected(&mut self) {
        if std::mem::take(&mut self.absent) || self.refusal.take().is_some() {
            log::info!("controller {}: connected", self.to);
        }
    }

    /// The connection has closed or could not be made.
    fn closed(&mut self, now: Time, reason: &Reason) {
        let cause = reason.cause;
        let reason = reason.strip_prefix(&format!("{}: ", self.to)).unwrap_or(reason);
        self.is_refused = false;
        if self.trouble.as_deref() != Some(reason) {
            self.trouble = Some(reason.to_owned());
        }
        if !std::mem::replace(&mut self.absent, true) && self.refusal.is_none() {
            let step = match &self.to {
                Address::Unix(_) => next_step_at_socket(cause),
                // It was connected, and is likely to return without help.
                Address::Inet(_) if self.since.is_some() => None,
                Address::Inet(_) => next_step(cause),
            };
            let step = step.map(|step| format!(": {step}")).unwrap_or_default();
            log::warn!("controller {}: {reason}{step}; trying again", self.to);
        }
        if self.since.take().is_some_and(|since| now.since(since) >= LASTING) {
            self.backoff.reset();
        }
        self.state = State::Away;
        self.frames = Frames::default();
        self.held = Vec::new();
        self.ping = None;
        self.silent = None;
        self.timers.clear();
        self.timers.set(Timer::Reconnect, self.backoff.next(now));
    }

    /// Logs a refusal, once. The attempts go on, because another controller may start at the same address.
    fn refused(&mut self, reason: &str) {
        if self.refusal.as_deref() != Some(reason) {
            log::error!("controller {}: {reason}", self.to);
            self.refusal = Some(reason.to_owned());
        }
    }

    /// Says bye and closes the connection for good.
    pub(crate) fn leave(&mut self, reason: &str, out: &mut Outbox) {
        self.say_early(out, &Bye { code: Code::Leaves, reason: reason.into(), fatal: false });
        if let Some(conn) = self.conn() {
            out.close(conn, reason);
        }
        self.end();
    }

    /// The connection has closed, and no other one is wanted.
    pub(crate) fn end(&mut self) {
        self.state = State::Away;
        self.held = Vec::new();
        self.silent = None;
        self.timers.clear();
    }

    /// Bytes of the controller may be unread, so it is not silent yet.
    fn behind(&mut self, now: Time) {
        self.silent = self.silent.map(|at| at.max(now + BEHIND_AGAIN));
    }

    /// Returns the reason to close the connection if the controller is silent. Called at deadlines only, because what
    /// has been received is handled before them.
    fn silence(&self, now: Time) -> Option<Reason> {
        let silent = self.silent.is_some_and(|at| at <= now);
        silent.then(|| Reason::new(Cause::NoAnswer, "the controller says nothing"))
    }

    /// Does what is due: reconnects, and pings.
    pub(crate) fn fire(&mut self, now: Time, out: &mut Outbox) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Reconnect => self.connect(now, out),
                Timer::Ping => self.send_ping(now, out),
                Timer::Held => self.send_held(out),
            }
        }
    }

    /// Converts the instant of a release from the controller's clock to this one. Returns at most a second from now,
    /// because the controller's clock may have jumped, and `now` if its clock has not been measured.
    pub(crate) fn release_at(&self, now: Time, theirs: Time) -> Time {
        if self.clock.uncertainty().is_none() {
            return now;
        }
        self.clock.to_ours(theirs).min(now + RELEASE_AHEAD_MAX)
    }

    /// Returns when the link must act next: for a reconnect, a ping, or a silent controller.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        [self.timers.next(), self.silent].into_iter().flatten().min()
    }
}

/// Returns what a person can do about a missing connection, unless the reason itself contains it.
pub fn next_step(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Refused => Some("no controller listens there: start it, or name the port of one as HOST:PORT"),
        Cause::NoName => Some("check the spelling, or give the IP address instead"),
        Cause::NoAnswer => Some(
            "check that the machine is up, that a controller listens on this port, and that no firewall is between",
        ),
        Cause::NoController => Some("name the port of a controller as HOST:PORT"),
        Cause::HungUp => Some(
            "it may have as many connections as its --connections-max allows, or be no controller of arete: its log \
             says which",
        ),
        Cause::NoSocket | Cause::Other => None,
    }
}

/// As [`next_step`], for a socket of this machine.
fn next_step_at_socket(cause: Cause) -> Option<&'static str> {
    matches!(cause, Cause::Refused | Cause::NoSocket).then_some(
        "no controller serves this socket: start \"arete controller --socket PATH\" there, or name another with --controller",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_follows_from_the_cause() {
        for (cause, said) in [
            (Cause::Refused, "HOST:PORT"),
            (Cause::NoName, "spelling"),
            (Cause::NoAnswer, "firewall"),
            (Cause::HungUp, "--connections-max"),
            (Cause::NoController, "HOST:PORT"),
        ] {
            assert!(next_step(cause).is_some_and(|step| step.contains(said)), "{cause:?}");
        }
        assert_eq!((next_step(Cause::Other), next_step(Cause::NoSocket)), (None, None));
        for cause in [Cause::Refused, Cause::NoSocket] {
            assert!(next_step_at_socket(cause).is_some_and(|step| step.contains("--socket PATH")));
        }
        assert_eq!(next_step_at_socket(Cause::HungUp), None);
    }

    #[test]
    fn the_reason_is_shown_without_its_advice() {
        let mut link = Link::new(Address::Inet("c:1".to_owned()), 1);
        assert_eq!(link.why_away(), "");
        link.closed(Time::default(), &"c:1: its certificate was revoked: issue another".into());
        assert_eq!(link.why_away(), "its certificate was revoked");
        let wrong = link.misspoken(&Misspoken::NoWelcome);
        link.closed(Time::default(), &wrong);
        assert_eq!(link.why_away(), NO_CONTROLLER);
    }
}
