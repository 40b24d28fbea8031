//! The bounds of a turn of the loop, and of its exit.
//!
//! A turn must end soon, however much there is to do, because deadlines fire and queued bytes go out between turns. The
//! bounds of one kind of source are in the file of that kind.

use std::time::Duration;

/// The most events that one poll takes in.
pub const EVENTS: usize = 4096;

/// The read buffer that all connections and datagrams share, in bytes. No datagram is longer.
pub const READ_BUFFER: usize = 64 * 1024;

/// The most times in one turn that the machine hears of what its own effects brought.
pub const PASSES_A_TURN: usize = 8;

/// The most files that are read after each of these passes.
pub const READS_A_PASS: usize = 4;

/// The time in a turn after which no further source is read from. Otherwise deadlines and queued bytes would wait for
/// peers that send much. The remaining sources go on, in order, in the next turn.
pub const READS_OF_A_TURN: Duration = Duration::from_millis(20);

/// The time for which a turn sends. The remaining connections follow in the next turns, before anything else is read, so that
/// answers to the first peers do not delay the last ones.
pub const SENDS_OF_A_TURN: Duration = Duration::from_millis(20);

/// The number of writes waiting for the end of the turn after which no further source is read from, because each may have
/// to create a file.
pub const WRITES_OF_A_TURN: usize = 64;

/// The most reads, datagrams or accepts of one source in a turn.
pub const SHARE_OF_A_TURN: usize = 16;

/// The pause of accepting after descriptors have run out.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The time within which a closed connection must get rid of what is queued.
pub const LINGER: Duration = Duration::from_secs(2);

/// The time within which one address must answer.
pub const DIAL_TIME: Duration = Duration::from_secs(10);

/// How often groups without a leader are checked, in addition to every time that a child ends.
pub const LOOK_AT_GROUPS: Duration = Duration::from_secs(1);

/// The time that an exiting process gives its peers and the terminal to take what is queued.
pub const EXIT_LINGER: Duration = Duration::from_secs(1);

/// The time that an exiting process gives its peers to see that nothing more comes.
pub const EXIT_FAREWELL: Duration = Duration::from_millis(200);

/// Descriptors that are not for connections: files, children, lookups.
pub const OTHER_DESCRIPTORS: u64 = 256;

/// The most connections by default, whatever the system allows.
pub const MOST_CONNECTIONS: u64 = 1 << 20;
