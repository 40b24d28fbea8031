//! The options of a reactor.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::notify::Manager;
use super::tls::Tls;
use crate::machine::Signal;

/// The options of a reactor.
#[derive(Debug, Clone)]
pub struct Options {
    /// The signals that the machine gets as inputs. The reactor handles SIGCHLD and SIGWINCH itself.
    pub signals: Vec<Signal>,
    /// Descendants that lose their parent become children of this process.
    pub subreaper: bool,
    /// The most bytes that are queued for one peer. Beyond that, the connection is closed.
    pub max_queue: usize,
    /// The time after which a connection is closed if its peer reads nothing of the queue. It may take up to twice this
    /// time.
    pub stalled_after: Duration,
    /// The most connections. `None`: what the limit of open files allows, after raising it.
    pub max_connections: Option<usize>,
    /// Appended and replaced files are synced to the disk before anything goes out.
    pub fsync: bool,
    /// The program that looks host names up with its subcommand `lookup`: arete itself.
    pub lookup_program: PathBuf,
    /// The local address of TCP connections. `None`: the system chooses.
    pub source: Option<IpAddr>,
    /// How TLS is spoken on TCP connections. `None`: they are plain.
    pub tls: Option<Tls>,
    /// The service manager that gets the status.
    pub manager: Option<Manager>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            signals: Vec::new(),
            subreaper: false,
            max_queue: 8 * 1024 * 1024,
            stalled_after: Duration::from_secs(30),
            max_connections: None,
            fsync: false,
            lookup_program: PathBuf::from("/proc/self/exe"),
            source: None,
            tls: None,
            manager: None,
        }
    }
}
