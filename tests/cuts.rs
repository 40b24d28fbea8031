//! A run whose slaves' networks are cut and healed at random: what was counted, agreed on and written is what was done.

mod common;

use std::time::{Duration, Instant};

use rustix::process::Signal;

use common::{Lab, Pki, Place, Running, holds_within, wait_for};
use serde_json::{Value, json};

/// The slaves, each on a host of its own.
const SLAVES: [&str; 4] = ["a", "b", "c", "d"];

/// How often each slave notifies, waits for the others at a barrier, and gives a value.
const ROUNDS: usize = 40;

/// How long a slave is out of reach at most, in milliseconds.
const BROKEN_FOR: u64 = 700;

/// How long it is left alone at most, in between.
const WHOLE_FOR: u64 = 300;

/// How long the whole run may take.
const DEADLINE: Duration = Duration::from_secs(150);

const PORT: u16 = 4711;

/// Notifies, meets the others and gives its value, again and again, and says what it got.
fn script() -> String {
    let members = SLAVES.join(",");
    format!(
        "i=0; while [ $i -lt {ROUNDS} ]; do i=$((i+1)); echo round $i; arete notify steps || exit 1; \
         arete barrier step --members {members} --timeout 100s || exit 2; \
         arete sync values --members {members} --timeout 100s --data \"[$i]\" || exit 3; done; echo $i rounds"
    )
}

fn test_file() -> Value {
    json!({
        "name": "cuts",
        "end": { "idle": true, "limit": "140s" },
        "triggers": { "steps": 1_000_000 },
        "schedules": { "all": [{ "name": "work", "at": 0, "shell": script() }] },
        "slaves": SLAVES.map(|slave| (slave.to_owned(), json!(["all"]))).into_iter().collect::<Value>(),
    })
}

/// Breaks the network between the controller and a slave in one of three ways, and mends it after a while.
fn break_one(lab: &Lab, random: &mut fastrand::Rng) {
    let slave = SLAVES[random.usize(0..SLAVES.len())];
    let broken_for = Duration::from_millis(random.u64(20..BROKEN_FOR));
    let begin = Instant::now();
    let over = || begin.elapsed() >= broken_for;
    match random.u8(0..4) {
        0 => {
            lab.cut("controller", slave);
            wait_for(DEADLINE, "the end of a cut", over);
            lab.heal("controller", slave);
        }
        1 => {
            lab.link_down(slave);
            wait_for(DEADLINE, "the end of a cut", over);
            lab.link_up(slave);
        }
        _ => {
            lab.reset("controller", slave);
            wait_for(DEADLINE, "the end of the resets", over);
            lab.stop_resetting("controller", slave);
        }
    }
}

fn start<'a>(place: &'a Place, lab: &Lab) -> (Running<'a>, Vec<Running<'a>>) {
    place.write("t.json", test_file().to_string());
    let listen = format!("{}:{PORT}", lab.address("controller"));
    let pki = Pki::new(place);
    let mut command = lab.arete("controller");
    command.args(["run", "t.json", "--listen", &listen, "--results", "results", "--wait", "30s", "--tls"]);
    command.arg(pki.controller(&[&lab.address("controller").to_string()]));
    let controller = place.program(command).deadline(DEADLINE).start();
    let slave = |name: &&str| {
        let mut command = lab.arete(name);
        command.args(["slave", "--controller", &listen, "--name", name, "--once", "--dir"]);
        command.arg(place.path("work").join(name)).arg("--tls").arg(pki.machine(name));
        place.program(command).deadline(DEADLINE).start()
    };
    (controller, SLAVES.iter().map(slave).collect())
}

#[test]
fn what_slaves_do_whose_networks_break_at_random_is_counted_once() {
    let test = "what_slaves_do_whose_networks_break_at_random_is_counted_once";
    let Some(lab) = Lab::new(test, &["controller", "a", "b", "c", "d"]) else { return };
    let place = Place::new("cuts");
    let (mut controller, slaves) = start(&place, &lab);
    wait_for(DEADLINE, "the start", || place.count("results", "begun") == SLAVES.len());
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    while controller.is_running() {
        break_one(&lab, &mut random);
        let whole_for = Duration::from_millis(random.u64(0..WHOLE_FOR));
        holds_within(whole_for, || !controller.is_running());
    }
    controller.wait().exits_with(0);
    for mut slave in slaves {
        // Whose last connection broke before it was dismissed waits for the controller to come back.
        if !holds_within(Duration::from_secs(1), || !slave.is_running()) {
            slave.signal(Signal::TERM);
        }
        slave.wait().exits_with(0);
    }
    let summary = place.summary("results");
    assert_eq!(summary["verdict"], "passed", "{summary:#}");
    assert!(place.count("results", "rejoined") >= SLAVES.len(), "nothing was broken");
    assert_eq!(place.count("results", "lost"), 0);
    same_was_done(&place, &summary);
    place.assert_nothing_left();
    place.assert_no_temporary_files();
}

/// Every slave has gone through the same rounds and got the same maps, and each notify and each meeting counts once.
fn same_was_done(place: &Place, summary: &Value) {
    let outputs: Vec<String> = SLAVES.iter().map(|slave| place.read(format!("results/{slave}/work.out"))).collect();
    assert!(outputs.iter().all(|output| *output == outputs[0]), "{outputs:#?}");
    let expected: String = (1..=ROUNDS)
        .map(|nr| format!("round {nr}\n{}\n", json!({ "a": [nr], "b": [nr], "c": [nr], "d": [nr] })))
        .collect();
    assert_eq!(outputs[0], format!("{expected}{ROUNDS} rounds\n"));
    assert_eq!(summary["triggers"]["steps"]["notified"], ROUNDS * SLAVES.len());
    let events = place.events("results");
    let notified = events.iter().filter(|event| event["event"] == "notified");
    assert_eq!(notified.map(|event| event["count"].as_u64().unwrap_or(0)).sum::<u64>(), (ROUNDS * SLAVES.len()) as u64);
    for (key, name) in [("barrier", "step"), ("session", "values")] {
        let met: Vec<&Value> = events.iter().filter(|event| event["event"] == "met" && event[key] == name).collect();
        assert_eq!(met.len(), ROUNDS, "{met:?}");
        assert!(met.iter().all(|met| met["verdict"] == "released" && met["members"] == SLAVES.len()), "{met:?}");
    }
}
