//! The state that the parsers of one entry share: the names that the test declares, and what the entry requires.
//!
//! This file owns the rules for texts with variables, because every action has such texts.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::bounds::{COMMAND_MAX, FILE_MAX, VARIABLES_MAX};
use super::draft::{Mention, Role};
use super::fields::{self, KnownNames};
use super::json::{Value, ValueKind};
use super::meetings::{Meet, Membership};
use super::patterns::Patterns;
use super::problem::Problems;
use crate::variables::{self, Segment, TemplateError, Variable};

/// The declarations of the test that every entry may name.
pub struct Names<'a> {
    /// Its triggers.
    pub triggers: KnownNames<'a>,
    /// Its resources.
    pub resources: KnownNames<'a>,
    /// The resources of the files that its entries run, by their paths.
    pub files: BTreeMap<String, String>,
    /// Its groups, barriers and syncs.
    pub meet: &'a Meet,
    /// The regular expressions that were read.
    pub patterns: Patterns,
    /// The number of variables that may still follow.
    pub variables: Cell<usize>,
    /// The bytes for which groups in texts may still stand.
    pub group_bytes: Cell<usize>,
}

/// The state that the parsers of one entry share.
pub struct Context<'a, 'p> {
    /// The declarations of the test.
    pub names: &'a Names<'a>,
    /// The problems of the file.
    pub problems: &'a mut Problems<'p>,
    mentions: Vec<Mention>,
    membership: Option<Membership>,
}

impl<'a, 'p> Context<'a, 'p> {
    /// Returns the context of an entry that was not read yet.
    pub fn new(names: &'a Names<'a>, problems: &'a mut Problems<'p>) -> Context<'a, 'p> {
        Context { names, problems, mentions: Vec::new(), membership: None }
    }

    /// Notes that the entry names another entry or a slave, at the byte `at`.
    pub fn mention(&mut self, at: usize, name: String, role: Role) {
        self.mentions.push(Mention { at, name, role });
    }

    /// Notes that the entry's slave must be a member of a meeting.
    pub fn require(&mut self, membership: Membership) {
        self.membership = Some(membership);
    }

    /// Returns the names that the entry mentions, and the meeting of which its slave must be a member.
    pub fn into_noted(self) -> (Vec<Mention>, Option<Membership>) {
        (self.mentions, self.membership)
    }
}

/// Reads the name of a trigger that the test declares.
pub fn declared_trigger(value: &Value, context: &mut Context<'_, '_>) -> Option<String> {
    fields::known_name(value, "trigger", &context.names.triggers, context.problems).map(|(name, _)| name.to_owned())
}

/// The resources that an entry uses.
#[derive(Default)]
pub struct Used {
    listed: Vec<String>,
    /// The same names, to look them up.
    set: BTreeSet<String>,
}

impl Used {
    /// Adds a resource, unless it is there.
    pub fn add(&mut self, name: &str) {
        if self.set.insert(name.to_owned()) {
            self.listed.push(name.to_owned());
        }
    }

    /// Returns their names, in the order of the file.
    pub fn into_listed(self) -> Vec<String> {
        self.listed
    }
}

/// Reads `"use_resources"`.
pub fn resources(value: &Value, context: &mut Context<'_, '_>) -> Option<Used> {
    let mut used = Used::default();
    let mut good = true;
    for item in fields::list(value, "\"use_resources\"", context.problems)? {
        match fields::known_name(item, "resource", &context.names.resources, context.problems) {
            Some((name, _)) if used.set.insert(name.to_owned()) => used.listed.push(name.to_owned()),
            Some((name, _)) => {
                context.problems.add(item.span.start, format!("the resource {name:?} appears twice"));
            }
            None => good = false,
        }
    }
    good.then_some(used)
}

/// Reads a text with variables. `used` are the resources that the entry may use, `None` if they are not known.
pub fn template(value: &Value, noun: &str, used: Option<&Used>, context: &mut Context<'_, '_>) -> Option<String> {
    let scalar = [ENV_VALUE, ARGUMENT].contains(&noun).then(|| scalar(value)).flatten();
    if scalar.is_some() {
        return scalar;
    }
    let text = fields::string(value, noun, context.problems)?;
    check_text(text, value.span.start, noun, context.problems)?;
    let text = expanded(value, text, Resources::Of(used), context)?;
    check_text(&text, value.span.start, noun, context.problems).map(|()| text)
}

/// Returns a number or a boolean as a program gets it.
fn scalar(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::Number(number) => Some(number.to_string()),
        ValueKind::Bool(bool) => Some(bool.to_string()),
        _ => None,
    }
}

/// Checks the variables in `text`, which is the string in `value`, and replaces those of groups. Returns `None` if one
/// could not be read.
pub fn expanded(value: &Value, text: &str, resources: Resources<'_>, context: &mut Context<'_, '_>) -> Option<String> {
    check_variables(value, text, resources, context).then(|| with_groups(text, context.names))
}

/// Returns a text with groups replaced by their members, or by variables for the addresses of these. What slaves get must
/// not name groups, because they do not know them.
fn with_groups(text: &str, names: &Names<'_>) -> String {
    let groups = &names.meet.groups;
    if !text.contains("@{group.") {
        return text.to_owned();
    }
    let mut made = String::with_capacity(text.len());
    for segment in variables::segments(text).filter_map(Result::ok) {
        match segment {
            Segment::Text(text) => made += &text.replace("@{", "@@{"),
            Segment::Variable { variable: Variable::Group(group), .. } => {
                match groups.members_of(&group) {
                    Some(members) => made += &members.join(" ").replace("@{", "@@{"),
                    // That is a problem already.
                    None => made += &group,
                }
            }
            Segment::Variable { variable: Variable::GroupAddresses(group), .. } => {
                let addresses = hosts(groups.members_of(&group).unwrap_or_default());
                let addresses: Vec<String> =
                    addresses.into_iter().map(|host| Variable::Address(host.to_owned()).to_string()).collect();
                made += &addresses.join(" ");
            }
            Segment::Variable { variable, .. } => made += &variable.to_string(),
        }
    }
    made
}

/// Returns the hosts of members, each once, in their order.
fn hosts(members: &[String]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let hosts = members.iter().map(|member| member.split_once('#').map_or(&**member, |(host, _)| host));
    hosts.filter(|host| seen.insert(*host)).collect()
}

/// The resources that a text may name.
#[derive(Clone, Copy)]
pub enum Resources<'a> {
    /// The resources that its entry uses; `None`: they are not known.
    Of(Option<&'a Used>),
    /// None, because only commands use resources.
    No,
}

/// Checks the variables in `text`, which is the string in `value`. Returns whether all of them could be read.
fn check_variables(value: &Value, text: &str, resources: Resources<'_>, context: &mut Context<'_, '_>) -> bool {
    let mut inside = context.problems.inside(&value.span, text);
    let mut good = true;
    for segment in variables::segments(text) {
        let (at, variable) = match segment {
            Ok(Segment::Text(_)) => continue,
            Ok(Segment::Variable { at, variable }) => (at, Ok(variable)),
            Err(error) => (error.at, Err(error)),
        };
        let place = inside.place(at);
        let left = context.names.variables.get();
        if left == 0 {
            context.problems.add(place, format!("a test has at most {VARIABLES_MAX} variables"));
            return false;
        }
        context.names.variables.set(left - 1);
        match variable {
            Ok(variable) => check_variable(place, variable, resources, context),
            Err(error) => {
                let message = with_suggestion(&error, context.problems).unwrap_or_else(|| error.to_string());
                context.problems.add(place, message);
                good = false;
            }
        }
    }
    good
}

/// Returns the message about an unknown variable that is similar to one that exists.
fn with_suggestion(error: &TemplateError, problems: &mut Problems<'_>) -> Option<String> {
    let inner = error.unknown.as_deref()?;
    let (named, property) = inner.rsplit_once('.').unzip();
    if let (Some(slave), Some("ip" | "host" | "addr")) = (named, property) {
        return Some(format!("unknown variable @{{{inner}}}: the address of a slave is @{{{slave}.address}}"));
    }
    let known = variables::known(named, named, named);
    let hint = problems.slip(&format!("@{{{inner}}}"), known.iter().map(String::as_str))?;
    Some(format!("unknown variable @{{{inner}}}{hint}"))
}

/// Checks that the system can pass a text to a command.
fn check_text(text: &str, at: usize, noun: &str, problems: &mut Problems<'_>) -> Option<()> {
    let message = if text.is_empty() && ![ENV_VALUE, ARGUMENT, LINE].contains(&noun) {
        format!("{noun} is empty")
    } else if text.len() > COMMAND_MAX {
        format!("{noun} is {} bytes long, at most {COMMAND_MAX} are allowed: ship a file as a resource", text.len())
    } else if text.contains('\0') {
        format!("{noun} contains a NUL character")
    } else {
        return Some(());
    };
    problems.add(at, message);
    None
}

/// Checks a variable at the byte `at`, as far as the whole test decides it, and notes the names that its slaves decide.
fn check_variable(at: usize, variable: Variable, resources: Resources<'_>, context: &mut Context<'_, '_>) {
    let is_addresses = matches!(variable, Variable::GroupAddresses(_));
    match variable {
        Variable::Pid(name) => context.mention(at, name, Role::Pid),
        Variable::Address(name) => context.mention(at, name, Role::Address),
        Variable::Path(name) => {
            let known = &context.names.resources;
            let message = match resources {
                _ if known.place(&name).is_none() => known.unknown("resource", &name, context.problems),
                Resources::Of(Some(used)) if !used.set.contains(&name) => {
                    format!("add {name:?} to \"use_resources\" of this entry")
                }
                Resources::No => "only a command uses resources".to_owned(),
                Resources::Of(_) => return,
            };
            context.problems.add(at, format!("@{{{name}.path}}: {message}"));
        }
        Variable::Group(group) | Variable::GroupAddresses(group) => {
            let groups = &context.names.meet.groups;
            let Some(members) = groups.members_of(&group) else {
                let message = groups.unknown(&group, context.problems);
                return context.problems.add(at, message);
            };
            let bytes: usize = members.iter().map(|member| member.len() + ".address".len() + 4).sum();
            let Some(left) = context.names.group_bytes.get().checked_sub(bytes) else {
                let message = format!("the groups in all texts of a test stand for at most {FILE_MAX} bytes");
                return context.problems.add(at, message);
            };
            context.names.group_bytes.set(left);
            if is_addresses {
                let hosts: Vec<String> = hosts(members).into_iter().map(str::to_owned).collect();
                hosts.into_iter().for_each(|host| context.mention(at, host, Role::Address));
            }
        }
        Variable::SlavePoke
        | Variable::SlavePid
        | Variable::SlaveName
        | Variable::SlaveIndex
        | Variable::SlaveCount
        | Variable::SlaveWorkdir
        | Variable::RunId => {}
    }
}

/// A line of a command in messages. It may be empty.
pub const LINE: &str = "a line";

/// An argument of a program in messages. It may be empty, a number or a boolean.
pub const ARGUMENT: &str = "an argument";

/// A value of the environment in messages. It may be empty, a number or a boolean.
pub const ENV_VALUE: &str = "a value of \"env\"";
