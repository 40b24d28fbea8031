//! Runs the programs of the system that inject faults. Their arguments never pass a shell.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::error::Error;

/// Where system programs are, which PATH may lack.
const SYSTEM: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// A program, and the package that has it.
#[derive(Clone, Copy)]
pub struct Tool {
    pub name: &'static str,
    pub package: &'static str,
}

impl Tool {
    /// Runs the program. Returns its standard output. Fails with its complaints, or if it is not installed.
    pub fn run(self, arguments: &[&str], input: &str) -> Result<String, Error> {
        let words: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        run(&self.find()?, self.name, &words, input)
    }

    /// Runs the program in a network namespace of its own, which ends with it.
    pub fn run_apart(self, arguments: &[&str]) -> Result<String, Error> {
        let program = self.find()?.into_os_string();
        let words = [OsString::from("-n"), program].into_iter().chain(arguments.iter().map(OsString::from));
        run(&UNSHARE.find()?, self.name, &words.collect::<Vec<_>>(), "")
    }

    /// Fails if the program is not installed.
    pub fn find(self) -> Result<PathBuf, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places =
            std::env::split_paths(&path).chain(std::env::split_paths(SYSTEM)).map(|dir| dir.join(self.name));
        places.find(|place| place.is_file()).ok_or_else(|| {
            Error::failed(format!("the program {} is missing: install the package {}", self.name, self.package))
        })
    }
}

const UNSHARE: Tool = Tool { name: "unshare", package: "util-linux" };

fn run(program: &Path, name: &str, words: &[OsString], input: &str) -> Result<String, Error> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Error::cannot(format_args!("start {}", program.display())))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(Error::cannot(format_args!("wait for {name}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it did not say why").to_owned();
    Err(Error::failed(format!("{name}: {line}")))
}

/// The numbers of the rights that faults need, see capabilities(7).
#[derive(Clone, Copy)]
pub enum Right {
    NetAdmin = 12,
    SysTime = 25,
}

/// Fails if this process lacks a right.
pub fn require(right: Right, what: &str) -> Result<(), Error> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    // Where this cannot be read, the attempt decides.
    if set.is_none_or(|set| set & 1 << right as u64 != 0) {
        return Ok(());
    }
    let name = match right {
        Right::NetAdmin => "CAP_NET_ADMIN",
        Right::SysTime => "CAP_SYS_TIME",
    };
    Err(Error::failed(format!("{what} needs the right {name}: run the slave as root")))
}
