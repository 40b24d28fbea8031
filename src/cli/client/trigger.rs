//! The commands whose answer is one message: `arete poke`, `ready`, `notify`, `wait` and `trigger`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::time::Duration;

use arete::client::Config;
use arete::machine::{Bytes, Time};
use arete::member::Task;
use arete::testfile::TRIGGER_MAX;
use arete::wire::rendezvous::NOTE_MAX;
use arete::wire::{Message, NotifyRequest, PokeRequest, RawJson, ReadyRequest, WaitRequest};
use clap::{Args, Subcommand};

use crate::cli::client::deadline::Deadline;
use crate::cli::client::execute::{self, Action};
use crate::cli::client::target::{self, NAME_A_CONTROLLER, RoomTarget};
use crate::cli::client::value::Receiver;
use crate::cli::error::Error;
use crate::cli::tls::identity::Security;
use crate::cli::values::{number, time_limit};

#[derive(Args)]
pub struct NotifyOptions {
    /// The trigger
    trigger: String,
    /// Data for those who wait: JSON if it is valid, otherwise a string; @FILE reads a file, - standard input
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    data: Option<OsString>,
    /// The member that notifies, at a controller only: HOST or HOST#TAG
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Fail after TIME [default: at the end of the run]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    #[command(flatten)]
    target: RoomTarget,
}

#[derive(Args)]
pub struct WaitOptions {
    /// The trigger
    trigger: String,
    /// Fail after TIME [default: at the end of the run]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    #[command(flatten)]
    target: RoomTarget,
}

#[derive(Subcommand)]
pub enum TriggerSub {
    /// Create a trigger that fires after COUNT notifies
    Create {
        /// The trigger
        trigger: String,
        /// The number of notifies after which it fires
        #[arg(value_parser = |text: &str| number::<u64>(text, TRIGGER_MAX, "number of notifies"))]
        count: u64,
    },
    /// List the triggers of the room, with their remaining counts
    List,
    /// Delete a trigger
    Delete {
        /// The trigger
        trigger: String,
    },
}

/// The room of the triggers.
#[derive(Args)]
pub struct At {
    /// The controller: HOST or HOST:PORT [default: $ARETE_CONTROLLER]
    #[arg(long, value_name = "ADDRESS", global = true)]
    controller: Option<String>,
    /// The room of the controller: a name, or the id of a run [default: default]
    #[arg(long, value_name = "NAME", global = true)]
    room: Option<String>,
    /// Fail after TIME [default: never]
    #[arg(long, value_name = "TIME", value_parser = time_limit, global = true)]
    timeout: Option<Duration>,
    #[command(flatten)]
    security: Security,
}

/// Starts the poke entries of the slave, or one of them.
pub fn poke(entry: Option<String>) -> Result<u8, Error> {
    ask(PokeRequest { entry: entry.map(Cow::from) }.encode())
}

/// Reports that the command is ready. The environment names the run of the entry.
pub fn ready() -> Result<u8, Error> {
    target::socket("")?;
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let run = variable("ARETE_ENTRY").zip(variable("ARETE_ENTRY_NR").and_then(|nr| nr.parse().ok()));
    let (entry, nr) = run.ok_or_else(|| {
        Error::failed(
            "ARETE_ENTRY and ARETE_ENTRY_NR do not name the entry that is ready: keep the environment of its command",
        )
    })?;
    ask(ReadyRequest { entry: Cow::from(entry), nr }.encode())
}

/// Sends a request that the slave fulfils at once.
fn ask(request: Bytes) -> Result<u8, Error> {
    let awaited = "no answer from the slave".to_owned();
    let socket = target::socket("")?;
    execute::client(Config { socket, request, begun: None, timeout: None, awaited, carries_to: None, meeting: None })
}

/// Decrements a trigger.
pub fn notify(options: NotifyOptions, begun: Time) -> Result<u8, Error> {
    let NotifyOptions { trigger, data, name, timeout, target } = options;
    let target = target.named()?;
    target::check_trigger_name(&trigger)?;
    let member = match name {
        Some(name) if target.controller.is_some() => Some(target::member_name(&name)?),
        Some(_) => {
            return Err(Error::usage(
                "--as: in a command of a slave, the slave notifies: name a controller with --controller ADDRESS",
            ));
        }
        None => None,
    };
    if target.controller.is_none() {
        target::socket(NAME_A_CONTROLLER)?;
    }
    let deadline = Deadline { begun, timeout };
    let receiver = Receiver { command: format!("notify {trigger}"), is_sync: false, max: NOTE_MAX, deadline };
    let data = data.map(|data| receiver.read(&data)).transpose()?;
    let note = data.as_deref().map(|json| RawJson { json });
    let request = Some(NotifyRequest { trigger: Cow::from(&trigger), data: note }.encode());
    let awaited = format!("the notify of {trigger} is sent, but the controller has not counted it");
    let task = Task::Notify { trigger, data };
    execute::perform(&target, member, Action { request, task, deadline, awaited, meeting: None })
}

/// Waits until a trigger has fired.
pub fn wait(options: WaitOptions, begun: Time) -> Result<u8, Error> {
    let WaitOptions { trigger, timeout, target } = options;
    let target = target.named()?;
    target::check_trigger_name(&trigger)?;
    let request = Some(WaitRequest { trigger: Cow::from(&trigger), entry: target::entry() }.encode());
    let awaited = format!("{trigger} has not fired");
    let deadline = Deadline { begun, timeout };
    execute::perform(&target, None, Action { request, task: Task::Wait { trigger }, deadline, awaited, meeting: None })
}

/// Creates, lists or deletes triggers.
pub fn trigger(sub: TriggerSub, at: At, begun: Time) -> Result<u8, Error> {
    let controller = at.controller.map_or_else(target::from_environment, |address| Ok(Some(address)))?;
    if controller.is_none() {
        return Err(Error::usage("arete trigger: name a controller with --controller ADDRESS or ARETE_CONTROLLER"));
    }
    let target = RoomTarget { controller, room: at.room, security: at.security };
    let deadline = Deadline { begun, timeout: at.timeout };
    let task = match sub {
        TriggerSub::Create { trigger, count } => {
            target::check_trigger_name(&trigger)?;
            Task::Create { trigger, count }
        }
        TriggerSub::Delete { trigger } => {
            target::check_trigger_name(&trigger)?;
            Task::Delete { trigger }
        }
        TriggerSub::List => Task::List,
    };
    execute::perform(&target, None, Action { request: None, task, deadline, awaited: String::new(), meeting: None })
}
