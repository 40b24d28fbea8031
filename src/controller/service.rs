//! The settings of a permanent controller that can change while it runs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::controller::host::archive::Keeping;
use crate::controller::room::sync::Limits;

/// The settings that SIGHUP can change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// How long a client may be disconnected before it is lost, in microseconds. It applies to later connections.
    pub rejoin: u64,
    /// The limits. Memory that is held already is kept, even if it exceeds them.
    pub limits: Limits,
    /// The names in the certificates of operators, who may submit tests.
    pub operators: BTreeSet<String>,
    /// How long a slave may be disconnected before it is lost to its run, in microseconds. It applies to runs that are
    /// submitted later.
    pub lost_after: u64,
    /// Which finished runs are kept.
    pub keeping: Keeping,
    /// How many bytes the runs that are kept may take together.
    pub keep_max: Option<u64>,
}
