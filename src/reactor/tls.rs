//! TLS 1.3 on a TCP stream. Both ends prove their names; the machine sees plain bytes, and the names in [`Peer`].
//!
//! rustls implements the protocol and must never hold much: received bytes are opened at once and handed on, sent bytes are
//! sealed in bounded pieces, and no further piece is sealed before the socket has taken the last one.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::errors::plain;
use crate::machine::{Bytes, ListenerId, Peer};

/// The longest handshake that is accepted, in bytes. A usual one has two or three thousand, more with a long chain.
pub const HANDSHAKE_MAX: usize = 32 * 1024;

/// The bytes that are read from a socket at once. Opened, with the rest of a record that had begun, they fit a read buffer.
pub const SEALED_AT_ONCE: usize = 32 * 1024;

/// The bytes that are sealed ahead of the socket.
const SEALED_AHEAD: usize = 64 * 1024;

/// The first byte of every handshake.
const HANDSHAKE_BYTE: u8 = 0x16;

/// The TLS setup of a reactor.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The setup of accepted connections. `None`: they do not speak TLS.
    pub accepts: Option<Arc<ServerConfig>>,
    /// The setup of dialled connections. `None`: they do not speak TLS.
    pub dials: Option<Arc<ClientConfig>>,
    /// The name that the certificate of a dialled peer must have. `None`: the dialled host.
    pub dialled_name: Option<ServerName<'static>>,
    /// Checks the certificates of peers on accepted connections again after a reload. `None`: they are not checked again.
    pub accepted_by: Option<Arc<dyn ClientCertVerifier>>,
    /// Checks the certificates of peers on dialled connections again after a reload. `None`: they are not checked again.
    pub dialled_by: Option<Arc<dyn ServerCertVerifier>>,
    /// The answer to a peer that does not speak TLS, sent without TLS.
    pub to_the_plain: Bytes,
    /// Returns the names that a certificate proves.
    pub names: fn(&CertificateDer<'_>) -> Vec<Box<str>>,
    /// Describes an error, with the next step.
    pub in_words: fn(&rustls::Error) -> String,
}

/// The error if a peer leaves in the handshake.
const CLOSED_IN_HANDSHAKE: &str =
    "the other end closed the connection in the middle of the TLS handshake: does it speak TLS?";

/// A TCP stream with TLS on it.
pub struct TlsStream {
    tcp: TcpStream,
    session: Connection,
    tls: Rc<Tls>,
    /// The listener that accepted it. `None`: it was dialled.
    listener: Option<ListenerId>,
    /// The name that the certificate of the other end must have, if it was dialled.
    name: Option<ServerName<'static>>,
    /// The number of bytes that the handshake has received.
    taken: usize,
    /// The socket has taken something since the last [`TlsStream::has_moved`].
    moved: bool,
    /// Our half is closed: nothing more is sealed.
    finished: bool,
}

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// The number of plain bytes.
    pub length: usize,
    /// The socket may have more.
    pub more: bool,
    /// The peer has closed its half.
    pub ends: bool,
}

impl TlsStream {
    /// Returns our end of an accepted connection.
    pub fn accepted(tls: &Rc<Tls>, config: &Arc<ServerConfig>, tcp: TcpStream, at: ListenerId) -> io::Result<Self> {
        let session =
            ServerConnection::new(config.clone()).map_err(|error| io::Error::other((tls.in_words)(&error)))?;
        Ok(TlsStream::new(tls, Connection::Server(session), tcp, (Some(at), None)))
    }

    /// Returns our end of a connection to `host`. Fails if no certificate can be for that host.
    pub fn dialled(tls: &Rc<Tls>, config: &Arc<ClientConfig>, tcp: TcpStream, host: &str) -> io::Result<Self> {
        let name = match &tls.dialled_name {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        let session = ClientConnection::new(config.clone(), name.clone())
            .map_err(|error| io::Error::other((tls.in_words)(&error)))?;
        Ok(TlsStream::new(tls, Connection::Client(session), tcp, (None, Some(name))))
    }

    fn new(
        tls: &Rc<Tls>,
        mut session: Connection,
        tcp: TcpStream,
        (listener, name): (Option<ListenerId>, Option<ServerName<'static>>),
    ) -> TlsStream {
        session.set_buffer_limit(Some(SEALED_AHEAD));
        TlsStream { tcp, session, tls: tls.clone(), listener, name, taken: 0, moved: false, finished: false }
    }

    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub fn source(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether it was accepted, and not dialled.
    pub fn is_accepted(&self) -> bool {
        self.listener.is_some()
    }

    /// Whether some sealed bytes are not written yet.
    pub fn has_sealed(&self) -> bool {
        self.session.wants_write()
    }

    /// Whether the socket has taken something since the last time.
    pub fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Returns the listener, the peer and our address after the handshake.
    pub fn introduce(&mut self) -> io::Result<(Option<ListenerId>, Peer, Option<SocketAddr>)> {
        let certificate = self.session.peer_certificates().and_then(|chain| chain.first());
        let names = certificate.map(|certificate| (self.tls.names)(certificate)).unwrap_or_default();
        let peer = Peer::proven(self.tcp.peer_addr()?, names);
        Ok((self.listener, peer, self.tcp.local_addr().ok()))
    }

    /// Checks the certificate of the other end again, by the rules of `tls`. Fails if it is not accepted any more.
    pub fn check_again(&self, tls: &Tls) -> Result<(), rustls::Error> {
        let Some([own, above @ ..]) = self.session.peer_certificates() else { return Ok(()) };
        let today = UnixTime::now();
        match (&self.name, &tls.accepted_by, &tls.dialled_by) {
            (None, Some(by), _) => by.verify_client_cert(own, above, today).map(drop),
            (Some(name), _, Some(by)) => by.verify_server_cert(own, above, name, &[], today).map(drop),
            _ => Ok(()),
        }
    }

    /// Reads once from the socket, and opens everything into `buffer`, which must have room for it.
    pub fn read(&mut self, buffer: &mut [u8], sealed: &mut [u8]) -> io::Result<Opened> {
        let count = match self.tcp.read(sealed) {
            Ok(0) if self.is_handshaking() => return Err(io::Error::other(CLOSED_IN_HANDSHAKE)),
            // A missing close_notify does no harm, because a message that was cut off is not complete anyway.
            Ok(0) => return Ok(Opened { length: 0, more: false, ends: true }),
            Ok(count) => count,
            Err(error) => return Err(error),
        };
        self.recognize(&sealed[..count])?;
        let more = count == sealed.len();
        let (mut rest, mut length) = (&sealed[..count], 0);
        loop {
            let taken = if rest.is_empty() { 0 } else { self.session.read_tls(&mut rest)? };
            let state = self.session.process_new_packets().map_err(|error| self.wrong(&error))?;
            self.count(taken)?;
            match self.session.reader().read(&mut buffer[length..]) {
                Ok(0) if state.peer_has_closed() => return Ok(Opened { length, more: false, ends: true }),
                Ok(count) => length += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if taken == 0 {
                debug_assert_eq!(state.plaintext_bytes_to_read().saturating_sub(length), 0, "all is handed on");
                return Ok(Opened { length, more, ends: state.peer_has_closed() });
            }
        }
    }

    /// Checks the first bytes before rustls does, and answers a peer that does not speak TLS without TLS.
    fn recognize(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_handshaking() && self.taken == 0 && self.is_accepted() && bytes[0] != HANDSHAKE_BYTE {
            self.finished = true;
            let answer = self.tls.to_the_plain.clone();
            // It fits into a socket that nothing was written to yet.
            let _ = self.tcp.write(&answer);
            return Err(io::Error::other("it does not speak TLS: if it is one of yours, give it --tls DIR too"));
        }
        Ok(())
    }

    /// Counts the bytes of the handshake. Later bytes do not count. Fails if there are too many.
    fn count(&mut self, taken: usize) -> io::Result<()> {
        if !self.is_handshaking() {
            return Ok(());
        }
        self.taken += taken;
        if self.taken > HANDSHAKE_MAX {
            return Err(io::Error::other(format!("its handshake is longer than {HANDSHAKE_MAX} bytes")));
        }
        Ok(())
    }

    fn wrong(&mut self, error: &rustls::Error) -> io::Error {
        // The peer gets the alert, if its socket takes it.
        let _ = self.flush();
        io::Error::other((self.tls.in_words)(error))
    }

    /// Seals some of `slices`, and returns the number of bytes. Fails with `WouldBlock` until the socket has taken everything
    /// that was sealed before.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.flush()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = self.session.writer().write_vectored(slices)?;
        self.flush()?;
        Ok(count)
    }

    /// Writes what is sealed. Returns `false` if the socket is full.
    pub fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tcp) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => self.moved = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Closes our half. Returns `false` if the socket is full, so that the caller must try again.
    pub fn finish(&mut self) -> io::Result<bool> {
        if !std::mem::replace(&mut self.finished, true) {
            self.session.send_close_notify();
        }
        let flushed = self.flush()?;
        if flushed {
            self.tcp.shutdown(Shutdown::Write)?;
        }
        Ok(flushed)
    }

    /// Reads bytes and drops them. Returns 0 at the end.
    pub fn discard(&mut self, sealed: &mut [u8]) -> io::Result<usize> {
        self.tcp.read(sealed)
    }
}

/// Returns the name that the certificate of a dialled host must have. Fails if no certificate can be for it.
pub fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    // The zone of a link-local address names one of our interfaces, not the peer.
    let bare = host.split('%').next().unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(ip.into()));
    }
    match DnsName::try_from(host.to_owned()) {
        Ok(name) => Ok(ServerName::DnsName(name)),
        Err(error) => Err(io::Error::other(format!(
            "no certificate can be for the host name {host:?} ({error}): dial it by another name",
            error = plain(&io::Error::other(error))
        ))),
    }
}

/// Returns the host of `HOST:PORT`, without brackets.
pub fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_dialled_by_its_name_or_its_address() {
        for (address, host) in [
            ("a.lab:1", "a.lab"),
            ("10.0.0.1:7373", "10.0.0.1"),
            ("[::1]:5", "::1"),
            ("[fe80::1%eth0]:5", "fe80::1%eth0"),
        ] {
            assert_eq!(host_of(address), host);
            assert!(server_name(host).is_ok(), "{host}");
        }
        assert!(matches!(server_name("fe80::1%eth0"), Ok(ServerName::IpAddress(_))));
        assert!(server_name("no name").is_err());
    }
}
