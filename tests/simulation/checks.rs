//! The conditions after every step, and after a run.
//!
//! The checks compare the controller's log with the facts of the world: the requests of the virtual processes, the
//! answers to them, their output, and the processes that still exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arete::controller::OUTPUT_MAX;
use arete::testfile::{End, OnLost, Test};
use arete::wire::{Action, FromController, Manner, Policy, When};
use serde_json::Value;

use crate::lab::CONTROLLER;
use crate::world::node::{Life, Said};
use crate::world::process::{Ask, Fact};
use crate::world::{World, lines};

/// The events that slaves report.
const REPORTED: [&str; 14] = [
    "begun",
    "spawned",
    "entry-ready",
    "exited",
    "tail",
    "measured",
    "poked",
    "heard",
    "settled",
    "idle",
    "cleared",
    "fault",
    "warning",
    "trouble",
];

/// The most that simultaneous starts may be apart, in microseconds: half a round trip, and a few turns.
const STARTS_APART_MAX: u64 = 3_000;

/// The most time for which all slaves may rest before the run ends, in seconds. A partition may delay their reports.
const RESTS_MAX: f64 = 60.0;

/// Returns an error that names the violated condition.
macro_rules! hold {
    ($condition:expr, $($format:tt)*) => {
        if !$condition {
            return Err(format!($($format)*));
        }
    };
}

#[path = "measured.rs"]
mod measured;

type Key = (String, String);

/// The kinds of failures that the test itself does not cause.
const INFRASTRUCTURE: [&str; 6] =
    ["slave-lost", "slave-unready", "slaves-missing", "slave-trouble", "resource", "results"];

/// The first failure is the reason of the verdict, and decides the exit code.
fn first_failure_is_the_headline(summary: &Value, code: Option<u8>) -> Result<(), String> {
    let (first, why) = (&summary["failures"][0], text(summary, "why"));
    hold!(why.contains(text(first, "text")), "failed for {first}, and the headline is {why}");
    let blames = if INFRASTRUCTURE.contains(&text(first, "kind")) { 7 } else { 1 };
    hold!(code == Some(blames), "failed for {first}, and the exit code is {code:?}");
    Ok(())
}

/// A machine that has exited has left nothing behind.
pub fn exits_are_clean(world: &mut World) -> Result<(), String> {
    while let Some(life) = world.exited.pop() {
        let left = living(world, life);
        hold!(left.is_empty(), "{} has exited, and {left:?} still run", world.nodes[life.node].name);
    }
    Ok(())
}

#[derive(Default)]
pub struct Checks {
    /// The run, and the directory of its results.
    run: String,
    results: PathBuf,
    ships_a_part: bool,
    /// The processes of this run.
    pub pids: BTreeSet<u32>,
    /// The part of the log that was read. It is kept whatever happens to the controller.
    log: Vec<u8>,
    /// The life of the controller in which the log was complete last, and its length then.
    whole: (u32, usize),
    /// The time of each slave's last report.
    reported: BTreeMap<String, f64>,
    facts_read: usize,
    pub events: Vec<Value>,
    initial: BTreeMap<String, u64>,
    total: BTreeMap<String, u64>,
    fired: BTreeSet<String>,
    /// By slave and trigger: notifies in the log, notifies of commands, and notifies that were answered.
    counted: BTreeMap<Key, u64>,
    asked: BTreeMap<Key, u64>,
    done: BTreeMap<Key, u64>,
    heard: BTreeSet<Key>,
    /// By slave: the number of its reports in the log.
    reports: BTreeMap<String, u64>,
    /// By slave, entry and number: whether the run has exited.
    runs: BTreeMap<(String, String, u64), bool>,
    /// The runs that have become ready.
    ready: BTreeSet<(String, String, u64)>,
    ending_at: Option<usize>,
    ended: bool,
    /// A write has failed, so the log is not complete.
    pub disk_failed: bool,
    stopped: BTreeSet<String>,
    lost: BTreeSet<String>,
    /// The run is ended at once, so output that was not shipped by then is lost.
    pub given_up: bool,
    started: bool,
    /// The machines that serve as slaves of other names.
    machines: BTreeMap<String, String>,
}

pub fn slave_name(node: usize) -> String {
    format!("s{}", node - 1)
}

pub fn slave_node(name: &str) -> usize {
    name[1..].parse::<usize>().expect("a slave is called s and a number") + 1
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or("")
}

impl Checks {
    /// The end of the run has begun.
    pub fn is_ending(&self) -> bool {
        self.ending_at.is_some()
    }

    /// Slaves that may ship only `bytes` ship a part of their output, and report it.
    pub fn shipping_at_most(self, bytes: u64) -> Checks {
        Checks { ships_a_part: bytes < OUTPUT_MAX, ..self }
    }

    pub fn new(test: &Test, run: &str, results: &str) -> Checks {
        let (run, results) = (run.to_owned(), PathBuf::from(results));
        Checks { run, results, initial: test.triggers.clone(), ..Checks::default() }
    }

    /// Returns whether the run has begun on this slave and is not over there.
    pub fn has_on(&self, node: usize, test: &Test) -> bool {
        let place = self.place(node);
        let over = self.ended || self.stopped.contains(&place) || self.lost.contains(&place);
        self.started && !over && test.slaves.iter().any(|slave| slave.name == place)
    }

    pub fn has_started(&self) -> bool {
        self.started
    }

    /// The name under which a slave takes part.
    pub fn place(&self, node: usize) -> String {
        let name = slave_name(node);
        let place = self.machines.iter().find(|(_, machine)| **machine == name).map(|(place, _)| place.clone());
        place.unwrap_or(name)
    }

    fn node_of(&self, place: &str) -> usize {
        slave_node(self.machines.get(place).map_or(place, String::as_str))
    }

    /// After every step.
    pub fn after_step(&mut self, world: &mut World) -> Result<(), String> {
        exits_are_clean(world)?;
        hold!(world.unrecorded.is_empty(), "{:?}", world.unrecorded);
        let said = std::mem::take(&mut world.said);
        self.observe(world, &said)
    }

    /// Checks the conditions after every step, and the messages in it.
    pub fn observe(&mut self, world: &World, said: &[Said]) -> Result<(), String> {
        self.disk_failed |= world.hosts[CONTROLLER].disk.failures > 0;
        self.read_log(world)?;
        self.read_facts(world)?;
        for said in said {
            if said.life.node == CONTROLLER && !self.disk_failed {
                let peer = world.peer_of(said.life, said.conn);
                let slave = peer.filter(|peer| world.nodes[peer.node].name.starts_with('s'));
                let slave = slave.map(|peer| self.place(peer.node));
                self.controller_says(slave, &said.bytes, world)?;
            }
        }
        Ok(())
    }

    fn read_log(&mut self, world: &World) -> Result<(), String> {
        let (node, path) = (&world.nodes[CONTROLLER], self.results.join("events.jsonl"));
        let log = world.hosts[CONTROLLER].disk.get(&path).unwrap_or_default();
        // What the controller has yet to append is in the ledger, so a crash does not lose it.
        let later = if self.disk_failed { Vec::new() } else { node.held.later(&path) };
        if self.whole == (node.life, log.len() + later.len()) {
            return Ok(());
        }
        let log = &[log, &later].concat()[..];
        let cut = self.disk_failed && self.log.starts_with(log);
        // It died while it wrote what it had held. The next one rewrites the log from the ledger.
        if node.machine.is_none() && self.log.starts_with(log) {
            return Ok(());
        }
        hold!(log.starts_with(&self.log) || cut, "the log has lost or changed a part");
        let end = memchr::memrchr(b'\n', log).map_or(0, |end| end + 1);
        let torn = node.machine.is_none() || self.whole.0 != node.life;
        hold!(end == log.len() || torn, "a line of the log is written in pieces");
        if end == log.len() {
            self.whole = (node.life, end);
        }
        let new = log.get(self.log.len()..end).unwrap_or_default();
        self.log.extend_from_slice(new);
        for line in lines(new) {
            let event: Value = serde_json::from_slice(line).map_err(|error| format!("the log: {error}"))?;
            hold!(!self.ended, "an event follows the last: {event}");
            self.event(&event, world).map_err(|why| format!("{why}, at event {event}"))?;
            self.events.push(event);
        }
        // A controller that dies while it writes may leave the last notify in the log without its effects. The next
        // one rewrites the log from the ledger.
        let whole = !new.is_empty() && node.machine.is_some();
        for (trigger, &initial) in &self.initial {
            let total = self.total.get(trigger).copied().unwrap_or(0);
            let (fired, due) = (self.fired.contains(trigger), total >= initial);
            hold!(fired == due || due && !whole, "{trigger} has {total} of {initial} and fired is {fired}");
        }
        Ok(())
    }

    fn event(&mut self, event: &Value, world: &World) -> Result<(), String> {
        let slave = text(event, "slave").to_owned();
        if REPORTED.contains(&text(event, "event")) {
            let (at, last) =
                (event["t"].as_f64().unwrap_or(f64::MIN), self.reported.entry(slave.clone()).or_insert(f64::MIN));
            let goes_back = at < *last;
            hold!(!goes_back, "the time line goes back from {last}");
            *last = at;
            let ends = text(event, "event") == "spawned" && text(event, "entry") == "end-it";
            *self.reports.entry(slave.clone()).or_default() += 1 + u64::from(ends);
        }
        match text(event, "event") {
            "joined" => {
                if let Some(machine) = event["machine"].as_str() {
                    self.machines.insert(slave, machine.to_owned());
                }
                Ok(())
            }
            "started" => {
                self.started = true;
                Ok(())
            }
            "lost" => {
                self.lost.insert(slave);
                Ok(())
            }
            "notified" => self.notified(event, slave),
            "triggered" => {
                hold!(self.fired.insert(text(event, "trigger").to_owned()), "a trigger fires twice");
                Ok(())
            }
            "heard" => {
                let trigger = text(event, "trigger").to_owned();
                hold!(self.fired.contains(&trigger), "a slave heard what has not fired");
                hold!(self.heard.insert((slave, trigger)), "a slave acts twice on a trigger");
                Ok(())
            }
            "spawned" => {
                let run = (slave, text(event, "entry").to_owned(), event["nr"].as_u64().unwrap_or(0));
                hold!(self.runs.insert(run, false).is_none(), "a run of an entry begins twice");
                Ok(())
            }
            "entry-ready" => {
                let run = (slave, text(event, "entry").to_owned(), event["nr"].as_u64().unwrap_or(0));
                hold!(self.runs.get(&run) == Some(&false), "a run of an entry is ready that does not go on");
                hold!(run.1 != "never", "what never becomes ready is ready");
                hold!(self.ready.insert(run), "a run of an entry becomes ready twice");
                Ok(())
            }
            "exited" => {
                let why = text(event, "why");
                let failed = text(event, "entry") == "never" && text(event, "outcome") == "failed";
                let said = ["not ready within 300ms: ", "could not be started: "].iter().any(|it| why.starts_with(it));
                hold!(!failed || said, "the reason is missing: {why}");
                let run = (slave, text(event, "entry").to_owned(), event["nr"].as_u64().unwrap_or(0));
                hold!(self.runs.insert(run, true) != Some(true), "a run of an entry ends twice");
                Ok(())
            }
            "stopped" => self.slave_stopped(slave, world),
            "finishing" | "ending" => {
                self.ending_at.get_or_insert(self.events.len());
                Ok(())
            }
            "warning" => {
                let kept = !text(event, "text").starts_with("the controller does not keep");
                hold!(kept || self.disk_failed, "a slave ships a file that it must not ship");
                Ok(())
            }
            "ended" => {
                self.ended = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn notified(&mut self, event: &Value, slave: String) -> Result<(), String> {
        let trigger = text(event, "trigger").to_owned();
        let count = event["count"].as_u64().unwrap_or(0);
        hold!(count > 0, "nothing was notified");
        hold!(
            event["late"].as_bool().unwrap_or(false) == self.fired.contains(&trigger),
            "late is not what it should be"
        );
        *self.counted.entry((slave, trigger.clone())).or_default() += count;
        let total = self.total.entry(trigger.clone()).or_default();
        *total += count;
        let left = self.initial[&trigger].saturating_sub(*total);
        hold!(event["left"].as_u64() == Some(left), "{left} should be left");
        Ok(())
    }

    fn slave_stopped(&mut self, slave: String, world: &World) -> Result<(), String> {
        let life = world.life_of(self.node_of(&slave));
        let left = living(world, life);
        hold!(left.is_empty(), "{slave} has stopped, and {left:?} still run");
        let harms = world.harms_of(self.node_of(&slave));
        // Where processes cannot be started, nothing can be undone.
        let hopeless = world.spawn_fails_one_in > 0;
        hold!(harms.is_empty() || hopeless, "{slave} has stopped, and {harms:?} are in effect");
        hold!(self.stopped.insert(slave), "a slave stops twice");
        Ok(())
    }

    fn read_facts(&mut self, world: &World) -> Result<(), String> {
        while let Some(fact) = world.ledger.get(self.facts_read) {
            self.facts_read += 1;
            match fact {
                Fact::Started { pid, stdout, .. } if self.is_mine(stdout) => {
                    self.pids.insert(*pid);
                }
                Fact::Forked { pid, by } if self.pids.contains(by) => {
                    self.pids.insert(*pid);
                }
                Fact::Asked { pid, .. } | Fact::Answered { pid, .. } if !self.pids.contains(pid) => {}
                Fact::Asked { life, ask: Ask::Notify(trigger), .. } => {
                    *self.asked.entry((self.place(life.node), trigger.clone())).or_default() += 1;
                }
                Fact::Answered { life, ask: Ask::Notify(trigger), answer: Ok(_), .. } => {
                    let key = (self.place(life.node), trigger.clone());
                    let done = self.done.entry(key.clone()).or_default();
                    *done += 1;
                    let (done, counted) = (*done, self.counted.get(&key).copied().unwrap_or(0));
                    hold!(
                        done <= counted || self.disk_failed,
                        "{done} notifies of {key:?} were answered, and {counted} are in the log"
                    );
                }
                Fact::Answered { ask: Ask::Wait(trigger), answer: Ok(_), .. } => {
                    let fired = self.fired.contains(trigger) || self.disk_failed;
                    hold!(fired, "the wait of a command for {trigger} ended before it fired");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns whether an output file on a slave is one of this run.
    fn is_mine(&self, path: &Path) -> bool {
        path.components().any(|part| part.as_os_str() == self.run.as_str())
    }

    /// A slave receives only what is recorded.
    fn controller_says(&mut self, slave: Option<String>, bytes: &[u8], world: &World) -> Result<(), String> {
        for line in lines(bytes) {
            match FromController::decode(line) {
                Ok(FromController::Triggered(it)) if it.room == *self.run => {
                    hold!(self.fired.contains(&*it.trigger), "{} is announced before it is recorded", it.trigger);
                }
                Ok(FromController::Noted(it)) if it.room == *self.run => {
                    let total = self.total.get(&*it.trigger).copied().unwrap_or(0);
                    let left = self.initial[&*it.trigger].saturating_sub(total);
                    hold!(it.left >= left, "{} has {left} left in the log, a slave receives {}", it.trigger, it.left);
                    let Some(slave) = &slave else { continue };
                    let key = (slave.clone(), it.trigger.into_owned());
                    let counted = self.counted.get(&key).copied().unwrap_or(0);
                    hold!(it.count <= counted, "{key:?}: {} are answered, {counted} are in the log", it.count);
                }
                Ok(FromController::Stop(it)) if it.run == *self.run => self.given_up |= it.how == Manner::Now,
                Ok(FromController::Recorded(it)) if it.run == *self.run => {
                    let Some(slave) = &slave else { continue };
                    let logged = self.reports.get(slave).copied().unwrap_or(0);
                    hold!(it.seq <= logged, "{slave}: {} reports are answered, {logged} are in the log", it.seq);
                }
                Ok(FromController::Kept(it)) if it.run == *self.run => {
                    let Some(slave) = &slave else { continue };
                    let path = self.results.join(slave).join(&*it.file);
                    let length = world.hosts[CONTROLLER].disk.get(&path).map_or(0, <[u8]>::len) as u64;
                    hold!(it.length <= length, "{}: {} bytes are answered, {length} are there", it.file, it.length);
                }
                Ok(_) => {}
                Err(malformed) => return Err(format!("the controller sends a malformed message: {malformed}")),
            }
        }
        Ok(())
    }

    /// Checks the conditions when the controller has exited.
    pub fn after_run(&self, test: &Test, world: &World) -> Result<(), String> {
        self.over_with(test, world.nodes[CONTROLLER].exit, world)
    }

    /// Checks the conditions when the run is over, with this exit code.
    pub fn over_with(&self, test: &Test, code: Option<u8>, world: &World) -> Result<(), String> {
        if self.disk_failed {
            // A controller that was killed before it noticed the full disk continues normally.
            let again = world.nodes[CONTROLLER].life > 1;
            hold!(code != Some(0) || again, "the run passed although its results could not be written");
            return Ok(());
        }
        hold!(self.ended, "the log has no last event");
        let disk = &world.hosts[CONTROLLER].disk;
        let bytes = disk.get(self.results.join("summary.json")).ok_or("summary.json is missing")?;
        let summary: Value = serde_json::from_slice(bytes).map_err(|error| format!("summary.json: {error}"))?;
        self.nothing_runs_too_early(test, world)?;
        self.verdict_is_true(test, &summary, code)?;
        self.triggers_are_true(&summary)?;
        measured::measurements_are_true(self, test, &summary, world)?;
        for slave in &test.slaves {
            if text(&summary["slaves"][&slave.name], "state") == "stopped" && !self.given_up {
                self.slave_is_whole(&slave.name, &slave.entries, world)?;
            }
        }
        Ok(())
    }

    /// An entry that waits until another is ready begins after a process of the other has become ready.
    fn nothing_runs_too_early(&self, test: &Test, world: &World) -> Result<(), String> {
        let mut ready = BTreeSet::new();
        for fact in &world.ledger {
            match fact {
                Fact::IsReady { life, mark, .. } => drop(ready.insert((*life, mark.clone()))),
                Fact::Started { life, mark, stdout, .. } if self.is_mine(stdout) => {
                    let place = self.place(life.node);
                    let entries =
                        test.slaves.iter().filter(|slave| slave.name == place).flat_map(|slave| &*slave.entries);
                    let after = entries.filter(|entry| entry.name == *mark).find_map(|entry| match &entry.policy {
                        Policy::After(after) => {
                            after.of.iter().find(|it| it.when == When::Ready).map(|it| it.entry.clone())
                        }
                        _ => None,
                    });
                    let Some(awaited) = after else { continue };
                    hold!(ready.contains(&(*life, awaited.clone())), "{place}: {mark} runs before {awaited} is ready");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// On a calm network, `at` means the same instant everywhere.
    pub fn starts_agree(&self, test: &Test, world: &World) -> Result<(), String> {
        let mut instants = Vec::new();
        for fact in &world.ledger {
            let Fact::Started { at, life, mark, stdout, .. } = fact else { continue };
            // A later attempt at a job has its own time.
            if !self.is_mine(stdout) || !stdout.ends_with(format!("{mark}.out")) {
                continue;
            }
            let entries = &test.slaves[life.node - 1].entries;
            let found = entries.iter().find(|entry| entry.name == *mark);
            if let Some(Policy::At(micros)) = found.map(|entry| &entry.policy) {
                instants.push(at.saturating_sub(*micros));
            }
        }
        let (first, last) = (instants.iter().min().copied(), instants.iter().max().copied());
        let apart = last.unwrap_or(0) - first.unwrap_or(0);
        hold!(apart < STARTS_APART_MAX, "what should start at one instant starts {apart} microseconds apart");
        Ok(())
    }

    fn verdict_is_true(&self, test: &Test, summary: &Value, code: Option<u8>) -> Result<(), String> {
        let verdict = text(summary, "verdict");
        let last = self.events.last().map(|event| text(event, "verdict")).unwrap_or("");
        hold!(verdict == last, "the summary has {verdict}, the log {last}");
        let expected: &[u8] = match verdict {
            "passed" => &[0],
            "failed" => &[1, 7],
            _ => &[130],
        };
        hold!(code.is_some_and(|code| expected.contains(&code)), "{verdict}, and the exit code is {code:?}");
        if verdict == "failed" {
            first_failure_is_the_headline(summary, code)?;
        }
        self.losses_have_the_effect_that_the_test_chooses(test)?;
        let lost = self.events.iter().filter(|event| text(event, "event") == "lost").count();
        let forgives = test.on_lost == OnLost::Continue && lost < test.slaves.len();
        let bad = self.events.iter().find(|event| is_failure(event) && !(forgives && text(event, "event") == "lost"));
        if verdict == "passed" {
            hold!(bad.is_none(), "passed in spite of {}", bad.expect("there is one"));
            // A slave that was asked to quit stops its jobs, and is lost.
            let forgiven = |event: &Value| self.lost.contains(text(event, "slave"));
            let cut_off = self.events.iter().find(|event| is_cut_off(event, test) && !forgiven(event));
            hold!(cut_off.is_none(), "passed, and a job never exited by itself: {}", cut_off.expect("there is one"));
        }
        self.no_limit_is_waited_for_in_vain(test)?;
        if verdict == "failed" && bad.is_none() {
            let why = text(summary, "why");
            let known = why.contains("limit") || why.starts_with("waited ") || why.contains(", asserted ");
            hold!(known, "failed, and the log does not say why: {why}");
        }
        Ok(())
    }

    /// A run ends before its limit if nothing can notify its end trigger any more.
    fn no_limit_is_waited_for_in_vain(&self, test: &Test) -> Result<(), String> {
        let End::Trigger { trigger, .. } = &test.end else { return Ok(()) };
        let by_limit = |event: &&Value| text(event, "event") == "ending" && text(event, "why").starts_with("its limit");
        let Some(ending) = self.events.iter().find(by_limit).filter(|_| !self.fired.contains(trigger)) else {
            return Ok(());
        };
        // By slave: since when no command runs or can start on it, and whether processes of commands may remain.
        let mut resting: BTreeMap<&str, f64> = BTreeMap::new();
        let mut strays = BTreeSet::new();
        let mut lost = BTreeSet::new();
        for event in self.events.iter().take_while(|event| *event != ending) {
            match text(event, "event") {
                "lost" => {
                    lost.insert(text(event, "slave"));
                }
                "idle" if event["services"] != true => {
                    resting.insert(text(event, "slave"), event["t"].as_f64().unwrap_or(0.0));
                }
                "cleared" => {
                    strays.remove(text(event, "slave"));
                }
                "idle" | "begun" | "spawned" | "heard" | "triggered" => {
                    resting.remove(text(event, "slave"));
                    if !event["pid"].is_null() {
                        strays.insert(text(event, "slave"));
                    }
                }
                _ => {}
            }
        }
        let long_ago = ending["t"].as_f64().unwrap_or(0.0) - RESTS_MAX;
        let mut left = test.slaves.iter().filter(|slave| !lost.contains(slave.name.as_str()));
        let rests = |name: &str| !strays.contains(name) && resting.get(name).is_some_and(|since| *since < long_ago);
        let in_vain = left.all(|slave| rests(&slave.name));
        hold!(!in_vain, "nothing ran on any slave, and the run waited for {ending}");
        Ok(())
    }

    /// If a run continues without lost slaves, only the loss of the last one ends it.
    fn losses_have_the_effect_that_the_test_chooses(&self, test: &Test) -> Result<(), String> {
        let of = |what: &str| self.events.iter().filter(|event| text(event, "event") == what).count();
        let by_loss = self.events.iter().any(|event| {
            let why = text(event, "why");
            text(event, "event") == "ending" && why.starts_with("slave ") && why.contains(" was lost: ")
        });
        let goes_on = test.on_lost == OnLost::Continue && of("started") > 0;
        hold!(!(goes_on && by_loss) || of("lost") == test.slaves.len(), "a loss ended a run that continues");
        Ok(())
    }

    fn triggers_are_true(&self, summary: &Value) -> Result<(), String> {
        for (trigger, initial) in &self.initial {
            let said = &summary["triggers"][trigger];
            let total = self.total.get(trigger).copied().unwrap_or(0);
            hold!(said["notified"].as_u64() == Some(total), "{trigger}: the summary has {said}, the log {total}");
            hold!(said["left"].as_u64() == Some(initial.saturating_sub(total)), "{trigger}: {said} after {total}");
            hold!(said["fired"].is_null() != self.fired.contains(trigger), "{trigger}: {said}");
        }
        Ok(())
    }

    /// The results contain everything of a slave that took part in the whole run, once.
    fn slave_is_whole(&self, name: &str, entries: &[arete::wire::Entry], world: &World) -> Result<(), String> {
        let begun = self.events.iter().any(|event| text(event, "slave") == name && text(event, "event") == "begun");
        let open = self.runs.iter().find(|((slave, ..), exited)| slave == name && !**exited);
        hold!(open.is_none(), "{name} has stopped, and {open:?} has not exited");
        for entry in entries.iter().filter(|entry| waits_for_several(entry)) {
            let runs = self.runs.keys().filter(|(slave, of, _)| slave == name && *of == entry.name).count();
            hold!(runs <= 1, "{name} ran {} {runs} times", entry.name);
        }
        for event in self.events.iter().filter(|event| text(event, "slave") == name && is_retried(event)) {
            let next = event["nr"].as_u64().unwrap_or(0) + 1;
            let key = (name.to_owned(), text(event, "entry").to_owned(), next);
            hold!(self.runs.get(&key) == Some(&true), "{name} has stopped, and no attempt followed {event}");
        }
        for (trigger, entry) in entries.iter().filter_map(triggered_entry) {
            let runs = self.runs.keys().filter(|(slave, of, _)| slave == name && of == entry).count();
            hold!(runs <= 1, "{name} ran {entry} {runs} times");
            let hears = |event: &Value| is_heard(event, name, trigger);
            let in_time =
                self.events.iter().position(hears).is_some_and(|at| self.ending_at.is_none_or(|end| at < end));
            hold!(!in_time || runs == 1, "{name} heard {trigger} before the end, and did not run {entry}");
        }
        for trigger in &self.fired {
            let fired_at = self.events.iter().position(|event| is_triggered(event, trigger));
            let in_time = fired_at.is_some_and(|at| self.ending_at.is_none_or(|ending| at < ending));
            let heard = self.heard.contains(&(name.to_owned(), trigger.clone()));
            hold!(heard || !in_time || !begun, "{name} did not hear {trigger}");
        }
        self.notifies_of(name, entries)?;
        self.processes_of(name, world)
    }

    /// Each notify is counted once.
    fn notifies_of(&self, name: &str, entries: &[arete::wire::Entry]) -> Result<(), String> {
        for trigger in self.initial.keys() {
            let key = (name.to_owned(), trigger.clone());
            let counted = self.counted.get(&key).copied().unwrap_or(0);
            let of_action = |entry: &&arete::wire::Entry| matches!(&entry.action, Action::Notify { trigger: it, .. } if it == trigger);
            let actions: BTreeSet<&str> = entries.iter().filter(of_action).map(|entry| entry.name.as_str()).collect();
            let by_entries = |outcomes: &[&str]| {
                let ended = self.events.iter().filter(|event| {
                    text(event, "slave") == name
                        && text(event, "event") == "exited"
                        && actions.contains(text(event, "entry"))
                        && outcomes.contains(&text(event, "outcome"))
                });
                ended.count() as u64
            };
            let tells = |entry: &str| {
                let of = entries.iter().find(|other| other.name == entry).and_then(|entry| entry.readiness());
                of.is_some_and(|ready| ready.trigger.as_deref() == Some(trigger.as_str()))
            };
            let ready = self.ready.iter().filter(|(slave, entry, _)| slave == name && tells(entry)).count() as u64;
            let done = self.done.get(&key).copied().unwrap_or(0) + by_entries(&["passed"]) + ready;
            let made =
                self.asked.get(&key).copied().unwrap_or(0) + by_entries(&["passed", "stopped", "failed"]) + ready;
            hold!(done <= counted, "{key:?}: {done} were answered, {counted} are in the log");
            hold!(counted <= made, "{key:?}: {made} were made, {counted} counted");
        }
        Ok(())
    }

    /// Returns whether a slave has sent a certain warning.
    fn warns(&self, name: &str) -> bool {
        self.events.iter().any(|event| text(event, "slave") == name && text(event, "event") == "warning")
    }

    /// The results contain the output of its processes and how they ended.
    fn processes_of(&self, name: &str, world: &World) -> Result<(), String> {
        let node = self.node_of(name);
        let disk = &world.hosts[CONTROLLER].disk;
        let mut pids = BTreeMap::new();
        for fact in &world.ledger {
            let Fact::Started { pid, life, mark, stdout, stderr, .. } = fact else { continue };
            if life.node != node || !self.is_mine(stdout) {
                continue;
            }
            pids.insert(u64::from(*pid), mark.clone());
            for path in [stdout, stderr] {
                let written = world.written.get(&(world.nodes[node].host, path.clone()));
                let file = path.file_name().unwrap_or_default();
                let kept = disk.get(self.results.join(name).join(file)).unwrap_or_default();
                let written = written.map(Vec::as_slice).unwrap_or_default();
                let cut = self.ships_a_part && written.starts_with(kept);
                hold!(!cut || kept == written || self.warns(name), "{name} ships {path:?} in part and does not say so");
                hold!(
                    kept == written || cut,
                    "{name}: {} has {} bytes in the results, and {} were written",
                    file.display(),
                    kept.len(),
                    written.len()
                );
            }
        }
        for event in
            self.events.iter().filter(|event| text(event, "slave") == name && text(event, "event") == "spawned")
        {
            if let Some(pid) = event["pid"].as_u64() {
                // A command that was killed before its first step has left no mark.
                let mark = pids.remove(&pid);
                hold!(mark.is_none_or(|mark| mark == text(event, "entry")), "{event} is another command");
            }
        }
        hold!(pids.is_empty(), "{name} ran what it did not report: {pids:?}");
        Ok(())
    }
}

fn triggered_entry(entry: &arete::wire::Entry) -> Option<(&str, &str)> {
    match &entry.policy {
        Policy::Trigger(trigger) => Some((trigger, &entry.name)),
        _ => None,
    }
}

fn is_triggered(event: &Value, trigger: &str) -> bool {
    text(event, "event") == "triggered" && text(event, "trigger") == trigger
}

fn is_heard(event: &Value, slave: &str, trigger: &str) -> bool {
    text(event, "event") == "heard" && text(event, "slave") == slave && text(event, "trigger") == trigger
}

/// Returns whether the end alone stopped a job of a run that does not end by its duration.
fn is_cut_off(event: &Value, test: &Test) -> bool {
    let slave = test.slaves.iter().find(|slave| slave.name == text(event, "slave"));
    let entry = slave.and_then(|slave| slave.entries.iter().find(|entry| entry.name == text(event, "entry")));
    text(event, "outcome") == "stopped"
        && text(event, "why") == "the end of the run"
        && !matches!(test.end, End::Duration(_))
        && entry.is_some_and(|entry| !entry.is_service())
}

fn waits_for_several(entry: &arete::wire::Entry) -> bool {
    matches!(&entry.policy, Policy::After(after) if after.of.len() > 1)
}

/// Returns whether an attempt at a job failed that another one follows.
fn is_retried(event: &Value) -> bool {
    text(event, "event") == "exited" && text(event, "outcome") == "retried"
}

fn is_failure(event: &Value) -> bool {
    match text(event, "event") {
        "exited" => text(event, "outcome") == "failed",
        "lost" | "trouble" => true,
        "end" | "ending" => text(event, "verdict") == "failed",
        _ => false,
    }
}

/// The processes of a run that descend from this life of a slave, without those that remove directories.
pub fn living(world: &World, life: Life) -> Vec<(u32, String)> {
    let mine = world.processes.iter().filter(|(_, process)| process.life == life && !process.is_removal());
    mine.map(|(pid, process)| (*pid, process.mark.clone())).collect()
}
