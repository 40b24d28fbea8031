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
    let digit = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let is_negative = text.strip_prefix('-').is_some_and(digit);
    match time(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Err(error) if !is_negative => Err(error),
        _ => Err(Error::usage("it must be longer than 0, such as 30s; or leave it out")),
    }
}

/// Reads a size, such as `65536`, `64KiB` or `16MiB`, of at most `max` bytes.
pub fn size(text: &str, max: usize) -> Result<usize, Error> {
    let most = if max == usize::MAX { String::new() } else { format!(", at most {max} bytes") };
    let rule = || Error::usage(format!("write a size above 0, such as 65536, 64KiB or 16MiB{most}"));
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ if digits.is_empty() || unit.starts_with('.') => return Err(rule()),
        _ => return Err(Error::usage(format!("unknown unit {unit:?}: write bytes, KiB, MiB or GiB"))),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    let bytes = bytes.filter(|bytes| (1..=max).contains(bytes));
    bytes.ok_or_else(rule)
}

/// Reads a number from 1 to `max`. `noun` says what it counts, such as `number of days`.
pub fn number<T: TryFrom<u64>>(text: &str, max: u64, noun: &str) -> Result<T, Error> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| Error::usage(format!("write a {noun} from 1 to {max}")))
}

/// Reads the number of a port.
pub fn port(text: &str) -> Result<u16, Error> {
    number(text, u16::MAX.into(), "port number")
}

/// Reads what names a run. The controller decides whether there is one.
pub fn run_name(text: &str) -> Result<String, Error> {
    match text.trim().is_empty() {
        true => Err(Error::usage("write the id of a run, the start of its id, or latest")),
        false => Ok(text.to_owned()),
    }
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
