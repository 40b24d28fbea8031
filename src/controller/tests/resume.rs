//! Controllers that are killed and continue from their ledgers.

use std::path::Path;

use super::*;
use crate::controller::ledger::{Keep, Past};

/// The path of the ledger.
const LEDGER: &str = "/state/state.jsonl";

fn keep(boot: &str, wall_offset: i64) -> Keep {
    Keep { path: LEDGER.into(), boot: boot.to_owned(), wall_offset, ..Keep::default() }
}

/// Returns two controllers of rooms: one never rewrites its ledger, and one always does.
fn rooms() -> [World; 2] {
    let from = |rewrite_from| Keep { rewrite_from: Some(rewrite_from), ..keep("boot", 0) };
    [u64::MAX / 2, 0].map(|bound| World::of(Controller::bare(None).keeping(from(bound))))
}

impl World {
    /// Kills the controller. Another one starts at this instant of its own clock.
    fn killed(mut self, now: Time, keep: Keep) -> World {
        let past = Past::read(Path::new(LEDGER), self.recorded.clone().into_bytes()).expect("it was just written");
        let controller = Controller::bare(None).keeping(keep).resumed(&past, &mut ()).expect("it was just written");
        self.replace(controller, now);
        self
    }

    fn restart(self) -> World {
        let now = self.now + Duration::from_millis(300);
        self.killed(now, Keep { rewrite_from: Some(0), ..keep("boot", 0) })
    }

    /// Connects a client that joins room `r`.
    fn join_as(&mut self, number: u64, member: &str, incarnation: &str) -> ConnId {
        let conn = self.accept_nr(number);
        let who = format!(r#""room":"r","member":"{member}","incarnation":"{incarnation}""#);
        self.say(conn, &format!(r#"{{"type":"join","protocol":1,"version":"x",{who}}}"#));
        assert!(self.take(conn).contains("welcome"));
        conn
    }

    fn arrive_as(&mut self, conn: ConnId, id: u64, member: &str) {
        let party = r#""party":{"members":["a","b"]},"timeout":1000000"#;
        let what = format!(r#""room":"r","barrier":"m","id":{id},"member":"{member}",{party}"#);
        self.say(conn, &format!(r#"{{"type":"arrive",{what}}}"#));
    }

    fn notify(&mut self, conn: ConnId, count: u64) -> String {
        let what = format!(r#""room":"r","trigger":"t","count":{count},"data":{count}"#);
        self.say(conn, &format!(r#"{{"type":"notify",{what}}}"#));
        self.take(conn)
    }
}

#[test]
fn a_failed_round_and_its_unconfirmed_outcomes_survive_a_restart() {
    for mut world in rooms() {
        let a = world.join_as(1, "a", "one");
        world.arrive_as(a, 1, "a");
        world.pass(Duration::from_millis(1_200));
        assert!(world.take(a).contains("timed-out"));
        let mut world = world.restart();
        let a = world.join_as(11, "a", "one");
        world.arrive_as(a, 1, "a");
        assert!(world.take(a).contains(r#""round":1,"verdict":"timed-out""#), "the outcome is not confirmed");
        let b = world.join_as(12, "b", "two");
        world.arrive_as(b, 1, "b");
        let told = world.take(b);
        assert!(told.contains(r#""round":1,"verdict":"timed-out""#) && told.contains("an earlier round"), "{told}");
        let mut world = world.restart();
        let b = world.join_as(21, "b", "two");
        world.arrive_as(b, 1, "b");
        assert_eq!(world.take(b), told, "and the same again");
        let later = world.join_as(22, "b", "three");
        world.arrive_as(later, 1, "b");
        assert_eq!(world.take(later), "", "a member that has it begins a new round");
    }
}

#[test]
fn an_arrival_that_ends_a_round_gets_the_same_outcome_after_a_restart_although_the_next_round_is_over() {
    for mut world in rooms() {
        let arrive = |world: &mut World, number: u64, member: &str, more: &str| {
            let conn = world.join_as(number, member, member);
            let what = format!(r#""room":"r","barrier":"m","id":1,"member":"{member}","party":{{"count":2}}{more}"#);
            world.say(conn, &format!(r#"{{"type":"arrive",{what}}}"#));
            world.take(conn)
        };
        arrive(&mut world, 1, "a", "");
        world.pass(Duration::from_millis(1_500));
        // The round is complete and waits for a sign of life, so that the next ones wait for the next round.
        ["b", "c", "d"].iter().zip(2..).for_each(|(member, nr)| drop(arrive(&mut world, nr, member, "")));
        let aborts = r#","abort":"no""#;
        let told = arrive(&mut world, 5, "e", aborts);
        assert!(told.contains(r#""round":1,"verdict":"aborted""#), "{told}");
        let mut world = world.restart();
        let released = arrive(&mut world, 14, "d", "");
        assert!(released.contains(r#""round":2,"verdict":"released""#), "{released}");
        assert_eq!(arrive(&mut world, 15, "e", aborts), told);
    }
}

#[test]
fn a_confirmation_in_the_same_read_as_the_arrival_survives_a_restart() {
    for mut world in rooms() {
        let a = world.join_as(1, "a", "one");
        world.arrive_as(a, 1, "a");
        let b = world.accept_nr(2);
        let join = r#"{"type":"join","protocol":1,"version":"x","room":"r","member":"b","incarnation":"two"}"#;
        let arrive = r#"{"type":"arrive","room":"r","barrier":"m","id":1,"member":"b","party":{"members":["a","b"]}}"#;
        world.say(b, &[join, arrive, r#"{"type":"gone","room":"r","ids":[1]}"#].join("\n"));
        assert!(world.take(a).contains("released"));
        let world = world.restart();
        assert_eq!(world.machine.rooms.named("r").map(|room| room.unheard().count()), Some(1), "only of a");
    }
}

#[test]
fn counted_notifies_survive_a_restart_even_of_clients_that_have_left() {
    for mut world in rooms() {
        let a = world.join_as(1, "a", "one");
        world.say(a, r#"{"type":"create","room":"r","trigger":"t","count":3}"#);
        assert!(world.take(a).contains("created"));
        assert!(world.notify(a, 1).contains(r#""left":2"#));
        let mut world = world.restart();
        let a = world.join_as(2, "a", "one");
        assert!(world.notify(a, 1).contains(r#""left":2"#), "a repeated total counts once");
        let b = world.join_as(3, "b", "two");
        assert!(world.notify(b, 1).contains(r#""left":1"#));
        let mut world = world.restart();
        let b = world.join_as(4, "b", "two");
        world.say(b, r#"{"type":"watch","room":"r","trigger":"t"}"#);
        let heard = world.notify(b, 2);
        let notes = r#""notes":[{"from":"a","data":1},{"from":"b","data":1},{"from":"b","data":2}]"#;
        assert!(heard.contains(r#""left":0"#) && heard.contains(notes), "{heard}");
        let mut world = world.restart();
        let b = world.join_as(5, "b", "three");
        world.say(b, r#"{"type":"delete","room":"r","trigger":"t"}"#);
        let mut world = world.restart();
        let b = world.join_as(6, "b", "three");
        assert!(world.notify(b, 1).contains("refused"), "it was removed");
    }
}

#[test]
fn after_a_reboot_the_clock_follows_the_wall_clock_but_never_goes_back() {
    let [mut world, _] = rooms();
    let a = world.join_as(1, "a", "one");
    world.arrive_as(a, 1, "a");
    world.pass(Duration::from_secs(2));
    let (now, second) = (world.now, Duration::from_secs(1));
    let mut conn = 100;
    let mut pong = |world: &mut World| {
        conn += 1;
        let conn = world.join_as(conn, "x", "x");
        world.say(conn, r#"{"type":"ping","time":1}"#);
        let text = world.take(conn);
        let now = text.split("\"now\":").nth(1).and_then(|rest| rest.trim().strip_suffix('}')).expect("a pong");
        Time::from_micros(now.parse().expect("a number"))
    };
    // Ten seconds have passed by the wall clock, and the clock of the new boot has just begun.
    let begun = Time::from_micros(5);
    let mut world = world.killed(begun, keep("other", now.as_micros() as i64 + 10_000_000 - 5));
    assert_eq!(pong(&mut world), now + second * 10);
    world.pass(second);
    assert_eq!(pong(&mut world), now + second * 11);
    // The wall clock was set back by an hour, and the system was rebooted.
    let mut world = world.killed(begun, keep("third", now.as_micros() as i64 - 3_600_000_000));
    assert!(pong(&mut world) >= now + second * 10);
}

#[test]
fn a_controller_of_rooms_that_cannot_write_its_ledger_ends_before_it_sends_anything() {
    let [mut world, _] = rooms();
    let a = world.join_as(1, "a", "one");
    world.say(a, r#"{"type":"create","room":"r","trigger":"t","count":3}"#);
    let error = "no space left on device".into();
    world.input(Input::WriteFailed { path: LEDGER.into(), error });
    assert_eq!(world.halted, Some(crate::exit_code::FAILED));
}

#[test]
fn unconfirmed_outcomes_and_triggers_of_clients_hold_the_same_memory_after_a_restart() {
    for mut world in rooms() {
        let conns: Vec<ConnId> = (1..=40).map(|nr| world.join_as(nr, &format!("m{nr}"), &format!("i{nr}"))).collect();
        for (nr, conn) in conns.iter().enumerate() {
            let who = format!(r#""room":"r","barrier":"b","id":1,"member":"m{}""#, nr + 1);
            world.say(*conn, &format!(r#"{{"type":"arrive",{who},"party":{{"count":40}}}}"#));
            let other =
                if nr > 0 { r#","party":{"count":1}"# } else { r#","party":{"members":["m1","late"]},"timeout":1"# };
            let who = format!(r#""room":"r","barrier":"c{nr}","id":2,"member":"m{}""#, nr + 1);
            world.say(*conn, &format!(r#"{{"type":"arrive",{who}{other}}}"#));
        }
        world.say(conns[0], r#"{"type":"create","room":"r","trigger":"t","count":9}"#);
        world.notify(conns[0], 1);
        world.pass(Duration::from_millis(10));
        assert!(world.take(conns[1]).contains("released"));
        let places = 80 * 384;
        let before = world.held();
        assert!(before > places && before == world.recount(), "{before}");
        // A rewritten ledger may have several reasons for the same round number 0.
        for _ in 0..2 {
            world = world.restart();
            assert_eq!(world.held(), world.recount());
            assert!(world.held() > places && world.held() < before + 2_000, "{} after {before}", world.held());
            assert!(world.machine.budget.held_for(u64::MAX) > 512, "the trigger counts among all of them");
        }
        let past = Past::read(Path::new(LEDGER), world.recorded.clone().into_bytes()).expect("it was just written");
        let small = crate::controller::Limits::new(Some(1), None, Some(1));
        Controller::bare(None)
            .limited(small)
            .keeping(keep("boot", 0))
            .resumed(&past, &mut ())
            .expect("nothing is lost");
    }
}
