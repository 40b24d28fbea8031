//! Locks of files and directories, each held by one process.
//!
//! Some file systems have no locks, such as Lustre and NFS with some mount options. There arete works without a lock and
//! logs a warning, because otherwise it could not work at all.

use std::fs::File;
use std::io;
use std::path::Path;

use arete::reactor::plain;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::cli::error::Error;

/// Locks a file for this process, as long as it is open. Returns `false` if another process has locked it.
pub fn take(file: &File, path: &Path) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => without(error, path).map(|()| true),
    }
}

/// Locks a file for this process. Waits while another process holds the lock.
pub fn wait(file: &File, path: &Path) -> io::Result<()> {
    loop {
        match flock(file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            Ok(()) => return Ok(()),
            Err(error) => return without(error, path),
        }
    }
}

/// Ignores that the file system has no locks. NFS reports that as `EBADF`, because a directory cannot be opened for
/// writing.
fn without(error: Errno, path: &Path) -> io::Result<()> {
    match error {
        Errno::NOSYS | Errno::NOLCK | Errno::OPNOTSUPP | Errno::BADF => {
            let (path, why) = (path.display(), plain(&error.into()));
            log::warn!("{path}: the file system has no locks ({why}): make sure that no other arete works there");
            Ok(())
        }
        other => Err(other.into()),
    }
}

/// Locks a directory for this process, as long as the file is open. Returns `None` if another process has locked it.
pub fn directory(directory: &Path) -> Result<Option<File>, Error> {
    let locked = File::open(directory).and_then(|file| Ok(take(&file, directory)?.then_some(file)));
    locked.map_err(Error::cannot(format_args!("lock {}", directory.display())))
}
