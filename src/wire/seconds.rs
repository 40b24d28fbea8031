//! Spans of time in events: in seconds, because people and programs read them in `events.jsonl`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::times::TIME_MAX;

/// Writes a span. A double has each number of microseconds up to [`TIME_MAX`] exactly, and the nearest double of its
/// seconds is written with no more digits than needed. A longer span is written as [`TIME_MAX`], because the reader
/// accepts no longer one.
pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    let micros = span.as_micros().min(TIME_MAX.into());
    to.serialize_f64(micros as f64 / 1e6)
}

/// Reads a span, in whole microseconds. Fails if it is negative or longer than [`TIME_MAX`].
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(from)?;
    let max = TIME_MAX as f64 / 1e6;
    if !(0.0..=max).contains(&seconds) {
        return Err(D::Error::custom(format!("a span is from 0 to {max} seconds, not {seconds}")));
    }
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
    struct Late(#[serde(with = "super")] Duration);

    fn read(seconds: &str) -> Result<Duration, serde_json::Error> {
        serde_json::from_str::<Late>(seconds).map(|late| late.0)
    }

    #[test]
    fn every_microsecond_is_written_as_seconds_and_read_back() {
        let many = (0..200_000).chain((0..200_000).map(|nr| nr * 12_960_007 % TIME_MAX)).chain(TIME_MAX - 9..=TIME_MAX);
        for micros in many {
            let text = serde_json::to_string(&Late(Duration::from_micros(micros))).unwrap();
            assert_eq!(read(&text).unwrap(), Duration::from_micros(micros), "{text}");
            assert!(text.len() <= "2591999.999999".len(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Late(Duration::from_micros(1_100_000))).unwrap(), "1.1");
        assert_eq!(serde_json::to_string(&Late(Duration::MAX)).unwrap(), "2592000.0");
    }

    #[test]
    fn a_span_that_is_negative_too_long_or_no_number_is_malformed() {
        for good in ["0", "-0.0", "7", "1e-9", "2592000"] {
            assert!(read(good).is_ok(), "{good}");
        }
        for bad in ["-1e-6", "-1", "2592000.0000005", "1e300", "1e400", "18446744073709551616", "NaN", "null", "\"1\""]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
