//! A node that makes a new token: what it wants, and which nodes agree.

use std::collections::BTreeSet;

use super::token::Token;

/// What a candidate wants.
#[derive(Debug)]
pub struct Candidate {
    pub token: Token,
    /// 0 in a ring with originals.
    pub epoch: u64,
    /// Who has granted it.
    pub grants: BTreeSet<String>,
}
