//! The values of options, as people write them: times, sizes and numbers.

use std::time::Duration;

use arete::testfile;

/// Reads a time: as in a test file, or a number of seconds.
pub fn time(text: &str) -> Result<Duration, String> {
    let time = match text.parse::<f64>() {
        Ok(seconds) => testfile::time::from_seconds(seconds),
        Err(_) => testfile::time::from_text(text),
    };
    time.map_err(|error| error.to_string())
}

/// Reads a time after which a command fails. It must not be zero, because no answer comes in no time.
pub fn time_limit(text: &str) -> Result<Duration, String> {
    match time(text) {
        Ok(time) if time.is_zero() => Err("it must be longer than 0, such as 5s; or leave it out".to_owned()),
        other => other,
    }
}

/// Reads a number of bytes, such as `64KiB` or `16MiB`, of at most `max` bytes.
pub fn size(text: &str, max: usize) -> Result<usize, String> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("{unit:?} is no unit: write bytes, KiB, MiB or GiB")),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    let bytes = bytes.filter(|bytes| (1..=max).contains(bytes));
    bytes.ok_or_else(|| format!("a size is a number from 1 to {max} bytes"))
}

/// Reads a number from 1 to `max`.
pub fn count(text: &str, max: u64) -> Result<u64, String> {
    let number = text.parse::<u64>().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("it is a number from 1 to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_has_units() {
        assert_eq!(time("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("2min"), Ok(Duration::from_secs(120)));
        assert!(time("soon").is_err() && time("-1").is_err());
        assert_eq!((time("0"), time_limit("1ms")), (Ok(Duration::ZERO), Ok(Duration::from_millis(1))));
        assert!(["0", "0s", "0.0000001", "soon"].iter().all(|wrong| time_limit(wrong).is_err()));
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_a_unit() {
        assert_eq!(size("17", 20), Ok(17));
        assert_eq!(size("64KiB", 1 << 20), Ok(65_536));
        assert_eq!(size("1MiB", 1 << 20), Ok(1 << 20));
        assert_eq!(size("2GiB", 1 << 31), Ok(1 << 31));
        for wrong in ["", "0", "2MiB", "1GB", "x", "99999999999999999999"] {
            assert!(size(wrong, 1 << 20).is_err(), "{wrong:?}");
        }
    }
}
