//! The options at the start of a service, to find those that a reload cannot change.

use crate::cli::service::origin::{Origin, Values};
use crate::cli::tls::identity::Security;

/// The options at the start of this process.
pub struct Started {
    values: Values,
    /// A reload reads certificates again, but cannot turn TLS on or off.
    pub uses_tls: bool,
}

impl Started {
    pub fn new(origin: &Origin, security: &Security) -> Started {
        Started { values: origin.values().clone(), uses_tls: security.tls.is_some() }
    }

    /// Logs the options that have changed since the start and need a restart. A reload changes those in `reloadable`.
    pub fn warn_of_restart(&self, now: &Origin, security: &Security, reloadable: &[&str]) {
        let tls = self.uses_tls && security.tls.is_some();
        let can_reload = |option: &&str| reloadable.contains(option) || tls && *option == "tls";
        for option in now.differences(&self.values).into_iter().filter(|option| !can_reload(option)) {
            log::warn!("{}: it has changed since the start: that needs a restart", now.subject(option));
        }
    }
}
