//! The runs that are over, and the files of the results of all runs, for those who ask.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::controller::host::submissions::RESOURCES;
use crate::controller::ledger;
use crate::machine::{ConnId, ReadId};
use crate::session::files::check_results;
use crate::wire::operate::RunState;

/// How many runs that are over are remembered whatever is kept.
const KEPT_MAX: usize = 10_000;

/// What is known of a run that is over, in its directory.
pub const OVER: &str = "over.json";

/// How long a run is kept at least after it is over, and after somebody has asked for something of it, in microseconds.
const KEPT_AT_LEAST: i64 = 60 * 1_000_000;

/// Which runs that are over are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeping {
    /// As many as can be remembered.
    #[default]
    All,
    /// The latest.
    Count(usize),
    /// Those that have been over for no longer.
    Age(Duration),
}

/// A run that is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Archived {
    /// The run as operators see it.
    pub state: RunState,
    /// The name under which the run was handed in.
    pub submission: String,
    /// When it was put here, in microseconds since 1970 in UTC.
    pub since: i64,
    /// When somebody has asked for something of it last, likewise.
    #[serde(skip)]
    pub touched: i64,
}

/// The runs that are over, the latest last.
pub struct Archive {
    keeping: Keeping,
    over: VecDeque<Archived>,
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

/// Somebody waits until there is more of a file.
pub struct FileWaiter {
    pub run: String,
    pub file: String,
    pub offset: u64,
}

impl Archive {
    pub fn new(keeping: Keeping) -> Archive {
        Archive { keeping, over: VecDeque::new(), reads: BTreeMap::new() }
    }

    pub fn keep(&mut self, keeping: Keeping) {
        self.keeping = keeping;
    }

    pub fn put(&mut self, shelved: Archived) {
        self.over.push_back(shelved);
    }

    /// A question is answered when this has been read.
    pub fn ask(&mut self, read: ReadId, asked: FileRequest) {
        self.reads.insert(read, asked);
    }

    /// Something was read: the question that it answers, if one asked for it.
    pub fn answers(&mut self, read: ReadId) -> Option<FileRequest> {
        self.reads.remove(&read)
    }

    /// Somebody asks for something of a run.
    pub fn touch(&mut self, id: &str, wall_clock: i64) {
        if let Some(shelved) = self.over.iter_mut().rev().find(|shelved| shelved.state.run == id) {
            shelved.touched = wall_clock;
        }
    }

    pub fn get(&self, id: &str) -> Option<&RunState> {
        self.latest_first().find(|state| state.run == id)
    }

    pub fn of_submission(&self, submission: &str) -> Option<&RunState> {
        self.over.iter().find(|shelved| shelved.submission == submission).map(|shelved| &shelved.state)
    }

    pub fn latest_first(&self) -> impl Iterator<Item = &RunState> {
        self.over.iter().rev().map(|shelved| &shelved.state)
    }

    /// Takes out a run that is not kept any longer.
    pub fn take_oldest(&mut self, wall_clock: i64) -> Option<Archived> {
        let most = match self.keeping {
            Keeping::Count(count) => count.min(KEPT_MAX),
            Keeping::All | Keeping::Age(_) => KEPT_MAX,
        };
        let too_old = |shelved: &Archived| match self.keeping {
            Keeping::Age(age) => i128::from(wall_clock) - i128::from(shelved.since) > age.as_micros() as i128,
            Keeping::All | Keeping::Count(_) => false,
        };
        // Whoever has followed a run fetches what it has left.
        let rests = |shelved: &Archived| wall_clock.saturating_sub(shelved.touched) >= KEPT_AT_LEAST;
        let many = self.over.len() > most;
        let goes = self.over.front().is_some_and(|shelved| rests(shelved) && (many || too_old(shelved)));
        if goes { self.over.pop_front() } else { None }
    }
}

/// Whether a file of a run's directory is one of its results: the ledger and what was handed in are the controller's own.
pub fn is_shipped(file: &str) -> bool {
    let own = [ledger::FILE, OVER].contains(&file) || file.split('/').next() == Some(RESOURCES);
    !own && check_results(file).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_results_are_given_out() {
        for good in ["test.json", "events.jsonl", "a/make.out", "a/make.files/x/y"] {
            assert!(is_shipped(good), "{good}");
        }
        for bad in ["state.jsonl", "resources/aa", "resources", "../x", "/etc/passwd", "a//b", "a/../b", "", "a/\n"] {
            assert!(!is_shipped(bad), "{bad}");
        }
    }
}
