//! An operator of a permanent controller: submits tests, follows their time lines, ends some, and repeats its requests
//! after each reconnect.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use arete::machine::{ConnId, Input, Machine, Outbox, Time};
use arete::wire::operate::{Cancel, Get, Look, Offer, Operate, RunState, RunStatus, Submit, Upload};
use arete::wire::{CHUNK_MAX, Frames, FromController, LINE_MAX, Message, PROTOCOL, Ping};

use crate::lab::controller_address;

/// The interval of repeated requests and attempts.
const AGAIN: Duration = Duration::from_millis(400);
/// The interval of its signs of life.
const PING_EVERY: Duration = Duration::from_secs(5);
/// The silence after which it gives up a connection.
const SILENT: Duration = Duration::from_secs(15);

/// The file that grows while a run continues.
pub const TIME_LINE: &str = "events.jsonl";

/// A test to submit, and its state. It is kept while the operator is away.
#[derive(Default)]
pub struct Order {
    pub after: Duration,
    pub submission: String,
    pub text: String,
    pub offers: BTreeMap<String, Offer>,
    /// By SHA-256.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether to submit it again after it was accepted.
    pub again: bool,
    /// End it after this time from its acceptance, at once or in order.
    pub cancel: Option<(Duration, bool)>,
    pub run: Option<String>,
    pub accepted: Option<Time>,
    /// The part of its time line that was read.
    pub bytes: Vec<u8>,
    /// The time line was read to its end.
    pub whole: bool,
    pub last: Option<RunState>,
}

/// All orders of an operator, and the refusals that it received.
#[derive(Default)]
pub struct Book {
    pub orders: Vec<Order>,
    pub problems: Vec<String>,
}

pub type Shared = Rc<RefCell<Book>>;

pub struct Operator {
    book: Shared,
    conn: Option<ConnId>,
    up: bool,
    frames: Frames,
    begun: Time,
    next: Time,
    ping: Time,
    /// When it last received something from the controller.
    heard: Time,
    /// The orders whose submission, or whose time line, was requested on this connection.
    submitted: Option<usize>,
    following: Vec<usize>,
}

impl Operator {
    pub fn new(book: Shared) -> Operator {
        Operator {
            book,
            conn: None,
            up: false,
            frames: Frames::default(),
            begun: Time::default(),
            next: Time::default(),
            ping: Time::default(),
            heard: Time::default(),
            submitted: None,
            following: Vec::new(),
        }
    }

    fn act(&mut self, now: Time, out: &mut Outbox) {
        self.next = now + AGAIN;
        if let Some(conn) = self.conn.take_if(|_| now.since(self.heard) >= SILENT) {
            out.close(conn, "the controller is silent");
        }
        let Some(conn) = self.conn else {
            self.heard = now;
            (self.up, self.submitted, self.frames) = (false, None, Frames::default());
            self.following.clear();
            self.conn = Some(out.connect(controller_address()));
            return;
        };
        if !self.up {
            return;
        }
        if self.ping <= now {
            self.ping = now + PING_EVERY;
            out.send(conn, Ping { time: now, measured: None, lifetime: Default::default() }.encode());
        }
        let book = &mut *self.book.borrow_mut();
        for (ix, order) in book.orders.iter_mut().enumerate() {
            let due = order.run.is_none() && self.begun + order.after <= now || order.run.is_some() && order.again;
            if due && self.submitted.is_none() {
                self.submitted = Some(ix);
                out.send(conn, submit(order).encode());
            }
            let Some(run) = order.run.clone().filter(|_| order.last.is_none()) else { continue };
            let since = order.accepted.map_or(Duration::ZERO, |at| now.since(at));
            if let Some((_, at_once)) = order.cancel.take_if(|(after, _)| since >= *after) {
                out.send(conn, Cancel { run: (&*run).into(), now: at_once }.encode());
            }
            if !self.following.contains(&ix) {
                self.following.push(ix);
                out.send(conn, get(&run, order.bytes.len()).encode());
            }
        }
    }

    fn line(&mut self, now: Time, line: &[u8], out: &mut Outbox) {
        let Some(conn) = self.conn else { return };
        let said = FromController::decode(line).expect("a controller sends well-formed lines");
        let book = &mut *self.book.borrow_mut();
        let mut wrong = |what: String| book.problems.push(what);
        match said {
            FromController::Welcome(_) => self.up = true,
            FromController::Wanted(wanted) => {
                let Some(order) = book.orders.iter().find(|order| order.submission == wanted.submission) else {
                    return;
                };
                let Some((sha256, at)) = wanted.files.iter().next() else { return wrong("nothing is wanted".into()) };
                let all = &order.files[sha256];
                let data = all[*at as usize..all.len().min(*at as usize + CHUNK_MAX)].to_vec();
                let (submission, sha256) = ((&*order.submission).into(), sha256.into());
                out.send(conn, Upload { submission, sha256, offset: *at, data }.encode());
            }
            FromController::Unfit(unfit) => wrong(format!("it is unfit: {:?}", unfit.problems)),
            FromController::Denied(denied) => wrong(format!("it was denied: {}", denied.reason)),
            FromController::Seen(seen) => {
                let state = seen.run;
                if let Some(submission) = seen.submission {
                    let order = book.orders.iter_mut().enumerate().find(|(_, order)| order.submission == submission);
                    let Some((ix, order)) = order else { return };
                    order.again &= order.run.is_none();
                    let run = order.run.get_or_insert_with(|| state.run.clone());
                    if *run != state.run {
                        let what = format!("{submission} is run {run} and run {}", state.run);
                        book.problems.push(what);
                        return;
                    }
                    order.accepted.get_or_insert(now);
                    self.submitted.take_if(|submitted| *submitted == ix);
                } else if state.state == RunStatus::Over {
                    let order = book.orders.iter_mut().find(|order| order.run.as_ref() == Some(&state.run));
                    if let Some(order) = order.filter(|order| order.whole) {
                        order.last = Some(state);
                    }
                }
            }
            FromController::Piece(piece) => {
                let order = book.orders.iter_mut().find(|order| order.run.as_deref() == Some(&*piece.run));
                let Some(order) = order else { return wrong(format!("a piece of {}", piece.run)) };
                if piece.offset != order.bytes.len() as u64 {
                    return wrong(format!("a piece at {} came after {} bytes", piece.offset, order.bytes.len()));
                }
                if piece.data.is_empty() {
                    order.whole = true;
                    return out.send(conn, Look { run: piece.run, end: false }.encode());
                }
                order.bytes.extend(piece.data);
                out.send(conn, get(&piece.run, order.bytes.len()).encode());
            }
            _ => {}
        }
    }
}

fn submit(order: &Order) -> Submit<'_> {
    Submit {
        submission: (&*order.submission).into(),
        file: "t.json".into(),
        test: (&*order.text).into(),
        files: order.offers.clone(),
        wait: None,
        lost_after: None,
    }
}

fn get(run: &str, offset: usize) -> Get<'_> {
    Get { run: run.into(), file: TIME_LINE.into(), offset: offset as u64, wait: true }
}

impl Machine for Operator {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => {
                self.begun = now;
                self.act(now, out);
            }
            Input::Connected { conn, .. } if self.conn == Some(conn) => {
                out.send(conn, Operate { protocol: PROTOCOL, version: "toy".into() }.encode());
            }
            Input::Received { conn, bytes } if self.conn == Some(conn) => {
                let (mut frames, mut lines) = (std::mem::take(&mut self.frames), Vec::new());
                let fed = frames.feed(bytes, LINE_MAX, |line| {
                    lines.push(line.to_vec());
                    true
                });
                assert!(fed.is_ok(), "a controller sends lines that are not too long");
                (self.frames, self.heard) = (frames, now);
                lines.iter().for_each(|line| self.line(now, line, out));
                self.act(now, out);
            }
            Input::Closed { conn, .. } if self.conn == Some(conn) => {
                (self.conn, self.next) = (None, now + AGAIN);
            }
            Input::Deadline if self.next <= now => self.act(now, out),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        Some(self.next)
    }
}
