//! The answers to questions about the files below a directory.

use super::system_error::SystemError;

/// The answer to [`Effect::List`](super::Effect::List).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The regular files that match, relative to the directory, sorted, with their sizes in bytes.
    pub files: Vec<(String, u64)>,
    /// The first entries that match, or may hold a match, and cannot be read as a file, each with the reason. The names
    /// have no characters that a terminal obeys.
    pub unfit: Vec<(String, String)>,
    /// The number of further such entries.
    pub more: usize,
    /// Why the list ended early, if it did: some files were not looked at.
    pub cut: Option<SystemError>,
}

impl From<Vec<(String, u64)>> for Found {
    fn from(files: Vec<(String, u64)>) -> Found {
        Found { files, ..Found::default() }
    }
}

/// A part of the files below a directory, in the order of their names: the answer to
/// [`Effect::Page`](super::Effect::Page).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The regular files, relative to the directory, with their sizes in bytes.
    pub files: Vec<(String, u64)>,
    /// The name after which the next page begins; `None` on the last page. It need not be the name of a file.
    pub next: Option<String>,
}

impl Page {
    /// Returns the first `most` of all files with a name after `after`.
    pub fn of(all: impl IntoIterator<Item = (String, u64)>, after: &str, most: usize) -> Page {
        let mut files: Vec<_> = all.into_iter().filter(|(name, _)| name.as_str() > after).collect();
        files.sort();
        let more = files.len() > most;
        files.truncate(most);
        let next = files.last().filter(|_| more).map(|(name, _)| name.clone());
        Page { files, next }
    }
}
