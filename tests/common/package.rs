//! The Debian package of the program under test.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Place, must, repository};

/// The programs that are needed to make a package.
pub const PROGRAMS: [&str; 5] = ["make", "dpkg-deb", "objdump", "strip", "gzip"];

/// Runs `make` in the repository with the program that the tests run. The package is written to the place.
pub fn make(place: &Place, words: &[&str]) -> Command {
    let mut command = Command::new("make");
    command.arg("-s").args(words).arg(format!("BIN={}", env!("CARGO_BIN_EXE_arete"))).current_dir(repository());
    command.arg(format!("DEBDIR={}", place.path("deb").display()));
    command.env("DEB_COMPRESSION", "-Zgzip -z1").env_remove("MAKEFLAGS");
    command
}

/// Makes the package and returns its path.
pub fn make_package(place: &Place) -> PathBuf {
    must(&mut make(place, &["deb"]));
    let built = fs::read_dir(place.path("deb")).expect("it was made there").flatten().map(|entry| entry.path());
    built.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb")).expect("there is a package")
}
