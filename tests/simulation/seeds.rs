//! Runs many seeds, reports those that fail, and replays one.
//!
//! `ARETE_SEEDS=N` runs N of each kind. The variable of a [`Trial`] replays one seed and prints its trace.

use std::fmt::Debug;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::world::World;

/// The number of failing seeds that are reported.
const TOLD: usize = 3;

/// The world of a seed, and the checks while it runs.
pub trait Trial: Sized {
    /// The variable that replays a seed.
    const REPLAY: &'static str;
    /// The filter of the command that runs only these: `cargo test --test simulation FILTER`.
    const FILTER: &'static str;
    /// The totals of a run.
    type Seen: Debug + Default;

    fn new(seed: u64) -> Self;
    fn world(&mut self) -> &mut World;
    /// A description of the seed, for a replay.
    fn plan(&self) -> String;
    fn run(&mut self) -> Result<Self::Seen, String>;
    fn add(seen: &mut Self::Seen, more: Self::Seen);
}

/// The number of seeds that are run instead of `usual`.
pub fn seeds_or(usual: u64) -> u64 {
    number_from_env("ARETE_SEEDS").unwrap_or(usual)
}

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Runs a seed. A panic of a machine is an error like others.
fn run<T: Trial>(trial: &mut T) -> Result<T::Seen, String> {
    catch_unwind(AssertUnwindSafe(|| trial.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default())
    })
}

/// Runs a failing seed again with its trace, and prints everything known.
fn tell<T: Trial>(seed: u64, why: &str) -> String {
    let mut again = T::new(seed);
    again.world().trace.on = true;
    let same = run(&mut again).err().is_some_and(|error| error == why);
    let replays = if same { "" } else { " (the replay went another way!)" };
    let world = again.world();
    let lines: Vec<&str> = world.trace.last_lines().collect();
    format!(
        "seed {seed}, step {}: {why}{replays}\n{}\nreplay it: \
         {}={seed} cargo test --test simulation {} -- --nocapture\n",
        world.step,
        lines.join("\n"),
        T::REPLAY,
        T::FILTER
    )
}

fn replay<T: Trial>(seed: u64) {
    let mut trial = T::new(seed);
    trial.world().trace.on = true;
    trial.world().trace.print = true;
    println!("{}", trial.plan());
    match run(&mut trial) {
        Ok(seen) => println!("seed {seed} holds: {seen:?}"),
        Err(why) => panic!("seed {seed}, step {}: {why}", trial.world().step),
    }
}

/// Runs those of the seeds that are `ours`, and returns their totals. Returns `None` if one is replayed.
pub fn sweep<T: Trial>(seeds: Range<u64>, what: &str, ours: impl Fn(u64) -> bool) -> Option<T::Seen> {
    if let Some(seed) = number_from_env(T::REPLAY) {
        if ours(seed) {
            replay::<T>(seed);
        }
        return None;
    }
    let (mut seen, mut failed, mut told) = (T::Seen::default(), Vec::new(), String::new());
    for seed in seeds.filter(|seed| ours(*seed)) {
        match run(&mut T::new(seed)) {
            Ok(more) => T::add(&mut seen, more),
            Err(why) => {
                if failed.len() < TOLD {
                    told += &tell::<T>(seed, &why);
                }
                failed.push(format!("{seed}: {why}"));
            }
        }
    }
    assert!(failed.is_empty(), "{told}\n{} seeds failed:\n{}", failed.len(), failed.join("\n"));
    println!("{what}: {seen:?}");
    Some(seen)
}

/// The first failing seed in order, and the reason.
pub fn first_failure<T: Trial>(seeds: impl Iterator<Item = u64>) -> Option<(usize, u64, String)> {
    seeds.enumerate().find_map(|(nr, seed)| run(&mut T::new(seed)).err().map(|why| (nr + 1, seed, why)))
}
