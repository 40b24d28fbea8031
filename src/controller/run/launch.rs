//! The slaves that the controller has started, which end with the run: those of an embedded run are processes on this
//! machine, the others are started, wherever they run, by commands, the launchers.
//!
//! A launcher that ends before its slaves have joined has failed. One that ends later matters no more than a connection
//! to its slave would: the slave lives on, and is lost when it stays away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::controller::config::{Local, LocalSecurity};
use crate::controller::run::roster::{Roster, RunSlave, Stage};
use crate::machine::{ChildId, Command, Exit, Outbox, ReadId, Signal, SystemError};
use crate::text;

/// What `--launch` calls the slaves of an embedded run.
pub const LOCAL: &str = "local";

/// What a launcher writes: in the directory of its slave in the results, or beside those when it starts several.
const LOG: &str = "launch.log";

/// What a slave of this machine writes, in its directory in the results.
pub const SLAVE_LOG: &str = "arete.log";

/// How much of a log is read at once, and kept to find its last line in, in bytes.
const PIECE: usize = 64 * 1024;
const LAST_LINE_MAX: usize = 512;

/// How many pieces are looked through for the last line.
const PIECES_MAX: u64 = 256;

/// How to start the slaves of a run wherever they run.
#[derive(Debug, Clone, Default)]
pub struct Launcher {
    /// Commands for the shell, and for each the slaves that it starts, by their places in the test. Each slave is started
    /// by one of them.
    pub commands: Vec<(Vec<usize>, String)>,
}

/// How many of its last lines are told of a slave of this machine, and of a launcher.
const LINES_OF_A_SLAVE: usize = 3;
const LINES_OF_A_LAUNCHER: usize = 1;

/// The last words of somebody that did not do as it should, while they are being read.
pub(in crate::controller) struct LastWords {
    pub slaves: Vec<usize>,
    /// What it did instead.
    why: String,
    /// How many lines of it are told, and what is said of the rest.
    lines: usize,
    rest: &'static str,
    log: PathBuf,
    offset: u64,
    tail: Vec<u8>,
}

impl LastWords {
    /// Those of a slave of this machine.
    pub(in crate::controller) fn of_slave(ix: usize, why: String, log: PathBuf) -> LastWords {
        let (lines, rest) = (LINES_OF_A_SLAVE, "its log is");
        LastWords { slaves: vec![ix], why, lines, rest, log, offset: 0, tail: Vec::new() }
    }

    pub fn of_launcher(slaves: Vec<usize>, exit: Exit, log: PathBuf) -> LastWords {
        let why = format!("its launcher ended before it had joined: {exit}");
        let (lines, rest) = (LINES_OF_A_LAUNCHER, "all that it said is in");
        LastWords { slaves, why, lines, rest, log, offset: 0, tail: Vec::new() }
    }

    pub fn in_words(&self) -> String {
        let log = self.log.display();
        match last_lines(&self.tail, self.lines) {
            said if said.is_empty() => format!("{}, without a word", self.why),
            said => format!("{}: {}; {} {log}", self.why, text::harmless(&said), self.rest),
        }
    }
}

/// The slaves that the controller has started.
#[derive(Default)]
pub struct Launch {
    launcher: Option<Launcher>,
    children: BTreeMap<ChildId, Vec<usize>>,
    /// The launchers that have ended: others of their groups may live.
    over: Vec<ChildId>,
    /// The slaves whose launchers have ended.
    left: BTreeSet<usize>,
    words: BTreeMap<ReadId, LastWords>,
    /// The slaves of this machine are to come.
    pub(in crate::controller) arrivals: crate::controller::run::arrivals::Arrivals,
    /// The launchers were told to end.
    hurried: bool,
}

impl Launch {
    /// Starts slaves by commands.
    pub fn by(launcher: Launcher) -> Launch {
        Launch { launcher: Some(launcher), ..Launch::default() }
    }

    /// Whether commands start the slaves: then they are told to leave with the run.
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
        // Not as an argument nor in the environment: others can read the one, and commands inherit the other.
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

    /// Starts the launchers of which no slave has come yet: all of them, unless a former life has.
    pub fn start_the_absent(&mut self, roster: &Roster, results: &Path, out: &mut Outbox) {
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

    /// A child has ended or could not start: which slaves it was, or has started.
    pub fn ended(&mut self, child: ChildId) -> Option<Vec<usize>> {
        let slaves = self.children.remove(&child)?;
        self.over.push(child);
        self.left.extend(&slaves);
        Some(slaves)
    }

    /// Whether the launcher of a slave has ended.
    pub fn has_left(&self, ix: usize) -> bool {
        self.is_by_command() && self.left.contains(&ix)
    }

    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Signals every slave that still runs, or every launcher with all that it has started here.
    pub fn kill(&self, signal: Signal, out: &mut Outbox) {
        let over = self.over.iter().filter(|_| self.is_by_command());
        for &child in self.children.keys().chain(over) {
            out.kill_group(child, signal);
        }
    }

    /// Tells launchers that do not end to do so, once: they may have to end something elsewhere, which they cannot when
    /// they are killed.
    pub fn hurry(&mut self, out: &mut Outbox) -> bool {
        let first = self.is_by_command() && !self.is_empty() && !std::mem::replace(&mut self.hurried, true);
        if first {
            self.kill(Signal::TERM, out);
        }
        first
    }

    /// The run is over: launchers none of whose slaves is connected have nobody to wait for, and slaves of this machine
    /// that have never joined hear from nobody that they may go.
    pub fn end_the_useless(&self, roster: &Roster, out: &mut Outbox) {
        for (&child, slaves) in &self.children {
            let useless =
                |member: &RunSlave| member.conn.is_none() && (self.is_by_command() || member.process.is_none());
            if slaves.iter().all(|&ix| useless(roster.get(ix))) {
                out.kill_group(child, Signal::TERM);
            }
        }
    }

    /// Whether a slave was started here, and its process has not ended.
    pub fn runs(&self, ix: usize) -> bool {
        self.children.values().any(|slaves| slaves.contains(&ix))
    }

    /// Whether this is the answer to a question about somebody's last words.
    pub fn reads(&self, read: ReadId) -> bool {
        self.words.contains_key(&read)
    }

    /// More of somebody's last words was read. Returns the words once all is read; `None`: this is not all, or not asked.
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
            self.read_on(words, out);
            return None;
        }
        Some(words)
    }

    pub(in crate::controller) fn read_on(&mut self, words: LastWords, out: &mut Outbox) {
        let read = out.read(words.log.clone(), words.offset, PIECE);
        self.words.insert(read, words);
    }
}

/// Where the launcher of these slaves writes.
pub fn log_of(slaves: &[usize], roster: &Roster, results: &Path) -> PathBuf {
    match slaves {
        [ix] => results.join(&roster.get(*ix).name).join(LOG),
        _ => results.join(LOG),
    }
}

/// The last lines that say anything, as one.
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
    fn the_last_lines_are_the_last_that_say_anything() {
        assert_eq!(last_lines(b"a\nb\r\n\n", 1), "b");
        assert_eq!(last_lines(b"a\nb\r\n\n", 3), "a / b");
        assert_eq!(last_lines(b"1\n2\n3\n\n 4", 3), "2 / 3 / 4");
        assert_eq!(last_lines(b"only", 1), "only");
        assert_eq!(last_lines(b"\n \n", 1), "");
        assert_eq!(last_lines(&[b'x'; 600], 1).len(), LAST_LINE_MAX);
    }
}
