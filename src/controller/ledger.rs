//! The ledger: what a controller must still know when it is killed and started again, in one file that only grows.
//!
//! A slave and a client that lives states its facts again. What they cannot say is written here before anybody can have
//! seen its effect: what was answered (reports, notifies), what was decided (the start, rulings of rounds, the end), and
//! what nobody alive can say (the test, the history, the clients that have gone).
//!
//! The first line says whose ledger it is. Each line after it is what one input brought, `[TIME,[FACT,...]]`: it is
//! there as a whole or not at all, so that no decision is ever parted from its cause. A line that a crash has torn is
//! the last one, and is cut off. The format is arete's own; a controller reads that of its own version.

pub mod fact;
mod past;
pub mod rounds;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use self::fact::{Audience, FILE, FORMAT, Fact, Header, NEW, Terms};
use self::fact::{encode, encode_header, encode_raw, is_left_out, item};
pub use self::past::{Past, ReadLine, Source, TimeLine};
use crate::controller::rewrite::Rewrite;
use crate::machine::{Outbox, Time};

/// Where a controller keeps its ledger, and what it was told of the world for it.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// The file.
    pub path: PathBuf,
    /// The boot of the system, by its name.
    pub boot: String,
    /// As in [`Config`](crate::controller::config::Config).
    pub wall_offset: i64,
    /// The terms of the run; `None` for a controller of rooms alone.
    pub terms: Option<Terms>,
    /// How long a ledger of rooms becomes before it is written anew; `None`: as is usual.
    pub rewrite_from: Option<u64>,
}

/// Writes the ledger. All who write share it; without a file nothing is written.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Rc<RefCell<Book>>);

#[derive(Debug, Default)]
struct Book {
    path: Option<PathBuf>,
    now: Time,
    /// The line of this input.
    line: Vec<u8>,
    /// It could not be written: nothing more is, for a gap would be worse than an end.
    broken: bool,
    /// How long the file is, and how long it may become before it is written anew.
    length: u64,
    bound: u64,
    bound_min: u64,
    /// The one that shall take its place.
    anew: Option<Rewrite>,
}

impl Ledger {
    /// Writes to this file from now on, which has so many bytes, and which is worth being written anew when it has so many.
    pub fn open(&self, path: PathBuf, length: u64, bound: u64) {
        let mut book = self.0.borrow_mut();
        (book.path, book.length, book.bound_min) = (Some(path), length, bound);
        book.bound = bound.max(2 * length);
    }

    /// Whether it has become so long that most of it may be dead, and is not being written anew.
    pub fn is_long(&self) -> bool {
        let book = self.0.borrow();
        book.path.is_some() && !book.broken && book.length > book.bound && book.anew.is_none()
    }

    /// How much has been written, with what this input has brought.
    pub fn recorded(&self) -> u64 {
        let book = self.0.borrow();
        book.length + book.line.len() as u64
    }

    /// It is being written anew, and what comes from now on stands in both.
    pub fn rewrite(&self, anew: Rewrite) {
        self.0.borrow_mut().anew = Some(anew);
    }

    /// Takes out the rewrite that is in progress.
    pub fn take_rewrite(&self) -> Option<Rewrite> {
        self.0.borrow_mut().anew.take()
    }

    /// When more of the new one is to be written.
    pub fn rewrite_due(&self) -> Option<Time> {
        self.0.borrow().anew.as_ref().map(Rewrite::due)
    }

    /// The new one takes its place.
    pub fn rewritten(&self, anew: PathBuf, length: u64, out: &mut Outbox) {
        let mut book = self.0.borrow_mut();
        let Some(path) = book.path.clone() else { return };
        book.length = length;
        book.bound = book.bound_min.max(2 * length);
        out.install(path, anew, length);
    }

    /// The new one could not be written: it is tried again when this one has doubled.
    pub fn keep_the_old(&self, path: &Path) {
        let mut book = self.0.borrow_mut();
        if book.anew.take_if(|anew| anew.is_at(path)).is_some() {
            book.bound = 2 * book.length;
        }
    }

    /// Returns whether facts are written: there is a file, and no write has failed.
    pub fn is_open(&self) -> bool {
        let book = self.0.borrow();
        book.path.is_some() && !book.broken
    }

    /// Whether it is the same.
    pub fn is(&self, other: &Ledger) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Returns whether this is the file of the ledger.
    pub fn is_at(&self, path: &Path) -> bool {
        self.0.borrow().path.as_deref() == Some(path)
    }

    /// Stops writing, because a write has failed.
    pub fn give_up(&self) {
        self.0.borrow_mut().broken = true;
    }

    /// An input comes.
    pub fn turn(&self, now: Time) {
        self.0.borrow_mut().now = now;
    }

    /// Adds a fact to the line of this input.
    pub fn write(&self, fact: &Fact<'_>) {
        if !is_left_out(fact) {
            let anew = |anew: &Rewrite| anew.takes(fact);
            self.item(anew, |line| encode(line, fact));
        }
    }

    /// Writes a fact of this kind that is JSON already.
    pub fn write_raw(&self, kind: &str, json: &[u8]) {
        self.item(|_| true, |line| encode_raw(line, kind, json));
    }

    /// Writes a fact here, and in the new ledger if it belongs there.
    fn item(&self, anew: impl FnOnce(&Rewrite) -> bool, write: impl FnOnce(&mut Vec<u8>)) {
        let mut book = self.0.borrow_mut();
        if book.path.is_none() || book.broken {
            return;
        }
        let Book { line, now, anew: other, .. } = &mut *book;
        let mut begin = 0;
        item(line, *now, |line| {
            begin = line.len();
            write(line);
        });
        if let Some(other) = other.as_mut().filter(|other| anew(other)) {
            other.add(*now, &line[begin..]);
        }
    }

    /// The first line of a new ledger.
    pub fn head(&self, header: &Header) {
        let mut book = self.0.borrow_mut();
        debug_assert!(book.line.is_empty(), "the header comes first");
        encode_header(&mut book.line, header);
    }

    /// Ends the line of this input; it comes before whatever else was asked for since `mark`.
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
