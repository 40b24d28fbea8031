//! The controller: one run and any rooms, rooms alone, or the permanent controller of a lab.
//!
//! This file decides which concern an input belongs to. The state has owners, in four parts that do not know this file:
//! `session` (connections, the processes behind them, and their share of the memory), `run` (one run), `room` (triggers,
//! barriers and syncs), and `host` (the queue, the submissions and the archive of a permanent controller). `dispatch`
//! handles the messages by speaker: it asks the owners and carries out their decisions.
//!
//! Whatever must outlive the process is a fact in the `ledger` before a peer can see its effect. One function applies the
//! facts of a run, live and in a replay (`run/apply.rs`).

mod config;
mod dispatch;
mod host;
mod keeper;
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
use self::session::authorization::NO_RUN;

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

pub use self::config::{Config, Local, LocalSecurity};
pub use self::host::archive::{Archived, Keeping, OVER};
use self::host::host::Host;
pub use self::host::host::HostConfig;
pub use self::host::submissions::RESOURCES;
use self::keeper::Keeper;
use self::ledger::Fact;
use self::reply::{leaves, refusal};
use self::room::rendezvous::Process;
use self::room::rooms::Rooms;
pub use self::room::sync::{EVENTS_MAX, Limits, OUTPUT_MAX, RECORD_MAX};
use self::run::admission::Admitted;
pub use self::run::launch::Launcher;
use self::run::pace::Pace;
use self::run::reports::Batch;
use self::run::roster::RunSlave;
pub use self::run::run::EVENTS;
use self::run::run::{Run, Timer};
use self::run::runs::{RunNr, Runs};
pub use self::service::Settings;
use self::session::budget::Budget;
use self::session::processes::{Processes, REJOIN, Speaker};
use self::session::session::{Role, Session};
use self::session::sessions::Sessions;
use self::session::stated::Stated;
use crate::exit_code;
use crate::machine::{ConnId, Input, Machine, Outbox, Signal, Time};
use crate::text;
use crate::wire::{Bye, Code, Cut, FromMember, Hello, Message, ToController};

/// The time between two looks for silent peers and for slaves that stay disconnected.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many silent peers are disconnected in one turn, and the time until the next of them: a crowd that leaves must not
/// delay the others.
const PART_AT_ONCE: usize = 500;
const PART_AGAIN: Duration = Duration::from_millis(20);

/// The time between two updates of the live picture.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// The first byte of a TLS handshake. No message begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// The reason that a stranger gets if its first message is another one.
const FIRST_MESSAGE: &str = "the first message must be a hello, a join or an operate";

/// The reason that a slave gets if it sends hello twice on one connection.
const SECOND_HELLO: &str = "a second hello on one connection";

/// The reason that a slave gets if it sends what only a client or an operator sends.
const NOT_OF_A_SLAVE: &str = "a slave does not send this message";

/// A controller.
pub struct Controller {
    sessions: Sessions,
    processes: Processes,
    runs: Runs,
    /// The queue, the submissions and the archive of a permanent controller.
    host: Option<Host>,
    rooms: Rooms,
    limits: Limits,
    /// How long a client may be disconnected before it is lost.
    rejoin: Duration,
    /// The memory that members and clients take.
    budget: Budget,
    listening: Option<String>,
    keeper: Keeper,
    now: Time,
    look: Option<Time>,
    /// There may be unread input that arrived after this instant.
    behind: Option<Time>,
    draw: Option<Time>,
    /// How much of long work this turn may still do.
    pace: Pace,
    /// What the peer has stated in this input and is not counted yet.
    stated: Stated,
    /// The slaves of archived runs, whose memory is still to be freed.
    discarded: Vec<RunSlave>,
    /// The last status that was reported to the service manager.
    status: String,
}

impl Controller {
    /// Returns a controller of one run.
    pub fn new(config: Config) -> Controller {
        let mut controller = Controller::bare(config.listening.clone());
        let mut run = Run::new(config, &controller.budget);
        run.ledger = controller.keeper.ledger().clone();
        controller.runs.insert(run);
        controller
    }

    /// Returns a controller of rooms alone, which serves until it is stopped. `listening` is the address to show to people.
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
            keeper: Keeper::default(),
            now: Time::default(),
            look: None,
            behind: None,
            draw: None,
            pace: Pace::default(),
            stated: Stated::default(),
            discarded: Vec::new(),
            status: String::new(),
        }
    }

    /// Also takes tests, and continues when a run is over.
    pub fn hosting(mut self, config: HostConfig) -> Controller {
        self.host = Some(Host::new(config));
        self
    }

    /// Sets how long a client may be disconnected before it is lost.
    pub fn rejoining(mut self, rejoin: Duration) -> Controller {
        self.rejoin = rejoin;
        self
    }

    /// Sets the limits for the values of syncs and for the memory of all members.
    pub fn limited(mut self, limits: Limits) -> Controller {
        self.limits = limits;
        self.budget.set_max(limits.memory, limits.least());
        self.processes.set_max(limits.away);
        self.runs.values_mut().for_each(|run| run.limit(limits));
        self
    }

    /// Limits the long work of one turn to this many bytes that are sent.
    pub fn in_pieces(mut self, at_once: usize) -> Controller {
        self.pace = Pace::of(at_once);
        self
    }

    /// Also starts its slaves with commands.
    pub fn launching(mut self, launcher: Option<Launcher>) -> Controller {
        if let (Some((_, run)), Some(launcher)) = (self.runs.first_mut(), launcher) {
            run.launch_by(launcher);
        }
        self
    }

    /// Prints neither the events nor the report of its run, if `silent`. Messages about errors are printed.
    pub fn silent(mut self, silent: bool) -> Controller {
        if let Some((_, run)) = self.runs.first_mut().filter(|_| silent) {
            run.be_silent();
        }
        self
    }

    fn begin(&mut self, now: Time, out: &mut Outbox) {
        self.look = Some(now + LOOK_EVERY);
        self.tell_status(out);
        if self.keeper.resumes() {
            self.go_on(now);
        }
        let Some(run) = self.runs.values_mut().next().filter(|_| self.host.is_none()) else {
            if let Some(address) = &self.listening {
                out.print(crate::machine::Stream::Out, format!("listening on {address}\n"));
            }
            return self.take_up_runs(now, out);
        };
        self.draw = run.is_drawn().then_some(now);
        if let Some(address) = &self.listening {
            let slaves = text::list(&run.roster.names(|_| true));
            let text = match self.keeper.resumes() {
                true => format!("run {} goes on, listening on {address}, waiting for {slaves}", run.id),
                // Members from outside need the id for --room.
                false => format!("listening on {address}, run {}, waiting for {slaves}", run.id),
            };
            run.show_line(&text, out);
        }
        match self.keeper.resumes() && self.keeper.keeps() {
            true => run.resume(now, self.keeper.life(), out),
            false => run.begin(now, out),
        }
    }

    /// Handles bytes of a peer: each line that they complete is a message.
    fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(session) = self.sessions.get(conn) else { return };
        let begins = session.who == Role::Stranger && session.frames.is_none();
        if begins && bytes.first() == Some(&TLS_HANDSHAKE) {
            let peer = session.peer.address().map_or_else(String::new, |address| address.ip().to_string());
            log::debug!("{peer} speaks TLS, and this controller does not");
            return self.part(now, conn, refusal(Code::Tls, "this controller does not speak TLS".to_owned()), out);
        }
        let Some((who, mut frames)) = self.sessions.take_line(now, conn) else { return };
        let answers = who.process().is_some_and(|process| self.processes.on_sign_of_life(now, process));
        let bound = self.sessions.line_bound(who, frames.held() + bytes.len(), &self.budget, self.limits.value);
        let mut heard = Batch::default();
        // If a line was too long, its peer was disconnected here; otherwise nothing failed.
        let _ = frames.cut(bytes, bound.max, |cut| {
            let done = match cut {
                Cut::Line(line) => self.line(now, conn, line, &mut heard, out),
                Cut::Over(beginning) => {
                    let counted = self.count_stated(now, conn, &mut heard, out);
                    counted.and_then(|()| self.too_long(now, who, beginning, bound))
                }
            };
            match done {
                Ok(()) => true,
                Err(bye) => {
                    self.part(now, conn, bye, out);
                    false
                }
            }
        });
        if let Err(bye) = self.count_stated(now, conn, &mut heard, out) {
            self.part(now, conn, bye, out);
        }
        if let Some(run) = heard.slave.and_then(|(nr, _)| self.runs.get_mut(nr)) {
            run.answer(now, conn, heard, out);
        }
        let Some(who) = self.sessions.put_back(conn, frames) else { return };
        // After its messages, because a member that withdraws must not count as one that still waits.
        if let Some(process) = who.process().filter(|_| answers) {
            self.alive(now, process);
        }
        if who == Role::Stranger && self.sessions.strangers_hold_too_much() {
            self.part(
                now,
                conn,
                refusal(Code::Full, "too many unfinished first messages at once; try again".to_owned()),
                out,
            );
        }
    }

    /// Handles one line. A statement of a total is counted with those that follow it.
    fn line(
        &mut self,
        now: Time,
        conn: ConnId,
        line: &[u8],
        heard: &mut Batch,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let message = ToController::decode(line);
        let merges = |stated: &mut Stated| matches!(&message, Ok(ToController::Notify(notify)) if stated.merge(notify));
        if merges(&mut self.stated) {
            return Ok(());
        }
        self.count_stated(now, conn, heard, out)?;
        // Of another trigger than the one that was stated before, or anything else.
        if merges(&mut self.stated) {
            return Ok(());
        }
        let message = message.map_err(|error| refusal(Code::Malformed, error.to_string()))?;
        self.says(now, conn, message, heard, out)
    }

    /// Counts what the peer has stated so far.
    fn count_stated(
        &mut self,
        now: Time,
        conn: ConnId,
        heard: &mut Batch,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let mut stated = std::mem::take(&mut self.stated);
        let done = match stated.notify() {
            Some(notify) => self.says(now, conn, ToController::Notify(notify), heard, out),
            None => Ok(()),
        };
        stated.clear();
        self.stated = stated;
        done
    }

    /// Handles one message.
    fn says(
        &mut self,
        now: Time,
        conn: ConnId,
        message: ToController<'_>,
        heard: &mut Batch,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let Some(who) = self.sessions.who(conn) else { return Ok(()) };
        match (who, message) {
            (Role::Stranger, ToController::Hello(hello)) => self.hello(now, conn, &hello, out),
            (Role::Stranger, ToController::Join(join)) => self.join(now, conn, &join, out),
            (Role::Stranger, ToController::Operate(operate)) => self.operates(now, conn, &operate, out),
            (Role::Stranger, message) => Err(self.begins_otherwise(&message)),
            (Role::Operator, message) => self.operator_says(now, conn, message, &mut heard.asked, out),
            (Role::Client(process), message) => self.client_says(now, conn, process, message, heard, out),
            (Role::Slave(nr, ix, process), message) => {
                self.slave_says(now, conn, (nr, ix as usize, process), message, heard, out)
            }
            (Role::Idle, ToController::Ping(ping)) => {
                self.pinged(now, conn, &ping, out);
                Ok(())
            }
            (Role::Idle, ToController::Bye(bye)) => Err(leaves(&bye)),
            (Role::Idle, ToController::Hello(_)) => Err(refusal(Code::Malformed, SECOND_HELLO.to_owned())),
            // A message for a run that is over.
            (Role::Idle, ToController::Slave(_) | ToController::Member(_) | ToController::Notify(_)) => Ok(()),
            (
                Role::Idle,
                ToController::Join(_) | ToController::Operate(_) | ToController::Client(_) | ToController::Operator(_),
            ) => Err(refusal(Code::Malformed, NOT_OF_A_SLAVE.to_owned())),
        }
    }

    /// Handles a message of a slave that serves a run. An error closes its connection.
    fn slave_says(
        &mut self,
        now: Time,
        conn: ConnId,
        (nr, ix, process): (RunNr, usize, Process),
        message: ToController<'_>,
        heard: &mut Batch,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        // Also if the run is over: a slave that gets no answer would take its connection for dead.
        if let ToController::Ping(ping) = message {
            self.pinged(now, conn, &ping, out);
            return Ok(());
        }
        let Some(run) = self.runs.get_mut(nr) else { return Ok(()) };
        heard.slave = Some((nr, ix));
        match message {
            // It has read everything that was sent so far.
            ToController::Member(FromMember::Alive(_)) if run.owes(ix) => {
                run.resend_triggers(ix, out);
                return Ok(());
            }
            ToController::Member(message) => {
                let room = run.room.name.clone();
                self.member_says(now, process, &room, message);
                return Ok(());
            }
            ToController::Notify(notify) => run.slave_notifies(now, conn, ix, &notify, heard, out),
            ToController::Slave(message) => run.message(now, conn, ix, message, heard, out)?,
            ToController::Bye(bye) => return Err(run.on_bye(now, ix, &bye, heard, out)),
            ToController::Hello(_) => return Err(refusal(Code::Malformed, SECOND_HELLO.to_owned())),
            ToController::Ping(_) => {}
            ToController::Join(_) | ToController::Operate(_) | ToController::Client(_) | ToController::Operator(_) => {
                return Err(refusal(Code::Malformed, NOT_OF_A_SLAVE.to_owned()));
            }
        }
        let room = run.room.name.clone();
        for trigger in run.take_fired() {
            self.tell_watchers(&room, &trigger, out);
        }
        Ok(())
    }

    /// Returns the reason for a stranger whose first message does not begin a conversation.
    fn begins_otherwise(&self, message: &ToController<'_>) -> Bye<'static> {
        let takes_none = self.host.is_none() && self.runs.values().next().is_none();
        match matches!(message, ToController::Bye(_)) && takes_none {
            true => refusal(Code::NoRun, NO_RUN.to_owned()),
            false => refusal(Code::FirstMessage, FIRST_MESSAGE.to_owned()),
        }
    }

    /// Handles the hello of a slave.
    fn hello(&mut self, now: Time, conn: ConnId, hello: &Hello<'_>, out: &mut Outbox) -> Result<(), Bye<'static>> {
        if self.host.is_some() {
            return self.on_hello(now, conn, hello, out);
        }
        let Some((nr, _)) = self.runs.first_mut() else {
            return Err(refusal(Code::NoRun, NO_RUN.to_owned()));
        };
        self.admitted(now, conn, nr, hello, out)
    }

    /// Handles the hello of a slave that serves this run, or will serve it.
    fn admitted(
        &mut self,
        now: Time,
        conn: ConnId,
        nr: RunNr,
        hello: &Hello<'_>,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let (Some(session), Some(run)) = (self.sessions.get(conn), self.runs.get_mut(nr)) else { return Ok(()) };
        let Admitted { slave, earlier, replaced } = run.admit(now, conn, &session.peer, hello, out)?;
        self.serves(now, conn, (nr, slave), &hello.incarnation);
        if let Some(earlier) = earlier {
            self.processes.on_superseded(earlier);
        }
        if let Some(replaced) = replaced {
            self.drop_session(replaced, "replaced by a newer connection", out);
        }
        Ok(())
    }

    /// Binds a connection and its process to a slave of a run.
    fn serves(&mut self, now: Time, conn: ConnId, (nr, ix): (RunNr, usize), incarnation: &str) {
        let Some(run) = self.runs.get_mut(nr) else { return };
        let member = run.roster.get_mut(ix);
        let (room, speaker) = (run.room.name.clone(), Speaker::Slave(ix as u32, Rc::from(&*member.name)));
        let (process, _) = self.processes.connected(now, conn, &room, speaker, incarnation, run.lost_after);
        if member.process.replace(process) != Some(process) {
            let (room, incarnation) = (Cow::from(&*room), Cow::from(incarnation));
            let fact = Fact::Process { room, process: process.0, slave: Some(ix), member: None, incarnation };
            run.ledger.write(&fact);
        }
        self.sessions.identify(now, conn, Role::Slave(nr, ix as u32, process));
        self.alive(now, process);
    }

    /// Closes a connection after a `bye` with the reason.
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

    /// Handles the end of a connection: its process is disconnected.
    fn on_disconnect(&mut self, now: Time, conn: ConnId, who: Role, reason: &str, out: &mut Outbox) {
        self.forget_submission(conn, out);
        if let Some(host) = &mut self.host {
            host.closed(conn);
        }
        if let Role::Slave(nr, ix, _) = who
            && let Some(run) = self.runs.get_mut(nr)
        {
            run.disconnected(now, conn, ix as usize, reason, out);
        }
        if let Some(process) = who.process()
            && self.processes.disconnected(now, conn, process)
        {
            self.process_gone(now, process);
            self.may_have_been_the_last(now, process, out);
        }
    }

    /// Disconnects peers from which nothing was `read` for too long, and gives up slaves that stay disconnected.
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
        self.runs.values_mut().for_each(|run| run.lose_absent(now, out));
        self.request_looks(now);
        self.remove_old_results(now, out);
        self.look_at_queue(now);
    }

    fn deadline(&mut self, now: Time, out: &mut Outbox) {
        self.pace.renew(now);
        self.begin_runs(now, out);
        self.rooms_deadline(now, out);
        for (nr, run) in self.runs.iter_mut() {
            while let Some(timer) = run.pop_due(now) {
                match self.host.as_ref().filter(|_| timer == Timer::Wait && run.is_queued()) {
                    Some(host) => run.leave_queue(now, host.waits_for(nr), out),
                    None => run.deadline(now, timer, out),
                }
            }
        }
        if self.look.is_some_and(|at| at <= now) {
            self.look = Some(now + LOOK_EVERY);
            self.look(now, self.behind.unwrap_or(now), out);
            self.tell_status(out);
        }
        self.look_at_waits(now, out);
        if self.draw.is_some_and(|at| at <= now)
            && let Some(run) = self.runs.values_mut().next()
        {
            self.draw = run.is_drawn().then_some(now + DRAW_EVERY);
            run.show(now, out);
        }
    }

    /// Shows lines soon that wait for more slaves to join them, also without a live picture.
    fn show_soon(&mut self, now: Time) {
        let waits = || self.runs.values().next().is_some_and(Run::has_more_to_show);
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
            self.keeper.begin(now, out);
        }
        let (now, mark) = (self.keeper.time(now), out.mark());
        self.now = now;
        self.keeper.ledger().turn(now);
        self.runs.values().for_each(|run| run.ledger.turn(now));
        let conn = input.conn();
        let before = conn.and_then(|conn| self.sessions.who(conn));
        match input {
            Input::Begin => self.begin(now, out),
            Input::Accepted { conn, peer, listener } => {
                self.sessions.accept(now, conn, peer, listener);
            }
            Input::Received { conn, bytes } => self.received(now, conn, bytes, out),
            Input::Closed { conn, reason } => self.closed(now, conn, &reason, out),
            Input::Behind { since } => self.behind = Some(self.keeper.time(since)),
            Input::Deadline => {
                self.processes.set_unread_input(self.behind.is_some());
                self.deadline(now, out);
                self.behind = None;
            }
            Input::Signal(signal) => self.interrupt(now, signal, out),
            Input::Reloaded { settings } => self.reloaded(now, settings, out),
            Input::Disproved { conn, why } => self.part(now, conn, refusal(Code::Stranger, why), out),
            Input::Exited { child, exit } => self.child_ended(now, child, Ok(exit), out),
            Input::SpawnFailed { child, error } => self.child_ended(now, child, Err(error), out),
            Input::Paged { read, result } => self.paged(read, result, out),
            Input::Read { read, result } => self.read(now, read, result, out),
            Input::Written { confirm } => self.written(now, confirm, out),
            Input::WriteFailed { path, error } => self.write_failed(now, path, error.text, out),
            input => self.of_embedded_run(now, input, out),
        }
        self.go_on_with_pieces(now, out);
        self.put_away(now, out);
        self.give_up_the_lost(now);
        self.make_room(now, self.budget.spare());
        self.settle(now, out);
        self.show_soon(now);
        self.charge(now, conn, before, out);
        self.answer_grown(out);
        self.runs.values().for_each(|run| run.ledger.flush(mark, out));
        self.keeper.ledger().flush(mark, out);
        self.rewrite_if_long(now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        let runs = self.runs.values().filter_map(Run::next_deadline).min();
        let due = self.host.as_ref().and_then(Host::queue_due);
        let rooms = [
            self.rooms.next_deadline(),
            self.processes.next_deadline(),
            due,
            self.keeper.ledger().rewrite_due(),
            self.pace.due(),
        ];
        let next = rooms.into_iter().chain([runs, self.look, self.draw]).flatten().min();
        next.map(|at| self.keeper.system_time(at))
    }
}
