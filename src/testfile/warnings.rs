//! Warnings about a valid test: it can run, but it waits for something that cannot happen.
//!
//! A warning never prevents a run, because a command may do something that its text does not show.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::json::{KeyValue, Value, ValueKind};
use super::lists::{List, Times, command_of};
use super::problem::{Problem, Problems};
use super::test::{End, Test};
use super::words;
use crate::wire::{Condition, Policy, When};

/// A test, and its file.
struct File<'a> {
    test: &'a Test,
    root: &'a Value,
    lists: Vec<List<'a>>,
    /// How often each trigger can be notified.
    notifies: BTreeMap<&'a str, Times>,
    /// The triggers that entries or the end of the test wait for. Other triggers need no warning.
    awaited: BTreeSet<&'a str>,
}

/// An entry of a schedule.
struct EntryRef<'a> {
    object: &'a Value,
    /// A list of slaves that has the entry.
    list: usize,
    /// The place of the entry in that list.
    nr: usize,
}

/// Returns all warnings about a test that was read from `root`, the content of this text, in the order of the file.
pub fn of(file: &str, text: &str, root: &Value, test: &Test) -> Vec<Problem> {
    let mut found = Problems::new(text);
    let mut file_of = File::new(test, root);
    file_of.triggers_that_cannot_fire(&mut found);
    file_of.schedules_of_no_slave(&mut found);
    let never_fires: BTreeSet<&str> =
        test.triggers.keys().map(String::as_str).filter(|trigger| file_of.never_fires(trigger)).collect();
    for list in &mut file_of.lists {
        list.find_starts(&test.end, &never_fires);
    }
    for place in file_of.entries() {
        file_of.unknown_triggers_of_commands(&place, &mut found);
        file_of.entries_that_cannot_start(&place, &mut found);
        file_of.entries_after_services(&place, &mut found);
    }
    found.finish(file)
}

impl<'a> File<'a> {
    fn new(test: &'a Test, root: &'a Value) -> File<'a> {
        let lists = List::of(test);
        let notifies = notifies(test, &lists);
        let entries = lists.iter().flat_map(|list| list.entries);
        let mut awaited: BTreeSet<&str> = entries
            .filter_map(|entry| match &entry.policy {
                Policy::Trigger(trigger) => Some(trigger.as_str()),
                _ => None,
            })
            .collect();
        if let End::Trigger { trigger, .. } = &test.end {
            awaited.insert(trigger);
        }
        File { test, root, lists, notifies, awaited }
    }

    /// Warns of triggers that cannot reach zero.
    fn triggers_that_cannot_fire(&self, found: &mut Problems<'_>) {
        for member in members(self.root, "triggers") {
            let name = member.key.as_str();
            let (Some(&count), Some(Times::AtMost(most))) = (self.test.triggers.get(name), self.notifies.get(name))
            else {
                continue;
            };
            if *most < count && self.awaited.contains(name) {
                found.add(member.at, self.cannot_fire(name, count, *most));
            }
        }
    }

    fn cannot_fire(&self, name: &str, count: u64, most: u64) -> String {
        match most {
            0 => format!(
                "nothing notifies the trigger {name:?}: add an entry with \"notify\", or a command with \"arete notify \
                 {name}\""
            ),
            1 => format!("the trigger {name:?} starts at {count}, but only one notify is possible: start it at 1?"),
            most => format!(
                "the trigger {name:?} starts at {count}, but only {most} notifies are possible: start it at {most}?"
            ),
        }
    }

    /// Returns whether the test shows that the trigger never fires.
    fn never_fires(&self, trigger: &str) -> bool {
        let count = self.test.triggers.get(trigger).copied().unwrap_or(0);
        matches!(self.notifies.get(trigger), Some(Times::AtMost(most)) if *most < count)
    }

    /// Warns of schedules that no slave has.
    fn schedules_of_no_slave(&self, found: &mut Problems<'_>) {
        let slaves = members(self.root, "slaves").map(|member| match &member.value.kind {
            ValueKind::Object(_) => get(&member.value, "schedules").unwrap_or(&member.value),
            _ => &member.value,
        });
        let used: BTreeSet<&str> = slaves.flat_map(items).filter_map(string).collect();
        for member in members(self.root, "schedules").filter(|member| !used.contains(member.key.as_str())) {
            found.add(member.at, format!("no slave has the schedule {:?}: its entries never start", member.key));
        }
    }

    /// Warns of commands that notify or await a trigger that the test does not declare.
    fn unknown_triggers_of_commands(&self, place: &EntryRef<'_>, found: &mut Problems<'_>) {
        let is_unknown = |named: &words::Named| !self.test.triggers.contains_key(&named.trigger);
        let message = |named: &words::Named, found: &mut Problems<'_>| {
            let hint = found.hint(&named.trigger, self.test.triggers.keys().map(String::as_str));
            format!("\"arete {} {}\": the test declares no such trigger{hint}", named.subcommand, named.trigger)
        };
        let texts = ["shell", "script"].into_iter().find_map(|key| get(place.object, key));
        for (value, text) in texts.map(lines).unwrap_or_default() {
            let mut inside = found.inside(&value.span, text);
            for named in words::named(text).into_iter().filter(is_unknown) {
                let message = message(&named, found);
                found.add(inside.place(named.at), message);
            }
        }
        if let Some(exec) = get(place.object, "exec") {
            let text = lines(exec).iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" ");
            for named in words::named(&text).into_iter().filter(is_unknown) {
                let message = message(&named, found);
                found.add(exec.span.start, message);
            }
        }
    }

    /// Warns of an entry that can never start.
    fn entries_that_cannot_start(&self, place: &EntryRef<'_>, found: &mut Problems<'_>) {
        let key = ["at", "trigger", "after"].into_iter().find_map(|key| get(place.object, key));
        let list = &self.lists[place.list];
        if let (Some(value), Some(why)) = (key, list.why_never(place.nr, &self.test.end)) {
            let name = &list.entries[place.nr].name;
            found.add(value.span.start, format!("the entry {name:?} can never start: {why}"));
        }
    }

    /// Warns of an entry that waits for the exit of a service, which exits only when the run ends, or fails.
    fn entries_after_services(&self, place: &EntryRef<'_>, found: &mut Problems<'_>) {
        let list = &self.lists[place.list];
        let entry = &list.entries[place.nr];
        let (Policy::After(after), Some(value)) = (&entry.policy, get(place.object, "after")) else { return };
        // A service that fails does exit, and one of several entries may be enough.
        let waits = |it: &&Condition| {
            matches!(it.when, When::Ended | When::Exited(_)) && !after.any && list.is_service(&it.entry)
        };
        if let Some(service) = after.of.iter().find(|it| waits(it) && !list.ended.contains(&it.entry)) {
            let (name, service) = (&entry.name, &service.entry);
            let message =
                format!("the entry {name:?} waits for the exit of the service {service:?}, which runs until the end");
            found.add(value.span.start, message);
        }
    }

    /// Returns the entries that slaves have, each once.
    fn entries(&self) -> Vec<EntryRef<'a>> {
        // By the name and the command of an entry: the list that has it, and its place there.
        let mut owners = BTreeMap::<_, (usize, usize)>::new();
        for (list, it) in self.lists.iter().enumerate() {
            for (nr, entry) in it.entries.iter().enumerate() {
                owners.entry((entry.name.as_str(), command_of(entry))).or_insert((list, nr));
                // The text of a shipped file is not in the test.
                owners.entry((entry.name.as_str(), None)).or_insert((list, nr));
            }
        }
        let place = |object: &'a Value| {
            let name = get(object, "name").and_then(string).unwrap_or_default();
            owners.get(&(name, command_in(object))).map(|&(list, nr)| EntryRef { object, list, nr })
        };
        members(self.root, "schedules").flat_map(|member| items(&member.value)).filter_map(place).collect()
    }
}

/// Returns the command of an entry of the file, as [`command_of`] returns that of the test.
fn command_in(object: &Value) -> Option<Cow<'_, str>> {
    let (value, between) = [("shell", "\n"), ("script", "\n"), ("exec", " ")]
        .into_iter()
        .find_map(|(key, between)| Some((get(object, key)?, between)))?;
    Some(match &lines(value)[..] {
        [(_, text)] => Cow::from(*text),
        lines => Cow::from(lines.iter().map(|(_, line)| *line).collect::<Vec<_>>().join(between)),
    })
}

/// Returns a string, or the strings of a list, each with its value.
fn lines(value: &Value) -> Vec<(&Value, &str)> {
    let items = if let ValueKind::List(items) = &value.kind { &items[..] } else { std::slice::from_ref(value) };
    items.iter().filter_map(|item| Some((item, string(item)?))).collect()
}

/// Returns how often each trigger can be notified in a run.
fn notifies<'a>(test: &'a Test, lists: &[List<'a>]) -> BTreeMap<&'a str, Times> {
    let commands: BTreeSet<Cow<'_, str>> = lists.iter().flat_map(|list| list.entries).filter_map(command_of).collect();
    // A shipped file may notify any trigger, and so may a command that computes the name.
    let hidden = !test.resources.is_empty() || commands.iter().any(|text| notifies_unnamed(text));
    let mut mentioned: BTreeSet<&str> = BTreeSet::new();
    if !hidden {
        commands.iter().for_each(|text| mention(text, &mut mentioned));
    }
    let mut notifies = BTreeMap::new();
    for name in test.triggers.keys() {
        let named = hidden || mentioned.contains(name.as_str());
        notifies.insert(name.as_str(), if named { Times::Unknown } else { Times::AtMost(0) });
    }
    for list in lists {
        for (entry, runs) in list.entries.iter().zip(list.runs()) {
            let Some(times) = entry.notifies().and_then(|trigger| notifies.get_mut(trigger)) else { continue };
            *times = match (*times, runs) {
                (Times::AtMost(one), Times::AtMost(other)) => {
                    Times::AtMost(one.saturating_add(other.saturating_mul(list.slaves)))
                }
                _ => Times::Unknown,
            };
        }
    }
    notifies
}

/// Adds every word of a command that may be the name of a trigger, unless the command only waits for that trigger.
fn mention<'a>(text: &'a str, mentioned: &mut BTreeSet<&'a str>) {
    let waited: BTreeSet<usize> =
        words::named(text).into_iter().filter(|it| it.subcommand == "wait").map(|it| it.at).collect();
    let in_name = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    let mut at = 0;
    for word in text.split_inclusive(|letter: char| !in_name(letter)) {
        if !waited.contains(&at) {
            mentioned.insert(word.trim_end_matches(|letter: char| !in_name(letter)));
        }
        at += word.len();
    }
}

/// Returns whether a command may notify a trigger that its text does not name.
fn notifies_unnamed(text: &str) -> bool {
    // The next word that is not an option, after the current word.
    let mut next: Option<&str> = None;
    for word in text.split_whitespace().rev() {
        if word.contains("notify") && next.is_none_or(|next| next.contains(['$', '`', '@'])) {
            return true;
        }
        if !word.starts_with('-') {
            next = Some(word);
        }
    }
    text.contains("ARETE_SOCKET")
}

/// Returns the value of a key of an object.
fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let ValueKind::Object(members) = &value.kind else { return None };
    members.iter().find(|member| member.key == key).map(|member| &member.value)
}

/// Returns the members of an object at a key of the file.
fn members<'a>(root: &'a Value, key: &str) -> impl Iterator<Item = &'a KeyValue> {
    let members = match get(root, key).map(|value| &value.kind) {
        Some(ValueKind::Object(members)) => members.as_slice(),
        _ => &[],
    };
    members.iter()
}

fn items(value: &Value) -> &[Value] {
    match &value.kind {
        ValueKind::List(items) => items,
        _ => &[],
    }
}

fn string(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::testfile::read_file;

    /// Returns the warnings about a test with these triggers, and these entries of one slave.
    fn warned(triggers: &str, entries: &str) -> Vec<String> {
        // Both are of the same length, so that places are the same.
        let end = match triggers.contains("\"go\"") {
            true => r#""end": {"trigger":"go", "limit":30}"#,
            false => r#""end": {"idle":  true, "limit": 30}"#,
        };
        let text = format!(
            "{{\"name\": \"t\", {end}, \"triggers\": {triggers},\n\"schedules\": {{\"s\": [\n{entries}]}}, \
             \"slaves\": {{\"a\": [\"s\"]}}}}"
        );
        warnings(&text)
    }

    fn warnings(text: &str) -> Vec<String> {
        let read = read_file("t.json", text, &Default::default(), &mut |_| Err("no".to_owned()));
        let read = read.unwrap_or_else(|problems| panic!("{problems:?}"));
        read.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_trigger_that_cannot_reach_zero_is_named() {
        let notify = |name: &str, policy: &str| format!(r#"{{"name": "{name}", {policy}, "notify": "go"}}"#);
        let (once, poked) = (notify("x", r#""at": 0"#), notify("y", r#""poke": true"#));
        let shell = |command: &str| format!(r#"{{"name": "sh", "at": 0, "shell": "{command}"}}"#);
        let after = format!(r#"{once}, {{"name": "z", "after": "x", "notify": "go"}}"#);
        let place = "t.json:1:65: ";
        for (triggers, entries, wanted) in [
            (r#"{"go": 1}"#, once.clone(), None),
            (
                r#"{"go": 3}"#,
                once.clone(),
                Some("the trigger \"go\" starts at 3, but only one notify is possible: start it at 1?"),
            ),
            (
                r#"{"go": 3}"#,
                after.clone(),
                Some("the trigger \"go\" starts at 3, but only 2 notifies are possible: start it at 2?"),
            ),
            (r#"{"go": 2}"#, after, None),
            (r#"{"go": 3}"#, poked, None),
            (
                r#"{"go": 1}"#,
                shell("true"),
                Some(
                    "nothing notifies the trigger \"go\": add an entry with \"notify\", or a command with \"arete notify go\"",
                ),
            ),
            (r#"{"go": 1}"#, shell("./tool go"), None),
            (
                r#"{"go": 1}"#,
                shell("./ergo --go-on; arete wait go"),
                Some(
                    "nothing notifies the trigger \"go\": add an entry with \"notify\", or a command with \"arete notify go\"",
                ),
            ),
            (r#"{"go": 1}"#, shell("arete wait go; x.py go"), None),
            (r#"{"go": 1}"#, shell("arete notify $T"), None),
        ] {
            let wanted: Vec<String> = wanted.iter().map(|text| format!("{place}{text}")).collect();
            assert_eq!(warned(triggers, &entries), wanted, "{triggers} {entries}");
        }
    }

    #[test]
    fn an_unknown_trigger_in_a_command_is_found_at_its_place() {
        let entries = r#"{"name": "x", "at": 0, "shell": "true \"q\"; arete notify rady"},
{"name": "y", "at": 0, "shell": "arete wait ready; arete notify ready; arete notify --room r other"}"#;
        let wanted = "t.json:3:59: \"arete notify rady\": the test declares no such trigger, did you mean \"ready\"?";
        assert_eq!(warned(r#"{"ready": 1}"#, entries), [wanted]);
        let none = warned("{}", r#"{"name": "x", "at": 0, "shell": "arete wait up"}"#);
        assert_eq!(none, ["t.json:3:45: \"arete wait up\": the test declares no such trigger; none is declared"]);
    }

    #[test]
    fn an_entry_that_can_never_start_is_named_with_the_reason() {
        let never = |name: &str| format!("the entry {name:?} can never start: ");
        let entries = r#"{"name": "late", "at": 60, "shell": "true"},
{"name": "stop", "poke": true, "end": "passed"},
{"name": "next", "after": "stop", "shell": "true"},
{"name": "last", "after": {"entry": "late", "exit": 1}, "shell": "true"},
{"name": "set", "trigger": "off", "shell": "true"}"#;
        let wanted = [
            "t.json:1:65: nothing notifies the trigger \"off\": add an entry with \"notify\", or a command with \"arete notify off\"".to_owned(),
            format!("t.json:3:24: {}the run is over after 30s", never("late")),
            format!("t.json:5:27: {}the entry \"stop\" ends the run", never("next")),
            format!("t.json:6:27: {}the entry \"late\" can never start", never("last")),
            format!("t.json:7:28: {}the trigger \"off\" cannot fire", never("set")),
        ];
        assert_eq!(warned(r#"{"off": 1}"#, entries), wanted);
    }

    #[test]
    fn an_entry_after_a_service_is_named_unless_something_ends_the_service() {
        let service = r#"{"name": "httpd", "at": 0, "shell": "httpd", "service": true}"#;
        let next = r#"{"name": "get", "after": "httpd", "shell": "get"}"#;
        let kill = r#"{"name": "stop", "at": 5, "kill": "httpd"}"#;
        let by_pid = r#"{"name": "stop", "at": 5, "shell": "kill @{httpd.pid}"}"#;
        let ready = r#"{"name": "httpd", "at": 0, "shell": "httpd", "service": true, "ready": {"port": 80}}"#;
        let use_it = r#"{"name": "get", "after": {"entry": "httpd", "ready": true}, "shell": "get"}"#;
        let wanted =
            "t.json:4:26: the entry \"get\" waits for the exit of the service \"httpd\", which runs until the end";
        assert_eq!(warned("{}", &format!("{service},\n{next}")), [wanted]);
        assert_eq!(warned("{}", &format!("{service}, {next}, {kill}")), [""; 0]);
        assert_eq!(warned("{}", &format!("{service}, {next}, {by_pid}")), [""; 0]);
        assert_eq!(warned("{}", &format!("{ready}, {use_it}")), [""; 0]);
    }

    #[test]
    fn a_schedule_of_no_slave_is_named() {
        let text = r#"{"name": "t", "end": {"duration": 1}, "slaves": {"a[1-2]": ["s"], "b": {"schedules": ["u"]}},
"schedules": {"s": [], "u": [], "v": [{"name": "x", "at": 0, "shell": "true"}]}}"#;
        assert_eq!(warnings(text), ["t.json:2:33: no slave has the schedule \"v\": its entries never start"]);
    }
}
