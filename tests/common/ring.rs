//! The nodes of a ring, as real processes, and one file to which every work step writes a line when it starts.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};
use rustix::process::Signal;

use super::{Place, Running, wait_for};

/// The periods of the original. With them a killed owner has a successor within 6 seconds.
pub const ORIGINAL: &str = "";

/// A fifth of them: short, but long enough for a busy machine.
pub const SHORT: &str = "--heartbeat 100ms --waiter 400ms --ask 100ms --answer 400ms --generating 400ms";

/// Longer than any scenario.
const DEADLINE: Duration = Duration::from_secs(120);

/// Unused ports. Broadcasts on loopback reach all nodes of this machine.
pub fn free_ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], port))).is_ok();
    loop {
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() as u16 % 450) * 20 + serial % 10 * 2;
        if free(port) && free(port + 1) {
            return (port, port + 1);
        }
    }
}

/// A connection from this address, to which a node can answer.
pub fn connect_from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("there are sockets");
    rustix::net::bind(&socket, &SocketAddr::from((source, 0))).expect("the address is ours");
    rustix::net::connect(&socket, &to).expect("the node listens");
    TcpStream::from(socket)
}

/// A work step that was started. Steps are in the order of their starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub node: usize,
    /// The epoch and the hop of its token.
    pub token: (u64, u64),
    /// The data that it received.
    pub data: String,
}

/// The nodes of a ring. Each appends one character to the data, the digit of its number.
pub struct Ring<'a> {
    place: &'a Place,
    name: String,
    command: Box<dyn Fn(usize) -> Command + 'a>,
    running: RefCell<Vec<Option<Running<'a>>>>,
}

impl<'a> Ring<'a> {
    /// A ring without running nodes. `command` starts a node without its work step. `name` differs between the rings
    /// of a test.
    pub fn new(place: &'a Place, name: &str, command: impl Fn(usize) -> Command + 'a) -> Ring<'a> {
        Ring { place, name: name.to_owned(), command: Box::new(command), running: RefCell::default() }
    }

    /// Starts as many nodes as there are numbers.
    pub fn start_all(self, nodes: std::ops::Range<usize>) -> Ring<'a> {
        nodes.for_each(|node| self.start(node));
        self
    }

    /// Starts a node, or restarts one that was killed.
    pub fn start(&self, node: usize) {
        let mut command = (self.command)(node);
        command.args(["--work", &self.work_step(node), "--state-dir", &self.state_dir(node)]);
        self.run(node, command);
    }

    /// Starts another program as a node. The previous program was asked to end, and keeps the node's port until it has
    /// ended.
    pub fn run(&self, node: usize, command: Command) {
        let mut running = self.running.borrow_mut();
        while running.len() <= node {
            running.push(None);
        }
        if let Some(former) = running[node].take() {
            former.wait();
        }
        running[node] = Some(self.place.program(command).deadline(DEADLINE).start());
    }

    /// A step that reports its start at once, with its token and its data.
    fn work_step(&self, node: usize) -> String {
        let file = self.steps_file();
        format!(
            "data=$(cat); echo \"{node} $ARETE_TOKEN_EPOCH $ARETE_TOKEN_HOP $data\" >> '{}'; printf '%s{node}' \"$data\"",
            file.display()
        )
    }

    pub fn steps_file(&self) -> std::path::PathBuf {
        self.place.path(format!("{}.steps", self.name))
    }

    fn state_dir(&self, node: usize) -> String {
        self.place.path(format!("{}.state{node}", self.name)).display().to_string()
    }

    pub fn signal(&self, node: usize, signal: Signal) {
        self.running.borrow()[node].as_ref().expect("it was started").signal(signal);
    }

    pub fn pid(&self, node: usize) -> u32 {
        self.running.borrow()[node].as_ref().expect("it was started").pid()
    }

    #[track_caller]
    pub fn assert_runs(&self, node: usize) {
        let mut running = self.running.borrow_mut();
        let running = running[node].as_mut().expect("it was started");
        assert!(running.is_running(), "node {node} has ended: {}{}", running.stdout(), running.stderr());
    }

    /// The log of a node since its last start.
    pub fn log(&self, node: usize) -> String {
        self.running.borrow()[node].as_ref().expect("it was started").stdout()
    }

    /// All steps up to now.
    pub fn steps(&self) -> Vec<Step> {
        let text = std::fs::read_to_string(self.steps_file()).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(parse).collect()
    }

    /// Waits until `enough` accepts the steps.
    #[track_caller]
    pub fn wait_for_steps(&self, within: Duration, what: &str, enough: impl Fn(&[Step]) -> bool) -> Vec<Step> {
        wait_for(within, &format!("{what} ({})", self.name), || enough(&self.steps()));
        self.steps()
    }

    /// Waits until each of these nodes has started a step after the first `from` ones.
    #[track_caller]
    pub fn wait_until_all_work(&self, within: Duration, from: usize, nodes: &[usize]) -> Vec<Step> {
        let what = format!("nodes {nodes:?} to be in rotation");
        self.wait_for_steps(within, &what, |steps| {
            let worked = workers(&steps[from..]);
            nodes.iter().all(|node| worked.contains(node))
        })
    }

    /// Waits for the next step and returns it. Its node has the token now.
    #[track_caller]
    pub fn wait_for_next_step(&self, within: Duration) -> Step {
        let before = self.steps().len();
        let steps = self.wait_for_steps(within, "another step", |steps| steps.len() > before);
        steps.last().expect("it was waited for").clone()
    }
}

fn parse(line: &str) -> Step {
    let mut words = line.splitn(4, ' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("a step says {line}"));
    let (node, epoch, hop): (u64, u64, u64) = (number(), number(), number());
    Step { node: node as usize, token: (epoch, hop), data: words.next().unwrap_or_default().to_owned() }
}

/// The nodes that have worked.
pub fn workers(steps: &[Step]) -> BTreeSet<usize> {
    steps.iter().map(|step| step.node).collect()
}

/// Fails the test if a step started with a token not above the previous one, or on older data.
#[track_caller]
pub fn assert_increasing(steps: &[Step]) {
    for pair in steps.windows(2) {
        assert!(pair[1].token > pair[0].token, "an old token was acted on: {pair:?}");
        assert!(pair[1].data.starts_with(&pair[0].data), "the data is older: {pair:?}");
    }
}

/// Fails the test unless the token has passed all `nodes` nodes in order, with one hop and one character each time.
#[track_caller]
pub fn assert_in_order(steps: &[Step], nodes: usize) {
    for pair in steps.windows(2) {
        let (one, next) = (&pair[0], &pair[1]);
        assert_eq!(next.node, (one.node + 1) % nodes, "in the order of ids: {pair:?}");
        assert_eq!(next.token, (one.token.0, one.token.1 + 1), "each hop once: {pair:?}");
        assert_eq!(next.data, format!("{}{}", one.data, one.node), "one character for each hop: {pair:?}");
    }
}
