//! Resources: serves pieces of files to slaves. A piece that several slaves request is read and encoded once.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use crate::machine::{Bytes, ConnId, Outbox, ReadId, SystemError};
use crate::testfile::Test;
use crate::wire::{CHUNK_MAX, Chunk, Message};

/// How many encoded pieces are cached for slaves that request them a little later.
const PIECES_KEPT: usize = 16;

/// How many pieces one slave may have requested and not received.
const PIECES_REQUESTED_MAX: usize = 64;

type ChunkKey = (String, u64);

/// Why a piece cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceError {
    /// The test has no such resource.
    Unknown { name: String },
    /// The resource is shorter than the offset of the piece, in bytes.
    Offset { name: String, size: u64, offset: u64 },
    /// The slave has requested more than [`PIECES_REQUESTED_MAX`] pieces.
    TooMany,
    /// The file of the resource cannot be read, with the text of the system's error.
    Unreadable { name: String, path: PathBuf, error: String },
    /// The file has another size than when the test was loaded.
    Changed { name: String, path: PathBuf },
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourceError::Unknown { name } => write!(f, "there is no resource {name:?}"),
            ResourceError::Offset { name, size, offset } => {
                write!(f, "resource {name:?} has {size} bytes, none at {offset}")
            }
            ResourceError::TooMany => write!(f, "more than {PIECES_REQUESTED_MAX} pieces requested at once"),
            ResourceError::Unreadable { name, path, error } => {
                write!(f, "resource {name:?} ({}) cannot be read any more: {error}", path.display())
            }
            ResourceError::Changed { name, path } => {
                write!(f, "resource {name:?} ({}) has changed its size since the test was loaded", path.display())
            }
        }
    }
}

impl std::error::Error for ResourceError {}

/// Serves the resources of one run.
pub struct Resources {
    test: Rc<Test>,
    run: String,
    reads: BTreeMap<ReadId, ChunkKey>,
    waiting: BTreeMap<ChunkKey, Vec<ConnId>>,
    kept: VecDeque<(ChunkKey, Bytes)>,
}

impl Resources {
    pub fn new(test: Rc<Test>, run: String) -> Resources {
        Resources { test, run, reads: BTreeMap::new(), waiting: BTreeMap::new(), kept: VecDeque::new() }
    }

    /// Handles a slave's request for a piece. Fails if the piece does not exist, or too many are requested.
    pub fn fetch(&mut self, conn: ConnId, name: &str, offset: u64, out: &mut Outbox) -> Result<(), ResourceError> {
        let Some((path, resource)) = self.test.resources.get(name) else {
            return Err(ResourceError::Unknown { name: name.to_owned() });
        };
        if offset >= resource.size.max(1) {
            return Err(ResourceError::Offset { name: name.to_owned(), size: resource.size, offset });
        }
        let piece = (name.to_owned(), offset);
        if let Some((_, bytes)) = self.kept.iter().find(|(kept, _)| *kept == piece) {
            out.send(conn, bytes.clone());
            return Ok(());
        }
        let asked = self.waiting.values().flatten().filter(|&&other| other == conn).count();
        if asked >= PIECES_REQUESTED_MAX {
            return Err(ResourceError::TooMany);
        }
        if !self.waiting.contains_key(&piece) {
            let read = out.read(path.clone(), offset, CHUNK_MAX);
            self.reads.insert(read, piece.clone());
        }
        self.waiting.entry(piece).or_default().push(conn);
        Ok(())
    }

    /// Returns whether this read belongs to a resource.
    pub fn reads(&self, read: ReadId) -> bool {
        self.reads.contains_key(&read)
    }

    /// Handles a piece that was read. Fails if the file has changed since the test was loaded.
    pub fn read(
        &mut self,
        read: ReadId,
        result: Result<&[u8], SystemError>,
        out: &mut Outbox,
    ) -> Result<(), ResourceError> {
        let Some(piece) = self.reads.remove(&read) else { return Ok(()) };
        let conns = self.waiting.remove(&piece).unwrap_or_default();
        let (name, offset) = &piece;
        let Some((path, resource)) = self.test.resources.get(name) else { return Ok(()) };
        let (path, name_of) = (path.clone(), name.clone());
        let data = match result {
            Ok(data) => data,
            Err(SystemError { text: error, .. }) => {
                return Err(ResourceError::Unreadable { name: name_of, path, error });
            }
        };
        let expected = (resource.size - offset).min(CHUNK_MAX as u64);
        if data.len() as u64 != expected {
            return Err(ResourceError::Changed { name: name_of, path });
        }
        let chunk =
            Chunk { run: Cow::from(&self.run), resource: Cow::from(name), offset: *offset, data: data.to_vec() };
        let bytes = chunk.encode();
        for conn in conns {
            out.send(conn, bytes.clone());
        }
        if self.kept.len() == PIECES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((piece, bytes));
        Ok(())
    }
}
