//! The files of a host. They outlive every process on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arete::machine::{Effect, ErrorKind, SystemError};

#[derive(Default)]
pub struct Disk {
    files: BTreeMap<PathBuf, Vec<u8>>,
    executable: BTreeSet<PathBuf>,
    /// Set if every write fails.
    pub full: bool,
    /// The number of failed writes.
    pub failures: u64,
}

impl Disk {
    pub fn get(&self, path: impl AsRef<Path>) -> Option<&[u8]> {
        self.files.get(path.as_ref()).map(Vec::as_slice)
    }

    /// Writes a file for the test, even if the disk is full.
    pub fn put(&mut self, path: impl Into<PathBuf>, bytes: Vec<u8>) {
        self.files.insert(path.into(), bytes);
    }

    /// Truncates a file.
    pub fn truncate(&mut self, path: &Path, length: usize) {
        if let Some(file) = self.files.get_mut(path) {
            file.truncate(length);
        }
    }

    pub fn is_executable(&self, path: &Path) -> bool {
        self.executable.contains(path)
    }

    fn writable(&mut self) -> Result<(), SystemError> {
        if !self.full {
            return Ok(());
        }
        self.failures += 1;
        Err(SystemError::new(ErrorKind::StorageFull, "No space left on device (os error 28)"))
    }

    pub fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), SystemError> {
        self.writable()?;
        self.files.entry(path.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    /// A process that holds the file open writes to it. A removed file stays removed.
    pub fn append_if_there(&mut self, path: &Path, bytes: &[u8]) {
        if let Some(file) = self.files.get_mut(path) {
            file.extend_from_slice(bytes);
        }
    }

    pub fn write_at(&mut self, path: &Path, offset: u64, bytes: &[u8], executable: bool) -> Result<(), SystemError> {
        self.writable()?;
        let file = self.files.entry(path.to_owned()).or_default();
        let (begin, end) = (offset as usize, offset as usize + bytes.len());
        if file.len() < end {
            file.resize(end, 0);
        }
        file[begin..end].copy_from_slice(bytes);
        if executable {
            self.executable.insert(path.to_owned());
        }
        Ok(())
    }

    pub fn persist(&mut self, path: &Path, bytes: Vec<u8>) -> Result<(), SystemError> {
        self.writable()?;
        self.files.insert(path.to_owned(), bytes);
        Ok(())
    }

    pub fn install(&mut self, path: &Path, from: &Path, length: u64) -> Result<(), SystemError> {
        match self.files.get(from).map(|file| file.len() as u64) {
            Some(there) if there == length => {
                let bytes = self.files.remove(from).unwrap_or_default();
                self.files.insert(path.to_owned(), bytes);
                Ok(())
            }
            there => Err(format!("{there:?} bytes of it are there, and not {length}").as_str().into()),
        }
    }

    pub fn read(&self, path: &Path, offset: u64, max: usize) -> Result<Vec<u8>, SystemError> {
        let none = || SystemError::new(ErrorKind::NotFound, "no such file or directory");
        let file = self.files.get(path).ok_or_else(none)?;
        let begin = file.len().min(offset as usize);
        Ok(file[begin..file.len().min(begin.saturating_add(max))].to_vec())
    }

    pub fn read_end(&self, path: &Path, max: usize) -> Result<Vec<u8>, SystemError> {
        let length = self.files.get(path).map_or(0, |file| file.len() as u64);
        self.read(path, length.saturating_sub(max as u64), max)
    }

    pub fn list(&self, directory: &Path, patterns: &[String]) -> Result<Vec<(String, u64)>, SystemError> {
        let patterns: Vec<glob::Pattern> = patterns.iter().filter_map(|text| glob::Pattern::new(text).ok()).collect();
        let below = self.files.iter().filter_map(|(path, bytes)| {
            let name = path.strip_prefix(directory).ok()?.to_str()?.to_owned();
            patterns.iter().any(|pattern| pattern.matches(&name)).then_some((name, bytes.len() as u64))
        });
        Ok(below.collect())
    }

    /// `rm -rf`.
    pub fn remove_all(&mut self, directory: &Path) {
        self.files.retain(|path, _| !path.starts_with(directory));
    }

    pub fn paths_below(&self, directory: &Path) -> impl Iterator<Item = &PathBuf> {
        self.files.keys().filter(move |path| path.starts_with(directory))
    }
}

/// The appends that a node holds.
#[derive(Default)]
pub struct Held {
    /// Those that others have seen nothing after.
    writes: Vec<Effect>,
    /// Those that may come after what is sent. The other appends of their turns are written. After a crash, the tests know
    /// from here what the next life must find elsewhere.
    later: Vec<Effect>,
    /// Those of this turn, whose other appends are being written.
    fresh: Vec<Effect>,
    /// The end of their time is scheduled.
    pub ends: bool,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.later.is_empty() && self.fresh.is_empty()
    }

    /// Holds the writes of a turn that has also `others`, and returns those that are written now, with the held ones. All
    /// are if their time is over.
    pub fn put(&mut self, writes: Vec<Effect>, others: &[Effect], over: bool) -> Vec<Effect> {
        self.writes.extend(writes);
        let sends =
            |effect: &Effect| matches!(effect, Effect::Send { .. } | Effect::Datagram { .. } | Effect::Print { .. });
        let appends = |effect: &Effect| matches!(effect, Effect::Append { .. });
        if over || !others.iter().all(sends) || !self.writes.iter().all(appends) {
            self.later.append(&mut self.writes);
            return one_write_a_file(std::mem::take(&mut self.later));
        }
        if others.is_empty() {
            return Vec::new();
        }
        let soon = |effect: &mut Effect| matches!(effect, Effect::Append { soon: true, .. });
        self.fresh.extend(self.writes.extract_if(.., soon));
        one_write_a_file(std::mem::take(&mut self.writes))
    }

    /// Handles that what was to be written now is written.
    pub fn written(&mut self) {
        self.later.append(&mut self.fresh);
    }

    /// Handles that the node dies.
    pub fn lose(&mut self) {
        self.writes.clear();
        self.fresh.clear();
    }

    /// Returns what is still to be appended to a file, although others may have seen its effects.
    pub fn later(&self, file: &Path) -> Vec<u8> {
        let of = |effect: &Effect| match effect {
            Effect::Append { path, bytes, .. } if path == file => bytes.clone(),
            _ => Vec::new(),
        };
        self.later.iter().flat_map(of).collect()
    }
}

/// Merges the appends of a turn to one file into one write, at the place of the first one.
fn one_write_a_file(writes: Vec<Effect>) -> Vec<Effect> {
    let mut merged: Vec<Effect> = Vec::with_capacity(writes.len());
    for write in writes {
        if let Effect::Append { path, bytes, .. } = &write {
            let same = |effect: &&mut Effect| match effect {
                Effect::Append { path: other, .. } | Effect::Persist { path: other, .. } => other == path,
                Effect::Install { path: other, from, .. } => other == path || from == path,
                _ => false,
            };
            if let Some(Effect::Append { bytes: earlier, .. }) = merged.iter_mut().rev().find(same) {
                earlier.extend_from_slice(bytes);
                continue;
            }
        }
        merged.push(write);
    }
    merged
}

pub fn is_write(effect: &Effect) -> bool {
    use Effect::{Append, Install, MakeDir, Persist, WriteAt};
    matches!(effect, Append { .. } | WriteAt { .. } | Persist { .. } | Install { .. } | MakeDir { .. })
}

/// The part of a turn's writes that is on the disk if the writer dies before a line with `needle`. `None` if no write
/// has such a line.
pub fn tear(writes: &[Effect], needle: &[u8]) -> Option<Vec<Effect>> {
    let cut = |write: &Effect| match write {
        Effect::Append { path, bytes, soon } => {
            let at = memchr::memmem::find(bytes, needle)?;
            let end = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |end| end + 1);
            Some(Effect::Append { path: path.clone(), bytes: bytes[..end].to_vec(), soon: *soon })
        }
        _ => None,
    };
    let (at, torn) = writes.iter().enumerate().find_map(|(at, write)| Some((at, cut(write)?)))?;
    Some(writes[..at].iter().cloned().chain([torn]).collect())
}
