//! The program follows `arete-protocol(7)`: a slave in another language, written from that page, takes part in a run,
//! and the bytes of a dialogue are those of the page.

#![forbid(unsafe_code)]

mod common;

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use common::{Needed, Place, Running, SOON, have, python, repository, skip, wait_for};
use serde_json::Value;

/// A test with the slaves `a` and `b` that ends when each has notified `go` once.
const TEST: &str = r#"{ "name": "dialogue", "end": { "trigger": "go", "limit": "50s" }, "grace": 10,
    "triggers": { "go": 2, "other": 9 }, "resources": { "tool": { "file": "tool.sh" } },
    "schedules": { "all": [
        { "name": "say", "poke": true, "shell": "sh @{tool.path}", "use_resources": ["tool"] } ] },
    "slaves": { "a": ["all"], "b": ["all"] } }"#;

/// Starts a controller that waits for its slaves. Returns its address.
fn listen<'a>(place: &'a Place, test: &str) -> (Running<'a>, SocketAddr) {
    place.write("test.json", test);
    place.write("tool.sh", "echo tool\n");
    let mut run = place.arete(["run", "test.json", "--listen", "127.0.0.1:0", "--results", "results"]).start();
    run.wait_for_output("listening on ");
    let said = run.stdout();
    let address = said.trim_start_matches("listening on ").split(',').next().and_then(|text| text.parse().ok());
    (run, address.unwrap_or_else(|| panic!("{said:?} names an address")))
}

/// The other end of a controller's connection, byte by byte.
struct Peer {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    /// The run that the welcome named. `RUN` is replaced by it in sent and received lines.
    run: String,
}

impl Peer {
    fn connect(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).expect("the controller listens");
        stream.set_read_timeout(Some(SOON)).expect("a socket has a timeout");
        let lines = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        Peer { stream, lines, run: String::new() }
    }

    /// A peer that has sent hello as a slave, and has its part of the run.
    fn slave(address: SocketAddr, name: &str) -> Peer {
        let mut peer = Peer::connect(address);
        peer.hello(name, "i1", "");
        let prepare = peer.next();
        assert!(prepare.starts_with(r#"{"type":"prepare","run":"RUN","test":"dialogue","entries":[{"#), "{prepare}");
        peer
    }

    /// Sends hello and reads the welcome.
    fn hello(&mut self, name: &str, incarnation: &str, more: &str) -> Value {
        let hello = format!(
            r#"{{"type":"hello","protocol":1,"version":"literal","name":"{name}","incarnation":"{incarnation}"{more}}}"#
        );
        self.say(&hello);
        let line = self.next();
        let welcome: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(welcome["type"], "welcome", "{line}");
        self.run = welcome["run"].as_str().unwrap_or_default().to_owned();
        welcome
    }

    fn say(&mut self, line: &str) {
        let line = line.replace("RUN", &self.run) + "\n";
        self.stream.write_all(line.as_bytes()).unwrap_or_else(|error| panic!("cannot say {line:?}: {error}"));
    }

    /// The next line, or `None` when the connection has ended.
    fn try_next(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => None,
            // Bytes that a closing peer has sent and not read cause a reset.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no line came: {error}"),
            Ok(_) => {
                let line = line.strip_suffix('\n').unwrap_or_else(|| panic!("{line:?} is a whole line"));
                Some(if self.run.is_empty() { line.to_owned() } else { line.replace(&self.run, "RUN") })
            }
        }
    }

    #[track_caller]
    fn next(&mut self) -> String {
        self.try_next().unwrap_or_else(|| panic!("the controller closed the connection"))
    }

    #[track_caller]
    fn hears(&mut self, line: &str) {
        assert_eq!(self.next(), line);
    }

    /// Reads a bye, and then the end.
    #[track_caller]
    fn is_dismissed(&mut self, code: &str, reason: &str, fatal: bool) {
        let reason = serde_json::to_string(reason).expect("a string encodes");
        self.hears(&format!(r#"{{"type":"bye","code":"{code}","reason":{reason},"fatal":{fatal}}}"#));
        assert_eq!(self.try_next(), None, "the controller closes after a bye");
    }
}

/// Two slaves whose run has started.
fn started(address: SocketAddr) -> (Peer, Peer) {
    let (mut a, mut b) = (Peer::slave(address, "a"), Peer::slave(address, "b"));
    for peer in [&mut a, &mut b] {
        peer.say(r#"{"type":"ready","run":"RUN"}"#);
    }
    for peer in [&mut a, &mut b] {
        let start = peer.next();
        assert!(start.starts_with(r#"{"type":"start","run":"RUN","at":"#), "{start}");
    }
    (a, b)
}

#[test]
fn a_client_written_from_the_page_alone_takes_part_in_a_run() {
    let test = "a_client_written_from_the_page_alone_takes_part_in_a_run";
    if !have("python3") {
        return skip(test, "python3 is not installed", Needed::InCi);
    }
    let client = repository().join("tests/protocol/client.py");
    let lines = std::fs::read_to_string(&client).expect("the client is there").lines().count();
    assert!(lines <= 60, "the client has {lines} lines");

    let place = Place::new("client");
    let schedules = r#""schedules": {
        "silent": [{ "name": "poke", "poke": true, "notify": "go" }],
        "say": [{ "name": "say", "at": 0, "shell": "arete notify go" }] }"#;
    let (run, address) = listen(
        &place,
        &format!(
            r#"{{ "name": "foreign", "end": {{ "trigger": "go", "limit": "50s" }}, "triggers": {{ "go": 2 }},
            {schedules}, "slaves": {{ "foreign": ["silent"], "own": ["say"] }} }}"#
        ),
    );
    let controller = address.to_string();
    let slave = place.arete(["slave", "--controller", &controller, "--name", "own", "--dir", "own", "--once"]).start();
    let mut command = python();
    command.arg(client).arg(address.port().to_string()).args(["foreign", "go"]);
    let client = place.program(command).start().wait().exits_with(0);
    run.wait().exits_with(0);
    slave.wait().exits_with(0);

    for kind in ["welcome", "prepare", "pong", "start", "noted", "triggered", "recorded", "stop", "dismissed", "bye"] {
        assert!(client.stdout.lines().any(|line| line == kind), "the client has not heard {kind}: {}", client.stdout);
    }
    let events = place.events("results");
    let of_client: Vec<_> = events.iter().filter(|event| event["slave"] == "foreign").collect();
    for kind in ["joined", "ready", "begun", "notified", "settled", "idle", "stopped"] {
        assert!(of_client.iter().any(|event| event["event"] == kind), "no event {kind} of the client: {events:#?}");
    }
    assert_eq!(place.count("results", "notified"), 2);
    assert_eq!(place.count("results", "triggered"), 1);
    let last = events.last().expect("there are events");
    assert_eq!((&last["event"], &last["verdict"]), (&Value::from("ended"), &Value::from("passed")));
}

#[test]
fn an_invalid_hello_is_refused_for_good() {
    let place = Place::new("hello");
    let (_run, address) = listen(&place, TEST);
    let version = concat!("arete ", env!("CARGO_PKG_VERSION"));
    let refused = [
        (
            r#"{"type":"hello","protocol":7,"version":"mine 2","name":"a","incarnation":"i1"}"#,
            format!(
                "slave \"a\" is \"mine 2\" and speaks protocol 7; this controller is {version} and speaks protocol 1: \
                 install the same version on both"
            ),
        ),
        (
            r#"{"type":"hello","protocol":1,"version":"x","name":"c","incarnation":"i1"}"#,
            "slave \"c\" is not in the test \"dialogue\"; its slaves are a, b: name it as one of them with --name, or add it \
             to the test"
                .to_owned(),
        ),
        (
            r#"{"type":"hello","protocol":1,"version":"x","name":"a","incarnation":"i 1"}"#,
            "an incarnation is 1 to 64 letters, digits, \"-\" and \"_\"".to_owned(),
        ),
    ];
    for (code, (hello, reason)) in ["protocol", "no-place", "name"].into_iter().zip(refused) {
        let mut peer = Peer::connect(address);
        peer.say(hello);
        peer.is_dismissed(code, &reason, true);
    }
}

#[test]
fn a_malformed_line_ends_its_connection_and_no_other() {
    let place = Place::new("garbage");
    let (_run, address) = listen(&place, TEST);
    let mut witness = Peer::slave(address, "b");
    let not_first = "a message is a JSON object whose first key is \"type\"";
    let wrong = [
        ("GET / HTTP/1.1", not_first),
        (r#"{"name":"a","type":"hello"}"#, not_first),
        (r#"{"type":"hallo"}"#, "unknown message type \"hallo\""),
        (r#"{"type":"ping","time":1}"#, "the first message must be a hello, a join or an operate"),
    ];
    for (line, reason) in wrong {
        let code = if reason.starts_with("the first message") { "first-message" } else { "malformed" };
        let mut peer = Peer::connect(address);
        peer.say(line);
        peer.is_dismissed(code, reason, false);
    }
    let mut endless = Peer::connect(address);
    endless.stream.write_all(&[b'x'; 65_536]).expect("the controller reads");
    endless.is_dismissed("malformed", "a line is longer than 65536 bytes", false);

    let mut twice = Peer::slave(address, "a");
    twice.say(r#"{"type":"hello","protocol":1,"version":"x","name":"a","incarnation":"i1"}"#);
    twice.is_dismissed("malformed", "a second hello on one connection", false);

    witness.say("{\"type\":\"ping\",\"time\":42,\"unknown\":[]}\r\n");
    let pong = witness.next();
    assert!(pong.starts_with(r#"{"type":"pong","time":42,"now":"#), "{pong}");
}

#[test]
fn a_repeated_total_counts_once() {
    let place = Place::new("totals");
    let (run, address) = listen(&place, TEST);
    let (mut a, mut b) = started(address);
    a.say(r#"{"type":"notify","room":"RUN","trigger":"nobody","count":1}"#);
    a.hears(r#"{"type":"refused","room":"RUN","trigger":"nobody","code":"trigger","reason":"there is no trigger \"nobody\" in room \"RUN\": a run has only the triggers of its test file"}"#);
    a.say(r#"{"type":"notify","room":"elsewhere","trigger":"go","count":1}"#);
    a.hears(r#"{"type":"refused","room":"elsewhere","trigger":"go","code":"not-going","reason":"run \"elsewhere\" is not going on"}"#);
    for count in [3, 3, 1, 4] {
        a.say(&format!(r#"{{"type":"notify","room":"RUN","trigger":"other","count":{count}}}"#));
        let left = if count == 4 { 5 } else { 6 };
        a.hears(&format!(r#"{{"type":"noted","room":"RUN","trigger":"other","count":{count},"left":{left}}}"#));
    }
    a.say(r#"{"type":"notify","room":"RUN","trigger":"go","count":1}"#);
    a.hears(r#"{"type":"noted","room":"RUN","trigger":"go","count":1,"left":1}"#);

    // The connection breaks. The slave sends its totals again on the next one.
    drop(a);
    let mut a = Peer::connect(address);
    let run_id = b.run.clone();
    assert_eq!(a.hello("a", "i1", &format!(r#","run":"{run_id}""#))["recorded"], 0);
    let start = a.next();
    assert!(start.starts_with(r#"{"type":"start","run":"RUN","at":"#), "{start}");
    a.say(r#"{"type":"state","run":"RUN","notified":{"go":1,"other":4},"triggered":[]}"#);
    a.hears(r#"{"type":"noted","room":"RUN","trigger":"go","count":1,"left":1}"#);
    a.hears(r#"{"type":"noted","room":"RUN","trigger":"other","count":4,"left":5}"#);

    b.say(r#"{"type":"notify","room":"RUN","trigger":"go","count":1}"#);
    b.hears(r#"{"type":"triggered","room":"RUN","trigger":"go"}"#);
    b.hears(r#"{"type":"noted","room":"RUN","trigger":"go","count":1,"left":0}"#);
    a.hears(r#"{"type":"triggered","room":"RUN","trigger":"go"}"#);
    for peer in [&mut a, &mut b] {
        peer.say(r#"{"type":"report","run":"RUN","seq":1,"time":0,"event":"settled","trigger":"go"}"#);
        peer.hears(r#"{"type":"recorded","run":"RUN","seq":1}"#);
    }
    const WHY: &str = "go fired, and what it set off has exited";
    for peer in [&mut a, &mut b] {
        peer.hears(&format!(r#"{{"type":"stop","run":"RUN","reason":"{WHY}","how":"finish"}}"#));
        peer.say(r#"{"type":"report","run":"RUN","seq":2,"time":0,"event":"idle","heard":1}"#);
        peer.hears(r#"{"type":"recorded","run":"RUN","seq":2}"#);
    }
    for peer in [&mut a, &mut b] {
        peer.hears(&format!(r#"{{"type":"stop","run":"RUN","reason":"{WHY}","how":"cut"}}"#));
        peer.say(r#"{"type":"stopped","run":"RUN"}"#);
    }
    for peer in [&mut a, &mut b] {
        peer.hears(r#"{"type":"dismissed","run":"RUN","verdict":"passed"}"#);
        peer.is_dismissed("no-run", "the run is over", false);
    }
    run.wait().exits_with(0);
    assert_eq!(place.count("results", "notified"), 4, "3 and 1 of other, 1 and 1 of go");
}

#[test]
fn repeated_output_is_kept_once() {
    let place = Place::new("output");
    let (_run, address) = listen(&place, TEST);
    let (mut a, _b) = started(address);
    let pieces = [(0, "aGVsbG8g", 6), (6, "d29ybGQ=", 11), (0, "aGVsbG8g", 11), (3, "bG8gd29ybGQhCg==", 13)];
    for (offset, data, length) in pieces {
        a.say(&format!(r#"{{"type":"output","run":"RUN","file":"say.out","offset":{offset},"data":"{data}"}}"#));
        a.hears(&format!(r#"{{"type":"kept","run":"RUN","file":"say.out","length":{length}}}"#));
    }
    assert_eq!(place.read("results/a/say.out"), "hello world!\n");
    a.say(r#"{"type":"output","run":"RUN","file":"say.out","offset":14,"data":""}"#);
    a.hears(
        r#"{"type":"kept","run":"RUN","file":"say.out","length":13,"refused":"\"say.out\" continues at 14, but 13 bytes of it have come"}"#,
    );
}

#[test]
fn a_file_that_a_slave_does_not_ship_is_not_kept() {
    let place = Place::new("foreign-output");
    let (_run, address) = listen(&place, TEST);
    let (mut a, _b) = started(address);
    a.say(r#"{"type":"output","run":"RUN","file":"say.files/../../summary.json","offset":0,"data":""}"#);
    a.hears(
        r#"{"type":"kept","run":"RUN","file":"say.files/../../summary.json","length":0,"refused":"\"say.files/../../summary.json\": its name has an empty part, \".\" or \"..\""}"#,
    );
}

#[test]
fn a_gap_in_reports_ends_the_connection_and_a_repeated_report_is_recorded_once() {
    let place = Place::new("reports");
    let (_run, address) = listen(&place, TEST);
    let (mut a, _b) = started(address);
    for _ in 0..2 {
        a.say(r#"{"type":"report","run":"RUN","seq":1,"time":0,"event":"warning","text":"hot"}"#);
        a.hears(r#"{"type":"recorded","run":"RUN","seq":1}"#);
    }
    a.say(r#"{"type":"report","run":"RUN","seq":3,"time":0,"event":"warning","text":"hot"}"#);
    a.is_dismissed("malformed", "report 3 came after report 1", false);
    wait_for(SOON, "the report in the time line", || place.count("results", "warning") > 0);
    assert_eq!(place.count("results", "warning"), 1);
}

#[test]
fn a_resource_is_fetched_and_an_unknown_one_is_not() {
    let place = Place::new("resources");
    let (_run, address) = listen(&place, TEST);
    let mut a = Peer::slave(address, "a");
    a.say(r#"{"type":"fetch","run":"RUN","resource":"tool","offset":0}"#);
    a.hears(r#"{"type":"chunk","run":"RUN","resource":"tool","offset":0,"data":"ZWNobyB0b29sCg=="}"#);
    a.say(r#"{"type":"fetch","run":"RUN","resource":"tool","offset":10}"#);
    a.is_dismissed("malformed", "resource \"tool\" has 10 bytes, none at 10", false);

    let mut b = Peer::slave(address, "b");
    b.say(r#"{"type":"fetch","run":"RUN","resource":"rope","offset":0}"#);
    b.is_dismissed("malformed", "there is no resource \"rope\"", false);
}
