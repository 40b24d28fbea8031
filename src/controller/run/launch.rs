//! The slaves that the controller starts, which end with the run. The slaves of an embedded run are processes of this
//! machine. Others are started, on any machine, by commands: the launchers.
//!
//! A launcher that ends before its slaves have joined has failed. One that ends later does not matter: the slave may
//! live on, and is lost only if it stays disconnected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::controller::config::{Local, LocalSecurity};
use crate::controller::run::roster::{Roster, RunSlave, Stage};
use crate::machine::{ChildId, Command, Exit, Outbox, ReadId, Signal, SystemError};
use crate::text;

/// The value of `--launch` for the slaves of an embedded run.
pub const LOCAL: &str = "local";

/// The log of a launcher: in the directory of its slave in the results, or in the results directory if it starts
/// several.
const LOG: &str = "launch.log";

/// The log of a slave of this machine, in its directory in the results.
pub const SLAVE_LOG: &str = "arete.log";

/// How much of a log is read at once, in bytes. Of the last piece with text, the last line is shown.
const PIECE: usize = 64 * 1024;
const LAST_LINE_MAX: usize = 512;

/// How many pieces are searched for the last line.
const PIECES_MAX: u64 = 256;

/// The launchers of a run.
#[derive(Debug, Clone, Default)]
pub struct Launcher {
    /// Commands for the shell, each with the slaves that it starts, by their places in the test. Each slave is started
    /// by one command.
    pub commands: Vec<(Vec<usize>, String)>,
}

/// How many of its last lines a message shows, for a slave of this machine and for a launcher.
const LINES_OF_A_SLAVE: usize = 3;
const LINES_OF_A_LAUNCHER: usize = 1;

/// The last lines of the log of a slave or a launcher that has failed, while they are being read.
pub(in crate::controller) struct LastWords {
    pub slaves: Vec<usize>,
    /// The failure.
    why: String,
    /// How many lines are shown, and how the message refers to the rest.
    lines: usize,
    rest: &'static str,
    log: PathBuf,
    offset: u64,
    tail: Vec<u8>,
}

impl LastWords {
    /// The log of a slave of this machine that has ended. Nothing is read yet.
    pub(in crate::controller) fn of_slave(ix: usize, why: String, log: PathBuf) -> LastWords {
        let (lines, rest) = (LINES_OF_A_SLAVE, "its log is");
        LastWords { slaves: vec![ix], why, lines, rest, log, offset: 0, tail: Vec::new() }
    }

    /// The log of a launcher that ended before its slaves had joined. Nothing is read yet.
    pub fn of_launcher(slaves: Vec<usize>, exit: Exit, log: PathBuf) -> LastWords {
        let why = format!("its launcher ended before it had joined: {exit}");
        let (lines, rest) = (LINES_OF_A_LAUNCHER, "its whole output is in");
        LastWords { slaves, why, lines, rest, log, offset: 0, tail: Vec::new() }
    }

    pub fn in_words(&self) -> String {
        let log = self.log.display();
        match last_lines(&self.tail, self.lines) {
            said if said.is_empty() => format!("{}, with no output", self.why),
            said => format!("{}: {}; {} {log}", self.why, text::harmless(&said), self.rest),
        }
    }
}

/// The slaves that the controller starts.
#[derive(Default)]
pub struct Launch {
    launcher: Option<Launcher>,
    children: BTreeMap<ChildId, Vec<usize>>,
    /// The launchers that have ended; their process groups may have other processes.
    over: Vec<ChildId>,
    /// The slaves with launchers that have ended.
    left: BTreeSet<usize>,
    words: BTreeMap<ReadId, LastWords>,
    /// The slaves of this machine that are still awaited.
    pub(in crate::controller) arrivals: crate::controller::run::arrivals::Arrivals,
    /// The launchers were asked to end.
    terminating: bool,
}

impl Launch {
    /// Creates the state for launchers.
    pub fn by(launcher: Launcher) -> Launch {
        Launch { launcher: Some(launcher), ..Launch::default() }
    }

    /// Returns whether commands start the slaves. Such slaves are asked to exit when the run ends.
    pub fn is_by_command(&self) -> bool {
        self.launcher.is_some()
    }

    /// Starts a slave on this machine.
    pub fn start(&mut self, local: &Local, ix: usize, name: &str, results: &Path, out: &mut Outbox) {
        let mut argv = vec![local.arete.display().to_string(), "slave".to_owned(), "--once".to_owned()];
        argv.extend(["--controller".to_owned(), local.address.clone(), "--name".to_owned(), name.to_owned()]);
        argv.extend(["--dir".to_owned(), local.dir.join(name).display().to_string()]);
        if local.keep {
            argv.push("--keep".to_owned());
        }
        match &local.security {
            LocalSecurity::Loopback => {}
            LocalSecurity::Insecure => argv.push("--insecure".to_owned()),
            LocalSecurity::Tls(host) => argv.extend(["--tls".to_owned(), host.join(name).display().to_string()]),
        }
        // The secret is passed on standard input, because other users can read arguments, and commands inherit the
        // environment.
        argv.extend(local.secret.as_ref().map(|_| "--secret".to_owned()));
        let child = out.spawn(Command {
            argv,
            stdin: local.secret.clone().map(String::into_bytes),
            stderr: Some(results.join(name).join(SLAVE_LOG)),
            dies_with_us: true,
            ..Command::default()
        });
        self.children.insert(child, vec![ix]);
    }

    /// Starts the launchers of slaves that have never joined. After a restart, some have.
    pub fn start_absent(&mut self, roster: &Roster, results: &Path, out: &mut Outbox) {
        for (slaves, command) in self.launcher.iter().flat_map(|launcher| &launcher.commands) {
            if !slaves.iter().all(|&ix| roster.get(ix).stage == Stage::Absent) {
                continue;
            }
            let log = Some(log_of(slaves, roster, results));
            let child = out.spawn(Command {
                argv: ["/bin/sh", "-c", command].map(str::to_owned).to_vec(),
                arete_on_path: true,
                stdout: log.clone(),
                stderr: log,
                dies_with_us: true,
                ..Command::default()
            });
            self.children.insert(child, slaves.clone());
        }
    }

    /// Removes a child that has ended or could not start. Returns the slaves that it was, or has started.
    pub fn ended(&mut self, child: ChildId) -> Option<Vec<usize>> {
        let slaves = self.children.remove(&child)?;
        self.over.push(child);
        self.left.extend(&slaves);
        Some(slaves)
    }

    /// Returns whether the launcher of a slave has ended.
    pub fn has_left(&self, ix: usize) -> bool {
        self.is_by_command() && self.left.contains(&ix)
    }

    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Sends a signal to every slave that still runs, or to the process group of every launcher.
    pub fn kill(&self, signal: Signal, out: &mut Outbox) {
        let over = self.over.iter().filter(|_| self.is_by_command());
        for &child in self.children.keys().chain(over) {
            out.kill_group(child, signal);
        }
    }

    /// Asks launchers to end, once. They may have to end something on another machine, which they cannot do when they
    /// are killed.
    pub fn terminate_once(&mut self, out: &mut Outbox) -> bool {
        let first = self.is_by_command() && !self.is_empty() && !std::mem::replace(&mut self.terminating, true);
        if first {
            self.kill(Signal::TERM, out);
        }
        first
    }

    /// Ends the launchers without a connected slave, and slaves of this machine that have never joined, because they
    /// will not hear that the run is over.
    pub fn end_unconnected(&self, roster: &Roster, out: &mut Outbox) {
        for (&child, slaves) in &self.children {
            let useless =
                |member: &RunSlave| member.conn.is_none() && (self.is_by_command() || member.process.is_none());
            if slaves.iter().all(|&ix| useless(roster.get(ix))) {
                out.kill_group(child, Signal::TERM);
            }
        }
    }

    /// Returns whether a slave was started here and its process has not ended.
    pub fn runs(&self, ix: usize) -> bool {
        self.children.values().any(|slaves| slaves.contains(&ix))
    }

    /// Returns whether this read belongs to a log of last lines.
    pub fn reads(&self, read: ReadId) -> bool {
        self.words.contains_key(&read)
    }

    /// Handles a piece of a log. Returns the result when enough was read; `None` if more is awaited, or the read is not
    /// known.
    pub fn last_words(
        &mut self,
        read: ReadId,
        said: Result<&[u8], SystemError>,
        out: &mut Outbox,
    ) -> Option<LastWords> {
        let mut words = self.words.remove(&read)?;
        let said = said.unwrap_or_default();
        words.tail.extend_from_slice(said);
        words.tail.drain(..words.tail.len().saturating_sub(PIECE));
        words.offset += said.len() as u64;
        if said.len() == PIECE && words.offset < PIECE as u64 * PIECES_MAX {
            self.read_next(words, out);
            return None;
        }
        Some(words)
    }

    pub(in crate::controller) fn read_next(&mut self, words: LastWords, out: &mut Outbox) {
        let read = out.read(words.log.clone(), words.offset, PIECE);
        self.words.insert(read, words);
    }
}

/// Returns the path of the log of the launcher of these slaves.
pub fn log_of(slaves: &[usize], roster: &Roster, results: &Path) -> PathBuf {
    match slaves {
        [ix] => results.join(&roster.get(*ix).name).join(LOG),
        _ => results.join(LOG),
    }
}

/// Returns the last lines that are not blank, as one.
fn last_lines(text: &[u8], most: usize) -> String {
    let lines =
        text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let mut last: Vec<_> = lines.rev().take(most).collect();
    last.reverse();
    let shown = |line: &&[u8]| String::from_utf8_lossy(&line[..line.len().min(LAST_LINE_MAX)]).into_owned();
    last.iter().map(shown).collect::<Vec<_>>().join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_not_blank() {
        assert_eq!(last_lines(b"a\nb\r\n\n", 1), "b");
        assert_eq!(last_lines(b"a\nb\r\n\n", 3), "a / b");
        assert_eq!(last_lines(b"1\n2\n3\n\n 4", 3), "2 / 3 / 4");
        assert_eq!(last_lines(b"only", 1), "only");
        assert_eq!(last_lines(b"\n \n", 1), "");
        assert_eq!(last_lines(&[b'x'; 600], 1).len(), LAST_LINE_MAX);
    }
}
