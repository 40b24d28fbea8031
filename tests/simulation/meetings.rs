//! The seeds of meetings. `ARETE_SEEDS=N` runs so many, `ARETE_MEETING_SEED=S` replays one and prints its trace.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::meeting_seen::MeetingsSeen;
use crate::meeting_sweep::{MeetingSweep, Place, SERVED, kind_of};
use crate::sweep::Kind;
use crate::{TOLD, number_from_env};

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 2_000;

fn run(sweep: &mut MeetingSweep) -> Result<MeetingsSeen, String> {
    catch_unwind(AssertUnwindSafe(|| sweep.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default())
    })
}

fn tell(seed: u64, why: &str) -> String {
    let mut again = MeetingSweep::new(seed);
    again.world.trace.on = true;
    let same = run(&mut again).err().is_some_and(|error| error == why);
    let replays = if same { "" } else { " (the replay went another way!)" };
    let lines: Vec<&str> = again.world.trace.last_lines().collect();
    format!(
        "seed {seed}, step {}: {why}{replays}\n{}\nreplay it: \
         ARETE_MEETING_SEED={seed} cargo test --test simulation meetings -- --nocapture\n",
        again.world.step,
        lines.join("\n")
    )
}

fn replay(seed: u64) {
    let mut sweep = MeetingSweep::new(seed);
    sweep.world.trace.on = true;
    sweep.world.trace.print = true;
    println!("{:?}: {:#?}", kind_of(seed), sweep.plan.scripts);
    match run(&mut sweep) {
        Ok(seen) => println!("seed {seed} holds: {seen:?}"),
        Err(why) => panic!("seed {seed}, step {}: {why}", sweep.world.step),
    }
}

/// Runs all seeds of a kind at a place.
fn sweep(place: Place, kind: Kind) -> Option<MeetingsSeen> {
    if let Some(seed) = number_from_env("ARETE_MEETING_SEED") {
        if kind_of(seed) == (place, kind) {
            replay(seed);
        }
        return None;
    }
    let (mut seen, mut failed, mut told) = (MeetingsSeen::default(), Vec::new(), String::new());
    let seeds = number_from_env("ARETE_SEEDS").unwrap_or(SEEDS);
    let from = if place == Place::Served { SERVED } else { 0 };
    for seed in (from..from + seeds).filter(|seed| kind_of(*seed) == (place, kind)) {
        match run(&mut MeetingSweep::new(seed)) {
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
    println!("{place:?}, {kind:?}: {seen:?}");
    (seeds >= SEEDS).then_some(seen)
}

/// Whether rounds have ended in every way, and what is rare has come about.
fn has_seen_all(seen: &MeetingsSeen) -> bool {
    let kinds = [seen.released, seen.timed_out, seen.aborted, seen.lost, seen.disagreed, seen.refused, seen.maps];
    kinds.into_iter().chain([seen.late, seen.surplus, seen.harmonized]).all(|count| count > 0)
}

#[test]
fn members_of_a_run_meet_as_they_should_while_nothing_breaks() {
    let Some(seen) = sweep(Place::Run, Kind::Calm) else { return };
    assert_eq!(seen.drops, 0);
    assert!(has_seen_all(&seen) && seen.lost_members > 0 && seen.killed > 0, "{seen:?}");
}

#[test]
fn members_of_a_run_get_one_verdict_while_connections_break() {
    let Some(seen) = sweep(Place::Run, Kind::Breaking) else { return };
    assert!([seen.again, seen.told_again, seen.taken_back, seen.unheard].iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn members_of_a_run_get_one_verdict_while_slaves_die() {
    sweep(Place::Run, Kind::Harsh);
}

#[test]
fn clients_in_a_room_meet_as_they_should_while_nothing_breaks() {
    let Some(seen) = sweep(Place::Room, Kind::Calm) else { return };
    assert_eq!(seen.drops, 0);
    assert!(has_seen_all(&seen), "{seen:?}");
}

#[test]
fn clients_in_a_room_get_one_verdict_while_connections_break() {
    sweep(Place::Room, Kind::Breaking);
}

#[test]
fn clients_in_a_room_get_one_verdict_while_they_and_the_controller_die() {
    sweep(Place::Room, Kind::Harsh);
}

#[test]
fn whoever_serves_a_room_leaves_when_all_have_their_verdict() {
    let Some(seen) = sweep(Place::Served, Kind::Calm) else { return };
    // But for who had little time on a slow network, none went without a verdict: each is checked for itself.
    assert!(seen.drops == 0 && seen.unheard <= seen.timed_out / 100, "{seen:?}");
    let kinds = [seen.released, seen.timed_out, seen.aborted, seen.lost, seen.maps, seen.harmonized];
    assert!(kinds.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn members_of_a_room_that_one_serves_get_one_verdict_while_connections_break() {
    sweep(Place::Served, Kind::Breaking);
}

#[test]
fn members_of_a_room_that_one_serves_get_one_verdict_while_they_die() {
    sweep(Place::Served, Kind::Harsh);
}
