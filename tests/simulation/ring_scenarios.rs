//! Cases of a ring, with a sentence for each test.

use std::net::Ipv4Addr;

use arete::machine::{Address, Bytes};
use arete::ring::message::{Body, Extra, Message};
use arete::ring::seal::Key;
use arete::ring::token::{Fence, Token};
use arete::ring::{TCP_PORT, UDP_PORT};

use crate::ring_checks::{Checks, Step};
use crate::ring_plan::{Mode, Plan};
use crate::world::network::address_of;
use crate::world::{Fault, MILLISECOND, SECOND, World};

/// All modes.
const MODES: [Mode; 4] = [Mode::Members, Mode::Sealed, Mode::Plain, Mode::Compat];

/// The limit on the time until the first owner, in microseconds: three pings, answer and generating times.
const FIRST_OWNER: u64 = 6 * SECOND;

struct Ring {
    plan: Plan,
    world: World,
    checks: Checks,
}

impl Ring {
    fn new(seed: u64, plan: Plan) -> Ring {
        let mut world = plan.world(seed);
        world.trace.on = true;
        Ring { plan, world, checks: Checks::default() }
    }

    fn run(&mut self, micros: u64) {
        let end = self.world.now + micros;
        self.until(end, |_| false);
    }

    /// Continues until `done`, at most until `end`. Returns whether it is done.
    fn until(&mut self, end: u64, done: impl Fn(&Ring) -> bool) -> bool {
        while self.world.now < end {
            if done(self) {
                return true;
            }
            assert!(self.world.step(), "nothing will ever happen again");
            if let Err(why) = self.checks.look(&mut self.world, &self.plan) {
                self.fail(&why);
            }
        }
        done(self)
    }

    fn fail(&self, why: &str) -> ! {
        let lines: Vec<&str> = self.world.trace.last_lines().collect();
        panic!("{why}\n{}", lines.join("\n"));
    }

    fn expect(&mut self, micros: u64, what: &str, done: impl Fn(&Ring) -> bool) {
        let end = self.world.now + micros;
        if !self.until(end, done) {
            self.fail(what);
        }
    }

    fn steps_since(&self, at: u64) -> impl Iterator<Item = &Step> {
        self.checks.steps.iter().filter(move |step| step.at >= at)
    }

    /// Runs until a node works. Returns the node, and since when it works.
    fn next_step(&mut self, micros: u64, at: impl Fn(usize) -> bool) -> Step {
        let from = self.world.now;
        self.expect(micros, "no node works in time", |ring| ring.steps_since(from).any(|step| at(step.node)));
        self.steps_since(from).find(|step| at(step.node)).expect("just seen").clone()
    }

    /// The last state in the log of a node.
    fn state(&self, node: usize) -> &str {
        let log = std::str::from_utf8(&self.world.nodes[node].printed).expect("a log is text");
        let change = log.lines().rev().find_map(|line| line.split_once(" -> "));
        change.and_then(|(_, to)| to.split(':').next()).unwrap_or("seeker")
    }

    fn has_logged(&self, node: usize, text: &str) -> bool {
        std::str::from_utf8(&self.world.nodes[node].printed).is_ok_and(|log| log.contains(text))
    }

    /// A datagram from a host, perhaps with the address of another one.
    fn cast(&mut self, host: usize, as_host: usize, bytes: &[u8]) {
        let to = (Ipv4Addr::BROADCAST, UDP_PORT).into();
        self.world.cast(host, address_of(as_host, 4_000), to, Bytes::from(bytes));
    }

    /// A whole message on a connection of its own.
    fn post(&mut self, from_host: usize, to: usize, bytes: &[u8]) {
        let address = Address::Inet(format!("{}:{TCP_PORT}", address_of(to, 0).ip()));
        let stranger = self.world.connect_stranger(from_host, &address).expect("the node listens");
        self.world.stranger_says(stranger, bytes);
        self.world.stranger_leaves(stranger);
    }
}

#[test]
fn the_token_visits_everyone_in_order_and_the_data_grows_by_one_a_hop() {
    for (mode, nodes) in MODES.into_iter().flat_map(|mode| [(mode, 3), (mode, 5)]) {
        let mut ring = Ring::new(1, Plan::steady(mode, nodes));
        let first = ring.next_step(FIRST_OWNER, |_| true);
        ring.run(2_500 * MILLISECOND * nodes as u64 * 2);
        let steps = &ring.checks.steps;
        assert!(steps.len() >= 2 * nodes, "{mode:?}: {} steps", steps.len());
        for (nr, step) in steps.iter().enumerate() {
            assert_eq!(step.input.len(), nr, "{mode:?}: {step:?}");
            assert_eq!(step.node, (first.node + nr) % nodes, "{mode:?}: {step:?}");
        }
    }
}

#[test]
fn an_owner_that_is_killed_has_a_successor_within_six_seconds() {
    for mode in MODES {
        for seed in 0..20 {
            let mut ring = Ring::new(seed, Plan::steady(mode, 5));
            ring.run(FIRST_OWNER + seed * 517 * MILLISECOND);
            let owner = ring.next_step(4 * SECOND, |_| true).node;
            ring.run(seed % 7 * 250 * MILLISECOND);
            let killed = ring.world.now;
            ring.world.happen(Fault::Crash(owner));
            let next = ring.next_step(6 * SECOND + 20 * MILLISECOND, |node| node != owner);
            assert!(next.at - killed <= 6 * SECOND + 20 * MILLISECOND, "{mode:?} seed {seed}");
        }
    }
}

#[test]
fn the_data_of_a_hand_over_survives_the_crash_of_either_end() {
    for mode in [Mode::Members, Mode::Plain] {
        for seed in 0..40 {
            let mut ring = Ring::new(seed, Plan::steady(mode, 3));
            ring.run(FIRST_OWNER + 3 * SECOND);
            let taken = ring.next_step(4 * SECOND, |_| true);
            let giver = (taken.node + 2) % 3;
            let dead = if seed % 2 == 0 { taken.node } else { giver };
            ring.world.happen(Fault::Crash(dead));
            ring.run(20 * SECOND);
            let later: Vec<Step> = ring.steps_since(taken.at + 1).cloned().collect();
            assert!(later.len() > 3, "{mode:?} seed {seed}: the ring continues");
            for step in later {
                assert!(step.input.starts_with(&taken.input), "{mode:?} seed {seed}: {step:?} is older than {taken:?}");
            }
        }
    }
}

#[test]
fn a_hung_next_node_costs_one_recovery_and_starts_nothing_when_it_wakes() {
    for mode in [Mode::Members, Mode::Plain] {
        let mut ring = Ring::new(3, Plan::steady(mode, 4));
        ring.run(FIRST_OWNER + 2 * SECOND);
        let step = ring.next_step(4 * SECOND, |_| true);
        let hung = (step.node + 1) % 4;
        ring.world.happen(Fault::Pause(hung));
        let stopped = ring.world.now;
        ring.run(40 * SECOND);
        let gaps: Vec<u64> = {
            let at: Vec<u64> = ring.steps_since(stopped).map(|step| step.at).collect();
            at.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 3 * SECOND).collect()
        };
        assert!(gaps.len() <= 1, "{mode:?}: blackouts of {gaps:?}");
        let newest = ring.checks.steps.last().expect("there are steps").fence;
        ring.world.happen(Fault::Resume(hung));
        let woken = ring.world.now;
        ring.run(15 * SECOND);
        assert!(ring.steps_since(woken).all(|step| step.fence > newest), "{mode:?}: an old token was acted on");
        assert!(ring.steps_since(woken).any(|step| step.node == hung), "{mode:?}: it is in rotation again");
    }
}

#[test]
fn an_owner_that_was_stopped_starts_nothing_with_its_old_token() {
    for mode in [Mode::Members, Mode::Plain] {
        for seed in 0..30 {
            let mut ring = Ring::new(seed, Plan::steady(mode, 3));
            ring.run(FIRST_OWNER + 2 * SECOND);
            let owner = ring.next_step(4 * SECOND, |_| true).node;
            ring.run(seed % 10 * 220 * MILLISECOND);
            ring.world.happen(Fault::Pause(owner));
            ring.run(9 * SECOND + seed * 100 * MILLISECOND);
            let newest = ring.checks.steps.last().expect("there are steps").fence;
            ring.world.happen(Fault::Resume(owner));
            let woken = ring.world.now;
            ring.run(12 * SECOND);
            let mut last = newest;
            for step in ring.steps_since(woken) {
                assert!(step.fence > last, "{mode:?} seed {seed}: {step:?} after {last}");
                last = step.fence;
            }
            assert!(ring.steps_since(woken).any(|step| step.node == owner), "{mode:?} seed {seed}: not in rotation");
        }
    }
}

#[test]
fn of_five_the_side_of_three_continues_and_the_side_of_two_stops_and_reports_why() {
    for seed in 0..10 {
        let mut ring = Ring::new(seed, Plan::steady(Mode::Members, 5));
        ring.run(FIRST_OWNER + seed * 1_300 * MILLISECOND);
        let owner = ring.next_step(4 * SECOND, |_| true).node;
        let small = [owner, (owner + 2) % 5];
        for a in small {
            for b in (0..5).filter(|b| !small.contains(b)) {
                ring.world.happen(Fault::Partition(a, b));
            }
        }
        ring.run(7 * SECOND);
        let from = ring.world.now;
        ring.run(15 * SECOND);
        assert!(ring.steps_since(from).count() > 3, "seed {seed}: the side of three continues");
        assert!(ring.steps_since(from).all(|step| !small.contains(&step.node)), "seed {seed}: the side of two works");
        for node in small {
            let told = ring.has_logged(node, "of 5 members") && ring.has_logged(node, "3 are needed");
            assert!(told, "seed {seed}: node {node} of the side of two reports why");
        }
        for (a, b) in ring.world.network.partitions() {
            ring.world.happen(Fault::Heal(a, b));
        }
        let healed = ring.world.now;
        ring.run(10 * SECOND);
        let since_then = ring.world.now;
        ring.run(12 * SECOND);
        for node in 0..5 {
            let back = ring.steps_since(healed).any(|step| step.node == node);
            assert!(back, "seed {seed}: node {node} is not in rotation at {since_then}");
        }
    }
}

#[test]
fn a_step_is_killed_before_another_node_works_when_its_node_is_cut_off() {
    for seed in 0..10 {
        let mut ring = Ring::new(seed, Plan { step: 30_000, ..Plan::steady(Mode::Members, 5) });
        let owner = ring.next_step(FIRST_OWNER, |_| true).node;
        ring.run(seed * 300 * MILLISECOND);
        for other in (0..5).filter(|other| *other != owner) {
            ring.world.happen(Fault::Partition(owner, other));
        }
        let cut = ring.world.now;
        // Every step is checked to be the only one that runs.
        let next = ring.next_step(7 * SECOND, |node| node != owner);
        assert!(next.at - cut > 2 * SECOND, "seed {seed}: the next owner worked too early");
    }
}

#[test]
fn a_power_cut_at_all_nodes_loses_nothing_that_a_step_was_started_on() {
    for seed in 0..20 {
        let mut ring = Ring::new(seed, Plan::steady(Mode::Members, 3));
        ring.run(FIRST_OWNER + seed * 431 * MILLISECOND);
        ring.next_step(4 * SECOND, |_| true);
        for node in 0..3 {
            ring.world.happen(Fault::Crash(node));
        }
        let dark = ring.world.now;
        for node in 0..3 {
            ring.world.fault_at(dark + SECOND, Fault::Start(node));
        }
        // Every step is checked to have the newest data.
        ring.run(FIRST_OWNER + 4 * SECOND);
        assert!(ring.steps_since(dark).count() > 0, "seed {seed}: the ring continues");
    }
}

#[test]
fn an_owner_that_is_asked_to_leave_hands_the_token_on_first() {
    for mode in MODES {
        let mut ring = Ring::new(5, Plan::steady(mode, 3));
        ring.run(FIRST_OWNER);
        let owner = ring.next_step(4 * SECOND, |_| true).node;
        ring.world.happen(Fault::Signal(owner, arete::machine::Signal::TERM));
        let told = ring.world.now;
        let next = ring.next_step(SECOND, |node| node != owner);
        assert!(next.at - told < SECOND, "{mode:?}");
        ring.run(SECOND);
        assert_eq!(ring.world.nodes[owner].exit, Some(0), "{mode:?}");
    }
}

#[test]
fn a_disk_that_is_full_stops_a_node_and_not_the_ring() {
    let mut ring = Ring::new(6, Plan::steady(Mode::Members, 3));
    ring.run(FIRST_OWNER);
    ring.world.happen(Fault::DiskFull(1, true));
    ring.expect(12 * SECOND, "the node goes on without its disk", |ring| ring.world.nodes[1].machine.is_none());
    assert!(ring.has_logged(1, "the node stops rather than forget"));
    let from = ring.world.now;
    ring.run(20 * SECOND);
    assert!(ring.steps_since(from).count() > 5, "two of three go on");
}

/// Bytes that are not a message, in pieces and whole.
fn garbage() -> Vec<Vec<u8>> {
    let here = br#"{"serial_code":328067,"type":"token is here","author_node_id":"z","token":{"serial_code":407246,"progress":99,"author_node_id":"z","author_token_revision":7}}"#;
    let mut all =
        vec![b"".to_vec(), b"\0\xff\xfe{".to_vec(), vec![b'['; 60_000], vec![b'a'; 16 * 1024], here[..40].to_vec()];
    all.push(String::from_utf8_lossy(here).replace("328067", "1").into_bytes());
    all.push(String::from_utf8_lossy(here).replace("407246", "2").into_bytes());
    all.push(String::from_utf8_lossy(here).replace("token is here", "token is gone").into_bytes());
    all.push(String::from_utf8_lossy(here).replace("\"z\"", "\"\\u001b[2J\"").into_bytes());
    all.push(String::from_utf8_lossy(here).replace("99", "-1").into_bytes());
    all
}

#[test]
fn garbage_makes_no_node_deaf() {
    for mode in MODES {
        let mut ring = Ring::new(8, Plan::steady(mode, 3));
        ring.run(FIRST_OWNER);
        for round in 0..50 {
            for bytes in garbage() {
                ring.cast(round % 3, round % 3, &bytes);
                ring.post(round % 3, (round + 1) % 3, &bytes);
            }
            ring.run(200 * MILLISECOND);
        }
        let from = ring.world.now;
        ring.run(14 * SECOND);
        for node in 0..3 {
            assert!(ring.steps_since(from).any(|step| step.node == node), "{mode:?}: node {node} is deaf");
        }
        let log: Vec<&[u8]> = ring.world.nodes.iter().map(|node| &*node.printed).collect();
        assert!(!log.concat().contains(&0x1b), "{mode:?}: a terminal escape in the log");
    }
}

#[test]
fn a_node_that_sends_but_receives_nothing_does_not_stop_the_ring() {
    for mode in [Mode::Members, Mode::Sealed, Mode::Plain] {
        // Without --members the deaf node takes itself for the only one and becomes the owner now and then: the others only
        // get their turns between.
        let window = if mode == Mode::Plain { 60 * SECOND } else { 15 * SECOND };
        for seed in 0..20 {
            let mut ring = Ring::new(seed, Plan::steady(mode, 3));
            if seed % 2 == 0 {
                ring.run(FIRST_OWNER + 3 * SECOND);
            }
            // Its neighbours know it, or have heard its first pings.
            ring.run(MILLISECOND);
            ring.world.nodes[2].sockets = vec![UDP_PORT + 1];
            ring.world.nodes[2].listeners.clear();
            ring.run(20 * SECOND);
            let from = ring.world.now;
            ring.run(window);
            for node in 0..2 {
                let works = ring.steps_since(from).any(|step| step.node == node);
                assert!(works, "{mode:?} seed {seed}: node {node} is stuck in state {}", ring.state(node));
            }
        }
    }
}

#[test]
fn a_flood_of_questions_from_nowhere_does_not_hold_the_token_up() {
    for mode in [Mode::Members, Mode::Plain, Mode::Compat] {
        let mut ring = Ring::new(12, Plan::steady(mode, 3));
        ring.run(FIRST_OWNER);
        let members = (mode == Mode::Members).then_some(3);
        let extra = Extra { boot: 1, members, ..Extra::default() };
        for _ in 0..1_000 {
            // Each may be the successor of another node.
            for author in ["a1", "b1", "c1"] {
                let extra = (mode != Mode::Compat).then(|| extra.clone());
                let message = Message { author: author.into(), body: Body::WhereIsToken, extra };
                ring.cast(0, 77, &message.encode(None));
            }
            ring.run(10 * MILLISECOND);
        }
        ring.run(15 * SECOND);
        let from = ring.world.now;
        ring.run(15 * SECOND);
        for node in 0..3 {
            assert!(ring.steps_since(from).any(|step| step.node == node), "{mode:?}: node {node} is stuck");
        }
    }
}

/// The strongest token, which no node has made.
fn forged(kind: &str, to: Option<&str>) -> Message {
    let token = Token::new(1_000_000, "zzz", 1_000_000);
    let fence = Fence { epoch: 1_000, hop: 1_000 };
    let body = match kind {
        "token is here" => Body::TokenIsHere(token),
        "generating token" => Body::GeneratingToken(token),
        _ => Body::TakeToken { token, nodes: Default::default(), data: "stolen".into() },
    };
    let extra =
        Extra { boot: 1, nr: 1, fence, granted: 1_000, to: to.map(str::to_owned), beat: Some(1), ..Extra::default() };
    Message { author: "zzz".into(), body, extra: Some(extra) }
}

#[test]
fn with_a_key_messages_without_its_seal_are_ignored() {
    let mut ring = Ring::new(9, Plan { key: true, ..Plan::steady(Mode::Plain, 3) });
    ring.run(FIRST_OWNER);
    let from = ring.world.now;
    let other = Key::new(b"not the secret of this ring".to_vec());
    for round in 0..20 {
        for kind in ["token is here", "generating token", "take token"] {
            for key in [None, Some(&other)] {
                ring.cast(round % 3, 2, &forged(kind, None).encode(key));
                ring.post(round % 3, (round + 1) % 3, &forged(kind, Some("a")).encode(key));
            }
        }
        ring.run(500 * MILLISECOND);
    }
    let steps: Vec<&Step> = ring.steps_since(from).collect();
    assert!(steps.len() >= 3, "the ring continues");
    assert!(steps.iter().all(|step| step.fence.epoch == steps[0].fence.epoch), "no node accepted the token");
}

#[test]
fn with_a_key_recorded_messages_cannot_be_replayed() {
    let mut ring = Ring::new(10, Plan { key: true, ..Plan::steady(Mode::Plain, 3) });
    // All broadcasts, and all connections, of the first rounds.
    let mut recorded: Vec<Vec<u8>> = Vec::new();
    let end = FIRST_OWNER + 8 * SECOND;
    while ring.world.now < end {
        assert!(ring.world.step());
        recorded.extend(ring.world.said.iter().map(|said| said.bytes.to_vec()));
        recorded.extend(ring.world.sent_datagrams.iter().map(|sent| sent.bytes.to_vec()));
        ring.checks.look(&mut ring.world, &ring.plan).expect("all is well");
    }
    // A node that restarts has forgotten all earlier messages.
    ring.world.happen(Fault::Crash(0));
    ring.run(SECOND);
    ring.world.hosts[0].disk.remove_all(std::path::Path::new("/state"));
    ring.world.happen(Fault::Start(0));
    ring.run(10 * SECOND);
    let from = ring.world.now;
    let unreachable = |ring: &Ring| {
        let told = ring.world.nodes.iter().map(|node| String::from_utf8_lossy(&node.printed).into_owned());
        told.map(|log| log.matches("cannot be reached").count()).sum::<usize>()
    };
    let before = unreachable(&ring);
    for bytes in recorded.iter().filter(|bytes| !bytes.is_empty()) {
        ring.cast(1, 1, bytes);
        // From a host without a node.
        ring.cast(1, 7, bytes);
        ring.post(1, 0, bytes);
        ring.run(20 * MILLISECOND);
    }
    assert_eq!(unreachable(&ring), before, "a node is given up because of a replay");
    ring.run(6 * SECOND);
    let steps: Vec<&Step> = ring.steps_since(from).collect();
    assert!(steps.len() > 3, "the ring continues");
    assert!(steps.iter().all(|step| step.fence.epoch == steps[0].fence.epoch), "a replay was believed");
    assert!(steps.windows(2).all(|pair| pair[1].fence > pair[0].fence), "a replay was believed");
}

#[test]
fn without_a_key_a_forged_token_costs_a_while_and_no_node() {
    let mut ring = Ring::new(11, Plan::steady(Mode::Plain, 3));
    ring.run(FIRST_OWNER);
    for kind in ["token is here", "generating token", "take token"] {
        ring.cast(0, 2, &forged(kind, None).encode(None));
        ring.post(0, 1, &forged(kind, Some("b")).encode(None));
        ring.run(SECOND);
    }
    ring.run(20 * SECOND);
    let from = ring.world.now;
    ring.run(14 * SECOND);
    for node in 0..3 {
        assert!(ring.steps_since(from).any(|step| step.node == node), "node {node} in state {}", ring.state(node));
    }
}
