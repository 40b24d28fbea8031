//! Lines that several slaves share: when many slaves do the same at nearly the same time, one line names them all.
//!
//! This file owns the lines that wait for more slaves, and bounds them. It must never print; the view does.

use super::event::{Event, Meeting};
use super::words::{describe, run_name};
use crate::text;
use crate::wire::SlaveEvent;

/// The most lines that wait.
const LINES_MAX: usize = 200;

/// The most different tails of failed commands that are shown while the run goes on. The report has more.
const TAILS_MAX: usize = 10;

/// A line to which more slaves can be added.
pub struct FoldedLine {
    /// The text that must be equal for all slaves of the line.
    key: String,
    /// The barrier or the sync at which the members have arrived, if the line is about that.
    arrived_at: Option<Meeting<'static>>,
    /// The time of the first event in microseconds since the start; `None` before the start is known.
    pub since_start: Option<i64>,
    names: Vec<String>,
    /// The text for one slave.
    one: String,
    several: String,
    pub color: Option<&'static str>,
    /// Whether it is the output of a command, instead of a sentence of arete.
    pub quoted: bool,
}

impl FoldedLine {
    /// Returns the names and the text.
    pub fn in_words(&self) -> (String, &str) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let text = if names.len() > 1 { &self.several } else { &self.one };
        (text::list(&names), text)
    }
}

/// The lines that wait for more slaves.
#[derive(Default)]
pub struct Folded {
    lines: Vec<FoldedLine>,
    /// The tails of commands that were shown.
    tails: Vec<String>,
}

impl Folded {
    /// Adds an event of a slave. Returns whether the lines must be shown now, because there is no room for more.
    pub fn add(
        &mut self,
        since_start: Option<i64>,
        slave: &str,
        event: &Event<'_>,
        color: Option<&'static str>,
    ) -> bool {
        if let Event::Reported(SlaveEvent::Tail { text, .. }) = event {
            self.add_tail(since_start, slave, text);
        } else if let (Event::Arrived { meeting, .. }, Some(last)) = (event, self.lines.last_mut())
            && last.arrived_at.as_ref() == Some(meeting)
        {
            // Thousands may arrive in a moment, so no text is made for each.
            last.names.push(text::harmless(slave).into_owned());
        } else if let Some(one) = described(event) {
            let several = of_several(event).unwrap_or_else(|| one.clone());
            // Each notify leaves another count, and the line shows the last one.
            let key = match event {
                Event::Notified { trigger, late, .. } => format!("notified {trigger} {late}"),
                _ => several.clone(),
            };
            let arrived_at = match event {
                Event::Arrived { meeting, .. } => Some(meeting.to_static()),
                _ => None,
            };
            self.join(FoldedLine {
                key,
                arrived_at,
                since_start,
                names: vec![text::harmless(slave).into_owned()],
                one,
                several,
                color,
                quoted: false,
            });
        }
        self.lines.len() >= LINES_MAX
    }

    fn add_tail(&mut self, since_start: Option<i64>, slave: &str, text: &str) {
        if self.tails.iter().all(|known| known != text) {
            if self.tails.len() >= TAILS_MAX {
                return;
            }
            self.tails.push(text.to_owned());
        } else if self.lines.iter().all(|line| line.key != text) {
            return;
        }
        let (key, one, several) = (text.to_owned(), text.to_owned(), text.to_owned());
        let names = vec![slave.to_owned()];
        self.join(FoldedLine { key, arrived_at: None, since_start, names, one, several, color: None, quoted: true });
    }

    fn join(&mut self, line: FoldedLine) {
        match self.lines.iter_mut().find(|other| other.key == line.key && other.quoted == line.quoted) {
            Some(known) => {
                known.names.extend(line.names);
                known.several = line.several;
            }
            None => self.lines.push(line),
        }
    }

    /// Returns whether no line waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Removes and returns all lines, in the order of their first events.
    pub fn take(&mut self) -> Vec<FoldedLine> {
        std::mem::take(&mut self.lines)
    }
}

/// Returns the event of one slave or member in words, without its name.
fn described(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Arrived { meeting, .. } => Some(format!("arrived at {meeting}")),
        event => describe(event),
    }
}

/// Returns the event of several slaves in words; `None` if the words are the same as for one.
fn of_several(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Joined { .. } => "joined".to_owned(),
        Event::Rejoined { .. } => "reconnected".to_owned(),
        Event::Reported(SlaveEvent::Spawned { entry, nr, pid: Some(_) }) => format!("{} started", run_name(entry, *nr)),
        _ => return None,
    })
}
