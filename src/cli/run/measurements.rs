//! The measurements of a run, as `summary.json` has them (see arete-results(5)).

use std::collections::BTreeMap;

use quick_junit::{Property, TestSuite};
use serde::Deserialize;

/// The measurements of a run, by name.
pub type Measurements = BTreeMap<String, Measured>;

/// The measurements of one name.
#[derive(Debug, Clone, Deserialize)]
pub struct Measured {
    pub unit: Option<String>,
    #[serde(default)]
    pub lower_is_better: bool,
    pub count: usize,
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub median: f64,
    pub sum: f64,
}

/// Adds a property for each figure of each name to a suite: `throughput.mean` and others, and `throughput.unit`.
pub fn add_properties(suite: &mut TestSuite, measurements: &Measurements) {
    for (name, measured) in measurements {
        let figures = [
            ("count", measured.count as f64),
            ("min", measured.min),
            ("max", measured.max),
            ("mean", measured.mean),
            ("median", measured.median),
            ("sum", measured.sum),
        ];
        for (figure, value) in figures {
            suite.add_property(Property::new(format!("{name}.{figure}"), value.to_string()));
        }
        if let Some(unit) = &measured.unit {
            suite.add_property(Property::new(format!("{name}.unit"), unit.as_str()));
        }
    }
}
