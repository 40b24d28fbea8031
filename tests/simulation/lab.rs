//! A controller and its slaves as nodes of a world: the controller on host 0, each slave on a host of its own.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use arete::controller::{Config as ControllerConfig, Controller};
use arete::machine::{Address, ListenerId};
use arete::session::LOST_AFTER;
use arete::slave::{Config as SlaveConfig, Slave};
use arete::testfile::Test;

use crate::world::World;

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
        }))
    })
}
