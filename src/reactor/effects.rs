//! The part of a turn that performs the effects of the machine.
//!
//! It must write files before anything goes out: bytes to send are queued at once, and leave at the end of the turn. A turn
//! that only appends to files may hold that, so that one write does for several turns.

use super::clock::now;
use super::due::Due;
use super::errors::system_error;
use super::limits::{DIAL_TIME, LINGER, LOOK_AT_GROUPS, PASSES_A_TURN, READS_A_PASS, READS_OF_A_TURN, SENDS_OF_A_TURN};
use super::pending::Pending;
use super::probes::{self, PROBE_TIME};
use super::{Ending, Reactor, console, files};
use crate::machine::{ChildId, Command, ConnId, Effect, Input, Machine, Reason};

impl Reactor {
    /// Takes in the effects that the machine has just pushed: bytes join their queues, the rest waits for the end of the pass.
    pub(super) fn absorb(&mut self) {
        for effect in self.out.drain() {
            match &effect {
                Effect::Append { .. } => {}
                Effect::Send { .. } | Effect::Datagram { .. } | Effect::Print { .. } => self.files.before_sends(),
                _ => self.files.hold_nothing(),
            }
            match effect {
                // It overrides every earlier effect, also an orderly exit.
                Effect::Halt { code } => self.ending = Some(Ending::Halt(code)),
                _ if self.ending.is_some() => {}
                Effect::Send { conn, bytes } => self.conns.send(conn, bytes),
                Effect::Close { conn, .. } => {
                    if self.conns.close(conn) {
                        self.timers.set(Due::Linger(conn), now() + LINGER);
                    } else {
                        self.dials.finish(conn);
                        self.lookups.cancel(conn);
                        self.timers.cancel(&Due::Dial(conn));
                        self.timers.cancel(&Due::Handshake(conn));
                    }
                }
                Effect::Datagram { socket, to, bytes } => self.datagrams.send(socket, to, bytes),
                Effect::Append { path, bytes, soon } => self.files.append(self.turns.begun(), path, bytes, soon),
                Effect::WriteAt { path, offset, bytes, executable } => {
                    self.files.write_at(path, offset, bytes, executable);
                }
                Effect::Persist { path, bytes } => self.files.persist(path, bytes),
                Effect::Install { path, from, length } => self.files.install(path, from, length),
                Effect::MakeDir { path } => self.files.make_dir(path),
                Effect::Connect { conn, to } => {
                    self.conns.reserve(conn);
                    self.later.push_back(Effect::Connect { conn, to });
                }
                Effect::Status(status) => self.notify.set_status(&status),
                Effect::Exit { code } => self.ending = Some(Ending::Exit(code)),
                Effect::Read { .. } | Effect::ReadEnd { .. } | Effect::List { .. } => self.reads.push_back(effect),
                other => self.later.push_back(other),
            }
        }
    }

    /// Ends a turn. In a bounded number of passes, the machine hears the pending inputs, files are written, and the other
    /// effects are performed. Then everything queued goes out.
    pub(super) fn perform(&mut self, machine: &mut impl Machine) {
        for _ in 0..PASSES_A_TURN {
            self.deliver(machine);
            self.write_files(machine);
            if self.is_halted() {
                return self.print_only();
            }
            while let Some(effect) = self.later.pop_front() {
                self.do_one(effect);
            }
            self.read_some();
            if self.pending.is_empty() {
                break;
            }
        }
        self.files.cut_leaving();
        let pending = &mut self.pending;
        let until = now() + SENDS_OF_A_TURN;
        self.conns.flush(until, |conn, reason| pending.push_back(Pending::Input(Input::Closed { conn, reason })));
        if self.conns.some_wait() && self.timers.get(&Due::Stalled).is_none() {
            self.timers.set(Due::Stalled, now() + self.stalled_after);
        }
        self.datagrams.flush();
        let held = [self.console.flush(now()), self.files.due()].into_iter().flatten().min();
        if let Some(due) = held.filter(|_| self.timers.get(&Due::Held).is_none()) {
            self.timers.set(Due::Held, due);
        }
        if console::has_ended() {
            self.pending.push_back(Pending::Input(Input::OutputEnded));
        }
        self.flush_notify();
        if !self.pending.iter().any(|pending| matches!(pending, Pending::Input(Input::Exited { .. }))) {
            self.children.release(&self.lookups.pids());
        }
        if self.children.keeps_zombies() && self.timers.get(&Due::Groups).is_none() {
            self.timers.set(Due::Groups, now() + LOOK_AT_GROUPS);
        }
    }

    /// Performs a few reads. All of them together may take longer than a turn has time for.
    fn read_some(&mut self) {
        for _ in 0..READS_A_PASS {
            let Some(effect) = self.reads.pop_front() else { return };
            self.do_one(effect);
            if now().since(self.turns.begun()) >= READS_OF_A_TURN {
                return;
            }
        }
    }

    /// Closes the connections to peers that have stopped reading.
    pub(super) fn look_for_stalled(&mut self) {
        let pending = &mut self.pending;
        self.conns.close_stalled(|conn, reason| pending.push_back(Pending::Input(Input::Closed { conn, reason })));
        if self.conns.some_wait() {
            self.timers.set(Due::Stalled, now() + self.stalled_after);
        }
    }

    /// Performs only the prints, because the machine has halted.
    fn print_only(&mut self) {
        for effect in std::mem::take(&mut self.later) {
            if let Effect::Print { stream, bytes, surely } = effect {
                console::print(now(), stream, &bytes, surely);
            }
        }
    }

    /// Gives the machine the inputs that are pending now.
    fn deliver(&mut self, machine: &mut impl Machine) {
        for _ in 0..self.pending.len() {
            match self.pending.pop_front() {
                Some(Pending::Input(Input::Closed { conn, reason })) => {
                    self.forget_dial(conn);
                    if self.conns.forget(conn) {
                        self.tell(machine, Input::Closed { conn, reason });
                    }
                }
                Some(Pending::Input(input)) => self.tell(machine, input),
                Some(Pending::Read(read, result)) => {
                    let result = result.as_deref().map_err(Clone::clone);
                    self.tell(machine, Input::Read { read, result });
                }
                Some(Pending::Overheard(ear, bytes)) => self.tell(machine, Input::Overheard { ear, bytes: &bytes }),
                None => return,
            }
        }
    }

    /// Writes files, also those that the machine writes when it hears of a failure. This ends, because the machine hears of a
    /// bounded number of files.
    fn write_files(&mut self, machine: &mut impl Machine) {
        loop {
            for (path, error) in self.files.write(now()) {
                self.tell(machine, Input::WriteFailed { path, error });
            }
            if !self.files.is_urgent() {
                return;
            }
        }
    }

    fn do_one(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { conn, to } => {
                if self.conns.is_dialling(conn) {
                    let started = self.dials.start(conn, to, &mut self.conns, &mut self.lookups);
                    self.timers.set(Due::Dial(conn), now() + DIAL_TIME);
                    self.dialled(conn, started);
                }
            }
            Effect::Spawn { child, command } => self.spawn(child, *command),
            Effect::KillGroup { child, signal } => self.children.kill_group(child, signal),
            Effect::Sweep { signal } => {
                let (left, unseen) = self.children.sweep(signal, &self.lookups.pids());
                let unseen = unseen.map(|why| Pending::Input(Input::Unseen { why: why.to_string() }));
                self.pending.extend(unseen);
                self.pending.push_back(Pending::Input(Input::Swept { left }));
            }
            // The files of this pass are written by now.
            Effect::Confirm { confirm } => self.pending.push_back(Pending::Input(Input::Written { confirm })),
            Effect::Read { read, path, offset, max } => {
                let result = files::read(&path, offset, max).map_err(|error| system_error(&error));
                self.pending.push_back(Pending::Read(read, result));
            }
            Effect::ReadEnd { read, path, max } => {
                let result = files::read_end(&path, max).map_err(|error| system_error(&error));
                self.pending.push_back(Pending::Read(read, result));
            }
            Effect::List { read, directory, patterns } => {
                self.pending.extend(self.listings.walk(read, &directory, &patterns));
            }
            Effect::Page { read, directory, after, most } => self.listings.page(read, directory, after, most),
            Effect::Probe { probe, to } => {
                self.timers.set(Due::Probe(probe), now() + PROBE_TIME);
                let found = self.probes.begin(probe, &to, &mut self.lookups);
                self.probed(found);
            }
            Effect::Hear { ear, path } => {
                if let Err(error) = self.ears.open(ear, &path) {
                    let error = system_error(&error).of(path.display());
                    self.pending.push_back(Pending::Input(Input::Deaf { ear, error }));
                }
            }
            Effect::Deafen { ear } => self.ears.close(ear),
            Effect::Print { stream, bytes, surely } => console::print(now(), stream, &bytes, surely),
            // These were performed when they were taken in.
            Effect::Send { .. } | Effect::Close { .. } | Effect::Datagram { .. } => {}
            Effect::Exit { .. } | Effect::Halt { .. } | Effect::Status(_) => {}
            Effect::Append { .. } | Effect::WriteAt { .. } | Effect::Persist { .. } => {}
            Effect::Install { .. } | Effect::MakeDir { .. } => {}
        }
    }

    /// Reports the outcome of a probe to the machine, if it is known.
    pub(super) fn probed(&mut self, found: Option<probes::Found>) {
        if let Some((probe, result)) = found {
            self.timers.cancel(&Due::Probe(probe));
            self.pending.push_back(Pending::Input(Input::Probed { probe, result }));
        }
    }

    fn spawn(&mut self, child: ChildId, command: Command) {
        let input = match self.children.spawn(child, command) {
            Ok(pid) => Input::Spawned { child, pid },
            Err(error) => Input::SpawnFailed { child, error },
        };
        self.pending.push_back(Pending::Input(input));
    }

    /// Handles that an attempt to connect has begun, or that the last one has failed.
    pub(super) fn dialled(&mut self, conn: ConnId, result: Result<(), Reason>) {
        if let Err(reason) = result {
            self.forget_dial(conn);
            if self.conns.is_dialling(conn) {
                self.conns.fail(conn);
                self.lost(conn, reason);
            }
        }
    }

    pub(super) fn forget_dial(&mut self, conn: ConnId) {
        self.dials.finish(conn);
        self.lookups.cancel(conn);
        self.timers.cancel(&Due::Dial(conn));
    }

    /// Tries the next address after one that did not answer.
    pub(super) fn dial_next(&mut self, conn: ConnId, why: Reason) {
        if !self.conns.is_dialling(conn) {
            return;
        }
        let result = self.dials.next(conn, why, &mut self.conns);
        self.timers.set(Due::Dial(conn), now() + DIAL_TIME);
        self.dialled(conn, result);
    }
}
