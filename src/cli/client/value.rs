//! The value of `--data`: from the command line, from a file or from standard input.
//!
//! Reading it never takes longer than the time limit of the command, nor more bytes than the longest value has.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;

use arete::reactor::plain;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use serde_json::value::RawValue;

use arete::testfile::{BYTE_ORDER_MARK, Problem, Problems, json};

use crate::cli::client::deadline::Deadline;
use crate::cli::error::{Error, complain};

/// What is wrong with bytes that are not text.
const NO_TEXT: &str = "is not UTF-8: encode binary data, for example with base64";

/// The bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// The bytes that are read beyond the longest value, because spaces around JSON do not count.
const SPACES_MAX: usize = 1024;

/// The command that a value is for.
pub struct Receiver {
    /// Such as `sync session-7`, for messages.
    pub command: String,
    pub is_sync: bool,
    /// The longest value, in bytes.
    pub max: usize,
    pub deadline: Deadline,
}

impl Receiver {
    /// Returns the value of `--data` as JSON on one line. Fails if it is too long, or not complete in time.
    pub fn read(&self, data: &OsStr) -> Result<Rc<RawValue>, Error> {
        let Some(data) = data.to_str() else { return Err(Error::usage(format!("--data: the value {NO_TEXT}"))) };
        let (subject, text) = match data.strip_prefix('@') {
            Some("") => return Err(Error::usage("--data @: write the file after the @, as in --data @value.json")),
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
                let text = self.read_file(opened, &subject)?;
                (subject, text)
            }
            None if data == "-" => {
                let subject = "--data -: standard input";
                (subject.to_owned(), self.read_file(std::io::stdin().lock(), subject)?)
            }
            None => ("--data".to_owned(), data.to_owned()),
        };
        if let Some(warning) = warning_about(&text) {
            complain(format_args!("{subject}: {warning}"));
        }
        let (json, max) = (json_of(&text), self.max);
        let length = json.get().len();
        if length > max {
            let why = format!("the value is {length} bytes long as JSON; at most {max} are allowed");
            return Err(Error::failed(format!("--data: {why}")));
        }
        if self.deadline.is_over() {
            return Err(self.late("--data: reading it took longer".to_owned()));
        }
        Ok(json.into())
    }

    /// Reads a file, or standard input for `-`, of at most the length of the longest value. `option` names it.
    pub fn read_text(&self, option: &str, file: &OsStr) -> Result<String, Error> {
        let subject = format!("{option} {}", file.to_string_lossy());
        if file == "-" {
            return self.read_file(std::io::stdin().lock(), &subject);
        }
        // As in `read`.
        let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(file);
        self.read_file(opened.map_err(|error| Error::failed(format!("{subject}: {}", plain(&error))))?, &subject)
    }

    fn late(&self, why: String) -> Error {
        let limit = self.deadline.timeout.unwrap_or_default();
        Error::LateValue { command: self.command.clone(), is_sync: self.is_sync, limit, why }
    }

    /// Reads to the end. Fails if that is more than `max` bytes and [`SPACES_MAX`].
    fn read_file(&self, mut file: impl Read + AsFd, subject: &str) -> Result<String, Error> {
        let refused = |error: std::io::Error| Error::failed(format!("{subject}: {}", plain(&error)));
        let max = self.max;
        let mut bytes = Vec::new();
        let mut piece = vec![0; PIECE];
        while bytes.len() <= max + SPACES_MAX {
            if !self.has_more(&file).map_err(refused)? {
                return Err(self.late(format!("{subject} has not ended")));
            }
            match file.read(&mut piece) {
                Ok(0) => {
                    let text = String::from_utf8(bytes).map_err(|error| {
                        let at = error.utf8_error().valid_up_to();
                        Error::failed(format!("{subject}: byte {at} {NO_TEXT}"))
                    })?;
                    return Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text));
                }
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                // Another reader of the pipe was faster.
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Err(Error::failed(format!("{subject}: it is longer than the {max} bytes that are allowed")))
    }

    /// Waits for bytes or for the end of the file. Returns `false` when the time is up.
    fn has_more(&self, file: &impl AsFd) -> std::io::Result<bool> {
        loop {
            let left = self.deadline.left();
            let limit =
                left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
            match poll(&mut [PollFd::new(file, PollFlags::IN)], limit.as_ref()) {
                Ok(0) if self.deadline.is_over() => return Ok(false),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(!self.deadline.is_over()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What JavaScript and Python print for numbers that JSON does not have.
const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Returns a warning, with the place of the error, if a text looks like JSON and is not. It is then used as a string.
fn warning_about(text: &str) -> Option<String> {
    let whole = text.trim();
    let looks_like_json = whole.starts_with(['{', '[', '"']) || NO_NUMBERS.contains(&whole);
    serde_json::from_str::<&RawValue>(text).err().filter(|_| looks_like_json)?;
    let mut problems = Problems::new(text);
    let error = json::parse(text).err()?;
    problems.add(error.at, error.message);
    let Problem { line, column, message, .. } = problems.finish("").pop()?;
    Some(format!("line {line}, column {column}: it is not valid JSON, so it is used as a string: {message}"))
}

/// Returns a text unchanged if it is JSON, otherwise as a JSON string. Line ends between the tokens of JSON become
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

    #[test]
    fn data_is_json_if_it_is_valid_and_a_string_otherwise() {
        assert_eq!(json_of("17").get(), "17");
        assert_eq!(json_of(" {\"a\":\n [1,\r\n2]}\n").get(), "{\"a\":  [1,  2]}");
        assert_eq!(json_of("10.0.0.1 ").get(), "\"10.0.0.1 \"");
        assert_eq!(json_of("a\n\"b\"").get(), "\"a\\n\\\"b\\\"\"");
        assert_eq!(json_of("").get(), "\"\"");
        assert_eq!(json_of("1e400000 00").get(), "\"1e400000 00\"");
    }

    #[test]
    fn a_text_that_looks_like_json_and_is_not_causes_a_warning_with_its_place() {
        for (text, place) in [
            ("{\"x\": NaN}", "line 1, column 7: "),
            ("{\"x\": 1,}", "line 1, column 8: "),
            ("[1,\n 2,,]", "line 2, column 4: "),
            ("  {\"x\": 1", "line 1, column 10: "),
            ("\"a\" b", "line 1, column 5: "),
            ("NaN", "line 1, column 1: "),
            ("-Infinity", "line 1, column 1: "),
        ] {
            let warning = warning_about(text).expect(text);
            assert!(warning.starts_with(place) && warning.contains("used as a string: "), "{text:?}: {warning}");
        }
        for good in ["17", "{\"a\":\n 1}\n", "10.0.0.1", "eth0", "", "None of it", "-5 degrees", "a {b}"] {
            assert_eq!(warning_about(good), None, "{good:?}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_refused_with_the_limit() {
        let deadline = Deadline { begun: Time::from_micros(0), timeout: None };
        let receiver = Receiver { command: "sync s".to_owned(), is_sync: true, max: 101, deadline };
        let error = receiver.read("x".repeat(100).as_ref()).unwrap_err().to_string();
        assert!(error.contains("102 bytes") && error.contains("101"), "{error}");
        assert!(receiver.read("x".repeat(99).as_ref()).is_ok());
    }
}
