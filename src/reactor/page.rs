//! Pages: the files below a directory in the order of their names, a bounded number at a time.
//!
//! Nothing is remembered between two pages. A page finds its beginning by the name that it begins after, and reads only the
//! directories on the way to that name.

use std::collections::BinaryHeap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::machine::Page;

/// The most directory entries that are looked at before a page ends early. The directory that reaches it is read completely.
const LOOKED_MAX: usize = 20_000;

/// The most directories above a file. arete writes nothing deeper.
const DEPTH_MAX: usize = 64;

/// A letter that sorts after every name in a directory.
const LAST: char = '\u{10ffff}';

/// Returns the first `most` regular files below a directory with names after `after`. Fails if the directory cannot be read.
pub fn page(directory: &Path, after: &str, most: usize) -> io::Result<Page> {
    let mut pager = Pager { after, most: most.max(1), page: Page::default(), at: after.to_owned(), looked: 0 };
    let whole = pager.directory(directory, "", 0)?;
    let Pager { mut page, at, .. } = pager;
    page.next = (!whole).then_some(at);
    Ok(page)
}

struct Pager<'a> {
    after: &'a str,
    most: usize,
    page: Page,
    /// All names up to this one are handled.
    at: String,
    looked: usize,
}

impl Pager<'_> {
    /// Reads a directory. Returns whether all of it is handled.
    fn directory(&mut self, path: &Path, prefix: &str, depth: usize) -> io::Result<bool> {
        let (names, more) = self.names(path, prefix)?;
        for name in names {
            if self.page.files.len() == self.most {
                return Ok(false);
            }
            let Some(directory) = name.strip_suffix('/') else {
                self.file(path, prefix, name);
                continue;
            };
            if self.looked >= LOOKED_MAX && *self.at > *self.after {
                return Ok(false);
            }
            let below = format!("{prefix}{name}");
            // A directory that cannot be read, or was removed, counts as empty.
            if depth < DEPTH_MAX && !self.directory(&path.join(directory), &below, depth + 1).unwrap_or(true) {
                return Ok(false);
            }
            self.at = format!("{below}{LAST}");
        }
        Ok(!more)
    }

    fn file(&mut self, path: &Path, prefix: &str, name: String) {
        self.at = format!("{prefix}{name}");
        if let Ok(metadata) = fs::symlink_metadata(path.join(name)) {
            self.page.files.push((self.at.clone(), metadata.len()));
        }
    }

    /// Returns the first names in a directory that are not handled, as many as the page needs, and whether there are more.
    /// Names of directories end in "/", so that they sort where their files belong.
    fn names(&mut self, path: &Path, prefix: &str) -> io::Result<(Vec<String>, bool)> {
        let room = self.most - self.page.files.len() + 1;
        let (mut first, mut more) = (BinaryHeap::new(), false);
        for entry in fs::read_dir(path)? {
            self.looked += 1;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            let (Ok(kind), Ok(mut name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            match () {
                () if kind.is_dir() => name.push('/'),
                () if kind.is_file() => {}
                () => continue,
            }
            if self.is_done(&format!("{prefix}{name}")) || more && first.peek().is_some_and(|last| name > *last) {
                continue;
            }
            first.push(name);
            if first.len() > room {
                first.pop();
                more = true;
            }
        }
        Ok((first.into_sorted_vec(), more))
    }

    fn is_done(&self, name: &str) -> bool {
        let inside = name.ends_with('/').then(|| self.after.strip_prefix(name)).flatten();
        match inside {
            Some(inside) => inside.starts_with(LAST),
            None => name <= self.after,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A directory that is removed again.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("arete-page-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).expect("a directory can be made");
            Place(path)
        }

        fn make(&self, file: &str) {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a directory can be made");
            fs::write(path, file).expect("a file can be made");
        }

        /// Returns all files, read in pages of `most`, and the number of pages.
        fn all(&self, most: usize) -> (Vec<String>, usize) {
            let (mut all, mut after, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                pages += 1;
                let Page { files, next } = page(&self.0, &after, most).expect("it is there");
                assert!(files.len() <= most);
                all.extend(files.into_iter().map(|(name, length)| {
                    assert_eq!(name.len() as u64, length);
                    name
                }));
                let Some(next) = next else { return (all, pages) };
                assert!(next > after, "it goes on: {next:?}");
                after = next;
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn pages_of_any_length_have_all_files_in_order() {
        let place = Place::new("order");
        let mut names =
            vec!["a", "a.txt", "b/x", "b-c", "b.d/e/f", "b.d/e.f", "b0", "c/d/e/f/g/h", "c/d/z", "\u{e9}/1"];
        names.iter().for_each(|name| place.make(name));
        fs::create_dir_all(place.0.join("b/empty/er")).expect("a directory can be made");
        fs::create_dir_all(place.0.join("d/empty")).expect("a directory can be made");
        std::os::unix::fs::symlink("/etc", place.0.join("link")).expect("a link can be made");
        names.sort();
        for most in 1..12 {
            assert_eq!(place.all(most).0, names, "{most}");
        }
    }

    #[test]
    fn a_page_that_has_looked_at_much_ends_early() {
        let place = Place::new("early");
        for directory in 0..3 {
            (0..LOOKED_MAX / 2).for_each(|file| place.make(&format!("{directory}/{file:05}")));
        }
        let (first, next) = match page(&place.0, "", LOOKED_MAX * 4).expect("it is there") {
            Page { files, next: Some(next) } => (files.len(), next),
            other => panic!("{:?}", other.next),
        };
        assert_eq!((first, &*next), (LOOKED_MAX, "1/\u{10ffff}"));
        let (all, pages) = place.all(7_000);
        assert_eq!(all.len(), LOOKED_MAX / 2 * 3);
        assert!((5..20).contains(&pages), "{pages}");
    }
}
