//! "did you mean": which of the names that there are somebody may have meant.

/// How many names a message lists at most: all keys of an entry.
const LISTED_MAX: usize = 30;

/// `, did you mean "trigger"?` if one of `known` is like `wrong`, else `; there is "a", "b" and "c"`.
pub fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match closest(wrong, &known) {
        Some(name) => format!(", did you mean {name:?}?"),
        None if known.is_empty() => "; there is none".to_owned(),
        None => format!("; there is {}", list(&known, "and")),
    }
}

/// `, did you mean "trigger"?` if one of `known` is like `wrong`.
pub fn slip<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    closest(wrong, &known).map(|name| format!(", did you mean {name:?}?"))
}

/// `"a", "b" and "c"`, shortened when there are many.
pub fn list(names: &[&str], word: &str) -> String {
    let quoted: Vec<String> = names.iter().take(LISTED_MAX).map(|name| format!("{name:?}")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some(_) if names.len() > LISTED_MAX => format!("{} and {} more", quoted.join(", "), names.len() - LISTED_MAX),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} {word} {last}", before.join(", ")),
    }
}

/// The first of the names that differ least from `wrong`, if they differ by no more than a slip: an edit for every
/// three letters, and at least one.
fn closest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = (wrong.chars().count() / 3).clamp(1, 4);
    let near = known.iter().filter(|name| name.len().abs_diff(wrong.len()) <= 4 * allowed);
    let scored = near.map(|name| (distance(wrong, name), *name));
    let slip = |edits: usize, name: &str| edits <= allowed && edits < wrong.len().min(name.len());
    scored.filter(|(edits, name)| slip(*edits, name)).min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour to make one of the other; upper
/// and lower case count as the same (optimal string alignment).
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
    fn what_is_like_nothing_gets_the_list() {
        assert_eq!(hint("banana", ["at", "poke"]), "; there is \"at\" and \"poke\"");
        assert_eq!(hint("b", ["a"]), "; there is \"a\"");
        assert_eq!(hint("banana", []), "; there is none");
        let many: Vec<String> = (0..38).map(|number| format!("n{number}")).collect();
        assert!(hint("banana", many.iter().map(String::as_str)).ends_with("\"n29\" and 8 more"));
    }
}
