//! Lists of files by shell patterns.
//!
//! An entry that matches must not be left out silently: if it cannot be read as a file below the directory, the list names
//! it with the reason.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirEntry, Metadata, ReadDir};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::errors::{plain, system_error};
use crate::machine::{Found, SystemError, is_obeyed};

/// The most directory entries that a list looks at.
const MAX_WALKED: usize = 200_000;
/// The most directories above an entry.
const MAX_DEPTH: usize = 64;
/// The directory entries of one step.
const STEP: usize = 200;
/// The most unfit entries that a list names.
const MAX_UNFIT: usize = 20;

/// A list of the regular files below a directory that match a pattern. A symbolic link to a file is listed only if the file
/// is below the directory too. A symbolic link to a directory is not followed.
pub struct Walk {
    top: PathBuf,
    patterns: Patterns,
    files: BTreeMap<String, u64>,
    found: Found,
    walked: usize,
    /// The directory that is being read.
    now: Option<Directory>,
    /// The directories to read: their paths, their paths in the list, and their depths.
    open: Vec<(PathBuf, String, usize)>,
}

/// A directory that is being read.
struct Directory {
    entries: ReadDir,
    relative: String,
    depth: usize,
}

/// Why an entry cannot be read as a file below the directory.
enum Unfit {
    /// The system refuses to read it.
    Unread(io::Error),
    /// A message has no place for such a name.
    NotUtf8,
    /// A terminal would obey its name.
    Obeyed,
    /// It lies too deep.
    Deep,
    /// It is neither a file nor a directory, but this.
    Special(&'static str),
    /// It is a symbolic link that leads nowhere.
    Dangling(io::Error),
    /// It is a symbolic link out of the directory.
    Outside,
    /// It is a symbolic link to this, which is not a file.
    LinkTo(&'static str),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Unread(error) => f.write_str(&plain(error)),
            Unfit::NotUtf8 => f.write_str("its name is not UTF-8"),
            Unfit::Obeyed => f.write_str("its name has control characters, or some that turn the direction of text"),
            Unfit::Deep => write!(f, "it lies more than {MAX_DEPTH} directories deep"),
            Unfit::Special(kind) => f.write_str(kind),
            Unfit::Dangling(error) => write!(f, "a symbolic link: {}", plain(error)),
            Unfit::Outside => f.write_str("a symbolic link out of the directory"),
            Unfit::LinkTo(kind) => write!(f, "a symbolic link to {kind}"),
        }
    }
}

impl Walk {
    /// Begins a list. Fails if the directory cannot be read, or a pattern is not valid.
    pub fn new(directory: &Path, patterns: &[String]) -> Result<Walk, SystemError> {
        let top = fs::canonicalize(directory).map_err(|error| system_error(&error))?;
        let patterns = Patterns::new(patterns)?;
        let entries = fs::read_dir(directory).map_err(|error| system_error(&error))?;
        let now = Some(Directory { entries, relative: String::new(), depth: 0 });
        Ok(Walk { top, patterns, files: BTreeMap::new(), found: Found::default(), walked: 0, now, open: Vec::new() })
    }

    /// Looks at some entries. Returns the list once it is complete.
    pub fn step(&mut self) -> Option<Found> {
        for _ in 0..STEP {
            let Some(mut directory) = self.now.take() else {
                let next = self.open.pop().filter(|_| self.found.cut.is_none());
                let Some((path, relative, depth)) = next else { return Some(self.end()) };
                match fs::read_dir(&path) {
                    Ok(entries) => self.now = Some(Directory { entries, relative, depth }),
                    Err(error) => self.unfit(&relative, &Unfit::Unread(error)),
                }
                continue;
            };
            match directory.entries.next() {
                None => continue,
                Some(Ok(entry)) => self.look_at(&entry, &directory),
                Some(Err(error)) => {
                    let relative = if directory.relative.is_empty() { "." } else { &directory.relative };
                    self.unfit(relative, &Unfit::Unread(error));
                    continue;
                }
            }
            self.now = Some(directory).filter(|_| self.found.cut.is_none());
        }
        None
    }

    fn look_at(&mut self, entry: &DirEntry, directory: &Directory) {
        self.walked += 1;
        if self.walked > MAX_WALKED {
            self.found.cut = Some(format!("more than {MAX_WALKED} files below the directory").as_str().into());
            return;
        }
        let slash = if directory.relative.is_empty() { "" } else { "/" };
        self.entry(entry, &format!("{}{slash}", directory.relative), directory.depth);
    }

    fn end(&mut self) -> Found {
        let mut found = std::mem::take(&mut self.found);
        found.files = std::mem::take(&mut self.files).into_iter().collect();
        found.unfit.sort();
        found
    }

    fn entry(&mut self, entry: &DirEntry, prefix: &str, depth: usize) {
        let name = entry.file_name();
        // If the name is not UTF-8, the patterns are matched against this form of it.
        let relative = format!("{prefix}{}", name.to_string_lossy());
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.unfit(&relative, &Unfit::Unread(error)),
        };
        let wanted = self.patterns.want(&relative);
        if !(wanted || metadata.is_dir() || metadata.is_symlink()) {
            return;
        }
        if name.to_str().is_none() {
            // A message could not hold the name.
            let shown = format!("{prefix}{}", name.display());
            return self.unfit_as(&relative, &shown, &Unfit::NotUtf8);
        }
        if relative.contains(is_obeyed) {
            return self.unfit(&relative, &Unfit::Obeyed);
        }
        if metadata.is_dir() {
            if depth == MAX_DEPTH {
                return self.unfit(&relative, &Unfit::Deep);
            }
            return self.open.push((entry.path(), relative, depth + 1));
        }
        match self.file(&entry.path(), metadata) {
            Ok(size) if wanted => drop(self.files.insert(relative, size)),
            Ok(_) => {}
            Err(why) => self.unfit(&relative, &why),
        }
    }

    /// Returns the length of a file that can be read below the directory, in bytes.
    fn file(&self, path: &Path, metadata: Metadata) -> Result<u64, Unfit> {
        if !metadata.is_symlink() {
            return if metadata.is_file() { Ok(metadata.len()) } else { Err(Unfit::Special(kind(&metadata))) };
        }
        let target = fs::canonicalize(path).map_err(Unfit::Dangling)?;
        let metadata = fs::metadata(&target).map_err(Unfit::Dangling)?;
        match metadata.is_file() {
            true if target.starts_with(&self.top) => Ok(metadata.len()),
            true => Err(Unfit::Outside),
            false => Err(Unfit::LinkTo(kind(&metadata))),
        }
    }

    fn unfit(&mut self, relative: &str, why: &Unfit) {
        self.unfit_as(relative, relative, why);
    }

    /// Names an unfit entry, if a pattern matches it or may match something in it.
    fn unfit_as(&mut self, relative: &str, shown: &str, why: &Unfit) {
        if !self.patterns.want(relative) && !self.patterns.want_below(relative) {
            return;
        }
        match self.found.unfit.len() < MAX_UNFIT {
            true => self.found.unfit.push((shown_as_text(shown), why.to_string())),
            false => self.found.more += 1,
        }
    }
}

/// Returns a name with escapes for the characters that a terminal would obey.
fn shown_as_text(name: &str) -> String {
    let shown = |letter: char| match is_obeyed(letter) {
        true => letter.escape_default().to_string(),
        false => letter.escape_debug().to_string(),
    };
    name.chars().map(shown).collect()
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

/// Shell patterns: `*` and `?` do not match `/`, `**` matches any directories.
struct Patterns(Vec<glob::Pattern>);

impl Patterns {
    fn new(texts: &[String]) -> Result<Patterns, SystemError> {
        let parse = |text: &String| {
            let invalid = |error| SystemError::new(ErrorKind::InvalidInput, format!("pattern {text:?}: {error}"));
            glob::Pattern::new(text).map_err(invalid)
        };
        texts.iter().map(parse).collect::<Result<_, _>>().map(Patterns)
    }

    fn want(&self, relative: &str) -> bool {
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        self.0.iter().any(|pattern| pattern.matches_with(relative, options))
    }

    /// Whether something in this directory may match.
    fn want_below(&self, directory: &str) -> bool {
        self.0.iter().any(|pattern| may_match_below(pattern.as_str(), directory))
    }
}

fn may_match_below(pattern: &str, directory: &str) -> bool {
    let mut parts = pattern.split('/').filter(|part| *part != ".");
    for name in directory.split('/') {
        match parts.next() {
            Some("**") => return true,
            // A part that is not valid belongs to a pattern with a "/" in brackets, which may match anything.
            Some(part) if glob::Pattern::new(part).is_ok_and(|part| !part.matches(name)) => return false,
            Some(_) => {}
            None => return false,
        }
    }
    parts.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_worth_a_word_only_if_a_pattern_looks_into_it() {
        for (pattern, directory, expected) in [
            ("*.log", "logs", false),
            ("logs/*.log", "logs", true),
            ("logs/*.log", "other", false),
            ("**/*.log", "a/b/c", true),
            ("a/*/c/*.log", "a/b", true),
            ("a/*/c/*.log", "a/b/d", false),
            ("logs", "logs", false),
        ] {
            assert_eq!(may_match_below(pattern, directory), expected, "{pattern} {directory}");
        }
    }
}
