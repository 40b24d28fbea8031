//! Tests that operators hand in. A test is checked when it arrives, and becomes a run once its files are complete.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::controller::Controller;
use crate::controller::config::Config;
use crate::controller::host::operators::Operator;
use crate::controller::host::submissions::{Handed, RESOURCES, Submission};
use crate::controller::ledger::{self, FORMAT, Header, Terms};
use crate::controller::reply::{deny, utc};
use crate::controller::run::run::{Hosted, Run};
use crate::controller::run::runs::RunNr;
use crate::machine::faults::{Fault, injected};
use crate::machine::{ConnId, Outbox, Time, is_obeyed};
use crate::session::{NAME_MAX, VERSION, check_incarnation};
use crate::testfile::{self, Shipped};
use crate::wire::operate::{Offer, RunState, Seen, Submit, Unfit, Upload, Wanted};
use crate::wire::{Code, Message};

/// How many runs may be unfinished.
const RUNS_MAX: usize = 1_000;

/// How many submissions may be incomplete.
const SUBMISSIONS_MAX: usize = 64;

/// How many files a submission ships at most.
const FILES_MAX: usize = 1_000;

/// The maximum length of the texts of all tests of unfinished runs, in bytes.
const TESTS_MAX: usize = 64 * 1024 * 1024;

/// How many slaves the tests of these runs have in all. A short test can have thousands, and each takes about 600 bytes.
const SLAVES_MAX: usize = 100_000;

/// How many directories may wait for their removal.
const REMOVALS_MAX: usize = 1_000;

impl Controller {
    /// Handles a test that an operator hands in.
    pub(in crate::controller) fn submit(&mut self, now: Time, conn: ConnId, submit: &Submit<'_>, out: &mut Outbox) {
        if let Some(run) = self.known_submission(now, &submit.submission) {
            return out.send(conn, Seen { submission: Some(submit.submission.clone()), run }.encode());
        }
        self.forget_elsewhere(conn, &submit.submission, out);
        match self.judge(now, submit) {
            Err(problems) => self.unfit(conn, &submit.submission, problems, out),
            Ok(submission) => {
                out.make_dir(submission.handed.directory.join(RESOURCES));
                let Some(host) = &mut self.host else { return };
                let operator = host.operators.get_mut(&conn);
                if let Some(former) = operator.and_then(|operator| operator.submission.replace(submission)) {
                    host.remove(&former.handed.id, out);
                }
                self.go_on_with(now, conn, out);
            }
        }
    }

    /// An operator that has reconnected hands in the same test on another connection: forgets what the earlier connection has
    /// sent, because one submission is one run.
    fn forget_elsewhere(&mut self, conn: ConnId, submission: &str, out: &mut Outbox) {
        let same =
            |operator: &Operator| operator.submission.as_ref().is_some_and(|same| same.handed.name == submission);
        let operators = self.host.iter().flat_map(|host| &host.operators);
        let others = operators.filter(|(other, operator)| **other != conn && same(operator)).map(|(other, _)| *other);
        for other in others.collect::<Vec<_>>() {
            self.forget_submission(other, out);
        }
    }

    /// Returns the run of a submission that was accepted before.
    fn known_submission(&self, now: Time, submission: &str) -> Option<RunState> {
        if injected(Fault::SubmissionRunsTwice) {
            return None;
        }
        let hosted = |run: &Run| run.is_hosted() && run.submission() == submission;
        let going = self.runs.iter().find(|(_, run)| hosted(run)).and_then(|(nr, _)| self.state_of(now, nr));
        going.or_else(|| self.host.as_ref()?.archive.of_submission(submission).cloned())
    }

    /// Checks a test that was handed in.
    fn judge(&self, now: Time, submit: &Submit<'_>) -> Result<Submission, Vec<String>> {
        let Some(host) = &self.host else { return Err(Vec::new()) };
        let wrong = |what: &str| Err(vec![what.to_owned()]);
        if let Err(why) = check_incarnation("a submission", &submit.submission) {
            return wrong(&why.to_string());
        }
        let on_their_way = host.operators.values().filter(|operator| operator.submission.is_some()).count();
        if self.runs.len() >= RUNS_MAX || on_their_way >= SUBMISSIONS_MAX {
            return wrong("the queue of the controller is full: try again later");
        }
        let sizes = self.runs.values().map(Run::size);
        if sizes.sum::<usize>() + submit.test.len() > TESTS_MAX || host.removals() > REMOVALS_MAX {
            return wrong("the tests in the queue of the controller take too much memory: try again later");
        }
        if submit.files.len() > FILES_MAX {
            return wrong("a test ships at most 1000 files");
        }
        if submit.files.values().any(|offer| !is_sha256(&offer.sha256)) {
            return wrong("the SHA-256 of a file is malformed");
        }
        let size = submit.files.values().fold(0_u64, |sum, offer| sum.saturating_add(offer.size));
        if size > self.limits.output {
            return Err(vec![format!(
                "the files of the test have {size} bytes, and the controller takes {} (--output-max)",
                self.limits.output
            )]);
        }
        let (name, directory) = (submit.submission.to_string(), &host.config.runs);
        // The directory of its files. The id of the run is known only when the test has been read.
        let mut shipped = BTreeMap::new();
        let mut ship = |file: &str| {
            let offer = submit.files.get(file).ok_or("the operator has not said what it is")?;
            let shipped_as = shipped_as(offer, PathBuf::from(&offer.sha256));
            shipped.insert(file.to_owned(), shipped_as.clone());
            Ok(shipped_as)
        };
        let file: String = submit.file.chars().filter(|letter| !is_obeyed(*letter)).take(200).collect();
        let test = testfile::parse::<&str>(&file, &submit.test, &mut ship);
        let mut test = test.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let slaves: usize = self.runs.values().map(|run| run.test.slaves.len()).sum();
        if slaves + test.slaves.len() > SLAVES_MAX {
            return Err(vec![format!(
                "the test has {} slaves, and the queue has room for {}: try again later",
                test.slaves.len(),
                SLAVES_MAX.saturating_sub(slaves)
            )]);
        }
        let id = self.id_for(now, &test.name, &name);
        let directory = directory.join(&id);
        let resources = directory.join(RESOURCES);
        for (path, _) in test.resources.values_mut() {
            *path = resources.join(&*path);
        }
        shipped.values_mut().for_each(|shipped| shipped.path = resources.join(&shipped.path));
        let wait = submit.wait.map(Duration::from_micros);
        let lost_after = submit.lost_after.map_or(host.config.lost_after, Duration::from_micros);
        let text = submit.test.to_string();
        Ok(Submission::new(Handed { name, id, directory, text, test, shipped, wait, lost_after }))
    }

    /// Returns the run's id, which is unique: `NAME-UTCTIME-` and the beginning of the submission.
    fn id_for(&self, now: Time, test: &str, submission: &str) -> String {
        let wall_clock = self.host.as_ref().map_or(0, |host| host.config.wall_offset);
        let digits = |text: String| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        let at: String =
            digits(utc(now, self.keeper.wall_offset(wall_clock))).chars().take("20260131T120000".len()).collect();
        let taken = |id: &str| {
            let host = self.host.as_ref();
            self.runs.find(id).is_some()
                || host.is_some_and(|host| host.archive.get(id).is_some() || host.is_coming(id) || host.removes(id))
        };
        for nr in 0_u32.. {
            let suffix: String = submission.chars().take(8).collect();
            let again = if nr == 0 { String::new() } else { format!(".{nr}") };
            let tail = format!("-{at}Z-{suffix}{again}");
            let name: String = test.chars().take(NAME_MAX - tail.len()).collect();
            let id = format!("{name}{tail}");
            if !taken(&id) {
                return id;
            }
        }
        unreachable!("some number is free")
    }

    pub(in crate::controller) fn upload(&mut self, now: Time, conn: ConnId, upload: &Upload<'_>, out: &mut Outbox) {
        let operator = self.host.as_mut().and_then(|host| host.operators.get_mut(&conn));
        let submission = operator.and_then(|operator| operator.submission.as_mut());
        let Some(submission) = submission.filter(|submission| submission.handed.name == *upload.submission) else {
            return deny(
                conn,
                None,
                Code::NoSuchSubmission,
                "no such submission: hand the test in again".to_owned(),
                out,
            );
        };
        match submission.takes(upload, out) {
            Ok(()) => self.go_on_with(now, conn, out),
            Err(problem) => self.unfit(conn, &upload.submission, vec![problem.to_string()], out),
        }
    }

    /// Asks for the missing files of a submission, or makes it a run.
    fn go_on_with(&mut self, now: Time, conn: ConnId, out: &mut Outbox) {
        let operator = self.host.as_mut().and_then(|host| host.operators.get_mut(&conn));
        let Some(slot) = operator.map(|operator| &mut operator.submission) else { return };
        let Some(submission) = slot.take_if(|submission| submission.is_whole()) else {
            if let Some(submission) = slot {
                let files = submission.wanted();
                out.send(conn, Wanted { submission: Cow::from(&submission.handed.name), files }.encode());
            }
            return;
        };
        self.enqueue(now, conn, submission, out);
    }

    /// Makes a submission a run, which enters the queue once the disk has it.
    fn enqueue(&mut self, now: Time, conn: ConnId, submission: Submission, out: &mut Outbox) {
        let Some(config) = self.host.as_ref().map(|host| host.config.clone()) else { return };
        let wall_offset = self.keeper.wall_offset(config.wall_offset);
        let submitted = utc(now, wall_offset);
        let terms = Terms {
            id: submission.handed.id.clone(),
            test: submission.handed.text.clone(),
            shipped: submission.handed.shipped,
            listen: self.listening.clone(),
            wait: submission.handed.wait.map(|wait| wait.as_micros() as u64),
            lost_after: submission.handed.lost_after.as_micros() as u64,
            limits: self.limits,
            submission: Some(submission.handed.name.clone()),
            submitted: submitted.clone(),
            place: self.runs.next_place(),
            ..Terms::default()
        };
        let run = Run::new(
            Config {
                test: Rc::new(submission.handed.test),
                run: submission.handed.id,
                results: submission.handed.directory.clone(),
                wait: submission.handed.wait,
                lost_after: submission.handed.lost_after,
                local: None,
                listening: None,
                follow: false,
                terminal: None,
                colors: false,
                wall_offset,
            },
            &self.budget,
        );
        let (name, size) = (submission.handed.name, submission.handed.text.len());
        let mut run = run.hosted(Hosted { submission: name, submitted, size, ..Hosted::default() });
        run.limit(self.limits);
        run.ledger.open(submission.handed.directory.join(ledger::FILE), 0, u64::MAX);
        run.ledger.turn(now);
        let (by, boot) = (VERSION.to_owned(), config.boot);
        run.ledger.head(&Header {
            format: FORMAT,
            by,
            wall_offset,
            begun: now,
            boot,
            shift: self.keeper.life().1,
            run: Some(terms),
        });
        out.persist(submission.handed.directory.join("test.json"), submission.handed.text.into_bytes());
        run.begin(now, out);
        log::info!("run {} was handed in", run.id);
        let nr = self.runs.insert(run);
        self.await_the_disk(conn, nr, out);
    }

    /// Rejects a submission, and removes its files.
    fn unfit(&mut self, conn: ConnId, submission: &str, mut problems: Vec<String>, out: &mut Outbox) {
        self.forget_submission(conn, out);
        problems.truncate(100);
        out.send(conn, Unfit { submission: Cow::from(submission), problems }.encode());
    }

    /// Forgets a submission: its operator has disconnected, or it was rejected.
    pub(in crate::controller) fn forget_submission(&mut self, conn: ConnId, out: &mut Outbox) {
        let Some(host) = &mut self.host else { return };
        let operator = host.operators.get_mut(&conn);
        if let Some(submission) = operator.and_then(|operator| operator.submission.take()) {
            host.remove(&submission.handed.id, out);
        }
    }

    /// A run was made of the submission of this operator: its operator gets an answer once the disk has the run.
    fn await_the_disk(&mut self, conn: ConnId, nr: RunNr, out: &mut Outbox) {
        if let Some(host) = &mut self.host {
            host.unwritten.push(out.confirm(), conn, nr);
        }
    }

    /// A run is written: it enters the queue, and its operator gets the answer.
    pub(in crate::controller) fn confirm_submission(&mut self, now: Time, conn: ConnId, nr: RunNr, out: &mut Outbox) {
        if let Some(host) = &mut self.host {
            host.enters_queue(nr, &self.runs);
        }
        let submission = self.runs.get(nr).filter(|run| run.is_hosted()).map(|run| run.submission().to_owned());
        if let (Some(run), Some(submission)) = (self.state_of(now, nr), submission)
            && self.sessions.contains(conn)
        {
            out.send(conn, Seen { submission: Some(Cow::from(submission)), run }.encode());
        }
        self.look_at_queue(now);
    }

    /// Forgets a run that was handed in and could not be written, and tells its operator. Returns whether the file belongs to
    /// such a run.
    pub(in crate::controller) fn reject_unwritten(&mut self, path: &Path, error: &str, out: &mut Outbox) -> bool {
        let Some(host) = &mut self.host else { return false };
        let is_in = |nr| self.runs.get(nr).is_some_and(|run| run.has_file(path));
        let Some((conn, nr)) = host.unwritten.failed(is_in) else { return false };
        let Some(run) = self.runs.remove(nr) else { return false };
        self.rooms.forget(&run.room.name);
        host.remove(&run.id, out);
        let submission = run.submission().to_owned();
        let problems = vec![format!("the controller cannot write {}: {error}", path.display())];
        log::error!("run {} is not taken: cannot write {}: {error}", run.id, path.display());
        if self.sessions.contains(conn) {
            out.send(conn, Unfit { submission: Cow::from(submission), problems }.encode());
        }
        true
    }

    /// Looks at the queue as soon as all input that is waiting has been handled.
    pub(in crate::controller) fn look_at_queue(&mut self, now: Time) {
        if let Some(host) = &mut self.host {
            host.look_at_queue(now);
        }
    }

    /// Begins the runs whose slaves are connected and free. This is done at a deadline, and not when slaves become free: the
    /// end of their earlier run must be written first, and that run has another ledger.
    pub(in crate::controller) fn begin_runs(&mut self, now: Time, out: &mut Outbox) {
        while let Some((nr, machines)) = self.host.as_mut().and_then(|host| host.next_to_begin(now, &self.runs)) {
            self.begin_run(now, nr, &machines, out);
        }
    }
}

fn shipped_as(offer: &Offer, path: PathBuf) -> Shipped {
    Shipped { path, size: offer.size, sha256: offer.sha256.clone(), executable: offer.executable }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
