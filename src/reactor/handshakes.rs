//! TLS handshakes: how many go on at once, and how long each may take.
//!
//! Until a peer has proven its names, its connection costs a slot, some memory and some arithmetic. This file owns the
//! bounds of all three: a flood of strangers may slow down other new connections, and must not slow down any other.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::machine::{ConnId, Peer, Time};

/// The time within which a peer must prove who it is.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// The most handshakes of peers that connected to us at once. Beyond that, new connections are not accepted yet.
pub const HANDSHAKES_MAX: usize = 512;

/// The time after which the oldest handshake is given up for a new one, if there are that many. An honest peer needs a
/// few milliseconds.
pub const SPARED_FOR: Duration = Duration::from_secs(1);

/// The most handshakes that continue in one turn of the loop, because each may cost some signatures.
const STEPS_A_TURN: usize = 16;

/// The most rejected peers that may still read why. Beyond that, the oldest connection is closed at once.
const TURNED_AWAY_MAX: usize = 128;

/// The most failed handshakes that are logged within [`TOLD_EVERY`].
const TOLD_MAX: u32 = 10;
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The handshakes of peers that connected to us.
#[derive(Default)]
pub struct Handshakes {
    /// By id. Ids are given out in order, so the oldest is first.
    under_way: BTreeMap<ConnId, (Time, Peer)>,
    steps: usize,
    /// The peers that were rejected last. They may be gone.
    turned_away: VecDeque<ConnId>,
    /// Since when failures are counted, and their number.
    told: Option<(Time, u32)>,
    /// The last line that was logged, so that a peer that tries again and again is logged once.
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

    /// Returns how many go on.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Returns the handshake that has gone on longest, and since when.
    pub fn oldest(&self) -> Option<(ConnId, Time)> {
        self.under_way.first_key_value().map(|(conn, (since, _))| (*conn, *since))
    }

    /// Counts a handshake that a peer begins.
    pub fn begin(&mut self, conn: ConnId, now: Time, peer: Peer) {
        self.under_way.insert(conn, (now, peer));
    }

    /// Forgets a handshake. Returns its peer, if the peer has begun it.
    pub fn end(&mut self, conn: ConnId) -> Option<Peer> {
        self.under_way.remove(&conn).map(|(_, peer)| peer)
    }

    /// Counts a rejected peer. Returns the connection that must be closed for it, if too many are still reading why.
    pub fn turn_away(&mut self, conn: ConnId) -> Option<ConnId> {
        self.turned_away.push_back(conn);
        if self.turned_away.len() > TURNED_AWAY_MAX { self.turned_away.pop_front() } else { None }
    }

    /// Logs that a peer could not prove who it is, unless that happens too often.
    pub fn tell(&mut self, now: Time, peer: &Peer, why: &str) {
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
