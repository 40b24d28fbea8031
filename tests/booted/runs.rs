//! Runs over slaves that are services: the relay and the swarm of the examples.

use std::time::Duration;

use serde_json::json;

use super::common::torrent::{self, FILE_NAME, Swarm};
use super::common::{Needed, Place, Running, missing, repository, skip};
use super::{CONTROLLER, Configured, SLAVE_UNIT, SLAVES, copy_from_repository, prepared};

/// Longer than a test file's own limit, so that arete says what is wrong.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Starts a run on the controller's machine, where the slaves come to it.
pub fn start_run<'a>(lab: &Configured<'a>, test_file: &str) -> Running<'a> {
    let words = ["arete", "run", test_file, "--listen", &lab.address, "--tls", "/etc/arete/tls", "--wait", "30s"];
    let words = [&words[..], &["--results", "results", "--lost-after", "5s"]].concat();
    lab.controller.program(&words).deadline(DEADLINE).start()
}

/// A text of the examples with words replaced; each is there.
fn adapted(file: &str, words: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(repository().join(file)).expect("the example is there");
    words.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{file} has no {from:?} any more");
        text.replace(from, to)
    })
}

/// The relay for three slaves: the first runner is the judge, too.
fn relay(place: &Place) {
    let words = [
        ("@{judge.address}", "@{slave1.address}"),
        ("\"runner[1-3]\"", "\"slave[1-3]\""),
        ("\"runner1\": [\"leg-1\"]", "\"slave1\": [\"leg-1\", \"judge\"]"),
        ("\"runner2\"", "\"slave2\""),
        ("\"runner3\": [\"leg-3\"],\n    \"judge\": [\"judge\"]", "\"slave3\": [\"leg-3\"]"),
    ];
    place.write("relay.json", adapted("examples/relay.json", &words));
    copy_from_repository(place, "examples/relay/leg.sh", "relay/leg.sh");
}

#[test]
fn three_slaves_that_are_services_run_the_relay_and_stay() {
    let test = "runs::three_slaves_that_are_services_run_the_relay_and_stay";
    let Some((lab, place)) = prepared(test, &[&[CONTROLLER], &SLAVES[..]].concat()) else { return };
    let configured = Configured::new(&place, &lab, &SLAVES);
    configured.start_slaves();
    for slave in &configured.slaves {
        assert_eq!(slave.property(SLAVE_UNIT, "ActiveState"), "active");
        slave.wait_for_property(SLAVE_UNIT, "StatusText", &configured.address);
    }
    relay(&place);
    start_run(&configured, "relay.json").wait().exits_with(0);
    let summary = place.summary("results");
    assert_eq!(summary["verdict"], "passed");
    assert_eq!(summary["slaves"].as_object().map(|slaves| slaves.len()), Some(3));
    for slave in &configured.slaves {
        assert_eq!(slave.property(SLAVE_UNIT, "NRestarts"), "0");
        let left = slave.processes_of("arete-slave");
        assert_eq!(left.lines().count(), 1, "{left}");
        // What a service says has a priority in the journal, by which "journalctl -p" finds it.
        let line = slave.wait_for_journal(SLAVE_UNIT, "connected");
        assert_eq!(line["PRIORITY"], "6", "{line}");
        assert!(!line["MESSAGE"].as_str().unwrap_or_default().starts_with('<'), "{line}");
    }
}

#[test]
fn three_slaves_that_are_services_download_a_file_and_are_stopped_together() {
    let test = "runs::three_slaves_that_are_services_download_a_file_and_are_stopped_together";
    if let Some(why) = missing(&torrent::PROGRAMS) {
        return skip(test, &why, Needed::InCi);
    }
    let hosts = [&[CONTROLLER, "tracker", "seeder"], &SLAVES[..]].concat();
    let Some((lab, place)) = prepared(test, &hosts) else { return };
    let configured = Configured::new(&place, &lab, &SLAVES);
    configured.start_slaves();
    let swarm =
        Swarm::start(&place, lab.address("tracker"), lab.address("seeder"), |host, program| lab.command(host, program));
    let words = [("\"stop-torrent\": 8", "\"stop-torrent\": 3"), ("client[1-8]", "slave[1-3]")];
    place.write("torrent.json", adapted("examples/torrent.json", &words));
    start_run(&configured, "torrent.json").wait().exits_with(0);
    let summary = place.summary("results");
    assert_eq!(summary["verdict"], "passed");
    assert_eq!(summary["triggers"]["stop-torrent"]["notified"], 3);
    for slave in &configured.slaves {
        let found = slave.shell(&format!("find /var/lib/arete/slave -name {FILE_NAME}"));
        let found: Vec<_> = found.lines().collect();
        assert!(found.len() == 1 && swarm.is_the_file(&slave.path(found[0])), "the download: {found:?}");
        let left = slave.processes_of("arete-slave");
        assert_eq!(left.lines().count(), 1, "{left}");
    }
    swarm.stop();
}

#[test]
fn commands_run_as_root_with_the_drop_in_that_says_so() {
    let test = "runs::commands_run_as_root_with_the_drop_in_that_says_so";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    let example = "/usr/share/doc/arete/examples/root.conf.example";
    let to = format!("/etc/systemd/system/{SLAVE_UNIT}.d/root.conf");
    configured.slaves[0].shell(&format!("install -D -m 644 {example} {to} && systemctl daemon-reload"));
    configured.start_slaves();
    let shell = "id -u; mkdir /srv/made && mount -t tmpfs made /srv/made && umount /srv/made && rmdir /srv/made";
    let test = json!({
        "name": "root",
        "end": { "idle": true, "limit": "1min" },
        "schedules": { "root": [{ "name": "root", "at": 0, "shell": shell }] },
        "slaves": { "slave1": ["root"] },
    });
    place.write("root.json", test.to_string());
    start_run(&configured, "root.json").wait().exits_with(0);
    assert_eq!(place.read("results/slave1/root.out"), "0\n");
}
