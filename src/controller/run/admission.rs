//! Who may take part in a run, and in which run a slave is that says hello.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::controller::ledger::Fact;
use crate::controller::room::rendezvous::Process;
use crate::controller::run::reports::shorten;
use crate::controller::run::roster::Stage;
use crate::controller::run::run::{Phase, Run};
use crate::controller::session::authorization;
use crate::machine::{ConnId, Outbox, Peer, Time};
use crate::session::{NAME_MAX, VERSION, check_incarnation, check_name};
use crate::testfile::{End, resources_of};
use crate::text;
use crate::wire::{Bye, Code, Entry, Hello, Message, PROTOCOL, Prepare, Resource, Welcome};

/// A slave that takes part.
pub struct Admitted {
    /// Its place in the test.
    pub slave: usize,
    /// The process that spoke for it before.
    pub earlier: Option<Process>,
    /// The connection that this one replaces.
    pub former: Option<ConnId>,
}

/// Why a slave is turned away.
struct Refusal {
    code: Code,
    reason: String,
    /// Trying again cannot help.
    fatal: bool,
    /// The run that it may still be in is over for it.
    forget: bool,
}

impl Refusal {
    /// The slave itself is wrong here.
    fn fatal(code: Code, reason: String) -> Refusal {
        Refusal { code, reason, fatal: true, forget: false }
    }

    /// Its place is taken, for now.
    fn taken(reason: String) -> Refusal {
        Refusal { code: Code::Taken, reason, fatal: false, forget: false }
    }

    /// There is no run for it; there may be one later.
    fn no_run(reason: String) -> Refusal {
        Refusal { code: Code::NoRun, reason, fatal: false, forget: true }
    }
}

/// A slave that joins a run.
#[derive(Debug, Clone, Copy)]
pub struct Comes<'a> {
    pub incarnation: &'a str,
    pub address: &'a str,
    pub ip: Option<IpAddr>,
    /// The same process as before.
    pub again: bool,
    /// Its own name, if the place asks for labels and the machine is not known to have it.
    pub machine: Option<&'a str>,
}

/// Whether a slave may speak here at all, and as who it says it is.
pub fn check(peer: &Peer, secret: Option<&str>, hello: &Hello<'_>) -> Result<(), (Code, String)> {
    let name = &hello.name;
    let proven =
        authorization::knows(secret, hello.secret.as_deref()).and_then(|()| authorization::may_act_for(peer, name));
    proven.map_err(|why| (Code::Stranger, why))?;
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
    /// What the slaves say that this run has started itself.
    pub fn secret(&self) -> Option<&str> {
        self.local.as_ref().and_then(|local| local.secret.as_deref())
    }

    /// A slave says hello. Answers with its place, or with why it is turned away.
    pub fn admit(
        &mut self,
        now: Time,
        conn: ConnId,
        peer: &Peer,
        hello: &Hello<'_>,
        out: &mut Outbox,
    ) -> Result<Admitted, Bye<'static>> {
        let address = peer.to_string();
        let admitted = self.admissible(now, peer, hello, out);
        let (ix, resumes) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                let leave = self.launch.is_by_command();
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
        // What it already has of the run, before anything else is said of it.
        let recorded = if resumes { self.roster.get(ix).recorded } else { 0 };
        let leave = self.launch.is_by_command();
        out.send(conn, Welcome { leave, ..welcome(Some(&self.id), recorded) }.encode());
        let machine = (self.local.is_none() && self.slots.asks(ix)).then_some(&*hello.name);
        let comes = Comes { incarnation: &hello.incarnation, address: &address, ip, again: resumes, machine };
        let former = self.joins(now, conn, ix, comes, out);
        let resumes = hello.run.as_deref() == Some(&self.id);
        if resumes {
            self.tell_again(ix, out);
        }
        if !resumes || !self.addresses.named_by(ix).is_empty() {
            self.prepare(ix, out);
        }
        Ok(Admitted { slave: ix, earlier, former })
    }

    /// A slave is here, on this connection. Answers with the one that it replaces.
    pub fn joins(&mut self, now: Time, conn: ConnId, ix: usize, comes: Comes<'_>, out: &mut Outbox) -> Option<ConnId> {
        let Comes { incarnation, address, ip, again, machine } = comes;
        let moved = ip.is_some() && self.roster.get(ix).address != ip;
        let (incarnation, address, machine) = (Cow::from(incarnation), Cow::from(address), machine.map(Cow::from));
        self.enter(now, Fact::Joined { slave: ix, incarnation, address, ip, again, machine }, out);
        let member = self.roster.get_mut(ix);
        let former = member.conn.replace(conn);
        member.gone = None;
        member.waits.clear();
        if moved {
            self.prepare_those_who_name(ix, out);
        }
        former
    }

    /// Whether the machine that serves as this slave is not free for another run.
    pub fn needs(&self, ix: usize) -> bool {
        self.roster.get(ix).stage != Stage::Lost && !matches!(self.phase, Phase::Over { .. })
    }

    /// The place in the test of a machine that says hello. Whoever has one keeps it; the slaves of an embedded run have
    /// those of their names, whatever is asked of them.
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

    /// Which slave this is, and whether its process is known already.
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
            // It was told to stop before it had started, so it forgot the run; its `stopped` did not arrive.
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

    /// A slave's connection is gone; it may come back.
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

    /// Prepares those again that were told another address of a slave.
    fn prepare_those_who_name(&self, ix: usize, out: &mut Outbox) {
        for &other in self.addresses.users_of(&self.roster.get(ix).name) {
            if other != ix {
                self.prepare(other, out);
            }
        }
    }

    /// Gives a slave its part of the run, once the addresses that its commands name are known.
    pub fn prepare(&self, ix: usize, out: &mut Outbox) {
        let member = self.roster.get(ix);
        let Some(conn) = member.conn.filter(|_| self.phase == Phase::Gathering) else { return };
        let entries = &self.test.slaves[ix].entries;
        let mut addresses: BTreeMap<String, String> = BTreeMap::new();
        for name in self.addresses.named_by(ix) {
            let known = self.roster.find(name).and_then(|other| self.roster.get(other).address);
            let Some(address) = known else { return };
            addresses.insert(name.clone(), address.to_string());
        }
        let end_trigger = match &self.test.end {
            End::Trigger { trigger, .. } => Some(trigger.clone()),
            End::Duration(_) | End::Idle { .. } => None,
        };
        let prepare = Prepare {
            run: Cow::from(&self.id),
            test: Cow::from(&self.test.name),
            serve_as: member.machine.is_some().then(|| Cow::from(&member.name)),
            entries: entries.to_vec(),
            resources: self.used_by(entries),
            triggers: self.test.triggers.keys().cloned().collect(),
            timeouts: self.declared_timeouts(),
            addresses,
            end_trigger,
            grace: self.test.grace.as_micros() as u64,
        };
        out.send(conn, prepare.encode());
    }

    /// The timeouts that the test declares for barriers and syncs, by name.
    fn declared_timeouts(&self) -> BTreeMap<String, u64> {
        let declared = self.test.syncs.iter().chain(&self.test.barriers);
        let micros = |timeout: std::time::Duration| timeout.as_micros() as u64;
        declared.filter_map(|(name, declared)| Some((name.clone(), micros(declared.timeout?)))).collect()
    }

    fn used_by(&self, entries: &[Entry]) -> Vec<Resource> {
        let used: BTreeSet<&str> = entries.iter().flat_map(resources_of).collect();
        used.iter().filter_map(|name| self.test.resources.get(*name)).map(|(_, resource)| resource.clone()).collect()
    }
}

pub fn welcome(run: Option<&str>, recorded: u64) -> Welcome<'_> {
    Welcome { protocol: PROTOCOL, version: Cow::from(VERSION), run: run.map(Cow::from), recorded, leave: false }
}
