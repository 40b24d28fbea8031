//! `arete check`: everything that is wrong with a test file.

use std::io::Write;
use std::path::PathBuf;

use arete::exit_code;

use super::{Error, complain, load};

/// Checks each file; says all that is wrong, or what a good one holds.
pub fn run(files: &[PathBuf]) -> Result<u8, Error> {
    let mut code = exit_code::PASSED;
    for file in files {
        match load::load(file) {
            Ok((test, _)) => {
                let entries: usize = test.slaves.iter().map(|slave| slave.entries.len()).sum();
                let text = format!("{}: ok, {} slaves, {entries} entries\n", file.display(), test.slaves.len());
                let _ = std::io::stdout().write_all(text.as_bytes());
            }
            Err(error) => {
                complain(&error.message);
                code = error.code.max(code);
            }
        }
    }
    Ok(code)
}
