//! Rewrites the ledger of rooms without what is over and forgotten.
//!
//! The rewrite is done in pieces, one per turn, into a file next to the ledger, so that no turn is long and no copy of
//! the whole state is held. Meanwhile new facts are written to both files. In the new file a fact follows the pieces
//! that exist by then; its subject may be part of a later piece, which then has the state after that fact. Therefore
//! facts of rounds are valid in any order, and facts of a trigger are left out until the trigger is written. At the end
//! the new file replaces the ledger in one step. What must never happen: a moment at which neither file is complete.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::controller::ledger::fact::{Fact, Header, NEW, encode, encode_header, encode_raw, item};
use crate::controller::ledger::rounds::{by_process, map_of, round_fact};
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::{Arrival, PastRound, Process};
use crate::controller::room::room::Room;
use crate::controller::session::processes::{Identity, Processes};
use crate::machine::{Outbox, Time};

/// How much is written per turn, in bytes; a single entry may be longer.
pub const PIECE: u64 = 256 * 1024;

/// How many entries are visited per turn, even if little of them is written.
const VISITED_MAX: usize = 5_000;

/// The longest encoding of an arrival, in bytes.
const ARRIVAL: usize = 64;

/// The pause between two pieces, in which the loop does its other work.
const PAUSE: Duration = Duration::from_millis(1);

/// The position in the state: everything before it is written.
#[derive(Debug, Clone)]
enum Position {
    Processes(Option<Process>),
    Room(Rc<str>, Section),
    All,
}

/// The position within a room, in this order.
#[derive(Debug, Clone)]
enum Section {
    Triggers(Option<String>),
    /// The failed rounds of barriers or of syncs.
    FailedRound(Meeting, Option<Rc<str>>),
    /// The unconfirmed outcomes.
    Unheard(Meeting, Option<Arrival>),
}

/// A rewrite in progress.
#[derive(Debug)]
pub struct Rewrite {
    path: PathBuf,
    now: Time,
    due: Time,
    /// The bytes to append at the end of this turn.
    bytes: Vec<u8>,
    length: u64,
    piece: usize,
    visited: usize,
    position: Position,
    /// The outcomes of this room that are written, by kind, number and reason.
    outcomes: BTreeSet<(Meeting, u64, String)>,
}

impl Rewrite {
    /// Starts a rewrite with these facts.
    pub fn begin(
        ledger: &Path,
        header: &Header,
        now: Time,
        piece: u64,
        facts: &[Fact<'_>],
        out: &mut Outbox,
    ) -> Rewrite {
        let mut bytes = Vec::new();
        encode_header(&mut bytes, header);
        facts.iter().for_each(|fact| item(&mut bytes, now, |line| encode(line, fact)));
        bytes.extend_from_slice(b"]]\n");
        let (path, length) = (ledger.with_file_name(NEW), bytes.len() as u64);
        out.persist(path.clone(), bytes);
        Rewrite {
            path,
            now,
            due: now,
            bytes: Vec::new(),
            length,
            piece: usize::try_from(piece).unwrap_or(usize::MAX),
            visited: 0,
            position: Position::Processes(None),
            outcomes: BTreeSet::new(),
        }
    }

    pub fn due(&self) -> Time {
        self.due
    }

    pub fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Returns whether a new fact belongs into the new file: its subject is written, or it depends on none.
    pub fn accepts(&self, fact: &Fact<'_>) -> bool {
        let (Fact::Created { room, trigger, .. }
        | Fact::Deleted { room, trigger }
        | Fact::Notified { room, trigger, .. }) = fact
        else {
            return true;
        };
        match &self.position {
            Position::Processes(_) => false,
            Position::Room(at, Section::Triggers(last)) if **at == **room => {
                last.as_deref().is_some_and(|last| &**trigger <= last)
            }
            Position::Room(at, _) => **room <= **at,
            Position::All => true,
        }
    }

    /// Adds a new fact, encoded.
    pub fn add(&mut self, now: Time, fact: &[u8]) {
        item(&mut self.bytes, now, |line| line.extend_from_slice(fact));
    }

    /// Returns the path and the length of the new file, in bytes.
    pub fn finish(self) -> (PathBuf, u64) {
        (self.path, self.length)
    }

    /// Appends new facts and, if due, the next piece of the state. Returns whether everything is written.
    pub fn write_more(
        &mut self,
        now: Time,
        processes: &Processes,
        rooms: &BTreeMap<Rc<str>, Room>,
        out: &mut Outbox,
    ) -> bool {
        self.end_line();
        if self.due <= now {
            (self.now, self.due, self.visited) = (now, now + PAUSE, 0);
            let before = self.bytes.len();
            loop {
                self.position = self.next(processes, rooms);
                let full = self.bytes.len() - before >= self.piece || self.visited >= VISITED_MAX;
                if full || matches!(self.position, Position::All) {
                    break;
                }
            }
            if matches!(self.position, Position::All) {
                self.write_fact(&Fact::Rewritten);
            }
            self.end_line();
        }
        if !self.bytes.is_empty() {
            self.length += self.bytes.len() as u64;
            out.append(self.path.clone(), std::mem::take(&mut self.bytes));
        }
        matches!(self.position, Position::All)
    }

    fn end_line(&mut self) {
        if !self.bytes.is_empty() && !self.bytes.ends_with(b"\n") {
            self.bytes.extend_from_slice(b"]]\n");
        }
    }

    fn write_fact(&mut self, fact: &Fact<'_>) {
        item(&mut self.bytes, self.now, |line| encode(line, fact));
    }

    /// Writes the entry at the position. Returns the next position.
    fn next(&mut self, processes: &Processes, rooms: &BTreeMap<Rc<str>, Room>) -> Position {
        self.visited += 1;
        match self.position.clone() {
            Position::Processes(last) => match processes.after(last) {
                Some((process, known)) => {
                    let Identity { room, speaker, incarnation } = &*known.identity;
                    let (room, incarnation) = (Cow::from(&**room), Cow::from(&**incarnation));
                    let member = speaker.name().map(Cow::from);
                    self.write_fact(&Fact::Process { room, process: process.0, slave: None, member, incarnation });
                    Position::Processes(Some(process))
                }
                None => rooms.keys().next().map_or(Position::All, beginning_of),
            },
            Position::Room(name, part) => match rooms.get(&name).and_then(|room| self.next_of(room, part)) {
                Some(part) => Position::Room(name, part),
                None => {
                    self.outcomes.clear();
                    let after = (std::ops::Bound::Excluded(&*name), std::ops::Bound::Unbounded);
                    rooms.range::<str, _>(after).next().map_or(Position::All, |(name, _)| beginning_of(name))
                }
            },
            Position::All => Position::All,
        }
    }

    fn next_of(&mut self, room: &Room, part: Section) -> Option<Section> {
        match part {
            Section::Triggers(last) => Some(match room.triggers.after(last.as_deref()) {
                Some((name, trigger)) => {
                    self.write_fact(&Fact::Trigger {
                        room: Cow::from(&*room.name),
                        trigger: Cow::from(name),
                        initial: trigger.initial,
                        notified: trigger.notified,
                        fired: trigger.fired,
                        totals: trigger.totals().collect(),
                        notes: trigger.noted().map(|(from, note)| (Cow::from(from), note)).collect(),
                    });
                    Section::Triggers(Some(name.to_owned()))
                }
                None => Section::FailedRound(Meeting::Barrier, None),
            }),
            Section::FailedRound(kind, last) => Some(match room.meetings(kind).meeting_after(last.as_deref()) {
                Some((name, past)) => {
                    if let Some(past) = past {
                        self.round(&room.name, kind, &name, &past);
                    }
                    Section::FailedRound(kind, Some(name))
                }
                None if kind == Meeting::Barrier => Section::FailedRound(Meeting::Sync, None),
                None => Section::Unheard(Meeting::Barrier, None),
            }),
            Section::Unheard(kind, last) => match self.unheard(room, kind, last) {
                Some(last) => Some(Section::Unheard(kind, Some(last))),
                None => (kind == Meeting::Barrier).then_some(Section::Unheard(Meeting::Sync, None)),
            },
        }
    }

    /// Writes some unconfirmed outcomes. Returns the last arrival; `None` if none is left.
    fn unheard(&mut self, room: &Room, kind: Meeting, last: Option<Arrival>) -> Option<Arrival> {
        let mut at = None;
        let mut by_outcome: BTreeMap<(u64, &str), PastRound> = BTreeMap::new();
        let mut bytes = 0;
        for (arrival, outcome) in room.meetings(kind).arrivals_after(last) {
            at = Some(arrival);
            self.visited += 1;
            if let Some(outcome) = outcome.filter(|outcome| outcome.round > 0) {
                let known = by_outcome.entry((outcome.round, &outcome.reason)).or_insert_with(|| {
                    bytes += outcome.line.as_ref().map_or(0, |line| line.len());
                    PastRound { outcome: outcome.clone(), arrivals: Vec::new(), audience: None }
                });
                known.arrivals.push(arrival);
                bytes += ARRIVAL;
            }
            if self.visited >= VISITED_MAX || bytes >= self.piece {
                break;
            }
        }
        for ((round, reason), past) in by_outcome {
            if self.outcomes.insert((kind, round, reason.to_owned())) {
                self.round(&room.name, kind, "", &past);
            } else {
                let arrivals = by_process(&past.arrivals);
                let (room, reason) = (Cow::from(&*room.name), Cow::from(reason));
                self.write_fact(&Fact::Unheard { room, kind, round, reason, arrivals });
            }
        }
        at
    }

    fn round(&mut self, room: &str, kind: Meeting, meeting: &str, past: &PastRound) {
        if let Some(map) = map_of(past) {
            item(&mut self.bytes, self.now, |line| encode_raw(line, "map", map));
        }
        self.write_fact(&round_fact(room, kind, meeting, past));
    }
}

fn beginning_of(room: &Rc<str>) -> Position {
    Position::Room(room.clone(), Section::Triggers(None))
}
