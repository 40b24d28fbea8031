//! The values of the variables in the strings of a test, as they are when a command starts.

use std::fmt;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::slave::assignment::Assignment;
use crate::slave::config::Config;
use crate::slave::members::{MeetKind, MeetRequest};
use crate::slave::process::{Latest, Processes};
use crate::slave::refusal::Refusal;
use crate::slave::resources::Resources;
use crate::slave::run_dir::RunDir;
use crate::slave::shorten::listed;
use crate::variables::{Variable, expand, known};
use crate::wire::Action;
use crate::wire::rendezvous::NOTE_MAX;

/// Why a text has no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The process of a variable has no id yet. Another attempt can succeed when it has.
    NotYet,
    /// It has no value, and will not have one.
    Never(String),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unresolved::NotYet => write!(to, "the process id of an entry is not known yet"),
            Unresolved::Never(why) => to.write_str(why),
        }
    }
}

impl std::error::Error for Unresolved {}

/// Why a variable has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoValue {
    Group,
    Resource,
    Address,
    Entry,
    NotRunning,
    NoPidYet,
}

impl fmt::Display for NoValue {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            NoValue::Group => "groups are not known here",
            NoValue::Resource => "no such resource was shipped to this slave",
            NoValue::Address => "the address of that slave is not known here",
            NoValue::Entry => "this slave has no such entry",
            NoValue::NotRunning => "it does not run",
            NoValue::NoPidYet => "it has no process id yet",
        })
    }
}

impl std::error::Error for NoValue {}

/// Where the values of variables come from.
pub(super) struct Variables<'a> {
    pub(super) config: &'a Config,
    pub(super) part: &'a Assignment,
    pub(super) dir: &'a RunDir,
    pub(super) processes: &'a Processes,
    pub(super) resources: &'a Resources,
}

impl Variables<'_> {
    /// Replaces the variables of a text by their values.
    pub(super) fn expand(&self, text: &str) -> Result<String, Unresolved> {
        let mut not_yet = false;
        let expanded = expand(text, &mut |variable| {
            self.value(variable).map_err(|why| {
                not_yet |= why == NoValue::NoPidYet;
                let entries = self.part.entries.iter().map(|entry| entry.name.as_str());
                let addresses = self.part.addresses.keys().map(String::as_str);
                let all = known(entries, self.resources.names(), addresses);
                format!("{why}; there is {}", listed(all.iter().map(String::as_str)))
            })
        });
        match expanded {
            Ok(text) => Ok(text),
            Err(_) if not_yet => Err(Unresolved::NotYet),
            Err(why) => Err(Unresolved::Never(why.to_string())),
        }
    }

    /// Returns the arrival of a `barrier` or `sync` action, with its variables replaced.
    pub(super) fn asked(&self, action: &Action) -> Result<MeetRequest, Unresolved> {
        match action {
            Action::Barrier { barrier, tag, party, timeout, fresh, abort, harmonize, .. } => Ok(MeetRequest {
                entry: None,
                name: barrier.clone(),
                tag: tag.clone(),
                party: party.clone(),
                timeout: *timeout,
                what: MeetKind::Barrier {
                    fresh: *fresh,
                    abort: abort.as_deref().map(|why| self.expand(why)).transpose()?,
                    harmonize: *harmonize,
                },
            }),
            Action::Sync { session, tag, party, timeout, all_alive, value, .. } => {
                let mut value = value.clone();
                self.expand_in(&mut value)?;
                let value = to_raw_value(&value).map_err(|error| Unresolved::Never(error.to_string()))?;
                Ok(MeetRequest {
                    entry: None,
                    name: session.clone(),
                    tag: tag.clone(),
                    party: party.clone(),
                    timeout: *timeout,
                    what: MeetKind::Sync { all_alive: *all_alive, value: value.into() },
                })
            }
            _ => Err(Unresolved::Never("this action is neither a barrier nor a sync".to_owned())),
        }
    }

    /// Returns the data of a notify as JSON, with its variables replaced. Fails if it is too long.
    pub(super) fn note(&self, data: &Value) -> Result<Box<RawValue>, Unresolved> {
        let mut data = data.clone();
        self.expand_in(&mut data)?;
        let json = to_raw_value(&data).map_err(|error| Unresolved::Never(error.to_string()))?;
        let long = json.get().len() > NOTE_MAX;
        if long { Err(Unresolved::Never(Refusal::LongData.to_string())) } else { Ok(json) }
    }

    /// Puts the values of variables into the strings of a JSON value.
    fn expand_in(&self, value: &mut Value) -> Result<(), Unresolved> {
        match value {
            Value::String(text) => *text = self.expand(text)?,
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.expand_in(item))?,
            Value::Object(fields) => fields.values_mut().try_for_each(|field| self.expand_in(field))?,
            _ => {}
        }
        Ok(())
    }

    fn value(&self, variable: &Variable) -> Result<String, NoValue> {
        match variable {
            Variable::SlavePoke => Ok(format!("kill -USR1 {}", self.config.pid)),
            Variable::SlavePid => Ok(self.config.pid.to_string()),
            Variable::SlaveName => Ok(self.part.slave_name(self.config).to_owned()),
            Variable::SlaveIndex => Ok(self.part.index.to_string()),
            Variable::SlaveCount => Ok(self.part.count.to_string()),
            Variable::RunId => Ok(self.part.run.clone()),
            Variable::Group(_) | Variable::GroupAddresses(_) => Err(NoValue::Group),
            Variable::SlaveWorkdir => Ok(self.dir.work().display().to_string()),
            Variable::Pid(entry) => self.pid(entry),
            Variable::Path(resource) => {
                let path = self.resources.path(resource).ok_or(NoValue::Resource)?;
                Ok(path.display().to_string())
            }
            Variable::Address(slave) => {
                let address = self.part.addresses.get(slave).ok_or(NoValue::Address)?;
                Ok(address.clone())
            }
        }
    }

    fn pid(&self, entry: &str) -> Result<String, NoValue> {
        let index = self.part.index_of(entry).ok_or(NoValue::Entry)?;
        match self.processes.latest(index) {
            Latest::Runs(pid) => Ok(pid.to_string()),
            Latest::Starts => Err(NoValue::NoPidYet),
            Latest::RunsNot => Err(NoValue::NotRunning),
        }
    }
}
