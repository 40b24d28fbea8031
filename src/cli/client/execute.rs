//! Runs a client to its end, and writes its result to standard output.
//!
//! A command speaks to a controller if one is named, otherwise to the slave that runs it.

use arete::client::{self, Client};
use arete::machine::Bytes;
use arete::member::{self, Member, Task};
use arete::reactor::Tls;
use arete::session;
use arete::wire::room::DEFAULT_ROOM;

use crate::cli::client::patience::Patience;
use crate::cli::client::target::{RoomTarget, socket};
use crate::cli::error::Error;
use crate::cli::random::random;
use crate::cli::tls::identity::Use;
use crate::cli::{address, drive, stdout};

/// What a command asks for: as a request to the slave, and as a task at a controller.
pub struct Doing {
    pub request: Option<Bytes>,
    pub task: Task,
    pub patience: Patience,
    /// What has not happened when the time is up, for the message.
    pub awaited: String,
    /// `barrier server-up`, if it is a barrier or a sync.
    pub meeting: Option<String>,
}

/// Asks a controller if one is named, otherwise the slave. Returns the exit code.
pub fn act(place: &RoomTarget, member: Option<String>, doing: Doing) -> Result<u8, Error> {
    match &place.controller {
        Some(controller) => {
            let to_controller = Use::Client(member.as_deref());
            address::named(controller, "--controller")?;
            let tls = place.security.at("--controller", controller, to_controller)?;
            self::member(config(controller, place.room.as_deref(), member, doing)?, tls)
        }
        None => {
            place.security.without_address("--controller")?;
            let request = doing.request.ok_or_else(|| Error::failed("name a controller with --controller ADDRESS"))?;
            let carries_to = match &doing.task {
                Task::Notify { trigger, data: Some(_) } => Some(trigger.clone()),
                _ => None,
            };
            client(client::Config {
                socket: socket()?,
                request,
                begun: Some(doing.patience.begun),
                timeout: doing.patience.timeout,
                awaited: doing.awaited,
                carries_to,
                meeting: doing.meeting,
            })
        }
    }
}

/// Returns the configuration of a client at this controller. Fails if a name is not valid.
pub fn config(
    controller: &str,
    room: Option<&str>,
    member: Option<String>,
    doing: Doing,
) -> Result<member::Config, Error> {
    let room = room.unwrap_or(DEFAULT_ROOM);
    session::check_name("a room", room).map_err(|why| Error::usage(format!("--room: {why}")))?;
    Ok(member::Config {
        controller: address::named(controller, "--controller")?,
        room: room.to_owned(),
        member,
        incarnation: format!("{:016x}", random()),
        seed: random(),
        task: doing.task,
        begun: Some(doing.patience.begun),
        timeout: doing.patience.timeout,
    })
}

pub fn client(config: client::Config) -> Result<u8, Error> {
    let mut client = Client::new(config);
    let code = drive::reactor(None)?.run(&mut client);
    show(code, client.output())
}

pub fn member(config: member::Config, tls: Option<Tls>) -> Result<u8, Error> {
    let mut member = Member::new(config);
    let code = drive::reactor(tls)?.run(&mut member);
    show(code, member.output())
}

/// Prints the output of a client, and returns its exit code. Fails if it cannot be printed.
pub fn show(code: u8, output: &[u8]) -> Result<u8, Error> {
    stdout::print(output).map(|()| code)
}
