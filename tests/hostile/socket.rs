//! A slave's control socket: commands on the machine send bad requests.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::assert_harmless;
use crate::common::{Place, SOON, wait_for};
use crate::flood::nasty_lines;

/// A slave ticks until the run ends, with requests at the same socket.
const TEST: &str = r#"{
  "name": "socket", "end": { "trigger": "done", "limit": "60s" }, "triggers": { "done": 1, "tick": 1000000 },
  "schedules": { "s": [
    { "name": "ticks", "at": 0, "shell": "echo $ARETE_SOCKET >$PLACE/socket; until [ -e $PLACE/enough ]; do arete notify tick; sleep 0.05; done; arete notify done" }
  ] },
  "slaves": { "a": ["s"] }
}"#;

/// The number of connections with no request, or half a request, at the same time.
const SILENT: usize = 500;

#[test]
fn malformed_requests_to_a_slave_disturb_no_command() {
    let place = Place::new("socket");
    place.write("t.json", TEST);
    let program =
        place.arete(["run", "t.json", "--results", "results"]).env("PLACE", place.dir()).env("RUST_LOG", "debug");
    let run = program.deadline(Duration::from_secs(120)).start();
    wait_for(SOON, "the slave to tick", || place.count("results", "notified") > 3);
    let socket = place.read("socket");
    let connect = || {
        let stream = UnixStream::connect(socket.trim()).expect("the slave listens");
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream
    };
    let silent: Vec<_> = (0..SILENT)
        .map(|nr| {
            let mut stream = connect();
            if nr % 2 == 0 {
                let _ = stream.write_all(b"{\"type\":\"notify\",");
            }
            stream
        })
        .collect();
    let asks = [
        "{\"type\":\"poke\",\"entry\":\"\\u001b[2J\u{9b}\"}",
        "{\"type\":\"wait\",\"trigger\":\"\\u0000\"}",
        "{\"type\":\"notify\",\"trigger\":\"tick\",\"data\":[[[}",
        "{\"type\":\"barrier\",\"barrier\":\"../x\\n\",\"tag\":\"a/b\",\"party\":{\"count\":4294967295},\"timeout\":0}",
        "{\"type\":\"barrier\",\"barrier\":\"b\",\"party\":{\"count\":0},\"timeout\":1000}",
        "{\"type\":\"sync\",\"session\":\"s\",\"party\":{\"members\":[\"\\u001b\"]},\"timeout\":18446744073709551615,\"value\":1}",
    ];
    for line in nasty_lines().into_iter().chain(asks.map(|line| line.as_bytes().to_vec())) {
        let mut stream = connect();
        let _ = stream.write_all(&line);
        let _ = stream.write_all(b"\n");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // A line without an end, longer than any allowed line but that of a sync.
    let mut endless = connect();
    let _ = endless.write_all(&vec![b'x'; 200_000]);
    let mut answer = String::new();
    let _ = endless.read_to_string(&mut answer);
    assert!(answer.contains("a line is longer than 131072 bytes"), "{answer}");
    let ticks = place.count("results", "notified");
    wait_for(SOON, "the slave to go on ticking", || place.count("results", "notified") > ticks + 3);
    drop(silent);
    place.write("enough", "");
    run.wait().exits_with(0);
    assert_eq!(place.summary("results")["verdict"], "passed");
    assert_harmless("the slave's log", &place.read("results/a/arete.log"));
    place.assert_nothing_left();
}
