//! Files: the writes of a turn of the loop, and reads.
//!
//! A write must be complete before anything that the turn sends goes out, and a failed append must leave no half line. A turn
//! that only appends does not write at once: what the next turns append to the same files is written with it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::errors::system_error;
use crate::machine::{APPENDS_HELD, SystemError, Time};

/// The most files that stay open for the next turn.
const MAX_OPEN: usize = 64;
/// The most failing paths that are remembered, so that each is reported once.
const MAX_FAILING: usize = 1024;
/// The bytes of a replaced file that are freed in one turn. Freeing a long file at once takes too long.
const CUT: u64 = 32 * 1024 * 1024;
/// The most bytes that are held, and the most writes.
const HELD_MAX: usize = 256 * 1024;
const JOBS_HELD_MAX: usize = 32;

/// The mode of directories that we create: for this user alone.
const DIRECTORY_MODE: u32 = 0o700;

/// The mode of new files. Only their owner may write them, because a ledger decides which commands run.
const FILE_MODE: u32 = 0o644;
/// The most bytes of one read.
const MAX_READ: usize = 16 * 1024 * 1024;

/// One write.
enum Job {
    Append { path: PathBuf, bytes: Vec<u8>, soon: bool },
    WriteAt { path: PathBuf, offset: u64, bytes: Vec<u8>, executable: bool },
    Persist { path: PathBuf, bytes: Vec<u8> },
    Install { path: PathBuf, from: PathBuf, length: u64 },
    MakeDir { path: PathBuf },
}

/// Which writes cannot wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgent {
    Nothing,
    /// Those that must not come after bytes that are sent.
    BeforeSends,
    Everything,
}

/// An open file, with its device and inode, and the number of its last use.
struct Open {
    file: File,
    id: (u64, u64),
    used: u64,
}

impl Open {
    /// Returns the length of the file if the path still leads to it. If not, another program has removed or replaced it,
    /// and it must not be written any more.
    fn length_at(&self, path: &Path) -> Option<u64> {
        let there = fs::metadata(path).ok()?;
        ((there.dev(), there.ino()) == self.id).then_some(there.len())
    }
}

/// The writes of this turn and the held ones, and the open files.
pub struct Files {
    jobs: Vec<Job>,
    /// The index in `jobs` of the append to a path.
    appends: HashMap<OsString, usize>,
    /// How much of the jobs must be written at the end of this turn.
    urgent: Urgent,
    /// Since when appends are held, and how many bytes.
    held: Option<(Time, usize)>,
    /// By path. A raw string is hashed several times faster than a path.
    open: HashMap<OsString, Open>,
    /// Replaced files that have no name any more, each with the bytes that are not freed yet.
    leaving: Vec<(File, u64)>,
    failing: HashSet<PathBuf>,
    uses: u64,
    fsync: bool,
}

impl Files {
    pub fn new(fsync: bool) -> Files {
        let (appends, open, failing) = (HashMap::new(), HashMap::new(), HashSet::new());
        let (jobs, leaving) = (Vec::new(), Vec::new());
        Files { jobs, appends, urgent: Urgent::Nothing, held: None, open, leaving, failing, uses: 0, fsync }
    }

    /// Requests that all appends except those that may come soon are written in this turn: bytes are sent.
    pub fn before_sends(&mut self) {
        self.urgent = self.urgent.max(Urgent::BeforeSends);
    }

    /// Requests that everything is written in this turn.
    pub fn hold_nothing(&mut self) {
        self.urgent = Urgent::Everything;
    }

    /// Returns when held appends must be written.
    pub fn due(&self) -> Option<Time> {
        self.held.map(|(since, _)| since + APPENDS_HELD)
    }

    /// Appends. `soon`: it may be written after bytes that are sent.
    pub fn append(&mut self, now: Time, path: PathBuf, bytes: Vec<u8>, soon: bool) {
        let (_, held) = self.held.get_or_insert((now, 0));
        *held += bytes.len();
        if *held > HELD_MAX || self.jobs.len() >= JOBS_HELD_MAX {
            self.urgent = Urgent::Everything;
        }
        // Most turns append to one or two files in turn, which are found without a hash.
        for job in self.jobs.iter_mut().rev().take(2) {
            match job {
                Job::Append { path: same, bytes: earlier, .. } if same.as_os_str() == path.as_os_str() => {
                    return earlier.extend_from_slice(&bytes);
                }
                Job::Append { .. } => {}
                // The path may lead to another file since then.
                _ => break,
            }
        }
        if let Some(&at) = self.appends.get(path.as_os_str())
            && let Some(Job::Append { bytes: earlier, .. }) = self.jobs.get_mut(at)
        {
            earlier.extend_from_slice(&bytes);
            return;
        }
        self.appends.insert(path.clone().into_os_string(), self.jobs.len());
        self.jobs.push(Job::Append { path, bytes, soon });
    }

    pub fn write_at(&mut self, path: PathBuf, offset: u64, bytes: Vec<u8>, executable: bool) {
        self.hold_nothing();
        self.jobs.push(Job::WriteAt { path, offset, bytes, executable });
    }

    pub fn persist(&mut self, path: PathBuf, bytes: Vec<u8>) {
        // Later appends go to the new file.
        self.appends.remove(path.as_os_str());
        self.hold_nothing();
        self.jobs.push(Job::Persist { path, bytes });
    }

    pub fn install(&mut self, path: PathBuf, from: PathBuf, length: u64) {
        // Later appends go to the new file.
        self.appends.remove(path.as_os_str());
        self.appends.remove(from.as_os_str());
        self.hold_nothing();
        self.jobs.push(Job::Install { path, from, length });
    }

    pub fn make_dir(&mut self, path: PathBuf) {
        self.hold_nothing();
        self.jobs.push(Job::MakeDir { path });
    }

    /// Returns whether a write cannot wait.
    pub fn is_urgent(&self) -> bool {
        self.urgent != Urgent::Nothing && !self.jobs.is_empty()
    }

    /// Returns the number of writes. All appends to one file count as one.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Performs the writes that cannot wait. Returns the failures of files that had not failed before.
    pub fn write(&mut self, now: Time) -> Vec<(PathBuf, SystemError)> {
        let mut failures = Vec::new();
        let urgent = std::mem::replace(&mut self.urgent, Urgent::Nothing);
        let all = urgent == Urgent::Everything || self.due().is_some_and(|due| due <= now);
        if !all && urgent == Urgent::Nothing {
            return failures;
        }
        self.appends.clear();
        let mut jobs = std::mem::take(&mut self.jobs);
        for job in jobs.extract_if(.., |job| all || !matches!(job, Job::Append { soon: true, .. })) {
            let (path, result) = self.perform(job);
            match result {
                Ok(()) if self.failing.is_empty() => {}
                Ok(()) => drop(self.failing.remove(&path)),
                Err(error) => {
                    log::debug!("{}: {error}", path.display());
                    self.open.remove(path.as_os_str());
                    if self.failing.len() < MAX_FAILING && self.failing.insert(path.clone()) {
                        failures.push((path, system_error(&error)));
                    }
                }
            }
        }
        self.held = self.held.filter(|_| !jobs.is_empty());
        self.jobs = jobs;
        failures
    }

    fn perform(&mut self, job: Job) -> (PathBuf, io::Result<()>) {
        match job {
            Job::Append { path, bytes, .. } => {
                let result = self.do_append(&path, &bytes);
                (path, result)
            }
            Job::WriteAt { path, offset, bytes, executable } => {
                let result = self.do_write_at(&path, offset, &bytes, executable);
                (path, result)
            }
            Job::Persist { path, bytes } => {
                self.open.remove(path.as_os_str());
                let result = replace(&path, &bytes, self.fsync);
                (path, result)
            }
            Job::Install { path, from, length } => {
                let result = self.do_install(&path, &from, length);
                (from, result)
            }
            Job::MakeDir { path } => {
                let result = make_dir(&path);
                (path, result)
            }
        }
    }

    /// Frees a part of the replaced files.
    pub fn cut_leaving(&mut self) {
        let Some((file, left)) = self.leaving.last_mut() else { return };
        *left = left.saturating_sub(CUT);
        if file.set_len(*left).is_err() || *left == 0 {
            self.leaving.pop();
        }
    }

    /// Appends in one write. If it fails half-way, the file is cut back, so that a log never holds half a line.
    fn do_append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let fsync = self.fsync;
        // A new file at the path of one that was removed or replaced would lack the beginning.
        let (file, end) = self.file(path, false)?;
        if let Err(error) = file.write_all_at(bytes, end) {
            let _ = file.set_len(end);
            return Err(error);
        }
        if fsync { file.sync_data() } else { Ok(()) }
    }

    /// Renames a file to the name of another, if it is complete.
    fn do_install(&mut self, path: &Path, from: &Path, length: u64) -> io::Result<()> {
        self.open.remove(from.as_os_str());
        let there = fs::metadata(from)?.len();
        if there != length {
            return Err(io::Error::other(format!("{there} bytes of it are there, and not {length}")));
        }
        if self.fsync {
            File::open(from)?.sync_all()?;
        }
        let old = OpenOptions::new().write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path);
        fs::rename(from, path)?;
        self.open.remove(path.as_os_str());
        if let Ok(old) = old
            && let Ok(metadata) = old.metadata()
            // The old file may have another name, which must keep its content.
            && metadata.is_file() && metadata.nlink() == 0
        {
            self.leaving.push((old, metadata.len()));
        }
        if self.fsync { sync_parent(path) } else { Ok(()) }
    }

    fn do_write_at(&mut self, path: &Path, offset: u64, bytes: &[u8], executable: bool) -> io::Result<()> {
        let fsync = self.fsync;
        let (file, _) = self.file(path, true)?;
        file.write_all_at(bytes, offset)?;
        let mode = file.metadata()?.permissions().mode();
        if executable {
            // Users that may read it may run it.
            file.set_permissions(fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))?;
        }
        if fsync {
            file.sync_data()?;
        }
        // A program cannot be started while it is open for writing.
        if executable || mode & 0o111 != 0 {
            self.open.remove(path.as_os_str());
        }
        Ok(())
    }

    /// Returns the open file of a path, and its length. Creates it, with the directories above, if it does not exist. If
    /// the path leads to another file than before, opens that one if `reopen`, and otherwise fails.
    fn file(&mut self, path: &Path, reopen: bool) -> io::Result<(&File, u64)> {
        let length = match self.open.get(path.as_os_str()).map(|open| open.length_at(path)) {
            Some(Some(length)) => length,
            Some(None) if !reopen => return Err(io::Error::other("another program has removed or replaced it")),
            _ => self.open(path)?,
        };
        let open = self.open.get_mut(path.as_os_str()).ok_or(io::ErrorKind::NotFound)?;
        self.uses += 1;
        open.used = self.uses;
        Ok((&open.file, length))
    }

    /// Opens a file, or opens it again, and returns its length.
    fn open(&mut self, path: &Path) -> io::Result<u64> {
        self.open.remove(path.as_os_str());
        let file = open_for_writing(path)?;
        if self.fsync {
            sync_parent(path)?;
        }
        let there = file.metadata()?;
        while self.open.len() >= MAX_OPEN {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(path, _)| path.clone());
            oldest.and_then(|path| self.open.remove(&path));
        }
        let open = Open { file, id: (there.dev(), there.ino()), used: 0 };
        self.open.insert(path.as_os_str().to_owned(), open);
        Ok(there.len())
    }
}

/// Creates a directory and those above it, for this user alone.
pub fn make_dir(path: &Path) -> io::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    made.map_err(|error| match error.kind() {
        // The call succeeds on a directory that exists, so this is something else.
        io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
        _ => error,
    })
}

/// Creates the directories above a file.
pub fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => make_dir(parent),
        _ => Ok(()),
    }
}

fn open_for_writing(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Without O_NONBLOCK, a FIFO without a reader would block the loop.
    options
        .write(true)
        .create(true)
        .mode(FILE_MODE)
        .truncate(false)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_parent(path)?;
            options.open(path)
        }
        other => other,
    }
}

/// Replaces a file: writes a new one in the same directory, and renames it.
fn replace(path: &Path, bytes: &[u8], fsync: bool) -> io::Result<()> {
    make_parent(path)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(FILE_MODE);
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        if fsync { file.sync_all() } else { Ok(()) }
    });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    if fsync { sync_parent(path) } else { Ok(()) }
}

/// Syncs the name of a file to the disk.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Reads at most `max` bytes at an offset of a regular file.
pub fn read(path: &Path, offset: u64, max: usize) -> io::Result<Vec<u8>> {
    read_from(path, |_| offset, max)
}

/// Reads at most the last `max` bytes of a regular file.
pub fn read_end(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    read_from(path, |length| length.saturating_sub(max as u64), max)
}

/// Reads from the offset that `begin` computes from the length of the file.
fn read_from(path: &Path, begin: impl FnOnce(u64) -> u64, max: usize) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let offset = begin(meta.len());
    let there = usize::try_from(meta.len().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; there.min(max).min(MAX_READ)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
