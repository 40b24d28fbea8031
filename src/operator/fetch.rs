//! Brings the files of a run's results into a directory here. Nothing that the controller says makes anything appear
//! elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use super::pending_requests::Talk;
use crate::session::files::check_results;
use crate::text;
use crate::wire::operate::{Files, Piece};

/// The time line of a run.
pub const EVENTS: &str = "events.jsonl";

/// The last words of a run.
pub const REPORT: &str = "report.txt";

/// How many files are asked for at once.
const WINDOW: usize = 16;

/// How many files of one run are fetched.
const FILES_MAX: usize = 1 << 20;

/// How long the name of a file may be that is replaced as a whole, in bytes: what it is written to first has a longer one.
const REPLACED_MAX: usize = 200;

/// How much of the last words is kept to be shown.
const REPORT_MAX: usize = 1 << 20;

/// Whether a file of that name may be made below a directory: no way leads out of it, none is hidden at its top, and a
/// terminal may show it.
pub fn is_results_file(file: &str) -> bool {
    !file.starts_with('.') && check_results(file).is_ok()
}

/// The slave and the file, if a file of this name holds what a command writes.
pub fn output_of(file: &str) -> Option<(&str, &str)> {
    file.split_once('/').filter(|(_, file)| !file.contains('/') && (file.ends_with(".out") || file.ends_with(".err")))
}

/// One file.
#[derive(Debug, Default)]
struct Kept {
    have: u64,
    want: u64,
    /// A piece of it was asked for.
    asked: bool,
    /// It is among those that are short.
    queued: bool,
    /// It was begun here.
    made: bool,
}

/// The files of one run.
pub struct Fetch {
    run: String,
    /// Where they are kept. `None`: nowhere; only what is shown is fetched.
    into: Option<PathBuf>,
    /// What the commands write is shown.
    shows: bool,
    files: BTreeMap<String, Kept>,
    /// Those that are not here as far as they are known to go.
    short: VecDeque<String>,
    asked: usize,
    /// Names of files are being told.
    listing: bool,
    /// The name behind which the next ones are.
    listed: String,
    /// The run goes on: its time line is followed piece by piece, not fetched.
    pub follows: bool,
    /// What the last words were, as far as they are to be shown.
    pub report: Vec<u8>,
    /// Why not all of it is here, or will be.
    wrong: Option<String>,
    /// Something cannot be written: nothing more is fetched.
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

    /// Why something is missing, if anything is.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Something cannot be had. While the run goes on that may change.
    fn lacks(&mut self, why: String) {
        if !self.follows {
            self.complain(why);
        }
    }

    /// Something cannot be had or kept for good; the first such thing is told.
    fn complain(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    /// A file cannot be written here.
    pub fn cannot_write(&mut self, path: &Path, error: &str) {
        self.broken = true;
        self.complain(format!("cannot write {}: {error}", path.display()));
    }

    /// The controller is there, perhaps again: what was asked before is asked again.
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

    /// Asks which files there are, and how long.
    pub fn list(&mut self, talk: &mut Talk<'_>) {
        if !self.listing {
            self.listed.clear();
            self.listing = true;
            talk.files(&self.run, "");
        }
    }

    /// All that is known to be there is here.
    pub fn is_still(&self) -> bool {
        !self.listing && self.asked == 0 && self.short.is_empty()
    }

    /// The time line is to be fetched as a whole, because what was followed may have been another's.
    pub fn anew(&mut self, file: &str) {
        if let Some(kept) = self.files.get_mut(file) {
            (kept.have, kept.made) = (0, false);
        }
    }

    /// Some files, and how long they are.
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
            // It was written anew.
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

    /// A piece of a file that was asked for; gives what of it is new.
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

    /// The next bytes of a file are these.
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

    /// A file, or the list of them (`None`), is denied.
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

/// Begins a file, in place of a former one.
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
