//! `--labels`: what a slave's machine is, as KEY=VALUE pairs.

use std::collections::BTreeMap;
use std::str::FromStr;

use arete::session::{LABELS_MAX, check_label};

/// The pairs of one `--labels`. A comma or a backslash of a value stands behind a backslash.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels(BTreeMap<String, String>);

impl FromStr for Labels {
    type Err = String;

    fn from_str(text: &str) -> Result<Labels, String> {
        let mut labels = BTreeMap::new();
        for pair in split(text)? {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(format!("{pair:?} is no label: write KEY=VALUE, with commas between several"));
            };
            check_label(key, value).map_err(|error| error.to_string())?;
            if labels.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("the label {key:?} is given twice"));
            }
        }
        Ok(Labels(labels))
    }
}

/// The pairs, without what kept them together.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut pairs = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = pairs.len() - 1;
        match letter {
            ',' => pairs.push(String::new()),
            '\\' => pairs[last].push(letters.next().ok_or("nothing follows the backslash at its end")?),
            other => pairs[last].push(other),
        }
    }
    Ok(pairs)
}

/// A pair as [`Labels`] reads it.
pub fn written(key: &str, value: &str) -> String {
    format!("{key}={value}").replace('\\', "\\\\").replace(',', "\\,")
}

/// All labels of this slave: those given, and what the machine is unless they say otherwise.
pub fn all(given: &[Labels]) -> Result<BTreeMap<String, String>, String> {
    let own = [("arch", std::env::consts::ARCH), ("os", std::env::consts::OS)];
    let mut labels: BTreeMap<String, String> =
        own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut seen = std::collections::BTreeSet::new();
    for (key, value) in given.iter().flat_map(|labels| &labels.0) {
        if !seen.insert(key) {
            return Err(format!("the label {key:?} is given twice"));
        }
        labels.insert(key.clone(), value.clone());
    }
    match labels.len() {
        ..=LABELS_MAX => Ok(labels),
        many => {
            Err(format!("a slave has at most {LABELS_MAX} labels, with its own \"arch\" and \"os\"; these are {many}"))
        }
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
    fn what_is_no_label_is_refused() {
        let long = format!("a={}", "x".repeat(257));
        for wrong in ["", "a", "a=1,", "=1", "-a=1", "a b=1", "a=1,a=2", "a=\u{7}", "a=1\\", &long] {
            assert!(wrong.parse::<Labels>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_slave_says_its_architecture_and_system_unless_it_is_told_others() {
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
