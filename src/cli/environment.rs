//! The controller that the environment names.

use crate::cli::error::Error;

/// The variable that names a controller.
pub const VARIABLE: &str = "ARETE_CONTROLLER";

/// Returns the controller that the environment names. Fails if it is not UTF-8.
pub fn variable() -> Result<Option<String>, Error> {
    let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) else { return Ok(None) };
    named.into_string().map(Some).map_err(|named| Error::usage(format!("{VARIABLE} {named:?}: it is not UTF-8")))
}
