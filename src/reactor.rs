//! The poll loop: drives one [`Machine`] on real sockets, signals, child processes and files.
//!
//! There is one thread, and nothing may block it. Sockets are edge-triggered: the loop reads, accepts and writes until they
//! would block. If a source has something left after its share of a turn, the loop returns to it in the next turn, and does
//! not wait before that. Deadlines fire every turn, however busy the sockets are. A turn writes to the disk before it sends.
//! Everything that a peer can make grow has a bound. The reactor must not know a message.
//!
//! This file owns [`Reactor`] and the order of a turn. `sources`, `effects`, `handshaking` and `service` are the parts of
//! a turn; every other file owns one kind of source, and knows neither the reactor nor the machine.

mod alarm;
mod backlog;
mod children;
mod clock;
mod connections;
mod console;
mod datagrams;
mod dial;
mod doubts;
mod due;
mod ears;
mod effects;
mod errors;
mod files;
mod handshakes;
mod handshaking;
mod interfaces;
mod kernel;
mod leftovers;
mod limits;
mod list;
mod listeners;
mod listings;
mod lookup;
mod notify;
mod options;
mod page;
mod pending;
mod prepare;
mod probes;
mod procfs;
mod reload;
mod screen;
mod service;
mod signals;
mod sources;
mod stream;
mod sweep;
mod tls;
mod tokens;
mod turns;
mod unseen;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use mio::{Events, Poll};

pub use clock::now;
pub use console::{LogPipe, break_commands, flush as flush_console, unwritten};
pub use datagrams::DatagramOptions;
pub use errors::{hung_up, plain, reason};
pub use handshakes::{HANDSHAKE_WITHIN, HANDSHAKES_MAX};
pub use interfaces::{Interface, InterfaceError, interface, interfaces};
pub use kernel::undo_inherited;
pub use leftovers::end_leftovers;
pub use lookup::{addresses_of, looked_up};
pub use notify::Manager;
pub use options::Options;
pub use prepare::null;
pub use reload::{Reload, Reloaded};
pub use screen::{shows_colors, terminal_size, wants_colors};
pub use signals::Latch;
pub use tls::{HANDSHAKE_MAX, Tls, host_of, server_name};

use due::Due;
use limits::{EVENTS, EXIT_FAREWELL, EXIT_LINGER, MOST_CONNECTIONS, OTHER_DESCRIPTORS, READ_BUFFER};
use pending::Pending;

use crate::machine::{Cause, Effect, Input, ListenerId, Machine, Outbox, Reason, SocketId, Time, Timers};

/// The loop, and everything that it watches.
pub struct Reactor {
    poll: Poll,
    events: Events,
    conns: connections::Connections,
    backlog: backlog::Backlog,
    dials: dial::Dials,
    lookups: lookup::Lookups,
    listeners: listeners::Listeners,
    datagrams: datagrams::Datagrams,
    probes: probes::Probes,
    ears: ears::Ears,
    signals: signals::Signals,
    children: children::Children,
    files: files::Files,
    listings: listings::Listings,
    doubts: doubts::Doubts,
    console: console::Console,
    timers: Timers<Due>,
    alarm: alarm::Alarm,
    out: Outbox,
    /// Effects that are performed after the files of this turn are written.
    later: VecDeque<Effect>,
    /// Reads and lists that are not performed yet.
    reads: VecDeque<Effect>,
    pending: VecDeque<Pending>,
    tls: Option<Rc<Tls>>,
    handshakes: handshakes::Handshakes,
    notify: notify::Notify,
    reload: Option<Reload>,
    buffer: Vec<u8>,
    stalled_after: Duration,
    turns: turns::Turns,
    ending: Option<Ending>,
}

/// How the loop ends, and the exit code of the process.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// After what is queued has been written.
    Exit(u8),
    /// At once.
    Halt(u8),
}

impl Reactor {
    /// Returns a reactor with nothing to watch but signals. Fails with the name of the system call that was refused.
    pub fn new(options: Options) -> io::Result<Reactor> {
        let poll = Poll::new().map_err(refused("epoll"))?;
        let registry = || poll.registry().try_clone().map_err(refused("epoll"));
        let tls = options.tls.map(Rc::new);
        let limit = prepare::raise_limit().saturating_sub(OTHER_DESCRIPTORS).clamp(16, MOST_CONNECTIONS);
        if options.subreaper {
            let made = rustix::process::set_child_subreaper(rustix::process::getpid().into());
            made.map_err(|error| refused("prctl of the subreaper")(error.into()))?;
        }
        Ok(Reactor {
            events: Events::with_capacity(EVENTS),
            conns: connections::Connections::new(registry()?, options.max_queue),
            backlog: backlog::Backlog::default(),
            dials: dial::Dials::new(options.source, tls.clone()),
            lookups: lookup::Lookups::new(registry()?, options.lookup_program.clone()),
            datagrams: datagrams::Datagrams::new(registry()?),
            probes: probes::Probes::new(registry()?),
            ears: ears::Ears::new(registry()?),
            signals: signals::Signals::new(poll.registry(), &options.signals)
                .map_err(refused("handlers of signals"))?,
            children: children::Children::default(),
            files: files::Files::new(options.fsync),
            listings: listings::Listings::default(),
            doubts: doubts::Doubts::default(),
            console: console::Console::new(registry()?),
            timers: Timers::default(),
            alarm: alarm::Alarm::new(poll.registry()).map_err(refused("timerfd"))?,
            out: Outbox::new(),
            later: VecDeque::new(),
            reads: VecDeque::new(),
            pending: VecDeque::new(),
            tls,
            handshakes: handshakes::Handshakes::default(),
            notify: notify::Notify::new(options.manager),
            reload: None,
            buffer: vec![0; READ_BUFFER],
            stalled_after: options.stalled_after,
            turns: turns::Turns::new(),
            ending: None,
            // The last one, because its descriptor in reserve must not be missing elsewhere.
            listeners: listeners::Listeners::new(registry()?, options.max_connections.unwrap_or(limit as usize)),
            poll,
        })
    }

    /// Listens on an address, and returns it with its real port: port 0 takes a free one. Fails if the system refuses it.
    pub fn listen_tcp(&mut self, address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        self.listeners.listen_tcp(address)
    }

    /// Listens on a Unix socket for this user alone. The file is removed when the loop ends. Fails if another process
    /// listens there, or the system refuses it.
    pub fn listen_unix(&mut self, path: &Path) -> io::Result<ListenerId> {
        self.listeners.listen_unix(path, listeners::OF_THE_USER)
    }

    /// Listens on a Unix socket for this user and this group, otherwise as [`Reactor::listen_unix`].
    pub fn listen_unix_for_group(&mut self, path: &Path) -> io::Result<ListenerId> {
        self.listeners.listen_unix(path, listeners::OF_THE_GROUP)
    }

    /// Opens a socket for datagrams. Fails with what the system refused.
    pub fn bind_datagrams(&mut self, options: DatagramOptions) -> io::Result<SocketId> {
        self.datagrams.bind(options)
    }

    /// Runs the machine until it exits, and returns its exit code.
    pub fn run(mut self, machine: &mut impl Machine) -> u8 {
        self.turns.begin();
        self.tell(machine, Input::Begin);
        if let Some((columns, rows)) = screen::terminal_size() {
            self.tell(machine, Input::Resized { columns, rows });
        }
        self.perform(machine);
        if self.ending.is_none() {
            self.say_ready();
        }
        loop {
            self.perform(machine);
            match self.ending {
                None => {}
                Some(Ending::Halt(code)) => {
                    console::flush(EXIT_LINGER.as_millis() as u64);
                    return code;
                }
                Some(Ending::Exit(code)) => {
                    self.turns.log_longest();
                    self.say_farewell();
                    return code;
                }
            }
            self.wait(machine.next_deadline());
            let events = self.events.iter().count();
            self.take_events(machine);
            let ready = self.conns.taken() + self.conns.ready() as u64;
            self.backlog.polled(self.turns.begun(), events, ready, self.conns.len());
            self.serve(machine);
            self.backlog.served(self.conns.taken());
            self.fire(machine);
            self.listings.go_on(&mut self.pending);
            self.doubts.go_on(self.tls.as_deref(), &mut self.conns, &mut self.pending);
        }
    }

    /// Waits for the next event, at most until the next deadline. Does not wait if a source has something left.
    fn wait(&mut self, deadline: Option<Time>) {
        self.turns.end();
        let deadline = [deadline, self.timers.next()].into_iter().flatten().min();
        let timeout = if self.is_busy() {
            Some(Duration::ZERO)
        } else {
            deadline.and_then(|at| match self.alarm.wake_by(at) {
                Ok(()) => None,
                // The poll's own timeout may be late by a part of a millisecond.
                Err(error) => {
                    log::debug!("the alarm: {error}");
                    Some(at.since(now()))
                }
            })
        };
        if let Err(error) = self.poll.poll(&mut self.events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            log::error!("poll: {error}");
        }
        self.turns.begin();
    }

    /// Whether a source has something left, or an input waits for the machine.
    fn is_busy(&self) -> bool {
        self.conns.ready() > 0
            || self.conns.is_flushing()
            || !self.pending.is_empty()
            || !self.reads.is_empty()
            || self.listings.any()
            || self.doubts.any()
            || self.listeners_are_ready()
            || self.datagrams.any_ready()
            || self.ears.any_ready()
    }

    fn is_halted(&self) -> bool {
        matches!(self.ending, Some(Ending::Halt(_)))
    }

    /// Gives the machine an input, and takes in its effects.
    fn tell(&mut self, machine: &mut impl Machine, input: Input<'_>) {
        if self.is_halted() {
            return;
        }
        machine.handle(now(), input, &mut self.out);
        self.absorb();
    }

    /// Fires the deadlines that are due, of the machine and of the reactor.
    fn fire(&mut self, machine: &mut impl Machine) {
        while let Some(due) = self.timers.pop_due(now()) {
            match due {
                Due::Linger(conn) => {
                    self.forget_dial(conn);
                    self.conns.drop_lingering(conn);
                }
                Due::Dial(conn) => self.dial_next(conn, Reason::new(Cause::NoAnswer, "no answer")),
                Due::Probe(probe) => {
                    let found = self.probes.time_out(probe, &mut self.lookups);
                    self.probed(found);
                }
                Due::Handshake(conn) => self.give_up_handshake(conn, "it has not proven in time who it is"),
                Due::Accept => self.listeners.mark_all_ready(),
                Due::Groups => self.children.look_again(),
                Due::Stalled => self.look_for_stalled(),
                // The end of the turn does it.
                Due::Notify | Due::Held => {}
                Due::Watchdog => self.feed_watchdog(),
            }
        }
        if machine.next_deadline().is_some_and(|at| at <= now()) {
            if let Some(since) = self.backlog.behind(now()) {
                self.tell(machine, Input::Behind { since });
            }
            self.tell(machine, Input::Deadline);
        }
    }

    /// Stops accepting, and gives peers and the terminal a moment to read what is queued.
    fn say_farewell(&mut self) {
        self.notify.say("STOPPING=1");
        self.flush_notify();
        self.listeners.clear();
        self.conns.close_all();
        let start = now();
        loop {
            self.conns.flush(start + EXIT_LINGER, |_, _| {});
            self.console.flush(now());
            let limit = if self.conns.has_queued() { EXIT_LINGER } else { EXIT_FAREWELL };
            let left = (start + limit).since(now());
            if self.conns.len() == 0 || left.is_zero() {
                break;
            }
            let timeout = if self.conns.ready() == 0 { left } else { Duration::ZERO };
            let _ = self.poll.poll(&mut self.events, Some(timeout));
            self.take_farewell_events();
        }
        console::flush(EXIT_LINGER.saturating_sub(now().since(start)).as_millis() as u64);
    }
}

/// Adds the name of the system call that was refused.
fn refused(what: &str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {}", plain(&error)))
}
