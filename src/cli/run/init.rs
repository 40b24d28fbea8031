//! `arete init`: writes a test to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use arete::exit_code;
use arete::session;

use crate::cli::error::Error;
use crate::cli::stdout;

/// The test, with `NAME` where its name belongs.
const TEST: &str = include_str!("../../../share/init.yaml");

/// Writes `NAME.yaml` in the current directory. Fails if that exists, or if this is no name of a test.
pub fn run(name: &str) -> Result<u8, Error> {
    session::check_name("a test", name).map_err(|error| Error::usage(error.to_string()))?;
    let path = PathBuf::from(format!("{name}.yaml"));
    let shown = path.display();
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(TEST.replace("NAME", name).as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::usage(format!("{shown} exists: choose another name, as in arete init NAME")),
        _ => Error::cannot(format_args!("write {shown}"))(error),
    })?;
    stdout::print(format!("{shown} is written: run it with \"arete run {shown}\"\n"))?;
    Ok(exit_code::PASSED)
}
