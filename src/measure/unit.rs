//! Units: which texts are units, and which of them measure the same.
//!
//! A unit is a text. Some are known and can be converted: times, bits and bytes with their prefixes, and a few of physics,
//! also per time. Any other unit equals itself only.

use super::UNIT_MAX;

/// The known units, each with what it measures and its size in that.
const KNOWN: [(&str, &str, f64); 13] = [
    ("s", "s", 1.0),
    ("min", "s", 60.0),
    ("h", "s", 3_600.0),
    ("d", "s", 86_400.0),
    ("bit", "bit", 1.0),
    ("B", "bit", 8.0),
    ("Hz", "Hz", 1.0),
    ("W", "W", 1.0),
    ("J", "J", 1.0),
    ("V", "V", 1.0),
    ("A", "A", 1.0),
    ("%", "1", 0.01),
    ("1", "1", 1.0),
];

/// The units that take a prefix.
const PREFIXED: [&str; 8] = ["s", "bit", "B", "Hz", "W", "J", "V", "A"];

/// The prefixes for all of these.
const PREFIXES: [(&str, f64); 8] =
    [("n", 1e-9), ("u", 1e-6), ("\u{b5}", 1e-6), ("\u{3bc}", 1e-6), ("m", 1e-3), ("k", 1e3), ("M", 1e6), ("G", 1e9)];

/// More prefixes, for bits and bytes.
const OF_BITS: [(&str, f64); 5] =
    [("T", 1e12), ("Ki", 1024.0), ("Mi", 1_048_576.0), ("Gi", 1_073_741_824.0), ("Ti", 1_099_511_627_776.0)];

/// What a unit measures, and its size in that.
struct Meaning<'a> {
    of: &'a str,
    size: f64,
    /// It is per second.
    per_time: bool,
}

/// Returns whether a text can be a unit: 1 to [`UNIT_MAX`] bytes without spaces and control characters, of which the first
/// cannot be a part of a number or of a comparison.
pub fn is_unit(text: &str) -> bool {
    let odd = |letter: char| letter.is_whitespace() || letter.is_control() || is_invisible(letter);
    let first = text.chars().next().is_some_and(|first| !first.is_ascii_digit() && !".+-<>=!".contains(first));
    first && text.len() <= UNIT_MAX && !text.contains(odd)
}

/// Returns whether a character changes the direction of a text, or cannot be seen.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

/// The rule of [`is_unit`] for a message, without the article.
pub fn rule() -> String {
    format!(
        "unit has 1 to {UNIT_MAX} bytes without spaces and control characters, and begins with no digit and no sign"
    )
}

/// Returns the words for the unit of what was recorded: `in ms`.
pub fn of_record(unit: Option<&str>) -> String {
    unit.map_or_else(|| "without a unit".to_owned(), |unit| format!("in {unit}"))
}

/// Returns the number by which a value in the unit `from` must be multiplied to be in the unit `to`. Returns `None` if they
/// do not measure the same. No unit measures the same as no unit only.
pub fn factor(from: Option<&str>, to: Option<&str>) -> Option<f64> {
    if from == to {
        return Some(1.0);
    }
    let (from, to) = (meaning(from?), meaning(to?));
    let same = from.of == to.of && from.per_time == to.per_time;
    // One of the sizes is often a multiple of the other. Then this is exact.
    same.then(|| if from.size >= to.size { from.size / to.size } else { 1.0 / (to.size / from.size) })
}

fn meaning(unit: &str) -> Meaning<'_> {
    if let Some(unit) = unit.strip_suffix("bps").filter(|prefix| size_of_prefix("bit", prefix).is_some()) {
        return Meaning { of: "bit", size: size_of_prefix("bit", unit).unwrap_or(1.0), per_time: true };
    }
    match unit.split_once('/') {
        Some((counted, time)) if matches!(simple(time), ("s", _)) => {
            let (of, size) = simple(counted);
            Meaning { of, size: size / simple(time).1, per_time: true }
        }
        _ => {
            let (of, size) = simple(unit);
            Meaning { of, size, per_time: false }
        }
    }
}

/// Returns what a unit without `/` measures, and its size in that.
fn simple(unit: &str) -> (&str, f64) {
    if let Some((_, of, size)) = KNOWN.iter().find(|(name, ..)| *name == unit) {
        return (of, *size);
    }
    let prefixed = PREFIXED.iter().find_map(|base| {
        let prefix = unit.strip_suffix(base)?;
        let (_, of, size) = KNOWN.iter().find(|(name, ..)| name == base)?;
        Some((*of, size * size_of_prefix(base, prefix)?))
    });
    prefixed.unwrap_or((unit, 1.0))
}

fn size_of_prefix(base: &str, prefix: &str) -> Option<f64> {
    let of_bits: &[_] = if matches!(base, "bit" | "B") { &OF_BITS } else { &[] };
    let found = PREFIXES.iter().chain(of_bits).find(|(name, _)| *name == prefix);
    if prefix.is_empty() { Some(1.0) } else { found.map(|(_, size)| *size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_measure_the_same_are_converted() {
        for (from, to, factor_wanted) in [
            ("ms", "s", 1e-3),
            ("s", "ms", 1e3),
            ("us", "\u{b5}s", 1.0),
            ("min", "s", 60.0),
            ("h", "min", 60.0),
            ("kbit/s", "Mbit/s", 1e-3),
            ("Gbit/s", "Mbit/s", 1e3),
            ("MB/s", "Mbit/s", 8.0),
            ("Mbps", "Mbit/s", 1.0),
            ("bps", "bit/s", 1.0),
            ("KiB", "B", 1024.0),
            ("MiB", "KiB", 1024.0),
            ("req/min", "req/s", 1.0 / 60.0),
            ("furlongs", "furlongs", 1.0),
            ("MHz", "Hz", 1e6),
        ] {
            let found = factor(Some(from), Some(to)).unwrap_or_else(|| panic!("{from} to {to}"));
            assert!((found / factor_wanted - 1.0).abs() < 1e-12, "{from} to {to}: {found}");
        }
        assert_eq!(factor(None, None), Some(1.0));
    }

    #[test]
    fn units_that_do_not_measure_the_same_are_not_converted() {
        for (from, to) in [
            (Some("ms"), Some("Mbit/s")),
            (Some("bit"), Some("bit/s")),
            (Some("ms"), None),
            (None, Some("ms")),
            (Some("req/s"), Some("rows/s")),
            (Some("Kibps"), Some("ms")),
            (Some("KiHz"), Some("Hz")),
            (Some("Mmin"), Some("min")),
        ] {
            assert_eq!(factor(from, to), None, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn a_unit_is_a_short_word() {
        for good in ["ms", "Mbit/s", "%", "\u{b0}C", "km/h", "m^2", "requests"] {
            assert!(is_unit(good), "{good}");
        }
        let long = "x".repeat(UNIT_MAX + 1);
        for bad in ["", "5s", "-x", "<s", "=", "a b", "a\u{202e}b", "a\u{7}", ".", &long] {
            assert!(!is_unit(bad), "{bad:?}");
        }
    }
}
