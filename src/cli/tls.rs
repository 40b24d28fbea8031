//! The identity of this process, and the peers that it trusts: certificates, and `arete pki`, which creates them.
//!
//! Whether an address outside loopback may be used is decided here, before the process connects or listens.

pub mod certificate;
pub mod identity;
pub mod pki;
pub mod trust;
pub mod words;
