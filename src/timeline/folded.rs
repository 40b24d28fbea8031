//! Lines that several slaves share: when many do the same at nearly the same time, one line names them all.
//!
//! This file owns the lines that wait for more slaves, and bounds them. It must never print: the view does.

use super::event::Event;
use super::words::{describe, run_name};
use crate::text;

/// How many different lines wait at most.
const LINES_MAX: usize = 200;

/// Of so many different failures the last lines are shown while the run goes on; the report has more.
const TAILS_MAX: usize = 10;

/// A line that more slaves may join.
pub struct FoldedLine {
    /// What is the same for all of them.
    key: String,
    pub time: String,
    names: Vec<String>,
    /// The line as it is for one slave, and for several.
    one: String,
    several: String,
    pub color: Option<&'static str>,
    /// It is one of arete's own sentences, or a line that a command wrote.
    pub quoted: bool,
}

impl FoldedLine {
    /// Who, and what.
    pub fn in_words(&self) -> (String, &str) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let text = if names.len() > 1 { &self.several } else { &self.one };
        (text::list(&names), text)
    }
}

/// The lines that wait for more slaves to join them.
#[derive(Default)]
pub struct Folded {
    lines: Vec<FoldedLine>,
    /// The last lines of commands that were shown.
    tails: Vec<String>,
}

impl Folded {
    /// Adds what a slave did. Whether there is no room for more.
    pub fn add(&mut self, time: &str, slave: &str, event: &Event<'_>, color: Option<&'static str>) -> bool {
        if let Event::Tail { text, .. } = event {
            self.add_tail(time, slave, text);
        } else if let Some(one) = described(event) {
            let several = of_several(event).unwrap_or_else(|| one.clone());
            // The last one says how many notifies are left.
            let key = match event {
                Event::Notified { trigger, late, .. } => format!("notified {trigger} {late}"),
                _ => several.clone(),
            };
            self.join(FoldedLine {
                key,
                time: time.to_owned(),
                names: vec![text::harmless(slave).into_owned()],
                one,
                several,
                color,
                quoted: false,
            });
        }
        self.lines.len() >= LINES_MAX
    }

    fn add_tail(&mut self, time: &str, slave: &str, text: &str) {
        if self.tails.iter().all(|known| known != text) {
            if self.tails.len() >= TAILS_MAX {
                return;
            }
            self.tails.push(text.to_owned());
        } else if self.lines.iter().all(|line| line.key != text) {
            return;
        }
        let (key, one, several) = (text.to_owned(), text.to_owned(), text.to_owned());
        let (time, names) = (time.to_owned(), vec![slave.to_owned()]);
        self.join(FoldedLine { key, time, names, one, several, color: None, quoted: true });
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

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn take(&mut self) -> Vec<FoldedLine> {
        std::mem::take(&mut self.lines)
    }
}

/// The event of one slave or member, without its name.
fn described(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Arrived { meeting, .. } => Some(format!("is at {meeting}")),
        event => describe(event),
    }
}

/// The event of several slaves, without what is of one of them alone.
fn of_several(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Joined { .. } => "joined".to_owned(),
        Event::Arrived { meeting, .. } => format!("are at {meeting}"),
        Event::Rejoined { .. } => "are back".to_owned(),
        Event::Spawned { entry, nr, pid: Some(_) } => format!("{} started", run_name(entry, *nr)),
        _ => return None,
    })
}
