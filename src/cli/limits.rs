//! The options that limit what a controller holds and records.

use arete::controller::Limits;
use arete::wire::rendezvous::{SESSION_MOST, VALUE_MOST};
use clap::Args;

use crate::cli::values::{number, size};

/// The highest value of `--events-max`.
const EVENTS_MOST: u64 = 1 << 40;

/// The highest value of `--connections-max`.
const CONNECTIONS_MOST: u64 = 1 << 20;

/// The limits of a controller, for the members of its rooms and for each run.
#[derive(Args)]
pub struct LimitOptions {
    /// The maximum size of one value in a sync, in bytes, or with KiB, MiB or GiB [default: 4MiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, VALUE_MOST))]
    pub value_max: Option<usize>,
    /// The maximum size of all values of one sync [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, SESSION_MOST))]
    pub session_max: Option<usize>,
    /// The maximum memory for members; a sync needs twice the size of its values [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    pub memory_max: Option<usize>,
    /// The maximum number of connections [default: as the limit of open files allows]
    #[arg(long, value_name = "N", value_parser = |text: &str| number::<u64>(text, CONNECTIONS_MOST, "number of connections"))]
    pub connections_max: Option<u64>,
    /// The maximum size of the output that the slaves of one run ship to its results [default: 64GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    pub output_max: Option<usize>,
    /// Fail a run that has more than N events [default: 10000000]
    #[arg(long, value_name = "N", value_parser = |text: &str| number::<u64>(text, EVENTS_MOST, "number of events"))]
    pub events_max: Option<u64>,
    /// Fail a run whose record of slaves and clients is larger than SIZE [default: 8GiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, usize::MAX))]
    pub record_max: Option<usize>,
}

impl LimitOptions {
    pub fn limits(&self) -> Limits {
        let bytes = |most: usize| most as u64;
        let (output, record) = (self.output_max.map(bytes), self.record_max.map(bytes));
        Limits::new(self.value_max, self.session_max, self.memory_max).of_a_run(output, self.events_max, record)
    }

    pub fn connections(&self) -> Option<usize> {
        self.connections_max.and_then(|most| usize::try_from(most).ok())
    }
}
