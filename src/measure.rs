//! Measurements: numbers with units that the commands of a run record, and what a test asserts about them.
//!
//! This part decides what a unit means, how values are summed up and how they are compared. Slaves, controllers, the test
//! file and the command line share it, so that all of them agree.

pub mod bound;
pub mod figures;
pub mod unit;

/// The longest unit, in bytes.
pub const UNIT_MAX: usize = 32;

/// The most measurements that one `arete record` states.
pub const RECORD_MAX: usize = 100;

/// The most measurements of a slave in one run.
pub const OF_SLAVE_MAX: usize = 10_000;

/// The most measurements that are kept of one run.
pub const OF_RUN_MAX: usize = 100_000;

/// The most names of measurements in one run.
pub const NAMES_MAX: usize = 1_000;

/// The highest absolute value. Sums of the most measurements in any unit are still finite.
pub const VALUE_MAX: f64 = 1e100;

/// Returns whether a number can be the value of a measurement.
pub fn is_value(value: f64) -> bool {
    value.abs() <= VALUE_MAX
}

/// Returns a number for people, with at most 10 significant digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e15).contains(&size) {
        return format!("{value:e}");
    }
    // Adding 0 turns -0 into 0.
    let rounded: f64 = format!("{value:.9e}").parse::<f64>().unwrap_or(value) + 0.0;
    rounded.to_string()
}

/// Returns a number for a table, with at most 6 significant digits.
pub fn short(value: f64) -> String {
    number(format!("{value:.5e}").parse().unwrap_or(value))
}

/// Returns a number with its unit, for people.
pub fn with_unit(value: f64, unit: Option<&str>) -> String {
    match unit {
        Some("%") => format!("{}%", number(value)),
        Some(unit) => format!("{} {unit}", number(value)),
        None => number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let shown = [0.0, -0.0, 500.0, 94.1, 100.0 / 3.0, 0.1 + 0.2, 1e-9, 2.5e20].map(number);
        assert_eq!(shown, ["0", "0", "500", "94.1", "33.33333333", "0.3", "1e-9", "2.5e20"]);
        assert_eq!([100.0 / 3.0, 1_234_567.0].map(short), ["33.3333", "1234570"]);
        assert_eq!(with_unit(5.0, Some("ms")), "5 ms");
        assert_eq!(with_unit(5.0, Some("%")), "5%");
        assert_eq!(with_unit(5.0, None), "5");
        assert!(is_value(-1e100) && !is_value(f64::NAN) && !is_value(f64::INFINITY) && !is_value(2e100));
    }
}
