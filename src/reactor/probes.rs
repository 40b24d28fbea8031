//! Probes, which find out whether a program listens at a port: a TCP connection that is closed as soon as it is established.
//!
//! A probe is not a connection of the machine. It must send no byte, not even for TLS, and it may use any local address.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use slab::Slab;

use super::errors::plain;
use super::lookup::Lookups;
use super::tokens::{SourceKind, token};
use crate::machine::{ConnId, NoAnswer, ProbeId, Reason};

/// The time within which a probe must have an answer, including the lookup of a name.
pub const PROBE_TIME: Duration = Duration::from_secs(2);

/// The most probes at a time.
const PROBES_MAX: usize = 128;

/// The outcome of a probe.
pub type Found = (ProbeId, Result<(), NoAnswer>);

struct Probe {
    id: ProbeId,
    /// The addresses that are still to be tried.
    rest: VecDeque<SocketAddr>,
    /// `None`: the name is being looked up.
    stream: Option<TcpStream>,
}

/// The probes that have no outcome yet.
pub struct Probes {
    slab: Slab<Probe>,
    by_id: BTreeMap<ProbeId, usize>,
    registry: Registry,
}

/// Returns the name of a probe's lookup. No serial is given out twice, whatever it names.
fn lookup_of(probe: ProbeId) -> ConnId {
    ConnId(probe.0)
}

impl Probes {
    pub fn new(registry: Registry) -> Probes {
        Probes { slab: Slab::new(), by_id: BTreeMap::new(), registry }
    }

    /// Begins a probe of an address, or of a name that is looked up first. Returns the outcome if it is known already.
    pub fn begin(&mut self, id: ProbeId, to: &str, lookups: &mut Lookups) -> Option<Found> {
        if self.slab.len() >= PROBES_MAX {
            return Some((id, Err(NoAnswer::Other("too many ports are being tried".to_owned()))));
        }
        let index = self.slab.insert(Probe { id, rest: VecDeque::new(), stream: None });
        self.by_id.insert(id, index);
        match to.parse() {
            Ok(address) => self.looked_up(id, Ok(vec![address])),
            Err(_) => lookups.start(lookup_of(id), to).err().and_then(|why| self.looked_up(id, Err(why))),
        }
    }

    /// Returns the probe that this lookup is for.
    pub fn of_lookup(&self, conn: ConnId) -> Option<ProbeId> {
        Some(ProbeId(conn.0)).filter(|probe| self.by_id.contains_key(probe))
    }

    /// Tries the addresses of the name, one after another. Returns the outcome if it is known already.
    pub fn looked_up(&mut self, id: ProbeId, result: Result<Vec<SocketAddr>, Reason>) -> Option<Found> {
        let index = *self.by_id.get(&id)?;
        match result {
            Ok(addresses) => {
                self.slab[index].rest = addresses.into();
                self.next(index, NoAnswer::Other("the host name has no address".to_owned()))
            }
            Err(why) => self.end(id, Err(NoAnswer::Other(why.words))),
        }
    }

    /// Ends a probe that got no answer in time.
    pub fn time_out(&mut self, id: ProbeId, lookups: &mut Lookups) -> Option<Found> {
        lookups.cancel(lookup_of(id));
        self.end(id, Err(NoAnswer::Silent))
    }

    /// Tries the next address. If none is left, `why`, the failure of the last one, is the outcome.
    fn next(&mut self, index: usize, mut why: NoAnswer) -> Option<Found> {
        while let Some(address) = self.slab[index].rest.pop_front() {
            let attempt = connect(address).and_then(|mut stream| {
                self.registry.register(&mut stream, token(SourceKind::Probe, index), Interest::WRITABLE)?;
                Ok(stream)
            });
            match attempt {
                Ok(stream) => {
                    self.slab[index].stream = Some(stream);
                    return None;
                }
                Err(error) => why = no_answer(&error),
            }
        }
        self.end(self.slab[index].id, Err(why))
    }

    /// Handles an event of the socket of a probe. Returns the outcome if it is known.
    pub fn confirm(&mut self, index: usize) -> Option<Found> {
        let probe = self.slab.get_mut(index)?;
        let id = probe.id;
        let stream = probe.stream.as_ref()?;
        let failed = match (stream.take_error(), stream.peer_addr()) {
            (Ok(Some(error)) | Err(error), _) => no_answer(&error),
            // It has connected to itself, because no program listens.
            (Ok(None), Ok(peer)) if stream.local_addr().is_ok_and(|own| own == peer) => NoAnswer::Refused,
            (Ok(None), Ok(_)) => return self.end(id, Ok(())),
            (Ok(None), Err(error)) if error.kind() == ErrorKind::NotConnected => return None,
            (Ok(None), Err(error)) => no_answer(&error),
        };
        probe.stream = None;
        self.next(index, failed)
    }

    fn end(&mut self, id: ProbeId, result: Result<(), NoAnswer>) -> Option<Found> {
        let index = self.by_id.remove(&id)?;
        self.slab.remove(index);
        Some((id, result))
    }
}

fn no_answer(error: &io::Error) -> NoAnswer {
    match error.kind() {
        ErrorKind::ConnectionRefused => NoAnswer::Refused,
        ErrorKind::TimedOut => NoAnswer::Silent,
        _ => NoAnswer::Other(plain(error)),
    }
}

/// Begins to connect. Fails as refused if the system gives the connection the same local port as it connects to: then no
/// program listens there, the connection could reach itself, and it would occupy the port of the awaited program.
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let (family, any) = match to {
        SocketAddr::V4(_) => (AddressFamily::INET, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        SocketAddr::V6(_) => (AddressFamily::INET6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &any)?;
    let own = SocketAddr::try_from(rustix::net::getsockname(socket.as_fd())?)?;
    if own.port() == to.port() {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from_std(socket.into())),
        Err(error) => Err(error.into()),
    }
}
