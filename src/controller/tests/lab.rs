//! A permanent controller with its slaves and operators, which are played step by step.

mod again;
mod bounds;
mod named;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::controller::Archived;
use crate::controller::Controller;
use crate::controller::HostConfig;
use crate::controller::OVER;
use crate::controller::host::archive::Keeping;
use crate::controller::ledger::{self, Keep, Past};
use crate::controller::run::run::EVENTS;
use crate::controller::session::session::Role;
use crate::machine::stage::{Stage, Surroundings};
use crate::machine::{ConnId, Effect, Exit, Input, ListenerId, Machine, Peer, removed};
use crate::wire::operate::{AskFiles, AskRuns, AskSlaves, Cancel, Get, Look, Offer, Operate, PAGE_MAX, Submit, Upload};
use crate::wire::{Message, PROTOCOL};

const SECOND: Duration = Duration::from_secs(1);
const RUNS: &str = "/state/runs";
const TCP: ListenerId = ListenerId(0);
const SOCKET: ListenerId = ListenerId(1);

/// Returns a test of one second with these slaves, written as in a test file.
fn test_for(slaves: &str) -> String {
    let names = slaves.split(' ').map(|slave| match slave.split_once(':') {
        Some((name, role)) => format!(r#""{name}": {{ "schedules": ["s"], "with": {{ "role": "{role}" }} }}"#),
        None => format!(r#""{slave}": ["s"]"#),
    });
    let names = names.collect::<Vec<_>>().join(", ");
    format!(
        r#"{{ "name": "t", "end": {{ "duration": 1 }}, "guests": ["c", "d"], "slaves": {{ {names} }},
            "schedules": {{ "s": [{{ "name": "x", "poke": true, "shell": "true" }}] }} }}"#
    )
}

const SHIPS: &str = r#"{ "name": "t", "end": { "duration": 1 }, "slaves": { "a": ["s"] },
    "resources": { "one": { "file": "one.bin" }, "none": { "file": "none.bin" } },
    "schedules": { "s": [{ "name": "x", "at": 0, "shell": "cat @{one.path} @{none.path}",
        "use_resources": ["one", "none"] }] } }"#;

/// A permanent controller with its disk and its connected peers.
type Lab = Stage<Controller, Host>;

struct Host {
    config: HostConfig,
}

impl Surroundings<Controller> for Host {
    fn perform(lab: &mut Lab, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Spawn { child, command } => {
                let directory = command.cwd.as_ref().expect("the directory of the runs");
                for name in removed(&command.argv).expect("nothing else is started") {
                    lab.files.retain(|file, _| !file.starts_with(directory.join(name)));
                }
                lab.input(Input::Exited { child, exit: Exit::Code(0) });
                return None;
            }
            Effect::WriteAt { ref path, offset, .. } => {
                assert_eq!(lab.files.get(path).map_or(0, Vec::len) as u64, offset);
            }
            _ => {}
        }
        Some(effect)
    }
}

impl Lab {
    fn new() -> Lab {
        Lab::keeping(Keeping::All)
    }

    fn keeping(keeping: Keeping) -> Lab {
        let config = HostConfig {
            runs: RUNS.into(),
            sockets: vec![SOCKET],
            operators: BTreeSet::from(["ada".to_owned()]),
            lost_after: SECOND * 60,
            keeping,
            keep_max: None,
            boot: "boot".to_owned(),
            wall_offset: 1_700_000_000_000_000,
        };
        let controller = Controller::bare(None).keeping(keep()).hosting(config.clone());
        let mut lab = Stage::begin(controller, Host { config });
        lab.prompt = true;
        lab
    }

    /// Kills the controller, and starts another one half a second later.
    fn restarted(mut self) -> Lab {
        let past = |lab: &Lab, path: &Path| Past::read(path, lab.files[path].clone()).expect("it was just written");
        let controller =
            Controller::bare(None).keeping(keep()).resumed(&past(&self, Path::new("/state/state.jsonl")), &mut ());
        let mut controller = controller.expect("it was just written").hosting(self.config.clone());
        let ledgers = self.files.keys().filter(|path| path.ends_with(ledger::FILE) && path.starts_with(RUNS));
        let (mut going, mut over) = (Vec::new(), Vec::<Archived>::new());
        for path in ledgers {
            let directory = path.parent().expect("it is in a directory");
            match self.files.get(&directory.join(OVER)) {
                Some(json) => over.push(serde_json::from_slice(json).expect("it was just written")),
                None => going.push((directory.to_owned(), past(&self, path).with_files(self.files_below(directory)))),
            }
        }
        going.sort_by_key(|(_, past)| past.place_in_queue());
        over.sort_by_key(|shelved| shelved.since);
        for (directory, past) in going {
            let mut time_line = Vec::new();
            controller.take_up(&directory, &past, &mut time_line).expect("it was just written");
            if !time_line.is_empty() {
                self.files.insert(directory.join(EVENTS), time_line);
            }
        }
        let now = self.now + Duration::from_millis(500);
        self.replace(controller.remembering(over), now);
        self
    }

    fn connect(&mut self) -> ConnId {
        self.accept(TCP, Peer::Inet(([10, 0, 0, 1], 5_000).into()))
    }

    fn send(&mut self, conn: ConnId, message: &impl Message) {
        self.input(Input::Received { conn, bytes: &message.encode() });
    }

    /// The types of what a peer has heard since the last look.
    fn words(&mut self, conn: ConnId) -> String {
        let heard = self.messages(conn);
        let words: Vec<String> = heard.iter().map(|said| said["type"].as_str().unwrap_or("?").to_owned()).collect();
        words.join(" ")
    }

    /// Returns the last answer to a question.
    fn ask(&mut self, conn: ConnId, question: &impl Message) -> Value {
        self.sent.remove(&conn);
        self.send(conn, question);
        self.messages(conn).pop().unwrap_or_default()
    }

    fn operator(&mut self) -> ConnId {
        let conn = self.connect();
        let answer = self.ask(conn, &Operate { protocol: PROTOCOL, version: "x".into() });
        assert_eq!(answer["type"], "welcome");
        conn
    }

    /// A slave says hello, as a role too: `c1:client`.
    fn slave(&mut self, who: &str, incarnation: &str, run: Option<&str>) -> ConnId {
        let conn = self.connect();
        let (name, role) = who.split_once(':').unwrap_or((who, "none"));
        let run = run.map_or("null".to_owned(), |run| format!("{run:?}"));
        let labels = format!(r#""labels":{{"role":"{role}"}}"#);
        let hello = format!(r#""name":"{name}","incarnation":"{incarnation}","run":{run},{labels}"#);
        self.say(conn, &format!(r#"{{"type":"hello","protocol":{PROTOCOL},"version":"x",{hello}}}"#));
        conn
    }

    fn of_run(&mut self, conn: ConnId, what: &str, run: &str) {
        self.say(conn, &format!(r#"{{"type":"{what}","run":"{run}"}}"#));
    }

    /// Hands in a test without files: its run.
    fn submit(&mut self, conn: ConnId, submission: &str, test: &str) -> String {
        let answer = self.ask(conn, &submit(submission, test, BTreeMap::new()));
        assert_eq!(answer["submission"], submission, "{answer}");
        answer["run"]["run"].as_str().expect("a run has an id").to_owned()
    }

    fn progress(&mut self, conn: ConnId, run: &str) -> Value {
        self.ask(conn, &Look { run: run.into(), end: false })["run"].clone()
    }

    fn state(&mut self, conn: ConnId, run: &str) -> String {
        self.progress(conn, run)["state"].as_str().unwrap_or("none").to_owned()
    }

    /// These slaves take part in the run until it is over.
    fn serve(&mut self, run: &str, slaves: &[ConnId]) {
        slaves.iter().for_each(|slave| self.of_run(*slave, "ready", run));
        self.pass(SECOND * 3 / 2);
        slaves.iter().for_each(|slave| self.of_run(*slave, "stopped", run));
    }

    /// Nothing of any run is left in the controller's tables.
    fn is_bare(&self) {
        let controller = &self.machine;
        assert_eq!(controller.runs.len(), 0);
        assert_eq!(
            (controller.processes.len(), controller.rooms.pending(), controller.rooms.by_name().len()),
            (0, 0, 0)
        );
        assert_eq!((controller.rooms.next_deadline(), controller.budget.held()), (None, 0));
        assert!(controller.sessions.count(|who| !matches!(who, Role::Idle | Role::Operator)) == 0);
        let lab = controller.host.as_ref().expect("it stays");
        assert!(lab.slaves.values().all(|slave| slave.conn.is_some() && slave.serves.is_none()));
        assert!(lab.operators.values().all(|one| one.asked == 0 && one.waits.is_empty() && one.submission.is_none()));
    }
}

fn keep() -> Keep {
    let (path, boot) = ("/state/state.jsonl".into(), "boot".to_owned());
    Keep { path, boot, wall_offset: 1_700_000_000_000_000, ..Keep::default() }
}

fn submit<'a>(submission: &'a str, test: &'a str, files: BTreeMap<String, Offer>) -> Submit<'a> {
    let (submission, file, test) = (submission.into(), "t.json".into(), test.into());
    Submit { submission, file, test, files, wait: None, lost_after: None }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn offers(files: &[(&str, &[u8])]) -> BTreeMap<String, Offer> {
    let offer = |bytes: &[u8]| Offer { size: bytes.len() as u64, sha256: sha256(bytes), executable: false };
    files.iter().map(|(name, bytes)| ((*name).to_owned(), offer(bytes))).collect()
}

fn upload<'a>(submission: &'a str, of: &[u8], offset: u64, data: &[u8]) -> Upload<'a> {
    Upload { submission: submission.into(), sha256: sha256(of).into(), offset, data: data.to_vec() }
}

#[test]
fn queued_runs_start_in_order_and_reuse_the_connections_of_their_slaves() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let first = lab.submit(operator, "one", &test_for("a b"));
    let second = lab.submit(operator, "two", &test_for("a"));
    assert_eq!(lab.progress(operator, &first)["why"], "waits for a (not connected), b (not connected)");
    let a = lab.slave("a", "i", None);
    assert_eq!(lab.words(a), "welcome", "it waits: the first run holds it back from the second");
    let b = lab.slave("b", "i", None);
    assert_eq!((lab.words(a), lab.words(b)), ("prepare".to_owned(), "welcome prepare".to_owned()));
    assert_eq!(lab.state(operator, &first), "gathering");
    assert_eq!(lab.progress(operator, &second)["why"], format!("waits for a (serves {first})"));
    lab.serve(&first, &[a, b]);
    assert_eq!(lab.words(b), "start stop dismissed");
    assert_eq!(lab.words(a), "start stop dismissed prepare");
    let state = lab.progress(operator, &first);
    assert_eq!((&state["state"], &state["verdict"], &state["code"]), (&"over".into(), &"passed".into(), &0.into()));
    lab.serve(&second, &[a]);
    assert_eq!(lab.state(operator, &second), "over");
    assert!(lab.open.contains(&a) && lab.open.contains(&b));
    lab.is_bare();
    lab.pass(2 * SECOND);
    assert_eq!(lab.machine.discarded.len(), 0, "the memory of both runs is freed without any input");
    for file in ["test.json", "events.jsonl", "summary.json", "report.txt", OVER] {
        assert!(lab.files.contains_key(&Path::new(RUNS).join(&first).join(file)), "{file}");
    }
}

#[test]
fn runs_with_other_slaves_start_at_once_and_machines_are_selected_by_labels() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let (a, b) = (lab.slave("a:client", "i", None), lab.slave("b:server", "i", None));
    let one = lab.submit(operator, "one", &test_for("a"));
    let two = lab.submit(operator, "two", &test_for("x:server"));
    let three = lab.submit(operator, "three", &test_for("y:client"));
    assert_eq!(lab.words(a), "welcome prepare");
    let heard = lab.messages(b);
    assert_eq!((&heard[1]["type"], &heard[1]["serve_as"]), (&"prepare".into(), &"x".into()));
    assert_eq!(lab.progress(operator, &three)["why"], "waits for 1 more free slave with role=client");
    lab.of_run(a, "ready", &one);
    lab.of_run(b, "ready", &two);
    assert_eq!([&one, &two].map(|run| lab.state(operator, run)), ["running", "running"]);
    let slaves = lab.ask(operator, &AskSlaves { after: "".into() });
    assert_eq!((&slaves["slaves"][1]["run"], &slaves["slaves"][1]["serves_as"]), (&two.clone().into(), &"x".into()));
    lab.pass(SECOND * 3 / 2);
    lab.of_run(b, "stopped", &two);
    assert_eq!([&one, &two].map(|run| lab.state(operator, run)), ["ending", "over"]);
    lab.of_run(a, "stopped", &one);
    lab.serve(&three, &[a]);
    assert_eq!(lab.state(operator, &three), "over");
    lab.is_bare();
}

#[test]
fn an_invalid_test_is_unfit_and_leaves_nothing_behind() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let files = [("one.bin", &b"abc"[..]), ("none.bin", &b""[..])];
    let unfit = |lab: &mut Lab, answer: Value, what: &str| {
        assert_eq!(answer["type"], "unfit", "{answer}");
        assert!(answer["problems"].to_string().contains(what), "{answer}");
        let left: Vec<_> = lab.files.keys().filter(|path| path.starts_with(RUNS)).collect();
        assert!(left.is_empty(), "{left:?}");
    };
    let answer = lab.ask(operator, &submit("s", "{}", BTreeMap::new()));
    unfit(&mut lab, answer, "t.json:1:1");
    let answer = lab.ask(operator, &submit("s", SHIPS, BTreeMap::new()));
    unfit(&mut lab, answer, "the operator has not said what it is");
    let huge = Offer { size: u64::MAX, ..offers(&files)["one.bin"].clone() };
    let answer = lab.ask(operator, &submit("s", SHIPS, BTreeMap::from([("one.bin".to_owned(), huge)])));
    unfit(&mut lab, answer, "--output-max");
    let answer = lab.ask(operator, &submit("no name", SHIPS, BTreeMap::new()));
    unfit(&mut lab, answer, "1 to 64 letters");
    for (data, what) in [(&b"abd"[..], "has changed"), (b"abcd", "not as long"), (b"", "empty piece")] {
        assert_eq!(lab.ask(operator, &submit("s", SHIPS, offers(&files)))["type"], "wanted");
        let answer = lab.ask(operator, &upload("s", b"abc", 0, data));
        unfit(&mut lab, answer, what);
    }
    assert_eq!(lab.ask(operator, &upload("s", b"abc", 0, b"abc"))["type"], "denied");
    lab.is_bare();
}

#[test]
fn files_are_uploaded_in_pieces_and_one_submission_is_one_run() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let files = [("one.bin", &b"abc"[..]), ("none.bin", &b""[..])];
    let wanted = lab.ask(operator, &submit("s", SHIPS, offers(&files)));
    assert_eq!((&wanted["files"][sha256(b"abc")], &wanted["files"][sha256(b"")]), (&0.into(), &0.into()));
    let wanted = lab.ask(operator, &upload("s", b"abc", 0, b"ab"));
    assert_eq!(wanted["files"][sha256(b"abc")], 2);
    // It is gone, and comes back before that is known.
    let again = lab.operator();
    assert_eq!(lab.ask(again, &submit("s", SHIPS, offers(&files)))["type"], "wanted");
    assert_eq!(lab.ask(operator, &upload("s", b"abc", 2, b"c"))["type"], "denied", "the old connection is forgotten");
    assert_eq!(lab.ask(again, &upload("s", b"abc", 0, b"abc"))["files"][sha256(b"")], 0);
    let seen = lab.ask(again, &upload("s", b"", 0, b""));
    let run = seen["run"]["run"].as_str().expect("it is a run").to_owned();
    for other in [operator, again] {
        assert_eq!(lab.ask(other, &submit("s", SHIPS, offers(&files)))["run"]["run"], run);
    }
    let directories = lab.files.keys().filter(|path| path.ends_with(ledger::FILE) && path.starts_with(RUNS));
    assert_eq!(directories.count(), 1);
    let mut lab = lab.restarted();
    let operator = lab.operator();
    assert_eq!(lab.ask(operator, &submit("s", SHIPS, offers(&files)))["run"]["run"], run);
    let a = lab.slave("a", "i", None);
    let fetch = format!(r#"{{"type":"fetch","run":"{run}","resource":"one","offset":0}}"#);
    lab.say(a, &fetch);
    assert_eq!(lab.words(a), "welcome prepare chunk");
    lab.serve(&run, &[a]);
    assert_eq!(lab.ask(operator, &submit("s", SHIPS, offers(&files)))["run"]["state"], "over");
    let left = lab.files.keys().find(|path| path.components().any(|part| part.as_os_str() == "resources"));
    assert_eq!(left, None);
    lab.is_bare();
}

#[test]
fn an_incomplete_submission_is_removed_when_its_operator_disconnects() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let files = [("one.bin", &b"abc"[..]), ("none.bin", &b""[..])];
    lab.ask(operator, &submit("s", SHIPS, offers(&files)));
    lab.ask(operator, &upload("s", b"abc", 0, b"ab"));
    assert!(lab.files.keys().any(|path| path.starts_with(RUNS)));
    lab.close(operator);
    assert!(!lab.files.keys().any(|path| path.starts_with(RUNS)));
    lab.is_bare();
}

#[test]
fn a_run_can_be_cancelled_in_the_queue_and_while_it_runs() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let stop = |run: &str, now| Cancel { run: run.to_owned().into(), now };
    let queued = lab.submit(operator, "one", &test_for("a b"));
    let behind = lab.submit(operator, "two", &test_for("a"));
    let a = lab.slave("a", "i", None);
    assert_eq!(lab.words(a), "welcome");
    lab.ask(operator, &stop(&queued[..queued.len() - 1], false));
    let state = lab.progress(operator, &queued);
    assert_eq!((&state["state"], &state["code"]), (&"over".into(), &130.into()));
    assert_eq!(lab.words(a), "prepare", "it is not held back any longer");
    lab.of_run(a, "ready", &behind);
    assert_eq!(lab.ask(operator, &stop(&behind, false))["run"]["state"], "ending");
    assert_eq!(lab.ask(operator, &stop(&behind, true))["run"]["state"], "ending");
    assert_eq!(lab.words(a), "start stop stop");
    lab.of_run(a, "stopped", &behind);
    assert_eq!(lab.ask(operator, &stop(&behind, true))["run"]["verdict"], "interrupted");
    assert_eq!(lab.ask(operator, &stop("t-", true))["type"], "denied", "two begin so");
    assert_eq!(lab.ask(operator, &stop("u", true))["type"], "denied");
    let at_once = lab.submit(operator, "three", &test_for("b"));
    lab.ask(operator, &stop(&at_once, true));
    assert_eq!(lab.state(operator, &at_once), "over");
    lab.pass(SECOND * 60);
    lab.is_bare();
}

#[test]
fn a_run_that_times_out_in_the_queue_releases_its_slaves() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let test = test_for("a b");
    lab.send(operator, &Submit { wait: Some(5_000_000), ..submit("one", &test, BTreeMap::new()) });
    let behind = lab.submit(operator, "two", &test_for("a"));
    let a = lab.slave("a", "i", None);
    assert_eq!(lab.words(a), "welcome");
    lab.pass(SECOND * 4);
    lab.say(operator, r#"{"type":"ping","time":1}"#);
    lab.pass(Duration::from_millis(1_100));
    assert_eq!(lab.words(a), "prepare");
    lab.serve(&behind, &[a]);
    lab.is_bare();
}

#[test]
fn runs_and_slaves_are_listed_in_pages() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    for nr in 0..PAGE_MAX + 2 {
        lab.slave(&format!("s{nr:04}"), "i", None);
    }
    let page = lab.ask(operator, &AskSlaves { after: "".into() });
    assert_eq!((page["slaves"].as_array().map(Vec::len), &page["more"]), (Some(PAGE_MAX), &true.into()));
    let last = page["slaves"][PAGE_MAX - 1]["slave"].as_str().unwrap_or_default().to_owned();
    let page = lab.ask(operator, &AskSlaves { after: last.into() });
    assert_eq!((page["slaves"].as_array().map(Vec::len), &page["more"]), (Some(2), &false.into()));
    let mut lab = Lab::new();
    let operator = lab.operator();
    (0..PAGE_MAX + 2).for_each(|nr| drop(lab.submit(operator, &format!("n{nr}"), &test_for("a"))));
    let page = lab.ask(operator, &AskRuns { after: "".into(), over: false });
    assert_eq!((page["runs"].as_array().map(Vec::len), &page["more"]), (Some(PAGE_MAX), &true.into()));
    let last = page["runs"][PAGE_MAX - 1]["run"].as_str().unwrap_or_default().to_owned();
    let page = lab.ask(operator, &AskRuns { after: last.as_str().into(), over: false });
    assert_eq!((page["runs"].as_array().map(Vec::len), &page["more"]), (Some(2), &false.into()));
    // The run behind which it asks is over meanwhile: nothing is left out.
    lab.ask(operator, &Cancel { run: last.as_str().into(), now: false });
    let page = lab.ask(operator, &AskRuns { after: last.into(), over: false });
    assert_eq!(page["runs"].as_array().map(Vec::len), Some(PAGE_MAX));
}

#[test]
fn growing_files_can_be_read_and_only_those_of_the_results() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let run = lab.submit(operator, "one", &test_for("a"));
    let get = |file: &str, offset, wait| Get { run: run.clone().into(), file: file.to_owned().into(), offset, wait };
    let mut text = Vec::new();
    assert_eq!(lab.ask(operator, &get("events.jsonl", 0, true)), Value::Null, "no event is recorded before the start");
    assert_eq!(lab.ask(operator, &get("a/x.out", 0, true)), Value::Null);
    lab.of_run(a, "ready", &run);
    let add = |text: &mut Vec<u8>, piece: &Value| {
        use base64::Engine;
        let data = piece["data"].as_str().unwrap_or_else(|| panic!("no piece: {piece}"));
        let data = base64::engine::general_purpose::STANDARD.decode(data).expect("it is base64");
        text.extend_from_slice(&data);
        data.len()
    };
    let piece = lab.messages(operator).pop().unwrap_or_default();
    assert!(add(&mut text, &piece) > 0);
    lab.pass(SECOND / 5);
    let spawned = r#""event":"spawned","entry":"x","nr":1,"pid":7"#;
    lab.say(a, &format!(r#"{{"type":"report","run":"{run}","seq":1,"time":2000000,{spawned}}}"#));
    let output = format!(r#"{{"type":"output","run":"{run}","file":"x.out","offset":0,"data":"aGVsbG8K"}}"#);
    lab.say(a, &output);
    let piece = lab.messages(operator).pop().unwrap_or_default();
    assert_eq!((&piece["file"], &piece["data"]), (&"a/x.out".into(), &"aGVsbG8K".into()), "{piece}");
    for forbidden in ["state.jsonl", "resources/x", "over.json", "../x", "/etc/passwd", "a/../b", ""] {
        assert_eq!(lab.ask(operator, &get(forbidden, 0, false))["type"], "denied", "{forbidden}");
    }
    let other = Get { run: "none".into(), ..get("events.jsonl", 0, false) };
    assert_eq!(lab.ask(operator, &other)["type"], "denied");
    lab.serve(&run, &[a]);
    loop {
        let piece = lab.ask(operator, &get("events.jsonl", text.len() as u64, true));
        if add(&mut text, &piece) == 0 {
            break;
        }
    }
    assert_eq!(lab.files[&Path::new(RUNS).join(&run).join("events.jsonl")], text);
    let files = lab.ask(operator, &AskFiles { run: run.clone().into(), after: "".into() });
    let names: Vec<&str> =
        files["files"].as_array().into_iter().flatten().filter_map(|file| file[0].as_str()).collect();
    let expected = ["a/x.out", "events.jsonl", "report.txt", "summary.json", "test.json"];
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(!names.iter().any(|name| ["state.jsonl", "over.json"].contains(name)), "{names:?}");
    lab.is_bare();
}

#[test]
fn only_operators_may_operate() {
    let mut lab = Lab::new();
    let proven = |name: &str| Peer::proven(([10, 0, 0, 1], 5).into(), [Box::from(name)]);
    let local = Peer::Local { uid: 1000, pid: None };
    let operate = Operate { protocol: PROTOCOL, version: "x".into() };
    let may = [(TCP, proven("ada"), "welcome"), (SOCKET, local.clone(), "welcome")];
    let not = [(TCP, proven("bob"), "bye"), (TCP, local, "bye")];
    for (listener, peer, answer) in may.into_iter().chain(not) {
        let conn = lab.accept(listener, peer);
        assert_eq!(lab.ask(conn, &operate)["type"], answer);
        assert_eq!(lab.open.contains(&conn), answer == "welcome");
    }
    let mut lab = Lab::new();
    lab.machine = Controller::bare(None);
    let conn = lab.connect();
    let answer = lab.ask(conn, &operate);
    assert!(answer["reason"].to_string().contains("--state-dir DIR"), "{answer}");
}

#[test]
fn results_are_kept_as_configured() {
    let mut lab = Lab::keeping(Keeping::Count(2));
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let runs = ["one", "two", "three"].map(|submission| {
        let run = lab.submit(operator, submission, &test_for("a"));
        lab.serve(&run, &[a]);
        run
    });
    // An operator that has followed a run fetches its files afterwards.
    assert_eq!(runs.each_ref().map(|run| lab.state(operator, run)), ["over", "over", "over"]);
    lab.pass(SECOND * 70);
    let operator = lab.operator();
    assert_eq!(runs.each_ref().map(|run| lab.state(operator, run)), ["none", "over", "over"]);
    assert!(!lab.files.keys().any(|path| path.starts_with(Path::new(RUNS).join(&runs[0]))));
    let mut lab = Lab::keeping(Keeping::Age(SECOND * 100));
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let run = lab.submit(operator, "one", &test_for("a"));
    lab.serve(&run, &[a]);
    lab.pass(SECOND * 90);
    let operator = lab.operator();
    assert_eq!(lab.state(operator, &run), "over");
    lab.pass(SECOND * 30);
    let operator = lab.operator();
    assert_eq!(lab.state(operator, &run), "over");
    lab.pass(SECOND * 70);
    let operator = lab.operator();
    assert_eq!(lab.state(operator, &run), "none");
}

#[test]
fn clients_are_disconnected_when_their_run_is_over_and_nothing_of_its_room_is_left() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let run = lab.submit(operator, "one", &test_for("a"));
    lab.of_run(a, "ready", &run);
    let arrives = |lab: &mut Lab, member: &str| {
        let conn = lab.connect();
        let who = format!(r#""room":"{run}","member":"{member}","incarnation":"{member}""#);
        let join = format!(r#"{{"type":"join","protocol":{PROTOCOL},"version":"x",{who}}}"#);
        let what = format!(r#""room":"{run}","barrier":"m","id":1,"member":"{member}""#);
        let arrive = format!(r#"{{"type":"arrive",{what},"party":{{"members":["c","d","e"]}}}}"#);
        lab.say(conn, &[join, arrive].join("\n"));
        conn
    };
    let [stays, gone] = ["c", "d"].map(|member| arrives(&mut lab, member));
    assert_eq!((lab.words(stays), lab.words(gone)), ("welcome".to_owned(), "welcome".to_owned()));
    lab.close(gone);
    lab.pass(SECOND * 3 / 2);
    lab.of_run(a, "stopped", &run);
    assert_eq!(lab.state(operator, &run), "over");
    assert!(!lab.open.contains(&stays) && lab.words(stays).ends_with("bye"));
    lab.is_bare();
    // It tries again, as after every bye that is not fatal, and must not wait for members of another room of this name.
    let again = arrives(&mut lab, "c");
    let [_, verdict] = &lab.messages(again)[..] else { panic!("a welcome and a verdict") };
    assert_eq!((&verdict["verdict"], &verdict["reason"]), (&"refused".into(), &format!("run {run:?} is over").into()));
}

#[test]
fn a_slave_that_was_lost_to_its_run_is_free_after_a_reconnect() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let run = lab.submit(operator, "one", &test_for("a"));
    let next = lab.submit(operator, "two", &test_for("a"));
    lab.of_run(a, "ready", &run);
    lab.of_run(a, "stopped", &run);
    assert!(!lab.open.contains(&a), "it must reconnect, so that it ends its part of the run");
    assert_eq!(lab.progress(operator, &run)["verdict"], "failed");
    let a = lab.slave("a", "i", Some(&run));
    assert_eq!(lab.words(a), "welcome prepare");
    lab.serve(&next, &[a]);
    assert_eq!(lab.state(operator, &next), "over");
    lab.is_bare();
}

#[test]
fn a_reconnected_slave_leaves_nothing_of_its_old_connection() {
    let mut lab = Lab::new();
    let operator = lab.operator();
    lab.slave("a", "i", None);
    let a = lab.slave("a", "i", None);
    let other = lab.slave("a", "j", None);
    assert_eq!(lab.words(other), "bye");
    let run = lab.submit(operator, "one", &test_for("a"));
    lab.of_run(a, "ready", &run);
    let b = lab.slave("a", "i", Some(&run));
    assert_eq!(lab.words(b), "welcome start");
    assert!(!lab.open.contains(&a));
    // It has given up the run, and says so on another connection.
    let c = lab.slave("a", "i", None);
    assert_eq!(lab.words(c), "welcome bye");
    assert_eq!(lab.progress(operator, &run)["verdict"], "failed");
    let c = lab.slave("a", "i", None);
    let next = lab.submit(operator, "two", &test_for("a"));
    lab.serve(&next, &[c]);
    lab.is_bare();
}
