//! Lookups of host names. Each has a child process, because the system's resolver must not block the loop. A resolver of our
//! own would not know all of the system's sources: files, multicast, directories.
//!
//! The child is arete itself with the hidden subcommand `lookup HOST:PORT`. It prints one `IP:PORT` a line.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use mio::unix::pipe::Receiver;
use mio::{Interest, Registry};
use slab::Slab;

use super::errors::{plain, system_error};
use super::prepare::{OF_THE_MANAGER, null};
use super::tokens::{SourceKind, token};
use crate::machine::{Cause, ConnId, Reason};

/// The most lookups at a time.
const MAX_LOOKUPS: usize = 64;
/// The most output of a lookup, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

struct Lookup {
    conn: ConnId,
    helper: Child,
    pipe: Receiver,
    answer: Vec<u8>,
}

impl Lookup {
    /// Kills the helper, and reaps it if it has ended already. Otherwise it is reaped as an orphan.
    fn end(&mut self) {
        let _ = self.helper.kill();
        let _ = self.helper.try_wait();
    }
}

/// The lookups that run.
pub struct Lookups {
    slab: Slab<Lookup>,
    program: PathBuf,
    registry: Registry,
}

impl Lookups {
    pub fn new(registry: Registry, program: PathBuf) -> Lookups {
        Lookups { slab: Slab::new(), program, registry }
    }

    /// Starts to look up `HOST:PORT` for a connection. Fails if the lookup cannot be started.
    pub fn start(&mut self, conn: ConnId, host_port: &str) -> Result<(), Reason> {
        match host_port.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {}
            _ => return Err(no_name("an address is HOST:PORT")),
        }
        if self.slab.len() >= MAX_LOOKUPS {
            return Err(no_name("too many host names are being looked up"));
        }
        let refused = |error| no_name(system_error(&error).of("cannot look up the host name").text);
        let null = |options: &OpenOptions| null(options).map_err(|error| no_name(error.text));
        let mut helper = Command::new(&self.program);
        helper.args(["lookup", host_port]).stdin(null(File::options().read(true))?).stdout(Stdio::piped());
        helper.stderr(null(File::options().write(true))?);
        for variable in OF_THE_MANAGER {
            helper.env_remove(variable);
        }
        let mut helper = helper.spawn().map_err(refused)?;
        let Some(stdout) = helper.stdout.take() else { return Err(refused(ErrorKind::NotFound.into())) };
        let mut pipe = Receiver::from(stdout);
        let entry = token(SourceKind::Lookup, self.slab.vacant_key());
        let registered =
            pipe.set_nonblocking(true).and_then(|()| self.registry.register(&mut pipe, entry, Interest::READABLE));
        self.slab.insert(Lookup { conn, helper, pipe, answer: Vec::new() });
        registered.map_err(refused)
    }

    /// Reads what a lookup has printed. Returns `None` while the lookup runs.
    pub fn read(&mut self, index: usize) -> Option<(ConnId, Result<Vec<SocketAddr>, Reason>)> {
        let lookup = self.slab.get_mut(index)?;
        let mut buffer = [0; 4096];
        loop {
            match lookup.pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) if lookup.answer.len() + n > MAX_ANSWER => break,
                Ok(n) => lookup.answer.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let mut lookup = self.slab.remove(index);
        lookup.end();
        let answer = String::from_utf8_lossy(&lookup.answer);
        let addresses: Vec<SocketAddr> = answer.lines().filter_map(|line| line.trim().parse().ok()).collect();
        let result = match (addresses.is_empty(), answer.lines().find_map(|line| line.strip_prefix("error: "))) {
            (false, _) => Ok(addresses),
            (true, Some(error)) => Err(no_name(error)),
            (true, None) => Err(no_name("the host name could not be looked up")),
        };
        Some((lookup.conn, result))
    }

    /// Ends the lookup of a connection, if there is one.
    pub fn cancel(&mut self, conn: ConnId) {
        let found = self.slab.iter().find(|(_, lookup)| lookup.conn == conn).map(|(index, _)| index);
        if let Some(index) = found {
            self.slab.remove(index).end();
        }
    }

    /// Returns the processes of the lookups. The machine must not hear of them.
    pub fn pids(&self) -> Vec<i32> {
        self.slab.iter().filter_map(|(_, lookup)| i32::try_from(lookup.helper.id()).ok()).collect()
    }
}

fn no_name(words: impl Into<String>) -> Reason {
    Reason::new(Cause::NoName, words)
}

/// Returns what the hidden subcommand `lookup` prints: the addresses of `HOST:PORT`, one a line, or `error: ` and why there
/// are none.
pub fn looked_up(host_port: &str) -> String {
    match addresses_of(host_port) {
        Ok(addresses) => addresses.map(|address| format!("{address}\n")).collect(),
        Err(error) => format!("error: {error}\n"),
    }
}

/// Returns the addresses of `HOST:PORT`. The host may be an IPv6 address with its zone, `[fe80::1%eth0]:7373`. Waits for the
/// system's resolver, so the loop must not call it. Fails if the name has no address.
pub fn addresses_of(host_port: &str) -> Result<std::vec::IntoIter<SocketAddr>, Reason> {
    if let Some(address) = with_zone(host_port) {
        return address.map(|address| vec![address].into_iter());
    }
    host_port.to_socket_addrs().map_err(|error| {
        let text = plain(&error);
        no_name(text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_lowercase())
    })
}

/// Returns the address if the host is an IPv6 address with a zone, which is the name or the number of an interface.
fn with_zone(host_port: &str) -> Option<Result<SocketAddr, Reason>> {
    let (host, port) = host_port.strip_prefix('[')?.split_once("]:")?;
    let (ip, zone) = host.split_once('%')?;
    let (ip, port): (Ipv6Addr, u16) = (ip.parse().ok()?, port.parse().ok()?);
    let number = zone.parse().ok().or_else(|| nix::net::if_::if_nametoindex(zone).ok());
    Some(match number {
        Some(number) => Ok(SocketAddrV6::new(ip, port, 0, number).into()),
        None => Err(no_name(format!("this machine has no interface {zone:?}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_of_an_address_is_an_interface_of_this_machine() {
        for zone in ["lo", "1"] {
            let mut found = addresses_of(&format!("[fe80::1%{zone}]:7373")).expect("there is a loopback interface");
            assert_eq!(found.next().map(|address| address.to_string()), Some("[fe80::1%1]:7373".to_owned()));
        }
        let wrong = addresses_of("[fe80::1%eth77]:7373").expect_err("there is no such interface");
        assert_eq!(&*wrong, "this machine has no interface \"eth77\"");
        assert_eq!(looked_up("127.0.0.1:5"), "127.0.0.1:5\n");
        assert!(looked_up("no name:5").starts_with("error: "));
    }
}
