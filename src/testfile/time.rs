//! Times as people write them: seconds as a number, or `"250ms"`, `"90s"`, `"2 min"`, `"1h30min"`.

use std::fmt;
use std::time::Duration;

/// The longest time in a test file, on a command line and on the wire.
pub const TIME_MAX: Duration = Duration::from_micros(crate::wire::TIME_MAX);

/// The units in microseconds, in the order in which a time has them.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];

const FORMS: &str = "write seconds as a number, or a string such as \"250ms\", \"90s\", \"2min\" or \"1h30min\"";

/// Why a number or a text is not a time.
#[derive(Debug, Clone, PartialEq)]
pub enum TimeError {
    /// The time is negative, infinite or not a number.
    Negative(String),
    /// The time is longer than [`TIME_MAX`].
    TooLong(String),
    /// The text is not a sequence of numbers with units.
    NotATime(String),
    /// A number of the text has no unit.
    NoUnit(String),
    /// A unit does not exist.
    UnknownUnit {
        /// The text.
        text: String,
        /// The unit.
        unit: String,
    },
    /// The units of the text are out of order, or one is repeated.
    UnitOrder(String),
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeError::Negative(time) => write!(f, "a time is not negative, found {time}: write for example \"30s\""),
            TimeError::TooLong(time) => {
                write!(f, "{time} is too long: a time is at most {} days", TIME_MAX.as_secs() / 86_400)
            }
            TimeError::NotATime(text) => write!(f, "{text:?} is not a time: {FORMS}"),
            TimeError::NoUnit(text) => write!(f, "{text:?} has a number without a unit: {FORMS}"),
            TimeError::UnknownUnit { text, unit } => {
                write!(f, "{text:?} has the unknown unit {unit:?}: the units are h, min, s and ms")
            }
            TimeError::UnitOrder(text) => {
                write!(f, "{text:?} has its units out of order: h, min, s, ms, each at most once")
            }
        }
    }
}

impl std::error::Error for TimeError {}

/// Returns this number of seconds as a time. Fails if it is negative, not finite, or longer than [`TIME_MAX`].
pub fn from_seconds(seconds: f64) -> Result<Duration, TimeError> {
    if !seconds.is_finite() || seconds < 0.0 {
        return Err(TimeError::Negative(seconds.to_string()));
    }
    let micros = (seconds * 1e6).round();
    if micros > TIME_MAX.as_micros() as f64 {
        return Err(TimeError::TooLong(format!("{seconds} s")));
    }
    Ok(Duration::from_micros(micros as u64))
}

/// Reads numbers with units, the largest unit first, each unit at most once. A space may precede each number and each
/// unit. Fails if the text has another form, or the time is longer than [`TIME_MAX`].
pub fn from_text(text: &str) -> Result<Duration, TimeError> {
    let not_a_time = || match text.starts_with('-') && text.contains(|letter: char| letter.is_ascii_digit()) {
        true => TimeError::Negative(text.to_owned()),
        false => TimeError::NotATime(text.to_owned()),
    };
    let mut rest = text;
    let mut units = &UNITS[..];
    let mut micros = 0.0;
    while !rest.is_empty() || units.len() == UNITS.len() {
        rest = without_space(rest);
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = without_space(after);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        if number.is_empty() || number.starts_with('.') || number.ends_with('.') {
            return Err(not_a_time());
        }
        let number: f64 = number.parse().map_err(|_| not_a_time())?;
        if unit.is_empty() {
            return Err(TimeError::NoUnit(text.to_owned()));
        }
        let place = UNITS.iter().position(|(name, _)| *name == unit);
        let place = place.ok_or_else(|| TimeError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() })?;
        let skipped = UNITS.len() - units.len();
        if place < skipped {
            return Err(TimeError::UnitOrder(text.to_owned()));
        }
        micros += number * UNITS[place].1 as f64;
        units = &UNITS[place + 1..];
        rest = after;
    }
    if micros > TIME_MAX.as_micros() as f64 {
        return Err(TimeError::TooLong(text.to_owned()));
    }
    Ok(Duration::from_micros(micros.round() as u64))
}

fn without_space(text: &str) -> &str {
    text.strip_prefix(' ').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in [
            ("250ms", 250),
            ("90s", 90_000),
            ("2min", 120_000),
            ("1h30min", 5_400_000),
            ("1h1min1s1ms", 3_661_001),
            ("2 min", 120_000),
            ("1 h 30 min", 5_400_000),
            ("1h 30min", 5_400_000),
            (" 1s", 1_000),
            ("1.5s", 1_500),
            ("0s", 0),
            ("720h", 2_592_000_000),
        ] {
            assert_eq!(from_text(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(from_seconds(0.25), Ok(Duration::from_millis(250)));
        assert_eq!(from_seconds(0.0), Ok(Duration::ZERO));
    }

    #[test]
    fn an_error_says_what_is_wrong_with_the_time() {
        for (text, why) in [
            ("", "is not a time"),
            ("s", "is not a time"),
            ("-1s", "a time is not negative"),
            (" ", "is not a time"),
            ("1s ", "is not a time"),
            ("1  s", "has a number without a unit"),
            ("5 ", "has a number without a unit"),
            ("1.s", "is not a time"),
            ("1.2.3s", "is not a time"),
            ("90", "has a number without a unit"),
            ("1h30", "has a number without a unit"),
            ("2m", "has the unknown unit \"m\""),
            ("5 m", "has the unknown unit \"m\""),
            ("1s1s", "has its units out of order"),
            ("1s2min", "has its units out of order"),
            ("721h", "is too long: a time is at most 30 days"),
            (&"9".repeat(400), "has a number without a unit"),
            (&("9".repeat(400) + "s"), "is too long"),
        ] {
            let error = from_text(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert!(from_seconds(-1.0).is_err() && from_seconds(1e300).is_err() && from_seconds(f64::NAN).is_err());
    }
}
