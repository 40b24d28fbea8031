//! A full file system: a file takes the space.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use crate::cli::error::Error;

/// The beginning of the names of such files.
const NAME: &str = ".arete-fill-";

/// How many times space is allocated. The file system needs some for itself, so the first time may not suffice.
const ROUNDS: u32 = 20;

/// The bytes that are written at once, where the file system cannot allocate.
const PIECE: usize = 1024 * 1024;

/// Takes space until at most `leave` bytes are left.
pub fn inject(file: &Path, leave: u64) -> Result<(), Error> {
    let cannot = Error::cannot(format_args!("fill {}", file.display()));
    let mut open = File::options().write(true).create_new(true).open(file).map_err(&cannot)?;
    for _ in 0..ROUNDS {
        let left = left(&open).map_err(|errno| cannot(errno.into()))?;
        let Some(more) = left.checked_sub(leave).filter(|more| *more > 0) else { break };
        let length = open.metadata().map_err(&cannot)?.len();
        match fallocate(&open, FallocateFlags::empty(), length, more) {
            Ok(()) => {}
            // The file system has used some of the space itself.
            Err(Errno::NOSPC) if more / 2 > 0 => {
                let _ = fallocate(&open, FallocateFlags::empty(), length, more / 2);
            }
            Err(Errno::NOSPC) => break,
            Err(Errno::OPNOTSUPP) => write_zeros(&mut open, more).map_err(&cannot)?,
            Err(errno) => return Err(cannot(errno.into())),
        }
    }
    Ok(())
}

/// Removes the file.
pub fn undo(file: &Path) -> Result<(), Error> {
    let is_ours = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(NAME.as_bytes()));
    if !is_ours {
        return Err(Error::failed(format!("{} is not a file that fills: remove its record by hand", file.display())));
    }
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::NotADirectory => {
            Err(Error::cannot_so(format_args!("remove {}", file.display()), "remove it by hand")(error))
        }
        _ => Ok(()),
    }
}

/// Returns how many bytes a program of this user can still write.
fn left(file: impl AsFd) -> Result<u64, Errno> {
    let status = fstatvfs(file)?;
    // Root can also use what is reserved for it.
    let blocks = if rustix::process::geteuid().is_root() { status.f_bfree } else { status.f_bavail };
    Ok(blocks.saturating_mul(status.f_frsize))
}

fn write_zeros(file: &mut File, count: u64) -> std::io::Result<()> {
    let piece = vec![0; PIECE];
    let mut count = usize::try_from(count).unwrap_or(usize::MAX);
    while count > 0 {
        let most = piece.len().min(count);
        match file.write(&piece[..most]) {
            Ok(done) => count -= done,
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    file.sync_all()
}
