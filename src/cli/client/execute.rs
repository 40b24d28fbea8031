//! Runs a client to its end, and writes its result to standard output.
//!
//! A command connects to a controller if one is named, otherwise to the slave that runs it.

use arete::client::{self, Client};
use arete::machine::Bytes;
use arete::member::{self, Member, Task};
use arete::session;
use arete::wire::room::DEFAULT_ROOM;

use crate::cli::client::deadline::Deadline;
use crate::cli::client::target::{NAME_A_CONTROLLER, RoomTarget, socket};
use crate::cli::error::Error;
use crate::cli::random::random;
use crate::cli::tls::identity::Use;
use crate::cli::{address, drive, stdout};

/// What a command does: as a request to the slave, and as a task at a controller.
pub struct Action {
    /// `None` if only a controller can do it.
    pub request: Option<Bytes>,
    pub task: Task,
    pub deadline: Deadline,
    /// What has not happened if the time limit expires, for the message.
    pub awaited: String,
    /// The barrier or the sync, such as `barrier server-up`.
    pub meeting: Option<String>,
}

/// Performs an action at a controller if one is named, otherwise at the slave. Returns the exit status.
pub fn perform(target: &RoomTarget, member: Option<String>, action: Action) -> Result<u8, Error> {
    match &target.controller {
        Some(controller) => {
            let tls = target.security.at("--controller", controller, Use::Client(member.as_deref()))?;
            let mut member = Member::new(config(controller, target.room.as_deref(), member, action)?);
            let code = drive::reactor(tls)?.run(&mut member);
            show(code, member.output())
        }
        None => {
            target.security.without_address("--controller")?;
            let request = action.request.ok_or_else(|| Error::failed("name a controller with --controller ADDRESS"))?;
            let carries_to = match &action.task {
                Task::Notify { trigger, data: Some(_) } => Some(trigger.clone()),
                _ => None,
            };
            client(client::Config {
                socket: socket(NAME_A_CONTROLLER)?,
                request,
                begun: Some(action.deadline.begun),
                timeout: action.deadline.timeout,
                awaited: action.awaited,
                carries_to,
                meeting: action.meeting,
            })
        }
    }
}

/// Returns the configuration of a client at this controller. Fails if a name is not valid.
pub fn config(
    controller: &str,
    room: Option<&str>,
    member: Option<String>,
    action: Action,
) -> Result<member::Config, Error> {
    let room = room.unwrap_or(DEFAULT_ROOM);
    session::check_name("a room", room).map_err(|error| Error::usage(format!("--room: {error}")))?;
    Ok(member::Config {
        controller: address::named(controller, "--controller")?,
        room: room.to_owned(),
        member,
        incarnation: format!("{:016x}", random()),
        seed: random(),
        task: action.task,
        begun: Some(action.deadline.begun),
        timeout: action.deadline.timeout,
    })
}

/// Runs a client of the slave. Returns the exit status.
pub fn client(config: client::Config) -> Result<u8, Error> {
    let mut client = Client::new(config);
    let code = drive::reactor(None)?.run(&mut client);
    show(code, client.output())
}

/// Prints the output of a client, and returns its exit status. Fails if it cannot be printed.
pub fn show(code: u8, output: &[u8]) -> Result<u8, Error> {
    stdout::print(output).map(|()| code)
}
