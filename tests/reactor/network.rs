//! Connections and listeners.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use arete::machine::{Address, Bytes, ConnId, Input, Peer};
use arete::reactor::Options;

use crate::{Scratch, TURNS, alone, connect, listening, plain, run};

/// Writes a program into a directory, to replace the one that looks up host names.
fn program(scratch: &Scratch, script: &str) -> std::path::PathBuf {
    let path = scratch.path("resolver");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is a program");
    path
}

alone! {
    fn an_echo_returns_messages_of_every_size() {
        let (reactor, address) = listening(Options::default());
        let client = thread::spawn(move || {
            for size in [1, 2, 63, 1000, 65_535, 65_536, 65_537, 3_000_000] {
                let mut stream = connect(address);
                let sent: Vec<u8> = (0..size).map(|i| (i * 7 + i / 251) as u8).collect();
                let mut writer = stream.try_clone().expect("a clone");
                let copy = sent.clone();
                let writing = thread::spawn(move || writer.write_all(&copy).expect("it writes"));
                let mut got = vec![0; size];
                stream.read_exact(&mut got).expect("it is echoed");
                writing.join().expect("written");
                assert!(got == sent, "{size} bytes came back changed");
            }
            connect(address).write_all(b"q").expect("it writes");
        });
        let mut accepted = 0;
        let code = run(reactor, |_, input, out, _| match input {
            Input::Accepted { .. } => accepted += 1,
            Input::Received { bytes: b"q", .. } if accepted == 9 => out.exit(7),
            Input::Received { conn, bytes } => out.send(conn, bytes.into()),
            _ => {}
        });
        assert_eq!(code, 7);
        client.join().expect("the client is content");
    }

    fn a_peer_that_never_reads_is_dropped_at_the_bound_and_the_others_continue() {
        let (reactor, address) = listening(Options { max_queue: 256 * 1024, ..Options::default() });
        let _deaf = connect(address);
        let lively = connect(address);
        let reader = thread::spawn(move || {
            let mut lively = lively;
            let (mut sum, mut buffer) = (0, vec![0; 65536]);
            loop {
                match lively.read(&mut buffer).expect("it reads") {
                    0 => return sum,
                    n => sum += n,
                }
            }
        });
        let chunk: Bytes = vec![7; 64 * 1024].into();
        let (mut conns, mut sent, mut dropped) = (Vec::new(), 0, None);
        run(reactor, |now, input, out, wake| {
            match input {
                Input::Accepted { conn, .. } => conns.push(conn),
                Input::Closed { conn, reason } => {
                    assert!(reason.starts_with("it does not read: "), "{reason}");
                    dropped = Some((conn, sent));
                    conns.retain(|other| *other != conn);
                }
                _ => {}
            }
            if conns.len() == 2 || dropped.is_some() {
                conns.iter().for_each(|conn| out.send(*conn, chunk.clone()));
                sent += 1;
                *wake = Some(now + Duration::from_millis(2));
            }
            if dropped.is_some_and(|(_, at)| sent >= at + 50) {
                out.exit(0);
            }
        });
        assert!(dropped.is_some());
        assert_eq!(reader.join().expect("it read"), sent * 64 * 1024);
    }

    fn a_peer_that_stops_reading_in_a_long_message_is_dropped_and_a_slow_one_is_not() {
        let (reactor, address) = listening(Options { stalled_after: Duration::from_millis(300), ..Options::default() });
        let mut deaf = connect(address);
        let mut slow = connect(address);
        let long: Bytes = vec![7; 24 * 1024 * 1024].into();
        let length = long.len();
        let reader = thread::spawn(move || {
            let mut buffer = vec![0; 1024 * 1024];
            deaf.read_exact(&mut buffer).expect("it reads the beginning");
            let mut sum = 0;
            while sum < length {
                thread::sleep(Duration::from_millis(50));
                sum += slow.read(&mut buffer).expect("it reads");
            }
            slow.write_all(b"q").expect("it writes");
            (deaf, slow)
        });
        let (mut conns, mut dropped) = (Vec::new(), Vec::new());
        run(reactor, |_, input, out, _| match input {
            Input::Accepted { conn, .. } => {
                conns.push(conn);
                if conns.len() == 2 {
                    conns.iter().for_each(|conn| out.send(*conn, long.clone()));
                }
            }
            Input::Closed { conn, reason } => {
                assert!(reason.starts_with("it does not read: "), "{reason}");
                dropped.push(conn);
            }
            Input::Received { bytes: b"q", .. } => out.exit(0),
            _ => {}
        });
        assert_eq!(dropped, conns[..1]);
        reader.join().expect("it read");
    }

    fn a_thousand_silent_connections_disturb_no_other_and_all_receive_a_broadcast() {
        let (reactor, address) = listening(Options::default());
        let client = thread::spawn(move || {
            let mut silent: Vec<_> = (0..1000).map(|_| connect(address)).collect();
            let mut talker = connect(address);
            talker.write_all(b"go").expect("it writes");
            for stream in &mut silent {
                let mut got = [0; 10];
                stream.read_exact(&mut got).expect("it hears");
                assert_eq!(&got, b"triggered\n");
            }
        });
        let mut conns = Vec::new();
        run(reactor, |_, input, out, _| match input {
            Input::Accepted { conn, .. } => conns.push(conn),
            Input::Received { .. } => {
                assert_eq!(conns.len(), 1001);
                let line: Bytes = b"triggered\n".as_slice().into();
                conns.iter().for_each(|conn| out.send(*conn, line.clone()));
                out.exit(0);
            }
            _ => {}
        });
        client.join().expect("all have heard");
    }

    fn many_small_messages_in_one_turn_arrive_in_order() {
        let (reactor, address) = listening(Options::default());
        let mut stream = connect(address);
        let want: String = (0..5000).map(|i| format!("{i}\n")).collect();
        run(reactor, |_, input, out, _| {
            if let Input::Accepted { conn, .. } = input {
                (0..5000).for_each(|i| out.send(conn, format!("{i}\n").into_bytes().into()));
                out.close(conn, "everything is sent");
                out.exit(0);
            }
        });
        let mut got = String::new();
        stream.read_to_string(&mut got).expect("it reads to the end");
        assert!(got == want, "{} bytes of {}", got.len(), want.len());
    }

    fn a_peer_that_shuts_its_half_is_read_to_the_end_and_then_closed() {
        let (reactor, address) = listening(Options::default());
        let mut stream = connect(address);
        stream.write_all(b"last words").expect("it writes");
        stream.shutdown(Shutdown::Write).expect("it shuts");
        let (mut heard, mut why) = (Vec::new(), String::new());
        run(reactor, |_, input, out, _| match input {
            Input::Received { bytes, .. } => heard.extend_from_slice(bytes),
            Input::Closed { reason, .. } => {
                why = reason.words;
                out.exit(0);
            }
            _ => {}
        });
        assert_eq!((heard.as_slice(), why.as_str()), (b"last words".as_slice(), "the peer closed the connection"));
    }

    fn a_peer_gets_all_that_was_sent_before_a_close_though_it_still_talks() {
        let (reactor, address) = listening(Options::default());
        let client = thread::spawn(move || {
            let mut stream = connect(address);
            stream.write_all(&[1; 100_000]).expect("it writes");
            let mut got = Vec::new();
            stream.read_to_end(&mut got).expect("it reads to the end");
            drop(stream);
            connect(address).write_all(b"q").expect("it writes");
            got.len()
        });
        let mut closed = None;
        run(reactor, |_, input, out, _| match input {
            Input::Received { bytes: b"q", .. } => out.exit(0),
            Input::Received { conn, .. } => {
                assert_eq!(closed, None, "nothing is heard from a connection that the machine has closed");
                out.send(conn, vec![2; 2_000_000].into());
                out.close(conn, "enough");
                closed = Some(conn);
            }
            Input::Closed { conn, .. } => assert_ne!(Some(conn), closed),
            _ => {}
        });
        assert_eq!(client.join().expect("it read"), 2_000_000);
    }

    fn a_refused_connection_is_reported() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let (mut conn, mut why) = (ConnId(0), String::new());
        run(plain(), |_, input, out, _| match input {
            Input::Begin => conn = out.connect(Address::Inet(address.to_string())),
            Input::Closed { conn: closed, reason } => {
                assert_eq!(closed, conn);
                why = reason.words;
                out.exit(0);
            }
            _ => {}
        });
        assert_eq!(why, format!("{address}: connection refused"));
    }

    fn each_address_of_a_host_name_is_tried_and_what_was_sent_early_arrives() {
        let scratch = Scratch::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let script = format!("[ \"$1 $2\" = 'lookup localhost:7' ] && printf '127.0.0.1:1\\n{address}\\n'");
        let (mut reactor, _) =
            listening(Options { lookup_program: program(&scratch, &script), ..Options::default() });
        reactor.listen_unix(&scratch.path("unused")).expect("it listens");
        let mut peer_seen = None;
        run(reactor, |_, input, out, _| match input {
            Input::Begin => {
                let conn = out.connect(Address::Inet("localhost:7".to_owned()));
                out.send(conn, b"early".as_slice().into());
            }
            Input::Connected { peer, local, .. } => {
                assert!(local.is_some());
                peer_seen = Some(peer);
                out.exit(0);
            }
            Input::Closed { reason, .. } => panic!("{reason}"),
            _ => {}
        });
        assert_eq!(peer_seen, Some(Peer::Inet(address)));
        let mut got = String::new();
        listener.accept().expect("somebody came").0.read_to_string(&mut got).expect("it reads");
        assert_eq!(got, "early");
    }

    fn an_unknown_host_name_is_reported_with_the_reason() {
        let scratch = Scratch::new();
        let program = program(&scratch, "echo 'error: name or service not known'; exit 1");
        let (reactor, _) = listening(Options { lookup_program: program, ..Options::default() });
        let mut reasons = Vec::new();
        run(reactor, |_, input, out, _| match input {
            Input::Begin => {
                out.connect(Address::Inet("nowhere:7".to_owned()));
                out.connect(Address::Inet("nowhere".to_owned()));
            }
            Input::Closed { reason, .. } => {
                reasons.push(reason.words);
                if reasons.len() == 2 {
                    out.exit(0);
                }
            }
            _ => {}
        });
        reasons.sort();
        assert_eq!(reasons, ["nowhere: an address is HOST:PORT", "nowhere:7: name or service not known"]);
    }

    fn deadlines_fire_on_time_while_a_peer_floods() {
        let (reactor, address) = listening(Options::default());
        for _ in 0..2 {
            let mut stream = connect(address);
            thread::spawn(move || while stream.write_all(&[0; 65536]).is_ok() {});
        }
        let (mut fired, mut worst, mut flood) = (0, Duration::ZERO, 0);
        run(reactor, |now, input, out, wake| {
            if let Input::Received { bytes, .. } = input {
                flood += bytes.len();
            }
            match *wake {
                None => *wake = Some(now + Duration::from_millis(10)),
                Some(at) if at <= now && matches!(input, Input::Deadline) => {
                    worst = worst.max(now.since(at));
                    *wake = Some(now + Duration::from_millis(10));
                    fired += 1;
                }
                Some(_) => {}
            }
            if fired == 50 {
                out.exit(0);
            }
        });
        assert!(flood > 1_000_000, "only {flood} bytes of flood");
        assert!(worst < Duration::from_millis(200), "a deadline came {worst:?} late");
    }

    fn a_unix_socket_is_private_names_its_peer_and_is_removed_with_the_reactor() {
        let scratch = Scratch::new();
        let path = scratch.path("socket");
        drop(UnixListener::bind(&path).expect("a socket file that its process leaves behind"));
        let (mut reactor, _) = listening(Options::default());
        reactor.listen_unix(&path).expect("the stale socket is replaced");
        assert_eq!(std::fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o600);
        let error = plain().listen_unix(&path).expect_err("the reactor listens");
        assert_eq!(error.to_string(), "another process listens there");
        let mut stream = UnixStream::connect(&path).expect("it connects");
        let mut who = None;
        run(reactor, |_, input, out, _| {
            if let Input::Accepted { conn, peer, .. } = input {
                // The first client only checked for a listener.
                if who.replace(peer).is_some() {
                    out.send(conn, b"hello".as_slice().into());
                    out.exit(0);
                }
            }
        });
        let mut got = String::new();
        stream.read_to_string(&mut got).expect("it reads");
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(who, Some(Peer::Local { uid, pid: Some(std::process::id() as i32) }));
        assert_eq!((got.as_str(), path.exists()), ("hello", false));
    }

    fn a_connection_beyond_the_limit_is_closed() {
        let (reactor, address) = listening(Options { max_connections: Some(2), ..Options::default() });
        let mut clients: Vec<_> = (0..3).map(|_| connect(address)).collect();
        let client = thread::spawn(move || {
            assert_eq!(clients[2].read(&mut [0; 1]).expect("it is closed"), 0);
            clients[0].write_all(b"q").expect("the first is served");
        });
        let mut accepted = 0;
        run(reactor, |_, input, out, _| match input {
            Input::Accepted { .. } => accepted += 1,
            Input::Received { .. } => out.exit(0),
            _ => {}
        });
        assert_eq!(accepted, 2);
        client.join().expect("the client is content");
    }

    fn a_slow_reader_gets_what_was_sent_before_the_exit() {
        let (reactor, address) = listening(Options::default());
        let mut stream = connect(address);
        let client = thread::spawn(move || {
            let (mut sum, mut buffer) = (0, vec![0; 100_000]);
            loop {
                thread::sleep(Duration::from_millis(2));
                match stream.read(&mut buffer).expect("it reads") {
                    0 => return sum,
                    n => sum += n,
                }
            }
        });
        run(reactor, |_, input, out, _| {
            if let Input::Accepted { conn, .. } = input {
                (0..7).for_each(|_| out.send(conn, vec![1; 1_000_000].into()));
                out.exit(0);
            }
        });
        assert_eq!(client.join().expect("it read"), 7_000_000);
    }

    fn a_closed_peer_that_never_reads_does_not_linger_for_ever() {
        let (reactor, address) = listening(Options { max_connections: Some(1), ..Options::default() });
        let _deaf = connect(address);
        let start = std::time::Instant::now();
        thread::spawn(move || loop {
            // Refused until the place of the first client is free.
            let mut stream = connect(address);
            let _ = stream.write_all(b"q");
            let _ = stream.read(&mut [0; 1]);
            thread::sleep(Duration::from_millis(20));
        });
        let mut first = None;
        run(reactor, |_, input, out, _| match input {
            Input::Accepted { conn, .. } if first.is_none() => {
                first = Some(conn);
                (0..7).for_each(|_| out.send(conn, vec![1; 1_000_000].into()));
                out.close(conn, "enough");
            }
            Input::Accepted { .. } => out.exit(0),
            _ => {}
        });
        let took = start.elapsed();
        assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(5), "{took:?}");
    }

    fn running_out_of_descriptors_sheds_connections_and_does_not_spin() {
        let (reactor, address) = listening(Options::default());
        let clients: Vec<_> = (0..100).map(|_| connect(address)).collect();
        let next = std::fs::File::open("/dev/null").expect("a descriptor");
        let limit = std::os::fd::AsRawFd::as_raw_fd(&next) as u64 + 20;
        drop(next);
        let limit = rustix::process::Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("a low limit");
        let (mut accepted, mut begun) = (0, None);
        run(reactor, |now, input, out, wake| match input {
            Input::Begin => {
                begun = Some(now);
                *wake = Some(now + Duration::from_secs(1));
            }
            Input::Accepted { .. } => accepted += 1,
            Input::Deadline if begun.is_some_and(|at| now.since(at) >= Duration::from_secs(1)) => out.exit(0),
            _ => {}
        });
        assert!((10..=21).contains(&accepted), "{accepted} were accepted");
        let shed = clients.into_iter().filter(|stream| {
            let mut stream = stream;
            matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
        });
        assert_eq!(shed.count(), 100, "all are closed in the end");
        let turns = TURNS.load(Ordering::Relaxed);
        assert!(turns < 200, "{turns} turns in a second in which nothing happens");
    }

    fn without_even_a_reserve_accepting_pauses_until_descriptors_are_free() {
        let few = rustix::process::Rlimit { current: Some(200), maximum: Some(200) };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, few).expect("a low limit");
        let take_all = || std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect::<Vec<_>>();
        let mut all = take_all();
        // The process has just enough descriptors, and none in reserve.
        let mut reactor = std::iter::repeat_with(|| {
            all.pop();
            crate::Reactor::new(Options::default())
        })
        .find_map(Result::ok)
        .expect("a reactor");
        drop(all);
        let (_, address) = reactor.listen_tcp("127.0.0.1:0".parse().expect("an address")).expect("it listens");
        let clients: Vec<_> = (0..10).map(|_| connect(address)).collect();
        let (mut all, mut accepted, mut turns) = (Some(take_all()), 0, 0);
        run(reactor, |now, input, out, wake| match input {
            Input::Begin => *wake = Some(now + Duration::from_secs(1)),
            Input::Accepted { .. } => {
                assert!(all.is_none(), "there was no descriptor for it");
                accepted += 1;
                if accepted == clients.len() {
                    out.exit(0);
                }
            }
            Input::Deadline if wake.is_some_and(|at| at <= now) => {
                turns = TURNS.load(Ordering::Relaxed);
                (all, *wake) = (None, None);
            }
            _ => {}
        });
        assert!((5..200).contains(&turns), "{turns} turns in a second in which nothing can happen");
    }
}
