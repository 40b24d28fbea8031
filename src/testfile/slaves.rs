//! Which slave has which schedules, and whether its entries fit each other.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::bounds::{
    ADDRESSES_MAX, ALL_ENTRIES_MAX, COVERED_MAX, ENTRIES_MAX, GIVEN_MAX, PREPARE_MAX, RETOLD_MAX, SLAVES_MAX,
    UNSHARED_BYTES_MAX, UNSHARED_MAX, WITH_MAX,
};
use super::draft::{Draft, Mention, Role};
use super::fields::{self, Object};
use super::json::{KeyValue, Value, ValueKind};
use super::meetings::Membership;
use super::problem::Problems;
use super::range::Pattern;
use super::test::Slave;
use super::told::{self, Told};
use crate::session::{LABELS_MAX, check_label};
use crate::wire::{Entry, Policy};

/// Names of files in the results directory, beside the directories of the slaves.
pub const RESERVED: [&str; 8] =
    ["test.json", "events.jsonl", "state.jsonl", "summary.json", "report.txt", "launch.log", "over.json", "resources"];

/// The keys of what a slave is given, if that is more than a list of schedules.
pub const SLAVE_KEYS: [&str; 3] = ["schedules", "with", "address"];

/// How long the address of a slave is at most, in bytes.
const ADDRESS_MAX: usize = 255;

/// What a machine must be to serve as a slave.
type With = Rc<BTreeMap<String, String>>;

/// A schedule of the test.
pub struct Schedule<'a> {
    name: &'a str,
    drafts: Vec<Draft>,
    /// How many bytes a slave is told of its entries.
    bytes: usize,
}

impl<'a> Schedule<'a> {
    pub fn new(name: &'a str, drafts: Vec<Draft>) -> Schedule<'a> {
        let bytes = drafts.iter().map(told::of_entry).sum();
        Schedule { name, drafts, bytes }
    }
}

/// The slaves of a test, as its keys say.
#[derive(Default)]
struct Parts<'a> {
    /// In the order of the file.
    list: Vec<SlaveDraft<'a>>,
    /// By name, where each is in the list.
    places: BTreeMap<String, usize>,
    /// Who is given which schedule.
    given: BTreeSet<(usize, usize)>,
    /// How many names the keys stood for.
    covered: usize,
    /// Whatever several keys ask for, if it is the same it is here once.
    asked: BTreeSet<With>,
}

/// What slaves may still have that share nothing.
struct Room {
    entries: usize,
    bytes: usize,
}

impl Room {
    fn take(&mut self, entries: usize, bytes: usize) -> Option<()> {
        self.entries = self.entries.checked_sub(entries)?;
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(())
    }
}

/// A slave as its keys say.
struct SlaveDraft<'a> {
    name: String,
    /// Which schedules, and where the slave was given each.
    schedules: Vec<(usize, &'a Value)>,
    with: Option<With>,
    address: Option<String>,
}

/// What slaves with the same schedules share.
struct Shared<'s> {
    entries: Rc<[Entry]>,
    /// How many addresses their commands name, and how much a slave is told then.
    addresses: usize,
    bytes: usize,
    /// What the entries want a slave to be a member of: a list for each set of members, until a slave is none of them.
    memberships: Vec<Vec<&'s Membership>>,
}

/// Reads the object `"slaves"`.
pub fn read(
    members: &[KeyValue],
    at: usize,
    schedules: &[Schedule<'_>],
    told: &Told<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Slave> {
    if members.is_empty() {
        problems.add(at, "a test needs at least one slave");
    }
    let parts = parts(members, schedules, problems);
    let mut room = Room { entries: UNSHARED_MAX, bytes: UNSHARED_BYTES_MAX };
    let mut shared: BTreeMap<Vec<usize>, Shared<'_>> = BTreeMap::new();
    let mut slaves = Vec::with_capacity(parts.list.len());
    let (mut all, mut addresses, mut bytes) = (0, 0, 0);
    for part in &parts.list {
        let list: Vec<usize> = part.schedules.iter().map(|(schedule, _)| *schedule).collect();
        let shared = shared.entry(list).or_insert_with(|| {
            let (entries, addresses, bytes) = entries(part, schedules, &parts, &mut room, told, problems);
            let memberships = if entries.is_empty() { Vec::new() } else { memberships(part, schedules) };
            Shared { entries, addresses, bytes, memberships }
        });
        shared.memberships.retain(|same| {
            let member = same.first().is_none_or(|membership| membership.holds(&part.name));
            if !member {
                same.iter().for_each(|membership| membership.lacks(&part.name, problems));
            }
            member
        });
        all += shared.entries.len();
        if all > ALL_ENTRIES_MAX {
            problems.add(at, format!("all slaves of a test have at most {ALL_ENTRIES_MAX} entries together"));
            break;
        }
        addresses += shared.addresses;
        bytes += if shared.addresses > 0 { shared.bytes } else { 0 };
        if addresses > ADDRESSES_MAX || bytes > RETOLD_MAX {
            let message = format!(
                "slaves whose commands name addresses name at most {ADDRESSES_MAX} together, and have at most \
                 {RETOLD_MAX} bytes of entries"
            );
            problems.add(at, message);
            break;
        }
        let (with, address) = (part.with.clone(), part.address.clone());
        slaves.push(Slave { name: part.name.clone(), with, address, entries: shared.entries.clone() });
    }
    slaves
}

/// Expands the keys, and puts together what several keys say about one slave.
fn parts<'a>(members: &'a [KeyValue], schedules: &[Schedule<'_>], problems: &mut Problems<'_>) -> Parts<'a> {
    let mut parts = Parts::default();
    let names = fields::KnownNames::new(schedules.iter().map(|schedule| schedule.name));
    for member in members {
        if problems.is_full() {
            break;
        }
        let Given { list, with: asked, address } = object(&member.value, problems);
        let given = list.map_or_else(Vec::new, |list| given(&member.key, list, &names, problems));
        let with = asked.and_then(|value| with(value, &mut parts.asked, problems));
        let pattern = match Pattern::read(&member.key, SLAVES_MAX) {
            Ok(pattern) => pattern,
            Err(why) => {
                problems.add(member.at, why);
                continue;
            }
        };
        parts.covered = parts.covered.saturating_add(pattern.count);
        let too_many = if parts.covered > COVERED_MAX {
            Some(format!(
                "the keys of \"slaves\" stand for at most {COVERED_MAX} names, those counted twice that two cover"
            ))
        } else if given.len().saturating_mul(pattern.count) > GIVEN_MAX - parts.given.len() {
            Some(format!("all slaves of a test are given at most {GIVEN_MAX} schedules together"))
        } else {
            None
        };
        if let Some(message) = too_many {
            problems.add(member.at, message);
            break;
        }
        let addresses = address.map_or_else(Vec::new, |value| addresses(value, pattern.count, problems));
        for (nr, name) in pattern.names().into_iter().enumerate() {
            if !check_slave_name(&name, member, problems) {
                break;
            }
            let place = parts.place(name);
            parts.give(place, &given, schedules, problems);
            let part = &mut parts.list[place];
            if let (Some(with), Some(value)) = (&with, asked) {
                ask(part, with, value, problems);
            }
            let own = addresses.get(nr).or(addresses.first());
            if let (Some(own), Some(value)) = (own, address) {
                settle(part, own, value, problems);
            }
        }
        if parts.list.len() > SLAVES_MAX {
            problems.add(member.at, format!("a test has at most {SLAVES_MAX} slaves"));
            break;
        }
    }
    parts
}

/// What one key gives to its slaves.
#[derive(Default)]
struct Given<'a> {
    /// The list of schedules.
    list: Option<&'a Value>,
    /// What is asked of a machine.
    with: Option<&'a Value>,
    address: Option<&'a Value>,
}

/// What one key gives: a list of schedules, or an object with that and more in it.
fn object<'a>(value: &'a Value, problems: &mut Problems<'_>) -> Given<'a> {
    match &value.kind {
        ValueKind::List(_) => Given { list: Some(value), ..Given::default() },
        ValueKind::Object(_) => match Object::read(value, "what a slave is given", &SLAVE_KEYS, problems) {
            Some(object) => Given {
                list: object.require("schedules", problems),
                with: object.get("with"),
                address: object.get("address"),
            },
            None => Given::default(),
        },
        _ => {
            fields::wrong::<()>(value, "what a slave is given is a list or an object", problems);
            Given::default()
        }
    }
}

/// The schedules that one key gives to its slaves.
fn given<'a>(
    key: &str,
    list: &'a Value,
    names: &fields::KnownNames<'_>,
    problems: &mut Problems<'_>,
) -> Vec<(usize, &'a Value)> {
    let Some(items) = fields::list(list, "\"schedules\"", problems) else { return Vec::new() };
    if items.is_empty() {
        problems.add(list.span.start, format!("{key:?} is given no schedule"));
    }
    let place = |item: &'a Value| fields::known_name(item, "schedule", names, problems).map(|(_, place)| (place, item));
    items.iter().filter_map(place).collect()
}

/// The labels that a machine must have. None at all: any machine will do.
fn with(value: &Value, asked: &mut BTreeSet<With>, problems: &mut Problems<'_>) -> Option<With> {
    let members = fields::members(value, "\"with\"", problems)?;
    if let Some(first) = members.get(LABELS_MAX) {
        problems.add(first.at, format!("a slave has at most {LABELS_MAX} labels"));
        return None;
    }
    let label = |member: &KeyValue| {
        let value = fields::string(&member.value, "the value of a label", problems)?;
        let wrong = check_label(&member.key, value);
        wrong.map_err(|why| problems.add(member.at, why.to_string())).ok()?;
        Some((member.key.clone(), value.to_owned()))
    };
    let labels: Vec<_> = members.iter().map(label).collect();
    let with = labels.into_iter().collect::<Option<_>>().map(Rc::new)?;
    let same = asked.get(&with).cloned();
    if same.is_none() && asked.len() == WITH_MAX {
        let message = format!("the slaves of a test ask for at most {WITH_MAX} different sets of labels");
        problems.add(value.span.start, message);
        return None;
    }
    Some(same.unwrap_or_else(|| {
        asked.insert(with.clone());
        with
    }))
}

/// A place is one machine: whatever keys cover it, they ask for the same.
fn ask(part: &mut SlaveDraft<'_>, with: &With, value: &Value, problems: &mut Problems<'_>) {
    match &part.with {
        Some(other) if !Rc::ptr_eq(other, with) => {
            let message = || format!("the slave {:?} is asked for with other labels before", part.name);
            problems.add_once(value.span.start, message);
        }
        _ => part.with = Some(with.clone()),
    }
}

/// The addresses of the slaves of one key: one for all, or as many as there are slaves.
fn addresses(value: &Value, slaves: usize, problems: &mut Problems<'_>) -> Vec<String> {
    let Some(pattern) = fields::string(value, "\"address\"", problems) else { return Vec::new() };
    let expanded = match pattern.contains(['[', ']']) {
        true => Pattern::read(pattern, SLAVES_MAX).and_then(|read| match read.count {
            1 => Ok(read.names()),
            count if count == slaves => Ok(read.names()),
            count => Err(format!("{pattern:?} stands for {count} addresses, and there are {slaves} slaves here")),
        }),
        false => Ok(vec![pattern.to_owned()]),
    };
    let checked = expanded.and_then(|addresses| match addresses.iter().find(|address| !is_address(address)) {
        Some(wrong) => Err(format!(
            "{wrong:?} is no address: that is a host name or an IP address, or USER@HOST, of at most {ADDRESS_MAX} bytes"
        )),
        None => Ok(addresses),
    });
    checked.unwrap_or_else(|why| {
        problems.add(value.span.start, why);
        Vec::new()
    })
}

/// Whether a launcher may be given this as an address: nothing in it means anything to a shell, and it is no option.
fn is_address(address: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:%@".contains(&byte);
    (1..=ADDRESS_MAX).contains(&address.len()) && address.bytes().all(plain) && !address.starts_with(['-', '%', '@'])
}

/// A slave has one address, whatever keys cover it.
fn settle(part: &mut SlaveDraft<'_>, address: &str, value: &Value, problems: &mut Problems<'_>) {
    match part.address.as_deref() {
        Some(other) if other != address => {
            let message = || format!("the slave {:?} has the address {other:?} and here another", part.name);
            problems.add_once(value.span.start, message);
        }
        _ => part.address = Some(address.to_owned()),
    }
}

fn check_slave_name(name: &str, member: &KeyValue, problems: &mut Problems<'_>) -> bool {
    if RESERVED.contains(&name) {
        problems.add(member.at, format!("{name:?} cannot name a slave: the results have a file of that name"));
        return false;
    }
    fields::check_name(name, member.at, "a slave", problems)
}

impl<'a> Parts<'a> {
    /// Where the slave of this name is in the list; a new one is put at its end.
    fn place(&mut self, name: String) -> usize {
        let end = self.list.len();
        *self.places.entry(name).or_insert_with_key(|name| {
            self.list.push(SlaveDraft { name: name.clone(), schedules: Vec::new(), with: None, address: None });
            end
        })
    }

    fn give(
        &mut self,
        place: usize,
        given: &[(usize, &'a Value)],
        schedules: &[Schedule<'_>],
        problems: &mut Problems<'_>,
    ) {
        let part = &mut self.list[place];
        for &(schedule, value) in given {
            if self.given.insert((place, schedule)) {
                part.schedules.push((schedule, value));
                continue;
            }
            problems.add_once(value.span.start, || {
                format!("the slave {:?} is given the schedule {:?} twice", part.name, schedules[schedule].name)
            });
        }
    }
}

/// What the entries of a slave that has these schedules want it to be a member of.
fn memberships<'s>(part: &SlaveDraft<'_>, schedules: &'s [Schedule<'_>]) -> Vec<Vec<&'s Membership>> {
    let drafts = part.schedules.iter().flat_map(|&(schedule, _)| &schedules[schedule].drafts);
    let mut same: BTreeMap<_, Vec<&Membership>> = BTreeMap::new();
    for membership in drafts.filter_map(|draft| draft.membership.as_ref()) {
        same.entry(membership.same()).or_default().push(membership);
    }
    same.into_values().collect()
}

/// The entries of one slave, checked together, how many addresses their commands name, and how much it is told of all.
fn entries(
    part: &SlaveDraft<'_>,
    schedules: &[Schedule<'_>],
    slaves: &Parts<'_>,
    room: &mut Room,
    told: &Told<'_>,
    problems: &mut Problems<'_>,
) -> (Rc<[Entry]>, usize, usize) {
    let own = || part.schedules.iter().map(|&(schedule, _)| &schedules[schedule]);
    let at = part.schedules.first().map_or(0, |(_, value)| value.span.start);
    let (count, bytes) = (own().map(|it| it.drafts.len()).sum(), own().map(|it| it.bytes).sum());
    if room.take(count, bytes).is_none() {
        problems.add_once(at, || {
            format!(
                "slaves with different schedules have at most {UNSHARED_MAX} entries of {UNSHARED_BYTES_MAX} bytes \
                 together: give slaves that do the same the same schedules"
            )
        });
        return (Rc::from([]), 0, 0);
    }
    let mut by_name: BTreeMap<&str, (&Draft, &str)> = BTreeMap::new();
    let mut all = Vec::new();
    for &(schedule, value) in &part.schedules {
        let schedule = &schedules[schedule];
        for draft in &schedule.drafts {
            all.push(draft);
            let (_, other) = *by_name.entry(&draft.name).or_insert((draft, schedule.name));
            if other != schedule.name {
                let (slave, entry, this) = (&part.name, &draft.name, schedule.name);
                problems.add_once(value.span.start, || {
                    format!("the slave {slave:?} has an entry {entry:?} from {other:?} and another from {this:?}")
                });
            }
        }
    }
    let drafts: BTreeMap<&str, &Draft> = by_name.into_iter().map(|(name, (draft, _))| (name, draft)).collect();
    for draft in &all {
        for mention in &draft.mentions {
            // Other slaves with other schedules beside these have it too.
            if problems.is_told(mention.at) {
                continue;
            }
            if let Err(why) = check_mention(mention, &part.name, &drafts, slaves, problems) {
                let variable = mention.role.variable(&mention.name).map_or(String::new(), |it| format!("{it}: "));
                problems.add_once(mention.at, || format!("{variable}{why}"));
            }
        }
    }
    check_cycles(&all, &drafts, problems);
    let entries: Rc<[Entry]> = all.iter().filter_map(|draft| draft.entry()).collect();
    let (beside, addresses) = told.beside(&all);
    let size = bytes.saturating_add(beside);
    if let Err(message) = check_size(&part.name, entries.len(), size) {
        problems.add_once(at, || message);
    }
    (entries, addresses, size)
}

fn check_mention(
    mention: &Mention,
    slave: &str,
    drafts: &BTreeMap<&str, &Draft>,
    slaves: &Parts<'_>,
    problems: &mut Problems<'_>,
) -> Result<(), String> {
    let name = mention.name.as_str();
    if mention.role == Role::Address {
        return match slaves.places.contains_key(name) {
            true => Ok(()),
            false => {
                let hint = problems.hint(name, slaves.list.iter().map(|part| part.name.as_str()));
                Err(format!("unknown slave {name:?}{hint}"))
            }
        };
    }
    let Some(draft) = drafts.get(name) else {
        let hint = problems.hint(name, drafts.keys().copied());
        return Err(format!("the slave {slave:?} has no entry {name:?}{hint}"));
    };
    let is = |kinds: &[&str]| draft.kind.is_none_or(|kind| kinds.contains(&kind));
    match mention.role {
        Role::After { .. } if draft.policy == Some(Policy::Finally) => {
            Err(format!("{name:?} runs when the run has ended: nothing can run after it"))
        }
        Role::After { ready: true, .. } if draft.action.is_some() && !draft.has_ready() => {
            Err(format!("{name:?} has no \"ready\": add one that says how it is known that it is ready"))
        }
        Role::After { exit: Some(_), .. } if !is(&["shell", "barrier", "sync"]) => {
            Err(format!("{name:?} is no \"shell\", \"barrier\" or \"sync\" entry: it has no exit status"))
        }
        Role::Kill if !is(&["shell", "barrier", "sync"]) => {
            Err(format!("{name:?} is no \"shell\", \"barrier\" or \"sync\" entry: there is nothing to kill"))
        }
        Role::Pid if !is(&["shell"]) => Err(format!("{name:?} is no \"shell\" entry: it has no process")),
        _ => Ok(()),
    }
}

/// Finds entries that wait for each other: an entry waits for one other at most, so each chain is followed to its end.
fn check_cycles(all: &[&Draft], drafts: &BTreeMap<&str, &Draft>, problems: &mut Problems<'_>) {
    let before = |draft: &Draft| match &draft.policy {
        Some(Policy::After(after)) => drafts.get(after.entry.as_str()).copied(),
        _ => None,
    };
    // For each entry the chain that it was seen in.
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (chain, first) in all.iter().enumerate() {
        let mut draft: &Draft = first;
        let mut met = None;
        while met.is_none() {
            met = seen.get(draft.name.as_str()).copied();
            if met.is_none() {
                seen.insert(&draft.name, chain);
                match before(draft) {
                    Some(next) => draft = next,
                    None => break,
                }
            }
        }
        if met == Some(chain) {
            report_cycle(draft, &before, problems);
        }
    }
}

fn report_cycle<'a>(start: &'a Draft, before: &impl Fn(&Draft) -> Option<&'a Draft>, problems: &mut Problems<'_>) {
    let mut names = vec![start.name.as_str()];
    let mut draft = start;
    while let Some(next) = before(draft) {
        names.push(&next.name);
        if next.name == start.name {
            break;
        }
        draft = next;
    }
    let after = start.mentions.iter().find(|mention| matches!(mention.role, Role::After { .. }));
    problems.add_once(after.map_or(0, |mention| mention.at), || {
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        format!("these entries wait for each other for ever: {}", names.join(" after "))
    });
}

/// Whether the slave can be told all of it.
fn check_size(slave: &str, count: usize, size: usize) -> Result<(), String> {
    if count > ENTRIES_MAX {
        return Err(format!("the slave {slave:?} has {count} entries, at most {ENTRIES_MAX} are allowed"));
    }
    if size > PREPARE_MAX {
        return Err(format!(
            "what the slave {slave:?} must be told takes {size} bytes, at most {PREPARE_MAX} are allowed: \
             move long commands into files and ship them as resources, and declare long lists of members in \
             \"barriers\" and \"syncs\""
        ));
    }
    Ok(())
}
