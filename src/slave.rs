//! The slave: its connection to the controller, and its part of a run.

mod aimed;
mod assignment;
mod config;
mod control;
mod lines;
mod members;
mod notifies;
mod output;
mod process;
mod queue;
mod readiness;
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
use self::run::Run;
pub use self::run_dir::{MARK, REST};
use self::status::Status;
use self::turn::Turn;
use crate::link::Link;
use crate::machine::faults::{Fault, injected};
use crate::machine::{ChildId, ConnId, Exit, Input, Machine, Outbox, Reason, Signal, Stream, Time, Timers, removal};
use crate::session::VERSION;
use crate::text;
use crate::wire::rendezvous::Alive;
use crate::wire::{
    Bye, Code, ControlRequest, FromController, Hello, Malformed, Manner, PROTOCOL, PokedBy, Stopped, Welcome,
};

/// How long a slave that was told to quit goes on shipping what its commands wrote.
const QUIT_SHIPS_FOR: Duration = Duration::from_secs(3);

/// The exit code of a slave that was interrupted.
const INTERRUPTED: u8 = 130;

/// The exit code of a slave that its controller refused, or whose only run was lost.
const FAILED: u8 = 1;

/// A slave.
pub struct Slave {
    config: Rc<Config>,
    link: Link,
    control: Control,
    /// The number of the last arrival of this process at a barrier or a sync.
    arrivals: u64,
    run: Option<Run>,
    /// The next run, while the last one is being cleaned up.
    next: Option<Assignment>,
    /// The processes that remove the directories of former runs, by their names.
    removing: BTreeMap<ChildId, String>,
    /// The last run of which a limit has refused something: its directory stays until there is another such run.
    rest: Option<String>,
    /// The run that this slave forgot last: with `once`, its dismissal is the end.
    served: Option<String>,
    /// It was launched: it ends with the run, or when its controller is gone for good.
    leaving: bool,
    /// The controller that has it launched has no run for it.
    turned_away: bool,
    /// The exit code with which this slave ends as soon as nothing is left to do.
    quit: Option<u8>,
    status: Status,
    timers: Timers<Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The controller has been gone too long.
    Orphan,
    /// What is not shipped by now stays here.
    Quit,
}

impl Slave {
    pub fn new(config: Config) -> Slave {
        Slave {
            link: Link::new(config.controller.clone(), config.seed),
            control: Control::default(),
            arrivals: 0,
            run: None,
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

    /// Whether it ends after one run.
    fn once(&self) -> bool {
        self.config.once || self.leaving
    }

    /// Its controller is gone: how long is it waited for?
    fn await_controller(&mut self, now: Time) {
        let waits = self.leaving && !injected(Fault::WaitsForEver);
        if (self.run.is_some() || waits) && self.timers.get(&Timer::Orphan).is_none() {
            self.timers.set(Timer::Orphan, now + self.config.orphan_after);
        }
    }

    /// Splits the slave into its run and what the run acts with.
    fn parts<'a>(&'a mut self, now: Time, out: &'a mut Outbox) -> (&'a mut Option<Run>, Turn<'a>) {
        let turn = Turn { now, out, link: &mut self.link, control: &mut self.control, arrivals: &mut self.arrivals };
        (&mut self.run, turn)
    }

    /// Lets the run do something, if there is one.
    fn with_run(&mut self, now: Time, out: &mut Outbox, act: impl FnOnce(&mut Run, &mut Turn<'_>)) {
        if let (Some(run), mut turn) = self.parts(now, out) {
            act(run, &mut turn);
        }
    }

    fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        if !self.link.is(conn) {
            return self.requested(now, conn, bytes, out);
        }
        let (mut frames, max) = self.link.take_frames(now);
        let mut wrong = None;
        let fed = frames.feed(bytes, max, |line| match self.line(now, line, out) {
            Ok(()) => self.link.is(conn),
            Err(malformed) => {
                wrong = Some(malformed.to_string());
                false
            }
        });
        let wrong = wrong.or(fed.err().map(|bound| bound.to_string()));
        if self.link.is(conn) {
            self.link.put_frames(frames);
            if let Some(wrong) = wrong {
                self.hang_up(now, &self.link.misspoken(&wrong), out);
            }
        }
    }

    /// Bytes of a request arrived.
    fn requested(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        let line = match self.control.line(conn, bytes) {
            Ok(None) => return,
            Ok(Some(line)) => line,
            Err(bound) => return self.control.fail(conn, &bound.to_string(), out),
        };
        let request = match ControlRequest::decode(&line) {
            Ok(request) => request,
            Err(malformed) => return self.control.fail(conn, &malformed.to_string(), out),
        };
        let (Some(run), mut turn) = self.parts(now, out) else {
            return self.control.fail(conn, "no run is in progress on this slave", out);
        };
        if let Err(reason) = run.answer(conn, &request, &mut turn) {
            self.control.fail(conn, &reason, out);
        }
    }

    /// One line from the controller.
    fn line(&mut self, now: Time, line: &[u8], out: &mut Outbox) -> Result<(), Malformed> {
        let message = FromController::decode(line)?;
        match message {
            FromController::Bye(bye) => {
                self.refused(now, &bye, out);
                return Ok(());
            }
            FromController::Welcome(welcome) if !self.link.up() => {
                self.welcomed(now, &welcome, out);
                return Ok(());
            }
            _ if !self.link.up() => return Err(Malformed("it did not begin with a welcome".to_owned())),
            _ => {}
        }
        self.message(now, message, out);
        Ok(())
    }

    /// One message of a controller that has welcomed us.
    fn message(&mut self, now: Time, message: FromController<'_>, out: &mut Outbox) {
        match &message {
            FromController::Pong(pong) => {
                self.link.ponged(now, pong, out);
                return self.with_run(now, out, |run, turn| run.on_pong(pong.time, turn));
            }
            FromController::Check(_) => {
                return self.link.say(out, &Alive { lifetime: std::marker::PhantomData });
            }
            FromController::Prepare(prepare) => {
                if self.run.as_ref().is_some_and(|run| run.is(&prepare.run)) {
                    return self.with_run(now, out, |run, turn| run.prepare_again(prepare, turn));
                }
                self.abandon(now, out);
                self.next = Some(Assignment::new(prepare));
                return;
            }
            FromController::Stop(stop) => return self.stopped(now, &stop.run, stop.how, out),
            FromController::Dismissed(dismissed) => return self.dismissed(&dismissed.run, out),
            _ => {}
        }
        self.with_run(now, out, |run, turn| run.on_message(&message, turn));
    }

    fn welcomed(&mut self, now: Time, welcome: &Welcome<'_>, out: &mut Outbox) {
        if welcome.protocol != PROTOCOL {
            let reason = format!("it speaks protocol {}, this is protocol {PROTOCOL}", welcome.protocol);
            return self.refused(now, &Bye { code: Code::Protocol, reason: reason.into(), fatal: true }, out);
        }
        self.timers.cancel(&Timer::Orphan);
        let told = welcome.leave && !injected(Fault::LeaveUnheard);
        self.leaving |= told && self.config.leave != Leave::Never;
        self.turned_away = welcome.leave && self.leaving && welcome.run.is_none();
        let same = self.run.as_ref().is_some_and(|run| welcome.run.as_deref().is_some_and(|id| run.is(id)));
        self.link.welcomed(now, same, out);
        if same {
            self.with_run(now, out, |run, turn| run.resume(welcome.recorded, turn));
        } else {
            if let Some(run) = self.run.as_ref().and_then(Run::named) {
                log::warn!("the controller does not go on with run {run}: what it has started here is killed");
            }
            self.next = None;
            self.abandon(now, out);
        }
    }

    /// The controller said that the connection ends.
    fn refused(&mut self, now: Time, bye: &Bye<'_>, out: &mut Outbox) {
        if (bye.fatal || self.turned_away) && self.once() {
            let text = format!("arete: controller {}: {}\n", self.config.controller, text::harmless(&bye.reason));
            out.print(Stream::Err, text);
            self.link.leave("refused", out);
            self.quit.get_or_insert(FAILED);
            return self.abandon(now, out);
        }
        if self.quit.is_none() {
            self.link.refused(&bye.reason);
            self.hang_up(now, &Reason::from(&*bye.reason), out);
        }
    }

    fn hang_up(&mut self, now: Time, reason: &Reason, out: &mut Outbox) {
        self.link.close(now, reason, out);
        self.lost(now, out);
    }

    /// The connection to the controller is gone.
    fn lost(&mut self, now: Time, out: &mut Outbox) {
        self.await_controller(now);
        self.with_run(now, out, |run, _| run.on_disconnect());
        if self.once() && self.run.is_none() && self.served.is_some() {
            self.quit.get_or_insert(0);
        } else if self.turned_away {
            self.quit.get_or_insert(FAILED);
        }
    }

    /// The run is over elsewhere: end what is left of it here, and forget it.
    fn abandon(&mut self, now: Time, out: &mut Outbox) {
        self.with_run(now, out, |run, turn| run.abandon(turn));
    }

    /// The controller ends the run.
    fn stopped(&mut self, now: Time, id: &str, how: Manner, out: &mut Outbox) {
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
                if let Err(reason) = run.poke(None, PokedBy::Signal, turn) {
                    log::warn!("poked in vain: {reason}");
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

    /// A child's story. The children are the run's, or remove a former run's directory.
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

    /// Does what is due, then what follows from the turn.
    fn finish_turn(&mut self, now: Time, out: &mut Outbox) {
        self.link.fire(now, out);
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Orphan => {
                    let gone = text::duration(self.config.orphan_after);
                    let what = if self.run.is_some() { "the run ends here" } else { "leaving" };
                    log::warn!("the controller has been gone for {gone}: {what}");
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
        let (slot, mut turn) = self.parts(now, out);
        slot.insert(Run::new(part, config)).prepare(&mut turn);
    }

    /// Exits as soon as a slave that shall quit has nothing left to do.
    fn finish_quit(&mut self, now: Time, out: &mut Outbox) {
        let Some(code) = self.quit else { return };
        if let Some(run) = &self.run {
            if run.shipping() && self.link.up() {
                if self.timers.get(&Timer::Quit).is_none() {
                    self.timers.set(Timer::Quit, now + QUIT_SHIPS_FOR);
                }
            } else if run.shipping() || run.stopped() || !run.begun() {
                self.forget(out);
            }
        }
        if self.run.is_none() && self.removing.is_empty() {
            self.link.leave("the slave ends", out);
            out.exit(code);
        }
    }
}

impl Machine for Slave {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => {
                self.link.connect(now, out);
                self.await_controller(now);
            }
            Input::Accepted { conn, listener, peer } if listener == self.config.control => {
                self.control.accepted(conn, &peer, self.config.uid, out);
            }
            Input::Accepted { conn, .. } => out.close(conn, "nothing listens here"),
            Input::Connected { conn, .. } if self.link.is(conn) => {
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
                self.link.connected(now, &hello, out);
            }
            Input::Received { conn, bytes } => self.received(now, conn, bytes, out),
            // It has said all that there was to say, and nobody is missed.
            Input::Closed { conn, .. } if self.link.is(conn) && self.quit.is_some() && self.run.is_none() => {
                self.link.end();
            }
            Input::Closed { conn, reason } if self.link.is(conn) => {
                self.link.closed(now, &reason);
                self.lost(now, out);
            }
            Input::Closed { conn, .. } => {
                self.control.closed(conn);
                self.with_run(now, out, |run, turn| run.command_gone(conn, turn));
            }
            Input::Signal(signal) => self.signal(now, signal, out),
            Input::Spawned { child, .. } | Input::SpawnFailed { child, .. } | Input::Exited { child, .. } => {
                self.child(now, child, &input, out);
            }
            Input::Unseen { why } => self.with_run(now, out, |run, turn| run.unseen(&why, turn)),
            Input::Swept { left } => self.with_run(now, out, |run, turn| run.swept(left, turn)),
            Input::Read { read, result } => self.with_run(now, out, |run, turn| run.read(read, result, turn)),
            Input::Listed { read, result } => self.with_run(now, out, |run, turn| run.listed(read, result, turn)),
            Input::WriteFailed { path, error } => {
                self.with_run(now, out, |run, turn| run.write_failed(&path, &error.text, turn));
            }
            Input::Behind { .. } => self.link.behind(now),
            Input::Deadline => {
                if let Some(silent) = self.link.silence(now) {
                    self.hang_up(now, &silent, out);
                }
            }
            Input::Probed { probe, result } => self.with_run(now, out, |run, turn| run.probed(probe, result, turn)),
            Input::Overheard { ear, bytes } => self.with_run(now, out, |run, turn| run.overheard(ear, bytes, turn)),
            Input::Deaf { ear, error } => self.with_run(now, out, |run, turn| run.deaf(ear, &error.text, turn)),
            Input::Disproved { conn, why } if self.link.is(conn) => {
                self.hang_up(now, &Reason::from(why), out);
            }
            Input::Connected { .. } | Input::Datagram { .. } => {}
            Input::Disproved { .. } | Input::Paged { .. } => {}
            Input::Reloaded { settings } => Rc::make_mut(&mut self.config).reload(settings),
            Input::Written { .. } | Input::Resized { .. } | Input::OutputEnded => {}
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
