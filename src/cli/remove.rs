//! Removes directories, including those that a program has made read-only.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The rights that the owner of a directory needs to remove its content.
const OWNER_ALL: u32 = 0o700;

/// Removes a directory and its content. Symbolic links are not followed.
pub fn tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            make_writable(directory);
            fs::remove_dir_all(directory)
        }
        done => done,
    }
}

/// Makes a directory and those below it writable. Errors are ignored, because the removal reports them.
fn make_writable(directory: &Path) {
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
