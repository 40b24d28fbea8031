//! Removes directories, also those in which a program has forbidden its own user to write.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What the owner of a directory needs to remove what is in it.
const OWNER_ALL: u32 = 0o700;

/// Removes a directory with all that is in it. Symbolic links are not followed.
pub fn tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open(directory);
            fs::remove_dir_all(directory)
        }
        done => done,
    }
}

/// Makes this directory and those below it writable. What cannot be changed is left: the removal says why it fails.
fn open(directory: &Path) {
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if !metadata.is_dir() {
            continue;
        }
        let mode = metadata.permissions().mode();
        if mode & OWNER_ALL != OWNER_ALL {
            let _ = fs::set_permissions(&path, Permissions::from_mode(mode | OWNER_ALL));
        }
        left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
}
