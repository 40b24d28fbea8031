//! The parser of an entry, with the tables of run-policies and actions.
//!
//! A new run-policy or action is one row in [`POLICIES`] or [`ACTIONS`] with its parser. The keys that an entry may have,
//! and the messages that list them, come from these tables.

use super::context::{Context, Names, declared_trigger};
use super::draft::{Draft, Role};
use super::fields::{self, Object, transposed, word};
use super::json::{KeyValue, Value, ValueKind};
use super::problem::Problems;
use super::{after, commands, faults, meet, suggest};
use crate::machine::Signal;
use crate::wire::{Action, Policy, Verdict};

/// A run-policy.
pub struct PolicyKind {
    /// Its key.
    pub key: &'static str,
    parse: fn(&KeyValue, &mut Context<'_, '_>) -> Option<Policy>,
}

/// An action.
pub struct ActionKind {
    /// Its key.
    pub key: &'static str,
    /// The other keys that it reads.
    pub options: &'static [&'static str],
    parse: fn(&KeyValue, &Object<'_>, &mut Context<'_, '_>) -> Option<Action>,
}

/// All run-policies.
pub const POLICIES: [PolicyKind; 5] = [
    PolicyKind { key: "at", parse: at },
    PolicyKind { key: "poke", parse: poke },
    PolicyKind { key: "trigger", parse: trigger },
    PolicyKind { key: "after", parse: after::read },
    PolicyKind { key: "finally", parse: finally },
];

/// All actions.
pub const ACTIONS: [ActionKind; 15] = [
    ActionKind { key: "shell", options: &commands::INTERPRETED_OPTIONS, parse: commands::shell },
    ActionKind { key: "script", options: &commands::INTERPRETED_OPTIONS, parse: commands::script },
    ActionKind { key: "exec", options: &commands::OPTIONS, parse: commands::exec },
    ActionKind { key: "file", options: &commands::OPTIONS, parse: commands::file },
    ActionKind { key: "notify", options: &[], parse: notify },
    ActionKind { key: "kill", options: &["signal"], parse: kill },
    ActionKind { key: "end", options: &[], parse: end },
    ActionKind { key: "barrier", options: &meet::BARRIER_OPTIONS, parse: meet::barrier },
    ActionKind { key: "sync", options: &meet::SYNC_OPTIONS, parse: meet::sync },
    ActionKind { key: "pause", options: &faults::OPTIONS, parse: faults::pause },
    ActionKind { key: "partition", options: &faults::OPTIONS, parse: faults::partition },
    ActionKind { key: "network", options: &faults::OPTIONS, parse: faults::network },
    ActionKind { key: "fill", options: &faults::OPTIONS, parse: faults::fill },
    ActionKind { key: "clock", options: &faults::OPTIONS, parse: faults::clock },
    ActionKind { key: "crash", options: &[], parse: faults::crash },
];

/// The keys of `"notify"` as an object.
pub const NOTIFY_KEYS: [&str; 2] = ["trigger", "data"];

/// The words for the verdict of the action `end`.
pub const VERDICTS: [(&str, Verdict); 2] = [("passed", Verdict::Passed), ("failed", Verdict::Failed)];

/// Returns the options of all actions. An option of several actions is repeated.
fn options() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().flat_map(|action| action.options).copied()
}

/// Returns every key that an entry may have.
pub fn keys() -> Vec<&'static str> {
    let mut keys = vec!["name"];
    keys.extend(POLICIES.iter().map(|policy| policy.key));
    for action in &ACTIONS {
        keys.push(action.key);
        // Several actions may have the same option.
        let options: Vec<_> = action.options.iter().filter(|option| !keys.contains(option)).collect();
        keys.extend(options);
    }
    keys
}

/// Reads an entry. Returns `None` if it has no valid name.
pub fn read(value: &Value, names: &Names<'_>, problems: &mut Problems<'_>) -> Option<Draft> {
    let object = Object::read(value, "an entry", &keys(), problems)?;
    let name = object.require("name", problems).and_then(|value| {
        let name = fields::string(value, "the name of an entry", problems)?;
        fields::check_entry_name(name, value.span.start, problems).then(|| name.to_owned())
    });
    let policy_keys = POLICIES.map(|policy| policy.key);
    let action_keys = ACTIONS.map(|action| action.key);
    let policy_members = object.one_of(&policy_keys, "a run-policy", problems);
    let action_members = object.one_of(&action_keys, "an action", problems);
    let kind_of = |member: &KeyValue| ACTIONS.iter().find(|action| action.key == member.key);
    let action_kinds: Vec<&ActionKind> = action_members.iter().filter_map(|member| kind_of(member)).collect();
    check_options(&object, &action_kinds, problems);
    check_finally(&object, &action_kinds, problems);
    let mut context = Context::new(names, problems);
    // All of several policies or actions are read, so that the problems of each are found at once.
    let mut policies = Vec::new();
    for member in policy_members {
        let kind = POLICIES.iter().find(|policy| policy.key == member.key);
        policies.push(kind.and_then(|kind| (kind.parse)(member, &mut context)));
    }
    let mut actions = Vec::new();
    for (kind, member) in action_kinds.iter().zip(action_members) {
        actions.push((kind.parse)(member, &object, &mut context));
    }
    // The action is forgotten or misspelt, so its options show what it is.
    let of_shell = |option: &&str| ACTIONS[0].options.contains(option);
    if action_kinds.is_empty()
        && options().filter(|option| object.get(option).is_some()).all(|option| of_shell(&option))
    {
        commands::options(&object, &mut context);
    }
    let (mentions, membership) = context.into_noted();
    let only = |kinds: &[&ActionKind]| if let [kind] = kinds { Some(kind.key) } else { None };
    Some(Draft {
        name: name?,
        policy: policies.pop().flatten().filter(|_| policies.is_empty()),
        action: actions.pop().flatten().filter(|_| actions.is_empty()),
        kind: only(&action_kinds),
        mentions,
        membership,
    })
}

/// Checks that every option belongs to one of the actions.
fn check_options(object: &Object<'_>, chosen: &[&ActionKind], problems: &mut Problems<'_>) {
    if chosen.is_empty() {
        return;
    }
    let is_of_none = |option: &&str| !chosen.iter().any(|kind| kind.options.contains(option));
    for member in options().filter(is_of_none).filter_map(|option| object.member(option)) {
        let kinds = ACTIONS.iter().filter(|kind| kind.options.contains(&member.key.as_str())).map(|kind| kind.key);
        let kinds: Vec<&str> = kinds.collect();
        let rest: Vec<&str> = kinds.iter().copied().filter(|kind| !commands::KEYS.contains(kind)).collect();
        let kinds = match (kinds.len() - rest.len() == commands::KEYS.len(), &rest[..]) {
            (true, []) => "a command".to_owned(),
            (true, rest) => format!("a command, {}", suggest::list(rest, "or")),
            (false, _) => suggest::list(&kinds, "or"),
        };
        problems.add(member.at, format!("{:?} goes only with {kinds}", member.key));
    }
}

/// Checks that nothing is combined with `"finally"` that needs a run that goes on.
fn check_finally(object: &Object<'_>, chosen: &[&ActionKind], problems: &mut Problems<'_>) {
    let Some(finally) = object.member("finally") else { return };
    if !chosen.is_empty() && !chosen.iter().any(|action| commands::KEYS.contains(&action.key)) {
        problems.add(finally.at, "\"finally\" goes only with a command: when it runs, the run has ended");
    }
    for (key, why) in [
        ("ready", "nothing starts when the run has ended"),
        ("service", "the run waits for its exit"),
        ("retries", "the end of a run waits for one attempt only"),
    ] {
        if let Some(member) = object.member(key) {
            problems.add(member.at, format!("{key:?} does not go with \"finally\": {why}"));
        }
    }
}

fn at(member: &KeyValue, context: &mut Context<'_, '_>) -> Option<Policy> {
    let time = fields::time(&member.value, "\"at\"", context.problems)?;
    Some(Policy::At(time.as_micros() as u64))
}

fn poke(member: &KeyValue, context: &mut Context<'_, '_>) -> Option<Policy> {
    fields::only_true(member, context.problems).map(|()| Policy::Poke)
}

fn trigger(member: &KeyValue, context: &mut Context<'_, '_>) -> Option<Policy> {
    declared_trigger(&member.value, context).map(Policy::Trigger)
}

fn finally(member: &KeyValue, context: &mut Context<'_, '_>) -> Option<Policy> {
    fields::only_true(member, context.problems).map(|()| Policy::Finally)
}

fn notify(member: &KeyValue, _: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let ValueKind::Object(_) = member.value.kind else {
        return declared_trigger(&member.value, context).map(|trigger| Action::Notify { trigger, data: None });
    };
    let object = Object::read(&member.value, "\"notify\"", &NOTIFY_KEYS, context.problems)?;
    let trigger = object.require("trigger", context.problems).and_then(|value| declared_trigger(value, context));
    let data = transposed(object.get("data").map(|value| meet::data(value, context)))?;
    Some(Action::Notify { trigger: trigger?, data })
}

fn kill(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let signal = match object.get("signal") {
        None => Some(Signal::TERM),
        Some(value) => fields::signal(value, "\"signal\"", context.problems),
    };
    let entry = fields::string(&member.value, "\"kill\"", context.problems)?.to_owned();
    context.mention(member.value.span.start, entry.clone(), Role::Kill);
    Some(Action::Kill { entry, signal: signal? })
}

fn end(member: &KeyValue, _: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let verdict = word(&member.value, "\"end\"", &VERDICTS, context.problems)?;
    Some(Action::End { verdict })
}
