//! The directories in which arete works. They are made for this user alone, and must not belong to another user.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::cli::error::Error;
use crate::cli::owned;

/// The mode of a directory that is for one user alone.
const CLOSED: u32 = 0o700;

/// The mode of the directories above it. The umask may remove rights.
const ABOVE: u32 = 0o755;

/// Makes a directory for this user alone, unless it exists. Other users can read the directories above it, because their
/// own may be there too, as those of the services in /var/lib/arete. They cannot write there, whatever the umask.
fn make_closed(directory: &Path) -> io::Result<()> {
    if let Some(above) = directory.parent().filter(|above| !above.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(ABOVE).create(above)?;
    }
    match fs::DirBuilder::new().mode(CLOSED).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes a directory in which this process works, for this user alone. One that exists must belong to this user, and no
/// other may write it, because its files decide what is run. `option` is the option that names it.
pub fn make(directory: &Path, option: &str) -> Result<(), Error> {
    let made = make_closed(directory);
    made.map_err(Error::cannot_so(
        format_args!("make the directory {}", directory.display()),
        format_args!("use {option} to name another directory"),
    ))?;
    check(directory, option)
}

/// Fails if a directory belongs to another user, or if others may write it. `option` is the option that names it.
pub fn check(directory: &Path, option: &str) -> Result<(), Error> {
    owned::works_in(directory).map_err(Error::foreign(&format!("{option}: "), directory))
}

/// Writes a file that no other user can write, whatever the umask.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o644).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_is_closed_and_the_directories_above_it_are_not() {
        let top = std::env::temp_dir().join(format!("arete-closed-test-{}", std::process::id()));
        let directory = top.join("arete/slave");
        make_closed(&directory).unwrap();
        make_closed(&directory).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let usual = top.join("usual");
        fs::create_dir(&usual).unwrap();
        let modes = [mode(&directory), mode(&top.join("arete")), mode(&top)];
        let expected = [0o700, mode(&usual), mode(&usual)];
        fs::write(top.join("file"), "").unwrap();
        let file = make_closed(&top.join("file"));
        fs::remove_dir_all(&top).unwrap();
        assert_eq!(modes, expected);
        assert!(file.is_err(), "a file is not a directory");
    }
}
