//! One client that requests all memory, or that tries to make the controller forget others.

use std::time::Duration;

use super::limits::FORGOTTEN;
use super::{Controller, World};
use crate::controller::room::sync::Limits;
use crate::machine::faults::{Fault, inject};
use crate::machine::{ConnId, Input};
use crate::wire::TIME_MAX;

const SECOND: Duration = Duration::from_secs(1);
const MEMORY: usize = 10_000_000;

fn world() -> World {
    World::of(Controller::bare(None).limited(Limits::new(Some(100_000), None, Some(MEMORY))))
}

/// Returns an arrival at a barrier that names `others` other members, with a long timeout.
fn crowd(name: &str, id: u64, member: &str, others: usize) -> String {
    let names: Vec<String> = (0..others).map(|nr| format!("\"n{nr}\"")).collect();
    let party = format!(r#""party":{{"members":["{member}",{}]}},"timeout":{TIME_MAX}"#, names.join(","));
    format!(r#"{{"type":"arrive","room":"r","barrier":"{name}","id":{id},"member":"{member}",{party}}}"#)
}

impl World {
    fn disconnect(&mut self, conn: ConnId) {
        self.input(Input::Closed { conn, reason: "gone".into() });
    }

    /// Two other members meet at a barrier with long names, and at a sync with long values.
    fn others_meet(&mut self, first: u64) {
        let conns: Vec<ConnId> = (0..2).map(|nr| self.joins(first + nr, "r", &format!("o{nr}"), "o")).collect();
        for (nr, conn) in conns.iter().enumerate() {
            let other = format!("o{nr}");
            let names: Vec<String> = (0..3_000).map(|nr| format!("\"n{nr}\"")).collect();
            let party = format!(r#""party":{{"members":["o0","o1",{}]}}"#, names.join(","));
            let abort = if nr == 1 { r#","abort":"enough""# } else { "" };
            let arrive = format!(r#"{{"type":"arrive","room":"r","barrier":"theirs{first}","id":1,"member":"{other}""#);
            self.say(*conn, &format!("{arrive},{party}{abort}}}"));
            self.gives(*conn, ("r", &other), &format!("theirs{first}"), 2, 2, &super::limits::text(100_000));
        }
        for conn in conns {
            let heard = self.take(conn);
            let met = heard.contains("\"released\"") && heard.contains("o1 aborted: enough");
            assert!(met, "{}", &heard[..500.min(heard.len())]);
            self.say(conn, r#"{"type":"heard","room":"r","ids":[1,2]}"#);
            self.disconnect(conn);
        }
    }
}

#[test]
fn repeated_arrivals_with_many_names_do_not_keep_others_out() {
    let mut world = world();
    for life in 0..10 {
        let greedy = world.joins(100 + life, "r", "g", &format!("g{life}"));
        for id in 1..=80 {
            world.say(greedy, &crowd(&format!("b{life}-{id}"), id, "g", 4_000));
        }
        assert!(world.take(greedy).contains("one client may hold 1250000 bytes"));
        world.others_meet(1_000 + 2 * life);
        world.disconnect(greedy);
        world.pass(SECOND * 6);
        world.others_meet(2_000 + 2 * life);
        assert!(world.held() <= MEMORY, "{}", world.held());
        assert_eq!(world.held(), world.recount());
    }
    world.pass(Duration::from_secs(4_000));
    assert_eq!(
        (world.held(), world.machine.rooms.by_name().len()),
        (0, 0),
        "a failed round is kept for an hour at most"
    );
}

#[test]
fn failed_rounds_are_evicted_before_a_refusal_and_the_largest_first() {
    let mut world = world();
    let small = world.joins(1, "r", "s", "s");
    world.say(small, &crowd("small", 1, "s", 1));
    world.disconnect(small);
    for nr in 2..=9 {
        let greedy = world.joins(nr, "r", "g", &format!("g{nr}"));
        world.say(greedy, &crowd(&format!("b{nr}"), 1, "g", 8_000));
        assert!(!world.take(greedy).contains("refused"));
        world.disconnect(greedy);
        world.pass(SECOND * 6);
    }
    assert!(world.held() < MEMORY / 8 * 7, "{}", world.held());
    let late = world.joins(20, "r", "n0", "n0");
    world.say(late, r#"{"type":"arrive","room":"r","barrier":"small","id":1,"member":"n0"}"#);
    let heard = world.take(late);
    assert!(heard.contains("an earlier round failed: s was lost"), "{heard}");
}

#[test]
fn the_values_of_lost_clients_are_dropped_after_a_time_or_when_memory_is_short() {
    let mut world = world();
    let give = |world: &mut World, nr: u64| {
        let conn = world.joins(nr, "r", "g", &format!("g{nr}"));
        world.take(conn);
        let who = format!(r#""room":"r","session":"s{nr}","id":1,"member":"g""#);
        let value = super::limits::text(90_000);
        let party = format!(r#""party":{{"count":2}},"timeout":{TIME_MAX}"#);
        world.say(conn, &format!(r#"{{"type":"give",{who},{party},"value":{value}}}"#));
        assert_eq!(world.take(conn), "", "{nr}");
        world.disconnect(conn);
        world.pass(SECOND * 6);
    };
    // The value of a lost member is kept while there is memory.
    (1..=200).for_each(|nr| give(&mut world, nr));
    assert!((MEMORY / 2..MEMORY).contains(&world.held()), "{}", world.held());
    let other = world.joins(1_000, "r", "o", "o");
    world.gives(other, ("r", "o"), "s200", 1, 2, "1");
    assert!(world.take(other).contains("\"released\""));
    world.say(other, r#"{"type":"heard","room":"r","ids":[1]}"#);
    world.say(other, r#"{"type":"bye","reason":"done"}"#);
    world.pass(FORGOTTEN);
    world.pass(FORGOTTEN);
    assert_eq!((world.held(), world.machine.rooms.by_name().len()), (0, 0));
}

#[test]
fn unconfirmed_values_of_others_count_against_the_share_of_a_client() {
    let mut world = world();
    let (lazy, other) = (world.joins(1, "r", "l", "l"), world.joins(2, "r", "o", "o"));
    let full = (1..200).find(|&id| {
        for (conn, member, value) in [(lazy, "l", "1"), (other, "o", &*super::limits::text(90_000))] {
            world.gives(conn, ("r", member), &format!("s{id}"), id, 2, value);
        }
        world.say(other, &format!(r#"{{"type":"heard","room":"r","ids":[{id}]}}"#));
        world.take(lazy).contains("one client may hold")
    });
    assert_eq!(full, Some(15));
    assert!(world.held() < MEMORY / 4);
}

#[test]
fn the_arrivals_of_one_client_are_bounded_and_others_can_arrive() {
    let mut world = world();
    let many = world.joins(1, "r", "m", "m");
    for id in 1..=1_001 {
        let place = format!(r#""room":"r","barrier":"b{id}","id":{id},"member":"m""#);
        world.say(many, &format!(r#"{{"type":"arrive",{place},"party":{{"count":2}}}}"#));
    }
    let heard = world.take(many);
    let refused = "one client may have 1000 arrivals at once";
    assert!(heard.contains(refused) && heard.matches("refused").count() == 1, "{heard}");
    world.others_meet(10);
}

/// Returns what a member receives after a reconnect, when a crowd of strangers has come and gone since its outcome.
fn hears_after_a_crowd() -> String {
    let limits = Limits { away: 3, ..Limits::default() };
    let mut world = World::of(Controller::bare(None).limited(limits));
    let arrive = |member: &str| {
        let place = format!(r#""room":"r","barrier":"b","id":1,"member":"{member}","timeout":9000000"#);
        format!(r#"{{"type":"arrive",{place},"party":{{"members":["a","b"]}}}}"#)
    };
    let (a, b) = (world.joins(1, "r", "a", "a"), world.joins(2, "r", "b", "b"));
    world.say(a, &arrive("a"));
    world.say(b, &arrive("b"));
    world.disconnect(a);
    assert!(world.take(b).contains("\"released\""));
    for nr in 10..50 {
        let stranger = world.joins(nr, "r", "x", &format!("x{nr}"));
        world.disconnect(stranger);
    }
    world.pass(SECOND * 2);
    assert!(world.machine.processes.len() <= 6);
    let a = world.joins(60, "r", "a", "a");
    world.take(a);
    world.say(a, &arrive("a"));
    world.take(a)
}

#[test]
fn a_crowd_of_strangers_does_not_displace_an_unconfirmed_outcome() {
    let heard = hears_after_a_crowd();
    assert!(heard.contains("\"released\""), "{heard}");
    inject(Some(Fault::OwedForgottenFirst));
    let heard = hears_after_a_crowd();
    inject(None);
    assert_eq!(heard, "", "it waits anew");
}

#[test]
fn a_crowd_that_has_left_is_forgotten_in_pieces() {
    let mut world = World::of(Controller::bare(None));
    // Another client keeps the room.
    let stays = world.accept_nr(9_999);
    world.say(stays, r#"{"type":"join","protocol":1,"version":"x","room":"r","incarnation":"stays"}"#);
    for number in 1..=2_500 {
        let conn = world.accept_nr(number);
        let who = format!(r#""room":"r","incarnation":"i{number}""#);
        world.say(conn, &format!(r#"{{"type":"join","protocol":1,"version":"x",{who}}}"#));
        world.close(conn);
    }
    let known = |world: &World| world.machine.processes.len();
    assert_eq!(known(&world), 2_501);
    world.machine.processes.set_max(3);
    let mut after_each_turn = Vec::new();
    while known(&world) > 4 {
        assert!(
            crate::machine::Machine::next_deadline(&world.machine).is_some_and(|at| at <= world.now),
            "the next piece is due at once"
        );
        world.input(Input::Deadline);
        after_each_turn.push(known(&world));
    }
    assert_eq!(after_each_turn, [1_501, 501, 4]);
}

#[test]
fn a_crowd_of_strangers_does_not_make_a_notify_count_twice() {
    let limits = Limits { away: 3, ..Limits::default() };
    let mut world = World::of(Controller::bare(None).limited(limits));
    let a = world.joins(1, "r", "a", "a");
    world.say(a, r#"{"type":"create","room":"r","trigger":"t","count":3}"#);
    let notify = r#"{"type":"notify","room":"r","trigger":"t","count":1}"#;
    world.say(a, notify);
    world.disconnect(a);
    for nr in 10..50 {
        let stranger = world.joins(nr, "r", "x", &format!("x{nr}"));
        world.say(stranger, r#"{"type":"bye","reason":"done"}"#);
    }
    world.pass(SECOND * 2);
    let a = world.joins(60, "r", "a", "a");
    world.take(a);
    world.say(a, notify);
    let heard = world.take(a);
    assert!(heard.contains("\"left\":2"), "{heard}");
    world.say(a, r#"{"type":"notify","room":"r","trigger":"t","count":0}"#);
    let heard = world.take(a);
    assert!(heard.contains("the count of a notify is at least 1") && world.closed.contains(&a), "{heard}");
}

/// Notifies a trigger of a room with data until it is refused. Returns how many notifies counted, and the refusal.
fn notifies_until_refused(world: &mut World, conn: ConnId, trigger: &str) -> (usize, String) {
    for count in 1.. {
        let data = super::limits::text(60_000);
        let what = format!(r#""room":"r","trigger":"{trigger}","count":{count},"data":{data}"#);
        world.say(conn, &format!(r#"{{"type":"notify",{what}}}"#));
        let heard = world.take(conn);
        if !heard.contains("\"noted\"") {
            return (count - 1, heard);
        }
    }
    unreachable!("something has a bound");
}

#[test]
fn triggers_and_notifies_of_clients_count_against_their_share_and_the_share_of_all_triggers() {
    let mut world = world();
    let creates = |world: &mut World, number: u64, name: &str| {
        let conn = world.joins(number, "r", "g", &format!("g{number}"));
        world.say(conn, &format!(r#"{{"type":"create","room":"r","trigger":"{name}","count":1000000}}"#));
        let heard = world.take(conn);
        assert!(heard.contains("\"created\""), "{heard}");
        conn
    };
    let a = creates(&mut world, 1, "a1");
    let of_one = notifies_until_refused(&mut world, a, "a1");
    assert!(of_one.0 == 16 && of_one.1.contains("the data of all notifies of"), "{of_one:?}");
    let _ = creates(&mut world, 2, "a2");
    let share = notifies_until_refused(&mut world, a, "a2");
    assert!(share.0 == 4 && share.1.contains("one client may hold 1250000 bytes"), "{share:?}");
    world.disconnect(a);
    // Any number of clients may create triggers, which outlive them. Therefore all triggers have a limit together.
    let b = creates(&mut world, 3, "b1");
    assert_eq!(notifies_until_refused(&mut world, b, "b1").0, 16);
    let c = creates(&mut world, 4, "c1");
    let all = notifies_until_refused(&mut world, c, "c1");
    assert!(all.0 == 5 && all.1.contains("all triggers of rooms may hold 2500000 bytes"), "{all:?}");
    assert!(all.1.contains("arete trigger delete"), "{all:?}");
    world.others_meet(100);
    assert_eq!(world.held(), world.recount());
    world.say(c, r#"{"type":"delete","room":"r","trigger":"a1"}"#);
    world.take(c);
    assert!(notifies_until_refused(&mut world, c, "c1").0 > 5);
    for name in ["a2", "b1", "c1"] {
        world.say(c, &format!(r#"{{"type":"delete","room":"r","trigger":"{name}"}}"#));
    }
    assert_eq!(world.machine.budget.held_for(u64::MAX), 0);
    let many = (0..5_000).find(|nr| {
        world.say(b, &format!(r#"{{"type":"create","room":"r","trigger":"{nr:0>60}","count":1}}"#));
        !world.take(b).contains("\"created\"")
    });
    assert_eq!(many, Some(1_250_000 / (512 + 120)));
}
