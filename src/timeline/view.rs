//! A run as a person follows it: one line for each event, the output of the commands if the person wants it, and on a
//! terminal a live picture below.
//!
//! This file owns what is on the screen. Output of a command must never control the terminal.

use std::collections::BTreeMap;

use super::event::Event;
use super::folded::Folded;
pub use super::words::{describe, run_name};
use crate::machine::{Outbox, Stream};
use crate::text::{harmless, is_obeyed};
use crate::wire::rendezvous::OutcomeKind;
use crate::wire::{EntryOutcome, SlaveEvent, Verdict};

/// The most bytes of an unfinished output line that are held until its end arrives.
const PARTIAL_MAX: usize = 8 * 1024;

/// The most lines of the live picture. It also takes at most half of the screen.
const PICTURE_MAX: usize = 24;

/// The most slaves whose events are shown at once. With more slaves, the view waits a moment and shows the same event
/// of several slaves as one line.
const SLAVES_ALONE: usize = 8;

/// The content of the live picture.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Picture {
    /// Its first line.
    pub title: String,
    /// Its other lines: first what has failed, then triggers and meetings, then slaves.
    pub rows: Vec<Row>,
}

/// A line of the live picture.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Row {
    /// The name of a slave, a trigger or a meeting, or several names.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Whether the state is a problem.
    pub alarm: bool,
}

impl Row {
    /// Returns a row without alarm.
    pub fn new(name: impl Into<String>, state: impl Into<String>) -> Row {
        Row { name: name.into(), state: state.into(), alarm: false }
    }
}

/// Returns one row for all slaves with the same state. The parameters of a slave are its name, its state and whether
/// that is a problem.
pub fn rows_of_slaves(slaves: impl Iterator<Item = (String, String, bool)>) -> Vec<Row> {
    let mut alike: Vec<(Vec<String>, String, bool)> = Vec::new();
    let mut places = BTreeMap::new();
    for (name, state, alarm) in slaves {
        let place = *places.entry(state.clone()).or_insert(alike.len());
        match alike.get_mut(place) {
            Some((names, ..)) => names.push(name),
            None => alike.push((vec![name], state, alarm)),
        }
    }
    let row = |(names, state, alarm): (Vec<String>, String, bool)| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Row { name: crate::text::list(&names), state, alarm }
    };
    alike.into_iter().map(row).collect()
}

/// Shows a run.
pub struct View {
    follow: bool,
    /// Nothing is shown.
    silent: bool,
    terminal: Option<(u16, u16)>,
    colors: bool,
    /// The events of the last moment. `None` if the test has few slaves.
    folded: Option<Folded>,
    /// The width of the column with the names of the slaves.
    name_width: usize,
    /// The lines of the picture on the screen.
    drawn: Vec<String>,
    /// Unfinished output lines, by slave and file.
    partial: BTreeMap<(String, String), Vec<u8>>,
}

impl View {
    /// Returns a view. `follow`: whether it shows the output of commands. `terminal`: the columns and rows of the
    /// terminal, if standard output is one. `name_width`: the length of the longest name of a slave.
    pub fn new(follow: bool, terminal: Option<(u16, u16)>, colors: bool, name_width: usize) -> View {
        let (drawn, partial) = (Vec::new(), BTreeMap::new());
        View { follow, silent: false, terminal, colors, folded: None, name_width, drawn, partial }
    }

    /// Sets the number of slaves of the test.
    pub fn of_slaves(mut self, slaves: usize) -> View {
        self.folded = (slaves > SLAVES_ALONE).then(Folded::default);
        self
    }

    /// Returns whether events wait to be shown together. If so, [`flush`](View::flush) must be called a moment later.
    pub fn waits(&self) -> bool {
        self.folded.as_ref().is_some_and(|folded| !folded.is_empty())
    }

    /// Returns a view that shows nothing.
    pub fn silent() -> View {
        View { silent: true, ..View::new(false, None, false, 0) }
    }

    /// Returns whether the view shows nothing.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Returns whether a live picture is shown.
    pub fn is_live(&self) -> bool {
        self.terminal.is_some()
    }

    /// Sets the new size of the terminal.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        if self.terminal.is_some() {
            self.terminal = Some((columns, rows));
        }
    }

    /// Shows an event. `since_start` is its time in microseconds since the start; `None` before the start is known.
    pub fn event(&mut self, since_start: Option<i64>, slave: Option<&str>, event: &Event<'_>, out: &mut Outbox) {
        if self.silent {
            return;
        }
        let who = match event {
            Event::Arrived { member, .. } => Some(&**member),
            _ => slave,
        };
        if let (Some(folded), Some(slave)) = (&mut self.folded, who) {
            if folded.add(since_start, slave, event, color(event)) {
                self.flush(out);
            }
            return;
        }
        self.flush(out);
        if let Event::Reported(SlaveEvent::Tail { text, .. }) = event {
            let lines = text.lines().map(|line| self.quoted(slave.unwrap_or("*"), line));
            let lines: String = lines.collect();
            return self.print(lines.as_bytes(), out);
        }
        let Some(text) = describe(event) else { return };
        let line = self.timed(since_start, slave.unwrap_or("*"), &text, color(event));
        self.print(line.as_bytes(), out);
    }

    /// Returns a line with the time, the slave and the text.
    fn timed(&self, since_start: Option<i64>, slave: &str, text: &str, color: Option<&str>) -> String {
        let time = since_start.map_or_else(|| "-".to_owned(), |micros| format!("{:.3}", micros as f64 / 1e6));
        let line = format!("{time:>9}  {slave:<width$}  {}", harmless(text), width = self.name_width);
        match color.filter(|_| self.is_live() && self.colors) {
            Some(color) => format!("\x1b[{color}m{line}\x1b[0m\n"),
            None => format!("{line}\n"),
        }
    }

    /// Returns a line of a failed command's output, to be shown below its failure.
    fn quoted(&self, slave: &str, line: &str) -> String {
        format!("{:>9}  {slave:<width$}  | {}\n", "", harmless(line), width = self.name_width)
    }

    /// Shows the events that wait for more slaves.
    pub fn flush(&mut self, out: &mut Outbox) {
        let Some(folded) = &mut self.folded else { return };
        let mut text = String::new();
        for line in folded.take() {
            let (names, words) = line.in_words();
            match line.quoted {
                true => text.extend(words.lines().map(|quoted| self.quoted(&names, quoted))),
                false => text += &self.timed(line.since_start, &names, words, line.color),
            }
        }
        if !text.is_empty() {
            self.print(text.as_bytes(), out);
        }
    }

    /// Shows a line of text.
    pub fn line(&mut self, text: &str, out: &mut Outbox) {
        self.flush(out);
        self.print(format!("{text}\n").as_bytes(), out);
    }

    /// Shows output of a command, each line after the names of the slave and the entry.
    pub fn output(&mut self, slave: &str, file: &str, data: &[u8], out: &mut Outbox) {
        if !self.follow || file.contains(".files/") {
            return;
        }
        let entry = file.strip_suffix(".out").or(file.strip_suffix(".err")).unwrap_or(file);
        let prefix = format!("{slave:<width$} {entry} | ", width = self.name_width);
        let held = self.partial.entry((slave.to_owned(), file.to_owned())).or_default();
        held.extend_from_slice(data);
        let whole = match held.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if held.len() > PARTIAL_MAX => held.len(),
            None => return,
        };
        let mut text = Vec::new();
        for line in held[..whole].split_inclusive(|&byte| byte == b'\n') {
            text.extend_from_slice(prefix.as_bytes());
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            match self.terminal {
                Some(_) => text.extend(tame(line.strip_suffix(b"\r").unwrap_or(line))),
                None => text.extend_from_slice(line),
            }
            text.push(b'\n');
        }
        held.drain(..whole);
        if held.is_empty() {
            self.partial.remove(&(slave.to_owned(), file.to_owned()));
        }
        self.print(&text, out);
    }

    /// Shows the unfinished output lines. No more output follows.
    pub fn end_output(&mut self, out: &mut Outbox) {
        let open: Vec<_> =
            self.partial.iter().filter(|(_, held)| !held.is_empty()).map(|(key, _)| key.clone()).collect();
        for (slave, file) in open {
            self.output(&slave, &file, b"\n", out);
        }
    }

    /// Prints above the live picture.
    fn print(&mut self, text: &[u8], out: &mut Outbox) {
        if self.silent {
            return;
        }
        let erased = self.erase();
        self.put(erased, text, out);
    }

    /// Prints `text` and then the picture. `erased` are the bytes that erase the old picture.
    fn put(&self, erased: Vec<u8>, text: &[u8], out: &mut Outbox) {
        let mut bytes = erased;
        bytes.extend_from_slice(text);
        for line in &self.drawn {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        out.print(Stream::Out, bytes);
    }

    /// Redraws the live picture if it has changed.
    pub fn draw(&mut self, picture: &Picture, out: &mut Outbox) {
        let Some((columns, rows)) = self.terminal else { return };
        self.flush(out);
        let lines = self.lay_out(picture, columns as usize, (rows as usize / 2).clamp(3, PICTURE_MAX));
        if lines != self.drawn {
            let erased = self.erase();
            self.drawn = lines;
            self.put(erased, b"", out);
        }
    }

    /// Erases the live picture until it is drawn again.
    pub fn hide(&mut self, out: &mut Outbox) {
        let bytes = self.erase();
        self.drawn.clear();
        if !bytes.is_empty() {
            out.print(Stream::Out, bytes);
        }
    }

    /// Shows everything that waits, and ends the live picture.
    pub fn close(&mut self, out: &mut Outbox) {
        self.flush(out);
        self.hide(out);
        self.terminal = None;
    }

    /// Returns the picture as lines that fit on the screen.
    fn lay_out(&self, picture: &Picture, columns: usize, rows: usize) -> Vec<String> {
        let fit = |line: String| line.chars().take(columns.saturating_sub(1).max(1)).collect::<String>();
        let colored = |line: String, color: &str| match self.colors {
            true => format!("\x1b[{color}m{line}\x1b[0m"),
            false => line,
        };
        let mut lines = vec![colored(fit(picture.title.clone()), BOLD)];
        let width = picture.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).min(columns / 2);
        let shown = if picture.rows.len() > rows - 1 { rows - 2 } else { picture.rows.len() };
        for Row { name, state, alarm } in &picture.rows[..shown] {
            let line = fit(format!("  {name:<width$}  {state}"));
            lines.push(if *alarm { colored(line, RED) } else { line });
        }
        if shown < picture.rows.len() {
            lines.push(format!("  ... and {} more", picture.rows.len() - shown));
        }
        lines
    }

    fn erase(&self) -> Vec<u8> {
        match self.drawn.len() {
            0 => Vec::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J").into_bytes(),
        }
    }
}

/// Returns a line of output with each control character except tabs as `?`.
fn tame(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    text.replace(|letter: char| is_obeyed(letter) && letter != '\t', "?").into_bytes()
}

/// The codes for text on a terminal.
const BOLD: &str = "1";
const RED: &str = "31";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Returns the code of the color in which an event is shown; `None` for the usual color.
fn color(event: &Event<'_>) -> Option<&'static str> {
    match event {
        Event::Met { verdict: OutcomeKind::Released, .. } | Event::Triggered { .. } => Some(CYAN),
        Event::Met { .. } | Event::Ending { verdict: Verdict::Failed, .. } => Some(RED),
        Event::Reported(SlaveEvent::Exited { outcome: EntryOutcome::Failed, .. } | SlaveEvent::Trouble { .. })
        | Event::Lost { .. } => Some(RED),
        Event::Reported(SlaveEvent::Exited { outcome: EntryOutcome::Retried, .. }) => Some(YELLOW),
        Event::Away { .. } | Event::MemberLost { .. } | Event::Stalled { .. } => Some(YELLOW),
        Event::Refused { .. } | Event::Disconnected { .. } | Event::Reported(SlaveEvent::Warning { .. }) => {
            Some(YELLOW)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Effect;

    fn printed(out: &mut Outbox) -> String {
        let texts = out.drain().map(|effect| match effect {
            Effect::Print { bytes, .. } => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        });
        texts.collect()
    }

    #[test]
    fn followed_output_is_shown_in_whole_lines_after_the_slave() {
        let mut out = Outbox::new();
        let mut view = View::new(true, None, true, 4);
        view.output("a", "x.out", b"one\ntw", &mut out);
        view.output("a", "x.out", b"o\nend", &mut out);
        view.end_output(&mut out);
        assert_eq!(printed(&mut out), "a    x | one\na    x | two\na    x | end\n");
    }

    #[test]
    fn control_characters_of_a_command_do_not_reach_a_terminal() {
        let mut out = Outbox::new();
        let mut view = View::new(true, Some((80, 24)), true, 1);
        view.output("a", "x.out", b"\x1b[2J\tred\r\xc2\x9b2J\x9b\x7f\n", &mut out);
        assert_eq!(printed(&mut out), "a x | ?[2J\tred??2J\u{fffd}?\n");
    }

    #[test]
    fn a_picture_erases_the_previous_picture_and_no_more() {
        let mut out = Outbox::new();
        let mut view = View::new(false, Some((80, 24)), false, 1);
        let picture = |rows: &[&str]| Picture {
            title: "title".to_owned(),
            rows: rows.iter().map(|row| Row::new(*row, "on")).collect(),
        };
        view.draw(&picture(&[]), &mut out);
        assert_eq!(printed(&mut out), "title\n");
        view.draw(&picture(&["a", "b"]), &mut out);
        assert_eq!(printed(&mut out), "\x1b[1A\r\x1b[Jtitle\n  a  on\n  b  on\n");
        view.draw(&picture(&[]), &mut out);
        assert_eq!(printed(&mut out), "\x1b[3A\r\x1b[Jtitle\n");
    }

    #[test]
    fn an_event_is_printed_above_the_picture() {
        let mut out = Outbox::new();
        let mut view = View::new(false, Some((80, 24)), true, 1);
        view.draw(&Picture { title: "title".to_owned(), rows: Vec::new() }, &mut out);
        view.event(Some(1_500_000), Some("a"), &Event::Reported(SlaveEvent::Warning { text: "hot".into() }), &mut out);
        let text = printed(&mut out);
        let line = "\x1b[33m    1.500  a  warning: hot\x1b[0m\n";
        assert!(text.ends_with(&format!("\x1b[1A\r\x1b[J{line}\x1b[1mtitle\x1b[0m\n")), "{text:?}");
    }

    #[test]
    fn the_same_event_of_many_slaves_is_one_line() {
        let mut out = Outbox::new();
        let mut view = View::new(false, None, true, 4).of_slaves(SLAVES_ALONE + 1);
        let why = Some("exit status 1".into());
        for nr in 1..=9 {
            let slave = format!("n{nr}");
            view.event(
                Some(1_000),
                Some(&slave),
                &Event::Reported(SlaveEvent::Spawned { entry: "x".into(), nr: 1, pid: Some(nr) }),
                &mut out,
            );
            let exited = SlaveEvent::Exited {
                entry: "x".into(),
                nr: 1,
                exit: None,
                outcome: EntryOutcome::Failed,
                attempt: 1,
                cut_off: false,
                why: why.clone(),
            };
            view.event(Some(2_000), Some(&slave), &Event::Reported(exited), &mut out);
            view.event(
                Some(2_000),
                Some(&slave),
                &Event::Reported(SlaveEvent::Tail { entry: "x".into(), nr: 1, text: "no\ndisk".into() }),
                &mut out,
            );
        }
        assert!(view.waits() && printed(&mut out).is_empty());
        view.event(Some(3_000), None, &Event::Triggered { trigger: "go".into() }, &mut out);
        let lines = [
            "    0.001  n[1-9]  x started",
            "    0.002  n[1-9]  x failed: exit status 1",
            "           n[1-9]  | no",
            "           n[1-9]  | disk",
            "    0.003  *     go fired",
        ];
        assert_eq!(printed(&mut out).lines().collect::<Vec<_>>(), lines);
        for member in ["n2", "n1#a"] {
            let meeting = crate::timeline::event::Meeting::barrier("up");
            view.event(Some(3_000), None, &Event::Arrived { meeting, member: member.into() }, &mut out);
        }
        view.flush(&mut out);
        assert_eq!(printed(&mut out), "    0.003  n2, n1#a  arrived at barrier up\n");
        view.event(
            Some(4_000),
            Some("n3"),
            &Event::Reported(SlaveEvent::Spawned { entry: "y".into(), nr: 1, pid: Some(7) }),
            &mut out,
        );
        view.close(&mut out);
        assert_eq!(printed(&mut out), "    0.004  n3    y started (pid 7)\n");
    }

    #[test]
    fn slaves_of_the_same_state_are_one_row() {
        let slaves = (1..=200).map(|nr| (format!("n{nr:03}"), if nr == 7 { "lost" } else { "x" }.to_owned(), nr == 7));
        let rows = rows_of_slaves(slaves);
        assert_eq!(rows, [Row::new("n[001-006,008-200]", "x"), Row { alarm: true, ..Row::new("n007", "lost") }]);
    }
}
