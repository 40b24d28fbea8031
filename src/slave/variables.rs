//! What the variables of a command stand for when it starts.

use serde_json::Value;
use serde_json::value::to_raw_value;

use crate::slave::assignment::Assignment;
use crate::slave::config::Config;
use crate::slave::members::{MeetKind, MeetRequest};
use crate::slave::process::{Latest, Processes};
use crate::slave::resources::Resources;
use crate::slave::run_dir::RunDir;
use crate::slave::shorten::listed;
use crate::variables::{Variable, expand, known};
use crate::wire::Action;

/// Why a text has no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// A process that was asked for has no id yet: try again when it has.
    NotYet,
    Never(String),
}

/// Where the values of variables come from.
pub(super) struct Variables<'a> {
    pub(super) config: &'a Config,
    pub(super) part: &'a Assignment,
    pub(super) dir: &'a RunDir,
    pub(super) processes: &'a Processes,
    pub(super) resources: &'a Resources,
}

impl Variables<'_> {
    /// Puts the values of its variables into a text.
    pub(super) fn expand(&self, text: &str) -> Result<String, Unresolved> {
        let mut not_yet = false;
        let expanded = expand(text, &mut |variable| {
            self.value(variable, &mut not_yet).map_err(|why| {
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

    /// What an entry's barrier or sync asks for, its variables resolved.
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
            _ => Err(Unresolved::Never("this action meets nobody".to_owned())),
        }
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

    fn value(&self, variable: &Variable, not_yet: &mut bool) -> Result<String, String> {
        match variable {
            Variable::SlavePoke => Ok(format!("kill -USR1 {}", self.config.pid)),
            Variable::SlavePid => Ok(self.config.pid.to_string()),
            Variable::SlaveName => Ok(self.part.slave_name(self.config).to_owned()),
            Variable::SlaveWorkdir => Ok(self.dir.work().display().to_string()),
            Variable::Pid(entry) => self.pid(entry, not_yet),
            Variable::Path(resource) => {
                let path = self.resources.path(resource).ok_or("no such resource was shipped to this slave")?;
                Ok(path.display().to_string())
            }
            Variable::Address(slave) => {
                let address = self.part.addresses.get(slave).ok_or("the address of that slave is not known here")?;
                Ok(address.clone())
            }
        }
    }

    fn pid(&self, entry: &str, not_yet: &mut bool) -> Result<String, String> {
        let index = self.part.index_of(entry).ok_or("this slave has no such entry")?;
        match self.processes.latest(index) {
            Latest::Runs(pid) => Ok(pid.to_string()),
            Latest::Starts => {
                *not_yet = true;
                Err("it has no process id yet".to_owned())
            }
            Latest::RunsNot => Err("it does not run".to_owned()),
        }
    }
}
