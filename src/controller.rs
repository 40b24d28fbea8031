//! The controller: the connections of slaves and clients, the run that slaves take part in, and the rooms where members
//! meet.
//!
//! This file decides whose concern an input is. State has owners, in four parts that do not know this file: `session`
//! (connections, the processes behind them, and their share of the memory), `run` (one run), `room` (triggers, barriers
//! and syncs), and `host` (the queue, the submissions and the archive of a controller that stays). `dispatch` holds what
//! the controller does with what it is told, by speaker: it asks the owners and carries out their decisions.
//!
//! What must outlive the process is a fact in the `ledger` before any peer can see its effect. The function that applies
//! the facts of a run is the same for a live run and for a replay (`run/apply.rs`).

mod config;
mod dispatch;
mod host;
pub mod ledger;
mod reply;
mod rewrite;
mod room;
mod run;
mod service;
mod session;
#[cfg(test)]
mod tests;

pub use self::host::matching;
pub use self::session::authorization;

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

pub use self::config::{Config, Local, LocalSecurity};
pub use self::host::archive::{Archived, Keeping, OVER};
use self::host::host::Host;
pub use self::host::host::HostConfig;
pub use self::host::submissions::RESOURCES;
use self::ledger::{Fact, Header, Keep, Ledger};
use self::reply::refusal;
use self::room::rooms::Rooms;
pub use self::room::sync::{EVENTS_MAX, Limits, OUTPUT_MAX, RECORD_MAX};
use self::run::admission::Admitted;
use self::run::launch::Launch;
pub use self::run::launch::Launcher;
use self::run::reports::Batch;
pub use self::run::run::EVENTS;
use self::run::run::Run;
use self::run::runs::{RunNr, Runs};
pub use self::service::Settings;
use self::session::budget::Budget;
use self::session::processes::{Processes, REJOIN, Speaker};
use self::session::session::{Role, Session};
use self::session::sessions::Sessions;
use crate::exit_code;
use crate::machine::{ConnId, Input, Machine, Outbox, Signal, Time};
use crate::text;
use crate::wire::{Bye, Code, Cut, Hello, Message, ToController};

/// How often the controller looks for peers that have gone silent, and for slaves that stay away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many silent peers are parted from in one turn, and after how long from the next of them: a crowd that goes does
/// not hold up those that stay.
const PART_AT_ONCE: usize = 500;
const PART_AGAIN: Duration = Duration::from_millis(20);

/// How often the live picture is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How a stranger begins who speaks TLS, and no line does.
const TLS_HANDSHAKE: u8 = 0x16;

/// A controller: of one run and any rooms, or of rooms alone.
pub struct Controller {
    sessions: Sessions,
    processes: Processes,
    runs: Runs,
    /// What a controller has that stays when a run is over.
    host: Option<Host>,
    rooms: Rooms,
    limits: Limits,
    /// How long a client's connection may be gone before the client is lost.
    rejoin: Duration,
    /// What is held of members and clients.
    budget: Budget,
    listening: Option<String>,
    ledger: Ledger,
    /// Where the ledger is and what was said of the world for it, if one is kept.
    keep: Option<Keep>,
    /// A former life goes on.
    resumes: bool,
    header: Option<Header>,
    /// The last instant of it.
    resumed_after: Time,
    /// How far our clock is ahead of the system's: after a reboot it goes on from where it was.
    shift: i64,
    now: Time,
    look: Option<Time>,
    /// What peers have said since may not have been read.
    behind: Option<Time>,
    draw: Option<Time>,
    /// How things stand, as it was said last.
    status: String,
}

impl Controller {
    /// A controller of a run.
    pub fn new(config: Config) -> Controller {
        let mut controller = Controller::bare(config.listening.clone());
        let mut run = Run::new(config, &controller.budget);
        run.ledger = controller.ledger.clone();
        controller.runs.insert(run);
        controller
    }

    /// A controller of rooms alone, which serves until it is told to stop. `listening`: where, to be told to people.
    pub fn bare(listening: Option<String>) -> Controller {
        let limits = Limits::default();
        let budget = Budget::new(limits.memory);
        budget.set_max(limits.memory, limits.least());
        Controller {
            sessions: Sessions::new(&budget),
            budget,
            processes: Processes::default(),
            runs: Runs::default(),
            host: None,
            rooms: Rooms::default(),
            limits,
            rejoin: REJOIN,
            listening,
            ledger: Ledger::default(),
            keep: None,
            resumes: false,
            header: None,
            resumed_after: Time::default(),
            shift: 0,
            now: Time::default(),
            look: None,
            behind: None,
            draw: None,
            status: String::new(),
        }
    }

    /// The same that takes tests, and stays when a run is over.
    pub fn hosting(mut self, config: HostConfig) -> Controller {
        self.host = Some(Host::new(config));
        self
    }

    /// The same with another time for clients to come back.
    pub fn rejoining(mut self, rejoin: Duration) -> Controller {
        self.rejoin = rejoin;
        self
    }

    /// The same with other bounds for the values of syncs, and for all that is held of members.
    pub fn limited(mut self, limits: Limits) -> Controller {
        self.limits = limits;
        self.budget.set_max(limits.memory, limits.least());
        self.processes.set_max(limits.away);
        self.runs.values_mut().for_each(|run| run.limit(limits));
        self
    }

    /// The same with commands that start its slaves.
    pub fn launching(mut self, launcher: Option<Launcher>) -> Controller {
        if let (Some((_, run)), Some(launcher)) = (self.runs.first_mut(), launcher) {
            run.launch = Launch::by(launcher);
        }
        self
    }

    fn begin(&mut self, now: Time, out: &mut Outbox) {
        self.look = Some(now + LOOK_EVERY);
        self.tell_status(out);
        if self.resumes {
            self.go_on(now);
        }
        let Some(run) = self.runs.values_mut().next().filter(|_| self.host.is_none()) else {
            if let Some(address) = &self.listening {
                out.print(crate::machine::Stream::Out, format!("listening on {address}\n"));
            }
            return self.take_up_runs(now, out);
        };
        self.draw = run.event_log.view.is_live().then_some(now);
        if let Some(address) = &self.listening {
            let slaves = text::list(&run.roster.names(|_| true));
            let text = match self.resumes {
                true => format!("run {} goes on, listening on {address}, waiting for {slaves}", run.id),
                // Members from outside need the id for --room.
                false => format!("listening on {address}, run {}, waiting for {slaves}", run.id),
            };
            run.event_log.view.line(&text, out);
        }
        match &self.keep {
            Some(keep) if self.resumes => run.resume(now, (&keep.boot, self.shift), out),
            _ => run.begin(now, out),
        }
    }

    /// Bytes of a peer: each line that they complete is a message.
    fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(session) = self.sessions.get(conn) else { return };
        let begins = session.who == Role::Stranger && session.frames.held() == 0;
        if begins && bytes.first() == Some(&TLS_HANDSHAKE) {
            let peer = session.peer.address().map_or_else(String::new, |address| address.ip().to_string());
            log::debug!("{peer} speaks TLS, and this controller does not");
            return self.part(now, conn, refusal(Code::Tls, "this controller does not speak TLS".to_owned()), out);
        }
        let Some((who, mut frames)) = self.sessions.take_line(now, conn) else { return };
        if let Some(process) = who.process() {
            self.processes.hear(now, process);
        }
        let bound = self.sessions.line_bound(who, frames.held() + bytes.len(), &self.budget, self.limits.value);
        let mut heard = Batch::default();
        // What is too long has parted with its peer here, or nothing has.
        let _ = frames.cut(bytes, bound.max, |cut| {
            let done = match cut {
                Cut::Line(line) => self.line(now, conn, line, &mut heard, out),
                Cut::Over(beginning) => self.too_long(now, who, beginning, bound),
            };
            match done {
                Ok(()) => true,
                Err(bye) => {
                    self.part(now, conn, bye, out);
                    false
                }
            }
        });
        if let Some(run) = heard.run.and_then(|nr| self.runs.get_mut(nr)) {
            run.answer(now, conn, heard, out);
        }
        let Some(who) = self.sessions.put_back(conn, frames) else { return };
        // After what it says: that it waits no longer is no sign that it does.
        if let Some(process) = who.process() {
            self.alive(now, process);
        }
        if who == Role::Stranger && self.sessions.strangers_hold_too_much() {
            self.part(
                now,
                conn,
                refusal(Code::Full, "too many strangers say too much at once; try again".to_owned()),
                out,
            );
        }
    }

    fn line(
        &mut self,
        now: Time,
        conn: ConnId,
        line: &[u8],
        heard: &mut Batch,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let message = ToController::decode(line).map_err(|error| refusal(Code::Malformed, error.to_string()))?;
        let Some(who) = self.sessions.who(conn) else { return Ok(()) };
        match (who, message) {
            (Role::Slave(..) | Role::Idle, ToController::Ping(ping)) => {
                self.pinged(now, conn, &ping, out);
                Ok(())
            }
            (Role::Slave(nr, ix, _), ToController::Alive(_)) if self.runs.get(nr).is_some_and(|run| run.owes(ix)) => {
                if let Some(run) = self.runs.get_mut(nr) {
                    run.tell_more(ix, out);
                }
                Ok(())
            }
            (Role::Slave(_, _, process) | Role::Client(process), message)
                if self::room::rooms::is_members(&message) =>
            {
                self.member_says(now, process, message);
                Ok(())
            }
            (Role::Slave(nr, ix, _), message) => {
                let Some(run) = self.runs.get_mut(nr) else { return Ok(()) };
                heard.run = Some(nr);
                run.message(now, conn, ix, message, heard, out)?;
                let room = run.room.name.clone();
                for trigger in run.take_fired() {
                    self.tell_watchers(&room, &trigger, out);
                }
                Ok(())
            }
            (Role::Idle, ToController::Bye(bye)) => Err(refusal(Code::Leaves, bye.reason.chars().take(200).collect())),
            (Role::Idle, ToController::Hello(_)) => {
                Err(refusal(Code::Malformed, "a second hello on one connection".to_owned()))
            }
            // Of a run that is over.
            (Role::Idle, _) => Ok(()),
            (Role::Operator, message) => self.operator_says(now, conn, message, &mut heard.asked, out),
            (Role::Client(_), ToController::List(_)) if std::mem::replace(&mut heard.listed, true) => Ok(()),
            (Role::Client(process), message) => self.client_says(now, conn, process, message, heard, out),
            (Role::Stranger, ToController::Hello(hello)) => self.hello(now, conn, &hello, out),
            (Role::Stranger, ToController::Join(join)) => self.join(now, conn, &join, out),
            (Role::Stranger, ToController::Operate(operate)) => self.operates(now, conn, &operate, out),
            (Role::Stranger, message) => Err(self.begins_otherwise(&message)),
        }
    }

    /// A slave says hello.
    fn hello(&mut self, now: Time, conn: ConnId, hello: &Hello<'_>, out: &mut Outbox) -> Result<(), Bye<'static>> {
        if self.host.is_some() {
            return self.on_hello(now, conn, hello, out);
        }
        let Some((nr, _)) = self.runs.first_mut() else {
            return Err(refusal(Code::NoRun, self::session::authorization::NO_RUN.to_owned()));
        };
        self.admitted(now, conn, nr, hello, out)
    }

    /// A slave says hello that serves a run, or shall.
    fn admitted(
        &mut self,
        now: Time,
        conn: ConnId,
        nr: RunNr,
        hello: &Hello<'_>,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let (Some(session), Some(run)) = (self.sessions.get(conn), self.runs.get_mut(nr)) else { return Ok(()) };
        let Admitted { slave, earlier, former } = run.admit(now, conn, &session.peer, hello, out)?;
        self.serves(now, conn, (nr, slave), &hello.incarnation);
        if let Some(earlier) = earlier {
            self.processes.superseded(earlier);
        }
        if let Some(former) = former {
            self.drop_session(former, "replaced by a newer connection", out);
        }
        Ok(())
    }

    /// A connection is that of a slave of a run from now on, which this process is.
    fn serves(&mut self, now: Time, conn: ConnId, (nr, ix): (RunNr, usize), incarnation: &str) {
        let Some(run) = self.runs.get_mut(nr) else { return };
        let member = run.roster.get_mut(ix);
        let (room, speaker) = (run.room.name.clone(), Speaker::Slave(ix, Rc::from(&*member.name)));
        let (process, _) = self.processes.connected(now, conn, &room, speaker, incarnation, run.lost_after);
        if member.process.replace(process) != Some(process) {
            let (room, incarnation) = (Cow::from(&*room), Cow::from(incarnation));
            let fact = Fact::Process { room, process: process.0, slave: Some(ix), member: None, incarnation };
            run.ledger.write(&fact);
        }
        self.sessions.identify(now, conn, Role::Slave(nr, ix, process));
        self.alive(now, process);
    }

    /// Closes a connection, and says why.
    fn part(&mut self, now: Time, conn: ConnId, bye: Bye<'_>, out: &mut Outbox) {
        out.send(conn, bye.encode());
        if let Some(session) = self.drop_session(conn, &bye.reason, out) {
            self.on_disconnect(now, conn, session.who, &bye.reason, out);
        }
    }

    fn drop_session(&mut self, conn: ConnId, reason: &str, out: &mut Outbox) -> Option<Session> {
        let session = self.sessions.remove(conn)?;
        out.close(conn, reason);
        Some(session)
    }

    fn closed(&mut self, now: Time, conn: ConnId, reason: &str, out: &mut Outbox) {
        if let Some(session) = self.sessions.remove(conn) {
            self.on_disconnect(now, conn, session.who, reason, out);
        }
    }

    /// A connection is gone, and with it the presence of who was there.
    fn on_disconnect(&mut self, now: Time, conn: ConnId, who: Role, reason: &str, out: &mut Outbox) {
        if self.host.is_some() {
            self.forget_submission(conn, out);
        }
        if let Some(host) = &mut self.host {
            host.closed(conn);
        }
        if let Role::Slave(nr, ix, _) = who
            && let Some(run) = self.runs.get_mut(nr)
        {
            run.disconnected(now, conn, ix, reason, out);
        }
        if let Some(process) = who.process()
            && self.processes.disconnected(now, conn, process)
        {
            self.process_gone(now, process);
            self.may_have_been_the_last(now, process, out);
        }
    }

    /// Parts from peers that have said nothing in what was `read`, and gives up slaves that stay away.
    fn look(&mut self, now: Time, read: Time, out: &mut Outbox) {
        self.budget.sweep();
        self.forget_unheard(now);
        let silent = self.sessions.silent(read, PART_AT_ONCE);
        if silent.len() == PART_AT_ONCE {
            self.look = Some(now + PART_AGAIN);
        }
        for (conn, why) in silent {
            self.part(now, conn, refusal(Code::Silent, why), out);
        }
        self.runs.values_mut().for_each(|run| run.lose_those_who_stay_away(now, out));
        self.look_at_waits(now, out);
        self.clear_shelf(now, out);
        self.look_at_queue(now);
    }

    fn deadline(&mut self, now: Time, out: &mut Outbox) {
        self.begin_runs(now, out);
        self.rooms_deadline(now, out);
        for run in self.runs.values_mut() {
            while let Some(timer) = run.timers.pop_due(now) {
                run.deadline(now, timer, out);
            }
        }
        if self.look.is_some_and(|at| at <= now) {
            self.look = Some(now + LOOK_EVERY);
            self.look(now, self.behind.unwrap_or(now), out);
            self.tell_status(out);
        }
        if self.draw.is_some_and(|at| at <= now)
            && let Some(run) = self.runs.values_mut().next()
        {
            self.draw = run.event_log.view.is_live().then_some(now + DRAW_EVERY);
            run.event_log.view.flush(out);
            if self.draw.is_some() {
                let picture = self::run::progress::picture(run, now);
                run.event_log.view.draw(&picture, out);
            }
        }
    }

    /// Lines that wait for more slaves to join them are shown soon, also where there is no live picture.
    fn show_soon(&mut self, now: Time) {
        let waits = || self.runs.values().next().is_some_and(|run| run.event_log.view.waits());
        if self.draw.is_none() && waits() {
            self.draw = Some(now + DRAW_EVERY);
        }
    }

    fn interrupt(&mut self, now: Time, signal: Signal, out: &mut Outbox) {
        match self.runs.values_mut().next().filter(|_| self.host.is_none()) {
            Some(run) => run.interrupt(now, signal, out),
            None => out.exit(if signal == Signal::TERM { exit_code::PASSED } else { exit_code::INTERRUPTED }),
        }
    }
}

impl Machine for Controller {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if matches!(input, Input::Begin) {
            self.open_ledger(now, out);
        }
        let (now, mark) = (now.offset(self.shift), out.mark());
        self.now = now;
        self.ledger.turn(now);
        self.runs.values().for_each(|run| run.ledger.turn(now));
        let conn = input.conn();
        let before = self.who(conn);
        match input {
            Input::Begin => self.begin(now, out),
            Input::Accepted { conn, peer, listener } => {
                self.sessions.accept(now, conn, peer, listener);
            }
            Input::Received { conn, bytes } => self.received(now, conn, bytes, out),
            Input::Closed { conn, reason } => self.closed(now, conn, &reason, out),
            Input::Behind { since } => self.behind = Some(since.offset(self.shift)),
            Input::Deadline => {
                self.processes.set_behind(self.behind.is_some());
                self.deadline(now, out);
                self.behind = None;
            }
            Input::Signal(signal) => self.interrupt(now, signal, out),
            Input::Reloaded { settings } => self.reloaded(now, settings, out),
            Input::Disproved { conn, why } => self.part(now, conn, refusal(Code::Stranger, why), out),
            Input::Exited { child, exit } if self.removed(child, Ok(exit), out) => {}
            Input::SpawnFailed { child, ref error } if self.removed(child, Err(error), out) => {}
            Input::Paged { read, result } => self.paged(read, result, out),
            Input::Read { read, result } if self.read_for_operator(read, &result, out) => {}
            Input::Written if self.confirm_submission(now, out) => {}
            Input::WriteFailed { path, error } if self.reject_unwritten(&path, &error, out) => {}
            Input::WriteFailed { path, error } if self.run_concerned(&path).is_none() => {
                self.cannot_keep(&path, &error, out);
            }
            input => self.of_a_run(now, input, out),
        }
        self.put_away(now, out);
        self.give_up_the_lost(now);
        self.make_room(now, self.budget.spare());
        self.settle(now, out);
        self.show_soon(now);
        self.charge(now, conn, before, out);
        self.answer_grown(out);
        self.runs.values().for_each(|run| run.ledger.flush(mark, out));
        self.ledger.flush(mark, out);
        self.rewrite_if_long(now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        let runs = self.runs.values().filter_map(|run| run.timers.next()).min();
        let due = self.host.as_ref().and_then(Host::queue_due);
        let rooms = [self.rooms.next_deadline(), self.processes.next_deadline(), due, self.ledger.rewrite_due()];
        let next = rooms.into_iter().chain([runs, self.look, self.draw]).flatten().min();
        next.map(|at| at.offset(-self.shift))
    }
}
