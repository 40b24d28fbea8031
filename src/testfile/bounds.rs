//! The bounds of a test file, and the times that apply if it names none.
//!
//! A test can come from an operator, so everything in it is bounded. The bounds limit reading and checking a test to
//! one short turn of the controller's loop; `tests/costs` measures that. A parser must not define a bound itself,
//! unless it limits the length of one text.

use std::time::Duration;

use crate::wire::LINE_MAX;

/// The longest test file, in bytes.
pub const FILE_MAX: usize = 16 * 1024 * 1024;

/// The highest initial value of a trigger.
pub const TRIGGER_MAX: u64 = 1_000_000_000;

/// The most triggers of a test.
pub const TRIGGERS_MAX: usize = 5_000;

/// The most resources of a test.
pub const RESOURCES_MAX: usize = 1_000;

/// The most conditions of an `after` entry.
pub const CONDITIONS_MAX: usize = 100;

/// The most retries of a job.
pub const RETRIES_MAX: u64 = 1_000;

/// The most groups of a test.
pub const GROUPS_MAX: usize = 1_000;

/// The most barriers, and the most syncs, that a test declares.
pub const MEETINGS_MAX: usize = 5_000;

/// The most assertions of a test.
pub const ASSERTS_MAX: usize = 100;

/// The most members of a barrier or a sync, and of a group.
pub const MEMBERS_MAX: usize = 10_000;

/// The most members in all lists of members and all groups of a test together.
pub const LISTED_MEMBERS_MAX: usize = 30_000;

/// The most slaves of a test.
pub const SLAVES_MAX: usize = 10_000;

/// The most names of all keys of `"slaves"` together. A name that several keys match counts once for each.
pub const COVERED_MAX: usize = 30_000;

/// The most variables in all texts of a test together.
pub const VARIABLES_MAX: usize = 20_000;

/// The most schedules of a test.
pub const SCHEDULES_MAX: usize = 5_000;

/// The most schedules of all slaves of a test together.
pub const GIVEN_MAX: usize = 100_000;

/// The most entries of all slaves of a test together. The controller visits each of them when it decides what can still
/// happen.
pub const ALL_ENTRIES_MAX: usize = 100_000;

/// The most different sets of labels that the slaves of a test require.
pub const WITH_MAX: usize = 500;

/// The most addresses in the commands of all slaves of a test together. An address counts once for each slave.
pub const ADDRESSES_MAX: usize = 100_000;

/// The most bytes of entries of all slaves together whose commands name addresses. When such an address changes, all of
/// these bytes are sent again in one turn.
pub const RETOLD_MAX: usize = 16 * 1024 * 1024;

/// The most entries of all slaves together. Slaves with the same schedules share their entries, which count once.
pub const UNSHARED_MAX: usize = 5_000;

/// The most bytes of these entries together in the messages to the slaves.
pub const UNSHARED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most entries of a slave.
pub const ENTRIES_MAX: usize = 4_096;

/// The longest command, directory or value of the environment, in bytes. Linux takes arguments below 128 KiB, and the
/// variables need room.
pub const COMMAND_MAX: usize = 100_000;

/// The longest message that gives a slave its part of a run, in bytes. The rest of the line is for the names of its
/// fields.
pub const PREPARE_MAX: usize = LINE_MAX - 4_096;

/// The longest regular expression, in bytes.
pub const PATTERN_MAX: usize = 1_000;

/// The most different regular expressions of a test.
pub const PATTERNS_MAX: usize = 10;

/// The grace of a test that names none.
pub const GRACE: Duration = Duration::from_secs(10);

/// The time within which a command must become ready, unless the test names one.
pub const READY_WITHIN: Duration = Duration::from_secs(30);

/// The time between the exit of a checking command and its next start, unless the test names one.
pub const CHECK_EVERY: Duration = Duration::from_millis(200);
