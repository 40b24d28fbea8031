//! Members are not left waiting for slaves that are lost, nor for members that cannot come any more.
//!
//! A slave that is lost is lost to the meetings of its run in the same turn, and to whoever comes to one later. Whether
//! the others can still come is looked at once a second, because that takes a look at every entry of the run.

use std::rc::Rc;

use super::Controller;
use super::presence::Speaker;
use super::prospects::Prospects;
use super::rendezvous::Process;
use super::roster::Stage;
use super::run::{Phase, Run};
use super::runs::RunNr;
use super::standstill::Standstill;
use crate::machine::faults::{Fault, injected};
use crate::machine::{Outbox, Time};

/// The slaves of a run that are lost, and whether nothing happens any more.
#[derive(Debug, Default)]
pub struct Absent {
    /// In that order, each with its reason.
    lost: Vec<(usize, String)>,
    /// How many of them the meetings of the run know of.
    known: usize,
    pub standstill: Standstill,
}

impl Absent {
    pub fn lose(&mut self, slave: usize, reason: &str) {
        self.lost.push((slave, reason.to_owned()));
    }
}

impl Run {
    /// The slaves that members shall not wait for, each with the reason.
    pub(super) fn lost_to_meetings(&self) -> &[(usize, String)] {
        if injected(Fault::LostSlaveAwaited) { &[] } else { &self.absent.lost }
    }

    /// Whether this speaker may bring members: the reason why not.
    pub(super) fn takes_members_of(&self, speaker: &Speaker) -> Result<(), String> {
        match speaker {
            Speaker::Slave(ix, name) if self.roster.get(*ix).stage == Stage::Lost => {
                Err(format!("slave {name} is lost to run {:?}", self.id))
            }
            _ => self.takes_members(),
        }
    }
}

impl Controller {
    /// Slaves that were lost in this turn are lost to the meetings of their runs, too.
    pub(super) fn give_up_the_lost(&mut self, now: Time) {
        let news = |run: &Run| run.absent.known < run.absent.lost.len();
        let runs: Vec<RunNr> = self.runs.iter().filter(|(_, run)| news(run)).map(|(nr, _)| nr).collect();
        for nr in runs {
            let Some(run) = self.runs.get_mut(nr) else { continue };
            let known = std::mem::replace(&mut run.absent.known, run.absent.lost.len());
            if run.phase != Phase::Running {
                continue;
            }
            let process = |(ix, why): &(usize, String)| Some((run.roster.get(*ix).process?, why.clone()));
            let lost: Vec<(Process, String)> = run.lost_to_meetings().iter().skip(known).filter_map(process).collect();
            let room = run.room.name.clone();
            for (process, why) in lost {
                self.visit(now, &room, |room, visit| room.lose(process, &why, visit));
            }
            self.give_up(now, nr);
        }
    }

    /// Somebody has come to a meeting, which may wait for slaves that are lost.
    pub(super) fn give_up_on(&mut self, now: Time, room: &Rc<str>, meeting: (bool, &str)) {
        let Some(run) = self.runs.by_id(room).filter(|run| run.phase == Phase::Running) else { return };
        if run.lost_to_meetings().is_empty() {
            return;
        }
        let clients = self.processes.clients_of(now, room);
        let host = |(ix, why): &(usize, String)| (Rc::from(&*run.roster.get(*ix).name), Rc::from(&**why));
        let lost = run.lost_to_meetings().iter().map(host);
        let lost: Vec<_> = lost.filter(|(host, _)| !clients.iter().flatten().any(|it| speaks_for(it, host))).collect();
        self.visit(now, room, |room, visit| room.give_up_on(meeting, &lost, visit));
    }

    /// Ends the rounds of a run that wait for those who cannot come.
    fn give_up(&mut self, now: Time, nr: RunNr) {
        let Some(run) = self.runs.get(nr).filter(|run| run.phase == Phase::Running && !run.room.is_still()) else {
            return;
        };
        let room = run.room.name.clone();
        let prospects = Prospects::of(run, &self.processes.clients_of(now, &room));
        if !prospects.is_open() {
            self.visit(now, &room, |room, visit| prospects.with_both(|both| room.give_up(both, visit)));
        }
    }

    /// Looks whether members wait in vain, and whether nothing happens any more.
    pub(super) fn look_at_waits(&mut self, now: Time, out: &mut Outbox) {
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

/// Whether a member is of this host.
fn speaks_for(member: &str, host: &str) -> bool {
    member.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
}
