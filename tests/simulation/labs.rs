//! A permanent controller, slaves that serve run after run, and operators that submit tests, with faults of every
//! kind.
//!
//! `ARETE_LAB_SEED=S` replays a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use arete::controller::ledger::{self, Past};
use arete::controller::{Archived, OVER, RESOURCES};
use arete::machine::{Exit, Signal};
use arete::testfile::{self, End, OnFail, OnLost, Shipped, Test};
use arete::wire::operate::{Offer, RunStatus};
use arete::wire::readiness::{Readiness, ReadyCheck};
use arete::wire::{Action, After, Condition, Entry, Expect, Policy, Retries, Shell, Verdict, When};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::checks::{Checks, exits_are_clean, living, slave_name};
use crate::generator::{self, Plan};
use crate::lab::{self, CONTROLLER, RUNS};
use crate::lab_operator::{Book, Operator, Order, Shared, TIME_LINE};
use crate::seeds::{Trial, seeds_or, sweep};
use crate::sweep::{FAULTS_UNTIL, Kind, fault, faults, kill_controller, kind_of, weather};
use crate::world::node::Said;
use crate::world::process::Fact;
use crate::world::{Fault, SECOND, World, lines};

/// The usual number of seeds.
const SEEDS: u64 = 600;

/// The limit on the time of each run after the last fault.
const RUN_ENDS_WITHIN: u64 = 700 * SECOND;

/// The limit on the time until slaves have removed everything of a run.
const IDLE_WITHIN: u64 = 60 * SECOND;

/// The word in a ledger that the end of a run has begun.
const ENDING: &[u8] = b"{\"ending\":";

const ROLES: [&str; 2] = ["client", "server"];

/// A submitted test.
struct Handed {
    text: String,
    files: BTreeMap<String, Offer>,
}

/// A run that the controller has accepted.
struct Known {
    id: String,
    submission: String,
    test: Test,
    checks: Checks,
    began: bool,
}

#[derive(Default, Debug, Clone, Copy)]
pub struct Seen {
    steps: u64,
    runs: u64,
    passed: u64,
    interrupted: u64,
    lost: u64,
    restarts: u64,
    /// The runs that had to wait for the slaves of another.
    shared: u64,
}

pub struct LabSweep {
    world: World,
    books: Vec<Shared>,
    handed: BTreeMap<String, Handed>,
    runs: Vec<Known>,
    slaves: usize,
    facts_read: usize,
    /// After the faults, a service manager starts the slaves that were asked to quit.
    faults_ended: bool,
    removals_fail: bool,
    seen: Seen,
}

impl LabSweep {
    fn until(&mut self, micros: u64, done: impl Fn(&LabSweep) -> bool) -> Result<bool, String> {
        let end = self.world.now + micros;
        while !done(self) && self.world.now < end && self.world.step() {
            self.after_step()?;
        }
        Ok(done(self))
    }

    fn after_step(&mut self) -> Result<(), String> {
        exits_are_clean(&mut self.world)?;
        for node in (1..=self.slaves).filter(|_| self.faults_ended) {
            self.world.start(node);
        }
        let said = std::mem::take(&mut self.world.said);
        if said.iter().any(names_a_run) {
            self.discover()?;
        }
        for run in &mut self.runs {
            run.checks.observe(&self.world, &said).map_err(|why| format!("run {}: {why}", run.id))?;
        }
        for at in 0..self.runs.len() {
            if self.runs[at].checks.has_started() && !std::mem::replace(&mut self.runs[at].began, true) {
                self.begins_in_order(at)?;
            }
        }
        self.serves_one()?;
        for book in &self.books {
            if let Some(problem) = book.borrow().problems.first() {
                return Err(format!("an operator: {problem}"));
            }
        }
        Ok(())
    }

    /// Reads which runs the controller has on its disk.
    fn discover(&mut self) -> Result<(), String> {
        let disk = &self.world.hosts[CONTROLLER].disk;
        let mut found = Vec::new();
        for path in disk.paths_below(Path::new(RUNS)).filter(|path| path.ends_with(ledger::FILE)) {
            let directory = path.parent().unwrap_or(path);
            let id = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let bytes = disk.get(path).unwrap_or_default().to_vec();
            if self.runs.iter().any(|run| run.id == id) || !bytes.contains(&b'\n') {
                continue;
            }
            let past = Past::read(path, bytes).map_err(|error| error.to_string())?;
            let submission = past.header.run.as_ref().and_then(|terms| terms.submission.clone()).unwrap_or_default();
            found.push((past.place_in_queue(), id, directory.to_string_lossy().into_owned(), submission));
        }
        found.sort();
        for (_, id, directory, submission) in found {
            if let Some(other) = self.runs.iter().find(|run| run.submission == submission) {
                return Err(format!("{submission} is run {} and run {id}", other.id));
            }
            let handed = self.handed.get(&submission).ok_or_else(|| format!("{submission} was not submitted"))?;
            let test = handed.test();
            let checks = Checks::new(&test, &id, &directory);
            self.runs.push(Known { id, submission, test, checks, began: false });
        }
        Ok(())
    }

    /// Earlier submissions that want one of its slaves by name have begun before.
    fn begins_in_order(&mut self, at: usize) -> Result<(), String> {
        let (run, disk) = (&self.runs[at], &self.world.hosts[CONTROLLER].disk);
        let shares = |other: &&Known| named(&other.test).any(|name| named(&run.test).any(|own| own == name));
        for other in self.runs[..at].iter().filter(shares) {
            self.seen.shared += 1;
            // A run that ends without having started writes its time line at its end. Its ledger has the end before.
            let ledger = disk.get(Path::new(RUNS).join(&other.id).join(ledger::FILE)).unwrap_or_default();
            let ends = ledger.windows(ENDING.len()).any(|window| window == ENDING);
            if !other.checks.has_started() && !other.checks.is_ending() && !ends {
                return Err(format!("run {} has begun before run {}, which was handed in before it", run.id, other.id));
            }
        }
        Ok(())
    }

    /// A run begins nothing on a slave that another run still uses.
    fn serves_one(&mut self) -> Result<(), String> {
        while let Some(fact) = self.world.ledger.get(self.facts_read) {
            self.facts_read += 1;
            let Fact::Started { life, stdout, mark, .. } = fact else { continue };
            let mine = |run: &Known| stdout.components().any(|part| part.as_os_str() == &*run.id);
            let Some(run) = self.runs.iter().find(|run| mine(run)) else {
                return Err(format!("{mark} is of no run: {}", stdout.display()));
            };
            let other =
                self.runs.iter().find(|other| other.id != run.id && other.checks.has_on(life.node, &other.test));
            if let Some(other) = other {
                let slave = slave_name(life.node);
                return Err(format!("{mark} of run {} has begun on {slave}, which serves run {}", run.id, other.id));
            }
        }
        Ok(())
    }

    fn all_over(&self) -> bool {
        let over = |order: &Order| order.last.is_some() && !order.again;
        self.books.iter().all(|book| book.borrow().orders.iter().all(over))
    }

    /// Ends all faults in the world.
    fn end_faults(&mut self) {
        self.faults_ended = true;
        for (a, b) in self.world.network.partitions() {
            self.world.heal(a, b);
        }
        self.world.spawn_fails_one_in = 0;
        for node in 0..self.world.nodes.len() {
            self.world.resume(node);
            self.world.nodes[node].doomed = None;
            self.world.start(node);
        }
    }

    fn check_end(&mut self) -> Result<(), String> {
        let count = self.handed.len() as u64;
        if !self.until(count * RUN_ENDS_WITHIN, LabSweep::all_over)? {
            let books: Vec<String> = self.books.iter().flat_map(|book| open(&book.borrow())).collect();
            return Err(format!("not every run ends, or not every operator hears it: {}", books.join(", ")));
        }
        let busy = |sweep: &LabSweep| {
            (1..=sweep.slaves).any(|node| !living(&sweep.world, sweep.world.life_of(node)).is_empty())
        };
        if !self.until(IDLE_WITHIN, |sweep| !busy(sweep))? {
            return Err("all runs are over, and slaves still run something".to_owned());
        }
        for book in &self.books {
            for order in &book.borrow().orders {
                check_order(order, &self.world)?;
            }
        }
        for run in &self.runs {
            let shelved = shelved(&run.id, &self.world)?;
            let over = run.checks.over_with(&run.test, shelved.state.code, &self.world);
            over.map_err(|why| format!("run {}: {why}", run.id))?;
            self.seen.runs += 1;
            self.seen.passed += u64::from(shelved.state.verdict == Some(Verdict::Passed));
            self.seen.interrupted += u64::from(shelved.state.verdict == Some(Verdict::Interrupted));
            self.seen.lost += run.checks.events.iter().filter(|event| event["event"] == "lost").count() as u64;
        }
        let mut left = self.world.hosts[CONTROLLER].disk.paths_below(Path::new(RUNS));
        match left.find(|path| path.components().any(|part| part.as_os_str() == RESOURCES)) {
            // The process that removes them could not be started.
            Some(path) if !self.removals_fail => Err(format!("{} is left", path.display())),
            _ => Ok(()),
        }
    }
}

fn shelved(id: &str, world: &World) -> Result<Archived, String> {
    let json = world.hosts[CONTROLLER].disk.get(Path::new(RUNS).join(id).join(OVER));
    let json = json.ok_or_else(|| format!("run {id} is not over"))?;
    serde_json::from_slice(json).map_err(|error| format!("{OVER} of run {id}: {error}"))
}

/// The operator's copy of a run is equal to the file.
fn check_order(order: &Order, world: &World) -> Result<(), String> {
    let (Some(run), Some(last)) = (&order.run, &order.last) else { return Err("a run is not over".to_owned()) };
    let (disk, directory) = (&world.hosts[CONTROLLER].disk, Path::new(RUNS).join(run));
    let file = disk.get(directory.join(TIME_LINE)).unwrap_or_default();
    if file != order.bytes {
        return Err(format!("an operator has {} bytes of run {run}, the file has {}", order.bytes.len(), file.len()));
    }
    let summary: Value = disk
        .get(directory.join("summary.json"))
        .and_then(|bytes| serde_json::from_slice(bytes).ok())
        .ok_or_else(|| format!("run {run} has no summary"))?;
    let verdict = serde_json::to_value(last.verdict).expect("it is a word");
    if last.state != RunStatus::Over || summary["verdict"] != verdict || summary["why"] != *last.why {
        return Err(format!("an operator received {last:?}, and the summary has {summary}"));
    }
    Ok(())
}

fn open(book: &Book) -> Vec<String> {
    let open = book.orders.iter().filter(|order| order.last.is_none() || order.again);
    open.map(|order| format!("{} ({:?})", order.submission, order.run)).collect()
}

fn names_a_run(said: &Said) -> bool {
    let names = |line: &[u8]| line.starts_with(b"{\"type\":\"seen\"") || line.starts_with(b"{\"type\":\"prepare\"");
    said.life.node == CONTROLLER && lines(&said.bytes).any(names)
}

/// The slaves that a test wants by name.
fn named(test: &Test) -> impl Iterator<Item = &str> {
    test.slaves.iter().filter(|slave| slave.with.is_none()).map(|slave| slave.name.as_str())
}

impl Handed {
    fn test(&self) -> Test {
        let mut known = |file: &str| {
            let Offer { size, sha256, executable } = self.files.get(file).cloned().ok_or("no such file")?;
            Ok::<_, &str>(Shipped { path: file.into(), size, sha256, executable })
        };
        testfile::parse("t.json", &self.text, &mut known)
            .unwrap_or_else(|problems| panic!("{problems:?}\n{}", self.text))
    }
}

fn seconds(micros: u64) -> Value {
    let text = format!("{}.{:06}", micros / SECOND, micros % SECOND);
    serde_json::from_str(&text).expect("it is a number")
}

fn exits(exits: &[Exit]) -> Value {
    let exit = |exit: &Exit| match exit {
        Exit::Code(code) => json!(code),
        Exit::Signal(signal) => json!(signal.name()),
    };
    exits.iter().map(exit).collect()
}

/// The conditions of an entry in the form of a test file.
fn after_text(after: &After) -> Value {
    let one = |condition: &Condition| match condition.when {
        When::Ready => json!({ "entry": condition.entry, "ready": true }),
        When::Ended => json!(condition.entry),
        other => panic!("no generated test waits for {other}"),
    };
    let of: Vec<Value> = after.of.iter().map(one).collect();
    match &of[..] {
        [one] => one.clone(),
        _ => json!({ if after.any { "any" } else { "all" }: of, "delay": seconds(after.delay) }),
    }
}

/// An entry in the form of a test file.
fn entry_text(entry: &Entry) -> Value {
    let mut text = json!({ "name": entry.name });
    match &entry.policy {
        Policy::At(micros) => text["at"] = seconds(*micros),
        Policy::Poke => text["poke"] = json!(true),
        Policy::Trigger(trigger) => text["trigger"] = json!(trigger),
        Policy::After(after) => text["after"] = after_text(after),
        Policy::Finally => text["finally"] = json!(true),
    }
    match &entry.action {
        Action::Shell(shell) => {
            let Shell { command, expect, timeout, retries, use_resources, collect, .. } = &**shell;
            text["shell"] = json!(command);
            if let Some(Retries { times, delay }) = retries {
                text["retries"] = json!({ "times": times, "delay": seconds(*delay) });
            }
            if shell.service {
                text["service"] = json!(true);
            }
            if let Expect::Of(expected) = expect {
                text["expect"] = exits(expected);
            }
            if let Some(timeout) = timeout {
                text["timeout"] = seconds(*timeout);
            }
            if let Some(readiness) = &shell.ready {
                text["ready"] = ready_text(readiness);
            }
            for (key, names) in [("use_resources", use_resources), ("collect", collect)] {
                if !names.is_empty() {
                    text[key] = json!(names);
                }
            }
        }
        Action::Notify { trigger, .. } => text["notify"] = json!(trigger),
        Action::Kill { entry, signal } => (text["kill"], text["signal"]) = (json!(entry), json!(signal.name())),
        Action::End { verdict } => text["end"] = serde_json::to_value(verdict).expect("it is a word"),
        other => panic!("no generated test has {other:?}"),
    }
    text
}

fn ready_text(readiness: &Readiness) -> Value {
    let mut text = match &readiness.check {
        ReadyCheck::Port { port, .. } => json!({ "port": port }),
        ReadyCheck::Log(pattern) => json!({ "log": pattern }),
        ReadyCheck::Shell { command, every } => json!({ "shell": command, "every": seconds(*every) }),
        ReadyCheck::Notify => json!({ "notify": true }),
    };
    text["within"] = seconds(readiness.within);
    if let Some(trigger) = &readiness.trigger {
        text["trigger"] = json!(trigger);
    }
    text
}

/// A generated test as a file, for some of the slaves.
fn text_of(plan: &Plan, name: &str, machines: &[usize], rng: &mut Rng) -> String {
    let Test { end, grace, on_fail, on_lost, triggers, .. } = &*plan.test;
    let (mut schedules, mut slaves) = (json!({}), json!({}));
    for (ix, slave) in plan.test.slaves.iter().take(machines.len()).enumerate() {
        let schedule = format!("schedule{ix}");
        schedules[&schedule] = slave.entries.iter().map(entry_text).collect();
        if rng.u8(0..4) == 0 {
            let role = ROLES[machines[ix] % ROLES.len()];
            slaves[format!("p{ix}")] = json!({ "schedules": [schedule], "with": { "role": role } });
        } else {
            slaves[format!("s{}", machines[ix])] = json!([schedule]);
        }
    }
    let end = match end {
        End::Duration(duration) => json!({ "duration": duration.as_secs_f64() }),
        End::Trigger { trigger, limit } => json!({ "trigger": trigger, "limit": limit.as_secs() }),
        End::Idle { limit } => json!({ "idle": true, "limit": limit.as_secs() }),
    };
    let resource = |(name, (path, _)): (&String, &(std::path::PathBuf, Vec<u8>))| {
        (name.clone(), json!({ "file": path.file_name().map(|file| file.to_string_lossy()) }))
    };
    let resources: serde_json::Map<String, Value> = plan.resources.iter().map(resource).collect();
    let test = json!({
        "name": name,
        "end": end,
        "grace": grace.as_secs_f64(),
        "on_fail": if *on_fail == OnFail::End { "end" } else { "continue" },
        "on_lost": if *on_lost == OnLost::Continue { "continue" } else { "fail" },
        "triggers": triggers,
        "resources": resources,
        "schedules": schedules,
        "slaves": slaves,
    });
    test.to_string()
}

/// A random test for some of `slaves` slaves.
fn order(nr: usize, slaves: usize, rng: &mut Rng) -> (Order, Handed) {
    let plan = loop {
        let plan = generator::plan(rng);
        if plan.test.slaves.len() <= slaves {
            break plan;
        }
    };
    let mut machines: Vec<usize> = (0..slaves).collect();
    rng.shuffle(&mut machines);
    machines.truncate(plan.test.slaves.len());
    let text = text_of(&plan, &format!("test{nr}"), &machines, rng);
    let (mut offers, mut files) = (BTreeMap::new(), BTreeMap::new());
    for (name, (path, bytes)) in &plan.resources {
        let (_, known) = &plan.test.resources[name];
        let file = path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        offers.insert(file, Offer { size: known.size, sha256: known.sha256.clone(), executable: false });
        files.insert(known.sha256.clone(), bytes.clone());
    }
    let submission = format!("sub{nr}-{:x}", rng.u32(..));
    let cancel = (rng.u8(0..5) == 0).then(|| (Duration::from_millis(rng.u64(0..15_000)), rng.u8(0..3) == 0));
    let handed = Handed { text: text.clone(), files: offers.clone() };
    let order = Order {
        after: Duration::from_millis(rng.u64(0..12_000)),
        submission,
        text,
        offers,
        files,
        again: rng.u8(0..3) == 0,
        cancel,
        ..Order::default()
    };
    (order, handed)
}

impl Trial for LabSweep {
    const REPLAY: &'static str = "ARETE_LAB_SEED";
    const FILTER: &'static str = "labs::";
    type Seen = Seen;

    fn new(seed: u64) -> LabSweep {
        let kind = kind_of(seed);
        let mut rng = Rng::with_seed(seed ^ 0x1ab5);
        let slaves = rng.usize(3..=6);
        let operators = rng.usize(1..=2);
        let mut world = World::new(seed ^ 0x1ab, 1 + slaves + operators);
        let controller = lab::add_hosting_controller(&mut world, Duration::from_secs(rng.u64(20..70)));
        world.fault_at(rng.u64(0..SECOND), Fault::Start(controller));
        for ix in 0..slaves {
            let labels = [("role", ROLES[ix % ROLES.len()])];
            let node = lab::add_labelled_slave(&mut world, ix + 1, &format!("s{ix}"), &labels, false);
            world.fault_at(rng.u64(0..4 * SECOND), Fault::Start(node));
        }
        let books: Vec<Shared> = (0..operators).map(|_| Rc::default()).collect();
        let mut handed = BTreeMap::new();
        for nr in 0..rng.usize(2..=6) {
            let (order, test) = order(nr, slaves, &mut rng);
            handed.insert(order.submission.clone(), test);
            books[nr % operators].borrow_mut().orders.push(order);
        }
        for (ix, book) in books.iter().cloned().enumerate() {
            let name = format!("operator{ix}");
            let node = world.add_node(&name, 1 + slaves + ix, vec![], move |_| Box::new(Operator::new(book.clone())));
            world.fault_at(rng.u64(0..3 * SECOND), Fault::Start(node));
            if kind != Kind::Calm && rng.bool() {
                let at = rng.u64(0..FAULTS_UNTIL);
                world.fault_at(at, Fault::Crash(node));
                world.fault_at(at + rng.u64(0..5 * SECOND), Fault::Start(node));
            }
        }
        weather(kind, &mut world, &mut rng);
        for _ in 0..2 * faults(kind, &mut rng) {
            harm(kind, rng.u64(0..FAULTS_UNTIL), slaves, &mut world, &mut rng);
        }
        if kind != Kind::Calm && rng.u8(0..3) == 0 {
            (0..rng.usize(1..6)).for_each(|_| kill_controller(rng.u64(0..FAULTS_UNTIL), &mut world, &mut rng));
        }
        world.fault_at(FAULTS_UNTIL, Fault::Drops(0));
        let removals_fail = world.spawn_fails_one_in > 0;
        LabSweep {
            removals_fail,
            world,
            books,
            handed,
            runs: Vec::new(),
            slaves,
            facts_read: 0,
            faults_ended: false,
            seen: Seen::default(),
        }
    }

    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn plan(&self) -> String {
        let tests: BTreeSet<&str> = self.handed.values().map(|handed| handed.text.as_str()).collect();
        tests.into_iter().collect::<Vec<_>>().join("\n")
    }

    fn run(&mut self) -> Result<Seen, String> {
        self.until(FAULTS_UNTIL + 5 * SECOND, |_| false)?;
        self.end_faults();
        self.check_end()?;
        self.seen.steps = self.world.step;
        self.seen.restarts = u64::from(self.world.nodes[CONTROLLER].life - 1);
        Ok(self.seen)
    }

    fn add(seen: &mut Seen, more: Seen) {
        seen.steps += more.steps;
        seen.runs += more.runs;
        seen.passed += more.passed;
        seen.interrupted += more.interrupted;
        seen.lost += more.lost;
        seen.restarts += more.restarts;
        seen.shared += more.shared;
    }
}

/// A fault of the sweep of runs that also exists in a lab: without Ctrl-C, and without full disks.
fn harm(kind: Kind, at: u64, slaves: usize, world: &mut World, rng: &mut Rng) {
    match (kind, rng.u8(0..12)) {
        (Kind::Harsh, 0..4) => {
            let slave = rng.usize(1..=slaves);
            let how = match rng.u8(0..3) {
                0 => Fault::Crash(slave),
                1 => Fault::CrashInTurn(slave, rng.usize(0..4)),
                _ => Fault::Signal(slave, Signal::TERM),
            };
            world.fault_at(at, how);
            world.fault_at(at + rng.u64(0..8 * SECOND), Fault::Start(slave));
        }
        (Kind::Harsh, 4 | 5) => {
            let node = rng.usize(0..=slaves);
            world.fault_at(at, Fault::Pause(node));
            world.fault_at(at + rng.u64(0..40 * SECOND), Fault::Resume(node));
        }
        (_, 6) => kill_controller(at, world, rng),
        _ => fault(Kind::Breaking, at, slaves, world, rng),
    }
}

#[test]
fn every_submitted_test_runs_once_and_in_order_in_spite_of_faults() {
    sweep::<LabSweep>(0..seeds_or(SEEDS), "Labs", |_| true);
}
