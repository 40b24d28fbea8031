//! The processes that a machine starts, and how they end.
//!
//! This file owns the description of a process ([`Command`]) and of its end ([`Exit`]). It must never start one: the
//! reactor does.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::signal::Signal;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// It exited with this status, 0 to 255.
    #[serde(deserialize_with = "status")]
    Code(i32),
    /// This signal killed it.
    Signal(Signal),
}

/// Reads an exit status. Fails if it is not one, because no process can exit with another number.
fn status<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    u8::deserialize(from).map(i32::from)
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(signal) => write!(f, "died of {}", signal.name()),
        }
    }
}

/// A process to start. It gets a session and a process group of its own without a terminal, empty standard input, the
/// limits of open files that arete itself was started with, and no signal blocked or ignored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Command {
    /// The program and its arguments; the program is looked up in the PATH of arete.
    pub argv: Vec<String>,
    /// The directory in which it runs. `None`: that of arete.
    pub cwd: Option<PathBuf>,
    /// The directory in `cwd` is created if it does not exist.
    pub make_cwd: bool,
    /// The variables that are added to the environment of arete, in this order.
    pub env: Vec<(String, String)>,
    /// The directory of the arete binary is prepended to PATH.
    pub arete_on_path: bool,
    /// The file for standard output, created with the directories above. `None`: the null device.
    pub stdout: Option<PathBuf>,
    /// The file for standard error, as for `stdout`. It may be the same file.
    pub stderr: Option<PathBuf>,
    /// The content of standard input. No other process can read it. `None`: empty.
    pub stdin: Option<Vec<u8>>,
    /// The process gets SIGTERM when arete itself dies, however it dies.
    pub dies_with_us: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_is_a_number_from_0_to_255() {
        let read = |code: i32| serde_json::from_str::<Exit>(&format!(r#"{{"code":{code}}}"#)).ok();
        for code in [0, 255] {
            assert_eq!(read(code), Some(Exit::Code(code)));
        }
        assert_eq!([-1, 256, i32::MAX].map(read), [None; 3]);
    }
}
