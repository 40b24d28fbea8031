//! Ledgers of rooms that are rewritten piece by piece, while the rooms change.

use crate::controller::room::meeting::Meeting;
use std::path::Path;

use std::collections::BTreeMap;

use super::*;
use crate::controller::ledger::{Keep, Past};
use crate::controller::room::rendezvous::Audience;

const LEDGER: &str = "/state/state.jsonl";

fn rooms(rewrite_from: u64) -> Controller {
    let keep = Keep { path: LEDGER.into(), boot: "boot".to_owned(), ..Keep::default() };
    Controller::bare(None).keeping(Keep { rewrite_from: Some(rewrite_from), ..keep })
}

/// Returns what a restart must preserve: triggers and unconfirmed outcomes.
fn known(controller: &Controller, now: Time) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for room in controller.rooms.by_name().values() {
        for (name, trigger) in room.triggers.iter() {
            let notes: Vec<_> = trigger.noted().map(|(from, note)| (from.to_owned(), note.get().to_owned())).collect();
            let totals: Vec<_> = trigger.totals().collect();
            let what = (trigger.initial, trigger.notified, trigger.fired, totals, notes);
            known.insert(format!("{} trigger {name}", room.name), format!("{what:?}"));
        }
        for kind in [Meeting::Barrier, Meeting::Sync] {
            for (arrival, outcome) in room.meetings(kind).arrivals_after(None) {
                if let Some(outcome) = outcome.filter(|outcome| outcome.round > 0) {
                    let line = outcome.line.as_ref().map(|line| line.share());
                    let line = line.map(|line| String::from_utf8_lossy(&line[..]).into_owned());
                    let what = format!("{} {:?} {} {line:?}", outcome.round, outcome.kind, outcome.reason);
                    known.insert(format!("{} {kind:?} {arrival:?}", room.name), what);
                }
            }
            let mut last: Option<Rc<str>> = None;
            while let Some((name, former)) = room.meetings(kind).meeting_after(last.as_deref()) {
                let stands =
                    former.map(|former| (former.outcome.round, former.outcome.reason.clone(), former.audience));
                // An overdue failed round has no effect, and its end is not recorded.
                let lasts = |stands: &Option<Audience>| stands.as_ref().is_some_and(|stands| stands.until > now);
                if let Some(stands) = stands.filter(|(_, _, stands)| lasts(stands)) {
                    known.insert(format!("{} {kind:?} keeps {name}", room.name), format!("{stands:?}"));
                }
                last = Some(name);
            }
        }
    }
    known
}

impl World {
    fn enters(&mut self, number: u64, room: &str) -> ConnId {
        let conn = self.accept_nr(number);
        let who = format!(r#""room":"{room}","member":"m{number}","incarnation":"i{number}""#);
        self.say(conn, &format!(r#"{{"type":"join","protocol":1,"version":"x",{who}}}"#));
        conn
    }

    /// Checks that a restart from the ledger has the state of this controller.
    fn is_kept(&self, when: &str) {
        let (restored, live) = (self.restored(), known(&self.machine, self.now));
        let keys: Vec<&String> = restored.keys().chain(live.keys()).collect();
        let differ = keys.iter().find(|key| restored.get(**key) != live.get(**key));
        let of = |key: &&&String| (restored.get(**key).cloned(), live.get(**key).cloned());
        assert_eq!(differ.map(|key| (key, of(&key))), None, "{when}");
    }

    fn restored(&self) -> BTreeMap<String, String> {
        let past = Past::read(Path::new(LEDGER), self.recorded.clone().into_bytes()).expect("it is whole");
        known(&rooms(u64::MAX / 2).resumed(&past, &mut ()).expect("it is right"), self.now)
    }
}

#[test]
fn a_ledger_has_the_whole_state_at_every_moment_of_its_rewrite() {
    let (mut installed, mut most) = (0, 0);
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::of(rooms(6_000));
        let names = ["r1", "r2", "r3"];
        let conns: Vec<(ConnId, &str)> = (1..=9)
            .map(|number| (world.enters(number, names[number as usize % 3]), names[number as usize % 3]))
            .collect();
        for step in 1..=250_u64 {
            let (conn, room) = conns[random.usize(..conns.len())];
            let ConnId(number) = conn;
            let (trigger, text) = (random.u8(0..12), "x".repeat(random.usize(1..400)));
            let in_room = format!(r#""room":"{room}","trigger":"t{trigger}""#);
            let member = format!(r#""id":{step},"member":"m{number}""#);
            let what = match random.u8(0..9) {
                0 => format!(r#""create",{in_room},"count":{}"#, random.u8(1..9)),
                1 if random.bool() => format!(r#""delete",{in_room}"#),
                1 | 2 => format!(r#""notify",{in_room},"count":{step},"data":"{text}""#),
                3..6 => {
                    let party = r#""party":{"count":1},"timeout":1000000"#;
                    format!(r#""give","room":"{room}","session":"s{}",{member},{party},"value":"{text}""#, step % 20)
                }
                6 => {
                    let party = r#""party":{"members":["m1","m2","m3","m4"]},"timeout":20000"#;
                    format!(r#""arrive","room":"{room}","barrier":"b{}",{member},{party}"#, trigger % 4)
                }
                _ => {
                    let ids: Vec<u64> = (0..6).map(|_| random.u64(1..=step)).collect();
                    format!(r#""heard","room":"{room}","ids":{ids:?}"#)
                }
            };
            let before = world.anew.len();
            world.say(conn, &format!(r#"{{"type":{what}}}"#));
            most = most.max(world.anew.len().saturating_sub(before));
            world.is_kept(&format!("seed {seed}, step {step}: {what}"));
            let before = world.anew.len();
            world.pass(Duration::from_millis(random.u64(0..3)));
            installed += usize::from(before > 0 && world.anew.is_empty());
            world.is_kept(&format!("seed {seed}, step {step}, later"));
        }
    }
    assert!(installed > 20, "{installed}");
    // A turn writes a piece, one more entry, and the new facts.
    assert!(most < 1_500 + 12_000, "{most}");
}

#[test]
fn a_turn_of_a_long_ledger_writes_a_piece() {
    let mut world = World::of(rooms(1_000_000));
    let conn = world.enters(1, "r");
    let value = "x".repeat(100_000);
    let mut last = 0;
    for id in 1..=30 {
        let what = format!(r#""give","room":"r","session":"s{id}","id":{id},"member":"m1""#);
        world.say(conn, &format!(r#"{{"type":{what},"party":{{"count":1}},"timeout":1000000,"value":"{value}"}}"#));
        assert!(world.anew.len() <= last + 2 * 250_000 + 110_000, "{} {last}", world.anew.len());
        last = world.anew.len();
    }
    let (mut turns, mut most) = (0, 0);
    while !world.anew.is_empty() {
        world.jump();
        most = most.max(world.anew.len().saturating_sub(last));
        (last, turns) = (world.anew.len(), turns + 1);
    }
    assert!(most < 250_000 + 110_000, "{most}");
    world.is_kept("at the end");
}

#[test]
fn the_old_ledger_is_kept_if_its_rewrite_fails() {
    let mut world = World::of(rooms(2_000));
    let conn = world.enters(1, "r");
    let create = |world: &mut World, number: u64| {
        let what = format!(r#""create","room":"r","trigger":"trigger-{number}","count":3"#);
        world.say(conn, &format!(r#"{{"type":{what}}}"#));
    };
    let begun = (1..).find(|number| {
        create(&mut world, *number);
        !world.anew.is_empty()
    });
    let error = "no space left on device".into();
    world.input(Input::WriteFailed { path: "/state/state.jsonl.new".into(), error });
    world.anew.clear();
    create(&mut world, begun.unwrap_or(0) + 1);
    assert!(world.anew.is_empty() && world.halted.is_none());
    world.is_kept("at the end");
}
