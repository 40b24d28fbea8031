//! Reports to a service manager: that the process is ready, its status, that it is alive, and that it stops.
//!
//! A report is a datagram to the socket of sd_notify(3). Sending must never wait: a message that does not fit is sent a moment
//! later. The loop itself feeds the watchdog, so that the manager restarts a process with a stuck loop.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::errors::plain;
use crate::machine::{Time, is_obeyed};

/// The least time between two statuses.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// The time until the next try if the manager's socket is full.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// The most messages that wait for the manager.
const WAITING_MAX: usize = 16;
/// The longest status, in characters.
const STATUS_MAX: usize = 200;

/// A service manager.
#[derive(Debug, Clone)]
pub struct Manager {
    /// The path of its socket, or an abstract name after `@`.
    pub socket: std::ffi::OsString,
    /// The time without a sign of life after which it restarts the process. `None`: it has no watchdog.
    pub watchdog: Option<Duration>,
}

/// The reports to the manager, if there is one.
#[derive(Default)]
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often the watchdog is fed.
    feed_every: Option<Duration>,
    waiting: VecDeque<String>,
    /// The last status that was sent, and when.
    said: Option<(String, Time)>,
    /// The next status to send.
    status: Option<String>,
    /// The status without a complaint.
    standing: String,
}

impl Notify {
    /// Returns the reports to a manager. Nothing is sent if there is no manager, or if its socket is not valid.
    pub fn new(manager: Option<Manager>) -> Notify {
        let Some(manager) = manager else { return Notify::default() };
        match open(&manager.socket) {
            Ok(socket) => {
                let feed_every = manager.watchdog.map(|watchdog| (watchdog / 2).max(Duration::from_millis(1)));
                Notify { socket: Some(socket), feed_every, ..Notify::default() }
            }
            Err(error) => {
                let socket = manager.socket.to_string_lossy();
                log::warn!("NOTIFY_SOCKET {socket}: {}: the service manager hears nothing", plain(&error));
                Notify::default()
            }
        }
    }

    /// Returns how often the watchdog is fed.
    pub fn feed_every(&self) -> Option<Duration> {
        self.feed_every
    }

    /// Queues a message, which must not be lost.
    pub fn say(&mut self, message: &str) {
        if self.socket.is_some() && self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(message.to_owned());
        }
    }

    /// Reports that the process is ready, with the present status.
    pub fn ready(&mut self, now: Time) {
        let status = self.status.take();
        let more = status.as_ref().map(|status| format!("\nSTATUS={status}")).unwrap_or_default();
        self.say(&format!("READY=1{more}"));
        if let Some(status) = status {
            self.said = Some((status, now));
        }
    }

    /// Sets the status. It may contain text of peers, so it is made one line.
    pub fn set_status(&mut self, status: &str) {
        if self.socket.is_some() {
            self.standing = one_line(status);
            self.note(self.standing.clone());
        }
    }

    /// Shows a complaint instead of the status, until the status changes or the complaint is settled.
    pub fn complain(&mut self, complaint: &str) {
        if self.socket.is_some() {
            self.note(one_line(complaint));
        }
    }

    /// Shows the status again instead of a complaint.
    pub fn settle(&mut self) {
        if self.socket.is_some() && !self.standing.is_empty() {
            self.note(self.standing.clone());
        }
    }

    fn note(&mut self, line: String) {
        let is_said = self.said.as_ref().is_some_and(|(said, _)| *said == line);
        self.status = (!is_said).then_some(line);
    }

    /// Whether there is anything to send.
    pub fn has_something(&self) -> bool {
        self.status.is_some() || !self.waiting.is_empty()
    }

    /// Sends what is queued. Returns when to call this again, if something is left.
    pub fn flush(&mut self, now: Time) -> Option<Time> {
        self.socket.as_ref()?;
        let mut later = None;
        if self.status.is_some() {
            match self.said.as_ref().map(|(_, at)| *at + STATUS_EVERY).filter(|at| *at > now) {
                Some(at) => later = Some(at),
                None => {
                    let status = self.status.take().unwrap_or_default();
                    self.say(&format!("STATUS={status}"));
                    self.said = Some((status, now));
                }
            }
        }
        while let Some(message) = self.waiting.front() {
            match self.send(message) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(now + AGAIN_AFTER),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => log::debug!("the service manager does not hear {message:?}: {}", plain(&error)),
                Ok(()) => log::debug!("the service manager hears {message:?}"),
            }
            self.waiting.pop_front();
        }
        later
    }

    fn send(&self, message: &str) -> io::Result<()> {
        let Some((socket, to)) = &self.socket else { return Ok(()) };
        socket.send_to_addr(message.as_bytes(), to).map(drop)
    }
}

fn one_line(text: &str) -> String {
    text.chars().take(STATUS_MAX).map(|letter| if is_obeyed(letter) { '?' } else { letter }).collect()
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("it is neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    /// A manager that listens at an abstract name, and us.
    fn pair(name: &str) -> (UnixDatagram, Notify) {
        let name = format!("arete-notify-test-{}-{name}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager.set_nonblocking(true).unwrap();
        (manager, Notify::new(Some(Manager { socket: format!("@{name}").into(), watchdog: None })))
    }

    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 1024];
        std::iter::from_fn(|| manager.recv(&mut buffer).ok().map(|n| String::from_utf8(buffer[..n].to_vec()).unwrap()))
            .collect()
    }

    #[test]
    fn a_status_is_said_when_it_changes_and_not_more_than_once_a_second() {
        let (manager, mut notify) = pair("status");
        notify.set_status("one");
        notify.ready(at(0));
        assert_eq!(notify.flush(at(0)), None);
        assert_eq!(heard(&manager), ["READY=1\nSTATUS=one"]);
        notify.set_status("one");
        assert_eq!(notify.flush(at(2000)), None);
        notify.set_status("two");
        notify.set_status("three");
        assert_eq!(notify.flush(at(2000)), None);
        notify.set_status("four");
        assert_eq!(notify.flush(at(2500)), Some(at(3000)));
        assert_eq!(heard(&manager), ["STATUS=three"]);
        notify.set_status("three");
        assert_eq!(notify.flush(at(3000)), None);
        assert_eq!(heard(&manager), Vec::<String>::new());
    }

    #[test]
    fn what_a_peer_has_said_is_no_message_of_ours() {
        let (manager, mut notify) = pair("peer");
        notify.set_status("no controller: x\nMAINPID=1");
        notify.flush(at(0));
        assert_eq!(heard(&manager), ["STATUS=no controller: x?MAINPID=1"]);
    }

    #[test]
    fn a_manager_that_does_not_read_hears_the_rest_later_and_nobody_waits() {
        let (manager, mut notify) = pair("full");
        let mut again = None;
        for _ in 0..10_000 {
            notify.say("WATCHDOG=1");
            again = notify.flush(at(0));
            if again.is_some() {
                break;
            }
        }
        assert_eq!(again, Some(at(50)), "the socket is full at last");
        notify.say("STOPPING=1");
        heard(&manager);
        assert_eq!(notify.flush(at(50)), None);
        assert_eq!(heard(&manager).last().map(String::as_str), Some("STOPPING=1"));
    }

    #[test]
    fn a_socket_that_is_none_is_left_alone() {
        for socket in ["", "vsock:2:1234", "relative"] {
            let mut notify = Notify::new(Some(Manager { socket: socket.into(), watchdog: Some(STATUS_EVERY) }));
            notify.say("READY=1");
            assert_eq!((notify.flush(at(0)), notify.feed_every()), (None, None));
        }
    }

    #[test]
    fn a_complaint_that_is_settled_gives_way_to_how_things_stand() {
        let (_manager, mut notify) = pair("complaint");
        notify.set_status("connected");
        notify.ready(at(0));
        notify.complain("not reloaded");
        notify.ready(at(1));
        assert_eq!(notify.said.as_ref().map(|(said, _)| said.as_str()), Some("not reloaded"));
        notify.settle();
        notify.ready(at(2));
        assert_eq!(notify.said.as_ref().map(|(said, _)| said.as_str()), Some("connected"));
    }
}
