//! Reads a ledger after a restart, one line at a time, so that a long ledger takes no more memory than its state.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use super::error::{Damage, FileError, LedgerError};
use super::fact::{FORMAT, Fact, Header};
use crate::machine::Time;

/// A file that is read by lines.
pub trait ReadLine {
    /// Appends the next line with its end. Appends nothing at the end of the file.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<(), FileError>;
}

/// The file of a ledger. It is read twice: once for its header and its end, and once to replay it.
#[derive(Clone)]
pub struct Source(Rc<dyn Fn() -> Result<Box<dyn ReadLine>, FileError>>);

impl Source {
    /// Each call of `open` returns the file from its beginning.
    pub fn new(open: impl Fn() -> Result<Box<dyn ReadLine>, FileError> + 'static) -> Source {
        Source(Rc::new(open))
    }
}

/// A ledger in memory.
struct Bytes {
    bytes: Rc<[u8]>,
    at: usize,
}

impl ReadLine for Bytes {
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<(), FileError> {
        let rest = &self.bytes[self.at..];
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        line.extend_from_slice(&rest[..end]);
        self.at += end;
        Ok(())
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Source {
        let bytes: Rc<[u8]> = bytes.into();
        Source::new(move || Ok(Box::new(Bytes { bytes: bytes.clone(), at: 0 })))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// The time line of a run, which is rebuilt while the ledger is replayed. A crash may have torn it or lost a part;
/// after the replay it has exactly the events of the ledger.
pub trait TimeLine {
    /// Appends events.
    fn put(&mut self, bytes: &[u8]) -> Result<(), FileError>;

    /// Ends the time line.
    fn end(&mut self) -> Result<(), FileError>;
}

/// No time line, for a controller of rooms.
impl TimeLine for () {
    fn put(&mut self, _: &[u8]) -> Result<(), FileError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), FileError> {
        Ok(())
    }
}

/// A time line in memory, for tests.
#[cfg(test)]
impl TimeLine for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), FileError> {
        Ok(())
    }
}

/// A ledger of an earlier process of the controller.
#[derive(Debug, Clone)]
pub struct Past {
    /// The first line of the ledger.
    pub header: Header,
    source: Source,
    /// The length of the complete lines, in bytes. The rest was torn by a crash and is cut off.
    whole: u64,
    /// The last instant in it.
    last: Time,
    /// The boots in which it was written, and how far the controller's clock was ahead of the system's in each.
    clocks: BTreeMap<String, i64>,
    ended: bool,
    /// The files of a run's slaves in the results directory, with their lengths in bytes.
    files: Vec<(String, u64)>,
}

/// The facts of one input, and its time.
pub(in crate::controller) struct Line<'a> {
    /// Where the line ends in the file, in bytes.
    pub end: u64,
    pub at: Time,
    pub facts: Vec<Fact<'a>>,
}

impl Past {
    /// Returns the key by which submitted runs are sorted after a restart.
    pub fn place_in_queue(&self) -> (Time, u64) {
        (self.header.begun, self.header.run.as_ref().map_or(0, |terms| terms.place))
    }

    /// Reads a ledger. `path` is its name in errors. Fails if the controller was killed before it wrote the first line.
    pub fn read(path: &Path, source: impl Into<Source>) -> Result<Past, LedgerError> {
        Past::find(path, source)?.ok_or_else(|| LedgerError::Empty { path: path.to_owned() })
    }

    /// Reads a ledger. Returns `None` if the controller was killed before it wrote the first line.
    pub fn find(path: &Path, source: impl Into<Source>) -> Result<Option<Past>, LedgerError> {
        let source = source.into();
        let cannot = |error| LedgerError::Unreadable { path: path.to_owned(), error };
        let wrong = |number, damage| LedgerError::Line { path: path.to_owned(), number, damage };
        let mut lines = Lines::of(&source).map_err(cannot)?;
        if !lines.advance().map_err(cannot)? {
            return Ok(None);
        }
        let header = read_header(lines.line()).map_err(|damage| wrong(1, damage))?;
        let clocks = BTreeMap::from([(header.boot.clone(), header.shift)]);
        let (whole, last) = (lines.end, header.begun);
        let mut past = Past { header, source, whole, last, clocks, ended: false, files: Vec::new() };
        while lines.advance().map_err(cannot)? {
            if let Err(damage) = parse(lines.line()).map(|(at, facts)| past.scan(at, facts)) {
                let damaged = wrong(lines.number, damage);
                // A crash of the whole system may leave a damaged last line that has its end.
                return if lines.advance().map_err(cannot)? { Err(damaged) } else { Ok(Some(past)) };
            }
            past.whole = lines.end;
        }
        Ok(Some(past))
    }

    /// Records what must be known of a line before the replay.
    fn scan(&mut self, at: Time, facts: Vec<Fact<'_>>) {
        self.last = self.last.max(at);
        for fact in facts {
            match fact {
                Fact::Resumed { boot, shift } => drop(self.clocks.insert(boot.into_owned(), shift)),
                Fact::Ended { .. } => self.ended = true,
                _ => {}
            }
        }
    }

    /// Adds the files in the results directory, by relative paths, with their lengths in bytes.
    pub fn with_files(self, files: Vec<(String, u64)>) -> Past {
        Past { files, ..self }
    }

    pub(in crate::controller) fn files(&self) -> &[(String, u64)] {
        &self.files
    }

    /// Returns the length of the complete lines, in bytes.
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// Returns whether its run is over.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns the last instant in it.
    pub(in crate::controller) fn last(&self) -> Time {
        self.last
    }

    /// Calls `each` with the lines after the first. `path` is the ledger's name in errors.
    pub(in crate::controller) fn each_line(
        &self,
        path: &Path,
        mut each: impl FnMut(&Line<'_>) -> Result<(), Damage>,
    ) -> Result<(), LedgerError> {
        let cannot = |error| LedgerError::Unreadable { path: path.to_owned(), error };
        let mut lines = Lines::of(&self.source).map_err(cannot)?;
        lines.advance().map_err(cannot)?;
        while lines.end < self.whole && lines.advance().map_err(cannot)? {
            let (number, end) = (lines.number, lines.end);
            let named = |damage| LedgerError::Line { path: path.to_owned(), number, damage };
            let (at, facts) = parse(lines.line()).map_err(named)?;
            each(&Line { end, at, facts }).map_err(named)?;
        }
        Ok(())
    }

    /// Returns how far the controller's clock must be ahead of the system's. In a boot that the ledger scan it is the
    /// recorded distance; in another, the wall clock tells how much time has passed.
    pub(in crate::controller) fn shift(&self, boot: &str, wall_offset: i64) -> i64 {
        self.clocks.get(boot).copied().unwrap_or_else(|| wall_offset.wrapping_sub(self.header.wall_offset))
    }
}

/// The complete lines of a ledger.
struct Lines {
    reader: Box<dyn ReadLine>,
    line: Vec<u8>,
    number: usize,
    end: u64,
}

impl Lines {
    fn of(source: &Source) -> Result<Lines, FileError> {
        Ok(Lines { reader: (source.0)()?, line: Vec::new(), number: 0, end: 0 })
    }

    /// Reads the next line. Returns `false` at the end, or if the line was torn by a crash.
    fn advance(&mut self) -> Result<bool, FileError> {
        self.line.clear();
        self.reader.read_line(&mut self.line)?;
        if !self.line.ends_with(b"\n") {
            return Ok(false);
        }
        self.number += 1;
        self.end += self.line.len() as u64;
        Ok(true)
    }

    fn line(&self) -> &[u8] {
        self.line.strip_suffix(b"\n").unwrap_or(&self.line)
    }
}

fn read_header(line: &[u8]) -> Result<Header, Damage> {
    /// The field that all formats have.
    #[derive(Deserialize)]
    struct AnyFormat {
        format: u32,
    }
    let damaged = |error: serde_json::Error| Damage::NotALedger(error.to_string());
    let AnyFormat { format } = serde_json::from_slice(line).map_err(damaged)?;
    if format != FORMAT {
        return Err(Damage::Format(format));
    }
    serde_json::from_slice(line).map_err(damaged)
}

fn parse(line: &[u8]) -> Result<(Time, Vec<Fact<'_>>), Damage> {
    serde_json::from_slice(line).map_err(|error| Damage::NoFacts(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::{FILE, Ledger, Terms};
    use super::*;
    use crate::machine::{Effect, Outbox};

    fn ledger() -> Vec<u8> {
        let (ledger, mut out) = (Ledger::default(), Outbox::new());
        ledger.open(FILE.into(), 0, 0);
        let (by, boot) = ("arete".to_owned(), "boot".to_owned());
        ledger.head(&Header {
            format: FORMAT,
            by,
            wall_offset: 7,
            begun: Time::from_micros(1),
            boot,
            shift: 0,
            run: Some(Terms { test: "\u{202e}cat".to_owned(), ..Terms::default() }),
        });
        ledger.flush(0, &mut out);
        for now in [10, 20] {
            let mark = out.mark();
            out.exit(0);
            ledger.turn(Time::from_micros(now));
            ledger.write(&Fact::Ready { slave: 1 });
            ledger.write_raw("map", br#"{"type":"map","map":{"a": [ ]}}"#);
            ledger.flush(mark, &mut out);
        }
        let effects: Vec<Effect> = out.drain().collect();
        assert!(matches!(effects[1], Effect::Append { .. }), "a fact is written before its effect");
        let text = |effect: &Effect| match effect {
            Effect::Append { bytes, .. } => bytes.clone(),
            _ => Vec::new(),
        };
        effects.iter().flat_map(text).collect()
    }

    fn facts(past: &Past) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        let read = past.each_line(Path::new(FILE), |line| {
            all.push((line.at.as_micros(), serde_json::to_string(&line.facts).expect("it was read")));
            Ok(())
        });
        read.expect("it was read before");
        all
    }

    #[test]
    fn written_facts_are_read_and_a_torn_line_is_cut_off() {
        let bytes = ledger();
        let ends: Vec<usize> = memchr::memchr_iter(b'\n', &bytes).map(|at| at + 1).collect();
        let all = facts(&Past::read(Path::new(FILE), bytes.clone()).expect("it is whole"));
        let line = r#"[{"ready":{"slave":1}},{"map":{"type":"map","map":{"a": [ ]}}}]"#.to_owned();
        assert_eq!(all, [(10, line.clone()), (20, line)]);
        for end in 0..bytes.len() {
            let whole = ends.iter().filter(|at| **at <= end).count();
            match Past::read(Path::new(FILE), bytes[..end].to_vec()) {
                Err(why) => assert!(whole == 0 && matches!(why, LedgerError::Empty { .. }), "{end}: {why}"),
                Ok(past) => {
                    assert_eq!((past.whole() as usize, facts(&past)), (ends[whole - 1], all[..whole - 1].to_vec()));
                }
            }
        }
        let mut blank = bytes.clone();
        blank.extend_from_slice(b"\0\0\0\n");
        assert_eq!(Past::read(Path::new(FILE), blank).expect("the last line is cut off").whole(), bytes.len() as u64);
    }

    #[test]
    fn the_text_of_a_test_is_harmless_to_a_terminal() {
        let bytes = ledger();
        assert!(!String::from_utf8_lossy(&bytes).contains('\u{202e}'));
        let past = Past::read(Path::new(FILE), bytes).expect("it is whole");
        assert_eq!(past.header.run.expect("a run").test, "\u{202e}cat");
    }

    #[test]
    fn a_damaged_line_is_named_and_so_is_another_format() {
        let text = String::from_utf8(ledger()).expect("JSON is text");
        let read = |text: String| Past::read(Path::new(FILE), text.into_bytes()).unwrap_err().to_string();
        let why = read(text.replace("[10,[{\"ready\"", "[10,[{\"reedy\""));
        assert!(why.starts_with("state.jsonl:2: this line is damaged"), "{why}");
        let why = read(text.replace("\"format\":1", "\"format\":2"));
        assert!(why.starts_with("state.jsonl:1: it has format 2") && why.contains("reads format 1"), "{why}");
        assert!(read("{}\n".to_owned()).starts_with("state.jsonl:1: this is not the ledger"));
    }
}
