//! Many seeds: random tests in a world where everything that can fail does.
//!
//! `ARETE_SEEDS=N` runs so many seeds, `ARETE_SEED=S` replays one and prints its trace.

#[path = "simulation/checks.rs"]
mod checks;
#[path = "simulation/generator.rs"]
mod generator;
#[path = "simulation/lab.rs"]
mod lab;
#[path = "simulation/meeting_checks.rs"]
mod meeting_checks;
#[path = "simulation/meeting_lines.rs"]
mod meeting_lines;
#[path = "simulation/meeting_log.rs"]
mod meeting_log;
#[path = "simulation/meeting_plan.rs"]
mod meeting_plan;
#[path = "simulation/meeting_seen.rs"]
mod meeting_seen;
#[path = "simulation/meeting_sweep.rs"]
mod meeting_sweep;
#[path = "simulation/meetings.rs"]
mod meetings;
#[path = "simulation/sweep.rs"]
mod sweep;
#[path = "simulation/toys.rs"]
mod toys;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use sweep::{Kind, Seen, Sweep};

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 1_000;
/// How many failing seeds are told.
const TOLD: usize = 3;

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Runs a seed; a panic of a machine is an error like another.
fn run(sweep: &mut Sweep) -> Result<Seen, String> {
    catch_unwind(AssertUnwindSafe(|| sweep.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default())
    })
}

/// Runs a failing seed again with its trace, and tells all that is known.
fn tell(seed: u64, why: &str) -> String {
    let mut again = Sweep::new(seed);
    again.world.trace.on = true;
    let same = run(&mut again).err().is_some_and(|error| error == why);
    let replays = if same { "" } else { " (the replay went another way!)" };
    let lines: Vec<&str> = again.world.trace.last_lines().collect();
    format!(
        "seed {seed}, step {}: {why}{replays}\n{}\nreplay it: \
         ARETE_SEED={seed} cargo test --test simulation -- --nocapture\n",
        again.world.step,
        lines.join("\n")
    )
}

fn replay(seed: u64) {
    let mut sweep = Sweep::new(seed);
    sweep.world.trace.on = true;
    sweep.world.trace.print = true;
    println!("{:#?}", sweep.plan.test);
    match run(&mut sweep) {
        Ok(seen) => println!("seed {seed} holds: {seen:?}"),
        Err(why) => panic!("seed {seed}, step {}: {why}", sweep.world.step),
    }
}

/// Runs all seeds of a kind.
fn sweep(kind: Kind) -> Seen {
    if let Some(seed) = number_from_env("ARETE_SEED") {
        if sweep::kind_of(seed) == kind {
            replay(seed);
        }
        return Seen::default();
    }
    let (mut seen, mut failed, mut told) = (Seen::default(), Vec::new(), String::new());
    for seed in (0..number_from_env("ARETE_SEEDS").unwrap_or(SEEDS)).filter(|seed| sweep::kind_of(*seed) == kind) {
        match run(&mut Sweep::new(seed)) {
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
    println!("{kind:?}: {seen:?}");
    seen
}

#[test]
fn runs_end_as_they_should_while_nothing_breaks() {
    sweep(Kind::Calm);
}

#[test]
fn runs_end_as_they_should_while_connections_break() {
    sweep(Kind::Breaking);
}

#[test]
fn what_is_promised_holds_while_slaves_die_and_disks_are_full() {
    sweep(Kind::Harsh);
}

mod the_world {
    use arete::machine::Address;

    use crate::toys::{Counter, Teller};
    use crate::world::{Fault, SECOND, World};

    fn toy_world(seed: u64) -> World {
        let mut world = World::new(seed, 2);
        world.trace.on = true;
        let address = Address::Inet("counter:1".into());
        let counter = world.add_node("counter", 0, vec![address.clone()], |_| Box::<Counter>::default());
        let teller = world.add_node("teller", 1, vec![], move |_| Box::new(Teller::new(address.clone(), 50)));
        world.network.weather.drop_one_in = 10;
        world.start(teller);
        world.fault_at(SECOND, Fault::Start(counter));
        world.fault_at(2 * SECOND, Fault::Partition(0, 1));
        world.fault_at(7 * SECOND, Fault::Heal(0, 1));
        world
    }

    #[test]
    fn what_is_said_until_it_is_answered_arrives_once_over_a_network_that_breaks() {
        for seed in 0..50 {
            let mut world = toy_world(seed);
            assert!(world.run_until(600 * SECOND, |world| world.nodes[1].exit == Some(0)), "seed {seed}");
            let expected: String = (1..=50).map(|number| format!("{number}\n")).collect();
            assert_eq!(world.hosts[0].disk.get("/log"), Some(expected.as_bytes()), "seed {seed}");
            assert!(world.network.drops > 0);
        }
    }

    #[test]
    fn a_seed_replays_to_the_same_trace_and_another_does_not() {
        let hash = |seed| {
            let mut world = toy_world(seed);
            world.run_for(30 * SECOND);
            world.trace.hash()
        };
        assert_eq!(hash(7), hash(7));
        assert_ne!(hash(7), hash(8));
    }
}
