//! The environment variable that names a controller.

use crate::cli::error::Error;

/// The variable.
pub const VARIABLE: &str = "ARETE_CONTROLLER";

/// Returns the controller that the environment names. Fails if it is not UTF-8.
pub fn variable() -> Result<Option<String>, Error> {
    let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|value| Error::usage(format!("{VARIABLE} {value:?}: it is not UTF-8")))
}
