//! The options that bound what a controller holds and records.

use arete::controller::Limits;
use arete::wire::rendezvous::{SESSION_MOST, VALUE_MOST};
use clap::Args;

use crate::cli::values::{count, size};

/// The highest bound on the recorded events that can be given.
pub const EVENTS_MOST: u64 = 1 << 40;

/// The highest bound on the connections of a controller that can be given.
const CONNECTIONS_MOST: u64 = 1 << 20;

/// How long the values of syncs may be, and how much is held of members.
#[derive(Args)]
pub struct LimitOptions {
    /// The longest value that a member may give to a sync, in bytes, or with KiB, MiB or GiB [default: 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, VALUE_MOST))]
    pub value_max: Option<usize>,
    /// The longest values of a session together [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, SESSION_MOST))]
    pub session_max: Option<usize>,
    /// How much to hold of all members together; a session takes its values twice [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    pub memory_max: Option<usize>,
    /// How many connections there may be [default: what the limit of open files allows]
    #[arg(long, value_name = "N", value_parser = |text: &str| count(text, CONNECTIONS_MOST))]
    pub connections_max: Option<u64>,
}

impl LimitOptions {
    pub fn limits(&self) -> Limits {
        Limits::new(self.value_max, self.session_max, self.memory_max)
    }

    pub fn connections(&self) -> Option<usize> {
        self.connections_max.and_then(|most| usize::try_from(most).ok())
    }
}
