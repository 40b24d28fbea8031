//! One run: its start and its end, the reports of its slaves, and its results.

pub mod absent;
pub mod addresses;
pub mod admission;
pub mod apply;
pub mod arrivals;
pub mod charge;
pub mod deadlines;
pub mod entry_index;
pub mod event_log;
pub mod failures;
pub mod history;
pub mod launch;
pub mod launched;
pub mod never;
pub mod pace;
pub mod parts;
pub mod plan;
pub mod preparation;
pub mod progress;
pub mod prospects;
pub mod record;
pub mod reports;
pub mod resources;
pub mod results;
pub mod resume;
pub mod roster;
#[allow(clippy::module_inception)]
pub mod run;
pub mod runs;
pub mod shutdown;
pub mod slave_error;
pub mod slots;
pub mod stall;
pub mod standstill;
pub mod summary;
pub mod summary_file;
