//! Members on several hosts meet: the original's example of a server and a client, with the server cut off while it
//! waits, and how far apart the members are released.

#![forbid(unsafe_code)]

mod common;

use std::time::{Duration, Instant};

use common::{Lab, Needed, Pki, Place, Running, SOON, holds_within, missing, python, repository, skip, wait_for};
use serde_json::json;

/// The address of the controller.
const PORT: u16 = 4711;

/// Longer than a test file's own limit, so that arete reports the failure.
const DEADLINE: Duration = Duration::from_secs(90);

/// The time for which the server is cut off.
const CUT_FOR: Duration = Duration::from_secs(3);

/// The time for which it is cut off before the client arrives: by then its last sign of life is older than `--fresh`.
const CLIENT_LATE: Duration = Duration::from_millis(1500);

/// A run whose controller and slaves are each on their own host.
struct Meeting<'a> {
    place: &'a Place,
    controller: Running<'a>,
    slaves: Vec<Running<'a>>,
}

impl<'a> Meeting<'a> {
    /// Starts the run of `test_file`, with a slave on each of `hosts`, named after the host. All have certificates.
    fn start(place: &'a Place, lab: &Lab, test_file: impl AsRef<[u8]>, hosts: &[&str]) -> Meeting<'a> {
        place.write("t.json", test_file);
        let listen = format!("{}:{PORT}", lab.address("controller"));
        let pki = Pki::new(place);
        let mut command = lab.arete("controller");
        command.args(["run", "t.json", "--listen", &listen, "--results", "results", "--wait", "30s", "--tls"]);
        command.arg(pki.controller(&[&lab.address("controller").to_string()]));
        let controller = place.program(command).deadline(DEADLINE).start();
        let slave = |&host: &&str| {
            let mut command = lab.arete(host);
            command.args(["slave", "--controller", &listen, "--name", host, "--once", "--dir"]);
            command.arg(place.path("work").join(host)).arg("--tls").arg(pki.machine(host));
            place.program(command).deadline(DEADLINE).start()
        };
        Meeting { place, controller, slaves: hosts.iter().map(slave).collect() }
    }

    /// The number of events of the run with this value under `key`.
    fn count(&self, name: &str, key: &str, value: &str) -> usize {
        let events = self.place.events("results");
        events.iter().filter(|event| event["event"] == name && event[key] == value).count()
    }

    /// Waits for the run's end. Fails the test unless the run passed and left nothing.
    fn passes(self) {
        self.controller.wait().exits_with(0);
        self.slaves.into_iter().for_each(|slave| drop(slave.wait().exits_with(0)));
        assert_eq!(self.place.summary("results")["verdict"], "passed");
        assert_eq!(self.place.count("results", "lost"), 0);
        self.place.assert_nothing_left();
        self.place.assert_no_temporary_files();
    }
}

/// A server that is up at once, and a client that arrives at the barrier when the file `go` exists. Both exchange
/// their addresses.
fn two_hosts(place: &Place) -> String {
    let go = place.path("go");
    let meet = |slave: &str| {
        format!(
            "arete barrier server-up --members server,client --timeout 120s && \
             arete sync addresses --members server,client --data @{{{slave}.address}}"
        )
    };
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
    let entry = |shell: String| json!([{ "name": "meet", "at": 0, "shell": shell }]);
    json!({
        "name": "two-hosts",
        "end": { "idle": true, "limit": "1min" },
        "schedules": { "server": entry(meet("server")), "client": entry(format!("{wait}; {}", meet("client"))) },
        "slaves": { "server": ["server"], "client": ["client"] },
    })
    .to_string()
}

#[test]
fn a_server_that_is_cut_off_at_the_barrier_is_waited_for() {
    let test = "a_server_that_is_cut_off_at_the_barrier_is_waited_for";
    let Some(lab) = Lab::new(test, &["controller", "server", "client"]) else { return };
    let place = Place::new("meet");
    let meeting = Meeting::start(&place, &lab, two_hosts(&place), &["server", "client"]);

    wait_for(SOON, "the server at the barrier", || meeting.count("arrived", "member", "server") == 1);
    let others = ["controller", "client"];
    others.iter().for_each(|other| lab.cut("server", other));
    let cut = Instant::now();
    wait_for(SOON, "the server's last word to be old", || cut.elapsed() > CLIENT_LATE);
    assert_eq!(meeting.count("arrived", "member", "client"), 0, "the client came too early");
    place.write("go", "");
    wait_for(SOON, "the client at the barrier", || meeting.count("arrived", "member", "client") == 1);
    let met = || meeting.count("met", "barrier", "server-up");
    let left = CUT_FOR.saturating_sub(cut.elapsed());
    assert!(!holds_within(left, || met() > 0), "released while the server was out of reach");
    others.iter().for_each(|other| lab.heal("server", other));

    wait_for(SOON, "the release", || met() == 1);
    meeting.passes();
    let map = format!("{{\"client\":\"{}\",\"server\":\"{}\"}}\n", lab.address("client"), lab.address("server"));
    for slave in ["server", "client"] {
        assert_eq!(place.read(format!("results/{slave}/meet.out")), map, "{slave}");
    }
    let verdicts: Vec<_> = place.events("results").into_iter().filter(|event| event["event"] == "met").collect();
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    assert!(verdicts.iter().all(|met| met["verdict"] == "released" && met["members"] == 2), "{verdicts:?}");
}

#[test]
fn the_barrier_of_the_examples_passes_on_two_hosts() {
    let test = "the_barrier_of_the_examples_passes_on_two_hosts";
    let Some(lab) = Lab::new(test, &["controller", "server", "client"]) else { return };
    let place = Place::new("meet-example");
    let example = std::fs::read(repository().join("examples/barrier.json")).expect("the example exists");
    Meeting::start(&place, &lab, example, &["server", "client"]).passes();
    let map = place.read("results/server/addresses.out");
    assert_eq!(place.read("results/client/talk.out"), format!("talking to {map}"));
    let map: serde_json::Value = serde_json::from_str(&map).expect("a map is JSON");
    let of = |host: &str, port: u16| json!({ "address": lab.address(host).to_string(), "port": port });
    assert_eq!(map, json!({ "client": of("client", 4001), "server": of("server", 4000) }));
}

/// The number of slaves in the measurement of the skew.
const RUNNERS: usize = 8;

/// The number of measurements of each kind of release.
const ROUNDS: usize = 5;

/// Passes the barrier `rounds` times in each of two ways, together with the other members. Prints for each time the
/// instant at which it passed. All namespaces of a machine have one monotonic clock.
const STAMP: &str = "\
import subprocess, sys, time
count, rounds = sys.argv[1:]
for way, more in ('plain', []), ('harmonized', ['--harmonize']):
    for nr in range(int(rounds)):
        subprocess.run(['arete', 'barrier', 'x', '--count', count, *more], check=True)
        print(way, nr, time.monotonic_ns(), flush=True)
";

/// For each round, the time between the first and the last member that passed.
fn skews(stamps: &[String], way: &str) -> Vec<Duration> {
    let stamp = |text: &str, nr: usize| {
        let line = format!("{way} {nr} ");
        let found = text.lines().find_map(|said| said.strip_prefix(&line)?.parse::<u64>().ok());
        found.unwrap_or_else(|| panic!("who was not released {way} in round {nr} said {text:?}"))
    };
    let skew = |nr: usize| {
        let of_round: Vec<_> = stamps.iter().map(|text| stamp(text, nr)).collect();
        let (first, last) = (of_round.iter().min(), of_round.iter().max());
        Duration::from_nanos(last.expect("there are runners") - first.expect("there are runners"))
    };
    (0..ROUNDS).map(skew).collect()
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort();
    of[of.len() / 2]
}

#[test]
fn harmonized_and_plain_releases_reach_all_members_and_their_skews_are_printed() {
    let test = "harmonized_and_plain_releases_reach_all_members_and_their_skews_are_printed";
    if let Some(why) = missing(&["python3"]) {
        return skip(test, &why, Needed::InCi);
    }
    let runners: Vec<_> = (1..=RUNNERS).map(|nr| format!("runner{nr}")).collect();
    let runners: Vec<_> = runners.iter().map(String::as_str).collect();
    let Some(lab) = Lab::new(test, &[&["controller"], &runners[..]].concat()) else { return };
    let place = Place::new("meet-skew");
    let script = place.write("stamp.py", STAMP);
    let python = python();
    let words = [python.get_program().to_string_lossy(), "-I".into(), script.to_string_lossy()];
    let shell = format!("{} {RUNNERS} {ROUNDS}", words.join(" "));
    let test_file = json!({
        "name": "skew",
        "end": { "idle": true, "limit": "1min" },
        "schedules": { "runner": [{ "name": "stamp", "at": 0, "shell": shell }] },
        "slaves": { format!("runner[1-{RUNNERS}]"): ["runner"] },
    });
    Meeting::start(&place, &lab, test_file.to_string(), &runners).passes();

    let stamps: Vec<_> = runners.iter().map(|slave| place.read(format!("results/{slave}/stamp.out"))).collect();
    let (plain, harmonized) = (skews(&stamps, "plain"), skews(&stamps, "harmonized"));
    eprintln!("first to last of {RUNNERS} through, plain {plain:.0?}, harmonized {harmonized:.0?}");
    let (plain, harmonized) = (median(plain).as_micros(), median(harmonized).as_micros());
    eprintln!("the median: plain {plain} us, harmonized {harmonized} us");
}
