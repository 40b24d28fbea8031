//! One entry of a schedule: its name, and the tables of run-policies and actions.
//!
//! A new run-policy or action is one row in [`POLICIES`] or [`ACTIONS`] with its parser: the keys that an entry may
//! have, and the messages that list them, come from these tables.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::fields::{self, Known, Object};
use super::json::{Kind, Member, Value};
use super::meet::{self, Meet, Membership};
use super::problem::Problems;
use super::ready::{self, Patterns};
use super::{COMMAND_MAX, VARIABLES_MAX, suggest};
use crate::machine::{Exit, Signal};
use crate::variables::{self, Part, Variable};
use crate::wire::{Action, After, Entry, Expect, Policy, Shell, Verdict};

/// A run-policy: its key, and what reads the key's value.
pub struct PolicyKind {
    pub key: &'static str,
    parse: fn(&Member, &mut Context<'_, '_>) -> Option<Policy>,
}

/// An action: its key, the keys that may stand beside it, and what reads all of them.
pub struct ActionKind {
    pub key: &'static str,
    pub options: &'static [&'static str],
    parse: fn(&Member, &Object<'_>, &mut Context<'_, '_>) -> Option<Action>,
}

pub const POLICIES: [PolicyKind; 5] = [
    PolicyKind { key: "at", parse: at },
    PolicyKind { key: "poke", parse: poke },
    PolicyKind { key: "trigger", parse: trigger },
    PolicyKind { key: "after", parse: after },
    PolicyKind { key: "finally", parse: finally },
];

pub const ACTIONS: [ActionKind; 6] = [
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
];

/// The keys of `"after"` as an object.
pub const AFTER_KEYS: [&str; 3] = ["entry", "exit", "ready"];

/// The words for the verdict of the action `end`.
pub const VERDICTS: [(&str, Verdict); 2] = [("passed", Verdict::Passed), ("failed", Verdict::Failed)];

/// Every key that an entry may have.
pub fn keys() -> Vec<&'static str> {
    let mut keys = vec!["name"];
    keys.extend(POLICIES.iter().map(|policy| policy.key));
    for action in &ACTIONS {
        keys.push(action.key);
        // An option may go with several actions.
        let options: Vec<_> = action.options.iter().filter(|option| !keys.contains(option)).collect();
        keys.extend(options);
    }
    keys
}

/// What the test declares and every entry may name.
pub struct Names<'a> {
    pub triggers: Known<'a>,
    pub resources: Known<'a>,
    pub meet: &'a Meet,
    /// The regular expressions that were read.
    pub patterns: Patterns,
    /// How many variables may still follow.
    pub variables: Cell<usize>,
}

/// An entry as far as it could be read, and what it says about other entries and slaves: whether they exist is known
/// only where the schedule is used.
pub struct Draft {
    pub name: String,
    pub policy: Option<Policy>,
    pub action: Option<Action>,
    /// The key of its action, also when the rest of the action is wrong.
    pub kind: Option<&'static str>,
    pub mentions: Vec<Mention>,
    /// Whose slave must be a member.
    pub membership: Option<Membership>,
}

impl Draft {
    /// The entry, if all of it could be read.
    pub fn entry(&self) -> Option<Entry> {
        Some(Entry { name: self.name.clone(), policy: self.policy.clone()?, action: self.action.clone()? })
    }

    /// The resources that it uses.
    pub fn resources(&self) -> &[String] {
        match &self.action {
            Some(Action::Shell(shell)) => &shell.use_resources,
            _ => &[],
        }
    }

    /// Whether it says how it is known that it is ready.
    pub fn has_ready(&self) -> bool {
        matches!(&self.action, Some(Action::Shell(shell)) if shell.ready.is_some())
    }
}

/// A name of another entry or of a slave, and where it stands.
pub struct Mention {
    pub at: usize,
    pub name: String,
    pub role: Role,
}

/// What a mentioned name is meant for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The entry that this one runs after; with an exit it must have one, and to become ready it must say how.
    After {
        exit: Option<Exit>,
        ready: bool,
    },
    Kill,
    Pid,
    Address,
}

impl Role {
    /// The variable that mentions `name`, if one does.
    pub fn variable(self, name: &str) -> Option<Variable> {
        match self {
            Role::Pid => Some(Variable::Pid(name.to_owned())),
            Role::Address => Some(Variable::Address(name.to_owned())),
            Role::After { .. } | Role::Kill => None,
        }
    }
}

/// What the parsers of one entry share.
pub struct Context<'a, 'p> {
    pub names: &'a Names<'a>,
    mentions: Vec<Mention>,
    pub membership: Option<Membership>,
    pub problems: &'a mut Problems<'p>,
}

/// Reads an entry. `None` when it has no usable name.
pub fn read(value: &Value, names: &Names<'_>, problems: &mut Problems<'_>) -> Option<Draft> {
    let object = Object::read(value, "an entry", &keys(), problems)?;
    let name = object.require("name", problems).and_then(|value| {
        let name = fields::string(value, "the name of an entry", problems)?;
        fields::check_entry_name(name, value.span.start, problems).then(|| name.to_owned())
    });
    let policy_keys = POLICIES.map(|policy| policy.key);
    let action_keys = ACTIONS.map(|action| action.key);
    let policy_key = object.exactly_one(&policy_keys, "a run-policy", problems);
    let action_key = object.exactly_one(&action_keys, "an action", problems);
    let policy_kind = policy_key.and_then(|member| POLICIES.iter().find(|policy| policy.key == member.key));
    let action_kind = action_key.and_then(|member| ACTIONS.iter().find(|action| action.key == member.key));
    if let Some(action) = action_kind {
        check_options(&object, action, problems);
        if let Some(member) = object.member("finally").filter(|_| action.key != "shell") {
            problems.add(member.at, "\"finally\" goes only with \"shell\": when it runs, the run has ended");
        }
    }
    if policy_key.is_some_and(|policy| policy.key == "finally") {
        for (key, why) in
            [("ready", "nothing starts when the run has ended"), ("service", "the run waits for its exit")]
        {
            if let Some(member) = object.member(key) {
                problems.add(member.at, format!("{key:?} does not go with \"finally\": {why}"));
            }
        }
    }
    let mut context = Context { names, mentions: Vec::new(), membership: None, problems };
    let policy = policy_kind.zip(policy_key).and_then(|(kind, member)| (kind.parse)(member, &mut context));
    let action = action_kind.zip(action_key).and_then(|(kind, member)| (kind.parse)(member, &object, &mut context));
    let (mentions, membership) = (context.mentions, context.membership);
    Some(Draft { name: name?, policy, action, kind: action_kind.map(|kind| kind.key), mentions, membership })
}

/// Says which keys belong to other actions.
fn check_options(object: &Object<'_>, chosen: &ActionKind, problems: &mut Problems<'_>) {
    let mut options: Vec<&str> = ACTIONS.iter().flat_map(|kind| kind.options).copied().collect();
    options.retain(|option| !chosen.options.contains(option));
    for member in options.iter().filter_map(|option| object.member(option)) {
        let kinds = ACTIONS.iter().filter(|kind| kind.options.contains(&member.key.as_str())).map(|kind| kind.key);
        let kinds = suggest::list(&kinds.collect::<Vec<_>>(), "or");
        problems.add(member.at, format!("{:?} goes only with {kinds}", member.key));
    }
}

fn at(member: &Member, context: &mut Context<'_, '_>) -> Option<Policy> {
    let time = fields::time(&member.value, "\"at\"", context.problems)?;
    Some(Policy::At(time.as_micros() as u64))
}

fn poke(member: &Member, context: &mut Context<'_, '_>) -> Option<Policy> {
    fields::only_true(member, context.problems).map(|()| Policy::Poke)
}

fn trigger(member: &Member, context: &mut Context<'_, '_>) -> Option<Policy> {
    declared_trigger(&member.value, context).map(Policy::Trigger)
}

pub fn declared_trigger(value: &Value, context: &mut Context<'_, '_>) -> Option<String> {
    fields::known_name(value, "trigger", &context.names.triggers, context.problems).map(|(name, _)| name.to_owned())
}

fn after(member: &Member, context: &mut Context<'_, '_>) -> Option<Policy> {
    let value = &member.value;
    let (entry, exit, ready) = match &value.kind {
        Kind::String(_) => (value, None, None),
        Kind::Object(_) => {
            let object = Object::read(value, "\"after\"", &AFTER_KEYS, context.problems)?;
            (object.require("entry", context.problems)?, object.get("exit"), object.member("ready"))
        }
        _ => return fields::wrong(value, "\"after\" is the name of an entry or an object", context.problems),
    };
    let name = fields::string(entry, "the entry of \"after\"", context.problems)?.to_owned();
    if let Some(ready) = ready.filter(|_| exit.is_some()) {
        let why =
            "\"ready\" does not go with \"exit\": the entry runs either when the other is ready or when it has exited";
        context.problems.add(ready.at, why);
    }
    let exit = transposed(exit.map(|value| fields::exit(value, "\"exit\"", context.problems)));
    let ready = transposed(ready.map(|member| fields::only_true(member, context.problems)));
    let role = Role::After { exit: exit.flatten(), ready: ready.flatten().is_some() };
    context.mentions.push(Mention { at: entry.span.start, name: name.clone(), role });
    Some(Policy::After(After { entry: name, exit: exit?, ready: ready?.is_some() }))
}

fn finally(member: &Member, context: &mut Context<'_, '_>) -> Option<Policy> {
    fields::only_true(member, context.problems).map(|()| Policy::Finally)
}

fn notify(member: &Member, _: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    declared_trigger(&member.value, context).map(|trigger| Action::Notify { trigger })
}

fn kill(member: &Member, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let signal = match object.get("signal") {
        None => Some(Signal::TERM),
        Some(value) => fields::signal(value, "\"signal\"", context.problems),
    };
    let entry = fields::string(&member.value, "\"kill\"", context.problems)?.to_owned();
    context.mentions.push(Mention { at: member.value.span.start, name: entry.clone(), role: Role::Kill });
    Some(Action::Kill { entry, signal: signal? })
}

fn end(member: &Member, _: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let verdict = word(&member.value, "\"end\"", &VERDICTS, context.problems)?;
    Some(Action::End { verdict })
}

/// One of a few words.
pub fn word<T: Copy>(value: &Value, what: &str, words: &[(&str, T)], problems: &mut Problems<'_>) -> Option<T> {
    let keys: Vec<&str> = words.iter().map(|(key, _)| *key).collect();
    let expected = format!("{what} is {}", suggest::list(&keys, "or"));
    let Kind::String(text) = &value.kind else { return fields::wrong(value, &expected, problems) };
    let found = words.iter().find(|(key, _)| key == text);
    if found.is_none() {
        problems.add(value.span.start, format!("{expected}, found {text:?}"));
    }
    found.map(|(_, meaning)| *meaning)
}

fn shell(member: &Member, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let use_resources = object.get("use_resources").map_or(Some(Used::default()), |value| resources(value, context));
    let used = use_resources.as_ref();
    let command = template(&member.value, "\"shell\"", used, context);
    let cwd = object.get("cwd").map(|value| template(value, "\"cwd\"", used, context));
    let env = object.get("env").map_or(Some(BTreeMap::new()), |value| env(value, used, context));
    let service = object.member("service").map(|member| fields::only_true(member, context.problems));
    let unless_said = if service.is_some() { Expect::Of(Vec::new()) } else { Expect::default() };
    let expect = object.get("expect").map_or(Some(unless_said), |value| expect(value, context.problems));
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
        use_resources: use_resources?.listed,
        collect: collect?,
    })))
}

/// Absent is fine, wrong is not.
pub fn transposed<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

/// The resources that an entry uses.
#[derive(Default)]
pub struct Used {
    listed: Vec<String>,
    /// For looking up.
    set: BTreeSet<String>,
}

fn resources(value: &Value, context: &mut Context<'_, '_>) -> Option<Used> {
    let mut used = Used::default();
    let mut good = true;
    for item in fields::list(value, "\"use_resources\"", context.problems)? {
        match fields::known_name(item, "resource", &context.names.resources, context.problems) {
            Some((name, _)) if used.set.insert(name.to_owned()) => used.listed.push(name.to_owned()),
            Some((name, _)) => {
                context.problems.add(item.span.start, format!("the resource {name:?} stands here twice"));
            }
            None => good = false,
        }
    }
    good.then_some(used)
}

/// A text with variables. `used` are the resources that the entry may use, `None` if that is not known.
pub fn template(value: &Value, what: &str, used: Option<&Used>, context: &mut Context<'_, '_>) -> Option<String> {
    let text = fields::string(value, what, context.problems)?;
    check_text(text, value.span.start, what, context.problems)?;
    check_variables(value, text, Resources::Of(used), context).then(|| text.to_owned())
}

/// Which resources a text may name.
#[derive(Clone, Copy)]
pub enum Resources<'a> {
    /// Those that its entry uses; `None`: it is not known which.
    Of(Option<&'a Used>),
    /// Its action uses none.
    No,
}

/// Whether `text`, which is `value`, is a template of variables that there are.
pub fn check_variables(value: &Value, text: &str, resources: Resources<'_>, context: &mut Context<'_, '_>) -> bool {
    let mut inside = context.problems.inside(&value.span);
    let parts = match variables::parse(text) {
        Ok(parts) => parts,
        Err(error) => {
            context.problems.add(inside.place(error.at), error.message);
            return false;
        }
    };
    for part in parts {
        if let Part::Variable { at, variable } = part {
            let left = context.names.variables.get();
            if left == 0 {
                context.problems.add(inside.place(at), format!("a test has at most {VARIABLES_MAX} variables"));
                return false;
            }
            context.names.variables.set(left - 1);
            mention(inside.place(at), variable, resources, context);
        }
    }
    true
}

/// What the system can hand to a command.
fn check_text(text: &str, at: usize, what: &str, problems: &mut Problems<'_>) -> Option<()> {
    let why = if text.is_empty() && what != ENV_VALUE {
        format!("{what} is empty")
    } else if text.len() > COMMAND_MAX {
        format!("{what} is {} bytes long, at most {COMMAND_MAX} are allowed: ship a file as a resource", text.len())
    } else if text.contains('\0') {
        format!("{what} holds a NUL character")
    } else {
        return Some(());
    };
    problems.add(at, why);
    None
}

fn mention(at: usize, variable: Variable, resources: Resources<'_>, context: &mut Context<'_, '_>) {
    match variable {
        Variable::Pid(name) => context.mentions.push(Mention { at, name, role: Role::Pid }),
        Variable::Address(name) => context.mentions.push(Mention { at, name, role: Role::Address }),
        Variable::Path(name) => {
            let known = &context.names.resources;
            let why = match resources {
                _ if known.place(&name).is_none() => known.unknown("resource", &name, context.problems),
                Resources::Of(Some(used)) if !used.set.contains(&name) => {
                    format!("add {name:?} to \"use_resources\" of this entry")
                }
                Resources::No => "only a \"shell\" entry uses resources".to_owned(),
                Resources::Of(_) => return,
            };
            context.problems.add(at, format!("@{{{name}.path}}: {why}"));
        }
        Variable::SlavePoke | Variable::SlavePid | Variable::SlaveName | Variable::SlaveWorkdir => {}
    }
}

/// What a value of the environment is called in messages.
const ENV_VALUE: &str = "a value of \"env\"";

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
        Kind::String(text) if text == "any" => Some(Expect::Any),
        Kind::Number(_) => fields::exit(value, "\"expect\"", problems).map(|exit| Expect::Of(vec![exit])),
        Kind::List(items) if items.is_empty() => {
            problems.add(value.span.start, "\"expect\" is an empty list: the command could never pass");
            None
        }
        Kind::List(items) => {
            let exits: Vec<Option<Exit>> =
                items.iter().map(|item| fields::exit(item, "an item of \"expect\"", problems)).collect();
            exits.into_iter().collect::<Option<_>>().map(Expect::Of)
        }
        _ => {
            let expected = "\"expect\" is a number, \"any\" or a list such as [0, 3, \"SIGTERM\"]";
            fields::wrong(value, expected, problems)
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
    let why = if text.is_empty() {
        "is empty".to_owned()
    } else if text.contains('\0') {
        "holds a NUL character".to_owned()
    } else if text.starts_with('/') || text.split('/').any(|part| part == "..") {
        "leads out of the directory of the entry: it is relative and has no \"..\"".to_owned()
    } else if let Err(error) = glob::Pattern::new(text) {
        format!("is no pattern: {}", error.msg)
    } else {
        return Some(text.to_owned());
    };
    problems.add(value.span.start, format!("the pattern {text:?} {why}"));
    None
}
