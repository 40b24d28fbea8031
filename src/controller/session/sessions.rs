//! All connections, and how much of lines that have not ended their peers hold.
//!
//! What a member holds of a line counts in the memory for members. Strangers have a bound of their own, all together, so
//! that they cannot take the place of members.

use std::collections::BTreeMap;

use crate::controller::room::line_limits::LineBound;
use crate::controller::session::budget::{Budget, Held};
use crate::controller::session::session::{Role, Session};
use crate::machine::{ConnId, ListenerId, Peer, Time};
use crate::session::{HELLO_WITHIN, SILENT_AFTER};
use crate::text;
use crate::wire::{Frames, LINE_AROUND_VALUES, LINE_MAX, LINE_MAX_BEFORE_HELLO};

/// How many bytes all strangers together hold at most of lines that have not ended.
const STRANGERS_HOLD_MAX: usize = 16 * 1024 * 1024;

/// Lines that have not ended may take one part of so many of the memory for members.
const PARTIAL_PART: usize = 2;

/// The connections.
#[derive(Debug)]
pub struct Sessions {
    by_conn: BTreeMap<ConnId, Session>,
    /// What members hold of lines that have not ended.
    partial: Held,
    /// The same of strangers, in bytes.
    strangers_hold: usize,
}

impl Sessions {
    pub fn new(budget: &Budget) -> Sessions {
        Sessions { by_conn: BTreeMap::new(), partial: budget.hold(0), strangers_hold: 0 }
    }

    /// A stranger has connected.
    pub fn accept(&mut self, now: Time, conn: ConnId, peer: Peer, listener: ListenerId) {
        let session = Session { peer, listener, who: Role::Stranger, frames: Frames::default(), heard: now };
        self.by_conn.insert(conn, session);
    }

    pub fn get(&self, conn: ConnId) -> Option<&Session> {
        self.by_conn.get(&conn)
    }

    pub fn contains(&self, conn: ConnId) -> bool {
        self.by_conn.contains_key(&conn)
    }

    /// Returns who is at the other end of a connection, if there is one.
    pub fn who(&self, conn: ConnId) -> Option<Role> {
        self.get(conn).map(|session| session.who)
    }

    /// Counts the connections with such a peer.
    pub fn count(&self, which: impl Fn(Role) -> bool) -> usize {
        self.by_conn.values().filter(|session| which(session.who)).count()
    }

    /// The peer of a connection has said who it is.
    pub fn identify(&mut self, now: Time, conn: ConnId, who: Role) {
        if let Some(session) = self.by_conn.get_mut(&conn) {
            (session.who, session.heard) = (who, now);
        }
    }

    /// Takes the beginning of the line that a peer has sent, to be cut into lines with what has come now. Its bytes count
    /// nowhere until [`Sessions::put_back`].
    pub fn take_line(&mut self, now: Time, conn: ConnId) -> Option<(Role, Frames)> {
        let session = self.by_conn.get_mut(&conn)?;
        if session.who != Role::Stranger {
            session.heard = now;
        }
        let (who, frames) = (session.who, std::mem::take(&mut session.frames));
        self.release(who, frames.held());
        Some((who, frames))
    }

    /// Puts back what is left. Returns who is there now; `None` if the connection is gone.
    pub fn put_back(&mut self, conn: ConnId, frames: Frames) -> Option<Role> {
        let session = self.by_conn.get_mut(&conn)?;
        let (who, held) = (session.who, frames.held());
        session.frames = frames;
        match who {
            Role::Stranger => self.strangers_hold += held,
            _ => self.partial.grow(held),
        }
        Some(who)
    }

    fn release(&mut self, who: Role, held: usize) {
        match who {
            Role::Stranger => self.strangers_hold -= held,
            _ => self.partial.shrink(held),
        }
    }

    /// Whether strangers hold more than they may.
    pub fn strangers_hold_too_much(&self) -> bool {
        self.strangers_hold > STRANGERS_HOLD_MAX
    }

    /// How long the lines of a peer may be that has sent so many bytes of one. `value_max`: the longest value, in bytes.
    pub fn line_bound(&self, who: Role, length: usize, budget: &Budget, value_max: usize) -> LineBound {
        let max = match who {
            Role::Stranger => Some(LINE_MAX_BEFORE_HELLO),
            // Neither a slave that serves no run nor an operator has a value to give.
            Role::Idle | Role::Operator => Some(LINE_MAX),
            Role::Slave(..) | Role::Client(_) => None,
        };
        if let Some(max) = max {
            return LineBound { max, crowded: false };
        }
        let max = budget.max();
        let crowded = self.partial.bytes() + length > max / PARTIAL_PART || budget.held() + length > max;
        LineBound { max: if crowded { LINE_MAX } else { value_max + LINE_AROUND_VALUES }, crowded }
    }

    /// Removes a connection.
    pub fn remove(&mut self, conn: ConnId) -> Option<Session> {
        let session = self.by_conn.remove(&conn)?;
        self.release(session.who, session.frames.held());
        Some(session)
    }

    #[cfg(test)]
    pub fn conns(&self) -> Vec<ConnId> {
        self.by_conn.keys().copied().collect()
    }

    /// How many bytes members hold of lines that have not ended.
    #[cfg(test)]
    pub fn partial(&self) -> usize {
        self.partial.bytes()
    }

    /// Returns connections whose peers have been silent for too long, at most so many, and why they are closed. `read`:
    /// the time up to which everything was read that has come.
    pub fn silent(&self, read: Time, most: usize) -> Vec<(ConnId, String)> {
        let why = |session: &Session| {
            let stranger = session.who == Role::Stranger;
            let (bound, what) = if stranger { (HELLO_WITHIN, "hello") } else { (SILENT_AFTER, "anything") };
            let silent = read.since(session.heard) >= bound;
            silent.then(|| format!("it has not said {what} for {}", text::duration(bound)))
        };
        self.by_conn.iter().filter_map(|(&conn, session)| Some((conn, why(session)?))).take(most).collect()
    }
}
