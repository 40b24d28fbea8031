//! The messages of barriers and syncs: members arrive, and get a verdict.
//!
//! A member is a host, or one of several on a host: `HOST` or `HOST#TAG`. A slave speaks for the members of its name; a
//! client that has [joined](super::room::Join) a room speaks for one. An arrival has an id that its process never uses
//! again: repeating it, on any later connection, requests its own verdict and counts once.

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::limits::NAME_MOST;
pub use super::limits::{FRESH, IDS_MAX, NOTE_MAX, SESSION_MAX, SESSION_MOST, SYNC_TIMEOUT, VALUE_MAX, VALUE_MOST};
use super::message::Message;
use super::names;
use super::raw_json::RawJson;
use super::times::{bounded, numbered};
use crate::machine::Time;

/// The members that must arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// These members; `@GROUP` stands for the members of a group of the test file.
    Members(#[serde(deserialize_with = "names::names")] Vec<String>),
    /// Any members, this many.
    Count(u32),
}

/// A member arrives at a barrier. Answered by [`RoundVerdict`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arrive<'a> {
    /// The run, or the room that the client has joined.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The name of the barrier.
    #[serde(borrow, deserialize_with = "names::name")]
    pub barrier: Cow<'a, str>,
    /// The number of this arrival among all arrivals and values of this incarnation: 1, 2, 3, ...
    #[serde(deserialize_with = "numbered")]
    pub id: u64,
    /// The member.
    #[serde(borrow, deserialize_with = "names::name")]
    pub member: Cow<'a, str>,
    /// The members that must arrive. Absent: those that the test file declares, or those that the other members name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// How much longer this member waits, in microseconds. Absent: no limit.
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// The longest time between the last sign of life of a member and the last arrival, in microseconds. Absent:
    /// [`FRESH`].
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub fresh: Option<u64>,
    /// This member cannot continue, for this reason. Every member gets this verdict.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Cow<'a, str>>,
    /// Release all members at one instant in the near future, instead of each when it receives the verdict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub harmonize: bool,
}

/// A member of a sync gives its value. Answered by [`Map`] and [`RoundVerdict`], or by [`RoundVerdict`] alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Give<'a> {
    /// As in [`Arrive`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The session id of the sync.
    #[serde(borrow, deserialize_with = "names::name")]
    pub session: Cow<'a, str>,
    /// As in [`Arrive`].
    #[serde(deserialize_with = "numbered")]
    pub id: u64,
    /// The member.
    #[serde(borrow, deserialize_with = "names::name")]
    pub member: Cow<'a, str>,
    /// As in [`Arrive`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// How much longer this member waits, in microseconds. Absent: [`SYNC_TIMEOUT`].
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Fail if a member that has given its value is lost before all have given theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_alive: bool,
    /// The value: any JSON.
    #[serde(borrow)]
    pub value: RawJson<'a>,
}

/// The member of a [`Give`] whose line is too long to be read whole.
#[derive(Debug, Default, PartialEq)]
pub struct Giver {
    /// As in [`Give`].
    pub room: String,
    /// As in [`Give`].
    pub id: u64,
    /// As in [`Give`].
    pub member: String,
}

impl Giver {
    /// Reads the member from the beginning of the line. Returns `None` if the line is not a [`Give`], or names its
    /// member only after the value.
    pub fn read(beginning: &[u8]) -> Option<Giver> {
        let mut head = GiverSoFar::default();
        // The text breaks off in the middle, so this fails. The fields before that place are known then.
        let _ = serde_json::Deserializer::from_slice(beginning).deserialize_map(&mut head);
        let GiverSoFar { is_give: true, room: Some(room), id: Some(id), member: Some(member) } = head else {
            return None;
        };
        (room.len() <= NAME_MOST && member.len() <= NAME_MOST).then_some(Giver { room, id, member })
    }
}

/// The fields of a [`Give`] that were read when its line broke off.
#[derive(Default)]
struct GiverSoFar {
    is_give: bool,
    room: Option<String>,
    id: Option<u64>,
    member: Option<String>,
}

impl<'de> Visitor<'de> for &mut GiverSoFar {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match &*key {
                "type" => self.is_give = map.next_value::<Cow<'_, str>>()? == Give::TYPE,
                "room" => self.room = Some(map.next_value()?),
                "id" => self.id = Some(map.next_value()?),
                "member" => self.member = Some(map.next_value()?),
                "value" => return Ok(()),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The values of all members of a round of a sync.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map<'a> {
    /// As in [`Give`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// As in [`Give`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub session: Cow<'a, str>,
    /// The round, as in [`RoundVerdict`].
    pub round: u64,
    /// An object {member: value}, the same bytes for every member.
    #[serde(borrow)]
    pub map: RawJson<'a>,
}

/// Reads a list of ids. Fails if there are more than [`IDS_MAX`].
fn few_ids<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let ids = Vec::deserialize(deserializer)?;
    if ids.len() > IDS_MAX {
        return Err(serde::de::Error::custom(format_args!("more than {IDS_MAX} ids")));
    }
    Ok(ids)
}

/// Withdraws arrivals, because their processes have ended or no longer wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gone<'a> {
    /// As in [`Arrive`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The arrivals, at most [`IDS_MAX`].
    #[serde(deserialize_with = "few_ids")]
    pub ids: Vec<u64>,
}

/// Confirms that these arrivals have received their verdict. The controller may forget it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heard<'a> {
    /// As in [`Arrive`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The arrivals, at most [`IDS_MAX`].
    #[serde(deserialize_with = "few_ids")]
    pub ids: Vec<u64>,
}

/// The commands of a slave that have been waiting for some time. Sent when the list has changed and after a reconnect.
/// Not answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waits<'a> {
    /// The run.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// All commands that wait.
    pub waits: Vec<Wait>,
}

/// A command that waits at a barrier, in a sync or for a trigger. Exactly one of the three is present.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wait {
    /// The entry of the command.
    pub entry: String,
    /// The barrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<String>,
    /// The session id of the sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

/// Asks a slave or a client for a sign of life. Answered by [`Alive`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check<'a> {
    /// Gives the type the lifetime parameter that every message has; never sent.
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// The answer to [`Check`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alive<'a> {
    /// Gives the type the lifetime parameter that every message has; never sent.
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// A hint: a run of this controller has a barrier or a sync of the name at which the client waits in another room. The
/// client may have the wrong room. It continues to wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Elsewhere<'a> {
    /// The room in which the client waits.
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The run that has the same name.
    #[serde(borrow, deserialize_with = "names::name")]
    pub run: Cow<'a, str>,
    /// The barrier's name or the session id.
    #[serde(borrow, deserialize_with = "names::name")]
    pub name: Cow<'a, str>,
    /// It is a sync, not a barrier.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sync: bool,
}

/// The verdict of a round, for the arrivals of this peer in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundVerdict<'a> {
    /// As in [`Arrive`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub room: Cow<'a, str>,
    /// The number of the round, unique for the barrier or the session. 0: the arrivals were in no round.
    pub round: u64,
    /// The verdict.
    pub verdict: OutcomeKind,
    /// The members that were missing, aborted, were lost or disagreed, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub who: Vec<String>,
    /// Why, for people. Empty: the verdict says all.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'a, str>,
    /// The instant of the release, on the controller's clock. Absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The arrivals that get this verdict.
    pub ids: Vec<u64>,
}

/// How a round ended for its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// All members arrived. In a sync, the [`Map`] of the same round was sent just before.
    Released,
    /// The timeout of a member expired.
    TimedOut,
    /// A member aborted.
    Aborted,
    /// A member died, or had no connection for too long.
    Lost,
    /// The members do not agree on who must arrive, or one member gave two values.
    Disagreed,
    /// This arrival is not valid. The round continues without it.
    Refused,
}

/// `arete barrier` in a command: the slave arrives on its behalf. Answered by [`Met`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BarrierRequest<'a> {
    /// As in [`Arrive`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub barrier: Cow<'a, str>,
    /// The tag of the member, without the `#`. Absent: the member is the slave itself.
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub tag: Option<Cow<'a, str>>,
    /// As in [`Arrive`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// As in [`Arrive`].
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// As in [`Arrive`].
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub fresh: Option<u64>,
    /// As in [`Arrive`].
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Cow<'a, str>>,
    /// As in [`Arrive`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub harmonize: bool,
    /// The entry that runs the command, from `ARETE_ENTRY`. Absent: the command was not started by an entry.
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub entry: Option<Cow<'a, str>>,
}

/// `arete sync` in a command: the slave gives its value. Answered by [`Map`] and then [`Met`], or by [`Met`] alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncRequest<'a> {
    /// As in [`Give`].
    #[serde(borrow, deserialize_with = "names::name")]
    pub session: Cow<'a, str>,
    /// As in [`BarrierRequest`].
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub tag: Option<Cow<'a, str>>,
    /// As in [`Give`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// As in [`Give`].
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// As in [`Give`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_alive: bool,
    /// As in [`BarrierRequest`].
    #[serde(borrow, default, deserialize_with = "names::optional", skip_serializing_if = "Option::is_none")]
    pub entry: Option<Cow<'a, str>>,
    /// As in [`Give`].
    #[serde(borrow)]
    pub value: RawJson<'a>,
}

/// How a barrier or a sync ended for a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Met<'a> {
    /// The verdict. Absent: none was received in time, and the other members may have been released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<OutcomeKind>,
    /// As in [`RoundVerdict`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub who: Vec<String>,
    /// As in [`RoundVerdict`]. Without a verdict: why none was received.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_giver_is_read_from_the_beginning_of_a_line() {
        let line = r#"{"type":"give","room":"r","session":"s","id":7,"member":"a#1","party":{"count":2},"value":"xxx"#;
        let giver = Giver { room: "r".to_owned(), id: 7, member: "a#1".to_owned() };
        assert_eq!(Giver::read(line.as_bytes()), Some(giver));
        for (from, to) in
            [("give", "arrive"), ("\"id\":7", "\"id\":-7"), ("\"room\"", "\"value\":[1,2"), ("member", "m")]
        {
            assert_eq!(Giver::read(line.replace(from, to).as_bytes()), None, "{to}");
        }
        for end in 0..line.find(",\"party").unwrap() {
            assert_eq!(Giver::read(&line.as_bytes()[..end]), None, "{end}");
        }
    }
}
