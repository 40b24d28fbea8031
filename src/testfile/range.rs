//! Patterns for many names, as Slurm and ClusterShell write them: `node[001-128]`, `rack[1-2]n[1,3,5-7]`.

use std::fmt::{self, Write};

use crate::session::MEMBER_MAX;
use crate::text::ranges::DIGITS_MAX;

/// A piece of a pattern.
enum Segment<'a> {
    Text(&'a str),
    /// The ranges in a pair of brackets: (first, last, width).
    Numbers(Vec<(u64, u64, usize)>),
}

/// A pattern that was read. The number of its names is known before any of them is made.
pub struct Pattern<'a> {
    pieces: Vec<Segment<'a>>,
    /// The number of its names.
    pub count: usize,
}

/// Why a pattern cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub kind: RangeErrorKind,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeErrorKind {
    /// A `]` has no `[` before it.
    NoOpening,
    /// A `[` has no `]` after it.
    NoClosing,
    /// This text in brackets is not a range.
    NotARange(String),
    /// The first number of a range is higher than the last one.
    Backwards {
        /// The number before the dash.
        first: u64,
        /// The number after the dash.
        last: u64,
    },
    /// The pattern has more names than the caller allows.
    TooMany {
        /// The number of its names, or the highest number if it is higher than that.
        count: u64,
        /// The most that are allowed.
        max: usize,
    },
    /// A name is longer than a name of a member can be.
    NameTooLong,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = &self.pattern;
        match &self.kind {
            RangeErrorKind::NoOpening => write!(f, "{pattern:?} has a \"]\" without a \"[\" before it"),
            RangeErrorKind::NoClosing => write!(f, "{pattern:?} has a \"[\" without a \"]\" after it"),
            RangeErrorKind::NotARange(range) => {
                write!(f, "{pattern:?}: {range:?} is not a range: write numbers of at most {DIGITS_MAX} digits, ")?;
                f.write_str("such as [001-128] or [1,3,5-7]")
            }
            RangeErrorKind::Backwards { first, last } => {
                write!(f, "{pattern:?}: the range \"{first}-{last}\" runs backwards: write {last}-{first}")
            }
            RangeErrorKind::TooMany { count, max } => {
                write!(f, "{pattern:?} expands to {count} names: at most {max} are allowed")
            }
            RangeErrorKind::NameTooLong => write!(f, "the name is longer than {MEMBER_MAX} bytes"),
        }
    }
}

impl std::error::Error for RangeError {}

/// Returns the names of `pattern`; the last range counts fastest. Fails if it is not valid or has more than `max` names.
pub fn expand(pattern: &str, max: usize) -> Result<Vec<String>, RangeError> {
    Pattern::read(pattern, max).map(|pattern| pattern.names())
}

impl<'a> Pattern<'a> {
    /// Reads a pattern. Fails if it is not valid or has more than `max` names.
    pub fn read(pattern: &'a str, max: usize) -> Result<Pattern<'a>, RangeError> {
        let read = pieces(pattern).and_then(|pieces| Ok(Pattern { count: check(&pieces, max)?, pieces }));
        read.map_err(|kind| RangeError { pattern: pattern.to_owned(), kind })
    }

    /// Returns the names; the last range counts fastest.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.count);
        write(&self.pieces, &mut String::new(), &mut names);
        names
    }
}

/// Appends the names that begin with `begun` and continue with the pieces. Each name is written once, because a list of
/// beginnings would be copied for each piece.
fn write(pieces: &[Segment<'_>], begun: &mut String, names: &mut Vec<String>) {
    let Some((piece, rest)) = pieces.split_first() else { return names.push(begun.clone()) };
    let length = begun.len();
    match piece {
        Segment::Text(text) => {
            begun.push_str(text);
            write(rest, begun, names);
        }
        Segment::Numbers(ranges) => {
            for &(first, last, width) in ranges {
                for number in first..=last {
                    begun.truncate(length);
                    // Writing to a string cannot fail.
                    let _ = write!(begun, "{number:0width$}");
                    write(rest, begun, names);
                }
            }
        }
    }
    begun.truncate(length);
}

/// Returns the number of names of the pieces. Fails if it is higher than `max`, or the names are too long.
fn check(pieces: &[Segment<'_>], max: usize) -> Result<usize, RangeErrorKind> {
    let count = pieces.iter().fold(1u64, |count, piece| match piece {
        Segment::Text(_) => count,
        Segment::Numbers(ranges) => count
            .saturating_mul(ranges.iter().fold(0, |sum: u64, (first, last, _)| sum.saturating_add(last - first + 1))),
    });
    if count > max as u64 {
        return Err(RangeErrorKind::TooMany { count, max });
    }
    // A pair of brackets counts as one byte here. The caller checks each name with the bound of its kind.
    let plain: usize = pieces.iter().map(|piece| if let Segment::Text(text) = piece { text.len() } else { 1 }).sum();
    if plain > MEMBER_MAX {
        return Err(RangeErrorKind::NameTooLong);
    }
    Ok(count as usize)
}

/// Cuts a pattern at its brackets.
fn pieces(pattern: &str) -> Result<Vec<Segment<'_>>, RangeErrorKind> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find(['[', ']']) {
        let (text, from_bracket) = rest.split_at(open);
        pieces.push(Segment::Text(text));
        let inside = from_bracket.strip_prefix('[').ok_or(RangeErrorKind::NoOpening)?;
        let end = inside.find(['[', ']']).filter(|&end| inside[end..].starts_with(']'));
        let end = end.ok_or(RangeErrorKind::NoClosing)?;
        let ranges: Result<Vec<_>, _> = inside[..end].split(',').map(numbers).collect();
        pieces.push(match &ranges?[..] {
            // A single number is text, which is faster to repeat for each name.
            [(first, last, _)] if first == last && !inside[..end].contains('-') => Segment::Text(&inside[..end]),
            ranges => Segment::Numbers(ranges.to_vec()),
        });
        rest = &inside[end + 1..];
    }
    pieces.push(Segment::Text(rest));
    Ok(pieces)
}

/// Reads `7` or `001-128`. If the first number has leading zeros, all numbers are as wide as it.
fn numbers(range: &str) -> Result<(u64, u64, usize), RangeErrorKind> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse::<u64>().ok()).flatten();
        number.ok_or_else(|| RangeErrorKind::NotARange(range.to_owned()))
    };
    let width = if first.starts_with('0') { first.len() } else { 0 };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(RangeErrorKind::Backwards { first, last });
    }
    Ok((first, last, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand_to_names_with_their_leading_zeros() {
        let names = |pattern| expand(pattern, 1000).unwrap();
        assert_eq!(names("server"), ["server"]);
        assert_eq!(names("node[8-11]"), ["node8", "node9", "node10", "node11"]);
        assert_eq!(names("n[099-101].lab"), ["n099.lab", "n100.lab", "n101.lab"]);
        assert_eq!(names("r[1-2]n[1,3,5-6]"), ["r1n1", "r1n3", "r1n5", "r1n6", "r2n1", "r2n3", "r2n5", "r2n6"]);
        assert_eq!(names("x[0]"), ["x0"]);
        assert_eq!(names("node[001-128]").len(), 128);
    }

    #[test]
    fn an_error_says_what_is_wrong_with_the_pattern() {
        for (pattern, why) in [
            ("n[3-1]", "\"n[3-1]\": the range \"3-1\" runs backwards: write 1-3"),
            ("n[a]", "\"n[a]\": \"a\" is not a range: "),
            ("n[]", "\"n[]\": \"\" is not a range: "),
            ("n[1,]", "\"n[1,]\": \"\" is not a range: "),
            ("n[1-2-3]", "\"n[1-2-3]\": \"1-2-3\" is not a range: "),
            ("n[1-9999999999]", "\"n[1-9999999999]\": \"1-9999999999\" is not a range: "),
            ("n[1-3", "\"n[1-3\" has a \"[\" without a \"]\" after it"),
            ("n[1[2]]", "\"n[1[2]]\" has a \"[\" without a \"]\" after it"),
            ("n1-3]", "\"n1-3]\" has a \"]\" without a \"[\" before it"),
            ("n[1-999]m[1-999]", "\"n[1-999]m[1-999]\" expands to 998001 names: at most 1000 are allowed"),
            (&"[1]".repeat(512), "the name is longer than 511 bytes"),
            (&"[1-999999999]".repeat(9), "expands to 18446744073709551615 names"),
        ] {
            let error = expand(pattern, 1000).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
