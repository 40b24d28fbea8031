//! The plan: which rows are measured, in which order, and how often.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use crate::report::{self, Rounds};
use crate::server::{self, Pair, Work};
use crate::speech::{self, Kind};
use crate::{client, decode, ring};

/// The numbers of slaves and of rounds: enough for a median, few enough for a short bench.
const FANS: [(usize, u64); 3] = [(100, 300), (1_000, 80), (10_000, 25)];

/// With `--quick`.
const QUICK_FANS: [(usize, u64); 3] = [(100, 50), (1_000, 20), (10_000, 5)];

/// The first rounds of each server are a warm-up and do not count.
const WARM_UP: u64 = 2;

/// For each barrier: the members, how many of them share a slave of arete, and the rounds.
const BARRIERS: [(usize, usize, u64); 5] =
    [(10, 1, 500), (100, 1, 200), (1_000, 1, 60), (10_000, 1, 20), (10_000, 100, 20)];
const QUICK_BARRIERS: [(usize, usize, u64); 5] =
    [(10, 1, 100), (100, 1, 50), (1_000, 1, 20), (10_000, 1, 5), (10_000, 100, 5)];

/// For each barrier with a late last member: the members, and the rounds. A round takes more than a second.
const LATES: [(usize, u64); 3] = [(100, 5), (1_000, 5), (10_000, 3)];
const QUICK_LATES: [(usize, u64); 3] = [(100, 2), (1_000, 2), (4_000, 2)];

/// The members of the sync, and its rounds.
const SYNC_MEMBERS: usize = 1_000;
const SYNCS: u64 = 7;
const QUICK_SYNCS: u64 = 3;

/// The connections of the throughput rows.
const FLOOD_CONNECTIONS: usize = 100;

/// How often each server is flooded in turn, and for how long.
const FLOODS: usize = 5;
const FLOOD_TIME: Duration = Duration::from_secs(1);
const QUICK_FLOOD_TIME: Duration = Duration::from_millis(300);

/// The open files of a server or a client that are not connections.
const OTHER_FILES: u64 = 64;

/// The rows that `--only` can select.
const ROWS: [&str; 7] = ["decode", "fan", "flood", "barrier", "late", "sync", "ring"];

struct Plan {
    quick: bool,
    rows: Vec<&'static str>,
    kinds: Vec<Kind>,
    scratch: PathBuf,
}

/// Measures all rows and prints the figures.
pub fn main(words: &[&str]) -> io::Result<()> {
    let only = words.iter().position(|word| *word == "--only").and_then(|at| words.get(at + 1));
    let names: Vec<&str> = only.map(|list| list.split(',').collect()).unwrap_or_default();
    let (rows, mut kinds) = choose(&names)?;
    if kinds.contains(&Kind::Redis) && !server::redis_is_installed() {
        println!("redis-server is not installed: its rows are left out");
        kinds.retain(|kind| *kind != Kind::Redis);
    }
    let scratch = std::env::temp_dir().join(format!("arete-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let plan = Plan { quick: words.contains(&"--quick"), rows, kinds, scratch: scratch.clone() };
    let begin = Instant::now();
    plan.measure();
    std::fs::remove_dir_all(&scratch)?;
    println!("\ntook {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Returns the selected rows and servers. If one kind is not named, all of that kind are selected.
fn choose(names: &[&str]) -> io::Result<(Vec<&'static str>, Vec<Kind>)> {
    let is_row = |name: &&&str| ROWS.contains(*name);
    if let Some(name) = names.iter().find(|name| !is_row(name) && Kind::from_name(name).is_none()) {
        let known = "decode, fan, flood, barrier, late, sync, ring, limit, arete, redis";
        return Err(io::Error::other(format!("--only {name}: no such row or server: use one of {known}")));
    }
    let all_rows = !names.iter().any(|name| is_row(&name));
    let all_kinds = names.iter().all(|name| is_row(&name));
    let rows = ROWS.into_iter().filter(|row| all_rows || names.contains(row)).collect();
    let kinds = Kind::ALL.into_iter().filter(|kind| all_kinds || names.contains(&kind.name())).collect();
    Ok((rows, kinds))
}

impl Plan {
    fn measure(&self) {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("{cores} cores, nothing pinned; servers take turns, each with its own client process");
        for row in &self.rows {
            match *row {
                "decode" => report::decode(&decode::measure()),
                "fan" => self.fans(),
                "flood" => self.flood(),
                "barrier" => self.barriers(),
                "late" => self.lates(),
                "ring" => self.rings(),
                _ => self.sync(),
            }
        }
    }

    /// Starts every server. If one cannot be started, prints why and leaves it out.
    fn start(&self, work: Work) -> Vec<Pair> {
        let start = |kind: &Kind| match Pair::start(*kind, work, &scratch(&self.scratch, *kind)) {
            Ok(pair) => Some(pair),
            Err(error) => {
                println!("  {} is left out: {error}", kind.name());
                None
            }
        };
        // Redis does not check whether its clients are alive.
        let plays = |kind: &&Kind| **kind != Kind::Redis || !matches!(work, Work::Late { .. });
        self.kinds.iter().filter(plays).filter_map(start).collect()
    }

    /// The servers take turns. A server that fails is left out from then on.
    fn turns(&self, pairs: &mut Vec<Pair>, rounds: u64) -> Vec<Rounds> {
        let mut figures: Vec<Rounds> = pairs.iter().map(|pair| Rounds::new(pair.kind)).collect();
        for round in 1..=rounds + WARM_UP {
            let mut times = vec![None; pairs.len()];
            // Another server begins each time.
            for turn in 0..pairs.len() {
                let at = (turn + round as usize) % pairs.len();
                // Waiting members may have to answer a check.
                let done = pairs.iter_mut().try_for_each(Pair::ping).and_then(|()| pairs[at].round(round));
                match done {
                    Ok(took) => times[at] = Some(took),
                    Err(error) => println!("  {} is left out from round {round}: {error}", pairs[at].kind.name()),
                }
            }
            for at in (0..pairs.len()).rev() {
                match times[at] {
                    Some(took) if round > WARM_UP => figures[at].add(took),
                    Some(_) => {}
                    None => {
                        pairs.remove(at);
                        figures.remove(at);
                    }
                }
            }
        }
        figures
    }

    fn fans(&self) {
        report::rounds_head("fan-out: from the last notify sent to the last \"triggered\" received", "slaves");
        let mut memory = Vec::new();
        for (slaves, rounds) in if self.quick { QUICK_FANS } else { FANS } {
            if let Some(why) = too_few_files(slaves) {
                println!("{slaves:>9}  {why}");
                continue;
            }
            let mut pairs = self.start(Work::Fan { slaves, rounds: rounds + WARM_UP });
            memory.extend(pairs.iter().map(|pair| (slaves, pair.kind, pair.memory)));
            report::rounds(&slaves.to_string(), &self.turns(&mut pairs, rounds));
        }
        report::memory(&memory);
    }

    fn barriers(&self) {
        report::rounds_head("barrier: from the last arrival sent to the last release received", "members");
        for (members, on_slave, rounds) in if self.quick { QUICK_BARRIERS } else { BARRIERS } {
            let row = if on_slave > 1 { format!("{members}/{on_slave}") } else { members.to_string() };
            if let Some(why) = too_few_files(members) {
                println!("{row:>9}  {why}");
                continue;
            }
            let mut pairs = self.start(Work::Barrier { members, on_slave });
            report::rounds(&row, &self.turns(&mut pairs, rounds));
        }
        println!("N/M: M members share the connection of one slave of arete; elsewhere each has its own");
    }

    fn lates(&self) {
        let what = "late barrier: from the last arrival, over a second late, until all have shown that they live and are \
                    released";
        report::rounds_head(what, "members");
        for (members, rounds) in if self.quick { QUICK_LATES } else { LATES } {
            if let Some(why) = too_few_files(members) {
                println!("{members:>9}  {why}");
                continue;
            }
            let mut pairs = self.start(Work::Late { members });
            report::rounds(&members.to_string(), &self.turns(&mut pairs, rounds));
        }
    }

    fn sync(&self) {
        report::rounds_head("sync: from the last value sent to the last map received", "members");
        let mut pairs = self.start(Work::Sync { members: SYNC_MEMBERS });
        let figures = self.turns(&mut pairs, if self.quick { QUICK_SYNCS } else { SYNCS });
        let peaks: Vec<(Kind, Option<u64>)> = pairs.iter().map(|pair| (pair.kind, pair.peak())).collect();
        report::rounds(&SYNC_MEMBERS.to_string(), &figures);
        report::sync(SYNC_MEMBERS * SYNC_MEMBERS * speech::VALUE_BYTES, &figures, &peaks);
    }

    fn rings(&self) {
        report::rings(&ring::measure(&self.scratch, self.quick));
        report::full_speed(&ring::full_speed(&self.scratch));
    }

    fn flood(&self) {
        let mut pairs = self.start(Work::Flood { slaves: FLOOD_CONNECTIONS });
        let mut figures: Vec<(Kind, Vec<f64>)> = pairs.iter().map(|pair| (pair.kind, Vec::new())).collect();
        let time = if self.quick { QUICK_FLOOD_TIME } else { FLOOD_TIME };
        // The first round is a warm-up.
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

/// Each server writes in its own directory.
fn scratch(above: &Path, kind: Kind) -> PathBuf {
    let path = above.join(kind.name());
    // If this fails, the start of the server reports the reason.
    let _ = std::fs::create_dir_all(&path);
    path
}

/// Returns the reason if this process cannot hold connections for `slaves` slaves.
fn too_few_files(slaves: usize) -> Option<String> {
    let needed = slaves as u64 + OTHER_FILES;
    let allowed = getrlimit(Resource::Nofile).maximum?;
    (allowed < needed).then(|| format!("skipped: {needed} open files are needed, the hard limit is {allowed}"))
}
