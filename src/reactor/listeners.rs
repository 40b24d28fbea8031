//! Listening sockets, TCP and Unix, and the connections that were accepted in this turn.
//!
//! This file owns the bound on connections. When descriptors run out, a listener must not keep its waiting connections in
//! the backlog: they would wake every poll, and their peers would wait for an answer.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, UnixListener, UnixStream};
use mio::{Interest, Registry};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::errors::plain;
use super::stream::{Stream, credentials};
use super::tokens::{SourceKind, token};
use crate::machine::{ListenerId, Peer};

/// The most connections that the system holds until they are accepted.
const BACKLOG: i32 = 4096;
/// The longest path of a Unix socket, in bytes.
const MAX_SOCKET_PATH: usize = 107;

/// The mode of a Unix socket for this user.
pub const OF_THE_USER: Mode = Mode::RUSR.union(Mode::WUSR);
/// The mode of a Unix socket for this user and this group.
pub const OF_THE_GROUP: Mode = OF_THE_USER.union(Mode::RGRP).union(Mode::WGRP);

enum Socket {
    Tcp(TcpListener),
    /// The file is `None` if another program has made it and removes it.
    Unix {
        listener: UnixListener,
        _file: Option<SocketFile>,
    },
}

/// A socket in the file system. Removed when dropped, unless another program has replaced it.
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Returns the socket that was just made at this path.
    pub fn at(path: &Path) -> io::Result<SocketFile> {
        let meta = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.to_owned(), device: meta.dev(), inode: meta.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Ok(meta) = fs::symlink_metadata(&self.path)
            && (meta.dev(), meta.ino()) == (self.device, self.inode)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The warning about connections that are closed because there are too many.
const ENOUGH: &str = "the limit of connections is reached: raise --connections-max, or the limit of open files if that is \
                      not given";

/// The outcome of one attempt to accept a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepting {
    /// A connection was taken or turned away. More may wait.
    GoOn,
    /// No connection waits.
    Drained,
    /// No descriptor is left, not even to turn a connection away.
    Exhausted,
}

/// All listening sockets.
pub struct Listeners {
    sockets: Vec<Socket>,
    /// Whether a connection may wait at each of them.
    ready: Vec<bool>,
    registry: Registry,
    /// The connections that were accepted in this turn.
    accepted: Vec<(Stream, Peer, ListenerId)>,
    most: usize,
    /// Closed for a moment when descriptors run out, so that a connection can be accepted and turned away.
    reserve: Option<File>,
    has_warned: bool,
}

impl Listeners {
    /// Returns no listeners yet, for at most `most` connections.
    pub fn new(registry: Registry, most: usize) -> Listeners {
        Listeners {
            sockets: Vec::new(),
            ready: Vec::new(),
            registry,
            accepted: Vec::new(),
            most,
            reserve: File::open("/dev/null").ok(),
            has_warned: false,
        }
    }

    /// Sets the most connections. Connections beyond it that are open stay open.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    fn add(&mut self, mut socket: Socket) -> io::Result<ListenerId> {
        let id = self.sockets.len();
        let entry = token(SourceKind::Listener, id);
        match &mut socket {
            Socket::Tcp(listener) => self.registry.register(listener, entry, Interest::READABLE)?,
            Socket::Unix { listener, .. } => self.registry.register(listener, entry, Interest::READABLE)?,
        }
        self.sockets.push(socket);
        self.ready.push(false);
        Ok(ListenerId(id))
    }

    pub fn listen_tcp(&mut self, address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        let listener = TcpListener::from_std(socket.into());
        let local = listener.local_addr()?;
        Ok((self.add(Socket::Tcp(listener))?, local))
    }

    /// Takes over a listening socket. Fails if it does not listen.
    pub fn adopt_tcp(&mut self, listener: std::net::TcpListener) -> io::Result<(ListenerId, SocketAddr)> {
        is_listening(&listener)?;
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        Ok((self.add(Socket::Tcp(TcpListener::from_std(listener)))?, local))
    }

    /// Takes over a listening Unix socket. Fails if it does not listen.
    pub fn adopt_unix(&mut self, listener: std::os::unix::net::UnixListener) -> io::Result<ListenerId> {
        is_listening(&listener)?;
        listener.set_nonblocking(true)?;
        self.add(Socket::Unix { listener: UnixListener::from_std(listener), _file: None })
    }

    /// Listens on a path with this mode. Replaces the socket of a process that has ended. Fails if a process listens there.
    pub fn listen_unix(&mut self, path: &Path, mode: Mode) -> io::Result<ListenerId> {
        let length = path.as_os_str().len();
        if length > MAX_SOCKET_PATH {
            let text = format!("a socket's path has at most {MAX_SOCKET_PATH} bytes, this one {length}");
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // The mode of the socket becomes that of its file, so it is private from the first instant.
        rustix::fs::fchmod(&socket, mode)?;
        let address = SocketAddrUnix::new(path)?;
        if let Err(error) = rustix::net::bind(&socket, &address) {
            if error != rustix::io::Errno::ADDRINUSE {
                return Err(error.into());
            }
            remove_stale(path)?;
            rustix::net::bind(&socket, &address)?;
        }
        if mode != OF_THE_USER {
            // The umask may have removed bits of others.
            rustix::fs::chmod(path, mode)?;
        }
        let file = SocketFile::at(path)?;
        rustix::net::listen(&socket, BACKLOG)?;
        self.add(Socket::Unix { listener: UnixListener::from_std(socket.into()), _file: Some(file) })
    }

    pub fn mark_ready(&mut self, index: usize) {
        if let Some(ready) = self.ready.get_mut(index) {
            *ready = true;
        }
    }

    /// Marks all listeners, because descriptors may be free again.
    pub fn mark_all_ready(&mut self) {
        self.ready.fill(true);
    }

    /// Returns the listeners at which a connection may wait.
    pub fn ready(&self) -> Vec<usize> {
        (0..self.ready.len()).filter(|index| self.ready[*index]).collect()
    }

    /// Whether a connection may wait at any of them.
    pub fn any_ready(&self) -> bool {
        self.ready.contains(&true)
    }

    pub fn is_tcp(&self, index: usize) -> bool {
        matches!(self.sockets.get(index), Some(Socket::Tcp(_)))
    }

    /// Returns the number of connections that were accepted in this turn and not taken yet.
    pub fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// Takes the connections that were accepted in this turn.
    pub fn take_accepted(&mut self) -> Vec<(Stream, Peer, ListenerId)> {
        std::mem::take(&mut self.accepted)
    }

    /// Accepts one connection, or turns it away if `open` connections leave no room for it.
    pub fn accept(&mut self, index: usize, open: usize) -> Accepting {
        match self.accept_one(index) {
            Ok((stream, peer)) if open + self.accepted.len() < self.most => {
                self.accepted.push((stream, peer, ListenerId(index)));
            }
            Ok(_) => self.warn_of_shedding(ENOUGH),
            Err(error) if self.mark_drained(index, &error) => return Accepting::Drained,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => match self.shed(index) {
                Ok(()) => self.warn_of_shedding(&format!("{}: raise the limit of open files", plain(&error))),
                // The system looks for a descriptor first, and only then for a waiting connection.
                Err(second) if self.mark_drained(index, &second) => return Accepting::Drained,
                Err(_) => {
                    self.warn_of_shedding(&plain(&error));
                    return Accepting::Exhausted;
                }
            },
        }
        Accepting::GoOn
    }

    /// Whether the error means that no connection waits. Then the listener is not ready until its next event.
    fn mark_drained(&mut self, index: usize, error: &io::Error) -> bool {
        let drained = error.kind() == ErrorKind::WouldBlock;
        self.ready[index] &= !drained;
        drained
    }

    /// Takes a connection off the backlog with the descriptor in reserve, and closes it. Otherwise it would wake the next
    /// poll, and its peer would wait.
    fn shed(&mut self, index: usize) -> io::Result<()> {
        let result = match self.reserve.take() {
            Some(reserve) => {
                drop(reserve);
                self.accept_one(index).map(drop)
            }
            None => Err(ErrorKind::Other.into()),
        };
        self.reserve = File::open("/dev/null").ok();
        result
    }

    fn warn_of_shedding(&mut self, why: &str) {
        if !std::mem::replace(&mut self.has_warned, true) {
            log::warn!("connections are turned away: {why}");
        }
    }

    fn accept_one(&self, index: usize) -> io::Result<(Stream, Peer)> {
        match &self.sockets[index] {
            Socket::Tcp(listener) => listener.accept().map(|(stream, peer)| (Stream::Tcp(stream), Peer::Inet(peer))),
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept()?;
                let peer = credentials(&stream);
                Ok((Stream::Unix(stream), peer))
            }
        }
    }

    /// Stops listening, and removes the socket files.
    pub fn clear(&mut self) {
        self.sockets.clear();
        self.ready.clear();
    }
}

/// Fails if a socket does not listen.
fn is_listening(socket: impl AsFd) -> io::Result<()> {
    match sockopt::socket_acceptconn(socket)? {
        true => Ok(()),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a listening socket")),
    }
}

/// Removes the socket at `path` if no process listens there any more. Fails otherwise.
fn remove_stale(path: &Path) -> io::Result<()> {
    let taken = |text: &str| Err(io::Error::new(ErrorKind::AddrInUse, text));
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return taken("the file exists and is not a socket");
    }
    // The connect does not wait if the backlog of the listener is full.
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => taken("another process listens there"),
    }
}
