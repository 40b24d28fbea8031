//! Why the processes of this system cannot be listed, and the one warning about it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::machine::SystemError;

/// Why the processes of this system cannot be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// `/proc` cannot be read.
    Unreadable(SystemError),
    /// `/proc` has no entry for this process.
    Absent(SystemError),
    /// `/proc` was mounted for another pid namespace.
    OtherNamespace,
}

impl Unseen {
    /// Logs the warning, once in the life of the process.
    pub fn warn(&self) {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            log::warn!("{self}");
        }
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unseen::Unreadable(error) => write!(f, "/proc cannot be read: {error}")?,
            Unseen::Absent(error) => {
                write!(
                    f,
                    "/proc does not know this process: /proc/self/status: {error}; is it of this pid namespace?"
                )?;
            }
            Unseen::OtherNamespace => {
                f.write_str("/proc is not of this pid namespace; \"unshare --mount-proc\" mounts one that is")?;
            }
        }
        f.write_str(": processes that leave the process group of their command are neither found nor ended")
    }
}

impl std::error::Error for Unseen {}
