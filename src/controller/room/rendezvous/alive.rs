//! Signs of life: of members in a complete round, and of holders of contended names.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::arrival::Process;
use super::arrival_error::ArrivalError;
use super::arrival_state::{ArrivalState, How};
use super::turn::Turn;
use super::{Rendezvous, Timer};

impl Rendezvous {
    /// Returns whether a sign of life of this process was requested and has not arrived.
    pub fn awaits_sign_of_life(&self, process: Process) -> bool {
        !self.asked.is_empty() && self.asked.contains_key(&process)
    }

    /// Handles a sign of life of a process.
    pub fn on_sign_of_life(&mut self, process: Process, turn: &mut Turn<'_>) {
        let asked = self.asked.remove(&process).unwrap_or_default();
        self.refuse_contenders(&asked, process, turn);
        for name in asked {
            if let Some(round) = self.forming(&name) {
                round.heard(process, turn.presence);
            }
            self.try_release(&name, turn);
        }
    }

    /// Refuses the contenders for the names that this process holds, because it is alive.
    fn refuse_contenders(&mut self, asked: &BTreeSet<Rc<str>>, process: Process, turn: &mut Turn<'_>) {
        let contended = |name: &Rc<str>| self.round(name).is_some_and(|round| !round.contenders.is_empty());
        if !asked.iter().any(contended) {
            return;
        }
        // This visits the process's own arrivals instead of all contenders, because there may be as many contenders as
        // members.
        let held = self.arrivals.of(process).filter_map(|(_, state)| match state {
            ArrivalState::Waits { meeting, member, how } if *how != How::Contends && asked.contains(meeting) => {
                Some((meeting.clone(), member.clone()))
            }
            _ => None,
        });
        for (name, member) in held.collect::<Vec<_>>() {
            let contender = self.forming(&name).and_then(|round| round.contenders.remove(&member));
            if let Some(contender) = contender {
                self.timers.cancel(&Timer::Contend(name.clone(), member.clone()));
                let error = ArrivalError::Held { meeting: name.to_string(), member: member.to_string() };
                self.refuse((contender.process, contender.id), &error, turn);
            }
        }
    }
}
