//! Tests that operators hand in. A test becomes a run when all files that it ships have arrived.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::machine::Outbox;
use crate::testfile::{Shipped, Test};
use crate::wire::operate::Upload;

/// In the directory of a run: the files that were handed in with it, by their SHA-256.
pub const RESOURCES: &str = "resources";

/// A test whose files are being uploaded.
pub struct Submission {
    pub handed: Handed,
    /// The files that are not complete, by SHA-256.
    missing: BTreeMap<String, PartialFile>,
}

/// A test that an operator hands in, and its files.
pub struct Handed {
    /// The name that the operator gave it.
    pub name: String,
    /// The id of its run.
    pub id: String,
    /// The directory of its run.
    pub directory: PathBuf,
    pub text: String,
    pub test: Test,
    /// The files by the names that they have in the test.
    pub shipped: BTreeMap<String, Shipped>,
    pub wait: Option<Duration>,
    pub lost_after: Duration,
}

/// A file of which not all has arrived.
struct PartialFile {
    size: u64,
    arrived: u64,
    hash: Sha256,
}

/// Why a piece of a file is not accepted. The submission cannot become a run then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrongPiece {
    /// The test ships no such file, or all of it has arrived.
    NotWanted,
    /// The piece does not begin where the last one ended, or it ends after the end of the file with this SHA-256.
    Misplaced(String),
    Empty,
    /// The whole file has another SHA-256.
    Changed,
}

impl fmt::Display for WrongPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WrongPiece::NotWanted => f.write_str("a file was uploaded that is not wanted"),
            WrongPiece::Misplaced(sha256) => {
                write!(f, "a file of the test is not as long as announced: {sha256}")
            }
            WrongPiece::Empty => f.write_str("an empty piece of a file was uploaded"),
            WrongPiece::Changed => {
                f.write_str("a file of the test has changed since it was handed in: hand in the test again")
            }
        }
    }
}

impl Error for WrongPiece {}

impl Submission {
    /// A submission of which no file has arrived.
    pub fn new(handed: Handed) -> Submission {
        let part = |offer: &Shipped| PartialFile { size: offer.size, arrived: 0, hash: Sha256::new() };
        let missing = handed.shipped.values().map(|offer| (offer.sha256.clone(), part(offer))).collect();
        Submission { handed, missing }
    }

    /// Returns whether all its files have arrived.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// Returns the files that are not complete, by SHA-256, with the number of bytes of each that have arrived.
    pub fn wanted(&self) -> BTreeMap<String, u64> {
        self.missing.iter().map(|(sha256, part)| (sha256.clone(), part.arrived)).collect()
    }

    /// Writes a piece of a file. Fails if it is not the next piece of a file that was offered.
    pub fn takes(&mut self, upload: &Upload<'_>, out: &mut Outbox) -> Result<(), WrongPiece> {
        let part = self.missing.get_mut(&*upload.sha256).ok_or(WrongPiece::NotWanted)?;
        if upload.offset != part.arrived || part.size - part.arrived < upload.data.len() as u64 {
            return Err(WrongPiece::Misplaced(upload.sha256.to_string()));
        }
        if upload.data.is_empty() && part.size > part.arrived {
            return Err(WrongPiece::Empty);
        }
        part.hash.update(&upload.data);
        part.arrived += upload.data.len() as u64;
        let path = self.handed.directory.join(RESOURCES).join(&*upload.sha256);
        out.write_at(path, upload.offset, upload.data.clone(), false);
        if part.arrived == part.size {
            let hash: String = part.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            if hash != *upload.sha256 {
                return Err(WrongPiece::Changed);
            }
            self.missing.remove(&*upload.sha256);
        }
        Ok(())
    }
}
