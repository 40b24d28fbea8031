//! The kinds of failures that a slave reports.

use std::time::Duration;

use super::World;
use crate::controller::run::failures::FailureKind;
use crate::machine::Time;
use crate::wire::SlaveEvent;

#[test]
fn a_job_that_was_cut_off_is_a_kind_of_failure_of_its_own() {
    let mut world = World::new();
    let (_, run) = world.machine.runs.first_mut().expect("a run");
    let kind = |more: &str| {
        let exited = format!(r#"{{"event":"exited","entry":"x","nr":1,{more}}}"#);
        let what: SlaveEvent<'_> = serde_json::from_str(&exited).expect("a report");
        run.failure_in(Time::default(), 0, &what).map(|failure| failure.kind)
    };
    assert_eq!(kind(r#""outcome":"failed","cut_off":true,"why":"cut off""#), Some(FailureKind::CutOff));
    assert_eq!(kind(r#""outcome":"failed","why":"cut off""#), Some(FailureKind::Entry));
    assert_eq!(kind(r#""outcome":"stopped""#), None);
}

/// A slave that is stopped while its jobs may finish stops them. For the controller, the time of all jobs is over then.
#[test]
fn a_slave_that_ends_its_part_on_its_own_is_lost_even_if_the_run_is_ending() {
    for by_itself in [false, true] {
        let mut world = World::running(
            r#"{"name": "t", "end": {"trigger": "t", "limit": "9s"}, "grace": "1s", "triggers": {"t": 1},
                "schedules": {"s": [{"name": "x", "at": 0, "shell": "true"}]}, "slaves": {"a": ["s"]}}"#,
        );
        let a = world.accept_nr(1);
        world.say(a, r#"{"type":"hello","protocol":1,"version":"x","name":"a","incarnation":"1"}"#);
        world.say(a, r#"{"type":"ready","run":"r1"}"#);
        world.pass(Duration::from_secs(1));
        let first = [r#""begun","late":0,"uncertain":0"#, r#""spawned","entry":"x","nr":1,"pid":1"#];
        for (what, seq) in first.iter().zip(1..) {
            world.say(a, &format!(r#"{{"type":"report","run":"r1","seq":{seq},"time":2000000,"event":{what}}}"#));
        }
        world.say(a, r#"{"type":"notify","room":"r1","trigger":"t","count":1}"#);
        world.say(a, r#"{"type":"report","run":"r1","seq":3,"time":2000000,"event":"heard","trigger":"t"}"#);
        world.say(a, r#"{"type":"report","run":"r1","seq":4,"time":2000000,"event":"settled","trigger":"t"}"#);
        assert!(world.take(a).contains(r#""how":"finish""#));
        world.pass(Duration::from_secs(2));
        assert!(world.take(a).contains(r#""how":"cut""#));
        let exited = r#""event":"exited","entry":"x","nr":1,"exit":{"signal":"SIGTERM"},"outcome":"stopped""#;
        world.say(a, &format!(r#"{{"type":"report","run":"r1","seq":5,"time":2000000,{exited}}}"#));
        world.say(a, &format!(r#"{{"type":"stopped","run":"r1","by_itself":{by_itself}}}"#));
        assert_eq!(world.exit, Some(if by_itself { 7 } else { 0 }), "{}", world.recorded);
    }
}
