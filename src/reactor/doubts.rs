//! Checks the certificates of connected peers again, after the configuration was read again.
//!
//! Each turn of the loop checks only a few of them, because a signature takes a while to check.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::clock::now;
use super::connections::Connections;
use super::pending::Pending;
use super::tls::Tls;
use crate::machine::{ConnId, Input};

/// The time that the checks take in one turn.
const DOUBTS_OF_A_TURN: Duration = Duration::from_millis(10);

/// The connections that are still to be checked.
#[derive(Default)]
pub struct Doubts {
    queue: VecDeque<ConnId>,
    /// The connections that are in a handshake by the old rules. They are checked after it.
    unproven: BTreeSet<ConnId>,
}

impl Doubts {
    /// Starts to check these connections.
    pub fn begin(&mut self, conns: Vec<ConnId>) {
        self.unproven.clear();
        self.queue = conns.into();
    }

    /// Notes that a handshake is complete.
    pub fn proven(&mut self, conn: ConnId) {
        if self.unproven.remove(&conn) {
            self.queue.push_back(conn);
        }
    }

    pub fn any(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Checks some of them, and pushes an input for each that would not be accepted any more.
    pub fn go_on(&mut self, tls: Option<&Tls>, conns: &mut Connections, told: &mut VecDeque<Pending>) {
        let Some(tls) = tls else { return self.queue.clear() };
        let until = now() + DOUBTS_OF_A_TURN;
        while now() < until
            && let Some(conn) = self.queue.pop_front()
        {
            match conns.tls_of(conn) {
                Some(stream) if stream.is_handshaking() => drop(self.unproven.insert(conn)),
                Some(stream) => {
                    if let Err(error) = stream.check_again(tls) {
                        let why = (tls.in_words)(&error);
                        told.push_back(Pending::Input(Input::Disproved { conn, why }));
                    }
                }
                None => {}
            }
        }
    }
}
