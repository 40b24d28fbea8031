//! Ends waits that cannot succeed: for slaves that are lost, and for members that cannot arrive any more.
//!
//! A lost slave is lost to the meetings of its run in the same turn, and to a meeting that begins later. Whether the other
//! members can still arrive is checked once a second, because the check visits every entry of the run.

use std::rc::Rc;
use std::time::Duration;

use crate::controller::Controller;
use crate::controller::room::meeting::Meeting;
use crate::controller::room::rendezvous::Process;
use crate::controller::run::prospects::Prospects;
use crate::controller::run::run::{Phase, Run};
use crate::controller::run::runs::RunNr;
use crate::machine::{Outbox, Time};

/// In a run with at least this many slaves, the check is not repeated for each lost slave, but at most once in
/// [`LOOK_AGAIN`].
const FEW: usize = 200;

const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Controller {
    /// Tells the meetings of runs which slaves were lost in this turn.
    pub(in crate::controller) fn give_up_the_lost(&mut self, now: Time) {
        let news = |run: &Run| run.absent.has_news();
        let runs: Vec<RunNr> = self.runs.iter().filter(|(_, run)| news(run)).map(|(nr, _)| nr).collect();
        for nr in runs {
            let Some(run) = self.runs.get_mut(nr) else { continue };
            let news = run.absent.take_news();
            if run.phase != Phase::Running {
                continue;
            }
            let process = |ix| Some((run.roster.get(ix).process?, run.absent.reason(ix)?.clone()));
            let lost: Vec<(Process, Rc<str>)> = news.into_iter().filter_map(process).collect();
            let room = run.room.name.clone();
            for (process, why) in lost {
                self.visit(now, &room, |room, visit| room.lose(process, &why, visit));
            }
            // When thousands are lost one after another, the check of each second handles most of them.
            let few = self.runs.get(nr).is_some_and(|run| run.roster.len() < FEW);
            if few || self.runs.get(nr).is_some_and(|run| now.since(run.absent.looked()) >= LOOK_AGAIN) {
                self.give_up(now, nr);
            }
        }
    }

    /// A member has arrived at a meeting that may wait for lost slaves. Only the first member checks: when another slave is
    /// lost later, the waiting members are told then.
    pub(in crate::controller) fn give_up_on(&mut self, now: Time, room: &Rc<str>, (kind, meeting): (Meeting, &str)) {
        let Some(run) = self.runs.by_id(room).filter(|run| run.phase == Phase::Running) else { return };
        if run.absent.lost().is_empty() || run.room.how_many_wait(kind, meeting) != 1 {
            return;
        }
        let why = |member: &Rc<str>| {
            let host = member.split_once('#').map_or(&**member, |(host, _)| host);
            let why = run.absent.reason(run.roster.find(host)?)?;
            (!self.processes.client_of_host(now, room, host)).then(|| (member.clone(), why.clone()))
        };
        let Some((member, why)) = run.room.first_missing(kind, meeting, why) else { return };
        self.visit(now, room, |room, visit| room.end_for_lost_host((kind, meeting), &member, &why, visit));
    }

    /// Ends the rounds of a run that wait for members that cannot arrive.
    fn give_up(&mut self, now: Time, nr: RunNr) {
        let Some(run) = self.runs.get(nr).filter(|run| run.phase == Phase::Running && !run.room.is_still()) else {
            return;
        };
        let room = run.room.name.clone();
        if let Some(run) = self.runs.get_mut(nr) {
            run.absent.look(now);
        }
        let Some(run) = self.runs.get(nr) else { return };
        let prospects = Prospects::of(run, &self.processes.clients_of(now, &room));
        if !prospects.is_open() {
            self.visit(now, &room, |room, visit| prospects.with_both(|both| room.end_hopeless(both, visit)));
        }
    }

    /// Checks whether members wait in vain, and whether a run stands still.
    pub(in crate::controller) fn look_at_waits(&mut self, now: Time, out: &mut Outbox) {
        let running: Vec<RunNr> =
            self.runs.iter().filter(|(_, run)| run.phase == Phase::Running).map(|(nr, _)| nr).collect();
        for nr in running {
            self.give_up(now, nr);
            if let Some(run) = self.runs.get_mut(nr) {
                run.look_for_standstill(now, out);
            }
        }
    }
}
