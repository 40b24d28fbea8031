//! The messages of members to their rooms, and what the rooms decide, between the connections and the rooms.

use std::borrow::Cow;
use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::ledger::Fact;
use crate::controller::reply::refusal;
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{Act, ArrivalError, Outcome, Process, need};
use crate::controller::room::room::{Room, Visit};
use crate::controller::session::processes::{CHECK_WITHIN, FORGET_AFTER, Owed, Processes};
use crate::machine::faults::{Fault, injected};
use crate::machine::{Bytes, Outbox, Time};
use crate::session::is_member;
use crate::text;
use crate::timeline::event::{self, Event};
use crate::wire::rendezvous::{Arrive, Check, Give, OutcomeKind, RoundVerdict};
use crate::wire::{Code, FromMember, Message};

/// How many names of members the due timers of rooms may visit in one turn of the loop; the rest follows in the next turn.
/// A round of as many members as can meet takes about 8 ms.
const DUE_IN_A_TURN: usize = 10_000;

/// As how many names it counts to forget a process.
const FORGETTING: usize = 10;

/// Removes duplicates.
fn unique(mut ids: Vec<u64>) -> Vec<u64> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl Controller {
    /// Visits a room. Its decisions are carried out when this input has been handled.
    pub(in crate::controller) fn visit(
        &mut self,
        now: Time,
        name: &Rc<str>,
        what: impl FnOnce(&mut Room, &mut Visit<'_>),
    ) {
        self.rooms.visit(now, (&mut self.runs, &self.processes), name, what);
    }

    /// Handles a message of a member of this room.
    pub(in crate::controller) fn member_says(
        &mut self,
        now: Time,
        process: Process,
        room: &Rc<str>,
        message: FromMember<'_>,
    ) {
        let about = |other: &str| *other == **room;
        match message {
            FromMember::Arrive(arrive) => self.arrives(now, process, room, &arrive),
            FromMember::Give(give) => self.gives(now, process, room, &give),
            FromMember::Gone(gone) if about(&gone.room) => {
                let ids = unique(gone.ids);
                self.visit(now, room, |room, visit| {
                    room.on_heard(process, &ids, visit);
                    room.withdraw(process, &ids, visit);
                });
            }
            FromMember::Heard(heard) if about(&heard.room) => {
                self.visit(now, room, |room, visit| room.on_heard(process, &unique(heard.ids), visit));
            }
            // For another room. Every message is also a sign of life, which is handled elsewhere.
            FromMember::Gone(_) | FromMember::Heard(_) | FromMember::Alive(_) => {}
        }
    }

    fn arrives(&mut self, now: Time, process: Process, room: &Rc<str>, arrive: &Arrive<'_>) {
        let may = self.may(process, room, &arrive.room, &arrive.member);
        self.make_room(now, need(arrive.party.as_ref(), &arrive.member, 0));
        self.visit(now, room, |room, visit| match may {
            Ok(()) => room.arrive(process, arrive, visit),
            Err(error) => room.refuse(process, arrive.id, error, visit),
        });
        self.give_up_on(now, room, (Meeting::Barrier, &arrive.barrier));
    }

    fn gives(&mut self, now: Time, process: Process, room: &Rc<str>, give: &Give<'_>) {
        let may = self.may(process, room, &give.room, &give.member);
        self.make_room(now, need(give.party.as_ref(), &give.member, give.value.json.get().len()));
        self.visit(now, room, |room, visit| match may {
            Ok(()) => room.give(process, give, visit),
            Err(error) => room.refuse(process, give.id, error, visit),
        });
        self.give_up_on(now, room, (Meeting::Sync, &give.session));
    }

    /// Checks whether a process may act as this member in this room.
    pub(in crate::controller) fn may(
        &self,
        process: Process,
        room: &str,
        said: &str,
        member: &str,
    ) -> Result<(), ArrivalError> {
        if said != room {
            return Err(ArrivalError::WrongRoom { room: room.to_owned(), named: said.to_owned() });
        }
        let known = self.processes.get(process).ok_or(ArrivalError::NotJoined)?;
        if !known.identity.speaker.acts_for(member) || !is_member(member) {
            return Err(match known.identity.speaker.name() {
                Some(name) => ArrivalError::OtherMember { process: name.to_owned(), member: member.to_owned() },
                None => ArrivalError::NoMember,
            });
        }
        match self.runs.by_id(room) {
            Some(run) => run.takes_members_of(&known.identity.speaker),
            None if self.is_over(room) => Err(ArrivalError::Over { run: room.to_owned() }),
            None => Ok(()),
        }
    }

    /// A process is alive: tells its room if that waits for a sign of life.
    pub(in crate::controller) fn alive(&mut self, now: Time, process: Process) {
        let Some(name) = self.processes.get(process).map(|known| known.identity.room.clone()) else { return };
        if self.rooms.of(&mut self.runs, &name).is_some_and(|room| room.awaits_sign_of_life(process)) {
            self.visit(now, &name, |room, visit| room.on_sign_of_life(process, visit));
        }
    }

    /// The connection of a process is closed.
    pub(in crate::controller) fn process_gone(&mut self, now: Time, process: Process) {
        let Some(name) = self.processes.get(process).map(|known| known.identity.room.clone()) else { return };
        self.visit(now, &name, |room, visit| room.on_disconnect(process, visit));
    }

    /// Carries out what the rooms have decided.
    pub(in crate::controller) fn settle(&mut self, now: Time, out: &mut Outbox) {
        while let Some((name, acts)) = self.rooms.next_acts() {
            for (kind, acts) in Meeting::BOTH.into_iter().zip(acts) {
                self.act(now, &name, kind, acts, out);
            }
            if self.rooms.settle(&mut self.runs, &name) {
                self.processes.forget_room(&name);
            }
        }
    }

    fn act(&mut self, now: Time, room: &Rc<str>, kind: Meeting, acts: Vec<Act>, out: &mut Outbox) {
        let mut teller = Teller::new(room);
        for act in acts {
            let event = match act {
                Act::Tell { process, ids, outcome } => {
                    teller.tell(process, ids, outcome, &self.processes, out);
                    continue;
                }
                Act::Check(process) => {
                    if let Some(conn) = self.processes.check(now, process) {
                        out.send(conn, Check { lifetime: Default::default() }.encode());
                    }
                    continue;
                }
                Act::Decided { meeting, decision } => {
                    self.write_decision(room, kind, &meeting, &decision);
                    continue;
                }
                Act::Heard { process, ids } => {
                    self.ledger_of(room).write(&Fact::Heard { room: Cow::from(&**room), process: process.0, ids });
                    continue;
                }
                Act::Arrived { ref meeting, ref member } => {
                    self.point_elsewhere(room, kind, meeting, member, out);
                    Event::Arrived { meeting: meeting_of(kind, meeting), member: (&**member).into() }
                }
                Act::Away { ref meeting, ref member } => {
                    Event::Away { meeting: meeting_of(kind, meeting), member: (&**member).into() }
                }
                Act::Lost { ref meeting, ref member } => {
                    Event::MemberLost { meeting: meeting_of(kind, meeting), member: (&**member).into() }
                }
                Act::Met { ref meeting, ref outcome, members } => {
                    let Outcome { round, kind: verdict, who, reason, .. } = &**outcome;
                    let (who, reason) = (who.into(), (&**reason).into());
                    let meeting = meeting_of(kind, meeting);
                    Event::Met { meeting, round: *round, verdict: *verdict, who, reason, members }
                }
            };
            self.record(now, room, &event, out);
        }
        teller.flush(&self.processes, out);
    }

    /// Writes an event to the record of the run, or to the log.
    fn record(&mut self, now: Time, room: &str, event: &Event<'_>, out: &mut Outbox) {
        match self.runs.by_id_mut(room) {
            Some(run) => run.note(now, event, out),
            // The text is made only if it is logged.
            None if log::log_enabled!(log_level(event)) => {
                let text = crate::timeline::view::describe(event).unwrap_or_default();
                log::log!(log_level(event), "room {room}: {text}");
            }
            None => {}
        }
    }

    /// Handles the due timers of the rooms, and disconnects processes that have not answered a check.
    pub(in crate::controller) fn rooms_deadline(&mut self, now: Time, out: &mut Outbox) {
        let mut work = 0;
        while work < DUE_IN_A_TURN
            && let Some(name) = self.rooms.pop_due(now)
        {
            self.visit(now, &name, |room, visit| work += 1 + room.deadline(DUE_IN_A_TURN - work, visit));
        }
        while let Some(conn) = self.processes.pop_unanswered(self.behind.unwrap_or(now)) {
            let why = format!("it has not answered a check for {}", text::duration(CHECK_WITHIN));
            self.part(now, conn, refusal(Code::Silent, why), out);
        }
        while work < DUE_IN_A_TURN
            && let Some((process, name)) = self.processes.pop_forgotten(now).or_else(|| self.pop_crowded())
        {
            work += FORGETTING;
            self.visit(now, &name, |room, _| room.forget(process));
        }
    }

    /// Returns the process to forget first when too many are disconnected: one to which no outcome is owed.
    fn pop_crowded(&mut self) -> Option<(Process, Rc<str>)> {
        let (runs, rooms) = (&mut self.runs, &mut self.rooms);
        let owed = |name: &Rc<str>, process| match rooms.of(runs, name) {
            Some(room) if !injected(Fault::OwedForgottenFirst) => room.owes(process),
            _ => Owed::Nothing,
        };
        self.processes.pop_crowded(owed)
    }

    /// Returns whether a late member would still get an outcome that was decided.
    pub fn keeps_verdicts(&self) -> bool {
        self.rooms.by_name().values().any(Room::keeps_verdicts)
    }

    /// Forgets outcomes that a connected member has not confirmed for too long.
    pub(in crate::controller) fn forget_unheard(&mut self, now: Time) {
        let rooms = self.rooms.all(&self.runs);
        let some_wait = rooms.filter(|room| room.unheard().next().is_some());
        for room in some_wait.map(|room| room.name.clone()).collect::<Vec<_>>() {
            self.visit(now, &room, |room, visit| room.forget_unheard(visit.now, FORGET_AFTER));
        }
    }

    /// Returns whether no arrival waits, and every outcome was received by all that can still receive it.
    pub fn is_quiet(&self) -> bool {
        self.rooms.all(&self.runs).all(Room::is_still) && self.all_have_heard()
    }

    /// Returns whether every outcome was received by all that can still receive it.
    pub fn all_have_heard(&self) -> bool {
        let mut unheard = self.rooms.all(&self.runs).flat_map(Room::unheard);
        unheard.all(|process| self.processes.is_lost(self.now, process))
    }

    /// Returns whether other members wait.
    pub fn others_wait(&self, member: &str) -> bool {
        self.rooms.all(&self.runs).any(|room| room.others_wait(member))
    }
}

fn meeting_of(kind: Meeting, name: &str) -> event::Meeting<'_> {
    match kind {
        Meeting::Barrier => event::Meeting::barrier(name),
        Meeting::Sync => event::Meeting::session(name),
    }
}

/// Returns the level of an event in the log: lost members and failed rounds are shown by default.
fn log_level(event: &Event<'_>) -> log::Level {
    match event {
        Event::Away { .. } | Event::MemberLost { .. } => log::Level::Warn,
        Event::Met { verdict, .. } if *verdict != OutcomeKind::Released => log::Level::Warn,
        _ => log::Level::Info,
    }
}

/// Sends outcomes. A line for many processes is encoded once.
struct Teller<'a> {
    room: &'a str,
    /// The last outcome that was sent, and its line up to the ids.
    shared: Option<(Rc<Outcome>, Vec<u8>)>,
    /// The last line that was sent, and the ids that it has.
    last: Option<(Vec<u64>, Bytes)>,
    /// The messages for one process so far.
    held: Option<(Process, Rc<Outcome>, Vec<u64>)>,
}

impl<'a> Teller<'a> {
    fn new(room: &'a str) -> Teller<'a> {
        Teller { room, shared: None, last: None, held: None }
    }

    fn tell(&mut self, process: Process, ids: Vec<u64>, outcome: Rc<Outcome>, processes: &Processes, out: &mut Outbox) {
        match &mut self.held {
            Some((other, same, held)) if *other == process && Rc::ptr_eq(same, &outcome) => held.extend(ids),
            _ => {
                self.flush(processes, out);
                self.held = Some((process, outcome, ids));
            }
        }
    }

    fn flush(&mut self, processes: &Processes, out: &mut Outbox) {
        let Some((process, outcome, mut ids)) = self.held.take() else { return };
        ids.sort_unstable();
        ids.dedup();
        let Some(conn) = processes.conn(process) else { return };
        if let Some(line) = &outcome.line {
            out.send(conn, line.share());
        }
        out.send(conn, self.line(outcome, ids));
    }

    fn line(&mut self, outcome: Rc<Outcome>, ids: Vec<u64>) -> Bytes {
        if self.shared.as_ref().is_none_or(|(shared, _)| !Rc::ptr_eq(shared, &outcome)) {
            let head = head(self.room, &outcome);
            self.shared = Some((outcome, head));
            self.last = None;
        }
        if let Some((same, line)) = &self.last
            && *same == ids
        {
            return line.clone();
        }
        let mut line = self.shared.as_ref().map(|(_, head)| head.clone()).unwrap_or_default();
        serde_json::to_writer(&mut line, &ids).expect("numbers always encode");
        line.extend_from_slice(b"}\n");
        let line = Bytes::from(line);
        self.last = Some((ids, line.clone()));
        line
    }
}

/// Returns the line of an outcome up to the ids of its arrivals, which are last.
fn head(room: &str, outcome: &Outcome) -> Vec<u8> {
    let mut line = Vec::with_capacity(256);
    let verdict = RoundVerdict {
        room: Cow::from(room),
        round: outcome.round,
        verdict: outcome.kind,
        who: outcome.who.clone(),
        reason: Cow::from(&outcome.reason),
        at: outcome.at,
        ids: Vec::new(),
    };
    verdict.write_to(&mut line);
    debug_assert!(line.ends_with(b"[]}\n"), "the ids come last");
    line.truncate(line.len() - "[]}\n".len());
    line
}
