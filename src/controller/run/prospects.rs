//! Which slaves of a run may still come to its barriers and syncs, so that no member waits for one that cannot.
//!
//! An entry is *live* if it runs or may still start. A live command, and what it has left behind, may do anything: come to
//! any meeting, notify any trigger, poke its slave. A live built-in entry does what it says. So from what the slaves have reported, this follows
//! what each live entry may set off, until nothing new is found. Where something is not known, it may happen: it is
//! worse to give up a member that comes than to wait for one that does not. What a person or a program outside the run
//! may do does not count, unless it is connected to the run's room.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::Outlook;
use crate::controller::run::roster::{RunSlave, Stage};
use crate::controller::run::run::Run;
use crate::machine::Exit;
use crate::machine::faults::{Fault, injected};
use crate::wire::{Action, After, Entry, EntryOutcome, Policy};

/// A member of a meeting: its kind, its name, and the member's tag.
type Coming = (Meeting, String, Option<String>);

/// Whether members may still come, for one look at a run.
#[derive(Debug, Default)]
pub struct Prospects {
    /// The slaves that cannot come to every meeting, by name.
    bounded: BTreeMap<String, Bounded>,
    /// The members for whom clients of the room are connected.
    clients: BTreeSet<Rc<str>>,
    /// Some slave may bring any member.
    unbounded: bool,
    /// To how many members of each meeting the entries of the test could bring at its start; `None`: to any.
    declared: Option<BTreeMap<(Meeting, String), usize>>,
    /// The members that the slaves which cannot come to every meeting still can bring, by meeting.
    coming: BTreeMap<(Meeting, String), BTreeSet<String>>,
}

#[derive(Debug)]
struct Bounded {
    lost: bool,
    why: String,
    comes: BTreeSet<Coming>,
    /// To what its entries could come at the start; `None`: to anything. To the rest people come by hand.
    came: Option<Rc<BTreeSet<Coming>>>,
}

/// The prospects of the barriers, or of the syncs.
struct Of<'a> {
    prospects: &'a Prospects,
    kind: Meeting,
}

impl Prospects {
    /// Follows what may still happen in a run. `clients`: for each client of the run's room, the member it speaks for.
    pub fn of(run: &Run, clients: &[Option<Rc<str>>]) -> Prospects {
        let mut walk = Walk::new(run);
        walk.go(!clients.is_empty());
        let clients = clients.iter().flatten().cloned().collect();
        let mut prospects = Prospects { clients, declared: walk.declared(), ..Prospects::default() };
        for (ix, member) in run.roster.iter().enumerate() {
            match walk.bounds(ix, member) {
                Some(bounded) => {
                    for coming in &bounded.comes {
                        let (kind, name, _) = coming;
                        let members = prospects.coming.entry((*kind, name.clone())).or_default();
                        members.insert(self::member(&member.name, coming));
                    }
                    prospects.bounded.insert(member.name.clone(), bounded);
                }
                None => prospects.unbounded = true,
            }
        }
        prospects
    }

    /// Whether every slave may come to everything.
    pub fn is_open(&self) -> bool {
        self.bounded.is_empty()
    }

    /// For barriers and for syncs.
    pub fn with_both<T>(&self, act: impl FnOnce([&dyn Outlook; 2]) -> T) -> T {
        act([&Of { prospects: self, kind: Meeting::Barrier }, &Of { prospects: self, kind: Meeting::Sync }])
    }
}

impl Outlook for Of<'_> {
    fn barred(&self, meeting: &str, member: &str) -> Option<String> {
        let (host, tag) = match member.split_once('#') {
            Some((host, tag)) => (host, Some(tag.to_owned())),
            None => (member, None),
        };
        let bounded = self.prospects.bounded.get(host)?;
        let coming = (self.kind, meeting.to_owned(), tag);
        let by_hand = !bounded.lost && bounded.came.as_ref().is_some_and(|came| !came.contains(&coming));
        if by_hand || bounded.comes.contains(&coming) || self.prospects.clients.contains(member) {
            return None;
        }
        let what = if bounded.lost { "was lost" } else { "cannot come any more" };
        Some(format!("{member} {what}: {}", bounded.why))
    }

    fn unfillable(&self, meeting: &str, count: usize, there: &[&str]) -> Option<(Vec<String>, String)> {
        let Prospects { bounded, clients, unbounded, declared, coming } = self.prospects;
        let here = (self.kind, meeting.to_owned());
        // A count beyond what the test can bring waits for others than its slaves.
        let at_first = declared.as_ref().map(|all| all.get(&here).copied().unwrap_or(0));
        if *unbounded || at_first.is_some_and(|most| most < count) {
            return None;
        }
        let mut all: BTreeSet<String> = coming.get(&here).cloned().unwrap_or_default();
        all.extend(clients.iter().map(|member| member.to_string()));
        all.extend(there.iter().map(|member| (*member).to_owned()));
        if all.len() >= count {
            return None;
        }
        let lost: Vec<_> = bounded.iter().filter(|(_, bounded)| bounded.lost).collect();
        let who = lost.iter().map(|(host, _)| (*host).clone()).collect();
        let because = match lost.first() {
            Some((host, bounded)) => format!(": {host} was lost: {}", bounded.why),
            None => String::new(),
        };
        Some((who, format!("no more than {} of {count} can come{because}", all.len())))
    }
}

fn member(host: &str, (_, _, tag): &Coming) -> String {
    tag.as_ref().map_or_else(|| host.to_owned(), |tag| format!("{host}#{tag}"))
}

/// By the name of an entry, the entries with a policy after it.
type Followers<'a> = BTreeMap<&'a str, Vec<usize>>;

/// Follows what live entries set off.
struct Walk<'a> {
    run: &'a Run,
    /// By slave and entry.
    live: Vec<Vec<bool>>,
    /// The slaves that may be poked.
    poked: Vec<bool>,
    todo: Vec<(usize, usize)>,
    by_trigger: BTreeMap<&'a str, Vec<(usize, usize)>>,
    /// Which entries follow which. Slaves share their entries, and these; by where the entries lie.
    followers: BTreeMap<*const Entry, Rc<Followers<'a>>>,
    /// To what the entries come, likewise.
    come: BTreeMap<*const Entry, Option<Rc<BTreeSet<Coming>>>>,
    /// The triggers that may fire.
    may_fire: BTreeSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn new(run: &'a Run) -> Walk<'a> {
        let mut by_trigger: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for (ix, slave) in run.test.slaves.iter().enumerate() {
            for (nr, entry) in slave.entries.iter().enumerate() {
                if let Policy::Trigger(trigger) = &entry.policy {
                    by_trigger.entry(trigger).or_default().push((ix, nr));
                }
            }
        }
        let live = run.test.slaves.iter().map(|slave| vec![false; slave.entries.len()]).collect();
        let poked = vec![false; run.test.slaves.len()];
        Walk {
            run,
            live,
            poked,
            todo: Vec::new(),
            by_trigger,
            followers: BTreeMap::new(),
            come: BTreeMap::new(),
            may_fire: BTreeSet::new(),
        }
    }

    fn entries(&self, ix: usize) -> &'a [Entry] {
        &self.run.test.slaves[ix].entries
    }

    /// `watched`: others than slaves may notify triggers.
    fn go(&mut self, watched: bool) {
        for ix in 0..self.live.len() {
            let member = self.run.roster.get(ix);
            let ends = Ends::of(member);
            let under_way = |entry: &Entry| is_under_way(self.run, member, &ends, entry);
            let nrs: Vec<usize> = (0..self.live[ix].len()).filter(|nr| under_way(&self.entries(ix)[*nr])).collect();
            nrs.into_iter().for_each(|nr| self.enliven(ix, nr));
            if !member.cleared {
                self.command_runs(ix);
            }
        }
        if watched {
            self.all_may_fire();
        } else {
            self.foreign_triggers().into_iter().for_each(|trigger| self.fires(trigger));
        }
        while let Some((ix, nr)) = self.todo.pop() {
            self.follow(ix, nr);
        }
    }

    /// The triggers that nothing in the test notifies: somebody else does.
    fn foreign_triggers(&self) -> Vec<&'a str> {
        let all = || self.run.test.slaves.iter().flat_map(|slave| slave.entries.iter());
        if all().any(|entry| entry.shell().is_some()) {
            return Vec::new();
        }
        let notified: BTreeSet<&str> = all().filter_map(Entry::notifies).collect();
        let triggers = self.run.test.triggers.keys().map(String::as_str);
        triggers.filter(|trigger| !notified.contains(trigger)).collect()
    }

    fn enliven(&mut self, ix: usize, nr: usize) {
        let finally = self.entries(ix)[nr].policy == Policy::Finally;
        let lost = is_given_up(self.run, ix);
        if !finally && !lost && !std::mem::replace(&mut self.live[ix][nr], true) {
            self.todo.push((ix, nr));
        }
    }

    fn follow(&mut self, ix: usize, nr: usize) {
        let entry = &self.entries(ix)[nr];
        for other in self.followers(ix).get(entry.name.as_str()).into_iter().flatten() {
            self.enliven(ix, *other);
        }
        if entry.shell().is_some() {
            self.command_runs(ix);
        } else if let Some(trigger) = entry.notifies() {
            self.fires(trigger);
        }
    }

    fn followers(&mut self, ix: usize) -> Rc<Followers<'a>> {
        let entries = self.entries(ix);
        let read = || {
            let mut followers = Followers::new();
            for (nr, entry) in entries.iter().enumerate() {
                if let Policy::After(after) = &entry.policy {
                    followers.entry(&after.entry).or_default().push(nr);
                }
            }
            Rc::new(followers)
        };
        self.followers.entry(entries.as_ptr()).or_insert_with(read).clone()
    }

    /// A command, or what one has left behind, may poke its slave and notify any trigger.
    fn command_runs(&mut self, ix: usize) {
        if !std::mem::replace(&mut self.poked[ix], true) {
            let entries = self.entries(ix);
            let poked = (0..entries.len()).filter(|nr| entries[*nr].policy == Policy::Poke);
            poked.for_each(|nr| self.enliven(ix, nr));
        }
        self.all_may_fire();
    }

    fn all_may_fire(&mut self) {
        if self.may_fire.len() < self.run.test.triggers.len() {
            let run = self.run;
            run.test.triggers.keys().for_each(|trigger| self.fires(trigger));
        }
    }

    fn fires(&mut self, trigger: &'a str) {
        let fired = self.run.room.triggers.get(trigger).is_none_or(|trigger| trigger.fired.is_some());
        if self.may_fire.insert(trigger) && !fired {
            for (ix, nr) in self.by_trigger.get(trigger).cloned().unwrap_or_default() {
                self.enliven(ix, nr);
            }
        }
    }

    /// What a slave can still come to; `None`: anything.
    fn bounds(&mut self, ix: usize, member: &RunSlave) -> Option<Bounded> {
        if let Some(reason) = self.run.absent.reason(ix) {
            return Some(Bounded { lost: true, why: reason.to_string(), comes: BTreeSet::new(), came: None });
        }
        let lives = self.entries(ix).iter().zip(&self.live[ix]).filter(|(_, live)| **live).map(|(entry, _)| entry);
        let lives: Vec<&Entry> = lives.collect();
        // Somebody beside the entries asks something of the slave.
        let by_hand = || member.process.is_some_and(|process| self.run.room.has_waiting(process));
        let commands = !member.cleared || lives.iter().any(|entry| entry.shell().is_some());
        if commands || lives.is_empty() && by_hand() {
            return None;
        }
        let comes = lives.into_iter().filter_map(coming).collect();
        Some(Bounded { lost: false, why: why_not(member), comes, came: self.comes_of(ix) })
    }

    /// The members that the test could bring at its start; `None`: any.
    fn declared(&mut self) -> Option<BTreeMap<(Meeting, String), usize>> {
        let mut slaves: BTreeMap<*const Entry, (usize, usize)> = BTreeMap::new();
        for (ix, slave) in self.run.test.slaves.iter().enumerate() {
            slaves.entry(slave.entries.as_ptr()).or_insert((ix, 0)).1 += 1;
        }
        let mut declared = BTreeMap::new();
        for (ix, count) in slaves.into_values() {
            for (kind, name, _) in self.comes_of(ix)?.iter() {
                *declared.entry((*kind, name.clone())).or_default() += count;
            }
        }
        Some(declared)
    }

    /// To what the entries of a slave come; `None`: to anything.
    fn comes_of(&mut self, ix: usize) -> Option<Rc<BTreeSet<Coming>>> {
        let entries = self.entries(ix);
        self.come.entry(entries.as_ptr()).or_insert_with(|| comes_of(entries).map(Rc::new)).clone()
    }
}

/// To what these entries come; `None`: to anything.
fn comes_of(entries: &[Entry]) -> Option<BTreeSet<Coming>> {
    let any = entries.iter().any(|entry| entry.shell().is_some());
    (!any).then(|| entries.iter().filter_map(coming).collect())
}

/// Whether members shall not wait for a slave because it is lost.
fn is_given_up(run: &Run, ix: usize) -> bool {
    run.roster.get(ix).stage == Stage::Lost && !injected(Fault::LostSlaveAwaited)
}

/// Whether an entry runs, or will without a further trigger or poke, as far as is known.
fn is_under_way(run: &Run, member: &RunSlave, ends: &Ends<'_>, entry: &Entry) -> bool {
    let triggers = &run.room.triggers;
    if member.begun.is_none() || !member.knows_all_runs() || member.runs_now(&entry.name) {
        return true;
    }
    if member.has_nothing_to_do(triggers.fired().len() as u64) {
        return false;
    }
    let runs = member.counts.get(&entry.name).map_or(0, |counts| counts.runs);
    match &entry.policy {
        Policy::At(_) => runs == 0 && !injected(Fault::CannotComeTooEarly),
        Policy::Poke => true,
        Policy::Trigger(trigger) => runs == 0 && triggers.get(trigger).is_some_and(|it| it.fired.is_some()),
        Policy::After(after) => ends.of_what_is_awaited(after) > runs,
        Policy::Finally => false,
    }
}

/// How often the entries of a slave have exited, and how, and have become ready.
struct Ends<'a>(BTreeMap<(&'a str, How), usize>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Ready,
    Ended,
    Exited(Exit),
}

impl<'a> Ends<'a> {
    fn of(member: &'a RunSlave) -> Ends<'a> {
        let mut ends: BTreeMap<(&str, How), usize> = BTreeMap::new();
        for run in &member.runs {
            let exit = run.end.as_ref().and_then(|end| end.exit);
            let ended = run.end.as_ref().map(|_| How::Ended);
            for how in [run.ready.then_some(How::Ready), ended, exit.map(How::Exited)].into_iter().flatten() {
                *ends.entry((&run.entry, how)).or_default() += 1;
            }
        }
        Ends(ends)
    }

    /// How often that has happened which an entry follows.
    fn of_what_is_awaited(&self, after: &After) -> usize {
        let how = match after.exit {
            _ if after.ready => How::Ready,
            Some(exit) => How::Exited(exit),
            None => How::Ended,
        };
        self.0.get(&(after.entry.as_str(), how)).copied().unwrap_or(0)
    }
}

/// To which meeting a built-in entry comes.
fn coming(entry: &Entry) -> Option<Coming> {
    match &entry.action {
        Action::Barrier { barrier, tag, .. } => Some((Meeting::Barrier, barrier.clone(), tag.clone())),
        Action::Sync { session, tag, .. } => Some((Meeting::Sync, session.clone(), tag.clone())),
        _ => None,
    }
}

/// Why a slave that is there does not come: its first failure, if it has failed.
fn why_not(member: &RunSlave) -> String {
    let ended = member.runs.iter().filter_map(|run| Some((run, run.end.as_ref()?)));
    let first = ended.filter(|(_, end)| end.outcome == EntryOutcome::Failed).min_by_key(|(_, end)| end.at);
    if let Some((run, end)) = first {
        let why = end.why.as_deref().unwrap_or("failed");
        // What was expected instead is in the line of the entry itself.
        let exit = end.exit.map(|exit| exit.to_string()).filter(|exit| why.starts_with(exit.as_str()));
        return format!("its entry {} failed ({})", run.entry, exit.as_deref().unwrap_or(why));
    }
    let name = &member.name;
    match member.running().next() {
        Some(_) => format!("nothing that runs on {name} or can start there comes to it"),
        None => format!("nothing runs on {name} and nothing can start there any more"),
    }
}
