//! The measurements of a run: what its slaves have recorded, by name and slave.
//!
//! All values of a name have one unit, that of the first. A value in another unit is converted. If that is not possible, it
//! is not kept, and the run fails. A slave cannot be told, because its measurements are facts when they arrive here.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::controller::run::roster::Roster;
use crate::controller::session::budget::{Budget, Held};
use crate::measure::figures::Figures;
use crate::measure::unit::{factor, of_record};
use crate::measure::{NAMES_MAX, OF_RUN_MAX, short};
use crate::wire::SlaveEvent;

/// The memory of a name beyond its text, and of a slave that has recorded it, in bytes.
const COST_OF_PLACE: usize = 200;

/// The most measurements in units that do not fit that are told.
const MISFITS_MAX: usize = 10;

/// The most names in the table of the report.
const NAMES_SHOWN: usize = 100;

/// The columns of this table.
const COLUMNS: [&str; 6] = ["count", "min", "mean", "median", "max", "sum"];

/// All measurements of a run.
pub struct Measurements {
    by_name: BTreeMap<String, Measured>,
    /// The number of the values that are kept.
    count: usize,
    /// The number of the values for which there was no room.
    left_out: usize,
    misfits: Vec<Misfit>,
    held: Held,
}

/// The measurements of one name.
pub struct Measured {
    pub unit: Option<String>,
    lower_is_better: bool,
    /// The place of the slave that has recorded it first.
    first: usize,
    /// The values, by the places of the slaves, in the order in which each has recorded them.
    pub by_slave: BTreeMap<usize, Vec<f64>>,
}

/// A measurement in a unit that does not fit.
struct Misfit {
    slave: usize,
    name: String,
    unit: Option<String>,
}

/// The measurements of one name in `summary.json`.
#[derive(Serialize)]
pub struct InSummary<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lower_is_better: bool,
    count: usize,
    min: Box<RawValue>,
    max: Box<RawValue>,
    mean: Box<RawValue>,
    median: Box<RawValue>,
    sum: Box<RawValue>,
    slaves: BTreeMap<&'a str, Box<RawValue>>,
}

impl Measurements {
    pub fn new(budget: &Budget) -> Measurements {
        let (by_name, misfits) = (BTreeMap::new(), Vec::new());
        Measurements { by_name, count: 0, left_out: 0, misfits, held: budget.hold(0) }
    }

    /// Takes the measurement in a report of the slave at this place, if it has one.
    pub fn add(&mut self, slave: usize, event: &SlaveEvent<'_>) {
        let SlaveEvent::Measured { name, value, unit, lower_is_better, .. } = event else { return };
        let known = self.by_name.contains_key(&**name);
        if self.count >= OF_RUN_MAX || !known && self.by_name.len() >= NAMES_MAX {
            self.left_out += 1;
            return;
        }
        if !known {
            let unit = unit.as_deref().map(str::to_owned);
            self.held.grow(COST_OF_PLACE + name.len() + unit.as_ref().map_or(0, String::len));
            let (lower_is_better, by_slave) = (*lower_is_better, BTreeMap::new());
            self.by_name.insert(name.to_string(), Measured { unit, lower_is_better, first: slave, by_slave });
        }
        let Some(measured) = self.by_name.get_mut(&**name) else { return };
        let Some(factor) = factor(unit.as_deref(), measured.unit.as_deref()) else {
            if self.misfits.len() < MISFITS_MAX {
                let unit = unit.as_deref().map(str::to_owned);
                self.misfits.push(Misfit { slave, name: name.to_string(), unit });
            }
            return;
        };
        let values = measured.by_slave.entry(slave).or_default();
        self.held.grow(size_of::<f64>() + if values.is_empty() { COST_OF_PLACE } else { 0 });
        values.push(value * factor);
        self.count += 1;
    }

    /// Returns the measurements of a name.
    pub fn get(&self, name: &str) -> Option<&Measured> {
        self.by_name.get(name)
    }

    /// Returns the number of the values that are kept.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns what is wrong with the measurements themselves, in words. Each belongs to a slave, if it has a place.
    pub fn faults(&self, roster: &Roster) -> Vec<(Option<usize>, String)> {
        let words = |Misfit { slave, name, unit }: &Misfit| {
            let (by, now) = (&roster.get(*slave).name, of_record(unit.as_deref()));
            let measured = self.get(name)?;
            let (first, before) = (&roster.get(measured.first).name, of_record(measured.unit.as_deref()));
            Some((Some(*slave), format!("{name}: {first} recorded it {before}, and {by} {now}: use one unit")))
        };
        let mut faults: Vec<_> = self.misfits.iter().filter_map(words).collect();
        if self.left_out > 0 {
            let rule = format!("a run has at most {OF_RUN_MAX} measurements of {NAMES_MAX} names");
            faults.push((None, format!("{} measurements were not kept: {rule}", self.left_out)));
        }
        faults
    }

    /// Returns the measurements as `summary.json` has them, by name.
    pub fn in_summary<'a>(&'a self, roster: &'a Roster) -> BTreeMap<&'a str, InSummary<'a>> {
        let found = self.by_name.iter().filter_map(|(name, measured)| {
            let figures = measured.figures()?;
            let slaves = measured.by_slave.iter();
            let in_summary = InSummary {
                unit: measured.unit.as_deref(),
                lower_is_better: measured.lower_is_better,
                count: figures.count,
                min: raw(json(figures.min)),
                max: raw(json(figures.max)),
                mean: raw(json(figures.mean)),
                median: raw(json(figures.median)),
                sum: raw(json(figures.sum)),
                slaves: slaves.map(|(slave, values)| (&*roster.get(*slave).name, list(values))).collect(),
            };
            Some((name.as_str(), in_summary))
        });
        found.collect()
    }

    /// Returns a table with a line for each name, for the report.
    pub fn table(&self) -> String {
        let mut rows = vec![["measurement", "unit"].into_iter().chain(COLUMNS).map(str::to_owned).collect::<Vec<_>>()];
        for (name, measured) in self.by_name.iter().take(NAMES_SHOWN) {
            let Some(figures) = measured.figures() else { continue };
            let Figures { count, min, max, mean, median, sum } = figures;
            let numbers = [min, mean, median, max, sum].map(short);
            let unit = measured.unit.clone().unwrap_or_default();
            rows.push([name.clone(), unit, count.to_string()].into_iter().chain(numbers).collect());
        }
        if rows.len() == 1 {
            return String::new();
        }
        let widths: Vec<usize> = (0..COLUMNS.len() + 2)
            .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(
                |(at, (cell, width))| {
                    if at < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            );
            text += &format!("  {}\n", cells.collect::<Vec<_>>().join("  "));
        }
        match self.by_name.len().saturating_sub(NAMES_SHOWN) {
            0 => {}
            more => text += &format!("  and {more} measurements more, in summary.json\n"),
        }
        text
    }
}

impl Measured {
    fn figures(&self) -> Option<Figures> {
        Figures::of(self.by_slave.values().flatten().copied())
    }
}

/// Returns a number as JSON, without a fraction if it has none.
fn json(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{}", value as i64);
    }
    serde_json::to_string(&value).expect("a number always encodes")
}

fn list(values: &[f64]) -> Box<RawValue> {
    raw(format!("[{}]", values.iter().map(|value| json(*value)).collect::<Vec<_>>().join(", ")))
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testfile;

    fn roster() -> Roster {
        let text = r#"{"name": "t", "end": {"duration": 1}, "slaves": {"n[1-3]": ["s"]}, "schedules": {"s": []}}"#;
        Roster::new(&testfile::parse("t", text, &mut |_| Err(String::new())).expect("a test"), &Budget::default())
    }

    fn measured<'a>(name: &'a str, value: f64, unit: Option<&'a str>) -> SlaveEvent<'a> {
        let unit = unit.map(Into::into);
        SlaveEvent::Measured { entry: None, nr: None, name: name.into(), value, unit, lower_is_better: false }
    }

    #[test]
    fn all_values_of_a_name_are_summed_up_in_its_first_unit() {
        let (roster, mut measurements) = (roster(), Measurements::new(&Budget::default()));
        for (slave, value, unit) in [(1, 1.5, "s"), (0, 500.0, "ms"), (1, 1.0, "s"), (2, 7.0, "MiB")] {
            measurements.add(slave, &measured("took", value, Some(unit)));
        }
        let json = serde_json::to_value(measurements.in_summary(&roster)).expect("it is JSON");
        let figures = r#"{"unit": "s", "count": 3, "min": 0.5, "max": 1.5, "mean": 1, "median": 1, "sum": 3,
            "slaves": {"n1": [0.5], "n2": [1.5, 1]}}"#;
        assert_eq!(json["took"], serde_json::from_str::<serde_json::Value>(figures).expect("it is JSON"));
        let misfit = "took: n2 recorded it in s, and n3 in MiB: use one unit".to_owned();
        assert_eq!(measurements.faults(&roster), [(Some(2), misfit)]);
        let table = "  measurement  unit  count  min  mean  median  max  sum\n  \
                     took         s         3  0.5     1       1  1.5    3\n";
        assert_eq!(measurements.table(), table);
    }

    #[test]
    fn the_measurements_of_a_run_have_a_bound_and_count_against_the_memory() {
        let budget = Budget::new(1 << 30);
        let (roster, mut measurements) = (roster(), Measurements::new(&budget));
        for nr in 0..NAMES_MAX + 1 {
            measurements.add(0, &measured(&format!("m{nr}"), 1.0, None));
        }
        (0..OF_RUN_MAX).for_each(|_| measurements.add(1, &measured("m0", 1.0, None)));
        assert_eq!((measurements.len(), measurements.left_out), (OF_RUN_MAX, 1 + NAMES_MAX));
        let words = "1001 measurements were not kept: a run has at most 100000 measurements of 1000 names".to_owned();
        assert_eq!(measurements.faults(&roster), [(None, words)]);
        assert!(measurements.table().ends_with("  and 900 measurements more, in summary.json\n"));
        assert!((OF_RUN_MAX * 8..OF_RUN_MAX * 8 + NAMES_MAX * 500).contains(&budget.held()), "{}", budget.held());
        drop(measurements);
        assert_eq!(budget.held(), 0);
    }
}
