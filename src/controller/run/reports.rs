//! Handles the messages of the slaves of a run.
//!
//! A slave numbers its reports, so each is recorded once, in order. Everything that is counted under a name is
//! bounded, because the test must have that name.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use crate::controller::ledger::Fact;
use crate::controller::reply::refusal;
use crate::controller::room::rendezvous::Process;
use crate::controller::room::request_error::RequestError;
use crate::controller::room::trigger::Counted;
use crate::controller::run::failures::{Failure, FailureKind};
use crate::controller::run::results;
use crate::controller::run::run::Run;
use crate::controller::run::runs::RunNr;
use crate::controller::run::slave_error::{OutputError, SlaveError};
use crate::machine::{ConnId, Outbox, Time};
use crate::measure::is_value;
use crate::measure::unit::is_unit;
use crate::session::is_name;
use crate::text::tail::last_lines;
use crate::timeline::event::Event;
use crate::timeline::view::run_name;
use crate::wire::{
    Bye, CHUNK_MAX, Code, EntryOutcome, FromSlave, Kept, Message, Noted, Notify, Output, RawJson, Recorded, Refused,
    Report, SlaveEvent, Verdict,
};

/// The most reports of a slave in one run.
const REPORTS_MAX: u64 = 5_000_000;

/// The longest text that a report may carry, in characters.
const TEXT_MAX: usize = 2_000;

/// The words for an entry with the action `end` that has run.
const ENDED: &str = "ended the run";

/// The answers and events that cover several messages of one input.
#[derive(Default)]
pub struct Batch {
    /// The client got the list of triggers in this input. It needs no second list before it can have read the first.
    pub listed: bool,
    /// The slave that sent the messages, and its run.
    pub slave: Option<(RunNr, usize)>,
    recorded: bool,
    counts: Vec<Count>,
    /// The place in `counts` of each trigger, once for notifies in time and once for late ones.
    known: BTreeMap<(String, bool), usize>,
    /// The places in `counts` that have something to record.
    unrecorded: BTreeSet<usize>,
    /// The cost of what an operator has asked for.
    pub asked: usize,
}

/// Notifies of one trigger.
struct Count {
    trigger: String,
    total: u64,
    counted: Counted,
    /// The data of the notifies that counted.
    notes: Vec<Box<RawValue>>,
}

impl Run {
    /// Handles what only a slave sends. An error closes its connection.
    pub fn message(
        &mut self,
        now: Time,
        conn: ConnId,
        ix: usize,
        message: FromSlave<'_>,
        heard: &mut Batch,
        out: &mut Outbox,
    ) -> Result<(), Bye<'static>> {
        let done = match message {
            FromSlave::Report(report) if report.run == self.id && !self.is_over() => {
                self.report(now, ix, &report, heard, out)
            }
            FromSlave::Output(output) if output.run == self.id => self.output(now, conn, ix, &output, out),
            FromSlave::Fetch(fetch) if fetch.run == self.id => {
                self.resources.fetch(conn, &fetch.resource, fetch.offset, out).map_err(SlaveError::from)
            }
            FromSlave::State(state) if state.run == self.id => {
                for (trigger, &count) in &state.notified {
                    let notify = Notify { room: state.run.clone(), trigger: Cow::from(trigger), count, data: None };
                    self.slave_notifies(now, conn, ix, &notify, heard, out);
                }
                Ok(())
            }
            FromSlave::Ready(ready) if ready.run == self.id => {
                self.ready(now, ix, out);
                Ok(())
            }
            FromSlave::Unready(unready) if unready.run == self.id => {
                let reason = shorten(&unready.reason);
                self.abort_for(now, FailureKind::SlaveUnready, (Some(ix), None), &reason, out);
                Ok(())
            }
            FromSlave::Stopped(stopped) => {
                // It may end the run, after which nothing is recorded.
                self.record_counts(now, ix, heard, out);
                if stopped.run == self.id {
                    self.stopped(now, ix, stopped.by_itself, out);
                }
                Ok(())
            }
            FromSlave::Waits(waits) if waits.run == self.id => {
                self.slave_waits(ix, waits);
                Ok(())
            }
            _ => Ok(()),
        };
        done.map_err(|error| refusal(Code::Malformed, error.to_string()))
    }

    /// Handles the `bye` of a slave, which is lost to a run that has started. Returns why its connection is closed.
    pub fn on_bye(&mut self, now: Time, ix: usize, bye: &Bye<'_>, heard: &mut Batch, out: &mut Outbox) -> Bye<'static> {
        // Losing the slave may end the run, after which nothing is recorded.
        self.record_counts(now, ix, heard, out);
        let reason = shorten(&bye.reason);
        if self.started().is_some() {
            self.lose(now, ix, &format!("it said bye: {reason}"), out);
        }
        refusal(Code::Leaves, reason)
    }

    /// Counts the notify of a slave, or answers why it does not count.
    pub fn slave_notifies(
        &mut self,
        now: Time,
        conn: ConnId,
        ix: usize,
        notify: &Notify<'_>,
        heard: &mut Batch,
        out: &mut Outbox,
    ) {
        let in_room = notify.room == self.id && self.started().is_some();
        let counted = if in_room {
            self.count(now, ix, notify, heard, out)
        } else {
            Err(RequestError::NotGoing { run: notify.room.to_string() })
        };
        if let Err(error) = counted {
            let (room, trigger, reason) = (notify.room.clone(), notify.trigger.clone(), Cow::from(error.to_string()));
            let refused = Refused { room, trigger, code: error.code(), reason };
            out.send(conn, refused.encode());
        }
    }

    /// Counts a notify of a client in the room of the run. Fails with the reason why it does not count.
    pub fn client_notifies(
        &mut self,
        now: Time,
        process: Process,
        from: &str,
        (trigger, total): (&str, u64),
        data: Option<&RawValue>,
        out: &mut Outbox,
    ) -> Result<Counted, RequestError> {
        if self.started().is_none() {
            return Err(RequestError::NotGoing { run: self.id.clone() });
        }
        let counted = self.room.notify(now, process.as_client(), from, (trigger, total), data)?;
        let Counted { new, left, late, fires, .. } = counted;
        if new > 0 {
            let notes = data.filter(|_| !late).into_iter().collect();
            self.ledger.write(&notified(&self.id, process, from, (trigger, total), notes));
            let from = (!from.is_empty()).then_some(from);
            self.event_log.record(now, from, &Event::Notified { trigger: trigger.into(), count: new, left, late }, out);
        }
        if fires {
            self.send_triggered(now, trigger, out);
            self.take_fired();
        }
        Ok(counted)
    }

    /// Counts a notify of a slave. Fails with the reason why it does not count.
    fn count(
        &mut self,
        now: Time,
        ix: usize,
        notify: &Notify<'_>,
        heard: &mut Batch,
        out: &mut Outbox,
    ) -> Result<(), RequestError> {
        let (name, total) = (&*notify.trigger, notify.count);
        let member = self.roster.get(ix);
        let process = member.process.ok_or(RequestError::NotJoined)?;
        let data = notify.data.map(|RawJson { json }| json);
        let counted = self.room.notify(now, process.as_slave(), &member.name, (name, total), data)?;
        let noted = data.filter(|_| counted.new > 0 && !counted.late).map(ToOwned::to_owned).into_iter();
        let key = (name.to_owned(), counted.late);
        if counted.new > 0 {
            heard.unrecorded.insert(heard.known.get(&key).copied().unwrap_or(heard.counts.len()));
        }
        match heard.known.get(&key).and_then(|at| heard.counts.get_mut(*at)) {
            Some(count) => {
                count.total = count.total.max(total);
                count.counted.new += counted.new;
                (count.counted.left, count.counted.in_time) = (counted.left, counted.in_time);
                count.notes.extend(noted);
            }
            None => {
                heard.known.insert(key, heard.counts.len());
                heard.counts.push(Count { trigger: name.to_owned(), total, counted, notes: noted.collect() });
            }
        }
        if counted.fires {
            self.record_counts(now, ix, heard, out);
            self.send_triggered(now, name, out);
        }
        Ok(())
    }

    /// Records the notifies that were counted since the last call.
    fn record_counts(&mut self, now: Time, ix: usize, heard: &mut Batch, out: &mut Outbox) {
        for at in std::mem::take(&mut heard.unrecorded) {
            let count = &mut heard.counts[at];
            let Counted { new, left, late, .. } = count.counted;
            let member = self.roster.get(ix);
            if let Some(process) = member.process.filter(|_| new > 0) {
                let notes = count.notes.iter().map(|note| &**note).collect();
                self.ledger.write(&notified(&self.id, process, &member.name, (&count.trigger, count.total), notes));
                let event = Event::Notified { trigger: (&*count.trigger).into(), count: new, left, late };
                self.event_log.record(now, Some(&member.name), &event, out);
            }
            count.counted.new = 0;
            count.notes.clear();
        }
    }

    /// Answers the messages of one input, and ends the run if they complete it.
    pub fn answer(&mut self, now: Time, conn: ConnId, mut heard: Batch, out: &mut Outbox) {
        let Some((_, ix)) = heard.slave else { return };
        self.record_counts(now, ix, &mut heard, out);
        for Count { trigger, total, counted, .. } in &heard.counts {
            let noted = Noted {
                room: Cow::from(&self.id),
                trigger: Cow::from(trigger),
                count: *total,
                left: counted.left,
                in_time: counted.in_time,
            };
            out.send(conn, noted.encode());
        }
        if heard.recorded {
            let seq = self.roster.get(ix).recorded;
            out.send(conn, Recorded { run: Cow::from(&self.id), seq }.encode());
            self.end_if_done(now, out);
        }
    }

    fn output(
        &mut self,
        now: Time,
        conn: ConnId,
        ix: usize,
        output: &Output<'_>,
        out: &mut Outbox,
    ) -> Result<(), SlaveError> {
        if output.data.len() > CHUNK_MAX {
            return Err(SlaveError::LongOutput);
        }
        let entry = |name: &str| self.entries.find(ix, name);
        let (started, file, member) = (self.started().is_some(), &*output.file, self.roster.get_mut(ix));
        let room = self.shipped.room();
        let piece = (output.offset, &*output.data);
        let kept = match started {
            true => results::keep(&self.results, member, entry, file, piece, room, out),
            false => Err(OutputError::NotStarted),
        };
        let length = member.files.get(file).copied().unwrap_or(0);
        let refused = kept.as_ref().err().map(|error| Cow::from(error.to_string()));
        out.send(conn, Kept { run: Cow::from(&self.id), file: Cow::from(file), length, refused }.encode());
        let Ok((_, new)) = kept else { return Ok(()) };
        self.shipped.add(new as u64);
        self.stopping(now);
        let new = &output.data[output.data.len() - new..];
        self.event_log.view.output(&self.roster.get(ix).name, file, new, out);
        Ok(())
    }

    /// Creates the files of a command that has started, so that they exist even if it writes nothing.
    pub(in crate::controller) fn begin_output(&mut self, ix: usize, run: &str, out: &mut Outbox) {
        let entry = |name: &str| self.entries.find(ix, name);
        for kind in ["out", "err"] {
            let file = format!("{run}.{kind}");
            let kept = results::keep(&self.results, self.roster.get_mut(ix), entry, &file, (0, b""), 0, out);
            if let Err(reason) = kept {
                log::debug!("{file} is not kept: {reason}");
            }
        }
    }

    fn report(
        &mut self,
        now: Time,
        ix: usize,
        report: &Report<'_>,
        heard: &mut Batch,
        out: &mut Outbox,
    ) -> Result<(), SlaveError> {
        heard.recorded = true;
        let start = self.started().unwrap_or(now);
        let recorded = self.roster.get(ix).recorded;
        if report.seq <= recorded {
            return Ok(());
        }
        let error = match &report.event {
            _ if report.seq != recorded + 1 => Some(SlaveError::ReportGap { seq: report.seq, recorded }),
            SlaveEvent::Warning { .. } | SlaveEvent::Trouble { .. } => None,
            _ => self.started().is_none().then_some(SlaveError::ReportBeforeStart),
        };
        if let Some(error) = error {
            if self.begun.is_some() {
                // The controller was killed before the disk had the start, or an earlier report that was answered.
                self.lose(now, ix, &error.to_string(), out);
            }
            return Err(error);
        }
        self.check_names(ix, &report.event)?;
        if report.seq > REPORTS_MAX {
            let error = SlaveError::TooManyReports { max: REPORTS_MAX };
            self.lose(now, ix, &error.to_string(), out);
            return Err(error);
        }
        // The clock of a slave may be wrong, but the order of its reports is right, and nothing happens before the start
        // or in the future.
        let at = report.time.max(self.roster.get(ix).reported.max(start)).min(now);
        self.stopping(now);
        let event = shortened(&report.event);
        self.enter(now, Fact::Report { slave: ix, seq: report.seq, at, event: event.clone() }, out);
        self.follow_up(now, ix, &event, out);
        Ok(())
    }

    /// Fails if a report names an entry that the slave does not have, or a trigger that the test does not have. Nothing else
    /// bounds the number of names under which the controller counts.
    fn check_names(&self, ix: usize, what: &SlaveEvent<'_>) -> Result<(), SlaveError> {
        let is_entry = |name: &str| self.entries.find(ix, name).is_some();
        match what {
            SlaveEvent::Spawned { entry, .. }
            | SlaveEvent::Exited { entry, .. }
            | SlaveEvent::Tail { entry, .. }
            | SlaveEvent::Fault { entry, .. }
            | SlaveEvent::End { entry, .. }
                if !is_entry(entry) =>
            {
                Err(SlaveError::NotAnEntry(shorten(entry)))
            }
            SlaveEvent::Poked { entry: Some(entry), .. } | SlaveEvent::EntryReady { entry, .. } if !is_entry(entry) => {
                Err(SlaveError::NotAnEntry(shorten(entry)))
            }
            SlaveEvent::Measured { entry: Some(entry), .. } if !is_entry(entry) => {
                Err(SlaveError::NotAnEntry(shorten(entry)))
            }
            SlaveEvent::Measured { name, value, unit, .. } => {
                let good = is_name(name) && is_value(*value) && unit.as_deref().is_none_or(is_unit);
                if good { Ok(()) } else { Err(SlaveError::NotAMeasurement(shorten(name))) }
            }
            SlaveEvent::Heard { trigger } | SlaveEvent::Settled { trigger }
                if self.room.triggers.get(trigger).is_none() =>
            {
                Err(SlaveError::NotATrigger(shorten(trigger)))
            }
            _ => Ok(()),
        }
    }

    /// Does what follows from a report.
    fn follow_up(&mut self, now: Time, ix: usize, what: &SlaveEvent<'_>, out: &mut Outbox) {
        match what {
            SlaveEvent::Spawned { entry, nr, pid: Some(_) } if self.started().is_some() => {
                self.begin_output(ix, &run_name(entry, *nr), out)
            }
            SlaveEvent::End { entry, verdict } => self.asked_to_end(now, ix, entry, *verdict, out),
            _ => {
                if let Some(failure) = self.failure_in(now, ix, what) {
                    self.entry_failed(now, failure.in_words(), out);
                }
            }
        }
    }

    /// Returns the failure that a report means for the test, if it means one.
    pub(in crate::controller) fn failure_in(&self, at: Time, ix: usize, what: &SlaveEvent<'_>) -> Option<Failure> {
        let slave = &self.roster.get(ix).name;
        match what {
            SlaveEvent::Exited { entry, nr, outcome: EntryOutcome::Failed, cut_off, exit, why, .. } => {
                let reason = why.as_deref().unwrap_or("no reason is known").to_owned();
                let entry = Some((entry.to_string(), *nr));
                let kind = if *cut_off { FailureKind::CutOff } else { FailureKind::Entry };
                Some(Failure { entry, exit: *exit, ..Failure::of_slave(kind, at, slave, reason) })
            }
            SlaveEvent::Trouble { text } => {
                Some(Failure::of_slave(FailureKind::SlaveTrouble, at, slave, text.to_string()))
            }
            _ => None,
        }
    }

    fn asked_to_end(&mut self, now: Time, ix: usize, entry: &str, verdict: Verdict, out: &mut Outbox) {
        match verdict {
            Verdict::Passed => {
                let why = format!("{} {entry} {ENDED}", self.roster.get(ix).name);
                self.finish_jobs(now, why, out);
            }
            Verdict::Failed | Verdict::Interrupted => {
                self.abort_for(now, FailureKind::Asked, (Some(ix), Some(entry)), ENDED, out);
            }
        }
    }
}

/// Returns a report with its texts cut to their bounds.
fn shortened<'a>(what: &SlaveEvent<'a>) -> SlaveEvent<'a> {
    let mut what = what.clone();
    match &mut what {
        SlaveEvent::Exited { why: Some(text), .. }
        | SlaveEvent::Fault { what: text, .. }
        | SlaveEvent::Warning { text }
        | SlaveEvent::Trouble { text } => {
            if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
                text.to_mut().truncate(end);
            }
        }
        SlaveEvent::Tail { text, .. } => *text = last_lines(text.as_bytes()).into(),
        _ => {}
    }
    what
}

/// Returns the fact that a process has notified a trigger of a room `total` times.
pub fn notified<'a>(
    room: &'a str,
    process: Process,
    from: &'a str,
    (trigger, total): (&'a str, u64),
    notes: Vec<&'a RawValue>,
) -> Fact<'a> {
    let (room, from, trigger) = (Cow::from(room), Cow::from(from), Cow::from(trigger));
    Fact::Notified { room, process: process.0, from, trigger, total, notes }
}

/// Returns a text of a peer, or its beginning if it is too long.
pub fn shorten(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
