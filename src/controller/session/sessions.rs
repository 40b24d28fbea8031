//! All connections, and the memory of their incomplete lines.
//!
//! The incomplete lines of members count in the budget for members. Strangers have a separate limit together, so that
//! they cannot take memory from members.

use crate::controller::room::line_limits::LineBound;
use crate::controller::session::budget::{Budget, Held};
use crate::controller::session::session::{Role, Session};
use crate::machine::{ConnId, IdMap, ListenerId, Peer, Time};
use crate::session::{HELLO_WITHIN, SILENT_AFTER};
use crate::text;
use crate::wire::{Frames, LINE_AROUND_VALUES, LINE_MAX, LINE_MAX_BEFORE_HELLO};

/// The most that incomplete lines of all strangers together may hold, in bytes.
const STRANGERS_HOLD_MAX: usize = 16 * 1024 * 1024;

/// Incomplete lines may hold 1/2 of the budget for members.
const PARTIAL_PART: usize = 2;

/// The connections.
#[derive(Debug)]
pub struct Sessions {
    by_conn: IdMap<ConnId, Session>,
    /// The memory of incomplete lines of members.
    partial: Held,
    /// The memory of incomplete lines of strangers, in bytes.
    strangers_hold: usize,
}

impl Sessions {
    pub fn new(budget: &Budget) -> Sessions {
        Sessions { by_conn: IdMap::default(), partial: budget.hold(0), strangers_hold: 0 }
    }

    /// Adds the connection of a stranger.
    pub fn accept(&mut self, now: Time, conn: ConnId, peer: Peer, listener: ListenerId) {
        let session = Session { peer, listener, who: Role::Stranger, frames: None, heard: now };
        self.by_conn.insert(conn, session);
    }

    pub fn get(&self, conn: ConnId) -> Option<&Session> {
        self.by_conn.get(&conn)
    }

    pub fn contains(&self, conn: ConnId) -> bool {
        self.by_conn.contains_key(&conn)
    }

    /// Returns the role of a peer, if the connection exists.
    pub fn who(&self, conn: ConnId) -> Option<Role> {
        self.get(conn).map(|session| session.who)
    }

    /// Counts the connections with a matching role.
    pub fn count(&self, which: impl Fn(Role) -> bool) -> usize {
        self.by_conn.values().filter(|session| which(session.who)).count()
    }

    /// Sets the role of a peer after its hello.
    pub fn identify(&mut self, now: Time, conn: ConnId, who: Role) {
        if let Some(session) = self.by_conn.get_mut(&conn) {
            (session.who, session.heard) = (who, now);
        }
    }

    /// Takes the incomplete line of a peer, to be completed by received bytes. Its bytes are not counted until
    /// [`Sessions::put_back`].
    pub fn take_line(&mut self, now: Time, conn: ConnId) -> Option<(Role, Frames)> {
        let session = self.by_conn.get_mut(&conn)?;
        if session.who != Role::Stranger {
            session.heard = now;
        }
        let (who, frames) = (session.who, session.frames.take().map_or_else(Frames::default, |frames| *frames));
        self.release(who, frames.held());
        Some((who, frames))
    }

    /// Puts back the rest. Returns the role of the peer now; `None` if the connection was closed.
    pub fn put_back(&mut self, conn: ConnId, frames: Frames) -> Option<Role> {
        let session = self.by_conn.get_mut(&conn)?;
        let (who, held) = (session.who, frames.held());
        session.frames = (!frames.is_idle()).then(|| Box::new(frames));
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

    /// Returns whether strangers hold more than their limit.
    pub fn strangers_hold_too_much(&self) -> bool {
        self.strangers_hold > STRANGERS_HOLD_MAX
    }

    /// Returns the longest line of a peer that has sent `length` bytes of one. `value_max` is the longest value, in
    /// bytes.
    pub fn line_bound(&self, who: Role, length: usize, budget: &Budget, value_max: usize) -> LineBound {
        let max = match who {
            Role::Stranger => Some(LINE_MAX_BEFORE_HELLO),
            // Slaves without a run and operators give no values.
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
        self.release(session.who, session.frames.as_ref().map_or(0, |frames| frames.held()));
        Some(session)
    }

    #[cfg(test)]
    pub fn conns(&self) -> Vec<ConnId> {
        let mut conns: Vec<ConnId> = self.by_conn.keys().copied().collect();
        conns.sort_unstable();
        conns
    }

    /// Returns what incomplete lines of members hold, in bytes.
    #[cfg(test)]
    pub fn partial(&self) -> usize {
        self.partial.bytes()
    }

    /// Returns at most `most` connections with peers that have been silent for too long, and the reasons. `read` is the
    /// time up to which all received bytes were read.
    pub fn silent(&self, read: Time, most: usize) -> Vec<(ConnId, String)> {
        let why = |session: &Session| {
            let stranger = session.who == Role::Stranger;
            let (bound, what) = if stranger { (HELLO_WITHIN, "hello") } else { (SILENT_AFTER, "message") };
            let silent = read.since(session.heard) >= bound;
            silent.then(|| format!("no {what} within {}", text::duration(bound)))
        };
        self.by_conn.iter().filter_map(|(&conn, session)| Some((conn, why(session)?))).take(most).collect()
    }
}
