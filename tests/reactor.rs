//! The reactor on real sockets, processes and files.
//!
//! Every test runs in a process of its own: a reactor reaps all children of its process and sets its limits, which
//! tests in one process would do to each other.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use arete::machine::{Address, ChildId, Command, ConnId, Exit, Input, Machine, Outbox, ReadId, Signal, Stream, Time};
use arete::reactor::{Options, Reactor};

/// How long anything in these tests may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test's body in a process of its own.
fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var("ARETE_TEST_ALONE").as_deref() == Ok(name) {
        return body();
    }
    let output = Process::new(std::env::current_exe().expect("own path"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("ARETE_TEST_ALONE", name)
        .stdin(Stdio::null())
        .output()
        .expect("the test binary runs");
    let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{shown}", output.status);
}

/// A machine that is a closure; a deadline ends every test that hangs.
struct Test<F> {
    step: F,
    wake: Option<Time>,
    limit: Option<Time>,
}

impl<F: FnMut(Time, Input<'_>, &mut Outbox, &mut Option<Time>)> Machine for Test<F> {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let limit = *self.limit.get_or_insert(now + LIMIT);
        assert!(now < limit, "the test took too long; last input: {input:?}");
        (self.step)(now, input, out, &mut self.wake);
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.wake, self.limit].into_iter().flatten().min()
    }
}

fn run(reactor: Reactor, step: impl FnMut(Time, Input<'_>, &mut Outbox, &mut Option<Time>)) -> u8 {
    reactor.run(&mut Test { step, wake: None, limit: None })
}

fn reactor(options: Options) -> (Reactor, SocketAddr) {
    let mut reactor = Reactor::new(options).expect("a reactor");
    let (_, address) = reactor.listen_tcp("127.0.0.1:0".parse().expect("an address")).expect("it listens");
    (reactor, address)
}

fn shell(script: &str) -> Command {
    Command { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), ..Command::default() }
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("arete-reactor-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it connects");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    stream
}

#[test]
fn everything_sent_to_an_echo_comes_back_whatever_its_size() {
    alone("everything_sent_to_an_echo_comes_back_whatever_its_size", || {
        let (reactor, address) = reactor(Options::default());
        let client = std::thread::spawn(move || {
            for size in [1, 2, 63, 1000, 65_535, 65_536, 65_537, 3_000_000] {
                let mut stream = connect(address);
                let sent: Vec<u8> = (0..size).map(|i| (i * 7 + i / 251) as u8).collect();
                let mut writer = stream.try_clone().expect("a clone");
                let copy = sent.clone();
                let writing = std::thread::spawn(move || {
                    writer.write_all(&copy).expect("it writes");
                });
                let mut got = vec![0; size];
                stream.read_exact(&mut got).expect("it comes back");
                writing.join().expect("written");
                assert!(got == sent, "{size} bytes came back changed");
            }
            connect(address).write_all(b"q").expect("it writes");
        });
        let mut open = 0;
        let code = run(reactor, |_, input, out, _| match input {
            Input::Accepted { .. } => open += 1,
            Input::Received { bytes: b"q", .. } if open == 9 => out.exit(7),
            Input::Received { conn, bytes } => out.send(conn, bytes.into()),
            _ => {}
        });
        assert_eq!(code, 7);
        client.join().expect("the client is content");
    });
}

#[test]
fn a_child_tells_how_it_ended() {
    alone("a_child_tells_how_it_ended", || {
        let reactor = Reactor::new(Options::default()).expect("a reactor");
        let mut ends: Vec<(ChildId, Exit)> = Vec::new();
        let mut children = Vec::new();
        run(reactor, |_, input, out, _| match input {
            Input::Begin => {
                children = ["exit 3", "kill -TERM $$", "true"].map(|script| out.spawn(shell(script))).to_vec();
            }
            Input::Exited { child, exit } => {
                ends.push((child, exit));
                if ends.len() == 3 {
                    out.exit(0);
                }
            }
            Input::SpawnFailed { error, .. } => panic!("{error}"),
            _ => {}
        });
        ends.sort_by_key(|(child, _)| *child);
        let exits: Vec<Exit> = ends.iter().map(|(_, exit)| *exit).collect();
        assert_eq!(exits, [Exit::Code(3), Exit::Signal(Signal::TERM), Exit::Code(0)]);
        assert_eq!(ends.iter().map(|(child, _)| *child).collect::<Vec<_>>(), children);
    });
}

#[test]
fn whoever_hears_of_a_line_finds_it_in_the_file() {
    alone("whoever_hears_of_a_line_finds_it_in_the_file", || {
        let scratch = Scratch::new("order");
        let path = scratch.0.join("deep/down/log");
        let (reactor, address) = reactor(Options { fsync: true, ..Options::default() });
        let log = path.clone();
        let client = std::thread::spawn(move || {
            let mut stream = connect(address);
            for round in 1..=200usize {
                stream.write_all(b"x").expect("it writes");
                stream.read_exact(&mut [0; 1]).expect("an answer");
                let length = std::fs::metadata(&log).expect("the log").len();
                assert_eq!(length, round as u64 * 8, "in round {round}");
            }
        });
        run(reactor, |_, input, out, _| match input {
            Input::Received { conn, .. } => {
                out.send(conn, b"y".as_slice().into());
                out.append(path.clone(), b"one\n".to_vec());
                out.append(path.clone(), b"two\n".to_vec());
            }
            Input::Closed { .. } => out.exit(0),
            _ => {}
        });
        client.join().expect("the client is content");
    });
}

#[test]
fn a_refused_connection_says_so() {
    alone("a_refused_connection_says_so", || {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let mut conn = ConnId(0);
        let mut why = String::new();
        run(Reactor::new(Options::default()).expect("a reactor"), |_, input, out, _| match input {
            Input::Begin => conn = out.connect(Address::Inet(address.to_string())),
            Input::Closed { conn: closed, reason } => {
                assert_eq!(closed, conn);
                why = reason;
                out.exit(0);
            }
            _ => {}
        });
        assert_eq!(why, format!("{address}: connection refused"));
    });
}
