//! Connections that are being made: each address of a host name is tried in turn, until one answers.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use mio::net::{TcpStream, UnixStream};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::connections::Connections;
use super::errors::{plain, reason};
use super::lookup::Lookups;
use super::stream::Stream;
use super::tls::{Tls, TlsStream, host_of};
use crate::machine::{Address, Cause, ConnId, Reason};

/// The most addresses of one host name that are tried.
const MAX_ADDRESSES: usize = 16;

struct Dial {
    to: Address,
    rest: VecDeque<SocketAddr>,
}

/// The connections that are being dialled.
pub struct Dials {
    dials: BTreeMap<ConnId, Dial>,
    source: Option<IpAddr>,
    tls: Option<Rc<Tls>>,
}

impl Dials {
    /// Returns no dials yet. They use this local address and TLS, if given.
    pub fn new(source: Option<IpAddr>, tls: Option<Rc<Tls>>) -> Dials {
        Dials { dials: BTreeMap::new(), source, tls }
    }

    /// Uses this TLS for later connections.
    pub fn set_tls(&mut self, tls: &Rc<Tls>) {
        self.tls = Some(tls.clone());
    }

    /// Begins to dial. Fails if the connection cannot be made.
    pub fn start(
        &mut self,
        conn: ConnId,
        to: Address,
        conns: &mut Connections,
        lookups: &mut Lookups,
    ) -> Result<(), Reason> {
        let mut rest = VecDeque::new();
        match &to {
            Address::Unix(path) => {
                let attempt = UnixStream::connect(path).and_then(|stream| conns.attach(conn, Stream::Unix(stream)));
                attempt.map_err(|error| reason(&error).of(&to))?;
                self.dials.insert(conn, Dial { to, rest });
                return Ok(());
            }
            Address::Inet(name) => match name.parse() {
                Ok(address) => rest.push_back(address),
                Err(_) => {
                    lookups.start(conn, name).map_err(|why| why.of(&to))?;
                    self.dials.insert(conn, Dial { to, rest });
                    return Ok(());
                }
            },
        }
        self.dials.insert(conn, Dial { to, rest });
        self.next(conn, Reason::new(Cause::NoName, "no address"), conns)
    }

    /// Takes the result of the lookup. Fails if the connection cannot be made.
    pub fn found(
        &mut self,
        conn: ConnId,
        result: Result<Vec<SocketAddr>, Reason>,
        conns: &mut Connections,
    ) -> Result<(), Reason> {
        let Some(dial) = self.dials.get_mut(&conn) else { return Ok(()) };
        match result {
            Ok(addresses) => dial.rest = addresses.into_iter().take(MAX_ADDRESSES).collect(),
            Err(why) => {
                let why = why.of(&dial.to);
                self.dials.remove(&conn);
                return Err(why);
            }
        }
        self.next(conn, Reason::new(Cause::NoName, "the host name has no address"), conns)
    }

    /// Tries the next address. Fails with `why`, the reason of the last attempt, if no address is left.
    pub fn next(&mut self, conn: ConnId, mut why: Reason, conns: &mut Connections) -> Result<(), Reason> {
        let Some(dial) = self.dials.get_mut(&conn) else { return Ok(()) };
        conns.detach(conn);
        while let Some(address) = dial.rest.pop_front() {
            let attempt: io::Result<()> = connect(self.source, address)
                .and_then(|stream| secure(self.tls.as_ref(), &dial.to, stream))
                .and_then(|stream| conns.attach(conn, stream));
            match attempt {
                Ok(()) => return Ok(()),
                Err(error) => why = reason(&error),
            }
        }
        let why = why.of(&dial.to);
        self.dials.remove(&conn);
        Err(why)
    }

    /// Forgets a connection that is established, or that the machine has closed.
    pub fn finish(&mut self, conn: ConnId) {
        self.dials.remove(&conn);
    }
}

/// Puts TLS on a connection to this address, if this end speaks TLS.
fn secure(tls: Option<&Rc<Tls>>, to: &Address, stream: TcpStream) -> io::Result<Stream> {
    match (tls.and_then(|tls| Some((tls, tls.dials.as_ref()?))), to) {
        (Some((tls, config)), Address::Inet(name)) => {
            TlsStream::dialled(tls, config, stream, host_of(name)).map(|stream| Stream::Tls(Box::new(stream)))
        }
        _ => Ok(Stream::Tcp(stream)),
    }
}

/// Begins to connect to an address, from `source` or from an address that the system chooses.
fn connect(source: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(to) };
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(source, 0)).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("from {source}: {}", plain(&error)))
    })?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}
