//! Measures the rows, and prints the table.

use std::io::{self, Error};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Resource, getrlimit};

use crate::rows::{Goal, OTHER_FILES, Play, ROWS, Row, Subject};
use crate::server::Pair;
use crate::{local, server};

/// The first repetitions, which do not count.
pub const WARM_UP: u64 = 2;

/// One repetition: seconds, or bytes, the processor seconds of the server for an operation, and the operations.
pub struct Sample {
    pub time: f64,
    pub cpu: f64,
    pub count: f64,
}

/// What is measured in one repetition, by the number of the repetition.
pub type Measure<'a> = Box<dyn FnMut(u64) -> io::Result<Sample> + 'a>;

/// Measures the rows whose names contain one of the words, and prints them.
pub fn main(words: &[&str]) -> io::Result<()> {
    let is_name = |word: &&str| ROWS.iter().any(|row| row.name == *word && row.play == Play::Connections);
    let chosen = |row: &&Row| match row.play {
        Play::Connections => words.contains(&row.name),
        _ => words.is_empty() || words.iter().any(|word| row.name.contains(word) && !is_name(word)),
    };
    let rows: Vec<&Row> = ROWS.iter().filter(chosen).collect();
    if rows.is_empty() {
        return Err(Error::other("no such row: see --list"));
    }
    let mut asks = Command::new("redis-server");
    let redis = asks.arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    let scratch = std::env::temp_dir().join(format!("arete-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let begin = Instant::now();
    println!(
        "{:36} {:7} {:>7} {:>6}  {:>9}  {:>9} {:>9} {:>10} {:>9} {:>6}  {:>5}",
        "work", "arete", "goal", "ratio", "arete", "limit", "redis", "CPU: arete", "limit", "ratio", "goal"
    );
    let mut failed = 0;
    for row in rows {
        let connections = row.play == Play::Connections;
        let done = if connections { self::connections(row, &scratch) } else { measure(row, redis, &scratch) };
        if let Err(error) = done {
            println!("{:36} {error}", row.name);
            failed += 1;
        }
    }
    std::fs::remove_dir_all(&scratch)?;
    println!("{:.0} s; {failed} rows failed", begin.elapsed().as_secs_f64());
    if failed > 0 { Err(Error::other("some rows could not be measured")) } else { Ok(()) }
}

fn measure(row: &'static Row, redis: bool, scratch: &Path) -> io::Result<()> {
    if let Some(why) = too_few_files(row) {
        return Err(Error::other(why));
    }
    let mut subjects = vec![Subject::Limit];
    subjects.extend(row.forms.iter().map(|(subject, ..)| *subject));
    // Redis does not check whether its clients are alive.
    subjects.extend((redis && row.play != Play::Late).then_some(Subject::Redis));
    let mut pairs = Vec::new();
    let mut measures: Vec<(Subject, Measure)> = match row.play {
        Play::Command(name, count) => local::commands(row, name, count, scratch)?,
        Play::Embedded(count) => local::embedded(count, scratch)?,
        _ => {
            for subject in &subjects {
                pairs.push(Pair::start(row, *subject, scratch)?);
            }
            subjects.iter().zip(&mut pairs).map(|(subject, pair)| (*subject, asks(row, pair))).collect()
        }
    };
    let warm_up = if row.size.2 == 1 { 0 } else { WARM_UP };
    let mut samples: Vec<(Subject, Vec<Sample>)> = measures.iter().map(|(it, _)| (*it, Vec::new())).collect();
    for round in 1..=row.size.2 + warm_up {
        // Another one begins each time.
        for turn in 0..measures.len() {
            let at = (turn + round as usize) % measures.len();
            let (subject, measure) = &mut measures[at];
            let sample = measure(round).map_err(|error| Error::other(format!("{subject:?}: {error}")))?;
            if round > warm_up {
                samples[at].1.push(sample);
            }
        }
    }
    drop(measures);
    report(row, &samples);
    for (mut pair, (subject, samples)) in pairs.into_iter().zip(samples) {
        if matches!(subject, Subject::Clients | Subject::Slaves) && server::counts_instructions() {
            pair.server.end()?;
            let counted = pair.server.says("Collected : ").and_then(|word| word.parse::<f64>().ok());
            let operations: f64 = samples.iter().map(|sample| sample.count).sum();
            println!("{:36} {subject:?}: {:.0} instructions", "", counted.unwrap_or(f64::NAN) / operations);
        }
    }
    Ok(())
}

/// Returns which limit is too low for a row.
fn too_few_files(row: &Row) -> Option<String> {
    let needed = (row.size.0 + OTHER_FILES) as u64;
    let allowed = getrlimit(Resource::Nofile).maximum.filter(|allowed| *allowed < needed)?;
    Some(format!("it needs \"ulimit -Hn {needed}\", the hard limit on open files is {allowed}"))
}

fn asks<'a>(row: &'static Row, pair: &'a mut Pair) -> Measure<'a> {
    Box::new(move |round| {
        if row.play == Play::Idle {
            return Ok(Sample { time: pair.memory, cpu: f64::NAN, count: 1.0 });
        }
        if round == WARM_UP + 1 && server::counts_instructions() {
            pair.count_instructions()?;
        }
        pair.ask("go", round)
    })
}

/// The row that runs only by its name.
fn connections(row: &'static Row, scratch: &Path) -> io::Result<()> {
    if let Some(why) = too_few_files(row) {
        println!("fewer connections: {why}");
    }
    let mut pair = Pair::start(row, Subject::Clients, scratch)?;
    let barrier = pair.ask("go", 1)?;
    let trigger = pair.ask("trigger", 2)?;
    pair.server.end()?;
    let longest = pair.server.says("the longest turn of the loop took ");
    println!(
        "{} connections: {:.1} s to connect, {} each; barriers of 1,000: {}; fan-out: {}; longest turn: {} us",
        row.connections(),
        pair.connected,
        memory(pair.memory),
        time(barrier.time),
        time(trigger.time),
        longest.unwrap_or_default(),
    );
    Ok(())
}

/// Prints a line for each form of arete.
fn report(row: &Row, samples: &[(Subject, Vec<Sample>)]) {
    let of = |subject| samples.iter().find(|(it, _)| *it == subject).map_or(&[][..], |(_, samples)| &samples[..]);
    let shown = if row.play == Play::Idle { memory } else { time };
    let middle = |samples: &[Sample]| median(samples.iter().map(|sample| sample.time));
    let cpu = |samples: &[Sample]| time(median(samples.iter().map(|sample| sample.cpu)));
    let mark = |missed| if missed { "!" } else { " " };
    let limit = of(Subject::Limit);
    for &(subject, goal, cpu_goal) in row.forms {
        let arete = of(subject);
        let ratio = |of: fn(&Sample) -> f64| median(arete.iter().zip(limit).map(|(own, least)| of(own) / of(least)));
        let (times, cpus) = (ratio(|sample| sample.time), ratio(|sample| sample.cpu));
        let (goal, ratio, late, slow) = match goal {
            Goal::Ratio(most) => (number(most), times, mark(times > most), " "),
            Goal::Rate(least) => (number(least), 1.0 / times, mark(1.0 / times < least), " "),
            Goal::AtMost(most) => (shown(most), times, " ", mark(middle(arete) > most)),
            Goal::None => (String::new(), times, " ", " "),
        };
        println!(
            "{:36} {:7} {goal:>7} {:>6}{late} {:>9}{slow} {:>9} {:>9} {:>10} {:>9} {:>6}{} {:>5}",
            row.name,
            if row.connections() > 0 { format!("{subject:?}") } else { String::new() },
            number(ratio),
            shown(middle(arete)),
            shown(middle(limit)),
            shown(middle(of(Subject::Redis))),
            cpu(arete),
            cpu(limit),
            number(cpus),
            mark(cpus > cpu_goal),
            number(cpu_goal),
        );
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn number(figure: f64) -> String {
    if !figure.is_finite() { String::new() } else { format!("{figure:.2}") }
}

fn memory(bytes: f64) -> String {
    if bytes.is_nan() { String::new() } else { format!("{:.2} kB", bytes / 1e3) }
}

fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds.is_nan() => String::new(),
        1.0.. => format!("{seconds:.2} s"),
        1e-3.. => format!("{:.2} ms", seconds * 1e3),
        1e-6.. => format!("{:.1} us", seconds * 1e6),
        _ => format!("{:.0} ns", seconds * 1e9),
    }
}
