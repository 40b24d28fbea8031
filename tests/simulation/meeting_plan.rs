//! Random meetings: barriers and syncs among the slaves of a run, or among clients in a room. The generator knows how
//! they must end without disturbance.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use arete::machine::{Exit, Signal};
use arete::testfile::{Declared, End, OnFail, OnLost, Slave, Test};
use arete::wire::rendezvous::Party;
use arete::wire::{Action, Entry, Expect, Policy, Shell};
use fastrand::Rng;

use crate::generator::{at, entry, shell};
use crate::world::MILLISECOND;
use crate::world::meet::{Meet, fresh_of, value_of};

/// The time in which the members of a meeting arrive, in milliseconds. It is well below every timeout that must not
/// pass.
const TOGETHER: u64 = 1_500;
/// The delay of an arrival that must come after those of the others, in milliseconds.
const LATER: u64 = 5_000;
/// A timeout that does not pass without disturbance, in milliseconds.
const LONG: std::ops::Range<u64> = 30_000..60_000;

/// One arrival of one member.
#[derive(Debug, Clone)]
pub struct Planned {
    pub serial: u64,
    pub host: usize,
    pub tag: Option<String>,
    pub sync: bool,
    pub name: String,
    pub party: Option<Party>,
    /// In milliseconds.
    pub timeout: Option<u64>,
    pub abort: Option<String>,
    pub all_alive: bool,
    pub harmonize: bool,
    /// The approximate length of its value, in bytes.
    pub size: usize,
    /// One of these exit statuses is expected, without disturbance.
    pub expect: Vec<u8>,
}

/// A command, with the arrivals that it makes one after another.
#[derive(Debug, Clone)]
pub struct Script {
    pub host: usize,
    /// In milliseconds since the start.
    pub at: u64,
    /// The waits before the arrivals, and the arrivals.
    pub steps: Vec<(u64, Planned)>,
    /// When it is killed, in milliseconds since the start.
    pub killed: Option<u64>,
}

/// All meetings, and the expectations for them.
#[derive(Default, Debug)]
pub struct Plan {
    pub hosts: usize,
    pub scripts: Vec<Script>,
    /// The members that the test declares, by whether it is a sync, and name.
    pub declared: BTreeMap<(bool, String), Vec<String>>,
    pub groups: BTreeMap<String, Vec<String>>,
    serial: u64,
    /// Whether the test may declare the members, so that arrivals do not name them.
    may_declare: bool,
    scenes: usize,
}

/// A member: its host, and its tag if there are several on the host.
type Member = (usize, Option<String>);

fn name_of((host, tag): &Member) -> String {
    match tag {
        Some(tag) => format!("s{host}#{tag}"),
        None => format!("s{host}"),
    }
}

impl Planned {
    pub fn member(&self) -> String {
        name_of(&(self.host, self.tag.clone()))
    }

    pub fn value(&self) -> String {
        value_of(self.serial, self.size)
    }

    /// The request of a client.
    pub fn meet(&self) -> Meet {
        Meet {
            sync: self.sync,
            name: self.name.clone(),
            tag: None,
            party: self.party.clone(),
            timeout: self.timeout.map(|it| it * MILLISECOND),
            fresh: Some(fresh_of(self.serial)),
            abort: self.abort.clone(),
            all_alive: self.all_alive,
            harmonize: self.harmonize,
            value: self.value(),
        }
    }

    /// The step of the virtual shell.
    fn step(&self) -> String {
        let word = if self.sync { "sync" } else { "barrier" };
        let mut step = format!("{word} {}", self.name);
        match &self.party {
            Some(Party::Members(members)) => step += &format!(" members={}", members.join(",")),
            Some(Party::Count(count)) => step += &format!(" count={count}"),
            None => {}
        }
        let options = [("timeout", self.timeout.map(|it| it.to_string())), ("tag", self.tag.clone())];
        for (key, value) in options.into_iter().chain([("abort", self.abort.clone())]) {
            step += &value.map(|value| format!(" {key}={value}")).unwrap_or_default();
        }
        match self.sync {
            true if self.all_alive => step += &format!(" alive value={}", self.value()),
            true => step += &format!(" value={}", self.value()),
            false if self.harmonize => step += &format!(" harmonize fresh={}", fresh_of(self.serial)),
            false => step += &format!(" fresh={}", fresh_of(self.serial)),
        }
        step
    }

    fn action(&self) -> Action {
        let (tag, party, timeout) = (self.tag.clone(), self.party.clone(), self.timeout.map(|it| it * MILLISECOND));
        if self.sync {
            let value = serde_json::from_str(&self.value()).expect("it is JSON");
            let (session, all_alive, expect) = (self.name.clone(), self.all_alive, self.expects());
            Action::Sync { session, tag, party, timeout, all_alive, value, expect }
        } else {
            let (fresh, abort, expect) = (Some(fresh_of(self.serial)), self.abort.clone(), self.expects());
            let (barrier, harmonize) = (self.name.clone(), self.harmonize);
            Action::Barrier { barrier, tag, party, timeout, fresh, abort, harmonize, expect }
        }
    }

    /// The expectation of an entry: its result without disturbance, or nothing.
    fn expects(&self) -> Expect {
        let planned = Expect::Of(self.expect.iter().map(|code| Exit::Code((*code).into())).collect());
        if self.serial.is_multiple_of(3) { Expect::default() } else { planned }
    }
}

/// Meetings among slaves or clients on `hosts` hosts.
pub fn plan(hosts: usize, may_declare: bool, rng: &mut Rng) -> Plan {
    let mut plan = Plan { hosts, may_declare, ..Plan::default() };
    for _ in 0..rng.usize(1..=4) {
        plan.scene(rng);
    }
    plan
}

/// One meeting of one round of clients. The first one serves the room to the others.
pub fn served(hosts: usize, rng: &mut Rng) -> Plan {
    let mut plan = Plan { hosts, ..Plan::default() };
    let scene = plan.cast(rng);
    match rng.u8(0..6) {
        0 => plan.missing(&scene, None, rng),
        1 if !scene.sync => plan.abort(&scene, false, rng),
        2 if scene.members.len() > 2 => {
            // The member that serves is already there when the first one dies.
            plan.dies(&scene, rng);
            if !scene.sync || scene.all_alive {
                // It would arrive when the room is not served any more.
                plan.scripts.pop();
            }
            plan.scripts.rotate_left(1);
            return plan;
        }
        _ => plan.rounds(&scene, 1, rng),
    }
    rng.shuffle(&mut plan.scripts);
    plan
}

/// The members of a scene, and what they have in common.
struct Scene {
    sync: bool,
    name: String,
    members: Vec<Member>,
    begin: u64,
    party: Option<Party>,
    all_alive: bool,
    harmonize: bool,
    size: usize,
}

impl Scene {
    fn names(&self) -> Vec<String> {
        self.members.iter().map(name_of).collect()
    }
}

impl Plan {
    /// Chooses members, and what they have in common.
    fn cast(&mut self, rng: &mut Rng) -> Scene {
        self.scenes += 1;
        let mut members: Vec<Member> = (0..self.hosts).map(|host| (host, None)).collect();
        members.extend((0..self.hosts).flat_map(|host| ["a", "b"].map(|tag| (host, Some(tag.to_owned())))));
        rng.shuffle(&mut members);
        members.truncate(rng.usize(2..=5).min(members.len()));
        let sync = rng.bool();
        let name = format!("{}{}", if sync { "data" } else { "tag" }, self.scenes);
        let size = if rng.u8(0..5) == 0 { rng.usize(0..4_000) } else { rng.usize(0..50) };
        let all_alive = sync && rng.bool();
        let begin = rng.u64(0..6_000);
        let harmonize = !sync && rng.u8(0..3) == 0;
        let mut scene = Scene { sync, name, members, begin, party: None, all_alive, harmonize, size };
        scene.party = self.party(&scene, rng);
        scene
    }

    fn scene(&mut self, rng: &mut Rng) {
        let scene = self.cast(rng);
        match rng.u8(0..13) {
            0..4 => {
                let rounds = rng.usize(1..=4);
                self.rounds(&scene, rounds, rng);
            }
            4 => {
                let late = [None, Some(2 * LATER + TOGETHER), Some(3 * LATER), Some(8 * LATER)][rng.usize(0..4)];
                self.missing(&scene, late, rng);
            }
            5 => self.race(&scene, rng),
            6 if !scene.sync => {
                let waits = rng.bool();
                self.abort(&scene, waits, rng);
            }
            7 => self.dies(&scene, rng),
            8 => self.stranger(&scene, rng),
            9 => self.disagree(&scene, rng),
            10 => self.returns(&scene, rng),
            11 => self.twice(&scene, rng),
            _ => self.count(&scene, rng),
        }
    }

    /// The party that the members name.
    fn party(&mut self, scene: &Scene, rng: &mut Rng) -> Option<Party> {
        let names = scene.names();
        match rng.u8(0..6) {
            0 => Some(Party::Count(names.len() as u32)),
            1 if self.may_declare => {
                self.declared.insert((scene.sync, scene.name.clone()), names);
                None
            }
            2 if self.may_declare => {
                let group = format!("group{}", self.scenes);
                self.groups.insert(group.clone(), names);
                Some(Party::Members(vec![format!("@{group}")]))
            }
            _ => Some(Party::Members(names)),
        }
    }

    fn arrival(
        &mut self,
        scene: &Scene,
        member: &Member,
        timeout: Option<u64>,
        expect: &[u8],
        rng: &mut Rng,
    ) -> Planned {
        self.serial += 1;
        let mut party = scene.party.clone();
        if let Some(Party::Members(members)) = &mut party {
            rng.shuffle(members);
        }
        Planned {
            serial: self.serial,
            host: member.0,
            tag: member.1.clone(),
            sync: scene.sync,
            name: scene.name.clone(),
            party,
            timeout,
            abort: None,
            all_alive: scene.all_alive,
            harmonize: scene.harmonize,
            size: scene.size,
            expect: expect.to_vec(),
        }
    }

    fn add(&mut self, at: u64, steps: Vec<(u64, Planned)>) {
        self.scripts.push(Script { host: steps[0].1.host, at, steps, killed: None });
    }

    fn long(&self, scene: &Scene, rng: &mut Rng) -> Option<u64> {
        (scene.sync || rng.bool()).then(|| rng.u64(LONG))
    }

    /// All meet, again and again, at the same time.
    fn rounds(&mut self, scene: &Scene, rounds: usize, rng: &mut Rng) {
        for member in &scene.members {
            let mut steps = Vec::new();
            for _ in 0..rounds {
                let wait = if rng.bool() { 0 } else { rng.u64(0..400) };
                let timeout = self.long(scene, rng);
                steps.push((wait, self.arrival(scene, member, timeout, &[0], rng)));
            }
            self.add(scene.begin + rng.u64(0..TOGETHER), steps);
        }
    }

    /// One member does not arrive in time. It may arrive later, while the failed round's verdict is kept or after
    /// that, and then it may name itself as the only member.
    fn missing(&mut self, scene: &Scene, late: Option<u64>, rng: &mut Rng) {
        let declared = self.declared.contains_key(&(scene.sync, scene.name.clone()));
        for (index, member) in scene.members.iter().enumerate() {
            let timeout = Some(TOGETHER + LATER + rng.u64(0..3_000));
            let mut step = self.arrival(scene, member, timeout, &[3, 5], rng);
            if index > 0 {
                self.add(scene.begin + rng.u64(0..TOGETHER), vec![(0, step)]);
            } else if let Some(late) = late {
                if !declared && rng.u8(0..3) == 0 {
                    step.party = Some(Party::Members(vec![name_of(member)]));
                    step.expect = vec![0];
                }
                self.add(scene.begin + late, vec![(0, step)]);
            }
        }
    }

    /// The last member arrives when the timeout of the first passes.
    fn race(&mut self, scene: &Scene, rng: &mut Rng) {
        let timeout = TOGETHER + rng.u64(500..1_500);
        for (index, member) in scene.members.iter().enumerate() {
            let at = scene.begin + if index == 0 { timeout - 50 + rng.u64(0..100) } else { 0 };
            let step = self.arrival(scene, member, Some(timeout), &[0, 3, 5], rng);
            let again = self.arrival(scene, member, Some(timeout), &[0, 3, 5], rng);
            self.add(at, vec![(0, step), (rng.u64(0..50), again)]);
        }
    }

    /// One member aborts, before the others arrive, after that or meanwhile. It may wait itself, and abort with
    /// another command.
    fn abort(&mut self, scene: &Scene, waits: bool, rng: &mut Rng) {
        for (index, member) in scene.members.iter().enumerate() {
            let timeout = self.long(scene, rng);
            let mut step = self.arrival(scene, member, timeout, &[4], rng);
            let at = match (index, waits) {
                (0, true) => TOGETHER + LATER,
                // So that not all have arrived before.
                (1, true) => TOGETHER + 2 * LATER,
                _ => rng.u64(0..TOGETHER),
            };
            step.abort = (index == 0).then(|| "no-disk".to_owned());
            self.add(scene.begin + at, vec![(0, step)]);
            if index == 0 && waits {
                let timeout = self.long(scene, rng);
                let step = self.arrival(scene, member, timeout, &[4], rng);
                self.add(scene.begin + rng.u64(0..TOGETHER), vec![(0, step)]);
            }
        }
    }

    /// One member waits, and its command is killed.
    fn dies(&mut self, scene: &Scene, rng: &mut Rng) {
        let fails = !scene.sync || scene.all_alive;
        for (index, member) in scene.members.iter().enumerate() {
            let timeout = self.long(scene, rng);
            let last = index + 1 == scene.members.len();
            let (at, expect) = match (index, last, fails) {
                (0, ..) => (0, vec![]),
                (_, true, false) => (3 * LATER + TOGETHER, vec![0]),
                (_, true, true) => (6 * LATER + TOGETHER, vec![5]),
                (_, false, true) => (rng.u64(0..TOGETHER), vec![5]),
                (_, false, false) => (rng.u64(0..TOGETHER), vec![0]),
            };
            let timeout = timeout.filter(|_| scene.sync).map(|timeout| timeout.max(50_000));
            let step = self.arrival(scene, member, timeout, &expect, rng);
            self.add(scene.begin + at, vec![(0, step)]);
            if index == 0 {
                let killed = scene.begin + TOGETHER + LATER + rng.u64(0..500);
                self.scripts.last_mut().expect("just added").killed = Some(killed);
            }
        }
    }

    /// A client arrives that is not a member.
    fn stranger(&mut self, scene: &Scene, rng: &mut Rng) {
        let (members, name) = (scene.members.clone(), scene.name.clone());
        let mut scene = Scene { members, name, party: None, ..*scene };
        let stranger = scene.members.pop().expect("there are two");
        scene.party = Some(Party::Members(scene.names()));
        self.declared.remove(&(scene.sync, scene.name.clone()));
        if scene.members.len() < 2 {
            return self.rounds(&scene, 1, rng);
        }
        for (index, member) in scene.members.iter().enumerate() {
            let timeout = self.long(&scene, rng);
            let step = self.arrival(&scene, member, timeout, &[0], rng);
            self.add(scene.begin + if index == 0 { 2 * LATER } else { rng.u64(0..TOGETHER) }, vec![(0, step)]);
        }
        let timeout = self.long(&scene, rng);
        let mut step = self.arrival(&scene, &stranger, timeout, &[1], rng);
        if rng.bool() && self.may_declare {
            step.party = None;
        }
        self.add(scene.begin + TOGETHER + LATER, vec![(0, step)]);
    }

    /// One member names another party than the others.
    fn disagree(&mut self, scene: &Scene, rng: &mut Rng) {
        let declared = self.declared.contains_key(&(scene.sync, scene.name.clone()));
        for (index, member) in scene.members.iter().enumerate() {
            let timeout = self.long(scene, rng);
            let mut step = self.arrival(scene, member, timeout, &[1], rng);
            let last = index + 1 == scene.members.len();
            if last {
                let mut others = vec![name_of(member), "s99".to_owned()];
                others.extend(scene.names().into_iter().take(rng.usize(0..2)));
                others.sort_unstable();
                others.dedup();
                step.party = Some(Party::Members(others));
            } else if scene.members.len() > 2 && index + 2 == scene.members.len() && !declared {
                // Arrives when the round has already failed.
                self.add(scene.begin + TOGETHER + 3 * LATER, vec![(0, step)]);
                continue;
            }
            self.add(scene.begin + if last { TOGETHER + LATER } else { rng.u64(0..TOGETHER) }, vec![(0, step)]);
        }
    }

    /// One member dies while it waits, and another process with its name arrives at once.
    fn returns(&mut self, scene: &Scene, rng: &mut Rng) {
        for (index, member) in scene.members.iter().enumerate() {
            let timeout = self.long(scene, rng);
            let last = index + 1 == scene.members.len();
            let expect: &[u8] = if index == 0 { &[] } else { &[0] };
            let at = scene.begin + if last { 4 * LATER } else { rng.u64(0..TOGETHER) };
            let step = self.arrival(scene, member, timeout, expect, rng);
            self.add(at, vec![(0, step)]);
            if index == 0 {
                let killed = scene.begin + TOGETHER + LATER;
                self.scripts.last_mut().expect("just added").killed = Some(killed);
                let timeout = self.long(scene, rng);
                let step = self.arrival(scene, member, timeout, &[0], rng);
                self.add(killed + rng.u64(10..800), vec![(0, step)]);
            }
        }
    }

    /// Two commands arrive as the same member. The second one may name another party.
    fn twice(&mut self, scene: &Scene, rng: &mut Rng) {
        for (index, member) in scene.members.iter().enumerate() {
            let timeout = self.long(scene, rng);
            let step = self.arrival(scene, member, timeout, &[0], rng);
            let last = index + 1 == scene.members.len();
            self.add(scene.begin + if last { 3 * LATER } else { rng.u64(0..TOGETHER) }, vec![(0, step)]);
            if index == 0 {
                let mut step = self.arrival(scene, member, timeout, &[1], rng);
                if rng.bool() {
                    step.party = Some(Party::Members(vec![name_of(member), "s99".to_owned()]));
                }
                self.add(scene.begin + TOGETHER + LATER, vec![(0, step)]);
            }
        }
    }

    /// The count is smaller than the number of members. The others get no round of their own. Many may arrive while
    /// the controller waits for signs of life of the first.
    fn count(&mut self, scene: &Scene, rng: &mut Rng) {
        let count = rng.usize(1..=scene.members.len()) as u32;
        self.declared.remove(&(scene.sync, scene.name.clone()));
        let party = Some(Party::Count(count));
        let exact = (scene.members.len() as u32).is_multiple_of(count);
        let scene = Scene { members: scene.members.clone(), name: scene.name.clone(), party, ..*scene };
        let at_once = rng.u8(0..4) > 0;
        for (index, member) in scene.members.iter().enumerate() {
            let expect: &[u8] = if exact { &[0] } else { &[0, 3, 5] };
            let timeout = if exact { self.long(&scene, rng) } else { Some(rng.u64(2_000..12_000)) };
            let step = self.arrival(&scene, member, timeout, expect, rng);
            let together = at_once && index + 1 >= count as usize;
            let at = if together { TOGETHER + 1_500 } else { rng.u64(0..TOGETHER) };
            self.add(scene.begin + at, vec![(0, step)]);
        }
    }

    pub fn planned(&self) -> impl Iterator<Item = &Planned> {
        self.scripts.iter().flat_map(|script| script.steps.iter().map(|(_, step)| step))
    }

    /// The test in which the slaves do it.
    pub fn test(&self, rng: &mut Rng) -> Rc<Test> {
        let mut entries: Vec<Vec<Entry>> = vec![Vec::new(); self.hosts];
        let mut triggers = BTreeMap::new();
        // The start of a command: at its time, or after a trigger that another slave notifies at that time.
        let mut policy = |nr: usize, at: u64, entries: &mut Vec<Vec<Entry>>, rng: &mut Rng| {
            if self.scripts[nr].killed.is_some() || rng.u8(0..5) > 0 {
                return Policy::At(at);
            }
            let trigger = format!("t{nr}");
            triggers.insert(trigger.clone(), 1);
            let notify = Action::Notify { trigger: trigger.clone(), data: None };
            entries[rng.usize(0..self.hosts)].push(crate::generator::at(&format!("n{nr}"), at, notify));
            Policy::Trigger(trigger)
        };
        for (nr, script) in self.scripts.iter().enumerate() {
            let (name, begin) = (format!("c{nr}"), script.at * MILLISECOND);
            let [(wait, only)] = &script.steps[..] else {
                let policy = policy(nr, begin, &mut entries, rng);
                entries[script.host].push(entry(&name, policy, script.command(&name)));
                continue;
            };
            let as_entry = rng.u8(0..3) == 0;
            let action = if as_entry { only.action() } else { script.command(&name) };
            let policy = policy(nr, begin + wait * MILLISECOND, &mut entries, rng);
            entries[script.host].push(entry(&name, policy, action));
            if let Some(killed) = script.killed {
                let signal = if rng.bool() { Signal::TERM } else { Signal::KILL };
                let kill = Action::Kill { entry: name.clone(), signal };
                entries[script.host].push(at(&format!("kill-{name}"), killed * MILLISECOND, kill));
            }
        }
        let declared = |sync: bool| {
            let mine = self.declared.iter().filter(move |((of_sync, _), _)| *of_sync == sync);
            let declared = |names: &Vec<String>| Declared { party: Some(Party::Members(names.clone())), timeout: None };
            mine.map(|((_, name), names)| (name.clone(), declared(names))).collect()
        };
        let slaves = entries.into_iter().enumerate();
        Rc::new(Test {
            params: Default::default(),
            name: "meetings".to_owned(),
            end: End::Idle { limit: Duration::from_secs(200) },
            grace: Duration::from_millis(rng.u64(500..3_000)),
            on_fail: OnFail::Continue,
            on_lost: if rng.bool() { OnLost::Continue } else { OnLost::Fail },
            triggers,
            resources: BTreeMap::new(),
            barriers: declared(false),
            syncs: declared(true),
            groups: self.groups.clone(),
            guests: Default::default(),
            asserts: Vec::new(),
            slaves: slaves
                .map(|(index, entries)| Slave {
                    name: format!("s{index}"),
                    with: None,
                    address: None,
                    entries: entries.into(),
                })
                .collect(),
        })
    }
}

impl Script {
    fn command(&self, name: &str) -> Action {
        let steps: Vec<String> =
            self.steps.iter().map(|(wait, step)| format!("sleep {wait}; {}", step.step())).collect();
        match shell(name, &steps.join("; ")) {
            Action::Shell(shell) => Action::Shell(Box::new(Shell { expect: Expect::Any, ..*shell })),
            other => other,
        }
    }
}
