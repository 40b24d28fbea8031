//! The runs that are over, and the files of the results of all runs, for those who ask.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use crate::controller::Controller;
use crate::controller::host::operators::deny;
use crate::controller::host::submissions::RESOURCES;
use crate::controller::ledger;
use serde::{Deserialize, Serialize};

use crate::machine::faults::{Fault, injected};
use crate::machine::{ConnId, Outbox, Page, ReadId, Time};
use crate::session::files::check_results;
use crate::wire::operate::{AskFiles, Files, GETS_MAX, Get, PAGE_MAX, Piece, RunState};
use crate::wire::{CHUNK_MAX, Code, LINE_MAX, Message};

/// How many runs that are over are remembered whatever is kept.
const KEPT_MAX: usize = 10_000;

/// How long the names of files in one answer are together, in bytes: with their lengths they fit a line.
const FILES_BYTES: usize = LINE_MAX / 2;

/// How many directories are removed in one turn.
const REMOVED_AT_ONCE: usize = 10;

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
pub struct Shelved {
    pub state: RunState,
    pub submission: String,
    /// When it was put here, in microseconds since 1970 in UTC.
    pub since: i64,
    /// When somebody has asked for something of it last, likewise.
    #[serde(skip)]
    pub touched: i64,
}

/// The runs that are over, the latest last.
pub struct Shelf {
    keeping: Keeping,
    over: VecDeque<Shelved>,
    reads: BTreeMap<ReadId, Asked>,
}

/// A question about files.
pub struct Asked {
    conn: ConnId,
    run: String,
    what: What,
}

enum What {
    Files,
    Piece { file: String, offset: u64 },
}

/// Somebody waits until there is more of a file.
pub struct Waiting {
    run: String,
    file: String,
    offset: u64,
}

impl Shelf {
    pub fn new(keeping: Keeping) -> Shelf {
        Shelf { keeping, over: VecDeque::new(), reads: BTreeMap::new() }
    }

    pub fn keep(&mut self, keeping: Keeping) {
        self.keeping = keeping;
    }

    pub fn put(&mut self, shelved: Shelved) {
        self.over.push_back(shelved);
    }

    /// Somebody asks for something of a run.
    fn touch(&mut self, id: &str, wall_clock: i64) {
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
    fn take_oldest(&mut self, wall_clock: i64) -> Option<Shelved> {
        let most = match self.keeping {
            Keeping::Count(count) => count.min(KEPT_MAX),
            Keeping::All | Keeping::Age(_) => KEPT_MAX,
        };
        let too_old = |shelved: &Shelved| match self.keeping {
            Keeping::Age(age) => i128::from(wall_clock) - i128::from(shelved.since) > age.as_micros() as i128,
            Keeping::All | Keeping::Count(_) => false,
        };
        // Whoever has followed a run fetches what it has left.
        let rests = |shelved: &Shelved| wall_clock.saturating_sub(shelved.touched) >= KEPT_AT_LEAST;
        let many = self.over.len() > most;
        let goes = self.over.front().is_some_and(|shelved| rests(shelved) && (many || too_old(shelved)));
        if goes { self.over.pop_front() } else { None }
    }
}

impl Controller {
    /// Removes the results that are not kept any longer.
    pub(in crate::controller) fn clear_shelf(&mut self, now: Time, out: &mut Outbox) {
        let wall_clock = self.wall_clock(now);
        let Some(lab) = &mut self.lab else { return };
        for _ in 0..REMOVED_AT_ONCE {
            let Some(shelved) = lab.shelf.take_oldest(wall_clock) else { return };
            log::info!("the results of run {} are removed: --keep does not keep them longer", shelved.state.run);
            lab.remove(&shelved.state.run, out);
        }
    }

    /// Whether there is such a run.
    fn has_run(&self, id: &str) -> bool {
        self.runs.find(id).is_some() || self.lab.as_ref().is_some_and(|lab| lab.shelf.get(id).is_some())
    }

    /// One more question of an operator about files of a run, if it may ask.
    fn asks(&mut self, conn: ConnId, run: &str, out: &mut Outbox) -> bool {
        if !self.has_run(run) {
            let reason = format!("there is no run {run:?}: arete runs shows those that there are");
            deny(conn, Some(run), Code::NoSuchRun, reason, out);
            return false;
        }
        let operator = self.lab.as_mut().and_then(|lab| lab.operators.get_mut(&conn));
        let Some(operator) = operator else { return false };
        if operator.asked >= GETS_MAX {
            deny(conn, Some(run), Code::Full, format!("more than {GETS_MAX} questions at once"), out);
            return false;
        }
        operator.asked += 1;
        self.touch(run);
        true
    }

    /// Somebody has to do with a run: it is not removed for a while.
    pub(in crate::controller) fn touch(&mut self, run: &str) {
        let wall_clock = self.wall_clock(self.now);
        if let Some(lab) = &mut self.lab {
            lab.shelf.touch(run, wall_clock);
        }
    }

    /// What an operator had asked is answered.
    fn answered(&mut self, conn: ConnId) {
        if let Some(operator) = self.lab.as_mut().and_then(|lab| lab.operators.get_mut(&conn)) {
            operator.asked = operator.asked.saturating_sub(1);
        }
    }

    fn directory_of(&self, run: &str) -> PathBuf {
        self.lab.as_ref().map(|lab| lab.config.runs.join(run)).unwrap_or_default()
    }

    pub(in crate::controller) fn ask_files(&mut self, conn: ConnId, ask: &AskFiles<'_>, out: &mut Outbox) {
        if !self.asks(conn, &ask.run, out) {
            return;
        }
        let read = out.page(self.directory_of(&ask.run), ask.after.to_string(), PAGE_MAX);
        if let Some(lab) = &mut self.lab {
            lab.shelf.reads.insert(read, Asked { conn, run: ask.run.to_string(), what: What::Files });
        }
    }

    /// Some files of a run are known.
    pub(in crate::controller) fn paged(&mut self, read: ReadId, result: Result<Page, String>, out: &mut Outbox) {
        let Some(asked) = self.lab.as_mut().and_then(|lab| lab.shelf.reads.remove(&read)) else { return };
        let Asked { conn, run, what: What::Files } = asked else { return };
        self.answered(conn);
        let Page { mut files, mut next } = match result {
            Ok(page) => page,
            Err(reason) => return deny(conn, Some(&run), Code::Unreadable, reason, out),
        };
        files.retain(|(file, _)| is_shipped(file));
        let mut bytes = 0;
        let fits = files.iter().take_while(|(file, _)| {
            bytes += serde_json::to_vec(file).map_or(0, |json| json.len());
            bytes <= FILES_BYTES
        });
        let fits = fits.count();
        if fits < files.len() {
            files.truncate(fits);
            next = files.last().map(|(file, _)| file.clone());
        }
        out.send(conn, Files { run: Cow::from(&run), files, next: next.map(Cow::from) }.encode());
    }

    pub(in crate::controller) fn get(&mut self, conn: ConnId, get: &Get<'_>, out: &mut Outbox) {
        if !is_shipped(&get.file) {
            let reason = format!("{:?} is no file of results", get.file.chars().take(200).collect::<String>());
            return deny(conn, Some(&get.run), Code::NoSuchFile, reason, out);
        }
        if self.asks(conn, &get.run, out) {
            let Get { run, file, offset, wait } = get;
            self.read_piece(conn, run, (file, *offset, *wait), out);
        }
    }

    /// Answers with a piece of a file once it has been read, or once there is one.
    fn read_piece(&mut self, conn: ConnId, run: &str, (file, offset, wait): (&str, u64, bool), out: &mut Outbox) {
        let going = self.runs.by_id(run);
        let wait = wait && going.is_some();
        let there = going.is_none_or(|going| going.length_of(file) > offset);
        let directory = self.directory_of(run);
        let Some(lab) = &mut self.lab else { return };
        if wait && !there {
            if let Some(operator) = lab.operators.get_mut(&conn) {
                operator.waits.push(Waiting { run: run.to_owned(), file: file.to_owned(), offset });
            }
            return;
        }
        let skipped = u64::from(injected(Fault::GetSkipsBytes) && offset > 0);
        let read = out.read(directory.join(file), offset + skipped, CHUNK_MAX);
        let what = What::Piece { file: file.to_owned(), offset };
        lab.shelf.reads.insert(read, Asked { conn, run: run.to_owned(), what });
    }

    /// A piece of a file of results was read. `false`: it was read for another reason.
    pub(in crate::controller) fn read_for_operator(
        &mut self,
        read: ReadId,
        result: &Result<&[u8], String>,
        out: &mut Outbox,
    ) -> bool {
        let Some(asked) = self.lab.as_mut().and_then(|lab| lab.shelf.reads.remove(&read)) else { return false };
        let Asked { conn, run, what: What::Piece { file, offset } } = asked else { return true };
        self.answered(conn);
        match result {
            Ok(data) => {
                let piece = Piece { run: Cow::from(&run), file: Cow::from(&file), offset, data: data.to_vec() };
                out.send(conn, piece.encode());
            }
            Err(reason) => deny(conn, Some(&run), Code::Unreadable, format!("{file}: {reason}"), out),
        }
        true
    }

    /// Answers those who wait for a file that has grown.
    pub(in crate::controller) fn answer_grown(&mut self, out: &mut Outbox) {
        let grown: Vec<String> =
            self.runs.values_mut().filter_map(|run| run.has_grown().then(|| run.id.clone())).collect();
        for run in grown {
            self.answer_those_who_wait(&run, out);
        }
    }

    /// Answers those who wait for files of a run, as far as there is something.
    pub(in crate::controller) fn answer_those_who_wait(&mut self, run: &str, out: &mut Outbox) {
        let Some(lab) = &mut self.lab else { return };
        let mut again = Vec::new();
        for (&conn, operator) in &mut lab.operators {
            let these = operator.waits.extract_if(.., |waiting| waiting.run == run);
            again.extend(these.map(|waiting| (conn, waiting)));
        }
        for (conn, Waiting { run, file, offset }) in again {
            self.read_piece(conn, &run, (&file, offset, true), out);
        }
    }

    /// Microseconds since 1970 in UTC.
    pub(in crate::controller) fn wall_clock(&self, now: Time) -> i64 {
        let wall_offset = self.lab.as_ref().map_or(0, |lab| lab.config.wall_offset);
        (now.as_micros() as i64).saturating_sub(self.shift).saturating_add(wall_offset)
    }
}

/// Whether a file of a run's directory is one of its results: the ledger and what was handed in are the controller's own.
fn is_shipped(file: &str) -> bool {
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
