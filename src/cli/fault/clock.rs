//! A wrong wall clock. The clock of the boot, which nothing moves, says later what the right time is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use arete::reactor;
use serde::{Deserialize, Serialize};

use crate::cli::error::Error;
use crate::cli::fault::tool::{Right, Tool, require};

const DATE: Tool = Tool { name: "date", package: "coreutils" };

/// The right time at an instant of a boot.
#[derive(Serialize, Deserialize)]
struct Measured {
    boot: String,
    /// On the clock of the boot, in microseconds.
    at: u64,
    /// Since 1970, in microseconds.
    wall: i64,
}

impl Measured {
    fn now() -> Measured {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall = since.map_or(0, |since| since.as_micros() as i64);
        Measured { boot: boot(), at: reactor::now().as_micros(), wall }
    }
}

pub fn check() -> Result<(), Error> {
    DATE.find()?;
    require(Right::SysTime, "\"clock\"")
}

/// Moves the clock. The right time is on the disk before.
pub fn inject(step: i64, record: &Path) -> Result<(), Error> {
    let (path, now) = (beside(record), Measured::now());
    let bytes = serde_json::to_vec(&now).map_err(Error::failed)?;
    let cannot = Error::cannot(format_args!("write {}", path.display()));
    fs::write(&path, bytes).map_err(&cannot)?;
    fs::File::open(&path).and_then(|file| file.sync_all()).map_err(&cannot)?;
    set(now.wall.saturating_add(step))
}

/// Sets the right time, as the clock of the boot tells it. After a reboot the clock was set anyway.
pub fn undo(record: &Path) -> Result<(), Error> {
    let path = beside(record);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::cannot(format_args!("read {}", path.display()))(error)),
    };
    // If the file is not complete, the clock was not moved.
    if let Ok(before) = serde_json::from_slice::<Measured>(&bytes)
        && before.boot == boot()
    {
        let passed = reactor::now().as_micros().saturating_sub(before.at);
        set(before.wall.saturating_add_unsigned(passed))
            .map_err(|error| Error::failed(format!("{error}: set the clock by hand, and remove {}", path.display())))?;
    }
    fs::remove_file(&path).map_err(Error::cannot(format_args!("remove {}", path.display())))
}

fn set(micros: i64) -> Result<(), Error> {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    DATE.run(&["-u", "-s", &format!("@{seconds}.{fraction:06}")], "").map(drop)
}

/// Returns the path of the file with the right time.
fn beside(record: &Path) -> PathBuf {
    record.with_extension("clock")
}

/// Returns what identifies this boot.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
