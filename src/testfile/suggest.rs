//! Suggestions for a wrong name: "did you mean", or the list of the known names.

use std::borrow::Cow;

use crate::text;

/// The most names that a message lists: enough for all keys of an entry.
const LISTED_MAX: usize = 30;

/// The most characters of a name in a message.
const SHOWN_MAX: usize = 128;

/// The longest name that is compared, in bytes. A valid name has no more characters.
const COMPARED_MAX: usize = 255;

/// The cost of all suggestions about one file, in pairs of characters that are compared: a few milliseconds.
pub const GUESSES_MAX: usize = 2_000_000;

/// The suggestions about one file, with a bound on their cost. Comparing many wrong names with many known ones would take
/// minutes.
pub struct Guesses {
    /// The pairs of characters that may still be compared.
    left: usize,
}

impl Default for Guesses {
    fn default() -> Guesses {
        Guesses { left: GUESSES_MAX }
    }
}

impl Guesses {
    /// As [`hint`]. Empty once the suggestions have cost as much as they may.
    pub fn hint<'a>(&mut self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
        match self.closest(wrong, known) {
            None => String::new(),
            Some(Guess::Like(name)) => did_you_mean(name),
            Some(Guess::None(known)) if known.is_empty() => "; none is declared".to_owned(),
            Some(Guess::None(known)) => format!("; known: {}", list(&known, "and")),
        }
    }

    /// As [`slip`]. `None` once the suggestions have cost as much as they may.
    pub fn slip<'a>(&mut self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
        match self.closest(wrong, known)? {
            Guess::Like(name) => Some(did_you_mean(name)),
            Guess::None(_) => None,
        }
    }

    /// Returns the name that differs least from `wrong`, the first of several, if it differs by no more than a slip: one
    /// edit for every three characters, and at least one. Returns `None` if that would cost too much.
    fn closest<'a>(&mut self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<Guess<'a>> {
        if self.left == 0 {
            return None;
        }
        let known: Vec<&str> = known.into_iter().collect();
        self.spend(known.len())?;
        if wrong.len() > COMPARED_MAX {
            return Some(Guess::None(known));
        }
        let allowed = (wrong.chars().count() / 3).clamp(1, 4);
        let mut best: Option<(usize, &str)> = None;
        for name in &known {
            if name.len().abs_diff(wrong.len()) > 4 * allowed || name.len() > COMPARED_MAX {
                continue;
            }
            self.spend(wrong.len() * name.len())?;
            let edits = distance(wrong, name);
            let slip = edits <= allowed && edits < wrong.len().min(name.len());
            if slip && best.is_none_or(|(least, _)| edits < least) {
                best = Some((edits, name));
            }
        }
        Some(best.map_or(Guess::None(known), |(_, name)| Guess::Like(name)))
    }

    /// Spends `cost`. Returns `None`, now and in all later calls, if less than that is left.
    fn spend(&mut self, cost: usize) -> Option<()> {
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        left.map(|_| ())
    }
}

/// The guess at what the author meant.
enum Guess<'a> {
    /// This name.
    Like(&'a str),
    /// None of these names.
    None(Vec<&'a str>),
}

/// Returns `, did you mean "trigger"?` if one of `known` is similar to `wrong`, otherwise `; known: "a", "b" and "c"`.
pub fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    Guesses::default().hint(wrong, known)
}

/// Returns `, did you mean "trigger"?` if one of `known` is similar to `wrong`.
pub fn slip<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    Guesses::default().slip(wrong, known)
}

fn did_you_mean(name: &str) -> String {
    format!(", did you mean {name:?}?")
}

/// Returns the name, cut if it is too long for a message.
pub fn shown(name: &str) -> Cow<'_, str> {
    text::cut(name, SHOWN_MAX)
}

/// Returns `"a", "b" and "c"`, cut if there are too many names for a message. `word` precedes the last name.
pub fn list(names: &[&str], word: &str) -> String {
    let quoted: Vec<String> = names.iter().take(LISTED_MAX).map(|name| format!("{:?}", shown(name))).collect();
    match quoted.split_last() {
        None => String::new(),
        Some(_) if names.len() > LISTED_MAX => format!("{} and {} more", quoted.join(", "), names.len() - LISTED_MAX),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} {word} {last}", before.join(", ")),
    }
}

/// Returns the number of edits that turn one name into the other: insertions, deletions, replacements, and swaps of
/// neighbours (optimal string alignment). Upper and lower case are the same.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_guessed() {
        let known = ["trigger", "after", "at", "poke", "use_resources"];
        for (wrong, meant) in [
            ("tigger", "trigger"),
            ("trgiger", "trigger"),
            ("Trigger", "trigger"),
            ("poek", "poke"),
            ("ta", "at"),
            ("useresources", "use_resources"),
        ] {
            assert_eq!(hint(wrong, known), format!(", did you mean {meant:?}?"));
        }
    }

    #[test]
    fn a_name_without_a_similar_one_gets_the_list() {
        assert_eq!(hint("banana", ["at", "poke"]), "; known: \"at\" and \"poke\"");
        assert_eq!(hint("b", ["a"]), "; known: \"a\"");
        assert_eq!(hint("banana", []), "; none is declared");
        let many: Vec<String> = (0..38).map(|number| format!("n{number}")).collect();
        assert!(hint("banana", many.iter().map(String::as_str)).ends_with("\"n29\" and 8 more"));
        let long = "x".repeat(1_000);
        assert_eq!(hint("banana", [long.as_str()]), format!("; known: \"{}...\"", &long[..SHOWN_MAX]));
    }

    #[test]
    fn all_suggestions_together_have_a_bound() {
        let mut guesses = Guesses::default();
        let known: Vec<String> = (0..300).map(|nr| format!("trigger-number-{nr:04}-of-many")).collect();
        let mut hint = |wrong: &str| guesses.hint(wrong, known.iter().map(String::as_str));
        assert_eq!(hint("trigger-numbre-0007-of-many"), ", did you mean \"trigger-number-0007-of-many\"?");
        let hints = (0..300).filter(|nr| !hint(&format!("rtigger-umnber-{nr:04}-of-yman")).is_empty()).count();
        assert!((1..50).contains(&hints), "{hints}");
        assert_eq!(hint("trigger-numbre-0007-of-many"), "", "there is nothing left for it");
    }
}
