//! The subcommands that use a permanent controller: `arete run --controller`, `attach`, `stop`, `results`, `runs` and
//! `status`.
//!
//! The run belongs to the controller, so it continues when one of these exits.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use arete::machine::{Address, Time};
use arete::operator::{Config, Operator, OverviewOptions, Show, Submission, Task};
use arete::reactor::{self, Tls};
use arete::session;
use clap::Args;
use rustix::fs::Access;
use rustix::io::Errno;

use crate::cli::environment::{self, VARIABLE};
use crate::cli::error::Error;
use crate::cli::random::random;
use crate::cli::run::load::{self, Loaded};
use crate::cli::run::options::{Done, RunOptions};
use crate::cli::run::results_dir;
use crate::cli::tls::identity::{Security, Use};
use crate::cli::values::{run_name, time_limit};
use crate::cli::{address, drive};

/// The default socket of a controller on this machine.
const SOCKET: &str = "/run/arete/controller.sock";

/// The controller, and the time limit.
#[derive(Args)]
pub struct ControllerTarget {
    /// The controller: HOST, HOST:PORT or the path of its socket [default: $ARETE_CONTROLLER, otherwise
    /// /run/arete/controller.sock]
    #[arg(long, value_name = "ADDRESS")]
    controller: Option<String>,
    /// Fail after TIME [default: never]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    #[command(flatten)]
    security: Security,
}

#[derive(Args)]
pub struct AttachOptions {
    /// The run: its id, the start of its id, or latest
    #[arg(value_parser = run_name)]
    run: String,
    /// Print what the commands write, each line after the name of the slave
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    target: ControllerTarget,
}

#[derive(Args)]
pub struct StopOptions {
    /// The run: its id, the start of its id, or latest
    #[arg(value_parser = run_name)]
    run: String,
    /// Kill all commands at once, and do not run the finally entries
    #[arg(long)]
    now: bool,
    /// Do not wait until the run is over
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    target: ControllerTarget,
}

#[derive(Args)]
pub struct ResultsOptions {
    /// The run: its id, the start of its id, or latest
    #[arg(value_parser = run_name)]
    run: String,
    /// The directory for the results: new, empty, or with results of this run [default: results/RUN]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    target: ControllerTarget,
}

#[derive(Args)]
pub struct RunsOptions {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: ControllerTarget,
}

#[derive(Args)]
pub struct StatusOptions {
    /// Print the status again every second
    #[arg(long)]
    watch: bool,
    /// Print one JSON object; with --watch, one each second on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: ControllerTarget,
}

/// A controller that was found.
struct Controller {
    address: Address,
    tls: Option<Tls>,
    begun: Time,
    timeout: Option<Duration>,
}

impl ControllerTarget {
    /// Finds the controller that the option, the environment or the default socket names.
    fn find(&self, begun: Time) -> Result<Controller, Error> {
        let option = if self.controller.is_some() { "--controller" } else { VARIABLE };
        let name = match self.controller.clone() {
            None => environment::variable()?,
            name => name,
        };
        // If the directory cannot be read, the socket may exist.
        let exists = || Path::new(SOCKET).try_exists().unwrap_or(true);
        let name = name.or_else(|| exists().then(|| SOCKET.to_owned())).ok_or_else(|| {
            Error::usage(format!(
                "no controller is named, and {SOCKET} does not exist: name one with --controller ADDRESS or {VARIABLE}"
            ))
        })?;
        let (address, tls) = connection_to(option, &name, &self.security)?;
        Ok(Controller { address, tls, begun, timeout: self.timeout })
    }
}

/// Returns the address or the socket of a controller, and the TLS configuration for it.
fn connection_to(option: &str, name: &str, security: &Security) -> Result<(Address, Option<Tls>), Error> {
    if name.contains('/') && !name.contains("://") {
        security.without_address("a controller at HOST:PORT")?;
        // Without permission, the operator would retry for ever.
        if rustix::fs::access(name, Access::WRITE_OK) == Err(Errno::ACCESS) {
            return Err(Error::failed(format!(
                "{name}: permission denied: only the user and the group of the controller can use it: \"usermod -aG \
                 arete USER\" adds a user to the group of the package"
            )));
        }
        return Ok((Address::Unix(PathBuf::from(name)), None));
    }
    let is_socket = || std::fs::metadata(name).is_ok_and(|metadata| metadata.file_type().is_socket());
    if name.ends_with(".sock") || is_socket() {
        return Err(Error::usage(format!("{option} {name}: the path of a socket contains a \"/\": write ./{name}")));
    }
    let address = address::named(name, option)?;
    let tls = security.at(option, name, Use::Client(None)).map_err(|error| match name.contains(['.', ':']) {
        true => error,
        false => Error::usage(format!(
            "{option} {name}: this means the host {name} at port {}; the path of a socket contains a \"/\": ./{name}\n{error}",
            address::PORT
        )),
    })?;
    Ok((address, tls))
}

impl Controller {
    fn operator(&self, task: Task, show: Show) -> Operator {
        Operator::new(Config {
            controller: self.address.clone(),
            seed: random(),
            task,
            show,
            begun: Some(self.begun),
            timeout: self.timeout,
        })
    }

    /// Runs a task at the controller. Returns the exit code, and the operator with its result.
    fn ask(&self, task: Task, show: Show) -> Result<(u8, Operator), Error> {
        let mut operator = self.operator(task, show);
        let code = drive::reactor(self.tls.clone())?.run(&mut operator);
        Ok((code, operator))
    }
}

fn show(follow: bool) -> Show {
    Show { follow, silent: false, terminal: reactor::terminal_size(), colors: reactor::wants_colors() }
}

/// A controller to which tests are handed in.
pub struct Host {
    controller: Controller,
}

impl Host {
    /// Finds the controller of `--controller`.
    pub fn find(name: &str, options: &RunOptions, begun: Time) -> Result<Host, Error> {
        let (address, tls) = connection_to("--controller", name, &options.security)?;
        Ok(Host { controller: Controller { address, tls, begun, timeout: options.wait } })
    }

    /// Returns the TLS configuration for connections to it.
    pub fn tls(&self) -> Option<Tls> {
        self.controller.tls.clone()
    }

    /// Returns an operator that hands in a test, and fetches the results of its run into a directory.
    pub fn operator(&self, task: Task, show: Show, begun: Time) -> Operator {
        Controller { address: self.controller.address.clone(), tls: None, begun, ..self.controller }
            .operator(task, show)
    }
}

/// Returns what is handed in for a test.
fn submission(options: &RunOptions, loaded: Loaded) -> Result<Box<Submission>, Error> {
    let file = load::subject(options.test_file()?);
    let Loaded { test, json, shipped } = loaded;
    let submission = Submission {
        id: format!("{:016x}{:016x}", random(), random()),
        file: file.clone(),
        text: json,
        test: Rc::new(test),
        shipped,
        wait: options.wait,
        lost_after: options.lost_after,
    };
    submission.fits().map_err(|(length, most)| {
        Error::usage(format!(
            "{file}: with the names of its files it has {length} bytes, and at most {most} can be handed in"
        ))
    })?;
    Ok(Box::new(submission))
}

/// Returns the task to run a test, with its results in a directory, or to hand it in only.
pub fn task(options: &RunOptions, loaded: Loaded, results: Option<PathBuf>) -> Result<Task, Error> {
    Ok(Task::Run { submission: submission(options, loaded)?, results })
}

/// Hands a test to a controller, and follows its run.
pub fn run(
    controller: &str,
    options: &RunOptions,
    loaded: Loaded,
    results: Option<PathBuf>,
    begun: Time,
) -> Result<Done, Error> {
    let host = Host::find(controller, options, begun)?;
    let stem = results_dir::stem(&loaded.test.name);
    let mut task = task(options, loaded, None)?;
    let (directory, _lock) = results_dir::make(results, &stem)?;
    if let Task::Run { results, .. } = &mut task {
        *results = Some(directory.clone());
    }
    let (code, _) = host.controller.ask(task, Show { silent: options.quiet, ..show(options.follow) })?;
    results_dir::drop_if_empty(&directory);
    Ok(Done { code, results: directory })
}

/// Hands a test to a controller, and prints the id of its run.
pub fn hand_in(controller: &str, options: &RunOptions, loaded: Loaded, begun: Time) -> Result<u8, Error> {
    let task = task(options, loaded, None)?;
    Host::find(controller, options, begun)?.controller.ask(task, Show::default()).map(|(code, _)| code)
}

/// Follows a run.
pub fn attach(options: AttachOptions, begun: Time) -> Result<u8, Error> {
    let task = Task::Attach { run: options.run };
    options.target.find(begun)?.ask(task, show(options.follow)).map(|(code, _)| code)
}

/// Ends a run.
pub fn stop(options: StopOptions, begun: Time) -> Result<u8, Error> {
    let task = Task::Stop { run: options.run, now: options.now, waits: !options.detach };
    options.target.find(begun)?.ask(task, Show::default()).map(|(code, _)| code)
}

/// Fetches the results of a run. The run is looked up first, because its id is the default name of the directory.
pub fn results(options: ResultsOptions, begun: Time) -> Result<u8, Error> {
    let controller = options.target.find(begun)?;
    let (code, found) = controller.ask(Task::Find { run: options.run }, Show::default())?;
    let Some(run) = found.into_found() else { return Ok(code) };
    if !session::is_name(&run.run) {
        return Err(Error::failed("the controller sent an id of the run that cannot be the name of a directory"));
    }
    let (into, _lock) = results_dir::make_for(options.output, &run.run)?;
    controller.ask(Task::Results { run: Box::new(run), into }, Show::default()).map(|(code, _)| code)
}

/// Lists the runs.
pub fn runs(options: &RunsOptions, begun: Time) -> Result<u8, Error> {
    let wanted = OverviewOptions { slaves: false, json: options.json, watch: false };
    options.target.find(begun)?.ask(Task::Overview(wanted), show(false)).map(|(code, _)| code)
}

/// Shows the slaves and the runs.
pub fn status(options: &StatusOptions, begun: Time) -> Result<u8, Error> {
    let wanted = OverviewOptions { slaves: true, json: options.json, watch: options.watch };
    options.target.find(begun)?.ask(Task::Overview(wanted), show(false)).map(|(code, _)| code)
}
