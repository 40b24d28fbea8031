//! Datagram sockets, which send to one host or to all of a network.
//!
//! Each is a pair. The receiving socket is bound to the port alone, because a socket that is bound to an address receives no
//! broadcasts. The sending socket is bound to our address, so that receivers know it. A fault of the network must not end the
//! loop: while an interface is down, datagrams are lost, and an interface that was removed and added again gets new sockets.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use nix::sys::socket::{setsockopt, sockopt::BindToDevice};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::errors::plain;
use super::tokens::{SourceKind, token};
use crate::machine::{Bytes, SocketId};

/// The setup of a datagram socket.
#[derive(Debug, Clone)]
pub struct DatagramOptions {
    /// The interface that it sends and receives on. `None`: any.
    pub interface: Option<String>,
    /// Our address there, which is the source of sent datagrams.
    pub address: Ipv4Addr,
    /// The port that it receives on. Sent datagrams come from another port.
    pub port: u16,
    /// Other sockets of this host that also set this can receive on the same port.
    pub reuse: bool,
}

struct Socket {
    options: DatagramOptions,
    receiver: OwnedFd,
    sender: OwnedFd,
    /// The number of datagrams that were longer than the buffer.
    truncated: u64,
}

/// All datagram sockets, and the datagrams of this turn.
pub struct Datagrams {
    sockets: Vec<Socket>,
    /// Whether each of them may have something to read.
    ready: Vec<bool>,
    queue: Vec<(SocketId, SocketAddr, Bytes)>,
    registry: Registry,
}

impl Datagrams {
    pub fn new(registry: Registry) -> Datagrams {
        Datagrams { sockets: Vec::new(), ready: Vec::new(), queue: Vec::new(), registry }
    }

    /// Opens a socket. Fails with what the system refused.
    pub fn bind(&mut self, options: DatagramOptions) -> io::Result<SocketId> {
        let (receiver, sender) = (receiver(&options)?, sender(&options)?);
        let id = self.sockets.len();
        self.register(&receiver, id)?;
        self.sockets.push(Socket { options, receiver, sender, truncated: 0 });
        self.ready.push(false);
        Ok(SocketId(id))
    }

    fn register(&self, receiver: &OwnedFd, index: usize) -> io::Result<()> {
        let entry = token(SourceKind::Datagrams, index);
        self.registry.register(&mut SourceFd(&receiver.as_raw_fd()), entry, Interest::READABLE)
    }

    /// Returns the sockets that may have something to read.
    pub fn ready(&self) -> Vec<usize> {
        (0..self.ready.len()).filter(|index| self.ready[*index]).collect()
    }

    /// Whether any of them may have something to read.
    pub fn any_ready(&self) -> bool {
        self.ready.contains(&true)
    }

    pub fn mark_ready(&mut self, index: usize) {
        if let Some(ready) = self.ready.get_mut(index) {
            *ready = true;
        }
    }

    /// Receives one datagram, and returns its length and its source. Returns `None` if there is none left, and `Some(None)` if
    /// there was one that must be ignored, or an error, which the next call does not see.
    pub fn receive(&mut self, index: usize, buffer: &mut [u8]) -> Option<Option<(usize, SocketAddr)>> {
        let socket = self.sockets.get_mut(index)?;
        match rustix::net::recvfrom(&socket.receiver, &mut *buffer, RecvFlags::TRUNC) {
            Ok((_, length, _)) if length > buffer.len() => {
                socket.truncated += 1;
                log::debug!("a datagram of {length} bytes is dropped, too long like {} before", socket.truncated - 1);
                Some(None)
            }
            Ok((_, length, from)) => {
                Some(from.and_then(|from| SocketAddr::try_from(from).ok()).map(|from| (length, from)))
            }
            Err(Errno::AGAIN) => {
                self.ready[index] = false;
                None
            }
            Err(error) => {
                log::debug!("receiving datagrams: {error}");
                Some(None)
            }
        }
    }

    /// Queues a datagram, which is sent at the end of the turn.
    pub fn send(&mut self, socket: SocketId, to: SocketAddr, bytes: Bytes) {
        self.queue.push((socket, to, bytes));
    }

    /// Sends the datagrams of this turn. A datagram that cannot be sent is lost, as any datagram can be.
    pub fn flush(&mut self) {
        let mut queue = std::mem::take(&mut self.queue);
        for (SocketId(index), to, bytes) in queue.drain(..) {
            let Some(socket) = self.sockets.get(index) else { continue };
            let Err(error) = rustix::net::sendto(&socket.sender, &bytes, SendFlags::NOSIGNAL, &to) else { continue };
            log::debug!("a datagram of {} bytes to {to}: {error}", bytes.len());
            if matches!(error, Errno::NODEV | Errno::NXIO) {
                self.open_again(index);
            }
        }
        self.queue = queue;
    }

    /// Replaces the sockets of an interface that was removed. The old ones stay dead when the interface is added again.
    fn open_again(&mut self, index: usize) {
        let options = &self.sockets[index].options;
        let opened = receiver(options).and_then(|receiver| Ok((receiver, sender(options)?)));
        match opened.and_then(|(receiver, sender)| self.register(&receiver, index).map(|()| (receiver, sender))) {
            Ok((receiver, sender)) => {
                log::debug!("the interface is there again");
                let socket = &mut self.sockets[index];
                (socket.receiver, socket.sender) = (receiver, sender);
                self.ready[index] = true;
            }
            Err(error) => log::debug!("{error}"),
        }
    }
}

/// Returns a socket that receives all datagrams to the port, including broadcasts.
fn receiver(options: &DatagramOptions) -> io::Result<OwnedFd> {
    let socket = open(options)?;
    sockopt::set_socket_reuseaddr(&socket, options.reuse)?;
    let anywhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, options.port);
    rustix::net::bind(&socket, &anywhere).map_err(|error| match error {
        Errno::ADDRINUSE => {
            let text = format!("another program has UDP port {} and does not share it", options.port);
            io::Error::new(ErrorKind::AddrInUse, text)
        }
        _ => explain(error, &format!("cannot hear on UDP port {}", options.port)),
    })?;
    Ok(socket)
}

/// Returns a socket that sends from our address.
fn sender(options: &DatagramOptions) -> io::Result<OwnedFd> {
    let socket = open(options)?;
    sockopt::set_socket_broadcast(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(options.address, 0))
        .map_err(|error| explain(error, &format!("cannot send from {}", options.address)))?;
    Ok(socket)
}

/// Returns a socket that is bound to the interface.
fn open(options: &DatagramOptions) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    if let Some(interface) = &options.interface {
        // Since Linux 5.7 every user may do this, once for each socket.
        setsockopt(&socket, BindToDevice, &interface.into()).map_err(|error| {
            explain(Errno::from_raw_os_error(error as i32), &format!("cannot use interface {interface}"))
        })?;
    }
    Ok(socket)
}

fn explain(error: Errno, what: &str) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{what}: {}", plain(&error)))
}
