//! The rule for the names of files in the results of a run. The slave that ships a file, the controller that keeps it
//! and the operator that fetches it share the rule, so that they accept the same files.

use std::fmt;

use super::NAME_MAX;
use crate::text;

/// The longest name of a shipped file (`ENTRY.files/PATH`), in bytes.
pub const SHIPPED_MAX: usize = 1_000;

/// The longest name of a file in the results (`SLAVE/ENTRY.files/PATH`), in bytes.
const RESULTS_MAX: usize = NAME_MAX + 1 + SHIPPED_MAX;

/// The most directories in the name of a shipped file, `ENTRY.files` included. Each takes an inode, and time when the
/// results are listed.
pub const DEPTH_MAX: usize = 32;

/// The longest part of a name, in bytes. No common file system accepts more.
const PART_MAX: usize = 255;

/// Why a name cannot be that of a file in the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The path is too long.
    Long,
    /// The path has too many directories.
    Deep,
    /// A directory or the file itself has a name that is too long.
    LongPart,
    /// It is empty, or leads out of its directory.
    Path,
    /// It has characters that control a terminal.
    Obeyed,
}

impl fmt::Display for Unfit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Long => write!(to, "its name is longer than {SHIPPED_MAX} bytes"),
            Unfit::Deep => write!(to, "it lies more than {DEPTH_MAX} directories deep"),
            Unfit::LongPart => write!(to, "a part of its name is longer than {PART_MAX} bytes"),
            Unfit::Path => write!(to, "its name has an empty part, \".\" or \"..\""),
            Unfit::Obeyed => write!(to, "its name has control characters, or some that turn the direction of text"),
        }
    }
}

/// Fails unless a slave may ship a file under this name, which begins with the name of its entry.
pub fn check_shipped(file: &str) -> Result<(), Unfit> {
    check(file, SHIPPED_MAX, DEPTH_MAX)
}

/// Fails unless a file of the results may have this name, which begins with the name of the slave that has shipped it.
pub fn check_results(file: &str) -> Result<(), Unfit> {
    check(file, RESULTS_MAX, DEPTH_MAX + 1)
}

fn check(file: &str, longest: usize, deepest: usize) -> Result<(), Unfit> {
    if file.len() > longest {
        return Err(Unfit::Long);
    }
    if file.contains(text::is_obeyed) {
        return Err(Unfit::Obeyed);
    }
    let mut parts = 0;
    for part in file.split('/') {
        parts += 1;
        if part.is_empty() || part == "." || part == ".." {
            return Err(Unfit::Path);
        }
        if part.len() > PART_MAX {
            return Err(Unfit::LongPart);
        }
    }
    if parts - 1 > deepest { Err(Unfit::Deep) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_can_be_fetched() {
        let deep = format!("x.files{}/f", "/d".repeat(DEPTH_MAX - 1));
        let long = format!("x.files/{}", "part/".repeat(198) + "ab");
        let wide = format!("x.files/{}", "p".repeat(PART_MAX));
        let slave = "s".repeat(NAME_MAX);
        for good in ["x.out", "x.files/a b/.c", "x.files/\u{e9}", &deep, &wide] {
            assert_eq!(check_shipped(good), Ok(()), "{good}");
            assert_eq!(check_results(&format!("{slave}/{good}")), Ok(()), "{good}");
        }
        assert_eq!(long.len(), SHIPPED_MAX);
        assert_eq!(check_shipped(&long), Err(Unfit::Deep));
        for (bad, why) in [
            (format!("x.files/d{}", &deep[7..]), Unfit::Deep),
            (format!("{long}c"), Unfit::Long),
            (format!("{wide}p"), Unfit::LongPart),
            ("x.files/a\u{200f}b".to_owned(), Unfit::Obeyed),
            ("x.files/a\u{202e}b".to_owned(), Unfit::Obeyed),
            ("x.files/a\n".to_owned(), Unfit::Obeyed),
            ("x.files//a".to_owned(), Unfit::Path),
            ("x.files/../a".to_owned(), Unfit::Path),
            (String::new(), Unfit::Path),
        ] {
            assert_eq!(check_shipped(&bad), Err(why), "{bad}");
        }
    }
}
