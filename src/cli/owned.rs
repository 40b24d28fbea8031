//! Whether what this process relies on could be another user's: the directories in which it works, and the files that say
//! whom it trusts.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use arete::reactor::plain;

/// The bits of a mode by which others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// The bit by which everybody may write. A group above a directory is not looked at: on many systems each user has one of
/// his own, which may write all that is his, and who works in a directory of a larger one has chosen so.
const EVERYBODY_WRITES: u32 = 0o002;

/// In such a directory nobody removes or renames what is another's.
const STICKY: u32 = 0o1000;

/// Why something is not to be relied on.
#[derive(Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It belongs to this other user; this process is the second one.
    Owner(u32, u32),
    /// Others than its owner may write it.
    Writable,
    /// Everybody may write this directory above it.
    Movable(PathBuf),
    /// It cannot be looked at.
    Unknown(String),
}

impl Foreign {
    /// What is wrong with `path`, and what to do about it.
    pub fn of(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Foreign::Owner(owner, own) => format!(
                "{path}: it belongs to user {owner}, who could change it, and this process is user {own}: \"chown {own} \
                 {path}\" makes it this user's, if nothing of the other is in it"
            ),
            Foreign::Writable => format!(
                "{path}: others than its owner may write it: \"chmod go-w {path}\" forbids that, if nobody has done so"
            ),
            Foreign::Movable(above) => format!(
                "{path}: everybody may write {above}, and so put another directory in its place: \"chmod o-w {above}\" \
                 forbids that, \"chmod +t {above}\" lets each user move only what is his",
                above = above.display()
            ),
            Foreign::Unknown(why) => format!("{path}: cannot look at it: {why}"),
        }
    }
}

/// Whether a directory in which this process works is this user's, and no other may write it.
pub fn works_in(directory: &Path) -> Result<(), Foreign> {
    let metadata = fs::metadata(directory).map_err(|error| Foreign::Unknown(plain(&error)))?;
    let own = rustix::process::geteuid().as_raw();
    judge(&metadata, |owner| owner == own, OTHERS_WRITE)?;
    stays_in_its_place(directory)
}

/// Whether not everybody may rename a directory, or one above it, and make another of its name.
fn stays_in_its_place(directory: &Path) -> Result<(), Foreign> {
    let unknown = |error| Foreign::Unknown(plain(&error));
    let whole = fs::canonicalize(directory).map_err(unknown)?;
    for above in whole.ancestors().skip(1) {
        let mode = fs::metadata(above).map_err(unknown)?.mode();
        if mode & EVERYBODY_WRITES != 0 && mode & STICKY == 0 {
            return Err(Foreign::Movable(above.to_owned()));
        }
    }
    Ok(())
}

/// Whether nobody but this user and root can change a file that says what to trust or to do.
pub fn relies_on(metadata: &Metadata) -> Result<(), Foreign> {
    judge(metadata, is_trusted, OTHERS_WRITE)
}

/// The same of the directory of such a file. Others may add files to one that is sticky, and replace none.
pub fn relies_on_names_in(directory: &Path) -> Result<(), Foreign> {
    let metadata = fs::metadata(directory).map_err(|error| Foreign::Unknown(plain(&error)))?;
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

/// This user, root, and whoever has become root by sudo(8) for this command: he chose the files himself.
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
    fn what_others_may_write_is_not_relied_on() {
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
        assert!(
            Foreign::Writable
                .of(Path::new("/x/y"))
                .contains("/x/y: others than its owner may write it: \"chmod go-w /x/y\"")
        );
    }
}
