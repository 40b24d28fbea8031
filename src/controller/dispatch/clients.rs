//! Clients: people and scripts that use a room without being slaves of a run.

use std::borrow::Cow;
use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::ledger::Fact;
use crate::controller::reply::{fatal, leaves, refusal};
use crate::controller::room::guests;
use crate::controller::room::rendezvous::Process;
use crate::controller::room::request_error::RequestError;
use crate::controller::room::rooms::ROOMS_MAX;
use crate::controller::run::admission::welcome;
use crate::controller::run::reports::{Batch, notified};
use crate::controller::run::run::Run;
use crate::controller::session::authorization::{self, Stranger};
use crate::controller::session::processes::Speaker;
use crate::controller::session::session::Role;
use crate::machine::{ConnId, Outbox, Time};
use crate::session::{VERSION, WORDS_MAX, check_incarnation, check_name, is_member};
use crate::wire::room::{Create, Created, Delete, Join, Listing, TriggerState};
use crate::wire::{Bye, Code, FromClient, Message, Noted, Notify, PROTOCOL, Pong, RawJson, Refused, ToController};

impl Controller {
    /// Handles a client that joins a room. The room is created if it does not exist.
    pub(in crate::controller) fn join(
        &mut self,
        now: Time,
        conn: ConnId,
        join: &Join<'_>,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        check(join)?;
        if let Some(session) = self.sessions.get(conn) {
            let secret = self.runs.values().find_map(Run::secret);
            authorization::may_join(&session.peer, secret, join).map_err(stranger)?;
            if let Some(run) = self.runs.by_id(&join.room) {
                let entered = guests::may_enter(run, &session.peer, join, self.is_operator(session));
                entered.map_err(stranger)?;
            }
        }
        let speaker = Speaker::Client(join.member.as_deref().map(Rc::from));
        let room = self.enter_room(&join.room)?;
        let known = self.processes.find(&room, &speaker, &join.incarnation).is_some();
        let ledger = self.ledger_of(&room);
        // A ledger of rooms alone is rewritten when it is long, so it needs no limit.
        let shares = |run: &&Run| !known && run.ledger.is(&ledger);
        if let Some(run) = self.runs.values().find(shares) {
            let full = |used| refusal(Code::Full, format!("{used}; no more clients may join"));
            run.takes_clients().map_err(full)?;
        }
        let (process, replaced) = self.processes.connected(now, conn, &room, speaker, &join.incarnation, self.rejoin);
        if !known {
            let (room, member, incarnation) = (Cow::from(&*room), join.member.clone(), join.incarnation.clone());
            ledger.write(&Fact::Process { room, process: process.0, slave: None, member, incarnation });
        }
        if let Some(replaced) = replaced {
            self.drop_session(replaced, "replaced by a newer connection", out);
        }
        self.sessions.identify(now, conn, Role::Client(process));
        out.send(conn, welcome(None, 0).encode());
        log::info!("room {room}: {} joined", join.member.as_deref().unwrap_or("a client without a name"));
        self.visit(now, &room, |room, _| {
            room.clients.insert(process);
        });
        self.alive(now, process);
        Ok(())
    }

    /// A client of a run is lost: the run may have waited only for its notify.
    pub(in crate::controller) fn may_have_been_the_last(&mut self, now: Time, process: Process, out: &mut Outbox) {
        let room = self.processes.get(process).map(|known| known.identity.room.clone());
        if let Some(run) = room.and_then(|room| self.runs.by_id_mut(&room)) {
            run.end_if_done(now, out);
        }
    }

    fn enter_room(&mut self, name: &str) -> Result<Rc<str>, Bye<'static>> {
        if let Some(room) = self.rooms.of(&mut self.runs, name) {
            return Ok(room.name.clone());
        }
        let full = || format!("the maximum of {ROOMS_MAX} rooms is reached");
        self.rooms.open(name, self.limits, &self.budget).ok_or_else(|| refusal(Code::Full, full()))
    }

    /// Handles a message of a client. An error closes its connection.
    pub(in crate::controller) fn client_says(
        &mut self,
        now: Time,
        conn: ConnId,
        process: Process,
        message: ToController<'_>,
        heard: &mut Batch,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let Some(name) = self.processes.get(process).map(|known| known.identity.room.clone()) else { return Ok(()) };
        match message {
            ToController::Ping(ping) => {
                out.send(conn, Pong { time: ping.time, now, lifetime: Default::default() }.encode());
            }
            ToController::Member(message) => self.member_says(now, process, &name, message),
            ToController::Notify(notify) => {
                let done = match *notify.room == *name {
                    true => self.client_notifies(now, conn, process, &notify, out),
                    false => Err(not_here(&name, &notify.room)),
                };
                if let Err(error) = done {
                    refuse(conn, (&notify.room, &notify.trigger), &error, out);
                }
            }
            ToController::Client(message) => self.triggers_of_room(now, (conn, process), &name, message, heard, out),
            ToController::Bye(bye) => {
                self.processes.on_goodbye(process);
                return Err(leaves(&bye));
            }
            ToController::Hello(_) | ToController::Join(_) => {
                return Err(refusal(Code::Malformed, "a second hello or join on one connection".to_owned()));
            }
            ToController::Operate(_) | ToController::Slave(_) | ToController::Operator(_) => {
                return Err(refusal(Code::Malformed, "a client does not send this message".to_owned()));
            }
        }
        Ok(())
    }

    /// Returns whether a room has the name of a run that is over.
    pub(in crate::controller) fn is_over(&self, room: &str) -> bool {
        self.host.as_ref().is_some_and(|host| host.archive.get(room).is_some())
    }

    /// Fails if a room has the name of a run that is over.
    fn is_not_over(&self, room: &str) -> Result<(), RequestError> {
        if self.is_over(room) { Err(RequestError::Over { run: room.to_owned() }) } else { Ok(()) }
    }

    /// Handles a client that watches, creates, deletes or lists triggers of its room.
    fn triggers_of_room(
        &mut self,
        now: Time,
        (conn, process): (ConnId, Process),
        name: &Rc<str>,
        message: FromClient<'_>,
        heard: &mut Batch,
        out: &mut Outbox,
    ) {
        let (room, trigger) = match &message {
            FromClient::Watch(watch) => (&watch.room, &*watch.trigger),
            FromClient::Create(create) => (&create.room, &*create.trigger),
            FromClient::Delete(delete) => (&delete.room, &*delete.trigger),
            FromClient::List(list) => (&list.room, ""),
        };
        if **room != **name {
            if !matches!(message, FromClient::List(_)) {
                refuse(conn, (room, trigger), &not_here(name, room), out);
            }
            return;
        }
        if let Err(error) = self.is_not_over(name)
            && !matches!(message, FromClient::List(_))
        {
            return refuse(conn, (room, trigger), &error, out);
        }
        match message {
            FromClient::Watch(watch) => self.watch(conn, process, name, &watch.trigger, out),
            FromClient::Create(create) => self.create(now, (conn, process), name, &create, out),
            FromClient::Delete(delete) => self.delete(now, conn, name, &delete, out),
            // One list answers all requests that were made before it was sent.
            FromClient::List(_) if heard.listed => {}
            FromClient::List(_) => {
                heard.listed = true;
                self.list(conn, name, out);
            }
        }
    }

    fn client_notifies(
        &mut self,
        now: Time,
        conn: ConnId,
        process: Process,
        notify: &Notify<'_>,
        out: &mut Outbox,
    ) -> Result<(), RequestError> {
        let known = self.processes.get(process).ok_or(RequestError::NotJoined)?;
        let (name, from) = (known.identity.room.clone(), known.identity.speaker.name());
        self.is_not_over(&name)?;
        let counts = (&*notify.trigger, notify.count);
        let data = notify.data.map(|RawJson { json }| json);
        if let (Some(run), Some(session)) = (self.runs.by_id(&name), self.sessions.get(conn)) {
            guests::may_notify(run, &session.peer, from, self.is_operator(session))?;
        }
        let from = from.unwrap_or_default();
        let counted = match self.runs.by_id_mut(&name) {
            Some(run) => {
                run.room.triggers.admits(process.as_client(), &notify.trigger)?;
                run.client_notifies(now, process, from, counts, data, out)?
            }
            None => {
                let room = self.rooms.named_mut(&name).ok_or(RequestError::NotJoined)?;
                room.triggers.admits(process.as_client(), &notify.trigger)?;
                let counted = room.notify(now, process.as_client(), from, counts, data)?;
                if counted.new > 0 {
                    let notes = data.filter(|_| !counted.late).into_iter().collect();
                    self.keeper.ledger().write(&notified(&name, process, from, counts, notes));
                }
                counted
            }
        };
        if counted.fires {
            log::info!("room {name}: {} fired", notify.trigger);
            self.tell_watchers(&name, &notify.trigger, out);
        }
        let noted = Noted {
            room: notify.room.clone(),
            trigger: notify.trigger.clone(),
            count: notify.count,
            left: counted.left,
            in_time: counted.in_time,
        };
        out.send(conn, noted.encode());
        Ok(())
    }

    /// Tells the clients that watch a trigger that it has fired.
    pub(in crate::controller) fn tell_watchers(&mut self, room: &str, trigger: &str, out: &mut Outbox) {
        let Some(room) = self.rooms.of(&mut self.runs, room) else { return };
        let watchers = room.take_watchers(trigger);
        if watchers.is_empty() {
            return;
        }
        let line = room.triggered(trigger);
        for conn in watchers.into_iter().filter_map(|process| self.processes.conn(process)) {
            out.send(conn, line.clone());
        }
    }

    fn watch(&mut self, conn: ConnId, process: Process, name: &str, trigger: &str, out: &mut Outbox) {
        let Some(room) = self.rooms.of(&mut self.runs, name) else { return };
        match room.watch(process, trigger) {
            Ok(true) => out.send(conn, room.triggered(trigger)),
            Ok(false) => {}
            Err(error) => refuse(conn, (name, trigger), &error, out),
        }
    }

    fn create(
        &mut self,
        now: Time,
        (conn, process): (ConnId, Process),
        name: &Rc<str>,
        create: &Create<'_>,
        out: &mut Outbox,
    ) {
        let mut done = Ok(());
        self.visit(now, name, |room, _| {
            done = match room.is_run() {
                true => Err(RequestError::OfTest { run: room.name.to_string() }),
                false => check_name("a trigger", &create.trigger).map_err(RequestError::Name).and_then(|()| {
                    Ok(room.triggers.create(Some(process.as_client()), &create.trigger, create.count)?)
                }),
            };
        });
        if done.is_ok() {
            let (room, trigger) = (Cow::from(&**name), Cow::from(&*create.trigger));
            self.keeper.ledger().write(&Fact::Created { room, trigger, count: create.count });
        }
        answer(conn, name, &create.trigger, done, out);
    }

    fn delete(&mut self, now: Time, conn: ConnId, name: &Rc<str>, delete: &Delete<'_>, out: &mut Outbox) {
        let trigger = &*delete.trigger;
        let (mut done, mut watchers) = (Ok(()), Vec::new());
        self.visit(now, name, |room, _| {
            if room.is_run() {
                done = Err(RequestError::OfTest { run: room.name.to_string() });
            } else if room.triggers.delete(trigger) {
                watchers = room.take_watchers(trigger);
            } else {
                done = Err(RequestError::Gone { trigger: trigger.to_owned(), room: room.name.to_string() });
            }
        });
        if done.is_ok() {
            let (room, trigger) = (Cow::from(&**name), Cow::from(trigger));
            self.keeper.ledger().write(&Fact::Deleted { room, trigger });
        }
        for conn in watchers.into_iter().filter_map(|process| self.processes.conn(process)) {
            refuse(conn, (name, trigger), &RequestError::Deleted { trigger: trigger.to_owned() }, out);
        }
        answer(conn, name, trigger, done, out);
    }

    fn list(&mut self, conn: ConnId, name: &str, out: &mut Outbox) {
        let Some(room) = self.rooms.of(&mut self.runs, name) else { return };
        let state = |(name, trigger): (&str, &crate::controller::room::trigger::Trigger)| TriggerState {
            trigger: name.to_owned(),
            initial: trigger.initial,
            left: trigger.left(),
            fired: trigger.fired.is_some(),
        };
        let triggers = room.triggers.iter().map(state).collect();
        out.send(conn, Listing { room: Cow::from(name), triggers }.encode());
    }
}

/// Checks whether a client may join.
fn check(join: &Join<'_>) -> Result<(), Bye<'static>> {
    if join.protocol != PROTOCOL {
        let text = format!(
            "the client is {:?} and speaks protocol {}; this controller is {VERSION} and speaks protocol {PROTOCOL}: \
             install the same version on both",
            join.version, join.protocol
        );
        return Err(fatal(Code::Protocol, text));
    }
    check_incarnation("an incarnation", &join.incarnation).map_err(|why| fatal(Code::Name, why.to_string()))?;
    check_name("a room", &join.room).map_err(|why| fatal(Code::Name, why.to_string()))?;
    match &join.member {
        Some(member) if !is_member(member) => Err(fatal(
            Code::Name,
            format!("{member:?} cannot be a member: it is HOST or HOST#TAG, of at most {WORDS_MAX} bytes each"),
        )),
        _ => Ok(()),
    }
}

fn stranger(stranger: Stranger) -> Bye<'static> {
    fatal(Code::Stranger, stranger.to_string())
}

fn not_here(room: &str, named: &str) -> RequestError {
    RequestError::WrongRoom { room: room.to_owned(), named: named.to_owned() }
}

fn refuse(conn: ConnId, (room, trigger): (&str, &str), error: &RequestError, out: &mut Outbox) {
    let (code, reason) = (error.code(), Cow::from(error.to_string()));
    out.send(conn, Refused { room: Cow::from(room), trigger: Cow::from(trigger), code, reason }.encode());
}

fn answer(conn: ConnId, room: &str, trigger: &str, done: Result<(), RequestError>, out: &mut Outbox) {
    match done {
        Ok(()) => out.send(conn, Created { room: Cow::from(room), trigger: Cow::from(trigger) }.encode()),
        Err(error) => refuse(conn, (room, trigger), &error, out),
    }
}
