//! The service manager, such as systemd: its socket for status messages, and the sockets that it passes to this process.
//!
//! The variables for another process must be ignored.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use arete::reactor::Manager;
use listenfd::ListenFd;

use crate::cli::error::Error;

/// The first number of a passed socket.
const FIRST_SOCKET: usize = 3;

/// Returns the service manager, if there is one.
pub fn manager() -> Option<Manager> {
    let socket = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())?;
    Some(Manager { socket, watchdog: watchdog() })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Returns the interval at which the manager expects a sign of life from this process.
fn watchdog() -> Option<Duration> {
    let micros = number("WATCHDOG_USEC").filter(|micros| *micros > 0)?;
    let is_ours =
        std::env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
    is_ours.then(|| Duration::from_micros(micros))
}

/// The sockets that were passed to this process.
#[derive(Debug, Default)]
pub struct Inherited {
    pub tcp: Vec<TcpListener>,
    pub unix: Vec<UnixListener>,
}

/// Returns the sockets that were passed to this process. Must be called once.
pub fn inherited() -> Result<Inherited, Error> {
    // Without LISTEN_PID, the sockets may be meant for another process.
    if number("LISTEN_PID") != Some(std::process::id().into()) {
        return Ok(Inherited::default());
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    let mut inherited = Inherited::default();
    for index in 0..passed.len() {
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
            inherited.tcp.push(listener);
        } else if let Ok(Some(listener)) = passed.take_unix_listener(index) {
            inherited.unix.push(listener);
        } else {
            return Err(Error::failed(format!(
                "descriptor {} ({name}) of the service manager is not a TCP or Unix stream socket: use ListenStream= in the \
                 socket unit",
                FIRST_SOCKET + index
            )));
        }
    }
    Ok(inherited)
}
