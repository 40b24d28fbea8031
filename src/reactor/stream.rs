//! A TCP or Unix stream, and errors in words.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::{TcpStream, UnixStream};

use crate::machine::Peer;

/// A socket of either kind.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    pub fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(slices),
            Stream::Unix(stream) => stream.write_vectored(slices),
        }
    }

    pub fn half_close(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    pub fn source(&mut self) -> &mut dyn mio::event::Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }

    /// Who is there, once a connect is through: `Ok(None)` while it is under way.
    pub fn confirm(&self) -> io::Result<Option<(Peer, Option<SocketAddr>)>> {
        match self {
            Stream::Tcp(stream) => {
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

/// The peer of a Unix socket, as the system vouches for it.
pub fn credentials(stream: &UnixStream) -> Peer {
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(creds) => Peer::Local { uid: creds.uid.as_raw(), pid: Some(creds.pid.as_raw_nonzero().get()) },
        Err(error) => {
            log::debug!("peer credentials: {error}");
            Peer::Local { uid: u32::MAX, pid: None }
        }
    }
}

/// An error in words, without the number that the system gives it.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        // "Connection refused" becomes "connection refused"; "I/O error" stays.
        Some(head) if chars.clone().next().is_some_and(char::is_lowercase) => {
            head.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}
