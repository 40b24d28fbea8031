//! The control socket of a slave: it is made in the first directory that can be used.
//!
//! Only this user may be able to write in that directory.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use arete::machine::ListenerId;
use arete::reactor::{Reactor, plain};
use rustix::process::{Pid, test_kill_process};

use crate::cli::error::Error;

/// For this user alone.
const MODE: u32 = 0o700;

/// Listens in the first directory in which that is possible. `work` is the slave's own directory.
pub fn listen(reactor: &mut Reactor, work: &Path) -> Result<(PathBuf, ListenerId), Error> {
    let mut wrong = Vec::new();
    for directory in places(work) {
        match listen_in(reactor, &directory) {
            Ok(listening) => return Ok(listening),
            Err(why) => {
                log::info!("the control socket does not go to {}: {why}", directory.display());
                wrong.push(format!("{}: {why}", directory.display()));
            }
        }
    }
    Err(Error::failed(format!(
        "no place for the control socket: {}: name a directory of this user with a short path in XDG_RUNTIME_DIR",
        wrong.join("; ")
    )))
}

/// Returns the directories for sockets, best first. Any is good, because commands get the path in a variable.
fn places(work: &Path) -> Vec<PathBuf> {
    let uid = rustix::process::geteuid();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let mut places: Vec<PathBuf> = runtime.map(|runtime| runtime.join("arete")).into_iter().collect();
    if uid.is_root() {
        // Not /run/arete, which is the controller's.
        places.push("/run/arete-0".into());
    }
    places.extend(["/tmp", "/var/tmp"].map(|top| Path::new(top).join(format!("arete-{}", uid.as_raw()))));
    places.push(work.join(".sockets"));
    places
}

fn listen_in(reactor: &mut Reactor, directory: &Path) -> Result<(PathBuf, ListenerId), String> {
    let socket = directory.join(format!("{}.sock", std::process::id()));
    if socket.to_str().is_none() {
        return Err("its name is not UTF-8".to_owned());
    }
    make(directory)?;
    remove_dead(directory);
    let listener = reactor.listen_unix(&socket).map_err(|error| plain(&error))?;
    Ok((socket, listener))
}

/// Makes a directory that no other user can write. The directory above must be this user's or root's.
fn make(directory: &Path) -> Result<(), String> {
    let uid = rustix::process::geteuid().as_raw();
    let above = directory.parent().unwrap_or(Path::new("/"));
    let owner = fs::metadata(above).map_err(|error| plain(&error))?.uid();
    // If root made a directory in that of another user, that user could not use it.
    if owner != uid && owner != 0 {
        return Err(format!("{} belongs to user {owner}", above.display()));
    }
    match DirBuilder::new().mode(MODE).create(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(plain(&error)),
        _ => {}
    }
    let metadata = fs::symlink_metadata(directory).map_err(|error| plain(&error))?;
    if !metadata.is_dir() || metadata.uid() != uid || metadata.mode() & 0o022 != 0 {
        return Err("it is not a directory of this user that nobody else can write".to_owned());
    }
    Ok(())
}

/// Removes the sockets of slaves that were killed (`PID.sock`) and those of their commands (`PID.N.ear`). A socket
/// stays while its process lives, because a slave that is starting does not listen yet.
fn remove_dead(directory: &Path) {
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let refused = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        let (pid, kind) = path.file_name().and_then(|name| name.to_str()?.split_once('.')).unwrap_or_default();
        let owner = pid.parse().ok().and_then(Pid::from_raw);
        let lives = |owner: Pid| test_kill_process(owner) != Err(rustix::io::Errno::SRCH);
        let is_left = match kind.rsplit('.').next() {
            Some("sock") => UnixStream::connect(&path).is_err_and(refused),
            Some("ear") => true,
            _ => false,
        };
        if is_left && owner.is_some_and(|owner| !lives(owner)) {
            let _ = fs::remove_file(&path);
        }
    }
}
