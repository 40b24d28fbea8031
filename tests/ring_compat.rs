//! `arete ring --compat` in a ring with nodes of the original program, which `tests/ring/original.py` replaces, and
//! its messages, byte for byte.

#![forbid(unsafe_code)]

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use common::ring::{Ring, SHORT, Step, connect_from, free_ports};
use common::{Needed, Place, SOON, holds_within, missing, python, repository, skip, wait_for};
use rustix::process::Signal;

/// As [`SHORT`], for the original.
const SHORT_ORIGINAL: &str = "heartbeat=0.1 waiter=0.4 ask=0.1 answer=0.4 generating=0.4 hold=0.15";

/// The ids in their order as strings, which differs from that of their numbers.
const IDS: [&str; 4] = ["10", "200", "3", "45"];

fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 79, node as u8 + 1)
}

/// The address of the stranger.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 79, 9);

/// A ring of four nodes. The first and the third run arete, the others the original.
struct Mixed<'a> {
    ring: Ring<'a>,
    port: u16,
}

impl<'a> Mixed<'a> {
    fn new(place: &'a Place, name: &str) -> Mixed<'a> {
        let (port, _) = free_ports();
        let ring = Ring::new(place, name, move |node| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_arete"));
            let fixed = format!(
                "ring --compat --interface lo --address {} --udp-port {port} --tcp-port {port} --state-port 0 --id {}",
                address(node),
                IDS[node]
            );
            command.args(fixed.split(' ')).args(SHORT.split(' ')).args(["--hold", "150ms"]);
            command
        });
        Mixed { ring, port }
    }

    fn is_ours(node: usize) -> bool {
        node.is_multiple_of(2)
    }

    fn start(&self, node: usize) {
        if Mixed::is_ours(node) {
            return self.ring.start(node);
        }
        let mut command = python();
        let (port, address) = (self.port.to_string(), address(node).to_string());
        command.arg(repository().join("tests/ring/original.py"));
        command.args([IDS[node], &address, "127.255.255.255", &port, &port]).arg(self.ring.steps_file());
        command.arg(node.to_string()).args(SHORT_ORIGINAL.split(' '));
        self.ring.run(node, command);
    }

    /// Waits until the token passes these nodes in order, and each hop adds a character.
    #[track_caller]
    fn goes_round(&self, nodes: &[usize]) {
        let wanted = 2 * nodes.len() + 1;
        let order = |node: usize| nodes.iter().position(|one| *one == node);
        let in_order = |pair: &[Step]| {
            let (one, next) = (&pair[0], &pair[1]);
            let follows = order(one.node).map(|at| (at + 1) % nodes.len()) == order(next.node);
            follows && order(one.node).is_some() && next.data == format!("{}{}", one.data, one.node)
        };
        let from = self.ring.steps().len();
        let what = format!("two rounds of {nodes:?}");
        self.ring.wait_for_steps(SOON, &what, |steps| {
            let last = &steps[from.max(steps.len().saturating_sub(wanted))..];
            last.len() == wanted && last.windows(2).all(in_order)
        });
        nodes.iter().for_each(|node| self.ring.assert_runs(*node));
    }
}

#[test]
fn the_token_passes_originals_and_ours_with_either_first() {
    let test = "the_token_passes_originals_and_ours_with_either_first";
    if let Some(why) = missing(&["python3"]) {
        return skip(test, &why, Needed::InCi);
    }
    for (name, first, second) in [("ours-first", [0, 2], [1, 3]), ("originals-first", [1, 3], [0, 2])] {
        let place = Place::new("ring-compat");
        let mixed = Mixed::new(&place, name);
        first.iter().for_each(|node| mixed.start(*node));
        mixed.goes_round(&first);
        second.iter().for_each(|node| mixed.start(*node));
        mixed.goes_round(&[0, 1, 2, 3]);
    }
}

#[test]
fn the_others_continue_when_the_token_s_owner_is_killed() {
    let test = "the_others_continue_when_the_token_s_owner_is_killed";
    if let Some(why) = missing(&["python3"]) {
        return skip(test, &why, Needed::InCi);
    }
    for (name, victim) in [("ours-killed", 2), ("original-killed", 1)] {
        let place = Place::new("ring-compat-kill");
        let mixed = Mixed::new(&place, name);
        (0..4).for_each(|node| mixed.start(node));
        mixed.goes_round(&[0, 1, 2, 3]);
        mixed.ring.wait_for_steps(SOON, "the victim to have the token", |steps| {
            steps.last().is_some_and(|step| step.node == victim)
        });
        mixed.ring.signal(victim, Signal::KILL);
        let left: Vec<usize> = (0..4).filter(|node| *node != victim).collect();
        mixed.goes_round(&left);
        mixed.start(victim);
        mixed.goes_round(&[0, 1, 2, 3]);
    }
}

#[test]
fn originals_that_hang_or_restart_are_never_sent_what_would_make_them_deaf() {
    let test = "originals_that_hang_or_restart_are_never_sent_what_would_make_them_deaf";
    if let Some(why) = missing(&["python3"]) {
        return skip(test, &why, Needed::InCi);
    }
    let place = Place::new("ring-compat-hang");
    let mixed = Mixed::new(&place, "hang");
    (0..4).for_each(|node| mixed.start(node));
    mixed.goes_round(&[0, 1, 2, 3]);
    // An original sends the token to the same hung node for ever, and ours does not. Therefore the nodes before these
    // are ours.
    for hung in [1, 3, 1, 3] {
        let before = mixed.ring.steps().len();
        mixed.ring.signal(hung, Signal::STOP);
        let goes_on = |steps: &[Step]| {
            let by = |node: usize| steps[before..].iter().filter(|step| step.node == node).count();
            (0..4).filter(|node| *node != hung).all(|node| by(node) >= 2)
        };
        mixed.ring.wait_for_steps(SOON, "the others to go on", goes_on);
        mixed.ring.signal(hung, Signal::CONT);
        let before = mixed.ring.steps().len();
        mixed.ring.wait_for_steps(SOON, "some hops", |steps| steps.len() > before + 8);
    }
    (0..4).for_each(|node| mixed.ring.assert_runs(node));
}

/// A stranger: sends any message, and receives the messages of one node to it.
struct Stranger {
    voice: UdpSocket,
    ear: TcpListener,
    port: u16,
}

impl Stranger {
    fn new(port: u16) -> Stranger {
        let voice = UdpSocket::bind((STRANGER, 0)).expect("the address is one of loopback");
        voice.set_broadcast(true).expect("a socket may broadcast");
        let ear = TcpListener::bind((STRANGER, port)).expect("no other process has this port here");
        ear.set_nonblocking(true).expect("a listener may not block");
        Stranger { voice, ear, port }
    }

    fn says_to_all(&self, text: &str) {
        self.voice.send_to(text.as_bytes(), ("127.255.255.255", self.port)).expect("loopback takes broadcasts");
    }

    fn says_to(&self, node: usize, text: &str) {
        let to = SocketAddr::from((address(node), self.port));
        connect_from(STRANGER, to).write_all(text.as_bytes()).expect("a node reads");
    }

    /// The next message to it, up to the end of its connection.
    #[track_caller]
    fn hears(&self, within: Duration) -> Option<String> {
        let mut connection = None;
        holds_within(within, || {
            connection = self.ear.accept().ok();
            connection.is_some()
        });
        let (mut stream, from) = connection?;
        assert_eq!(from.ip(), address(0), "the address of a peer identifies it");
        stream.set_nonblocking(false).expect("a stream may block");
        stream.set_read_timeout(Some(SOON)).expect("a stream has a timeout");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("a message ends with its connection, and is UTF-8");
        Some(text)
    }

    /// Asserts that the next message is exactly this one.
    #[track_caller]
    fn is_answered(&self, text: &str) {
        assert_eq!(self.hears(SOON).as_deref(), Some(text));
    }
}

const PING: &str = r#"{"serial_code":581831,"type":"ping","author_node_id":"10"}"#;
const RECENTLY: &str = r#"{"serial_code":581831,"type":"token was here recently","author_node_id":"10"}"#;

/// A message of the stranger, whose id is 7.
fn said(kind: &str, code: u32, more: &str) -> String {
    format!(r#"{{"serial_code":{code},"type":"{kind}","author_node_id":"7"{more}}}"#)
}

fn token(author: &str, progress: usize, revision: u32) -> String {
    format!(
        r#""token":{{"serial_code":407246,"progress":{progress},"author_node_id":"{author}","author_token_revision":{revision}}}"#
    )
}

/// A message of our node with a token. Its id is 10.
fn ours(kind: &str, token: &str) -> String {
    format!(r#"{{"serial_code":328067,"type":"{kind}","author_node_id":"10",{token}}}"#)
}

#[test]
fn a_node_answers_an_original_byte_for_byte_as_in_the_table_of_states() {
    let place = Place::new("ring-compat-bytes");
    let mixed = Mixed::new(&place, "bytes");
    let stranger = Stranger::new(mixed.port);
    mixed.start(0);
    let log = |text: &str| mixed.ring.log(0).contains(text);
    // Unknown keys are ignored, a seeker does not answer "where is token", and a new node gets a ping.
    wait_for(SOON, "the node to listen", || log("node 10 at 127.0.79.1"));
    stranger.says_to_all(&said("where is token", 581_831, r#","more":[1,{"a":null}]"#));
    stranger.is_answered(PING);
    // A weaker candidate gets our own candidacy as an answer, before our time to generate has passed and after.
    wait_for(SOON, "it to look for the token", || log("seeker -> generating"));
    stranger.says_to_all(&said("generating token", 328_067, &format!(",{}", token("0", 0, 1))));
    stranger.is_answered(&ours("generating token", &token("10", 0, 1)));
    wait_for(SOON, "it to own the token", || log("generating -> owner"));
    // An owner that works, and one that hands over at once: both announce the token.
    stranger.says_to(0, &said("where is token", 581_831, ""));
    let owner = [ours("token is here", &token("10", 0, 1)), ours("token is here", &token("10", 1, 1))];
    let heard = stranger.hears(SOON).expect("an owner answers");
    assert!(owner.contains(&heard), "{heard}");
    let take = format!(
        r#"{{"serial_code":137344,"type":"take token","author_node_id":"10",{},"nodes":{{"10":"127.0.79.1","7":"127.0.79.9"}},"data":"0"}}"#,
        token("10", 1, 1)
    );
    stranger.is_answered(&take);
    wait_for(SOON, "it to wait", || log("owner -> waiter: handed the token to 7"));
    stranger.says_to_all(&said("where is token", 581_831, ""));
    stranger.is_answered(RECENTLY);
    stranger.says_to_all(&said("generating token", 328_067, &format!(",{}", token("7", 1, 4))));
    stranger.is_answered(RECENTLY);
    // Heartbeats keep it a waiter, and then it gets the token.
    stranger.says_to_all(&said("token is here", 328_067, &format!(",{}", token("10", 1, 1))));
    let more = format!(r#",{},"nodes":{{"10":"127.0.79.1","7":"127.0.79.9"}},"data":"07","more":0"#, token("10", 2, 1));
    stranger.says_to(0, &said("take token", 137_344, &more));
    wait_for(SOON, "it to have the token again", || mixed.ring.steps().last().is_some_and(|step| step.data == "07"));
    // Only the owner may announce the token: a weaker announcement is contradicted, and a stronger one is accepted.
    stranger.says_to(0, &said("token is here", 328_067, &format!(",{}", token("9", 0, 1))));
    let mut heard = Vec::new();
    wait_for(SOON, "the node to say that its token is stronger", || {
        heard.extend(stranger.hears(Duration::ZERO));
        heard.iter().any(|text| [2, 3].iter().any(|nr| *text == ours("token is here", &token("10", *nr, 1))))
    });
    mixed.ring.assert_runs(0);
}
