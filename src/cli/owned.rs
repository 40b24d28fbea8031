//! Checks whether another user could change the files and directories that this process trusts.
//!
//! Such a user could choose what this process runs, or which certificates it accepts.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use arete::reactor::plain;

/// The mode bits with which users other than the owner can write.
const OTHERS_WRITE: u32 = 0o022;

/// The mode bit with which everybody can write. Above a directory, groups are not checked: on many systems each user has a
/// group of their own, and a user who works in the directory of a larger group has chosen to.
const EVERYBODY_WRITES: u32 = 0o002;

/// The mode bit of a directory in which only the owner of a file can remove or rename it.
const STICKY: u32 = 0o1000;

/// Why a path cannot be trusted.
#[derive(Debug)]
pub enum Foreign {
    /// It belongs to the first user, and this process runs as the second one.
    Owner(u32, u32),
    /// Users other than its owner can write it.
    Writable,
    /// Everybody can write this directory above it.
    Movable(PathBuf),
    /// Its metadata cannot be read.
    Unknown(io::Error),
}

impl Foreign {
    /// Returns the message about `path`.
    pub fn of(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Foreign::Owner(owner, own) => format!(
                "{path}: it belongs to user {owner}, and this process runs as user {own}: if you trust the content, run \
                 \"chown {own} {path}\""
            ),
            Foreign::Writable => format!(
                "{path}: users other than its owner can write it: if you trust the content, run \"chmod go-w {path}\""
            ),
            Foreign::Movable(above) => format!(
                "{path}: everybody can write {above}, and could replace the directory: run \"chmod o-w {above}\", or \
                 \"chmod +t {above}\" so that users can move only their own files",
                above = above.display()
            ),
            Foreign::Unknown(error) => format!("{path}: cannot check who can change it: {}", plain(error)),
        }
    }
}

/// Fails if a directory in which this process works belongs to another user, or if another user can write or replace it.
pub fn works_in(directory: &Path) -> Result<(), Foreign> {
    let metadata = fs::metadata(directory).map_err(Foreign::Unknown)?;
    let own = rustix::process::geteuid().as_raw();
    judge(&metadata, |owner| owner == own, OTHERS_WRITE)?;
    let whole = fs::canonicalize(directory).map_err(Foreign::Unknown)?;
    for above in whole.ancestors().skip(1) {
        let mode = fs::metadata(above).map_err(Foreign::Unknown)?.mode();
        if mode & EVERYBODY_WRITES != 0 && mode & STICKY == 0 {
            return Err(Foreign::Movable(above.to_owned()));
        }
    }
    Ok(())
}

/// Fails if a user other than this one and root can change a file with this metadata.
pub fn relies_on(metadata: &Metadata) -> Result<(), Foreign> {
    judge(metadata, is_trusted, OTHERS_WRITE)
}

/// Fails if another user can replace a file in this directory. In a sticky directory, others can only add files.
pub fn relies_on_names_in(directory: &Path) -> Result<(), Foreign> {
    let metadata = fs::metadata(directory).map_err(Foreign::Unknown)?;
    let forbidden = if metadata.mode() & STICKY == 0 { OTHERS_WRITE } else { 0 };
    judge(&metadata, is_trusted, forbidden)
}

fn judge(metadata: &Metadata, may_own: impl Fn(u32) -> bool, forbidden: u32) -> Result<(), Foreign> {
    match (may_own(metadata.uid()), metadata.mode() & forbidden) {
        (false, _) => Err(Foreign::Owner(metadata.uid(), rustix::process::geteuid().as_raw())),
        (true, 0) => Ok(()),
        (true, _) => Err(Foreign::Writable),
    }
}

/// Whether this is the current user, root, or the user who runs this command with sudo(8).
fn is_trusted(owner: u32) -> bool {
    let own = rustix::process::geteuid();
    let caller = || std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse::<u32>().ok());
    owner == own.as_raw() || owner == 0 || (own.is_root() && caller() == Some(owner))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_path_that_others_can_write_is_not_trusted() {
        let top = std::env::temp_dir().join(format!("arete-owned-test-{}", std::process::id()));
        fs::create_dir(&top).unwrap();
        let (file, below) = (top.join("file"), top.join("below"));
        fs::create_dir(&below).unwrap();
        fs::write(&file, "").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let mut found = Vec::new();
        for (mode, may) in
            [(0o700, true), (0o755, true), (0o720, false), (0o702, false), (0o777, false), (0o1777, false)]
        {
            set(&top, mode);
            set(&file, mode & 0o777);
            let judged =
                [works_in(&top), relies_on_names_in(&top), relies_on(&fs::metadata(&file).unwrap()), works_in(&below)];
            let expected = [may, may || mode == 0o1777, may, may || matches!(mode, 0o720 | 0o1777)];
            found.push((mode, judged.iter().map(Result::is_ok).eq(expected)));
        }
        set(&top, 0o700);
        fs::remove_dir_all(&top).unwrap();
        assert!(found.iter().all(|(_, right)| *right), "{found:?}");
        assert!(Foreign::Writable.of(Path::new("/x/y")).contains(
            "/x/y: users other than its owner can write it: if you trust the content, run \"chmod go-w /x/y\""
        ));
    }
}
