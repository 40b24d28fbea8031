//! The exit statuses of the program, as in `arete(1)`.

/// The test passed, or the requested action is done.
pub const PASSED: u8 = 0;
/// The test failed, or the requested action is impossible.
pub const FAILED: u8 = 1;
/// Wrong usage, or an error in a test file.
pub const USAGE: u8 = 2;
/// A time limit expired: the `--timeout` of a command.
pub const TIME_LIMIT: u8 = 3;
/// A barrier was aborted.
pub const ABORTED: u8 = 4;
/// A member of a barrier was lost.
pub const LOST: u8 = 5;
/// No verdict of a barrier or a sync arrived in time. The other members may have been released.
pub const NO_VERDICT: u8 = 6;
/// A run failed, and the test is not to blame: a slave was lost or never connected, a disk was full, or the results could
/// not be written. Or an address could not be listened on.
pub const INFRASTRUCTURE: u8 = 7;
/// Interrupted by SIGINT or SIGTERM. A slave or a controller exits with `PASSED` after one SIGTERM, as services do.
pub const INTERRUPTED: u8 = 130;
