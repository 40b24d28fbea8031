//! Garbage, floods, replays and forgeries against the nodes of a ring: the ring continues, and every node still
//! receives.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use arete::ring::message::{Body, Extra, MESSAGE_MAX, Message};
use arete::ring::seal::Key;
use arete::ring::token::{Fence, Token};
use common::ring::{ORIGINAL, Ring, assert_in_order, connect_from, free_ports};
use common::{Lab, Needed, Place, SOON, missing, python, repository, skip, wait_for};

/// The number of nodes in each ring.
const NODES: usize = 3;

/// The secret of the rings that have one.
const SECRET: &str = "the secret of this ring";

/// The most memory of a node, in KiB: two incomplete messages of the greatest length, and one that is being read.
const MEMORY_MAX_KIB: u64 = 160 * 1024;

/// The most processor time of a node with only silent strangers and its ring, as a part of one processor.
const BUSY_MAX: f64 = 0.2;

/// The time for which that is measured.
const MEASURED_FOR: Duration = Duration::from_secs(2);

/// The number of silent connections: more than a node keeps.
const SILENT: usize = 500;

fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 78, node as u8 + 1)
}

/// The address of the strangers.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 78, 99);

/// A ring on the loopback interface, and connections to it.
struct Target<'a> {
    ring: Ring<'a>,
    port: u16,
}

impl<'a> Target<'a> {
    fn start(place: &'a Place, name: &str, options: &str) -> Target<'a> {
        let (port, state_port) = free_ports();
        let options: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
        let ring = Ring::new(place, name, move |node| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_arete"));
            let fixed = format!(
                "ring --interface lo --address {} --udp-port {port} --tcp-port {port} --state-port {state_port} {ORIGINAL} \
                 --hold 100ms --id {node}",
                address(node)
            );
            command.args(fixed.split_whitespace()).args(&options);
            command
        });
        let target = Target { ring: ring.start_all(0..NODES), port };
        target.ring.wait_until_all_work(SOON, 0, &[0, 1, 2]);
        target
    }

    fn casts(&self, bytes: &[u8]) {
        let voice = UdpSocket::bind((STRANGER, 0)).expect("the address is one of loopback");
        voice.set_broadcast(true).expect("a socket may broadcast");
        voice.send_to(bytes, ("127.255.255.255", self.port)).expect("loopback takes broadcasts");
        (0..NODES).for_each(|node| drop(voice.send_to(bytes, (address(node), self.port))));
    }

    fn connects(&self, node: usize) -> TcpStream {
        let stream = connect_from(STRANGER, SocketAddr::from((address(node), self.port)));
        stream.set_write_timeout(Some(SOON)).expect("a stream has a timeout");
        stream
    }

    /// Sends bytes to each node, on separate connections. A node may close its connection before it has read
    /// everything.
    fn posts(&self, bytes: &[u8]) {
        (0..NODES).for_each(|node| drop(self.connects(node).write_all(bytes)));
    }

    /// Waits until the ring has made two rounds. If `undisturbed`, checks that it still has the same token.
    #[track_caller]
    fn goes_on(&self, what: &str, undisturbed: bool) {
        let from = self.ring.steps().len();
        let what = format!("the ring to go on after {what}");
        let enough = from + 2 * NODES + 1;
        let steps = self.ring.wait_for_steps(SOON, &what, |steps| steps.len() >= enough);
        if undisturbed {
            assert_in_order(&steps[from.saturating_sub(1)..], NODES);
        }
        self.ring.wait_until_all_work(SOON, from, &[0, 1, 2]);
        (0..NODES).for_each(|node| self.ring.assert_runs(node));
    }

    /// A memory figure of a node, in KiB.
    fn memory(&self, node: usize, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.ring.pid(node))).expect("the node runs");
        let line = status.lines().find(|line| line.starts_with(what)).expect("the kernel counts memory");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
    }

    /// The processor time that a node has used.
    fn busy(&self, node: usize) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/schedstat", self.ring.pid(node))).expect("the node runs");
        let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("it begins with the time");
        Duration::from_nanos(nanos)
    }

    /// Fails the test if a node spins, or uses too much memory.
    #[track_caller]
    fn assert_calm(&self) {
        let (begin, busy) = (Instant::now(), [0, 1, 2].map(|node| self.busy(node)));
        wait_for(SOON, "the measurement", || begin.elapsed() >= MEASURED_FOR);
        for (node, before) in busy.into_iter().enumerate() {
            let part = (self.busy(node) - before).as_secs_f64() / begin.elapsed().as_secs_f64();
            let (now, peak) = (self.memory(node, "VmRSS:"), self.memory(node, "VmHWM:"));
            eprintln!("node {node} uses {part:.3} of a processor, holds {now} KiB, at most it held {peak} KiB");
            assert!(part < BUSY_MAX, "node {node} uses {part:.3} of a processor");
            assert!(peak < MEMORY_MAX_KIB, "node {node} held {peak} KiB");
        }
    }
}

/// The secret in a file.
fn key_file(place: &Place) -> String {
    let path = place.write("ring.key", SECRET);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    path.display().to_string()
}

/// Bytes that are not a message, or are a message without a meaning.
fn garbage() -> Vec<Vec<u8>> {
    let here = r#"{"serial_code":328067,"type":"token is here","author_node_id":"z","token":{"serial_code":407246,"progress":99,"author_node_id":"z","author_token_revision":7}}"#;
    let binary = (0..65_507u32).map(|nr| (nr.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let deep =
        [br#"{"serial_code":581831,"type":"ping","author_node_id":"z","arete":"#.as_slice(), &[b'['; 60_000]].concat();
    let changed = |from: &str, to: &str| here.replace(from, to).into_bytes();
    let long_id = changed("\"z\"", &format!("\"{}\"", "z".repeat(65)));
    vec![
        Vec::new(),
        b"\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: ring\r\n\r\n".to_vec(),
        binary,
        vec![b'a'; 65_507],
        vec![b'['; 65_507],
        deep,
        here.as_bytes()[..40].to_vec(),
        changed("328067", "328068"),
        changed("407246", "-407246"),
        changed("328067", "1e999"),
        changed("token is here", "token is gone"),
        changed("99", "18446744073709551616"),
        changed("\"z\"", "\"\""),
        changed("\"z\"", "\"\\u001b[2J\""),
        changed("\"z\"", "\"\\ud800\""),
        long_id,
    ]
}

#[test]
fn garbage_disturbs_no_ring() {
    for (name, options) in [("plain", ""), ("compat", "--compat"), ("members", "--members 3")] {
        let place = Place::new("ring-garbage");
        let target = Target::start(&place, name, options);
        for _ in 0..20 {
            for bytes in garbage() {
                target.casts(&bytes);
                target.posts(&bytes);
            }
        }
        target.goes_on("garbage", name != "compat");
        target.assert_calm();
        let said: String = (0..NODES).map(|node| target.ring.log(node)).collect();
        assert!(!said.contains('\x1b') && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn strangers_that_are_slow_silent_or_never_end_disturb_no_ring() {
    let place = Place::new("ring-strangers");
    let target = Target::start(&place, "strangers", "--members 3");
    let silent: Vec<TcpStream> = (0..SILENT).map(|nr| target.connects(nr % NODES)).collect();
    let half: Vec<TcpStream> = (0..30).map(|nr| target.connects(nr % NODES)).collect();
    thread::scope(|scope| {
        // Byte by byte, with pauses.
        for mut stream in half {
            scope.spawn(move || {
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_secs(4) && stream.write_all(b"{").is_ok() {
                    thread::sleep(Duration::from_millis(500));
                }
            });
        }
        // A message of the greatest length, a longer one, and one without an end.
        for size in [MESSAGE_MAX - 1, MESSAGE_MAX + 1, 4 * MESSAGE_MAX] {
            let target = &target;
            let mut streams: Vec<TcpStream> = (0..NODES).map(|node| target.connects(node)).collect();
            scope.spawn(move || {
                let chunk = vec![b'x'; 1 << 20];
                for _ in 0..size >> 20 {
                    streams.retain_mut(|stream| stream.write_all(&chunk).is_ok());
                }
            });
        }
        // Connections that end with a reset, because of unread bytes, or at once.
        for nr in 0..300 {
            let stream = target.connects(nr % NODES);
            let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
            let _ = (&stream).write_all(&b"{\"serial_code\":581831,"[..nr % 20]);
        }
        target.goes_on("strangers have come", false);
    });
    target.goes_on("strangers have left", false);
    target.assert_calm();
    drop(silent);
    target.goes_on("all have left", true);
}

/// Data with a million objects, which needs more memory than its length.
#[test]
fn messages_that_are_expensive_to_read_disturb_no_ring() {
    let place = Place::new("ring-dear");
    let target = Target::start(&place, "dear", "");
    let nodes: String = (0..700_000).map(|nr| format!("\"{nr}\":\"\",")).collect();
    let token = r#"{"serial_code":407246,"progress":99,"author_node_id":"z","author_token_revision":7}"#;
    let begin =
        format!(r#"{{"serial_code":137344,"type":"take token","author_node_id":"z","token":{token},"nodes":{{{nodes}"#);
    let wrong_at_the_end = format!(r#"{begin}"z":""}},"data":"" oops"#);
    let zeros = "\"\\u0000\",".repeat(2_000_000);
    let numbers = format!(r#"{{"serial_code":581831,"type":"ping","author_node_id":"z","more":[{zeros}0]}}"#);
    for text in [&wrong_at_the_end, &numbers] {
        target.posts(text.as_bytes());
        target.goes_on("a message that is dear to read", false);
    }
    target.assert_calm();
}

/// The strongest token, which no node has made.
fn forged(kind: &str, from: &str, to: Option<&str>, epoch: u64) -> Message {
    let token = Token::new(1_000_000, "zzz", 1_000_000);
    let fence = Fence { epoch, hop: 1_000 };
    let body = match kind {
        "token is here" => Body::TokenIsHere(token),
        "generating token" => Body::GeneratingToken(token),
        _ => Body::TakeToken { token, nodes: Default::default(), data: "stolen".into() },
    };
    let to = to.map(str::to_owned);
    let extra = Extra { boot: 1, nr: 1, fence, granted: epoch, to, beat: Some(1), ..Extra::default() };
    Message { author: from.into(), body, extra: Some(extra) }
}

const FORGERIES: [&str; 3] = ["token is here", "generating token", "take token"];

#[test]
fn with_a_secret_no_forgery_is_accepted() {
    let place = Place::new("ring-forged-sealed");
    let target = Target::start(&place, "sealed", &format!("--key-file {}", key_file(&place)));
    let from = target.ring.steps().len() - 1;
    let (ours, other) = (Key::new(SECRET.into()), Key::new(b"another secret than theirs".to_vec()));
    for round in 0..40 {
        for kind in FORGERIES {
            for author in ["zzz", "0", "1"] {
                // Also one that a node could have sent long ago, with the right secret.
                for key in [None, Some(&other), (author != "zzz").then_some(&ours)] {
                    target.casts(&forged(kind, author, None, 1_000).encode(key));
                    for to in 0..NODES {
                        let message = forged(kind, author, Some(&to.to_string()), 1_000 + round).encode(key);
                        let _ = target.connects(to).write_all(&message);
                    }
                }
            }
        }
    }
    target.goes_on("forgeries", true);
    let steps = target.ring.steps();
    assert_in_order(&steps[from..], NODES);
    assert!(!steps.iter().any(|step| step.data.contains("stolen")));
    target.assert_calm();
}

#[test]
fn without_a_secret_a_forgery_costs_a_while_and_no_node() {
    let place = Place::new("ring-forged");
    let target = Target::start(&place, "forged", "");
    for round in 1..=3 {
        for kind in FORGERIES {
            target.casts(&forged(kind, "zzz", None, round * 1_000).encode(None));
            target.posts(&forged(kind, "zzz", Some("1"), round * 1_000).encode(None));
        }
        target.goes_on("forgeries", false);
    }
    // The last epoch cannot be forged either. Otherwise there would never be another token.
    for kind in FORGERIES {
        target.casts(&forged(kind, "zzz", None, u64::MAX).encode(None));
        target.posts(&forged(kind, "zzz", Some("1"), u64::MAX).encode(None));
    }
    target.goes_on("the last epoch", false);
    target.assert_calm();
}

#[test]
fn replayed_messages_are_received_and_have_no_effect() {
    let test = "replayed_messages_are_received_and_have_no_effect";
    if let Some(why) = missing(&["python3"]) {
        return skip(test, &why, Needed::InCi);
    }
    let Some(lab) = Lab::new(test, &["a"]) else { return };
    let place = Place::new("ring-replay");
    let key = key_file(&place);
    for (name, options) in [("sealed", format!("--key-file {key}")), ("members", "--members 3".to_owned())] {
        // All on the loopback interface of one host, so that one socket receives all messages.
        let options: Vec<String> =
            format!("{ORIGINAL} --hold 100ms {options}").split_whitespace().map(str::to_owned).collect();
        let ring = Ring::new(&place, name, |node| {
            let mut command = lab.arete("a");
            command.args([
                "ring",
                "--interface",
                "lo",
                "--address",
                &address(node).to_string(),
                "--id",
                &node.to_string(),
            ]);
            command.args(&options);
            command
        });
        let replay = |verb: &str| {
            let mut command = lab.command("a", python().get_program());
            let record = place.path(format!("{name}.record"));
            command.arg("-I").arg(repository().join("tests/ring/replay.py")).arg(verb).arg(record);
            command.args(["23912", "8239"]);
            place.program(command)
        };
        let mut recorder = replay("record").start();
        recorder.wait_for_output("listening");
        let ring = ring.start_all(0..NODES);
        ring.wait_for_steps(SOON, "some rounds", |steps| steps.len() >= 4 * NODES);
        recorder.signal(rustix::process::Signal::INT);
        let said = recorder.wait().exits_with(0).stdout;
        assert!(said.contains(" take token") && said.contains(" token is here"), "it has recorded {said}");
        // One node restarts meanwhile, and knows no other node.
        ring.signal(1, rustix::process::Signal::KILL);
        ring.start(1);
        ring.wait_until_all_work(SOON, ring.steps().len(), &[0, 1, 2]);
        let from = ring.steps().len() - 1;
        replay("play").run().exits_with(0);
        let steps = ring.wait_for_steps(SOON, "the ring to go on", |steps| steps.len() >= from + 3 * NODES);
        assert_eq!(steps[from].token.0, steps[steps.len() - 1].token.0, "{name}: a replay was believed");
        assert_in_order(&steps[from..], NODES);
        (0..NODES).for_each(|node| ring.assert_runs(node));
    }
}
