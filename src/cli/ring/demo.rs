//! `arete ring demo`: makes a directory, finds free addresses and ports, and runs a demo.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use arete::reactor::{Options, terminal_size};
use arete::ring::demo::{Config, Demo, Node};
use clap::Args;

use crate::cli::drive;
use crate::cli::error::Error;
use crate::cli::random::random;
use crate::cli::ring::datagrams;
use crate::cli::values::{number, time};
use crate::cli::work_dir::{WorkDir, own_program};

/// The script of the work step. The program contains it, because the examples need not be installed.
const PI: &str = include_str!("../../../examples/pi.sh");

/// The lowest port of a demo. The range is below the ports that the system chooses itself.
const FIRST_PORT: u16 = 20_000;

/// The number of ports in the range.
const PORTS: u64 = 12_000;

/// The number of attempts to find free ports.
const TRIES: usize = 100;

#[derive(Args)]
pub struct DemoOptions {
    /// The number of nodes
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = |text: &str| number::<u8>(text, 50, "number of nodes"))]
    nodes: u8,
    /// The time for which each node keeps the token
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "500ms")]
    hold: Duration,
}

/// Ports that are free on all addresses of the demo: for messages between nodes, and for watchers.
struct Ports {
    ring: u16,
    state: u16,
}

pub fn run(options: &DemoOptions) -> Result<u8, Error> {
    let work = WorkDir::make(false)?;
    let script = work.path.join("pi.sh");
    std::fs::write(&script, PI).map_err(Error::cannot(format_args!("write {}", script.display())))?;
    let network = random().to_ne_bytes()[0].max(1);
    let addresses: Vec<Ipv4Addr> = (1..=options.nodes).map(|number| Ipv4Addr::new(127, 0, network, number)).collect();
    let ports = (0..TRIES).find_map(|_| free_ports(&addresses));
    let ports = ports.ok_or_else(|| Error::failed("cannot find free ports on the loopback interface: is it up?"))?;
    let mut reactor = drive::reactor_with(Options { subreaper: true, ..Options::default() })?;
    let lo = "lo".to_owned();
    for port in [ports.ring, ports.state] {
        datagrams::listen(&mut reactor, "the demo's port", Some(&lo), Ipv4Addr::LOCALHOST, port)?;
    }
    let arete = own_program()?;
    let node = |(number, address): (usize, &Ipv4Addr)| {
        let id = format!("node{number:0width$}", width = options.nodes.to_string().len());
        let state_dir = work.path.join(&id);
        let argv = argv(&arete, &work.path, &id, *address, &ports, options);
        Node { argv, address: *address, log: work.path.join(format!("{id}.log")), state_dir, id }
    };
    let nodes = (1..).zip(&addresses).map(node).collect();
    let mut demo = Demo::new(Config { nodes, terminal: terminal_size() });
    Ok(reactor.run(&mut demo))
}

/// Returns the command line of a node.
fn argv(arete: &Path, dir: &Path, id: &str, address: Ipv4Addr, ports: &Ports, options: &DemoOptions) -> Vec<String> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let quoted = path(&dir.join("pi.sh")).replace('\'', r"'\''");
    let port = ports.ring.to_string();
    let words = [
        ("--id", id.to_owned()),
        ("--address", address.to_string()),
        ("--work", format!("sh '{quoted}'")),
        ("--members", options.nodes.to_string()),
        ("--state-dir", path(&dir.join(id))),
        ("--hold", options.hold.as_secs_f64().to_string()),
        ("--udp-port", port.clone()),
        ("--tcp-port", port),
        ("--state-port", ports.state.to_string()),
    ];
    let fixed = [path(arete), "ring".to_owned(), "--interface".to_owned(), "lo".to_owned()];
    fixed.into_iter().chain(words.into_iter().flat_map(|(option, value)| [option.to_owned(), value])).collect()
}

/// Chooses ports. Returns `None` if one is not free. These sockets do not share their ports, so another demo is detected.
fn free_ports(addresses: &[Ipv4Addr]) -> Option<Ports> {
    let ring = FIRST_PORT + (random() % PORTS) as u16;
    let ports = Ports { ring, state: ring + 1 };
    let anywhere = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let _sockets = (UdpSocket::bind(anywhere(ports.ring)).ok()?, UdpSocket::bind(anywhere(ports.state)).ok()?);
    let listens = |address: &Ipv4Addr| TcpListener::bind(SocketAddr::from((*address, ports.ring))).is_ok();
    addresses.iter().all(listens).then_some(ports)
}
