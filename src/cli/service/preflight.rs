//! `--check` of `arete slave` and `arete controller`: prints everything that is wrong with a configuration, and what is
//! right.
//!
//! Nothing is started, and nothing that a check makes may stay.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;

use arete::exit_code;
use arete::reactor::{Tls, addresses_of, plain};
use arete::text::harmless;

use crate::cli::address::{self, Way, with_port};
use crate::cli::error::{Error, complain};
use crate::cli::service::options::{ControllerOptions, SlaveOptions};
use crate::cli::service::origin::Origin;
use crate::cli::service::{controller, probe, slave};
use crate::cli::tls::identity::{Security, Use};
use crate::cli::{directory, owned, stdout};

/// The findings, printed as they are found.
#[derive(Default)]
struct Report {
    /// The highest exit code of the errors.
    code: u8,
    /// The first error of standard output.
    unwritten: Option<Error>,
}

impl Report {
    fn right(&mut self, text: &str) {
        self.unwritten = self.unwritten.take().or(stdout::print(format!("{}\n", harmless(text))).err());
    }

    fn wrong(&mut self, error: &Error) {
        complain(&error.message);
        self.code = self.code.max(error.code);
    }

    /// Returns a value, or prints the error.
    fn take<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.wrong(&error)).ok()
    }

    fn configuration(&mut self, origin: &Origin) {
        origin.problems.iter().for_each(|problem| self.wrong(problem));
        let file = origin.file.display();
        match (origin.found, origin.problems.is_empty()) {
            (true, true) => self.right(&format!("configuration: {file}")),
            (false, true) => self.right(&format!("configuration: the command line alone, {file} is not there")),
            _ => {}
        }
    }

    /// Checks the certificate. Returns how TLS is spoken at this address, if at all; `None` if something is wrong.
    fn security(&mut self, security: &Security, subject: &str, address: &str, what: Use<'_>) -> Option<Option<Tls>> {
        let tls = self.take(security.at(subject, address, what))?;
        match security.describe() {
            Some(text) => self.right(&format!("certificate: {text}")),
            None => self.right(&format!("certificate: none, {address} is text to plainly")),
        }
        Some(tls)
    }

    /// Checks a directory in which the service would work.
    fn directory(&mut self, what: &str, directory: &Path, option: &str) {
        if directory.is_dir()
            && let Err(error) = directory::check(directory, option)
        {
            let message = format!("{what}: {}", error.message);
            return self.wrong(&Error { message, ..error });
        }
        self.written(what, directory, option);
    }

    fn directory_of_socket(&mut self, directory: &Path) {
        let (what, option) = ("directory of the socket", "--socket");
        // A path without a directory is in the current one.
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        if directory.is_dir()
            && let Err(foreign) = owned::relies_on_names_in(directory)
        {
            return self.wrong(&Error::failed(format!("{what}: {}", foreign.of(directory))));
        }
        self.written(what, directory, option);
    }

    fn written(&mut self, what: &str, directory: &Path, option: &str) {
        match writable(directory) {
            Ok(text) => self.right(&format!("{what}: {} {text}", directory.display())),
            Err(why) => self.wrong(&Error::failed(format!(
                "{what}: {}: {why}; let this user write there, or name another with {option}",
                directory.display()
            ))),
        }
    }

    fn end(mut self) -> Result<u8, Error> {
        if self.code == exit_code::PASSED {
            self.right("nothing is wrong");
        }
        match self.unwritten {
            Some(error) => Err(Error { code: self.code.max(error.code), ..error }),
            None => Ok(self.code),
        }
    }
}

/// Checks the configuration of a slave.
pub fn slave(options: &SlaveOptions) -> Result<u8, Error> {
    let mut report = Report::default();
    report.configuration(&options.origin);
    let name = report.take(slave::name(options));
    if let Some(name) = &name {
        report.right(&format!("name: {name}"));
    }
    if let Some(labels) = report.take(slave::labels(options)) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
        report.right(&format!("labels: {labels}"));
    }
    if let Some(name) = &name
        && let Some(directory) = report.take(slave::work_dir_of(options.dir.as_deref(), name))
    {
        report.directory("work directory", &directory, "--dir");
    }
    if let Some(controller) = report.take(slave::controller(options)) {
        let (subject, what) = (options.origin.subject("controller"), Use::Slave(name.as_deref().unwrap_or("NAME")));
        let tls = report.security(&options.security, &subject, controller, what);
        let address = with_port(controller);
        let reached = match &tls {
            Some(tls) => probe::reach(&address, tls.as_ref()),
            None => probe::stands(&address).map(|()| "not asked who it is, for want of a certificate".to_owned()),
        };
        match reached {
            Ok(text) => report.right(&format!("controller {address}: {text}")),
            Err(why) => report.wrong(&Error::failed(format!("controller {address}: {why}"))),
        }
    }
    report.end()
}

/// Checks the configuration of a controller.
pub fn controller(options: &ControllerOptions) -> Result<u8, Error> {
    let mut report = Report::default();
    report.configuration(&options.origin);
    let missing = || controller::no_address(&options.origin);
    let subject = options.origin.subject("listen");
    let checked = |listen: &String| {
        address::check(listen, Way::Listen).map_err(|why| Error::usage(format!("{subject} {listen}: {why}")))
    };
    let listen = options.listen.as_ref().ok_or_else(missing).and_then(|listen| checked(listen).map(|()| listen));
    if let Some(listen) = report.take(listen) {
        report.security(&options.security, &options.origin.subject("listen"), listen, Use::Listen);
        match may_listen(listen) {
            Ok(text) => report.right(&format!("listen {}: {text}", with_port(listen))),
            Err(why) => {
                let subject = options.origin.subject("listen");
                report.wrong(&Error::failed(format!("{subject} {listen}: {why}; choose an address of this machine")));
            }
        }
    }
    if let Some(warning) = controller::useless_operators(options) {
        report.wrong(&Error::failed(warning));
    }
    if let Some(directory) = &options.state_dir {
        report.directory("state directory", directory, "--state-dir");
    }
    if let Some(directory) = options.socket.as_deref().and_then(Path::parent) {
        report.directory_of_socket(directory);
    }
    report.end()
}

/// Listens at an address, and stops at once. Returns what was found, or why it cannot be listened on.
fn may_listen(address: &str) -> Result<&'static str, String> {
    let addresses = addresses_of(&with_port(address)).map_err(|why| why.words)?;
    let mut why = "the name has no address".to_owned();
    for address in addresses {
        match TcpListener::bind(address) {
            Ok(_) => return Ok("free"),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Ok("in use, which is right if it is this controller that runs already");
            }
            Err(error) => why = plain(&error),
        }
    }
    Err(why)
}

/// Writes to a directory, or makes it, and removes that at once. Returns what is possible, or why it is not.
fn writable(directory: &Path) -> Result<&'static str, String> {
    let absolute = std::path::absolute(directory).map_err(|error| plain(&error))?;
    let there = absolute.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    let trial = there.join(format!(".arete-check-{}", std::process::id()));
    let tried = match there == absolute {
        true => File::create_new(&trial).and_then(|mut file| file.write_all(b"a trial\n")),
        false => fs::create_dir(&trial),
    };
    let removed = if there == absolute { fs::remove_file(&trial) } else { fs::remove_dir(&trial) };
    tried.and(removed).map_err(|error| format!("{}: {}", there.display(), plain(&error)))?;
    Ok(if there == absolute { "can be written" } else { "can be made" })
}
