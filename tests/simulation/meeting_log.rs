//! What the log of a run says of its meetings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::meeting_checks::Name;

/// A round that is over.
#[derive(Debug)]
pub struct Met {
    pub verdict: String,
    pub who: Vec<String>,
    pub members: u64,
}

#[derive(Debug, Default)]
pub struct MeetingLog {
    pub rounds: BTreeMap<(Name, u64), Met>,
    /// Who has ever been away.
    pub away: BTreeSet<(Name, String)>,
    read: usize,
}

impl MeetingLog {
    /// Reads on.
    pub fn read(&mut self, events: &[Value]) -> Result<(), String> {
        for event in &events[self.read.min(events.len())..] {
            let what = event["event"].as_str().unwrap_or_default();
            if !["away", "met"].contains(&what) {
                continue;
            }
            let sync = event["session"].is_string();
            let name = event[if sync { "session" } else { "barrier" }].as_str().unwrap_or_default();
            let name = (sync, name.to_owned());
            if what == "away" {
                self.away.insert((name, event["member"].as_str().unwrap_or_default().to_owned()));
            } else {
                self.met(name, event)?;
            }
        }
        self.read = events.len();
        Ok(())
    }

    fn met(&mut self, name: Name, event: &Value) -> Result<(), String> {
        let who = event["who"].as_array().map(|who| who.iter().map(|it| it.as_str().unwrap_or("").to_owned()));
        let who = who.map(|who| who.collect()).unwrap_or_default();
        let verdict = event["verdict"].as_str().unwrap_or_default().to_owned();
        let (nr, members) = (event["round"].as_u64().unwrap_or(0), event["members"].as_u64().unwrap_or(0));
        if nr == 0 {
            return Err(format!("a round without a number: {event}"));
        }
        match self.rounds.insert((name, nr), Met { verdict, who, members }) {
            None => Ok(()),
            Some(_) => Err(format!("a round ends twice: {event}")),
        }
    }
}
