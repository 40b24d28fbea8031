//! The ledger: what a controller must know after it was killed and restarted, in one file that only grows.
//!
//! Connected slaves and clients repeat their own facts. This file has the rest, and has it before any peer can see an
//! effect: confirmed reports and notifies, decisions (the start, outcomes of rounds, the end), and facts without a
//! living witness (the test, the history, clients that have left).
//!
//! The first line identifies the ledger. Each further line contains the facts of one input, `[TIME,[FACT,...]]`. A line
//! is complete or is ignored, so that a decision is never separated from its cause. Only the last line can be torn by a
//! crash, and it is cut off. The format is arete's own; a controller reads only the format of its version.

pub mod error;
pub mod fact;
mod past;
pub mod rounds;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use self::error::{Damage, FileError, LedgerError};
pub use self::fact::{Audience, FILE, FORMAT, Fact, Header, NEW, Terms};
use self::fact::{encode, encode_header, encode_raw, is_left_out, item};
pub use self::past::{Past, ReadLine, Source, TimeLine};
use crate::controller::rewrite::Rewrite;
use crate::machine::{Outbox, Time};

/// Where a controller keeps its ledger, and the surroundings that the ledger records.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// The file.
    pub path: PathBuf,
    /// The identifier of the system's boot.
    pub boot: String,
    /// As in [`Config`](crate::controller::config::Config).
    pub wall_offset: i64,
    /// The terms of the run; `None` for a controller of rooms only.
    pub terms: Option<Terms>,
    /// The length at which a ledger of rooms is rewritten, in bytes; `None` for the default.
    pub rewrite_from: Option<u64>,
}

/// Writes the ledger. All clones write to one file; without a file nothing is written.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Rc<RefCell<Book>>);

#[derive(Debug, Default)]
struct Book {
    path: Option<PathBuf>,
    now: Time,
    /// The line of this input.
    line: Vec<u8>,
    /// A write has failed. Nothing more is written, because a gap would be worse than an early end.
    broken: bool,
    /// The length of the file, and the length at which it is rewritten, in bytes.
    length: u64,
    bound: u64,
    bound_min: u64,
    /// The rewrite in progress.
    rewrite: Option<Rewrite>,
}

impl Ledger {
    /// Sets the file, its length, and the length at which it is rewritten, in bytes.
    pub fn open(&self, path: PathBuf, length: u64, bound: u64) {
        let mut book = self.0.borrow_mut();
        (book.path, book.length, book.bound_min) = (Some(path), length, bound);
        book.bound = bound.max(2 * length);
    }

    /// Returns whether a rewrite is due and none is in progress.
    pub fn is_long(&self) -> bool {
        let book = self.0.borrow();
        book.path.is_some() && !book.broken && book.length > book.bound && book.rewrite.is_none()
    }

    /// Returns how many bytes were recorded, including the line of this input.
    pub fn recorded(&self) -> u64 {
        let book = self.0.borrow();
        book.length + book.line.len() as u64
    }

    /// Starts a rewrite. From now on facts are written to both files.
    pub fn rewrite(&self, rewrite: Rewrite) {
        self.0.borrow_mut().rewrite = Some(rewrite);
    }

    /// Takes the rewrite in progress.
    pub fn take_rewrite(&self) -> Option<Rewrite> {
        self.0.borrow_mut().rewrite.take()
    }

    /// Returns when the next piece of the rewrite is due.
    pub fn rewrite_due(&self) -> Option<Time> {
        self.0.borrow().rewrite.as_ref().map(Rewrite::due)
    }

    /// Replaces the file by the rewritten one.
    pub fn rewritten(&self, new: PathBuf, length: u64, out: &mut Outbox) {
        let mut book = self.0.borrow_mut();
        let Some(path) = book.path.clone() else { return };
        book.length = length;
        book.bound = book.bound_min.max(2 * length);
        out.install(path, new, length);
    }

    /// Keeps the file after its rewrite has failed. The next rewrite starts when the file has doubled.
    pub fn keep_old(&self, path: &Path) {
        let mut book = self.0.borrow_mut();
        if book.rewrite.take_if(|rewrite| rewrite.is_at(path)).is_some() {
            book.bound = 2 * book.length;
        }
    }

    /// Returns whether facts are written: there is a file, and no write has failed.
    pub fn is_open(&self) -> bool {
        let book = self.0.borrow();
        book.path.is_some() && !book.broken
    }

    /// Returns whether both write to the same file.
    pub fn is(&self, other: &Ledger) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Returns whether this is the file of the ledger.
    pub fn is_at(&self, path: &Path) -> bool {
        self.0.borrow().path.as_deref() == Some(path)
    }

    /// Stops writing after a write has failed.
    pub fn stop_writing(&self) {
        self.0.borrow_mut().broken = true;
    }

    /// Begins a new input.
    pub fn turn(&self, now: Time) {
        self.0.borrow_mut().now = now;
    }

    /// Adds a fact to the line of this input.
    pub fn write(&self, fact: &Fact<'_>) {
        if !is_left_out(fact) {
            self.item(|rewrite| rewrite.accepts(fact), |line| encode(line, fact));
        }
    }

    /// Adds a fact of this kind that is encoded as JSON.
    pub fn write_raw(&self, kind: &str, json: &[u8]) {
        self.item(|_| true, |line| encode_raw(line, kind, json));
    }

    /// Adds a fact to this ledger, and to its rewrite if it `belongs` there.
    fn item(&self, belongs: impl FnOnce(&Rewrite) -> bool, write: impl FnOnce(&mut Vec<u8>)) {
        let mut book = self.0.borrow_mut();
        if book.path.is_none() || book.broken {
            return;
        }
        let Book { line, now, rewrite, .. } = &mut *book;
        let mut begin = 0;
        item(line, *now, |line| {
            begin = line.len();
            write(line);
        });
        if let Some(rewrite) = rewrite.as_mut().filter(|rewrite| belongs(rewrite)) {
            rewrite.add(*now, &line[begin..]);
        }
    }

    /// Writes the first line of a new ledger.
    pub fn head(&self, header: &Header) {
        let mut book = self.0.borrow_mut();
        debug_assert!(book.line.is_empty(), "the header is the first line");
        encode_header(&mut book.line, header);
    }

    /// Ends the line of this input, and writes it before all effects that were requested since `mark`.
    pub fn flush(&self, mark: usize, out: &mut Outbox) {
        let mut book = self.0.borrow_mut();
        if book.line.is_empty() {
            return;
        }
        let mut line = std::mem::take(&mut book.line);
        if !line.ends_with(b"\n") {
            line.extend_from_slice(b"]]\n");
        }
        book.length += line.len() as u64;
        if let Some(path) = book.path.clone().filter(|_| !book.broken) {
            out.append_at(mark, path, line);
        }
    }
}
