//! Names in messages, with a bound. A name that is longer than any valid one is an error of the message, so that no
//! answer, log line or file repeats it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::limits::NAME_MOST;

/// Fails if a text is longer than [`NAME_MOST`].
fn check<E: Error>(text: &str) -> Result<(), E> {
    match text.len() <= NAME_MOST {
        true => Ok(()),
        false => Err(E::custom(format_args!("a name of more than {NAME_MOST} bytes"))),
    }
}

struct Name;

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        check(text).map(|()| Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        check(text).map(|()| Cow::Owned(text.to_owned()))
    }
}

/// Reads a name. Borrows it if it has no escapes.
pub fn name<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, str>, D::Error> {
    deserializer.deserialize_str(Name)
}

/// Reads a name that may be absent or `null`.
pub fn optional<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    struct Optional;
    impl<'de> Visitor<'de> for Optional {
        type Value = Option<Cow<'de, str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or null")
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_str(Name).map(Some)
        }
    }
    deserializer.deserialize_option(Optional)
}

/// Reads a list of names.
pub fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().try_for_each(|name| check(name))?;
    Ok(names)
}

/// Reads numbers by name.
pub fn by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let numbers = BTreeMap::<String, u64>::deserialize(deserializer)?;
    numbers.keys().try_for_each(|name| check(name))?;
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::super::ToController;
    use super::*;

    #[test]
    fn a_message_with_a_name_that_nothing_can_have_is_malformed() {
        let decodes = |line: &str| ToController::decode(line.as_bytes()).is_ok();
        let lines = [
            r#"{"type":"notify","room":"r","trigger":"NAME","count":1}"#,
            r#"{"type":"notify","room":"NAME","trigger":"t","count":2}"#,
            r#"{"type":"watch","room":"r","trigger":"NAME"}"#,
            r#"{"type":"arrive","room":"r","barrier":"b","id":1,"member":"m","party":{"members":["m","NAME"]}}"#,
            r#"{"type":"state","run":"r","notified":{"NAME":1},"seq":0}"#,
            r#"{"type":"output","run":"r","file":"NAME","offset":0,"data":""}"#,
            r#"{"type":"look","run":"NAME"}"#,
            r#"{"type":"join","protocol":1,"version":"v","incarnation":"i","room":"r","member":"NAME"}"#,
        ];
        for line in lines {
            assert!(decodes(&line.replace("NAME", "n")), "{line}");
            assert!(decodes(&line.replace("NAME", &"n".repeat(NAME_MOST))), "{line}");
            assert!(!decodes(&line.replace("NAME", &"n".repeat(NAME_MOST + 1))), "{line}");
            assert!(!decodes(&line.replace("NAME", &format!("\\n{}", "n".repeat(NAME_MOST)))), "{line}");
        }
        let absent = r#"{"type":"join","protocol":1,"version":"v","incarnation":"i","room":"r","member":null}"#;
        assert!(decodes(absent) && decodes(&absent.replace(",\"member\":null", "")));
    }
}
