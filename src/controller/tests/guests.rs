//! Which clients may enter the room of a run.

use std::time::Duration;

use super::World;
use crate::machine::{ConnId, Input, ListenerId, Peer};
use crate::wire::PROTOCOL;

const TEST: &str = r#"{ "name": "t", "end": { "trigger": "over", "limit": "1h" }, "triggers": { "over": 1 },
    "groups": { "people": ["bob#pen", "client[1-2]"] }, "guests": ["ann", "@people"],
    "barriers": { "up": { "members": ["a", "eve"] } }, "slaves": { "a": ["s"], "b": ["s"] },
    "schedules": { "s": [{ "name": "x", "poke": true, "end": "passed" }] } }"#;

const NOTIFY: &str = r#"{"type":"notify","room":"r1","trigger":"over","count":1}"#;

/// Returns a run that has started.
fn running() -> World {
    let mut world = World::running(TEST);
    for (number, name) in [(1, "a"), (2, "b")] {
        let conn = world.accept_nr(number);
        let who = format!(r#""name":"{name}","incarnation":"i{name}""#);
        world.say(conn, &format!(r#"{{"type":"hello","protocol":{PROTOCOL},"version":"x",{who}}}"#));
        world.say(conn, r#"{"type":"ready","run":"r1"}"#);
    }
    world.pass(Duration::from_secs(1));
    world
}

/// Joins the room of the run, and notifies the trigger that ends it. Returns the answer.
fn join_and_notify(world: &mut World, nr: u64, proven: Option<&[&str]>, member: &str) -> String {
    let (conn, address) = (ConnId(nr), ([10, 0, 0, 7], 5).into());
    let names = proven.map(|names| names.iter().map(|name| Box::from(*name)).collect::<Vec<Box<str>>>());
    let peer = names.map_or(Peer::Inet(address), |names| Peer::proven(address, names));
    world.input(Input::Accepted { conn, listener: ListenerId(0), peer });
    let member = if member.is_empty() { String::new() } else { format!(r#","member":"{member}""#) };
    let who = format!(r#""incarnation":"i{nr}","room":"r1"{member}"#);
    world.say(conn, &format!(r#"{{"type":"join","protocol":{PROTOCOL},"version":"x",{who}}}"#));
    let said = world.take(conn);
    if !said.contains("\"welcome\"") {
        assert!(said.contains("\"fatal\":true") && world.closed.contains(&conn), "{said}");
        return said;
    }
    world.say(conn, NOTIFY);
    world.take(conn)
}

#[test]
fn a_certificate_alone_does_not_fire_the_trigger_that_ends_a_run() {
    let strangers: [(&[&str], &str); 7] = [
        (&["eve"], ""),
        (&["eve"], "eve"),
        (&["eve"], "eve#a"),
        (&["bob"], ""),
        (&["bob"], "bob"),
        (&["client3", "10.0.0.7"], ""),
        (&[], ""),
    ];
    let mut world = running();
    for (nr, (names, member)) in strangers.into_iter().enumerate() {
        let said = join_and_notify(&mut world, 100 + nr as u64, Some(names), member);
        let words = ["the room of run r1 is for its slaves and its guests", "name it in \\\"guests\\\" of the test"];
        assert!(words.iter().all(|word| said.contains(word)), "{names:?} {member}: {said}");
        let who = if member.is_empty() { names.first().copied().unwrap_or("a client without a name") } else { member };
        assert!(said.contains(&format!("and {who}")), "{said}");
    }
    let invited: [(&[&str], &str); 6] = [
        (&["ann"], ""),
        (&["ann"], "ann#desk"),
        (&["x", "client2"], ""),
        (&["bob"], "bob#pen"),
        (&["b"], ""),
        (&["a"], "a#shell"),
    ];
    for (names, member) in invited {
        let said = join_and_notify(&mut running(), 200, Some(names), member);
        assert!(said.contains("\"noted\"") && said.contains("\"left\":0"), "{names:?} {member}: {said}");
    }
}

#[test]
fn without_proofs_a_guest_is_believed_and_a_nameless_client_may_only_look() {
    for (member, may) in
        [("ann", true), ("ann#1", true), ("a", true), ("client1", true), ("eve", false), ("bob", false)]
    {
        let said = join_and_notify(&mut running(), 100, None, member);
        assert_eq!(said.contains("\"noted\""), may, "{member}: {said}");
    }
    let mut world = running();
    let said = join_and_notify(&mut world, 100, None, "");
    assert!(said.contains("\"refused\"") && said.contains("say who you are with --as NAME"), "{said}");
    world.say(ConnId(100), r#"{"type":"list","room":"r1"}"#);
    assert!(world.take(ConnId(100)).contains("\"left\":1"));
}
