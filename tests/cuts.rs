//! A run while the networks of its slaves are cut and healed at random: the counts, the verdicts and the files match
//! what the slaves did.

mod common;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use common::{Lab, Pki, Place, Running, holds_within, wait_for};
use serde_json::{Value, json};

/// The slaves, each on its own host.
const SLAVES: [&str; 4] = ["a", "b", "c", "d"];

/// The least number of times that each slave notifies, waits for the others at a barrier, and gives a value.
const ROUNDS: usize = 40;

/// The least number of broken connections.
const BROKEN: usize = 6;

/// The longest time for which a slave is cut off, in milliseconds.
const BROKEN_FOR: u64 = 700;

/// The longest time between two cuts of a slave, in milliseconds.
const WHOLE_FOR: u64 = 300;

/// The limit on the time of the whole run.
const DEADLINE: Duration = Duration::from_secs(150);

const PORT: u16 = 4711;

/// The file that a slave checks: it exists when enough connections have broken.
const ENOUGH: &str = "enough";

/// Notifies, meets the others and gives its value, again and again, until one slave has seen the file. Then prints
/// what it got. The value is the round, and whether the file exists, so that all slaves stop in the same round.
fn script(enough: &Path) -> String {
    let members = SLAVES.join(",");
    let enough = enough.display();
    format!(
        "i=0; while :; do i=$((i+1)); echo round $i; arete notify steps || exit 1; \
         arete barrier step --members {members} --timeout 100s || exit 2; \
         if [ -e {enough} ]; then last=true; else last=false; fi; \
         map=$(arete sync values --members {members} --timeout 100s --data \"[$i,$last]\") || exit 3; \
         echo \"$map\"; case $map in *true*) break;; esac; done; echo $i rounds"
    )
}

fn test_file(enough: &Path) -> Value {
    json!({
        "name": "cuts",
        "end": { "idle": true, "limit": "140s" },
        "triggers": { "steps": 1_000_000 },
        "schedules": { "all": [{ "name": "work", "at": 0, "shell": script(enough) }] },
        "slaves": SLAVES.map(|slave| (slave.to_owned(), json!(["all"]))).into_iter().collect::<Value>(),
    })
}

/// Breaks the network between the controller and a slave in one of three ways, and restores it after a while.
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
    place.write("t.json", test_file(&place.path(ENOUGH)).to_string());
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
fn the_actions_of_slaves_count_once_although_their_networks_break_at_random() {
    let test = "the_actions_of_slaves_count_once_although_their_networks_break_at_random";
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
        if place.count("results", "rejoined") >= BROKEN && place.count("results", "met") >= 2 * ROUNDS {
            place.write(ENOUGH, "");
        }
    }
    controller.wait().exits_with(0);
    for mut slave in slaves {
        // A slave whose last connection broke before it was dismissed waits until the controller returns.
        if !holds_within(Duration::from_secs(1), || !slave.is_running()) {
            slave.signal(Signal::TERM);
        }
        slave.wait().exits_with(0);
    }
    let summary = place.summary("results");
    assert_eq!(summary["verdict"], "passed", "{summary:#}");
    assert!(place.count("results", "rejoined") >= BROKEN);
    assert_eq!(place.count("results", "lost"), 0);
    same_was_done(&place, &summary);
    place.assert_nothing_left();
    place.assert_no_temporary_files();
}

/// Every slave has made the same rounds and got the same maps, and each notify and each meeting counts once.
fn same_was_done(place: &Place, summary: &Value) {
    let outputs: Vec<String> = SLAVES.iter().map(|slave| place.read(format!("results/{slave}/work.out"))).collect();
    assert!(outputs.iter().all(|output| *output == outputs[0]), "{outputs:#?}");
    let rounds = rounds_of(&outputs[0]);
    assert!(rounds >= ROUNDS, "{rounds} rounds");
    let notified_by_all = rounds * SLAVES.len();
    assert_eq!(summary["triggers"]["steps"]["notified"], notified_by_all);
    let events = place.events("results");
    let notified = events.iter().filter(|event| event["event"] == "notified");
    assert_eq!(notified.map(|event| event["count"].as_u64().unwrap_or(0)).sum::<u64>(), notified_by_all as u64);
    for (key, name) in [("barrier", "step"), ("session", "values")] {
        let met: Vec<&Value> = events.iter().filter(|event| event["event"] == "met" && event[key] == name).collect();
        assert_eq!(met.len(), rounds, "{met:?}");
        assert!(met.iter().all(|met| met["verdict"] == "released" && met["members"] == SLAVES.len()), "{met:?}");
    }
}

/// The number of rounds that a slave has made, according to its output. Each round has a map with the values of all
/// slaves in that round.
fn rounds_of(output: &str) -> usize {
    let lines: Vec<&str> = output.lines().collect();
    let rounds = lines.len() / 2;
    assert_eq!(lines.last(), Some(&format!("{rounds} rounds").as_str()), "{output}");
    for (nr, round) in (1..).zip(lines[..2 * rounds].chunks(2)) {
        assert_eq!(round[0], format!("round {nr}"));
        let map: Value = serde_json::from_str(round[1]).expect("sync prints a map");
        assert!(SLAVES.iter().all(|slave| map[slave][0] == nr), "{map} in round {nr}");
        assert_eq!(map.as_object().map(|map| map.len()), Some(SLAVES.len()), "{map}");
    }
    rounds
}
