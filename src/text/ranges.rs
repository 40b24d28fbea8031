//! Many names as one pattern: `node[001-134]`. The test file reads every pattern that this file writes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The most digits of a number in a range.
pub const DIGITS_MAX: usize = 9;

/// The most names that are folded at all their numbers. Of more names only the last numbers are folded, which takes
/// less time.
const NAMES_MAX: usize = 1_000;

/// The most numbers of a name that is folded. A name with more is written as it is: the time grows with the names and
/// with their numbers, and strangers choose both.
const NUMBERS_MAX: usize = 8;

/// A pattern for one or more names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The pattern.
    pub pattern: String,
    /// The number of its names.
    pub count: usize,
}

/// Names that differ only in their numbers: every combination of the numbers is one of the names.
struct Fold<'a> {
    /// The place of its first name among all names.
    first: usize,
    /// The texts before, between and after the numbers.
    texts: Vec<&'a str>,
    /// The numbers of each place.
    numbers: Vec<Vec<&'a str>>,
}

/// Writes names as patterns, in the order of the first name of each. The patterns expand to exactly these names; a
/// repeated name counts once.
pub fn fold(names: &[&str]) -> Vec<Folded> {
    if names.len() > NAMES_MAX {
        return fold_many(names);
    }
    if let Some(folded) = fold_alike(names) {
        return vec![folded];
    }
    let mut seen = std::collections::BTreeSet::new();
    let distinct = names.iter().filter(|name| seen.insert(**name));
    let mut folds: Vec<Fold<'_>> = distinct.enumerate().map(|(first, name)| Fold::new(first, name)).collect();
    let most = folds.iter().map(|fold| fold.numbers.len()).max().unwrap_or(0);
    for place in (0..most).rev() {
        folds = merged(folds, place);
    }
    folds.sort_by_key(|fold| fold.first);
    folds.iter().map(Fold::folded).collect()
}

/// Folds several names that differ only in the last number of the first name, which is the usual case. Returns `None` for
/// others.
fn fold_alike(names: &[&str]) -> Option<Folded> {
    let (before, _, after) = last_number(names.first()?)?;
    if names.len() == 1 || before.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut numbers: Vec<(u64, &str)> = Vec::with_capacity(names.len());
    for name in names {
        let number = name.strip_prefix(before)?.strip_suffix(after)?;
        let is_number = number.len() <= DIGITS_MAX && number.bytes().all(|byte| byte.is_ascii_digit());
        numbers.push((number.parse().ok().filter(|_| is_number)?, number));
    }
    sort(&mut numbers);
    numbers.dedup();
    let count = numbers.len();
    let words = joined(numbers).iter().map(Range::in_words).collect::<Vec<_>>().join(",");
    let words = if count > 1 { format!("[{words}]") } else { words };
    Some(Folded { pattern: format!("{before}{words}{after}"), count })
}

/// Like [`fold`], with a pattern for each range, so that a message can show the first ones and stay short. The patterns
/// are sorted, numbers by their value.
fn fold_many(names: &[&str]) -> Vec<Folded> {
    let mut alike: BTreeMap<(&str, &str), Vec<(u64, &str)>> = BTreeMap::new();
    for name in names {
        let (before, number, after) = last_number(name).unwrap_or((name, "", ""));
        alike.entry((before, after)).or_default().push((number.parse().unwrap_or(0), number));
    }
    let mut folded = Vec::new();
    for ((before, after), mut numbers) in alike {
        sort(&mut numbers);
        numbers.dedup();
        let in_words = |range: &Range<'_>| {
            let (words, count) = (range.in_words(), range.count());
            let words = if count > 1 { format!("[{words}]") } else { words };
            Folded { pattern: format!("{before}{words}{after}"), count }
        };
        folded.extend(joined(numbers).iter().map(in_words));
    }
    folded
}

/// Returns the last number of a name, with the texts before and after it; `None` if it cannot be in a range.
fn last_number(name: &str) -> Option<(&str, &str, &str)> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let begin = name.as_bytes()[..end].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    let folds = end - begin <= DIGITS_MAX && !name.contains(['[', ']']);
    folds.then(|| (&name[..begin], &name[begin..end], &name[end..]))
}

/// Returns the first `count` names as people sort them: `n9` before `n10`.
pub fn first(mut names: Vec<&str>, count: usize) -> Vec<&str> {
    if names.len() > count {
        // Sorting only the first names is faster.
        names.select_nth_unstable_by(count, |one, other| naturally(one, other));
        names.truncate(count);
    }
    names.sort_by(|one, other| naturally(one, other));
    names
}

/// Compares names as people sort them: `n9` before `n10`.
fn naturally(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one.as_bytes(), other.as_bytes());
    while let (Some(&a), Some(&b)) = (left.first(), right.first()) {
        let (order, digits) = if a.is_ascii_digit() && b.is_ascii_digit() {
            let digits = [left, right].map(|text| text.iter().take_while(|byte| byte.is_ascii_digit()).count());
            let [a, b] = [&left[..digits[0]], &right[..digits[1]]].map(|number| {
                let zeros = number.iter().take_while(|byte| **byte == b'0').count();
                &number[zeros..]
            });
            (a.len().cmp(&b.len()).then_with(|| a.cmp(b)), digits)
        } else {
            (a.cmp(&b), [1, 1])
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (&left[digits[0]..], &right[digits[1]..]);
    }
    left.len().cmp(&right.len()).then_with(|| one.cmp(other))
}

/// Merges the folds that differ only in the numbers of one place.
fn merged(folds: Vec<Fold<'_>>, place: usize) -> Vec<Fold<'_>> {
    let mut alike: BTreeMap<(Vec<&str>, Vec<Vec<&str>>), Fold<'_>> = BTreeMap::new();
    let mut rest = Vec::new();
    for mut fold in folds {
        if place >= fold.numbers.len() {
            rest.push(fold);
            continue;
        }
        let (first, here) = (fold.first, std::mem::take(&mut fold.numbers[place]));
        let same = alike.entry((fold.texts.clone(), fold.numbers.clone())).or_insert(fold);
        same.first = same.first.min(first);
        same.numbers[place].extend(here);
    }
    for mut fold in alike.into_values() {
        // Sorted, so that folds with the same numbers compare as equal for the next place.
        fold.numbers[place].sort_unstable();
        rest.push(fold);
    }
    rest
}

impl<'a> Fold<'a> {
    fn new(first: usize, name: &'a str) -> Fold<'a> {
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        let (mut text, mut at) = (0, 0);
        let bytes = name.as_bytes();
        // A name with brackets is not folded: the test file would read them as a range.
        let folds = !name.contains(['[', ']']);
        while folds && at < bytes.len() {
            let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if (1..=DIGITS_MAX).contains(&digits) {
                texts.push(&name[text..at]);
                numbers.push(vec![&name[at..at + digits]]);
                text = at + digits;
            }
            at += digits.max(1);
        }
        if numbers.len() > NUMBERS_MAX {
            return Fold { first, texts: vec![name], numbers: Vec::new() };
        }
        texts.push(&name[text..]);
        Fold { first, texts, numbers }
    }

    fn folded(&self) -> Folded {
        let mut pattern = String::new();
        for (text, numbers) in self.texts.iter().zip(&self.numbers) {
            pattern += text;
            match numbers[..] {
                [number] => pattern += number,
                _ => pattern += &format!("[{}]", ranges(numbers)),
            }
        }
        pattern += self.texts.last().copied().unwrap_or_default();
        Folded { pattern, count: self.numbers.iter().map(Vec::len).product() }
    }
}

/// A range to which numbers are added.
struct Range<'a> {
    /// Its first number, as it is written.
    first: &'a str,
    /// Its last number.
    last: u64,
}

impl Range<'_> {
    /// Returns whether the number `value`, written as `text`, is the next one.
    fn continues(&self, value: u64, text: &str) -> bool {
        // As long as the first number if that has zeros before it, and otherwise without such zeros.
        let same_width = self.first.starts_with('0') && text.len() == self.first.len();
        let longer = !self.first.starts_with('0') || text.len() > self.first.len();
        value == self.last + 1 && (same_width || longer && !text.starts_with('0'))
    }

    fn count(&self) -> usize {
        (self.last - self.first.parse().unwrap_or(self.last)) as usize + 1
    }

    /// Returns the range as it is written: `7` or `001-128`.
    fn in_words(&self) -> String {
        let width = self.first.len();
        match self.count() == 1 {
            true => self.first.to_owned(),
            false => format!("{}-{:0width$}", self.first, self.last),
        }
    }
}

/// Returns numbers as ranges: `1,3,5-7`.
fn ranges(numbers: &[&str]) -> String {
    let mut sorted: Vec<(u64, &str)> = numbers.iter().map(|text| (text.parse().unwrap_or(0), *text)).collect();
    sort(&mut sorted);
    joined(sorted).iter().map(Range::in_words).collect::<Vec<_>>().join(",")
}

fn sort(numbers: &mut [(u64, &str)]) {
    numbers.sort_unstable_by_key(|(value, text)| (*value, text.len()));
}

/// Joins sorted numbers to ranges.
fn joined(numbers: Vec<(u64, &str)>) -> Vec<Range<'_>> {
    let mut done: Vec<Range<'_>> = Vec::new();
    for (value, text) in numbers {
        // Numbers of several widths may alternate, so each may continue one of several recent ranges.
        let recent = done.len().saturating_sub(2 * DIGITS_MAX);
        match done[recent..].iter_mut().rev().find(|range| range.continues(value, text)) {
            Some(range) => range.last = value,
            None => done.push(Range { first: text, last: value }),
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(names: &[&str]) -> String {
        fold(names).iter().map(|it| format!("{}={}", it.pattern, it.count)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_that_differ_in_numbers_are_ranges() {
        assert_eq!(folded(&[]), "");
        assert_eq!(folded(&["server"]), "server=1");
        assert_eq!(folded(&["n1"]), "n1=1");
        assert_eq!(folded(&["n8", "n9", "n10"]), "n[8-10]=3");
        assert_eq!(folded(&["n08", "n09", "n10"]), "n[08-10]=3");
        assert_eq!(folded(&["n099.lab", "n101.lab", "n100.lab", "n7.lab"]), "n[7,099-101].lab=4");
        assert_eq!(folded(&["n1", "n01", "n2", "n02", "n3"]), "n[1-3,01-02]=5");
        assert_eq!(folded(&["b2", "a", "b1", "b1"]), "b[1-2]=2 a=1");
        assert_eq!(folded(&["10.0.0.1", "10.0.0.3", "10.0.0.2"]), "10.0.0.[1-3]=3");
        assert_eq!(folded(&["n[1]", "n[2]"]), "n[1]=1 n[2]=1");
        assert_eq!(folded(&["x1234567890", "x1234567891"]), "x1234567890=1 x1234567891=1");
        let many = |last: u32| format!("{}{last}", "1a".repeat(NUMBERS_MAX));
        assert_eq!(folded(&[&many(1), &many(2)]), format!("{}=1 {}=1", many(1), many(2)));
    }

    #[test]
    fn several_numbers_are_folded_if_every_combination_is_a_name() {
        let all = ["r1n1", "r1n2", "r2n1", "r2n2"];
        assert_eq!(folded(&all), "r[1-2]n[1-2]=4");
        assert_eq!(folded(&all[..3]), "r1n[1-2]=2 r2n1=1");
    }

    #[test]
    fn very_many_names_are_ranges_by_their_last_numbers() {
        let mut names: Vec<String> = (1..=80_002).filter(|nr| *nr != 7).map(|nr| format!("n{nr}")).collect();
        names.extend(["a".to_owned(), "m[1]".to_owned(), "ä9".to_owned(), "n7777777777".to_owned(), "n5".to_owned()]);
        names.sort_unstable();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(folded(&names), "a=1 m[1]=1 n[1-6]=6 n[8-80002]=79995 n7777777777=1 ä9=1");
    }

    #[test]
    fn the_first_names_are_those_with_the_lowest_numbers() {
        let names = vec!["n10", "n2", "n1", "n010", "m", "n", "n1a", "b2c10", "b2c9"];
        assert_eq!(first(names.clone(), 5), ["b2c9", "b2c10", "m", "n", "n1"]);
        assert_eq!(first(names, 20)[4..], ["n1", "n1a", "n2", "n010", "n10"]);
    }

    #[test]
    fn two_hundred_names_are_one_pattern() {
        let names: Vec<String> = (1..=200).map(|nr| format!("node{nr:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(folded(&names), "node[001-200]=200");
    }
}
