//! The subcommands that ask a controller which runs tests for others: `arete run --controller`, `attach`, `stop`,
//! `results`, `runs` and `status`.
//!
//! The run belongs to the controller: it goes on when one of these ends.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use arete::machine::{Address, Time};
use arete::operator::{Config, Operator, OverviewOptions, Show, Submission, Task};
use arete::reactor::{self, Tls};
use arete::wire::operate::RunState;
use clap::Args;
use rustix::fs::Access;
use rustix::io::Errno;

use crate::cli::environment::{self, VARIABLE};
use crate::cli::error::Error;
use crate::cli::random::random;
use crate::cli::run::load::{self, Loaded};
use crate::cli::run::options::RunOptions;
use crate::cli::run::results_dir;
use crate::cli::tls::identity::{Security, Use};
use crate::cli::values::time_limit;
use crate::cli::{address, drive, lock};

/// The socket of a controller on this machine.
const SOCKET: &str = "/run/arete/controller.sock";

/// Where the controller is, and how long it may take.
#[derive(Args)]
pub struct ControllerTarget {
    /// The controller: HOST, HOST:PORT or the path of its socket [default: $ARETE_CONTROLLER, else
    /// /run/arete/controller.sock]
    #[arg(long, value_name = "ADDRESS")]
    controller: Option<String>,
    /// Give up after so long [default: never]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    #[command(flatten)]
    security: Security,
}

#[derive(Args)]
pub struct AttachOptions {
    /// The run: its id, the beginning of it, or latest
    run: String,
    /// Show what the commands write, behind the slave's name
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    there: ControllerTarget,
}

#[derive(Args)]
pub struct StopOptions {
    /// The run: its id, the beginning of it, or latest
    run: String,
    /// Kill at once what still runs, and run no finally entry
    #[arg(long)]
    now: bool,
    /// Do not wait until it is over
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    there: ControllerTarget,
}

#[derive(Args)]
pub struct ResultsOptions {
    /// The run: its id, the beginning of it, or latest
    run: String,
    /// The directory for them: new, empty, or one that holds results of this run [default: results/RUN]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    there: ControllerTarget,
}

#[derive(Args)]
pub struct RunsOptions {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    there: ControllerTarget,
}

#[derive(Args)]
pub struct StatusOptions {
    /// Print it again every second
    #[arg(long)]
    watch: bool,
    /// Print one JSON object, or one a second on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    there: ControllerTarget,
}

/// The controller that is asked, and how long that may take.
struct Controller {
    address: Address,
    tls: Option<Tls>,
    begun: Time,
    timeout: Option<Duration>,
}

impl ControllerTarget {
    fn find(&self, begun: Time) -> Result<Controller, Error> {
        let option = if self.controller.is_some() { "--controller" } else { VARIABLE };
        let named = match self.controller.clone() {
            None => environment::variable()?,
            named => named,
        };
        // If the directory cannot be read, the socket may exist.
        let is_there = || Path::new(SOCKET).try_exists().unwrap_or(true);
        let named = named.or_else(|| is_there().then(|| SOCKET.to_owned())).ok_or_else(|| {
            Error::usage(format!(
                "no controller is named, and {SOCKET} is not there: name one with --controller ADDRESS or {VARIABLE}"
            ))
        })?;
        let (address, tls) = reached(option, &named, &self.security)?;
        Ok(Controller { address, tls, begun, timeout: self.timeout })
    }
}

/// Returns the address or the socket of a controller, and how TLS is spoken to it.
fn reached(option: &str, named: &str, security: &Security) -> Result<(Address, Option<Tls>), Error> {
    if named.contains('/') && !named.contains("://") {
        security.without_address("a controller at HOST:PORT")?;
        may_use(named)?;
        return Ok((Address::Unix(PathBuf::from(named)), None));
    }
    if named.ends_with(".sock") {
        return Err(Error::usage(format!("{option} {named}: the path of a socket has a \"/\": write ./{named}")));
    }
    let address = address::named(named, option)?;
    Ok((address, security.at(option, named, Use::Client(None))?))
}

/// Fails if this user may not use a socket. Otherwise the operator would try again for ever.
fn may_use(socket: &str) -> Result<(), Error> {
    match rustix::fs::access(socket, Access::WRITE_OK) {
        Err(Errno::ACCESS) => Err(Error::failed(format!(
            "{socket}: permission denied: it is for the user and the group that the controller runs as: \"usermod -aG \
             arete USER\" takes a user into that of the package"
        ))),
        _ => Ok(()),
    }
}

impl Controller {
    /// Runs a task at the controller. Returns the exit code, and the operator with its result.
    fn ask(&self, task: Task, show: Show) -> Result<(u8, Operator), Error> {
        let mut operator = Operator::new(Config {
            controller: self.address.clone(),
            seed: random(),
            task,
            show,
            begun: Some(self.begun),
            timeout: self.timeout,
        });
        let code = drive::reactor(self.tls.clone())?.run(&mut operator);
        Ok((code, operator))
    }
}

fn show(follow: bool) -> Show {
    Show { follow, terminal: reactor::terminal_size(), colors: reactor::wants_colors() }
}

/// Hands a test to a controller, and follows its run unless `--detach` is given.
pub fn run(named: &str, options: &RunOptions, begun: Time) -> Result<u8, Error> {
    let (address, tls) = reached("--controller", named, &options.security)?;
    let file = options.file.as_deref().ok_or_else(|| Error::usage("arete run: name a test file"))?;
    let loaded = load::load(file)?;
    loaded.warn();
    let Loaded { test, text, shipped, .. } = loaded;
    let stem = format!("{}-{}", test.name, jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
    let submission = Submission {
        id: format!("{:016x}{:016x}", random(), random()),
        file: load::subject(file),
        text,
        test: Rc::new(test),
        shipped,
        wait: options.wait,
        lost_after: options.lost_after,
    };
    submission.fits().map_err(|(length, most)| {
        let file = load::subject(file);
        Error::usage(format!("{file}: with its names of files it takes {length} bytes to hand in, and {most} may be"))
    })?;
    let controller = Controller { address, tls, begun, timeout: options.wait };
    if options.detach {
        let task = Task::Run { submission: Box::new(submission), results: None };
        return controller.ask(task, Show::default()).map(|(code, _)| code);
    }
    let directory = results_dir::make(options.results.clone(), &stem)?;
    let _lock = lock::directory(&directory)?.ok_or_else(|| {
        Error::failed(format!("another arete works in {}: --results names another directory", directory.display()))
    })?;
    let task = Task::Run { submission: Box::new(submission), results: Some(directory.clone()) };
    let (code, _) = controller.ask(task, show(options.follow))?;
    results_dir::drop_if_empty(&directory);
    Ok(code)
}

pub fn attach(options: AttachOptions, begun: Time) -> Result<u8, Error> {
    let task = Task::Attach { run: options.run };
    options.there.find(begun)?.ask(task, show(options.follow)).map(|(code, _)| code)
}

pub fn stop(options: StopOptions, begun: Time) -> Result<u8, Error> {
    let task = Task::Stop { run: options.run, now: options.now, waits: !options.detach };
    options.there.find(begun)?.ask(task, Show::default()).map(|(code, _)| code)
}

/// Fetches the results of a run. It is looked up first, because its id names the directory.
pub fn results(options: ResultsOptions, begun: Time) -> Result<u8, Error> {
    let controller = options.there.find(begun)?;
    let (code, found) = controller.ask(Task::Find { run: options.run }, Show::default())?;
    let Some(run) = found.into_found() else { return Ok(code) };
    let into = directory_of(&run, options.output)?;
    let _lock = lock::directory(&into)?.ok_or_else(|| {
        Error::failed(format!("another arete works in {}: --output names another directory", into.display()))
    })?;
    controller.ask(Task::Results { run: Box::new(run), into }, Show::default()).map(|(code, _)| code)
}

fn directory_of(run: &RunState, asked: Option<PathBuf>) -> Result<PathBuf, Error> {
    if !arete::session::is_name(&run.run) {
        return Err(Error::failed("the controller calls the run what cannot be the name of a directory"));
    }
    results_dir::make_for(asked, &run.run)
}

pub fn runs(options: &RunsOptions, begun: Time) -> Result<u8, Error> {
    let wanted = OverviewOptions { slaves: false, json: options.json, watch: false };
    options.there.find(begun)?.ask(Task::Overview(wanted), show(false)).map(|(code, _)| code)
}

pub fn status(options: &StatusOptions, begun: Time) -> Result<u8, Error> {
    let wanted = OverviewOptions { slaves: true, json: options.json, watch: options.watch };
    options.there.find(begun)?.ask(Task::Overview(wanted), show(false)).map(|(code, _)| code)
}
