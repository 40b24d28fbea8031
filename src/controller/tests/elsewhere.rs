//! Members that wait in the default room, beside a run that has the same barrier.

use super::World;
use crate::machine::ConnId;

const TEST: &str = r#"{"name": "t", "end": {"duration": 60}, "barriers": {"up": {"count": 2}}, "guests": ["m[1-9]"],
    "syncs": {"data": {"count": 2}}, "schedules": {"s": [{"name": "e", "poke": true, "shell": "true"}]},
    "slaves": {"a": ["s"], "b": ["s"]}}"#;

impl World {
    fn comes_to(&mut self, number: u64, room: &str) -> ConnId {
        let conn = self.accept(number);
        let (incarnation, member) = (format!("i{number}"), format!("m{number}"));
        self.say(
            conn,
            &format!(
                r#"{{"type":"join","protocol":1,"version":"x","incarnation":"{incarnation}","room":"{room}","member":"{member}"}}"#
            ),
        );
        let welcome = self.take(conn);
        assert!(welcome.starts_with("{\"type\":\"welcome\""), "{welcome}");
        conn
    }

    fn stands_at(&mut self, conn: ConnId, room: &str, barrier: &str) {
        let member = format!("m{}", conn.0);
        self.say(
            conn,
            &format!(
                r#"{{"type":"arrive","room":"{room}","barrier":"{barrier}","id":1,"member":"{member}","party":{{"count":3}}}}"#
            ),
        );
    }
}

#[test]
fn who_comes_to_the_default_room_is_told_of_the_run_that_declares_the_barrier() {
    let mut world = World::running(TEST);
    let run = "r1";
    let (lost, other, elsewhere) =
        (world.comes_to(1, "default"), world.comes_to(2, "default"), world.comes_to(3, "host"));
    world.stands_at(lost, "default", "up");
    let said = format!("{{\"type\":\"elsewhere\",\"room\":\"default\",\"run\":\"{run}\",\"name\":\"up\"}}\n");
    assert_eq!(world.take(lost), said);
    world.stands_at(other, "default", "lunch");
    world.stands_at(elsewhere, "host", "up");
    assert_eq!((world.take(other), world.take(elsewhere)), (String::new(), String::new()));
}

#[test]
fn a_sync_is_told_as_a_sync() {
    let mut world = World::running(TEST);
    let lost = world.comes_to(1, "default");
    let give =
        r#"{"type":"give","room":"default","session":"data","id":1,"member":"m1","party":{"count":2},"value":1}"#;
    world.say(lost, give);
    assert!(world.take(lost).ends_with("\"name\":\"data\",\"sync\":true}\n"));
}

#[test]
fn who_waits_in_the_default_room_is_told_when_somebody_comes_to_the_same_barrier_of_a_run() {
    let mut world = World::running(TEST);
    let run = "r1";
    let (lost, first, second) = (world.comes_to(1, "default"), world.comes_to(2, run), world.comes_to(3, run));
    world.stands_at(lost, "default", "done");
    assert_eq!(world.take(lost), "");
    world.stands_at(first, run, "done");
    world.stands_at(second, run, "done");
    let heard = world.take(lost);
    assert_eq!(heard.lines().count(), 1, "{heard}");
    assert!(heard.contains(&format!("\"run\":\"{run}\",\"name\":\"done\"")), "{heard}");
    assert_eq!((world.take(first), world.take(second)), (String::new(), String::new()));
}
