//! Writes `summary.json`, in pieces if it is long.
//!
//! The file must never be incomplete under its own name. A short summary is written in one step. A long one grows under
//! another name, and takes its own when it is whole. If the controller is killed meanwhile, the next one begins the
//! summary again.

use std::path::{Path, PathBuf};

use crate::controller::run::failures::Failures;
use crate::controller::run::pace::Pace;
use crate::controller::run::results::{Frame, failure_in_summary, slave_in_summary};
use crate::controller::run::roster::Roster;
use crate::machine::{Outbox, Time};

/// The extension of a summary that is not whole yet.
const NEW: &str = "json.new";

/// A summary on its way to the disk.
pub struct SummaryFile {
    path: PathBuf,
    frame: Frame,
    next: Next,
    again: bool,
    /// The bytes that were encoded since the last piece.
    bytes: Vec<u8>,
    /// The length of the pieces that were written, in bytes.
    length: u64,
}

/// What is encoded next.
enum Next {
    /// The failure with this number.
    Failure(usize),
    /// The slave that follows this one in the order of names.
    SlaveAfter(Option<String>),
}

/// Returns whether a file is that of the summary at `path`, whole or not.
pub fn writes(file: &Path, path: &Path) -> bool {
    file == path || file == path.with_extension(NEW)
}

impl SummaryFile {
    /// Returns a summary of which nothing is written. `again`: it replaces a part of an earlier one that was given up.
    pub fn new(path: PathBuf, mut frame: Frame, again: bool) -> SummaryFile {
        let bytes = std::mem::take(&mut frame.before_failures);
        SummaryFile { path, frame, next: Next::Failure(0), again, bytes, length: 0 }
    }

    /// Writes more, as far as the pace permits. Returns whether all of it is written.
    pub fn write(
        &mut self,
        now: Time,
        start: Option<Time>,
        (failures, roster): (&Failures, &Roster),
        pace: &mut Pace,
        out: &mut Outbox,
    ) -> bool {
        let before = self.bytes.len();
        while !pace.is_used_up(now) {
            if self.encode_next(start, (failures, roster), pace) {
                self.finish(out);
                return true;
            }
        }
        if self.bytes.len() > before {
            self.append(out);
        }
        false
    }

    /// Returns how much is written, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Encodes the next failure or slave. Returns whether there is none left.
    fn encode_next(&mut self, start: Option<Time>, (failures, roster): (&Failures, &Roster), pace: &mut Pace) -> bool {
        let (first, item, next) = match &self.next {
            Next::Failure(nr) => match failures.kept().get(*nr) {
                Some(failure) => (*nr == 0, failure_in_summary(failure, start), Next::Failure(nr + 1)),
                None => {
                    self.bytes.append(&mut self.frame.before_slaves);
                    self.next = Next::SlaveAfter(None);
                    return false;
                }
            },
            Next::SlaveAfter(last) => match roster.after(last.as_deref()) {
                Some(member) => {
                    let next = Next::SlaveAfter(Some(member.name.clone()));
                    (last.is_none(), slave_in_summary(member, start), next)
                }
                None => {
                    self.bytes.append(&mut self.frame.after_slaves);
                    return true;
                }
            },
        };
        if !first {
            self.bytes.push(b',');
        }
        pace.encodes(item.len());
        self.bytes.extend_from_slice(&item);
        self.next = next;
        false
    }

    fn append(&mut self, out: &mut Outbox) {
        let (path, bytes) = (self.path.with_extension(NEW), std::mem::take(&mut self.bytes));
        let begins = self.length == 0;
        self.length += bytes.len() as u64;
        match begins {
            true => out.persist(path, bytes),
            false => out.append(path, bytes),
        }
    }

    fn finish(&mut self, out: &mut Outbox) {
        if self.length == 0 && !self.again {
            self.length = self.bytes.len() as u64;
            return out.persist(self.path.clone(), std::mem::take(&mut self.bytes));
        }
        self.append(out);
        out.install(self.path.clone(), self.path.with_extension(NEW), self.length);
    }
}
