//! What the meetings of a run must hear about its lost slaves, and when it is looked at who can still come.

use std::rc::Rc;

use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::Process;
use crate::controller::run::absent::LeftAt;
use crate::controller::run::run::Run;
use crate::machine::Time;

impl Run {
    /// Returns whether slaves were lost that the meetings do not know of.
    pub fn has_lost_more(&self) -> bool {
        self.absent.has_news()
    }

    /// Returns the processes of lost slaves that the meetings do not know of, each with the reason. From now on they do,
    /// and a look at who can still come is requested.
    pub fn take_lost(&mut self, now: Time) -> Vec<(Process, Rc<str>)> {
        let news = self.absent.take_news();
        if !self.is_running() {
            return Vec::new();
        }
        self.absent.request_look(now);
        let process = |ix| Some((self.roster.get(ix).process?, self.absent.reason(ix)?.clone()));
        news.into_iter().filter_map(process).collect()
    }

    /// Returns a member for which a meeting waits although its slave is lost, and the reason. Only the first arrival of a
    /// round is checked: when a slave is lost later, the members that wait learn of it then. `is_client`: whether a client
    /// acts for a host.
    pub fn waits_for_lost(
        &self,
        (kind, meeting): (Meeting, &str),
        is_client: impl Fn(&str) -> bool,
    ) -> Option<(Rc<str>, Rc<str>)> {
        let meetings = self.room.meetings(kind);
        if !self.is_running() || self.absent.lost().is_empty() || meetings.how_many_wait(meeting) != 1 {
            return None;
        }
        let why = |member: &Rc<str>| {
            let host = member.split_once('#').map_or(&**member, |(host, _)| host);
            let why = self.absent.reason(self.roster.find(host)?)?;
            (!is_client(host)).then(|| (member.clone(), why.clone()))
        };
        meetings.first_missing(meeting, why)
    }

    /// Requests a look at who can still come.
    pub fn request_look(&mut self, now: Time) {
        if self.is_running() {
            self.absent.request_look(now);
        }
    }

    /// Returns when the next look is due.
    pub fn look_due(&self) -> Option<Time> {
        self.absent.look_due()
    }

    /// Begins a look if it is due and members wait. Returns the meeting at which the last one was interrupted.
    pub fn begin_look(&mut self, now: Time) -> Option<Option<LeftAt>> {
        self.look_due().filter(|due| *due <= now)?;
        let from = self.absent.begin_look();
        (self.is_running() && !self.room.is_still()).then_some(from)
    }

    /// Ends a look that has compared `work` entries and members. `left_at`: it was interrupted there, and must continue.
    pub fn end_look(&mut self, now: Time, work: usize, left_at: Option<LeftAt>) {
        self.absent.end_look(now, work, left_at);
    }
}
