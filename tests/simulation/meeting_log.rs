//! The events of meetings in the log of a run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::meeting_checks::Name;

/// The time for which a member may be away before it is lost, with the errors of clocks and rounding, in seconds.
const REJOIN: f64 = 5.1;

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
    /// The members that have ever been away.
    pub away: BTreeSet<(Name, String)>,
    /// The members that have ever been lost.
    pub lost: BTreeSet<(Name, String)>,
    /// The members that are away, with the time when they left.
    gone: BTreeMap<(Name, String), f64>,
    read: usize,
}

impl MeetingLog {
    /// Reads the new events. If nothing breaks, a member that is away returns as a new arrival or not at all.
    pub fn read(&mut self, events: &[Value], calm: bool) -> Result<(), String> {
        for event in &events[self.read.min(events.len())..] {
            let what = event["event"].as_str().unwrap_or_default();
            if !["arrived", "away", "member-lost", "met"].contains(&what) {
                continue;
            }
            let sync = event["session"].is_string();
            let name = event[if sync { "session" } else { "barrier" }].as_str().unwrap_or_default();
            let name = (sync, name.to_owned());
            let member = (name.clone(), event["member"].as_str().unwrap_or_default().to_owned());
            let at = event["t"].as_f64().unwrap_or_default();
            match what {
                "arrived" => drop(self.gone.remove(&member)),
                "away" => {
                    self.gone.insert(member.clone(), at);
                    self.away.insert(member);
                }
                "member-lost" => {
                    if self.gone.remove(&member).is_none() {
                        return Err(format!("{member:?} is lost, and was not away: {event}"));
                    }
                    self.lost.insert(member);
                }
                _ => self.met(name, at, event, calm)?,
            }
        }
        self.read = events.len();
        Ok(())
    }

    fn met(&mut self, name: Name, at: f64, event: &Value, calm: bool) -> Result<(), String> {
        let late = self.gone.iter().find(|((of, _), since)| *of == name && at > **since + REJOIN);
        if let Some(((_, member), since)) = late.filter(|_| calm) {
            return Err(format!("{member} is away since {since}, and it is not recorded that it is lost: {event}"));
        }
        self.gone.retain(|(of, _), _| *of != name);
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
