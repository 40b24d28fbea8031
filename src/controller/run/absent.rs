//! The slaves of a run that are lost, and what must be known to tell who can still come.
//!
//! Members do not wait for slaves that are lost, nor for members that cannot come any more. The meetings of a run hear of
//! a lost slave in the same turn of the loop. Whether the others can still come is looked at each second and after a loss.
//! A look takes as long as the run has entries, so this also decides when the next one is due.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::controller::room::meeting::Meeting;
use crate::controller::run::history::History;
use crate::controller::run::plan::{Plan, SlaveIx};
use crate::controller::run::roster::RunSlave;
use crate::controller::run::stall::Standstill;
use crate::machine::Time;
use crate::machine::faults::{Fault, injected};
use crate::testfile::Test;
use crate::wire::SlaveEvent;
use crate::wire::rendezvous::Wait;

/// The pause after a look, for each entry and each member that it has compared. A look takes less than a tenth of that, so
/// looks never take more than a tenth of the time, however many slaves are lost one after another.
const PAUSE: Duration = Duration::from_micros(1);

/// The meeting at which a look was interrupted, because it had compared enough for one turn of the loop.
pub type LeftAt = (Meeting, Rc<str>);

/// The slaves of a run that are lost, and what the others have done.
#[derive(Debug, Default)]
pub struct Absent {
    /// In the order in which they were lost.
    lost: Vec<SlaveIx>,
    reasons: BTreeMap<SlaveIx, Rc<str>>,
    /// How many of them the meetings of the run know of.
    known: usize,
    /// The effects of the entries, and their reports so far. `None` before the start.
    plan: Option<(Rc<Plan>, Rc<History>)>,
    due: Option<Time>,
    /// The earliest time of the next look.
    rests_until: Time,
    /// Where the next look goes on.
    left_at: Option<LeftAt>,
    pub standstill: Standstill,
}

impl Absent {
    /// Makes the plan of a run that starts.
    pub fn start(&mut self, test: &Rc<Test>) {
        let plan = Plan::of(test);
        let history = History::new(&plan);
        self.plan = Some((Rc::new(plan), Rc::new(history)));
    }

    /// Returns the effects of the entries, and their reports so far. `None` before the start.
    pub fn known(&self) -> Option<(&Rc<Plan>, &Rc<History>)> {
        self.plan.as_ref().map(|(plan, history)| (plan, history))
    }

    /// Counts a report of a slave. The roster does not have it yet.
    pub fn report(&mut self, ix: SlaveIx, member: &RunSlave, at: Time, what: &SlaveEvent<'_>) {
        if let Some((plan, history)) = &mut self.plan {
            Rc::make_mut(history).report(plan, ix, (at, member.knows_all_runs()), what);
        }
    }

    /// Forgets the reports of a slave, because another process serves as it now.
    pub fn begin_incarnation(&mut self, ix: SlaveIx) {
        if let Some((_, history)) = &mut self.plan {
            Rc::make_mut(history).forget(ix);
        }
    }

    /// Sets what the commands of a slave wait for.
    pub fn set_waits(&mut self, ix: SlaveIx, waits: &[Wait]) {
        if let Some((plan, history)) = &mut self.plan {
            Rc::make_mut(history).set_waits(plan, ix, waits);
        }
        self.standstill.waits_changed();
    }

    /// Adds a lost slave. The meetings do not know of it yet.
    pub fn lose(&mut self, slave: SlaveIx, reason: &str) {
        self.lost.push(slave);
        self.reasons.entry(slave).or_insert_with(|| Rc::from(reason));
    }

    /// Returns the slaves that members need not wait for, in the order in which they were lost.
    pub fn lost(&self) -> &[SlaveIx] {
        if injected(Fault::LostSlaveAwaited) { &[] } else { &self.lost }
    }

    /// Returns why members need not wait for this slave, if it is lost.
    pub fn reason(&self, slave: SlaveIx) -> Option<&Rc<str>> {
        self.reasons.get(&slave).filter(|_| !injected(Fault::LostSlaveAwaited))
    }

    /// Returns whether slaves were lost that the meetings do not know of.
    pub fn has_news(&self) -> bool {
        self.known < self.lost.len()
    }

    /// Returns the lost slaves that the meetings do not know of. From now on they do.
    pub fn take_news(&mut self) -> Vec<SlaveIx> {
        let known = std::mem::replace(&mut self.known, self.lost.len());
        self.lost().iter().skip(known).copied().collect()
    }

    /// Requests a look at who can still come, as soon as the last one is long enough ago.
    pub fn request_look(&mut self, now: Time) {
        self.due.get_or_insert(now.max(self.rests_until));
    }

    /// Returns when the next look is due.
    pub fn look_due(&self) -> Option<Time> {
        self.due
    }

    /// Begins a look. Returns the meeting at which the last one was interrupted.
    pub fn begin_look(&mut self) -> Option<LeftAt> {
        self.due = None;
        self.left_at.take()
    }

    /// Ends a look that has compared `work` entries and members. `left_at`: it was interrupted there, and must continue.
    pub fn end_look(&mut self, now: Time, work: usize, left_at: Option<LeftAt>) {
        self.rests_until = now + PAUSE * u32::try_from(work).unwrap_or(u32::MAX);
        if left_at.is_some() {
            self.request_look(now);
        }
        self.left_at = left_at;
    }
}
