//! The part of the loop that deals with a service manager, which gets the status, passes sockets, and asks for a reload of the
//! configuration.
//!
//! A configuration that is not valid must change nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use super::Reactor;
use super::clock::now;
use super::due::Due;
use super::reload::Reload;
use crate::machine::{Input, ListenerId, Machine};

impl Reactor {
    /// Makes SIGHUP read the configuration again instead of reaching the machine.
    pub fn on_reload(&mut self, reload: Reload) {
        self.reload = Some(reload);
    }

    /// Takes over a listening TCP socket, and returns its address. Fails if it does not listen.
    pub fn adopt_tcp(&mut self, listener: TcpListener) -> io::Result<(ListenerId, SocketAddr)> {
        self.listeners.adopt_tcp(listener)
    }

    /// Takes over a listening Unix socket. Does not remove its file. Fails if it does not listen.
    pub fn adopt_unix(&mut self, listener: UnixListener) -> io::Result<ListenerId> {
        self.listeners.adopt_unix(listener)
    }

    /// Reports that the process is ready, and starts to feed the watchdog.
    pub(super) fn say_ready(&mut self) {
        self.notify.ready(now());
        if let Some(every) = self.notify.feed_every() {
            self.timers.set(Due::Watchdog, now() + every);
        }
        self.flush_notify();
    }

    /// Feeds the watchdog: the loop is alive because it calls this.
    pub(super) fn feed_watchdog(&mut self) {
        if let Some(every) = self.notify.feed_every() {
            self.notify.say("WATCHDOG=1");
            self.timers.set(Due::Watchdog, now() + every);
        }
    }

    pub(super) fn flush_notify(&mut self) {
        if self.notify.has_something()
            && let Some(at) = self.notify.flush(now())
        {
            self.timers.set(Due::Notify, at);
        }
    }

    /// Reads the configuration again. If it is not valid, nothing changes. Existing connections are kept, unless their peers
    /// could not prove their names any more.
    pub(super) fn reload(&mut self, machine: &mut impl Machine) {
        let Some(mut reload) = self.reload.take() else { return };
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000;
        self.notify.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
        match reload() {
            Ok(reloaded) => {
                if let Some(tls) = reloaded.tls.map(Rc::new) {
                    self.dials.set_tls(&tls);
                    self.doubts.begin(self.conns.ids());
                    self.tls = Some(tls);
                }
                if let Some(most) = reloaded.max_connections {
                    self.listeners.set_most(most);
                }
                self.notify.settle();
                self.tell(machine, Input::Reloaded { settings: &reloaded.settings });
                log::info!("the configuration was read again");
            }
            Err(error) => {
                let why = error.to_string();
                why.lines().for_each(|line| log::error!("{line}"));
                log::error!("the configuration stays as it was: correct it, and reload again");
                let first = why.lines().next().unwrap_or_default();
                self.notify.complain(&format!("not reloaded, the old configuration stays: {first}"));
            }
        }
        self.notify.ready(now());
        self.reload = Some(reload);
    }
}
