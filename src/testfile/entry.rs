//! The parser of an entry, with the tables of run-policies and actions.
//!
//! A new run-policy or action is one row in [`POLICIES`] or [`ACTIONS`] with its parser. The keys that an entry may have,
//! and the messages that list them, come from these tables.

use std::collections::BTreeMap;

use super::context::{Context, ENV_VALUE, Names, Used, declared_trigger, resources, template};
use super::draft::{Draft, Role};
use super::fields::{self, Object, transposed, word};
use super::json::{KeyValue, Value, ValueKind};
use super::meet;
use super::problem::Problems;
use super::{faults, ready, suggest};
use crate::machine::{Exit, Signal};
use crate::wire::{Action, After, Expect, Policy, Shell, Verdict};

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
    PolicyKind { key: "after", parse: after },
    PolicyKind { key: "finally", parse: finally },
];

/// All actions.
pub const ACTIONS: [ActionKind; 12] = [
    ActionKind {
        key: "shell",
        options: &["expect", "service", "ready", "env", "cwd", "timeout", "use_resources", "collect"],
        parse: shell,
    },
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

/// The keys of `"after"` as an object.
pub const AFTER_KEYS: [&str; 3] = ["entry", "exit", "ready"];

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
        command(None, &object, &mut context);
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
        let kinds = suggest::list(&kinds.collect::<Vec<_>>(), "or");
        problems.add(member.at, format!("{:?} goes only with {kinds}", member.key));
    }
}

/// Checks that nothing is combined with `"finally"` that needs a run that goes on.
fn check_finally(object: &Object<'_>, chosen: &[&ActionKind], problems: &mut Problems<'_>) {
    let Some(finally) = object.member("finally") else { return };
    if !chosen.is_empty() && chosen.iter().all(|action| action.key != "shell") {
        problems.add(finally.at, "\"finally\" goes only with \"shell\": when it runs, the run has ended");
    }
    for (key, why) in [("ready", "nothing starts when the run has ended"), ("service", "the run waits for its exit")] {
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

fn after(member: &KeyValue, context: &mut Context<'_, '_>) -> Option<Policy> {
    let value = &member.value;
    let (entry, exit, ready) = match &value.kind {
        ValueKind::String(_) => (Some(value), None, None),
        ValueKind::Object(_) => {
            let object = Object::read(value, "\"after\"", &AFTER_KEYS, context.problems)?;
            (object.require("entry", context.problems), object.get("exit"), object.member("ready"))
        }
        _ => return fields::mismatch(value, "\"after\" is the name of an entry or an object", context.problems),
    };
    if let Some(ready) = ready.filter(|_| exit.is_some()) {
        let message = "\"ready\" does not go with \"exit\": an entry runs either when the other one is ready or when it \
                       has exited";
        context.problems.add(ready.at, message);
    }
    let exit = transposed(exit.map(|value| fields::exit(value, "\"exit\"", context.problems)));
    let ready = transposed(ready.map(|member| fields::only_true(member, context.problems)));
    let entry = entry?;
    let name = fields::string(entry, "the entry of \"after\"", context.problems)?.to_owned();
    let role = Role::After { exit: exit.flatten(), ready: ready.flatten().is_some() };
    context.mention(entry.span.start, name.clone(), role);
    Some(Policy::After(After { entry: name, exit: exit?, ready: ready?.is_some() }))
}

fn finally(member: &KeyValue, context: &mut Context<'_, '_>) -> Option<Policy> {
    fields::only_true(member, context.problems).map(|()| Policy::Finally)
}

fn notify(member: &KeyValue, _: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    declared_trigger(&member.value, context).map(|trigger| Action::Notify { trigger })
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

fn shell(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    command(Some(&member.value), object, context)
}

/// Reads a command with its options. `None` instead of a command: reads only the options, for their problems.
fn command(value: Option<&Value>, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let use_resources = object.get("use_resources").map_or(Some(Used::default()), |value| resources(value, context));
    let used = use_resources.as_ref();
    let command = value.and_then(|value| template(value, "\"shell\"", used, context));
    let cwd = object.get("cwd").map(|value| template(value, "\"cwd\"", used, context));
    let env = object.get("env").map_or(Some(BTreeMap::new()), |value| env(value, used, context));
    let service = object.member("service").map(|member| fields::only_true(member, context.problems));
    let usual = if service.is_some() { Expect::Of(Vec::new()) } else { Expect::default() };
    let expect = object.get("expect").map_or(Some(usual), |value| expect(value, context.problems));
    let ready = object.get("ready").map(|value| ready::read(value, used, context));
    let timeout = object.get("timeout").map(|value| fields::time_above_zero(value, "\"timeout\"", context.problems));
    let collect = object.get("collect").map_or(Some(Vec::new()), |value| collect(value, context.problems));
    Some(Action::Shell(Box::new(Shell {
        command: command?,
        expect: expect?,
        service: transposed(service)?.is_some(),
        ready: transposed(ready)?,
        env: env?,
        cwd: transposed(cwd)?,
        timeout: transposed(timeout)?.map(|time| time.as_micros() as u64),
        use_resources: use_resources?.into_listed(),
        collect: collect?,
    })))
}

fn env(value: &Value, used: Option<&Used>, context: &mut Context<'_, '_>) -> Option<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    let mut good = true;
    for member in fields::members(value, "\"env\"", context.problems)? {
        if member.key.is_empty() || member.key.contains(['=', '\0']) {
            let message = format!("{:?} cannot name an environment variable", member.key);
            context.problems.add(member.at, message);
        }
        match template(&member.value, ENV_VALUE, used, context) {
            Some(text) => _ = env.insert(member.key.clone(), text),
            None => good = false,
        }
    }
    good.then_some(env)
}

fn expect(value: &Value, problems: &mut Problems<'_>) -> Option<Expect> {
    match &value.kind {
        ValueKind::String(text) if text == "any" => Some(Expect::Any),
        ValueKind::Number(_) => fields::exit(value, "\"expect\"", problems).map(|exit| Expect::Of(vec![exit])),
        ValueKind::List(items) if items.is_empty() => {
            problems.add(value.span.start, "\"expect\" is an empty list: the command could never pass");
            None
        }
        ValueKind::List(items) => {
            let exits: Vec<Option<Exit>> =
                items.iter().map(|item| fields::exit(item, "an item of \"expect\"", problems)).collect();
            exits.into_iter().collect::<Option<_>>().map(Expect::Of)
        }
        kind => {
            let expected = "\"expect\" is a number, \"any\" or a list such as [0, 3, \"SIGTERM\"]";
            if let ValueKind::String(text) = kind {
                let number = text.parse::<u8>().map(|number| format!(": write {number} without quotes"));
                let signal = || Signal::from_name(text).map(|_| format!(": write [{text:?}]")).unwrap_or_default();
                problems.add(
                    value.span.start,
                    format!("{expected}, found {text:?}{}", number.unwrap_or_else(|_| signal())),
                );
                return None;
            }
            fields::mismatch(value, expected, problems)
        }
    }
}

fn collect(value: &Value, problems: &mut Problems<'_>) -> Option<Vec<String>> {
    let items = fields::list(value, "\"collect\"", problems)?;
    let patterns: Vec<Option<String>> = items.iter().map(|item| pattern(item, problems)).collect();
    patterns.into_iter().collect()
}

fn pattern(value: &Value, problems: &mut Problems<'_>) -> Option<String> {
    let text = fields::string(value, "a pattern of \"collect\"", problems)?;
    let fault = if text.is_empty() {
        "is empty".to_owned()
    } else if text.contains('\0') {
        "contains a NUL character".to_owned()
    } else if text.starts_with('/') || text.split('/').any(|part| part == "..") {
        "leaves the directory of the entry: write a relative path without \"..\"".to_owned()
    } else if let Err(error) = glob::Pattern::new(text) {
        format!("is not valid: {}", error.msg)
    } else {
        return Some(text.to_owned());
    };
    problems.add(value.span.start, format!("the pattern {text:?} {fault}"));
    None
}
