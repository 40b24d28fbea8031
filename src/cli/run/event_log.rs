//! The event log of a run that is resumed: its correct beginning stays, and the rest is cut off and written again.
//!
//! The ledger determines the content of the log. The log must never contain an event that the ledger does not have.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use arete::controller::ledger::{FileError, TimeLine};
use arete::reactor::plain;

/// Makes the content of a file equal to the pieces that it is given, in order. Most pieces are in the file already.
pub struct Repair {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    /// The file is not correct from `at` on.
    differs: bool,
    buffer: Vec<u8>,
}

impl Repair {
    pub fn of(path: PathBuf) -> Repair {
        Repair { path, file: None, at: 0, differs: false, buffer: Vec::new() }
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
        let (at, mut buffer) = (self.at, std::mem::take(&mut self.buffer));
        buffer.resize(bytes.len(), 0);
        let read = match self.file()?.read_exact_at(&mut buffer, at) {
            Ok(()) => Ok(buffer == bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        };
        self.buffer = buffer;
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

    /// Cuts off what follows the last piece.
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

impl TimeLine for Repair {
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
    fn a_correct_beginning_stays_and_the_rest_is_written_again() {
        let path = std::env::temp_dir().join(format!("arete-repair-test-{}", std::process::id()));
        for before in
            ["", "one\n", "one\ntw", "one\nTWO\nthree\n", "one\ntwo\nthree\n", "one\ntwo\nthree\nfour\n", "\0\0"]
        {
            std::fs::write(&path, before).expect("a file");
            let mut repair = Repair::of(path.clone());
            for piece in ["one\n", "two\n", "three\n"] {
                repair.put(piece.as_bytes()).expect("it can be written");
            }
            repair.end().expect("it can be written");
            assert_eq!(std::fs::read_to_string(&path).expect("a text"), "one\ntwo\nthree\n", "{before:?}");
        }
        std::fs::remove_file(&path).expect("the file exists");
    }

    #[test]
    fn a_directory_is_not_written() {
        let mut repair = Repair::of(std::env::temp_dir());
        assert!(repair.put(b"one\n").is_err());
    }
}
