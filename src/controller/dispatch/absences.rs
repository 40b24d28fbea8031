//! Ends the waits of members for slaves that are lost, and for members that cannot come any more.
//!
//! The meetings of a run hear of a lost slave in the same turn, and so does a member that arrives later. Whether the other
//! members can still come is looked at each second and after a loss. A look compares a bounded number of members in one
//! turn, and goes on in a later one.

use std::rc::Rc;

use crate::controller::Controller;
use crate::controller::room::meeting::Meeting;
use crate::controller::run::prospects::Prospects;
use crate::controller::run::runs::RunNr;
use crate::machine::{Outbox, Time};

/// The most entries and members that the looks of one turn compare. A turn may exceed it by one run and one meeting.
const WORK_OF_A_TURN: usize = 100_000;

/// The most members that one look compares.
const NAMES_OF_A_LOOK: usize = 50_000;

impl Controller {
    /// Tells the meetings of runs which slaves were lost in this turn.
    pub(in crate::controller) fn give_up_the_lost(&mut self, now: Time) {
        let runs: Vec<RunNr> = self.runs.iter().filter(|(_, run)| run.has_lost_more()).map(|(nr, _)| nr).collect();
        for nr in runs {
            let Some(run) = self.runs.get_mut(nr) else { continue };
            let room = run.room.name.clone();
            for (process, why) in run.take_lost(now) {
                self.visit(now, &room, |room, visit| room.lose(process, &why, visit));
            }
            self.look_if_due(now, nr);
        }
    }

    /// Ends the round at which a member has just arrived, if it waits for a slave that is lost.
    pub(in crate::controller) fn give_up_on(&mut self, now: Time, room: &Rc<str>, (kind, meeting): (Meeting, &str)) {
        let is_client = |host: &str| self.processes.client_of_host(now, room, host);
        let lost = self.runs.by_id(room).and_then(|run| run.waits_for_lost((kind, meeting), is_client));
        let Some((member, why)) = lost else { return };
        self.visit(now, room, |room, visit| {
            room.at(kind, visit, |meetings, turn| meetings.end_for_lost_host(meeting, &member, &why, turn));
        });
    }

    /// Requests a look at each run that goes on.
    pub(in crate::controller) fn request_looks(&mut self, now: Time) {
        self.runs.values_mut().for_each(|run| run.request_look(now));
    }

    /// Checks whether members wait in vain, and whether nothing happens any more, in each run for which that is due. Begins
    /// with the run that has waited longest, and stops when the work of a turn is done.
    pub(in crate::controller) fn look_at_waits(&mut self, now: Time, out: &mut Outbox) {
        let mut due: Vec<(Time, RunNr)> =
            self.runs.iter().filter_map(|(nr, run)| Some((run.look_due()?, nr))).collect();
        due.sort_unstable();
        let mut work = 0;
        for (_, nr) in due.into_iter().take_while(|(at, _)| *at <= now) {
            if work >= WORK_OF_A_TURN {
                break;
            }
            work += 1 + self.look_if_due(now, nr);
            work += self.runs.get_mut(nr).map_or(0, |run| run.look_for_standstill(now, out));
        }
    }

    /// Ends the rounds of a run that wait for members who cannot come, if a look is due. Returns how many entries and
    /// members it has compared.
    fn look_if_due(&mut self, now: Time, nr: RunNr) -> usize {
        let Some(run) = self.runs.get_mut(nr) else { return 0 };
        let Some(from) = run.begin_look(now) else { return 0 };
        let room = run.room.name.clone();
        let clients = self.processes.clients_of(now, &room);
        let Some(prospects) = self.runs.get(nr).and_then(|run| Prospects::of(run, &clients)) else { return 0 };
        let (mut left, mut stop) = (NAMES_OF_A_LOOK, None);
        if !prospects.is_open() {
            self.visit(now, &room, |room, visit| {
                stop = prospects.with_both(|both| room.end_hopeless(both, from, &mut left, visit));
            });
        }
        let work = prospects.entries() + clients.len() + NAMES_OF_A_LOOK - left;
        if let Some(run) = self.runs.get_mut(nr) {
            run.end_look(now, work, stop);
        }
        work
    }
}
