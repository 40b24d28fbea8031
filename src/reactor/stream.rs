//! A TCP or Unix stream, or TLS on one.
//!
//! This file owns what is the same for all of them, so that the connections need not know which they have.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::{TcpStream, UnixStream};

use super::tls::TlsStream;
use crate::machine::Peer;

/// A socket of either kind, or TLS on one. The state of TLS is boxed, so that the others do not pay for it.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Reads from the socket itself. On a TLS stream the bytes are sealed, and can only be dropped.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.discard(buffer),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(&[IoSlice::new(bytes)]),
        }
    }

    pub fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(slices),
            Stream::Unix(stream) => stream.write_vectored(slices),
            Stream::Tls(stream) => stream.write(slices),
        }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Returns the TLS stream, if it is one.
    pub fn tls(&mut self) -> Option<&mut TlsStream> {
        match self {
            Stream::Tls(stream) => Some(stream),
            Stream::Tcp(_) | Stream::Unix(_) => None,
        }
    }

    /// Whether bytes that were written have not reached the socket yet.
    pub fn has_sealed(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.has_sealed())
    }

    /// Shuts our half of the connection. Returns `false` if the socket is full, so that the caller must try again.
    pub fn half_close(&mut self) -> io::Result<bool> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write).map(|()| true),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write).map(|()| true),
            Stream::Tls(stream) => stream.finish(),
        }
    }

    /// Returns the TCP socket, if it has one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(stream) => Some(stream),
            Stream::Tls(stream) => Some(stream.tcp()),
            Stream::Unix(_) => None,
        }
    }

    pub fn source(&mut self) -> &mut dyn mio::event::Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
            Stream::Tls(stream) => stream.source(),
        }
    }

    /// Returns the peer and our address once a connect is complete, and `None` before that. Fails if the connect has failed.
    pub fn confirm(&self) -> io::Result<Option<(Peer, Option<SocketAddr>)>> {
        match self {
            Stream::Tcp(stream) => confirm_tcp(stream),
            Stream::Tls(stream) => confirm_tcp(stream.tcp()),
            Stream::Unix(stream) => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                match stream.peer_addr() {
                    Ok(_) => Ok(Some((credentials(stream), None))),
                    Err(error) if error.kind() == ErrorKind::NotConnected => Ok(None),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

fn confirm_tcp(stream: &TcpStream) -> io::Result<Option<(Peer, Option<SocketAddr>)>> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(peer) => {
            stream.set_nodelay(true)?;
            Ok(Some((Peer::Inet(peer), Some(stream.local_addr()?))))
        }
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the peer of a Unix socket, as the system reports it.
pub fn credentials(stream: &UnixStream) -> Peer {
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(creds) => Peer::Local { uid: creds.uid.as_raw(), pid: Some(creds.pid.as_raw_nonzero().get()) },
        Err(error) => {
            log::debug!("peer credentials: {error}");
            Peer::Local { uid: u32::MAX, pid: None }
        }
    }
}
