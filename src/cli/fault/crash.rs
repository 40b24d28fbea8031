//! A crash of the machine, by the kernel itself: nothing is written to the disks before.

use std::fs::{self, File};
use std::time::Duration;

use crate::cli::error::Error;

/// The file that takes commands for the kernel.
const TRIGGER: &str = "/proc/sysrq-trigger";

/// The command that restarts the machine at once.
const REBOOT: &str = "b";

/// How long this process waits for its end.
const GONE_WITHIN: Duration = Duration::from_secs(10);

pub fn check() -> Result<(), Error> {
    let opened = File::options().write(true).open(TRIGGER).map(drop);
    opened.map_err(Error::cannot_so(format_args!("crash this machine: open {TRIGGER}"), "run the slave as root"))
}

pub fn inject() -> Result<(), Error> {
    fs::write(TRIGGER, REBOOT).map_err(Error::cannot(format_args!("write to {TRIGGER}")))?;
    std::thread::sleep(GONE_WITHIN);
    Err(Error::failed("the machine still runs: does its kernel have sysrq?"))
}
