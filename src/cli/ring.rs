//! `arete ring`: its options, and a node of the token ring, from the checks before it starts to its end.

mod demo;
mod files;
mod hear;
mod interface_address;
mod watch;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use arete::reactor::{Options, Reactor, plain};
use arete::ring::message::{ID_MAX, MESSAGE_MAX};
use arete::ring::work;
use arete::ring::{Config, NODES_MAX, Periods, Ring, STATE_PORT, TCP_PORT, UDP_PORT};
use arete::text;
use clap::{Args, Subcommand};

use crate::cli::clock::wall_offset;
use crate::cli::drive::ENDING;
use crate::cli::error::Error;
use crate::cli::random::random;
use crate::cli::ring::hear::hear;
use crate::cli::values::time;
use crate::cli::work_dir::WorkDir;

/// The shortest period: what is shorter is a storm of messages, and no two machines keep time so well.
const PERIOD_MIN: Duration = Duration::from_millis(10);

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct RingOptions {
    #[command(subcommand)]
    sub: Option<Sub>,
    #[command(flatten)]
    node: Option<NodeOptions>,
    // Not in those above: an optional group cannot have groups in it.
    #[command(flatten)]
    periods: PeriodOptions,
}

#[derive(Subcommand)]
enum Sub {
    /// Run a ring of nodes on this machine that computes digits of pi, and show it live
    Demo(demo::DemoOptions),
    /// Listen to the rings of a network, and show their nodes live
    Watch(watch::WatchOptions),
}

/// How a node is set up.
#[derive(Args)]
struct NodeOptions {
    /// The network interface whose network the ring is on
    #[arg(long, value_name = "IF")]
    interface: String,
    /// The work step: a shell command that reads the data and writes the new data
    #[arg(long, value_name = "CMD")]
    work: String,
    /// A shell command that reads the data and prints how far it has come [default: the length of the data]
    #[arg(long, value_name = "CMD")]
    progress: Option<String>,
    /// Which address of the interface is this node's [default: the first with a broadcast address]
    #[arg(long)]
    address: Option<Ipv4Addr>,
    /// Unique in the ring [default: the interface's MAC address as a decimal number; on loopback the address]
    #[arg(long)]
    id: Option<String>,
    /// How many nodes the ring has: a new token needs more than half of them
    #[arg(long, value_name = "N", requires = "state_dir",
          value_parser = clap::value_parser!(u32).range(1..=NODES_MAX as i64))]
    members: Option<u32>,
    /// A file with a secret that all nodes share: what is not sealed with it is not believed
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// What this node must not forget is kept there
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Be in a ring with nodes of the original program, and promise no more than it can
    #[arg(long, conflicts_with_all = ["members", "key_file"])]
    compat: bool,
    /// The port for what is said to all
    #[arg(long, value_name = "PORT", default_value_t = UDP_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    udp_port: u16,
    /// The port for what is said to one
    #[arg(long, value_name = "PORT", default_value_t = TCP_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    tcp_port: u16,
    /// The port where those listen who watch; 0 tells nobody
    #[arg(long, value_name = "PORT", default_value_t = STATE_PORT)]
    state_port: u16,
}

/// How long what a node waits for takes; by default as long as in the original.
#[derive(Args)]
struct PeriodOptions {
    /// An owner keeps the token for so long when its step is done sooner; 0 for full speed [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    hold: Option<Duration>,
    /// So often an owner says where the token is [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = time)]
    heartbeat: Option<Duration>,
    /// For so long a node is content with what it has heard of the token [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    waiter: Option<Duration>,
    /// So often a node asks where the token is [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = time)]
    ask: Option<Duration>,
    /// For so long a node waits for an answer before it makes a token [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    answer: Option<Duration>,
    /// For so long others may object to a new token [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    generating: Option<Duration>,
}

impl PeriodOptions {
    /// The periods, if they make sense together.
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
        two_of(waiter, heartbeat, true, "one heartbeat that is lost must not lose the token")?;
        two_of(answer, ask, false, "one question that is lost must not make a token")?;
        two_of(generating, ask, false, "a new token is said again each --ask, so that all hear of it")?;
        Ok(periods)
    }
}

/// A period that must have room for two of another.
fn two_of(long: (&str, Duration), short: (&str, Duration), and_more: bool, why: &str) -> Result<(), Error> {
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
        (None, None) => Err(Error::usage("arete ring: say at least --interface IF and --work CMD")),
    }
}

/// Runs a node until it is told to stop.
fn run_node(options: NodeOptions, periods: Periods) -> Result<u8, Error> {
    if options.udp_port == options.state_port {
        let port = options.udp_port;
        return Err(Error::usage(format!("--udp-port and --state-port are both {port}: give each a port of its own")));
    }
    files::check_step("--work", &options.work)?;
    options.progress.iter().try_for_each(|command| files::check_step("--progress", command))?;
    let place = interface_address::find(&options.interface, options.address)?;
    let id = id(options.id, &place)?;
    let key = options.key_file.as_deref().map(files::key).transpose()?;
    let state = options.state_dir.as_deref().map(files::StateDir::open).transpose()?;
    let mut reactor = reactor(options.members.is_some(), place.address)?;
    listen(&mut reactor, &place, options.udp_port, options.tcp_port)?;
    let temporary = if state.is_none() { Some(WorkDir::make(false)?) } else { None };
    let dir = state.as_ref().map(|state| &state.path).or(temporary.as_ref().map(|work| &work.path));
    let mut ring = Ring::new(Config {
        id,
        address: place.address,
        broadcast: place.broadcast,
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

/// The node's id: what was asked for, or one that comes from the interface, as in the original.
fn id(asked: Option<String>, place: &interface_address::InterfaceAddress) -> Result<String, Error> {
    match (asked, place.mac) {
        (Some(id), _) if id.is_empty() || id.len() > ID_MAX || id.chars().any(char::is_control) => {
            Err(Error::usage(format!("--id {id:?}: an id has 1 to {ID_MAX} bytes, none of them control characters")))
        }
        (Some(id), _) => Ok(id),
        (None, Some(mac)) => Ok(mac.into_iter().fold(0, |number, byte| number << 8 | u64::from(byte)).to_string()),
        (None, None) => Ok(place.address.to_string()),
    }
}

/// The reactor of a node: with members everything that it remembers is on the disk before anybody hears of it.
fn reactor(fsync: bool, source: Ipv4Addr) -> Result<Reactor, Error> {
    let options = Options {
        signals: ENDING.to_vec(),
        fsync,
        source: Some(source.into()),
        max_queue: MESSAGE_MAX,
        ..Options::default()
    };
    Reactor::new(options).map_err(|error| Error::failed(format!("cannot start: {error}", error = plain(&error))))
}

/// Opens the ports of a node.
fn listen(
    reactor: &mut Reactor,
    place: &interface_address::InterfaceAddress,
    udp_port: u16,
    tcp_port: u16,
) -> Result<(), Error> {
    let address = SocketAddr::from((place.address, tcp_port));
    reactor.listen_tcp(address).map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another node or program has it; stop that, or give this node another --address"
            }
            _ => "say another port, the same on all nodes",
        };
        Error::failed(format!(
            "--tcp-port {tcp_port}: cannot listen on {address}: {error}; {advice}",
            error = plain(&error)
        ))
    })?;
    hear(reactor, "--udp-port", Some(&place.name), place.address, udp_port).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn periods(change: impl FnOnce(&mut PeriodOptions)) -> Result<Periods, String> {
        let none = None;
        let mut options =
            PeriodOptions { hold: none, heartbeat: none, waiter: none, ask: none, answer: none, generating: none };
        change(&mut options);
        options.periods().map_err(|error| error.message)
    }

    #[test]
    fn without_options_the_periods_are_those_of_the_original() {
        assert_eq!(periods(|_| {}), Ok(Periods::default()));
        assert_eq!(periods(|options| options.hold = Some(Duration::ZERO)).map(|p| p.hold), Ok(Duration::ZERO));
    }

    #[test]
    fn periods_that_do_not_fit_together_are_said_with_one_that_would() {
        let millis = |number| Some(Duration::from_millis(number));
        let wrong = |change: fn(&mut PeriodOptions)| periods(change).unwrap_err();
        assert!(wrong(|o| o.heartbeat = Some(Duration::from_secs(1))).ends_with("make it more than 2s"));
        assert!(wrong(|o| o.answer = Some(Duration::from_millis(999))).starts_with("--answer 999ms is too short"));
        assert!(wrong(|o| o.generating = Some(Duration::from_millis(10))).ends_with("make it at least 1s"));
        assert!(wrong(|o| o.ask = Some(Duration::from_millis(9))).ends_with("a period is at least 10ms"));
        assert!(periods(|options| options.answer = millis(1_000)).is_ok());
    }
}
