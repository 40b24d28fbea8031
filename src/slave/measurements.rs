//! What the commands of this run have recorded: how much, and in which units.
//!
//! The values themselves are reports (`reports.rs`). A slave refuses a unit that does not fit, because the command can still
//! be told.

use std::collections::BTreeMap;

use crate::measure::unit::{factor, is_unit};
use crate::measure::{OF_SLAVE_MAX, RECORD_MAX, is_value};
use crate::session::is_name;
use crate::slave::refusal::Refusal;
use crate::wire::Measurement;

#[derive(Debug, Default)]
pub(super) struct Measurements {
    count: usize,
    /// The unit in which each name was recorded first. At most [`OF_SLAVE_MAX`] names.
    units: BTreeMap<String, Option<String>>,
}

impl Measurements {
    /// Counts the measurements of a request, if all of them can be recorded.
    pub(super) fn admit(&mut self, new: &[Measurement<'_>]) -> Result<(), Refusal> {
        if !(1..=RECORD_MAX).contains(&new.len()) {
            return Err(Refusal::MeasurementCount { most: RECORD_MAX });
        }
        if self.count + new.len() > OF_SLAVE_MAX {
            return Err(Refusal::Measurements { most: OF_SLAVE_MAX });
        }
        let mut units: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        for Measurement { name, value, unit, .. } in new {
            if !is_name(name) {
                return Err(Refusal::MeasurementName(name.to_string()));
            }
            if let Some(unit) = unit.as_deref().filter(|unit| !is_unit(unit)) {
                return Err(Refusal::MeasurementUnit(unit.to_owned()));
            }
            if !is_value(*value) {
                return Err(Refusal::MeasurementValue(name.to_string()));
            }
            let known = self.units.get(&**name).map(Option::as_deref);
            let first = known.unwrap_or_else(|| *units.entry(name).or_insert(unit.as_deref()));
            if factor(unit.as_deref(), first).is_none() {
                let (first, now) = (first.map(str::to_owned), unit.as_deref().map(str::to_owned));
                return Err(Refusal::UnitsDiffer { name: name.to_string(), first, now });
            }
        }
        self.units.extend(units.into_iter().map(|(name, unit)| (name.to_owned(), unit.map(str::to_owned))));
        self.count += new.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement<'a>(name: &'a str, value: f64, unit: Option<&'a str>) -> Measurement<'a> {
        Measurement { name: name.into(), value, unit: unit.map(Into::into), lower_is_better: false }
    }

    fn refused(measurements: &mut Measurements, new: &[Measurement<'_>]) -> String {
        measurements.admit(new).expect_err("it is refused").to_string()
    }

    #[test]
    fn a_request_is_kept_whole_or_not_at_all() {
        let mut measurements = Measurements::default();
        let bad = [measurement("a", 1.0, Some("ms")), measurement("b", f64::INFINITY, None)];
        assert!(refused(&mut measurements, &bad).contains("the value of b is not a number"));
        assert!(measurements.admit(&[measurement("a", 1.0, Some("B"))]).is_ok(), "the first unit of a is not known");
        assert!(refused(&mut measurements, &[measurement("a b", 1.0, None)]).contains("cannot name a measurement"));
        assert!(refused(&mut measurements, &[measurement("a", 1.0, Some("5"))]).contains("is not a unit"));
        assert!(refused(&mut measurements, &[]).contains("1 to 100"));
    }

    #[test]
    fn a_name_has_one_unit_and_those_that_measure_the_same() {
        let mut measurements = Measurements::default();
        assert!(measurements.admit(&[measurement("a", 1.0, Some("ms")), measurement("a", 1.0, Some("s"))]).is_ok());
        let words = refused(&mut measurements, &[measurement("a", 1.0, Some("MiB"))]);
        assert_eq!(words, "a was recorded in ms before, and now in MiB: use one unit, or another name");
        let words = refused(&mut measurements, &[measurement("a", 1.0, None)]);
        assert!(words.contains("in ms before, and now without a unit"), "{words}");
        let words = refused(&mut measurements, &[measurement("b", 1.0, None), measurement("b", 1.0, Some("s"))]);
        assert!(words.contains("without a unit before, and now in s"), "{words}");
    }

    #[test]
    fn the_measurements_of_a_slave_have_a_bound() {
        let mut measurements = Measurements::default();
        let many = vec![measurement("a", 1.0, None); RECORD_MAX];
        (0..OF_SLAVE_MAX / RECORD_MAX).for_each(|_| measurements.admit(&many).expect("there is room"));
        assert!(refused(&mut measurements, &many[..1]).contains("10000 measurements"));
    }
}
