//! The controller: the connections of the slaves, and the run that they take part in.
//!
//! This file knows who is connected and hands each message to the concern whose business it is: `run` decides when the
//! run starts and ends, `trigger` counts, `resources` ships files to slaves, `results` keeps what they ship back, and
//! `journal` records and shows all of it.

mod admission;
mod event;
mod journal;
mod launch;
mod messages;
mod rendezvous;
mod report;
mod resources;
mod results;
mod roster;
mod run;
#[cfg(test)]
mod tests;
mod trigger;
mod view;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use self::messages::Heard;
use self::roster::Stage;
use self::run::{Phase, Run};
use self::view::Picture;
use crate::machine::{ConnId, Input, Machine, Outbox, Peer, Time};
use crate::session::{HELLO_WITHIN, SILENT_AFTER};
use crate::spoken;
use crate::testfile::Test;
use crate::wire::{Bye, Frames, FromSlave, LINE_MAX, LINE_MAX_BEFORE_HELLO, Message};

/// How often the controller looks for peers that have gone silent, and for slaves that stay away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the live picture is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How much all peers together may have said of lines that have not ended, before their hello, in bytes.
const STRANGERS_HOLD_MAX: usize = 16 * 1024 * 1024;

/// What a controller is told when it starts. Nothing else of the world reaches it but its inputs.
#[derive(Debug, Clone)]
pub struct Config {
    pub test: Rc<Test>,
    /// The run's id: a name.
    pub run: String,
    /// The run's own directory; `test.json` stands there already.
    pub results: PathBuf,
    /// How long to wait for all slaves to be ready; `None`: for ever.
    pub wait: Option<Duration>,
    /// How long a slave's connection may be gone before the slave is lost.
    pub lost_after: Duration,
    /// The slaves that the controller starts itself, on this machine.
    pub local: Option<Local>,
    /// Where it listens, to be told to people; `None` when nobody needs to know.
    pub listening: Option<String>,
    /// Show the output of the commands.
    pub follow: bool,
    /// The terminal's columns and rows, if standard output is one.
    pub terminal: Option<(u16, u16)>,
    /// Whether a terminal gets colours.
    pub colors: bool,
    /// What to add to a [`Time`] to get microseconds since 1970 in UTC, for people.
    pub wall_offset: i64,
}

/// How to start the slaves of an embedded run.
#[derive(Debug, Clone)]
pub struct Local {
    /// The program.
    pub arete: PathBuf,
    /// Where the controller listens.
    pub address: String,
    /// Each slave works in a subdirectory of its name.
    pub dir: PathBuf,
    /// Leave the slaves' directories where they are.
    pub keep: bool,
}

/// A connection.
#[derive(Debug)]
struct Session {
    peer: Peer,
    /// The slave at the other end, by its place in the test; `None` before its hello.
    slave: Option<usize>,
    frames: Frames,
    /// When it last said something; before its hello: when it connected.
    heard: Time,
}

/// A controller of one run.
pub struct Controller {
    sessions: BTreeMap<ConnId, Session>,
    /// What the strangers among them have said of lines that have not ended, in bytes.
    strangers_hold: usize,
    run: Run,
    listening: Option<String>,
    lost_after: Duration,
    look: Option<Time>,
    draw: Option<Time>,
}

impl Controller {
    pub fn new(config: Config) -> Controller {
        Controller {
            sessions: BTreeMap::new(),
            strangers_hold: 0,
            listening: config.listening.clone(),
            lost_after: config.lost_after,
            run: Run::new(config),
            look: None,
            draw: None,
        }
    }

    fn begin(&mut self, now: Time, out: &mut Outbox) {
        self.look = Some(now + LOOK_EVERY);
        self.draw = self.run.journal.view.is_live().then_some(now);
        if let Some(address) = &self.listening {
            let slaves = self.run.roster.names(|_| true);
            let text = format!("listening on {address}, waiting for {}", spoken::list(&slaves));
            self.run.journal.view.line(&text, out);
        }
        self.run.begin(now, out);
    }

    /// Bytes of a peer: each line that they complete is a message.
    fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if session.slave.is_some() {
            session.heard = now;
        }
        let mut frames = std::mem::take(&mut session.frames);
        if session.slave.is_none() {
            self.strangers_hold -= frames.held();
        }
        let max = if session.slave.is_some() { LINE_MAX } else { LINE_MAX_BEFORE_HELLO };
        let mut heard = Heard::default();
        let whole = frames.feed(bytes, max, |line| match self.line(now, conn, line, &mut heard, out) {
            Ok(()) => true,
            Err(bye) => {
                self.part(now, conn, bye, out);
                false
            }
        });
        self.run.answer(now, conn, heard, out);
        if let Err(bound) = whole {
            self.part(now, conn, refusal(bound.to_string()), out);
        }
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.frames = frames;
        if session.slave.is_none() {
            self.strangers_hold += session.frames.held();
            if self.strangers_hold > STRANGERS_HOLD_MAX {
                self.part(now, conn, refusal("too many strangers say too much at once; try again".to_owned()), out);
            }
        }
    }

    fn line(
        &mut self,
        now: Time,
        conn: ConnId,
        line: &[u8],
        heard: &mut Heard,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let message = FromSlave::decode(line).map_err(|error| refusal(error.to_string()))?;
        let Some(session) = self.sessions.get(&conn) else { return Ok(()) };
        match (session.slave, message) {
            (Some(ix), message) => self.run.message(now, conn, ix, message, heard, out),
            (None, FromSlave::Hello(hello)) => {
                let peer = session.peer;
                let former = self.run.admit(now, conn, peer, &hello, out)?;
                if let Some(former) = former {
                    self.drop_session(former, "replaced by a newer connection", out);
                }
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.slave = self.run.roster.find(&hello.name);
                    session.heard = now;
                }
                Ok(())
            }
            (None, _) => Err(refusal("the first message must be a hello".to_owned())),
        }
    }

    /// Closes a connection, and says why.
    fn part(&mut self, now: Time, conn: ConnId, bye: Bye<'_>, out: &mut Outbox) {
        out.send(conn, bye.encode());
        let slave = self.sessions.get(&conn).and_then(|session| session.slave);
        self.drop_session(conn, &bye.reason, out);
        if let Some(ix) = slave {
            self.run.disconnected(now, conn, ix, &bye.reason, out);
        }
    }

    fn drop_session(&mut self, conn: ConnId, reason: &str, out: &mut Outbox) {
        if self.take_session(conn).is_some() {
            out.close(conn, reason);
        }
    }

    fn take_session(&mut self, conn: ConnId) -> Option<Session> {
        let session = self.sessions.remove(&conn)?;
        if session.slave.is_none() {
            self.strangers_hold -= session.frames.held();
        }
        Some(session)
    }

    fn closed(&mut self, now: Time, conn: ConnId, reason: &str, out: &mut Outbox) {
        if let Some(Session { slave: Some(ix), .. }) = self.take_session(conn) {
            self.run.disconnected(now, conn, ix, reason, out);
        }
    }

    /// Parts from peers that say nothing, and gives up slaves that stay away.
    fn look(&mut self, now: Time, out: &mut Outbox) {
        let silent = |session: &Session| {
            let (bound, what) =
                if session.slave.is_some() { (SILENT_AFTER, "anything") } else { (HELLO_WITHIN, "hello") };
            (now.since(session.heard) >= bound)
                .then(|| format!("it has not said {what} for {}", spoken::duration(bound)))
        };
        let silent: Vec<_> =
            self.sessions.iter().filter_map(|(&conn, session)| silent(session).map(|why| (conn, why))).collect();
        for (conn, why) in silent {
            self.part(now, conn, refusal(why), out);
        }
        if self.run.started().is_some() {
            let away = |ix: &usize| {
                let member = self.run.roster.get(*ix);
                member.stage < Stage::Stopped && member.gone.is_some_and(|gone| now.since(gone) >= self.lost_after)
            };
            for ix in (0..self.run.roster.len()).filter(away).collect::<Vec<_>>() {
                let reason = format!("its connection has been gone for {}", spoken::duration(self.lost_after));
                self.run.lose(now, ix, &reason, out);
            }
        }
    }

    fn deadline(&mut self, now: Time, out: &mut Outbox) {
        while let Some(timer) = self.run.timers.pop_due(now) {
            self.run.deadline(now, timer, out);
        }
        if self.look.is_some_and(|at| at <= now) {
            self.look = Some(now + LOOK_EVERY);
            self.look(now, out);
        }
        if self.draw.is_some_and(|at| at <= now) {
            self.draw = self.run.journal.view.is_live().then_some(now + DRAW_EVERY);
            let picture = self.picture(now);
            self.run.journal.view.draw(&picture, out);
        }
    }

    /// The state of the run in a few lines.
    fn picture(&self, now: Time) -> Picture {
        let run = &self.run;
        let connected = run.roster.connected().count();
        let running: usize = run.roster.iter().map(|member| member.running().count()).sum();
        let state = match (&run.phase, run.started()) {
            (Phase::Gathering, _) => "gathering".to_owned(),
            (_, Some(at)) if at > now => "starting".to_owned(),
            (phase, at) => {
                let elapsed = now.since(at.unwrap_or(now)).as_secs_f64();
                let word = if *phase == Phase::Running { "running" } else { "ending" };
                format!("{word} {elapsed:.1} s")
            }
        };
        let title = format!(
            "{}: {state}, {connected} of {} slaves connected, {running} running",
            run.test.name,
            run.roster.len()
        );
        let triggers = run.triggers.iter().map(|(name, trigger)| {
            let state = match trigger.fired {
                Some(_) => "fired".to_owned(),
                None => format!("{} of {} left", trigger.left(), trigger.initial),
            };
            (name.to_owned(), state)
        });
        let slaves = run.roster.iter().map(|member| {
            let running: Vec<_> = member.running().map(|entry| view::run_name(&entry.entry, entry.nr)).collect();
            let state = match (member.conn, member.stage) {
                (_, Stage::Lost) => "lost".to_owned(),
                (_, Stage::Stopped) => "stopped".to_owned(),
                (None, Stage::Absent) => "not connected".to_owned(),
                (None, _) => "connection gone".to_owned(),
                (Some(_), Stage::Joined) => "getting ready".to_owned(),
                (Some(_), _) if running.is_empty() => "waiting".to_owned(),
                (Some(_), _) => running.join(" "),
            };
            (member.name.clone(), state)
        });
        Picture { title, rows: triggers.chain(slaves).collect() }
    }
}

fn refusal(reason: String) -> Bye<'static> {
    Bye { reason: Cow::from(reason), fatal: false }
}

/// A time as UTC, to the millisecond: `2026-01-31T12:00:00.000Z`.
fn utc(at: Time, wall_offset: i64) -> String {
    let micros = (at.as_micros() as i64).saturating_add(wall_offset);
    let wall = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    format!("{wall:.3}")
}

impl Machine for Controller {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => self.begin(now, out),
            Input::Accepted { conn, peer, .. } => {
                self.sessions.insert(conn, Session { peer, slave: None, frames: Frames::default(), heard: now });
            }
            Input::Received { conn, bytes } => self.received(now, conn, bytes, out),
            Input::Closed { conn, reason } => self.closed(now, conn, &reason, out),
            Input::Deadline => self.deadline(now, out),
            Input::Signal(signal) => self.run.interrupt(now, signal, out),
            Input::Resized { columns, rows } => self.run.journal.view.resize(columns, rows),
            Input::SpawnFailed { child, error } => self.run.child_ended(now, child, Err(error), out),
            Input::Exited { child, exit } => self.run.child_ended(now, child, Ok(exit), out),
            Input::Read { read, result } => {
                if let Err(why) = self.run.resources.read(read, result, out) {
                    self.run.abort(now, why, out);
                }
            }
            Input::WriteFailed { path, error } => self.run.write_failed(now, path, error, out),
            Input::Swept { left } => self.run.swept(now, left, out),
            Input::Connected { .. } | Input::Spawned { .. } | Input::Listed { .. } => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.run.timers.next(), self.look, self.draw].into_iter().flatten().min()
    }
}
