//! Runs over slaves that are services, submitted to a controller that is a service: the relay and the swarm of the
//! examples.

use serde_json::json;

use super::common::place::files_below;
use super::common::torrent::{self, FILE_NAME, Swarm};
use super::common::{Needed, Place, missing, repository, skip};
use super::{
    CONTROLLER, CONTROLLER_UNIT, Configured, DEADLINE, OPERATOR, SLAVE_UNIT, SLAVES, copy_from_repository, prepared,
};

/// A text of the examples with words replaced. Fails if one of them does not occur.
fn adapted(file: &str, words: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(repository().join(file)).expect("the example exists");
    words.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{file} has no {from:?} any more");
        text.replace(from, to)
    })
}

/// The relay for three slaves: the first runner is also the judge.
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
    // The slaves start before the controller, and look for it.
    configured.start_slaves();
    configured.start_controller();
    configured.wait_for_status("3 slaves, 0 runs");
    for slave in &configured.slaves {
        assert_eq!(slave.property(SLAVE_UNIT, "ActiveState"), "active");
        slave.wait_for_property(SLAVE_UNIT, "StatusText", &configured.address);
    }
    let files = |results: &str| {
        let mut files = files_below(&place.path(results));
        files.iter_mut().for_each(|file| *file = file.strip_prefix(place.path(results)).expect("below").to_owned());
        files.sort();
        files
    };
    relay(&place);
    configured.start_run("relay.json").wait().exits_with(0);
    // The same from another machine, with an operator's certificate.
    configured.pki.machine(OPERATOR);
    let words = ["arete", "run", "relay.json", "--controller", &configured.address, "--wait", "30s"];
    let words = [&words[..], &["--tls", "lab/olga", "--results", "remote"]].concat();
    configured.slaves[0].program(&words).deadline(DEADLINE).start().wait().exits_with(0);
    for results in ["results", "remote"] {
        let summary = place.summary(results);
        assert_eq!(summary["verdict"], "passed");
        assert_eq!(summary["slaves"].as_object().map(|slaves| slaves.len()), Some(3));
    }
    assert_eq!(files("results"), files("remote"));
    assert_eq!(configured.controller.property(CONTROLLER_UNIT, "NRestarts"), "0");
    for slave in &configured.slaves {
        assert_eq!(slave.property(SLAVE_UNIT, "NRestarts"), "0");
        let left = slave.processes_of("arete-slave");
        assert_eq!(left.lines().count(), 1, "{left}");
        // Every line of a service in the journal has a priority, which "journalctl -p" uses.
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
    configured.start();
    let swarm =
        Swarm::start(&place, lab.address("tracker"), lab.address("seeder"), |host, program| lab.command(host, program));
    let words = [("\"stop-torrent\": 8", "\"stop-torrent\": 3"), ("client[1-8]", "slave[1-3]")];
    place.write("torrent.json", adapted("examples/torrent.json", &words));
    configured.start_run("torrent.json").wait().exits_with(0);
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
fn commands_run_as_root_with_the_drop_in_for_root() {
    let test = "runs::commands_run_as_root_with_the_drop_in_for_root";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    let example = "/usr/share/doc/arete/examples/root.conf.example";
    let to = format!("/etc/systemd/system/{SLAVE_UNIT}.d/root.conf");
    configured.slaves[0].shell(&format!("install -D -m 644 {example} {to} && systemctl daemon-reload"));
    configured.start();
    let shell = "id -u; mkdir /srv/made && mount -t tmpfs made /srv/made && umount /srv/made && rmdir /srv/made";
    let test = json!({
        "name": "root",
        "end": { "idle": true, "limit": "1min" },
        "schedules": { "root": [{ "name": "root", "at": 0, "shell": shell }] },
        "slaves": { "slave1": ["root"] },
    });
    place.write("root.json", test.to_string());
    configured.start_run("root.json").wait().exits_with(0);
    assert_eq!(place.read("results/slave1/root.out"), "0\n");
}
