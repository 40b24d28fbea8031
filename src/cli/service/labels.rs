//! `--labels`: KEY=VALUE pairs that describe the machine of a slave.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use arete::session::{LABELS_MAX, check_label};

use crate::cli::error::Error;

/// The pairs of one `--labels`. In a value, a backslash precedes a comma or a backslash.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels(BTreeMap<String, String>);

impl FromStr for Labels {
    type Err = Error;

    fn from_str(text: &str) -> Result<Labels, Error> {
        let mut labels = BTreeMap::new();
        for pair in split(text)? {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Error::usage(format!(
                    "{pair:?} is not a label: write KEY=VALUE, with commas between labels"
                )));
            };
            check_label(key, value).map_err(Error::usage)?;
            if labels.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(given_twice(key));
            }
        }
        Ok(Labels(labels))
    }
}

fn given_twice(key: &str) -> Error {
    Error::usage(format!("the label {key:?} is given twice"))
}

/// Splits a text at its commas, and removes the backslashes before other commas and backslashes.
fn split(text: &str) -> Result<Vec<String>, Error> {
    let mut pairs = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = pairs.len() - 1;
        match letter {
            ',' => pairs.push(String::new()),
            '\\' => pairs[last]
                .push(letters.next().ok_or_else(|| Error::usage("nothing follows the backslash at the end"))?),
            other => pairs[last].push(other),
        }
    }
    Ok(pairs)
}

/// Writes a pair in the form that [`Labels`] reads.
pub fn written(key: &str, value: &str) -> String {
    format!("{key}={value}").replace('\\', "\\\\").replace(',', "\\,")
}

/// Returns the labels that were given, and `arch` and `os` of this machine unless they were given.
pub fn all(given: &[Labels]) -> Result<BTreeMap<String, String>, Error> {
    let own = [("arch", std::env::consts::ARCH), ("os", std::env::consts::OS)];
    let mut labels: BTreeMap<String, String> =
        own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut seen = BTreeSet::new();
    for (key, value) in given.iter().flat_map(|labels| &labels.0) {
        if !seen.insert(key) {
            return Err(given_twice(key));
        }
        labels.insert(key.clone(), value.clone());
    }
    match labels.len() {
        ..=LABELS_MAX => Ok(labels),
        count => Err(Error::usage(format!(
            "a slave has at most {LABELS_MAX} labels, including \"arch\" and \"os\"; there are {count}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_pairs_and_values_may_hold_commas() {
        let labels: Labels = "role=client,rack=a\\,b,empty=,path=c:\\\\x,sum=1=1".parse().unwrap();
        let pairs: Vec<_> = labels.0.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        assert_eq!(pairs, ["empty:", "path:c:\\x", "rack:a,b", "role:client", "sum:1=1"]);
        assert_eq!(written("rack", "a,b\\").parse::<Labels>().unwrap().0["rack"], "a,b\\");
    }

    #[test]
    fn a_label_that_is_not_valid_is_refused() {
        let long = format!("a={}", "x".repeat(257));
        for text in ["", "a", "a=1,", "=1", "-a=1", "a b=1", "a=1,a=2", "a=\u{7}", "a=1\\", &long] {
            assert!(text.parse::<Labels>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_slave_has_labels_for_its_architecture_and_system_unless_others_are_given() {
        let none = all(&[]).unwrap();
        assert_eq!((&*none["arch"], &*none["os"]), (std::env::consts::ARCH, "linux"));
        let given = all(&["os=plan9".parse().unwrap(), "role=x".parse().unwrap()]).unwrap();
        assert_eq!((&*given["os"], &*given["role"], given.len()), ("plan9", "x", 3));
        assert!(all(&["a=1".parse().unwrap(), "a=1".parse().unwrap()]).is_err());
        let many = |count: usize| {
            all(&[(0..count).map(|nr| format!("l{nr}=")).collect::<Vec<_>>().join(",").parse().unwrap()])
        };
        assert!(many(LABELS_MAX - 2).is_ok() && many(LABELS_MAX - 1).is_err());
    }
}
