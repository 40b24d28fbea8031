//! `arete barrier` and `arete sync`: a member waits at a barrier, or gives a value to a sync.
//!
//! The member is the slave's, or one of a controller, or one of a room that this process serves itself.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use arete::exit_code;
use arete::machine::{Address, Bytes, Time};
use arete::member::{Member, Task};
use arete::session;
use arete::testfile::{MEMBERS_MAX, range};
use arete::wire::rendezvous::{BarrierRequest, Party, SYNC_TIMEOUT, SyncRequest, VALUE_MOST};
use arete::wire::{Message, RawJson};
use clap::Args;

use crate::cli::client::execute::{self, Doing};
use crate::cli::client::patience::Patience;
use crate::cli::client::serve;
use crate::cli::client::target::{self, RoomTarget};
use crate::cli::client::value::{self, Late};
use crate::cli::error::{Error, shown};
use crate::cli::tls::identity::{Security, Use};
use crate::cli::values::{count as number, time, time_limit};
use crate::cli::{address, drive};

#[derive(Args)]
pub struct BarrierOptions {
    /// The barrier's name
    tag: String,
    #[command(flatten)]
    who: MeetOptions,
    /// Give up after so long, and with it the others [default: as the test file says, else never]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    /// A member must have shown that it is alive no earlier than so long before the last arrived [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    fresh: Option<Duration>,
    /// Do not wait: end the barrier for everyone, for this reason
    #[arg(long, value_name = "REASON")]
    abort: Option<String>,
    /// Release everybody at one instant, slightly ahead
    #[arg(long)]
    harmonize: bool,
}

#[derive(Args)]
pub struct SyncOptions {
    /// The session id
    session: String,
    #[command(flatten)]
    who: MeetOptions,
    /// The value: JSON if it parses, else a string; @FILE reads a file, - standard input
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    data: OsString,
    /// Give up after so long, and with it the others [default: as the test file says, else 1min]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    timeout: Option<Duration>,
    /// Fail when a member that has given is lost before all have
    #[arg(long)]
    all_alive: bool,
}

/// Who meets, and where.
#[derive(Args)]
struct MeetOptions {
    /// Who shall meet: HOST, HOST#TAG, client[1-8] or @GROUP, with commas between
    #[arg(long, value_name = "A,B", conflicts_with = "count")]
    members: Option<String>,
    /// So many shall meet, whoever they are
    #[arg(long, value_name = "N", value_parser = |text: &str| number(text, MEMBERS_MAX as u64))]
    count: Option<u64>,
    /// The member: '#TAG' for one of several on this slave; HOST or HOST#TAG at a controller
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Meet at this controller instead of by way of the slave that runs the command
    #[arg(long, value_name = "ADDRESS", conflicts_with = "serve")]
    controller: Option<String>,
    /// Serve the room at this address until all have their verdict; the others name it with --controller
    #[arg(long, value_name = "ADDRESS")]
    serve: Option<String>,
    /// The room at the controller: a name, or the id of a run [default: default]
    #[arg(long, value_name = "NAME")]
    room: Option<String>,
    #[command(flatten)]
    security: Security,
}

impl MeetOptions {
    fn party(&self) -> Result<Option<Party>, Error> {
        match (&self.members, self.count) {
            (Some(members), _) => self::members(members)
                .map(Party::Members)
                .map(Some)
                .map_err(|why| Error::usage(format!("--members {}: {why}", shown(members)))),
            (None, count) => Ok(count.and_then(|count| u32::try_from(count).ok()).map(Party::Count)),
        }
    }

    /// Takes the controller from the environment, unless an option names one.
    fn named(self) -> Result<MeetOptions, Error> {
        let controller = if self.by_slave() { target::from_environment()? } else { self.controller };
        Ok(MeetOptions { controller, ..self })
    }

    /// Whether the command asks the slave that runs it.
    fn by_slave(&self) -> bool {
        self.controller.is_none() && self.serve.is_none()
    }

    /// Fails if the options do not go together.
    fn check(&self) -> Result<(), Error> {
        if self.by_slave() {
            self.security.without_address("--controller or --serve")?;
            target::socket()?;
            if self.room.is_some() {
                return Err(Error::usage(
                    "--room: a slave meets in its run; name a controller with --controller ADDRESS",
                ));
            }
        } else if self.name.is_none() {
            return Err(Error::usage(
                "--as NAME is needed with --controller and --serve: the member's HOST or HOST#TAG",
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

    fn act(self, doing: Doing) -> Result<u8, Error> {
        let member = match &self.name {
            Some(name) if !self.by_slave() => Some(target::member_name(name)?),
            _ => None,
        };
        let Some(serve) = self.serve else {
            let place = RoomTarget { controller: self.controller, room: self.room, security: self.security };
            return execute::act(&place, member, doing);
        };
        address::named(&serve, "--serve")?;
        let tls = self.security.at("--serve", &serve, Use::Serve(member.as_deref()))?;
        let mut reactor = drive::reactor(tls)?;
        let address = serve::listen_to_serve(&mut reactor, &serve)?;
        let mut config = execute::config(&serve, self.room.as_deref(), member, doing)?;
        config.controller = Address::Inet(serve::reached_at(address).to_string());
        let mut both = serve::serve(Member::new(config));
        let code = reactor.run(&mut both);
        execute::show(code, both.output())
    }
}

pub fn barrier(options: BarrierOptions, begun: Time) -> Result<u8, Error> {
    let BarrierOptions { tag: barrier, who, timeout, fresh, abort, harmonize } = options;
    target::checked_meeting("barrier", &barrier)?;
    let who = who.named()?;
    let party = who.party()?;
    who.check()?;
    if abort.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        return Err(Error::usage("--abort: say why, for example --abort \"no disk\""));
    }
    let fresh = fresh.map(micros);
    let patience = Patience { begun, timeout };
    let request = BarrierRequest {
        barrier: barrier.as_str().into(),
        tag: who.tag()?.map(Into::into),
        party: party.clone(),
        timeout: patience.left().map(micros),
        fresh,
        abort: abort.as_deref().map(Into::into),
        harmonize,
        entry: target::entry(),
    };
    let request = Some(request.encode());
    let meeting = Some(format!("barrier {barrier}"));
    let task = Task::Barrier { barrier, party, fresh, abort, harmonize };
    who.act(Doing { request, task, patience, awaited: String::new(), meeting })
}

pub fn sync(options: SyncOptions, begun: Time) -> Result<u8, Error> {
    let SyncOptions { session, who, data, timeout, all_alive } = options;
    target::checked_meeting("session", &session)?;
    let who = who.named()?;
    let party = who.party()?;
    who.check()?;
    // A slave knows the timeout of the test file; a controller must be given one.
    let timeout = if who.by_slave() { timeout } else { timeout.or(Some(Duration::from_micros(SYNC_TIMEOUT))) };
    let patience = Patience { begun, timeout };
    let tag = who.tag()?;
    let late = Late { subject: &format!("sync {session}"), code: exit_code::NO_VERDICT };
    let value = value::value(&data, VALUE_MOST, patience, &late)?;
    let request: Option<Bytes> = who.by_slave().then(|| {
        let request = SyncRequest {
            session: session.as_str().into(),
            tag: tag.map(Into::into),
            party: party.clone(),
            timeout: patience.left().map(micros),
            all_alive,
            entry: target::entry(),
            value: RawJson { json: &value },
        };
        request.encode()
    });
    let meeting = Some(format!("sync {session}"));
    let task = Task::Sync { session, party, all_alive, value };
    who.act(Doing { request, task, patience, awaited: String::new(), meeting })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the members of a list, in order, each once. In a JSON list, names may hold commas, brackets and spaces.
fn members(list: &str) -> Result<Vec<String>, String> {
    if let Ok(names) = serde_json::from_str::<Vec<String>>(list) {
        return literal_members(names);
    }
    let (mut members, mut seen) = (Vec::new(), BTreeSet::new());
    for item in items(list) {
        if item.is_empty() {
            return Err("a member has no name: write HOST or HOST#TAG, with one comma between two".to_owned());
        }
        if let Some(group) = item.strip_prefix('@') {
            session::check_name("a group of a test file", group).map_err(|error| error.to_string())?;
            members.extend(seen.insert(item.to_owned()).then(|| item.to_owned()));
            continue;
        }
        if item.trim() != item {
            let hint = "write commas and no spaces between; a name that has them goes into a JSON list: [\"a, b\"]";
            return Err(format!("{} is no member: {hint}", shown(item)));
        }
        let names = range::expand(item, MEMBERS_MAX).map_err(|error| error.to_string())?;
        if let Some(wrong) = names.iter().find(|name| !session::is_member(name)) {
            return Err(no_member(wrong));
        }
        members.extend(names.into_iter().filter(|name| seen.insert(name.clone())));
    }
    if members.len() > MEMBERS_MAX {
        return Err(format!("at most {MEMBERS_MAX} members can meet"));
    }
    Ok(members)
}

fn literal_members(names: Vec<String>) -> Result<Vec<String>, String> {
    if let Some(wrong) = names.iter().find(|name| !session::is_member(name)) {
        return Err(no_member(wrong));
    }
    let mut seen = BTreeSet::new();
    let members: Vec<String> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
    match members.len() {
        0 => Err("the list is empty: nobody could meet".to_owned()),
        1..=MEMBERS_MAX => Ok(members),
        _ => Err(format!("at most {MEMBERS_MAX} members can meet")),
    }
}

fn no_member(name: &str) -> String {
    let rule = "write HOST or HOST#TAG, each of at most 255 bytes of UTF-8 without control characters";
    format!("{} is no member: {rule}", shown(name))
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
    fn a_list_of_members_may_hold_ranges_groups_and_tags() {
        assert_eq!(
            members("server,client[1-2,9],@all,10.0.0.1#a").unwrap(),
            ["server", "client1", "client2", "client9", "@all", "10.0.0.1#a"]
        );
        assert_eq!(members("c[1-2]#x").unwrap(), ["c1#x", "c2#x"]);
        assert_eq!(members("b,@g,c[1-3],c2,@g,b").unwrap(), ["b", "@g", "c1", "c2", "c3"]);
        assert_eq!(members("a b#c#d,-x,e#").unwrap(), ["a b#c#d", "-x", "e#"]);
        assert_eq!(members(r#"["a,b#[1]", "c", "c"]"#).unwrap(), ["a,b#[1]", "c"]);
        assert_eq!(members("[1,2]").unwrap(), ["1", "2"]);
        for wrong in ["", "a,", "a, b", "#x", "@", "a#\n", "c[2-1]", "[]", r#"["@all"]"#, r#"["a\u0007"]"#] {
            assert!(members(wrong).is_err(), "{wrong:?}");
        }
    }
}
