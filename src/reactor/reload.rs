//! A configuration that is read again while the loop runs.

use super::tls::Tls;

/// What a configuration says that was read again.
#[derive(Default)]
pub struct Reloaded {
    /// How TLS is spoken on connections from now on. `None`: as before.
    pub tls: Option<Tls>,
    /// The most connections. `None`: as before.
    pub max_connections: Option<usize>,
    /// The settings for the machine.
    pub settings: Vec<u8>,
}

/// Reads the configuration again. Fails with what is wrong with it, a line each.
pub type Reload = Box<dyn FnMut() -> Result<Reloaded, String>>;
