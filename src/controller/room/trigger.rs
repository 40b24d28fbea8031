//! Triggers: named counters. Each notify takes one off; at zero the trigger fires, once.
//!
//! Slaves state totals ("I have notified this three times"), so that a statement can be repeated on any connection and
//! still counts once. The count is the sum of the greatest totals that all incarnations have stated.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::controller::session::budget::{Asker, Budget, Held, Shortage, TriggerCharge};
use crate::machine::faults::{Fault, injected};
use crate::machine::{Bytes, Time};
use crate::wire::LINE_MAX;
use crate::wire::rendezvous::NOTE_MAX;

/// The highest number of triggers in a room.
pub const TRIGGERS_MAX: usize = 5_000;

/// The highest count of a trigger that a client creates; a test file has the same limit.
const COUNT_MAX: u64 = 1_000_000_000;

/// The limit for the data of all notifies of one trigger, in bytes as it is sent: it fits one line with the names
/// around it.
const NOTES_MAX: usize = LINE_MAX - 64 * 1024;

/// The memory of a trigger, of a process that has notified it, and of a note, besides names and data, in bytes.
const TRIGGER_COST: usize = 512;
const TOTAL_COST: usize = 256;
const NOTE_COST: usize = 128;

/// Why a trigger is not created, or a notify does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerError {
    /// The trigger exists with another count.
    Exists { trigger: String, count: u64 },
    /// The count is out of bounds.
    Count(u64),
    /// The data of the notify is too long, in bytes.
    Note { length: usize },
    /// The data of all notifies together would be too long.
    Notes { trigger: String },
    /// The room has [`TRIGGERS_MAX`] triggers.
    RoomFull,
    /// There is no memory for it.
    Memory(Shortage),
}

impl fmt::Display for TriggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TriggerError::Exists { trigger, count } => {
                write!(f, "the trigger {trigger:?} exists already, with a count of {count}")
            }
            TriggerError::Count(count) => write!(f, "the count of a trigger is 1 to {COUNT_MAX}, not {count}"),
            TriggerError::Note { length } => {
                write!(f, "the data of a notify has at most {NOTE_MAX} bytes, this has {length}")
            }
            TriggerError::Notes { trigger } => {
                write!(f, "the data of all notifies of {trigger:?} has at most {NOTES_MAX} bytes")
            }
            TriggerError::RoomFull => write!(f, "this room is full: it has at most {TRIGGERS_MAX} triggers"),
            TriggerError::Memory(shortage) => shortage.fmt(f),
        }
    }
}

impl std::error::Error for TriggerError {}

impl From<Shortage> for TriggerError {
    fn from(shortage: Shortage) -> TriggerError {
        TriggerError::Memory(shortage)
    }
}

/// The number of the process that states a total: an incarnation of a slave or of a client.
pub type Notifier = u64;

/// The data of a notify.
#[derive(Debug, Serialize)]
struct Note {
    from: String,
    data: Box<RawValue>,
    /// The process that pays for it.
    #[serde(skip)]
    _charge: TriggerCharge,
}

/// The triggers of one room.
#[derive(Debug, Default)]
pub struct Triggers {
    by_name: BTreeMap<String, Trigger>,
    fired: Vec<String>,
    /// The triggers in which each process has a total, so that a process is forgotten without a search.
    stated: BTreeMap<Notifier, BTreeSet<Rc<str>>>,
    /// The room belongs to no run: its triggers exist until a client deletes them.
    lasting: bool,
    budget: Budget,
}

/// One counter.
#[derive(Debug)]
pub struct Trigger {
    name: Rc<str>,
    /// The initial count, at least 1.
    pub initial: u64,
    /// How many notifies have counted, including late ones.
    pub notified: u64,
    /// When it fired.
    pub fired: Option<Time>,
    totals: BTreeMap<Notifier, Total>,
    /// The data of the notifies, in order.
    notes: Vec<Note>,
    /// The length of the notes, in bytes as they are sent.
    noted: usize,
    held: Held,
    /// The process that pays for the trigger.
    _charge: TriggerCharge,
    /// The line for watchers, encoded once because reconnecting clients receive it again.
    line: Option<Bytes>,
}

/// The total of one process.
#[derive(Debug, Default)]
struct Total {
    all: u64,
    /// The part that counted before the trigger fired, including the notify that made it fire.
    in_time: u64,
    _charge: TriggerCharge,
}

impl Trigger {
    fn new(name: &str, initial: u64, held: Held) -> Trigger {
        Trigger {
            name: Rc::from(name),
            initial,
            notified: 0,
            fired: None,
            totals: BTreeMap::new(),
            notes: Vec::new(),
            noted: 0,
            held,
            _charge: TriggerCharge::default(),
            line: None,
        }
    }

    /// Returns the notes in order, as a JSON list. Returns `None` if no notify carried data.
    pub fn notes(&self) -> Option<Box<RawValue>> {
        let encode = || serde_json::value::to_raw_value(&self.notes).ok();
        if self.notes.is_empty() { None } else { encode() }
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held.bytes()
    }

    /// Returns each process with its total, and with the part that counted in time.
    pub fn totals(&self) -> impl Iterator<Item = (Notifier, u64, u64)> {
        self.totals.iter().map(|(who, total)| (*who, total.all, total.in_time))
    }

    /// Returns each note with the member that sent it, in order.
    pub fn noted(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.notes.iter().map(|note| (note.from.as_str(), &*note.data))
    }

    /// Returns the remaining count.
    pub fn left(&self) -> u64 {
        self.initial.saturating_sub(self.notified)
    }
}

/// The effect of a statement.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Counted {
    /// How many notifies were new.
    pub new: u64,
    /// The remaining count.
    pub left: u64,
    /// This statement made the trigger fire.
    pub fires: bool,
    /// The trigger had fired before, so that the new notifies changed nothing.
    pub late: bool,
    /// The part of the total that counted in time, if some notifies were late. The notes of late notifies are dropped.
    pub in_time: Option<u64>,
}

impl Triggers {
    pub fn new(initial: &BTreeMap<String, u64>, budget: &Budget) -> Triggers {
        // The triggers of a test are created even if clients hold the whole budget.
        let trigger = |name: &str, initial: u64| Trigger::new(name, initial, budget.hold(TRIGGER_COST));
        Triggers {
            by_name: initial.iter().map(|(name, initial)| (name.clone(), trigger(name, *initial))).collect(),
            fired: Vec::new(),
            stated: BTreeMap::new(),
            lasting: false,
            budget: budget.clone(),
        }
    }

    /// Creates the triggers of a room that belongs to no run; clients create and delete them.
    pub fn of_clients(budget: &Budget) -> Triggers {
        Triggers { lasting: true, ..Triggers::new(&BTreeMap::new(), budget) }
    }

    fn charge(&self, process: Option<u64>, bytes: usize) -> TriggerCharge {
        TriggerCharge::new(&self.budget, process, bytes, self.lasting)
    }

    fn room_for(&self, asker: Asker, bytes: usize) -> Result<(), Shortage> {
        match self.lasting {
            true => self.budget.admits_to_triggers(asker, bytes),
            false => self.budget.admit_for(asker, bytes).map(drop),
        }
    }

    /// Records that `who` has notified `name` `total` times. Returns `None` if the trigger does not exist.
    fn count(&mut self, now: Time, who: Notifier, name: &str, total: u64) -> Option<Counted> {
        let trigger = self.by_name.get_mut(name)?;
        let late = trigger.fired.is_some();
        let known = match trigger.totals.get_mut(&who) {
            Some(known) => known,
            None => {
                trigger.held.grow(TOTAL_COST);
                self.stated.entry(who).or_default().insert(trigger.name.clone());
                let _charge = TriggerCharge::new(&self.budget, Some(who), TOTAL_COST, self.lasting);
                trigger.totals.entry(who).or_insert(Total { _charge, ..Total::default() })
            }
        };
        let new = if injected(Fault::StatementsAdd) { 1 } else { total.saturating_sub(known.all) };
        known.all += new;
        if !late {
            known.in_time = known.all;
        }
        let in_time = Some(known.in_time).filter(|in_time| *in_time < known.all);
        trigger.notified = trigger.notified.saturating_add(new);
        let fires = !late && trigger.left() == 0;
        if fires {
            trigger.fired = Some(now);
            self.fired.push(name.to_owned());
        }
        debug_assert_eq!(trigger.fired.is_some(), trigger.left() == 0, "a trigger has fired when nothing is left");
        Some(Counted { new, left: trigger.left(), fires, late, in_time })
    }

    /// Counts a total with the data of its new notifies, when it is stated and again in a replay of the ledger. The data
    /// of late notifies is dropped.
    pub fn notified(
        &mut self,
        at: Time,
        who: Notifier,
        from: &str,
        (name, total): (&str, u64),
        notes: &[&RawValue],
    ) -> Option<Counted> {
        let counted = self.count(at, who, name, total)?;
        if counted.new > 0 && !counted.late {
            notes.iter().for_each(|note| self.add_note(name, (Some(who), from), note));
        }
        Some(counted)
    }

    /// Checks whether there is memory to count the total of a client.
    pub fn admits(&self, asker: Asker, name: &str) -> Result<(), Shortage> {
        match self.by_name.get(name) {
            Some(trigger) if !trigger.totals.contains_key(&asker.process) => self.room_for(asker, TOTAL_COST),
            _ => Ok(()),
        }
    }

    /// Returns whether a total of this process counts.
    pub fn has_total(&self, who: Notifier) -> bool {
        self.stated.contains_key(&who)
    }

    /// Forgets a process. Its totals still count.
    pub fn forget(&mut self, who: Notifier) {
        for name in self.stated.remove(&who).unwrap_or_default() {
            if let Some(trigger) = self.by_name.get_mut(&*name)
                && trigger.totals.remove(&who).is_some()
            {
                trigger.held.shrink(TOTAL_COST);
            }
        }
    }

    /// Checks whether a notify may carry this data.
    pub fn check_note(&self, name: &str, (asker, from): (Asker, &str), data: &RawValue) -> Result<(), TriggerError> {
        let length = data.get().len();
        if length > NOTE_MAX {
            return Err(TriggerError::Note { length });
        }
        match self.by_name.get(name) {
            Some(trigger) if trigger.fired.is_none() && trigger.noted + cost(from, data) > NOTES_MAX => {
                Err(TriggerError::Notes { trigger: name.to_owned() })
            }
            _ => Ok(self.room_for(asker, NOTE_COST + cost(from, data))?),
        }
    }

    /// Keeps the data of a notify that counted. `process` is `None` if the sender is unknown after a restart.
    fn add_note(&mut self, name: &str, (process, from): (Option<Notifier>, &str), data: &RawValue) {
        let _charge = self.charge(process, NOTE_COST + cost(from, data));
        if let Some(trigger) = self.by_name.get_mut(name) {
            trigger.noted += cost(from, data);
            trigger.held.grow(NOTE_COST + cost(from, data));
            trigger.notes.push(Note { from: from.to_owned(), data: data.to_owned(), _charge });
        }
    }

    /// Returns the line for watchers. After the trigger has fired no note is added, so the line is encoded once.
    pub fn fired_line(&mut self, name: &str, encode: impl FnOnce(Option<&RawValue>) -> Bytes) -> Bytes {
        let Some(trigger) = self.by_name.get_mut(name) else { return encode(None) };
        if let Some(line) = &trigger.line {
            return line.clone();
        }
        let line = encode(trigger.notes().as_deref());
        if trigger.fired.is_some() && !trigger.notes.is_empty() {
            trigger.held.grow(line.len());
            trigger.line = Some(line.clone());
        }
        line
    }

    /// Creates a trigger. If it exists with the same count, nothing changes. `asker` pays for it; `None` restores a
    /// trigger after a restart, which the budget cannot refuse.
    pub fn create(&mut self, asker: Option<Asker>, name: &str, initial: u64) -> Result<(), TriggerError> {
        match self.by_name.get(name) {
            Some(trigger) if trigger.initial == initial => return Ok(()),
            Some(trigger) => {
                return Err(TriggerError::Exists { trigger: name.to_owned(), count: trigger.initial });
            }
            None => {}
        }
        if !(1..=COUNT_MAX).contains(&initial) {
            return Err(TriggerError::Count(initial));
        }
        if self.by_name.len() >= TRIGGERS_MAX {
            return Err(TriggerError::RoomFull);
        }
        let cost = TRIGGER_COST + 2 * name.len();
        if let Some(asker) = asker {
            self.room_for(asker, cost)?;
        }
        let _charge = self.charge(asker.map(|asker| asker.process), cost);
        let trigger = Trigger { _charge, ..Trigger::new(name, initial, self.budget.hold(cost)) };
        self.by_name.insert(name.to_owned(), trigger);
        Ok(())
    }

    /// Restores a trigger from a rewritten ledger. A live controller has no such step: it counts each notify.
    pub fn restore(
        &mut self,
        name: &str,
        (initial, notified): (u64, u64),
        fired: Option<Time>,
        totals: &[(Notifier, u64, u64)],
        notes: &[(Cow<'_, str>, &RawValue)],
    ) {
        let held = self.budget.hold(TRIGGER_COST + 2 * name.len() + TOTAL_COST * totals.len());
        let total = |&(who, all, in_time): &(Notifier, u64, u64)| {
            (who, Total { all, in_time, _charge: self.charge(Some(who), TOTAL_COST) })
        };
        let totals = totals.iter().map(total).collect();
        let _charge = self.charge(None, TRIGGER_COST + 2 * name.len());
        let trigger = Trigger { notified, fired, totals, _charge, ..Trigger::new(name, initial, held) };
        for who in trigger.totals.keys() {
            self.stated.entry(*who).or_default().insert(trigger.name.clone());
        }
        self.by_name.insert(name.to_owned(), trigger);
        if fired.is_some() {
            self.fired.push(name.to_owned());
        }
        notes.iter().for_each(|(from, note)| self.add_note(name, (None, from), note));
    }

    /// Deletes a trigger. Returns whether it existed.
    pub fn delete(&mut self, name: &str) -> bool {
        self.fired.retain(|fired| fired != name);
        let Some(trigger) = self.by_name.remove(name) else { return false };
        for who in trigger.totals.keys() {
            if let Some(names) = self.stated.get_mut(who) {
                names.remove(name);
                if names.is_empty() {
                    self.stated.remove(who);
                }
            }
        }
        true
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&Trigger> {
        self.by_name.get(name)
    }

    /// Returns the triggers that have fired, in that order.
    pub fn fired(&self) -> &[String] {
        &self.fired
    }

    /// Returns the trigger with the next name after `last`.
    pub fn after(&self, last: Option<&str>) -> Option<(&str, &Trigger)> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.by_name.range::<str, _>((after, Bound::Unbounded)).next();
        next.map(|(name, trigger)| (name.as_str(), trigger))
    }

    /// Returns all triggers by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Trigger)> {
        self.by_name.iter().map(|(name, trigger)| (name.as_str(), trigger))
    }
}

/// Returns the length of a note as it is sent, in bytes.
fn cost(from: &str, data: &RawValue) -> usize {
    // {"from":"","data":},
    const AROUND: usize = 20;
    from.len() + data.get().len() + AROUND
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1);

    const SOMEBODY: Asker = Asker { process: 7, slave: false };

    fn triggers(initial: u64) -> Triggers {
        Triggers::new(&BTreeMap::from([("t".to_owned(), initial)]), &Budget::default())
    }

    #[test]
    fn a_trigger_fires_when_its_count_reaches_zero_and_never_again() {
        let mut triggers = triggers(2);
        let first = triggers.count(NOW, 1, "t", 1).unwrap();
        assert_eq!(first, Counted { new: 1, left: 1, fires: false, late: false, in_time: None });
        let second = triggers.count(NOW, 2, "t", 1).unwrap();
        assert_eq!(second, Counted { new: 1, left: 0, fires: true, late: false, in_time: None });
        let third = triggers.count(NOW, 2, "t", 2).unwrap();
        assert_eq!(third, Counted { new: 1, left: 0, fires: false, late: true, in_time: Some(1) });
        assert_eq!(triggers.fired(), ["t"]);
    }

    #[test]
    fn repeated_totals_do_not_change_what_counted_in_time() {
        let mut triggers = triggers(2);
        let mut in_time = |who, total| triggers.count(NOW, who, "t", total).unwrap().in_time;
        assert_eq!([in_time(1, 1), in_time(2, 3)], [None, None], "one statement made it fire");
        assert_eq!([in_time(1, 1), in_time(2, 3)], [None, None], "the totals are repeated");
        assert_eq!([in_time(2, 4), in_time(2, 3), in_time(1, 3), in_time(3, 1)], [Some(3), Some(3), Some(1), Some(0)]);
    }

    #[test]
    fn a_total_repeated_or_out_of_order_counts_once() {
        let mut triggers = triggers(9);
        for total in [3, 3, 1, 2, 3] {
            triggers.count(NOW, 1, "t", total);
        }
        assert_eq!(triggers.get("t").unwrap().left(), 6);
    }

    #[test]
    fn incarnations_of_one_slave_add_up() {
        let mut triggers = triggers(9);
        triggers.count(NOW, 1, "t", 3);
        triggers.count(NOW, 3, "t", 2);
        assert_eq!(triggers.get("t").unwrap().left(), 4);
    }

    #[test]
    fn a_notify_of_an_unknown_trigger_does_not_count() {
        assert_eq!(triggers(1).count(NOW, 1, "other", 1), None);
    }

    #[test]
    fn the_data_of_notifies_is_kept_in_order_and_bounded() {
        let mut triggers = triggers(2);
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        assert!(triggers.get("t").unwrap().notes().is_none());
        for (from, json) in [("b", "1"), ("a", "{\"x\":[]}")] {
            triggers.check_note("t", (SOMEBODY, from), &raw(json)).unwrap();
            triggers.add_note("t", (Some(7), from), &raw(json));
        }
        let notes = triggers.get("t").unwrap().notes().unwrap();
        assert_eq!(notes.get(), r#"[{"from":"b","data":1},{"from":"a","data":{"x":[]}}]"#);
        let long = raw(&format!("{:?}", "x".repeat(NOTE_MAX - 2)));
        let most = (0..100).take_while(|_| {
            let taken = triggers.check_note("t", (SOMEBODY, "a"), &long);
            taken.map(|()| triggers.add_note("t", (None, "a"), &long)).is_ok()
        });
        assert_eq!(most.count(), NOTES_MAX / NOTE_MAX - 1);
        assert!(triggers.get("t").unwrap().notes().unwrap().get().len() <= NOTES_MAX);
        let longer = raw(&format!("{:?}", "x".repeat(NOTE_MAX)));
        assert!(triggers.check_note("t", (SOMEBODY, "a"), &longer).unwrap_err().to_string().contains("65536"));
    }

    #[test]
    fn a_trigger_is_created_once_and_can_be_deleted() {
        let mut triggers = Triggers::default();
        assert_eq!(triggers.create(None, "t", 2), Ok(()));
        assert_eq!(triggers.create(Some(SOMEBODY), "t", 2), Ok(()));
        assert!(triggers.create(None, "t", 3).unwrap_err().to_string().contains("count of 2"));
        for wrong in [0, COUNT_MAX + 1] {
            let refused = triggers.create(None, "u", wrong).unwrap_err().to_string();
            assert!(refused.contains("1 to 1000000000"), "{wrong}");
        }
        triggers.count(NOW, 1, "t", 2);
        assert!(triggers.delete("t") && !triggers.delete("t"));
        assert_eq!((triggers.fired().len(), triggers.is_empty()), (0, true));
    }

    #[test]
    fn an_absurd_total_fires_and_does_not_overflow() {
        let mut triggers = triggers(5);
        assert!(triggers.count(NOW, 1, "t", u64::MAX).unwrap().fires);
        assert_eq!(triggers.count(NOW, 2, "t", u64::MAX).unwrap().left, 0);
    }
}
