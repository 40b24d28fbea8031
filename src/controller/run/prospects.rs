//! Which slaves of a run may still come to its barriers and syncs, so that no member waits for one that cannot.
//!
//! An entry is *live* if it runs or may still start. A live command, and what it has left behind, may do anything: come to
//! any meeting, notify any trigger, poke its slave. A live built-in entry does what it says. The walk starts at the entries
//! that are under way by what the slaves have reported, and follows what each may set off until it finds nothing new.
//! Anything unknown may happen, because to give up a member that comes is worse than to wait for one that does not.
//! A person or a program outside the run does not count, unless it is connected to the run's room.
//!
//! A walk visits each entry of the run at most once. It happens within one turn of the loop, because an answer from two
//! different moments could bar a member that still comes.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::Outlook;
use crate::controller::run::history::{EntryHistory, History};
use crate::controller::run::plan::{Does, Plan, SlaveIx, Starts};
use crate::controller::run::roster::{RunSlave, Stage};
use crate::controller::run::run::Run;
use crate::machine::faults::{Fault, injected};
use crate::wire::When;

/// Whether members may still come, for one look at a run.
#[derive(Debug)]
pub struct Prospects {
    plan: Rc<Plan>,
    history: Rc<History>,
    /// For each slave.
    reach: Vec<Reach>,
    /// Which entries are live, of all slaves one after another.
    live: Vec<bool>,
    /// The members for whom clients of the room are connected.
    clients: BTreeSet<Rc<str>>,
    /// How many slaves may bring any member.
    unbounded: usize,
    /// How many members the other slaves can still bring, by meeting.
    coming: Vec<usize>,
    lost: OnceCell<(Vec<String>, String)>,
}

/// Which members a slave can still bring.
#[derive(Debug, Clone)]
enum Reach {
    Anything,
    /// The members of its live entries.
    Entries,
    /// None, because it is lost for this reason.
    Lost(Rc<str>),
}

/// The prospects of the barriers, or of the syncs.
struct Of<'a> {
    prospects: &'a Prospects,
    kind: Meeting,
}

impl Prospects {
    /// Follows what may still happen in a run that has started. `clients`: for each client of the run's room, the member
    /// it speaks for.
    pub fn of(run: &Run, clients: &[Option<Rc<str>>]) -> Option<Prospects> {
        let (plan, history) = run.absent.known()?;
        let mut walk = Walk::new(run, plan, history);
        walk.go(!clients.is_empty());
        let (mut coming, mut unbounded) = (vec![0; plan.meetings()], 0);
        let mut reach = Vec::with_capacity(plan.slaves());
        for (ix, member) in run.roster.iter().enumerate() {
            reach.push(walk.reach(ix, member));
            match reach[ix] {
                Reach::Anything => unbounded += 1,
                Reach::Lost(_) => {}
                Reach::Entries => {
                    let live = walk.live_of(ix);
                    let comes = |nr: &u16| live[usize::from(*nr)];
                    let comings = plan.shape(ix).comings.iter().filter(|coming| coming.entries.iter().any(comes));
                    comings.for_each(|it| coming[it.meeting] += 1);
                }
            }
        }
        Some(Prospects {
            live: walk.live,
            reach,
            clients: clients.iter().flatten().cloned().collect(),
            unbounded,
            coming,
            plan: plan.clone(),
            history: history.clone(),
            lost: OnceCell::new(),
        })
    }

    /// Returns whether every slave may bring any member.
    pub fn is_open(&self) -> bool {
        self.unbounded == self.reach.len()
    }

    /// Returns the number of entries of the run.
    pub fn entries(&self) -> usize {
        self.live.len()
    }

    /// Calls `act` with the prospects of the barriers and of the syncs.
    pub fn with_both<T>(&self, act: impl FnOnce([&dyn Outlook; 2]) -> T) -> T {
        act([&Of { prospects: self, kind: Meeting::Barrier }, &Of { prospects: self, kind: Meeting::Sync }])
    }

    /// Returns whether a live entry of this slave brings this member.
    fn brings(&self, ix: SlaveIx, meeting: usize, tag: Option<&str>) -> bool {
        let first = self.plan.offset(ix);
        let coming = self.plan.shape(ix).coming(meeting, tag);
        coming.is_some_and(|coming| coming.entries.iter().any(|nr| self.live[first + usize::from(*nr)]))
    }

    /// Returns whether a live entry of its slave brings this member. A slave that may bring any member does not count.
    fn may_bring(&self, meeting: Option<usize>, member: &str) -> bool {
        let (host, tag) = parts(member);
        let Some((meeting, ix)) = meeting.zip(self.plan.find_slave(host)) else { return false };
        matches!(self.reach[ix], Reach::Entries) && self.brings(ix, meeting, tag)
    }

    /// Returns why a connected slave does not bring a member: its first failure, if it has failed.
    fn why_not(&self, ix: SlaveIx) -> String {
        let (history, name) = (self.history.of(ix), self.plan.slave_name(ix));
        match history.first_failure() {
            Some(failure) => failure.to_owned(),
            None if history.runs_anything() => format!("nothing that runs on {name} or can start there comes to it"),
            None => format!("nothing runs on {name} and nothing can start there any more"),
        }
    }

    /// Returns the names of the lost slaves, and why the first of them is lost, for the end of a sentence.
    fn lost(&self) -> &(Vec<String>, String) {
        self.lost.get_or_init(|| {
            let lost = self.reach.iter().enumerate().filter_map(|(ix, reach)| match reach {
                Reach::Lost(why) => Some((self.plan.slave_name(ix), why)),
                _ => None,
            });
            let mut lost: Vec<_> = lost.collect();
            lost.sort_unstable();
            let because = lost.first().map(|(host, why)| format!(": {host} was lost: {why}"));
            (lost.iter().map(|(host, _)| (*host).to_owned()).collect(), because.unwrap_or_default())
        })
    }
}

impl Outlook for Of<'_> {
    fn barred(&self, meeting: &str, member: &str) -> Option<String> {
        let Of { prospects: it, kind } = *self;
        let (host, tag) = parts(member);
        let ix = it.plan.find_slave(host)?;
        let is_lost = match it.reach[ix] {
            Reach::Anything => return None,
            Reach::Entries => false,
            Reach::Lost(_) => true,
        };
        if !is_lost {
            let meeting = it.plan.meeting(kind, meeting);
            let shape = it.plan.shape(ix);
            let came = meeting.is_some_and(|meeting| shape.coming(meeting, tag).is_some());
            // People bring the members that no entry brought at the start.
            if !shape.has_commands && !came || meeting.is_some_and(|meeting| it.brings(ix, meeting, tag)) {
                return None;
            }
        }
        if it.clients.contains(member) {
            return None;
        }
        Some(match &it.reach[ix] {
            Reach::Lost(why) => format!("{member} was lost: {why}"),
            _ => format!("{member} cannot come any more: {}", it.why_not(ix)),
        })
    }

    fn weight(&self) -> usize {
        self.prospects.clients.len()
    }

    fn unfillable(&self, meeting: &str, count: usize, there: &[&str]) -> Option<(Vec<String>, String)> {
        let Of { prospects: it, kind } = *self;
        let meeting = it.plan.meeting(kind, meeting);
        // A count beyond what the test can bring waits for others than its slaves.
        if it.unbounded > 0 || it.plan.declared(meeting).is_some_and(|most| most < count) {
            return None;
        }
        let come = meeting.map_or(0, |meeting| it.coming[meeting]);
        let all = come + there.iter().filter(|member| !it.may_bring(meeting, member)).count();
        if all >= count {
            return None;
        }
        let there: BTreeSet<&str> = there.iter().copied().collect();
        let others = it.clients.iter().filter(|member| !there.contains(&***member) && !it.may_bring(meeting, member));
        let all = all + others.take(count - all).count();
        if all >= count {
            return None;
        }
        let (who, because) = it.lost().clone();
        Some((who, format!("only {all} of the {count} members can still arrive{because}")))
    }
}

/// Returns the host and the tag of a member.
fn parts(member: &str) -> (&str, Option<&str>) {
    member.split_once('#').map_or((member, None), |(host, tag)| (host, Some(tag)))
}

/// Follows what live entries set off.
struct Walk<'a> {
    run: &'a Run,
    plan: &'a Plan,
    history: &'a History,
    /// Which entries are live, of all slaves one after another.
    live: Vec<bool>,
    /// For each slave whether any entry, and whether any command, is live.
    lives: Vec<(bool, bool)>,
    /// The slaves that may be poked.
    poked: Vec<bool>,
    todo: Vec<(SlaveIx, u16)>,
    /// For each trigger whether it has fired, and whether it may fire.
    fired: Vec<bool>,
    may_fire: Vec<bool>,
    /// How many may fire.
    firing: usize,
}

impl<'a> Walk<'a> {
    fn new(run: &'a Run, plan: &'a Plan, history: &'a History) -> Walk<'a> {
        let fired = |name: &String| run.room.triggers.get(name).is_none_or(|trigger| trigger.fired.is_some());
        Walk {
            live: vec![false; plan.entries()],
            lives: vec![(false, false); plan.slaves()],
            poked: vec![false; plan.slaves()],
            todo: Vec::new(),
            fired: plan.triggers().iter().map(fired).collect(),
            may_fire: vec![false; plan.triggers().len()],
            firing: 0,
            run,
            plan,
            history,
        }
    }

    /// Finds all live entries. `watched`: clients of the room may notify triggers too.
    fn go(&mut self, watched: bool) {
        for (ix, member) in self.run.roster.iter().enumerate() {
            self.find_under_way(ix, member);
            if !member.cleared {
                self.command_runs(ix);
            }
        }
        if watched {
            self.all_may_fire();
        } else {
            self.plan.foreign().iter().for_each(|trigger| self.fires(*trigger));
        }
        while let Some((ix, nr)) = self.todo.pop() {
            self.follow(ix, nr);
        }
    }

    /// Finds the entries of a slave that run, or will without a further trigger or poke, as far as is known.
    fn find_under_way(&mut self, ix: SlaveIx, member: &RunSlave) {
        if is_given_up(member) {
            return;
        }
        let (plan, history) = (self.plan, self.history.of(ix));
        let unknown = member.begun.is_none() || !member.knows_all_runs();
        let idle = member.has_nothing_to_do(self.run.room.triggers.fired().len() as u64);
        for (nr, entry) in (0..).zip(&plan.shape(ix).entries) {
            let known = history.entry(nr);
            let runs = known.map_or(0, EntryHistory::begun);
            let is_under_way = unknown
                || known.is_some_and(EntryHistory::goes_on)
                || !idle
                    && match &entry.starts {
                        Starts::At if injected(Fault::CannotComeTooEarly) => false,
                        Starts::Poke => true,
                        Starts::Trigger(trigger) => runs == 0 && self.fired[*trigger],
                        starts => history.is_due(nr, starts),
                    };
            if is_under_way {
                self.enliven(ix, nr);
            }
        }
    }

    /// An entry that waits for a live one is live too, unless it waits for others that are not and have not happened.
    fn enliven_follower(&mut self, ix: SlaveIx, nr: u16) {
        let (history, live) = (self.history.of(ix), self.live_of(ix));
        let began = history.entry(nr).is_some_and(|known| known.begun() > 0);
        let may = |&(other, when): &(u16, When)| live[usize::from(other)] || history.count(other, when) > 0;
        let may_run = match &self.plan.shape(ix).entries[usize::from(nr)].starts {
            // Entries with one condition run each time.
            Starts::All(of) => of.len() == 1 || !began && of.iter().all(may),
            _ => !began,
        };
        if may_run {
            self.enliven(ix, nr);
        }
    }

    fn enliven(&mut self, ix: SlaveIx, nr: u16) {
        let finally = self.plan.shape(ix).entries[usize::from(nr)].starts == Starts::Finally;
        if finally || is_given_up(self.run.roster.get(ix)) {
            return;
        }
        if !std::mem::replace(&mut self.live[self.plan.offset(ix) + usize::from(nr)], true) {
            self.lives[ix].0 = true;
            self.todo.push((ix, nr));
        }
    }

    fn follow(&mut self, ix: SlaveIx, nr: u16) {
        let entry = &self.plan.shape(ix).entries[usize::from(nr)];
        entry.followers.iter().for_each(|other| self.enliven_follower(ix, *other));
        match entry.does {
            Does::Anything { .. } => {
                self.lives[ix].1 = true;
                self.command_runs(ix);
            }
            Does::Notifies(trigger) => self.fires(trigger),
            Does::Meets | Does::Nothing => {}
        }
    }

    /// A command, or what one has left behind, may poke its slave and notify any trigger.
    fn command_runs(&mut self, ix: SlaveIx) {
        if !std::mem::replace(&mut self.poked[ix], true) {
            let entries = (0..).zip(&self.plan.shape(ix).entries);
            entries.filter(|(_, entry)| entry.starts == Starts::Poke).for_each(|(nr, _)| self.enliven(ix, nr));
        }
        self.all_may_fire();
    }

    fn all_may_fire(&mut self) {
        if self.firing < self.may_fire.len() {
            (0..self.may_fire.len()).for_each(|trigger| self.fires(trigger));
        }
    }

    fn fires(&mut self, trigger: usize) {
        if std::mem::replace(&mut self.may_fire[trigger], true) {
            return;
        }
        self.firing += 1;
        if !self.fired[trigger] {
            self.plan.set_off(trigger).for_each(|(ix, nr)| self.enliven(ix, nr));
        }
    }

    fn live_of(&self, ix: SlaveIx) -> &[bool] {
        &self.live[self.plan.offset(ix)..][..self.plan.shape(ix).entries.len()]
    }

    /// Returns which members a slave can still bring.
    fn reach(&self, ix: SlaveIx, member: &RunSlave) -> Reach {
        if let Some(reason) = self.run.absent.reason(ix) {
            return Reach::Lost(reason.clone());
        }
        let (lives, commands) = self.lives[ix];
        // If a slave without a live entry has an arrival, a person or a program outside the run made it.
        let by_hand = || member.process.is_some_and(|process| self.run.room.has_waiting(process));
        if !member.cleared || commands || !lives && by_hand() { Reach::Anything } else { Reach::Entries }
    }
}

/// Returns whether members do not wait for a slave because it is lost.
fn is_given_up(member: &RunSlave) -> bool {
    member.stage == Stage::Lost && !injected(Fault::LostSlaveAwaited)
}
