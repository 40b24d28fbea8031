//! Tests that operators hand in: judged when they come, and runs once the files that they ship are here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::machine::Outbox;
use crate::testfile::{Shipped, Test};
use crate::wire::operate::Upload;

/// In the directory of a run: the files that were handed in with it, by their SHA-256.
pub const RESOURCES: &str = "resources";

/// A test whose files are on their way.
pub struct Submission {
    pub handed: Handed,
    /// By SHA-256, those that are not whole.
    missing: BTreeMap<String, PartialFile>,
}

/// What an operator hands in.
pub struct Handed {
    /// What the operator calls it.
    pub name: String,
    /// The id of its run.
    pub id: String,
    /// The directory of its run.
    pub directory: PathBuf,
    pub text: String,
    pub test: Test,
    /// By what they are called in the test.
    pub shipped: BTreeMap<String, Shipped>,
    pub wait: Option<Duration>,
    pub lost_after: Duration,
}

/// What has come of a file.
struct PartialFile {
    size: u64,
    come: u64,
    hash: Sha256,
}

impl Submission {
    /// A submission of which no file has come.
    pub fn new(handed: Handed) -> Submission {
        let part = |offer: &Shipped| PartialFile { size: offer.size, come: 0, hash: Sha256::new() };
        let missing = handed.shipped.values().map(|offer| (offer.sha256.clone(), part(offer))).collect();
        Submission { handed, missing }
    }

    /// Whether all its files have come.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// Its files that are not whole, by SHA-256, and how many bytes of each have come.
    pub fn wanted(&self) -> BTreeMap<String, u64> {
        self.missing.iter().map(|(sha256, part)| (sha256.clone(), part.come)).collect()
    }

    /// Takes a piece of a file. Fails when it is not what was offered.
    pub fn takes(&mut self, upload: &Upload<'_>, out: &mut Outbox) -> Result<(), String> {
        let Some(part) = self.missing.get_mut(&*upload.sha256) else {
            return Err("a file was uploaded that is not wanted".to_owned());
        };
        if upload.offset != part.come || part.size - part.come < upload.data.len() as u64 {
            return Err(format!("a file of the test is not as long as was said: {}", upload.sha256));
        }
        if upload.data.is_empty() && part.size > part.come {
            return Err("an empty piece of a file was uploaded".to_owned());
        }
        part.hash.update(&upload.data);
        part.come += upload.data.len() as u64;
        let path = self.handed.directory.join(RESOURCES).join(&*upload.sha256);
        out.write_at(path, upload.offset, upload.data.clone(), false);
        if part.come == part.size {
            let hash: String = part.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            if hash != *upload.sha256 {
                return Err("a file of the test has changed since it was handed in: hand the test in anew".to_owned());
            }
            self.missing.remove(&*upload.sha256);
        }
        Ok(())
    }
}
