//! The last of thousands of members is late: all are alive, and all are released.

use crate::lab::{self, CONTROLLER};
use crate::world::meet::Meet;
use crate::world::{MILLISECOND, SECOND, World};

/// The number of members. When each sign of life caused a check of all members, a controller was busy for half a
/// minute.
const MEMBERS: usize = 4_000;

/// The delay of the last member.
const LATE: u64 = 1_500 * MILLISECOND;

#[test]
fn thousands_are_released_although_the_last_is_late() {
    let mut world = World::new(1, 8);
    world.network.weather.spike_one_in = 0;
    lab::add_bare_controller(&mut world);
    world.start(CONTROLLER);
    let meet = format!("up count={MEMBERS} timeout=60000");
    let clients: Vec<usize> = (0..MEMBERS)
        .map(|nr| lab::add_client(&mut world, 1 + nr % 7, &format!("c{nr}"), Meet::parse("barrier", &meet)).0)
        .collect();
    let (last, others) = clients.split_last().expect("there are some");
    others.iter().for_each(|client| world.start(*client));
    world.run_for(LATE);
    assert!(others.iter().all(|client| world.nodes[*client].exit.is_none()));
    world.start(*last);
    let over = |world: &World| clients.iter().all(|client| world.nodes[*client].exit.is_some());
    assert!(world.run_until(5 * SECOND, over), "not all are released");
    assert!(clients.iter().all(|client| world.nodes[*client].exit == Some(0)));
}
