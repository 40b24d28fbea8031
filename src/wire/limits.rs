//! The version of the protocol, and the bounds that it sets.
//!
//! Both ends apply these numbers, so each is defined once, here. The exception is the longest time, which is in
//! `times.rs` next to the function that enforces it. No other file of the wire may define a bound of a message.

/// The version of the protocol that this arete speaks. Both ends must speak the same version.
pub const PROTOCOL: u32 = 1;

/// The longest piece of a file in one [`Chunk`](super::Chunk) or [`Output`](super::Output), in bytes.
pub const CHUNK_MAX: usize = 256 * 1024;

/// The longest line a peer may send before its hello was accepted, in bytes with the newline.
pub const LINE_MAX_BEFORE_HELLO: usize = 64 * 1024;

/// The longest line a peer may send after that, in bytes with the newline: a [`Chunk`](super::Chunk) in base64 with room
/// for its other fields, or a long schedule.
pub const LINE_MAX: usize = 1024 * 1024;

/// The most bytes of a line with a value or a map beyond its values: it names all members that can meet.
pub const LINE_AROUND_VALUES: usize = 4 * 1024 * 1024;

/// The longest line with one value of a sync in it, a [`Give`](super::rendezvous::Give), in bytes with the newline, at a
/// controller that takes values of at most [`VALUE_MAX`].
pub const LINE_MAX_OF_VALUE: usize = VALUE_MAX + LINE_AROUND_VALUES;

/// The same at a controller that takes values of at most [`VALUE_MOST`].
pub const LINE_MOST_OF_VALUE: usize = VALUE_MOST + LINE_AROUND_VALUES;

/// The longest name of anything in a message, such as a room, a member, a trigger or the path of a file, in bytes. The rules
/// for each kind of name are stricter.
pub const NAME_MOST: usize = 4096;

/// The longest data of a notify, in bytes of JSON.
pub const NOTE_MAX: usize = 64 * 1024;

/// The longest value of a member by default, in bytes of JSON.
pub const VALUE_MAX: usize = 4 * 1024 * 1024;

/// The longest values of one session together by default, in bytes of JSON.
pub const SESSION_MAX: usize = 256 * 1024 * 1024;

/// The highest bound on a value that a controller can be configured with, in bytes of JSON.
pub const VALUE_MOST: usize = 1024 * 1024 * 1024;

/// The highest bound on the values of one session together that a controller can be configured with, in bytes of JSON.
pub const SESSION_MOST: usize = 2 * 1024 * 1024 * 1024;

/// The timeout of a sync that names none, in microseconds.
pub const SYNC_TIMEOUT: u64 = 60_000_000;

/// The longest time between a member's sign of life and the last arrival, unless the barrier names another, in
/// microseconds.
pub const FRESH: u64 = 1_000_000;

/// The most arrivals that one [`Gone`](super::rendezvous::Gone) or [`Heard`](super::rendezvous::Heard) names: as many as
/// a slave may have.
pub const IDS_MAX: usize = 100_000;

/// The most slaves, runs or files that one answer names.
pub const PAGE_MAX: usize = 500;

/// The most [`Get`](super::operate::Get)s of one operator that may be unanswered.
pub const GETS_MAX: usize = 64;
