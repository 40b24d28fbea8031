//! The conditions in a ring after every step, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use arete::ring::message::{Body, Message};
use arete::ring::seal::Key;
use arete::ring::token::Fence;

use crate::ring_plan::{Mode, Plan};
use crate::world::World;
use crate::world::process::{Fact, Token};

/// The most time until a killed step has ended after its node was resumed, in microseconds.
const KILL_WITHIN: u64 = 5_000;

/// A step that was started.
#[derive(Debug, Clone)]
pub struct Step {
    pub at: u64,
    pub node: usize,
    pub fence: Fence,
    pub input: Vec<u8>,
}

/// The state of a ring up to now.
#[derive(Default)]
pub struct Checks {
    facts: usize,
    pub steps: Vec<Step>,
    running: BTreeSet<u32>,
    by_pid: BTreeMap<u32, usize>,
    /// When a token was last requested.
    generated_at: u64,
    pub generated: u64,
}

fn fence(token: &Token) -> Fence {
    let number = |text: &Option<String>| text.as_deref().unwrap_or_default().parse().expect("the environment has it");
    Fence { epoch: number(&token.epoch), hop: number(&token.hop) }
}

impl Checks {
    /// Reads the events since the last call.
    pub fn look(&mut self, world: &mut World, plan: &Plan) -> Result<(), String> {
        let new: Vec<Fact> = world.ledger[self.facts..].to_vec();
        self.facts = world.ledger.len();
        for fact in new {
            match fact {
                Fact::Work { at, pid, life, token, input } => {
                    let step = Step { at, node: life.node, fence: fence(&token), input };
                    if plan.mode.has_majority() {
                        self.may_start(world, &step)?;
                    }
                    self.running.insert(pid);
                    self.by_pid.insert(pid, self.steps.len());
                    self.steps.push(step);
                }
                Fact::Ended { pid, .. } => drop(self.running.remove(&pid)),
                _ => {}
            }
        }
        self.listen(world, plan);
        world.said.clear();
        Ok(())
    }

    /// With a majority: no step has a token at or below that of a started one, or older data, and no two work at the
    /// same time.
    fn may_start(&self, world: &World, step: &Step) -> Result<(), String> {
        // Each step was compared with the one before it, so the last one is sufficient.
        if let Some(last) = self.steps.last() {
            if last.fence >= step.fence {
                return Err(format!("step {} starts after step {}", step.fence, last.fence));
            }
            if !step.input.starts_with(&last.input) {
                return Err(format!("the data of step {} is older than that of step {}", step.fence, last.fence));
            }
        }
        for earlier in self.running.iter().map(|pid| &self.steps[self.by_pid[pid]]) {
            let node = &world.nodes[earlier.node];
            let goes_on = node.machine.is_some() && !node.paused && step.at - node.resumed_at > KILL_WITHIN;
            if goes_on && earlier.node != step.node {
                return Err(format!("step {} starts while step {} runs on", step.fence, earlier.fence));
            }
        }
        Ok(())
    }

    fn listen(&mut self, world: &mut World, plan: &Plan) {
        let key = plan.key.then(|| Key::new(b"a shared secret".to_vec()));
        for sent in world.sent_datagrams.drain(..) {
            if let Ok(Message { body: Body::GeneratingToken(_), .. }) = Message::decode(&sent.bytes, key.as_ref()) {
                self.generated_at = sent.at;
                self.generated += 1;
            }
        }
    }

    /// After the faults have stopped and the ring has had its time: one token passes all nodes in turn.
    pub fn one_token(&self, from: u64, plan: &Plan) -> Result<(), String> {
        if self.generated_at >= from {
            return Err("a token is made although one goes round".to_owned());
        }
        let steps: Vec<&Step> = self.steps.iter().filter(|step| step.at >= from).collect();
        let who: BTreeSet<usize> = steps.iter().map(|step| step.node).collect();
        if who.len() != plan.nodes {
            return Err(format!("of {} nodes only {who:?} have worked", plan.nodes));
        }
        for pair in steps.windows(2) {
            let (one, next) = (pair[0], pair[1]);
            if !next.input.starts_with(&one.input) {
                return Err(format!("the data goes back at step {}", next.fence));
            }
            if plan.mode != Mode::Compat && (next.fence.epoch != one.fence.epoch || next.fence.hop != one.fence.hop + 1)
            {
                return Err(format!("step {} comes after step {}", next.fence, one.fence));
            }
        }
        self.in_order(&steps, plan)
    }

    /// The token passes the nodes in the order of their ids.
    fn in_order(&self, steps: &[&Step], plan: &Plan) -> Result<(), String> {
        for pair in steps.windows(2) {
            if pair[1].node != (pair[0].node + 1) % plan.nodes {
                return Err(format!("node {} works after node {}", pair[1].node, pair[0].node));
            }
        }
        Ok(())
    }

    pub fn seen(&self) -> RingSeen {
        let epochs: BTreeSet<u64> = self.steps.iter().map(|step| step.fence.epoch).collect();
        RingSeen { rings: 1, steps: self.steps.len() as u64, epochs: epochs.len() as u64, generated: self.generated }
    }
}

/// The totals of all seeds, so that a sweep in which nothing happens fails.
#[derive(Debug, Default, Clone, Copy)]
pub struct RingSeen {
    pub rings: u64,
    pub steps: u64,
    pub epochs: u64,
    pub generated: u64,
}

impl RingSeen {
    pub fn add(&mut self, other: RingSeen) {
        self.rings += other.rings;
        self.steps += other.steps;
        self.epochs += other.epochs;
        self.generated += other.generated;
    }
}
