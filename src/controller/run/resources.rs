//! Resources: pieces of files for the slaves that ask for them. A piece that several ask for is read and encoded once.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::machine::{Bytes, ConnId, Outbox, ReadId, SystemError};
use crate::testfile::Test;
use crate::wire::{CHUNK_MAX, Chunk, Message};

/// How many encoded pieces are kept for the slaves that come a little later.
const PIECES_KEPT: usize = 16;

/// How many pieces one slave may have asked for and not got.
const ASKED_MAX: usize = 64;

type ChunkKey = (String, u64);

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

    /// A slave asks for a piece. Fails when there is no such piece.
    pub fn fetch(&mut self, conn: ConnId, name: &str, offset: u64, out: &mut Outbox) -> Result<(), String> {
        let Some((path, resource)) = self.test.resources.get(name) else {
            return Err(format!("there is no resource {name:?}"));
        };
        if offset >= resource.size.max(1) {
            return Err(format!("resource {name:?} has {} bytes, none at {offset}", resource.size));
        }
        let piece = (name.to_owned(), offset);
        if let Some((_, bytes)) = self.kept.iter().find(|(kept, _)| *kept == piece) {
            out.send(conn, bytes.clone());
            return Ok(());
        }
        let asked = self.waiting.values().flatten().filter(|&&other| other == conn).count();
        if asked >= ASKED_MAX {
            return Err(format!("more than {ASKED_MAX} pieces asked for at once"));
        }
        if !self.waiting.contains_key(&piece) {
            let read = out.read(path.clone(), offset, CHUNK_MAX);
            self.reads.insert(read, piece.clone());
        }
        self.waiting.entry(piece).or_default().push(conn);
        Ok(())
    }

    /// Whether this read is of a resource.
    pub fn reads(&self, read: ReadId) -> bool {
        self.reads.contains_key(&read)
    }

    /// A piece was read. Fails when the file is not what it was when the test was loaded.
    pub fn read(&mut self, read: ReadId, result: Result<&[u8], SystemError>, out: &mut Outbox) -> Result<(), String> {
        let Some(piece) = self.reads.remove(&read) else { return Ok(()) };
        let conns = self.waiting.remove(&piece).unwrap_or_default();
        let (name, offset) = &piece;
        let Some((path, resource)) = self.test.resources.get(name) else { return Ok(()) };
        let subject = format!("resource {name:?} ({})", path.display());
        let data = result.map_err(|error| format!("{subject} cannot be read any more: {error}"))?;
        let expected = (resource.size - offset).min(CHUNK_MAX as u64);
        if data.len() as u64 != expected {
            return Err(format!("{subject} has changed its size since the test was loaded"));
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
