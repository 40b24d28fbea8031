//! A client of a slave: one request over the slave's control socket, usually from a command of a run.
//!
//! If the slave does not answer, the client never waits longer than its own timeout.

use std::path::PathBuf;
use std::time::Duration;

use crate::link::LINE_FROM_CONTROLLER_MAX;
use crate::machine::{Address, Bytes, ConnId, Input, Machine, Outbox, Stream, Time};
use crate::verdict::{RoundResult, map_as_line, notes_in_lines, too_late};
use crate::wire::{ControlReply, Done, Frames};
use crate::{exit_code, text};

/// The configuration of a client.
#[derive(Debug, Clone)]
pub struct Config {
    /// The slave's control socket.
    pub socket: PathBuf,
    /// The request, as a line.
    pub request: Bytes,
    /// The beginning of `timeout`. `None`: the first input.
    pub begun: Option<Time>,
    /// The time limit of the answer. `None`: no limit.
    pub timeout: Option<Duration>,
    /// The message when the time is up, without the time.
    pub awaited: String,
    /// The trigger of a notify that carries data.
    pub carries_to: Option<String>,
    /// The barrier or sync of the request, such as `barrier server-up`. Then the slave keeps the time, and the client
    /// waits a moment longer for its answer.
    pub meeting: Option<String>,
}

/// How much longer than the timeout of a barrier or a sync to wait for the answer of the slave.
const SLAVE_SLACK: Duration = Duration::from_secs(1);

/// One request and its answer.
pub struct Client {
    config: Config,
    conn: Option<ConnId>,
    frames: Frames,
    deadline: Option<Time>,
    over: bool,
    output: Vec<u8>,
}

impl Client {
    /// Returns a client that has not connected yet.
    pub fn new(config: Config) -> Client {
        Client { config, conn: None, frames: Frames::default(), deadline: None, over: false, output: Vec::new() }
    }

    fn received(&mut self, bytes: &[u8], out: &mut Outbox) {
        let mut frames = std::mem::take(&mut self.frames);
        let whole = frames.feed(bytes, LINE_FROM_CONTROLLER_MAX, |line| {
            match ControlReply::decode(line) {
                Ok(ControlReply::Done(done)) => self.done(&done, out),
                Ok(ControlReply::Map(map)) => self.output = map_as_line(&map.map),
                Ok(ControlReply::Met(met)) => self.met(&RoundResult::from(&met), out),
                Ok(ControlReply::Failure(failure)) => self.end(exit_code::FAILED, Some(&failure.reason), out),
                Err(error) => self.end(exit_code::FAILED, Some(&format!("the slave's answer: {error}")), out),
            }
            !self.over
        });
        self.frames = frames;
        if let Err(bound) = whole {
            self.end(exit_code::FAILED, Some(&format!("the slave's answer: {bound}")), out);
        }
    }

    fn done(&mut self, done: &Done<'_>, out: &mut Outbox) {
        if let Some(left) = done.left {
            log::info!("{left} left");
        }
        if let Some(trigger) = self.config.carries_to.as_deref().filter(|_| done.late) {
            out.print(Stream::Err, format!("arete: {}\n", too_late(trigger)));
        }
        match done.notes.as_ref().map(notes_in_lines) {
            Some(Err(error)) => self.end(exit_code::FAILED, Some(&format!("the slave's answer: {error}")), out),
            Some(Ok(lines)) => {
                self.output = lines.into_bytes();
                self.end(exit_code::PASSED, None, out);
            }
            None => self.end(exit_code::PASSED, None, out),
        }
    }

    /// The verdict of the barrier or the sync has arrived.
    fn met(&mut self, heard: &RoundResult, out: &mut Outbox) {
        let subject = self.config.meeting.clone().unwrap_or_default();
        let message = heard.in_words(&subject, self.config.timeout);
        if !heard.released() {
            self.output.clear();
        }
        self.end(heard.exit_code(), message.as_deref(), out);
    }

    /// Returns the standard output. It may be long and must be written completely after the exit.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    fn end(&mut self, code: u8, message: Option<&str>, out: &mut Outbox) {
        if !std::mem::replace(&mut self.over, true) {
            self.deadline = None;
            if let Some(message) = message {
                out.print(Stream::Err, format!("arete: {}\n", text::harmless(message)));
            }
            out.exit(code);
        }
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => {
                let slack = if self.config.meeting.is_some() { SLAVE_SLACK } else { Duration::ZERO };
                let begun = self.config.begun.unwrap_or(now);
                self.deadline = self.config.timeout.map(|timeout| begun + timeout + slack);
                self.conn = Some(out.connect(Address::Unix(self.config.socket.clone())));
            }
            Input::Connected { conn, .. } => out.send(conn, self.config.request.clone()),
            Input::Received { bytes, .. } => self.received(bytes, out),
            Input::Closed { reason, .. } => {
                let socket = self.config.socket.display().to_string();
                let reason = reason.strip_prefix(&format!("{socket}: ")).unwrap_or(&reason);
                let message = format!(
                    "no answer from the slave at {socket}: {reason}; ARETE_SOCKET names the socket of a slave that runs"
                );
                self.end(exit_code::FAILED, Some(&message), out);
            }
            Input::Deadline if self.deadline.is_some_and(|at| at <= now) => {
                if self.config.meeting.is_some() {
                    let reason = "the slave has not answered".to_owned();
                    return self.met(&RoundResult { reason, ..RoundResult::default() }, out);
                }
                let timeout = self.config.timeout.unwrap_or_default();
                let message = format!("{} within {}", self.config.awaited, text::duration(timeout));
                self.end(exit_code::TIME_LIMIT, Some(&message), out);
            }
            Input::Signal(_) => self.end(exit_code::INTERRUPTED, None, out),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }
}
