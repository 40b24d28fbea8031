//! What a controller says of itself to whoever watches over its process, and what it can be told anew while it runs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::controller::host::archive::Keeping;
use crate::controller::room::sync::Limits;

/// What of a controller's configuration can change while it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// How long a client's connection may be gone before the client is lost, in microseconds; of those that connect later.
    pub rejoin: u64,
    /// What is held already stays, also if it is more than may be held now.
    pub limits: Limits,
    /// Who may hand in tests, by the names in their certificates.
    pub operators: BTreeSet<String>,
    /// How long a slave's connection may be gone before the slave is lost to its run, in microseconds; of runs that are
    /// handed in later.
    pub lost_after: u64,
    /// Which runs that are over are kept.
    pub keeping: Keeping,
    /// How many bytes the runs that are kept may take together.
    pub keep_max: Option<u64>,
}
