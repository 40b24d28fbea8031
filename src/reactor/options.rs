//! How a reactor is set up.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::notify::Manager;
use super::tls::Tls;
use crate::machine::Signal;

/// How a reactor is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The signals that the machine hears of. SIGCHLD and SIGWINCH need not be named.
    pub signals: Vec<Signal>,
    /// Processes that lose their parent become our children.
    pub subreaper: bool,
    /// How much may be queued for one peer, in bytes. Who passes it is closed.
    pub max_queue: usize,
    /// A peer for whom something is queued and who takes nothing of it for so long, or up to twice so long, is closed.
    pub stalled_after: Duration,
    /// How many connections there may be. `None`: what the limit of open files allows, after raising it.
    pub max_connections: Option<usize>,
    /// Appends and replaced files are on the disk itself before anything goes out.
    pub fsync: bool,
    /// The program whose subcommand `lookup` looks host names up: arete itself.
    pub lookup_program: PathBuf,
    /// The address that TCP connections come from. `None`: what the system chooses.
    pub source: Option<IpAddr>,
    /// How TLS is spoken on TCP connections. `None`: they are plain.
    pub tls: Option<Tls>,
    /// Who is told how things stand.
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
