//! What the checks of meetings know of waiting commands, and find in lines and values.

use std::collections::{BTreeMap, BTreeSet};

use arete::wire::rendezvous::{OutcomeKind, Party, RoundVerdict};
use arete::wire::{FromMember, ToController};
use serde_json::Value;

use crate::world::meet::{serial_of_fresh, serial_of_value};

/// The beginning of a verdict for a member of an earlier round.
const EARLIER: &str = "an earlier round ";

/// A verdict, as the controller sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub round: u64,
    pub kind: OutcomeKind,
    pub who: Vec<String>,
    pub reason: String,
    /// The instant of the release on the controller's clock.
    pub at: Option<u64>,
}

impl From<&RoundVerdict<'_>> for Told {
    fn from(verdict: &RoundVerdict<'_>) -> Told {
        let reason = verdict.reason.clone().into_owned();
        let at = verdict.at.map(|at| at.as_micros());
        Told { round: verdict.round, kind: verdict.verdict, who: verdict.who.clone(), reason, at }
    }
}

impl Told {
    /// Returns whether it says that the round was over before.
    pub fn is_of_earlier(&self) -> bool {
        self.reason.starts_with(EARLIER)
    }

    /// The same verdict in the form for members of the round.
    pub fn of_its_round(&self) -> Told {
        let reason = self.reason.strip_prefix(EARLIER).unwrap_or(&self.reason);
        Told { reason: reason.strip_prefix("failed: ").unwrap_or(reason).to_owned(), ..self.clone() }
    }
}

/// A waiting command, entry or client.
#[derive(Debug, Clone)]
pub struct Wait {
    pub asked_at: u64,
    /// When its process died, or it got a result.
    pub over_at: Option<u64>,
}

/// Returns whether a line is a message of one of these types.
pub fn is_of(line: &[u8], kinds: &[&str]) -> bool {
    let kind = line.strip_prefix(b"{\"type\":\"").unwrap_or_default();
    kinds.iter().any(|it| kind.strip_prefix(it.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'"')))
}

/// The members or the count of a party.
pub fn wanted(party: &Party) -> (BTreeSet<&String>, u32) {
    match party {
        Party::Members(members) => (members.iter().collect(), 0),
        Party::Count(count) => (BTreeSet::new(), *count),
    }
}

/// Returns whether a map has the value of an arrival.
pub fn holds_serial(map: &[u8], serial: u64) -> bool {
    let values: BTreeMap<String, Value> = serde_json::from_slice(map).unwrap_or_default();
    values.values().any(|value| value["nr"] == serial)
}

/// The id, serial number and member of an arrival.
pub fn arrival_of(line: &[u8]) -> Result<Option<(u64, u64, String)>, String> {
    match ToController::decode(line).map_err(|wrong| wrong.to_string())? {
        ToController::Member(FromMember::Arrive(it)) => {
            Ok(Some((it.id, serial_of_fresh(it.fresh), it.member.into_owned())))
        }
        ToController::Member(FromMember::Give(it)) => {
            Ok(Some((it.id, serial_of_value(it.value.json.get()), it.member.into_owned())))
        }
        _ => Ok(None),
    }
}
