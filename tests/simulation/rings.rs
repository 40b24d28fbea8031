//! The seeds of rings. `ARETE_SEEDS=N` runs N of each mode, `ARETE_RING_SEED=S` replays one and prints its trace.

use crate::ring_checks::{Checks, RingSeen};
use crate::ring_plan::{BREAKING, Mode, Plan, mode_of};
use crate::seeds::{self, Trial, seeds_or};
use crate::world::{Fault, SECOND, World};

/// The usual number of seeds.
const SEEDS: u64 = 2_000;

/// The time for which a ring is watched after the last fault, in rounds.
const ROUNDS: u64 = 2;

pub struct RingSweep {
    plan: Plan,
    world: World,
    checks: Checks,
}

impl Trial for RingSweep {
    const REPLAY: &'static str = "ARETE_RING_SEED";
    const FILTER: &'static str = "rings";
    type Seen = RingSeen;

    fn new(seed: u64) -> RingSweep {
        let plan = Plan::new(seed);
        let world = plan.world(seed);
        RingSweep { plan, world, checks: Checks::default() }
    }

    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn plan(&self) -> String {
        format!("{:#?}", self.plan)
    }

    fn add(seen: &mut RingSeen, more: RingSeen) {
        seen.add(more);
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
}

impl RingSweep {
    fn until(&mut self, end: u64) -> Result<(), String> {
        while self.world.now < end {
            if !self.world.step() {
                // All nodes are dead until one is started.
                self.world.now = end;
            }
            self.checks.look(&mut self.world, &self.plan)?;
        }
        Ok(())
    }

    /// Ends all faults.
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

/// Runs all seeds of a mode.
fn sweep(mode: Mode) -> Option<RingSeen> {
    seeds::sweep::<RingSweep>(0..seeds_or(SEEDS), &format!("{mode:?}"), |seed| mode_of(seed) == mode)
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
fn with_the_protocol_of_the_original_there_is_one_token_in_the_end() {
    if let Some(seen) = sweep(Mode::Compat) {
        assert!(seen.steps > seen.rings * 10 && seen.generated > seen.rings, "too little has happened: {seen:?}");
    }
}
