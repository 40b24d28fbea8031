//! The reactor on real sockets, processes and files.
//!
//! Every test runs in its own process, because a reactor reaps all children of its process and sets its limits.

#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
mod datagrams;
mod deadlines;
mod files;
mod network;
mod processes;
mod terminal;
mod tls;

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arete::machine::{Command, Input, Machine, Outbox, Time};
use arete::reactor::{Options, Reactor};

/// The limit on every wait in these tests.
const LIMIT: Duration = Duration::from_secs(20);

/// Defines tests whose bodies run in their own processes.
macro_rules! alone {
    ($(fn $name:ident() $body:block)*) => {
        $(#[test]
        fn $name() {
            crate::run_alone(concat!(module_path!(), "::", stringify!($name)), || $body);
        })*
    };
}
pub(crate) use alone;

fn run_alone(path: &str, body: impl FnOnce()) {
    let name = path.split_once("::").expect("a crate's name").1;
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
    assert!(output.status.success() && shown.contains("1 passed"), "{name}: {}\n{shown}", output.status);
}

/// The number of calls for a machine's deadline: at least one in each turn.
static TURNS: AtomicUsize = AtomicUsize::new(0);

/// A machine that is a closure. The limit ends a test that hangs.
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
        TURNS.fetch_add(1, Ordering::Relaxed);
        [self.wake, self.limit].into_iter().flatten().min()
    }
}

/// Runs a closure as a machine. Its last argument is the deadline that it wants.
fn run(reactor: Reactor, step: impl FnMut(Time, Input<'_>, &mut Outbox, &mut Option<Time>)) -> u8 {
    reactor.run(&mut Test { step, wake: None, limit: None })
}

/// A reactor with defaults, and a listener.
fn plain() -> Reactor {
    Reactor::new(Options::default()).expect("a reactor")
}

fn listening(options: Options) -> (Reactor, SocketAddr) {
    let mut reactor = Reactor::new(options).expect("a reactor");
    let (_, address) = reactor.listen_tcp("127.0.0.1:0".parse().expect("an address")).expect("it listens");
    (reactor, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it connects");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    stream
}

fn shell(script: &str) -> Command {
    Command { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), ..Command::default() }
}

/// Waits until a condition is true.
fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory that is removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let path = std::env::temp_dir().join(format!("arete-reactor-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Scratch(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
