//! Finds the entries that a command kills with `kill @{ENTRY.pid}`, in the text of the command.
//!
//! The end of a run fails a job that still runs, unless an entry has asked the job to end. A `kill` action shows that
//! without help, but the text of a command must be searched. If the text cannot be understood, nothing is found, and
//! the job must exit without help.

use crate::machine::Signal;
use crate::variables::{self, Segment, Variable};

/// The separators of simple commands in a shell.
const SEPARATORS: [char; 7] = [';', '|', '&', '\n', '(', ')', '`'];

/// Returns the entries with process ids among the arguments of a `kill` in this command, and the signal of each.
pub(super) fn targets(command: &str) -> Vec<(String, Signal)> {
    let (text, entries) = flat(command);
    text.split(SEPARATORS).flat_map(|simple| killed_by(simple, &entries)).collect()
}

/// Returns the text with `@N` in place of the process id of an entry, and the entries by N.
fn flat(command: &str) -> (String, Vec<String>) {
    let (mut text, mut entries) = (String::new(), Vec::new());
    for part in variables::parse(command).unwrap_or_default() {
        match part {
            Segment::Text(plain) => text.push_str(&plain.replace('@', "a")),
            Segment::Variable { variable: Variable::Pid(entry), .. } => {
                text.push_str(&format!("@{}", entries.len()));
                entries.push(entry);
            }
            Segment::Variable { .. } => text.push('x'),
        }
    }
    (text, entries)
}

fn killed_by(simple: &str, entries: &[String]) -> Vec<(String, Signal)> {
    let mut words = simple.split_whitespace().map(|word| word.trim_matches(['"', '\'', '{', '}']));
    if !words.any(|word| word.rsplit('/').next() == Some("kill")) {
        return Vec::new();
    }
    let (mut signal, mut killed) = (Some(Signal::TERM), Vec::new());
    while let Some(word) = words.next() {
        match word {
            "-s" | "-n" | "--signal" => signal = words.next().and_then(Signal::from_name),
            "--" => {}
            _ if word.contains('@') => {
                let entry = word.trim_start_matches('-').strip_prefix('@').and_then(|nr| nr.parse::<usize>().ok());
                killed.extend(entry.and_then(|nr| entries.get(nr)).cloned().zip(signal));
            }
            _ if word.starts_with('-') => {
                signal = Signal::from_name(word.trim_start_matches('-').trim_start_matches("signal="));
            }
            _ => {}
        }
    }
    killed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_of_a_process_id_is_found_with_its_signal() {
        let one = |command: &str| targets(command);
        let term = [("x".to_owned(), Signal::TERM)];
        for command in [
            "kill @{x.pid}",
            "kill \"@{x.pid}\"",
            "sleep 1; /bin/kill -- -@{x.pid}",
            "kill -TERM @{x.pid} 2>/dev/null || true",
            "kill -s SIGTERM @{x.pid}",
            "if true; then kill -@{x.pid}; fi",
            "sudo kill --signal TERM @{x.pid}",
        ] {
            assert_eq!(one(command), term, "{command}");
        }
        let both = [("x".to_owned(), Signal::INT), ("y".to_owned(), Signal::INT)];
        assert_eq!(one("kill -INT @{x.pid} @{y.pid}"), both);
        assert_eq!(one("kill -USR1 @{x.pid}; kill -KILL @{x.pid}").len(), 2);
    }

    #[test]
    fn a_command_that_only_uses_a_process_id_kills_nothing() {
        for command in [
            "kill -0 @{x.pid}",
            "strace -p @{x.pid}",
            "echo @{x.pid}; kill $other",
            "tail --pid=@{x.pid} log; killall y",
            "kill",
            "kill @@{x.pid}",
            "echo 'x",
        ] {
            assert_eq!(targets(command), [], "{command}");
        }
    }
}
