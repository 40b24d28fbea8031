//! Connects the members at barriers and syncs with the commands and entries that wait for their verdicts.

use std::time::Duration;

use crate::machine::{ConnId, Exit};
use crate::slave::members::{MeetKind, MeetRequest, Released};
use crate::slave::notifies::Waiter;
use crate::slave::process::{RunKey, unexpected};
use crate::slave::refusal::Refusal;
use crate::slave::run::Run;
use crate::slave::turn::Turn;
use crate::verdict::map_as_line;
use crate::wire::rendezvous::{RoundVerdict, SYNC_TIMEOUT};
use crate::wire::{Action, EntryOutcome, Expect, FromController};

impl Run {
    /// A member arrives at a barrier or gives a value to a sync. `waiter` gets the verdict. Fails if the request is not
    /// valid.
    pub(super) fn meet(&mut self, asked: MeetRequest, waiter: Waiter, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let default = matches!(asked.what, MeetKind::Sync { .. }).then_some(SYNC_TIMEOUT);
        let timeout = asked.timeout.or_else(|| self.part.timeouts.get(&asked.name).copied()).or(default);
        let slave = self.part.slave_name(&self.config);
        self.members.add(slave, MeetRequest { timeout, ..asked }, waiter, &mut self.timers, turn)
    }

    /// The controller has decided a round.
    pub(super) fn ruled(&mut self, verdict: &RoundVerdict<'_>, turn: &mut Turn<'_>) {
        for released in self.members.ruled(verdict, &mut self.timers, turn) {
            self.met(released, turn);
        }
        self.members.confirm(&verdict.ids, turn);
    }

    /// The instant of a member's release has come.
    pub(super) fn release(&mut self, id: u64, turn: &mut Turn<'_>) {
        if let Some(released) = self.members.release(id) {
            self.met(released, turn);
        }
    }

    /// A member has timed out.
    pub(super) fn expire(&mut self, id: u64, turn: &mut Turn<'_>) {
        if let Some(released) = self.members.expire(id, &mut self.timers, turn) {
            self.met(released, turn);
        }
    }

    /// Answers the command or ends the entry that waits for this member's verdict.
    fn met(&mut self, released: Released, turn: &mut Turn<'_>) {
        let Released { asked, waiter, verdict, line } = released;
        match waiter {
            Waiter::Command(conn) => turn.control.met(conn, &verdict, line, turn.out),
            Waiter::Entry(key) => {
                let waited = asked.timeout.map(Duration::from_micros);
                let why = verdict.in_words(&asked.subject(), waited);
                // The map, without the message around it, is the standard output of the entry.
                let message = line.as_deref().and_then(|line| line.strip_suffix(b"\n"));
                if let Some(Ok(FromController::Map(map))) = message.map(FromController::decode) {
                    self.write_output(key, map_as_line(&map.map), turn);
                }
                let exit = Exit::Code(i32::from(verdict.exit_code()));
                let (outcome, why) = self.judge_meeting(key, exit, why);
                self.meeting_over(key, exit, outcome, why, turn);
            }
            Waiter::None => {}
        }
    }

    /// Returns the outcome of an entry with this exit status of a barrier or a sync.
    fn judge_meeting(&self, key: RunKey, exit: Exit, why: Option<String>) -> (EntryOutcome, Option<String>) {
        let action = self.processes.get(key).map(|run| &self.part.entries[run.entry].action);
        match action {
            Some(Action::Barrier { expect, .. } | Action::Sync { expect, .. }) if expect.allows(exit) => {
                (EntryOutcome::Passed, None)
            }
            Some(Action::Barrier { expect, barrier: name, .. } | Action::Sync { expect, session: name, .. }) => {
                let what = if matches!(action, Some(Action::Barrier { .. })) { "barrier" } else { "sync" };
                let why = why.unwrap_or_else(|| format!("{what} {name}: all members arrived"));
                let usual = *expect == Expect::default();
                (EntryOutcome::Failed, Some(if usual { why } else { format!("{why}; {}", unexpected(expect, exit)) }))
            }
            _ => (EntryOutcome::Failed, why),
        }
    }

    /// The connection of a command is closed: takes its arrivals back.
    pub(in crate::slave) fn command_gone(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        self.withdraw(|waiter| *waiter == Waiter::Command(conn), turn);
    }

    /// Takes the arrivals of these waiters back. A run that is being forgotten does not inform the controller.
    pub(super) fn withdraw(&mut self, whose: impl Fn(&Waiter) -> bool, turn: &mut Turn<'_>) {
        let unruled = self.members.remove(whose, &mut self.timers);
        if self.named().is_some() {
            self.members.take_back(unruled, turn);
        }
    }
}
