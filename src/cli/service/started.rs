//! The configuration that a service started with.
//!
//! A reload can change some options. This file tells people which of the others need a restart.

use crate::cli::service::origin::Origin;
use crate::cli::tls::identity::Security;

/// The options at the start of this process, to find what a reload cannot change.
pub struct Started {
    origin: Origin,
    /// A reload reads certificates again, but does not change whether TLS is spoken.
    pub speaks_tls: bool,
}

impl Started {
    pub fn new(origin: &Origin, security: &Security) -> Started {
        Started { origin: origin.clone(), speaks_tls: security.tls.is_some() }
    }

    /// Logs which options have changed since the start, except those that `can` change.
    pub fn warn_of_restart(&self, now: &Origin, security: &Security, can: &[&str]) {
        let tls = self.speaks_tls && security.tls.is_some();
        let may = |option: &&str| can.contains(option) || (tls && *option == "tls");
        for option in self.origin.differences(now).into_iter().filter(|option| !may(option)) {
            log::warn!("{}: it was given otherwise at the start: that needs a restart", now.subject(option));
        }
    }
}
