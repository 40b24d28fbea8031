//! The archive: the runs that are over, and the questions of operators about files of results.
//!
//! It decides which runs are removed. A run is not removed within a minute of its end, or of a question about it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::controller::host::submissions::RESOURCES;
use crate::controller::ledger;
use crate::machine::{ConnId, ReadId};
use crate::session::files::check_results;
use crate::wire::operate::RunState;

/// The most runs that are remembered after their end, whatever is kept.
const KEPT_MAX: usize = 10_000;

/// The file in the directory of a run that is over: its [`Archived`] as JSON.
pub const OVER: &str = "over.json";

/// How long a run is kept at least after its end, and after the last request for it, in microseconds.
const KEPT_AT_LEAST: i64 = 60 * 1_000_000;

/// Which runs that are over are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeping {
    /// As many as can be remembered.
    #[default]
    All,
    /// The latest ones, this many.
    Count(usize),
    /// Those that ended at most this long ago.
    Age(Duration),
}

/// A run that is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Archived {
    /// The run as operators see it.
    pub state: RunState,
    /// The name under which the run was handed in.
    pub submission: String,
    /// How much of the disk its directory takes, in bytes.
    pub bytes: u64,
    /// When it was archived, in microseconds since 1970 in UTC.
    pub since: i64,
    /// When an operator last used it, in the same unit.
    #[serde(skip)]
    pub touched: i64,
}

/// The runs that are over, and the questions about files that are not answered.
pub struct Archive {
    keeping: Keeping,
    /// How many bytes the runs may take together.
    bytes_max: Option<u64>,
    /// The runs by their numbers. The latest has the highest.
    over: BTreeMap<u64, Archived>,
    /// The number of the next run.
    next: u64,
    /// How many bytes they take together.
    bytes: u128,
    /// The numbers of the runs by their ids, and by the names under which they were handed in.
    by_id: BTreeMap<String, u64>,
    by_submission: BTreeMap<String, u64>,
    reads: BTreeMap<ReadId, FileRequest>,
}

/// A question about files.
pub struct FileRequest {
    pub conn: ConnId,
    pub run: String,
    pub what: FileQuery,
}

pub enum FileQuery {
    Files,
    Piece { file: String, offset: u64 },
}

/// An operator waits until a file is longer.
pub struct FileWaiter {
    pub run: String,
    pub file: String,
    pub offset: u64,
}

impl Archive {
    /// Keeps the runs that `keeping` says, and no more than `bytes_max` bytes of them.
    pub fn new(keeping: Keeping, bytes_max: Option<u64>) -> Archive {
        Archive {
            keeping,
            bytes_max,
            over: BTreeMap::new(),
            next: 0,
            bytes: 0,
            by_id: BTreeMap::new(),
            by_submission: BTreeMap::new(),
            reads: BTreeMap::new(),
        }
    }

    /// Changes which runs are kept.
    pub fn keep(&mut self, keeping: Keeping, bytes_max: Option<u64>) {
        (self.keeping, self.bytes_max) = (keeping, bytes_max);
    }

    /// Adds the run that was over last.
    pub fn put(&mut self, archived: Archived) {
        let number = self.next;
        self.next += 1;
        self.by_id.insert(archived.state.run.clone(), number);
        self.by_submission.insert(archived.submission.clone(), number);
        self.bytes += u128::from(archived.bytes);
        self.over.insert(number, archived);
    }

    /// Adds a question that is answered when this has been read.
    pub fn ask(&mut self, read: ReadId, asked: FileRequest) {
        self.reads.insert(read, asked);
    }

    /// Takes out the question that this read answers, if there is one.
    pub fn answers(&mut self, read: ReadId) -> Option<FileRequest> {
        self.reads.remove(&read)
    }

    /// Notes that an operator uses a run.
    pub fn touch(&mut self, id: &str, wall_clock: i64) {
        let Some(number) = self.by_id.get(id) else { return };
        if let Some(archived) = self.over.get_mut(number) {
            archived.touched = wall_clock;
        }
    }

    /// Returns the run with this id.
    pub fn get(&self, id: &str) -> Option<&RunState> {
        self.numbered(*self.by_id.get(id)?)
    }

    /// Returns the run that was handed in under this name.
    pub fn of_submission(&self, submission: &str) -> Option<&RunState> {
        self.numbered(*self.by_submission.get(submission)?)
    }

    fn numbered(&self, number: u64) -> Option<&RunState> {
        self.over.get(&number).map(|archived| &archived.state)
    }

    /// Returns all runs, the latest first.
    pub fn latest_first(&self) -> impl Iterator<Item = &RunState> {
        self.over.values().rev().map(|archived| &archived.state)
    }

    /// Takes out the oldest run if it is not kept any longer. Returns it with the option that limits the archive.
    pub fn take_oldest(&mut self, wall_clock: i64) -> Option<(Archived, &'static str)> {
        let most = match self.keeping {
            Keeping::Count(count) => count.min(KEPT_MAX),
            Keeping::All | Keeping::Age(_) => KEPT_MAX,
        };
        let too_many = self.over.len().saturating_sub(most);
        let too_old = |archived: &Archived| match self.keeping {
            Keeping::Age(age) => i128::from(wall_clock) - i128::from(archived.since) > age.as_micros() as i128,
            Keeping::All | Keeping::Count(_) => false,
        };
        let too_large = self.bytes_max.is_some_and(|bytes_max| self.bytes > u128::from(bytes_max));
        let mut removable = self.over.iter().enumerate().map_while(|(place, (number, archived))| {
            let option = match place < too_many || too_old(archived) {
                true => "--keep",
                false if too_large => "--keep-max",
                false => return None,
            };
            Some((*number, archived, option))
        });
        // An operator that has followed the run fetches the rest of its results.
        let is_unused = |archived: &Archived| wall_clock.saturating_sub(archived.touched) >= KEPT_AT_LEAST;
        let (number, _, option) = removable.find(|(_, archived, _)| is_unused(archived))?;
        let oldest = self.over.remove(&number)?;
        for (index, key) in [(&mut self.by_id, &oldest.state.run), (&mut self.by_submission, &oldest.submission)] {
            // A name that was used again belongs to the later run.
            if index.get(key) == Some(&number) {
                index.remove(key);
            }
        }
        self.bytes -= u128::from(oldest.bytes);
        Some((oldest, option))
    }
}

/// Returns whether operators may fetch a file of a run's directory. The ledger and what was handed in are the controller's
/// own.
pub fn is_shipped(file: &str) -> bool {
    let own = [ledger::FILE, OVER].contains(&file) || file.split('/').next() == Some(RESOURCES);
    // A summary that is not complete yet must not be taken for a result. A slave has no file in this directory itself.
    let unfinished = !file.contains('/') && file.ends_with(".new");
    !own && !unfinished && check_results(file).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::operate::RunStatus;

    /// Returns a run of 10 bytes that is over since this minute.
    fn archived(run: &str, minute: i64) -> Archived {
        let state = RunState {
            run: run.to_owned(),
            test: String::new(),
            state: RunStatus::Over,
            submitted: String::new(),
            started: None,
            seconds: None,
            why: String::new(),
            verdict: None,
            code: None,
            slaves: 1,
            connected: 0,
        };
        let since = minute * KEPT_AT_LEAST;
        Archived { state, submission: run.to_owned(), bytes: 10, since, touched: since }
    }

    /// Returns the runs that are removed in this minute.
    fn removed(archive: &mut Archive, minute: i64) -> Vec<String> {
        std::iter::from_fn(|| archive.take_oldest(minute * KEPT_AT_LEAST))
            .map(|(archived, _)| archived.state.run)
            .collect()
    }

    #[test]
    fn a_run_that_somebody_asks_for_protects_no_other() {
        let age = Keeping::Age(Duration::from_secs(60));
        for (keeping, bytes_max, goes) in
            [(Keeping::Count(1), None, &["b"][..]), (age, None, &["b", "c"]), (Keeping::All, Some(20), &["b"])]
        {
            let mut archive = Archive::new(keeping, bytes_max);
            [("a", 0), ("b", 1), ("c", 2)].into_iter().for_each(|(run, minute)| archive.put(archived(run, minute)));
            archive.touch("a", 10 * KEPT_AT_LEAST);
            assert_eq!(removed(&mut archive, 10), goes, "{keeping:?}");
            assert!(archive.get("a").is_some() && archive.get("b").is_none() && archive.of_submission("b").is_none());
            let later = if bytes_max.is_some() { &[][..] } else { &["a"] };
            assert_eq!(removed(&mut archive, 11), later, "{keeping:?}");
        }
    }

    #[test]
    fn only_files_of_the_results_are_given_out() {
        for good in ["test.json", "events.jsonl", "a/make.out", "a/make.files/x/y.new"] {
            assert!(is_shipped(good), "{good}");
        }
        for bad in [
            "state.jsonl",
            "resources/aa",
            "resources",
            "summary.json.new",
            "../x",
            "/etc/passwd",
            "a//b",
            "a/../b",
            "",
            "a/\n",
        ] {
            assert!(!is_shipped(bad), "{bad}");
        }
    }
}
