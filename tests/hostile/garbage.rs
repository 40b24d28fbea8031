//! Random bytes at the port of a run's controller.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::{Place, SOON, wait_for};
use crate::{is_open, listening, memory};

/// The most memory that the controller may use, in KiB: a few MiB for itself, 64 KiB for the line of each stranger.
const MEMORY_MAX_KIB: u64 = 64 * 1024;

/// The number of strangers that send nothing, or half a line, at the same time.
const SILENT: usize = 500;

/// The limit on one step of the slave while strangers send, in seconds.
const STEP_MAX: f64 = 0.5;

/// A slave ticks until the run ends. Each tick is a run of an entry, and appears in the events.
const TEST: &str = r#"{
  "name": "hostile",
  "end": { "trigger": "done", "limit": "60s" },
  "triggers": { "done": 1, "tick": 1000000 },
  "schedules": { "s": [
    { "name": "ticks", "at": 0, "shell": "until [ -e $ENOUGH ]; do arete notify tick; sleep 0.05; done; arete notify done" }
  ] },
  "slaves": { "a": ["s"] }
}"#;

/// Sends `words` as a stranger. Waits until the controller closes the connection, unless they could be the beginning
/// of a line.
fn stranger(address: &str, words: &[u8], hears_the_end: bool) {
    let mut stream = TcpStream::connect(address).expect("the controller accepts");
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    // The controller may close the connection before it has read all words.
    let _ = stream.write_all(words);
    let mut answer = Vec::new();
    if hears_the_end {
        let end = stream.read_to_end(&mut answer);
        let waited = end.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        assert!(!waited, "the controller keeps a connection that says {:?}", String::from_utf8_lossy(&words[..20]));
    }
}

#[test]
fn garbage_on_the_port_disturbs_no_run() {
    let place = Place::new("hostile");
    place.write("t.json", TEST);
    let args = ["run", "t.json", "--listen", "127.0.0.1:0", "--results", "results"];
    let mut controller = place.arete(args).deadline(Duration::from_secs(120)).start();
    let address = &listening(&mut controller);
    let slave = place.arete(["slave", "--controller", address, "--name", "a", "--once", "--dir", "work/a"]);
    let slave = slave.env("ENOUGH", place.path("enough")).start();
    wait_for(SOON, "the slave to tick", || place.count("results", "notified") > 3);

    let binary: Vec<u8> = (0..200_000u32).map(|nr| (nr.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let endless = vec![b'x'; 1 << 20];
    let deep = [b"{\"type\":\"hello\",\"name\":".as_slice(), &vec![b'['; 60_000], b"\n"].concat();
    let silent: Vec<_> = (0..SILENT)
        .map(|nr| {
            let mut stream = TcpStream::connect(address).expect("the controller accepts");
            if nr % 2 == 0 {
                let _ = stream.write_all(&vec![b'{'; 60_000]);
            }
            stream
        })
        .collect();
    for _ in 0..5 {
        stranger(address, b"GET / HTTP/1.1\r\nHost: lab\r\nAccept: */*\r\n\r\n", true);
        stranger(address, &binary, true);
        stranger(address, &endless, true);
        stranger(address, &deep, true);
        stranger(address, b"{\"type\":\"notify\",\"room\":\"x\",\"trigger\":\"done\",\"count\":1}\n", true);
        stranger(address, b"{\"type\":\"hel", false);
    }
    let ticks = place.count("results", "notified");
    wait_for(SOON, "the slave to go on ticking", || place.count("results", "notified") > ticks + 3);
    let begin = Instant::now();
    let still_open = || silent.iter().filter(|stream| is_open(stream)).count();
    wait_for(SOON, "the silent strangers to be turned away", || still_open() == 0);
    eprintln!("the last silent stranger was turned away after another {:?}", begin.elapsed());
    let (now, peak) = (memory(controller.pid(), "VmRSS:"), memory(controller.pid(), "VmHWM:"));
    eprintln!("the controller holds {now} KiB, at most it held {peak} KiB");
    assert!(peak < MEMORY_MAX_KIB, "the controller held {peak} KiB");

    place.write("enough", "");
    controller.wait().exits_with(0);
    slave.wait().exits_with(0);
    assert_ticks_were_steady(&place);
    assert_eq!(place.summary("results")["verdict"], "passed");
    assert_eq!(place.count("results", "disconnected"), 0);
    place.assert_nothing_left();
}

fn assert_ticks_were_steady(place: &Place) {
    let events = place.events("results");
    let ticks = events.iter().filter(|event| event["event"] == "notified");
    let times: Vec<_> = ticks.filter_map(|event| event["t"].as_f64()).collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    eprintln!("{} ticks, the longest pause between two was {longest:.3} s", times.len());
    assert!(longest < STEP_MAX, "a step took {longest:.3} s");
}
