//! The configuration files of `arete controller` and `arete slave`. A key is the name of an option.
//!
//! A key of the file becomes an argument, and the command line is parsed again with it. Therefore the parsers of the
//! options check the file too. An error names the file, the line and the key. If both give an option, the value on the
//! command line must be used.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use arete::reactor::plain;
use arete::testfile::json::{self, KeyValue, ValueKind};
use arete::testfile::{Problems, suggest};
use clap::builder::ArgAction;
use clap::error::{ContextKind, ContextValue, ErrorKind as Complaint};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};

use arete::testfile::BYTE_ORDER_MARK;

use crate::cli::args::{self, Arguments, Sub};
use crate::cli::error::Error;
use crate::cli::owned;
use crate::cli::service::labels;
use crate::cli::service::origin::Origin;
use crate::cli::source::{self, Takes, Unread};

/// The subcommands that have a configuration file, and the file of each.
const FILES: [(&str, &str); 2] = [("controller", "/etc/arete/controller.json"), ("slave", "/etc/arete/slave.json")];

/// The longest of these files, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// The options that a file cannot give.
const COMMAND_LINE_ONLY: [&str; 5] = ["config", "check", "heal", "help", "version"];

/// Options that exclude each other. If the command line gives one, the other is ignored in the file.
const EXCLUSIVE: [[&str; 2]; 1] = [["tls", "insecure"]];

/// Why the command line or the configuration file was rejected.
#[derive(Debug)]
pub enum ConfigError {
    CommandLine(clap::Error),
    File(Vec<Error>),
}

/// Each problem is a line.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::CommandLine(error) => f.write_str(&first_line(error)),
            ConfigError::File(problems) => {
                f.write_str(&problems.iter().map(Error::to_string).collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<clap::Error> for ConfigError {
    fn from(error: clap::Error) -> ConfigError {
        ConfigError::CommandLine(error)
    }
}

/// Parses the command line and the configuration file of its subcommand. Fails if one of them is wrong. With `--check`,
/// problems of the file are put in the origin of the options instead.
pub fn parse(given: &[OsString]) -> Result<Arguments, ConfigError> {
    if let Some(arguments) = parse_script_command(given) {
        return Ok(arguments);
    }
    let mut command = with_signs(Arguments::command());
    if let Some(arg) = without_value(&command, given) {
        let mut error = clap::Error::new(Complaint::InvalidValue).with_cmd(&command);
        error.insert(ContextKind::InvalidArg, ContextValue::String(arg));
        error.insert(ContextKind::InvalidValue, ContextValue::String(String::new()));
        return Err(error.into());
    }
    let matches = command.try_get_matches_from_mut(given)?;
    let Some((name, own)) = matches.subcommand() else { return Ok(Arguments::from_arg_matches(&matches)?) };
    if !FILES.iter().any(|(sub, _)| *sub == name) {
        return Ok(Arguments::from_arg_matches(&matches)?);
    }
    let (file, text) = read(name, own);
    let mut origin = Origin::of(file, matches!(text, Ok(Some(_))));
    let mut more = Vec::new();
    match text {
        Ok(Some(text)) => {
            command.build();
            let Some(options) = command.find_subcommand(name) else {
                return Ok(Arguments::from_arg_matches(&matches)?);
            };
            more = Reader { command: &command, name, options, own }.arguments(&text, &mut origin);
        }
        Ok(None) => {}
        Err(error) => {
            origin.problems.push(error);
            origin.set_broken();
        }
    }
    if origin.is_broken() {
        // Without the content of the file, other errors would be misleading.
        return Err(ConfigError::File(origin.problems));
    }
    let matches = if more.is_empty() { matches } else { parse_with(&command, given, more, &mut origin)? };
    if let Some((name, own)) = matches.subcommand()
        && let Some(options) = command.find_subcommand(name)
    {
        origin.set_values(values(options, own));
    }
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    let (slot, check) = match &mut arguments.subcommand {
        Sub::Slave(options) => (&mut options.origin, options.configuration.check),
        Sub::Controller(options) => (&mut options.origin, options.configuration.check),
        _ => return Ok(arguments),
    };
    if !check && !origin.problems.is_empty() {
        return Err(ConfigError::File(origin.problems));
    }
    *slot = origin;
    Ok(arguments)
}

/// Parses the command line of a subcommand that scripts call in loops. Returns `None` if that fails, because the message
/// needs all subcommands.
fn parse_script_command(given: &[OsString]) -> Option<Arguments> {
    let command = with_signs(args::of_script_command(given.get(1)?.to_str()?)?);
    Arguments::from_arg_matches(&command.try_get_matches_from(given).ok()?).ok()
}

/// Returns an option of numbers that is followed by another option instead of its value.
fn without_value(mut command: &Command, given: &[OsString]) -> Option<String> {
    let words = given.iter().map(|word| word.to_str().unwrap_or_default()).take_while(|word| *word != "--");
    let mut last: Option<&Arg> = None;
    for word in words.skip(1).chain([""]) {
        if let Some(arg) = last.filter(|_| word.starts_with("--")) {
            let names = arg.get_value_names().unwrap_or_default();
            return Some(format!("--{} <{}>", arg.get_long()?, names.first()?));
        }
        command = command.find_subcommand(word).unwrap_or(command);
        let long = word.strip_prefix("--");
        let is_it = |arg: &&Arg| arg.is_allow_hyphen_values_set() && arg.get_long() == long;
        last = long.and_then(|_| command.get_arguments().find(is_it));
    }
    None
}

/// Lets the parsers of numbers, sizes and times see a value that begins with "-". Otherwise clap takes it for an option.
fn with_signs(command: Command) -> Command {
    let takes_number = |arg: &Arg| {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().any(|name| ["N", "COUNT", "PORT", "SIZE", "TIME", "N|TIME"].contains(&name.as_str()))
    };
    let with_sign = |arg: Arg| match takes_number(&arg) {
        // A positional value with any text would take the options after it.
        true if arg.is_positional() => arg.allow_negative_numbers(true),
        true => arg.allow_hyphen_values(true),
        false => arg,
    };
    command.mut_args(with_sign).mut_subcommands(with_signs)
}

/// Parses the command line of this process again, with the current content of the configuration file.
pub fn parse_again() -> Result<Arguments, ConfigError> {
    parse(&std::env::args_os().collect::<Vec<_>>())
}

/// Returns the path and the text of the configuration file: the one of `--config`, or the default one if it exists. A
/// slave that its controller started has none, because the controller gives it all options.
fn read(subcommand: &str, own: &ArgMatches) -> (PathBuf, Result<Option<String>, Error>) {
    let named = own.get_one::<PathBuf>("config").cloned();
    let default = FILES.iter().find(|(name, _)| *name == subcommand).map_or("", |(_, file)| file);
    let must_exist = named.is_some();
    let path = named.unwrap_or_else(|| PathBuf::from(default));
    let is_started = own.try_get_one::<bool>("secret").is_ok_and(|secret| secret == Some(&true));
    if is_started && !must_exist {
        return (path, Ok(None));
    }
    let text = read_text(&path, must_exist);
    (path, text)
}

fn read_text(path: &Path, must_exist: bool) -> Result<Option<String>, Error> {
    let subject = path.display();
    // Other kinds of files are refused below, with a better message.
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    metadata.as_ref().map_or(Ok(()), owned::relies_on).map_err(Error::foreign("", path))?;
    match source::read(path, FILE_MAX, Takes::Files) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(|text| Some(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text)))
            .map_err(|_| Error::usage(format!("{subject}: it is not UTF-8, which JSON requires"))),
        Err(error) if error.is_missing() && !must_exist => Ok(None),
        Err(error) if error.is_missing() => {
            Err(Error::usage(format!("{subject}: it does not exist: create it, or leave --config out")))
        }
        Err(Unread::Io(error)) => Err(Error::failed(format!(
            "{subject}: cannot read it: {}; let this user read it, or use --config to name another file",
            plain(&error)
        ))),
        Err(error) => Err(Error::usage(format!("{subject}: {error}"))),
    }
}

/// Parses the command line again, with the arguments of the file before its own.
fn parse_with(
    command: &Command,
    given: &[OsString],
    mut more: Vec<(String, Vec<OsString>)>,
    origin: &mut Origin,
) -> Result<ArgMatches, ConfigError> {
    // The arguments of the file go after the subcommand, because the program itself has no options.
    let (head, tail) = given.split_at(given.len().min(2));
    loop {
        let of_file = more.iter().flat_map(|(_, arguments)| arguments);
        let error = match command.clone().try_get_matches_from(head.iter().chain(of_file).chain(tail)) {
            Ok(matches) => return Ok(matches),
            Err(error) => error,
        };
        // The wrong key is left out, to check the other keys.
        let Some(key) = key_of(&error, origin) else {
            // The command line itself was valid. If a key was left out, its absence may have caused this error.
            if origin.problems.is_empty() {
                let text = format!("{}: with the keys in it: {}", origin.file.display(), first_line(&error));
                origin.problems.push(Error::usage(text));
            }
            return Err(ConfigError::File(std::mem::take(&mut origin.problems)));
        };
        more.retain(|(other, _)| *other != key);
        let line = origin.take_line(&key);
        let text = format!("{}:{line}: {key:?}: {}", origin.file.display(), first_line(&error));
        origin.problems.push(Error::usage(text));
    }
}

/// Returns the key of the file that an error is about.
fn key_of(error: &clap::Error, origin: &Origin) -> Option<String> {
    let about: Vec<String> = [ContextKind::InvalidArg, ContextKind::PriorArg]
        .into_iter()
        .filter_map(|kind| error.get(kind))
        .map(|value| value.to_string())
        .collect();
    let is_named = |key: &&String| {
        about.iter().flat_map(|text| text.split([' ', ',', '='])).any(|word| word.strip_prefix("--") == Some(key))
    };
    origin.options().find(is_named).cloned()
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Returns the values that were given to each option.
fn values(options: &Command, own: &ArgMatches) -> BTreeMap<String, Vec<OsString>> {
    let given = |arg: &Arg| {
        let option = arg.get_long()?;
        let is_given = own.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let raw = own.get_raw(arg.get_id().as_str()).filter(|_| is_given)?;
        Some((option.to_owned(), raw.map(OsString::from).collect()))
    };
    options.get_arguments().filter_map(given).collect()
}

/// Makes arguments from the keys of a file.
struct Reader<'a> {
    command: &'a Command,
    name: &'a str,
    options: &'a Command,
    /// The options on the command line.
    own: &'a ArgMatches,
}

impl Reader<'_> {
    fn arguments(&self, text: &str, origin: &mut Origin) -> Vec<(String, Vec<OsString>)> {
        let mut problems = Problems::new(text);
        let mut arguments = Vec::new();
        match json::parse(text) {
            Err(error) => {
                problems.add(error.at, error.message);
                origin.set_broken();
            }
            Ok(value) => match &value.kind {
                ValueKind::Object(members) => {
                    for (index, member) in members.iter().enumerate() {
                        if members[..index].iter().any(|before| before.key == member.key) {
                            problems.add(member.at, format!("the key {:?} is here twice", member.key));
                            continue;
                        }
                        match self.argument(member) {
                            Ok(None) => {}
                            Ok(Some(more)) => {
                                let line = text[..member.at].matches('\n').count() + 1;
                                origin.set_line(&member.key, line);
                                arguments.push((member.key.clone(), more));
                            }
                            Err(error) => problems.add(member.at, error.to_string()),
                        }
                    }
                }
                other => {
                    let noun = other.noun();
                    problems.add(value.span.start, format!("a configuration is an object, found {noun}"));
                }
            },
        }
        let found = problems.finish(&origin.file.display().to_string());
        let message = |file: &str, line, message: &str| Error::usage(format!("{file}:{line}: {message}"));
        origin.problems.extend(found.iter().map(|it| message(&it.file, it.line, &it.message)));
        arguments
    }

    /// Returns a key and its value as arguments; `None` if the command line gives the option.
    fn argument(&self, member: &KeyValue) -> Result<Option<Vec<OsString>>, Error> {
        let key = &member.key;
        let Some(arg) = self.known().find(|arg| arg.get_long() == Some(key)) else {
            let hint = suggest::hint(key, self.known().filter_map(Arg::get_long));
            return Err(Error::usage(format!("unknown key {key:?}{hint}")));
        };
        let arguments = arguments_of(arg, key, member)?;
        self.check(&arguments).map_err(|error| error.of(format_args!("{key:?}")))?;
        let is_given = self.is_given(key)
            || EXCLUSIVE.iter().any(|pair| pair.contains(&&**key) && pair.iter().any(|one| self.is_given(one)));
        Ok((!is_given).then_some(arguments))
    }

    /// Returns the options that a file can give.
    fn known(&self) -> impl Iterator<Item = &Arg> {
        let only = |arg: &&Arg| arg.get_long().is_some_and(|long| COMMAND_LINE_ONLY.contains(&long));
        self.options.get_arguments().filter(move |arg| !arg.is_hide_set() && !only(arg) && arg.get_long().is_some())
    }

    /// Whether the command line gives an option.
    fn is_given(&self, option: &str) -> bool {
        let arg = self.options.get_arguments().find(|arg| arg.get_long() == Some(option));
        arg.is_some_and(|arg| self.own.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine))
    }

    /// Fails if the parser of the option does. Conflicts between options are checked later, when all are known.
    fn check(&self, arguments: &[OsString]) -> Result<(), Error> {
        let head = ["arete", self.name].map(OsString::from);
        let parsed = self.command.clone().try_get_matches_from(head.iter().chain(arguments));
        match parsed {
            Err(error) if error.kind() != Complaint::MissingRequiredArgument => {
                Err(Error::Usage(error.source().map_or_else(|| first_line(&error), ToString::to_string)))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the arguments that would give this value on the command line.
fn arguments_of(arg: &Arg, key: &str, member: &KeyValue) -> Result<Vec<OsString>, Error> {
    let value = &member.value.kind;
    let one = |text: &str| OsString::from(format!("--{key}={text}"));
    let found =
        |expected: &str, other: &ValueKind| Error::usage(format!("{key:?}: it is {expected}, found {}", other.noun()));
    let takes_several = matches!(arg.get_action(), ArgAction::Append);
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, ValueKind::Bool(true)) => Ok(vec![OsString::from(format!("--{key}"))]),
        (ArgAction::SetTrue, ValueKind::Bool(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, other) => Err(found("true or false", other)),
        (_, ValueKind::String(text)) => Ok(vec![one(text)]),
        (_, ValueKind::Number(number)) => Ok(vec![one(&number.to_string())]),
        (_, ValueKind::List(items)) if takes_several => {
            let text = |item: &json::Value| match &item.kind {
                ValueKind::String(text) => Ok(one(text)),
                other => Err(found("a list of strings", other)),
            };
            items.iter().map(text).collect()
        }
        (_, ValueKind::Object(members)) if takes_several => {
            let mut seen = Vec::new();
            let pair = |pair: &KeyValue| match &pair.value.kind {
                _ if seen.contains(&pair.key) => {
                    Err(Error::usage(format!("{key:?}: the key {:?} is in it twice", pair.key)))
                }
                ValueKind::String(text) => {
                    seen.push(pair.key.clone());
                    Ok(one(&labels::written(&pair.key, text)))
                }
                other => Err(Error::usage(format!("{key:?}: {:?} is a string, found {}", pair.key, other.noun()))),
            };
            members.iter().map(pair).collect()
        }
        (_, other) if takes_several => Err(found("an object or a string", other)),
        (_, other) => Err(found("a string or a number", other)),
    }
}
