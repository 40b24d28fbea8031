//! The seeds of rings. `ARETE_SEEDS=N` runs so many, `ARETE_RING_SEED=S` replays one and prints its trace.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ring_checks::{Checks, RingSeen};
use crate::ring_plan::{BREAKING, Mode, Plan, mode_of};
use crate::world::{Fault, SECOND, World};
use crate::{TOLD, number_from_env};

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 2_000;

/// How long a ring is watched when everything is well again, in rounds.
const ROUNDS: u64 = 2;

struct RingSweep {
    plan: Plan,
    world: World,
    checks: Checks,
}

impl RingSweep {
    fn new(seed: u64) -> RingSweep {
        let plan = Plan::new(seed);
        let world = plan.world(seed);
        RingSweep { plan, world, checks: Checks::default() }
    }

    fn run(&mut self) -> Result<RingSeen, String> {
        self.until(BREAKING + 20 * SECOND)?;
        self.calm();
        let from = self.world.now + self.plan.patience();
        self.until(from)?;
        let hop = self.plan.periods.hold.as_micros() as u64 + self.plan.step * 1_000 + SECOND / 4;
        self.until(from + hop * self.plan.nodes as u64 * ROUNDS)?;
        self.checks.one_token(from, &self.plan)?;
        Ok(self.checks.seen())
    }

    fn until(&mut self, end: u64) -> Result<(), String> {
        while self.world.now < end {
            if !self.world.step() {
                return Err("nothing will ever happen again".to_owned());
            }
            self.checks.look(&mut self.world, &self.plan)?;
        }
        Ok(())
    }

    /// Everything that was broken is whole.
    fn calm(&mut self) {
        self.world.network.datagrams.lost_one_in = 0;
        self.world.network.datagrams.spike = 1_000;
        self.world.network.weather.drop_one_in = 0;
        self.world.spawn_fails_one_in = 0;
        for a in 0..self.plan.nodes {
            self.world.happen(Fault::DiskFull(a, false));
            self.world.happen(Fault::Resume(a));
            for b in a + 1..self.plan.nodes {
                self.world.happen(Fault::Heal(a, b));
            }
            self.world.happen(Fault::Start(a));
        }
    }
}

fn run(sweep: &mut RingSweep) -> Result<RingSeen, String> {
    catch_unwind(AssertUnwindSafe(|| sweep.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default())
    })
}

fn tell(seed: u64, why: &str) -> String {
    let mut again = RingSweep::new(seed);
    again.world.trace.on = true;
    let same = run(&mut again).err().is_some_and(|error| error == why);
    let replays = if same { "" } else { " (the replay went another way!)" };
    let lines: Vec<&str> = again.world.trace.last_lines().collect();
    format!(
        "seed {seed}, step {}: {why}{replays}\n{}\nreplay it: \
         ARETE_RING_SEED={seed} cargo test --test simulation rings -- --nocapture\n",
        again.world.step,
        lines.join("\n")
    )
}

fn replay(seed: u64) {
    let mut sweep = RingSweep::new(seed);
    sweep.world.trace.on = true;
    sweep.world.trace.print = true;
    println!("{:#?}", sweep.plan);
    match run(&mut sweep) {
        Ok(seen) => println!("seed {seed} holds: {seen:?}"),
        Err(why) => panic!("seed {seed}, step {}: {why}", sweep.world.step),
    }
}

fn sweep(mode: Mode) -> Option<RingSeen> {
    if let Some(seed) = number_from_env("ARETE_RING_SEED") {
        if mode_of(seed) == mode {
            replay(seed);
        }
        return None;
    }
    let (mut seen, mut failed, mut told) = (RingSeen::default(), Vec::new(), String::new());
    let seeds = number_from_env("ARETE_SEEDS").unwrap_or(SEEDS);
    for seed in (0..seeds).filter(|seed| mode_of(*seed) == mode) {
        match run(&mut RingSweep::new(seed)) {
            Ok(more) => seen.add(more),
            Err(why) => {
                if failed.len() < TOLD {
                    told += &tell(seed, &why);
                }
                failed.push(format!("{seed}: {why}"));
            }
        }
    }
    assert!(failed.is_empty(), "{told}\n{} seeds failed:\n{}", failed.len(), failed.join("\n"));
    println!("{mode:?}: {seen:?}");
    Some(seen)
}

#[test]
fn with_members_never_two_owners_act_and_the_data_never_goes_back() {
    if let Some(seen) = sweep(Mode::Members) {
        assert!(seen.steps > seen.rings * 10 && seen.epochs > seen.rings, "too little has happened: {seen:?}");
    }
}

#[test]
fn with_members_and_a_key_it_is_the_same() {
    if let Some(seen) = sweep(Mode::Sealed) {
        assert!(seen.steps > seen.rings * 10 && seen.epochs > seen.rings, "too little has happened: {seen:?}");
    }
}

#[test]
fn without_members_there_is_one_token_in_the_end() {
    if let Some(seen) = sweep(Mode::Plain) {
        assert!(seen.steps > seen.rings * 10 && seen.generated > seen.rings, "too little has happened: {seen:?}");
    }
}

#[test]
fn as_the_original_speaks_there_is_one_token_in_the_end() {
    if let Some(seen) = sweep(Mode::Compat) {
        assert!(seen.steps > seen.rings * 10 && seen.generated > seen.rings, "too little has happened: {seen:?}");
    }
}
