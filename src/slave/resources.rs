//! Fetches the files that the test ships, a few pieces at a time, and checks their lengths and hashes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::slave::turn::Turn;
use crate::wire::{CHUNK_MAX, Chunk, Fetch, Resource};

/// The most pieces that are requested at a time.
const WINDOW: usize = 4;

pub(super) struct Resources {
    run: String,
    dir: PathBuf,
    wanted: Vec<Resource>,
    /// The next request: a resource and an offset.
    next: (usize, u64),
    /// The pieces that are requested and not written yet, in order.
    asked: VecDeque<(usize, u64)>,
    /// Pieces that have arrived before an earlier one.
    early: BTreeMap<(usize, u64), Vec<u8>>,
    hash: Sha256,
}

impl Resources {
    /// Each resource gets a directory of its name in `dir`.
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

    /// Returns whether all resources have arrived unchanged.
    pub(super) fn complete(&self) -> bool {
        self.asked.is_empty() && self.next.0 == self.wanted.len()
    }

    /// Returns the path of the resource of this name.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.wanted.iter().find(|resource| resource.name == name).map(|resource| path(&self.dir, resource))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(|resource| resource.name.as_str())
    }

    /// Requests as many pieces as may be outstanding. Fails if an empty resource is not what the test says.
    pub(super) fn fetch(&mut self, turn: &mut Turn<'_>) -> Result<(), Changed> {
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

    /// Requests again the pieces that the last connection did not deliver.
    pub(super) fn resume(&self, turn: &mut Turn<'_>) {
        for piece in self.asked.iter().filter(|piece| !self.early.contains_key(piece)) {
            self.ask(*piece, turn);
        }
    }

    /// Takes a piece. Fails if the resource is not what the test says.
    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>, turn: &mut Turn<'_>) -> Result<(), Changed> {
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

    fn write(&mut self, (index, offset): (usize, u64), data: Vec<u8>, turn: &mut Turn<'_>) -> Result<(), Changed> {
        let resource = &self.wanted[index];
        let left = resource.size - offset;
        if data.len() as u64 != left.min(CHUNK_MAX as u64) {
            return Err(Changed::Length { name: resource.name.clone(), offset, length: data.len() });
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

/// A resource is not what the test says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// The piece at this byte has a wrong length.
    Length { name: String, offset: u64, length: usize },
    /// The SHA-256 of the whole is wrong.
    Hash { name: String, found: String, wanted: String },
}

impl fmt::Display for Changed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Changed::Length { name, offset, length } => {
                write!(to, "resource {name}: a piece at byte {offset} has {length} bytes; it changed")
            }
            Changed::Hash { name, found, wanted } => {
                write!(to, "resource {name}: its SHA-256 is {found}, not {wanted}; it changed after the run began")
            }
        }
    }
}

impl std::error::Error for Changed {}

fn check_hash(resource: &Resource, hash: &[u8]) -> Result<(), Changed> {
    let found: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    if found == resource.sha256 {
        return Ok(());
    }
    Err(Changed::Hash { name: resource.name.clone(), found, wanted: resource.sha256.clone() })
}
