//! A controller that stays: which slaves are connected, which run each of them serves, and which run begins next.
//!
//! A slave without a run waits, connected. A run that was handed in waits in the queue, in order, until machines for all
//! of its places are connected and free; until then it holds back from the runs behind it what it could have already. When
//! a run is over its slaves are free again.

use std::borrow::Cow;
use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::host::archive::{Archived, OVER};
use crate::controller::host::slave::HostSlave;
use crate::controller::host::submissions::RESOURCES;
use crate::controller::ledger::Fact;
use crate::controller::reply::{fatal, refusal};
use crate::controller::run::admission::{self, Comes};
use crate::controller::run::run::Run;
use crate::controller::run::runs::RunNr;
use crate::controller::session::session::Role;
use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, ConnId, Exit, Outbox, Time};
use crate::session::{LABELS_MAX, check_label, check_name};
use crate::text;
use crate::wire::{Bye, Code, Hello, Message, Ping, Pong};

/// Whether a slave says what it is in words that can be kept.
fn check_labels(hello: &Hello<'_>) -> Result<(), String> {
    check_name("a slave", &hello.name).map_err(|error| error.to_string())?;
    if hello.labels.len() > LABELS_MAX {
        return Err(format!("a slave has {LABELS_MAX} labels at most"));
    }
    hello.labels.iter().try_for_each(|(key, value)| check_label(key, value)).map_err(|error| error.to_string())
}

impl Controller {
    /// A child is gone: whether it was one that removes a directory.
    pub(in crate::controller) fn removed(&mut self, child: ChildId, end: Result<Exit, &str>, out: &mut Outbox) -> bool {
        self.host.as_mut().is_some_and(|host| host.removed(child, end, out))
    }

    /// A slave says hello to a controller that stays.
    pub(in crate::controller) fn on_hello(
        &mut self,
        now: Time,
        conn: ConnId,
        hello: &Hello<'_>,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let (Some(session), Some(host)) = (self.sessions.get(conn), &mut self.host) else { return Ok(()) };
        admission::check(&session.peer, None, hello).map_err(|(code, reason)| fatal(code, reason))?;
        check_labels(hello).map_err(|reason| fatal(Code::Name, reason))?;
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
        let former = host.connected(conn, &hello.name, slave);
        let replaced = "replaced by a newer connection";
        let former = former.and_then(|former| Some((former, self.drop_session(former, replaced, out)?)));
        let done = match serves {
            Some((nr, _)) => self.admitted(now, conn, nr, hello, out),
            None => {
                out.send(conn, admission::welcome(None, 0).encode());
                self.waits(now, conn);
                Ok(())
            }
        };
        // What it was in is over for it: nothing of that may stay with a connection that is gone.
        if let Some((former, session)) = former.filter(|_| serves.is_none() || done.is_err()) {
            self.on_disconnect(now, former, session.who, replaced, out);
        }
        done
    }

    /// A slave has no run, and waits for one.
    fn waits(&mut self, now: Time, conn: ConnId) {
        self.sessions.identify(now, conn, Role::Idle);
        self.look_at_queue(now);
    }

    /// Begins a run with these machines.
    pub(in crate::controller) fn begin_run(&mut self, now: Time, nr: RunNr, machines: &[Rc<str>], out: &mut Outbox) {
        let Some(run) = self.runs.get_mut(nr) else { return };
        log::info!("run {} begins with {} slaves", run.id, machines.len());
        let names = machines.iter().map(|name| Cow::from(&**name)).collect();
        run.enter(now, Fact::Assigned { machines: names }, out);
        for (ix, name) in machines.iter().enumerate() {
            let Some(slave) = self.host.as_mut().and_then(|host| host.slaves.get_mut(name)) else { continue };
            let Some(conn) = slave.conn else { continue };
            if let Some((former, former_ix)) = slave.serves.replace((nr, ix))
                && let Some(former) = self.runs.get_mut(former)
            {
                former.roster.get_mut(former_ix).conn = None;
            }
            let (incarnation, address, ip) = (&*slave.incarnation, &*slave.address, slave.ip);
            let comes = Comes { incarnation, address, ip, again: false, machine: None };
            let Some(run) = self.runs.get_mut(nr) else { continue };
            run.joins(now, conn, ix, comes, out);
            run.prepare(ix, out);
            let incarnation = slave.incarnation.clone();
            self.serves(now, conn, (nr, ix), &incarnation);
        }
    }

    /// A slave of a controller that stays asks for the time.
    pub(in crate::controller) fn pinged(&mut self, now: Time, conn: ConnId, ping: &Ping<'_>, out: &mut Outbox) {
        let shift = self.shift;
        if let Some(host) = &mut self.host {
            host.measured(conn, ping.measured, shift);
        }
        out.send(conn, Pong { time: ping.time, now, lifetime: Default::default() }.encode());
    }

    /// Puts the runs that are over on the shelf, and frees their slaves.
    pub(in crate::controller) fn put_away(&mut self, now: Time, out: &mut Outbox) {
        let lost: Vec<(ConnId, String)> =
            self.runs.values_mut().flat_map(|run| std::mem::take(&mut run.parting)).collect();
        for (conn, why) in lost {
            if self.sessions.contains(conn) {
                self.part(now, conn, refusal(Code::NoRun, why), out);
            }
        }
        let done = |run: &Run| run.hosted.as_ref().is_some_and(|hosted| hosted.done);
        let over: Vec<RunNr> = self.runs.iter().filter(|(_, run)| done(run)).map(|(nr, _)| nr).collect();
        for nr in over {
            let Some(run) = self.runs.remove(nr) else { continue };
            for (ix, member) in run.roster.iter().enumerate() {
                self.free_slave(now, (nr, ix), member.machine());
            }
            self.empty_room(now, &run, out);
            let state = self.run_state(now, nr, &run);
            log::info!("run {}: {}: {}", run.id, state.in_words(), state.why);
            let since = self.wall_clock(now);
            let shelved =
                Archived { state, submission: run.hosted.unwrap_or_default().submission, since, touched: since };
            let json = serde_json::to_vec(&shelved).expect("what is plain fields always encodes");
            out.persist(run.results.join(OVER), text::harmless_json(json));
            if let Some(host) = &mut self.host {
                host.remove(&format!("{}/{RESOURCES}", run.id), out);
                host.archive.put(shelved);
            }
            self.answer_those_who_wait(&run.id, out);
            self.clear_shelf(now, out);
            // Also one that had no slaves yet held some back.
            self.look_at_queue(now);
        }
    }

    /// A slave serves this run no more.
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

    /// Nobody is in the room of a run that is over.
    fn empty_room(&mut self, now: Time, run: &Run, out: &mut Outbox) {
        let room = &run.room.name;
        for conn in run.room.clients.iter().filter_map(|process| self.processes.conn(*process)).collect::<Vec<_>>() {
            self.part(now, conn, refusal(Code::NoRun, format!("run {room} is over")), out);
        }
        self.rooms.forget(room);
        self.processes.forget_room(room);
    }
}
