//! Who this process is to others, and whom it trusts: certificates, and `arete pki`, which makes them.
//!
//! Every connection outside of loopback is decided here, before anything is dialled or listened on.

pub mod certificate;
pub mod identity;
pub mod pki;
pub mod trust;
pub mod words;
