//! Which room a command speaks to: by the slave that runs it, or at a controller that is named; and who it is there.

use std::borrow::Cow;
use std::path::PathBuf;

use clap::Args;

use arete::exit_code;
use arete::session::{self, is_name, name_rule};

use crate::cli::address;
use crate::cli::environment::{VARIABLE, variable};
use crate::cli::error::{Error, shown};
use crate::cli::tls::identity::Security;

/// The options of a command that speaks to a room.
#[derive(Args, Clone, Default)]
pub struct RoomTarget {
    /// Ask this controller instead of the slave that runs the command [default outside of one: $ARETE_CONTROLLER]
    #[arg(long, value_name = "ADDRESS")]
    pub controller: Option<String>,
    /// The room at that controller: a name, or the id of a run [default: default]
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
            return Err(Error::usage("--room: a slave's room is its run; name a controller with --controller ADDRESS"));
        }
        Ok(RoomTarget { controller, ..self })
    }
}

/// Returns the entry whose command this is, if a slave runs it.
pub fn entry() -> Option<Cow<'static, str>> {
    std::env::var("ARETE_ENTRY").ok().filter(|entry| session::is_entry_name(entry)).map(Cow::from)
}

/// Returns the controller that the environment names. Inside a command of a slave there is none: the slave is asked.
pub fn from_environment() -> Result<Option<String>, Error> {
    let inside = std::env::var_os("ARETE_SOCKET").is_some_and(|socket| !socket.is_empty());
    match variable()?.filter(|_| !inside) {
        Some(named) if named.contains('/') => Err(Error::usage(format!(
            "{VARIABLE} {}: a socket is for operators: name the controller's HOST:PORT, there or with --controller",
            shown(&named)
        ))),
        Some(named) => address::named(&named, VARIABLE).map(|_| Some(named)),
        None => Ok(None),
    }
}

/// Returns the control socket of the slave. Fails outside of a command that a slave runs.
pub fn socket() -> Result<PathBuf, Error> {
    let socket = std::env::var_os("ARETE_SOCKET").filter(|path| !path.is_empty());
    socket.map(PathBuf::from).ok_or_else(|| {
        Error::failed(
            "ARETE_SOCKET is not set and no controller is named: this works inside a command that a slave runs; \
             elsewhere name a controller with --controller ADDRESS, or set ARETE_SOCKET to a slave's socket",
        )
    })
}

/// Checks the value of `--as` at a controller: `HOST` or `HOST#TAG`.
pub fn member_name(name: &str) -> Result<String, Error> {
    if session::is_member(name) {
        return Ok(name.to_owned());
    }
    let rule = "write HOST or HOST#TAG, each of at most 255 bytes of UTF-8 without control characters";
    Err(Error::usage(format!("--as {}: {rule}", shown(name))))
}

/// Returns the tag in the value of `--as` at a slave: `#TAG`, with or without the slave's own name before it.
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

/// Checks the name of a barrier or a session.
pub fn checked_meeting(what: &str, name: &str) -> Result<(), Error> {
    match session::is_meeting(name) {
        true => Ok(()),
        false => Err(Error::usage(format!("{what} {}: a {}", shown(name), session::words_rule()))),
    }
}

/// Checks the name of a trigger.
pub fn checked(what: &str, name: &str) -> Result<(), Error> {
    if is_name(name) {
        return Ok(());
    }
    Err(Error { code: exit_code::USAGE, message: format!("{what} {}: a {}", shown(name), name_rule()) })
}
