//! YAML 1.2 as the values that JSON has, with the place of every key and value.
//!
//! saphyr-parser reads the structure. This file decides what a plain word means, by the core schema of YAML 1.2.2
//! (section 10.3.2), and refuses what a test has no use for: tags, several documents, and keys that are not words. It
//! must bound what aliases repeat: a short file could otherwise stand for terabytes.

use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use super::bounds::FILE_MAX;
use super::json::{DEPTH_MAX, KeyValue, SyntaxError, VALUES_MAX, Value, ValueKind};

/// The message for a merge key, which YAML 1.2 does not have.
const MERGE: &str = "\"<<\" merges keys in YAML 1.1 only: write the keys here, or give the whole object by an alias";

/// Reads a text with one document. Fails at the first place that is not YAML, or that a test cannot have.
pub fn parse(text: &str) -> Result<Value, SyntaxError> {
    let mut reader = Reader::new(text);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| reader.scan_error(&error))?;
        let span = reader.byte(&span.start)..reader.byte(&span.end);
        reader.take(event, span)?;
    }
    reader.root.map(|node| node.value).ok_or_else(|| error(0, "the file is empty"))
}

fn error(at: usize, message: impl Into<String>) -> SyntaxError {
    SyntaxError { at, message: message.into() }
}

/// A value, and what it takes.
#[derive(Clone)]
struct Node {
    value: Value,
    /// The keys and values in it, with itself.
    values: usize,
    /// The bytes of its keys and strings.
    bytes: usize,
    /// How many lists and objects are inside each other.
    depth: usize,
}

/// A list or an object that is not complete.
struct Open {
    start: usize,
    anchor: usize,
    is_object: bool,
    items: Vec<Value>,
    keys: Vec<(usize, String)>,
    values: usize,
    bytes: usize,
    depth: usize,
}

struct Reader<'a> {
    text: &'a str,
    /// The byte of each character, unless they are the same.
    bytes: Option<Vec<usize>>,
    open: Vec<Open>,
    root: Option<Node>,
    /// The values that aliases repeat. An alias inside its own anchor finds none.
    anchors: BTreeMap<usize, Node>,
    /// The keys and values, and the bytes of repeated ones, that may still follow.
    values_left: usize,
    bytes_left: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Reader {
            text,
            bytes,
            open: Vec::new(),
            root: None,
            anchors: BTreeMap::new(),
            values_left: VALUES_MAX,
            bytes_left: FILE_MAX,
        }
    }

    /// Returns the byte of a place, which the parser counts in characters.
    fn byte(&self, mark: &Marker) -> usize {
        let at = match &self.bytes {
            Some(bytes) => bytes.get(mark.index()).copied(),
            None => Some(mark.index()),
        };
        at.unwrap_or(self.text.len()).min(self.text.len())
    }

    fn scan_error(&self, wrong: &ScanError) -> SyntaxError {
        let at = self.byte(wrong.marker());
        let info = wrong.info();
        let line = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let mut indentation = self.text[line..].bytes().take_while(|byte| byte.is_ascii_whitespace());
        let next = if indentation.any(|byte| byte == b'\t') || info.contains("tab") {
            ": indent with blanks, not with tabs"
        } else if info.contains("mapping values are not allowed") {
            ": a text with \": \" must be in quotes, and the keys of one object begin in one column"
        } else if info.contains("unexpected character") {
            ": a text that begins with this character must be in quotes"
        } else {
            ""
        };
        error(at, format!("this is not YAML: {info}{next}"))
    }

    fn take(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), SyntaxError> {
        let tag = match &event {
            Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, tag) | Event::MappingStart(_, tag) => tag.is_some(),
            _ => false,
        };
        if tag {
            return Err(error(span.start, "a test has no tags: remove the word that begins with \"!\""));
        }
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(error(span.start, "a test is one document, and another one begins here"))
            }
            Event::Scalar(text, style, anchor, _) => {
                if self.wants_key() {
                    if text == "<<" && style == ScalarStyle::Plain {
                        return Err(error(span.start, MERGE));
                    }
                    if anchor > 0 {
                        return Err(error(span.start, "a key has no anchor: remove the word that begins with \"&\""));
                    }
                    self.count(span.start, 1)?;
                    return self.key(span.start, text.into_owned());
                }
                let kind = match style {
                    ScalarStyle::Plain => plain(&text).map_err(|message| error(span.start, message))?,
                    _ => ValueKind::String(text.into_owned()),
                };
                let bytes = if let ValueKind::String(string) = &kind { string.len() } else { 0 };
                self.count(span.start, 1)?;
                self.put(Node { value: Value { span, kind }, values: 1, bytes, depth: 0 }, anchor)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let node =
                    known.ok_or_else(|| error(span.start, "this alias stands inside the value that it repeats"))?;
                self.count(span.start, node.values)?;
                let left = self.bytes_left.checked_sub(node.bytes);
                self.bytes_left =
                    left.ok_or_else(|| error(span.start, format!("aliases repeat more than {FILE_MAX} bytes")))?;
                match node.value.kind {
                    ValueKind::String(text) if self.wants_key() => self.key(span.start, text),
                    _ => self.put(node, 0),
                }
            }
            Event::SequenceStart(anchor, _) => self.begin(span.start, anchor, false),
            Event::MappingStart(anchor, _) => self.begin(span.start, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(span.end),
            _ => Ok(()),
        }
    }

    /// Counts keys and values. Fails if there are too many.
    fn count(&mut self, at: usize, values: usize) -> Result<(), SyntaxError> {
        let left = self.values_left.checked_sub(values);
        let message = || format!("a test has at most {VALUES_MAX} keys and values, with what aliases repeat");
        self.values_left = left.ok_or_else(|| error(at, message()))?;
        Ok(())
    }

    /// Returns whether the next value is the key of an object.
    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.is_object && open.keys.len() == open.items.len())
    }

    fn key(&mut self, at: usize, key: String) -> Result<(), SyntaxError> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        open.values += 1;
        open.bytes += key.len();
        open.keys.push((at, key));
        Ok(())
    }

    fn begin(&mut self, start: usize, anchor: usize, is_object: bool) -> Result<(), SyntaxError> {
        if self.wants_key() {
            return Err(error(start, "a key is a word, not a list or an object"));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(too_deep(start));
        }
        self.count(start, 1)?;
        let (items, keys) = (Vec::new(), Vec::new());
        self.open.push(Open { start, anchor, is_object, items, keys, values: 1, bytes: 0, depth: 0 });
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), SyntaxError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let end = open.items.last().map_or(end, |last| last.span.end).max(open.start);
        let kind = match open.is_object {
            false => ValueKind::List(open.items),
            true => {
                let keys = open.keys.into_iter().zip(open.items);
                ValueKind::Object(keys.map(|((at, key), value)| KeyValue { at, key, value }).collect())
            }
        };
        let value = Value { span: open.start..end, kind };
        self.put(Node { value, values: open.values, bytes: open.bytes, depth: open.depth + 1 }, open.anchor)
    }

    /// Adds a value to what is open.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        if self.wants_key() {
            return Err(error(node.value.span.start, "a key is a word, not a list or an object"));
        }
        if self.open.len() + node.depth > DEPTH_MAX {
            return Err(too_deep(node.value.span.start));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.values += node.values;
        open.bytes += node.bytes;
        open.depth = open.depth.max(node.depth);
        open.items.push(node.value);
        Ok(())
    }
}

fn too_deep(at: usize) -> SyntaxError {
    error(at, format!("at most {DEPTH_MAX} objects and lists can be inside each other"))
}

/// Returns what a word without quotes means. Fails if people or other programs could read another number in it.
pub fn plain(text: &str) -> Result<ValueKind, String> {
    let number = |value: f64| serde_json::Number::from_f64(value).map(ValueKind::Number);
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => ValueKind::Null,
        "true" | "True" | "TRUE" => ValueKind::Bool(true),
        "false" | "False" | "FALSE" => ValueKind::Bool(false),
        _ if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) => {
            ValueKind::String(text.to_owned())
        }
        _ if matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") => {
            return Err(format!("{text} is no number that a test can have: write it in quotes if it is a word"));
        }
        _ => match whole(text) {
            Some(whole) => whole?,
            None if is_decimal(text) => text.parse().ok().and_then(number).ok_or("this number is too large")?,
            None => ValueKind::String(text.to_owned()),
        },
    })
}

/// Returns the whole number that a word is, if it is one.
fn whole(text: &str) -> Option<Result<ValueKind, String>> {
    let of = |digits: &str, radix| {
        let number = u64::from_str_radix(digits, radix).map_err(|_| "this number is too large".to_owned());
        number.map(|number| ValueKind::Number(number.into()))
    };
    let are = |digits: &str, kind: fn(&char) -> bool| !digits.is_empty() && digits.chars().all(|digit| kind(&digit));
    if let Some(digits) = text.strip_prefix("0x").filter(|digits| are(digits, char::is_ascii_hexdigit)) {
        return Some(of(digits, 16));
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|digits| are(digits, |digit| ('0'..='7').contains(digit))) {
        return Some(of(digits, 8));
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !are(digits, char::is_ascii_digit) {
        return None;
    }
    if digits.len() > 1 && digits.starts_with('0') {
        let decimal = digits.trim_start_matches('0');
        let decimal = if decimal.is_empty() { "0" } else { decimal };
        return Some(Err(format!(
            "{text} is {decimal} in YAML 1.2, and octal in YAML 1.1: write {decimal}, 0o{decimal}, or {text:?} in quotes"
        )));
    }
    let negative = text.starts_with('-');
    let number = match negative {
        true => text.parse::<i64>().map(serde_json::Number::from).ok(),
        false => digits.parse::<u64>().map(serde_json::Number::from).ok(),
    };
    Some(number.map(ValueKind::Number).ok_or_else(|| "this number is too large".to_owned()))
}

/// Returns whether a word is a number with a point or an exponent.
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(one, two)| (one, Some(two)));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(before) && digits(after) && !(before.is_empty() && after.is_empty()) && exponent_fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::json as json_file;
    use super::*;

    fn read(text: &str) -> Result<serde_json::Value, String> {
        let value = parse(text).map_err(|error| format!("{}: {}", error.at, error.message))?;
        Ok(serde_json::from_str(&json_file::encode(&value)).expect("it is JSON"))
    }

    #[test]
    fn a_word_means_what_yaml_1_2_says() {
        for (text, value) in [
            ("yes", json!("yes")),
            ("on", json!("on")),
            ("No", json!("No")),
            ("True", json!(true)),
            ("~", json!(null)),
            ("''", json!("")),
            ("12", json!(12)),
            ("-3", json!(-3)),
            ("+3", json!(3)),
            ("0o17", json!(15)),
            ("0xfF", json!(255)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.", json!(1.0)),
            ("1e3", json!(1000.0)),
            ("1:30", json!("1:30")),
            ("1_000", json!("1_000")),
            ("5s", json!("5s")),
            ("1.2.3", json!("1.2.3")),
            ("-", json!([null])),
            ("- -x", json!(["-x"])),
            ("+", json!("+")),
            (".", json!(".")),
            ("'12'", json!("12")),
            ("\"a\\tb\"", json!("a\tb")),
            ("{a: [1, b]}", json!({"a": [1, "b"]})),
            ("a: &x {b: 1}\nc: *x\n", json!({"a": {"b": 1}, "c": {"b": 1}})),
            ("a: |\n  one\n  two\n", json!({"a": "one\ntwo\n"})),
            ("a: >-\n  one\n  two\n", json!({"a": "one two"})),
            ("1: a\ntrue: b\n", json!({"1": "a", "true": "b"})),
            ("a:\n", json!({"a": null})),
        ] {
            assert_eq!(read(text), Ok(value), "{text:?}");
        }
    }

    #[test]
    fn what_a_test_cannot_have_is_told_with_its_place() {
        for (text, at, part) in [
            ("", 0, "empty"),
            ("# nothing\n", 0, "empty"),
            ("a: 010", 3, "0o10"),
            ("a: .inf", 3, "no number"),
            ("a: 99999999999999999999", 3, "too large"),
            ("a: !!str 1", 3, "no tags"),
            ("a: 1\n---\nb: 2\n", 5, "another one begins"),
            ("? [a]\n: 1\n", 2, "a key is a word"),
            ("<<: {a: 1}\n", 0, "YAML 1.1 only"),
            ("a: &x [*x]\n", 7, "inside the value"),
            ("a:\n\t- b\n", 4, "not with tabs"),
            ("a: [1\nb: 2\n", 7, "this is not YAML"),
            ("a: b: c\n", 4, "must be in quotes"),
            ("a: @b\n", 3, "must be in quotes"),
        ] {
            let wrong = parse(text).expect_err(text);
            assert!(wrong.message.contains(part), "{text:?}: {}", wrong.message);
            assert_eq!(wrong.at, at, "{text:?}: {}", wrong.message);
        }
    }

    #[test]
    fn aliases_and_nesting_have_bounds() {
        let bomb: String = (0..20).fold("a0: &a0 [x]\n".to_owned(), |text, nr| {
            let aliases = vec![format!("*a{nr}"); 10].join(", ");
            text + &format!("a{0}: &a{0} [{aliases}]\n", nr + 1)
        });
        assert!(parse(&bomb).expect_err("a bomb").message.contains("keys and values"));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 1_000].join(", "));
        assert!(parse(&long).expect_err("long").message.contains("aliases repeat"));
        assert!(parse(&("[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX))).is_ok());
        assert!(parse(&"[".repeat(100_000)).is_err());
        let deep = (0..DEPTH_MAX)
            .fold("a: &a0 [x]\n".to_owned(), |text, nr| text + &format!("b{nr}: &a{} [*a{nr}]\n", nr + 1));
        assert!(parse(&deep).expect_err("deep").message.contains("inside each other"));
    }

    #[test]
    fn places_count_bytes() {
        let value = parse("é: ü\nb: [ö, c]\n").expect("it is YAML");
        let ValueKind::Object(keys) = value.kind else { panic!("an object") };
        assert_eq!((keys[0].at, keys[0].value.span.clone(), keys[1].at), (0, 4..6, 7));
    }

    proptest::proptest! {
        #[test]
        fn json_is_read_as_json_reads_it(value in values()) {
            let text = value.to_string();
            proptest::prop_assert_eq!(read(&text), Ok(value));
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,\"'\\\\&*!|>%@`#?~0-9a-c \t\n.e-]{0,60}") {
            if let Err(wrong) = parse(&text) {
                proptest::prop_assert!(text.is_char_boundary(wrong.at));
            }
        }
    }

    fn values() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[ -~]{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map("[a-z]{1,6}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
