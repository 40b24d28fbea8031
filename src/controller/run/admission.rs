//! Admits slaves to a run: checks a hello, finds the slave's place in the test, and keeps track of its connection.
//!
//! A place belongs to one process at a time. Another process never gets the place of a slave that is connected.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::controller::ledger::Fact;
use crate::controller::room::rendezvous::Process;
use crate::controller::run::reports::shorten;
use crate::controller::run::roster::Stage;
use crate::controller::run::run::{Phase, Run};
use crate::controller::session::authorization;
use crate::machine::{ConnId, Outbox, Peer, Time};
use crate::session::{NAME_MAX, VERSION, check_incarnation, check_name};
use crate::text;
use crate::wire::{Bye, Code, Hello, Message, PROTOCOL, Welcome};

/// A slave that was admitted.
pub struct Admitted {
    /// The place of the slave in the test.
    pub slave: usize,
    /// The process that served as this slave before.
    pub earlier: Option<Process>,
    /// The connection that this one replaces.
    pub replaced: Option<ConnId>,
}

/// Why a slave is not admitted.
struct Refusal {
    code: Code,
    reason: String,
    /// The slave must not try again.
    fatal: bool,
    /// The slave must forget the run that it may still have.
    forget: bool,
}

impl Refusal {
    /// This controller will never admit the slave.
    fn fatal(code: Code, reason: String) -> Refusal {
        Refusal { code, reason, fatal: true, forget: false }
    }

    /// Another process has the place now.
    fn taken(reason: String) -> Refusal {
        Refusal { code: Code::Taken, reason, fatal: false, forget: false }
    }

    /// There is no run for the slave now. There may be one later.
    fn no_run(reason: String) -> Refusal {
        Refusal { code: Code::NoRun, reason, fatal: false, forget: true }
    }
}

/// A slave that joins a run.
#[derive(Debug, Clone, Copy)]
pub struct Joining<'a> {
    pub incarnation: &'a str,
    pub address: &'a str,
    pub ip: Option<IpAddr>,
    /// Whether it is the same process as before.
    pub again: bool,
    /// The name of the machine, if the place asks for labels and the run does not know its machine yet.
    pub machine: Option<&'a str>,
}

/// Checks whether a slave may talk to this controller under its name. Fails with the code and the reason for its goodbye.
pub fn check(peer: &Peer, secret: Option<&str>, hello: &Hello<'_>) -> Result<(), (Code, String)> {
    let name = &hello.name;
    let proven = authorization::check_secret(secret, hello.secret.as_deref())
        .and_then(|()| authorization::may_act_for(peer, name));
    proven.map_err(|why| (Code::Stranger, why.to_string()))?;
    if hello.protocol != PROTOCOL {
        let text = format!(
            "slave {name:?} is {:?} and speaks protocol {}; this controller is {VERSION} and speaks protocol \
             {PROTOCOL}: install the same version on both",
            hello.version, hello.protocol
        );
        return Err((Code::Protocol, text));
    }
    check_incarnation("an incarnation", &hello.incarnation).map_err(|why| (Code::Name, why.to_string()))
}

impl Run {
    /// Returns the secret that the slaves started by this run must prove to know, if there is one.
    pub fn secret(&self) -> Option<&str> {
        self.local.as_ref().and_then(|local| local.secret.as_deref())
    }

    /// Handles a hello. Fails with the goodbye of a slave that is not admitted.
    pub fn admit(
        &mut self,
        now: Time,
        conn: ConnId,
        peer: &Peer,
        hello: &Hello<'_>,
        out: &mut Outbox,
    ) -> Result<Admitted, Bye<'static>> {
        let address = peer.to_string();
        let leave = self.launch.is_by_command();
        let (ix, known) = match self.admissible(now, peer, hello, out) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                if refusal.forget || leave {
                    out.send(conn, Welcome { leave, ..welcome(None, 0) }.encode());
                }
                let Refusal { code, fatal, .. } = refusal;
                let bye = Bye { code, reason: Cow::from(shorten(&refusal.reason)), fatal };
                let name: String = hello.name.chars().take(NAME_MAX).collect();
                self.record_refusal(now, &name, &address, &bye.reason, out);
                return Err(bye);
            }
        };
        let ip = peer.address().map(|address| address.ip());
        let earlier = self.roster.get(ix).process;
        // The slave learns first which of its reports are recorded.
        let recorded = if known { self.roster.get(ix).recorded } else { 0 };
        out.send(conn, Welcome { leave, ..welcome(Some(&self.id), recorded) }.encode());
        let machine = (self.local.is_none() && self.slots.asks(ix)).then_some(&*hello.name);
        let joining = Joining { incarnation: &hello.incarnation, address: &address, ip, again: known, machine };
        let replaced = self.joins(now, conn, ix, joining, out);
        let resumes = hello.run.as_deref() == Some(&self.id);
        if resumes {
            self.resend(ix, out);
        }
        if !resumes || !self.addresses.named_by(ix).is_empty() {
            self.preparation.mark(ix);
        }
        Ok(Admitted { slave: ix, earlier, replaced })
    }

    /// Records that a slave has connected. Returns the connection that this one replaces.
    pub fn joins(
        &mut self,
        now: Time,
        conn: ConnId,
        ix: usize,
        joining: Joining<'_>,
        out: &mut Outbox,
    ) -> Option<ConnId> {
        let Joining { incarnation, address, ip, again, machine } = joining;
        let moved = ip.is_some() && self.roster.get(ix).address != ip;
        let (incarnation, address, machine) = (Cow::from(incarnation), Cow::from(address), machine.map(Cow::from));
        self.enter(now, Fact::Joined { slave: ix, incarnation, address, ip, again, machine }, out);
        let member = self.roster.get_mut(ix);
        let replaced = member.conn.replace(conn);
        member.gone = None;
        member.waits.clear();
        if moved {
            self.prepare_those_who_name(ix);
        }
        replaced
    }

    /// Returns whether this run still needs the machine that serves as a slave.
    pub fn needs(&self, ix: usize) -> bool {
        self.roster.get(ix).stage != Stage::Lost && !matches!(self.phase, Phase::Over { .. })
    }

    /// Returns the place in the test of a machine that says hello. A machine keeps its place. In an embedded run the name
    /// decides alone, because that run has started its slaves itself.
    fn place_of(&self, hello: &Hello<'_>) -> Result<usize, Refusal> {
        let name = &*hello.name;
        let own = self.roster.find(name);
        if let Some(ix) = own.filter(|ix| self.local.is_some() || !self.slots.asks(*ix)) {
            return Ok(ix);
        }
        if let Some(ix) = self.slots.of(name).or_else(|| self.slots.free(own, &hello.labels)) {
            return check_name("a slave", name).map(|()| ix).map_err(|why| Refusal::fatal(Code::Name, why.to_string()));
        }
        if !self.slots.any() {
            let names = text::list(&self.roster.names(|_| true));
            return Err(Refusal::fatal(
                Code::NoPlace,
                format!(
                    "slave {name:?} is not in the test {:?}; its slaves are {names}: name it as one of them with --name, or \
                 add it to the test",
                    self.test.name
                ),
            ));
        }
        let named = self.test.slaves.iter().filter(|slave| slave.with.is_none()).map(|slave| slave.name.as_str());
        let named = text::list(&named.collect::<Vec<_>>());
        Err(Refusal::fatal(Code::NoPlace, self.slots.refusal(&self.test.name, name, &hello.labels, &named)))
    }

    /// Returns the place of a slave, and whether its process is known already. Fails if the slave cannot take part.
    fn admissible(
        &mut self,
        now: Time,
        peer: &Peer,
        hello: &Hello<'_>,
        out: &mut Outbox,
    ) -> Result<(usize, bool), Refusal> {
        let name = &hello.name;
        check(peer, self.secret(), hello).map_err(|(code, why)| Refusal::fatal(code, why))?;
        let ix = self.place_of(hello)?;
        let member = self.roster.get(ix);
        let known = member.is_incarnation(&hello.incarnation);
        let resumes = known && hello.run.as_deref() == Some(&self.id);
        if self.is_over() && !resumes {
            return Err(Refusal::no_run("the run is over".to_owned()));
        }
        if member.stage == Stage::Lost {
            return Err(Refusal::no_run(format!("slave {name} is lost to run {}", self.id)));
        }
        if !known && member.conn.is_some() {
            let at = member.address.map_or_else(String::new, |address| format!(" from {address}"));
            return Err(Refusal::taken(format!(
                "another slave called {name} is connected{at}: stop it, or use another --name"
            )));
        }
        let started = self.started().is_some();
        let ends = matches!(self.phase, Phase::Finishing(_) | Phase::Ending(_));
        if known && !resumes && ends && member.begun.is_none() {
            // A slave that is stopped before the start forgets the run. Its `stopped` did not arrive.
            self.stopped(now, ix, false, out);
            return Err(Refusal::no_run(format!("run {} is ending", self.id)));
        }
        if started && !resumes {
            let reason = if known { "it has given up the run" } else { "it was restarted in the middle of the run" };
            self.lose(now, ix, reason, out);
            return Err(Refusal::no_run(format!("slave {name} is lost to run {}: {reason}", self.id)));
        }
        if !started && self.phase != Phase::Gathering && !known {
            return Err(Refusal::no_run("the run is being given up".to_owned()));
        }
        Ok((ix, known))
    }

    /// Records that the connection of a slave is gone. The slave may come back.
    pub fn disconnected(&mut self, now: Time, conn: ConnId, ix: usize, reason: &str, out: &mut Outbox) {
        let over = self.is_over();
        let member = self.roster.get_mut(ix);
        if member.conn != Some(conn) {
            return;
        }
        member.conn = None;
        member.gone = Some(now);
        if over || member.stage >= Stage::Stopped {
            return;
        }
        self.enter(now, Fact::Disconnected { slave: ix, reason: Cow::from(reason) }, out);
        if self.started().is_none() && self.phase != Phase::Gathering {
            self.lose(now, ix, reason, out);
        }
    }

    /// Gives new parts to the slaves with commands that name the address of this one.
    fn prepare_those_who_name(&mut self, ix: usize) {
        let users = self.addresses.users_of(&self.roster.get(ix).name);
        for &other in users.iter().filter(|other| **other != ix) {
            self.preparation.mark(other);
        }
        if !users.is_empty() {
            self.preparation.outdate();
        }
    }
}

/// Returns the answer to a slave that is admitted, or to a client that has joined.
pub fn welcome(run: Option<&str>, recorded: u64) -> Welcome<'_> {
    Welcome { protocol: PROTOCOL, version: Cow::from(VERSION), run: run.map(Cow::from), recorded, leave: false }
}
