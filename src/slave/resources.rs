//! The files that the test ships: fetched in pieces, a few at a time, and checked by length and hash.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::slave::turn::Turn;
use crate::wire::{CHUNK_MAX, Chunk, Fetch, Resource};

/// So many pieces are asked for before the first of them has come.
const WINDOW: usize = 4;

pub(super) struct Resources {
    run: String,
    dir: PathBuf,
    wanted: Vec<Resource>,
    /// What to ask for next: which resource, from which byte.
    next: (usize, u64),
    /// What was asked for and has not been written, in order.
    asked: VecDeque<(usize, u64)>,
    /// Pieces that came before an earlier one did.
    early: BTreeMap<(usize, u64), Vec<u8>>,
    hash: Sha256,
}

impl Resources {
    /// `dir` is where each gets a directory of its name.
    pub(super) fn new(run: &str, dir: PathBuf, wanted: Vec<Resource>) -> Resources {
        Resources {
            run: run.to_owned(),
            dir,
            wanted,
            next: (0, 0),
            asked: VecDeque::new(),
            early: BTreeMap::new(),
            hash: Sha256::new(),
        }
    }

    /// Whether all are here and are what the test says.
    pub(super) fn complete(&self) -> bool {
        self.asked.is_empty() && self.next.0 == self.wanted.len()
    }

    /// Where the resource of this name lies.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.wanted.iter().find(|resource| resource.name == name).map(|resource| path(&self.dir, resource))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(|resource| resource.name.as_str())
    }

    /// Asks for as much as may be outstanding.
    pub(super) fn fetch(&mut self, turn: &mut Turn<'_>) -> Result<(), String> {
        while self.asked.len() < WINDOW {
            let (index, offset) = self.next;
            let Some(resource) = self.wanted.get(index) else { break };
            if resource.size == 0 {
                turn.out.write_at(path(&self.dir, resource), 0, Vec::new(), resource.executable);
                check_hash(resource, &Sha256::digest([]))?;
                self.next = (index + 1, 0);
                continue;
            }
            self.asked.push_back(self.next);
            self.ask(self.next, turn);
            let end = offset.saturating_add(CHUNK_MAX as u64);
            self.next = if end < resource.size { (index, end) } else { (index + 1, 0) };
        }
        Ok(())
    }

    fn ask(&self, (index, offset): (usize, u64), turn: &mut Turn<'_>) {
        let resource = self.wanted[index].name.as_str().into();
        turn.say(&Fetch { run: self.run.as_str().into(), resource, offset });
    }

    /// Asks again for what did not come before the connection was lost.
    pub(super) fn resume(&self, turn: &mut Turn<'_>) {
        for piece in self.asked.iter().filter(|piece| !self.early.contains_key(piece)) {
            self.ask(*piece, turn);
        }
    }

    /// Takes a piece. Fails when the resource is not what the test says.
    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>, turn: &mut Turn<'_>) -> Result<(), String> {
        let asked =
            |(index, offset): &&(usize, u64)| self.wanted[*index].name == chunk.resource && *offset == chunk.offset;
        let Some(piece) = self.asked.iter().find(asked).copied() else { return Ok(()) };
        self.early.insert(piece, chunk.data.clone());
        while let Some(first) = self.asked.front().copied() {
            let Some(data) = self.early.remove(&first) else { break };
            self.asked.pop_front();
            self.write(first, data, turn)?;
        }
        self.fetch(turn)
    }

    fn write(&mut self, (index, offset): (usize, u64), data: Vec<u8>, turn: &mut Turn<'_>) -> Result<(), String> {
        let resource = &self.wanted[index];
        let left = resource.size - offset;
        if data.len() as u64 != left.min(CHUNK_MAX as u64) {
            let length = data.len();
            return Err(format!("resource {}: a piece at byte {offset} has {length} bytes; it changed", resource.name));
        }
        self.hash.update(&data);
        if data.len() as u64 == left {
            check_hash(resource, &std::mem::take(&mut self.hash).finalize())?;
        }
        turn.out.write_at(path(&self.dir, resource), offset, data, resource.executable);
        Ok(())
    }
}

fn path(dir: &Path, resource: &Resource) -> PathBuf {
    dir.join(&resource.name).join(&resource.file)
}

fn check_hash(resource: &Resource, hash: &[u8]) -> Result<(), String> {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    if hex == resource.sha256 {
        return Ok(());
    }
    let Resource { name, sha256, .. } = resource;
    Err(format!("resource {name}: its SHA-256 is {hex}, not {sha256}; it changed after the run began"))
}
