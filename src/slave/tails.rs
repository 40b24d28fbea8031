//! The last lines of what failed commands wrote. The slave reads them from the file itself: what it ships may be limited, and
//! comes later. They are a report, so the controller has them whatever the connection does, and its ledger keeps them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::machine::{ReadId, SystemError};
use crate::slave::reports::Reports;
use crate::slave::turn::Turn;
use crate::text::tail::{BYTES_MAX, last_lines};
use crate::wire::SlaveEvent;

/// Of so many failed commands of a run the last lines are reported: the ledger of the controller holds them all.
const TAILS_MAX: u32 = 100;

/// A failed command, and where its last lines may be, the last place first.
#[derive(Debug)]
struct Failed {
    entry: String,
    nr: u32,
    files: Vec<PathBuf>,
}

/// The failed commands whose last lines are being read.
#[derive(Debug, Default)]
pub(super) struct Tails {
    reads: BTreeMap<ReadId, Failed>,
    begun: u32,
}

impl Tails {
    /// Nothing is being read.
    pub(super) fn complete(&self) -> bool {
        self.reads.is_empty()
    }

    /// A command has failed: what it wrote last to its standard output or its standard error may tell why.
    pub(super) fn begin(&mut self, entry: &str, nr: u32, files: [PathBuf; 2], turn: &mut Turn<'_>) {
        if self.begun < TAILS_MAX {
            self.begun += 1;
            // Standard error comes first, and standard output if that is empty.
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

    /// The end of a file was read: reports its last lines. Returns whether it was read for this.
    pub(super) fn read(
        &mut self,
        read: ReadId,
        result: &Result<&[u8], SystemError>,
        reports: &mut Reports,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(failed) = self.reads.remove(&read) else { return false };
        let text = result.as_ref().map(|bytes| last_lines(bytes)).unwrap_or_default();
        if text.is_empty() {
            self.read_next(failed, turn);
        } else {
            let entry = failed.entry.into();
            reports.push(SlaveEvent::Tail { entry, nr: failed.nr, text: text.into() }, turn);
        }
        true
    }
}
