//! The events of a world, line by line, for people and for comparisons of two runs of one seed.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The number of last lines that are kept for a report.
const KEEP_LINES: usize = 100;

/// Off in a sweep, where formatting would take longer than the run. A failing seed is run again with the trace on.
#[derive(Default)]
pub struct Trace {
    pub on: bool,
    /// Print each line at once.
    pub print: bool,
    lines: VecDeque<String>,
    hash: DefaultHasher,
}

impl Trace {
    pub fn line(&mut self, step: u64, now: u64, text: &str) {
        let line = format!("{step:6} {:4}.{:06} {text}", now / 1_000_000, now % 1_000_000);
        line.hash(&mut self.hash);
        if self.print {
            println!("{line}");
        }
        if self.lines.len() == KEEP_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub fn last_lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Two runs with the same hash were equal.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }
}

/// Bytes as text for a trace: short and printable.
pub fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 160;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { format!("... ({} bytes)", bytes.len()) } else { String::new() };
    format!("{}{more}", text.escape_debug())
}
