//! Many names as one: `node[001-134]`. What this writes is what the test file reads as ranges.

use std::collections::BTreeMap;

/// How many digits a number of a range has at most. The test file reads no more.
const DIGITS_MAX: usize = 9;

/// How many names are folded at most; a message does not get better by more.
const NAMES_MAX: usize = 20_000;

/// A name or several, and how many they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    pub pattern: String,
    pub count: usize,
}

/// Several names that differ in their numbers alone: each number of a place goes with each of the others.
struct Fold<'a> {
    /// The place of the first of them in what is folded.
    first: usize,
    /// What stands before, between and after the numbers.
    texts: Vec<&'a str>,
    numbers: Vec<Vec<&'a str>>,
}

/// Writes names as ranges, in the order of the first name of each. Together they stand for just these names; a name that
/// comes twice counts once.
pub fn fold(names: &[&str]) -> Vec<Folded> {
    let mut seen = std::collections::BTreeSet::new();
    let distinct = names.iter().take(NAMES_MAX).filter(|name| seen.insert(**name));
    let mut folds: Vec<Fold<'_>> = distinct.enumerate().map(|(first, name)| Fold::new(first, name)).collect();
    let most = folds.iter().map(|fold| fold.numbers.len()).max().unwrap_or(0);
    for place in (0..most).rev() {
        folds = merged(folds, place);
    }
    folds.sort_by_key(|fold| fold.first);
    let mut folded: Vec<Folded> = folds.iter().map(Fold::folded).collect();
    let left_out = names.iter().skip(NAMES_MAX).map(|name| Folded { pattern: (*name).to_owned(), count: 1 });
    folded.extend(left_out);
    folded
}

/// The same with those as one that differ in the numbers of one place alone.
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
        // Equal lists are to be equal, whatever the order was in which they grew.
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
        // A bracket of the name itself would be read as a range.
        while at < bytes.len() && !name.contains(['[', ']']) {
            let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if (1..=DIGITS_MAX).contains(&digits) {
                texts.push(&name[text..at]);
                numbers.push(vec![&name[at..at + digits]]);
                text = at + digits;
            }
            at += digits.max(1);
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

/// A range while it grows: its first number as it is written, and its last one.
struct Range<'a> {
    first: &'a str,
    last: u64,
}

impl Range<'_> {
    /// Whether the number that is written so comes next.
    fn continues(&self, value: u64, text: &str) -> bool {
        let width = if self.first.starts_with('0') { self.first.len() } else { 0 };
        value == self.last + 1 && text == format!("{value:0width$}")
    }

    fn in_words(&self) -> String {
        let width = self.first.len();
        match self.first.parse() == Ok(self.last) {
            true => self.first.to_owned(),
            false => format!("{}-{:0width$}", self.first, self.last),
        }
    }
}

/// `1,3,5-7`
fn ranges(numbers: &[&str]) -> String {
    let mut sorted: Vec<(u64, &str)> = numbers.iter().map(|text| (text.parse().unwrap_or(0), *text)).collect();
    sorted.sort_by_key(|(value, text)| (*value, text.len()));
    let mut done: Vec<Range<'_>> = Vec::new();
    for (value, text) in sorted {
        // Numbers of several widths may take turns.
        let recent = done.len().saturating_sub(2 * DIGITS_MAX);
        match done[recent..].iter_mut().rev().find(|range| range.continues(value, text)) {
            Some(range) => range.last = value,
            None => done.push(Range { first: text, last: value }),
        }
    }
    done.iter().map(Range::in_words).collect::<Vec<_>>().join(",")
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
    }

    #[test]
    fn several_numbers_are_folded_as_far_as_each_goes_with_each() {
        let all = ["r1n1", "r1n2", "r2n1", "r2n2"];
        assert_eq!(folded(&all), "r[1-2]n[1-2]=4");
        assert_eq!(folded(&all[..3]), "r1n[1-2]=2 r2n1=1");
    }

    #[test]
    fn two_hundred_names_are_one() {
        let names: Vec<String> = (1..=200).map(|nr| format!("node{nr:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(folded(&names), "node[001-200]=200");
    }
}
