//! The figures as tables.

use std::io;
use std::time::Duration;

use crate::ring::{self, Figures};
use crate::speech::Kind;

/// The rounds of one server.
pub struct Rounds {
    pub kind: Kind,
    first: Vec<Duration>,
    last: Vec<Duration>,
}

impl Rounds {
    pub fn new(kind: Kind) -> Rounds {
        Rounds { kind, first: Vec::new(), last: Vec::new() }
    }

    pub fn add(&mut self, [first, last]: [Duration; 2]) {
        self.first.push(first);
        self.last.push(last);
    }

    /// The time between the first and the last connection.
    fn skew(&self) -> Vec<Duration> {
        self.last.iter().zip(&self.first).map(|(last, first)| last.saturating_sub(*first)).collect()
    }

    /// The median of the ratios to the limit, each within one turn.
    fn ratio(&self, limit: &Rounds) -> f64 {
        let ratios = self.last.iter().zip(&limit.last).map(|(own, limit)| own.as_secs_f64() / limit.as_secs_f64());
        middle(ratios.collect())
    }
}

/// The head of a table of rounds. `what` names the measured interval.
pub fn rounds_head(what: &str, unit: &str) {
    println!("\n{what}, in ms; ratios to the limit: the median of the turns', and that of the best rounds");
    println!(
        "{unit:>9}  {:<6} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} {:>7}",
        "server", "median", "best", "first", "skew", "rounds", "ratio", "(best)"
    );
}

pub fn rounds(row: &str, figures: &[Rounds]) {
    let limit = figures.iter().find(|rounds| rounds.kind == Kind::Limit);
    for rounds in figures {
        println!(
            "{row:>9}  {:<6} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>7} {:>7.2} {:>7.2}",
            rounds.kind.name(),
            millis(median(&rounds.last)),
            millis(best(&rounds.last)),
            millis(median(&rounds.first)),
            millis(median(&rounds.skew())),
            rounds.last.len(),
            limit.map_or(f64::NAN, |limit| rounds.ratio(limit)),
            limit.map_or(f64::NAN, |limit| millis(best(&rounds.last)) / millis(best(&limit.last))),
        );
    }
}

/// Prints the throughput of a sync, and the peak memory of each server.
pub fn sync(bytes: usize, figures: &[Rounds], peaks: &[(Kind, Option<u64>)]) {
    println!("{:>9}  {:<6} {:>9} {:>9}", "", "server", "MB/s", "peak MiB");
    for rounds in figures {
        let peak = peaks.iter().find_map(|(kind, peak)| peak.filter(|_| *kind == rounds.kind));
        println!(
            "{:>9}  {:<6} {:>9.0} {:>9.1}",
            "",
            rounds.kind.name(),
            bytes as f64 / 1e6 / median(&rounds.last).as_secs_f64(),
            peak.map_or(f64::NAN, |peak| peak as f64 / (1 << 20) as f64),
        );
    }
}

pub fn memory(figures: &[(usize, Kind, Option<u64>)]) {
    println!("\nresident memory of the server for each idle connection, in bytes");
    println!("{:>7}  {:<6} {:>9}", "slaves", "server", "bytes");
    // The memory of a hundred connections is less than the noise of a process.
    for (slaves, kind, bytes) in figures.iter().filter(|(slaves, ..)| *slaves >= 1_000) {
        let bytes = bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
        println!("{slaves:>7}  {:<6} {bytes:>9}", kind.name());
    }
}

pub fn flood(connections: usize, in_flight: u64, figures: &[(Kind, Vec<f64>)]) {
    println!("\nanswered notifies (Redis: DECRs) a second, {connections} connections with {in_flight} in flight each");
    println!("{:<6} {:>12} {:>12} {:>9}", "server", "median", "best", "of limit");
    let limit = figures.iter().find(|(kind, _)| *kind == Kind::Limit).map(|(_, rates)| rates);
    for (kind, rates) in figures {
        let top = rates.iter().copied().fold(f64::NAN, f64::max);
        let shares = limit.into_iter().flatten().zip(rates).map(|(limit, own)| own / limit);
        println!("{:<6} {:>12.0} {top:>12.0} {:>9.2}", kind.name(), middle(rates.clone()), middle(shares.collect()));
    }
}

pub fn decode(rows: &[(&str, f64)]) {
    println!("\none line in memory, in ns");
    for (what, nanos) in rows {
        println!("{what:<44} {nanos:>7.0}");
    }
}

/// Prints the figures of rings, and the measured figures of the original.
pub fn rings(rows: &[(ring::Kind, io::Result<Figures>)]) {
    println!("\nring: seconds to the first owner, of a hop, and from the kill of an owner to the next");
    println!(
        "{:<10} {:>5} {:>9} {:>7} {:>7} {:>9} {:>9} {:>7}",
        "periods", "nodes", "--members", "first", "hop", "recovery", "(worst)", "rounds"
    );
    println!("{:<10} {:>5} {:>9} {:>7} {:>7} {:>9} {:>9} {:>7}", "(original)", "", "", "4.1", "2.0", "5.6", "6.0", "");
    for (kind, figures) in rows {
        let periods = if kind.divided == 1 { "default".to_owned() } else { format!("1/{}", kind.divided) };
        let row = format!("{periods:<10} {:>5} {:>9}", kind.nodes, if kind.members { "yes" } else { "no" });
        match figures {
            Ok(Figures { first, hops, recoveries }) => println!(
                "{row} {:>7.3} {:>7.3} {:>9.3} {:>9.3} {:>7}",
                middle(first.clone()),
                middle(hops.clone()),
                middle(recoveries.clone()),
                recoveries.iter().copied().fold(f64::NAN, f64::max),
                first.len(),
            ),
            Err(error) => println!("{row} {error}"),
        }
    }
}

pub fn full_speed(rows: &[(ring::Kind, io::Result<f64>)]) {
    println!("\nring: hops a second with --hold 0 and the work step \"true\"");
    println!("{:>5} {:>9} {:>9}", "nodes", "--members", "hops");
    for (kind, hops) in rows {
        let row = format!("{:>5} {:>9}", kind.nodes, if kind.members { "yes" } else { "no" });
        match hops {
            Ok(hops) => println!("{row} {hops:>9.0}"),
            Err(error) => println!("{row} {error}"),
        }
    }
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
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
