//! The slaves of a permanent controller: their hellos, the runs that they begin to serve, and the runs that free them.
//!
//! A slave without a run stays connected and waits. A slave serves one run at a time, and is free for another one when that
//! run is over.

use std::borrow::Cow;
use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::host::archive::{Archived, OVER};
use crate::controller::host::slave::HostSlave;
use crate::controller::host::submissions::RESOURCES;
use crate::controller::ledger::Fact;
use crate::controller::reply::{fatal, refusal};
use crate::controller::run::admission::{self, Joining};
use crate::controller::run::run::Run;
use crate::controller::run::runs::RunNr;
use crate::controller::session::session::Role;
use crate::machine::faults::{Fault, injected};
use crate::machine::{ConnId, Outbox, Time};
use crate::session::{LABELS_MAX, NameError, check_label, check_name};
use crate::text;
use crate::wire::{Bye, Code, Hello, Message, Ping, Pong};

/// Fails if the name or the labels of a slave are not valid.
fn check_labels(hello: &Hello<'_>) -> Result<(), NameError> {
    check_name("a slave", &hello.name)?;
    if hello.labels.len() > LABELS_MAX {
        return Err(NameError::TooManyLabels);
    }
    hello.labels.iter().try_for_each(|(key, value)| check_label(key, value))
}

impl Controller {
    /// Handles the hello of a slave. Fails with the goodbye of a slave that may not connect.
    pub(in crate::controller) fn on_hello(
        &mut self,
        now: Time,
        conn: ConnId,
        hello: &Hello<'_>,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let (Some(session), Some(host)) = (self.sessions.get(conn), &mut self.host) else { return Ok(()) };
        admission::check(&session.peer, None, hello).map_err(|(code, reason)| fatal(code, reason))?;
        check_labels(hello).map_err(|error| fatal(Code::Name, error.to_string()))?;
        let known = host.slaves.get(&*hello.name);
        if let Some(slave) = known.filter(|slave| slave.conn.is_some() && *slave.incarnation != *hello.incarnation) {
            return Err(refusal(
                Code::Taken,
                format!(
                    "another slave called {} is connected from {}: stop it, or use another --name",
                    hello.name, slave.address
                ),
            ));
        }
        let serves = known.filter(|slave| slave.needed_by(&self.runs).is_some()).and_then(|slave| slave.serves);
        let slave = HostSlave {
            conn: Some(conn),
            incarnation: Box::from(&*hello.incarnation),
            address: session.peer.to_string(),
            ip: session.peer.address().map(|address| address.ip()),
            version: hello.version.chars().take(64).collect(),
            since: now,
            labels: hello.labels.clone(),
            utc: hello.utc,
            measured: None,
            serves,
        };
        let old = host.connected(conn, &hello.name, slave);
        let replaced = "replaced by a newer connection";
        let old = old.and_then(|old| Some((old, self.drop_session(old, replaced, out)?)));
        let done = match serves {
            Some((nr, _)) => self.admitted(now, conn, nr, hello, out),
            None => {
                out.send(conn, admission::welcome(None, 0).encode());
                self.waits(now, conn);
                Ok(())
            }
        };
        // Its run is over for it, so the old connection must leave that run as well.
        if let Some((old, session)) = old.filter(|_| serves.is_none() || done.is_err()) {
            self.on_disconnect(now, old, session.who, replaced, out);
        }
        done
    }

    /// Lets a slave without a run wait for one.
    fn waits(&mut self, now: Time, conn: ConnId) {
        self.sessions.identify(now, conn, Role::Idle);
        self.look_at_queue(now);
    }

    /// Begins a run with these machines. They get their parts in pieces.
    pub(in crate::controller) fn begin_run(&mut self, now: Time, nr: RunNr, machines: &[Rc<str>], out: &mut Outbox) {
        let Some(run) = self.runs.get_mut(nr) else { return };
        log::info!("run {} begins with {} slaves", run.id, machines.len());
        let names = machines.iter().map(|name| Cow::from(&**name)).collect();
        run.enter(now, Fact::Assigned { machines: names }, out);
        for (ix, name) in machines.iter().enumerate() {
            let Some(slave) = self.host.as_mut().and_then(|host| host.slaves.get_mut(name)) else { continue };
            let Some(conn) = slave.conn else { continue };
            // If its earlier run goes on, that run has lost it.
            if let Some((earlier, earlier_ix)) = slave.serves.replace((nr, ix))
                && let Some(run) = self.runs.get_mut(earlier)
            {
                run.roster.get_mut(earlier_ix).conn = None;
            }
            let (incarnation, address, ip) = (&*slave.incarnation, &*slave.address, slave.ip);
            let joining = Joining { incarnation, address, ip, again: false, machine: None };
            let Some(run) = self.runs.get_mut(nr) else { continue };
            run.joins(now, conn, ix, joining, out);
            run.preparation.mark(ix);
            let incarnation = slave.incarnation.clone();
            self.serves(now, conn, (nr, ix), &incarnation);
        }
    }

    /// Answers a slave that asks for the time.
    pub(in crate::controller) fn pinged(&mut self, now: Time, conn: ConnId, ping: &Ping<'_>, out: &mut Outbox) {
        let (_, shift) = self.keeper.life();
        if let Some(host) = &mut self.host {
            host.measured(conn, ping.measured, shift);
        }
        out.send(conn, Pong { time: ping.time, now, lifetime: Default::default() }.encode());
    }

    /// Moves the runs that are over to the archive, and frees their slaves.
    pub(in crate::controller) fn put_away(&mut self, now: Time, out: &mut Outbox) {
        let lost: Vec<(ConnId, String)> = self.runs.values_mut().flat_map(Run::take_parting).collect();
        for (conn, why) in lost {
            if self.sessions.contains(conn) {
                self.part(now, conn, refusal(Code::NoRun, why), out);
            }
        }
        let over: Vec<RunNr> = self.runs.iter().filter(|(_, run)| run.is_done()).map(|(nr, _)| nr).collect();
        for nr in over {
            let Some(run) = self.runs.remove(nr) else { continue };
            for (ix, member) in run.roster.iter().enumerate() {
                self.free_slave(now, (nr, ix), member.machine());
            }
            self.empty_room(now, &run, out);
            let state = run.state(now, "");
            log::info!("run {}: {}: {}", run.id, state.in_words(), state.why);
            let since = self.wall_clock(now);
            let bytes = run.disk_use();
            let submission = run.submission().to_owned();
            let mut archived = Archived { state, submission, bytes, since, touched: since };
            let encoded = |archived: &Archived| serde_json::to_vec(archived).expect("plain fields always encode");
            archived.bytes += encoded(&archived).len() as u64;
            let json = encoded(&archived);
            out.persist(run.file(OVER), text::harmless_json(json));
            if let Some(host) = &mut self.host {
                host.remove(&format!("{}/{RESOURCES}", run.id), out);
                host.archive.put(archived);
            }
            self.answer_those_who_wait(&run.id, out);
            self.remove_old_results(now, out);
            self.discarded.extend(run.roster.into_slaves());
            // A run that waits for slaves holds some back from the runs after it. So this matters for every run.
            self.look_at_queue(now);
        }
    }

    /// Frees a slave that serves this run.
    fn free_slave(&mut self, now: Time, serves: (RunNr, usize), name: &str) {
        let Some(host) = &mut self.host else { return };
        let Some(slave) = host.slaves.get_mut(name).filter(|slave| slave.serves == Some(serves)) else { return };
        slave.serves = None;
        if injected(Fault::SlaveNotFreed) {
            slave.conn = None;
        }
        match slave.conn {
            None => drop(host.slaves.remove(name)),
            Some(conn) => {
                if let Some(process) = self.sessions.who(conn).and_then(Role::process) {
                    self.processes.disconnected(now, conn, process);
                }
                self.waits(now, conn);
            }
        }
    }

    /// Closes the connections of the clients of a run that is over, and removes its room.
    fn empty_room(&mut self, now: Time, run: &Run, out: &mut Outbox) {
        let room = &run.room.name;
        for conn in run.room.clients.iter().filter_map(|process| self.processes.conn(*process)).collect::<Vec<_>>() {
            self.part(now, conn, refusal(Code::NoRun, format!("run {room} is over")), out);
        }
        self.rooms.forget(room);
        self.processes.forget_room(room);
    }
}
