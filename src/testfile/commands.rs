//! The commands of entries, with their options: `shell`, `script`, `exec` and `file`.
//!
//! This file owns what each form means: which program gets which text. All of them become one [`Shell`].

use std::collections::BTreeMap;

use super::bounds::{COMMAND_MAX, RETRIES_MAX};
use super::context::{ARGUMENT, Context, ENV_VALUE, LINE, Used, resources, template};
use super::fields::{self, Object, transposed};
use super::json::{KeyValue, Value, ValueKind};
use super::problem::Problems;
use super::ready;
use crate::machine::{Exit, Signal};
use crate::wire::{Action, Expect, Retries, Shell};

/// The keys of the forms of a command.
pub const KEYS: [&str; 4] = ["shell", "script", "exec", "file"];

/// The options of a program with its arguments.
pub const OPTIONS: [&str; 9] =
    ["expect", "service", "ready", "env", "cwd", "timeout", "retries", "use_resources", "collect"];

/// The options of a text that an interpreter runs.
pub const INTERPRETED_OPTIONS: [&str; 10] =
    ["expect", "service", "ready", "env", "cwd", "timeout", "retries", "use_resources", "collect", "interpreter"];

/// The keys of `"retries"` as an object.
pub const RETRIES_KEYS: [&str; 2] = ["times", "delay"];

/// What runs a script unless the test names something else: a command that fails ends it.
const SCRIPT_INTERPRETER: [&str; 3] = ["/bin/sh", "-e", "-c"];

/// Reads `"shell"`: a command line, or a list of lines.
pub fn shell(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let options = options(object, context);
    let command = text(&member.value, "\"shell\"", options.used.as_ref(), context);
    options.command(vec![command?], None)
}

/// Reads `"script"`: as `"shell"`, but a line that fails ends it.
pub fn script(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let options = options(object, context);
    let command = text(&member.value, "\"script\"", options.used.as_ref(), context);
    options.command(vec![command?], Some(SCRIPT_INTERPRETER.map(str::to_owned).to_vec()))
}

/// Reads `"exec"`: a program and its arguments.
pub fn exec(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let options = options(object, context);
    let command = words(&member.value, "\"exec\"", options.used.as_ref(), context);
    options.command(command?, Some(Vec::new()))
}

/// Reads `"file"`: the path of a program beside the test, or a list of it and its arguments. The file is shipped.
pub fn file(member: &KeyValue, object: &Object<'_>, context: &mut Context<'_, '_>) -> Option<Action> {
    let mut options = options(object, context);
    let value = &member.value;
    let (path, arguments) = match &value.kind {
        ValueKind::List(items) => (items.first(), items.get(1..).unwrap_or_default()),
        _ => (Some(value), &[][..]),
    };
    let Some(path) = path else {
        context.problems.add(value.span.start, "\"file\" is an empty list: it begins with the path of a file");
        return None;
    };
    let path = fields::string(path, "\"file\"", context.problems);
    let used = options.used.as_ref();
    let arguments: Vec<_> = arguments.iter().map(|item| template(item, ARGUMENT, used, context)).collect();
    // A file that cannot be shipped is a problem of its own.
    let resource = context.names.files.get(path?)?.clone();
    let mut command = vec![format!("@{{{resource}.path}}")];
    command.extend(arguments.into_iter().collect::<Option<Vec<_>>>()?);
    if let Some(used) = &mut options.used {
        used.add(&resource);
    }
    options.command(command, Some(Vec::new()))
}

/// The options of a command, as far as they could be read.
pub struct Options {
    used: Option<Used>,
    interpreter: Option<Option<Vec<String>>>,
    rest: Option<Shell>,
}

impl Options {
    /// Returns the action for a command that `usual` runs unless the entry names an interpreter.
    fn command(self, command: Vec<String>, usual: Option<Vec<String>>) -> Option<Action> {
        let interpreter = self.interpreter?.or(usual);
        let use_resources = self.used?.into_listed();
        Some(Action::Shell(Box::new(Shell { command, interpreter, use_resources, ..self.rest? })))
    }
}

/// Reads the options of a command.
pub fn options(object: &Object<'_>, context: &mut Context<'_, '_>) -> Options {
    let used = object.get("use_resources").map_or(Some(Used::default()), |value| resources(value, context));
    let rest = rest(object, used.as_ref(), context);
    let interpreter = object.get("interpreter").map(|value| words(value, "\"interpreter\"", used.as_ref(), context));
    Options { interpreter: transposed(interpreter), rest, used }
}

/// Reads the options except the interpreter and the resources.
fn rest(object: &Object<'_>, used: Option<&Used>, context: &mut Context<'_, '_>) -> Option<Shell> {
    let cwd = object.get("cwd").map(|value| template(value, "\"cwd\"", used, context));
    let env = object.get("env").map_or(Some(BTreeMap::new()), |value| env(value, used, context));
    let service = object.member("service").map(|member| fields::only_true(member, context.problems));
    let usual = if service.is_some() { Expect::Of(Vec::new()) } else { Expect::default() };
    let expect = object.get("expect").map_or(Some(usual), |value| expect(value, context.problems));
    let ready = object.get("ready").map(|value| ready::read(value, used, context));
    let timeout = object.get("timeout").map(|value| fields::time_above_zero(value, "\"timeout\"", context.problems));
    let collect = object.get("collect").map_or(Some(Vec::new()), |value| collect(value, context.problems));
    let again = object.member("retries");
    if let Some(again) = again.filter(|_| service.is_some()) {
        let message = "\"retries\" does not go with \"service\": a service that exits has failed";
        context.problems.add(again.at, message);
    }
    let retries = transposed(again.map(|member| retries(&member.value, context.problems)));
    Some(Shell {
        expect: expect?,
        service: transposed(service)?.is_some(),
        ready: transposed(ready)?,
        env: env?,
        cwd: transposed(cwd)?,
        timeout: transposed(timeout)?.map(|time| time.as_micros() as u64),
        collect: collect?,
        retries: retries?,
        ..Shell::default()
    })
}

/// Reads a text: a string, or a list of lines.
fn text(value: &Value, noun: &str, used: Option<&Used>, context: &mut Context<'_, '_>) -> Option<String> {
    let ValueKind::List(items) = &value.kind else { return template(value, noun, used, context) };
    let lines: Vec<_> = items.iter().map(|line| template(line, LINE, used, context)).collect();
    let lines = lines.into_iter().collect::<Option<Vec<_>>>()?;
    let is_blank = lines.iter().all(|line| line.trim().is_empty());
    within_command_max(lines, value, noun, is_blank, context).map(|lines| lines.join("\n"))
}

/// Reads a program and its arguments.
fn words(value: &Value, noun: &str, used: Option<&Used>, context: &mut Context<'_, '_>) -> Option<Vec<String>> {
    let items = match &value.kind {
        ValueKind::List(items) => items,
        _ => return fields::mismatch(value, &format!("{noun} is a list of strings"), context.problems),
    };
    let words: Vec<_> = items.iter().map(|word| template(word, ARGUMENT, used, context)).collect();
    let words = words.into_iter().collect::<Option<Vec<_>>>()?;
    let has_no_program = words.first().is_none_or(String::is_empty);
    within_command_max(words, value, noun, has_no_program, context)
}

/// Returns the parts of a command, unless they are too long together or `is_empty` is set.
fn within_command_max(
    parts: Vec<String>,
    value: &Value,
    noun: &str,
    is_empty: bool,
    context: &mut Context<'_, '_>,
) -> Option<Vec<String>> {
    let bytes: usize = parts.iter().map(|part| part.len() + 1).sum();
    if is_empty {
        context.problems.add(value.span.start, format!("{noun} is empty"));
    } else if bytes > COMMAND_MAX {
        context
            .problems
            .add(value.span.start, format!("{noun} is {bytes} bytes long, at most {COMMAND_MAX} are allowed"));
    }
    (!is_empty && bytes <= COMMAND_MAX).then_some(parts)
}

/// Reads `"retries"`: a number, or an object with a delay.
fn retries(value: &Value, problems: &mut Problems<'_>) -> Option<Retries> {
    let times = |value: &Value, problems: &mut Problems<'_>| {
        fields::integer(value, "the number of retries", 1..=RETRIES_MAX, problems).map(|times| times as u32)
    };
    match &value.kind {
        ValueKind::Number(_) => times(value, problems).map(|times| Retries { times, delay: 0 }),
        ValueKind::Object(_) => {
            let object = Object::read(value, "\"retries\"", &RETRIES_KEYS, problems)?;
            let delay = object.get("delay").map(|value| fields::time(value, "\"delay\"", problems));
            let times = object.require("times", problems).and_then(|value| times(value, problems));
            let delay = transposed(delay)?.map_or(0, |delay| delay.as_micros() as u64);
            Some(Retries { times: times?, delay })
        }
        _ => fields::mismatch(value, "\"retries\" is a number or an object", problems),
    }
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
