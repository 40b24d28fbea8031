//! How fast a token ring is: real nodes on the loopback interface. Their logs show which node had the token when.

use std::fs::File;
use std::io::{self, Error};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// The limit on every wait.
const WITHIN: Duration = Duration::from_secs(30);

/// How often the logs are read. The measured time is the one in the log.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The time for which hops are counted at full speed.
const FULL_SPEED_FOR: Duration = Duration::from_secs(3);

/// The number of measured hops.
const HOPS: usize = 12;

/// The first port of the first ring. Each ring has its own ports.
const FIRST_PORT: u16 = 24_800;

/// A kind of ring that is measured.
#[derive(Clone, Copy)]
pub struct Kind {
    pub nodes: usize,
    pub members: bool,
    /// The divisor for the periods of the original.
    pub divided: u64,
    /// At full speed.
    pub no_hold: bool,
}

/// The measured figures, in seconds.
#[derive(Default, Clone)]
pub struct Figures {
    pub first: Vec<f64>,
    pub hops: Vec<f64>,
    pub recoveries: Vec<f64>,
}

/// A node that is killed when this value is dropped.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running ring.
struct Ring {
    kind: Kind,
    scratch: PathBuf,
    port: u16,
    nodes: Vec<Node>,
}

/// When a node had the token, in seconds since 1970.
struct Had {
    at: f64,
    node: usize,
}

/// All kinds run at the same time, because they wait most of the time.
pub fn measure(scratch: &Path, quick: bool) -> Vec<(Kind, io::Result<Figures>)> {
    let rounds = if quick { 1 } else { 5 };
    let kind = |nodes, members, divided| Kind { nodes, members, divided, no_hold: false };
    let each = [1, 10].into_iter().flat_map(|divided| [3, 5].map(|nodes| (nodes, divided)));
    let kinds: Vec<Kind> = each.flat_map(|(nodes, divided)| [true, false].map(|m| kind(nodes, m, divided))).collect();
    thread::scope(|scope| {
        let started: Vec<_> =
            kinds.iter().map(|kind| (*kind, scope.spawn(|| measure_one(scratch, *kind, rounds)))).collect();
        let end = |(kind, thread): (Kind, thread::ScopedJoinHandle<'_, _>)| {
            (kind, thread.join().unwrap_or_else(|_| Err(Error::other("it panicked"))))
        };
        started.into_iter().map(end).collect()
    })
}

/// Returns the hops in a second if no node holds the token. The kinds run one after the other.
pub fn full_speed(scratch: &Path) -> Vec<(Kind, io::Result<f64>)> {
    let kinds = [3, 5].into_iter().flat_map(|nodes| [true, false].map(|members| (nodes, members)));
    let kinds = kinds.map(|(nodes, members)| Kind { nodes, members, divided: 10, no_hold: true });
    kinds.map(|kind| (kind, hops_a_second(scratch, kind))).collect()
}

fn hops_a_second(scratch: &Path, kind: Kind) -> io::Result<f64> {
    let ring = Ring::start(scratch, kind)?;
    ring.wait("all to have had the token", |had| (0..kind.nodes).all(|node| had.iter().any(|had| had.node == node)))?;
    let (before, begin) = (ring.had().len(), Instant::now());
    thread::sleep(FULL_SPEED_FOR);
    Ok((ring.had().len() - before) as f64 / begin.elapsed().as_secs_f64())
}

fn measure_one(scratch: &Path, kind: Kind, rounds: usize) -> io::Result<Figures> {
    let mut figures = Figures::default();
    for _ in 0..rounds {
        let began = now();
        let mut ring = Ring::start(scratch, kind)?;
        let had = ring.wait("a first owner", |had| !had.is_empty())?;
        figures.first.push(had[0].at - began);
        let had = ring.wait("some hops", |had| had.len() > HOPS)?;
        figures.hops.extend(had.windows(2).map(|pair| pair[1].at - pair[0].at));
        // Kills the current owner. It is random whether this hits its step or its hold.
        let owner = had.last().expect("it was waited for").node;
        let killed = now();
        ring.nodes[owner].0.kill()?;
        let next = |had: &[Had]| had.iter().any(|had| had.at > killed && had.node != owner);
        let had = ring.wait("another owner", next)?;
        let next = had.iter().find(|had| had.at > killed && had.node != owner).expect("it was waited for");
        figures.recoveries.push(next.at - killed);
    }
    Ok(figures)
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Ring {
    fn start(scratch: &Path, kind: Kind) -> io::Result<Ring> {
        static SERIAL: AtomicU16 = AtomicU16::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let scratch = scratch.join(format!("ring{serial}"));
        std::fs::create_dir_all(&scratch)?;
        let port = FIRST_PORT + serial;
        let mut ring = Ring { kind, scratch, port, nodes: Vec::new() };
        for node in 0..kind.nodes {
            let node = ring.start_node(node)?;
            ring.nodes.push(node);
        }
        Ok(ring)
    }

    fn start_node(&self, node: usize) -> io::Result<Node> {
        let Kind { nodes, members, divided, no_hold } = self.kind;
        let (long, short) = (2_000 / divided, 500 / divided);
        let hold = if no_hold { 0 } else { long };
        let words = format!(
            "ring --interface lo --address 127.0.81.{} --udp-port {} --tcp-port {} --state-port 0 --work true \
             --heartbeat {short}ms --waiter {long}ms --ask {short}ms --answer {long}ms --generating {long}ms \
             --hold {hold}ms",
            node + 1,
            self.port,
            self.port,
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_arete"));
        command.args(words.split_whitespace());
        command.arg("--state-dir").arg(self.scratch.join(format!("state{node}")));
        if members {
            command.args(["--members", &nodes.to_string()]);
        }
        let log = File::create(self.log(node))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().map(Node)
    }

    fn log(&self, node: usize) -> PathBuf {
        self.scratch.join(format!("{node}.log"))
    }

    /// Returns when each node had the token, ordered by time.
    fn had(&self) -> Vec<Had> {
        let mut all = Vec::new();
        for node in 0..self.kind.nodes {
            let text = std::fs::read_to_string(self.log(node)).unwrap_or_default();
            let lines = text.lines().filter(|line| line.contains(" token ") && line.contains(" is here, "));
            all.extend(lines.filter_map(time_of).map(|at| Had { at, node }));
        }
        all.sort_by(|one, other| one.at.total_cmp(&other.at));
        all
    }

    fn wait(&self, what: &str, enough: impl Fn(&[Had]) -> bool) -> io::Result<Vec<Had>> {
        let begin = Instant::now();
        loop {
            let had = self.had();
            if enough(&had) {
                return Ok(had);
            }
            if begin.elapsed() > WITHIN {
                return Err(Error::other(format!("waited {WITHIN:?} in vain for {what}")));
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// The time at the beginning of a line in a node's log.
fn time_of(line: &str) -> Option<f64> {
    let time: jiff::Timestamp = line.split(' ').next()?.parse().ok()?;
    Some(time.as_millisecond() as f64 / 1e3)
}
