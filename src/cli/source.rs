//! Files that somebody names, read as far as they may go and no further. A named pipe whose other end nobody opens, a
//! device and `/proc/kmsg` never end: they must not hold a command up.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use arete::reactor::plain;
use rustix::fs::OFlags;

/// The mark that some editors put before a text, in UTF-8.
pub const MARK_BYTES: &[u8] = "\u{feff}".as_bytes();

/// Why a file was not read.
#[derive(Debug)]
pub enum Unread {
    Io(io::Error),
    /// What it is instead of a file.
    Kind(&'static str),
    /// It is longer than this.
    Long(u64),
}

/// What may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Files, and nothing else.
    Files,
    /// Also what another program writes into a pipe, as in `arete check <(make-test)`.
    Pipes,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // No file makes anybody wait.
            Unread::Io(error) if error.kind() == ErrorKind::WouldBlock => {
                f.write_str("it is not a regular file: it has no end")
            }
            Unread::Io(error) => f.write_str(&plain(error)),
            Unread::Kind(kind) => write!(f, "it is {kind}, not a regular file"),
            Unread::Long(max) => write!(f, "it is longer than {max} bytes"),
        }
    }
}

impl Unread {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Unread::Io(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    }
}

/// Opens a file for reading, without waiting for anybody.
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

/// What a file holds, if that is at most `max` bytes.
pub fn read(path: &Path, max: u64, takes: Takes) -> Result<Vec<u8>, Unread> {
    let (file, metadata) = open(path, takes)?;
    if metadata.len() > max {
        return Err(Unread::Long(max));
    }
    let mut bytes = Vec::new();
    // One byte more than it may have shows that it is too long.
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(Unread::Io)?;
    if bytes.len() as u64 > max { Err(Unread::Long(max)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_refused_at_once() {
        let said = |path: &str, takes| read(Path::new(path), 100, takes).unwrap_err().to_string();
        for takes in [Takes::Files, Takes::Pipes] {
            assert_eq!(said("/dev/zero", takes), "it is a device, not a regular file");
            assert_eq!(said("/", takes), "it is a directory, not a regular file");
            assert_eq!(said("/proc/self/status", takes), "it is longer than 100 bytes");
            assert!(read(Path::new("/nowhere/at/all"), 100, takes).unwrap_err().is_missing());
        }
        // Not everybody may open it; who may would wait for the kernel's next message.
        assert!(read(Path::new("/proc/kmsg"), 100, Takes::Files).is_err());
        let directory = std::env::temp_dir().join(format!("arete-source-test-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let pipe = directory.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!(said(pipe.to_str().unwrap(), Takes::Files), "it is a pipe, not a regular file");
        assert_eq!(read(&pipe, 100, Takes::Pipes).unwrap(), b"", "nobody writes into it");
        let socket = directory.join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(said(socket.to_str().unwrap(), Takes::Files), "it is a socket or a device, not a regular file");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
