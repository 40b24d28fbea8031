//! `--check` of `arete slave` and `arete controller`: reports what is wrong with a configuration, and what is right.
//!
//! Nothing is started, and every file that a check makes is removed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use arete::exit_code;
use arete::reactor::Tls;
use arete::text::harmless;

use crate::cli::address::{self, Way, with_port};
use crate::cli::error::{Error, ListenError, complain};
use crate::cli::service::options::{ControllerOptions, SlaveOptions};
use crate::cli::service::origin::Origin;
use crate::cli::service::{controller, probe, slave};
use crate::cli::tls::identity::{Security, Use};
use crate::cli::{directory, listen, lock, owned, stdout};

/// What is said of something that another process uses.
const IN_USE: &str = "in use, which is right if this controller runs already";

/// Prints the findings, and keeps the exit status.
#[derive(Default)]
struct Report {
    /// The highest exit status of the errors.
    code: u8,
    /// The first error of standard output.
    unwritten: Option<Error>,
}

impl Report {
    fn passed(&mut self, text: &str) {
        self.unwritten = self.unwritten.take().or(stdout::print(format!("{}\n", harmless(text))).err());
    }

    fn failed(&mut self, error: &Error) {
        complain(error);
        // A service that could not start is only a failed check.
        let code = if error.code() == exit_code::USAGE { exit_code::USAGE } else { exit_code::FAILED };
        self.code = self.code.max(code);
    }

    /// Returns a value, or prints the error.
    fn take<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.failed(&error)).ok()
    }

    fn configuration(&mut self, origin: &Origin) {
        origin.problems.iter().for_each(|problem| self.failed(problem));
        let file = origin.file.display();
        match (origin.found, origin.problems.is_empty()) {
            (true, true) => self.passed(&format!("configuration: {file}")),
            (false, true) => {
                self.passed(&format!("configuration: only the command line, because {file} does not exist"))
            }
            _ => {}
        }
    }

    /// Checks the certificate. Returns the TLS configuration for an address, if it has one; `None` if something is wrong.
    fn security(&mut self, security: &Security, option: &str, address: &str, usage: Use<'_>) -> Option<Option<Tls>> {
        let tls = self.take(security.at(option, address, usage))?;
        match security.describe() {
            Some(text) => self.passed(&format!("certificate: {text}")),
            None => self.passed(&format!("certificate: none, connections at {address} are not encrypted")),
        }
        Some(tls)
    }

    /// Checks a directory in which the service would work.
    fn directory(&mut self, part: &str, directory: &Path, option: &str) {
        if directory.is_dir()
            && let Err(error) = directory::check(directory, option)
        {
            return self.failed(&error.of(part));
        }
        self.writable(part, directory, option);
    }

    /// Checks the state directory of a controller.
    fn state_directory(&mut self, directory: &Path) {
        let part = "state directory";
        self.directory(part, directory, "--state-dir");
        // The lock is released at once.
        let locked = if directory.is_dir() { self.take(lock::directory(directory)) } else { None };
        if matches!(locked, Some(None)) {
            self.passed(&format!("{part}: {} is {IN_USE}", directory.display()));
        }
    }

    /// Checks the path of the operators' socket. `option` gives the path.
    fn socket(&mut self, path: &Path, option: &str) {
        if let Some(directory) = path.parent() {
            self.directory_of_socket(directory);
        }
        if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.file_type().is_socket()) {
            let subject = format!("{option} {}", path.display());
            let error = ListenError::Other(io::Error::other("the file exists and is not a socket"));
            self.failed(&Error::Listen { subject, error, advice: "name another path, or remove the file".to_owned() });
        }
    }

    /// Checks the directory of the operators' socket.
    fn directory_of_socket(&mut self, directory: &Path) {
        let part = "directory of the socket";
        // A path without a directory is in the current one.
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        if directory.is_dir()
            && let Err(foreign) = owned::relies_on_names_in(directory)
        {
            return self.failed(&Error::foreign("", directory)(foreign).of(part));
        }
        self.writable(part, directory, "--socket");
    }

    fn writable(&mut self, part: &str, directory: &Path, option: &str) {
        let path = directory.display();
        match try_to_write(directory) {
            Ok(text) => self.passed(&format!("{part}: {path} {text}")),
            Err(error) => {
                let advice = format!("let this user write there, or use {option} to name another directory");
                self.failed(&Error::cannot_so(format_args!("write in {path}"), advice)(error).of(part));
            }
        }
    }

    fn end(mut self) -> Result<u8, Error> {
        if self.code == exit_code::PASSED {
            self.passed("nothing is wrong");
        }
        if let Some(error) = self.unwritten.take() {
            self.failed(&error);
        }
        Ok(self.code)
    }
}

/// Checks the configuration of a slave.
pub fn slave(options: &SlaveOptions) -> Result<u8, Error> {
    let mut report = Report::default();
    report.configuration(&options.origin);
    let name = report.take(slave::name(options));
    if let Some(name) = &name {
        report.passed(&format!("name: {name}"));
    }
    if let Some(labels) = report.take(slave::labels(options)) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
        report.passed(&format!("labels: {labels}"));
    }
    if let Some(name) = &name
        && let Some(directory) = report.take(slave::work_dir_of(options.dir.as_deref(), name))
    {
        report.directory("work directory", &directory, "--dir");
    }
    if let Some(controller) = report.take(slave::controller(options)) {
        let (option, usage) = (options.origin.subject("controller"), Use::Slave(name.as_deref().unwrap_or("NAME")));
        let tls = report.security(&options.security, &option, controller, usage);
        let address = with_port(controller);
        let result = match &tls {
            Some(tls) => probe::controller(&address, tls.as_ref()),
            None => {
                probe::listener(&address).map(|()| "reached; its identity is not checked without a certificate".into())
            }
        };
        match result {
            Ok(text) => report.passed(&format!("controller {address}: {text}")),
            Err(error) => report.failed(&error.of(format_args!("controller {address}"))),
        }
    }
    report.end()
}

/// Checks the configuration of a controller.
pub fn controller(options: &ControllerOptions) -> Result<u8, Error> {
    let mut report = Report::default();
    report.configuration(&options.origin);
    let missing = || controller::no_address(&options.origin);
    let option = options.origin.subject("listen");
    let listen = options.listen.as_ref().ok_or_else(missing);
    let listen = listen.and_then(|listen| address::check(&option, listen, Way::Listen).map(|()| listen));
    if let Some(listen) = report.take(listen) {
        report.security(&options.security, &option, listen, Use::Listen);
        match try_to_listen(listen) {
            Ok(text) => report.passed(&format!("listen {}: {text}", with_port(listen))),
            Err(error) => {
                let (subject, advice) = (format!("{option} {listen}"), "choose an address of this machine".to_owned());
                report.failed(&Error::Listen { subject, error, advice });
            }
        }
    }
    if let Some(warning) = controller::operators_without_tls(options) {
        report.failed(&Error::failed(warning));
    }
    if let Some(directory) = &options.state_dir {
        report.state_directory(directory);
    }
    if let Some(path) = &options.socket {
        report.socket(path, &options.origin.subject("socket"));
    }
    report.end()
}

/// Listens at an address for a moment. Returns what was found.
fn try_to_listen(address: &str) -> Result<&'static str, ListenError> {
    let mut last = ListenError::NoAddress;
    for address in listen::addresses(address)? {
        match TcpListener::bind(address) {
            Ok(_) => return Ok("free"),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Ok(IN_USE);
            }
            Err(error) => last = ListenError::Refused(address, error),
        }
    }
    Err(last)
}

/// Writes in a directory, or makes it, for a moment. Returns what is possible.
fn try_to_write(directory: &Path) -> io::Result<&'static str> {
    let absolute = std::path::absolute(directory)?;
    let existing = absolute.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    let trial = existing.join(format!(".arete-check-{}", std::process::id()));
    if existing == absolute {
        File::create_new(&trial).and_then(|mut file| file.write_all(b"a trial\n")).and(fs::remove_file(&trial))?;
        return Ok("can be written");
    }
    fs::create_dir(&trial).and(fs::remove_dir(&trial))?;
    Ok("can be made")
}
