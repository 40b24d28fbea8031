//! Reads a test file, and describes the files that the test ships.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use arete::testfile::{self, Authored, Axis, Choices, Combinations, Problem, Shipped, Test};
use sha2::{Digest, Sha256};

use crate::cli::error::Error;
use crate::cli::source::{self, Takes, Unread};

/// The bytes of a resource that are read at once.
const PIECE: usize = 1 << 20;

/// The file that is standard input.
const STDIN: &str = "-";

/// The first bytes of a text that was saved as UTF-16.
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// A test that was read: its text as JSON, and the files that it ships, by their names in it.
pub struct Loaded {
    pub test: Test,
    pub json: String,
    pub shipped: BTreeMap<String, Shipped>,
}

/// The text of a test file.
pub struct Source {
    /// Its name in messages.
    pub subject: String,
    path: PathBuf,
    text: String,
}

impl Source {
    /// Reads a test file, or standard input.
    pub fn read(path: &Path) -> Result<Source, Error> {
        let subject = subject(path);
        let bytes = read(path).map_err(|error| Error::usage(format!("{subject}: {error}")))?;
        if UTF_16.iter().any(|mark| bytes.starts_with(mark)) {
            return Err(Error::usage(format!("{subject}: it is UTF-16: save it as UTF-8")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            Error::usage(format!("{subject}: byte {} is not UTF-8", error.utf8_error().valid_up_to()))
        })?;
        Ok(Source { subject, path: path.to_owned(), text })
    }

    /// Returns the combinations of its matrix, in which these axes replace those of the same names.
    pub fn combinations(&self, axes: &[Axis]) -> Result<Combinations, Vec<Problem>> {
        testfile::combinations(&self.subject, &self.text, axes)
    }

    /// Reads the test with these choices. A file that is in `known` is not described again. Returns its warnings too.
    pub fn load(
        &self,
        choices: &Choices,
        known: &mut BTreeMap<String, Shipped>,
    ) -> Result<(Loaded, Vec<Problem>), Vec<Problem>> {
        // If the test is on standard input, its files are relative to the current directory.
        let base = self.path.parent().unwrap_or(Path::new(""));
        let mut shipped = BTreeMap::new();
        let read = testfile::read_chosen(&self.subject, &self.text, choices, &mut |file| {
            let found = match known.get(file) {
                Some(found) => found.clone(),
                None => ship(&base.join(file))?,
            };
            known.insert(file.to_owned(), found.clone());
            shipped.insert(file.to_owned(), found.clone());
            Ok::<_, Unread>(found)
        });
        read.map(|Authored { test, json, warnings }| (Loaded { test, json, shipped }, warnings))
    }
}

/// Returns problems as an error, each on a line.
pub fn wrong(problems: &[Problem]) -> Error {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Error::usage(lines.join("\n"))
}

/// Returns the name of a test's file for messages.
pub fn subject(path: &Path) -> String {
    if path == Path::new(STDIN) { "standard input".to_owned() } else { path.display().to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, Unread> {
    if path != Path::new(STDIN) {
        return source::read(path, testfile::FILE_MAX as u64, Takes::Pipes);
    }
    let mut bytes = Vec::new();
    // One byte more than the limit shows that the file is too long.
    std::io::stdin().lock().take(testfile::FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(Unread::Io)?;
    Ok(bytes)
}

/// Returns the length, hash and mode of a file that is shipped.
fn ship(path: &Path) -> Result<Shipped, Unread> {
    let (mut file, metadata) = source::open(path, Takes::Files)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    loop {
        let read = file.read(&mut piece).map_err(Unread::Io)?;
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        size += read as u64;
        // The file is growing, or it is in /proc, where files have the size 0.
        if size > metadata.len() {
            return Err(Unread::Grew(metadata.len()));
        }
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = std::path::absolute(path).map_err(Unread::Io)?;
    Ok(Shipped { path, size, sha256, executable: metadata.permissions().mode() & 0o111 != 0 })
}
