//! JSON with the place of every key and value, so that a problem has a line and a column.
//!
//! This file reads the structure. serde_json reads strings and numbers, so that their rules are the usual ones. No input
//! causes a panic or a deep recursion.

mod words;

use std::fmt;
use std::ops::Range;

/// The deepest nesting of objects and lists.
pub const DEPTH_MAX: usize = 32;

/// The most keys and values of a text. A longer text is not a test, and reading it would only take time.
pub const VALUES_MAX: usize = 100_000;

/// The mark that some editors put at the beginning of a text.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The bytes of the text that it takes.
    pub span: Range<usize>,
    /// The value itself.
    pub kind: ValueKind,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueKind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A string, without its quotes and escapes.
    String(String),
    /// A list.
    List(Vec<Value>),
    /// An object, in the order of the text. A key may appear twice.
    Object(Vec<KeyValue>),
}

/// A key of an object with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyValue {
    /// The byte of the text at which the key begins.
    pub at: usize,
    /// The key, without its quotes and escapes.
    pub key: String,
    /// The value.
    pub value: Value,
}

impl ValueKind {
    /// Returns the kind of the value, for a message.
    pub fn noun(&self) -> &'static str {
        match self {
            ValueKind::Null => "null",
            ValueKind::Bool(true) => "true",
            ValueKind::Bool(false) => "false",
            ValueKind::Number(_) => "a number",
            ValueKind::String(_) => "a string",
            ValueKind::List(_) => "a list",
            ValueKind::Object(_) => "an object",
        }
    }
}

/// Why a text is not JSON.
#[derive(Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The byte of the text at which it is wrong.
    pub at: usize,
    /// What is wrong, for people.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// Reads a text with one value. Fails at the first place that is not JSON.
pub fn parse(text: &str) -> Result<Value, SyntaxError> {
    read(text).map_err(|error| yaml(text).unwrap_or(error))
}

/// Returns a value as JSON text, a line for each key and each item.
pub fn encode(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
    let string = |string: &str| serde_json::to_string(string).expect("a string always encodes");
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', depth));
    };
    match &value.kind {
        ValueKind::Null => text.push_str("null"),
        ValueKind::Bool(bool) => text.push_str(if *bool { "true" } else { "false" }),
        ValueKind::Number(number) => text.push_str(&number.to_string()),
        ValueKind::String(it) => text.push_str(&string(it)),
        ValueKind::List(items) => {
            text.push('[');
            for (nr, item) in items.iter().enumerate() {
                text.push_str(if nr > 0 { "," } else { "" });
                line(text, depth + 1);
                write(item, depth + 1, text);
            }
            text.push(']');
        }
        ValueKind::Object(keys) => {
            text.push('{');
            for (nr, KeyValue { key, value, .. }) in keys.iter().enumerate() {
                text.push_str(if nr > 0 { "," } else { "" });
                line(text, depth + 1);
                text.push_str(&string(key));
                text.push_str(": ");
                write(value, depth + 1, text);
            }
            text.push('}');
        }
    }
}

/// Returns the error of a text that is YAML. The place at which it stops being JSON would not help its author.
fn yaml(text: &str) -> Option<SyntaxError> {
    let begins = |line: &str| line.len() - line.trim_start().len();
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            from += line.len();
            continue;
        }
        let message = "this looks like YAML, and arete reads only JSON: convert it, for example with \"yq -o json\"";
        return is_yaml(content).then(|| SyntaxError { at: from + begins(line), message: message.to_owned() });
    }
    None
}

/// Returns whether this line, the first one that is not a comment, begins a YAML document: a mark, an item or a key
/// without quotes.
fn is_yaml(line: &str) -> bool {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_-$. ".contains(letter);
    let is_key = |(key, rest): (&str, &str)| {
        key.starts_with(|first: char| first != '-' && is_plain(first))
            && key.chars().all(is_plain)
            && (rest.is_empty() || rest.starts_with(' '))
    };
    line == "---"
        || ["--- ", "- ", "%YAML "].iter().any(|mark| line.starts_with(mark))
        || line.split_once(':').is_some_and(is_key)
}

fn read(text: &str) -> Result<Value, SyntaxError> {
    let mut reader = Reader { text, at: 0, left: VALUES_MAX };
    let value = reader.value(0)?;
    match reader.next_char() {
        None => Ok(value),
        Some(_) => reader.fail("expected the end of the file"),
    }
}

/// Finds places inside a string: for a byte of the string, the byte of the text at which it is written.
///
/// It only moves forward. Starting from the beginning for each variable of a long string would take minutes.
pub struct Inside<'a> {
    /// The string as it is written, without its quotes.
    raw: &'a str,
    /// The byte of the text at which `raw` begins.
    start: usize,
    /// The bytes of `raw` that were read.
    at: usize,
    /// The bytes of the string that were read.
    decoded: usize,
    /// The string itself, if it is written in another way than JSON writes strings.
    other: Option<&'a str>,
}

impl<'a> Inside<'a> {
    /// Returns the finder for `string`, which is at `span` of `text`.
    pub fn new(text: &'a str, span: &Range<usize>, string: &'a str) -> Inside<'a> {
        let written = &text[span.clone()];
        let quoted = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match quoted.filter(|raw| !raw.contains(['\n', '\r']) && !["\\x", "\\U"].iter().any(|it| raw.contains(it))) {
            Some(raw) => Inside { raw, start: span.start + 1, at: 0, decoded: 0, other: None },
            None => Inside { raw: written, start: span.start, at: 0, decoded: 0, other: Some(string) },
        }
    }

    /// Returns the byte of the text for the byte `offset` of the string, in YAML nearly. It must not be lower than in the
    /// last call.
    pub fn place(&mut self, offset: usize) -> usize {
        if let Some(string) = self.other {
            let rest = string.get(offset..).unwrap_or_default();
            // What follows up to the end of the line is written as it is, except in quotes with escapes.
            let line = rest.split(['\n', ' ', '\'', '"']).next().unwrap_or_default();
            // An equal text before it is the one of the last call.
            let first = self.raw[self.at..].chars().next().map_or(0, char::len_utf8);
            let from = if offset > self.decoded { self.at + first } else { self.at };
            match self.raw[from..].find(line).filter(|_| !line.is_empty()) {
                Some(found) => (self.at, self.decoded) = (from + found, offset),
                None => self.other = Some(""),
            }
            return self.start + self.at;
        }
        while self.decoded < offset && self.at < self.raw.len() {
            let rest = &self.raw.as_bytes()[self.at..];
            let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len()).min(offset - self.decoded);
            let (written, decoded) = if plain > 0 { (plain, plain) } else { escape(&self.raw[self.at..]) };
            self.at += written;
            self.decoded += decoded;
        }
        self.start + self.at
    }
}

/// Returns the length in bytes of the escape at the beginning of `raw`, and of the character that it means.
fn escape(raw: &str) -> (usize, usize) {
    let hex = |at: usize| raw.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    if raw.as_bytes().get(1) != Some(&b'u') {
        return (raw.len().min(2), 1);
    }
    match hex(2) {
        // The first surrogate of a pair, which means a character outside the first plane.
        Some(0xD800..=0xDBFF) => (raw.len().min(12), 4),
        code => (raw.len().min(6), code.and_then(char::from_u32).map_or(1, char::len_utf8)),
    }
}

/// Reads a text from its beginning.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The keys and values that may still follow.
    left: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Fails at this place, with what was expected and what was found.
    fn fail<T>(&self, expected: &str) -> Result<T, SyntaxError> {
        Err(SyntaxError { at: self.at, message: words::unexpected(expected, self.rest()) })
    }

    /// Skips white space and returns the byte after it, without skipping that byte.
    fn next_char(&mut self) -> Option<u8> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Counts a key or a value. Fails if there are too many.
    fn count(&mut self) -> Result<(), SyntaxError> {
        let left = self.left.checked_sub(1);
        self.left = left.ok_or_else(|| SyntaxError {
            at: self.at,
            message: format!("a test has at most {VALUES_MAX} keys and values, and more follow"),
        })?;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let first = self.next_char();
        self.count()?;
        let start = self.at;
        let kind = match first {
            Some(b'{' | b'[') if depth == DEPTH_MAX => {
                return self.fail(&format!("expected at most {DEPTH_MAX} objects and lists inside each other"));
            }
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.list(depth + 1)?,
            Some(b'"') => ValueKind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Value { span: start..self.at, kind })
    }

    fn word(&mut self) -> Result<ValueKind, SyntaxError> {
        let words = [("true", ValueKind::Bool(true)), ("false", ValueKind::Bool(false)), ("null", ValueKind::Null)];
        for (word, kind) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(kind);
            }
        }
        self.fail("expected a value")
    }

    fn number(&mut self) -> Result<ValueKind, SyntaxError> {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len());
        match serde_json::from_str(&rest[..length]) {
            Ok(number) => {
                self.at += length;
                Ok(ValueKind::Number(number))
            }
            Err(_) => Err(SyntaxError { at: self.at, message: words::number(&rest[..length]) }),
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let bytes = self.rest().as_bytes();
        let (mut end, mut plain) = (1, true);
        while bytes.get(end).is_some_and(|&byte| byte != b'"' && byte != b'\n') {
            plain &= bytes[end] >= b' ' && bytes[end] != b'\\';
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        if bytes.get(end) != Some(&b'"') {
            return Err(SyntaxError { at: self.at, message: words::endless(&self.rest()[1..]) });
        }
        // Most strings have no escapes, and copying them is faster than a call of serde_json.
        if plain {
            let string = self.rest()[1..end].to_owned();
            self.at += end + 1;
            return Ok(string);
        }
        match serde_json::from_str(&self.rest()[..=end]) {
            Ok(string) => {
                self.at += end + 1;
                Ok(string)
            }
            Err(error) => {
                let at = floor_char(self.text, self.at + error.column().saturating_sub(1).min(end));
                let message = words::in_string(&self.text[self.at..at], &self.text[at..]);
                Err(SyntaxError { at, message })
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<ValueKind, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        if self.next_char() == Some(b']') {
            self.at += 1;
            return Ok(ValueKind::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.ends(b']', "expected \",\" or \"]\" in the list")? {
                return Ok(ValueKind::List(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<ValueKind, SyntaxError> {
        self.at += 1;
        let mut members = Vec::new();
        if self.next_char() == Some(b'}') {
            self.at += 1;
            return Ok(ValueKind::Object(members));
        }
        loop {
            if self.next_char() != Some(b'"') {
                return self.fail("expected a key in double quotes");
            }
            let at = self.at;
            self.count()?;
            let key = self.string()?;
            if self.next_char() != Some(b':') {
                return self.fail("expected \":\" after the key");
            }
            self.at += 1;
            let value = self.value(depth)?;
            members.push(KeyValue { at, key, value });
            if self.ends(b'}', "expected \",\" or \"}\" in the object")? {
                return Ok(ValueKind::Object(members));
            }
        }
    }

    /// Reads what follows an item. Returns whether `close` ends the list or object; a comma continues it.
    fn ends(&mut self, close: u8, expected: &str) -> Result<bool, SyntaxError> {
        match self.next_char() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            Some(b',') => {
                let comma = self.at;
                self.at += 1;
                if self.next_char() == Some(close) {
                    let message = format!("remove this \",\": JSON has no comma before \"{}\"", close as char);
                    return Err(SyntaxError { at: comma, message });
                }
                Ok(false)
            }
            _ => self.fail(expected),
        }
    }
}

/// Returns the beginning of the character at the byte `at`.
fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the value without its places, as serde_json has it.
    fn plain(value: Value) -> serde_json::Value {
        match value.kind {
            ValueKind::Null => serde_json::Value::Null,
            ValueKind::Bool(bool) => bool.into(),
            ValueKind::Number(number) => number.into(),
            ValueKind::String(string) => string.into(),
            ValueKind::List(items) => items.into_iter().map(plain).collect::<Vec<_>>().into(),
            ValueKind::Object(members) => {
                serde_json::Value::Object(members.into_iter().map(|member| (member.key, plain(member.value))).collect())
            }
        }
    }

    #[test]
    fn it_accepts_what_serde_json_accepts_and_nothing_else() {
        let texts = [
            "{}",
            " [ ] ",
            "[1, -2.5e3, 0, 1E+2]",
            "01",
            "1.",
            "-",
            "+1",
            ".5",
            "1e999",
            "[1,]",
            "[,]",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "\"\\ud83d\\ude00 \\n\\u00e9\"",
            "\"\\ud83d\"",
            "\"\\x\"",
            "\"a\tb\"",
            "\"a\nb\"",
            "\"a",
            "\"a\\",
            "\"\\\"",
            "tru",
            "true",
            "nul",
            "null",
            "truefalse",
            "1 2",
            "",
            "  ",
            "[1 2]",
            "'a'",
            "[",
            "{\"a\":",
            "\u{feff}{}",
            "\u{a0}1",
            "{\"a\":{\"b\":[true,false,null]}}",
            "18446744073709551616",
        ];
        for text in texts {
            let ours = parse(text).ok().map(plain);
            assert_eq!(ours, serde_json::from_str(text).ok(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_as_serde_json_reads_it_and_nothing_panics(text in "[\\[\\]{}:,\"\\\\u0-9a-f é\n.e-]{0,40}") {
            let ours = parse(&text).ok().map(plain);
            proptest::prop_assert_eq!(ours, serde_json::from_str(&text).ok());
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        assert!(parse(&("[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX))).is_ok());
        let error = parse(&"[".repeat(1_000_000)).unwrap_err();
        assert_eq!(error.message, "expected at most 32 objects and lists inside each other, found '['");
    }

    #[test]
    fn a_place_in_a_string_is_found_after_escapes() {
        let text = r#"  "a\"\u00e9\ud83d\ude00é@" "#;
        let span = parse(text).unwrap().span;
        let decoded = "a\"é😀é@".find('@').unwrap();
        let mut inside = Inside::new(text, &span, "");
        assert_eq!([0, 1, 2].map(|offset| inside.place(offset)), [3, 4, 6]);
        assert_eq!(inside.place(decoded), text.find('@').unwrap());
        assert_eq!(inside.place(decoded), text.find('@').unwrap(), "asked again");
    }
}
