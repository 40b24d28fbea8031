//! How arete exits: the one list for the whole program, as `arete(1)` has it.

/// The test passed, or what was asked for has been done.
pub const PASSED: u8 = 0;
/// The test failed, or what was asked for cannot be done.
pub const FAILED: u8 = 1;
/// Wrong usage, or a wrong test file.
pub const USAGE: u8 = 2;
/// A time limit passed: the `--timeout` of a command.
pub const TIME_LIMIT: u8 = 3;
/// A barrier was aborted.
pub const ABORTED: u8 = 4;
/// A member of a barrier was lost.
pub const LOST: u8 = 5;
/// No verdict of a barrier or a sync was heard in time: the others may have been released.
pub const NO_VERDICT: u8 = 6;
/// A run failed for no fault of its test: a slave was lost or never came, an address was in use, a disk was full, or the
/// results could not be written.
pub const INFRASTRUCTURE: u8 = 7;
/// Interrupted by SIGINT or SIGTERM; a slave that gets SIGTERM once exits with `PASSED`, as services do.
pub const INTERRUPTED: u8 = 130;
