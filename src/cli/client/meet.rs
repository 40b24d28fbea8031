//! `arete barrier` and `arete sync`: a member waits at a barrier, or gives a value to a sync.
//!
//! The member is the slave that runs the command, or it is named, at a controller or in a room that this process serves.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Display;
use std::time::Duration;

use arete::controller::Controller;
use arete::machine::{Address, Bytes, Time};
use arete::member::{Member, Task};
use arete::serve::Serve;
use arete::session;
use arete::testfile::{MEMBERS_MAX, range};
use arete::wire::rendezvous::{BarrierRequest, Party, SYNC_TIMEOUT, SyncRequest, VALUE_MOST};
use arete::wire::{Message, RawJson};
use clap::Args;

use crate::cli::client::deadline::Deadline;
use crate::cli::client::execute::{self, Action};
use crate::cli::client::serve;
use crate::cli::client::target::{self, MEMBER_RULE, NAME_A_CONTROLLER, RoomTarget};
use crate::cli::client::value::Receiver;
use crate::cli::error::{Error, shown};
use crate::cli::tls::identity::{Security, Use};
use crate::cli::values::{number, time, time_limit};
use crate::cli::{address, drive};

#[derive(Args)]
pub struct BarrierOptions {
    /// The name of the barrier
    #[arg(value_name = "NAME")]
    tag: String,
    #[command(flatten)]
    meet: MeetOptions,
    /// Fail after TIME, for all members [default: as in the test file, otherwise never]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    /// Each member must have shown that it is alive at most TIME before the last arrival [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    fresh: Option<Duration>,
    /// Do not wait: abort the barrier for all members, with this reason
    #[arg(long, value_name = "REASON")]
    abort: Option<String>,
    /// Release all members at the same instant, which is slightly in the future
    #[arg(long)]
    harmonize: bool,
}

#[derive(Args)]
pub struct SyncOptions {
    /// The name of the sync
    session: String,
    #[command(flatten)]
    meet: MeetOptions,
    /// The value: JSON if it is valid, otherwise a string; @FILE reads a file, - standard input
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    data: OsString,
    /// Fail after TIME, for all members [default: as in the test file, otherwise 1min]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    /// Fail if a member is lost after it has given its value and before all have
    #[arg(long)]
    all_alive: bool,
}

/// The members, and the room.
#[derive(Args)]
struct MeetOptions {
    /// The members: HOST, HOST#TAG, client[1-8] or @GROUP, separated by commas
    #[arg(long, value_name = "A,B", conflicts_with = "count")]
    members: Option<String>,
    /// The number of members, with any names
    #[arg(long, value_name = "N", value_parser = |text: &str| number::<u64>(text, MEMBERS_MAX as u64, "number of members"))]
    count: Option<u64>,
    /// This member: HOST or HOST#TAG at a controller; '#TAG' for one of several on a slave
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Use this controller instead of the slave that runs the command [default outside a test: $ARETE_CONTROLLER]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "serve")]
    controller: Option<String>,
    /// Serve the room at this address until all members have their verdict; they use it with --controller
    #[arg(long, value_name = "ADDRESS")]
    serve: Option<String>,
    /// The room of the controller: a name, or the id of a run [default: default]
    #[arg(long, value_name = "NAME")]
    room: Option<String>,
    #[command(flatten)]
    security: Security,
}

impl MeetOptions {
    fn party(&self) -> Result<Option<Party>, Error> {
        match (&self.members, self.count) {
            (Some(members), _) => self::members(members).map(|members| Some(Party::Members(members))),
            (None, count) => Ok(count.and_then(|count| u32::try_from(count).ok()).map(Party::Count)),
        }
    }

    /// Takes the controller from the environment, unless an option names one.
    fn named(self) -> Result<MeetOptions, Error> {
        let controller = if self.by_slave() { target::from_environment()? } else { self.controller };
        Ok(MeetOptions { controller, ..self })
    }

    /// Whether the command uses the slave that runs it.
    fn by_slave(&self) -> bool {
        self.controller.is_none() && self.serve.is_none()
    }

    /// Fails if the options do not go together.
    fn check(&self) -> Result<(), Error> {
        if self.by_slave() {
            self.security.without_address("--controller or --serve")?;
            target::socket(NAME_A_CONTROLLER)?;
            if self.room.is_some() {
                return Err(Error::usage(
                    "--room: a slave has only the room of its run: name a controller with --controller ADDRESS",
                ));
            }
        } else if self.name.is_none() {
            return Err(Error::usage(
                "--as NAME is required at a controller and with --serve: the HOST or HOST#TAG of this member",
            ));
        }
        Ok(())
    }

    fn tag(&self) -> Result<Option<String>, Error> {
        match &self.name {
            Some(name) if self.by_slave() => target::member_tag(name),
            _ => Ok(None),
        }
    }

    fn perform(self, action: Action) -> Result<u8, Error> {
        let member = match &self.name {
            Some(name) if !self.by_slave() => Some(target::member_name(name)?),
            _ => None,
        };
        let Some(serve) = self.serve else {
            let target = RoomTarget { controller: self.controller, room: self.room, security: self.security };
            return execute::perform(&target, member, action);
        };
        address::named(&serve, "--serve")?;
        let tls = self.security.at("--serve", &serve, Use::Serve(member.as_deref()))?;
        let mut reactor = drive::reactor(tls)?;
        let address = serve::listen_to_serve(&mut reactor, &serve)?;
        let mut config = execute::config(&serve, self.room.as_deref(), member, action)?;
        config.controller = Address::Inet(serve::reached_at(address).to_string());
        let mut served = Serve::new(Controller::bare(None), Member::new(config));
        let code = reactor.run(&mut served);
        execute::show(code, served.output())
    }
}

/// Waits at a barrier, or aborts it.
pub fn barrier(options: BarrierOptions, begun: Time) -> Result<u8, Error> {
    let BarrierOptions { tag: barrier, meet, timeout, fresh, abort, harmonize } = options;
    target::check_meeting_name("barrier", &barrier)?;
    let meet = meet.named()?;
    let party = meet.party()?;
    meet.check()?;
    if abort.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        return Err(Error::usage("--abort: give a reason, for example --abort \"no disk\""));
    }
    let fresh = fresh.map(micros);
    let deadline = Deadline { begun, timeout };
    let request = BarrierRequest {
        barrier: barrier.as_str().into(),
        tag: meet.tag()?.map(Into::into),
        party: party.clone(),
        timeout: deadline.left().map(micros),
        fresh,
        abort: abort.as_deref().map(Into::into),
        harmonize,
        entry: target::entry(),
    };
    let request = Some(request.encode());
    let meeting = Some(format!("barrier {barrier}"));
    let task = Task::Barrier { barrier, party, fresh, abort, harmonize };
    meet.perform(Action { request, task, deadline, awaited: String::new(), meeting })
}

/// Gives a value to a sync, and prints the values of all members.
pub fn sync(options: SyncOptions, begun: Time) -> Result<u8, Error> {
    let SyncOptions { session, meet, data, timeout, all_alive } = options;
    target::check_meeting_name("session", &session)?;
    let meet = meet.named()?;
    let party = meet.party()?;
    meet.check()?;
    // The slave knows the default of the test file. A controller does not have one.
    let timeout = if meet.by_slave() { timeout } else { timeout.or(Some(Duration::from_micros(SYNC_TIMEOUT))) };
    let deadline = Deadline { begun, timeout };
    let tag = meet.tag()?;
    let receiver = Receiver { command: format!("sync {session}"), is_sync: true, max: VALUE_MOST, deadline };
    let value = receiver.read(&data)?;
    let request: Option<Bytes> = meet.by_slave().then(|| {
        let request = SyncRequest {
            session: session.as_str().into(),
            tag: tag.map(Into::into),
            party: party.clone(),
            timeout: deadline.left().map(micros),
            all_alive,
            entry: target::entry(),
            value: RawJson { json: &value },
        };
        request.encode()
    });
    let meeting = Some(format!("sync {session}"));
    let task = Task::Sync { session, party, all_alive, value };
    meet.perform(Action { request, task, deadline, awaited: String::new(), meeting })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the members of `--members`, in order, each once. In a JSON list, names can contain commas, brackets and spaces.
fn members(list: &str) -> Result<Vec<String>, Error> {
    let wrong = |why: &dyn Display| Error::usage(format!("--members {}: {why}", shown(list)));
    let literal = serde_json::from_str::<Vec<String>>(list).ok();
    let is_pattern = literal.is_none();
    let mut names = literal.unwrap_or_default();
    for item in items(list).filter(|_| is_pattern) {
        match item.strip_prefix('@') {
            _ if item.is_empty() => {
                let rule = "write HOST or HOST#TAG, with one comma between two members";
                return Err(wrong(&format_args!("a name is missing: {rule}")));
            }
            Some(group) => {
                session::check_name("a group of a test file", group).map_err(|error| wrong(&error))?;
                names.push(item.to_owned());
            }
            None if item.trim() != item => {
                let rule = "write no spaces after commas; a name with spaces needs a JSON list: [\"a, b\"]";
                return Err(wrong(&format_args!("{} is not a valid member: {rule}", shown(item))));
            }
            None => names.extend(range::expand(item, MEMBERS_MAX).map_err(|error| wrong(&error))?),
        }
    }
    let is_valid = |name: &&String| session::is_member(name) || is_pattern && name.starts_with('@');
    if let Some(name) = names.iter().find(|name| !is_valid(name)) {
        return Err(wrong(&format_args!("{} is not a valid member: {MEMBER_RULE}", shown(name))));
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    match names.len() {
        0 => Err(wrong(&"the list is empty: name at least one member")),
        1..=MEMBERS_MAX => Ok(names),
        _ => Err(wrong(&format_args!("there are more than {MEMBERS_MAX} members"))),
    }
}

/// Splits a list at the commas outside of brackets.
fn items(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    list.split(move |letter| {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_members_can_contain_ranges_groups_and_tags() {
        assert_eq!(
            members("server,client[1-2,9],@all,10.0.0.1#a").unwrap(),
            ["server", "client1", "client2", "client9", "@all", "10.0.0.1#a"]
        );
        assert_eq!(members("c[1-2]#x").unwrap(), ["c1#x", "c2#x"]);
        assert_eq!(members("b,@g,c[1-3],c2,@g,b").unwrap(), ["b", "@g", "c1", "c2", "c3"]);
        assert_eq!(members("a b#c#d,-x,e#").unwrap(), ["a b#c#d", "-x", "e#"]);
        assert_eq!(members(r#"["a,b#[1]", "c", "c"]"#).unwrap(), ["a,b#[1]", "c"]);
        assert_eq!(members("[1,2]").unwrap(), ["1", "2"]);
        for list in ["", "a,", "a, b", "#x", "@", "a#\n", "c[2-1]", "[]", r#"["@all"]"#, r#"["a\u0007"]"#] {
            assert!(members(list).is_err(), "{list:?}");
        }
    }
}
