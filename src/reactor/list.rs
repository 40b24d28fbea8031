//! Lists of files by shell patterns.
//!
//! What matches is listed or, if it cannot be read as a file below the directory, named with the reason: nothing that a
//! pattern asks for is left out without a word.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, Metadata, ReadDir};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::machine::{Found, is_obeyed};

use super::errors::plain;

/// How many directory entries a list looks at.
const MAX_WALKED: usize = 200_000;
/// How deep a list goes.
const MAX_DEPTH: usize = 64;
/// How many directory entries are looked at in one step.
const STEP: usize = 200;
/// How many unfit files a list names.
const MAX_UNFIT: usize = 20;

/// The regular files below a directory that match a pattern. A symbolic link to a file is listed if the file lies in the
/// directory, so nothing outside is; one to a directory is not followed.
pub struct Walk {
    top: PathBuf,
    patterns: Patterns,
    files: BTreeMap<String, u64>,
    found: Found,
    walked: usize,
    /// The directory that is looked at.
    now: Option<Directory>,
    /// Directories to look at: where they are, their paths in the list, how deep they lie.
    open: Vec<(PathBuf, String, usize)>,
}

/// A directory whose entries are being looked at.
struct Directory {
    entries: ReadDir,
    relative: String,
    depth: usize,
}

impl Walk {
    pub fn new(directory: &Path, patterns: &[String]) -> Result<Walk, String> {
        let top = fs::canonicalize(directory).map_err(|error| plain(&error))?;
        let patterns = Patterns::new(patterns)?;
        let entries = fs::read_dir(directory).map_err(|error| plain(&error))?;
        let now = Some(Directory { entries, relative: String::new(), depth: 0 });
        Ok(Walk { top, patterns, files: BTreeMap::new(), found: Found::default(), walked: 0, now, open: Vec::new() })
    }

    /// Goes on for a moment; gives what was found when there is nothing left to look at.
    pub fn step(&mut self) -> Option<Found> {
        for _ in 0..STEP {
            let Some(mut directory) = self.now.take() else {
                let next = self.open.pop().filter(|_| self.found.cut.is_none());
                let Some((path, relative, depth)) = next else { return Some(self.end()) };
                match fs::read_dir(&path) {
                    Ok(entries) => self.now = Some(Directory { entries, relative, depth }),
                    Err(error) => self.unfit(&relative, plain(&error)),
                }
                continue;
            };
            match directory.entries.next() {
                None => continue,
                Some(Ok(entry)) => self.look_at(&entry, &directory),
                Some(Err(error)) => {
                    let relative = if directory.relative.is_empty() { "." } else { &directory.relative };
                    self.unfit(relative, plain(&error));
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
            self.found.cut = Some(format!("more than {MAX_WALKED} files below the directory"));
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
        // Not the name itself if it is no UTF-8, but what it is matched by.
        let relative = format!("{prefix}{}", name.to_string_lossy());
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.unfit(&relative, plain(&error)),
        };
        let wanted = self.patterns.want(&relative);
        if !(wanted || metadata.is_dir() || metadata.is_symlink()) {
            return;
        }
        if name.to_str().is_none() {
            // It has no place in a message.
            let shown = format!("{prefix}{}", name.display());
            return self.unfit_as(&relative, &shown, "its name is not UTF-8".to_owned());
        }
        if relative.contains(is_obeyed) {
            return self.unfit(
                &relative,
                "its name has control characters, or some that turn the direction of text".to_owned(),
            );
        }
        if metadata.is_dir() {
            if depth == MAX_DEPTH {
                return self.unfit(&relative, format!("it lies more than {MAX_DEPTH} directories deep"));
            }
            return self.open.push((entry.path(), relative, depth + 1));
        }
        match self.file(&entry.path(), metadata) {
            Ok(size) if wanted => drop(self.files.insert(relative, size)),
            Ok(_) => {}
            Err(why) => self.unfit(&relative, why),
        }
    }

    /// How long a file is that can be read below the directory, or why it cannot.
    fn file(&self, path: &Path, metadata: Metadata) -> Result<u64, String> {
        if !metadata.is_symlink() {
            return if metadata.is_file() { Ok(metadata.len()) } else { Err(kind(&metadata).to_owned()) };
        }
        let target = fs::canonicalize(path).map_err(|error| format!("a symbolic link: {}", plain(&error)))?;
        let metadata = fs::metadata(&target).map_err(|error| format!("a symbolic link: {}", plain(&error)))?;
        match metadata.is_file() {
            true if target.starts_with(&self.top) => Ok(metadata.len()),
            true => Err("a symbolic link out of the directory".to_owned()),
            false => Err(format!("a symbolic link to {}", kind(&metadata))),
        }
    }

    fn unfit(&mut self, relative: &str, why: String) {
        self.unfit_as(relative, relative, why);
    }

    /// Names something, if a pattern asks for it or for what may be in it.
    fn unfit_as(&mut self, relative: &str, shown: &str, why: String) {
        if !self.patterns.want(relative) && !self.patterns.want_below(relative) {
            return;
        }
        match self.found.unfit.len() < MAX_UNFIT {
            true => self.found.unfit.push((shown_as_text(shown), why)),
            false => self.found.more += 1,
        }
    }
}

/// A name in which what a terminal would obey can be told apart.
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

/// Shell patterns: `*` and `?` match no `/`, `**` stands for any directories.
struct Patterns(Vec<glob::Pattern>);

impl Patterns {
    fn new(texts: &[String]) -> Result<Patterns, String> {
        let parse = |text: &String| glob::Pattern::new(text).map_err(|error| format!("pattern {text:?}: {error}"));
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
            // What is no pattern by itself is a piece of one with a "/" in brackets.
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
