//! A candidate: a node that makes a new token.

use std::collections::BTreeSet;

use super::token::Token;

/// A node that makes a new token.
#[derive(Debug)]
pub struct Candidate {
    /// The token that it makes.
    pub token: Token,
    /// The epoch that it wants; 0 in a ring with originals.
    pub epoch: u64,
    /// The nodes that have granted the epoch.
    pub grants: BTreeSet<String>,
}
