//! Commands that an earlier slave has left, because it was killed.
//!
//! No process may be killed that is not of this directory: a container may have another directory with the same path.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::clock::now;
use super::procfs::{Handle, processes};
use crate::machine::Signal;

/// The time within which killed processes must end.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How often their end is checked.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Kills the processes that an earlier slave of this directory has left. They have the directory in their environment. The
/// caller has locked it, so no other slave has processes there. Logs what it did, and what it could not do.
pub fn end_leftovers(dir: &Path) {
    let Ok(identity) = fs::metadata(dir).map(|metadata| (metadata.dev(), metadata.ino())) else { return };
    let mark = [b"ARETE_DIR=", dir.as_os_str().as_encoded_bytes()].concat();
    let own = std::process::id() as i32;
    let (begun, mut ended) = (now(), 0);
    loop {
        let processes = match processes() {
            Ok(processes) => processes,
            Err(unseen) => return unseen.warn(),
        };
        let others = processes.iter().filter(|process| process.pid != own && !process.is_dead());
        let left = others.filter_map(|seen| {
            let handle = Handle::open(seen.pid).ok()?;
            let environ = handle.read("environ").ok()?;
            let marked = environ.split(|&byte| byte == 0).any(|variable| variable == mark);
            let same = || handle.shares_mounts() || handle.file_id(dir).is_ok_and(|found| found == identity);
            (marked && same() && handle.signal(Signal::KILL).is_ok()).then_some(())
        });
        let left = left.count();
        if left == 0 {
            break;
        }
        ended += left;
        if now().since(begun) > GONE_WITHIN {
            log::warn!("{left} processes that an earlier slave has left in {} cannot be killed", dir.display());
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    if ended > 0 {
        log::warn!("ended processes that an earlier slave has left in {}", dir.display());
    }
}
