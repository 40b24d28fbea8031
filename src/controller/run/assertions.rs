//! What a test asserts about its measurements, judged at the end of a run.

use std::borrow::Cow;
use std::fmt;

use crate::controller::ledger::Fact;
use crate::controller::run::failures::FailureKind;
use crate::controller::run::measurements::Measured;
use crate::controller::run::roster::Roster;
use crate::controller::run::run::{Cause, Run};
use crate::machine::{Outbox, Time};
use crate::measure::bound::Bound;
use crate::measure::figures::Figures;
use crate::measure::with_unit;
use crate::testfile::{Assert, Figure};
use crate::wire::Verdict;

/// The most slaves that one assertion names.
const SLAVES_TOLD: usize = 20;

/// What is wrong, and the place of the slave that it concerns, if it concerns one.
type Broken = (Option<usize>, String);

impl Run {
    /// Judges the measurements before the verdict. What is wrong with them is a fact of the ledger, like every failure.
    /// Nothing is asserted about a run that was interrupted, or that never started.
    pub(super) fn judge_measurements(&mut self, now: Time, cause: &Cause, out: &mut Outbox) {
        if cause.verdict == Verdict::Interrupted || self.started().is_none() {
            return;
        }
        // A run that has failed may not have come to its measurements.
        let complete = cause.verdict == Verdict::Passed && self.failures.first().is_none();
        let faults = self.measurements.faults(&self.roster);
        let faults = faults.into_iter().map(|fault| (FailureKind::Measurement, fault));
        let broken = self.test.asserts.iter().flat_map(|assert| {
            let judged = Judged { assert, measured: self.measurements.get(&assert.name), roster: &self.roster };
            judged.broken(complete)
        });
        let broken = broken.map(|broken| (FailureKind::Assertion, broken));
        for (kind, (slave, why)) in faults.chain(broken).collect::<Vec<_>>() {
            self.enter(now, Fact::Failed { kind, slave, entry: None, why: Cow::from(why) }, out);
        }
    }
}

/// An assertion with the measurements of its name.
struct Judged<'a> {
    assert: &'a Assert,
    measured: Option<&'a Measured>,
    roster: &'a Roster,
}

impl Judged<'_> {
    /// Returns what is wrong. It is wrong that there are no values only in a run that is `complete`.
    fn broken(&self, complete: bool) -> Vec<Broken> {
        let figures = Figures::of(self.values().flat_map(|(_, values)| values).copied());
        let mut broken = Vec::new();
        for (figure, bound) in &self.assert.bounds {
            match (figure, &figures) {
                (Figure::Count, _) => {
                    let count = figures.as_ref().map_or(0, |figures| figures.count);
                    if bound.holds(count as f64, None) == Ok(false) && (complete || count > 0) {
                        broken.push((None, format!("{self}: {count} values were recorded, asserted {bound}")));
                    }
                }
                (_, None) if complete => {
                    let of = self.assert.of.as_ref().map_or_else(String::new, |of| format!(" of {}", of.text));
                    broken.push((None, format!("no slave{of} recorded {}, asserted {bound}", self.assert.name)));
                }
                (_, None) => {}
                (Figure::Each, Some(_)) => broken.extend(self.each(bound)),
                (_, Some(figures)) => {
                    let (noun, value) = figure_of(figure, figures);
                    let noun = format!("{self}: the {noun} of {} is", counted(figures.count));
                    broken.extend(self.compared(&noun, value, bound).map(|why| (None, why)));
                }
            }
        }
        broken
    }

    /// Returns the slaves with values that break a bound.
    fn each(&self, bound: &Bound) -> Vec<Broken> {
        let (mut broken, mut more) = (Vec::new(), 0);
        for (slave, values) in self.values() {
            let breaks = |value: &&f64| bound.holds(**value, self.unit()) != Ok(true);
            let Some(first) = values.iter().find(breaks) else { continue };
            if broken.len() == SLAVES_TOLD {
                more += 1;
                continue;
            }
            let noun = format!("{}: {} recorded", self.assert.name, self.roster.get(slave).name);
            let others = match values.iter().filter(breaks).count() {
                1 => String::new(),
                count => format!(" ({count} of its {} break this)", counted(values.len())),
            };
            broken.extend(self.compared(&noun, *first, bound).map(|why| (Some(slave), why + &others)));
        }
        if more > 0 {
            let slaves = if more == 1 { "slave more breaks" } else { "slaves more break" };
            broken.push((None, format!("{}: {more} {slaves} this, asserted {bound}", self.assert.name)));
        }
        broken
    }

    /// Returns the words for a value that breaks a bound; `None` if the value keeps it.
    fn compared(&self, noun: &str, value: f64, bound: &Bound) -> Option<String> {
        let shown = with_unit(value, self.unit());
        match bound.holds(value, self.unit()) {
            Ok(true) => None,
            Ok(false) => Some(format!("{noun} {shown}, asserted {bound}")),
            Err(_) => {
                let unit =
                    |unit: Option<&str>| unit.map_or_else(|| "no unit".to_owned(), |unit| format!("the unit {unit}"));
                let (own, of_bound) = (unit(self.unit()), unit(bound.unit.as_deref()));
                Some(format!("{noun} {shown}, asserted {bound}: {own} cannot be compared with {of_bound}"))
            }
        }
    }

    fn unit(&self) -> Option<&str> {
        self.measured.and_then(|measured| measured.unit.as_deref())
    }

    /// Returns the values of the slaves that the assertion names.
    fn values(&self) -> impl Iterator<Item = (usize, &[f64])> {
        let is_named = |slave: usize| match &self.assert.of {
            Some(of) => of.slaves.contains(&self.roster.get(slave).name),
            None => true,
        };
        let all = self.measured.into_iter().flat_map(|measured| &measured.by_slave);
        all.filter(move |(slave, _)| is_named(**slave)).map(|(slave, values)| (*slave, values.as_slice()))
    }
}

impl fmt::Display for Judged<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.assert.of {
            Some(of) => write!(to, "{} of {}", self.assert.name, of.text),
            None => to.write_str(&self.assert.name),
        }
    }
}

fn counted(values: usize) -> String {
    if values == 1 { "1 value".to_owned() } else { format!("{values} values") }
}

/// Returns the noun and the value of a figure.
fn figure_of(figure: &Figure, figures: &Figures) -> (&'static str, f64) {
    match figure {
        Figure::Min => ("minimum", figures.min),
        Figure::Max => ("maximum", figures.max),
        Figure::Mean => ("mean", figures.mean),
        Figure::Median => ("median", figures.median),
        Figure::Sum => ("sum", figures.sum),
        Figure::Each | Figure::Count => ("number", figures.count as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::run::measurements::Measurements;
    use crate::controller::session::budget::Budget;
    use crate::testfile;
    use crate::wire::SlaveEvent;

    /// Returns what is wrong with values of slaves, each with its unit, and an assertion about `x`.
    fn wrong(assert: &str, values: &[(usize, f64, &str)], complete: bool) -> Vec<String> {
        let text = format!(
            r#"{{"name": "t", "end": {{"duration": 1}}, "slaves": {{"n[1-30]": ["s"], "m": ["s"]}}, "schedules": {{"s": []}},
                "assert": {{"x": {assert}}}}}"#
        );
        let test = testfile::parse("t", &text, &mut |_| Err(String::new())).unwrap_or_else(|error| panic!("{error:?}"));
        let roster = Roster::new(&test, &Budget::default());
        let mut measurements = Measurements::new(&Budget::default());
        for (slave, value, unit) in values {
            let unit = (!unit.is_empty()).then_some((*unit).into());
            let (value, name) = (*value, "x".into());
            measurements.add(
                *slave,
                &SlaveEvent::Measured { entry: None, nr: None, name, value, unit, lower_is_better: false },
            );
        }
        let judged = Judged { assert: &test.asserts[0], measured: measurements.get("x"), roster: &roster };
        judged.broken(complete).into_iter().map(|(_, why)| why).collect()
    }

    #[test]
    fn a_broken_assertion_names_the_value_the_unit_the_bound_and_the_slave() {
        let values = [(0, 94.1, "Mbit/s"), (1, 600.0, "Mbit/s"), (1, 90.0, "Mbit/s"), (30, 1.0, "Gbit/s")];
        for (assert, words) in [
            (
                r#"">= 500 Mbit/s""#,
                &[
                    "x: n1 recorded 94.1 Mbit/s, asserted >= 500 Mbit/s",
                    "x: n2 recorded 90 Mbit/s, asserted >= 500 Mbit/s",
                ][..],
            ),
            (r#"{"each": ">= 500", "of": "m"}"#, &[]),
            (r#"{"max": "1 Gbit/s", "min": 90, "count": 4, "median": "> 94.1"}"#, &[]),
            (
                r#"{"max": "900 Mbit/s", "mean": "< 0.1 Gbit/s"}"#,
                &[
                    "x: the maximum of 4 values is 1000 Mbit/s, asserted <= 900 Mbit/s",
                    "x: the mean of 4 values is 446.025 Mbit/s, asserted < 0.1 Gbit/s",
                ],
            ),
            (r#"{"sum": ">= 1", "count": "> 5"}"#, &["x: 4 values were recorded, asserted > 5"]),
            (r#"{"sum": 1, "of": "n*"}"#, &["x of n*: the sum of 3 values is 784.1 Mbit/s, asserted == 1"]),
            (
                r#"{"min": "20ms"}"#,
                &[
                    "x: the minimum of 4 values is 90 Mbit/s, asserted >= 20 ms: the unit Mbit/s cannot be compared with the \
                   unit ms",
                ],
            ),
            (r#"{"each": "< 5", "of": ["n3", "n4"]}"#, &["no slave of n3, n4 recorded x, asserted < 5"]),
        ] {
            assert_eq!(wrong(assert, &values, true), words, "{assert}");
        }
        let words = wrong(r#""< 50""#, &values[1..3], true);
        assert_eq!(words, ["x: n2 recorded 600 Mbit/s, asserted < 50 (2 of its 2 values break this)"]);
    }

    #[test]
    fn missing_values_are_wrong_unless_the_run_has_failed_or_none_are_asserted() {
        assert_eq!(wrong("0", &[], true), ["no slave recorded x, asserted == 0"]);
        assert_eq!(wrong(r#"{"count": 0}"#, &[], true), Vec::<String>::new());
        assert_eq!(wrong(r#"{"count": 1}"#, &[], true), ["x: 0 values were recorded, asserted == 1"]);
        assert_eq!(wrong("0", &[], false), Vec::<String>::new());
        assert_eq!(wrong("0", &[(0, 1.0, "")], false), ["x: n1 recorded 1, asserted == 0"]);
    }

    #[test]
    fn an_assertion_names_only_the_first_slaves() {
        let values: Vec<_> = (0..30).map(|slave| (slave, 1.0, "")).collect();
        let words = wrong("0", &values, true);
        assert_eq!((words.len(), words[20].as_str()), (21, "x: 10 slaves more break this, asserted == 0"));
    }
}
