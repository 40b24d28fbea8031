//! Bounds: `>= 500 Mbit/s`, and whether a value keeps one.

use std::fmt;

use super::unit::{self, factor, is_unit};
use super::{VALUE_MAX, is_value, with_unit};

/// How much two values may differ and still be equal, relative to their size, if one of them was converted.
const ROUNDING: f64 = 1e-12;

/// How a value is compared with the number of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// At least.
    Least,
    /// At most.
    Most,
    /// More than.
    Above,
    /// Less than.
    Below,
    /// Equal.
    Equal,
}

/// The signs of the comparisons. A sign that begins with another one is before it.
const SIGNS: [(&str, Comparison); 5] = [
    (">=", Comparison::Least),
    ("<=", Comparison::Most),
    ("==", Comparison::Equal),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// How it is compared.
    pub comparison: Comparison,
    /// The number.
    pub number: f64,
    /// The unit of the number. `None`: the number is in the unit of the value.
    pub unit: Option<String>,
}

/// The units of a value and of its bound do not measure the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitsDiffer;

/// Why a text is not a bound.
#[derive(Debug, PartialEq, Eq)]
pub enum BoundError {
    /// It begins with something else than a comparison or a number.
    NoNumber,
    /// The number is too large.
    Large,
    /// The text after the number is not a unit.
    Unit(String),
}

impl fmt::Display for BoundError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundError::NoNumber => to.write_str(
                "write a comparison (>=, <=, >, <, ==) and a number with its unit, such as \">= 500 Mbit/s\"",
            ),
            BoundError::Large => write!(to, "the number is at most {VALUE_MAX:e}"),
            BoundError::Unit(text) => write!(to, "{text:?} is not a unit: a {}", unit::rule()),
        }
    }
}

impl std::error::Error for BoundError {}

impl Bound {
    /// Reads a bound. `without` is the comparison of a text that begins with the number.
    pub fn read(text: &str, without: Comparison) -> Result<Bound, BoundError> {
        let text = text.trim();
        let signed = SIGNS.iter().find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?)));
        let (comparison, rest) = signed.unwrap_or((without, text));
        let rest = rest.trim_start();
        let (number, unit) = rest.split_at(number_length(rest));
        let number: f64 = number.parse().map_err(|_| BoundError::NoNumber)?;
        if !is_value(number) {
            return Err(BoundError::Large);
        }
        let unit = unit.trim_start();
        match is_unit(unit) {
            _ if unit.is_empty() => Ok(Bound { comparison, number, unit: None }),
            true => Ok(Bound { comparison, number, unit: Some(unit.to_owned()) }),
            false => Err(BoundError::Unit(unit.chars().take(super::UNIT_MAX).collect())),
        }
    }

    /// Returns whether a value keeps the bound. Fails if their units do not measure the same.
    pub fn holds(&self, value: f64, unit: Option<&str>) -> Result<bool, UnitsDiffer> {
        let factor = match &self.unit {
            None => 1.0,
            own => factor(unit, own.as_deref()).ok_or(UnitsDiffer)?,
        };
        let converted = value * factor;
        let near = (converted - self.number).abs() <= ROUNDING * self.number.abs().max(converted.abs());
        let equal = if factor == 1.0 { converted == self.number } else { near };
        Ok(match self.comparison {
            Comparison::Least => equal || converted > self.number,
            Comparison::Most => equal || converted < self.number,
            Comparison::Above => !equal && converted > self.number,
            Comparison::Below => !equal && converted < self.number,
            Comparison::Equal => equal,
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = SIGNS.iter().find(|(_, comparison)| *comparison == self.comparison).map_or("", |(sign, _)| *sign);
        write!(to, "{sign} {}", with_unit(self.number, self.unit.as_deref()))
    }
}

/// Returns the length of the number with which a text begins, in bytes.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = usize::from(text.starts_with(['-', '+']));
    length += digits(length);
    if bytes.get(length) == Some(&b'.') {
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'-' | b'+')));
        // Otherwise the letter begins the unit.
        let exponent = digits((length + 1 + sign).min(bytes.len()));
        length += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> Bound {
        Bound::read(text, Comparison::Equal).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_bound_is_a_comparison_a_number_and_a_unit() {
        for (text, shown) in [
            (">= 500", ">= 500"),
            (">=500Mbit/s", ">= 500 Mbit/s"),
            (" <  20ms ", "< 20 ms"),
            ("<= 5%", "<= 5%"),
            ("> -1.5e3", "> -1500"),
            ("== 5 EB", "== 5 EB"),
            ("5EB", "== 5 EB"),
            ("5e", "== 5 e"),
            ("0", "== 0"),
        ] {
            assert_eq!(bound(text).to_string(), shown, "{text}");
        }
        assert_eq!(Bound::read("20ms", Comparison::Most).expect("a bound").to_string(), "<= 20 ms");
        for bad in ["", "fast", ">=", "= 5", "=> 5", ">= fast", "inf", "NaN", ">> 5"] {
            assert_eq!(Bound::read(bad, Comparison::Equal), Err(BoundError::NoNumber), "{bad}");
        }
        assert_eq!(Bound::read("1e101", Comparison::Equal), Err(BoundError::Large));
        assert_eq!(Bound::read("5 Mbit per s", Comparison::Equal), Err(BoundError::Unit("Mbit per s".to_owned())));
    }

    #[test]
    fn a_value_is_converted_before_it_is_compared() {
        for (text, value, unit, holds) in [
            (">= 500", 500.0, Some("Mbit/s"), true),
            ("> 500", 500.0, None, false),
            (">= 0.5 Gbit/s", 500.0, Some("Mbit/s"), true),
            ("> 0.5 Gbit/s", 500.0, Some("Mbit/s"), false),
            ("<= 20 ms", 0.021, Some("s"), false),
            ("< 20 ms", 19_999.0, Some("us"), true),
            ("== 0.3 s", 300.0, Some("ms"), true),
            ("< 1 KiB", 1023.0, Some("B"), true),
            ("== 0", 0.0, Some("frames"), true),
        ] {
            assert_eq!(bound(text).holds(value, unit), Ok(holds), "{value} {unit:?} {text}");
        }
        assert_eq!(bound("< 20 ms").holds(1.0, Some("Mbit/s")), Err(UnitsDiffer));
        assert_eq!(bound("< 20 ms").holds(1.0, None), Err(UnitsDiffer));
    }
}
