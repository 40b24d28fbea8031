//! The slaves of a test: their schedules, labels and addresses, and the checks of all entries of one slave together.
//!
//! Slaves with the same schedules share their entries and their checks, so that 10,000 slaves cost little more than one.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::bounds::{
    ADDRESSES_MAX, ALL_ENTRIES_MAX, COVERED_MAX, ENTRIES_MAX, GIVEN_MAX, PREPARE_MAX, RETOLD_MAX, SLAVES_MAX,
    UNSHARED_BYTES_MAX, UNSHARED_MAX, WITH_MAX,
};
use super::commands;
use super::draft::{Draft, Mention, Role};
use super::faults;
use super::fields::{self, Object};
use super::json::{KeyValue, Value, ValueKind};
use super::meetings::Membership;
use super::problem::Problems;
use super::range::Pattern;
use super::size::{self, Sizes};
use super::test::Slave;
use crate::graph;
use crate::session::{LABELS_MAX, check_label};
use crate::wire::{Entry, Policy, When};

/// The files of the results directory. A slave cannot have the name of one, because its directory is next to them.
pub const RESERVED: [&str; 8] =
    ["test.json", "events.jsonl", "state.jsonl", "summary.json", "report.txt", "launch.log", "over.json", "resources"];

/// The keys of the value of a slave, if it is an object and not just a list of schedules.
pub const SLAVE_KEYS: [&str; 3] = ["schedules", "with", "address"];

/// The longest address of a slave, in bytes.
const ADDRESS_MAX: usize = 255;

/// The labels that a machine must have to serve as a slave.
type Labels = Rc<BTreeMap<String, String>>;

/// A schedule of the test.
pub struct Schedule<'a> {
    name: &'a str,
    drafts: Vec<Draft>,
    /// The bytes of its entries in the message to a slave.
    bytes: usize,
}

impl<'a> Schedule<'a> {
    /// Returns the schedule with these entries.
    pub fn new(name: &'a str, drafts: Vec<Draft>) -> Schedule<'a> {
        let bytes = drafts.iter().map(size::of_entry).sum();
        Schedule { name, drafts, bytes }
    }
}

/// The slaves of a test, while their keys are read.
#[derive(Default)]
struct Drafts<'a> {
    /// In the order of the file.
    list: Vec<SlaveDraft<'a>>,
    /// The place of each slave in the list, by name.
    places: BTreeMap<String, usize>,
    /// The pairs of a slave and one of its schedules, by their places.
    given: BTreeSet<(usize, usize)>,
    /// The names of all keys together.
    covered: usize,
    /// The different sets of labels.
    labels: BTreeSet<Labels>,
}

/// The entries that slaves may still have if they do not share them.
struct Budget {
    entries: usize,
    bytes: usize,
}

impl Budget {
    /// Takes entries from the budget. Returns `None` if that is too much.
    fn take(&mut self, entries: usize, bytes: usize) -> Option<()> {
        self.entries = self.entries.checked_sub(entries)?;
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(())
    }
}

/// A slave, while the keys are read. Several keys may match it.
struct SlaveDraft<'a> {
    name: String,
    /// The places of its schedules in the list of schedules, each with the value that gives it to the slave.
    schedules: Vec<(usize, &'a Value)>,
    with: Option<Labels>,
    address: Option<String>,
}

/// The entries of slaves with the same schedules, and the results of their checks.
struct Shared<'s> {
    entries: Rc<[Entry]>,
    /// The number of addresses that their commands name.
    addresses: usize,
    /// The bytes of the message to a slave.
    bytes: usize,
    /// The memberships that the entries require: a list for each set of members. A list is removed with its first
    /// problem.
    memberships: Vec<Vec<&'s Membership>>,
}

/// Reads the object `"slaves"`.
pub fn read(
    members: &[KeyValue],
    at: usize,
    schedules: &[Schedule<'_>],
    sizes: &Sizes<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Slave> {
    if members.is_empty() {
        problems.add(at, "a test needs at least one slave");
    }
    let drafts = drafts(members, schedules, problems);
    check_partitions(schedules, &drafts, problems);
    let mut budget = Budget { entries: UNSHARED_MAX, bytes: UNSHARED_BYTES_MAX };
    let mut shared: BTreeMap<Vec<usize>, Shared<'_>> = BTreeMap::new();
    let mut slaves = Vec::with_capacity(drafts.list.len());
    let (mut all, mut addresses, mut bytes) = (0, 0, 0);
    for slave in &drafts.list {
        let list: Vec<usize> = slave.schedules.iter().map(|(schedule, _)| *schedule).collect();
        let shared =
            shared.entry(list).or_insert_with(|| share(slave, schedules, &drafts, &mut budget, sizes, problems));
        shared.memberships.retain(|same| {
            let member = same.first().is_none_or(|membership| membership.holds(&slave.name));
            if !member {
                same.iter().for_each(|membership| membership.lacks(&slave.name, problems));
            }
            member
        });
        all += shared.entries.len();
        if all > ALL_ENTRIES_MAX {
            problems.add(at, format!("all slaves of a test together have at most {ALL_ENTRIES_MAX} entries"));
            break;
        }
        addresses += shared.addresses;
        bytes += if shared.addresses > 0 { shared.bytes } else { 0 };
        if addresses > ADDRESSES_MAX || bytes > RETOLD_MAX {
            let message = format!(
                "all slaves of a test together name at most {ADDRESSES_MAX} addresses in their commands, and those that \
                 name addresses have at most {RETOLD_MAX} bytes of entries"
            );
            problems.add(at, message);
            break;
        }
        let (with, address) = (slave.with.clone(), slave.address.clone());
        slaves.push(Slave { name: slave.name.clone(), with, address, entries: shared.entries.clone() });
    }
    slaves
}

/// Expands the keys, and joins the values of all keys that match the same slave.
fn drafts<'a>(members: &'a [KeyValue], schedules: &[Schedule<'_>], problems: &mut Problems<'_>) -> Drafts<'a> {
    let mut drafts = Drafts::default();
    let names = fields::KnownNames::new(schedules.iter().map(|schedule| schedule.name));
    for member in members {
        if problems.is_full() {
            break;
        }
        let fields = object(&member.value, problems);
        let given = fields.schedules.map_or_else(Vec::new, |list| given(&member.key, list, &names, problems));
        let with = fields.with.and_then(|value| Some((labels(value, &mut drafts.labels, problems)?, value)));
        let pattern = match Pattern::read(&member.key, SLAVES_MAX) {
            Ok(pattern) => pattern,
            Err(error) => {
                problems.add(member.at, error.to_string());
                continue;
            }
        };
        if !drafts.has_room(given.len(), pattern.count, member.at, problems) {
            break;
        }
        let addresses = fields.address.map_or_else(Vec::new, |value| addresses(value, pattern.count, problems));
        for (nr, name) in pattern.names().into_iter().enumerate() {
            if !check_slave_name(&name, member, problems) {
                break;
            }
            let place = drafts.place(name);
            drafts.give(place, &given, schedules, problems);
            let slave = &mut drafts.list[place];
            if let Some((with, value)) = &with {
                set_labels(slave, with, value, problems);
            }
            let own = addresses.get(nr).or(addresses.first());
            if let (Some(own), Some(value)) = (own, fields.address) {
                set_address(slave, own, value, problems);
            }
        }
        if drafts.list.len() > SLAVES_MAX {
            problems.add(member.at, format!("a test has at most {SLAVES_MAX} slaves"));
            break;
        }
    }
    drafts
}

/// The value of one key of `"slaves"`.
#[derive(Default)]
struct SlaveFields<'a> {
    schedules: Option<&'a Value>,
    with: Option<&'a Value>,
    address: Option<&'a Value>,
}

/// Reads the value of one key: a list of schedules, or an object with that list and other keys.
fn object<'a>(value: &'a Value, problems: &mut Problems<'_>) -> SlaveFields<'a> {
    match &value.kind {
        ValueKind::List(_) => SlaveFields { schedules: Some(value), ..SlaveFields::default() },
        ValueKind::Object(_) => match Object::read(value, "the value of a slave", &SLAVE_KEYS, problems) {
            Some(object) => SlaveFields {
                schedules: object.require("schedules", problems),
                with: object.get("with"),
                address: object.get("address"),
            },
            None => SlaveFields::default(),
        },
        _ => {
            fields::mismatch::<()>(value, "the value of a slave is a list or an object", problems);
            SlaveFields::default()
        }
    }
}

/// Reads the schedules that one key gives to its slaves.
fn given<'a>(
    key: &str,
    list: &'a Value,
    names: &fields::KnownNames<'_>,
    problems: &mut Problems<'_>,
) -> Vec<(usize, &'a Value)> {
    let Some(items) = fields::list(list, "\"schedules\"", problems) else { return Vec::new() };
    if items.is_empty() {
        problems.add(list.span.start, format!("the slave {key:?} has no schedule: name at least one"));
    }
    let place = |item: &'a Value| fields::known_name(item, "schedule", names, problems).map(|(_, place)| (place, item));
    items.iter().filter_map(place).collect()
}

/// Reads the labels that a machine must have. An empty object allows any machine. `known` are the sets of labels so far.
fn labels(value: &Value, known: &mut BTreeSet<Labels>, problems: &mut Problems<'_>) -> Option<Labels> {
    let members = fields::members(value, "\"with\"", problems)?;
    if let Some(first) = members.get(LABELS_MAX) {
        problems.add(first.at, format!("a slave has at most {LABELS_MAX} labels"));
        return None;
    }
    let label = |member: &KeyValue| {
        let value = fields::string(&member.value, "the value of a label", problems)?;
        fields::note(check_label(&member.key, value), member.at, problems)
            .then(|| (member.key.clone(), value.to_owned()))
    };
    let read: Vec<_> = members.iter().map(label).collect();
    let labels = read.into_iter().collect::<Option<_>>().map(Rc::new)?;
    let same = known.get(&labels).cloned();
    if same.is_none() && known.len() == WITH_MAX {
        problems.add(value.span.start, format!("a test has at most {WITH_MAX} different sets of labels"));
        return None;
    }
    Some(same.unwrap_or_else(|| {
        known.insert(labels.clone());
        labels
    }))
}

/// Sets the labels of a slave. All keys that match the slave must have the same ones, because it is one machine.
fn set_labels(slave: &mut SlaveDraft<'_>, labels: &Labels, value: &Value, problems: &mut Problems<'_>) {
    match &slave.with {
        Some(other) if !Rc::ptr_eq(other, labels) => {
            let message = || format!("the slave {:?} has other labels in \"with\" of an earlier key", slave.name);
            problems.add_once(value.span.start, message);
        }
        _ => slave.with = Some(labels.clone()),
    }
}

/// Reads the addresses of the slaves of one key: one for all of them, or one for each.
fn addresses(value: &Value, slaves: usize, problems: &mut Problems<'_>) -> Vec<String> {
    let Some(text) = fields::string(value, "\"address\"", problems) else { return Vec::new() };
    let at = value.span.start;
    let addresses = if text.contains(['[', ']']) {
        match Pattern::read(text, SLAVES_MAX) {
            Ok(pattern) if pattern.count == 1 || pattern.count == slaves => pattern.names(),
            Ok(Pattern { count, .. }) => {
                let message = format!(
                    "{text:?} expands to {count} addresses for {slaves} slaves: write one address, or one for each slave"
                );
                problems.add(at, message);
                return Vec::new();
            }
            Err(error) => {
                problems.add(at, error.to_string());
                return Vec::new();
            }
        }
    } else {
        vec![text.to_owned()]
    };
    if let Some(address) = addresses.iter().find(|address| !is_address(address)) {
        let message = format!(
            "{address:?} is not an address: write a host name, an IP address or USER@HOST of at most {ADDRESS_MAX} bytes"
        );
        problems.add(at, message);
        return Vec::new();
    }
    addresses
}

/// Returns whether an address is safe for a launcher: no character has a meaning for a shell, and it is not an option.
fn is_address(address: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:%@".contains(&byte);
    (1..=ADDRESS_MAX).contains(&address.len()) && address.bytes().all(plain) && !address.starts_with(['-', '%', '@'])
}

/// Sets the address of a slave. All keys that match the slave must have the same one.
fn set_address(slave: &mut SlaveDraft<'_>, address: &str, value: &Value, problems: &mut Problems<'_>) {
    match slave.address.as_deref() {
        Some(other) if other != address => {
            let message = || format!("the slave {:?} has the address {other:?} from an earlier key", slave.name);
            problems.add_once(value.span.start, message);
        }
        _ => slave.address = Some(address.to_owned()),
    }
}

fn check_slave_name(name: &str, member: &KeyValue, problems: &mut Problems<'_>) -> bool {
    if RESERVED.contains(&name) {
        problems.add(member.at, format!("{name:?} cannot name a slave: the results have a file of that name"));
        return false;
    }
    fields::check_name(name, member.at, "a slave", problems)
}

impl<'a> Drafts<'a> {
    /// Checks the limits before the names of a key are made. Returns whether these names and schedules fit.
    fn has_room(&mut self, schedules: usize, names: usize, at: usize, problems: &mut Problems<'_>) -> bool {
        self.covered = self.covered.saturating_add(names);
        let message = if self.covered > COVERED_MAX {
            format!(
                "the keys of \"slaves\" together match at most {COVERED_MAX} names: a name that two keys match counts twice"
            )
        } else if schedules.saturating_mul(names) > GIVEN_MAX - self.given.len() {
            format!("all slaves of a test together have at most {GIVEN_MAX} schedules")
        } else {
            return true;
        };
        problems.add(at, message);
        false
    }

    /// Returns the place of the slave with this name in the list. A new slave is added at the end.
    fn place(&mut self, name: String) -> usize {
        let end = self.list.len();
        *self.places.entry(name).or_insert_with_key(|name| {
            self.list.push(SlaveDraft { name: name.clone(), schedules: Vec::new(), with: None, address: None });
            end
        })
    }

    /// Adds the schedules of a key to a slave.
    fn give(
        &mut self,
        place: usize,
        given: &[(usize, &'a Value)],
        schedules: &[Schedule<'_>],
        problems: &mut Problems<'_>,
    ) {
        let slave = &mut self.list[place];
        for &(schedule, value) in given {
            if self.given.insert((place, schedule)) {
                slave.schedules.push((schedule, value));
                continue;
            }
            problems.add_once(value.span.start, || {
                format!("the slave {:?} has the schedule {:?} twice", slave.name, schedules[schedule].name)
            });
        }
    }
}

/// Returns the memberships that the entries of a slave require.
fn memberships<'s>(slave: &SlaveDraft<'_>, schedules: &'s [Schedule<'_>]) -> Vec<Vec<&'s Membership>> {
    let drafts = slave.schedules.iter().flat_map(|&(schedule, _)| &schedules[schedule].drafts);
    let mut same: BTreeMap<_, Vec<&Membership>> = BTreeMap::new();
    for membership in drafts.filter_map(|draft| draft.membership.as_ref()) {
        same.entry(membership.same()).or_default().push(membership);
    }
    same.into_values().collect()
}

/// Joins the entries of a slave, and checks them together. Other slaves with the same schedules get the same result.
fn share<'s>(
    slave: &SlaveDraft<'_>,
    schedules: &'s [Schedule<'_>],
    slaves: &Drafts<'_>,
    budget: &mut Budget,
    sizes: &Sizes<'_>,
    problems: &mut Problems<'_>,
) -> Shared<'s> {
    let own = || slave.schedules.iter().map(|&(schedule, _)| &schedules[schedule]);
    let at = slave.schedules.first().map_or(0, |(_, value)| value.span.start);
    let (count, bytes) = (own().map(|it| it.drafts.len()).sum(), own().map(|it| it.bytes).sum());
    if budget.take(count, bytes).is_none() {
        problems.add_once(at, || {
            format!(
                "slaves with different schedules together have at most {UNSHARED_MAX} entries of {UNSHARED_BYTES_MAX} \
                 bytes: give slaves that do the same the same schedules"
            )
        });
        return Shared { entries: Rc::from([]), addresses: 0, bytes: 0, memberships: Vec::new() };
    }
    let mut by_name: BTreeMap<&str, (&Draft, &str)> = BTreeMap::new();
    let mut all = Vec::new();
    for &(schedule, value) in &slave.schedules {
        let schedule = &schedules[schedule];
        for draft in &schedule.drafts {
            all.push(draft);
            let (_, other) = *by_name.entry(&draft.name).or_insert((draft, schedule.name));
            if other != schedule.name {
                let (slave, entry, this) = (&slave.name, &draft.name, schedule.name);
                problems.add_once(value.span.start, || {
                    format!("the slave {slave:?} has two entries {entry:?}: one from {other:?} and one from {this:?}")
                });
            }
        }
    }
    let by_name: BTreeMap<&str, &Draft> = by_name.into_iter().map(|(name, (draft, _))| (name, draft)).collect();
    for mention in all.iter().flat_map(|draft| &draft.mentions) {
        // The same entry may be checked again for slaves with other schedules.
        if !problems.has_one_at(mention.at) {
            check_mention(mention, &slave.name, &by_name, slaves, problems);
        }
    }
    check_cycles(&all, problems);
    let entries: Rc<[Entry]> = all.iter().filter_map(|draft| draft.entry()).collect();
    let (without_entries, addresses) = sizes.without_entries(&all);
    let bytes = bytes.saturating_add(without_entries);
    check_size(&slave.name, at, entries.len(), bytes, problems);
    let memberships = if entries.is_empty() { Vec::new() } else { memberships(slave, schedules) };
    Shared { entries, addresses, bytes, memberships }
}

/// Checks that a slave, or the test for an address, has what an entry mentions.
fn check_mention(
    mention: &Mention,
    slave: &str,
    entries: &BTreeMap<&str, &Draft>,
    slaves: &Drafts<'_>,
    problems: &mut Problems<'_>,
) {
    let name = mention.name.as_str();
    let entry = entries.get(name);
    let is = |kinds: &[&str]| entry.is_some_and(|draft| draft.kind.is_none_or(|kind| kinds.contains(&kind)));
    let is_command = is(&commands::KEYS);
    let is_command_or_meeting = is_command || is(&["barrier", "sync"]);
    let message = match (mention.role, entry) {
        (Role::Address | Role::Peer, _) if slaves.places.contains_key(name) => return,
        (Role::Address | Role::Peer, _) => {
            let hint = problems.hint(name, slaves.list.iter().map(|slave| slave.name.as_str()));
            format!("unknown slave {name:?}{hint}")
        }
        (_, None) => {
            let hint = problems.hint(name, entries.keys().copied());
            format!("the slave {slave:?} has no entry {name:?}{hint}")
        }
        (Role::After(_), Some(draft)) if draft.policy == Some(Policy::Finally) => {
            format!("{name:?} runs when the run has ended: nothing can run after it")
        }
        (Role::After(When::Ready), Some(draft)) if draft.action.is_some() && !draft.has_ready() => {
            format!("{name:?} has no \"ready\": add one with a check")
        }
        (Role::After(When::Exited(_)), _) if !is_command_or_meeting => {
            format!("{name:?} is not a command, a barrier or a sync: it has no exit status")
        }
        (Role::Kill, _) if !is_command_or_meeting && !is(&faults::UNDONE) => {
            format!("{name:?} is not a command, a barrier, a sync or a fault: there is nothing to kill")
        }
        (Role::Pause, _) if !is_command => format!("{name:?} is not a command: there is nothing to pause"),
        (Role::Pid, _) if !is_command => format!("{name:?} is not a command: it has no process"),
        _ => return,
    };
    let variable = mention.role.variable(name).map_or(String::new(), |variable| format!("{variable}: "));
    problems.add(mention.at, format!("{variable}{message}"));
}

/// Checks that the slaves with the entry of a partition can make all of it.
fn check_partitions(schedules: &[Schedule<'_>], slaves: &Drafts<'_>, problems: &mut Problems<'_>) {
    let cuts = |schedule: &Schedule<'_>| schedule.drafts.iter().any(|draft| draft.partition().is_some());
    let cutting: BTreeSet<usize> = (0..schedules.len()).filter(|place| cuts(&schedules[*place])).collect();
    if cutting.is_empty() {
        return;
    }
    let mut having: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    for slave in &slaves.list {
        for (place, _) in slave.schedules.iter().filter(|(place, _)| cutting.contains(place)) {
            having.entry(*place).or_default().insert(&slave.name);
        }
    }
    for (place, having) in having {
        for draft in &schedules[place].drafts {
            let Some((harm, at)) = draft.partition() else { continue };
            let Some((one, other)) = faults::uncovered(harm, &having) else { continue };
            let (entry, schedule) = (&draft.name, schedules[place].name);
            problems.add_once(at, || {
                format!(
                    "the entry {entry:?} cannot cut {one:?} from {other:?}: a slave cuts only its own connections, so give the \
                     schedule {schedule:?} to one of these two, and start the entry there with a trigger"
                )
            });
        }
    }
}

/// Finds entries that wait for each other.
fn check_cycles(all: &[&Draft], problems: &mut Problems<'_>) {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (nr, draft) in all.iter().enumerate() {
        places.entry(&draft.name).or_insert(nr);
    }
    let before = |draft: &Draft| match &draft.policy {
        Some(Policy::After(after)) => after.of.iter().filter_map(|it| places.get(it.entry.as_str()).copied()).collect(),
        _ => Vec::new(),
    };
    let befores: Vec<Vec<usize>> = all.iter().map(|draft| before(draft)).collect();
    let Err(cycle) = graph::order(&befores) else { return };
    let name = |nr: &usize| all[*nr].name.as_str();
    let next = cycle.get(1).or(cycle.first()).map(name);
    let is_next = |mention: &&Mention| matches!(mention.role, Role::After(_)) && Some(&*mention.name) == next;
    let after = cycle.first().and_then(|first| all[*first].mentions.iter().find(is_next));
    problems.add_once(after.map_or(0, |mention| mention.at), || {
        let names: Vec<String> = cycle.iter().chain(cycle.first()).map(|nr| format!("{:?}", name(nr))).collect();
        format!("these entries wait for each other for ever: {}", names.join(" after "))
    });
}

/// Checks that the entries of a slave fit in one message.
fn check_size(slave: &str, at: usize, count: usize, bytes: usize, problems: &mut Problems<'_>) {
    if count > ENTRIES_MAX {
        problems.add_once(at, || format!("the slave {slave:?} has {count} entries, at most {ENTRIES_MAX} are allowed"));
    } else if bytes > PREPARE_MAX {
        problems.add_once(at, || {
            format!(
                "the entries of the slave {slave:?} take {bytes} bytes, at most {PREPARE_MAX} are allowed: move long \
                 commands into files and ship them as resources, and declare long lists of members in \"barriers\" and \
                 \"syncs\""
            )
        });
    }
}
