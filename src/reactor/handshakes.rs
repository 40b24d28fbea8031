//! TLS handshakes: how many go on at once, and how long they may take.
//!
//! The machine hears of a connection only when its peer has proven who it is. Until then it costs us a slot, some memory
//! and some arithmetic, so all three have a bound: a flood of strangers slows other newcomers down, and nobody else.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use super::connections::Outcome;
use super::stream::Stream;
use super::tls::TlsStream;
use super::{Due, Reactor, now};
use crate::machine::{ConnId, Input, ListenerId, Machine, Peer, Time};

/// How long a peer may take to prove who it is.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How many of those who connected to us may be proving it at once; beyond, the others wait to be accepted.
pub const HANDSHAKES_MAX: usize = 512;

/// When so many are, the oldest goes if it has had so long: whoever means it takes a few milliseconds.
const SPARED_FOR: Duration = Duration::from_secs(1);

/// How many handshakes go on in one turn of the loop: each may cost the arithmetic of some signatures.
const STEPS_A_TURN: usize = 16;

/// How many of those who were turned away may still be reading why; beyond, the oldest is cut off.
const TURNED_AWAY_MAX: usize = 128;

/// How many failed handshakes are told within [`TOLD_EVERY`].
const TOLD_MAX: u32 = 10;
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The handshakes of those who connected to us.
#[derive(Default)]
pub struct Handshakes {
    /// Ids are given out in order: the oldest is first.
    under_way: BTreeMap<ConnId, (Time, Peer)>,
    steps: usize,
    /// Those who were turned away last, and may be gone.
    turned_away: VecDeque<ConnId>,
    /// Since when failures are counted, and how many there were.
    told: Option<(Time, u32)>,
    /// What was told last: who tries again and again is told once.
    last: String,
}

impl Handshakes {
    pub fn begin_turn(&mut self) {
        self.steps = STEPS_A_TURN;
    }

    /// Whether another handshake may go on in this turn.
    pub fn may_go_on(&mut self) -> bool {
        let may = self.steps > 0;
        self.steps = self.steps.saturating_sub(1);
        may
    }

    /// Tells people that somebody could not prove who it is, unless that happens too often.
    fn tell(&mut self, now: Time, peer: &Peer, why: &str) {
        let (since, count) = self.told.get_or_insert((now, 0));
        if now.since(*since) >= TOLD_EVERY {
            (*since, *count) = (now, 0);
            self.last.clear();
        }
        let ip = peer.address().map(|address| address.ip().to_string()).unwrap_or_default();
        let text = format!("{ip} was turned away: {why}");
        *count += u32::from(text != self.last);
        match *count {
            _ if text == self.last => log::debug!("{text}"),
            ..TOLD_MAX => log::warn!("{text}"),
            TOLD_MAX => log::warn!("{text}; more of these are not told for a while"),
            _ => log::debug!("{text}"),
        }
        self.last = text;
    }
}

impl Reactor {
    /// Puts TLS on an accepted connection, if it is spoken there.
    pub(super) fn secure(&self, stream: Stream, listener: ListenerId) -> io::Result<Stream> {
        match (stream, &self.tls) {
            (Stream::Tcp(tcp), Some(tls)) => match &tls.accepts {
                Some(config) => TlsStream::accepted(tls, config, tcp, listener).map(|it| Stream::Tls(Box::new(it))),
                None => Ok(Stream::Tcp(tcp)),
            },
            (stream, _) => Ok(stream),
        }
    }

    /// Whether somebody may be accepted at this listener: if he has to prove who he is, there must be room.
    pub(super) fn may_begin_handshake(&mut self, listener: usize) -> bool {
        let proves = self.listeners.is_tcp(listener) && self.tls.as_ref().is_some_and(|tls| tls.accepts.is_some());
        while proves && self.handshakes.under_way.len() + self.accepted.len() >= HANDSHAKES_MAX {
            let Some((&oldest, (since, _))) = self.handshakes.under_way.first_key_value() else { return false };
            let until = *since + SPARED_FOR;
            if until > now() {
                self.timers.set(Due::Accept, until);
                return false;
            }
            self.give_up_handshake(oldest, "it has not proven who it is, and others want to");
        }
        true
    }

    pub(super) fn begin_accepted_handshake(&mut self, conn: ConnId, peer: &Peer) {
        self.handshakes.under_way.insert(conn, (now(), peer.clone()));
        self.begin_handshake(conn);
    }

    pub(super) fn begin_handshake(&mut self, conn: ConnId) {
        self.timers.set(Due::Handshake(conn), now() + HANDSHAKE_WITHIN);
    }

    fn end_handshake(&mut self, conn: ConnId) -> Option<Peer> {
        self.timers.cancel(&Due::Handshake(conn));
        self.handshakes.under_way.remove(&conn).map(|(_, peer)| peer)
    }

    pub(super) fn give_up_handshake(&mut self, conn: ConnId, why: &str) {
        let outcome = self.conns.give_up(conn, why);
        self.end_unless_told(conn, &outcome);
        self.over(outcome);
    }

    /// A handshake of which nothing more will be heard.
    fn end_unless_told(&mut self, conn: ConnId, outcome: &Outcome) {
        if !matches!(outcome, Outcome::TurnedAway(..)) {
            self.end_handshake(conn);
        }
    }

    /// A handshake is through: the machine hears who is there.
    pub(super) fn proven(&mut self, machine: &mut impl Machine, conn: ConnId) {
        self.end_handshake(conn);
        self.doubts.proven(conn);
        match self.conns.introduce(conn) {
            Ok((Some(listener), peer, _)) => self.tell(machine, Input::Accepted { conn, listener, peer }),
            Ok((None, peer, local)) => self.tell(machine, Input::Connected { conn, peer, local }),
            // It is gone already.
            Err(error) => {
                log::debug!("a connection that was proven: {error}");
                self.conns.forget(conn);
            }
        }
    }

    /// A connection is over.
    pub(super) fn over(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Fine | Outcome::Done => {}
            Outcome::Lost(conn, reason) => {
                self.timers.cancel(&Due::Handshake(conn));
                self.lost(conn, reason);
            }
            Outcome::TurnedAway(conn, why) => {
                if let Some(peer) = self.end_handshake(conn) {
                    self.handshakes.tell(now(), &peer, &why);
                }
                self.timers.set(Due::Linger(conn), now() + super::effects::LINGER);
                self.handshakes.turned_away.push_back(conn);
                if self.handshakes.turned_away.len() > TURNED_AWAY_MAX
                    && let Some(oldest) = self.handshakes.turned_away.pop_front()
                {
                    self.timers.cancel(&Due::Linger(oldest));
                    self.conns.drop_lingering(oldest);
                }
            }
        }
    }
}
