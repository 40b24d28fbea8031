//! The value of `--data`: from the command line, from a file or from standard input.
//!
//! Reading it takes no longer than the command may take in all, and no more than the value may be long.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;

use arete::reactor::plain;
use arete::text;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use serde_json::value::RawValue;

use arete::testfile::BYTE_ORDER_MARK;

use crate::cli::client::patience::Patience;
use crate::cli::error::{Error, complain};

/// What is wrong with bytes that are not text.
const NO_TEXT: &str = "is not UTF-8: encode what is no text, with base64 for example";

/// The bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// The bytes that are read beyond the longest value, because spaces around JSON do not count.
const SPACES_MAX: usize = 1024;

/// How the command ends if the value is not complete in time.
pub struct Late<'a> {
    /// `sync session-7`, for the message.
    pub subject: &'a str,
    pub code: u8,
}

/// Returns the value of `--data` as JSON on one line, of at most `max` bytes. Fails if it is longer, or late.
pub fn value(data: &OsStr, max: usize, patience: Patience, late: &Late<'_>) -> Result<Rc<RawValue>, Error> {
    let Some(data) = data.to_str() else { return Err(Error::usage(format!("--data: the value {NO_TEXT}"))) };
    let (subject, text) = match data.strip_prefix('@') {
        Some("") => return Err(Error::usage("--data @: name the file behind the @, as in --data @value.json")),
        Some("-") => {
            return Err(Error::usage(
                "--data @-: standard input is - alone, as in --data -; a file of that name is @./-",
            ));
        }
        // Opening a named pipe would otherwise block until its other end is opened.
        Some(file) => {
            let subject = format!("--data {data}");
            let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(file);
            let opened = opened.map_err(|error| Error::failed(format!("{subject}: {}", plain(&error))))?;
            let text = read(opened, &subject, max, patience, late)?;
            (subject, text)
        }
        None if data == "-" => {
            let subject = "--data -: standard input";
            (subject.to_owned(), read(std::io::stdin().lock(), subject, max, patience, late)?)
        }
        None => ("--data".to_owned(), data.to_owned()),
    };
    if let Some(slip) = slip(&text) {
        complain(&format!("{subject}: {slip}"));
    }
    let json = json_of(&text);
    if json.get().len() > max {
        let length = json.get().len();
        return Err(Error::failed(format!(
            "--data: the value is {length} bytes long as JSON; at most {max} are allowed"
        )));
    }
    if patience.is_over() {
        return Err(late.error("--data: it took longer to read", patience));
    }
    Ok(json.into())
}

impl Late<'_> {
    fn error(&self, why: &str, patience: Patience) -> Error {
        let within = text::duration(patience.timeout.unwrap_or_default());
        let message = format!(
            "{}: the value was not complete within {within}, so nobody was told anything: {why}; give it more time with \
             --timeout",
            self.subject
        );
        Error { code: self.code, message }
    }
}

/// Reads to the end, at most `max` bytes and [`SPACES_MAX`] more.
fn read(
    mut from: impl Read + AsFd,
    subject: &str,
    max: usize,
    patience: Patience,
    late: &Late<'_>,
) -> Result<String, Error> {
    let wrong = |why: String| Error::failed(format!("{subject}: {why}"));
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE];
    while bytes.len() <= max + SPACES_MAX {
        if !has_more(&from, patience).map_err(|error| wrong(plain(&error)))? {
            return Err(late.error(&format!("{subject} has not ended"), patience));
        }
        match from.read(&mut piece) {
            Ok(0) => return text(bytes).map_err(wrong),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            // Another reader of the pipe was faster.
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(wrong(plain(&error))),
        }
    }
    Err(wrong(format!("it is longer than the {max} bytes that are allowed")))
}

/// Waits for bytes or for the end of the file. Returns `false` when the time is up.
fn has_more(from: &impl AsFd, patience: Patience) -> std::io::Result<bool> {
    loop {
        let left = patience.left();
        let limit = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        match poll(&mut [PollFd::new(from, PollFlags::IN)], limit.as_ref()) {
            Ok(0) if patience.is_over() => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(!patience.is_over()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("byte {at} {NO_TEXT}")
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

/// What JavaScript and Python print for numbers that JSON does not have.
const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Returns a warning if a text looks like JSON and is not, with the place of the error. It is taken as a string then.
fn slip(text: &str) -> Option<String> {
    let whole = text.trim();
    let looks_like_json = whole.starts_with(['{', '[', '"']) || NO_NUMBERS.contains(&whole);
    let error = serde_json::from_str::<&RawValue>(text).err().filter(|_| looks_like_json)?;
    let words = error.to_string();
    let why = words.split(" at line ").next().unwrap_or_default();
    Some(format!(
        "line {}, column {}: {why}: it is not JSON, so it is passed on as a text",
        error.line(),
        error.column()
    ))
}

/// Returns a text as it is if it is JSON, otherwise as a JSON string. Line ends between the tokens of JSON become
/// spaces, because a message is one line.
fn json_of(text: &str) -> Box<RawValue> {
    let whole = text.trim();
    let is_line = memchr::memchr2(b'\n', b'\r', whole.as_bytes()).is_none();
    // This comes first, because a line end inside a string is not JSON and must not become JSON.
    let json = if is_line {
        RawValue::from_string(whole.to_owned()).ok()
    } else {
        let is_json = serde_json::from_str::<&RawValue>(whole).is_ok();
        is_json.then(|| RawValue::from_string(whole.replace(['\n', '\r'], " ")).ok()).flatten()
    };
    let quoted = || RawValue::from_string(serde_json::Value::from(text).to_string());
    json.unwrap_or_else(|| quoted().expect("a quoted text is JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arete::machine::Time;

    const EVER: Patience = Patience { begun: Time::from_micros(0), timeout: None };
    const LATE: Late<'static> = Late { subject: "sync s", code: 6 };

    #[test]
    fn data_is_json_if_it_parses_and_else_a_string() {
        assert_eq!(json_of("17").get(), "17");
        assert_eq!(json_of(" {\"a\":\n [1,\r\n2]}\n").get(), "{\"a\":  [1,  2]}");
        assert_eq!(json_of("10.0.0.1 ").get(), "\"10.0.0.1 \"");
        assert_eq!(json_of("a\n\"b\"").get(), "\"a\\n\\\"b\\\"\"");
        assert_eq!(json_of("").get(), "\"\"");
        assert_eq!(json_of("1e400000 00").get(), "\"1e400000 00\"");
    }

    #[test]
    fn what_looks_like_json_and_is_none_is_told_with_its_place() {
        for (text, place) in [
            ("{\"x\": NaN}", "line 1, column 7: expected value"),
            ("{\"x\": 1,}", "line 1, column 9: key must be a string"),
            ("[1,\n 2,,]", "line 2, column 4: expected value"),
            ("  {\"x\": 1", "line 1, column 9: EOF while parsing an object"),
            ("\"a\" b", "line 1, column 5: trailing characters"),
            ("NaN", "line 1, column 1: expected value"),
            ("-Infinity", "line 1, column 2: invalid number"),
        ] {
            let said = slip(text).expect(text);
            assert!(said.starts_with(place) && said.ends_with("passed on as a text"), "{text:?}: {said}");
        }
        for good in ["17", "{\"a\":\n 1}\n", "10.0.0.1", "eth0", "", "None of it", "-5 degrees", "a {b}"] {
            assert_eq!(slip(good), None, "{good:?}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_refused_with_the_limit() {
        let error = value("x".repeat(100).as_ref(), 101, EVER, &LATE).unwrap_err();
        assert!(error.message.contains("102 bytes") && error.message.contains("101"), "{}", error.message);
        assert!(value("x".repeat(99).as_ref(), 101, EVER, &LATE).is_ok());
    }
}
