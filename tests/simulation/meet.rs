//! The barrier or the sync of a virtual command, and how it ends for the command.

use arete::machine::Bytes;
use arete::wire::rendezvous::{BarrierRequest, OutcomeKind, Party, SyncRequest};
use arete::wire::{Message, RawJson};

/// The serial number of an arrival is in its value, or in the odd microseconds of its freshness.
const SERIALS: u64 = 1_000_000;

/// `barrier NAME KEY=VALUE ...` or `sync NAME KEY=VALUE ...`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meet {
    pub sync: bool,
    pub name: String,
    pub tag: Option<String>,
    pub party: Option<Party>,
    /// In microseconds.
    pub timeout: Option<u64>,
    pub fresh: Option<u64>,
    pub abort: Option<String>,
    pub all_alive: bool,
    pub harmonize: bool,
    /// JSON.
    pub value: String,
}

/// How it ended: the exit status of `arete barrier` or `arete sync`, and the message.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub code: u8,
    pub verdict: Option<OutcomeKind>,
    pub who: Vec<String>,
    pub reason: String,
    /// The received map.
    pub map: Option<Vec<u8>>,
}

/// The exit status for a verdict, as in the manual.
pub fn exit_code(verdict: Option<OutcomeKind>) -> u8 {
    match verdict {
        Some(OutcomeKind::Released) => 0,
        Some(OutcomeKind::TimedOut) => 3,
        Some(OutcomeKind::Aborted) => 4,
        Some(OutcomeKind::Lost) => 5,
        Some(OutcomeKind::Disagreed | OutcomeKind::Refused) => 1,
        None => 6,
    }
}

/// The freshness that carries a serial number.
pub fn fresh_of(serial: u64) -> u64 {
    assert!(serial < SERIALS);
    SERIALS + serial
}

/// The value that carries a serial number.
pub fn value_of(serial: u64, length: usize) -> String {
    format!("{{\"nr\":{serial},\"pad\":\"{}\"}}", "x".repeat(length))
}

pub fn serial_of_fresh(fresh: Option<u64>) -> u64 {
    fresh.unwrap_or(0) % SERIALS
}

pub fn serial_of_value(json: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(json).expect("a value is JSON");
    value["nr"].as_u64().unwrap_or(0)
}

impl Meet {
    pub fn serial(&self) -> u64 {
        if self.sync { serial_of_value(&self.value) } else { serial_of_fresh(self.fresh) }
    }

    pub fn parse(word: &str, rest: &str) -> Meet {
        let mut words = rest.split_whitespace();
        let name = words.next().expect("barrier NAME").to_owned();
        let mut meet = Meet { sync: word == "sync", name, value: "null".to_owned(), ..Meet::default() };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<u64>().unwrap_or_else(|_| panic!("not a number in {rest:?}"));
            match key {
                "members" => meet.party = Some(Party::Members(value.split(',').map(str::to_owned).collect())),
                "count" => meet.party = Some(Party::Count(number() as u32)),
                "timeout" => meet.timeout = Some(number() * 1_000),
                "fresh" => meet.fresh = Some(number()),
                "tag" => meet.tag = Some(value.to_owned()),
                "abort" => meet.abort = Some(value.to_owned()),
                "alive" => meet.all_alive = true,
                "harmonize" => meet.harmonize = true,
                "value" => meet.value = value.to_owned(),
                _ => panic!("the virtual shell does not know {word:?} in {rest:?}"),
            }
        }
        meet
    }

    /// As a command of this entry sends it.
    pub fn request(&self, entry: Option<&str>) -> Bytes {
        let entry = entry.map(Into::into);
        let (tag, party, timeout) = (self.tag.as_deref().map(Into::into), self.party.clone(), self.timeout);
        let name = self.name.as_str().into();
        if self.sync {
            let json: &serde_json::value::RawValue = serde_json::from_str(&self.value).expect("a value is JSON");
            let value = RawJson { json };
            SyncRequest { session: name, tag, party, timeout, all_alive: self.all_alive, entry, value }.encode()
        } else {
            let abort = self.abort.as_deref().map(Into::into);
            let fresh = self.fresh;
            let harmonize = self.harmonize;
            BarrierRequest { barrier: name, tag, party, timeout, fresh, abort, harmonize, entry }.encode()
        }
    }
}
