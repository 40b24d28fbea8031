//! Reports the last lines of failed commands.
//!
//! The slave reads them from the file itself, because the shipped output may be limited and arrives later. They are a
//! report, so they survive a lost connection, and the ledger of the controller keeps them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::machine::ReadId;
use crate::slave::reports::Reports;
use crate::slave::turn::Turn;
use crate::text::tail::{BYTES_MAX, last_lines};
use crate::wire::SlaveEvent;

/// The most failed commands with a report. The ledger of the controller holds them all.
const TAILS_MAX: u32 = 100;

/// A failed command and its files, the one to read next at the end.
#[derive(Debug)]
struct Failed {
    entry: String,
    nr: u32,
    files: Vec<PathBuf>,
}

/// The reads of last lines.
#[derive(Debug, Default)]
pub(super) struct Tails {
    reads: BTreeMap<ReadId, Failed>,
    begun: u32,
}

impl Tails {
    /// Returns whether nothing is being read.
    pub(super) fn complete(&self) -> bool {
        self.reads.is_empty()
    }

    /// A command has failed: reads the end of its output, which may explain why.
    pub(super) fn begin(&mut self, entry: &str, nr: u32, files: [PathBuf; 2], turn: &mut Turn<'_>) {
        if self.begun < TAILS_MAX {
            self.begun += 1;
            // Standard output is read only if standard error is empty.
            self.read_next(Failed { entry: entry.to_owned(), nr, files: files.to_vec() }, turn);
        }
    }

    /// Reads the end of the next file.
    fn read_next(&mut self, mut failed: Failed, turn: &mut Turn<'_>) {
        if let Some(path) = failed.files.pop() {
            let read = turn.out.read_end(path, BYTES_MAX);
            self.reads.insert(read, failed);
        }
    }

    /// The end of a file was read: reports its last lines. Returns whether the read was one of these.
    pub(super) fn read(
        &mut self,
        read: ReadId,
        result: &Result<&[u8], impl fmt::Display>,
        reports: &mut Reports,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(failed) = self.reads.remove(&read) else { return false };
        let text = result.as_ref().map_or_else(|_| String::new(), |bytes| last_lines(bytes));
        if text.is_empty() {
            self.read_next(failed, turn);
        } else {
            let entry = failed.entry.into();
            reports.push(SlaveEvent::Tail { entry, nr: failed.nr, text: text.into() }, turn);
        }
        true
    }
}
