//! What is measured, in which order, and how often.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use crate::report::{self, Fan};
use crate::server::{self, Pair, Work};
use crate::speech::Kind;
use crate::{client, decode};

/// How many slaves, and how many rounds: enough for a median, few enough for a short bench.
const FANS: [(usize, u64); 3] = [(100, 300), (1_000, 80), (10_000, 25)];

/// With `--quick`.
const QUICK_FANS: [(usize, u64); 3] = [(100, 50), (1_000, 20), (10_000, 5)];

/// The first rounds of each server warm it up and do not count.
const WARM_UP: u64 = 2;

/// Connections of the throughput rows.
const FLOOD_CONNECTIONS: usize = 100;

/// How often each server is flooded in turn, and for how long.
const FLOODS: usize = 5;
const FLOOD_TIME: Duration = Duration::from_secs(1);
const QUICK_FLOOD_TIME: Duration = Duration::from_millis(300);

/// Files that a server or a client has open beside its connections.
const OTHER_FILES: u64 = 64;

struct Plan {
    quick: bool,
    kinds: Vec<Kind>,
    scratch: PathBuf,
}

/// Measures everything and prints it.
pub fn main(words: &[&str]) -> io::Result<()> {
    let only = words.iter().position(|word| *word == "--only").and_then(|at| words.get(at + 1));
    let wanted = |kind: &Kind| only.is_none_or(|list| list.split(',').any(|name| name == kind.name()));
    let mut kinds: Vec<Kind> = Kind::ALL.into_iter().filter(wanted).collect();
    if kinds.contains(&Kind::Redis) && !server::redis_is_installed() {
        println!("redis-server is not installed: its columns are left out");
        kinds.retain(|kind| *kind != Kind::Redis);
    }
    let scratch = std::env::temp_dir().join(format!("arete-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let plan = Plan { quick: words.contains(&"--quick"), kinds, scratch: scratch.clone() };
    let begin = Instant::now();
    plan.measure();
    std::fs::remove_dir_all(&scratch)?;
    println!("\ntook {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

impl Plan {
    fn measure(&self) {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("{cores} cores, nothing pinned; servers take turns, each with a client process of its own");
        report::decode(&decode::measure());
        report::fan_head();
        let mut memory = Vec::new();
        for (slaves, rounds) in if self.quick { QUICK_FANS } else { FANS } {
            match too_few_files(slaves) {
                Some(why) => println!("{slaves:>7}  {why}"),
                None => memory.extend(self.fan(slaves, rounds)),
            }
        }
        report::memory(&memory);
        self.flood();
    }

    /// Starts every server; one that cannot be started is left out, and said so.
    fn start(&self, work: Work) -> Vec<Pair> {
        let start = |kind: &Kind| match Pair::start(*kind, work, &scratch(&self.scratch, *kind)) {
            Ok(pair) => Some(pair),
            Err(error) => {
                println!("  {} is left out: {error}", kind.name());
                None
            }
        };
        self.kinds.iter().filter_map(start).collect()
    }

    fn fan(&self, slaves: usize, rounds: u64) -> Vec<(usize, Kind, Option<u64>)> {
        let mut pairs = self.start(Work::Fan { slaves, rounds: rounds + WARM_UP });
        let memory = pairs.iter().map(|pair| (slaves, pair.kind, pair.memory)).collect();
        let mut figures: Vec<Fan> = pairs.iter().map(|pair| Fan::new(pair.kind)).collect();
        for round in 1..=rounds + WARM_UP {
            // Another one begins each time.
            for turn in 0..pairs.len() {
                let at = (turn + round as usize) % pairs.len();
                match pairs[at].round(round) {
                    Ok(times) if round > WARM_UP => figures[at].add(times),
                    Ok(_) => {}
                    Err(error) => {
                        println!("  {} is left out from round {round}: {error}", pairs[at].kind.name());
                        pairs.remove(at);
                        figures.remove(at);
                        break;
                    }
                }
            }
        }
        report::fan(slaves, &figures);
        memory
    }

    fn flood(&self) {
        let mut pairs = self.start(Work::Flood { slaves: FLOOD_CONNECTIONS });
        let mut figures: Vec<(Kind, Vec<f64>)> = pairs.iter().map(|pair| (pair.kind, Vec::new())).collect();
        let time = if self.quick { QUICK_FLOOD_TIME } else { FLOOD_TIME };
        // The first one warms up.
        for turn in 0..=FLOODS {
            for (pair, (kind, rates)) in pairs.iter_mut().zip(&mut figures) {
                match pair.flood(time) {
                    Ok(rate) if turn > 0 => rates.push(rate),
                    Ok(_) => {}
                    Err(error) => println!("  {}: {error}", kind.name()),
                }
            }
        }
        report::flood(FLOOD_CONNECTIONS, client::IN_FLIGHT, &figures);
    }
}

/// Each server writes in a directory of its own.
fn scratch(above: &Path, kind: Kind) -> PathBuf {
    let path = above.join(kind.name());
    // If this fails, starting the server says why.
    let _ = std::fs::create_dir_all(&path);
    path
}

/// Why so many connections cannot be held here, if they cannot.
fn too_few_files(slaves: usize) -> Option<String> {
    let needed = slaves as u64 + OTHER_FILES;
    let allowed = getrlimit(Resource::Nofile).maximum?;
    (allowed < needed).then(|| format!("skipped: {needed} open files are needed, the hard limit is {allowed}"))
}
