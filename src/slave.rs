//! The slave: its connection to the controller, and its part of a run.
//!
//! [`Slave`] owns the connection, the control socket and at most one run. What is left of a run is always cleaned up
//! before the next one begins, so two runs are never in progress in one slave.

mod aimed;
mod assignment;
mod config;
mod control;
mod fault_record;
mod injections;
mod lines;
mod measurements;
mod members;
mod notifies;
mod output;
mod process;
mod queue;
mod readiness;
mod refusal;
mod reports;
mod resources;
mod run;
mod run_dir;
mod schedule;
mod shorten;
mod status;
mod strays;
mod sweeps;
mod tails;
#[cfg(test)]
mod tests;
mod timer;
mod triggers;
mod turn;
mod unshipped;
mod variables;
mod waits;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use self::assignment::Assignment;
pub use self::config::{Config, Leave, ORPHAN_AFTER, Settings};
use self::control::Control;
pub use self::fault_record::{ControllerAt, Does, FAULTS, FaultRecord, RECORD, table_prefix};
use self::refusal::Refusal;
use self::run::Run;
pub use self::run_dir::{MARK, REST};
use self::status::Status;
use self::turn::Turn;
use crate::link::{Link, Linked};
use crate::machine::faults::{Fault, injected};
use crate::machine::{
    Address, Bytes, ChildId, ConnId, Exit, Input, Machine, Outbox, Signal, Stream, Time, Timers, removal,
};
use crate::session::VERSION;
use crate::text;
use crate::wire::rendezvous::Alive;
use crate::wire::{Bye, ControlRequest, FromController, Hello, Manner, Message, PROTOCOL, PokedBy, Stopped, Welcome};

/// How long a slave that must exit goes on shipping the output of its commands.
const QUIT_SHIPS_FOR: Duration = Duration::from_secs(3);

/// The exit code of a slave that was interrupted.
const INTERRUPTED: u8 = 130;

/// The exit code of a slave after a refusal of its controller, or after the loss of its only run.
const FAILED: u8 = 1;

/// A slave: runs its part of a test on one machine.
pub struct Slave {
    config: Rc<Config>,
    link: Link,
    control: Control,
    /// The number of the last arrival at a barrier or a sync.
    arrivals: u64,
    run: Option<Run>,
    /// Where the controller was found last.
    controller: ControllerAt,
    /// The next run, while the last one is being cleaned up.
    next: Option<Assignment>,
    /// The processes that remove the directories of earlier runs, and the ids of those runs.
    removing: BTreeMap<ChildId, String>,
    /// The last run with output that a limit has cut. Its directory stays until there is another such run.
    rest: Option<String>,
    /// The run that this slave forgot last. With `once`, its dismissal ends the slave.
    served: Option<String>,
    /// It was launched, so it exits after the run, or when its controller stays away.
    leaving: bool,
    /// The controller launches slaves and has no run for this one.
    turned_away: bool,
    /// The exit code, if this slave exits as soon as nothing is left to do.
    quit: Option<u8>,
    status: Status,
    timers: Timers<Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The controller has been away too long.
    Orphan,
    /// The end of shipping before the exit.
    Quit,
}

impl Slave {
    /// Returns a slave that has not connected yet.
    pub fn new(config: Config) -> Slave {
        Slave {
            link: Link::new(config.controller.clone(), config.seed),
            control: Control::default(),
            arrivals: 0,
            run: None,
            controller: ControllerAt::default(),
            next: None,
            removing: BTreeMap::new(),
            rest: None,
            served: None,
            leaving: config.leave == Leave::Launched,
            turned_away: false,
            quit: None,
            status: Status::default(),
            timers: Timers::default(),
            config: Rc::new(config),
        }
    }

    /// Returns whether the slave exits after one run.
    fn once(&self) -> bool {
        self.config.once || self.leaving
    }

    /// Notes where the controller is when it is connected.
    fn find_controller(&mut self, input: &Input<'_>) {
        let Input::Connected { conn, peer, local } = input else { return };
        if self.link.is(*conn) {
            let named = match &self.config.controller {
                Address::Inet(named) => Some(named.clone()),
                Address::Unix(_) => None,
            };
            self.controller = ControllerAt::seen(named, peer.address(), *local);
            if let Some(run) = &mut self.run {
                run.set_controller(self.controller.clone());
            }
        }
    }

    /// The controller is away: limits the wait for it, if something here depends on it.
    fn await_controller(&mut self, now: Time) {
        let waits = self.leaving && !injected(Fault::WaitsForEver);
        if (self.run.is_some() || waits) && self.timers.get(&Timer::Orphan).is_none() {
            self.timers.set(Timer::Orphan, now + self.config.orphan_after);
        }
    }

    /// Splits the slave into its run and the means of the run.
    fn parts<'a>(&'a mut self, now: Time, out: &'a mut Outbox) -> (&'a mut Option<Run>, Turn<'a>) {
        let turn = Turn { now, out, link: &mut self.link, control: &mut self.control, arrivals: &mut self.arrivals };
        (&mut self.run, turn)
    }

    /// Calls `act` with the run, if there is one.
    fn with_run(&mut self, now: Time, out: &mut Outbox, act: impl FnOnce(&mut Run, &mut Turn<'_>)) {
        if let (Some(run), mut turn) = self.parts(now, out) {
            act(run, &mut turn);
        }
    }

    /// Bytes have arrived at the control socket.
    fn requested(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        let line = match self.control.line(conn, bytes) {
            Ok(None) => return,
            Ok(Some(line)) => line,
            Err(bound) => return self.control.fail(conn, &Refusal::TooLong(bound), out),
        };
        let request = match ControlRequest::decode(&line) {
            Ok(request) => request,
            Err(malformed) => return self.control.fail(conn, &Refusal::Malformed(malformed), out),
        };
        let (Some(run), mut turn) = self.parts(now, out) else {
            return self.control.fail(conn, &Refusal::NoRun, out);
        };
        if let Err(why) = run.answer(conn, &request, &mut turn) {
            self.control.fail(conn, &why, out);
        }
    }

    /// The run is over elsewhere: ends what is left here, and forgets the run.
    fn abandon(&mut self, now: Time, out: &mut Outbox) {
        self.with_run(now, out, |run, turn| run.abandon(turn));
    }

    /// The controller ends the run.
    fn stop(&mut self, now: Time, id: &str, how: Manner, out: &mut Outbox) {
        if self.next.as_ref().is_some_and(|next| next.run == id) {
            self.next = None;
        }
        match &self.run {
            Some(run) if run.is(id) && run.begun() && !run.stopped() => {
                self.with_run(now, out, |run, turn| run.stop(how, turn));
            }
            Some(run) if run.is(id) && !run.begun() => {
                self.with_run(now, out, |run, turn| run.never_begin(turn));
            }
            _ => self.link.say(out, &Stopped { run: id.into(), by_itself: false }),
        }
    }

    fn dismissed(&mut self, id: &str, out: &mut Outbox) {
        if self.run.as_ref().is_some_and(|run| run.is(id) && run.stopped()) {
            self.forget(out);
        }
        if self.once() && self.served.as_deref() == Some(id) {
            self.quit.get_or_insert(0);
        }
    }

    /// Forgets the run and removes its directory.
    fn forget(&mut self, out: &mut Outbox) {
        let Some(run) = self.run.take() else { return };
        log::debug!("forgetting run {}", run.id());
        self.control.end(out);
        if !self.leaving {
            self.timers.cancel(&Timer::Orphan);
        }
        if !self.config.keep && run.has_dir() {
            let id = Some(run.id().to_owned());
            if let Some(gone) = if run.leaves_rest() { std::mem::replace(&mut self.rest, id) } else { id } {
                self.removing.insert(out.spawn(removal(&self.config.dir, &[&gone])), gone);
            }
        }
        if self.once() && run.orphaned() {
            self.quit.get_or_insert(FAILED);
        }
        self.served = Some(run.id().to_owned());
    }

    fn signal(&mut self, now: Time, signal: Signal, out: &mut Outbox) {
        match signal {
            Signal::USR1 => self.with_run(now, out, |run, turn| {
                if let Err(why) = run.poke(None, PokedBy::Signal, turn) {
                    log::warn!("SIGUSR1 pokes no entry: {why}");
                }
            }),
            Signal::TERM | Signal::INT if self.quit.is_some() => {
                self.with_run(now, out, |run, turn| run.kill_all(turn));
                out.sweep(Signal::KILL);
                out.exit(INTERRUPTED);
            }
            Signal::TERM | Signal::INT => {
                log::info!("{}: stopping", signal.name());
                self.quit = Some(if signal == Signal::INT { INTERRUPTED } else { 0 });
                self.next = None;
                self.with_run(now, out, |run, turn| run.quit(turn));
            }
            _ => {}
        }
    }

    /// A child has started or exited. It belongs to the run, or removes the directory of an earlier run.
    fn child(&mut self, now: Time, child: ChildId, input: &Input<'_>, out: &mut Outbox) {
        if let Some(run) = self.removing.get(&child) {
            let dir = self.config.dir.join(run);
            match input {
                Input::Spawned { .. } => return,
                Input::SpawnFailed { error, .. } => log::warn!("{} stays: cannot start rm: {error}", dir.display()),
                Input::Exited { exit, .. } if *exit != Exit::Code(0) => {
                    log::warn!("{} stays: something in it cannot be removed: remove it by hand", dir.display());
                }
                _ => {}
            }
            self.removing.remove(&child);
            return;
        }
        self.with_run(now, out, |run, turn| match input {
            Input::Spawned { pid, .. } => run.spawned(child, *pid, turn),
            Input::SpawnFailed { error, .. } => run.spawn_failed(child, &error.text, turn),
            Input::Exited { exit, .. } => run.exited(child, *exit, turn),
            _ => {}
        });
    }

    /// An input that does not concern the connection to the controller.
    fn on_input(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => {
                self.link.connect(now, out);
                self.await_controller(now);
            }
            Input::Accepted { conn, listener, peer } if listener == self.config.control => {
                self.control.accepted(conn, &peer, self.config.uid, out);
            }
            Input::Accepted { conn, .. } => out.close(conn, "nothing listens here"),
            Input::Received { conn, bytes } => self.requested(now, conn, bytes, out),
            Input::Closed { conn, .. } => {
                self.control.closed(conn);
                self.with_run(now, out, |run, turn| run.command_gone(conn, turn));
            }
            Input::Signal(signal) => self.signal(now, signal, out),
            Input::Spawned { child, .. } | Input::SpawnFailed { child, .. } | Input::Exited { child, .. } => {
                self.child(now, child, &input, out);
            }
            Input::Reloaded { settings } => Rc::make_mut(&mut self.config).reload(settings),
            input => self.with_run(now, out, |run, turn| run.on_input(input, turn)),
        }
    }

    /// Fires the timers that are due, and then does what follows from the turn.
    fn finish_turn(&mut self, now: Time, out: &mut Outbox) {
        self.link.fire(now, out);
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Orphan => {
                    let gone = text::duration(self.config.orphan_after);
                    let what = if self.run.is_some() { "the run ends here" } else { "exiting" };
                    log::warn!("no connection to a controller for {gone}: {what}");
                    self.with_run(now, out, |run, turn| run.give_up(turn));
                    if self.leaving {
                        self.quit.get_or_insert(FAILED);
                    }
                }
                Timer::Quit => self.with_run(now, out, |run, turn| run.give_up_shipping(turn)),
            }
        }
        self.with_run(now, out, |run, turn| run.finish_turn(turn));
        if self.run.as_ref().is_some_and(Run::over) {
            self.forget(out);
        }
        if self.run.is_none() && self.removing.is_empty() && self.quit.is_none() {
            self.begin_next(now, out);
        }
        self.finish_quit(now, out);
    }

    fn begin_next(&mut self, now: Time, out: &mut Outbox) {
        let Some(part) = self.next.take() else { return };
        let config = Rc::clone(&self.config);
        let controller = self.controller.clone();
        let (slot, mut turn) = self.parts(now, out);
        let run = slot.insert(Run::new(part, config));
        run.set_controller(controller);
        run.prepare(&mut turn);
    }

    /// Exits as soon as nothing is left to do, if the slave must exit.
    fn finish_quit(&mut self, now: Time, out: &mut Outbox) {
        let Some(code) = self.quit else { return };
        match self.run.as_ref().is_some_and(Run::shipping) {
            true if !self.link.up() => self.with_run(now, out, |run, turn| run.give_up_shipping(turn)),
            true if self.timers.get(&Timer::Quit).is_none() => self.timers.set(Timer::Quit, now + QUIT_SHIPS_FOR),
            _ => {}
        }
        if self.run.as_ref().is_some_and(|run| run.stopped() || !run.begun()) {
            self.forget(out);
        }
        if self.run.is_none() && self.removing.is_empty() {
            self.link.leave("the slave ends", out);
            out.exit(code);
        }
    }
}

impl Linked for Slave {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn greeting(&mut self, _now: Time) -> Bytes {
        let named = self.run.as_ref().and_then(Run::named);
        let hello = Hello {
            protocol: PROTOCOL,
            version: VERSION.into(),
            name: self.config.name.as_str().into(),
            incarnation: self.config.incarnation.as_str().into(),
            run: named.map(Into::into),
            labels: self.config.labels.clone(),
            utc: self.config.utc,
            secret: self.config.secret.as_deref().map(Into::into),
        };
        hello.encode()
    }

    fn goes_on(&self, welcome: &Welcome<'_>) -> bool {
        self.run.as_ref().is_some_and(|run| welcome.run.as_deref().is_some_and(|id| run.is(id)))
    }

    fn on_welcome(&mut self, now: Time, welcome: &Welcome<'_>, out: &mut Outbox) {
        self.timers.cancel(&Timer::Orphan);
        let told = welcome.leave && !injected(Fault::LeaveUnheard);
        self.leaving |= told && self.config.leave != Leave::Never;
        self.turned_away = welcome.leave && self.leaving && welcome.run.is_none();
        if self.goes_on(welcome) {
            return self.with_run(now, out, |run, turn| run.resume(welcome.recorded, turn));
        }
        if let Some(run) = self.run.as_ref().and_then(Run::named) {
            log::warn!("the controller does not continue run {run}: killing what the run has started here");
        }
        self.next = None;
        self.abandon(now, out);
    }

    fn on_message(&mut self, now: Time, message: FromController<'_>, out: &mut Outbox) {
        match &message {
            FromController::Pong(pong) => self.with_run(now, out, |run, turn| run.on_pong(pong.time, turn)),
            FromController::Check(_) => self.link.say(out, &Alive { lifetime: std::marker::PhantomData }),
            FromController::Prepare(prepare) => {
                if self.run.as_ref().is_some_and(|run| run.is(&prepare.run)) {
                    return self.with_run(now, out, |run, turn| run.prepare_again(prepare, turn));
                }
                self.abandon(now, out);
                self.next = Some(Assignment::new(prepare));
            }
            FromController::Stop(stop) => self.stop(now, &stop.run, stop.how, out),
            FromController::Dismissed(dismissed) => self.dismissed(&dismissed.run, out),
            _ => self.with_run(now, out, |run, turn| run.on_message(&message, turn)),
        }
    }

    fn on_bye(&mut self, now: Time, bye: &Bye<'_>, out: &mut Outbox) -> bool {
        if (bye.fatal || self.turned_away) && self.once() {
            let text = format!("arete: controller {}: {}\n", self.config.controller, text::harmless(&bye.reason));
            out.print(Stream::Err, text);
            self.link.leave("refused", out);
            self.quit.get_or_insert(FAILED);
            self.abandon(now, out);
            return false;
        }
        self.quit.is_none()
    }

    fn on_lost(&mut self, now: Time, _was_up: bool, out: &mut Outbox) {
        self.await_controller(now);
        self.with_run(now, out, |run, _| run.on_disconnect());
        if self.once() && self.run.is_none() && self.served.is_some() {
            self.quit.get_or_insert(0);
        } else if self.turned_away {
            self.quit.get_or_insert(FAILED);
        }
    }
}

impl Machine for Slave {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.find_controller(&input);
        match input {
            // The slave waits only for the removal of directories before it exits, so it does not reconnect.
            Input::Closed { conn, .. } if self.link.is(conn) && self.quit.is_some() && self.run.is_none() => {
                self.link.end();
            }
            input => {
                if let Some(input) = self.on_link_input(now, input, out) {
                    self.on_input(now, input, out);
                }
            }
        }
        self.finish_turn(now, out);
        let run = self.run.as_ref().map(Run::id);
        self.status.update(&self.config.controller, &self.link, run, self.quit.is_some(), out);
    }

    fn next_deadline(&self) -> Option<Time> {
        let run = self.run.as_ref().and_then(Run::next_deadline);
        [self.link.next_deadline(), self.timers.next(), run].into_iter().flatten().min()
    }
}
