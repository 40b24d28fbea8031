//! The part of a turn that handles TLS handshakes: which may begin, and what follows from the end of one.
//!
//! The machine must hear of a connection only after its peer has proven who it is.

use std::io;

use super::Reactor;
use super::clock::now;
use super::connections::Flushed;
use super::due::Due;
use super::handshakes::{HANDSHAKE_WITHIN, HANDSHAKES_MAX, SPARED_FOR};
use super::limits::LINGER;
use super::stream::Stream;
use super::tls::TlsStream;
use crate::machine::{ConnId, Input, ListenerId, Machine, Peer};

impl Reactor {
    /// Puts TLS on an accepted connection, if the listener speaks TLS.
    pub(super) fn secure(&self, stream: Stream, listener: ListenerId) -> io::Result<Stream> {
        match (stream, &self.tls) {
            (Stream::Tcp(tcp), Some(tls)) => match &tls.accepts {
                Some(config) => TlsStream::accepted(tls, config, tcp, listener).map(|it| Stream::Tls(Box::new(it))),
                None => Ok(Stream::Tcp(tcp)),
            },
            (stream, _) => Ok(stream),
        }
    }

    /// Whether a connection may be accepted at this listener. If the peer must prove who it is, there must be room for
    /// a handshake.
    pub(super) fn may_begin_handshake(&mut self, listener: usize) -> bool {
        let proves = self.listeners.is_tcp(listener) && self.tls.as_ref().is_some_and(|tls| tls.accepts.is_some());
        while proves && self.handshakes.len() + self.listeners.accepted() >= HANDSHAKES_MAX {
            let Some((oldest, since)) = self.handshakes.oldest() else { return false };
            let until = since + SPARED_FOR;
            if until > now() {
                self.timers.set(Due::Accept, until);
                return false;
            }
            self.give_up_handshake(oldest, "it has not proven who it is, and others want to");
        }
        true
    }

    pub(super) fn begin_accepted_handshake(&mut self, conn: ConnId, peer: &Peer) {
        self.handshakes.begin(conn, now(), peer.clone());
        self.begin_handshake(conn);
    }

    pub(super) fn begin_handshake(&mut self, conn: ConnId) {
        self.timers.set(Due::Handshake(conn), now() + HANDSHAKE_WITHIN);
    }

    fn end_handshake(&mut self, conn: ConnId) -> Option<Peer> {
        self.timers.cancel(&Due::Handshake(conn));
        self.handshakes.end(conn)
    }

    pub(super) fn give_up_handshake(&mut self, conn: ConnId, why: &str) {
        let outcome = self.conns.give_up(conn, why);
        self.end_unless_told(conn, &outcome);
        self.over(outcome);
    }

    /// Ends a handshake, unless its end is still to be logged.
    fn end_unless_told(&mut self, conn: ConnId, outcome: &Flushed) {
        if !matches!(outcome, Flushed::TurnedAway(..)) {
            self.end_handshake(conn);
        }
    }

    /// Completes a handshake, and tells the machine who the peer is.
    pub(super) fn proven(&mut self, machine: &mut impl Machine, conn: ConnId) {
        self.end_handshake(conn);
        self.doubts.proven(conn);
        match self.conns.introduce(conn) {
            Ok((Some(listener), peer, _)) => self.tell(machine, Input::Accepted { conn, listener, peer }),
            Ok((None, peer, local)) => self.tell(machine, Input::Connected { conn, peer, local }),
            // The connection is gone already.
            Err(error) => {
                log::debug!("a connection that was proven: {error}");
                self.conns.forget(conn);
            }
        }
    }

    /// Handles the end of a connection.
    pub(super) fn over(&mut self, outcome: Flushed) {
        match outcome {
            Flushed::Fine | Flushed::Done => {}
            Flushed::Lost(conn, reason) => {
                self.timers.cancel(&Due::Handshake(conn));
                self.lost(conn, reason);
            }
            Flushed::TurnedAway(conn, why) => {
                if let Some(peer) = self.end_handshake(conn) {
                    self.handshakes.tell(now(), &peer, &why);
                }
                self.timers.set(Due::Linger(conn), now() + LINGER);
                if let Some(oldest) = self.handshakes.turn_away(conn) {
                    self.timers.cancel(&Due::Linger(oldest));
                    self.conns.drop_lingering(oldest);
                }
            }
        }
    }
}
