//! The properties of every input as messages of a ring, and as the datagrams that a node receives.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use arete::machine::{Effect, Input, Machine, Outbox, SocketId, Time};
use arete::ring::message::{DATAGRAM_MAX, Message, is_id};
use arete::ring::seal::{self, Key};
use arete::ring::work;
use arete::ring::{Config, Periods, Ring};

/// The most effects of one datagram.
const EFFECTS_MAX: usize = 1_000;

/// Checks the lines of the input, each as one datagram. A line that begins with `+` is sealed first.
pub fn check(bytes: &[u8]) {
    for line in bytes.split(|&byte| byte == b'\n') {
        check_message(line);
    }
    for (members, sealed, compat) in [(None, false, true), (Some(3), false, false), (Some(3), true, false)] {
        check_node(bytes, members, sealed.then(key), compat);
    }
}

fn key() -> Key {
    Key::new(b"secret".to_vec())
}

pub fn check_message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes, None) {
        assert!(is_id(&message.author));
        for key in [None, Some(key())] {
            let encoded = message.encode(key.as_ref());
            assert_eq!(Message::decode(&encoded, key.as_ref()), Ok(message.clone()));
        }
    }
    assert!(Message::decode(bytes, Some(&key())).is_err() || seal::is_sealed(bytes), "an unsealed message is refused");
}

fn check_node(bytes: &[u8], members: Option<u32>, key: Option<Key>, compat: bool) {
    let mut node = Ring::new(Config {
        id: "5".to_owned(),
        address: Ipv4Addr::new(10, 0, 0, 5),
        broadcast: Ipv4Addr::new(10, 0, 0, 255),
        udp_port: 23_912,
        tcp_port: 8_239,
        state_port: Some(23_937),
        periods: Periods::default(),
        compat,
        members,
        key: key.clone(),
        boot: 7,
        work: work::Config { step: "true".to_owned(), progress: None, dir: "/w".into() },
        state: None,
        wall_offset: 0,
    });
    let (mut out, mut now) = (Outbox::new(), Time::from_micros(1_000_000));
    let mut input = |now, input: Input<'_>| {
        node.handle(now, input, &mut out);
        let effects: Vec<_> = out.drain().collect();
        assert!(effects.len() <= EFFECTS_MAX, "{} effects", effects.len());
        for effect in &effects {
            match effect {
                Effect::Datagram { bytes, .. } => assert!(bytes.len() <= DATAGRAM_MAX),
                Effect::Print { bytes, .. } => assert_harmless(bytes),
                _ => {}
            }
        }
        node.next_deadline()
    };
    let mut deadline = input(now, Input::Begin);
    for line in bytes.split(|&byte| byte == b'\n') {
        let step = line.first().map_or(1, |byte| u64::from(*byte) * 20);
        now = now + Duration::from_millis(step);
        if deadline.is_some_and(|at| at <= now) {
            input(now, Input::Deadline);
        }
        let from: SocketAddr = ([10, 0, 0, line.last().copied().unwrap_or(1)], 23_912).into();
        let line = line.strip_prefix(b"+").unwrap_or(line);
        let sealed = key.as_ref().filter(|_| line.ends_with(b"}")).map(|key| seal::seal(key, line.to_vec()));
        let bytes = sealed.as_deref().unwrap_or(line);
        if bytes.len() <= DATAGRAM_MAX {
            deadline = input(now, Input::Datagram { socket: SocketId(0), from, bytes });
        }
    }
}

/// Checks that a terminal may show these bytes: they are text without control characters except newlines.
fn assert_harmless(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("text");
    assert!(!text.contains(|c: char| arete::machine::is_obeyed(c) && c != '\n'), "{text:?}");
}
