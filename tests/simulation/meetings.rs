//! The seeds of meetings. `ARETE_SEEDS=N` runs N of each kind, `ARETE_MEETING_SEED=S` replays one and prints its
//! trace.

use crate::meeting_seen::MeetingsSeen;
use crate::meeting_sweep::{MeetingSweep, Place, SERVED, kind_of};
use crate::seeds::{self, Trial, seeds_or};
use crate::sweep::Kind;
use crate::world::World;

/// The usual number of seeds.
const SEEDS: u64 = 2_000;

impl Trial for MeetingSweep {
    const REPLAY: &'static str = "ARETE_MEETING_SEED";
    const FILTER: &'static str = "meetings";
    type Seen = MeetingsSeen;

    fn new(seed: u64) -> MeetingSweep {
        MeetingSweep::new(seed)
    }

    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn plan(&self) -> String {
        format!("{:#?}", self.plan.scripts)
    }

    fn run(&mut self) -> Result<MeetingsSeen, String> {
        MeetingSweep::run(self)
    }

    fn add(seen: &mut MeetingsSeen, more: MeetingsSeen) {
        seen.add(more);
    }
}

/// Runs all seeds of a kind at a place.
fn sweep(place: Place, kind: Kind) -> Option<MeetingsSeen> {
    let (seeds, from) = (seeds_or(SEEDS), if place == Place::Served { SERVED } else { 0 });
    let ours = |seed| kind_of(seed) == (place, kind);
    let seen = seeds::sweep::<MeetingSweep>(from..from + seeds, &format!("{place:?}, {kind:?}"), ours)?;
    (seeds >= SEEDS).then_some(seen)
}

/// Checks that rounds have ended in every way, and that rare things have happened.
fn has_seen_all(seen: &MeetingsSeen) -> bool {
    let kinds = [seen.released, seen.timed_out, seen.aborted, seen.lost, seen.disagreed, seen.refused, seen.maps];
    kinds.into_iter().chain([seen.late, seen.surplus, seen.harmonized]).all(|count| count > 0)
}

#[test]
fn members_of_a_run_meet_as_they_should_while_nothing_breaks() {
    let Some(seen) = sweep(Place::Run, Kind::Calm) else { return };
    assert_eq!(seen.drops, 0);
    assert!(has_seen_all(&seen) && seen.lost_members > 0 && seen.killed > 0 && seen.given_up > 0, "{seen:?}");
}

#[test]
fn members_of_a_run_get_one_verdict_while_connections_break() {
    let Some(seen) = sweep(Place::Run, Kind::Breaking) else { return };
    let counts = [seen.again, seen.told_again, seen.taken_back, seen.unheard, seen.restarts];
    assert!(counts.iter().all(|count| *count > 0), "{seen:?}");
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
    let Some(seen) = sweep(Place::Room, Kind::Breaking) else { return };
    assert!(seen.restarts > 0 && seen.told_again > 0, "{seen:?}");
}

#[test]
fn clients_in_a_room_get_one_verdict_while_they_and_the_controller_die() {
    sweep(Place::Room, Kind::Harsh);
}

#[test]
fn a_serving_member_leaves_when_all_have_their_verdict() {
    let Some(seen) = sweep(Place::Served, Kind::Calm) else { return };
    // Only members with a short time on a slow network went without a verdict. Each is checked on its own.
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
