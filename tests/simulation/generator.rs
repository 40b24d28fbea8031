//! Random tests: small ones, for which the generator knows how they must end without disturbance.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use arete::controller::OUTPUT_MAX;
use arete::machine::{Exit, Signal};
use arete::measure::bound::{Bound, Comparison};
use arete::testfile::{Assert, AssertOf, End, Figure, OnFail, OnLost, Slave, Test};
use arete::wire::{
    Action, After, CHUNK_MAX, Condition, Entry, Expect, Harm, Injection, Policy, Resource, Retries, Shell, Verdict,
    When,
};
use fastrand::Rng;
use sha2::{Digest, Sha256};

use crate::world::process::flood;

#[path = "servers.rs"]
mod servers;

/// A test and the expectations for it.
pub struct Plan {
    pub test: Rc<Test>,
    /// The files on the controller's host for the test's resources, by name.
    pub resources: BTreeMap<String, (PathBuf, Vec<u8>)>,
    /// How it ends without disturbance. `None` if that depends on timing.
    pub verdict: Option<Verdict>,
    /// Pokes from outside do not change how it ends.
    pub may_be_poked: bool,
    /// The most that the slaves may ship.
    pub output_max: u64,
}

/// The state of the generator.
struct Draft<'a> {
    rng: &'a mut Rng,
    end: Kind,
    /// Whether each trigger must fire.
    fires: Vec<bool>,
    /// The number of notifies that each trigger gets for sure.
    sure: Vec<u64>,
    resources: Vec<String>,
    must_fail: bool,
    /// Whether the test fails depends on timing.
    may_fail: bool,
    /// An entry ends the run with this verdict.
    ends: Option<Verdict>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Duration,
    Trigger,
    Idle,
}

fn trigger_name(index: usize) -> String {
    format!("t{index}")
}

pub fn plan(rng: &mut Rng) -> Plan {
    let end = [Kind::Duration, Kind::Trigger, Kind::Trigger, Kind::Idle][rng.usize(0..4)];
    let triggers = rng.usize(1..=3);
    let fires = (0..triggers).map(|_| rng.u8(0..20) > 0).collect();
    let resources = resources(rng);
    let names = resources.keys().cloned().collect();
    let mut draft = Draft {
        rng,
        end,
        fires,
        sure: vec![0; triggers],
        resources: names,
        must_fail: false,
        may_fail: false,
        ends: None,
    };
    let count = draft.rng.usize(1..=6);
    let mut entries: Vec<Vec<Entry>> = (0..count).map(|_| draft.slave()).collect();
    for index in 0..triggers {
        if draft.sure[index] == 0 {
            entries[0].push(at(
                &format!("seed{index}"),
                100_000,
                Action::Notify { trigger: trigger_name(index), data: None },
            ));
            draft.sure[index] = 1;
        }
    }
    let initial = (0..triggers).map(|index| (trigger_name(index), draft.initial(index))).collect();
    let verdict = draft.verdict();
    let may_be_poked = draft.fires[0];
    let slaves = entries.into_iter().enumerate().map(|(index, entries)| Slave {
        name: format!("s{index}"),
        with: None,
        address: None,
        entries: entries.into(),
    });
    let test = Test {
        params: BTreeMap::from([("n".to_owned(), "1".to_owned())]),
        name: "generated".to_owned(),
        end: draft.end_of_test(),
        grace: draft.grace(),
        on_fail: if draft.rng.u8(0..4) == 0 { OnFail::End } else { OnFail::Continue },
        on_lost: if draft.rng.u8(0..4) == 0 { OnLost::Continue } else { OnLost::Fail },
        triggers: initial,
        resources: resources
            .iter()
            .map(|(name, (path, bytes))| (name.clone(), (path.clone(), described(name, bytes))))
            .collect(),
        barriers: BTreeMap::new(),
        syncs: BTreeMap::new(),
        groups: BTreeMap::new(),
        guests: Default::default(),
        asserts: Vec::new(),
        slaves: slaves.collect(),
    };
    Plan { test: Rc::new(test), resources, verdict, may_be_poked, output_max: OUTPUT_MAX }
}

/// In some tests the slaves write more than they may ship, which no verdict shows. It has its own generator, so that
/// the rest of a seed does not change.
pub fn gush(seed: u64, plan: &mut Plan) {
    let mut rng = Rng::with_seed(!seed.rotate_left(32));
    if rng.u8(0..8) > 0 {
        return;
    }
    plan.output_max = rng.u64(0..400_000);
    let test = Rc::get_mut(&mut plan.test).expect("it is not shared yet");
    let slave = rng.usize(0..test.slaves.len());
    let flood = at("gush", 0, shell("gush", &format!("flood {}", rng.usize(300_000..900_000))));
    let entries = &mut test.slaves[slave].entries;
    *entries = entries.iter().cloned().chain([flood]).collect();
}

/// Background processes of some jobs notify the end trigger long after the jobs have exited. This has its own
/// generator, too.
pub fn leave(seed: u64, plan: &mut Plan) {
    let mut rng = Rng::with_seed(!seed.rotate_left(16));
    let test = Rc::get_mut(&mut plan.test).expect("it is not shared yet");
    let End::Trigger { trigger, .. } = &test.end else { return };
    if rng.u8(0..6) > 0 {
        return;
    }
    let command = format!("later {} notify {trigger}", rng.usize(100..9_000));
    *test.triggers.get_mut(trigger).expect("it is declared") += 1;
    let slave = rng.usize(0..test.slaves.len());
    let entries = &mut test.slaves[slave].entries;
    *entries = entries.iter().cloned().chain([at("leaves", 0, shell("leaves", &command))]).collect();
}

/// A job fails at first and is run again, and another entry waits for it and for a worker. This has its own generator,
/// too. The end of other tests may come between two attempts.
pub fn again(seed: u64, plan: &mut Plan) {
    let mut rng = Rng::with_seed(!seed.rotate_left(8));
    let test = Rc::get_mut(&mut plan.test).expect("it is not shared yet");
    let ends = |slave: &Slave| slave.entries.iter().any(|entry| matches!(entry.action, Action::End { .. }));
    if rng.u8(0..3) > 0 || !matches!(test.end, End::Idle { .. }) || test.slaves.iter().any(ends) {
        return;
    }
    let (times, passes) = (rng.u32(1..4), rng.u32(1..6));
    let Action::Shell(job) = shell("again", &format!("out try; sleep 50; tries {passes}")) else { return };
    let retries = Some(Retries { times, delay: rng.u64(0..400_000) });
    if passes > times + 1 {
        plan.verdict = plan.verdict.map(|_| Verdict::Failed);
    }
    let condition = |entry: &str| Condition { entry: entry.to_owned(), when: When::Ended };
    let after = After { of: vec![condition("again"), condition("w0")], any: rng.bool(), delay: rng.u64(0..400_000) };
    let more = [
        at("again", rng.u64(0..2_000_000), Action::Shell(Box::new(Shell { retries, ..*job }))),
        entry("both", Policy::After(after), shell("both", "out both; sleep 20")),
    ];
    let slave = rng.usize(0..test.slaves.len());
    let entries = &mut test.slaves[slave].entries;
    *entries = entries.iter().cloned().chain(more).collect();
}

/// Some tests inject faults, and stop a service for a while. This has its own generator, too.
pub fn harm(seed: u64, plan: &mut Plan) {
    let mut rng = Rng::with_seed(!seed.rotate_left(48));
    if rng.u8(0..3) > 0 {
        return;
    }
    let test = Rc::get_mut(&mut plan.test).expect("it is not shared yet");
    let slave = rng.usize(0..test.slaves.len());
    let mut more = Vec::new();
    for nr in 0..rng.usize(1..=2) {
        let lasts = rng.bool().then(|| rng.u64(1..3_000_000));
        let what = match rng.bool() {
            true => Harm::Fill { path: "full".to_owned(), leave: 0 },
            false => Harm::Clock { step: 3_600_000_000 },
        };
        let name = format!("harm{nr}");
        more.push(at(&name, rng.u64(0..3_000_000), Action::Fault(Box::new(Injection { what, lasts }))));
        if rng.bool() {
            let kill = Action::Kill { entry: name, signal: Signal::TERM };
            more.push(at(&format!("mend{nr}"), rng.u64(0..4_000_000), kill));
        }
    }
    if rng.bool() {
        let Action::Shell(mut still) = shell("still", "forever") else { return };
        still.service = true;
        still.expect = Expect::Of(Vec::new());
        more.push(at("still", 0, Action::Shell(still)));
        let (what, lasts) = (Harm::Pause { entry: "still".to_owned() }, rng.bool().then(|| rng.u64(1..2_000_000)));
        more.push(at("hold", rng.u64(500_000..2_000_000), Action::Fault(Box::new(Injection { what, lasts }))));
    }
    let entries = &mut test.slaves[slave].entries;
    *entries = entries.iter().cloned().chain(more).collect();
}

/// Some slaves measure something, and some tests assert something about it. This has its own generator, too.
pub fn measure(seed: u64, plan: &mut Plan) {
    let mut rng = Rng::with_seed(!seed.rotate_left(40));
    if rng.u8(0..3) > 0 {
        return;
    }
    let test = Rc::get_mut(&mut plan.test).expect("it is not shared yet");
    let mut nr = 0;
    for slave in &mut test.slaves {
        if rng.u8(0..4) == 0 {
            continue;
        }
        let mut steps = Vec::new();
        for _ in 0..rng.usize(1..5) {
            nr += 1;
            // In milliseconds all values differ: those that are recorded in milliseconds are odd.
            let (value, unit) = if rng.bool() { (2 * nr + 1, "ms") } else { (nr, "s") };
            steps.push(format!("record m{} {value} {unit}", rng.u8(0..2)));
            steps.push(format!("sleep {}", rng.u64(0..400)));
        }
        let entry = at("measures", rng.u64(0..1_500_000), shell("measures", &steps.join("; ")));
        slave.entries = slave.entries.iter().cloned().chain([entry]).collect();
    }
    let slaves = test.slaves.len();
    for _ in 0..rng.usize(0..3) {
        let breaks = rng.u8(0..4) == 0;
        let bound = if breaks { (Figure::Each, bound("< 0")) } else { any_bound(&mut rng) };
        let some = (0..slaves).filter(|_| rng.bool()).map(|ix| format!("s{ix}")).collect();
        let of = rng.bool().then(|| AssertOf { text: "some".to_owned(), slaves: some });
        test.asserts.push(Assert { name: format!("m{}", rng.u8(0..2)), of, bounds: vec![bound] });
        // Whether a job comes to its measurements may depend on the end of the test.
        plan.verdict = match plan.verdict {
            Some(Verdict::Passed) if breaks => Some(Verdict::Failed),
            Some(Verdict::Passed) => None,
            other => other,
        };
    }
}

/// A bound that depends on the measurements. No figure of whole numbers is close to it.
fn any_bound(rng: &mut Rng) -> (Figure, Bound) {
    let figures = [Figure::Each, Figure::Min, Figure::Max, Figure::Mean, Figure::Median, Figure::Sum];
    let (figure, sign) = (figures[rng.usize(0..figures.len())], [">=", "<=", ">", "<"][rng.usize(0..4)]);
    match rng.u8(0..4) {
        0 => (Figure::Count, bound(&format!("{sign} {}", rng.u8(0..8)))),
        1 => (figure, bound(&format!("{sign} {}.00037s", rng.u8(0..20)))),
        _ => (figure, bound(&format!("{sign} {}.37 ms", rng.u16(0..20_000)))),
    }
}

fn bound(text: &str) -> Bound {
    Bound::read(text, Comparison::Equal).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn resources(rng: &mut Rng) -> BTreeMap<String, (PathBuf, Vec<u8>)> {
    let count = if rng.bool() { rng.usize(1..=2) } else { 0 };
    let resource = |index: usize| {
        let size = match rng.u8(0..40) {
            0 => CHUNK_MAX,
            1 => CHUNK_MAX + rng.usize(1..100),
            2..12 => 0,
            _ => rng.usize(1..3_000),
        };
        let name = format!("r{index}");
        let mut bytes = flood(size + index);
        bytes.drain(..index);
        (name.clone(), (PathBuf::from(format!("/resources/{name}.bin")), bytes))
    };
    (0..count).map(resource).collect()
}

fn described(name: &str, bytes: &[u8]) -> Resource {
    Resource {
        name: name.to_owned(),
        file: format!("{name}.bin"),
        size: bytes.len() as u64,
        sha256: Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
        executable: false,
    }
}

pub fn shell(name: &str, steps: &str) -> Action {
    Action::Shell(Box::new(Shell { command: vec![format!("mark {name}; {steps}")], ..Shell::default() }))
}

pub fn entry(name: &str, policy: Policy, action: Action) -> Entry {
    Entry { name: name.to_owned(), policy, action }
}

pub fn at(name: &str, micros: u64, action: Action) -> Entry {
    entry(name, Policy::At(micros), action)
}

fn expecting(action: Action, exits: Vec<Exit>) -> Action {
    match action {
        Action::Shell(shell) => Action::Shell(Box::new(Shell { expect: Expect::Of(exits), ..*shell })),
        other => other,
    }
}

impl Draft<'_> {
    /// The entries of one slave.
    fn slave(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let poked = self.rng.u8(0..3) == 0;
        if poked {
            let action = self.poke_action();
            entries.push(entry("p", Policy::Poke, action));
        }
        for index in 0..self.rng.usize(1..=2) {
            let entry = self.worker(index, poked);
            entries.push(entry);
        }
        if self.rng.u8(0..3) == 0 {
            self.endless(&mut entries);
        }
        for index in 0..self.fires.len() {
            if self.rng.bool() {
                let action = self.set_off(index);
                entries.push(entry(&format!("on{index}"), Policy::Trigger(trigger_name(index)), action));
            }
        }
        if self.rng.u8(0..3) == 0 {
            let (name, action) = ("next", self.quiet_script("next"));
            entries.push(entry(
                name,
                Policy::After(After {
                    of: vec![Condition { entry: "w0".to_owned(), when: When::Ended }],
                    any: false,
                    delay: 0,
                }),
                action,
            ));
        }
        if self.rng.u8(0..4) == 0 {
            entries.push(entry("cleanup", Policy::Finally, shell("cleanup", "out cleaned up; sleep 20")));
        }
        self.extras(&mut entries);
        self.server(&mut entries);
        entries
    }

    /// The action of a poke. The generator counts its notify where it makes the poke.
    fn poke_action(&mut self) -> Action {
        let trigger = trigger_name(0);
        if self.rng.bool() { Action::Notify { trigger, data: None } } else { shell("p", "out poked; notify t0") }
    }

    /// A command that exits by itself, and notifies and pokes before.
    fn worker(&mut self, index: usize, poked: bool) -> Entry {
        let name = format!("w{index}");
        let mut steps = Vec::new();
        for _ in 0..self.rng.usize(0..4) {
            let step = self.step(poked);
            steps.push(step);
        }
        let fires: Vec<usize> = (0..self.fires.len()).filter(|index| self.fires[*index]).collect();
        // After the end trigger has fired, the actions that notify other triggers may never begin.
        let fires: Vec<usize> =
            fires.into_iter().filter(|index| self.end != Kind::Trigger || *index == self.end_trigger()).collect();
        if !fires.is_empty() && self.rng.u8(0..5) == 0 {
            // Last, so that no command waits for a notify that comes after it.
            let trigger = fires[self.rng.usize(0..fires.len())];
            steps.push(format!("wait {}; out it fired", trigger_name(trigger)));
        }
        let status = if self.rng.u8(0..5) == 0 { 3 } else { 0 };
        if status != 0 {
            steps.push(format!("exit {status}"));
        }
        let action = expecting(shell(&name, &steps.join("; ")), vec![Exit::Code(status)]);
        let micros = self.rng.u64(200_000..3_000_000);
        at(&name, micros, action)
    }

    fn step(&mut self, poked: bool) -> String {
        match self.rng.u8(0..12) {
            0..4 => {
                let trigger = self.rng.usize(0..self.sure.len());
                self.sure[trigger] += 1;
                format!("notify {}", trigger_name(trigger))
            }
            4 if poked => {
                self.sure[0] += 1;
                if self.rng.bool() { "poke".to_owned() } else { "poke p".to_owned() }
            }
            5 => format!("flood {}", self.rng.usize(0..20_000)),
            6 => ["child", "daemon", "stubborn"][self.rng.usize(0..3)].to_owned(),
            7 => "err trouble ahead".to_owned(),
            8 | 9 => format!("out line {}", self.rng.u32(..)),
            _ => format!("sleep {}", self.rng.u64(0..1_500)),
        }
    }

    fn quiet_script(&mut self, name: &str) -> Action {
        let sleep = self.rng.u64(0..800);
        shell(name, &format!("out begin; sleep {sleep}; out end"))
    }

    /// A command that runs until it is killed. The kill of a job must be certain, unless the test has a duration: then
    /// the job is cut off by the end, or the end never comes.
    fn endless(&mut self, entries: &mut Vec<Entry>) {
        let killer = self.rng.usize(0..self.fires.len());
        let how = ["forever", "child; forever", "daemon; forever", "linger 200; forever", "ignore; forever"];
        let choice = self.rng.usize(0..how.len());
        let service = self.rng.u8(0..4) > 0;
        let killed = self.end == Kind::Idle && !service || self.rng.bool();
        let how = if killed && choice == 4 { how[0] } else { how[choice] };
        let exits = vec![Exit::Code(0), Exit::Signal(Signal::TERM)];
        let mut action = expecting(shell("f", how), exits);
        if let Action::Shell(shell) = &mut action {
            shell.service = service;
        }
        let begins = if service && self.rng.bool() { self.rng.u64(0..4_000_000) } else { 0 };
        entries.push(at("f", begins, action));
        // In a test with an end trigger, the killer must not come before the end.
        let cut_off = self.end == Kind::Trigger && (!killed || killer != self.end_trigger() || !self.fires[killer]);
        if !service && cut_off {
            if killed && self.fires[killer] {
                self.may_fail = true;
            } else {
                self.must_fail = true;
            }
        }
        if killed {
            let action = Action::Kill { entry: "f".to_owned(), signal: Signal::TERM };
            entries.push(entry("killer", Policy::Trigger(trigger_name(killer)), action));
        }
        if self.end == Kind::Idle && !service && !self.fires[killer] {
            self.must_fail = true;
        }
    }

    /// Then an entry begins and fails, unless the end trigger fires before.
    fn fails_from(&mut self, micros: u64) {
        match self.end {
            Kind::Trigger if micros > 0 => self.may_fail = true,
            Kind::Trigger | Kind::Duration | Kind::Idle => self.must_fail = true,
        }
    }

    /// The action of a trigger. It may notify later triggers.
    fn set_off(&mut self, index: usize) -> Action {
        let later = (index + 1..self.fires.len()).next();
        let name = format!("on{index}");
        match later {
            Some(later) if self.rng.bool() => {
                if self.fires[index] {
                    self.sure[later] += 1;
                }
                let trigger = trigger_name(later);
                if self.rng.bool() {
                    Action::Notify { trigger, data: None }
                } else {
                    shell(&name, &format!("out heard; notify {trigger}"))
                }
            }
            _ => self.quiet_script(&name),
        }
    }

    /// Adds resources, files that are fetched, and entries that fail.
    fn extras(&mut self, entries: &mut Vec<Entry>) {
        for name in self.resources.clone() {
            let cat = format!("cat-{name}");
            let mut action = shell(&cat, &format!("cat @{{{name}.path}}"));
            if let Action::Shell(shell) = &mut action {
                shell.use_resources.push(name);
            }
            if self.rng.u8(0..3) > 0 {
                entries.push(at(&cat, 0, action));
            }
        }
        if self.rng.u8(0..4) == 0 {
            let mut action = shell("make", &format!("write made.log {}", self.rng.usize(0..5_000)));
            if let Action::Shell(shell) = &mut action {
                shell.collect.push("*.log".to_owned());
            }
            entries.push(at("make", 0, action));
        }
        match self.rng.u8(0..40) {
            2 if self.ends.is_none() => {
                let verdict = if self.rng.bool() { Verdict::Passed } else { Verdict::Failed };
                self.ends = Some(verdict);
                entries.push(at("end-it", self.rng.u64(500_000..2_500_000), Action::End { verdict }));
            }
            0 => {
                self.must_fail = true;
                entries.push(at("bad", 0, shell("bad", "sleep 50; exit 3")));
            }
            1 => {
                let mut action = shell("slow", "forever");
                if let Action::Shell(shell) = &mut action {
                    shell.timeout = Some(700_000);
                }
                self.must_fail = true;
                entries.push(at("slow", 0, action));
            }
            _ => {}
        }
    }

    /// The initial value of a trigger: it fires with the last sure notify, or before, or never.
    fn initial(&mut self, index: usize) -> u64 {
        let sure = self.sure[index];
        match (self.fires[index], self.rng.u8(0..4)) {
            (false, _) => sure + self.rng.u64(1..3),
            (true, 0) => self.rng.u64(1..=sure),
            (true, _) => sure,
        }
    }

    fn end_trigger(&self) -> usize {
        self.fires.len() - 1
    }

    fn verdict(&self) -> Option<Verdict> {
        let never = self.end == Kind::Trigger && !self.fires[self.end_trigger()];
        match (self.ends, self.end, self.must_fail) {
            (Some(Verdict::Failed), Kind::Trigger, _) => None,
            (Some(Verdict::Failed), ..) => Some(Verdict::Failed),
            // It ends the run at any moment, when jobs may be waiting for something that never begins.
            (Some(_), ..) => None,
            (None, ..) if never => Some(Verdict::Failed),
            (None, _, true) => Some(Verdict::Failed),
            (None, _, false) if self.may_fail => None,
            (None, _, false) => Some(Verdict::Passed),
        }
    }

    /// In a test that may end while jobs run: longer than each of them.
    fn grace(&mut self) -> Duration {
        match self.end {
            Kind::Trigger => Duration::from_secs(20),
            Kind::Duration | Kind::Idle => Duration::from_millis(self.rng.u64(500..5_000)),
        }
    }

    fn end_of_test(&mut self) -> End {
        let limit = Duration::from_secs(300);
        match self.end {
            Kind::Duration => End::Duration(Duration::from_millis(self.rng.u64(3_000..9_000))),
            Kind::Trigger => End::Trigger { trigger: trigger_name(self.end_trigger()), limit },
            Kind::Idle => End::Idle { limit },
        }
    }
}
