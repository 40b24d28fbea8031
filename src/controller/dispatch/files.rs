//! The finished runs, and the files of all runs' results, for operators that ask.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::controller::Controller;
use crate::controller::host::archive::{FileQuery, FileRequest, FileWaiter, is_shipped};
use crate::controller::reply::deny;
use crate::machine::faults::{Fault, injected};
use crate::machine::{ConnId, Outbox, Page, ReadId, SystemError, Time};
use crate::wire::operate::{AskFiles, Files, GETS_MAX, Get, PAGE_MAX, Piece};
use crate::wire::{CHUNK_MAX, Code, LINE_MAX, Message};

/// The maximum length of all names of files in one answer, in bytes: with their sizes they fit one line.
const FILES_BYTES: usize = LINE_MAX / 2;

/// How many directories are removed in one turn.
const REMOVED_AT_ONCE: usize = 10;

impl Controller {
    /// Removes results that need not be kept any longer.
    pub(in crate::controller) fn remove_old_results(&mut self, now: Time, out: &mut Outbox) {
        let wall_clock = self.wall_clock(now);
        let Some(host) = &mut self.host else { return };
        for _ in 0..REMOVED_AT_ONCE {
            let Some((oldest, option)) = host.archive.take_oldest(wall_clock) else { return };
            log::info!("run {}: {option} does not keep its results longer: they are removed", oldest.state.run);
            host.remove(&oldest.state.run, out);
        }
    }

    /// Returns whether this run exists.
    fn has_run(&self, id: &str) -> bool {
        self.runs.find(id).is_some() || self.host.as_ref().is_some_and(|host| host.archive.get(id).is_some())
    }

    /// Counts a request of an operator about files of a run, if it may make one.
    fn asks(&mut self, conn: ConnId, run: &str, out: &mut Outbox) -> bool {
        if !self.has_run(run) {
            let reason = format!("no such run: {run:?}: \"arete runs\" lists them");
            deny(conn, Some(run), Code::NoSuchRun, reason, out);
            return false;
        }
        let operator = self.host.as_mut().and_then(|host| host.operators.get_mut(&conn));
        let Some(operator) = operator else { return false };
        if operator.asked >= GETS_MAX {
            deny(conn, Some(run), Code::Full, format!("more than {GETS_MAX} requests at once"), out);
            return false;
        }
        operator.asked += 1;
        self.touch(run);
        true
    }

    /// Notes that an operator uses a run, which is then not removed for a while.
    pub(in crate::controller) fn touch(&mut self, run: &str) {
        let wall_clock = self.wall_clock(self.now);
        if let Some(host) = &mut self.host {
            host.archive.touch(run, wall_clock);
        }
    }

    /// Counts an answer to a request of an operator.
    fn answered(&mut self, conn: ConnId) {
        if let Some(operator) = self.host.as_mut().and_then(|host| host.operators.get_mut(&conn)) {
            operator.asked = operator.asked.saturating_sub(1);
        }
    }

    fn directory_of(&self, run: &str) -> PathBuf {
        self.host.as_ref().map(|host| host.config.runs.join(run)).unwrap_or_default()
    }

    pub(in crate::controller) fn ask_files(&mut self, conn: ConnId, ask: &AskFiles<'_>, out: &mut Outbox) {
        if !self.asks(conn, &ask.run, out) {
            return;
        }
        let read = out.page(self.directory_of(&ask.run), ask.after.to_string(), PAGE_MAX);
        if let Some(host) = &mut self.host {
            host.archive.ask(read, FileRequest { conn, run: ask.run.to_string(), what: FileQuery::Files });
        }
    }

    /// Answers with a page of the names of a run's files.
    pub(in crate::controller) fn paged(&mut self, read: ReadId, result: Result<Page, SystemError>, out: &mut Outbox) {
        let Some(asked) = self.host.as_mut().and_then(|host| host.archive.answers(read)) else { return };
        let FileRequest { conn, run, what: FileQuery::Files } = asked else { return };
        self.answered(conn);
        let Page { mut files, mut next } = match result {
            Ok(page) => page,
            Err(error) => return deny(conn, Some(&run), Code::Unreadable, error.text, out),
        };
        files.retain(|(file, _)| is_shipped(file));
        let mut bytes = 0;
        let fits = files.iter().take_while(|(file, _)| {
            bytes += serde_json::to_vec(file).map_or(0, |json| json.len());
            bytes <= FILES_BYTES
        });
        let fits = fits.count();
        if fits < files.len() {
            files.truncate(fits);
            next = files.last().map(|(file, _)| file.clone());
        }
        out.send(conn, Files { run: Cow::from(&run), files, next: next.map(Cow::from) }.encode());
    }

    pub(in crate::controller) fn get(&mut self, conn: ConnId, get: &Get<'_>, out: &mut Outbox) {
        if !is_shipped(&get.file) {
            let reason = format!("{:?} is not a file of the results", get.file.chars().take(200).collect::<String>());
            return deny(conn, Some(&get.run), Code::NoSuchFile, reason, out);
        }
        if self.asks(conn, &get.run, out) {
            let Get { run, file, offset, wait } = get;
            self.read_piece(conn, run, (file, *offset, *wait), out);
        }
    }

    /// Answers with a piece of a file once it has been read. If the operator waits, that may be once the file has grown.
    fn read_piece(&mut self, conn: ConnId, run: &str, (file, offset, wait): (&str, u64, bool), out: &mut Outbox) {
        let going = self.runs.by_id(run);
        let wait = wait && going.is_some();
        let there = going.is_none_or(|going| going.length_of(file) > offset);
        let directory = self.directory_of(run);
        let Some(host) = &mut self.host else { return };
        if wait && !there {
            if let Some(operator) = host.operators.get_mut(&conn) {
                operator.waits.push(FileWaiter { run: run.to_owned(), file: file.to_owned(), offset });
            }
            return;
        }
        let skipped = u64::from(injected(Fault::GetSkipsBytes) && offset > 0);
        let read = out.read(directory.join(file), offset + skipped, CHUNK_MAX);
        let what = FileQuery::Piece { file: file.to_owned(), offset };
        host.archive.ask(read, FileRequest { conn, run: run.to_owned(), what });
    }

    /// Answers an operator with the piece of a file that was read for it.
    pub(in crate::controller) fn read_for_operator(
        &mut self,
        request: FileRequest,
        result: &Result<&[u8], SystemError>,
        out: &mut Outbox,
    ) {
        let FileRequest { conn, run, what: FileQuery::Piece { file, offset } } = request else { return };
        self.answered(conn);
        match result {
            Ok(data) => {
                let piece = Piece { run: Cow::from(&run), file: Cow::from(&file), offset, data: data.to_vec() };
                out.send(conn, piece.encode());
            }
            Err(reason) => deny(conn, Some(&run), Code::Unreadable, format!("{file}: {reason}"), out),
        }
    }

    /// Answers operators that wait for files of runs that have grown.
    pub(in crate::controller) fn answer_grown(&mut self, out: &mut Outbox) {
        let grown: Vec<String> =
            self.runs.values_mut().filter_map(|run| run.has_grown().then(|| run.id.clone())).collect();
        for run in grown {
            self.answer_those_who_wait(&run, out);
        }
    }

    /// Answers operators that wait for files of this run, as far as there is new data.
    pub(in crate::controller) fn answer_those_who_wait(&mut self, run: &str, out: &mut Outbox) {
        let Some(host) = &mut self.host else { return };
        let mut again = Vec::new();
        for (&conn, operator) in &mut host.operators {
            let these = operator.waits.extract_if(.., |waiting| waiting.run == run);
            again.extend(these.map(|waiting| (conn, waiting)));
        }
        for (conn, FileWaiter { run, file, offset }) in again {
            self.read_piece(conn, &run, (&file, offset, true), out);
        }
    }

    /// Returns the wall-clock time in microseconds since 1970, UTC.
    pub(in crate::controller) fn wall_clock(&self, now: Time) -> i64 {
        let wall_offset = self.host.as_ref().map_or(0, |host| host.config.wall_offset);
        (now.as_micros() as i64).saturating_add(self.keeper.wall_offset(wall_offset))
    }
}
