//! Warnings about files that the test asks for and that are not in the results. The first ones are named.

use std::path::Path;

/// How many files get a warning of their own. The others are counted, so that a directory with thousands of files does
/// not fill the events of the run.
const NAMED_MAX: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Unshipped {
    /// The warnings that the run has not reported yet.
    warnings: Vec<String>,
    named: usize,
    /// How many files no warning has named or counted yet.
    more: usize,
    /// The directory of the run holds something that a limit has cut.
    stays: bool,
    /// `rest_is_news` has returned true.
    rest_known: bool,
}

impl Unshipped {
    /// Adds a warning about one file.
    pub(super) fn tell(&mut self, text: String) {
        if self.named == NAMED_MAX {
            self.more += 1;
            return;
        }
        self.named += 1;
        self.warnings.push(text);
    }

    /// Counts files without names.
    pub(super) fn tell_of_more(&mut self, count: usize) {
        self.more += count;
    }

    /// Adds a warning that a limit cuts the file at `path`, and that the rest stays there.
    pub(super) fn tell_of_rest(&mut self, what: &str, path: &Path) {
        self.stays = true;
        self.tell(format!("{what}: the rest stays on this slave in {}", path.display()));
    }

    /// Returns whether the directory of the run holds something that a limit has cut.
    pub(super) fn stays(&self) -> bool {
        self.stays
    }

    /// Returns whether a limit has cut something. Returns `true` only once.
    pub(super) fn rest_is_news(&mut self) -> bool {
        self.stays && !std::mem::replace(&mut self.rest_known, true)
    }

    /// Takes the warnings since the last call. `last`: there will be no more.
    pub(super) fn take(&mut self, last: bool) -> Vec<String> {
        let more = if last { std::mem::take(&mut self.more) } else { 0 };
        if more > 0 {
            let files = if more == 1 { "file was" } else { "files were" };
            self.warnings.push(format!("{more} more {files} not brought, or not whole"));
        }
        std::mem::take(&mut self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_files_are_named_and_the_others_are_counted_once() {
        let mut unshipped = Unshipped::default();
        (0..NAMED_MAX + 5).for_each(|nr| unshipped.tell(format!("file {nr}")));
        assert_eq!(unshipped.take(false).len(), NAMED_MAX);
        unshipped.tell_of_rest("a.out", Path::new("/d/r/output/a.out"));
        assert!(unshipped.stays());
        assert_eq!(unshipped.take(true), ["6 more files were not brought, or not whole"]);
        assert!(unshipped.take(true).is_empty());
    }
}
