//! Who has proven who it is by what was right before the configuration was read anew: each is looked at again by what is
//! right now, a few in each turn of the loop, for a signature takes a while to check.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::clock::now;
use super::connections::Connections;
use super::pending::Pending;
use super::tls::Tls;
use crate::machine::{ConnId, Input};

/// How long certificates are looked at in one turn.
const DOUBTS_OF_A_TURN: Duration = Duration::from_millis(10);

#[derive(Default)]
pub struct Doubts {
    queue: VecDeque<ConnId>,
    /// In the middle of a handshake by the old rules.
    unproven: BTreeSet<ConnId>,
}

impl Doubts {
    /// These are to be looked at again.
    pub fn begin(&mut self, conns: Vec<ConnId>) {
        self.unproven.clear();
        self.queue = conns.into();
    }

    /// A handshake is through.
    pub fn proven(&mut self, conn: ConnId) {
        if self.unproven.remove(&conn) {
            self.queue.push_back(conn);
        }
    }

    pub fn any(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Looks at some of them.
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
