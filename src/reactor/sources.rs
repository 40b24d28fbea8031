//! The part of a turn that handles events: it reads from sources that are ready, and accepts connections.
//!
//! No source may take more than its share of a turn, however much it has.

use super::clock::now;
use super::connections::{Confirmed, Got};
use super::due::Due;
use super::limits::{ACCEPT_PAUSE, READS_OF_A_TURN, SHARE_OF_A_TURN, WRITES_OF_A_TURN};
use super::listeners::Accepting;
use super::pending::Pending;
use super::tokens::{SourceKind, source};
use super::{Reactor, screen};
use crate::machine::{ConnId, Input, Machine, Reason, Signal, SocketId, Time};

impl Reactor {
    /// Handles the events of a poll. Sockets are only marked as ready; small sources are handled at once.
    pub(super) fn take_events(&mut self, machine: &mut impl Machine) {
        let events = std::mem::replace(&mut self.events, mio::Events::with_capacity(0));
        for event in &events {
            let (kind, index) = source(event.token());
            match kind {
                SourceKind::Conn => {
                    let slot = index as u32;
                    let ends = event.is_read_closed() || event.is_error();
                    if event.is_writable() || event.is_error() {
                        self.confirm(machine, slot);
                        self.conns.mark_writable(slot);
                    }
                    if event.is_readable() || ends {
                        self.conns.mark_ready(slot, ends);
                    }
                }
                SourceKind::Listener => self.listeners.mark_ready(index),
                SourceKind::Datagrams => self.datagrams.mark_ready(index),
                SourceKind::Signals => self.take_signals(machine),
                SourceKind::Lookup => {
                    if let Some((conn, result)) = self.lookups.read(index) {
                        if let Some(probe) = self.probes.of_lookup(conn) {
                            let found = self.probes.looked_up(probe, result);
                            self.probed(found);
                            continue;
                        }
                        let dialled = self.dials.found(conn, result, &mut self.conns);
                        self.dialled(conn, dialled);
                    }
                }
                SourceKind::Alarm => self.alarm.went_off(),
                SourceKind::Probe => {
                    let found = self.probes.confirm(index);
                    self.probed(found);
                }
                SourceKind::Ear => self.ears.mark_ready(index),
                // The console is flushed every turn.
                SourceKind::Console => {}
            }
        }
        self.events = events;
    }

    /// Handles the events of a poll while the loop ends and only queued bytes still go out.
    pub(super) fn take_farewell_events(&mut self) {
        for event in &self.events {
            if let (SourceKind::Conn, index) = source(event.token()) {
                let slot = index as u32;
                if let Confirmed::Failed(conn, _) = self.conns.confirm(slot) {
                    self.conns.forget(conn);
                }
                self.conns.mark_writable(slot);
                self.conns.mark_ready(slot, event.is_read_closed());
            }
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..self.conns.ready() {
            let Some(slot) = self.conns.next_ready() else { break };
            if let Ok(Some(Got { more: true, .. })) = self.conns.read(slot, &mut buffer) {
                self.conns.mark_ready(slot, false);
            }
        }
        self.buffer = buffer;
    }

    fn confirm(&mut self, machine: &mut impl Machine, slot: u32) {
        match self.conns.confirm(slot) {
            Confirmed::Not | Confirmed::Pending => {}
            Confirmed::Up(conn, peer, local) => {
                self.dials.finish(conn);
                self.timers.cancel(&Due::Dial(conn));
                self.tell(machine, Input::Connected { conn, peer, local });
            }
            Confirmed::Handshaking(conn) => {
                self.dials.finish(conn);
                self.timers.cancel(&Due::Dial(conn));
                self.begin_handshake(conn);
            }
            Confirmed::Closing(conn) => self.forget_dial(conn),
            Confirmed::Failed(conn, why) => self.dial_next(conn, why),
        }
    }

    fn take_signals(&mut self, machine: &mut impl Machine) {
        let arrived = self.signals.arrived();
        for signal in arrived.signals {
            match signal {
                Signal::HUP if self.reload.is_some() => self.reload(machine),
                signal => self.tell(machine, Input::Signal(signal)),
            }
        }
        if arrived.child {
            // A command may have sent a message just before its end.
            self.ears.mark_all_ready();
            self.hear_commands();
            for (child, exit) in self.children.reap() {
                self.pending.push_back(Pending::Input(Input::Exited { child, exit }));
            }
        }
        if arrived.resized
            && let Some((columns, rows)) = screen::terminal_size()
        {
            self.tell(machine, Input::Resized { columns, rows });
        }
    }

    pub(super) fn listeners_are_ready(&self) -> bool {
        self.timers.get(&Due::Accept).is_none() && self.listeners.any_ready()
    }

    /// Gives each source that is ready its share of the turn.
    pub(super) fn serve(&mut self, machine: &mut impl Machine) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let until = self.turns.begun() + READS_OF_A_TURN;
        self.handshakes.begin_turn();
        let ready = if self.conns.is_flushing() { 0 } else { self.conns.ready() };
        for _ in 0..ready {
            match self.conns.next_ready() {
                Some(slot) if self.conns.is_handshaking(slot) && !self.handshakes.may_go_on() => {
                    self.conns.mark_ready(slot, false);
                }
                Some(slot) => self.serve_one(machine, slot, &mut buffer, until),
                None => break,
            }
            if self.has_enough(until) {
                break;
            }
        }
        self.hear_commands();
        for index in self.datagrams.ready() {
            self.hear_datagrams(machine, index, &mut buffer);
        }
        self.buffer = buffer;
        for index in self.listeners.ready() {
            if self.timers.get(&Due::Accept).is_none() {
                self.accept(index);
            }
        }
        self.take_in(machine);
    }

    /// Whether no further source is read from in this turn.
    fn has_enough(&self, until: Time) -> bool {
        now() >= until || self.files.jobs() >= WRITES_OF_A_TURN
    }

    fn serve_one(&mut self, machine: &mut impl Machine, slot: u32, buffer: &mut [u8], until: Time) {
        for _ in 0..SHARE_OF_A_TURN {
            match self.conns.read(slot, buffer) {
                Ok(Some(Got { conn, length, more, proven })) => {
                    if proven {
                        self.proven(machine, conn);
                    }
                    if length > 0 && self.conns.is_open(conn) {
                        self.tell(machine, Input::Received { conn, bytes: &buffer[..length] });
                    }
                    if !more {
                        return;
                    }
                    // A peer whose queue is too long is not read again before it has read, or is closed.
                    if self.conns.is_over(slot) || self.has_enough(until) {
                        break;
                    }
                }
                Ok(None) => return,
                Err(outcome) => return self.over(outcome),
            }
        }
        self.conns.mark_ready(slot, false);
    }

    /// Takes in the messages of commands about their state.
    fn hear_commands(&mut self) {
        for index in self.ears.ready() {
            for _ in 0..SHARE_OF_A_TURN {
                let Some((ear, bytes)) = self.ears.hear(index) else { break };
                self.pending.push_back(Pending::Overheard(ear, bytes));
            }
        }
    }

    fn hear_datagrams(&mut self, machine: &mut impl Machine, index: usize, buffer: &mut [u8]) {
        for _ in 0..SHARE_OF_A_TURN {
            match self.datagrams.receive(index, buffer) {
                Some(Some((length, from))) => {
                    let socket = SocketId(index);
                    self.tell(machine, Input::Datagram { socket, from, bytes: &buffer[..length] });
                }
                Some(None) => {}
                None => return,
            }
        }
    }

    /// Reports to the machine that a connection was closed.
    pub(super) fn lost(&mut self, conn: ConnId, reason: Reason) {
        self.pending.push_back(Pending::Input(Input::Closed { conn, reason }));
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..SHARE_OF_A_TURN {
            if !self.may_begin_handshake(index) {
                return;
            }
            match self.listeners.accept(index, self.conns.len()) {
                Accepting::GoOn => {}
                Accepting::Drained => return,
                Accepting::Exhausted => return self.timers.set(Due::Accept, now() + ACCEPT_PAUSE),
            }
        }
    }

    /// Adds the accepted connections, after all events of this poll, because none of these can be about them.
    fn take_in(&mut self, machine: &mut impl Machine) {
        for (stream, peer, listener) in self.listeners.take_accepted() {
            let conn = ConnId(self.out.next_serial());
            let accepted = self.secure(stream, listener).and_then(|stream| {
                let proves = stream.is_tls();
                self.conns.accept(conn, stream).map(|()| proves)
            });
            match accepted {
                Ok(true) => self.begin_accepted_handshake(conn, &peer),
                Ok(false) => self.tell(machine, Input::Accepted { conn, listener, peer }),
                Err(error) => log::debug!("an accepted connection: {error}"),
            }
        }
    }
}
