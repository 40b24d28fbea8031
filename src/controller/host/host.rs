//! A controller that stays: which slaves are connected, which run each of them serves, and which run begins next.
//!
//! A slave without a run waits, connected. A run that was handed in waits in the queue, in order, until machines for all
//! of its places are connected and free; until then it holds back from the runs behind it what it could have already. When
//! a run is over its slaves are free again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::controller::Controller;
use crate::controller::Who;
use crate::controller::fatal;
use crate::controller::host::accepted::Unwritten;
use crate::controller::host::archive::{Keeping, OVER, Shelf, Shelved};
use crate::controller::host::operators::Operator;
use crate::controller::host::scheduler::Queue;
use crate::controller::host::submissions::RESOURCES;
use crate::controller::ledger::{self, Fact};
use crate::controller::refusal;
use crate::controller::run::admission::{self, Comes};
use crate::controller::run::run::Run;
use crate::controller::run::runs::{RunNr, Runs};
use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, ConnId, Exit, ListenerId, Outbox, Time, removal};
use crate::session::{LABELS_MAX, check_label, check_name};
use crate::spoken;
use crate::wire::operate::Measured;
use crate::wire::{Bye, Code, Hello, Message, Ping, Pong};

/// How many processes remove directories at once.
const REMOVED_AT_ONCE: usize = 4;

pub type Labels = BTreeMap<String, String>;

/// What a controller that stays is told when it starts.
#[derive(Debug, Clone, Default)]
pub struct LabConfig {
    /// Where it keeps the directories of the runs.
    pub runs: PathBuf,
    /// The listeners whose peers may operate it, for the system has looked at who they are.
    pub sockets: Vec<ListenerId>,
    /// Who else may, by the names in their certificates.
    pub operators: BTreeSet<String>,
    /// How long a slave's connection may be gone before the slave is lost to its run, unless the run says another time.
    pub lost_after: Duration,
    /// Which runs that are over are kept.
    pub keeping: Keeping,
    /// The boot of the system, by its name.
    pub boot: String,
    /// What to add to a [`Time`] to get microseconds since 1970 in UTC.
    pub wall_offset: i64,
}

/// What a controller that stays has beside its runs.
pub struct Lab {
    pub config: LabConfig,
    /// By name.
    pub slaves: BTreeMap<Rc<str>, Slave>,
    by_conn: BTreeMap<ConnId, Rc<str>>,
    pub operators: BTreeMap<ConnId, Operator>,
    pub shelf: Shelf,
    /// The runs and submissions whose directories are being removed: what comes to stand in one now would go with it.
    removing: BTreeMap<ChildId, String>,
    /// Those that wait for that.
    to_remove: VecDeque<String>,
    /// The runs that are on their way to the disk, in the order in which they were handed in.
    pub unwritten: VecDeque<Unwritten>,
    pub queue: Queue,
}

/// A slave that is connected, or that serves a run.
pub struct Slave {
    pub conn: Option<ConnId>,
    incarnation: Box<str>,
    pub address: String,
    ip: Option<IpAddr>,
    pub version: String,
    /// Since when it is connected.
    pub since: Time,
    pub labels: Labels,
    /// What to add to its clock to get UTC.
    pub utc: Option<i64>,
    pub measured: Option<Measured>,
    /// The run that it serves, and as which of its slaves.
    pub serves: Option<(RunNr, usize)>,
}

/// A slave's wall clock that is further off than that is worth a warning.
const CLOCK_OFF_MOST: Duration = Duration::from_secs(10);

impl Lab {
    pub fn new(config: LabConfig) -> Lab {
        Lab {
            shelf: Shelf::new(config.keeping),
            config,
            slaves: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            operators: BTreeMap::new(),
            removing: BTreeMap::new(),
            to_remove: VecDeque::new(),
            unwritten: VecDeque::new(),
            queue: Queue::default(),
        }
    }

    /// Removes the directory of a run or of a submission in the background: what says that a run goes on goes first.
    pub fn remove(&mut self, id: &str, out: &mut Outbox) {
        if self.removing.len() >= REMOVED_AT_ONCE {
            return self.to_remove.push_back(id.to_owned());
        }
        let ledger = format!("{id}/{}", ledger::FILE);
        let child = out.spawn(removal(&self.config.runs, &[&ledger, id]));
        self.removing.insert(child, id.to_owned());
    }

    /// Whether a directory of this name is being removed.
    pub fn removes(&self, id: &str) -> bool {
        self.removing.values().chain(&self.to_remove).any(|removed| removed == id)
    }

    /// How many directories are being removed or wait for that.
    pub fn removals(&self) -> usize {
        self.removing.len() + self.to_remove.len()
    }

    /// A child is gone: whether it was one that removes a directory.
    pub fn removed(&mut self, child: ChildId, end: Result<Exit, &str>, out: &mut Outbox) -> bool {
        let Some(id) = self.removing.remove(&child) else { return false };
        let why = match end {
            Ok(Exit::Code(0)) => None,
            Ok(_) => Some("something in it cannot be removed"),
            Err(error) => Some(error),
        };
        if let Some(why) = why {
            log::warn!("{} stays: {why}: remove it by hand", self.config.runs.join(id).display());
        }
        if let Some(next) = self.to_remove.pop_front() {
            self.remove(&next, out);
        }
        true
    }

    /// A slave of a former life may come back to its run.
    pub fn expect(&mut self, name: &str, serves: (RunNr, usize)) {
        let slave = Slave {
            conn: None,
            incarnation: Box::from(""),
            address: String::new(),
            ip: None,
            version: String::new(),
            since: Time::default(),
            labels: Labels::new(),
            utc: None,
            measured: None,
            serves: Some(serves),
        };
        self.slaves.insert(Rc::from(name), slave);
    }

    /// A slave has said something about its clock. One that is far off is told of once a connection.
    fn measured(&mut self, conn: ConnId, measured: Option<Measured>, shift: i64) {
        let wall_offset = self.config.wall_offset - shift;
        let Some(name) = self.by_conn.get(&conn) else { return };
        if let Some(slave) = self.slaves.get_mut(name) {
            let first = measured.as_ref().filter(|_| slave.measured.is_none()).zip(slave.utc);
            let off = first.map_or(0, |(measured, utc)| measured.ahead.saturating_add(utc).saturating_sub(wall_offset));
            if off.unsigned_abs() > CLOCK_OFF_MOST.as_micros() as u64 {
                let side = if off < 0 { "behind" } else { "ahead of" };
                let by = spoken::roughly(Duration::from_micros(off.unsigned_abs()));
                log::warn!("slave {name}: its clock is {by} {side} the controller's: set it");
            }
            slave.measured = measured.or(slave.measured);
        }
    }

    /// A connection is gone. One that serves no run is forgotten with it.
    pub fn closed(&mut self, conn: ConnId) {
        self.operators.remove(&conn);
        let Some(name) = self.by_conn.remove(&conn) else { return };
        let Some(slave) = self.slaves.get_mut(&name).filter(|slave| slave.conn == Some(conn)) else { return };
        slave.conn = None;
        if slave.serves.is_none() {
            self.slaves.remove(&name);
        }
    }

    /// Which run a slave is needed by.
    pub fn needed_by<'a>(slave: &Slave, runs: &'a Runs) -> Option<&'a Run> {
        let (nr, ix) = slave.serves?;
        runs.get(nr).filter(|run| run.needs(ix))
    }
}

/// Whether a slave says what it is in words that can be kept.
fn check_labels(hello: &Hello<'_>) -> Result<(), String> {
    check_name("a slave", &hello.name)?;
    if hello.labels.len() > LABELS_MAX {
        return Err(format!("a slave has {LABELS_MAX} labels at most"));
    }
    hello.labels.iter().try_for_each(|(key, value)| check_label(key, value))
}

/// `arch=x86_64 role=client`.
pub fn in_words(labels: &Labels) -> String {
    let words: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    words.join(" ")
}

impl Controller {
    /// A child is gone: whether it was one that removes a directory.
    pub(in crate::controller) fn removed(&mut self, child: ChildId, end: Result<Exit, &str>, out: &mut Outbox) -> bool {
        self.lab.as_mut().is_some_and(|lab| lab.removed(child, end, out))
    }

    /// A slave says hello to a controller that stays.
    pub(in crate::controller) fn comes(
        &mut self,
        now: Time,
        conn: ConnId,
        hello: &Hello<'_>,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let (Some(session), Some(lab)) = (self.sessions.get(&conn), &mut self.lab) else { return Ok(()) };
        admission::check(&session.peer, None, hello).map_err(|(code, reason)| fatal(code, reason))?;
        check_labels(hello).map_err(|reason| fatal(Code::Name, reason))?;
        let known = lab.slaves.get(&*hello.name);
        let former = known.and_then(|slave| slave.conn);
        if let Some(slave) = known.filter(|slave| slave.conn.is_some() && *slave.incarnation != *hello.incarnation) {
            return Err(refusal(
                Code::Taken,
                format!(
                    "another slave called {} is connected from {}: stop it, or use another --name",
                    hello.name, slave.address
                ),
            ));
        }
        let serves = known.filter(|slave| Lab::needed_by(slave, &self.runs).is_some()).and_then(|slave| slave.serves);
        let name: Rc<str> = Rc::from(&*hello.name);
        let slave = Slave {
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
        lab.slaves.insert(name.clone(), slave);
        lab.by_conn.insert(conn, name);
        let replaced = "replaced by a newer connection";
        if let Some(former) = former {
            lab.by_conn.remove(&former);
        }
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
            self.gone(now, former, session.who, replaced, out);
        }
        done
    }

    /// A slave has no run, and waits for one.
    fn waits(&mut self, now: Time, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            (session.who, session.heard) = (Who::Idle, now);
        }
        self.look_at_queue(now);
    }

    /// Begins a run with these machines.
    pub(in crate::controller) fn begin_run(&mut self, now: Time, nr: RunNr, machines: &[Rc<str>], out: &mut Outbox) {
        let Some(run) = self.runs.get_mut(nr) else { return };
        log::info!("run {} begins with {} slaves", run.id, machines.len());
        let names = machines.iter().map(|name| Cow::from(&**name)).collect();
        run.enter(now, Fact::Assigned { machines: names }, out);
        for (ix, name) in machines.iter().enumerate() {
            let Some(slave) = self.lab.as_mut().and_then(|lab| lab.slaves.get_mut(name)) else { continue };
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
        if let Some(lab) = &mut self.lab {
            lab.measured(conn, ping.measured, shift);
        }
        out.send(conn, Pong { time: ping.time, now, lifetime: Default::default() }.encode());
    }

    /// Puts the runs that are over on the shelf, and frees their slaves.
    pub(in crate::controller) fn put_away(&mut self, now: Time, out: &mut Outbox) {
        let lost: Vec<(ConnId, String)> =
            self.runs.values_mut().flat_map(|run| std::mem::take(&mut run.parting)).collect();
        for (conn, why) in lost {
            if self.sessions.contains_key(&conn) {
                self.part(now, conn, refusal(Code::NoRun, why), out);
            }
        }
        let done = |run: &Run| run.hosted.as_ref().is_some_and(|hosted| hosted.done);
        let over: Vec<RunNr> = self.runs.iter().filter(|(_, run)| done(run)).map(|(nr, _)| nr).collect();
        for nr in over {
            let Some(run) = self.runs.remove(nr) else { continue };
            for (ix, member) in run.roster.iter().enumerate() {
                self.is_free(now, (nr, ix), member.machine());
            }
            self.empty_room(now, &run, out);
            let state = self.run_state(now, nr, &run);
            log::info!("run {}: {}: {}", run.id, state.in_words(), state.why);
            let since = self.wall_clock(now);
            let shelved =
                Shelved { state, submission: run.hosted.unwrap_or_default().submission, since, touched: since };
            let json = serde_json::to_vec(&shelved).expect("what is plain fields always encodes");
            out.persist(run.results.join(OVER), json);
            if let Some(lab) = &mut self.lab {
                lab.remove(&format!("{}/{RESOURCES}", run.id), out);
                lab.shelf.put(shelved);
            }
            self.answer_those_who_wait(&run.id, out);
            self.clear_shelf(now, out);
            // Also one that had no slaves yet held some back.
            self.look_at_queue(now);
        }
    }

    /// A slave serves this run no more.
    fn is_free(&mut self, now: Time, serves: (RunNr, usize), name: &str) {
        let Some(lab) = &mut self.lab else { return };
        let Some(slave) = lab.slaves.get_mut(name).filter(|slave| slave.serves == Some(serves)) else { return };
        slave.serves = None;
        if injected(Fault::SlaveNotFreed) {
            slave.conn = None;
        }
        match slave.conn {
            None => drop(lab.slaves.remove(name)),
            Some(conn) => {
                if let Some(process) = self.sessions.get(&conn).and_then(|session| session.who.process()) {
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
        self.pending.remove(room);
        self.deadlines.cancel(room);
        self.processes.forget_room(room);
    }
}
