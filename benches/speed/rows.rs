//! The rows: what is measured, how often, and the goals.

use rustix::process::{Resource, getrlimit};

use Goal::{AtMost, Rate, Ratio};
use Play::{AtOnce, Barrier, Command, Connections, Embedded, Idle, Late, Notify, Sync, Trigger};
use Subject::{Clients, Slaves};

/// The open files of a controller that are not connections.
pub const OTHER_FILES: usize = 300;

/// Who is measured. Clients and slaves are of arete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Limit,
    Clients,
    Slaves,
    Redis,
}

/// What the connections of a row do, or what is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Play {
    Barrier,
    AtOnce,
    Late,
    Trigger,
    /// So many unanswered notifies on each connection.
    Notify(u64),
    Sync,
    Idle,
    /// Runs only by its name.
    Connections,
    /// A command, so many times at once.
    Command(&'static str, usize),
    /// A run with so many slaves.
    Embedded(usize),
}

/// The goal of a row.
#[derive(Clone, Copy)]
pub enum Goal {
    None,
    /// At most this ratio to the time of the limit.
    Ratio(f64),
    /// At least this ratio to the rate of the limit.
    Rate(f64),
    /// At most so many seconds or bytes.
    AtMost(f64),
}

pub struct Row {
    pub name: &'static str,
    pub play: Play,
    /// The connections, the members on each, and the measured repetitions.
    pub size: (usize, usize, u64),
    /// How arete is measured, the goal, and the most that the ratio of the processor times may be.
    pub forms: &'static [(Subject, Goal, f64)],
}

impl Row {
    /// The connections: for [`Play::Connections`], in thousands, as many as the hard limit on open files allows.
    pub fn connections(&self) -> usize {
        let allowed = getrlimit(Resource::Nofile).maximum.map_or(usize::MAX, |most| most as usize);
        match self.play {
            Play::Connections => self.size.0.min(allowed.saturating_sub(OTHER_FILES) / 1_000 * 1_000),
            _ => self.size.0,
        }
    }

    pub fn members(&self) -> usize {
        self.connections() * self.size.1
    }
}

const fn row(name: &'static str, play: Play, size: (usize, usize, u64), forms: &'static [(Subject, Goal, f64)]) -> Row {
    Row { name, play, size, forms }
}

/// No goal.
const NO: f64 = f64::INFINITY;

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("barrier of 10", Barrier, (10, 1, 400), &[(Clients, Ratio(1.15), NO), (Slaves, Ratio(1.3), NO)]),
    row("barrier of 100", Barrier, (100, 1, 200), &[(Clients, Ratio(1.08), NO), (Slaves, Ratio(1.12), NO)]),
    row("barrier of 1,000", Barrier, (1_000, 1, 60), &[(Clients, Ratio(1.08), 1.3), (Slaves, Goal::None, 1.5)]),
    row("barrier of 10,000", Barrier, (10_000, 1, 20), &[(Clients, Ratio(1.05), NO)]),
    row("barrier of 10,000, all at once", AtOnce, (10_000, 1, 20), &[(Clients, Ratio(1.15), NO)]),
    row("barrier of 1,000, late", Late, (1_000, 1, 4), &[(Clients, Ratio(1.2), NO)]),
    row("barrier of 10,000 on 100 connections", Barrier, (100, 100, 30), &[(Slaves, AtMost(1.5e-3), NO)]),
    row("trigger to 10,000", Trigger, (10_000, 1, 20), &[(Slaves, Ratio(1.05), NO)]),
    row("notify, 32 in flight", Notify(32), (100, 1, 7), &[(Clients, Rate(0.75), NO), (Slaves, Rate(0.75), NO)]),
    row("notify, one at a time", Notify(1), (1, 1, 7), &[(Clients, Rate(0.95), NO), (Slaves, Rate(0.95), NO)]),
    row("sync of 100", Sync, (100, 1, 60), &[(Clients, Ratio(1.2), NO)]),
    row("sync of 1,000", Sync, (1_000, 1, 7), &[(Clients, Ratio(1.0), NO)]),
    row("memory a connection", Idle, (10_000, 1, 1), &[(Clients, AtMost(700.0), NO), (Slaves, AtMost(700.0), NO)]),
    row("arete barrier of two", Command("barrier", 2), (0, 1, 100), &[(Clients, AtMost(1.5e-3), NO)]),
    row("arete notify", Command("notify", 1), (0, 1, 100), &[(Clients, AtMost(1.5e-3), NO)]),
    row("200 slaves, start to first entry", Embedded(200), (0, 1, 3), &[(Slaves, AtMost(1.0), NO)]),
    row("connections", Connections, (100_000, 1, 1), &[]),
];
