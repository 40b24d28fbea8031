//! What runs inside a command: one request to the slave that started it, over the slave's control socket.

use std::path::PathBuf;
use std::time::Duration;

use crate::machine::{Address, Bytes, ConnId, Input, Machine, Outbox, Stream, Time};
use crate::wire::{Done, Frames, FromSocket, LINE_MAX};
use crate::{exit_code, spoken};

/// What a client is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The slave's control socket.
    pub socket: PathBuf,
    /// The request, as a line.
    pub request: Bytes,
    /// How long to wait for the answer.
    pub timeout: Option<Duration>,
    /// What has not happened when the time is up, for the message.
    pub awaited: String,
}

/// One request and its answer.
pub struct Client {
    config: Config,
    conn: Option<ConnId>,
    frames: Frames,
    deadline: Option<Time>,
    over: bool,
}

impl Client {
    pub fn new(config: Config) -> Client {
        Client { config, conn: None, frames: Frames::default(), deadline: None, over: false }
    }

    fn received(&mut self, bytes: &[u8], out: &mut Outbox) {
        let mut frames = std::mem::take(&mut self.frames);
        let whole = frames.feed(bytes, LINE_MAX, |line| {
            match FromSocket::decode(line) {
                Ok(FromSocket::Done(Done { left, .. })) => {
                    if let Some(left) = left {
                        log::info!("{left} left");
                    }
                    self.end(exit_code::PASSED, None, out);
                }
                Ok(FromSocket::Map(_) | FromSocket::Met(_)) => {}
                Ok(FromSocket::Failure(failure)) => self.end(exit_code::FAILED, Some(&failure.reason), out),
                Err(error) => self.end(exit_code::FAILED, Some(&format!("the slave's answer: {error}")), out),
            }
            false
        });
        self.frames = frames;
        if let Err(bound) = whole {
            self.end(exit_code::FAILED, Some(&format!("the slave's answer: {bound}")), out);
        }
    }

    fn end(&mut self, code: u8, message: Option<&str>, out: &mut Outbox) {
        if !std::mem::replace(&mut self.over, true) {
            self.deadline = None;
            if let Some(message) = message {
                out.print(Stream::Err, format!("arete: {message}\n"));
            }
            out.exit(code);
        }
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => {
                self.deadline = self.config.timeout.map(|timeout| now + timeout);
                self.conn = Some(out.connect(Address::Unix(self.config.socket.clone())));
            }
            Input::Connected { conn, .. } => out.send(conn, self.config.request.clone()),
            Input::Received { bytes, .. } => self.received(bytes, out),
            Input::Closed { reason, .. } => {
                let message = format!("no answer from the slave at {}: {reason}", self.config.socket.display());
                self.end(exit_code::FAILED, Some(&message), out);
            }
            Input::Deadline if self.deadline.is_some_and(|at| at <= now) => {
                let timeout = self.config.timeout.unwrap_or_default();
                let message = format!("{} within {}", self.config.awaited, spoken::duration(timeout));
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
