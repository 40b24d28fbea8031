//! A directory for one test, and everything that runs in it.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::program::{Program, Record};
use super::{holds_within, strays};

/// The variable in the environment of every process of a test.
pub const MARK: &str = "ARETE_TEST_MARK";

/// How much of a file is shown if a test fails, in bytes from its end.
const SHOWN_OF_A_FILE: usize = 20_000;

/// The limit on the time until a killed process has disappeared.
const DISAPPEARS_WITHIN: Duration = Duration::from_secs(2);

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A temporary directory. It is removed if the test passes, and kept, named and shown if it fails.
pub struct Place {
    dir: PathBuf,
    mark: String,
    pub(super) records: RefCell<Vec<Record>>,
}

impl Place {
    /// Makes a new one. `name` is for people.
    pub fn new(name: &str) -> Place {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mark = format!("arete-{name}-{}-{serial}", std::process::id());
        let dir = fs::canonicalize(std::env::temp_dir()).expect("there is a temporary directory").join(&mark);
        fs::create_dir(&dir).unwrap_or_else(|error| panic!("cannot create {}: {error}", dir.display()));
        let place = Place { dir, mark, records: RefCell::default() };
        // The directory for temporary files of the test's programs, so that the test sees the files that they leave.
        fs::create_dir(place.path("tmp")).expect("a new directory has room for another");
        // The directory for their sockets.
        fs::create_dir(place.path("run")).expect("a new directory has room for another");
        place
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The number of programs that were started here. The next program gets another number.
    pub fn serial(&self) -> usize {
        self.records.borrow().len()
    }

    /// The value in the environment of every process of this test.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.join(relative)
    }

    /// Writes a file, and creates the directories above it.
    pub fn write(&self, relative: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("directories can be made");
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }

    /// Lets every user write here, for programs that run as another user. As in /tmp, a user cannot move files of
    /// another.
    pub fn make_writable_for_all(&self) {
        use std::os::unix::fs::PermissionsExt;
        let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o1777));
        for dir in [self.dir.clone(), self.path("tmp"), self.path("run")] {
            open(&dir).unwrap_or_else(|error| panic!("cannot open {} to everybody: {error}", dir.display()));
        }
    }

    /// Reads a file.
    #[track_caller]
    pub fn read(&self, relative: impl AsRef<Path>) -> String {
        let path = self.path(relative);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The program under test.
    pub fn arete<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Program<'_> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arete"));
        command.args(args);
        self.program(command)
    }

    /// Another program, with the same directory, deadline and cleanup.
    pub fn program(&self, command: Command) -> Program<'_> {
        Program::new(self, command)
    }

    /// A run's `summary.json`.
    #[track_caller]
    pub fn summary(&self, results: &str) -> Value {
        let text = self.read(Path::new(results).join("summary.json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("summary.json is not JSON: {error}: {text}"))
    }

    /// The lines of a run's `events.jsonl`, without a piece of a line at its end, which is still being written.
    #[track_caller]
    pub fn events(&self, results: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(results).join("events.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("an event is not JSON: {error}: {line}"));
        whole.lines().map(parse).collect()
    }

    /// The number of a run's events with this name.
    pub fn count(&self, results: &str, name: &str) -> usize {
        self.events(results).iter().filter(|event| event["event"] == name).count()
    }

    /// Every regular file below a directory with this file name.
    pub fn find(&self, relative: &str, file_name: &str) -> Vec<PathBuf> {
        let mut found = files_below(&self.path(relative));
        found.retain(|path| path.file_name() == Some(OsStr::new(file_name)));
        found
    }

    /// Fails the test if a process with this test's mark still runs.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let mut left = Vec::new();
        let gone = holds_within(DISAPPEARS_WITHIN, || {
            left = strays::of(&self.mark, &self.dir);
            left.is_empty()
        });
        assert!(gone, "left running: {left:#?}");
    }

    /// Fails the test if the programs left a file in their temporary directory.
    #[track_caller]
    pub fn assert_no_temporary_files(&self) {
        let left = files_below(&self.path("tmp"));
        assert!(left.is_empty(), "left in the temporary directory: {left:#?}");
    }

    /// Prints the commands, their output, and the files.
    fn show(&self) {
        for record in self.records.borrow().iter() {
            eprintln!("==== $ {}\n     {}", record.command, record.status);
            show_file(&record.stdout);
            show_file(&record.stderr);
        }
        let files = files_below(&self.dir);
        eprintln!("==== files in {}", self.dir.display());
        for path in &files {
            let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
            eprintln!("{size:>10}  {}", path.strip_prefix(&self.dir).unwrap_or(path).display());
        }
        for path in files.iter().filter(|path| path.ends_with("summary.json") || path.ends_with("events.jsonl")) {
            show_file(path);
        }
        for stray in strays::of(&self.mark, &self.dir) {
            eprintln!("==== still running: {stray:?}");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            self.show();
        }
        holds_within(DISAPPEARS_WITHIN, || {
            let left = strays::of(&self.mark, &self.dir);
            left.iter().for_each(strays::Stray::kill);
            left.is_empty()
        });
        if failed {
            eprintln!("==== kept: {}", self.dir.display());
        } else if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("cannot remove {}: {error}", self.dir.display());
        }
    }
}

/// Regular files below `dir`, sorted.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => todo.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn show_file(path: &Path) {
    let bytes = fs::read(path).unwrap_or_default();
    if bytes.is_empty() {
        return;
    }
    let shown = &bytes[bytes.len().saturating_sub(SHOWN_OF_A_FILE)..];
    let cut = if shown.len() < bytes.len() { " (its end)" } else { "" };
    eprintln!("---- {}{cut}\n{}", path.display(), String::from_utf8_lossy(shown));
}
