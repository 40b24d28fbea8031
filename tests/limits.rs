//! The limits on what members give: the member that exceeds one learns which, the total can be raised, and the
//! controller keeps to its memory if a peer does not read.

#![forbid(unsafe_code)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use common::{Place, Running, SOON};

const MIB: usize = 1024 * 1024;

/// The memory that the controller may use in addition to that for its members, in bytes: its own, and one line that is
/// being read.
const OVERHEAD: usize = 24 * MIB;

/// A controller without a run, and its address.
fn controller<'a>(place: &'a Place, options: &[&str]) -> (Running<'a>, String) {
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0"].iter().chain(options)).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    (controller, address)
}

/// `arete sync s` of a member with others.
fn sync<'a>(place: &'a Place, address: &str, name: &str, members: &str, data: &str) -> Running<'a> {
    let words = ["sync", "s", "--room", "other", "--controller", address];
    place.arete(words.iter().chain(&["--as", name, "--members", members, "--data", data])).start()
}

/// The path of a file with a JSON string of `length` bytes, after an `@`.
fn value(place: &Place, length: usize) -> String {
    let path: PathBuf = place.write(&format!("{length}.json"), text(length));
    format!("@{}", path.display())
}

fn text(length: usize) -> String {
    format!("\"{}\"", "x".repeat(length - 2))
}

/// The peak memory of a process, in bytes.
fn peak(running: &Running<'_>) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts memory");
    line.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok()).expect("a number of KiB") * 1024
}

/// A client that the test plays, in the room "r".
struct Peer {
    reader: BufReader<TcpStream>,
    member: String,
}

impl Peer {
    fn join(address: &str, member: &str, incarnation: &str) -> Peer {
        let stream = TcpStream::connect(address).expect("the controller accepts");
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        let mut peer = Peer { reader: BufReader::new(stream), member: member.to_owned() };
        let who = format!(r#""incarnation":"{incarnation}","room":"r","member":"{member}""#);
        peer.say(&format!(r#"{{"type":"join","protocol":1,"version":"x",{who}}}"#));
        assert!(peer.next().starts_with("{\"type\":\"welcome\""));
        peer
    }

    fn say(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\n").as_bytes()).expect("the controller reads");
    }

    fn give(&mut self, id: usize, count: usize, value: &str) {
        let who = format!(r#""room":"r","session":"s{id}","id":{id},"member":"{}""#, self.member);
        self.say(&format!(r#"{{"type":"give",{who},"party":{{"count":{count}}},"value":{value}}}"#));
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("the controller sends a line");
        line
    }

    /// The next message that is not a check.
    fn hears(&mut self) -> String {
        std::iter::repeat_with(|| self.next()).find(|line| !line.starts_with("{\"type\":\"check\"")).unwrap()
    }
}

#[test]
fn a_member_that_fills_the_memory_is_refused_while_others_meet_and_the_limit_holds() {
    let place = Place::new("memory");
    let memory = 64 * MIB;
    let (controller, address) = controller(&place, &["--value-max", "4MiB", "--memory-max", "64MiB"]);
    let long = text(4 * MIB);
    // Each value is held twice, alone and for its map, and a sixteenth is reserved for small things.
    let mut all: Vec<Peer> = (1..=8)
        .map(|id| {
            let mut peer = Peer::join(&address, &format!("g{id}"), &format!("g{id}"));
            peer.give(id, 2, &long);
            peer
        })
        .collect();
    let greedy = &mut all[7];
    let refused = greedy.hears();
    assert!(refused.contains("\"refused\"") && refused.contains("67108864 bytes of its members (--memory-max)"));
    assert!(refused.ends_with("\"ids\":[8]}\n"), "{refused}");
    let others = ["a", "b"].map(|name| sync(&place, &address, name, "a,b", name));
    for other in others {
        assert_eq!(other.wait().exits_with(0).stdout, "{\"a\":\"a\",\"b\":\"b\"}\n");
    }
    let peak = peak(&controller);
    eprintln!("the controller held {peak} bytes at most");
    assert!(peak < memory + OVERHEAD, "the controller held {peak} bytes");
}

#[test]
fn unread_and_unconfirmed_maps_count_and_a_returning_member_gets_its_verdict() {
    let place = Place::new("unread");
    let memory = 64 * MIB;
    let (controller, address) = controller(&place, &["--value-max", "4MiB", "--memory-max", "64MiB"]);
    let long = text(4 * MIB);
    let mut deaf = Peer::join(&address, "d", "d");
    for id in 1..=60 {
        deaf.give(id, 1, &long);
        // It confirms a message that it has not read: the bytes are still queued for it.
        if id % 2 == 0 {
            deaf.say(&format!(r#"{{"type":"heard","room":"r","ids":[{id}]}}"#));
        }
    }
    let others = ["a", "b"].map(|name| sync(&place, &address, name, "a,b", name));
    for other in others {
        other.wait().exits_with(0);
    }
    let peak = peak(&controller);
    eprintln!("the controller held {peak} bytes at most");
    assert!(peak < memory + OVERHEAD, "the controller held {peak} bytes");
    // It reads some bytes, its connection ends in the middle of one map, and its next connection gets that map and the
    // rest.
    assert!(deaf.hears().contains("\"session\":\"s1\""));
    drop(deaf);
    let mut back = Peer::join(&address, "d", "d");
    let id = 1;
    back.give(id, 1, &long);
    let map = back.hears();
    assert!(map.contains(&format!("\"session\":\"s{id}\"")) && map.len() > 4 * MIB, "{}", map.len());
    let verdict = back.hears();
    assert!(verdict.contains("released") && verdict.ends_with(&format!("\"ids\":[{id}]}}\n")), "{verdict}");
    back.say(&format!(r#"{{"type":"heard","room":"r","ids":[{id}]}}"#));
}

#[test]
fn a_value_of_exactly_the_limit_passes_and_one_byte_more_is_refused_by_name() {
    let place = Place::new("exact");
    let (_controller, address) = controller(&place, &[]);
    let most = 4 * MIB;
    let ended = sync(&place, &address, "a", "a", &value(&place, most)).wait().exits_with(0);
    assert_eq!(ended.stdout.len(), most + "{\"a\":}\n".len());
    let more = sync(&place, &address, "a", "a", &value(&place, most + 1)).wait().exits_with(1);
    more.complains(&["a value has at most 4194304 bytes (--value-max of the controller), this one has 4194305"]);
    // Longer than a line may be, too.
    let far_more = sync(&place, &address, "a", "a", &value(&place, 34 * MIB)).wait().exits_with(1);
    far_more.complains(&["a value has at most 4194304 bytes (--value-max of the controller), this one has more"]);
}

#[test]
fn the_values_of_a_session_have_a_limit_and_it_is_named() {
    let place = Place::new("session");
    let (_controller, address) = controller(&place, &["--session-max", "3KiB"]);
    let (mut a, mut b) = (Peer::join(&address, "a", "a"), Peer::join(&address, "b", "b"));
    a.give(1, 2, &text(2048));
    a.say(r#"{"type":"ping","time":1}"#);
    assert!(a.hears().starts_with("{\"type\":\"pong\""), "the earlier lines were processed");
    b.give(1, 2, &text(1025));
    let refused = b.hears();
    assert!(refused.contains("at most 3072 bytes together (--session-max of the controller); 2048 bytes were given"));
    let who = r#""room":"r","session":"s1","id":2,"member":"b""#;
    b.say(&format!(r#"{{"type":"give",{who},"party":{{"count":2}},"value":{}}}"#, text(1024)));
    for peer in [&mut a, &mut b] {
        assert!(peer.hears().starts_with("{\"type\":\"map\""));
        assert!(peer.hears().contains("released"));
    }
}

#[test]
fn limits_can_be_raised_for_members_by_hand() {
    let place = Place::new("raised");
    let (_controller, address) = controller(&place, &["--value-max", "32MiB"]);
    let data = value(&place, 20 * MIB);
    let members = ["a", "b"].map(|name| sync(&place, &address, name, "a,b", &data));
    let [first, second] = members.map(|member| member.wait().exits_with(0).stdout);
    assert!(first == second && first.len() == 40 * MIB + "{\"a\":,\"b\":}\n".len(), "{}", first.len());
}

#[test]
fn limits_can_be_raised_for_the_slaves_of_a_run() {
    let place = Place::new("raised-run");
    let data = value(&place, 20 * MIB);
    let command = format!("arete sync s --members a,b --data {data} | wc -c");
    place.write(
        "t.json",
        serde_json::json!({
            "name": "raised", "end": { "idle": true, "limit": "1min" },
            "schedules": { "s": [{ "name": "gives", "at": 0, "shell": command }] },
            "slaves": { "a": ["s"], "b": ["s"] }
        })
        .to_string(),
    );
    place.arete(["run", "t.json", "--results", "results", "--value-max", "32MiB"]).run().exits_with(0);
    for slave in ["a", "b"] {
        assert_eq!(place.read(format!("results/{slave}/gives.out")).trim(), "41943052");
    }
}

#[test]
fn a_limit_that_no_controller_can_have_is_wrong_usage() {
    let place = Place::new("too-much");
    for words in [["--value-max", "2GiB"], ["--session-max", "3GiB"], ["--memory-max", "0"]] {
        let wrong = place.arete(["controller", "--listen", "127.0.0.1:0"].iter().chain(&words)).run();
        wrong.exits_with(2).complains(&["write a size above 0, such as 65536, 64KiB or 16MiB"]);
    }
}
