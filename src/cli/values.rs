//! The values of options, as people write them: times, sizes and numbers.

use std::time::Duration;

use arete::controller::Keeping;
use arete::testfile;

use crate::cli::error::Error;

/// Reads a time: as in a test file, or a number of seconds.
pub fn time(text: &str) -> Result<Duration, Error> {
    let time = match text.parse::<f64>() {
        Ok(seconds) => testfile::time::from_seconds(seconds),
        Err(_) => testfile::time::from_text(text),
    };
    time.map_err(Error::usage)
}

/// Reads a time limit. Fails if it is 0, because no answer arrives in no time.
pub fn time_limit(text: &str) -> Result<Duration, Error> {
    match time(text) {
        Ok(time) if time.is_zero() => Err(Error::usage("it must be longer than 0, such as 5s; or leave it out")),
        other => other,
    }
}

/// Reads a size, such as `65536`, `64KiB` or `16MiB`, of at most `max` bytes.
pub fn size(text: &str, max: usize) -> Result<usize, Error> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(Error::usage(format!("unknown unit {unit:?}: write bytes, KiB, MiB or GiB"))),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    let bytes = bytes.filter(|bytes| (1..=max).contains(bytes));
    bytes.ok_or_else(|| Error::usage(format!("a size is a number from 1 to {max} bytes")))
}

/// Reads a number from 1 to `max`.
pub fn count(text: &str, max: u64) -> Result<u64, Error> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| Error::usage(format!("it is a number from 1 to {max}")))
}

/// Reads `--keep` of a controller: a number of runs, or the time for which a run is kept after its end.
pub fn keeping(text: &str) -> Result<Keeping, Error> {
    match (text.parse(), testfile::time::from_text(text)) {
        (Ok(count), _) => Ok(Keeping::Count(count)),
        (_, Ok(age)) => Ok(Keeping::Age(age)),
        _ => Err(Error::usage("write a number of runs, such as 100, or a time, such as 720h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_has_units() {
        assert_eq!(time("1.5").unwrap(), Duration::from_millis(1500));
        assert_eq!(time("2min").unwrap(), Duration::from_secs(120));
        assert!(time("soon").is_err() && time("-1").is_err());
        assert_eq!((time("0").unwrap(), time_limit("1ms").unwrap()), (Duration::ZERO, Duration::from_millis(1)));
        assert!(["0", "0s", "0.0000001", "soon"].iter().all(|text| time_limit(text).is_err()));
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_a_unit() {
        assert_eq!(size("17", 20).unwrap(), 17);
        assert_eq!(size("64KiB", 1 << 20).unwrap(), 65_536);
        assert_eq!(size("1MiB", 1 << 20).unwrap(), 1 << 20);
        assert_eq!(size("2GiB", 1 << 31).unwrap(), 1 << 31);
        for text in ["", "0", "2MiB", "1GB", "x", "99999999999999999999"] {
            assert!(size(text, 1 << 20).is_err(), "{text:?}");
        }
    }
}
