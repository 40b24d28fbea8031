//! `arete ring`: its options, and the start of a node of the token ring.

mod datagrams;
mod demo;
mod files;
mod interface_address;
mod watch;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use arete::reactor::Options;
use arete::ring::message::{ID_MAX, MESSAGE_MAX};
use arete::ring::work;
use arete::ring::{Config, NODES_MAX, Periods, Ring, STATE_PORT, TCP_PORT, UDP_PORT};
use arete::text;
use clap::{Args, Subcommand};

use crate::cli::clock::wall_offset;
use crate::cli::drive;
use crate::cli::error::{Error, ListenError};
use crate::cli::random::random;
use crate::cli::values::{number, port, time};
use crate::cli::work_dir::WorkDir;

/// The shortest period. Shorter ones would flood the network, and machines do not keep time that precisely.
const PERIOD_MIN: Duration = Duration::from_millis(10);

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct RingOptions {
    #[command(subcommand)]
    sub: Option<Sub>,
    #[command(flatten)]
    node: Option<NodeOptions>,
    // These are not part of the node options, because clap does not support groups in an optional group.
    #[command(flatten)]
    periods: PeriodOptions,
}

#[derive(Subcommand)]
enum Sub {
    /// Run a ring of nodes on this machine that computes digits of pi, with a live display
    Demo(demo::DemoOptions),
    /// Listen to the rings of a network, with a live display of their nodes
    Watch(watch::WatchOptions),
}

/// The options of a node.
#[derive(Args)]
struct NodeOptions {
    /// The network interface to the network of the ring
    #[arg(long, value_name = "IF")]
    interface: String,
    /// The work step: a shell command that reads the data and writes the new data
    #[arg(long, value_name = "CMD")]
    work: String,
    /// A shell command that reads the data and prints the progress of the work [default: the length of the data]
    #[arg(long, value_name = "CMD")]
    progress: Option<String>,
    /// The address of this node on the interface [default: the first with a broadcast address]
    #[arg(long)]
    address: Option<Ipv4Addr>,
    /// The id of this node, unique in the ring [default: the MAC address as a decimal number; on loopback the address]
    #[arg(long)]
    id: Option<String>,
    /// The number of nodes in the ring; a new token needs the grants of more than half of them
    #[arg(long, value_name = "N", requires = "state_dir",
          value_parser = |text: &str| number::<u32>(text, NODES_MAX as u64, "number of nodes"))]
    members: Option<u32>,
    /// A file with the secret that all nodes share; messages without a valid seal are ignored
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The directory for the state of this node, which a restarted node needs
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Join a ring with nodes of the original program, with its guarantees only
    #[arg(long, conflicts_with_all = ["members", "key_file"])]
    compat: bool,
    /// The port for messages to all nodes
    #[arg(long, value_name = "PORT", default_value_t = UDP_PORT, value_parser = port)]
    udp_port: u16,
    /// The port for messages to one node
    #[arg(long, value_name = "PORT", default_value_t = TCP_PORT, value_parser = port)]
    tcp_port: u16,
    /// The port on which watchers listen; 0 sends them nothing
    #[arg(long, value_name = "PORT", default_value_t = STATE_PORT)]
    state_port: u16,
}

/// The periods of a node; by default those of the original program.
#[derive(Args)]
struct PeriodOptions {
    /// The minimum time for which an owner keeps the token; 0 for full speed [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    hold: Option<Duration>,
    /// The interval at which an owner announces that it has the token [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = time)]
    heartbeat: Option<Duration>,
    /// Search for the token after TIME without news of it [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    waiter: Option<Duration>,
    /// The interval at which a node that misses the token asks where it is [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = time)]
    ask: Option<Duration>,
    /// The time that such a node waits for an answer before it creates a token [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    answer: Option<Duration>,
    /// The time during which other nodes may object to a new token [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    generating: Option<Duration>,
}

impl PeriodOptions {
    /// Returns the periods. Fails if they do not fit together.
    fn periods(&self) -> Result<Periods, Error> {
        let default = Periods::default();
        let periods = Periods {
            heartbeat: self.heartbeat.unwrap_or(default.heartbeat),
            waiter: self.waiter.unwrap_or(default.waiter),
            ask: self.ask.unwrap_or(default.ask),
            answer: self.answer.unwrap_or(default.answer),
            generating: self.generating.unwrap_or(default.generating),
            hold: self.hold.unwrap_or(default.hold),
        };
        let named = [
            ("--heartbeat", periods.heartbeat),
            ("--waiter", periods.waiter),
            ("--ask", periods.ask),
            ("--answer", periods.answer),
            ("--generating", periods.generating),
        ];
        if let Some((name, short)) = named.into_iter().find(|(_, period)| *period < PERIOD_MIN) {
            let (short, least) = (text::duration(short), text::duration(PERIOD_MIN));
            return Err(Error::usage(format!("{name} {short} is too short: a period is at least {least}")));
        }
        let [heartbeat, waiter, ask, answer, generating] = named;
        check_ratio(waiter, heartbeat, true, "one lost heartbeat must not start a search for the token")?;
        check_ratio(answer, ask, false, "one lost question must not create a token")?;
        check_ratio(generating, ask, false, "a new token is announced every --ask, and all nodes must learn of it")?;
        Ok(periods)
    }
}

/// Fails unless one period is at least twice another, or more than twice.
fn check_ratio(long: (&str, Duration), short: (&str, Duration), and_more: bool, why: &str) -> Result<(), Error> {
    let room = short.1 * 2;
    if long.1 > room || !and_more && long.1 == room {
        return Ok(());
    }
    let than = if and_more { "more than" } else { "at least" };
    let (long_time, short_time) = (text::duration(long.1), text::duration(short.1));
    Err(Error::usage(format!(
        "{} {long_time} is too short for {} {short_time}: {why}; make it {than} {}",
        long.0,
        short.0,
        text::duration(room)
    )))
}

pub fn run(options: RingOptions) -> Result<u8, Error> {
    match (options.sub, options.node) {
        (Some(Sub::Demo(options)), _) => demo::run(&options),
        (Some(Sub::Watch(options)), _) => watch::run(options),
        (None, Some(node)) => run_node(node, options.periods.periods()?),
        (None, None) => Err(Error::usage("arete ring: --interface IF and --work CMD are required")),
    }
}

/// Runs a node until a signal ends it.
fn run_node(options: NodeOptions, periods: Periods) -> Result<u8, Error> {
    if options.udp_port == options.state_port {
        let port = options.udp_port;
        return Err(Error::usage(format!("--udp-port and --state-port are both {port}: give each a port of its own")));
    }
    files::check_step("--work", &options.work)?;
    options.progress.iter().try_for_each(|command| files::check_step("--progress", command))?;
    let own = interface_address::find(&options.interface, options.address)?;
    let id = id(options.id, &own)?;
    let key = options.key_file.as_deref().map(files::key).transpose()?;
    let state = options.state_dir.as_deref().map(files::StateDir::open).transpose()?;
    let mut reactor = drive::reactor_with(Options {
        // With members, a node stores everything that it promises before another node learns of it.
        fsync: options.members.is_some(),
        source: Some(own.address.into()),
        max_queue: MESSAGE_MAX,
        ..Options::default()
    })?;
    let (tcp_port, address) = (options.tcp_port, SocketAddr::from((own.address, options.tcp_port)));
    reactor.listen_tcp(address).map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => "stop the other node or program, or give this node another --address",
            _ => "choose another port, the same on all nodes",
        };
        let (error, advice) = (ListenError::Refused(address, error), advice.to_owned());
        Error::Listen { subject: format!("--tcp-port {tcp_port}"), error, advice }
    })?;
    datagrams::listen(&mut reactor, "--udp-port", Some(&own.name), own.address, options.udp_port)?;
    let temporary = if state.is_none() { Some(WorkDir::make(false)?) } else { None };
    let dir = state.as_ref().map(|state| &state.path).or(temporary.as_ref().map(|work| &work.path));
    let mut ring = Ring::new(Config {
        id,
        address: own.address,
        broadcast: own.broadcast,
        udp_port: options.udp_port,
        tcp_port: options.tcp_port,
        state_port: (options.state_port != 0).then_some(options.state_port),
        periods,
        compat: options.compat,
        members: options.members,
        key,
        boot: random(),
        work: work::Config { step: options.work, progress: options.progress, dir: dir.cloned().unwrap_or_default() },
        state: state.as_ref().map(|state| state.path.clone()),
        wall_offset: wall_offset(),
    });
    Ok(reactor.run(&mut ring))
}

/// Returns the id of the node: the one of `--id`, or as in the original program one from the interface.
fn id(id: Option<String>, own: &interface_address::InterfaceAddress) -> Result<String, Error> {
    match (id, own.mac) {
        (Some(id), _) if id.is_empty() || id.len() > ID_MAX || id.chars().any(char::is_control) => {
            Err(Error::usage(format!("--id {id:?}: an id has 1 to {ID_MAX} bytes, none of them control characters")))
        }
        (Some(id), _) => Ok(id),
        (None, Some(mac)) => Ok(mac.into_iter().fold(0, |number, byte| number << 8 | u64::from(byte)).to_string()),
        (None, None) => Ok(own.address.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn periods(change: impl FnOnce(&mut PeriodOptions)) -> Result<Periods, Error> {
        let none = None;
        let mut options =
            PeriodOptions { hold: none, heartbeat: none, waiter: none, ask: none, answer: none, generating: none };
        change(&mut options);
        options.periods()
    }

    #[test]
    fn without_options_the_periods_are_those_of_the_original() {
        assert_eq!(periods(|_| {}).unwrap(), Periods::default());
        assert_eq!(periods(|options| options.hold = Some(Duration::ZERO)).unwrap().hold, Duration::ZERO);
    }

    #[test]
    fn the_error_about_periods_that_do_not_fit_names_one_that_would() {
        let millis = |number| Some(Duration::from_millis(number));
        let error = |change: fn(&mut PeriodOptions)| periods(change).unwrap_err().to_string();
        assert!(error(|o| o.heartbeat = Some(Duration::from_secs(1))).ends_with("make it more than 2s"));
        assert!(error(|o| o.answer = Some(Duration::from_millis(999))).starts_with("--answer 999ms is too short"));
        assert!(error(|o| o.generating = Some(Duration::from_millis(10))).ends_with("make it at least 1s"));
        assert!(error(|o| o.ask = Some(Duration::from_millis(9))).ends_with("a period is at least 10ms"));
        assert!(periods(|options| options.answer = millis(1_000)).is_ok());
    }
}
