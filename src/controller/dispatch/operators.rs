//! Operators: people and scripts that hand in tests, and look after the runs and slaves of a permanent controller.

use crate::controller::Controller;
use crate::controller::host::host::Host;
use crate::controller::host::operators::{Operator, page};
use crate::controller::host::slave::HostSlave;
use crate::controller::reply::{deny, fatal, leaves, refusal};
use crate::controller::run::admission::welcome;
use crate::controller::run::runs::RunNr;
use crate::controller::session::authorization::{self, Stranger};
use crate::controller::session::session::{Role, Session};
use crate::machine::{ConnId, ListenerId, Outbox, Peer, Time};
use crate::session::VERSION;
use crate::text;
use crate::wire::operate::{AskRuns, AskSlaves, Cancel, Look, Operate, RunState, Runs, Seen, SlaveState, Slaves};
use crate::wire::{Bye, Code, FromOperator, Message, PROTOCOL, Pong, ToController};

/// What an operator may request in one batch of input, measured in looks at one run.
const ASKED_AT_ONCE: usize = 64;

/// The cost of a list, which is long, and of a test, for which all machines are checked, measured in looks.
const A_LONG_QUESTION: usize = 16;

/// How many runs are listed when a name is ambiguous.
const RUNS_NAMED: usize = 10;

/// Why a name selects no run.
struct Unknown {
    code: Code,
    reason: String,
}

impl Unknown {
    fn none(name: &str) -> Unknown {
        let reason = format!("no such run: {name:?}: \"arete runs\" lists them");
        Unknown { code: Code::NoSuchRun, reason }
    }
}

/// A run that an operator has named.
enum Named {
    Going(RunNr),
    Over(RunState),
}

impl Controller {
    /// Handles a stranger that wants to operate this controller.
    pub(in crate::controller) fn operates(
        &mut self,
        now: Time,
        conn: ConnId,
        operate: &Operate<'_>,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let Some(session) = self.sessions.get(conn) else { return Ok(()) };
        let Some(host) = &mut self.host else {
            return Err(fatal(
                Code::NoTests,
                "this controller takes no tests: \"arete controller --state-dir DIR\" is one that does".to_owned(),
            ));
        };
        if operate.protocol != PROTOCOL {
            let text = format!(
                "the operator is {:?} and speaks protocol {}; this controller is {VERSION} and speaks protocol \
                 {PROTOCOL}: install the same version on both",
                operate.version, operate.protocol
            );
            return Err(fatal(Code::Protocol, text));
        }
        may_operate(host, &session.peer, session.listener).map_err(|why| fatal(Code::Stranger, why.to_string()))?;
        self.sessions.identify(now, conn, Role::Operator);
        host.operators.insert(conn, Operator::default());
        out.send(conn, welcome(None, 0).encode());
        Ok(())
    }

    /// The list of operators has changed: disconnects those that are no longer on it.
    pub(in crate::controller) fn part_with_operators(&mut self, now: Time, out: &mut Outbox) {
        let Some(host) = &self.host else { return };
        let may_not = |conn: &ConnId| {
            let session = self.sessions.get(*conn)?;
            may_operate(host, &session.peer, session.listener).err().map(|why| (*conn, why.to_string()))
        };
        for (conn, why) in host.operators.keys().filter_map(may_not).collect::<Vec<_>>() {
            log::info!("an operator was disconnected: {why}");
            self.part(now, conn, fatal(Code::Stranger, why), out);
        }
    }

    /// Handles a message of an operator. `asked` is the cost of its requests in this batch so far. An error closes its
    /// connection.
    pub(in crate::controller) fn operator_says(
        &mut self,
        now: Time,
        conn: ConnId,
        message: ToController<'_>,
        asked: &mut usize,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let message = match message {
            ToController::Operator(message) => message,
            ToController::Ping(ping) => {
                out.send(conn, Pong { time: ping.time, now, lifetime: Default::default() }.encode());
                return Ok(());
            }
            ToController::Bye(bye) => return Err(leaves(&bye)),
            _ => return Err(refusal(Code::Malformed, "an operator does not send this message".to_owned())),
        };
        *asked += match message {
            FromOperator::AskSlaves(_)
            | FromOperator::AskRuns(_)
            | FromOperator::AskFiles(_)
            | FromOperator::Submit(_) => A_LONG_QUESTION,
            FromOperator::Look(_) | FromOperator::Cancel(_) => 1,
            FromOperator::Upload(_) | FromOperator::Get(_) => 0,
        };
        if *asked > ASKED_AT_ONCE {
            return Err(refusal(Code::Full, "too many requests at once; wait for the answers".to_owned()));
        }
        match message {
            FromOperator::Submit(submit) => self.submit(now, conn, &submit, out),
            FromOperator::Upload(upload) => self.upload(now, conn, &upload, out),
            FromOperator::Look(look) => self.see(now, conn, &look, out),
            FromOperator::Cancel(cancel) => self.cancel(now, conn, &cancel, out),
            FromOperator::AskSlaves(ask) => self.slaves_after(now, conn, &ask, out),
            FromOperator::AskRuns(ask) => self.runs_after(now, conn, &ask, out),
            FromOperator::AskFiles(ask) => self.ask_files(conn, &ask, out),
            FromOperator::Get(get) => self.get(conn, &get, out),
        }
        Ok(())
    }

    /// Returns the run with this id, or with an id that begins so: the only unfinished one, or else the last finished one.
    /// To `end` a run, a finished one is selected only if no other id begins so.
    fn named(&self, name: &str, end: bool) -> Result<Named, Unknown> {
        let Some(host) = &self.host else { return Err(Unknown::none(name)) };
        if let Some(nr) = self.runs.find(name) {
            return Ok(Named::Going(nr));
        }
        if let Some(state) = host.archive.get(name) {
            return Ok(Named::Over(state.clone()));
        }
        if name.is_empty() {
            return Err(Unknown::none(name));
        }
        let going: Vec<_> = self.runs.iter().filter(|(_, run)| run.id.starts_with(name)).collect();
        let over: Vec<_> = host.archive.latest_first().filter(|state| state.run.starts_with(name)).take(2).collect();
        match (&going[..], &over[..]) {
            ([(nr, _)], _) => Ok(Named::Going(*nr)),
            ([_, _, ..], _) => {
                let ids: Vec<&str> = going.iter().take(RUNS_NAMED).map(|(_, run)| &*run.id).collect();
                let more = going.len() - ids.len();
                let ids = text::list(&ids) + &if more > 0 { format!(" and {more} more") } else { String::new() };
                Err(Unknown {
                    code: Code::Ambiguous,
                    reason: format!("several unfinished runs begin with {name:?}: {ids}"),
                })
            }
            ([], [last, _, ..]) if end => {
                let last = &last.run;
                let reason =
                    format!("no unfinished run begins with {name:?}, and several finished ones do: the last is {last}");
                Err(Unknown { code: Code::NoSuchRun, reason })
            }
            ([], [last, ..]) => Ok(Named::Over((*last).clone())),
            ([], []) => Err(Unknown::none(name)),
        }
    }

    fn see(&mut self, now: Time, conn: ConnId, look: &Look<'_>, out: &mut Outbox) {
        let run = &*look.run;
        let state = match self.named(run, look.end) {
            Ok(Named::Going(nr)) => self.state_of(now, nr),
            Ok(Named::Over(state)) => {
                self.touch(&state.run);
                Some(state)
            }
            Err(Unknown { code, reason }) => return deny(conn, Some(run), code, reason, out),
        };
        if let Some(run) = state {
            out.send(conn, Seen { submission: None, run }.encode());
        }
    }

    fn cancel(&mut self, now: Time, conn: ConnId, cancel: &Cancel<'_>, out: &mut Outbox) {
        match self.named(&cancel.run, true) {
            Ok(Named::Going(nr)) => {
                if let Some(run) = self.runs.get_mut(nr) {
                    run.cancel(now, cancel.now, out);
                }
                self.look_at_queue(now);
            }
            Ok(Named::Over(_)) => {}
            Err(Unknown { code, reason }) => return deny(conn, Some(&cancel.run), code, reason, out),
        }
        self.see(now, conn, &Look { run: cancel.run.clone(), end: true }, out);
    }

    fn slaves_after(&mut self, now: Time, conn: ConnId, ask: &AskSlaves<'_>, out: &mut Outbox) {
        let Some(host) = &self.host else { return };
        let after = (std::ops::Bound::Excluded(&*ask.after), std::ops::Bound::Unbounded);
        let states = host.slaves.range::<str, _>(after).map(|(name, slave)| self.slave_state(now, name, slave));
        let (slaves, more) = page(states);
        out.send(conn, Slaves { slaves, more, lifetime: Default::default() }.encode());
    }

    fn slave_state(&self, now: Time, name: &str, slave: &HostSlave) -> SlaveState {
        let run = slave.needed_by(&self.runs);
        let serves_as = run.zip(slave.serves).map(|(run, (_, ix))| run.roster.get(ix).name.clone());
        let wall_offset = self.keeper.wall_offset(self.host.as_ref().map_or(0, |host| host.config.wall_offset));
        let ahead = slave.measured.zip(slave.utc).map(|(measured, utc)| (measured.ahead, utc));
        SlaveState {
            slave: name.to_owned(),
            address: slave.address.clone(),
            version: slave.version.clone(),
            connected: slave.conn.map(|_| now.since(slave.since).as_secs_f64()),
            offset: ahead.map(|(ahead, utc)| ahead.saturating_add(utc).saturating_sub(wall_offset)),
            round_trip: slave.measured.map(|measured| measured.round_trip),
            labels: slave.labels.clone(),
            run: run.map(|run| run.id.clone()),
            serves_as: serves_as.filter(|serves_as| serves_as != name),
        }
    }

    fn runs_after(&mut self, now: Time, conn: ConnId, ask: &AskRuns<'_>, out: &mut Outbox) {
        let Some(host) = &self.host else { return };
        let going = self.runs.iter().map(|(nr, run)| (&*run.id, Ok(nr)));
        let over = host.archive.latest_first().filter(|_| ask.over).map(|state| (&*state.run, Err(state)));
        let mut all = going.chain(over);
        if !ask.after.is_empty() {
            // A run that no longer exists was over: the answer begins at the first finished run, so that none is left out.
            let known = self.runs.find(&ask.after).is_some() || (ask.over && host.archive.get(&ask.after).is_some());
            while known && all.next().is_some_and(|(id, _)| *id != *ask.after) {}
        }
        let state = |which: Result<RunNr, &RunState>| match which {
            Ok(nr) => self.state_of(now, nr),
            Err(state) => Some(state.clone()),
        };
        let (runs, more) = page(all.filter_map(|(_, which)| state(which)));
        out.send(conn, Runs { runs, more, lifetime: Default::default() }.encode());
    }

    pub(in crate::controller) fn state_of(&self, now: Time, nr: RunNr) -> Option<RunState> {
        self.runs.get(nr).map(|run| run.state(now, self.host.as_ref().map_or("", |host| host.waits_for(nr))))
    }
}

impl Controller {
    /// Returns whether a connection may operate this controller.
    pub(in crate::controller) fn is_operator(&self, session: &Session) -> bool {
        let is_proven = !matches!(session.peer, Peer::Inet(_));
        let may = |host: &Host| may_operate(host, &session.peer, session.listener).is_ok();
        is_proven && self.host.as_ref().is_some_and(may)
    }
}

/// Checks whether a peer may operate a controller. Without TLS and without a list, every peer may.
fn may_operate(host: &Host, peer: &Peer, listener: ListenerId) -> Result<(), Stranger> {
    match peer {
        Peer::Local { .. } if host.config.sockets.contains(&listener) => Ok(()),
        Peer::Local { uid, .. } => Err(Stranger::User { uid: *uid }),
        Peer::Inet(_) => Ok(()),
        Peer::Proven(proven) if proven.names.iter().any(|name| host.config.operators.contains(&**name)) => Ok(()),
        Peer::Proven(proven) => Err(Stranger::Operator { names: authorization::names_in_words(&proven.names) }),
    }
}
