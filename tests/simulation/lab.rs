//! A controller, its slaves and clients as nodes of a world: the controller on host 0, each slave on a host of its own.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use arete::controller::{Config as ControllerConfig, Controller};
use arete::machine::{Address, Input, ListenerId, Machine, Outbox, Time};
use arete::member::{Config as MemberConfig, Member, Task};
use arete::serve::Serve;
use arete::session::LOST_AFTER;
use arete::slave::{Config as SlaveConfig, Slave};
use arete::testfile::Test;
use serde_json::value::RawValue;

use crate::world::World;
use crate::world::meet::Meet;

/// The controller's node and host.
pub const CONTROLLER: usize = 0;
/// The results of the first run on the controller's host.
pub const RESULTS: &str = "/results";
/// Those of the second run, if there is one.
pub const SECOND_RESULTS: &str = "/results.2";

pub fn controller_config(test: Rc<Test>) -> ControllerConfig {
    ControllerConfig {
        test,
        run: "run1".to_owned(),
        results: PathBuf::from(RESULTS),
        wait: Some(Duration::from_secs(60)),
        lost_after: LOST_AFTER,
        local: None,
        listening: None,
        follow: false,
        terminal: None,
        colors: false,
        wall_offset: 0,
    }
}

pub fn controller_address() -> Address {
    Address::Inet("controller:7000".into())
}

/// A controller; when it is started again, it has the same test and another run.
pub fn add_controller(world: &mut World, config: ControllerConfig) -> usize {
    world.add_node("controller", CONTROLLER, vec![controller_address()], move |birth| {
        let mut config = config.clone();
        if birth.nr > 1 {
            config.run = format!("run{}", birth.nr);
            config.results = PathBuf::from(SECOND_RESULTS);
        }
        Box::new(Controller::new(config))
    })
}

pub fn add_slave(world: &mut World, host: usize, name: &str, once: bool) -> usize {
    let name = name.to_owned();
    let socket = PathBuf::from(format!("/run/{name}.sock"));
    let listener = Address::Unix(socket.clone());
    world.add_node(&name.clone(), host, vec![listener], move |birth| {
        Box::new(Slave::new(SlaveConfig {
            name: name.clone(),
            controller: controller_address(),
            incarnation: format!("{name}-{}-{:x}", birth.nr, birth.seed),
            seed: birth.seed,
            pid: birth.pid,
            dir: PathBuf::from(format!("/var/{name}")),
            socket: socket.clone(),
            control: ListenerId(0),
            once,
            keep: false,
            secret: None,
            uid: 1000,
        }))
    })
}

/// What a client has written to its standard output.
pub type Output = Rc<RefCell<Vec<u8>>>;

/// A controller of rooms alone.
pub fn add_bare_controller(world: &mut World) -> usize {
    world.add_node("controller", CONTROLLER, vec![controller_address()], |_| Box::new(Controller::bare(None)))
}

/// A client that stands at a barrier or gives to a sync as `member`, in the room `room`.
pub fn add_client(world: &mut World, host: usize, member: &str, meet: Meet) -> (usize, Output) {
    let output = Output::default();
    let (member, out) = (member.to_owned(), output.clone());
    let node = world.add_node(&format!("client-{member}"), host, vec![], move |birth| {
        let config = client_config(&member, &meet, format!("c{}-{:x}", birth.nr, birth.seed), birth.seed);
        Box::new(Printing { machine: Member::new(config), said: Member::output, output: out.clone() })
    });
    (node, output)
}

/// A member that serves the room itself, at the controller's address.
pub fn add_server(world: &mut World, member: &str, meet: Meet) -> (usize, Output) {
    let output = Output::default();
    let (member, out) = (member.to_owned(), output.clone());
    let node = world.add_node(&format!("server-{member}"), CONTROLLER, vec![controller_address()], move |birth| {
        let config = client_config(&member, &meet, format!("m{}-{:x}", birth.nr, birth.seed), birth.seed);
        let machine = Serve::new(Controller::bare(None), Member::new(config));
        Box::new(Printing { machine, said: Serve::output, output: out.clone() })
    });
    (node, output)
}

fn client_config(member: &str, meet: &Meet, incarnation: String, seed: u64) -> MemberConfig {
    let party = meet.party.clone();
    let task = if meet.sync {
        let value = RawValue::from_string(meet.value.clone()).expect("a value is JSON");
        Task::Sync { session: meet.name.clone(), party, all_alive: meet.all_alive, value: Rc::from(value) }
    } else {
        let (fresh, abort) = (meet.fresh, meet.abort.clone());
        Task::Barrier { barrier: meet.name.clone(), party, fresh, abort, harmonize: meet.harmonize }
    };
    MemberConfig {
        controller: controller_address(),
        room: "room".to_owned(),
        member: Some(member.to_owned()),
        incarnation,
        seed,
        task,
        begun: None,
        timeout: meet.timeout.map(Duration::from_micros),
    }
}

/// A client of which it is kept what goes to its standard output.
struct Printing<M> {
    machine: M,
    said: fn(&M) -> &[u8],
    output: Output,
}

impl<M: Machine> Machine for Printing<M> {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.machine.handle(now, input, out);
        *self.output.borrow_mut() = (self.said)(&self.machine).to_vec();
    }

    fn next_deadline(&self) -> Option<Time> {
        self.machine.next_deadline()
    }
}
