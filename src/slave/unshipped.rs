//! What does not come into the results although the test asks for it: told in warnings, the first ones by name.

use std::path::Path;

/// How many files are named in warnings of their own. The others are counted, so that a directory of thousands of them
/// does not fill the events of the run.
const NAMED_MAX: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Unshipped {
    /// Texts for a person, until the run reports them.
    warnings: Vec<String>,
    named: usize,
    /// How many were not named and not counted in a warning yet.
    more: usize,
    stays: bool,
    /// It was asked whether something stays, after it did.
    rest_known: bool,
}

impl Unshipped {
    /// Something of the run is not brought.
    pub(super) fn tell(&mut self, text: String) {
        if self.named == NAMED_MAX {
            self.more += 1;
            return;
        }
        self.named += 1;
        self.warnings.push(text);
    }

    /// The same of files that nobody has named.
    pub(super) fn tell_of_more(&mut self, count: usize) {
        self.more += count;
    }

    /// A limit refuses what is at `path`, or a part of it: that stays there.
    pub(super) fn tell_of_rest(&mut self, what: &str, path: &Path) {
        self.stays = true;
        self.tell(format!("{what}: the rest stays on this slave in {}", path.display()));
    }

    /// Whether the directory of the run holds what a limit has refused.
    pub(super) fn stays(&self) -> bool {
        self.stays
    }

    /// Whether a limit has refused something for the first time. Asked again, the answer is no.
    pub(super) fn rest_is_news(&mut self) -> bool {
        self.stays && !std::mem::replace(&mut self.rest_known, true)
    }

    /// The warnings since the last call; `last`: nothing more comes.
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
