//! Peers that request more than they read, and lines that are not messages.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::{Place, SOON, wait_for};
use crate::good::Good;
use crate::{connect, controller, ends_well, half_close, is_answered, join, memory};

const MIB: usize = 1024 * 1024;

const MEETING: Duration = Duration::from_millis(1500);
const TURN: Duration = Duration::from_millis(700);

/// The memory that a controller may use in addition to the limit for its members, in KiB.
const OVERHEAD_KIB: u64 = 48 * 1024;

/// A client that the test plays.
struct Peer(BufReader<TcpStream>);

impl Peer {
    fn join(address: &str, room: &str, member: &str) -> Peer {
        let mut peer = Peer(BufReader::new(connect(address)));
        peer.say(&join(room, member, member));
        assert!(peer.hear().starts_with("{\"type\":\"welcome\""));
        peer
    }

    fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(line.as_bytes()).expect("the controller reads");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the controller sends a line");
        line
    }

    /// Sends a line again and again, and reads nothing, until the controller closes the connection.
    fn floods(mut self, line: &str) {
        let many = line.repeat(64 * 1024 / line.len());
        let begin = Instant::now();
        while self.0.get_mut().write_all(many.as_bytes()).is_ok() {
            assert!(begin.elapsed() < SOON, "it is not hung up on");
        }
    }
}

/// Lines that are not messages, or are messages with absurd values. Each is read as a first message and as a later
/// one.
pub fn nasty_lines() -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = [
        "",
        "GET / HTTP/1.1",
        "{}",
        "[]",
        "null",
        "\"type\"",
        "{\"type\":null}",
        "{\"type\":\"\"}",
        "{\"type\":\"no\\u0000such\"}",
        "{\"type\":\"ping\"}",
        "{\"type\":\"ping\",\"time\":-1}",
        "{\"type\":\"ping\",\"time\":1e999}",
        "{\"type\":\"ping\",\"time\":18446744073709551616}",
        "{\"type\":\"ping\",\"time\":18446744073709551615}",
        "{\"type\":\"ping\",\"time\":1,\"time\":2}",
        "{\"type\":\"ping\",\"type\":\"pong\",\"time\":1}",
        "{\"type\":\"ping\",\"time\":1} {\"type\":\"ping\",\"time\":1}",
        "{\"type\":\"pong\",\"time\":18446744073709551615,\"now\":18446744073709551615}",
        "{\"type\":\"pong\",\"time\":0,\"now\":0}",
        "{\"type\":\"hello\",\"protocol\":4294967296,\"version\":\"x\",\"name\":\"a\",\"incarnation\":\"i\"}",
        "{\"type\":\"hello\",\"protocol\":1,\"version\":\"\\u001b[2J\",\"name\":\"../../etc\",\"incarnation\":\"i\\n\"}",
        "{\"type\":\"join\",\"protocol\":1,\"version\":\"x\",\"incarnation\":\"i\",\"room\":\"../x\",\"member\":\"a/b\"}",
        "{\"type\":\"join\",\"protocol\":2,\"version\":\"\\u009b2J\",\"incarnation\":\"i\",\"room\":\"r\"}",
        "{\"type\":\"join\",\"protocol\":1,\"version\":\"x\",\"incarnation\":\"\",\"room\":\"r\"}",
        "{\"type\":\"notify\",\"room\":\"r\",\"trigger\":\"t\",\"count\":18446744073709551615}",
        "{\"type\":\"notify\",\"room\":\"r\",\"trigger\":\"\\u001b]0;x\\u0007\",\"count\":1}",
        "{\"type\":\"create\",\"room\":\"r\",\"trigger\":\"a\\nb\",\"count\":0}",
        "{\"type\":\"watch\",\"room\":\"r\",\"trigger\":\"\\ud800\"}",
        "{\"type\":\"arrive\",\"room\":\"r\",\"barrier\":\"b\",\"id\":18446744073709551615,\"member\":\"m\",\"timeout\":18446744073709551615,\"fresh\":18446744073709551615,\"party\":{\"count\":4294967295}}",
        "{\"type\":\"arrive\",\"room\":\"r\",\"barrier\":\"\\u001b[31m\",\"id\":1,\"member\":\"m\",\"party\":{\"count\":0}}",
        "{\"type\":\"arrive\",\"room\":\"r\",\"barrier\":\"b\",\"id\":0,\"member\":\"m\",\"party\":{\"members\":[]}}",
        "{\"type\":\"give\",\"room\":\"r\",\"session\":\"s\",\"id\":1,\"member\":\"m\",\"party\":{\"members\":[\"m\",\"m\"]},\"value\":1}",
        "{\"type\":\"gone\",\"room\":\"r\",\"ids\":[0,1,18446744073709551615]}",
        "{\"type\":\"heard\",\"room\":\"r\",\"ids\":[-1]}",
        "{\"type\":\"report\",\"run\":\"r\",\"seq\":18446744073709551615,\"time\":0,\"what\":\"idle\",\"heard\":0}",
        "{\"type\":\"output\",\"run\":\"r\",\"file\":\"../../x\",\"offset\":18446744073709551615,\"data\":\"AA==\"}",
        "{\"type\":\"fetch\",\"run\":\"r\",\"resource\":\"/etc/passwd\",\"offset\":18446744073709551615}",
        "{\"type\":\"state\",\"run\":\"r\",\"notified\":{\"t\":18446744073709551615},\"triggered\":[]}",
        "{\"type\":\"bye\",\"reason\":\"\\u001b[2J\\u009b\\r\\n\",\"fatal\":true}",
    ]
    .map(|line| line.as_bytes().to_vec())
    .to_vec();
    lines.push(b"{\"type\":\"ping\",\"time\":1,\"\xff\xfe\":\"\xc3\x28\"}".to_vec());
    lines.push(b"{\"type\":\"ping\",\"time\":1,\"x\":\"\0\"}\0\0\0".to_vec());
    lines.push(vec![0; 10_000]);
    lines.push(
        [b"{\"type\":\"ping\",\"time\":1,\"x\":".as_slice(), &vec![b'['; 50_000], &vec![b']'; 50_000], b"}"].concat(),
    );
    lines.push([b"{\"type\":\"ping\",\"time\":1,\"x\":".as_slice(), &b"{\"a\":".repeat(10_000)].concat());
    let give = b"{\"type\":\"give\",\"room\":\"r\",\"session\":\"deep\",\"id\":7,\"member\":\"m\",\"party\":{\"count\":1},\"value\":";
    lines.push([give.as_slice(), &vec![b'['; 400_000], &vec![b']'; 400_000], b"}"].concat());
    let members = (0..20_000).map(|nr| format!("\"m{nr}\"")).collect::<Vec<_>>().join(",");
    let arrive =
        "{\"type\":\"arrive\",\"room\":\"r\",\"barrier\":\"many\",\"id\":8,\"member\":\"m\",\"party\":{\"members\":[";
    lines.push(format!("{arrive}{members}]}}}}").into_bytes());
    let keys = (0..5_000).map(|nr| format!("\"k{}\":{nr},", nr % 7)).collect::<String>();
    lines.push(format!("{{\"type\":\"ping\",{keys}\"time\":1}}").into_bytes());
    lines
}

#[test]
fn absurd_lines_end_at_most_their_connection() {
    let place = Place::new("madman");
    let (controller, address) = controller(&place, &[]);
    let good = Good::start(&address);
    for (nr, line) in nasty_lines().iter().enumerate() {
        for first in ["", &join("r", "m", &format!("i{nr}"))] {
            let mut stream = connect(&address);
            let _ = stream.write_all(first.as_bytes());
            let _ = stream.write_all(line);
            let _ = stream.write_all(b"\n");
            half_close(&stream);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
        }
    }
    let refused = is_answered(&address, b"{\"type\":\"ping\",\"time\":1}\n");
    assert!(refused.contains("the first message must be a hello, a join or an operate"), "{refused}");
    good.go_on(20);
    good.were_undisturbed(MEETING);
    ends_well(controller, TURN);
}

#[test]
fn a_peer_that_requests_much_and_reads_nothing_is_dropped_and_can_return() {
    let place = Place::new("greedy");
    let (controller, address) = controller(&place, &[]);
    let good = Good::start(&address);
    let mut greedy = Peer::join(&address, "r", "greedy");
    greedy.say("{\"type\":\"create\",\"room\":\"r\",\"trigger\":\"t\",\"count\":14}\n");
    let data = "x".repeat(60 * 1024);
    for count in 1..=14 {
        greedy.say(&format!(
            "{{\"type\":\"notify\",\"room\":\"r\",\"trigger\":\"t\",\"count\":{count},\"data\":\"{data}\"}}\n"
        ));
    }
    let watch = "{\"type\":\"watch\",\"room\":\"r\",\"trigger\":\"t\"}\n";
    greedy.floods(watch);
    let mut lister = Peer::join(&address, "many", "lister");
    for nr in 0..5_000 {
        lister.say(&format!("{{\"type\":\"create\",\"room\":\"many\",\"trigger\":\"{nr:060}\",\"count\":1}}\n"));
        lister.hear();
    }
    let list = "{\"type\":\"list\",\"room\":\"many\"}\n";
    lister.floods(list);
    let peak = memory(controller.pid(), "VmHWM:");
    assert!(peak < OVERHEAD_KIB, "the controller held {peak} KiB");
    let mut back = Peer::join(&address, "r", "greedy");
    back.say(watch);
    let heard = back.hear();
    assert!(heard.starts_with("{\"type\":\"triggered\"") && heard.len() > 14 * 60 * 1024, "{}", heard.len());
    let mut back = Peer::join(&address, "many", "lister");
    back.say(list);
    assert!(back.hear().starts_with("{\"type\":\"listing\""));
    good.were_undisturbed(MEETING);
    ends_well(controller, TURN);
}

#[test]
fn a_member_that_stops_reading_a_large_map_is_dropped_and_returns_for_it() {
    let place = Place::new("stops");
    let (controller, address) = controller(&place, &["--value-max", "16MiB"]);
    let good = Good::start(&address);
    let value = "x".repeat(8 * MIB - 2);
    let give = |member: &str| {
        let who = format!(r#""room":"r","session":"s","id":1,"member":"{member}","timeout":600000000"#);
        format!("{{\"type\":\"give\",{who},\"party\":{{\"count\":2}},\"value\":\"{value}\"}}\n")
    };
    let [mut stops, mut reads] = ["stops", "reads"].map(|name| Peer::join(&address, "r", name));
    stops.say(&give("stops"));
    reads.say(&give("reads"));
    let mut some = vec![0; MIB];
    stops.0.read_exact(&mut some).expect("the map begins");
    loop {
        let line = reads.hear();
        assert!(!line.is_empty(), "a peer that reads is served");
        if line.starts_with("{\"type\":\"check\"") {
            reads.say("{\"type\":\"alive\"}\n");
        } else if line.starts_with("{\"type\":\"verdict\"") {
            assert!(line.contains("released"), "{line}");
            break;
        }
    }
    let stream = stops.0.into_inner();
    // It continues to send signs of life, so the only reason to close its connection is that it does not read.
    wait_for(Duration::from_secs(75), "it to be dropped", || {
        std::thread::sleep(Duration::from_millis(100));
        (&stream).write_all(b"{\"type\":\"alive\"}\n").is_err()
    });
    let mut back = Peer::join(&address, "r", "stops");
    back.say(&give("stops"));
    let map = std::iter::repeat_with(|| back.hear()).find(|line| !line.starts_with("{\"type\":\"check\"")).unwrap();
    assert!(map.starts_with("{\"type\":\"map\"") && map.len() > 16 * MIB, "{}", map.len());
    assert!(back.hear().contains("released"));
    drop(stream);
    good.were_undisturbed(MEETING);
    ends_well(controller, TURN);
}
