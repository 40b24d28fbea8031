//! The connection of a slave or a client to its controller: it is tried again and again, its silence is noticed, and
//! the clock at its other end is estimated.

use std::time::Duration;

use crate::machine::{Address, Cause, ConnId, Outbox, Reason, Time, Timers};
use crate::session::{Backoff, ClockOffset, FIRST_PINGS, HELLO_WITHIN, PING_EVERY, SILENT_AFTER};
use crate::wire::rendezvous::SESSION_MOST;
use crate::wire::{Bye, Code, Frames, LINE_AROUND_VALUES, LINE_MAX, Message, Ping, Pong};

/// The longest line that a controller may say once it has welcomed us: the map of a sync. How long values may be is told
/// to the controller alone, and it is trusted, so this is the most that any controller may be told.
pub const LINE_FROM_CONTROLLER_MAX: usize = SESSION_MOST + LINE_AROUND_VALUES;

/// After a connection that stood so long the next one is tried at once; after shorter ones more and more seldom.
const STOOD_FOR: Duration = Duration::from_secs(5);

/// After how long it is looked again whether a controller is silent of which not everything was read.
const BEHIND_AGAIN: Duration = Duration::from_millis(10);

/// An instant that a controller names for a release is never further away than this.
const RELEASE_AHEAD_MAX: Duration = Duration::from_secs(1);

/// What a message says when what is heard is nothing that a controller says before it has welcomed anybody.
pub const NO_CONTROLLER: &str = "what listens there is no controller of arete";

/// The connection to the controller.
pub struct Link {
    to: Address,
    state: State,
    /// The offset between our clock and the controller's.
    pub clock: ClockOffset,
    /// The bytes of a line that has not ended yet.
    frames: Frames,
    backoff: Backoff,
    /// When the controller welcomed us.
    since: Option<Time>,
    /// The ping that was not answered yet.
    ping: Option<Time>,
    /// Round trips since the clock was forgotten.
    round_trips: u32,
    /// The absence of the controller was said.
    absent: bool,
    /// Why the controller refused us last.
    refusal: Option<String>,
    /// Why there is no connection.
    trouble: Option<String>,
    /// When the controller has said nothing for too long.
    silent: Option<Time>,
    timers: Timers<Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Away,
    Connecting(ConnId),
    /// Hello was said.
    Greeting(ConnId),
    /// Welcome was heard.
    Up(ConnId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Reconnect,
    Ping,
}

impl Link {
    /// A link to this address; `seed` is for the jitter of its tries.
    pub fn new(to: Address, seed: u64) -> Link {
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
            silent: None,
            timers: Timers::default(),
        }
    }

    /// Why there is no connection, without what to do about it; empty: nobody knows.
    pub fn why_away(&self) -> &str {
        self.trouble().and_then(|trouble| trouble.split(": ").next()).unwrap_or_default()
    }

    /// How it is said that what was heard is no message of a controller: one that has not welcomed us may be none.
    pub fn misspoken(&self, wrong: &str) -> Reason {
        match self.up() {
            true => format!("the controller does not speak as it should: {wrong}").into(),
            false => Reason::new(Cause::NoController, format!("{NO_CONTROLLER}: {wrong}")),
        }
    }

    /// The connection, made or being made.
    pub fn conn(&self) -> Option<ConnId> {
        match self.state {
            State::Away => None,
            State::Connecting(conn) | State::Greeting(conn) | State::Up(conn) => Some(conn),
        }
    }

    /// Whether `conn` is this connection.
    pub fn is(&self, conn: ConnId) -> bool {
        self.conn() == Some(conn)
    }

    /// Whether the controller has welcomed us.
    pub fn up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Why there is no connection, once one could not be made or has ended.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether that is what the controller has said.
    pub fn is_refused(&self) -> bool {
        self.refusal.is_some() && self.refusal == self.trouble
    }

    /// Whether enough round trips were measured to start a run by the controller's clock.
    pub fn measured(&self) -> bool {
        self.round_trips >= FIRST_PINGS
    }

    /// Says something to the controller, if it is there.
    pub fn say(&self, out: &mut Outbox, message: &impl Message) {
        if let State::Up(conn) = self.state {
            out.send(conn, message.encode());
        }
    }

    /// Says a line that was encoded before.
    pub fn say_line(&self, out: &mut Outbox, line: &crate::machine::Bytes) {
        if let State::Up(conn) = self.state {
            out.send(conn, line.clone());
        }
    }

    /// Asks for a connection.
    pub fn connect(&mut self, now: Time, out: &mut Outbox) {
        self.state = State::Connecting(out.connect(self.to.clone()));
        self.frames = Frames::default();
        self.silent = Some(now + HELLO_WITHIN);
    }

    /// The connection stands: says who we are. A greeting is answered by a welcome or a bye.
    pub fn connected(&mut self, now: Time, greeting: &impl Message, out: &mut Outbox) {
        let State::Connecting(conn) = self.state else { return };
        out.send(conn, greeting.encode());
        self.state = State::Greeting(conn);
        self.silent = Some(now + HELLO_WITHIN);
    }

    /// Something was heard: lends the bytes of the line that has not ended, and says how long a line may be. They are
    /// given back with [`put_frames`](Link::put_frames), unless the connection is gone by then.
    pub fn take_frames(&mut self, now: Time) -> (Frames, usize) {
        self.alive(now);
        let max = if self.up() { LINE_FROM_CONTROLLER_MAX } else { LINE_MAX };
        (std::mem::take(&mut self.frames), max)
    }

    /// Takes back what [`take_frames`](Link::take_frames) has lent.
    pub fn put_frames(&mut self, frames: Frames) {
        self.frames = frames;
    }

    /// The controller has accepted us. Unless it is in the `same` run as before, its clock may be another.
    pub fn welcomed(&mut self, now: Time, same: bool, out: &mut Outbox) {
        let State::Greeting(conn) = self.state else { return };
        self.state = State::Up(conn);
        self.since = Some(now);
        self.trouble = None;
        if !same {
            self.clock.clear();
            self.round_trips = 0;
        }
        self.alive(now);
        self.send_ping(now, out);
    }

    /// Something was heard.
    fn alive(&mut self, now: Time) {
        self.silent = Some(now + SILENT_AFTER);
    }

    fn send_ping(&mut self, now: Time, out: &mut Outbox) {
        self.ping = Some(now);
        let ping = Ping { time: now, measured: self.clock.measured(), lifetime: std::marker::PhantomData };
        self.say(out, &ping);
        self.timers.set(Timer::Ping, now + PING_EVERY);
    }

    /// Takes the answer to a ping: a new sample of the clock offset.
    pub fn ponged(&mut self, now: Time, pong: &Pong<'_>, out: &mut Outbox) {
        if self.ping != Some(pong.time) {
            return;
        }
        self.ping = None;
        self.stands();
        self.clock.sample(pong.time, pong.now, now);
        self.round_trips = self.round_trips.saturating_add(1);
        if !self.measured() {
            self.send_ping(now, out);
        }
    }

    /// The controller is there and keeps us: after a welcome it may still have said that there is no run.
    fn stands(&mut self) {
        if std::mem::take(&mut self.absent) || self.refusal.take().is_some() {
            log::info!("controller {}: connected", self.to);
        }
    }

    /// The connection is gone or could not be made.
    pub fn closed(&mut self, now: Time, reason: &Reason) {
        let cause = reason.cause;
        let reason = reason.strip_prefix(&format!("{}: ", self.to)).unwrap_or(reason);
        if self.trouble.as_deref() != Some(reason) {
            self.trouble = Some(reason.to_owned());
        }
        if !std::mem::replace(&mut self.absent, true) && self.refusal.is_none() {
            let step = match &self.to {
                Address::Unix(_) => next_step_at_socket(cause),
                // It had welcomed us, and is likely to come back by itself.
                Address::Inet(_) if self.since.is_some() => None,
                Address::Inet(_) => next_step(cause),
            };
            let step = step.map(|step| format!(": {step}")).unwrap_or_default();
            log::warn!("controller {}: {reason}{step}; trying again", self.to);
        }
        if self.since.take().is_some_and(|since| now.since(since) >= STOOD_FOR) {
            self.backoff.reset();
        }
        self.state = State::Away;
        self.frames = Frames::default();
        self.ping = None;
        self.silent = None;
        self.timers.clear();
        self.timers.set(Timer::Reconnect, self.backoff.next(now));
    }

    /// Closes the connection, to try again later.
    pub fn close(&mut self, now: Time, reason: &Reason, out: &mut Outbox) {
        if let Some(conn) = self.conn() {
            out.close(conn, reason.words.clone());
            self.closed(now, reason);
        }
    }

    /// The controller does not want us. Another one may come at the same address.
    pub fn refused(&mut self, reason: &str) {
        if self.refusal.as_deref() != Some(reason) {
            log::error!("controller {}: {reason}", self.to);
            self.refusal = Some(reason.to_owned());
        }
    }

    /// Ends the connection for good.
    pub fn leave(&mut self, reason: &str, out: &mut Outbox) {
        self.say(out, &Bye { code: Code::Leaves, reason: reason.into(), fatal: false });
        if let Some(conn) = self.conn() {
            out.close(conn, reason);
        }
        self.end();
    }

    /// No connection is wanted any more.
    pub fn end(&mut self) {
        self.state = State::Away;
        self.silent = None;
        self.timers.clear();
    }

    /// What the controller has said may not have been read yet: it is not silent for that.
    pub fn behind(&mut self, now: Time) {
        self.silent = self.silent.map(|at| at.max(now + BEHIND_AGAIN));
    }

    /// Gives the reason when the connection must be closed. Asked at deadlines only: what has come is read before them.
    pub fn silence(&self, now: Time) -> Option<Reason> {
        let silent = self.silent.is_some_and(|at| at <= now);
        silent.then(|| Reason::new(Cause::NoAnswer, "the controller says nothing"))
    }

    /// Does what is due.
    pub fn fire(&mut self, now: Time, out: &mut Outbox) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Reconnect => self.connect(now, out),
                Timer::Ping => self.send_ping(now, out),
            }
        }
    }

    /// When an instant that the controller names for a release is here. Without a measured clock, and when its clock has
    /// jumped, that is now or soon.
    pub fn release_at(&self, now: Time, theirs: Time) -> Time {
        if self.clock.uncertainty().is_none() {
            return now;
        }
        self.clock.to_ours(theirs).min(now + RELEASE_AHEAD_MAX)
    }

    /// Returns when the link wants to be called next: for a reconnect, a ping, or a silent controller.
    pub fn next_deadline(&self) -> Option<Time> {
        [self.timers.next(), self.silent].into_iter().flatten().min()
    }
}

/// What somebody may do who reads why there is no connection; what he reads may say it itself.
pub fn next_step(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Refused => Some("no controller listens there: start it, or name the port of one as HOST:PORT"),
        Cause::NoName => Some("check how it is spelt, or name its IP address instead"),
        Cause::NoAnswer => {
            Some("see that the machine is up, that a controller listens on this port, and that no firewall is between")
        }
        Cause::NoController => Some("name the port of a controller as HOST:PORT"),
        Cause::HungUp => Some(
            "it may have as many connections as its --connections-max allows, or be no controller of arete: its log \
             says which",
        ),
        Cause::NoSocket | Cause::Other => None,
    }
}

/// The same of a socket of this machine.
fn next_step_at_socket(cause: Cause) -> Option<&'static str> {
    matches!(cause, Cause::Refused | Cause::NoSocket).then_some(
        "no controller serves this socket: start \"arete controller --socket PATH\" there, or name another with --controller",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_follows_from_the_cause_and_not_from_the_words() {
        for (cause, said) in [
            (Cause::Refused, "HOST:PORT"),
            (Cause::NoName, "spelt"),
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
    fn why_there_is_no_connection_is_told_without_what_to_do_about_it() {
        let mut link = Link::new(Address::Inet("c:1".to_owned()), 1);
        assert_eq!(link.why_away(), "");
        link.closed(Time::default(), &"c:1: its certificate was revoked: issue it anew".into());
        assert_eq!(link.why_away(), "its certificate was revoked");
        let said = link.misspoken("a message is a JSON object");
        link.closed(Time::default(), &said);
        assert_eq!(link.why_away(), NO_CONTROLLER);
    }
}
