//! The plan of a test: which entries set off which others, and to which barriers and syncs they come, in numbers instead of
//! names.
//!
//! A plan is made once, when a run starts, and never changes. The look at who can still come goes through every entry of
//! every slave each second; with the plan it compares numbers and not texts. Slaves with the same entries share a shape,
//! so a plan is small where a test is large.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::controller::room::meeting::Meeting;
use crate::machine::Exit;
use crate::testfile::Test;
use crate::wire::{Action, Condition, Entry, Policy, When};

/// The place of a slave in the test.
pub type SlaveIx = usize;

/// The effects of all entries of a test.
#[derive(Debug)]
pub struct Plan {
    test: Rc<Test>,
    by_name: BTreeMap<String, SlaveIx>,
    /// The different lists of entries, and for each slave which of them it has.
    shapes: Vec<Shape>,
    shape_of: Vec<usize>,
    /// The slaves of each shape.
    slaves_of: Vec<Vec<SlaveIx>>,
    /// For each slave the number of entries of all slaves before it.
    offsets: Vec<usize>,
    /// The triggers of the test by name, and the entries that each sets off, by shape.
    triggers: Vec<String>,
    set_off: Vec<Vec<(usize, u16)>>,
    /// The triggers that nothing in the test notifies, so a client outside the test must.
    foreign: Vec<usize>,
    /// The barriers and the syncs to which entries come, by name.
    barriers: BTreeMap<String, usize>,
    syncs: BTreeMap<String, usize>,
    /// How many members the entries of the test bring to each meeting at the start; `None`: any number.
    declared: Option<Vec<usize>>,
}

/// One list of entries.
#[derive(Debug, Default)]
pub struct Shape {
    pub entries: Vec<EntryPlan>,
    by_name: BTreeMap<String, u16>,
    /// The members that its entries bring.
    pub comings: Vec<Coming>,
    /// Some entry is a command, which may bring any member.
    pub has_commands: bool,
}

/// The start of an entry and its effects.
#[derive(Debug)]
pub struct EntryPlan {
    pub starts: Starts,
    pub does: Does,
    /// The entries that wait for something of this one.
    pub followers: Vec<u16>,
    /// The exits of this entry that others wait for.
    pub awaited: Vec<Exit>,
}

/// When an entry starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starts {
    At,
    Poke,
    Trigger(usize),
    /// When all conditions are met.
    All(Box<[(u16, When)]>),
    /// When the first condition is met.
    Any(Box<[(u16, When)]>),
    Finally,
}

/// The effect of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// A command may do anything.
    Anything {
        service: bool,
    },
    Notifies(usize),
    Meets,
    Nothing,
}

/// A member of one slave at one meeting, and the entries that bring it.
#[derive(Debug)]
pub struct Coming {
    pub meeting: usize,
    tag: Option<String>,
    pub entries: Vec<u16>,
}

impl Plan {
    pub fn of(test: &Rc<Test>) -> Plan {
        let triggers: Vec<String> = test.triggers.keys().cloned().collect();
        let mut plan = Plan {
            by_name: test.slaves.iter().enumerate().map(|(ix, slave)| (slave.name.clone(), ix)).collect(),
            shapes: Vec::new(),
            shape_of: Vec::with_capacity(test.slaves.len()),
            slaves_of: Vec::new(),
            offsets: Vec::with_capacity(test.slaves.len()),
            set_off: vec![Vec::new(); triggers.len()],
            triggers,
            foreign: Vec::new(),
            barriers: BTreeMap::new(),
            syncs: BTreeMap::new(),
            declared: None,
            test: test.clone(),
        };
        // Slaves share their entries, so the address of a list tells it from others.
        let mut known: BTreeMap<*const Entry, usize> = BTreeMap::new();
        let mut all = 0;
        for (ix, slave) in test.slaves.iter().enumerate() {
            let shape = *known.entry(slave.entries.as_ptr()).or_insert_with(|| plan.add_shape(&slave.entries));
            plan.shape_of.push(shape);
            plan.slaves_of[shape].push(ix);
            plan.offsets.push(all);
            all += slave.entries.len();
        }
        plan.foreign = plan.foreign_triggers();
        plan.declared = plan.count_declared();
        plan
    }

    fn add_shape(&mut self, entries: &[Entry]) -> usize {
        let by_name: BTreeMap<String, u16> =
            entries.iter().enumerate().map(|(nr, entry)| (entry.name.clone(), nr as u16)).collect();
        let mut shape = Shape { by_name, ..Shape::default() };
        let mut comings: BTreeMap<(usize, Option<String>), Vec<u16>> = BTreeMap::new();
        for (nr, entry) in entries.iter().enumerate() {
            if let Some((kind, name, tag)) = coming(entry) {
                comings.entry((self.meeting_or_new(kind, name), tag.clone())).or_default().push(nr as u16);
            }
            let plan = EntryPlan {
                starts: self.starts(entry, &shape.by_name),
                does: self.does(entry),
                followers: Vec::new(),
                awaited: Vec::new(),
            };
            if let Starts::Trigger(trigger) = plan.starts {
                self.set_off[trigger].push((self.shapes.len(), nr as u16));
            }
            shape.has_commands |= matches!(plan.does, Does::Anything { .. });
            shape.entries.push(plan);
        }
        for nr in 0..shape.entries.len() {
            let (Starts::All(of) | Starts::Any(of)) = shape.entries[nr].starts.clone() else { continue };
            for (other, when) in of {
                let other = &mut shape.entries[usize::from(other)];
                other.followers.push(nr as u16);
                if let When::Exited(exit) = when
                    && !other.awaited.contains(&exit)
                {
                    other.awaited.push(exit);
                }
            }
        }
        shape.comings = comings.into_iter().map(|((meeting, tag), entries)| Coming { meeting, tag, entries }).collect();
        self.shapes.push(shape);
        self.slaves_of.push(Vec::new());
        self.shapes.len() - 1
    }

    fn trigger(&self, name: &str) -> Option<usize> {
        self.triggers.binary_search_by(|trigger| trigger.as_str().cmp(name)).ok()
    }

    fn starts(&self, entry: &Entry, by_name: &BTreeMap<String, u16>) -> Starts {
        match &entry.policy {
            Policy::At(_) => Starts::At,
            Policy::Poke => Starts::Poke,
            // A test names no other trigger and no other entry. If it did, the entry would never start.
            Policy::Trigger(trigger) => self.trigger(trigger).map_or(Starts::Finally, Starts::Trigger),
            Policy::After(after) => {
                let condition = |it: &Condition| by_name.get(&it.entry).map(|other| (*other, it.when));
                let of: Option<Box<_>> = after.of.iter().map(condition).collect();
                of.map_or(Starts::Finally, if after.any { Starts::Any } else { Starts::All })
            }
            Policy::Finally => Starts::Finally,
        }
    }

    fn does(&self, entry: &Entry) -> Does {
        match &entry.action {
            Action::Shell(shell) => Does::Anything { service: shell.service },
            Action::Barrier { .. } | Action::Sync { .. } => Does::Meets,
            _ => entry.notifies().and_then(|trigger| self.trigger(trigger)).map_or(Does::Nothing, Does::Notifies),
        }
    }

    fn meeting_or_new(&mut self, kind: Meeting, name: &str) -> usize {
        let next = self.meetings();
        let of_kind = match kind {
            Meeting::Barrier => &mut self.barriers,
            Meeting::Sync => &mut self.syncs,
        };
        *of_kind.entry(name.to_owned()).or_insert(next)
    }

    fn foreign_triggers(&self) -> Vec<usize> {
        if self.shapes.iter().any(|shape| shape.has_commands) {
            return Vec::new();
        }
        let all = self.shapes.iter().flat_map(|shape| &shape.entries);
        let notified: BTreeSet<usize> = all
            .filter_map(|entry| match entry.does {
                Does::Notifies(trigger) => Some(trigger),
                _ => None,
            })
            .collect();
        (0..self.triggers.len()).filter(|trigger| !notified.contains(trigger)).collect()
    }

    fn count_declared(&self) -> Option<Vec<usize>> {
        let mut declared = vec![0; self.meetings()];
        for (shape, slaves) in self.shapes.iter().zip(&self.slaves_of) {
            if shape.has_commands {
                return None;
            }
            shape.comings.iter().for_each(|coming| declared[coming.meeting] += slaves.len());
        }
        Some(declared)
    }

    /// Returns the number of slaves of the test.
    pub fn slaves(&self) -> usize {
        self.shape_of.len()
    }

    /// Returns the number of entries of all slaves together.
    pub fn entries(&self) -> usize {
        let last = self.shape_of.last().map_or(0, |shape| self.shapes[*shape].entries.len());
        self.offsets.last().map_or(0, |offset| offset + last)
    }

    /// Returns the number of barriers and syncs to which entries come.
    pub fn meetings(&self) -> usize {
        self.barriers.len() + self.syncs.len()
    }

    pub fn find_slave(&self, name: &str) -> Option<SlaveIx> {
        self.by_name.get(name).copied()
    }

    pub fn slave_name(&self, ix: SlaveIx) -> &str {
        &self.test.slaves[ix].name
    }

    pub fn shape(&self, ix: SlaveIx) -> &Shape {
        &self.shapes[self.shape_of[ix]]
    }

    /// Returns the place of the first entry of a slave among the entries of all slaves.
    pub fn offset(&self, ix: SlaveIx) -> usize {
        self.offsets[ix]
    }

    /// Returns the triggers, in the order of their names.
    pub fn triggers(&self) -> &[String] {
        &self.triggers
    }

    pub fn foreign(&self) -> &[usize] {
        &self.foreign
    }

    /// Returns the entries that a trigger sets off.
    pub fn set_off(&self, trigger: usize) -> impl Iterator<Item = (SlaveIx, u16)> {
        self.set_off[trigger].iter().flat_map(|(shape, nr)| self.slaves_of[*shape].iter().map(|ix| (*ix, *nr)))
    }

    /// Returns the number of a barrier or a sync to which entries come.
    pub fn meeting(&self, kind: Meeting, name: &str) -> Option<usize> {
        match kind {
            Meeting::Barrier => self.barriers.get(name).copied(),
            Meeting::Sync => self.syncs.get(name).copied(),
        }
    }

    /// Returns how many members the entries could bring to a meeting at the start; `None`: any number.
    pub fn declared(&self, meeting: Option<usize>) -> Option<usize> {
        let declared = self.declared.as_ref()?;
        Some(meeting.map_or(0, |meeting| declared[meeting]))
    }
}

impl Shape {
    pub fn find(&self, entry: &str) -> Option<u16> {
        self.by_name.get(entry).copied()
    }

    /// Returns the entries that bring this member to a meeting.
    pub fn coming(&self, meeting: usize, tag: Option<&str>) -> Option<&Coming> {
        let at = self.comings.binary_search_by(|coming| (coming.meeting, coming.tag.as_deref()).cmp(&(meeting, tag)));
        at.ok().map(|at| &self.comings[at])
    }
}

/// Returns the meeting to which a built-in entry comes, and the tag of its member.
fn coming(entry: &Entry) -> Option<(Meeting, &str, &Option<String>)> {
    match &entry.action {
        Action::Barrier { barrier, tag, .. } => Some((Meeting::Barrier, barrier, tag)),
        Action::Sync { session, tag, .. } => Some((Meeting::Sync, session, tag)),
        _ => None,
    }
}
