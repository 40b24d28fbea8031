//! A member that serves its room itself (`--serve`): a controller and its client in one process, connected over the
//! loopback.
//!
//! The process exits with the client's exit code, but never before the other members know their verdicts, up to a time
//! limit. A failed round is kept for members that arrive a moment later.

use std::time::Duration;

use crate::controller::Controller;
use crate::exit_code;
use crate::machine::{Input, Machine, Outbox, Stream, Time};
use crate::member::Member;
use crate::text;

/// How long the room stays open after this member has its verdict, for members that have not received theirs.
const OTHERS_HAVE: Duration = Duration::from_secs(5);

/// How much longer it stays open if this member was interrupted. The member counts as lost only when it has not returned
/// in time, and the others must receive that.
const LOSS_SLACK: Duration = Duration::from_millis(250);

/// A controller that serves rooms and no run.
pub trait Room: Machine {
    /// Returns whether no member waits, and every verdict was received.
    fn is_quiet(&self) -> bool;

    /// Returns whether every verdict was received.
    fn all_have_heard(&self) -> bool;

    /// Returns whether another member than this one waits.
    fn others_wait(&self, member: &str) -> bool;

    /// Returns whether a verdict is kept for members that may still arrive.
    fn keeps_verdicts(&self) -> bool;
}

impl Room for Controller {
    fn is_quiet(&self) -> bool {
        Controller::is_quiet(self)
    }

    fn all_have_heard(&self) -> bool {
        Controller::all_have_heard(self)
    }

    fn others_wait(&self, member: &str) -> bool {
        Controller::others_wait(self, member)
    }

    fn keeps_verdicts(&self) -> bool {
        Controller::keeps_verdicts(self)
    }
}

/// A room and a member in one machine.
pub struct Serve<R> {
    room: R,
    member: Member,
    /// The instant at which the room closes.
    until: Option<Time>,
    closed: bool,
}

impl<R: Room> Serve<R> {
    /// Returns a machine that serves the room of `member` and exits with the member's code.
    pub fn new(room: R, member: Member) -> Serve<R> {
        Serve { room, member, until: None, closed: false }
    }

    /// Returns the standard output, as [`Member::output`].
    pub fn output(&self) -> &[u8] {
        self.member.output()
    }

    fn finish_turn(&mut self, now: Time, out: &mut Outbox) {
        let Some(code) = self.member.over() else { return };
        if self.until.is_none() && code == exit_code::INTERRUPTED && self.room.others_wait(self.member.name()) {
            self.say_why_it_stays(out);
        }
        let slack = if code == exit_code::INTERRUPTED { LOSS_SLACK } else { Duration::ZERO };
        let until = *self.until.get_or_insert(now + OTHERS_HAVE + slack);
        if self.may_close(code) || now >= until {
            self.closed = true;
            out.exit(code);
        }
    }

    /// Returns whether all others know their verdicts. After an interrupt, this member's own arrival does not count.
    fn may_close(&self, code: u8) -> bool {
        match code {
            exit_code::PASSED => self.room.is_quiet(),
            exit_code::INTERRUPTED => !self.room.others_wait(self.member.name()) && self.room.all_have_heard(),
            _ => self.room.is_quiet() && !self.room.keeps_verdicts(),
        }
    }

    fn say_why_it_stays(&self, out: &mut Outbox) {
        let (subject, most) = (self.member.subject(), text::duration(OTHERS_HAVE));
        out.print(
            Stream::Err,
            format!(
                "arete: {subject}: interrupted, but other members wait in this room: serving them for up to {most}, \
                 until they know that this member is lost; interrupt again to exit at once\n"
            ),
        );
    }
}

impl<R: Room> Machine for Serve<R> {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin | Input::Deadline => {
                let again = if matches!(input, Input::Begin) { Input::Begin } else { Input::Deadline };
                self.room.handle(now, input, out);
                self.member.turn(now, again, out);
            }
            Input::Behind { since } => {
                self.room.handle(now, input, out);
                self.member.turn(now, Input::Behind { since }, out);
            }
            Input::Connected { conn, .. } | Input::Received { conn, .. } | Input::Closed { conn, .. }
                if self.member.is(conn) =>
            {
                self.member.turn(now, input, out);
            }
            Input::Signal(_) => {
                // A second signal closes the room at once.
                if self.member.over().is_some() {
                    self.until = Some(now);
                }
                self.member.turn(now, input, out);
            }
            _ => self.room.handle(now, input, out),
        }
        self.finish_turn(now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        if self.closed {
            return None;
        }
        let until = self.until.filter(|_| self.member.over().is_some());
        [self.room.next_deadline(), self.member.deadline(), until].into_iter().flatten().min()
    }
}
