//! Injects the faults of entries, and undoes them: after their time, by `kill`, and before the end of the run.
//!
//! Each fault takes this way: its record is written, a process injects it, and later a process undoes it and removes the
//! record. While the end of the run signals all processes, no fault is undone; [`Phase::Healing`] follows.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, ConfirmId, Exit, ReadId, Signal};
use crate::slave::fault_record::{Does, FAULTS, FaultRecord, queue_handle, table_name};
use crate::slave::injections::{
    Check, DONE_WITHIN, FAULTS_MAX, Injected, Kind, Stage, TRIES_MAX, TRY_AGAIN, log_of, record_of, start,
};
use crate::slave::process::{Doing, Due, EntryRun, FaultNr, RunKey};
use crate::slave::run::{AfterSweep, Phase, Run};
use crate::slave::shorten::{clip, listed};
use crate::slave::timer::Timer;
use crate::slave::turn::Turn;
use crate::slave::variables::Unresolved;
use crate::text;
use crate::text::tail::{BYTES_MAX, last_lines};
use crate::wire::{Conditions, EntryOutcome, FaultState, Harm, Injection, SlaveEvent};

impl Run {
    /// Checks, before the start, what the faults of this part need. Fails with what is missing, as far as it is known here.
    pub(super) fn check_faults(&mut self, turn: &mut Turn<'_>) -> Result<(), String> {
        let entries = self.part.entries.clone();
        let harms: Vec<&Harm> = entries.iter().filter_map(|entry| Some(&entry.injection()?.what)).collect();
        for harm in &harms {
            self.check_harm(harm)?;
        }
        let mut needs: Vec<&str> = harms.iter().map(|harm| harm.key()).filter(|key| *key != "pause").collect();
        needs.sort_unstable();
        needs.dedup();
        if !needs.is_empty() {
            let words: Vec<&str> = ["check"].into_iter().chain(needs).collect();
            let child = start(&words, &self.config.dir, self.dir.fault_log("check.log"), true, turn.out);
            self.injections.check = Check::Runs(child);
            self.timers.set(Timer::FaultCheck, turn.now + DONE_WITHIN);
        }
        Ok(())
    }

    /// Fails if a fault can never be injected here.
    fn check_harm(&self, harm: &Harm) -> Result<(), String> {
        match harm {
            Harm::Crash if !self.config.allow_crash => {
                let advice = "start the slave with --allow crash, or add \"allow\": [\"crash\"] to its configuration";
                Err(format!("the test crashes this machine, which its slave does not allow: {advice}"))
            }
            Harm::Partition { sides, one_way } => self.peers_of_cut(sides, *one_way).map(drop),
            Harm::Network(conditions) => self.addresses_of(&conditions.to).map(drop),
            _ => Ok(()),
        }
    }

    /// The addresses of other slaves have changed before the start.
    pub(super) fn check_addresses(&self) -> Result<(), String> {
        let entries = self.part.entries.clone();
        entries.iter().filter_map(|entry| entry.injection()).try_for_each(|injection| self.check_harm(&injection.what))
    }

    /// Returns the addresses to which nothing may be sent, and those from which nothing may be received.
    fn peers_of_cut(&self, sides: &[Vec<String>], one_way: bool) -> Result<(Vec<IpAddr>, Vec<IpAddr>), String> {
        let own = self.part.slave_name(&self.config);
        let Some(ours) = sides.iter().position(|side| side.iter().any(|name| name == own)) else {
            return Ok((Vec::new(), Vec::new()));
        };
        let others = |of: &dyn Fn(usize) -> bool| {
            let names = sides.iter().enumerate().filter(|(nr, _)| *nr != ours && of(*nr)).flat_map(|(_, side)| side);
            self.addresses_of(names)
        };
        let to = others(&|_| !one_way || ours == 0)?;
        let from = others(&|nr| !one_way || nr == 0)?;
        let mine = self.part.addresses.get(own).and_then(|address| address.parse::<IpAddr>().ok());
        let cut = to.iter().chain(&from).any(|address| Some(*address) == mine);
        if cut {
            let address = mine.map(|address| address.to_string()).unwrap_or_default();
            return Err(format!(
                "slaves on both sides of a partition have the address {address}: run them on different machines"
            ));
        }
        Ok((to, from))
    }

    /// Returns the addresses of these slaves. Fails if one cannot be cut from others by its address.
    fn addresses_of<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Result<Vec<IpAddr>, String> {
        let address = |name: &String| {
            let text =
                self.part.addresses.get(name).ok_or_else(|| format!("the address of slave {name:?} is not known"))?;
            match text.parse::<IpAddr>() {
                Ok(ip) if ip.is_loopback() || ip.is_unspecified() => Err(format!(
                    "the controller knows slave {name:?} only by the address {ip}: let it connect to the controller by an \
                     address that other machines can reach"
                )),
                Ok(ip) => Ok(ip.to_canonical()),
                Err(_) => Err(format!("the address {:?} of slave {name:?} is not an IP address", clip(text))),
            }
        };
        names.into_iter().map(address).collect()
    }

    /// Begins a run of an entry that injects a fault.
    pub(super) fn begin_fault(&mut self, due: Due, injection: &Injection, turn: &mut Turn<'_>) {
        let kind = if self.injections.is_full() {
            Err(Unresolved::Never(format!("{FAULTS_MAX} faults are in effect already on this slave")))
        } else {
            self.kind_of(&due, &injection.what)
        };
        let (kind, what) = match kind {
            Ok(kind) => kind,
            Err(Unresolved::NotYet) => return self.queue.defer(due),
            Err(Unresolved::Never(why)) => return self.finished(due, None, EntryOutcome::Failed, Some(why), turn),
        };
        self.spawned_report(&due, None, turn);
        let (entry, entry_nr) = (due.entry, due.nr.unwrap_or(1));
        let lasts = injection.lasts.map(Duration::from_micros);
        let fault = Injected {
            entry,
            nr: entry_nr,
            what,
            run: None,
            lasts,
            stage: Stage::InEffect,
            kind,
            began: false,
            unwanted: false,
            failed: None,
            tries: 0,
        };
        let nr = self.injections.add(fault);
        let key = self.processes.insert(EntryRun::new(due, Doing::Fault));
        let Some(fault) = self.injections.get_mut(nr) else { return };
        fault.run = Some(key);
        match &fault.kind {
            Kind::Pause(children) => {
                children.iter().for_each(|child| turn.out.kill_group(*child, Signal::STOP));
                self.in_effect(nr, turn);
            }
            Kind::Recorded { record, .. } => {
                let bytes = serde_json::to_vec(record).unwrap_or_default();
                turn.out.make_dir(self.config.dir.join(FAULTS));
                if !injected(Fault::FaultUnrecorded) {
                    turn.out.persist(record_of(nr, &self.config.dir, &self.part.run), bytes);
                }
                fault.stage = Stage::Recording(turn.out.confirm());
            }
        }
    }

    /// Returns what a fault does, and its description for people.
    fn kind_of(&self, due: &Due, harm: &Harm) -> Result<(Kind, String), Unresolved> {
        let never = Unresolved::Never;
        let name = self.injections.next_name(&self.part.run);
        let (does, what) = match harm {
            Harm::Pause { entry } => {
                let index = self.part.index_of(entry).ok_or_else(|| never(format!("there is no entry {entry:?}")))?;
                let children = self.processes.children_of(index);
                if children.is_empty() {
                    return Err(never(format!("entry {entry:?} does not run, so there is nothing to pause")));
                }
                return Ok((Kind::Pause(children), format!("entry {entry} is paused")));
            }
            Harm::Partition { sides, one_way } => {
                let (to, from) = self.peers_of_cut(sides, *one_way).map_err(never)?;
                let controller = self.controller.clone();
                let what = self.describe_cut(sides, *one_way);
                (Does::Partition { table: table_name(&self.config.dir, &name), to, from, controller }, what)
            }
            Harm::Network(conditions) => {
                let to = self.addresses_of(&conditions.to).map_err(never)?;
                let (conditions, what) = (conditions.clone(), describe_network(conditions));
                (
                    Does::Network { handle: queue_handle(&name), conditions, to, controller: self.controller.clone() },
                    what,
                )
            }
            Harm::Fill { path, leave } => {
                let path = self.dir.work().join(self.variables().expand(path)?);
                let file = path.join(format!(".arete-fill-{name}")).display().to_string();
                (Does::Fill { file, leave: *leave }, format!("{} has only {leave} bytes left", path.display()))
            }
            Harm::Clock { step } => {
                let time = text::duration(Duration::from_micros(step.unsigned_abs()));
                let what = format!("the clock is {time} {}", if *step < 0 { "slow" } else { "fast" });
                (Does::Clock { step: *step }, what)
            }
            Harm::Crash => (Does::Crash, "the machine restarts".to_owned()),
        };
        let entry = self.part.entries[due.entry].name.clone();
        let is_crash = *harm == Harm::Crash;
        let record = FaultRecord { run: self.part.run.clone(), entry, what: what.clone(), does };
        Ok((Kind::Recorded { record: Box::new(record), is_crash }, what))
    }

    fn describe_cut(&self, sides: &[Vec<String>], one_way: bool) -> String {
        let own = self.part.slave_name(&self.config);
        let is_ours = |side: &&Vec<String>| side.iter().any(|name| name == own);
        let first = sides.first().is_some_and(|side| is_ours(&side));
        let others = sides.iter().skip(usize::from(one_way && first)).filter(|side| !is_ours(side));
        let others =
            if one_way && !first { others.take(1).flatten().collect() } else { others.flatten().collect::<Vec<_>>() };
        let others = listed(others.into_iter().map(String::as_str));
        match (one_way, first) {
            (false, _) => format!("{own} is cut from {others}"),
            (true, true) => format!("nothing from {own} reaches {others}"),
            (true, false) => format!("nothing from {others} reaches {own}"),
        }
    }

    /// Everything that was written before is on the disk.
    pub(super) fn fault_recorded(&mut self, confirm: ConfirmId, turn: &mut Turn<'_>) {
        let Some(nr) = self.injections.at(Stage::Recording(confirm)) else { return };
        let Some(fault) = self.injections.get_mut(nr) else { return };
        match &fault.kind {
            _ if fault.unwanted => {
                fault.stage = Stage::Due;
                self.undo(nr, turn);
            }
            Kind::Recorded { is_crash: true, .. } => {
                fault.stage = Stage::Announced;
                self.report_fault(nr, FaultState::Began, turn);
            }
            _ => self.inject(nr, turn),
        }
    }

    /// A crash is injected when the controller knows of it, because no slave can report it afterwards.
    pub(super) fn crash_if_told(&mut self, turn: &mut Turn<'_>) {
        if let Some(nr) = self.injections.at(Stage::Announced).filter(|_| self.reports.all_recorded()) {
            self.inject(nr, turn);
        }
    }

    fn inject(&mut self, nr: FaultNr, turn: &mut Turn<'_>) {
        let child = self.start_fault("inject", nr, turn);
        if let Some(fault) = self.injections.get_mut(nr) {
            fault.stage = Stage::Injecting(child);
        }
    }

    fn start_fault(&mut self, verb: &str, nr: FaultNr, turn: &mut Turn<'_>) -> ChildId {
        let record = record_of(nr, &self.config.dir, &self.part.run).display().to_string();
        self.timers.set(Timer::FaultLimit(nr), turn.now + DONE_WITHIN);
        let log = self.dir.fault_log(&log_of(nr));
        start(&[verb, &record], &self.config.dir, log, verb == "inject", turn.out)
    }

    /// A record could not be written, so its fault is not injected.
    pub(super) fn record_failed(&mut self, path: &Path, error: &str, turn: &mut Turn<'_>) {
        let Some(nr) = self.injections.with_record(&self.config.dir, &self.part.run, path) else { return };
        if let Some(fault) = self.injections.get_mut(nr) {
            fault.failed = Some(format!("{}: {error}", path.display()));
            self.fault_over(nr, turn);
        }
    }

    /// A process has ended, or could not be started. Returns whether it belongs to a fault.
    pub(super) fn fault_process_over(&mut self, child: ChildId, exit: Result<Exit, &str>, turn: &mut Turn<'_>) -> bool {
        if self.injections.check == Check::Runs(child) {
            self.fault_check_over(exit, turn);
            return true;
        }
        let Some(nr) = self.injections.of_child(child) else { return false };
        self.timers.cancel(&Timer::FaultLimit(nr));
        let log = self.dir.fault_log(&log_of(nr));
        let Some(fault) = self.injections.get_mut(nr) else { return false };
        let injecting = matches!(fault.stage, Stage::Injecting(_));
        match exit {
            Ok(Exit::Code(0)) if injecting => self.in_effect(nr, turn),
            Ok(Exit::Code(0)) => {
                if fault.began {
                    self.report_fault(nr, FaultState::Undone, turn);
                }
                self.fault_over(nr, turn);
            }
            Ok(Exit::Code(_)) if injecting => fault.stage = Stage::Explaining(turn.out.read_end(log, BYTES_MAX)),
            exit if injecting => {
                // It was interrupted, so a part of it may be in effect.
                (fault.failed, fault.stage) = (Some(why(exit)), Stage::Due);
                self.undo(nr, turn);
            }
            Ok(Exit::Code(_)) if fault.tries + 1 >= TRIES_MAX => {
                fault.stage = Stage::ExplainingUndo(turn.out.read_end(log, BYTES_MAX));
            }
            exit => self.not_undone(nr, &why(exit), turn),
        }
        true
    }

    /// The output of a process was read. Returns whether it belongs to a fault.
    pub(super) fn read_for_fault(&mut self, read: ReadId, bytes: Option<&[u8]>, turn: &mut Turn<'_>) -> bool {
        let lines = bytes.map(last_lines).filter(|text| !text.is_empty());
        let text = lines.unwrap_or_else(|| "the reason is not known".to_owned()).replace('\n', "; ");
        let text = text.strip_prefix("arete: ").unwrap_or(&text).to_owned();
        if self.injections.check == Check::Explaining(read) {
            self.injections.check = Check::Done;
            self.cannot(&text, turn);
        } else if let Some(nr) = self.injections.at(Stage::Explaining(read)) {
            if let Some(fault) = self.injections.get_mut(nr) {
                (fault.failed, fault.stage) = (Some(text), Stage::Due);
            }
            self.undo(nr, turn);
        } else if let Some(nr) = self.injections.at(Stage::ExplainingUndo(read)) {
            self.not_undone(nr, &text, turn);
        } else {
            return false;
        }
        true
    }

    fn fault_check_over(&mut self, exit: Result<Exit, &str>, turn: &mut Turn<'_>) {
        self.timers.cancel(&Timer::FaultCheck);
        self.injections.check = Check::Done;
        match exit {
            Ok(Exit::Code(0)) => self.try_ready(turn),
            Ok(Exit::Code(_)) => {
                let read = turn.out.read_end(self.dir.fault_log("check.log"), BYTES_MAX);
                self.injections.check = Check::Explaining(read);
            }
            exit => self.cannot(&format!("the faults of the test could not be checked: {}", why(exit)), turn),
        }
    }

    /// A process takes too long.
    pub(super) fn fault_late(&mut self, nr: Option<FaultNr>, turn: &mut Turn<'_>) {
        let child = match (nr, self.injections.check) {
            (None, Check::Runs(child)) => Some(child),
            (None, _) => None,
            (Some(nr), _) => match self.injections.get(nr).map(|fault| fault.stage) {
                Some(Stage::Injecting(child) | Stage::Undoing(child)) => Some(child),
                Some(Stage::Due) => return self.undo(nr, turn),
                _ => None,
            },
        };
        child.into_iter().for_each(|child| turn.out.kill_group(child, Signal::KILL));
    }

    /// A fault is in effect.
    fn in_effect(&mut self, nr: FaultNr, turn: &mut Turn<'_>) {
        let Some(fault) = self.injections.get_mut(nr) else { return };
        fault.stage = Stage::InEffect;
        let (lasts, unwanted) = (fault.lasts, fault.unwanted);
        if !matches!(fault.kind, Kind::Recorded { is_crash: true, .. }) {
            self.report_fault(nr, FaultState::Began, turn);
        }
        match lasts {
            _ if unwanted => self.undo(nr, turn),
            Some(lasts) => self.timers.set(Timer::Fault(nr), turn.now + lasts),
            None => self.end_fault_run(nr, EntryOutcome::Passed, None, turn),
        }
    }

    fn report_fault(&mut self, nr: FaultNr, state: FaultState, turn: &mut Turn<'_>) {
        let entries = self.part.entries.clone();
        let Some(fault) = self.injections.get_mut(nr) else { return };
        fault.began |= state == FaultState::Began;
        let (entry, what) = (entries[fault.entry].name.as_str().into(), clip(&fault.what).to_owned().into());
        let event = SlaveEvent::Fault { entry, nr: fault.nr, state, what };
        self.reports.push(event, turn);
    }

    /// Undoes a fault as soon as that is possible. A fault that is being recorded, injected or undone goes on first.
    pub(super) fn undo(&mut self, nr: FaultNr, turn: &mut Turn<'_>) {
        self.timers.cancel(&Timer::Fault(nr));
        let deferred = matches!(self.phase, Phase::Stopping | Phase::Sweeping(_));
        let Some(fault) = self.injections.get_mut(nr) else { return };
        fault.unwanted = true;
        match fault.stage {
            Stage::InEffect if matches!(fault.kind, Kind::Pause(_)) => self.resume_paused(nr, turn),
            Stage::InEffect | Stage::Announced | Stage::Due if deferred => fault.stage = Stage::Due,
            Stage::InEffect | Stage::Announced | Stage::Due => {
                let child = self.start_fault("undo", nr, turn);
                if let Some(fault) = self.injections.get_mut(nr) {
                    fault.stage = Stage::Undoing(child);
                }
            }
            _ => {}
        }
    }

    /// Continues the commands of a pause, unless another pause stops them too.
    fn resume_paused(&mut self, nr: FaultNr, turn: &mut Turn<'_>) {
        let Some(Injected { kind: Kind::Pause(children), .. }) = self.injections.get(nr) else { return };
        for child in children.iter().filter(|child| !self.injections.pauses(nr, **child)) {
            turn.out.kill_group(*child, Signal::CONT);
        }
        self.report_fault(nr, FaultState::Undone, turn);
        self.fault_over(nr, turn);
    }

    /// A fault could not be undone. Tries again, or gives up and says what is left.
    fn not_undone(&mut self, nr: FaultNr, why: &str, turn: &mut Turn<'_>) {
        let Some(fault) = self.injections.get_mut(nr) else { return };
        fault.tries += 1;
        if fault.tries < TRIES_MAX {
            fault.stage = Stage::Due;
            return self.timers.set(Timer::FaultLimit(nr), turn.now + TRY_AGAIN);
        }
        let entry = &self.part.entries[fault.entry].name;
        let text = format!("{}: this fault of entry {entry} could not be undone: {why}", fault.what);
        fault.failed.get_or_insert_with(|| format!("could not be undone: {why}"));
        self.report_fault(nr, FaultState::Left, turn);
        self.reports.push(SlaveEvent::Trouble { text: clip(&text).to_owned().into() }, turn);
        self.fault_over(nr, turn);
    }

    /// Nothing is left of a fault, or nothing can be done about it.
    fn fault_over(&mut self, nr: FaultNr, turn: &mut Turn<'_>) {
        self.timers.cancel(&Timer::Fault(nr));
        self.timers.cancel(&Timer::FaultLimit(nr));
        let Some(fault) = self.injections.remove(nr) else { return };
        if let Some(key) = fault.run {
            let killed = self.processes.get(key).and_then(|run| run.killed_by.clone());
            let (outcome, why) = match (fault.failed, killed) {
                (Some(why), _) => (EntryOutcome::Failed, Some(why)),
                (None, Some((signal, by))) => {
                    (EntryOutcome::Stopped, Some(format!("entry {by} sent {}", signal.name())))
                }
                (None, None) => (EntryOutcome::Passed, None),
            };
            self.end_run_of_fault(key, outcome, why, turn);
        }
        if self.injections.of_entry(fault.entry).is_empty() {
            self.end_kills(fault.entry, turn);
        }
    }

    /// The run of an entry is over, and its fault stays.
    fn end_fault_run(&mut self, nr: FaultNr, outcome: EntryOutcome, why: Option<String>, turn: &mut Turn<'_>) {
        if let Some(key) = self.injections.get_mut(nr).and_then(|fault| fault.run.take()) {
            self.end_run_of_fault(key, outcome, why, turn);
        }
    }

    fn end_run_of_fault(&mut self, key: RunKey, outcome: EntryOutcome, why: Option<String>, turn: &mut Turn<'_>) {
        // The end of the run has reported it if it is gone.
        if let Some(run) = self.take(key) {
            self.finished(run.into(), None, outcome, why, turn);
        }
    }

    /// An entry sends a signal to an entry that injects faults. Undoes them, if the signal ends processes.
    pub(super) fn kill_faults(&mut self, index: usize, turn: &mut Turn<'_>) {
        for nr in self.injections.of_entry(index) {
            self.undo(nr, turn);
        }
    }

    /// Ends the run of a `kill`: at once, or when the faults of its entry are undone.
    pub(super) fn end_kill(&mut self, due: Due, entry: &str, turn: &mut Turn<'_>) {
        let index = self.part.index_of(entry).filter(|index| self.injections.undoes(*index));
        match index {
            Some(index) => drop(self.processes.insert(EntryRun::new(due, Doing::Heal(index)))),
            None => self.finished(due, None, EntryOutcome::Passed, None, turn),
        }
    }

    /// The faults of an entry are undone: ends the runs of `kill` that wait for that.
    fn end_kills(&mut self, index: usize, turn: &mut Turn<'_>) {
        for key in self.processes.keys() {
            if self.processes.get(key).is_some_and(|run| matches!(run.doing, Doing::Heal(of) if of == index)) {
                self.end_run_of_fault(key, EntryOutcome::Passed, None, turn);
            }
        }
    }

    /// All processes of the run have ended: undoes all faults, and then takes the next step of the end.
    pub(super) fn heal(&mut self, then: AfterSweep, turn: &mut Turn<'_>) {
        self.phase = Phase::Healing(then);
        if injected(Fault::EndForgetsFaults) {
            return;
        }
        for nr in self.injections.all() {
            if let Some(fault) = self.injections.get_mut(nr) {
                fault.tries = 0;
            }
            self.undo(nr, turn);
        }
    }

    /// Returns whether no fault of this run is left, or is about to be injected.
    pub(super) fn healed(&self) -> bool {
        self.injections.is_empty() || injected(Fault::EndForgetsFaults)
    }
}

/// Says how a process ended that was to inject or to undo a fault.
fn why(exit: Result<Exit, &str>) -> String {
    match exit {
        Ok(exit) => format!("\"arete fault\" did not end by itself: {exit}"),
        Err(error) => format!("\"arete fault\" could not be started: {error}"),
    }
}

/// Describes the conditions of a network.
fn describe_network(conditions: &Conditions) -> String {
    let time = |micros: u64| text::duration(Duration::from_micros(micros));
    let delay = conditions.delay.map(|delay| format!("delay {}", time(delay)));
    let jitter = conditions.jitter.map(|jitter| format!("jitter {}", time(jitter)));
    let loss = conditions.loss.map(|loss| format!("loss {}%", f64::from(loss) / 10_000.0));
    let rate = conditions.rate.map(|rate| format!("rate {rate} bit/s"));
    let all: Vec<String> = [delay, jitter, loss, rate].into_iter().flatten().collect();
    let to =
        if conditions.to.is_empty() { "everyone".to_owned() } else { listed(conditions.to.iter().map(String::as_str)) };
    format!("{} to {to}", all.join(", "))
}
