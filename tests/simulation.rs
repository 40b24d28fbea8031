//! Many seeds: random tests in a world in which everything fails that can fail.
//!
//! `ARETE_SEEDS=N` runs N seeds, `ARETE_SEED=S` replays one and prints its trace.

#![forbid(unsafe_code)]

#[path = "simulation/checks.rs"]
mod checks;
#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/generator.rs"]
mod generator;
#[path = "simulation/lab.rs"]
mod lab;
#[path = "simulation/lab_operator.rs"]
mod lab_operator;
#[path = "simulation/labs.rs"]
mod labs;
#[path = "simulation/meeting_checks.rs"]
mod meeting_checks;
#[path = "simulation/meeting_lines.rs"]
mod meeting_lines;
#[path = "simulation/meeting_log.rs"]
mod meeting_log;
#[path = "simulation/meeting_plan.rs"]
mod meeting_plan;
#[path = "simulation/meeting_seen.rs"]
mod meeting_seen;
#[path = "simulation/meeting_sweep.rs"]
mod meeting_sweep;
#[path = "simulation/meetings.rs"]
mod meetings;
#[path = "simulation/passer_by.rs"]
mod passer_by;
#[path = "simulation/ring_checks.rs"]
mod ring_checks;
#[path = "simulation/ring_plan.rs"]
mod ring_plan;
#[path = "simulation/ring_scenarios.rs"]
mod ring_scenarios;
#[path = "simulation/rings.rs"]
mod rings;
#[path = "simulation/seeds.rs"]
mod seeds;
#[path = "simulation/sweep.rs"]
mod sweep;
#[path = "simulation/torn.rs"]
mod torn;
#[path = "simulation/toys.rs"]
mod toys;
#[path = "simulation/world.rs"]
mod world;

use seeds::{Trial, seeds_or};
use sweep::{Kind, Seen, Sweep};
use world::World;

/// The usual number of seeds.
const SEEDS: u64 = 5_000;

impl Trial for Sweep {
    const REPLAY: &'static str = "ARETE_SEED";
    const FILTER: &'static str = "";
    type Seen = Seen;

    fn new(seed: u64) -> Sweep {
        Sweep::new(seed)
    }

    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn plan(&self) -> String {
        format!("{:#?}", self.plan.test)
    }

    fn run(&mut self) -> Result<Seen, String> {
        Sweep::run(self)
    }

    fn add(seen: &mut Seen, more: Seen) {
        seen.add(more);
    }
}

/// Runs all seeds of a kind.
fn sweep(kind: Kind) {
    seeds::sweep::<Sweep>(0..seeds_or(SEEDS), &format!("{kind:?}"), |seed| sweep::kind_of(seed) == kind);
}

#[test]
fn runs_end_as_they_should_while_nothing_breaks() {
    sweep(Kind::Calm);
}

#[test]
fn runs_end_as_they_should_while_connections_break() {
    sweep(Kind::Breaking);
}

#[test]
fn what_is_promised_holds_while_slaves_die_and_disks_are_full() {
    sweep(Kind::Harsh);
}

mod the_world {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, SocketAddr};

    use arete::machine::{Address, Exit, Signal};

    use crate::toys::{Counter, Crier, Heard, Messenger, Reader, Teller, Worker};
    use crate::world::network::{address_of, at_host};
    use crate::world::process::Fact;
    use crate::world::{Fault, MILLISECOND, SECOND, World};

    fn toy_world(seed: u64) -> World {
        let mut world = World::new(seed, 2);
        world.trace.on = true;
        let address = Address::Inet("counter:1".into());
        let counter = world.add_node("counter", 0, vec![address.clone()], |_| Box::<Counter>::default());
        let teller = world.add_node("teller", 1, vec![], move |_| Box::new(Teller::new(address.clone(), 50)));
        world.network.weather.drop_one_in = 10;
        world.start(teller);
        world.fault_at(SECOND, Fault::Start(counter));
        world.fault_at(2 * SECOND, Fault::Partition(0, 1));
        world.fault_at(7 * SECOND, Fault::Heal(0, 1));
        world
    }

    #[test]
    fn lines_that_are_repeated_until_answered_count_once_over_a_network_that_breaks() {
        for seed in 0..50 {
            let mut world = toy_world(seed);
            assert!(world.run_until(600 * SECOND, |world| world.nodes[1].exit == Some(0)), "seed {seed}");
            let expected: String = (1..=50).map(|number| format!("{number}\n")).collect();
            assert_eq!(world.hosts[0].disk.get("/log"), Some(expected.as_bytes()), "seed {seed}");
            assert!(world.network.drops > 0);
        }
    }

    #[test]
    fn a_seed_replays_to_the_same_trace_and_another_does_not() {
        let hash = |seed| {
            let mut world = toy_world(seed);
            world.run_for(30 * SECOND);
            world.trace.hash()
        };
        assert_eq!(hash(7), hash(7));
        assert_ne!(hash(7), hash(8));
    }

    const PORT: u16 = 23912;

    fn everybody() -> SocketAddr {
        (Ipv4Addr::BROADCAST, PORT).into()
    }

    /// One node that sends `goal` numbers from host 0, and silent ones on that host and on each other host.
    fn criers(seed: u64, hosts: usize, to: SocketAddr, goal: u64) -> (World, Vec<Heard<SocketAddr>>) {
        let mut world = World::new(seed, hosts);
        world.trace.on = true;
        let heard: Vec<Heard<SocketAddr>> = (0..=hosts).map(|_| Heard::default()).collect();
        for (nr, heard) in heard.iter().cloned().enumerate() {
            let goal = if nr == 0 { goal } else { 0 };
            let name = format!("crier{nr}");
            let node = world
                .add_node(&name, nr.saturating_sub(1), vec![], move |_| Box::new(Crier::new(to, goal, heard.clone())));
            world.nodes[node].sockets = vec![PORT];
            world.start(node);
        }
        (world, heard)
    }

    fn numbers(heard: &Heard<SocketAddr>) -> Vec<u64> {
        let numbers = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse().expect("no datagram is changed");
        heard.borrow().iter().map(|(_, bytes)| numbers(bytes)).collect()
    }

    #[test]
    fn datagrams_between_hosts_are_lost_doubled_and_overtaken_and_on_one_host_none_is() {
        let (mut world, heard) = criers(1, 3, everybody(), 1_000);
        (world.network.datagrams.lost_one_in, world.network.datagrams.doubled_one_in) = (10, 10);
        world.run_for(30 * SECOND);
        assert_eq!(numbers(&heard[0]), (1..=1_000).collect::<Vec<u64>>(), "a sender receives its own broadcast");
        assert_eq!(numbers(&heard[1]), numbers(&heard[0]));
        for heard in &heard[2..] {
            let got = numbers(heard);
            let distinct: BTreeSet<u64> = got.iter().copied().collect();
            assert!((850..950).contains(&distinct.len()), "{} of 1000 arrive", distinct.len());
            assert!((50..150).contains(&(got.len() - distinct.len())), "some arrive twice");
            assert!(got.windows(2).filter(|pair| pair[0] > pair[1]).count() > 3, "some are overtaken");
            assert!(heard.borrow().iter().all(|(from, _)| from.ip() == address_of(0, 0).ip()));
        }
        assert_ne!(numbers(&heard[2]), numbers(&heard[3]), "what one loses another hears");
        let counts = world.network.datagram_counts;
        assert!(counts.lost > 100 && counts.doubled > 100 && counts.overflowed == 0, "{counts:?}");
        assert_eq!(world.sent_datagrams.len(), 1_000);
    }

    #[test]
    fn a_datagram_to_one_host_arrives_only_there_and_not_across_a_cut() {
        let (mut world, heard) = criers(2, 3, address_of(1, PORT), 300);
        world.network.datagrams.lost_one_in = 0;
        world.fault_at(SECOND, Fault::Partition(0, 1));
        world.fault_at(2 * SECOND, Fault::Heal(0, 1));
        world.run_for(10 * SECOND);
        let got: BTreeSet<u64> = numbers(&heard[2]).into_iter().collect();
        assert!(got.contains(&1) && got.contains(&300) && !got.contains(&150), "{got:?}");
        assert!((180..220).contains(&got.len()), "{} arrive", got.len());
        assert!([0, 1, 3].iter().all(|other| heard[*other].borrow().is_empty()));
    }

    #[test]
    fn a_node_that_does_not_read_loses_datagrams_when_its_buffer_is_full() {
        let (mut world, heard) = criers(3, 2, everybody(), 500);
        world.network.datagrams = Default::default();
        world.network.datagrams.lost_one_in = 0;
        world.fault_at(SECOND / 2, Fault::Pause(2));
        world.fault_at(9 * SECOND, Fault::Resume(2));
        world.run_for(20 * SECOND);
        let got: BTreeSet<u64> = numbers(&heard[2]).into_iter().collect();
        assert!((230..260).contains(&got.len()) && !got.contains(&400), "{} arrive", got.len());
        assert!(world.network.datagram_counts.overflowed > 200);
    }

    #[test]
    fn a_seed_replays_datagrams_and_another_does_not() {
        let hash = |seed| {
            let (mut world, _) = criers(seed, 4, everybody(), 100);
            world.run_for(5 * SECOND);
            world.trace.hash()
        };
        assert_eq!(hash(7), hash(7));
        assert_ne!(hash(7), hash(8));
    }

    #[test]
    fn a_machine_that_halts_because_it_cannot_write_sends_nothing_in_that_turn() {
        let (mut world, heard) = criers(4, 2, everybody(), 500);
        world.fault_at(SECOND, Fault::DiskFull(0, true));
        world.run_for(10 * SECOND);
        assert_eq!((world.nodes[0].exit, world.nodes[0].printed.as_slice()), (Some(Crier::NO_DISK), &b"no disk"[..]));
        let written = world.hosts[0].disk.get("/said").map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let last = numbers(&heard[1]).last().map(u64::to_string);
        assert!(last.is_some() && last == written, "{last:?} was sent and {written:?} written");
    }

    /// The words that arrive complete at host 1, each on a connection of its own, and the number of connections that
    /// ended.
    fn messages(seed: u64, faults: &[(u64, Fault)]) -> (Vec<Vec<u8>>, usize) {
        let words: Vec<Vec<u8>> = (0..20).map(|nr| format!("word {nr} ").repeat(nr + 1).into_bytes()).collect();
        let (mut world, heard) = (World::new(seed, 2), Heard::default());
        let (said, kept) = (words.clone(), heard.clone());
        let reader = world.add_node("reader", 1, vec![at_host(1, 8239)], move |_| Box::new(Reader::new(kept.clone())));
        let messenger = world.add_node("messenger", 0, vec![], move |_| {
            Box::new(Messenger { to: at_host(1, 8239), words: said.clone() })
        });
        world.start(reader);
        world.start(messenger);
        faults.iter().for_each(|(at, fault)| world.fault_at(*at, fault.clone()));
        world.run_for(60 * SECOND);
        let heard = heard.borrow();
        let mut whole: Vec<Vec<u8>> = heard.iter().map(|(_, bytes)| bytes.clone()).collect();
        whole.retain(|word| words.contains(word));
        whole.sort_by_key(Vec::len);
        (whole, heard.len())
    }

    #[test]
    fn the_bytes_of_a_connection_that_is_closed_at_once_arrive_whole_and_then_the_end() {
        for seed in 0..20 {
            let (whole, ended) = messages(seed, &[]);
            assert_eq!((whole.len(), ended), (20, 20), "seed {seed}");
        }
    }

    #[test]
    fn a_partition_delays_the_bytes_of_a_connection_that_is_closed_at_once() {
        let cut = |until| [(0, Fault::Partition(0, 1)), (until, Fault::Heal(0, 1))];
        let (whole, ended) = messages(1, &cut(SECOND / 2));
        assert_eq!((whole.len(), ended), (20, 20), "it is tried again");
        assert_eq!(messages(1, &cut(20 * SECOND)), (Vec::new(), 0), "not for ever");
    }

    #[test]
    fn a_command_gets_its_input_and_its_token() {
        let mut world = World::new(5, 1);
        let node = world.add_node("worker", 0, vec![], |_| Box::new(Worker("slow 300; append c")));
        world.start(node);
        assert!(world.run_until(10 * SECOND, |world| world.nodes[0].exit == Some(0)));
        assert_eq!(world.nodes[0].printed, b"abc");
        let [Fact::Work { at: begin, pid, life, token, input }, Fact::Ended { at: end, pid: ended, exit }] =
            &world.ledger[..]
        else {
            panic!("{:?}", world.ledger)
        };
        assert_eq!((pid, *life, input.as_slice()), (ended, world.life_of(0), &b"ab"[..]));
        assert_eq!((token.epoch.as_deref(), token.hop.as_deref()), (Some("3"), None));
        assert_eq!(*exit, Exit::Code(0));
        assert!((300 * MILLISECOND..400 * MILLISECOND).contains(&(end - begin)));
    }

    #[test]
    fn a_command_dies_with_the_machine_that_asked_for_it() {
        let mut world = World::new(6, 1);
        let node = world.add_node("worker", 0, vec![], |_| Box::new(Worker("slow 3000; append c")));
        world.start(node);
        world.fault_at(SECOND, Fault::Crash(0));
        world.run_for(2 * SECOND);
        let end = world.ledger.iter().find_map(|fact| match fact {
            Fact::Ended { at, exit, .. } => Some((*at, *exit)),
            _ => None,
        });
        assert!(end.is_some_and(|(at, exit)| at < 2 * SECOND && exit == Exit::Signal(Signal::TERM)), "{end:?}");
        assert_eq!(world.hosts[0].disk.get("/work"), Some(&b""[..]));
    }
}
