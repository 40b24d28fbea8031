//! Names of many slaves or members as Slurm and ClusterShell write them: `node[001-128]`, `rack[1-2]n[1,3,5-7]`.

use std::fmt::Write;

use crate::session::MEMBER_MAX;

/// How many digits a number of a range has at most.
const DIGITS_MAX: usize = 9;

/// A piece of a pattern.
enum Segment<'a> {
    Text(&'a str),
    /// What stands in a pair of brackets: (first, last, width).
    Numbers(Vec<(u64, u64, usize)>),
}

/// A pattern that was read: how many names it stands for is known before any of them is made.
pub struct Pattern<'a> {
    pieces: Vec<Segment<'a>>,
    pub count: usize,
}

/// Every name that `pattern` stands for, the last range counting fastest. Fails when there are more than `max`.
pub fn expand(pattern: &str, max: usize) -> Result<Vec<String>, String> {
    Pattern::read(pattern, max).map(|pattern| pattern.names())
}

impl<'a> Pattern<'a> {
    /// Fails when the pattern is none, or stands for more than `max` names.
    pub fn read(pattern: &'a str, max: usize) -> Result<Pattern<'a>, String> {
        let pieces = pieces(pattern)?;
        let count = check(pattern, &pieces, max)?;
        Ok(Pattern { pieces, count })
    }

    /// Each name, the last range counting fastest.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.count);
        write(&self.pieces, &mut String::new(), &mut names);
        names
    }
}

/// Appends the names that begin with `begun` and go on as the pieces say. Each is written once as a whole: a list that
/// grew piece by piece would be copied for each of them.
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
                    // Writing to a string does not fail.
                    let _ = write!(begun, "{number:0width$}");
                    write(rest, begun, names);
                }
            }
        }
    }
    begun.truncate(length);
}

/// How many names the pieces stand for, at most `max`.
fn check(pattern: &str, pieces: &[Segment<'_>], max: usize) -> Result<usize, String> {
    let count = pieces.iter().fold(1u64, |count, piece| match piece {
        Segment::Text(_) => count,
        Segment::Numbers(ranges) => count
            .saturating_mul(ranges.iter().fold(0, |sum: u64, (first, last, _)| sum.saturating_add(last - first + 1))),
    });
    if count > max as u64 {
        return Err(format!("{pattern:?} stands for {count} names: at most {max} are allowed"));
    }
    let plain: usize = pieces.iter().map(|piece| if let Segment::Text(text) = piece { text.len() } else { 1 }).sum();
    // A pair of brackets counts as one byte: what the names are for bounds each of them.
    if plain > MEMBER_MAX {
        return Err(format!("a name is at most {MEMBER_MAX} bytes long, this one is longer"));
    }
    Ok(count as usize)
}

fn pieces(pattern: &str) -> Result<Vec<Segment<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find(['[', ']']) {
        let (text, from_bracket) = rest.split_at(open);
        pieces.push(Segment::Text(text));
        let Some(inside) = from_bracket.strip_prefix('[') else {
            return Err(format!("{pattern:?} has a \"]\" without a \"[\" before it"));
        };
        let end = inside.find(['[', ']']).filter(|&end| inside[end..].starts_with(']'));
        let end = end.ok_or_else(|| format!("{pattern:?} has a \"[\" without a \"]\" after it"))?;
        let ranges: Result<Vec<_>, String> = inside[..end].split(',').map(|range| numbers(pattern, range)).collect();
        pieces.push(match &ranges?[..] {
            // One number is text; each of many such would be written anew for each name.
            [(first, last, _)] if first == last && !inside[..end].contains('-') => Segment::Text(&inside[..end]),
            ranges => Segment::Numbers(ranges.to_vec()),
        });
        rest = &inside[end + 1..];
    }
    pieces.push(Segment::Text(rest));
    Ok(pieces)
}

/// Reads `7` or `001-128`. Leading zeros of the first number say how wide all are.
fn numbers(pattern: &str, range: &str) -> Result<(u64, u64, usize), String> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse::<u64>().ok()).flatten();
        number.ok_or_else(|| {
            format!("{pattern:?}: {range:?} is no range: write numbers of at most {DIGITS_MAX} digits, such as [001-128] or [1,3,5-7]")
        })
    };
    let width = if first.starts_with('0') { first.len() } else { 0 };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("{pattern:?}: the range {range:?} runs backwards: write {last}-{first}"));
    }
    Ok((first, last, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stand_for_names_with_their_zeros() {
        let names = |pattern| expand(pattern, 1000).unwrap();
        assert_eq!(names("server"), ["server"]);
        assert_eq!(names("node[8-11]"), ["node8", "node9", "node10", "node11"]);
        assert_eq!(names("n[099-101].lab"), ["n099.lab", "n100.lab", "n101.lab"]);
        assert_eq!(names("r[1-2]n[1,3,5-6]"), ["r1n1", "r1n3", "r1n5", "r1n6", "r2n1", "r2n3", "r2n5", "r2n6"]);
        assert_eq!(names("x[0]"), ["x0"]);
        assert_eq!(names("node[001-128]").len(), 128);
    }

    #[test]
    fn what_is_no_range_says_why() {
        for (pattern, why) in [
            ("n[3-1]", "\"n[3-1]\": the range \"3-1\" runs backwards: write 1-3"),
            ("n[a]", "\"n[a]\": \"a\" is no range: "),
            ("n[]", "\"n[]\": \"\" is no range: "),
            ("n[1,]", "\"n[1,]\": \"\" is no range: "),
            ("n[1-2-3]", "\"n[1-2-3]\": \"1-2-3\" is no range: "),
            ("n[1-9999999999]", "\"n[1-9999999999]\": \"1-9999999999\" is no range: "),
            ("n[1-3", "\"n[1-3\" has a \"[\" without a \"]\" after it"),
            ("n[1[2]]", "\"n[1[2]]\" has a \"[\" without a \"]\" after it"),
            ("n1-3]", "\"n1-3]\" has a \"]\" without a \"[\" before it"),
            ("n[1-999]m[1-999]", "\"n[1-999]m[1-999]\" stands for 998001 names: at most 1000 are allowed"),
            (&"[1]".repeat(512), "a name is at most 511 bytes long, this one is longer"),
            (&"[1-999999999]".repeat(9), "stands for 18446744073709551615 names"),
        ] {
            let error = expand(pattern, 1000).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
