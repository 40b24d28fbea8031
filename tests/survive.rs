//! Controllers are killed at random instants and restarted. Nothing is lost, and nothing is done twice.

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Place, Running, SOON, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

/// How often the controller of the run is killed.
const KILLS: usize = 100;

/// How often the controller of rooms is killed.
const KILLS_OF_ROOMS: usize = 40;

/// The longest life of a controller, in milliseconds. A short one is too short for any work.
const LIVES: u64 = 600;

/// The limit on the time of a test.
const DEADLINE: Duration = Duration::from_secs(170);

/// Numbers that differ from run to run, because the kill may come at any moment.
struct Chance(u64);

impl Chance {
    fn new() -> Chance {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos() as u64;
        println!("chance begins with {now}");
        Chance(now | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A port that the system does not give to programs which bind any port.
fn port(chance: &mut Chance) -> u16 {
    loop {
        let port = 15_000 + chance.below(10_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Kills the program that `start` starts, again and again. Returns the last one, which continues.
fn killed_again_and_again<'a>(
    first: Running<'a>,
    times: usize,
    chance: &mut Chance,
    start: impl Fn() -> Running<'a>,
) -> Running<'a> {
    let mut controller = first;
    for nr in 0..times {
        std::thread::sleep(Duration::from_millis(chance.below(LIVES)));
        assert!(controller.is_running(), "life {nr} ended by itself: {}{}", controller.stdout(), controller.stderr());
        // Dropping it kills it.
        drop(controller);
        controller = start();
    }
    controller
}

/// The script of each of three members. It stops when the file `stop` exists. It counts its meetings in `i`. `options`
/// name the room and the member.
fn script(stop: &str, options: &str) -> String {
    format!(
        "i=0; while :; do i=$((i+1)); \
         arete notify tick {options} || exit 9; \
         arete barrier b$i --count 3 --timeout 100s {options} || exit 8; \
         stop=0; if [ -e {stop} ]; then stop=1; fi; \
         map=$(arete sync s$i --count 3 --timeout 100s --data $stop {options}) || exit 7; \
         echo \"$i $map\"; \
         case $map in *:1*) break;; esac; \
         done"
    )
}

/// The number of rounds that a member has seen. Fails if one is missing or repeated.
fn rounds(text: &str) -> usize {
    let numbers: Vec<usize> =
        text.lines().map(|line| line.split(' ').next().and_then(|nr| nr.parse().ok()).expect("a number")).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    numbers.len()
}

#[test]
fn a_run_with_a_hundred_kills_of_its_controller_ends_as_without_them() {
    let place = Place::new("killed");
    let mut chance = Chance::new();
    let (stop, listen) = (place.path("stop"), format!("127.0.0.1:{}", port(&mut chance)));
    let work = format!("{}; arete notify go; sleep 0.2; arete notify fin", script(&stop.display().to_string(), ""));
    let test = json!({
        "name": "killed",
        "end": { "trigger": "fin", "limit": "160s" },
        "triggers": { "tick": 1_000_000, "go": 3, "fin": 3 },
        "schedules": { "all": [
            { "name": "work", "at": 0, "shell": work },
            { "name": "went", "trigger": "go", "shell": "echo went" },
            { "name": "after", "trigger": "fin", "shell": "echo after" }
        ] },
        "slaves": { "s[1-3]": ["all"] }
    });
    place.write("t.json", test.to_string());
    let first = place.arete(["run", "t.json", "--listen", &listen, "--results", "r"]).deadline(DEADLINE).start();
    wait_for(SOON, "a ledger", || fs::metadata(place.path("r/state.jsonl")).is_ok_and(|it| it.len() > 0));
    let slave = |name: &str| {
        let dir = place.path(name).display().to_string();
        let args = ["slave", "--controller", &listen, "--name", name, "--dir", &dir, "--once"];
        place.arete(args).deadline(DEADLINE).start()
    };
    let slaves = ["s1", "s2", "s3"].map(slave);
    let resume = || place.arete(["run", "--resume", "r"]).deadline(DEADLINE).start();
    let last = killed_again_and_again(first, KILLS, &mut chance, resume);
    place.write("stop", "");
    last.wait().exits_with(0);
    slaves.into_iter().for_each(|slave| drop(slave.wait().exits_with(0)));

    let summary = place.summary("r");
    assert_eq!(summary["verdict"], "passed", "{summary}");
    let outputs = ["s1", "s2", "s3"].map(|slave| place.read(format!("r/{slave}/work.out")));
    assert!(outputs.iter().all(|output| *output == outputs[0]), "all see the same: {outputs:?}");
    let rounds = rounds(&outputs[0]);
    println!("{rounds} rounds");
    assert_eq!(summary["triggers"]["tick"]["notified"], 3 * rounds);
    for slave in ["s1", "s2", "s3"] {
        assert_eq!(place.read(format!("r/{slave}/went.out")), "went\n", "a trigger fires once");
        assert_eq!(place.read(format!("r/{slave}/after.out")), "after\n");
    }
    let events = place.events("r");
    let of = |what: &str| events.iter().filter(|event| event["event"] == what).collect::<Vec<&Value>>();
    let ticks = of("notified").into_iter().filter(|event| event["trigger"] == "tick");
    assert_eq!(ticks.filter_map(|event| event["count"].as_u64()).sum::<u64>(), 3 * rounds as u64);
    assert_eq!(of("triggered").len(), 2);
    assert_eq!(of("heard").len(), 6);
    assert_eq!((of("spawned").len(), of("exited").len(), of("met").len()), (9, 9, 2 * rounds));
    assert_eq!((of("started").len(), of("ended").len(), of("lost").len()), (1, 1, 0));
    assert!(of("resumed").len() > KILLS / 2, "{}", of("resumed").len());
    place.arete(["run", "--resume", "r"]).run().exits_with(0);
    assert_eq!(place.summary("r"), summary, "a run that is over stays as it is");
    place.assert_nothing_left();
}

#[test]
fn rooms_live_through_the_deaths_of_their_controller() {
    let place = Place::new("rooms");
    let mut chance = Chance::new();
    let (stop, listen) = (place.path("stop"), format!("127.0.0.1:{}", port(&mut chance)));
    let start = || place.arete(["controller", "--listen", &listen, "--state-dir", "state"]).deadline(DEADLINE).start();
    let first = start();
    let at = ["--controller", &listen, "--room", "lab"];
    place.arete(["trigger", "create", "tick", "1000000"].iter().chain(&at)).run().exits_with(0);
    let path = PathBuf::from(env!("CARGO_BIN_EXE_arete"));
    let path = format!("{}:{}", path.parent().expect("it lies somewhere").display(), env!("PATH"));
    let member = |name: &str| {
        let mut shell = Command::new("sh");
        let options = format!("--controller {listen} --room lab --as {name}");
        shell.args(["-c", &script(&stop.display().to_string(), &options)]).env("PATH", &path);
        place.program(shell).deadline(DEADLINE).start()
    };
    let members = ["m1", "m2", "m3"].map(member);
    let last = killed_again_and_again(first, KILLS_OF_ROOMS, &mut chance, start);
    place.write("stop", "");
    let outputs = members.map(|member| member.wait().exits_with(0).stdout);
    assert!(outputs.iter().all(|output| *output == outputs[0]), "all see the same: {outputs:?}");
    let rounds = rounds(&outputs[0]);
    println!("{rounds} rounds");
    let listed = place.arete(["trigger", "list"].iter().chain(&at)).run().exits_with(0).stdout;
    let left = (1_000_000 - 3 * rounds).to_string();
    assert!(listed.contains(&left), "{left} should be left: {listed}");
    last.signal(Signal::TERM);
    last.wait().exits_with(0);
    place.assert_nothing_left();
}

#[test]
fn a_run_that_had_started_its_slaves_itself_ends_with_its_controller_and_leaves_nothing() {
    let place = Place::new("embedded");
    let test = json!({
        "name": "alone", "end": { "duration": 60 },
        "schedules": { "s": [{ "name": "x", "at": 0, "shell": "echo here; sleep 1000" }] }, "slaves": { "a": ["s"] }
    });
    place.write("t.json", test.to_string());
    let mut run = place.arete(["run", "t.json", "--results", "r", "--follow"]).start();
    run.wait_for_output("here");
    run.signal(Signal::KILL);
    let _ = run.wait();
    let ended = place.arete(["run", "--resume", "r"]).run().exits_with(7);
    assert!(ended.stdout.contains("alone failed") && ended.stdout.contains("was killed"), "{}", ended.stdout);
    assert_eq!(place.summary("r")["verdict"], "failed");
    place.assert_nothing_left();
    place.assert_no_temporary_files();
    let again = place.arete(["run", "--resume", "r"]).run().exits_with(7);
    assert_eq!(again.stdout.lines().last(), ended.stdout.lines().last(), "it repeats the verdict");
}

#[test]
fn a_run_that_is_over_repeats_its_verdict_and_leaves_the_processes_in_its_ledger_alone() {
    let place = Place::new("over");
    let test = json!({
        "name": "short", "end": { "idle": true, "limit": 20 },
        "schedules": { "s": [{ "name": "x", "at": 0, "shell": "exit 3" }] }, "slaves": { "a": ["s"] }
    });
    place.write("t.json", test.to_string());
    place.arete(["run", "t.json", "--results", "r"]).run().exits_with(1);
    place.arete(["run", "--resume", "r"]).run().exits_with(1);
    place.write("victim/kept", "precious");
    let ledger = place.read("r/state.jsonl");
    let at = ledger.find("\"work\":").expect("a run that started its slaves says where they worked") + 7;
    let end = at + 1 + ledger[at + 1..].find('"').expect("it is a path") + 1;
    for name in ["victim", "arete-0123456789abcdef"] {
        place.write(&format!("{name}/kept"), "precious");
        let named = format!("{}{:?}{}", &ledger[..at], place.path(name), &ledger[end..]);
        place.write("r/state.jsonl", &named);
        place.arete(["run", "--resume", "r"]).run().exits_with(1);
        // The end is missing, or the name or the mode differs from that of a directory that arete makes.
        let cut = named.trim_end().rfind('\n').expect("it has lines") + 1;
        fs::remove_file(place.path("r/summary.json")).expect("it exists");
        place.write("r/state.jsonl", &named[..cut]);
        place.arete(["run", "--resume", "r"]).run().exits_with(1);
        assert_eq!(place.read(format!("{name}/kept")), "precious");
    }
    // A run that has ended according to its summary, but not to its ledger, is damaged.
    place.write("r/state.jsonl", &ledger[..ledger.trim_end().rfind('\n').expect("it has lines") + 1]);
    place.arete(["run", "--resume", "r"]).run().exits_with(7).complains(&["--resume r", "summary.json"]);
}

#[test]
fn a_run_that_cannot_continue_is_reported_with_the_place() {
    let place = Place::new("wrong");
    let resume = |dir: &str| place.arete(["run", "--resume", dir]).run();
    fs::create_dir(place.path("empty")).expect("a directory can be made");
    resume("empty").exits_with(2).complains(&["--resume empty", "name the results directory of a run"]);
    let test = json!({
        "name": "short", "end": { "duration": 1 },
        "schedules": { "s": [{ "name": "x", "at": 0, "shell": "true" }] }, "slaves": { "a": ["s"] }
    });
    place.write("t.json", test.to_string());
    let waiting = place.arete(["run", "t.json", "--listen", "127.0.0.1:0", "--results", "r"]).start();
    wait_for(SOON, "a ledger", || fs::metadata(place.path("r/state.jsonl")).is_ok_and(|it| it.len() > 0));
    resume("r").exits_with(7).complains(&["--resume r", "still works"]);
    drop(waiting);
    let ledger = place.read("r/state.jsonl");
    place.write("torn/state.jsonl", &ledger[..10]);
    resume("torn").exits_with(7).complains(&["--resume torn", "before its start"]);
    place.write("new/state.jsonl", ledger.replace("\"format\":1", "\"format\":7"));
    resume("new").exits_with(7).complains(&["new/state.jsonl:1", "format 7"]);
    place.write("bad/state.jsonl", format!("{ledger}[1,[\"what\"]]\n[2,[]]\n"));
    resume("bad").exits_with(7).complains(&["bad/state.jsonl:2", "damaged"]);
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--state-dir", "state"]).start();
    controller.wait_for_output("listening on");
    let second = place.arete(["controller", "--listen", "127.0.0.1:0", "--state-dir", "state"]).run();
    second.exits_with(1).complains(&["--state-dir state", "another controller"]);
    fs::remove_file(place.path("state/state.jsonl")).expect("it exists");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    place.arete(["trigger", "create", "t", "5", "--controller", &address, "--timeout", "2s"]).run();
    controller.wait().exits_with(1).complains(&["state/state.jsonl", "another program has removed or replaced it"]);
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--state-dir", "state"]).start();
    controller.wait_for_output("listening on");
    drop(controller);
    resume("state").exits_with(2).complains(&["--resume state", "arete controller --state-dir"]);
    // A controller starts although the previous one died while it wrote.
    let mut file = fs::File::options().append(true).open(place.path("state/state.jsonl")).expect("it exists");
    file.write_all(b"[17,[{\"cre").expect("it can be written");
    drop(file);
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--state-dir", "state"]).start();
    controller.wait_for_output("listening on");
}

#[test]
fn a_ledger_longer_than_the_memory_is_read_and_its_time_line_is_completed() {
    const WARNINGS: usize = 40_000;
    let place = Place::new("long");
    let test = json!({
        "name": "long", "end": { "idle": true, "limit": 60 },
        "schedules": { "s": [{ "name": "x", "at": 0, "shell": "true" }] }, "slaves": { "a": ["s"] }
    });
    place.write("t.json", test.to_string());
    place.arete(["run", "t.json", "--results", "r"]).run().exits_with(0);
    let ledger = place.read("r/state.jsonl");
    let (before, end) =
        ledger.split_at(ledger.find("\"ending\"").map(|at| ledger[..at].rfind('\n').unwrap() + 1).unwrap());
    let last = before.trim_end().rsplit('\n').next().and_then(|line| line[1..].split(',').next()).expect("a time");
    let (what, text) = (json!({ "event": "warning", "text": "x".repeat(2_000) }), "\n");
    let report = |seq: usize| {
        let at: u64 = last.parse().expect("a number");
        json!([at, [{ "report": { "slave": 0, "seq": 1_000 + seq, "at": at, "event": what } }]]).to_string() + text
    };
    let mut file = fs::File::create(place.path("r/state.jsonl")).map(std::io::BufWriter::new).expect("a file");
    file.write_all(before.as_bytes()).expect("it can be written");
    (0..WARNINGS).for_each(|seq| file.write_all(report(seq).as_bytes()).expect("it can be written"));
    file.write_all(end.as_bytes()).expect("it can be written");
    drop(file);
    fs::remove_file(place.path("r/summary.json")).expect("it exists");
    let mut bounded = Command::new("sh");
    bounded.args(["-c", "ulimit -v 100000; exec \"$0\" run --resume r", env!("CARGO_BIN_EXE_arete")]);
    bounded.current_dir(place.dir());
    place.program(bounded).deadline(DEADLINE).run().exits_with(0);
    assert_eq!(place.count("r", "warning"), WARNINGS);
    assert_eq!(place.count("r", "ended"), 1);
    // The same again, when the files are complete: none is written again.
    let modified = || fs::metadata(place.path("r/events.jsonl")).and_then(|it| it.modified()).expect("it exists");
    let was = modified();
    place.arete(["run", "--resume", "r"]).deadline(DEADLINE).run().exits_with(0);
    assert_eq!(modified(), was);
}
