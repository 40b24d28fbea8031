//! The figures as tables.

use std::time::Duration;

use crate::speech::Kind;

/// The rounds of one server.
pub struct Fan {
    pub kind: Kind,
    first: Vec<Duration>,
    last: Vec<Duration>,
}

impl Fan {
    pub fn new(kind: Kind) -> Fan {
        Fan { kind, first: Vec::new(), last: Vec::new() }
    }

    pub fn add(&mut self, [first, last]: [Duration; 2]) {
        self.first.push(first);
        self.last.push(last);
    }
}

pub fn fan_head() {
    println!("\nfan-out: from the last notify sent to the last \"triggered\" received, in ms");
    println!(
        "{:>7}  {:<6} {:>9} {:>9} {:>9} {:>7} {:>7} {:>7}",
        "slaves", "server", "median", "best", "first", "rounds", "ratio", "(best)"
    );
}

/// Ratios are to the limit: of the medians, and of the best rounds.
pub fn fan(slaves: usize, figures: &[Fan]) {
    let limit = figures.iter().find(|fan| fan.kind == Kind::Limit);
    let (of_median, of_best) = (
        limit.map_or(f64::NAN, |fan| millis(median(&fan.last))),
        limit.map_or(f64::NAN, |fan| millis(best(&fan.last))),
    );
    for fan in figures {
        let (middle, lowest) = (millis(median(&fan.last)), millis(best(&fan.last)));
        println!(
            "{slaves:>7}  {:<6} {middle:>9.3} {lowest:>9.3} {:>9.3} {:>7} {:>7.2} {:>7.2}",
            fan.kind.name(),
            millis(median(&fan.first)),
            fan.last.len(),
            middle / of_median,
            lowest / of_best,
        );
    }
}

pub fn memory(figures: &[(usize, Kind, Option<u64>)]) {
    println!("\nresident memory of the server for each idle connection, in bytes");
    println!("{:>7}  {:<6} {:>9}", "slaves", "server", "bytes");
    // A hundred connections are less than the noise of a process.
    for (slaves, kind, bytes) in figures.iter().filter(|(slaves, ..)| *slaves >= 1_000) {
        let bytes = bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
        println!("{slaves:>7}  {:<6} {bytes:>9}", kind.name());
    }
}

pub fn flood(connections: usize, in_flight: u64, figures: &[(Kind, Vec<f64>)]) {
    println!("\nanswered notifies (Redis: DECRs) a second, {connections} connections with {in_flight} in flight each");
    println!("{:<6} {:>12} {:>12} {:>9}", "server", "median", "best", "of limit");
    let middle = |rates: &[f64]| {
        let mut sorted = rates.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let limit = figures.iter().find(|(kind, _)| *kind == Kind::Limit).map_or(f64::NAN, |(_, rates)| middle(rates));
    for (kind, rates) in figures {
        let top = rates.iter().copied().fold(f64::NAN, f64::max);
        println!("{:<6} {:>12.0} {top:>12.0} {:>9.2}", kind.name(), middle(rates), middle(rates) / limit);
    }
}

pub fn decode(rows: &[(&str, f64)]) {
    println!("\none line in memory, in ns");
    for (what, nanos) in rows {
        println!("{what:<44} {nanos:>7.0}");
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn best(times: &[Duration]) -> Duration {
    times.iter().min().copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
