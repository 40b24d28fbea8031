//! The event log of a run that is resumed: what is there and right stays, and the rest is cut off and written again.
//!
//! The ledger says what the log must be. A log must never hold an event that the ledger does not have.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use arete::controller::ledger::{FileError, TimeLine};
use arete::reactor::plain;

/// A file that is made equal to the pieces it is given, one after the other. Most pieces are there already.
pub struct Mend {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    /// From `at` on the file is not what it should be.
    differs: bool,
    there: Vec<u8>,
}

impl Mend {
    pub fn of(path: PathBuf) -> Mend {
        Mend { path, file: None, at: 0, differs: false, there: Vec::new() }
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&self.path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("not a regular file"));
            }
            self.file = Some(file);
        }
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether the file has these bytes at `at`.
    fn has(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let (at, mut there) = (self.at, std::mem::take(&mut self.there));
        there.resize(bytes.len(), 0);
        let read = match self.file()?.read_exact_at(&mut there, at) {
            Ok(()) => Ok(there == bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        };
        self.there = there;
        read
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.differs && !self.has(bytes)? {
            self.differs = true;
            let at = self.at;
            self.file()?.set_len(at)?;
        }
        if self.differs {
            let at = self.at;
            self.file()?.write_all_at(bytes, at)?;
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn cut(&mut self) -> io::Result<()> {
        let (at, differs) = (self.at, self.differs);
        let file = self.file()?;
        if differs || file.metadata()?.len() != at {
            file.set_len(at)?;
            file.sync_data()?;
        }
        Ok(())
    }
}

impl TimeLine for Mend {
    fn put(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.write(bytes).map_err(|error| FileError(plain(&error)))
    }

    fn end(&mut self) -> Result<(), FileError> {
        self.cut().map_err(|error| FileError(plain(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_right_stays_and_the_rest_is_made_so() {
        let path = std::env::temp_dir().join(format!("arete-mend-test-{}", std::process::id()));
        for before in
            ["", "one\n", "one\ntw", "one\nTWO\nthree\n", "one\ntwo\nthree\n", "one\ntwo\nthree\nfour\n", "\0\0"]
        {
            std::fs::write(&path, before).expect("a file");
            let mut mend = Mend::of(path.clone());
            for piece in ["one\n", "two\n", "three\n"] {
                mend.put(piece.as_bytes()).expect("it can be written");
            }
            mend.end().expect("it can be written");
            assert_eq!(std::fs::read_to_string(&path).expect("a text"), "one\ntwo\nthree\n", "{before:?}");
        }
        std::fs::remove_file(&path).expect("it is there");
    }

    #[test]
    fn what_is_no_file_is_not_written() {
        let mut mend = Mend::of(std::env::temp_dir());
        assert!(mend.put(b"one\n").is_err());
    }
}
