//! The promises about barriers and syncs, after every step: one verdict for a round, no release before all members have
//! arrived and are known to be alive, the same bytes for all of a sync, a verdict for every member.
//!
//! The checks compare the bytes that the controller receives and sends with the requests of virtual commands and their
//! results. Every planned arrival has a serial number that all of these contain.

use std::collections::{BTreeMap, BTreeSet};

use arete::machine::ConnId;
use arete::wire::rendezvous::{OutcomeKind, Party, RoundVerdict};
use arete::wire::{FromController, FromMember, ToController};
use serde_json::Value;

use crate::lab::{CONTROLLER, RESULTS};
use crate::meeting_lines::{Told, Wait, arrival_of, holds_serial, is_of, wanted};
use crate::meeting_log::MeetingLog;
use crate::meeting_plan::{Plan, Planned};
use crate::meeting_seen::MeetingsSeen;
use crate::world::meet::{End, exit_code};
use crate::world::node::{Life, Received, Said};
use crate::world::process::{Ask, Fact};
use crate::world::{MILLISECOND, SECOND, World, lines};

/// The differences of clocks, and of rounding, over the compared times.
const CLOCKS: u64 = 20 * MILLISECOND;
/// The precision of an instant: turns take time, and clocks drift.
const CLOCK_STEP: u64 = MILLISECOND;
/// The time of a slave's answer to a command, and of a client's exit.
const ANSWER_MAX: u64 = 2 * MILLISECOND;
/// The most delay of a verdict after its deadline.
const LATE_MAX: u64 = SECOND;
/// The time for which a room is served after its member has its verdict, with that of a turn.
pub const SERVES_ON: u64 = 5 * SECOND + 100 * MILLISECOND;
/// The time after the last fault within which a meeting must end unless something delays it.
const STUCK_AFTER: u64 = 40 * SECOND;
/// The time for which a failed round keeps its verdict if no member has named a timeout.
const KEPT_FOR: u64 = 60 * SECOND;

macro_rules! hold {
    ($condition:expr, $($format:tt)*) => {
        if !$condition {
            return Err(format!($($format)*));
        }
    };
}

/// The decided rounds in the controller's ledger: whether it is a sync, and the number.
fn decided(world: &World) -> BTreeSet<(bool, u64)> {
    let ledger = world.hosts[CONTROLLER].disk.get(format!("{RESULTS}/state.jsonl")).unwrap_or_default();
    let facts = lines(ledger).filter_map(|line| serde_json::from_slice::<(u64, Vec<Value>)>(line).ok());
    let rounds = facts.flat_map(|(_, facts)| facts).filter_map(|mut fact| Some(fact.get_mut("round")?.take()));
    let is_sync = |round: &Value| match round["kind"].as_str() {
        Some("sync") => true,
        Some("barrier") => false,
        other => panic!("a round in the ledger is of a barrier or a sync, not {other:?}"),
    };
    rounds.map(|round| (is_sync(&round), round["round"].as_u64().expect("a number"))).collect()
}

#[path = "meeting_absent.rs"]
mod absent;
#[path = "meeting_rulings.rs"]
mod rulings;

/// An arrival: the life that sends it, and its id there.
type Key = (Life, u64);
/// Whether it is a sync, and the name.
pub type Name = (bool, String);

#[derive(Debug, Default)]
struct Arrival {
    serial: u64,
    said_at: u64,
    /// Its deadline, as its slave or client sent it first. An entry may have waited for a connection before.
    over_at: Option<u64>,
    /// When the controller received it, in its current life, and in any life.
    received_at: Option<u64>,
    first_at: Option<u64>,
    taken_back: Option<u64>,
    /// Its slave or client has reported that the command does not wait any more.
    withdrawn: bool,
    told: Option<Told>,
    told_at: Option<u64>,
    /// When its release is due.
    due: Option<u64>,
}

#[derive(Debug, Default)]
struct Round {
    told: BTreeSet<Key>,
    verdict: Option<Told>,
    /// When it was sent first, if that was to a member of the round.
    over_at: Option<u64>,
    map: Option<Vec<u8>>,
}

#[derive(Default)]
pub struct MeetingChecks {
    planned: BTreeMap<u64, Planned>,
    parties: BTreeMap<u64, Option<Party>>,
    declared: BTreeMap<Name, Vec<String>>,
    /// The current life of the controller.
    controller: Option<Life>,
    arrivals: BTreeMap<Key, Arrival>,
    ids: BTreeMap<(Life, u64), u64>,
    by_name: BTreeMap<Name, Vec<Key>>,
    rounds: BTreeMap<(Name, u64), Round>,
    log: MeetingLog,
    absent: absent::Absent,
    /// When the controller received something from each life last.
    heard: BTreeMap<Life, u64>,
    partial: BTreeMap<(Life, ConnId), Vec<u8>>,
    waits: BTreeMap<(Life, u64), Wait>,
    pids: BTreeMap<u32, (Life, u64)>,
    /// When waiting commands must have their verdicts.
    due: BTreeSet<(u64, Life, u64)>,
    facts_read: usize,
    next_look: u64,
    now: u64,
    /// The log is complete.
    pub logged: bool,
    /// Nothing breaks or stops.
    pub calm: bool,
    /// Nothing takes long on the network.
    pub even: bool,
    /// The longest time of bytes one way.
    pub slowest: u64,
    /// The controller is one of the members.
    pub served: bool,
    /// A controller continues its rooms after a restart.
    pub lasting: bool,
    /// The rounds that were decided when it was killed last: some of their members may have no verdict.
    decided: BTreeSet<(bool, u64)>,
    /// Before that, an early member may not have found the controller.
    pub up_from: u64,
    /// After that, nothing breaks any more.
    pub calm_from: u64,
    pub seen: MeetingsSeen,
}

impl MeetingChecks {
    pub fn new(plan: &Plan) -> MeetingChecks {
        let declared = plan.declared.clone();
        let resolve = |planned: &Planned| match &planned.party {
            Some(Party::Members(names)) => {
                let group = |name: &String| name.strip_prefix('@').and_then(|group| plan.groups.get(group));
                let all = names.iter().flat_map(|name| group(name).cloned().unwrap_or_else(|| vec![name.clone()]));
                Some(Party::Members(all.collect()))
            }
            other => other.clone(),
        };
        let mut checks = MeetingChecks { declared, ..MeetingChecks::default() };
        for planned in plan.planned() {
            checks.parties.insert(planned.serial, resolve(planned));
            checks.planned.insert(planned.serial, planned.clone());
        }
        checks
    }

    /// Checks a step: the messages of machines, the controller's input, and the events of the log.
    pub fn after_step(
        &mut self,
        world: &World,
        controller: usize,
        said: &[Said],
        received: &[Received],
        events: &[Value],
    ) -> Result<(), String> {
        self.now = world.now;
        self.read_facts(world)?;
        self.log.read(events, self.calm)?;
        self.absent.read(events, world.now);
        self.seen.lost_members = self.log.lost.len() as u64;
        for it in received {
            self.is_of_life(it.life, world);
            if let Some(caller) = world.callers.get(&(it.life, it.conn)) {
                self.controller_hears(*caller, it)?;
            }
        }
        for it in said {
            let called = world.callers.contains_key(&(it.life, it.conn));
            if it.life.node == controller && (called || !self.served) {
                self.is_of_life(it.life, world);
                let peer = world.callers.get(&(it.life, it.conn)).copied();
                self.controller_says(peer, it, world)?;
            } else {
                self.member_says(it, world)?;
            }
        }
        self.verdicts_are_in_time(world)?;
        if world.now >= self.next_look {
            self.next_look = world.now + SECOND;
            self.meetings_end(world)?;
            self.lost_slaves_are_not_waited_for(world)?;
        }
        Ok(())
    }

    /// A restarted controller knows nothing, or only the decisions that it has sent.
    fn is_of_life(&mut self, life: Life, world: &World) {
        if self.controller == Some(life) {
            return;
        }
        self.seen.restarts += u64::from(self.controller.is_some());
        self.controller = Some(life);
        if self.lasting {
            self.decided = decided(world);
            for arrival in self.arrivals.values_mut() {
                // Refusals are decided again. An arrival that is repeated has not confirmed its verdict.
                arrival.told = arrival.told.take().filter(|told| told.round > 0);
                arrival.received_at = arrival.received_at.filter(|_| arrival.told.is_some());
                arrival.taken_back = arrival.taken_back.filter(|_| arrival.told.is_some());
            }
            return;
        }
        self.rounds.clear();
        self.heard.clear();
        for arrival in self.arrivals.values_mut() {
            (arrival.received_at, arrival.told, arrival.taken_back) = (None, None, None);
        }
    }

    fn name_of(&self, serial: u64) -> Name {
        let planned = &self.planned[&serial];
        (planned.sync, planned.name.clone())
    }

    fn member(&self, key: &Key) -> String {
        self.planned[&self.arrivals[key].serial].member()
    }

    /// A command waits from now on.
    pub fn waits(&mut self, now: u64, life: Life, serial: u64, pid: Option<u32>) {
        if let Some(timeout) = self.planned[&serial].timeout {
            self.due.insert((now + timeout * MILLISECOND + LATE_MAX, life, serial));
        }
        self.waits.insert((life, serial), Wait { asked_at: now, over_at: None });
        if let Some(pid) = pid {
            self.pids.insert(pid, (life, serial));
        }
    }

    /// The commands of a dead process do not wait any more.
    pub fn died(&mut self, now: u64, life: Life, serial: u64) {
        if let Some(wait) = self.waits.get_mut(&(life, serial)) {
            wait.over_at.get_or_insert(now);
        }
    }

    fn read_facts(&mut self, world: &World) -> Result<(), String> {
        while let Some(fact) = world.ledger.get(self.facts_read) {
            self.facts_read += 1;
            match fact {
                Fact::Asked { at, pid, life, ask: Ask::Meet(meet) } => {
                    self.waits(*at, *life, meet.serial(), Some(*pid));
                }
                Fact::Met { at, life, meet, end, pid } => {
                    self.pids.remove(pid);
                    self.gets_result(*at, *life, meet.serial(), end)?;
                }
                Fact::Ended { pid, .. } => {
                    if let Some((life, serial)) = self.pids.remove(pid) {
                        self.died(world.now, life, serial);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A command or a client gets its result, which is the verdict that the controller sent to its slave.
    pub fn gets_result(&mut self, now: u64, life: Life, serial: u64, end: &End) -> Result<(), String> {
        let planned = &self.planned[&serial];
        let wait = self.waits.get_mut(&(life, serial)).expect("a command with a result has asked");
        wait.over_at = Some(now);
        let waited = now - wait.asked_at;
        hold!(end.code == 1 || end.code == exit_code(end.verdict), "{serial} ends with {end:?}");
        // On a slow network the wait may end before the verdict arrives.
        let no_way = self.now < self.up_from && !self.ids.contains_key(&(life, serial));
        let slow = (!self.even || no_way) && end.code == 6 && planned.expect.contains(&3);
        hold!(
            slow || !self.calm || planned.expect.is_empty() || planned.expect.contains(&end.code),
            "{planned:?} ends with {end:?}"
        );
        if end.verdict.is_none() && end.code == 1 {
            return Ok(());
        }
        self.seen.count(end.verdict);
        let Some(kind) = end.verdict else {
            let timeout = planned.timeout.map(|it| it * MILLISECOND);
            let due = timeout.is_some_and(|timeout| waited + CLOCKS >= timeout);
            hold!(due, "{serial} gives up after {waited}, its timeout is {timeout:?}");
            hold!(end.map.is_none(), "{serial} got a map without a verdict");
            return Ok(());
        };
        let id = self.ids.get(&(life, serial)).ok_or_else(|| format!("{serial} got {kind:?} and never arrived"))?;
        let arrival = &self.arrivals[&(life, *id)];
        if let Some(due) = arrival.due.filter(|_| self.calm) {
            // The known time of the controller's clock is wrong by at most half the difference of the two ways.
            let wrong = self.slowest / 2 + CLOCK_STEP;
            hold!(now + wrong >= due, "{serial} is released {} us before the instant", due - now);
            let late = now.saturating_sub(due.max(arrival.told_at.unwrap_or(0) + self.slowest));
            hold!(late <= wrong + ANSWER_MAX, "{serial} is released {late} us after the instant");
            self.seen.harmonized += 1;
        }
        let Some(told) = arrival.told.as_ref() else {
            hold!(self.controller.is_some_and(|life| life.nr > 1), "{serial} got {kind:?}, which was not sent");
            return Ok(());
        };
        hold!(
            told.kind == kind && told.who == end.who && told.reason == end.reason,
            "{serial} got {end:?}, its slave received {told:?}"
        );
        let map = self.rounds.get(&(self.name_of(serial), told.round)).and_then(|round| round.map.as_ref());
        let map = map.filter(|_| kind == OutcomeKind::Released && told.round > 0);
        hold!(end.map.as_ref() == map, "{serial} got {:?} as its map, which is {map:?}", end.map);
        Ok(())
    }

    /// A client has exited by itself. It shows less than a command: its status, and a map.
    pub fn client_exited(&mut self, now: u64, life: Life, serial: u64, code: u8, output: &[u8]) -> Result<(), String> {
        let told = self.ids.get(&(life, serial)).and_then(|id| self.arrivals[&(life, *id)].told.clone());
        let verdict = [
            OutcomeKind::Released,
            OutcomeKind::TimedOut,
            OutcomeKind::Aborted,
            OutcomeKind::Lost,
            OutcomeKind::Disagreed,
        ]
        .into_iter()
        .find(|kind| exit_code(Some(*kind)) == code);
        let told = told.filter(|told| exit_code(Some(told.kind)) == code);
        let verdict = told.as_ref().map(|told| told.kind).or(verdict.filter(|_| code != 1));
        let (who, reason) = told.map(|told| (told.who, told.reason)).unwrap_or_default();
        let map = output.strip_suffix(b"\n").map(<[u8]>::to_vec);
        self.gets_result(now, life, serial, &End { code, verdict, who, reason, map })
    }

    /// A slave or a client sends a message.
    fn member_says(&mut self, said: &Said, world: &World) -> Result<(), String> {
        for line in lines(&said.bytes).filter(|line| is_of(line, &["arrive", "give", "gone"])) {
            if let Ok(ToController::Member(FromMember::Gone(gone))) = ToController::decode(line) {
                for id in gone.ids {
                    if let Some(arrival) = self.arrivals.get_mut(&(said.life, id)) {
                        arrival.withdrawn = true;
                    }
                }
                continue;
            }
            let Some((id, serial, member)) = arrival_of(line)? else { continue };
            let Some(planned) = self.planned.get(&serial) else { return Err(format!("{serial} was not planned")) };
            hold!(member == planned.member(), "{serial} arrives as {member}, and belongs to {}", planned.member());
            let key = (said.life, id);
            if let Some(known) = self.arrivals.get(&key) {
                hold!(known.serial == serial, "id {id} is {} and {serial}", known.serial);
                hold!(!known.withdrawn, "{serial} arrives again after it was withdrawn");
                self.seen.again += 1;
                continue;
            }
            let other = self.ids.insert((said.life, serial), id);
            hold!(other.is_none(), "{serial} arrives as {other:?} and as {id}");
            self.seen.arrivals += 1;
            let message: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            let over_at = message["timeout"].as_u64().map(|timeout| world.now + timeout);
            let arrival = Arrival { serial, said_at: world.now, over_at, ..Arrival::default() };
            self.arrivals.insert(key, arrival);
            self.by_name.entry(self.name_of(serial)).or_default().push(key);
        }
        Ok(())
    }

    /// The controller receives bytes.
    fn controller_hears(&mut self, from: Life, received: &Received) -> Result<(), String> {
        self.heard.insert(from, received.at);
        let place = (received.life, received.conn);
        let mut held = self.partial.remove(&place).unwrap_or_default();
        held.extend_from_slice(&received.bytes);
        let end = memchr::memrchr(b'\n', &held).map_or(0, |at| at + 1);
        for line in lines(&held[..end]).filter(|line| is_of(line, &["arrive", "give", "gone"])) {
            if let Ok(ToController::Member(FromMember::Gone(gone))) = ToController::decode(line) {
                for id in gone.ids {
                    if let Some(arrival) = self.arrivals.get_mut(&(from, id)) {
                        arrival.taken_back.get_or_insert(received.at);
                        self.seen.taken_back += 1;
                    }
                }
            } else if let Some((id, ..)) = arrival_of(line)?
                && let Some(arrival) = self.arrivals.get_mut(&(from, id))
            {
                arrival.received_at.get_or_insert(received.at);
                if arrival.first_at.replace(arrival.first_at.unwrap_or(received.at)).is_none() {
                    self.may_still_come(from, id)?;
                }
            }
        }
        held.drain(..end);
        if !held.is_empty() {
            self.partial.insert(place, held);
        }
        Ok(())
    }

    fn controller_says(&mut self, to: Option<Life>, said: &Said, world: &World) -> Result<(), String> {
        for line in lines(&said.bytes).filter(|line| is_of(line, &["map", "verdict"])) {
            match FromController::decode(line) {
                Ok(FromController::Map(map)) => {
                    let name = (true, map.session.into_owned());
                    self.says_map(name, map.round, map.map.json.get().as_bytes())?;
                }
                Ok(FromController::RoundVerdict(verdict)) => {
                    if let Some(to) = to {
                        self.says_verdict(to, &verdict, world)?;
                    }
                }
                other => return Err(format!("the controller says {other:?}")),
            }
        }
        Ok(())
    }

    /// All maps of a round are the same bytes. Each holds the members' values as they were given.
    fn says_map(&mut self, name: Name, round: u64, map: &[u8]) -> Result<(), String> {
        let known = self.rounds.entry((name.clone(), round)).or_default();
        if let Some(same) = &known.map {
            hold!(same == map, "{name:?} {round}: two members get different maps");
            return Ok(());
        }
        known.map = Some(map.to_vec());
        self.seen.maps += 1;
        let values: BTreeMap<String, Value> = serde_json::from_slice(map).map_err(|error| error.to_string())?;
        for (member, value) in &values {
            let serial = value["nr"].as_u64().unwrap_or(0);
            let Some(planned) = self.planned.get(&serial) else { return Err(format!("{value} was never given")) };
            hold!(planned.member() == *member, "{member} gets the credit for {value}");
            hold!((planned.sync, &planned.name) == (true, &name.1), "{value} was given to {:?}", planned.name);
            let given: Value = serde_json::from_str(&planned.value()).expect("it is JSON");
            hold!(given == *value, "{member} gave {given}, and the map has {value}");
            let received = self
                .by_name
                .get(&name)
                .into_iter()
                .flatten()
                .any(|key| self.arrivals[key].serial == serial && self.came(key, &name, round).is_some());
            hold!(received, "{value} is in a map before it was received");
            let elsewhere = self.rounds.iter().filter(|((of, nr), other)| {
                *of == name && *nr != round && other.map.as_deref().is_some_and(|map| holds_serial(map, serial))
            });
            // Another life of a client gives the same value again.
            let given = self.by_name[&name].iter().filter(|key| self.arrivals[*key].serial == serial).count();
            hold!(elsewhere.count() < given, "{value} counts in two rounds");
        }
        Ok(())
    }

    /// One verdict for each arrival. It is the same for all of a round, and is in the log.
    fn says_verdict(&mut self, to: Life, verdict: &RoundVerdict<'_>, world: &World) -> Result<(), String> {
        let told = Told::from(verdict);
        let clock = self.controller.map(|life| world.nodes[life.node].clock.local(world.now).as_micros());
        let due = told.at.zip(clock).map(|(at, clock)| world.now + at.saturating_sub(clock));
        for &id in &verdict.ids {
            let key = (to, id);
            let Some(arrival) = self.arrivals.get_mut(&key) else {
                return Err(format!("a verdict for the unknown arrival {id}: {told:?}"));
            };
            hold!(arrival.received_at.is_some(), "a verdict for {id}, which has not been received: {told:?}");
            if let Some(known) = &arrival.told {
                hold!(*known == told, "{id} received {known:?}, and now {told:?}");
                self.seen.told_again += 1;
                continue;
            }
            arrival.told = Some(told.clone());
            (arrival.told_at, arrival.due) = (Some(world.now), due);
            if told.round > 0 {
                let name = self.name_of(self.arrivals[&key].serial);
                self.round_tells(name, key, &told, world)?;
            } else {
                self.may_be_of_no_round(&key, &told)?;
            }
        }
        Ok(())
    }

    /// It is refused, or its deadline passes while it waits for the next round of a count.
    fn may_be_of_no_round(&self, key: &Key, told: &Told) -> Result<(), String> {
        let wrong = matches!(told.kind, OutcomeKind::Refused | OutcomeKind::Disagreed);
        let arrival = &self.arrivals[key];
        let due = arrival.over_at.is_some_and(|over_at| over_at <= self.now + CLOCKS);
        let counted = matches!(self.party_of(key), Some(Party::Count(_)) | None);
        hold!(wrong || told.kind == OutcomeKind::TimedOut && due && counted, "{told:?} names no round: {arrival:?}");
        Ok(())
    }

    fn round_tells(&mut self, name: Name, key: Key, told: &Told, world: &World) -> Result<(), String> {
        let place = (name.clone(), told.round);
        if self.logged {
            let recorded = self.log.rounds.get(&place);
            let Some(met) = recorded else { return Err(format!("{place:?} is sent before it is recorded")) };
            let kind = serde_json::to_value(told.kind).expect("it is a word");
            hold!(kind == *met.verdict && met.who == told.who, "{place:?}: {told:?} is sent, {met:?} recorded");
        }
        let (told, earlier) = (&told.of_its_round(), told.is_of_earlier());
        let round = self.rounds.entry(place.clone()).or_default();
        let first = round.verdict.is_none();
        if first {
            (round.verdict, round.over_at) = (Some(told.clone()), (!earlier).then_some(world.now));
        }
        let (same, over_at) = (round.verdict.as_ref(), round.over_at);
        hold!(same == Some(told), "{place:?}: some receive {same:?}, others {told:?}");
        if earlier {
            self.keeps_verdict(&name, key, told)?;
        } else if let Some(over_at) = over_at {
            let arrival = &self.arrivals[&key];
            let came = self.came(&key, &name, told.round);
            hold!(came <= Some(over_at), "{place:?} does not say that it is over: {arrival:?}");
        }
        let round = self.rounds.entry(place.clone()).or_default();
        round.told.insert(key);
        if told.kind == OutcomeKind::Released {
            let members: Vec<String> =
                round.told.iter().map(|key| self.planned[&self.arrivals[key].serial].member()).collect();
            let once: BTreeSet<&String> = members.iter().collect();
            hold!(once.len() == members.len(), "{place:?}: a member is released twice: {members:?}");
            self.may_be_released(&name, told.round, key)?;
        }
        self.remember_given_up(&name, key, told);
        if first {
            self.seen.rounds += 1;
            match told.kind {
                OutcomeKind::TimedOut => self.may_time_out(&name, told, world)?,
                OutcomeKind::Aborted => self.may_be_aborted(&name, told)?,
                OutcomeKind::Lost => self.may_be_lost(&name, told)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A late member gets the verdict of the failed round, for a limited time, and only if it wants no other party.
    fn keeps_verdict(&mut self, name: &Name, key: Key, told: &Told) -> Result<(), String> {
        let round = &self.rounds[&(name.clone(), told.round)];
        let arrival = &self.arrivals[&key];
        let came = arrival.received_at.unwrap_or(0);
        let decided = self.decided.contains(&(name.0, told.round));
        let over_at = round.over_at.filter(|_| !decided).unwrap_or(came);
        // A member that waited for the next round of a count, and was away meanwhile, does not count as present.
        let counted = matches!(self.party_of(&key), Some(Party::Count(_)) | None);
        hold!(came >= over_at || counted, "{name:?}: {arrival:?} was present before, and receives {told:?}");
        let timeout_of = |key: &Key| self.planned[&self.arrivals[key].serial].timeout;
        let longest = self.by_name[name].iter().filter_map(timeout_of).max().unwrap_or(0) * MILLISECOND;
        let named = longest > 0 && round.told.iter().all(|key| timeout_of(key).is_some());
        let kept = if named { longest } else { longest.max(KEPT_FOR) };
        hold!(came <= over_at + kept + CLOCKS, "{name:?} {told:?} is kept for too long: {arrival:?}");
        let party = |key: &Key| self.parties[&self.arrivals[key].serial].as_ref().map(wanted);
        let (mine, theirs) = (party(&key), round.told.iter().find_map(party));
        let other = mine.is_some() && theirs.is_some() && mine != theirs;
        hold!(!other || told.kind == OutcomeKind::Disagreed, "{name:?}: {arrival:?} wants another party than {told:?}");
        self.seen.late += 1;
        Ok(())
    }

    /// When an arrival reached this round: in this life of the controller, unless the round was decided before.
    fn came(&self, key: &Key, name: &Name, round: u64) -> Option<u64> {
        let arrival = &self.arrivals[key];
        if self.decided.contains(&(name.0, round)) { arrival.first_at } else { arrival.received_at }
    }

    fn party_of(&self, key: &Key) -> Option<Party> {
        let serial = self.arrivals[key].serial;
        let declared = self.declared.get(&self.name_of(serial)).cloned().map(Party::Members);
        self.parties[&serial].clone().or(declared)
    }

    /// A member with a timeout gets its verdict at most a second after it.
    fn verdicts_are_in_time(&mut self, world: &World) -> Result<(), String> {
        while let Some((at, life, serial)) = self.due.first().copied().filter(|(at, ..)| *at < world.now) {
            self.due.pop_first();
            let node = &world.nodes[life.node];
            let wait = &self.waits[&(life, serial)];
            let serves = self.served && Some(life) == self.controller;
            if wait.over_at.is_some() || !world.is_alive(life) || serves && self.told_at(life, serial).is_some() {
                continue;
            }
            // A member that serves a room stays for the others, even if it was stopped until it missed its own
            // verdict.
            let over = wait.asked_at + self.planned[&serial].timeout.unwrap_or(0) * MILLISECOND;
            let stays = serves && over.max(node.resumed_at) + SERVES_ON + LATE_MAX > world.now;
            let later = stays || self.is_due_later(life, serial, node.resumed_at);
            if node.paused || node.resumed_at + LATE_MAX > world.now || later {
                self.due.insert((world.now + LATE_MAX, life, serial));
                continue;
            }
            return Err(format!("{serial} waits since {}, and should have been told at {at}", wait.asked_at));
        }
        Ok(())
    }

    /// A slave that was paused during a request learns of it only when it is resumed.
    fn is_due_later(&self, life: Life, serial: u64, resumed_at: u64) -> bool {
        let asked_at = self.waits[&(life, serial)].asked_at;
        let said_at = self.ids.get(&(life, serial)).map(|id| self.arrivals[&(life, *id)].said_at);
        let unheard = asked_at < resumed_at && said_at.is_none_or(|said_at| said_at >= resumed_at);
        let timeout = self.planned[&serial].timeout.unwrap_or(0) * MILLISECOND;
        unheard && self.now <= resumed_at + timeout + LATE_MAX
    }

    /// After the last fault, complete parties are released, and no member waits for a dead one.
    fn meetings_end(&self, world: &World) -> Result<(), String> {
        let nobody_serves = self.served && !self.controller.is_some_and(|life| world.is_alive(life));
        if world.now < self.calm_from + STUCK_AFTER || nobody_serves {
            return Ok(());
        }
        let old = world.now - STUCK_AFTER;
        for (name, keys) in &self.by_name {
            let waits = |key: &&Key| {
                let arrival = &self.arrivals[*key];
                let wait = self.waits.get(&(key.0, arrival.serial));
                let over = wait.is_some_and(|wait| wait.over_at.is_some());
                !over && !arrival.withdrawn && arrival.told.is_none() && arrival.said_at < old && world.is_alive(key.0)
            };
            let waiting: Vec<&Key> = keys.iter().filter(waits).collect();
            let Some(first) = waiting.first() else { continue };
            let members: BTreeSet<String> = waiting.iter().map(|key| self.member(key)).collect();
            let all = match self.party_of(first) {
                Some(Party::Members(wanted)) => wanted.iter().all(|member| members.contains(member)),
                Some(Party::Count(count)) => members.len() >= count as usize,
                None => false,
            };
            hold!(!all, "{name:?}: all have arrived and none is released: {members:?}");
            for key in waiting {
                let arrival = &self.arrivals[key];
                let told = self.waits.get(&(key.0, arrival.serial)).is_none_or(|wait| wait.over_at.is_some());
                hold!(told || arrival.received_at.is_some(), "{name:?}: the controller has not heard of {arrival:?}");
            }
        }
        Ok(())
    }

    /// A barrier or a sync as an entry has exited. `output` is its standard output in the results, if complete.
    pub fn entry_is_over(&self, life: Life, serial: u64, code: u8, output: Option<&[u8]>) -> Result<(), String> {
        let Some(id) = self.ids.get(&(life, serial)) else { return Ok(()) };
        let Some(told) = &self.arrivals[&(life, *id)].told else {
            hold!(code != 0, "{serial} did not get its release");
            return Ok(());
        };
        hold!(code == 6 || code == exit_code(Some(told.kind)), "{serial} exits with {code}, and received {told:?}");
        let planned = &self.planned[&serial];
        if self.calm && !planned.expect.is_empty() && (self.even || code != 6) {
            hold!(planned.expect.contains(&code), "{planned:?} exits with {code}");
        }
        let map = self.rounds.get(&(self.name_of(serial), told.round)).and_then(|round| round.map.as_deref());
        if let (Some(map), Some(output), 0) = (map, output, code) {
            hold!(output.strip_suffix(b"\n") == Some(map), "the output of {serial} is not the map");
        }
        Ok(())
    }

    /// A `kill` has ended such an entry: its arrival is withdrawn, unless it had its verdict or could not report it.
    pub fn entry_is_killed(&mut self, life: Life, serial: u64) -> Result<(), String> {
        self.seen.killed += 1;
        let arrival = self.ids.get(&(life, serial)).map(|id| &self.arrivals[&(life, *id)]);
        let over = arrival.is_none_or(|arrival| arrival.withdrawn || arrival.told.is_some());
        hold!(over || !self.calm, "{serial} was killed, and is not taken back: {arrival:?}");
        Ok(())
    }

    /// When the verdict of an arrival was sent.
    pub fn told_at(&self, life: Life, serial: u64) -> Option<u64> {
        self.arrivals.get(&(life, *self.ids.get(&(life, serial))?))?.told_at
    }

    /// After the end: the k-th release of a member belongs to the k-th releases of the others.
    pub fn after_run(&self) -> Result<(), String> {
        for (name, keys) in &self.by_name {
            let all_released = keys
                .iter()
                .all(|key| self.arrivals[key].told.as_ref().is_some_and(|told| told.kind == OutcomeKind::Released));
            let counted = keys.iter().any(|key| matches!(self.party_of(key), Some(Party::Count(_)) | None));
            if !all_released || counted {
                continue;
            }
            let mut rounds_of: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            for key in keys {
                let round = self.arrivals[key].told.as_ref().map_or(0, |told| told.round);
                rounds_of.entry(self.member(key)).or_default().push(round);
            }
            // The order of a member's processes is not known.
            rounds_of.values_mut().for_each(|rounds| rounds.sort_unstable());
            let same: BTreeSet<&Vec<u64>> = rounds_of.values().collect();
            hold!(same.len() == 1, "{name:?}: rounds mix: {rounds_of:?}");
        }
        let unheard = self.waits.iter().find(|(_, wait)| wait.over_at.is_none());
        if self.calm
            && let Some(((_, serial), _)) = unheard
        {
            return Err(format!("{:?} never ends", self.planned[serial]));
        }
        Ok(())
    }
}
