//! Where a command finds those it meets: the slave that runs it, a controller by its address, or a room of its own.

use std::borrow::Cow;
use std::path::PathBuf;

use clap::Args;

use arete::machine::{Address, Bytes, Time};
use arete::member::{Config, Task};
use arete::reactor::now;
use arete::session::{self, is_name, name_rule};
use arete::wire::room::DEFAULT_ROOM;
use arete::{client, exit_code, member};

use super::address::{self, Way};
use super::identity::{Security, Use};
use super::{Error, drive, random, with_port};
use std::time::Duration;

/// The options of a command that speaks to a room.
#[derive(Args, Clone, Default)]
pub struct Place {
    /// Ask this controller instead of the slave that runs the command [default outside of one: $ARETE_CONTROLLER]
    #[arg(long, value_name = "ADDRESS")]
    pub controller: Option<String>,
    /// The room at that controller: a name, or the id of a run [default: default]
    #[arg(long, value_name = "NAME")]
    pub room: Option<String>,
    #[command(flatten)]
    pub security: Security,
}

impl Place {
    /// The same with the controller that the environment names, where nobody else does.
    pub fn named(self) -> Result<Place, Error> {
        let controller = match self.controller {
            None => from_environment()?,
            named => named,
        };
        if controller.is_none() && self.room.is_some() {
            return Err(Error::usage("--room: a slave's room is its run; name a controller with --controller ADDRESS"));
        }
        Ok(Place { controller, ..self })
    }
}

/// The entry whose command this is, if a slave runs it.
pub fn entry() -> Option<Cow<'static, str>> {
    std::env::var("ARETE_ENTRY").ok().filter(|entry| session::is_entry_name(entry)).map(Cow::from)
}

/// Names the controller, where nobody else does.
pub const VARIABLE: &str = "ARETE_CONTROLLER";

/// What the environment names as the controller.
pub fn variable() -> Result<Option<String>, Error> {
    let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) else { return Ok(None) };
    named.into_string().map(Some).map_err(|named| Error::usage(format!("{VARIABLE} {named:?}: it is not UTF-8")))
}

/// The controller of those who meet, which the environment names; inside a command that a slave runs, it is the slave's.
pub fn from_environment() -> Result<Option<String>, Error> {
    let inside = std::env::var_os("ARETE_SOCKET").is_some_and(|socket| !socket.is_empty());
    match variable()?.filter(|_| !inside) {
        Some(named) if named.contains('/') => Err(Error::usage(format!(
            "{VARIABLE} {}: a socket is for operators: name the controller's HOST:PORT, there or with --controller",
            shown(&named)
        ))),
        Some(named) => address(&named, VARIABLE).map(|_| Some(named)),
        None => Ok(None),
    }
}

/// When a command was started, and how long it may take.
#[derive(Clone, Copy)]
pub struct Patience {
    pub begun: Time,
    pub timeout: Option<Duration>,
}

impl Patience {
    /// What is left of the time; `None`: it never ends.
    pub fn left(self) -> Option<Duration> {
        self.timeout.map(|timeout| (self.begun + timeout).since(now()))
    }

    pub fn is_over(self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}

/// What is to be done: as a request to the slave, and as a task at a controller.
pub struct Doing {
    pub request: Option<Bytes>,
    pub task: Task,
    pub patience: Patience,
    /// What has not happened when the time is up.
    pub awaited: String,
    /// `barrier server-up`, if it is a barrier or a sync.
    pub meeting: Option<String>,
}

/// The slave's control socket, or why there is none.
pub fn socket() -> Result<PathBuf, Error> {
    let socket = std::env::var_os("ARETE_SOCKET").filter(|path| !path.is_empty());
    socket.map(PathBuf::from).ok_or_else(|| {
        Error::failed(
            "ARETE_SOCKET is not set and no controller is named: this works inside a command that a slave runs; \
             elsewhere name a controller with --controller ADDRESS, or set ARETE_SOCKET to a slave's socket",
        )
    })
}

/// Does it at a controller if one is named, else by the slave.
pub fn act(place: &Place, member: Option<String>, doing: Doing) -> Result<u8, Error> {
    match &place.controller {
        Some(controller) => {
            let to_controller = Use::Client(member.as_deref());
            address(controller, "--controller")?;
            let tls = place.security.at("--controller", controller, to_controller)?;
            drive::member(config(controller, place.room.as_deref(), member, doing)?, tls)
        }
        None => {
            place.security.without_address("--controller")?;
            let request = doing.request.ok_or_else(|| Error::failed("name a controller with --controller ADDRESS"))?;
            let carries_to = match &doing.task {
                Task::Notify { trigger, data: Some(_) } => Some(trigger.clone()),
                _ => None,
            };
            drive::client(client::Config {
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

/// What a client of this controller is told.
pub fn config(
    controller: &str,
    room: Option<&str>,
    member: Option<String>,
    doing: Doing,
) -> Result<member::Config, Error> {
    let room = room.unwrap_or(DEFAULT_ROOM);
    session::check_name("a room", room).map_err(|why| Error::usage(format!("--room: {why}")))?;
    Ok(Config {
        controller: address(controller, "--controller")?,
        room: room.to_owned(),
        member,
        incarnation: format!("{:016x}", random()),
        seed: random(),
        task: doing.task,
        begun: Some(doing.patience.begun),
        timeout: doing.patience.timeout,
    })
}

/// `--as` at a controller: `HOST` or `HOST#TAG`.
pub fn member_name(name: &str) -> Result<String, Error> {
    if session::is_member(name) {
        return Ok(name.to_owned());
    }
    let rule = "write HOST or HOST#TAG, each of at most 255 bytes of UTF-8 without control characters";
    Err(Error::usage(format!("--as {}: {rule}", shown(name))))
}

/// `--as` at a slave: `#TAG`, or the slave's own name before it.
pub fn member_tag(name: &str) -> Result<Option<String>, Error> {
    let slave = std::env::var("ARETE_SLAVE").unwrap_or_default();
    let (host, tag) = match name.split_once('#') {
        Some((host, tag)) => (host, Some(tag)),
        None => (name, None),
    };
    if !host.is_empty() && slave.is_empty() {
        return Err(Error::usage(format!(
            "--as {}: ARETE_SLAVE does not say which slave this is; write --as '#TAG' alone, or name a controller with \
             --controller ADDRESS",
            shown(name)
        )));
    }
    if !host.is_empty() && host != slave {
        return Err(Error::usage(format!(
            "--as {}: the member is the slave that runs this command, {slave:?}; add a tag with --as '#TAG', or \
             name a controller with --controller ADDRESS",
            shown(name)
        )));
    }
    match tag {
        Some(tag) if !session::is_tag(tag) => {
            let rule = "a tag has at most 255 bytes of UTF-8 without control characters";
            Err(Error::usage(format!("--as {}: {rule}", shown(name))))
        }
        tag => Ok(tag.map(str::to_owned)),
    }
}

/// An address that somebody may listen at, now or later, and that the others can name.
pub fn address(named: &str, option: &str) -> Result<Address, Error> {
    let wrong = |why| Error::usage(format!("{option} {}: {why}", shown(named)));
    address::check(named, Way::Dial).map(|()| Address::Inet(with_port(named))).map_err(wrong)
}

/// How much of a wrong name a message repeats.
const SHOWN_MAX: usize = 80;

/// A name that somebody has given, for a message that stays short.
pub fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// A name of a barrier or a session.
pub fn checked_meeting(what: &str, name: &str) -> Result<(), Error> {
    match session::is_meeting(name) {
        true => Ok(()),
        false => Err(Error::usage(format!("{what} {}: a {}", shown(name), session::words_rule()))),
    }
}

/// A name of a trigger.
pub fn checked(what: &str, name: &str) -> Result<(), Error> {
    if is_name(name) {
        return Ok(());
    }
    Err(Error { code: exit_code::USAGE, message: format!("{what} {}: a {}", shown(name), name_rule()) })
}
