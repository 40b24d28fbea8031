//! Reads files that a user names, up to a limit.
//!
//! Reading must never block for ever, as it would on a device, on `/proc/kmsg`, or on a named pipe without a writer.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use arete::reactor::plain;
use rustix::fs::OFlags;

/// The byte order mark that some editors write before a text, in UTF-8.
pub const MARK_BYTES: &[u8] = "\u{feff}".as_bytes();

/// Why a file was not read.
#[derive(Debug)]
pub enum Unread {
    Io(io::Error),
    /// It is something else than a file, such as a directory.
    Kind(&'static str),
    /// It is longer than this number of bytes.
    Long(u64),
    /// It is longer than its metadata says, in bytes.
    Grew(u64),
}

/// The kinds of files that may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Regular files only.
    Files,
    /// Also a pipe into which another program writes, as in `arete check <(make-test)`.
    Pipes,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Reading a regular file never blocks.
            Unread::Io(error) if error.kind() == ErrorKind::WouldBlock => {
                f.write_str("it is not a regular file: it may have no end")
            }
            Unread::Io(error) => f.write_str(&plain(error)),
            Unread::Kind(kind) => write!(f, "it is {kind}, not a regular file"),
            Unread::Long(max) => write!(f, "it is longer than {max} bytes"),
            Unread::Grew(size) => write!(f, "it holds more than the {size} bytes of its size: ship a copy of the file"),
        }
    }
}

impl std::error::Error for Unread {}

impl Unread {
    /// Whether the file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Unread::Io(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    }
}

/// Opens a file for reading. Never blocks.
pub fn open(path: &Path, takes: Takes) -> Result<(File, Metadata), Unread> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file =
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
            // A socket in the file system, or a device without a driver.
            Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => Unread::Kind("a socket or a device"),
            _ => Unread::Io(error),
        })?;
    let metadata = file.metadata().map_err(Unread::Io)?;
    let kind = metadata.file_type();
    if kind.is_fifo() && takes == Takes::Pipes {
        let blocking =
            rustix::fs::fcntl_getfl(&file).and_then(|flags| rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK));
        blocking.map_err(|error| Unread::Io(error.into()))?;
        return Ok((file, metadata));
    }
    match () {
        _ if kind.is_file() => Ok((file, metadata)),
        _ if kind.is_dir() => Err(Unread::Kind("a directory")),
        _ if kind.is_fifo() => Err(Unread::Kind("a pipe")),
        _ => Err(Unread::Kind("a device")),
    }
}

/// Returns the content of a file. Fails if it is longer than `max` bytes.
pub fn read(path: &Path, max: u64, takes: Takes) -> Result<Vec<u8>, Unread> {
    let (file, metadata) = open(path, takes)?;
    if metadata.len() > max {
        return Err(Unread::Long(max));
    }
    let mut bytes = Vec::new();
    // One byte more than the limit shows that the file is too long, whatever its metadata says.
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(Unread::Io)?;
    if bytes.len() as u64 > max { Err(Unread::Long(max)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused_at_once() {
        let why = |path: &str, takes| read(Path::new(path), 100, takes).unwrap_err().to_string();
        for takes in [Takes::Files, Takes::Pipes] {
            assert_eq!(why("/dev/zero", takes), "it is a device, not a regular file");
            assert_eq!(why("/", takes), "it is a directory, not a regular file");
            assert_eq!(why("/proc/self/status", takes), "it is longer than 100 bytes");
            assert!(read(Path::new("/nowhere/at/all"), 100, takes).unwrap_err().is_missing());
        }
        // A user who may open it would otherwise wait for the next message of the kernel.
        assert!(read(Path::new("/proc/kmsg"), 100, Takes::Files).is_err());
        let directory = std::env::temp_dir().join(format!("arete-source-test-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let pipe = directory.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!(why(pipe.to_str().unwrap(), Takes::Files), "it is a pipe, not a regular file");
        assert_eq!(read(&pipe, 100, Takes::Pipes).unwrap(), b"", "nothing was written to it");
        let socket = directory.join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(why(socket.to_str().unwrap(), Takes::Files), "it is a socket or a device, not a regular file");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
