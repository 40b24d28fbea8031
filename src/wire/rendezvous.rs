//! The messages of barriers and syncs: members arrive, and get a verdict.
//!
//! A member is a host, or one of several on a host: `HOST` or `HOST#TAG`. A slave speaks for the members of its name; a
//! client that has [joined](super::Join) a room speaks for one. An arrival has an id that its process never uses
//! again: saying it again, on any later connection, asks for its own verdict and counts once.

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use super::limits::{FRESH, IDS_MAX, NOTE_MAX, SESSION_MAX, SESSION_MOST, SYNC_TIMEOUT, VALUE_MAX, VALUE_MOST};
use super::message::Message;
use super::raw_json::RawJson;
use super::times::bounded;
use crate::machine::Time;

/// Who shall meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// These members; `@GROUP` stands for the members of a group of the test file.
    Members(Vec<String>),
    /// So many, whoever they are.
    Count(u32),
}

/// A member stands at a barrier. Answered by [`RoundVerdict`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arrive<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    /// The barrier's name, its tag.
    #[serde(borrow)]
    pub barrier: Cow<'a, str>,
    /// This arrival, among all arrivals and gifts of this incarnation: 1, 2, 3, ...
    pub id: u64,
    #[serde(borrow)]
    pub member: Cow<'a, str>,
    /// Who shall meet. Absent: what the test file declares, or what those say who are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// How long this member still waits, in microseconds. Absent: without end.
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// How long before the last arrival a member may have shown last that it is alive, in microseconds.
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub fresh: Option<u64>,
    /// This member cannot go on, and says why: everyone gets this verdict.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Cow<'a, str>>,
    /// Release everybody at one instant, slightly ahead, instead of one after another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub harmonize: bool,
}

/// A member of a sync gives its value. Answered by [`Map`] and [`RoundVerdict`], or by [`RoundVerdict`] alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Give<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    /// The sync's session id.
    #[serde(borrow)]
    pub session: Cow<'a, str>,
    /// As in [`Arrive`].
    pub id: u64,
    #[serde(borrow)]
    pub member: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Fail when a member that has given is lost before all have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_alive: bool,
    /// Any JSON.
    #[serde(borrow)]
    pub value: RawJson<'a>,
}

/// Who gives, from the beginning of the line of a [`Give`] whose value is too long to be read.
#[derive(Debug, Default, PartialEq)]
pub struct Giver {
    pub room: String,
    pub id: u64,
    pub member: String,
}

impl Giver {
    /// `None` when the line is no give, or names its giver behind the value only.
    pub fn read(beginning: &[u8]) -> Option<Giver> {
        let mut head = GiverSoFar::default();
        // It ends in the middle: what was read before that counts.
        let _ = serde_json::Deserializer::from_slice(beginning).deserialize_map(&mut head);
        let GiverSoFar { is_give: true, room: Some(room), id: Some(id), member: Some(member) } = head else {
            return None;
        };
        Some(Giver { room, id, member })
    }
}

/// What is known of a giver when a line ends too early.
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

/// The values of all members of a sync's round: `map` is an object {member: value}, the same bytes for everyone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub session: Cow<'a, str>,
    pub round: u64,
    #[serde(borrow)]
    pub map: RawJson<'a>,
}

fn few_ids<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let ids = Vec::deserialize(deserializer)?;
    if ids.len() > IDS_MAX {
        return Err(serde::de::Error::custom(format_args!("more than {IDS_MAX} ids")));
    }
    Ok(ids)
}

/// Takes arrivals back: the processes behind them are gone, or do not wait any longer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gone<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    /// At most [`IDS_MAX`].
    #[serde(deserialize_with = "few_ids")]
    pub ids: Vec<u64>,
}

/// These arrivals have their verdict: the controller may forget it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heard<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    /// At most [`IDS_MAX`].
    #[serde(deserialize_with = "few_ids")]
    pub ids: Vec<u64>,
}

/// What the commands of a slave's entries have waited for for a while: all of it, said when it has changed and after a
/// reconnect. Not answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waits<'a> {
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    pub waits: Vec<Wait>,
}

/// A command that waits, at one of these places.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wait {
    pub entry: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

/// Asks a peer to show that it is alive. Answered by [`Alive`], by members and slaves alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check<'a> {
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// The answer to [`Check`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alive<'a> {
    #[serde(skip)]
    pub lifetime: std::marker::PhantomData<&'a ()>,
}

/// A run of this controller has a meeting of the name at which a client waits in another room, and the client may have
/// meant that one. It waits on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Elsewhere<'a> {
    /// Where the client waits.
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// The barrier's name or the session id.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// It is a sync.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sync: bool,
}

/// What became of a round, for the arrivals of this peer that were in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundVerdict<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    /// Of the barrier or of the session; no other round of it has the same. 0 when the arrival was in none.
    pub round: u64,
    pub verdict: OutcomeKind,
    /// Who was missing, aborted, was lost or disagreed; at most 100 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub who: Vec<String>,
    /// Why, in words.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'a, str>,
    /// The instant of the release, on the controller's clock; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The arrivals that it is for.
    pub ids: Vec<u64>,
}

/// How a round ended for its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// All were there; of a sync, the [`Map`] of the same round has come just before.
    Released,
    /// The time of one of them was up.
    TimedOut,
    /// One of them could not go on.
    Aborted,
    /// One of them died or was out of reach too long.
    Lost,
    /// They did not agree on who shall meet, or one gave two values.
    Disagreed,
    /// This arrival alone is wrong; the round goes on without it.
    Refused,
}

/// `arete barrier` in a command: the slave arrives for it. Answered by [`Met`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BarrierRequest<'a> {
    #[serde(borrow)]
    pub barrier: Cow<'a, str>,
    /// What makes the member one of several on this host, without the `#`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Cow<'a, str>>,
    /// The rest is as in [`Arrive`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub fresh: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub harmonize: bool,
    /// The entry whose command it is, as `ARETE_ENTRY` says.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Cow<'a, str>>,
}

/// `arete sync` in a command: the slave gives its value. Answered by [`Map`], then [`Met`], or by [`Met`] alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncRequest<'a> {
    #[serde(borrow)]
    pub session: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Cow<'a, str>>,
    /// The rest is as in [`Give`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_alive: bool,
    /// The entry whose command it is, as `ARETE_ENTRY` says.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub value: RawJson<'a>,
}

/// How a barrier or a sync ended for a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Met<'a> {
    /// Absent: no verdict was heard in time; the others may have been released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<OutcomeKind>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub who: Vec<String>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_is_known_from_the_beginning_of_a_line() {
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
