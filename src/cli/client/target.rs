//! The room that a command uses, through the slave that runs it or at a named controller, and its member there.

use std::borrow::Cow;
use std::path::PathBuf;

use clap::Args;

use arete::session::{self, is_name, name_rule};

use crate::cli::address;
use crate::cli::environment::{VARIABLE, variable};
use crate::cli::error::{Error, shown};
use crate::cli::tls::identity::Security;

/// The options of a command that uses a room.
#[derive(Args, Clone, Default)]
pub struct RoomTarget {
    /// Use this controller instead of the slave that runs the command [default outside a test: $ARETE_CONTROLLER]
    #[arg(long, value_name = "ADDRESS")]
    pub controller: Option<String>,
    /// The room of the controller: a name, or the id of a run [default: default]
    #[arg(long, value_name = "NAME")]
    pub room: Option<String>,
    #[command(flatten)]
    pub security: Security,
}

impl RoomTarget {
    /// Takes the controller from the environment, unless an option names one.
    pub fn named(self) -> Result<RoomTarget, Error> {
        let controller = match self.controller {
            None => from_environment()?,
            named => named,
        };
        if controller.is_none() && self.room.is_some() {
            return Err(Error::usage(
                "--room: a slave has only the room of its run: name a controller with --controller ADDRESS",
            ));
        }
        Ok(RoomTarget { controller, ..self })
    }
}

/// Returns the entry whose command this is, if a slave runs it.
pub fn entry() -> Option<Cow<'static, str>> {
    std::env::var("ARETE_ENTRY").ok().filter(|entry| session::is_entry_name(entry)).map(Cow::from)
}

/// Returns the controller that the environment names. In a command of a slave it is ignored.
pub fn from_environment() -> Result<Option<String>, Error> {
    let inside = std::env::var_os("ARETE_SOCKET").is_some_and(|socket| !socket.is_empty());
    match variable()?.filter(|_| !inside) {
        Some(path) if path.contains('/') => Err(Error::usage(format!(
            "{VARIABLE} {}: a socket is for operators only: name HOST:PORT of the controller, there or with --controller",
            shown(&path)
        ))),
        Some(address) => address::named(&address, VARIABLE).map(|_| Some(address)),
        None => Ok(None),
    }
}

/// Advice for [`socket`], for a command that can also use a controller.
pub const NAME_A_CONTROLLER: &str = "name a controller with --controller ADDRESS, or ";

/// Returns the control socket of the slave. Fails outside a command of a slave; `advice` is the alternative there.
pub fn socket(advice: &str) -> Result<PathBuf, Error> {
    let socket = std::env::var_os("ARETE_SOCKET").filter(|path| !path.is_empty());
    socket.map(PathBuf::from).ok_or_else(|| {
        Error::usage(format!(
            "ARETE_SOCKET is not set, so this is not a command of a slave: {advice}set ARETE_SOCKET to the socket of a slave"
        ))
    })
}

/// Checks the value of `--as` at a controller: `HOST` or `HOST#TAG`.
pub fn member_name(name: &str) -> Result<String, Error> {
    if session::is_member(name) {
        return Ok(name.to_owned());
    }
    Err(Error::usage(format!("--as {}: {MEMBER_RULE}", shown(name))))
}

/// The rule for the name of a member, for messages.
pub const MEMBER_RULE: &str = "write HOST or HOST#TAG, each of at most 255 bytes of UTF-8 without control characters";

/// Returns the tag in the value of `--as` at a slave: `#TAG`, with or without the slave's own name before it.
pub fn member_tag(name: &str) -> Result<Option<String>, Error> {
    let slave = std::env::var("ARETE_SLAVE").unwrap_or_default();
    let (host, tag) = match name.split_once('#') {
        Some((host, tag)) => (host, Some(tag)),
        None => (name, None),
    };
    if !host.is_empty() && slave.is_empty() {
        return Err(Error::usage(format!(
            "--as {}: ARETE_SLAVE is not set, so the slave is unknown: write --as '#TAG' alone, or name a controller with \
             --controller ADDRESS",
            shown(name)
        )));
    }
    if !host.is_empty() && host != slave {
        return Err(Error::usage(format!(
            "--as {}: the member is the slave {slave:?}, which runs this command: add a tag with --as '#TAG', or name a \
             controller with --controller ADDRESS",
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

/// Checks the name of a barrier or a session.
pub fn check_meeting_name(kind: &str, name: &str) -> Result<(), Error> {
    match session::is_meeting(name) {
        true => Ok(()),
        false => Err(Error::usage(format!("{kind} {}: a {}", shown(name), session::words_rule()))),
    }
}

/// Checks the name of a trigger.
pub fn check_trigger_name(name: &str) -> Result<(), Error> {
    match is_name(name) {
        true => Ok(()),
        false => Err(Error::usage(format!("trigger {}: a {}", shown(name), name_rule()))),
    }
}
