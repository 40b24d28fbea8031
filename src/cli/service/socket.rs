//! The control socket of a slave, in the first directory that can be used.
//!
//! No other user must be able to write in that directory.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use arete::machine::ListenerId;
use arete::reactor::{Reactor, plain};
use rustix::process::{Pid, test_kill_process};

use crate::cli::error::Error;

/// The mode of the directory.
const MODE: u32 = 0o700;

/// Listens in the first directory in which that is possible. `work` is the slave's own directory.
pub fn listen(reactor: &mut Reactor, work: &Path) -> Result<(PathBuf, ListenerId), Error> {
    let mut errors = Vec::new();
    for directory in candidates(work) {
        match listen_in(reactor, &directory) {
            Ok(listening) => return Ok(listening),
            Err(error) => {
                let error = format!("{}: {}", directory.display(), plain(&error));
                log::info!("no control socket in {error}");
                errors.push(error);
            }
        }
    }
    Err(Error::failed(format!(
        "no place for the control socket: {}: set XDG_RUNTIME_DIR to a directory of this user with a short path",
        errors.join("; ")
    )))
}

/// Returns the directories for the socket, best first. Any will do, because commands get the path in a variable.
fn candidates(work: &Path) -> Vec<PathBuf> {
    let uid = rustix::process::geteuid();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let mut candidates: Vec<PathBuf> = runtime.map(|runtime| runtime.join("arete")).into_iter().collect();
    if uid.is_root() {
        // /run/arete is for the controller.
        candidates.push("/run/arete-0".into());
    }
    candidates.extend(["/tmp", "/var/tmp"].map(|top| Path::new(top).join(format!("arete-{}", uid.as_raw()))));
    candidates.push(work.join(".sockets"));
    candidates
}

fn listen_in(reactor: &mut Reactor, directory: &Path) -> io::Result<(PathBuf, ListenerId)> {
    let socket = directory.join(format!("{}.sock", std::process::id()));
    if socket.to_str().is_none() {
        return Err(io::Error::other("its name is not UTF-8"));
    }
    make(directory)?;
    remove_dead(directory);
    let listener = reactor.listen_unix(&socket)?;
    Ok((socket, listener))
}

/// Makes a directory in which no other user can write. The directory above it must belong to this user or root.
fn make(directory: &Path) -> io::Result<()> {
    let uid = rustix::process::geteuid().as_raw();
    let above = directory.parent().unwrap_or(Path::new("/"));
    let owner = fs::metadata(above)?.uid();
    // If root made a directory in the runtime directory of another user, that user could not use it any more.
    if owner != uid && owner != 0 {
        return Err(io::Error::other(format!("{} belongs to user {owner}", above.display())));
    }
    match DirBuilder::new().mode(MODE).create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() || metadata.uid() != uid || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("it is not a directory in which only this user can write"));
    }
    Ok(())
}

/// Removes the sockets of slaves that were killed (`PID.sock`) and of their commands (`PID.N.ear`). The sockets of a running
/// process stay, because a slave that is starting does not listen yet.
fn remove_dead(directory: &Path) {
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
        let (pid, kind) = path.file_name().and_then(|name| name.to_str()?.split_once('.')).unwrap_or_default();
        let Some(owner) = pid.parse().ok().and_then(Pid::from_raw) else { continue };
        // A connection to each living slave would wake all of them whenever one more starts.
        let is_unused = test_kill_process(owner) == Err(rustix::io::Errno::SRCH)
            && match kind.rsplit('.').next() {
                Some("sock") => UnixStream::connect(&path).is_err_and(refused),
                Some("ear") => true,
                _ => false,
            };
        if is_unused {
            let _ = fs::remove_file(&path);
        }
    }
}
