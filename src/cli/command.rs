//! `arete poke`, `arete ready`, `arete notify`, `arete wait` and `arete trigger`: what is asked of the slave that runs the command, or
//! of a controller.

use arete::client::Config;
use arete::exit_code;
use arete::machine::{Bytes, Time};
use arete::member::Task;
use arete::wire::rendezvous::NOTE_MAX;
use arete::wire::{Message, Note, NotifyRequest, PokeRequest, ReadyRequest, WaitRequest};
use std::borrow::Cow;

use super::data::{self, Late};
use super::place::{self, Doing, Patience, Place};
use super::{Error, NotifyOptions, TriggerSub, WaitOptions, drive};

pub fn poke(entry: Option<String>) -> Result<u8, Error> {
    ask(PokeRequest { entry: entry.map(Cow::from) }.encode())
}

/// Which run of which entry is ready, the environment says.
pub fn ready() -> Result<u8, Error> {
    place::socket()?;
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let run = variable("ARETE_ENTRY").zip(variable("ARETE_ENTRY_NR").and_then(|nr| nr.parse().ok()));
    let (entry, nr) = run.ok_or_else(|| {
        Error::failed(
            "ARETE_ENTRY and ARETE_ENTRY_NR do not say which entry is ready: keep the environment of the entry's command",
        )
    })?;
    ask(ReadyRequest { entry: Cow::from(entry), nr }.encode())
}

/// Asks the slave for something that is done at once.
fn ask(request: Bytes) -> Result<u8, Error> {
    let awaited = "no answer from the slave".to_owned();
    let socket = place::socket()?;
    drive::client(Config { socket, request, begun: None, timeout: None, awaited, carries_to: None, meeting: None })
}

pub fn notify(options: NotifyOptions, begun: Time) -> Result<u8, Error> {
    let NotifyOptions { trigger, data, name, timeout, place } = options;
    let place = place.named()?;
    place::checked("trigger", &trigger)?;
    let member = match name {
        Some(name) if place.controller.is_some() => Some(place::member_name(&name)?),
        Some(_) => {
            return Err(Error::usage("--as: a notify by way of a slave is the slave's; it goes with --controller"));
        }
        None => None,
    };
    if place.controller.is_none() {
        place::socket()?;
    }
    let patience = Patience { begun, timeout };
    let late = Late { subject: &format!("notify {trigger}"), code: exit_code::TIME_LIMIT };
    let data = data.map(|data| data::value(&data, NOTE_MAX, patience, &late)).transpose()?;
    let note = data.as_deref().map(|json| Note { json });
    let request = Some(NotifyRequest { trigger: Cow::from(&trigger), data: note }.encode());
    let awaited = format!("the notify of {trigger} stands, but the controller has not counted it");
    place::act(
        &place,
        member,
        Doing { request, task: Task::Notify { trigger, data }, patience, awaited, meeting: None },
    )
}

pub fn wait(options: WaitOptions, begun: Time) -> Result<u8, Error> {
    let WaitOptions { trigger, timeout, place } = options;
    let place = place.named()?;
    place::checked("trigger", &trigger)?;
    let request = Some(WaitRequest { trigger: Cow::from(&trigger), entry: place::entry() }.encode());
    let awaited = format!("{trigger} has not fired");
    let patience = Patience { begun, timeout };
    place::act(&place, None, Doing { request, task: Task::Wait { trigger }, patience, awaited, meeting: None })
}

pub fn trigger(sub: TriggerSub, place: &Place, patience: Patience) -> Result<u8, Error> {
    let task = match sub {
        TriggerSub::Create { trigger, count } => {
            place::checked("trigger", &trigger)?;
            Task::Create { trigger, count }
        }
        TriggerSub::Delete { trigger } => {
            place::checked("trigger", &trigger)?;
            Task::Delete { trigger }
        }
        TriggerSub::List => Task::List,
    };
    place::act(place, None, Doing { request: None, task, patience, awaited: String::new(), meeting: None })
}
