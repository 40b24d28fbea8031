//! Many seeds: random tests in a world where everything that can fail does.

#[path = "simulation/toys.rs"]
mod toys;
#[path = "simulation/world.rs"]
mod world;

mod the_world {
    use arete::machine::Address;

    use crate::toys::{Counter, Teller};
    use crate::world::{Fault, SECOND, World};

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
    fn what_is_said_until_it_is_answered_arrives_once_over_a_network_that_breaks() {
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
}
