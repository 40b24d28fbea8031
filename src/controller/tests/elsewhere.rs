//! Members that wait in the default room while a run has the same barrier.

use super::World;
use crate::machine::ConnId;

const TEST: &str = r#"{"name": "t", "end": {"duration": 60}, "barriers": {"up": {"count": 2}}, "guests": ["m[1-9]"],
    "syncs": {"data": {"count": 2}}, "schedules": {"s": [{"name": "e", "poke": true, "shell": "true"}]},
    "slaves": {"a": ["s"], "b": ["s"]}}"#;

impl World {
    fn join_room(&mut self, number: u64, room: &str) -> ConnId {
        let conn = self.accept_nr(number);
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

    fn arrive_at(&mut self, conn: ConnId, room: &str, barrier: &str) {
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
fn a_member_in_the_default_room_is_pointed_to_the_run_that_declares_its_barrier() {
    let mut world = World::running(TEST);
    let run = "r1";
    let (lost, other, elsewhere) =
        (world.join_room(1, "default"), world.join_room(2, "default"), world.join_room(3, "host"));
    world.arrive_at(lost, "default", "up");
    let said = format!("{{\"type\":\"elsewhere\",\"room\":\"default\",\"run\":\"{run}\",\"name\":\"up\"}}\n");
    assert_eq!(world.take(lost), said);
    world.arrive_at(other, "default", "lunch");
    world.arrive_at(elsewhere, "host", "up");
    assert_eq!((world.take(other), world.take(elsewhere)), (String::new(), String::new()));
}

#[test]
fn a_sync_is_reported_as_a_sync() {
    let mut world = World::running(TEST);
    let lost = world.join_room(1, "default");
    let give =
        r#"{"type":"give","room":"default","session":"data","id":1,"member":"m1","party":{"count":2},"value":1}"#;
    world.say(lost, give);
    assert!(world.take(lost).ends_with("\"name\":\"data\",\"sync\":true}\n"));
}

#[test]
fn a_member_that_waits_in_the_default_room_is_pointed_to_a_run_when_its_barrier_gets_a_member() {
    let mut world = World::running(TEST);
    let run = "r1";
    let (lost, first, second) = (world.join_room(1, "default"), world.join_room(2, run), world.join_room(3, run));
    world.arrive_at(lost, "default", "done");
    assert_eq!(world.take(lost), "");
    world.arrive_at(first, run, "done");
    world.arrive_at(second, run, "done");
    let heard = world.take(lost);
    assert_eq!(heard.lines().count(), 1, "{heard}");
    assert!(heard.contains(&format!("\"run\":\"{run}\",\"name\":\"done\"")), "{heard}");
    assert_eq!((world.take(first), world.take(second)), (String::new(), String::new()));
}
