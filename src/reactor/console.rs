//! Standard output and standard error, which may have a reader that has stopped: a terminal after Ctrl-S, a pager, a full
//! pipe.
//!
//! The loop must never wait for such a reader. Lines that do not fit in a bounded queue are left out, and a note gives their
//! number.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use rustix::net::SendFlags;

use super::errors::plain;
use super::tokens::{SourceKind, token};
use crate::machine::{APPENDS_HELD, Stream, Time};

/// The most bytes that wait for a stream.
const MAX_WAITING: usize = 1024 * 1024;
/// The bytes that are written at once. Fewer are held for as long as appends to files, because there may be more.
const HELD_MAX: usize = 16 * 1024;
/// The bytes that a pipe takes at least when it has room.
const SURE_WRITE: usize = 4096;

/// How a descriptor is written to without waiting.
enum Way {
    /// A terminal or FIFO that was opened again, because non-blocking mode would affect other programs that share it.
    Own(File),
    /// A socket, with a flag on each send not to wait.
    Socket(OwnedFd),
    /// A regular file or a device, which never blocks.
    Direct(File),
    /// Anything else: polled for room before each small write.
    Asked(File),
}

impl Way {
    fn of(fd: OwnedFd) -> Way {
        let kind = rustix::fs::fstat(&fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::Socket) => Way::Socket(fd),
            Ok(FileType::RegularFile) => Way::Direct(File::from(fd)),
            Ok(FileType::CharacterDevice) if !rustix::termios::isatty(&fd) => Way::Direct(File::from(fd)),
            Ok(FileType::CharacterDevice | FileType::Fifo) => {
                let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
                let mut options = OpenOptions::new();
                options.write(true).custom_flags(flags.bits() as i32);
                match options.open(format!("/proc/self/fd/{}", fd.as_raw_fd())) {
                    Ok(file) => Way::Own(file),
                    Err(_) => Way::Asked(File::from(fd)),
                }
            }
            _ => Way::Asked(File::from(fd)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Way::Own(file) | Way::Direct(file) => file.write(bytes),
            Way::Socket(fd) => Ok(rustix::net::send(&*fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?),
            Way::Asked(file) => {
                if !has_room(file.as_fd(), 0) {
                    return Err(ErrorKind::WouldBlock.into());
                }
                file.write(&bytes[..bytes.len().min(SURE_WRITE)])
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Way::Own(file) | Way::Direct(file) | Way::Asked(file) => file.as_fd(),
            Way::Socket(fd) => fd.as_fd(),
        }
    }
}

fn has_room(fd: BorrowedFd<'_>, millis: i64) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
    let limit = Timespec { tv_sec: millis / 1000, tv_nsec: (millis % 1000) * 1_000_000 };
    matches!(poll(&mut fds, Some(&limit)), Ok(n) if n > 0)
}

/// Returns why a stream cannot be written, in words. For a full device there is no advice to make room in a directory.
pub fn unwritten(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => "no space left on device".to_owned(),
        _ => plain(error),
    }
}

/// The queue of one stream.
struct Output {
    /// `None`: the stream is closed, or has failed for good.
    way: Option<Way>,
    /// Why the stream has failed, unless its reader has left.
    failed: Option<String>,
    /// The machine has heard that the stream has ended.
    told: bool,
    waiting: VecDeque<u8>,
    /// The number of lines that were left out since the last note.
    left_out: usize,
    /// The poll reports when the stream has room.
    registered: bool,
    /// When what waits must be written.
    due: Option<Time>,
    /// What a CI server would obey is broken, see [`break_commands`].
    breaks: bool,
}

impl Output {
    fn new(fd: io::Result<OwnedFd>) -> Output {
        Output {
            way: fd.ok().map(Way::of),
            failed: None,
            told: false,
            waiting: VecDeque::new(),
            left_out: 0,
            registered: false,
            due: None,
            breaks: false,
        }
    }

    /// Queues all of `bytes`. If too much waits and `surely` is false, queues none of them.
    fn print(&mut self, bytes: &[u8], surely: bool) {
        if self.waiting.len() + bytes.len() > MAX_WAITING {
            self.flush();
        }
        if self.way.is_none() {
            return;
        }
        if !surely && !self.waiting.is_empty() && self.waiting.len() + bytes.len() > MAX_WAITING {
            self.left_out += bytes.iter().filter(|byte| **byte == b'\n').count().max(1);
            return;
        }
        self.note();
        let begin = self.waiting.len();
        self.waiting.extend(bytes);
        if self.breaks {
            self.break_commands(begin);
        }
    }

    fn break_commands(&mut self, begin: usize) {
        let found: Vec<usize> = memchr::memmem::find_iter(&self.waiting.make_contiguous()[begin..], "##[").collect();
        found.into_iter().for_each(|at| self.waiting[begin + at] = b'?');
    }

    fn note(&mut self) {
        if self.left_out > 0 {
            let note = format!("({} lines not shown)\n", std::mem::take(&mut self.left_out));
            self.waiting.extend(note.as_bytes());
        }
    }

    fn flush(&mut self) {
        while let Some(way) = &mut self.way {
            if self.waiting.is_empty() {
                if self.left_out == 0 {
                    return;
                }
                self.note();
                continue;
            }
            match way.write(self.waiting.as_slices().0) {
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It will never be written.
                Err(error) => {
                    self.failed = (error.kind() != ErrorKind::BrokenPipe).then(|| unwritten(&error));
                    self.way = None;
                    self.waiting.clear();
                }
            }
        }
    }
}

type Shared = Arc<Mutex<Output>>;

static OUT: OnceLock<Shared> = OnceLock::new();
static ERR: OnceLock<Shared> = OnceLock::new();

/// Returns the one queue of a stream in this process.
fn shared(stream: Stream) -> &'static Shared {
    let (cell, fd) = match stream {
        Stream::Out => (&OUT, rustix::stdio::stdout()),
        Stream::Err => (&ERR, rustix::stdio::stderr()),
    };
    cell.get_or_init(|| Arc::new(Mutex::new(Output::new(fd.try_clone_to_owned()))))
}

fn lock(shared: &Shared) -> MutexGuard<'_, Output> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writer for a logger: standard error, without ever waiting.
#[derive(Debug, Default)]
pub struct LogPipe(());

impl LogPipe {
    /// Returns a writer. All writers share one queue.
    pub fn new() -> LogPipe {
        LogPipe(())
    }
}

impl Write for LogPipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut output = lock(shared(Stream::Err));
        output.print(bytes, false);
        output.flush();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        lock(shared(Stream::Err)).flush();
        Ok(())
    }
}

/// Queues bytes. They are written at the end of this turn if they must `surely` be written, or else soon.
pub fn print(now: Time, stream: Stream, bytes: &[u8], surely: bool) {
    let mut output = lock(shared(stream));
    output.print(bytes, surely);
    let due = if surely || output.waiting.len() > HELD_MAX { now } else { now + APPENDS_HELD };
    output.due = Some(output.due.map_or(due, |before| before.min(due)));
}

/// Waits until everything queued is written, or until the reader has taken nothing for `millis` milliseconds. Returns why
/// standard output could not be written, unless its reader has left.
pub fn flush(millis: u64) -> Option<String> {
    for stream in [Stream::Out, Stream::Err] {
        let mut output = lock(shared(stream));
        loop {
            let before = output.waiting.len();
            output.flush();
            let Some(way) = output.way.as_ref().filter(|_| !output.waiting.is_empty()) else { break };
            if output.waiting.len() == before && !has_room(way.fd(), millis as i64) {
                break;
            }
        }
    }
    lock(shared(Stream::Out)).failed.clone()
}

/// Makes standard error harmless for a CI server that obeys `##[` in a line, see `cli`. Whole lines are printed at once.
pub fn break_commands() {
    lock(shared(Stream::Err)).breaks = true;
}

/// Whether standard output has ended. Returns `true` once.
pub fn has_ended() -> bool {
    let mut output = lock(shared(Stream::Out));
    output.way.is_none() && !std::mem::replace(&mut output.told, true)
}

/// The loop's view of both streams.
pub struct Console {
    registry: Registry,
}

impl Console {
    pub fn new(registry: Registry) -> Console {
        Console { registry }
    }

    /// Writes what is due, and makes the poll report room while something is left. Returns when more is due. Costs little if
    /// nothing is queued.
    pub fn flush(&self, now: Time) -> Option<Time> {
        let mut next = None;
        for (index, stream) in [Stream::Out, Stream::Err].into_iter().enumerate() {
            let mut output = lock(shared(stream));
            if !output.registered && output.waiting.is_empty() {
                continue;
            }
            if let Some(due) = output.due.filter(|due| *due > now && !output.registered) {
                next = Some(next.map_or(due, |next: Time| next.min(due)));
                continue;
            }
            output.due = None;
            output.flush();
            self.ask_for_room(&mut output, token(SourceKind::Console, index));
        }
        next
    }

    fn ask_for_room(&self, output: &mut Output, entry: Token) {
        let wanted = !output.waiting.is_empty();
        let Some(way) = output.way.as_ref().filter(|_| output.registered != wanted) else { return };
        let fd = way.fd().as_raw_fd();
        let result = match wanted {
            true => self.registry.register(&mut SourceFd(&fd), entry, Interest::WRITABLE),
            false => self.registry.deregister(&mut SourceFd(&fd)),
        };
        output.registered = wanted && result.is_ok();
    }
}
