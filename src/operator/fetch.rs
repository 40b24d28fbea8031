//! Fetches the files of a run's results into a directory. A name from the controller must never lead to a file
//! elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use super::pending_requests::Talk;
use crate::session::files::check_results;
use crate::text;
use crate::wire::operate::{Files, Piece};

/// The time line of a run.
pub const EVENTS: &str = "events.jsonl";

/// The report of a run.
pub const REPORT: &str = "report.txt";

/// The most files that are requested at a time.
const WINDOW: usize = 16;

/// The most files of one run.
const FILES_MAX: usize = 1 << 20;

/// The longest name of a file that is replaced as a whole, in bytes. Its temporary file has a longer name.
const REPLACED_MAX: usize = 200;

/// How much of the report is kept to be shown, in bytes.
const REPORT_MAX: usize = 1 << 20;

/// Returns whether a file of this name may be made below a directory: the name does not lead out of the directory, does
/// not begin with a dot, and has no control characters.
pub fn is_results_file(file: &str) -> bool {
    !file.starts_with('.') && check_results(file).is_ok()
}

/// Returns the slave and the file, if a file of this name holds the output of a command.
pub fn output_of(file: &str) -> Option<(&str, &str)> {
    file.split_once('/').filter(|(_, file)| !file.contains('/') && (file.ends_with(".out") || file.ends_with(".err")))
}

/// One file.
#[derive(Debug, Default)]
struct Kept {
    have: u64,
    want: u64,
    /// A piece is requested.
    asked: bool,
    /// It is in `short`.
    queued: bool,
    /// The local file exists.
    made: bool,
}

/// The files of one run.
pub struct Fetch {
    run: String,
    /// The directory for the files. `None`: fetches only what is shown.
    into: Option<PathBuf>,
    /// The output of commands is shown.
    shows: bool,
    files: BTreeMap<String, Kept>,
    /// The files with known bytes that are missing here.
    short: VecDeque<String>,
    asked: usize,
    /// The list of files is requested.
    listing: bool,
    /// The name after which the list continues.
    listed: String,
    /// The run goes on, and its time line is read piece by piece elsewhere.
    pub follows: bool,
    /// The beginning of the report, to be shown.
    pub report: Vec<u8>,
    /// Why the results will not be complete.
    wrong: Option<String>,
    /// A file cannot be written, so nothing more is fetched.
    broken: bool,
}

impl Fetch {
    pub fn new(run: String, into: Option<PathBuf>, shows: bool) -> Fetch {
        Fetch {
            run,
            into,
            shows,
            files: BTreeMap::new(),
            short: VecDeque::new(),
            asked: 0,
            listing: false,
            listed: String::new(),
            follows: false,
            report: Vec::new(),
            wrong: None,
            broken: false,
        }
    }

    pub fn directory(&self) -> Option<&Path> {
        self.into.as_deref()
    }

    /// Returns why the results are incomplete.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// A file is missing. While the run goes on, that may change.
    fn lacks(&mut self, why: String) {
        if !self.follows {
            self.complain(why);
        }
    }

    /// The results will be incomplete. The first reason is kept.
    fn complain(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    /// A file cannot be written.
    pub fn cannot_write(&mut self, path: &Path, error: &str) {
        self.broken = true;
        self.complain(format!("cannot write {}: {error}", path.display()));
    }

    /// The controller is connected, perhaps again: repeats the requests.
    pub fn begin(&mut self, talk: &mut Talk<'_>) {
        self.asked = 0;
        self.short.clear();
        for (name, kept) in &mut self.files {
            kept.asked = false;
            kept.queued = kept.have < kept.want;
            if kept.queued {
                self.short.push_back(name.clone());
            }
        }
        if std::mem::take(&mut self.listing) {
            self.list(talk);
        }
        self.pump(talk);
    }

    /// Requests the list of files and their lengths.
    pub fn list(&mut self, talk: &mut Talk<'_>) {
        if !self.listing {
            self.listed.clear();
            self.listing = true;
            talk.files(&self.run, "");
        }
    }

    /// Returns whether everything known is here.
    pub fn is_still(&self) -> bool {
        !self.listing && self.asked == 0 && self.short.is_empty()
    }

    /// Fetches a file again from its beginning, because the controller may have been restarted since it was read.
    pub fn anew(&mut self, file: &str) {
        if let Some(kept) = self.files.get_mut(file) {
            (kept.have, kept.made) = (0, false);
        }
    }

    /// A part of the list has arrived.
    pub fn told(&mut self, files: Files<'_>, talk: &mut Talk<'_>) {
        if !self.listing {
            return;
        }
        for (name, length) in files.files {
            self.learn(name, length, talk);
        }
        self.listing = false;
        match files.next {
            Some(next) if *next > *self.listed => {
                self.listing = true;
                self.listed = next.into_owned();
                talk.files(&self.run, &self.listed);
            }
            Some(_) => self.complain("the controller names the same files again and again".to_owned()),
            None => {}
        }
        self.pump(talk);
    }

    fn learn(&mut self, name: String, length: u64, talk: &mut Talk<'_>) {
        if !is_results_file(&name) {
            return self.complain(format!("the controller names a file that no results have: {name:?}"));
        }
        let wants = self.into.is_some() || name == REPORT || (self.shows && output_of(&name).is_some());
        if !wants || (self.follows && name == EVENTS) || self.broken {
            return;
        }
        if self.files.len() >= FILES_MAX && !self.files.contains_key(&name) {
            return self.complain(format!("the results have more than {FILES_MAX} files"));
        }
        let kept = self.files.entry(name.clone()).or_default();
        if length < kept.have {
            // It was replaced.
            (kept.have, kept.made) = (0, false);
        }
        kept.want = length;
        if !kept.made && length == 0 {
            kept.made = true;
            if let Some(into) = &self.into {
                write_anew(into, &name, Vec::new(), talk);
            }
        }
        if kept.have < length && !kept.asked && !std::mem::replace(&mut kept.queued, true) {
            self.short.push_back(name);
        }
    }

    fn pump(&mut self, talk: &mut Talk<'_>) {
        if self.broken {
            self.short.clear();
        }
        while self.asked < WINDOW {
            let Some(name) = self.short.pop_front() else { return };
            let Some(kept) = self.files.get_mut(&name) else { continue };
            kept.queued = false;
            if kept.asked || kept.have >= kept.want {
                continue;
            }
            kept.asked = true;
            self.asked += 1;
            talk.get(&self.run, &name, kept.have);
        }
    }

    /// A piece of a file has arrived. Returns its new bytes.
    pub fn piece<'p>(&mut self, piece: &'p Piece<'_>, talk: &mut Talk<'_>) -> &'p [u8] {
        let Some(kept) = self.files.get_mut(&*piece.file).filter(|kept| kept.asked) else { return &[] };
        kept.asked = false;
        self.asked = self.asked.saturating_sub(1);
        let mut new: &[u8] = &[];
        if piece.offset == kept.have {
            if piece.data.is_empty() {
                kept.want = kept.have;
                let why = format!("{} is shorter than the controller has said", piece.file);
                self.lacks(why);
            } else {
                new = &piece.data;
                self.keep(&piece.file, new, talk);
            }
        }
        let kept = self.files.get_mut(&*piece.file).filter(|kept| kept.have < kept.want);
        if kept.is_some_and(|kept| !std::mem::replace(&mut kept.queued, true)) {
            self.short.push_back(piece.file.clone().into_owned());
        }
        self.pump(talk);
        new
    }

    /// Appends the next bytes of a file.
    pub fn keep(&mut self, file: &str, data: &[u8], talk: &mut Talk<'_>) {
        let kept = self.files.entry(file.to_owned()).or_default();
        let offset = kept.have;
        kept.have += data.len() as u64;
        kept.want = kept.want.max(kept.have);
        let made = std::mem::replace(&mut kept.made, true);
        match &self.into {
            Some(into) if made => talk.out.write_at(into.join(file), offset, data.to_vec(), false),
            Some(into) => write_anew(into, file, data.to_vec(), talk),
            None => {}
        }
        if file == REPORT {
            if offset == 0 {
                self.report.clear();
            }
            let room = REPORT_MAX.saturating_sub(self.report.len());
            self.report.extend_from_slice(&data[..data.len().min(room)]);
        }
    }

    /// The request for a file, or for the list (`None`), is denied.
    pub fn denied(&mut self, file: Option<&str>, reason: &str, talk: &mut Talk<'_>) {
        match file {
            None => self.listing = false,
            Some(file) => {
                let Some(kept) = self.files.get_mut(file).filter(|kept| kept.asked) else { return };
                kept.asked = false;
                kept.want = kept.have;
                self.asked = self.asked.saturating_sub(1);
            }
        }
        self.lacks(format!("{}: {}", file.unwrap_or("the results"), text::harmless(reason)));
        self.pump(talk);
    }
}

/// Writes the beginning of a file, in place of an existing one.
fn write_anew(into: &Path, file: &str, data: Vec<u8>, talk: &mut Talk<'_>) {
    let name = file.rsplit('/').next().unwrap_or(file);
    if name.len() <= REPLACED_MAX {
        talk.out.persist(into.join(file), data);
    } else {
        talk.out.write_at(into.join(file), 0, data, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_results() {
        for good in ["events.jsonl", "a/x.out", "a/x.files/.hidden", "a/x.2.files/sub/a b.log"] {
            assert!(is_results_file(good), "{good}");
        }
        let long = "x/".repeat(1_200) + "x";
        let bad = ["", "/etc/passwd", "../x", "a/../../x", "a//x", "a/", "./x", ".run", "a/x\n", "a/\u{9b}2J", &long];
        for bad in bad.into_iter().chain(["a/\u{202e}x", "a/\u{2028}x", "a/\0", ".."]) {
            assert!(!is_results_file(bad), "{bad:?}");
        }
    }
}
