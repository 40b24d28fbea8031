//! What a list of files has found.

/// The answer to [`Effect::List`](super::Effect::List).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The regular files that match, relative to the directory, sorted, with their sizes in bytes.
    pub files: Vec<(String, u64)>,
    /// What matches, or may hold what does, and cannot be read as a file, and why: the first ones. The names are made
    /// harmless.
    pub unfit: Vec<(String, String)>,
    /// How many more there are.
    pub more: usize,
    /// Why the list ends before all files were looked at, if it does.
    pub cut: Option<String>,
}

impl Found {
    /// The files, for a caller to whom a part of them is worth nothing.
    pub fn whole(self) -> Result<Vec<(String, u64)>, String> {
        match self.cut {
            Some(why) => Err(why),
            None => Ok(self.files),
        }
    }
}

/// A part of the files below a directory, in the order of their names: the answer to
/// [`Effect::Page`](super::Effect::Page).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Relative to the directory, with their sizes in bytes.
    pub files: Vec<(String, u64)>,
    /// Behind which name there may be more, if there may be. It need not be that of a file.
    pub next: Option<String>,
}

impl Page {
    /// The first files behind `after` of all there are.
    pub fn of(all: impl IntoIterator<Item = (String, u64)>, after: &str, most: usize) -> Page {
        let mut files: Vec<_> = all.into_iter().filter(|(name, _)| name.as_str() > after).collect();
        files.sort();
        let more = files.len() > most;
        files.truncate(most);
        let next = files.last().filter(|_| more).map(|(name, _)| name.clone());
        Page { files, next }
    }
}

impl From<Vec<(String, u64)>> for Found {
    fn from(files: Vec<(String, u64)>) -> Found {
        Found { files, ..Found::default() }
    }
}
