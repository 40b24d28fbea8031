//! Sockets at which commands report their state, as services do to systemd: one socket for each command that wants it.
//!
//! Only this user can send to the file of a socket, so no credentials need to be checked. It is a file and not an abstract
//! name, because a command in another network namespace can reach it too. The system drops a descriptor that comes with a
//! message, because the read does not ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use mio::{Interest, Registry};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use slab::Slab;

use super::listeners::{OF_THE_USER, SocketFile};
use super::tokens::{SourceKind, token};
use crate::machine::EarId;

/// The longest message, in bytes. The rest of a longer one is dropped.
const MESSAGE_MAX: usize = 4096;

struct Ear {
    id: EarId,
    socket: mio::net::UnixDatagram,
    _file: SocketFile,
}

/// All of these sockets.
pub struct Ears {
    slab: Slab<Ear>,
    by_id: BTreeMap<EarId, usize>,
    /// The sockets that may have something to read.
    ready: BTreeSet<usize>,
    registry: Registry,
}

impl Ears {
    pub fn new(registry: Registry) -> Ears {
        Ears { slab: Slab::new(), by_id: BTreeMap::new(), ready: BTreeSet::new(), registry }
    }

    /// Makes a socket. A file that an earlier process with our id has left is replaced, because the machine uses each path
    /// once. Fails if the system refuses it.
    pub fn open(&mut self, id: EarId, path: &Path) -> io::Result<()> {
        let _ = fs::remove_file(path);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        // The mode of the socket becomes that of its file, so it is private from the first instant.
        rustix::fs::fchmod(&socket, OF_THE_USER)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        let file = SocketFile::at(path)?;
        let mut socket = mio::net::UnixDatagram::from_std(UnixDatagram::from(socket));
        let entry = self.slab.vacant_entry();
        self.registry.register(&mut socket, token(SourceKind::Ear, entry.key()), Interest::READABLE)?;
        self.by_id.insert(id, entry.key());
        entry.insert(Ear { id, socket, _file: file });
        Ok(())
    }

    pub fn close(&mut self, id: EarId) {
        if let Some(index) = self.by_id.remove(&id) {
            self.slab.remove(index);
            self.ready.remove(&index);
        }
    }

    /// Returns the sockets that may have something to read.
    pub fn ready(&self) -> Vec<usize> {
        self.ready.iter().copied().collect()
    }

    /// Whether any of them may have something to read.
    pub fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub fn mark_ready(&mut self, index: usize) {
        if self.slab.contains(index) {
            self.ready.insert(index);
        }
    }

    pub fn mark_all_ready(&mut self) {
        self.ready = self.slab.iter().map(|(index, _)| index).collect();
    }

    /// Takes one message. Returns `None` if there is none left.
    pub fn hear(&mut self, index: usize) -> Option<(EarId, Vec<u8>)> {
        let mut buffer = [0; MESSAGE_MAX];
        let heard = self.slab.get(index).and_then(|ear| Some((ear.id, ear.socket.recv(&mut buffer).ok()?)));
        match heard {
            Some((id, length)) => Some((id, buffer[..length].to_vec())),
            None => {
                self.ready.remove(&index);
                None
            }
        }
    }
}
