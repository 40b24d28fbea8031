//! The connection to the controller: it is tried again and again, its silence is noticed, and the clock at its other
//! end is estimated.

use std::time::Duration;

use crate::machine::{Address, ConnId, Outbox, Time, Timers};
use crate::session::{Backoff, ClockOffset, FIRST_PINGS, HELLO_WITHIN, PING_EVERY, SILENT_AFTER, VERSION};
use crate::wire::{Bye, Frames, Hello, Message, PROTOCOL, Ping, Pong};

use super::Config;

/// After a connection that stood so long the next one is tried at once; after shorter ones more and more seldom.
const STOOD_FOR: Duration = Duration::from_secs(5);

pub(super) struct Link {
    name: String,
    incarnation: String,
    to: Address,
    state: State,
    pub(super) clock: ClockOffset,
    /// The bytes of a line that has not ended yet.
    pub(super) frames: Frames,
    backoff: Backoff,
    /// When the controller welcomed this slave.
    since: Option<Time>,
    /// The ping that was not answered yet.
    ping: Option<Time>,
    /// Round trips since the clock was forgotten.
    round_trips: u32,
    /// The absence of the controller was said.
    absent: bool,
    /// Why the controller refused this slave last.
    refusal: Option<String>,
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
    Silent,
}

impl Link {
    pub(super) fn new(config: &Config) -> Link {
        Link {
            name: config.name.clone(),
            incarnation: config.incarnation.clone(),
            to: config.controller.clone(),
            state: State::Away,
            clock: ClockOffset::default(),
            frames: Frames::default(),
            backoff: Backoff::new(config.seed),
            since: None,
            ping: None,
            round_trips: 0,
            absent: false,
            refusal: None,
            timers: Timers::default(),
        }
    }

    fn conn(&self) -> Option<ConnId> {
        match self.state {
            State::Away => None,
            State::Connecting(conn) | State::Greeting(conn) | State::Up(conn) => Some(conn),
        }
    }

    /// Whether `conn` is this connection.
    pub(super) fn is(&self, conn: ConnId) -> bool {
        self.conn() == Some(conn)
    }

    /// Whether the controller has welcomed this slave.
    pub(super) fn up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Whether enough round trips were measured to start a run by the controller's clock.
    pub(super) fn measured(&self) -> bool {
        self.round_trips >= FIRST_PINGS
    }

    /// Says something to the controller, if it is there.
    pub(super) fn say(&self, out: &mut Outbox, message: &impl Message) {
        if let State::Up(conn) = self.state {
            out.send(conn, message.encode());
        }
    }

    /// Says a line that was encoded before.
    pub(super) fn say_line(&self, out: &mut Outbox, line: &crate::machine::Bytes) {
        if let State::Up(conn) = self.state {
            out.send(conn, line.clone());
        }
    }

    pub(super) fn connect(&mut self, now: Time, out: &mut Outbox) {
        self.state = State::Connecting(out.connect(self.to.clone()));
        self.frames = Frames::default();
        self.timers.set(Timer::Silent, now + HELLO_WITHIN);
    }

    /// The connection stands: says hello, and names the run that this slave is in.
    pub(super) fn connected(&mut self, now: Time, run: Option<&str>, out: &mut Outbox) {
        let State::Connecting(conn) = self.state else { return };
        let hello = Hello {
            protocol: PROTOCOL,
            version: VERSION.into(),
            name: self.name.as_str().into(),
            incarnation: self.incarnation.as_str().into(),
            run: run.map(Into::into),
        };
        out.send(conn, hello.encode());
        self.state = State::Greeting(conn);
        self.timers.set(Timer::Silent, now + HELLO_WITHIN);
    }

    /// The controller has accepted this slave. Unless it is in the `same` run as before, its clock may be another.
    pub(super) fn welcomed(&mut self, now: Time, same: bool, out: &mut Outbox) {
        let State::Greeting(conn) = self.state else { return };
        self.state = State::Up(conn);
        self.since = Some(now);
        if !same {
            self.clock.clear();
            self.round_trips = 0;
        }
        self.alive(now);
        self.send_ping(now, out);
    }

    /// Something was heard.
    pub(super) fn alive(&mut self, now: Time) {
        self.timers.set(Timer::Silent, now + SILENT_AFTER);
    }

    fn send_ping(&mut self, now: Time, out: &mut Outbox) {
        self.ping = Some(now);
        self.say(out, &Ping { time: now, lifetime: std::marker::PhantomData });
        self.timers.set(Timer::Ping, now + PING_EVERY);
    }

    pub(super) fn ponged(&mut self, now: Time, pong: &Pong<'_>, out: &mut Outbox) {
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

    /// The controller is there and keeps this slave: after a welcome it may still have said that there is no run.
    fn stands(&mut self) {
        if std::mem::take(&mut self.absent) || self.refusal.take().is_some() {
            log::info!("controller {}: connected", self.to);
        }
    }

    /// The connection is gone or could not be made.
    pub(super) fn closed(&mut self, now: Time, reason: &str) {
        if !std::mem::replace(&mut self.absent, true) && self.refusal.is_none() {
            let reason = reason.strip_prefix(&format!("{}: ", self.to)).unwrap_or(reason);
            log::warn!("controller {}: {reason}; trying again", self.to);
        }
        if self.since.take().is_some_and(|since| now.since(since) >= STOOD_FOR) {
            self.backoff.reset();
        }
        self.state = State::Away;
        self.frames = Frames::default();
        self.ping = None;
        self.timers.clear();
        self.timers.set(Timer::Reconnect, self.backoff.next(now));
    }

    /// Closes the connection, to try again later.
    pub(super) fn close(&mut self, now: Time, reason: &str, out: &mut Outbox) {
        if let Some(conn) = self.conn() {
            out.close(conn, reason);
            self.closed(now, reason);
        }
    }

    /// The controller does not want this slave. Another one may come at the same address.
    pub(super) fn refused(&mut self, reason: &str) {
        if self.refusal.as_deref() != Some(reason) {
            log::error!("controller {}: {reason}", self.to);
            self.refusal = Some(reason.to_owned());
        }
    }

    /// Ends the connection for good.
    pub(super) fn leave(&mut self, reason: &str, out: &mut Outbox) {
        self.say(out, &Bye { reason: reason.into(), fatal: false });
        if let Some(conn) = self.conn() {
            out.close(conn, reason);
        }
        self.state = State::Away;
        self.timers.clear();
    }

    /// Does what is due. Gives the reason when the connection must be closed.
    pub(super) fn fire(&mut self, now: Time, out: &mut Outbox) -> Option<&'static str> {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Reconnect => self.connect(now, out),
                Timer::Ping => self.send_ping(now, out),
                Timer::Silent => return Some("the controller says nothing"),
            }
        }
        None
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }
}
