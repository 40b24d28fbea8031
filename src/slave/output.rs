//! Ships the output of commands and the files that `collect` finds to the controller.
//!
//! [`Shipping`] reads the files a piece at a time while they grow, so a slow network never blocks a command. Bytes
//! count as shipped only when the controller has confirmed them; a lost connection sends the others again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine::faults::{Fault, injected};
use crate::machine::{Found, ReadId};
use crate::session::files::check_shipped;
use crate::slave::turn::Turn;
use crate::slave::unshipped::Unshipped;
use crate::wire::{Kept, Output};

/// How many bytes are read and sent at once.
const PIECE: usize = 64 * 1024;

/// How many bytes may be on their way without an answer.
const WINDOW: u64 = 4 * PIECE as u64;

/// How often the files of running commands are read.
pub(super) const TAIL_EVERY: Duration = Duration::from_millis(100);

/// How much of one file is shipped, in bytes.
const FILE_MAX: u64 = 1 << 30;

/// How many files one entry's `collect` brings back.
const COLLECTED_MAX: usize = 10_000;

/// A file that is being shipped.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Up to where it was sent on this connection.
    sent: u64,
    /// Up to where the controller has it.
    kept: u64,
    /// It is in the queue, or is being read.
    queued: bool,
    /// It is too long or cannot be read, so the rest stays here.
    cut: bool,
    /// The controller does not take it.
    refused: bool,
    /// `collect` found it, so it is shipped even if it is empty.
    wanted: bool,
    /// The controller has confirmed a piece.
    answered: bool,
}

#[derive(Debug)]
pub(super) struct Shipping {
    run: String,
    files: BTreeMap<String, File>,
    /// The names of the files that a running command writes to.
    growing: BTreeSet<String>,
    /// The names of the files to read next.
    queue: VecDeque<String>,
    /// The file of each read, and the offset.
    reads: BTreeMap<ReadId, (String, u64)>,
    /// The entry of each search for files to collect, and the directory.
    lists: BTreeMap<ReadId, (String, PathBuf)>,
    /// How many bytes were sent and not confirmed.
    unanswered: u64,
    unshipped: Unshipped,
}

impl Shipping {
    pub(super) fn new(run: &str) -> Shipping {
        Shipping {
            run: run.to_owned(),
            files: BTreeMap::new(),
            growing: BTreeSet::new(),
            queue: VecDeque::new(),
            reads: BTreeMap::new(),
            lists: BTreeMap::new(),
            unanswered: 0,
            unshipped: Unshipped::default(),
        }
    }

    /// Ships the file at `path` under this name while a command writes to it.
    pub(super) fn follow(&mut self, name: String, path: PathBuf) {
        self.growing.insert(name.clone());
        self.add(name, path, false);
    }

    fn add(&mut self, name: String, path: PathBuf, wanted: bool) {
        let file = File { path, sent: 0, kept: 0, queued: false, cut: false, refused: false, wanted, answered: false };
        self.files.insert(name, file);
    }

    /// The command has ended: reads the rest of its file.
    pub(super) fn ended(&mut self, name: &str) {
        self.growing.remove(name);
        self.enqueue(name);
    }

    /// Returns whether a file may grow, so that [`tail`](Shipping::tail) must be called again.
    pub(super) fn tails(&self) -> bool {
        !self.growing.is_empty()
    }

    /// Reads the files that may grow.
    pub(super) fn tail(&mut self, turn: &mut Turn<'_>) {
        for name in self.growing.clone() {
            self.enqueue(&name);
        }
        self.pump(turn);
    }

    /// Nothing writes any more: reads every file a last time.
    pub(super) fn finish(&mut self, turn: &mut Turn<'_>) {
        for name in self.files.keys().cloned().collect::<Vec<_>>() {
            self.enqueue(&name);
        }
        self.growing.clear();
        self.pump(turn);
    }

    /// Searches for the files that match the patterns of this entry's `collect`.
    pub(super) fn collect(&mut self, entry: &str, dir: PathBuf, patterns: Vec<String>, turn: &mut Turn<'_>) {
        let read = turn.out.list(dir.clone(), patterns);
        self.lists.insert(read, (entry.to_owned(), dir));
    }

    /// Ships the files that a search has found.
    pub(super) fn listed(&mut self, read: ReadId, found: Result<Found, impl fmt::Display>, turn: &mut Turn<'_>) {
        let Some((entry, dir)) = self.lists.remove(&read) else { return };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                return self.unshipped.tell(format!("entry {entry}: its files cannot be collected: {error}"));
            }
        };
        self.tell_of_unfit(&entry, &dir, &found);
        let mut collected = 0;
        for (file, _) in found.files {
            if collected == COLLECTED_MAX {
                break;
            }
            let name = format!("{entry}.files/{file}");
            // The controller would keep a file of this name, but no operator could fetch it.
            if let Err(why) = check_shipped(&name) {
                let what = format!("entry {entry}: collect does not copy {}: {why}", file.escape_debug());
                self.unshipped.tell_of_rest(&what, &dir);
                continue;
            }
            collected += 1;
            self.add(name.clone(), dir.join(file), true);
            self.enqueue(&name);
        }
        self.pump(turn);
    }

    /// Warns of the files that match `collect` and are not shipped.
    fn tell_of_unfit(&mut self, entry: &str, dir: &Path, found: &Found) {
        if found.files.is_empty() && found.unfit.is_empty() && found.cut.is_none() {
            self.unshipped.tell(format!("entry {entry}: collect found no file"));
        }
        for (file, why) in &found.unfit {
            self.unshipped.tell(format!("entry {entry}: collect does not copy {file}: {why}"));
        }
        self.unshipped.tell_of_more(found.more);
        if let Some(why) = &found.cut {
            self.unshipped.tell_of_rest(&format!("entry {entry}: collect found {why}"), dir);
        }
        if found.files.len() > COLLECTED_MAX {
            let many = format!("{} files, and brings {COLLECTED_MAX}", found.files.len());
            self.unshipped.tell_of_rest(&format!("entry {entry}: collect found {many}"), dir);
        }
    }

    fn enqueue(&mut self, name: &str) {
        let Some(file) = self.files.get_mut(name) else { return };
        if !file.queued && !file.cut {
            file.queued = true;
            self.queue.push_back(name.to_owned());
        }
    }

    /// Starts as many reads as the window has room for, unless the controller is away.
    pub(super) fn pump(&mut self, turn: &mut Turn<'_>) {
        while turn.link.up() && self.unanswered + (self.reads.len() * PIECE) as u64 + PIECE as u64 <= WINDOW {
            let Some(name) = self.queue.pop_front() else { return };
            let Some(file) = self.files.get(&name) else { continue };
            let read = turn.out.read(file.path.clone(), file.sent, PIECE);
            self.reads.insert(read, (name, file.sent));
        }
    }

    /// Sends a piece that was read.
    pub(super) fn read(&mut self, read: ReadId, result: Result<&[u8], impl fmt::Display>, turn: &mut Turn<'_>) {
        let Some((name, offset)) = self.reads.remove(&read) else { return };
        let Some(file) = self.files.get_mut(&name) else { return };
        file.queued = false;
        // The controller has refused it during the read.
        if file.cut && !injected(Fault::RefusedGoesOn) {
            return self.pump(turn);
        }
        match result {
            Ok(bytes) if !bytes.is_empty() => {
                let room = usize::try_from(FILE_MAX.saturating_sub(offset)).unwrap_or(usize::MAX);
                let bytes = &bytes[..bytes.len().min(room)];
                let before = file.sent - file.kept;
                file.sent = file.sent.max(offset + bytes.len() as u64);
                file.cut = file.sent >= FILE_MAX;
                if file.cut {
                    self.unshipped.tell_of_rest(&format!("{name} is longer than {FILE_MAX} bytes"), &file.path);
                }
                self.unanswered += file.sent - file.kept - before;
                let (run, data) = (self.run.as_str().into(), bytes.to_vec());
                turn.say(&Output { run, file: name.as_str().into(), offset, data });
                self.enqueue(&name);
            }
            Ok(_) if file.wanted && file.sent == 0 && !file.answered => {
                let (run, file) = (self.run.as_str().into(), name.as_str().into());
                turn.say(&Output { run, file, offset: 0, data: Vec::new() });
            }
            Ok(_) => {}
            Err(error) => {
                file.cut = true;
                self.unshipped.tell(format!("{name} cannot be shipped: {error}"));
            }
        }
        self.pump(turn);
    }

    /// The controller has confirmed the length of a file. After a reconnect that may be more than was sent on this
    /// connection.
    pub(super) fn kept(&mut self, kept: &Kept<'_>, turn: &mut Turn<'_>) {
        if let Some(file) = self.files.get_mut(&*kept.file) {
            let before = file.sent - file.kept;
            file.kept = file.kept.max(kept.length.min(FILE_MAX));
            file.sent = file.sent.max(file.kept);
            file.answered = true;
            if let Some(reason) = &kept.refused
                && !file.refused
            {
                file.refused = true;
                file.cut = true;
                let what = format!("the controller keeps {} bytes of {}: {reason}", file.kept, kept.file);
                self.unshipped.tell_of_rest(&what, &file.path);
            }
            if file.refused {
                file.sent = file.kept;
            }
            self.unanswered = (self.unanswered + (file.sent - file.kept)).saturating_sub(before);
        }
        self.pump(turn);
    }

    /// The connection is lost: the next one starts at what the controller has confirmed.
    pub(super) fn disconnected(&mut self) {
        self.unanswered = 0;
        let reading = std::mem::take(&mut self.reads);
        for (name, _) in reading.into_values() {
            if let Some(file) = self.files.get_mut(&name) {
                file.queued = false;
            }
            self.enqueue(&name);
        }
        let behind = |file: &File| file.sent > file.kept || (file.wanted && !file.answered);
        let names: Vec<String> =
            self.files.iter().filter(|(_, file)| behind(file)).map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(file) = self.files.get_mut(&name) {
                file.sent = if injected(Fault::OutputGoesOn) { file.sent } else { file.kept };
                file.cut = file.refused;
            }
            self.enqueue(&name);
        }
    }

    /// Returns whether the controller has everything.
    pub(super) fn complete(&self) -> bool {
        let answered = |file: &File| file.answered || file.cut || !file.wanted;
        let nothing_moves = self.queue.is_empty() && self.reads.is_empty() && self.lists.is_empty();
        self.unanswered == 0 && nothing_moves && self.files.values().all(answered)
    }

    /// As [`Unshipped::rest_is_news`].
    pub(super) fn rest_is_news(&mut self) -> bool {
        self.unshipped.rest_is_news()
    }

    /// As [`Unshipped::stays`].
    pub(super) fn leaves_rest(&self) -> bool {
        self.unshipped.stays()
    }

    /// Takes the warnings since the last call. `ends`: nothing writes any more.
    pub(super) fn take_warnings(&mut self, ends: bool) -> Vec<String> {
        let last = ends && self.complete();
        self.unshipped.take(last)
    }
}
