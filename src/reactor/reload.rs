//! A configuration that is read again while the loop runs.

use std::error::Error;

use super::tls::Tls;

/// The content of a configuration that was read again.
#[derive(Default)]
pub struct Reloaded {
    /// How TLS is spoken on connections from now on. `None`: as before.
    pub tls: Option<Tls>,
    /// The most connections. `None`: as before.
    pub max_connections: Option<usize>,
    /// The settings for the machine, as JSON in its own form.
    pub settings: Vec<u8>,
}

/// Reads the configuration again. Fails if it is not valid; the error has a line for each problem.
pub type Reload = Box<dyn FnMut() -> Result<Reloaded, Box<dyn Error>>>;
