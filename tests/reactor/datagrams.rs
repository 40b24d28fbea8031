//! Datagrams, the source addresses of connections, and resets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arete::machine::{Address, Bytes, Input, Peer, SocketId, Stream};
use arete::reactor::{DatagramOptions, Options, Reactor, interface};

use crate::common::{Lab, Needed, Place, SOON, skip};
use crate::{LIMIT, alone, connect, listening, plain, run, wait_for};

const EVERYBODY: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);
/// The interval between the datagrams of a node that waits for an answer.
const OFTEN: Duration = Duration::from_millis(20);
/// Set for a test that runs as a node of a lab: its address.
const NODE: &str = "ARETE_TEST_NODE";

/// A port that is not in use.
fn free_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

fn on(interface: &str, address: Ipv4Addr, port: u16) -> DatagramOptions {
    DatagramOptions { interface: Some(interface.to_owned()), address, port, reuse: true }
}

fn ours(nr: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, nr)
}

/// Sends, from its address of the loopback interface, whether it has heard the other node, until the other has heard
/// it.
fn converse(own: Ipv4Addr, other: Ipv4Addr, port: u16) {
    let mut reactor = plain();
    let socket = reactor.bind_datagrams(on("lo", own, port)).expect("it is bound");
    let (mut heard, mut heard_self) = (false, false);
    run(reactor, |now, input, out, wake| {
        if let Input::Datagram { socket: at, from, bytes } = &input {
            assert_eq!(*at, socket);
            assert_ne!(from.port(), port);
            heard_self |= from.ip() == own;
            if from.ip() == other {
                heard = true;
                out.datagram(socket, (EVERYBODY, port).into(), b"heard".as_slice().into());
                if *bytes == b"heard" && heard_self {
                    out.exit(0);
                }
            }
        }
        if wake.is_none_or(|at| at <= now) {
            *wake = Some(now + OFTEN);
            let word: &[u8] = if heard { b"heard" } else { b"hello" };
            out.datagram(socket, (EVERYBODY, port).into(), word.into());
        }
    });
}

fn two_converse() {
    let port = free_port();
    let other = thread::spawn(move || converse(ours(3), ours(2), port));
    converse(ours(2), ours(3), port);
    other.join().expect("both have heard each other and themselves");
}

/// A reactor with a datagram socket on a free port at 127.0.0.2.
fn hearing(options: Options) -> (Reactor, SocketId, SocketAddr) {
    let mut reactor = Reactor::new(options).expect("a reactor");
    let port = free_port();
    let socket = reactor.bind_datagrams(on("lo", ours(2), port)).expect("it is bound");
    (reactor, socket, (ours(2), port).into())
}

fn ear() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let address = socket.local_addr().expect("its address");
    (socket, address)
}

alone! {
    fn two_on_the_loopback_interface_receive_broadcasts_with_the_sender() {
        two_converse();
    }

    fn a_burst_of_datagrams_starves_neither_deadlines_nor_connections() {
        let (mut reactor, _, address) = hearing(Options::default());
        let (_, listener) = reactor.listen_tcp("127.0.0.1:0".parse().expect("an address")).expect("it listens");
        let (goes_on, sent) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let (still, count) = (goes_on.clone(), sent.clone());
        let flood = thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            while still.load(Ordering::Relaxed) {
                let _ = socket.send_to(&[7; 1000], address);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let talker = thread::spawn(move || {
            let (mut stream, mut worst) = (connect(listener), Duration::ZERO);
            for _ in 0..50 {
                let begin = Instant::now();
                stream.write_all(b"?").expect("it writes");
                stream.read_exact(&mut [0]).expect("it is answered");
                worst = worst.max(begin.elapsed());
            }
            stream.write_all(b"q").expect("it writes");
            worst
        });
        let (mut heard, mut worst, mut over) = (0_u64, Duration::ZERO, false);
        run(reactor, |now, input, out, wake| {
            match input {
                Input::Datagram { .. } => heard += 1,
                Input::Received { bytes: b"q", .. } => over = true,
                Input::Received { conn, bytes } => out.send(conn, bytes.into()),
                Input::Deadline => {
                    worst = worst.max(wake.filter(|at| *at <= now).map_or(Duration::ZERO, |at| now.since(at)));
                }
                _ => {}
            }
            if wake.is_none_or(|at| at <= now) {
                *wake = Some(now + Duration::from_millis(10));
            }
            if over && heard > 2_000 && sent.load(Ordering::Relaxed) > 10_000 {
                out.exit(0);
            }
        });
        goes_on.store(false, Ordering::Relaxed);
        flood.join().expect("it ends");
        let slowest = talker.join().expect("it was answered");
        assert!(worst < Duration::from_millis(200), "a deadline came {worst:?} late");
        assert!(slowest < Duration::from_millis(500), "an answer took {slowest:?}");
    }

    fn the_longest_datagram_arrives_whole_and_one_that_cannot_be_sent_does_no_harm() {
        let (reactor, socket, own) = hearing(Options::default());
        let (raw, to) = ear();
        let longest: Bytes = (0..65_507).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into();
        let mut heard = None;
        run(reactor, |_, input, out, _| match input {
            Input::Begin => {
                out.datagram(socket, to, vec![0; 70_000].into());
                // This port has no socket, which the system reports with the next call.
                out.datagram(socket, "127.0.0.1:1".parse().expect("an address"), b"nobody".as_slice().into());
                out.datagram(socket, "[::1]:1".parse().expect("an address"), b"another family".as_slice().into());
                out.datagram(socket, to, longest.clone());
                out.datagram(socket, own, longest.clone());
            }
            Input::Datagram { bytes, .. } => {
                heard = Some(bytes.to_vec());
                out.exit(0);
            }
            _ => {}
        });
        assert!(heard.as_deref() == Some(&longest));
        let mut buffer = vec![0; 70_000];
        let (length, from) = raw.recv_from(&mut buffer).expect("one arrives");
        assert!(from.ip() == own.ip() && buffer[..length] == longest[..], "{length} bytes from {from}");
    }

    fn a_port_an_interface_and_an_address_that_cannot_be_had_are_named() {
        let foreign = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        let port = foreign.local_addr().expect("its address").port();
        let mut reactor = plain();
        let mut error = |options| reactor.bind_datagrams(options).expect_err("it cannot be had").to_string();
        assert_eq!(
            error(on("lo", ours(2), port)),
            format!("another program has UDP port {port} and does not share it")
        );
        drop(foreign);
        assert_eq!(error(on("eth77", ours(2), port)), "cannot use interface eth77: no such device");
        let away = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(error(on("lo", away, port)), "cannot send from 192.0.2.1: cannot assign requested address");
        let alone = DatagramOptions { reuse: false, ..on("lo", ours(2), port) };
        reactor.bind_datagrams(alone.clone()).expect("the port is free");
        let error = plain().bind_datagrams(alone).expect_err("it is not shared").to_string();
        assert!(error.contains("does not share it"), "{error}");
    }

    fn connections_come_from_the_address_that_was_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let reactor = Reactor::new(Options { source: Some(ours(5).into()), ..Options::default() }).expect("a reactor");
        let (mut connected, mut reasons) = (None, Vec::new());
        run(reactor, |_, input, out, _| {
            match input {
                Input::Begin => {
                    out.connect(Address::Inet(address.to_string()));
                    out.connect(Address::Inet("[::1]:9".to_owned()));
                    out.connect(Address::Inet("127.0.0.1:1".to_owned()));
                }
                Input::Connected { peer, local, .. } => connected = local.map(|local| (peer, local)),
                Input::Closed { reason, .. } => reasons.push(reason.words),
                _ => {}
            }
            if connected.is_some() && reasons.len() == 2 {
                out.exit(0);
            }
        });
        let (peer, local) = connected.expect("it stands");
        let (_, seen) = listener.accept().expect("a connection arrived");
        assert_eq!((peer, local, seen.ip()), (Peer::Inet(address), seen, ours(5).into()));
        reasons.sort();
        assert_eq!(reasons[0], "127.0.0.1:1: connection refused");
        assert!(reasons[1].starts_with("[::1]:9: from 127.0.0.5: "), "{reasons:?}");
    }

    fn a_machine_that_halts_because_it_cannot_write_sends_nothing_in_that_turn() {
        for exits_first in [false, true] {
            let (mut reactor, socket, _) = hearing(Options::default());
            let (_, address) = reactor.listen_tcp("127.0.0.1:0".parse().expect("an address")).expect("it listens");
            let (raw, to) = ear();
            let client = thread::spawn(move || {
                let mut stream = connect(address);
                stream.write_all(b"take it").expect("it writes");
                let mut got = Vec::new();
                let _ = stream.read_to_end(&mut got);
                got
            });
            let mut told = 0;
            let code = run(reactor, |_, input, out, _| match input {
                Input::Received { conn, .. } => {
                    out.send(conn, b"taken".as_slice().into());
                    out.datagram(socket, to, b"taken".as_slice().into());
                    out.persist("/dev/null/state".into(), b"taken".to_vec());
                    out.close(conn, "everything is sent");
                    if exits_first {
                        out.exit(0);
                    }
                }
                Input::WriteFailed { path, .. } => {
                    assert!(path.ends_with("state"));
                    told += 1;
                    out.halt(3);
                }
                Input::Accepted { .. } | Input::Begin | Input::Resized { .. } => assert_eq!(told, 0),
                other => panic!("{other:?}"),
            });
            assert_eq!((code, told), (3, 1));
            assert_eq!(client.join().expect("it read"), b"", "no byte was sent");
            raw.set_nonblocking(true).expect("it does not wait");
            assert_eq!(raw.recv(&mut [0; 9]).expect_err("no datagram either").kind(), ErrorKind::WouldBlock);
        }
    }

    fn bytes_sent_before_the_connection_is_established_arrive_and_then_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        for exits in [false, true] {
            let peer = {
                let listener = listener.try_clone().expect("a clone");
                thread::spawn(move || {
                    let (mut stream, _) = listener.accept().expect("a connection arrives");
                    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
                    let mut got = Vec::new();
                    stream.read_to_end(&mut got).expect("the end arrives");
                    got
                })
            };
            run(plain(), |now, input, out, wake| match input {
                Input::Begin => {
                    let conn = out.connect(Address::Inet(address.to_string()));
                    out.send(conn, vec![7; 1_000_000].into());
                    out.send(conn, b"over".as_slice().into());
                    out.close(conn, "everything is sent");
                    out.send(conn, b"too late".as_slice().into());
                    let refused = out.connect(Address::Inet("127.0.0.1:1".to_owned()));
                    out.send(refused, b"nobody".as_slice().into());
                    out.close(refused, "everything is sent");
                    if exits {
                        out.exit(0);
                    }
                    *wake = Some(now + OFTEN);
                }
                Input::Deadline if peer.is_finished() => out.exit(0),
                Input::Deadline => *wake = Some(now + OFTEN),
                Input::Resized { .. } => {}
                other => panic!("nothing is heard of a connection that is closed: {other:?}"),
            });
            let got = peer.join().expect("it read");
            assert!(got.len() == 1_000_004 && got.ends_with(b"over"), "{} bytes", got.len());
        }
    }

    fn a_message_and_the_end_of_its_connection_arrive_in_that_order() {
        let (reactor, address) = listening(Options::default());
        let client = thread::spawn(move || {
            for size in [1, 1000, 65_536, 300_000] {
                connect(address).write_all(&vec![7; size]).expect("it writes");
            }
        });
        let mut heard = std::collections::BTreeMap::new();
        let mut ended = Vec::new();
        run(reactor, |_, input, out, _| match input {
            Input::Accepted { conn, .. } => drop(heard.insert(conn, 0)),
            Input::Received { conn, bytes } => *heard.get_mut(&conn).expect("it is open") += bytes.len(),
            Input::Closed { conn, .. } => {
                ended.extend(heard.remove(&conn));
                if ended.len() == 4 {
                    out.exit(0);
                }
            }
            _ => {}
        });
        ended.sort();
        assert_eq!(ended, [1, 1000, 65_536, 300_000]);
        client.join().expect("everything is sent");
    }
}

#[test]
fn datagrams_need_no_privilege() {
    let test = "datagrams::datagrams_need_no_privilege";
    if std::env::var_os(NODE).is_some() {
        return two_converse();
    }
    // In a user namespace of its own, even root has no special rights in a network outside of it.
    let mut command = Process::new("unshare");
    command.arg("-U").arg(std::env::current_exe().expect("own path")).args(["--exact", test, "--nocapture"]);
    if !Process::new("unshare").args(["-U", "true"]).status().is_ok_and(|status| status.success()) {
        return skip(test, "it needs user namespaces", Needed::InCi);
    }
    let output = command.env(NODE, "here").stdin(Stdio::null()).output().expect("unshare could be run a moment ago");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Sends numbers to the whole network of `eth0`, and prints the datagrams that it receives.
fn cry(address: Ipv4Addr) {
    let port = 23912;
    let eth0 = interface("eth0").expect("a lab's host has it");
    assert!(eth0.up && !eth0.loopback && eth0.has(address) && eth0.mac.is_some(), "{eth0:?}");
    let everybody = eth0.broadcast(address).expect("it has a network");
    assert_eq!(everybody, Ipv4Addr::new(10, 77, 0, 255));
    let mut reactor = plain();
    let socket = reactor.bind_datagrams(on("eth0", address, port)).expect("it is bound");
    let mut said = 0;
    run(reactor, |now, input, out, wake| {
        if let Input::Datagram { from, bytes, .. } = &input {
            out.print(Stream::Out, format!("{} {}\n", from.ip(), String::from_utf8_lossy(bytes)));
        }
        if wake.is_none_or(|at| at <= now) {
            *wake = Some(now + OFTEN);
            said += 1;
            // Two addresses for all hosts. The second one needs no route.
            let to = if said % 2 == 0 { everybody } else { Ipv4Addr::BROADCAST };
            out.datagram(socket, (to, port).into(), said.to_string().into_bytes().into());
        }
    });
}

#[test]
fn datagrams_flow_again_when_an_interface_was_down_or_removed() {
    let test = "datagrams::datagrams_flow_again_when_an_interface_was_down_or_removed";
    if let Ok(address) = std::env::var(NODE) {
        return cry(address.parse().expect("an address"));
    }
    let Some(lab) = Lab::new(test, &["a", "b"]) else { return };
    let place = Place::new("datagrams");
    let own = std::env::current_exe().expect("own path");
    let start = |host: &str| {
        let mut command = lab.command(host, &own);
        command.args(["--exact", test, "--nocapture"]).env(NODE, lab.address(host).to_string());
        place.program(command).start()
    };
    let (a, b) = (start("a"), start("b"));
    let heard = |by: &str, from: &str| {
        let from = format!("{} ", lab.address(from));
        let said = if by == "a" { a.stdout() } else { b.stdout() };
        said.lines().filter(|line| line.starts_with(&from)).count()
    };
    let flow = |when: &str| {
        let before = (heard("a", "b"), heard("b", "a"));
        let both = || heard("a", "b") > before.0 + 4 && heard("b", "a") > before.1 + 4;
        crate::common::wait_for(SOON, when, both);
    };
    flow("datagrams to flow");
    lab.interface_down("b");
    let (before, told) = (heard("b", "a"), heard("a", "a"));
    wait_for("a to go on alone", || heard("a", "a") > told + 5);
    assert!(heard("b", "a") <= before + 1, "an interface that is down hears nothing");
    lab.interface_up("b");
    flow("datagrams to flow after the interface is up again");
    lab.link_down("b");
    lab.link_up("b");
    flow("datagrams to flow after the cable is plugged in again");
    lab.unplug("b");
    let told = heard("a", "a");
    wait_for("a to go on alone", || heard("a", "a") > told + 5);
    lab.plug("b");
    flow("datagrams to flow on an interface that was replaced");
    drop((a, b));
    place.assert_nothing_left();
}
