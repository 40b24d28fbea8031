//! The commands that are answered with one message: `arete poke`, `ready`, `notify`, `wait` and `trigger`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::time::Duration;

use arete::client::Config;
use arete::exit_code;
use arete::machine::{Bytes, Time};
use arete::member::Task;
use arete::testfile::TRIGGER_MAX;
use arete::wire::rendezvous::NOTE_MAX;
use arete::wire::{Message, NotifyRequest, PokeRequest, RawJson, ReadyRequest, WaitRequest};
use clap::{Args, Subcommand};

use crate::cli::client::execute::{self, Doing};
use crate::cli::client::patience::Patience;
use crate::cli::client::target::{self, RoomTarget};
use crate::cli::client::value::{self, Late};
use crate::cli::error::Error;
use crate::cli::tls::identity::Security;
use crate::cli::values::{count, time_limit};

#[derive(Args)]
pub struct NotifyOptions {
    trigger: String,
    /// What those who wait for the trigger shall read: JSON if it parses, else a string; @FILE or - for standard input
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    data: Option<OsString>,
    /// At a controller: who notifies, HOST or HOST#TAG
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Give up after so long [default: at the end of the run]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    #[command(flatten)]
    place: RoomTarget,
}

#[derive(Args)]
pub struct WaitOptions {
    trigger: String,
    /// Give up after so long [default: at the end of the run]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    #[command(flatten)]
    place: RoomTarget,
}

#[derive(Subcommand)]
pub enum TriggerSub {
    /// Make a trigger that fires when it was notified so often
    Create {
        trigger: String,
        #[arg(value_parser = |text: &str| count(text, TRIGGER_MAX))]
        count: u64,
    },
    /// Show the triggers of the room, with what is left of their counts
    List,
    /// Remove a trigger
    Delete { trigger: String },
}

/// Where the triggers are.
#[derive(Args)]
pub struct At {
    /// The controller
    #[arg(long, value_name = "ADDRESS", global = true)]
    controller: Option<String>,
    /// The room [default: default]
    #[arg(long, value_name = "NAME", global = true)]
    room: Option<String>,
    /// Give up after so long [default: never]
    #[arg(long, value_name = "TIME", value_parser = time_limit, global = true)]
    timeout: Option<Duration>,
    #[command(flatten)]
    security: Security,
}

pub fn poke(entry: Option<String>) -> Result<u8, Error> {
    ask(PokeRequest { entry: entry.map(Cow::from) }.encode())
}

/// Tells the slave that the command is ready. The environment names the run of the entry.
pub fn ready() -> Result<u8, Error> {
    target::socket()?;
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let run = variable("ARETE_ENTRY").zip(variable("ARETE_ENTRY_NR").and_then(|nr| nr.parse().ok()));
    let (entry, nr) = run.ok_or_else(|| {
        Error::failed(
            "ARETE_ENTRY and ARETE_ENTRY_NR do not say which entry is ready: keep the environment of the entry's command",
        )
    })?;
    ask(ReadyRequest { entry: Cow::from(entry), nr }.encode())
}

/// Asks the slave for something that it does at once.
fn ask(request: Bytes) -> Result<u8, Error> {
    let awaited = "no answer from the slave".to_owned();
    let socket = target::socket()?;
    execute::client(Config { socket, request, begun: None, timeout: None, awaited, carries_to: None, meeting: None })
}

pub fn notify(options: NotifyOptions, begun: Time) -> Result<u8, Error> {
    let NotifyOptions { trigger, data, name, timeout, place } = options;
    let place = place.named()?;
    target::checked("trigger", &trigger)?;
    let member = match name {
        Some(name) if place.controller.is_some() => Some(target::member_name(&name)?),
        Some(_) => {
            return Err(Error::usage("--as: a notify by way of a slave is the slave's; it goes with --controller"));
        }
        None => None,
    };
    if place.controller.is_none() {
        target::socket()?;
    }
    let patience = Patience { begun, timeout };
    let late = Late { subject: &format!("notify {trigger}"), code: exit_code::TIME_LIMIT };
    let data = data.map(|data| value::value(&data, NOTE_MAX, patience, &late)).transpose()?;
    let note = data.as_deref().map(|json| RawJson { json });
    let request = Some(NotifyRequest { trigger: Cow::from(&trigger), data: note }.encode());
    let awaited = format!("the notify of {trigger} stands, but the controller has not counted it");
    execute::act(
        &place,
        member,
        Doing { request, task: Task::Notify { trigger, data }, patience, awaited, meeting: None },
    )
}

pub fn wait(options: WaitOptions, begun: Time) -> Result<u8, Error> {
    let WaitOptions { trigger, timeout, place } = options;
    let place = place.named()?;
    target::checked("trigger", &trigger)?;
    let request = Some(WaitRequest { trigger: Cow::from(&trigger), entry: target::entry() }.encode());
    let awaited = format!("{trigger} has not fired");
    let patience = Patience { begun, timeout };
    execute::act(&place, None, Doing { request, task: Task::Wait { trigger }, patience, awaited, meeting: None })
}

/// Makes, lists or removes triggers.
pub fn trigger(sub: TriggerSub, at: At, begun: Time) -> Result<u8, Error> {
    let controller = at.controller.map_or_else(target::from_environment, |named| Ok(Some(named)))?;
    if controller.is_none() {
        return Err(Error::usage(
            "arete trigger: say at which controller with --controller ADDRESS or ARETE_CONTROLLER",
        ));
    }
    let place = RoomTarget { controller, room: at.room, security: at.security };
    let patience = Patience { begun, timeout: at.timeout };
    let task = match sub {
        TriggerSub::Create { trigger, count } => {
            target::checked("trigger", &trigger)?;
            Task::Create { trigger, count }
        }
        TriggerSub::Delete { trigger } => {
            target::checked("trigger", &trigger)?;
            Task::Delete { trigger }
        }
        TriggerSub::List => Task::List,
    };
    execute::act(&place, None, Doing { request: None, task, patience, awaited: String::new(), meeting: None })
}
