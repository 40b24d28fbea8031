//! A controller, its slaves and clients as nodes of a world. The controller is on host 0, each slave on its own host.

// Each test program uses a different part of this.
#![allow(dead_code)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use arete::controller::ledger::{self, FileError, Keep, Past, Terms, TimeLine};
use arete::controller::{
    Archived, Config as ControllerConfig, Controller, EVENTS, HostConfig, Launcher, Limits, OVER, RESOURCES,
};
use arete::machine::{Address, Input, ListenerId, Machine, Outbox, Time};
use arete::member::{Config as MemberConfig, Member, Task};
use arete::serve::Serve;
use arete::session::LOST_AFTER;
use arete::slave::{Config as SlaveConfig, Leave, ORPHAN_AFTER, Slave};
use arete::testfile::Test;
use serde_json::value::RawValue;

use crate::world::World;
use crate::world::disk::Disk;
use crate::world::meet::Meet;
use crate::world::node::Birth;

/// The controller's node and host.
pub const CONTROLLER: usize = 0;
/// The results of the first run on the controller's host.
pub const RESULTS: &str = "/results";
/// The results of the second run, if there is one.
pub const SECOND_RESULTS: &str = "/results.2";

/// The configuration of a slave after a reload.
pub const RELOADED: &[u8] = br#"{"labels":{"reloaded":"yes"},"orphan_after":300000000}"#;

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

/// A controller. After a restart it has the same test and another run.
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

/// A controller that continues its run from its disk after it was killed. `run` is the number of the run that it
/// begins or continues.
pub fn add_lasting_controller(
    world: &mut World,
    config: ControllerConfig,
    launcher: Option<Launcher>,
    limits: Limits,
    run: Rc<Cell<u32>>,
) -> usize {
    let node = world.add_node("controller", CONTROLLER, vec![controller_address()], move |birth| {
        let mut config = config.clone();
        config.wall_offset = birth.wall_offset;
        if run.get() > 1 {
            config.run = format!("run{}", run.get());
            config.results = PathBuf::from(SECOND_RESULTS);
        }
        let results = config.results.clone();
        let listen = Some("controller:7000".to_owned());
        let terms = Terms { id: config.run.clone(), listen, limits, ..Terms::default() };
        let controller = Controller::new(config).launching(launcher.clone()).limited(limits);
        Box::new(lasting(controller, &results, Some(terms), birth))
    });
    world.nodes[node].reboots_one_in = 4;
    node
}

/// A controller of rooms alone that stores them.
pub fn add_lasting_rooms(world: &mut World) -> usize {
    let node = world.add_node("controller", CONTROLLER, vec![controller_address()], |birth| {
        Box::new(lasting(Controller::bare(None).limited(few_strangers()), Path::new(RESULTS), None, birth))
    });
    world.nodes[node].reboots_one_in = 4;
    node
}

/// The directory of the state of a permanent controller. Its runs are below it.
pub const STATE: &str = "/state";
pub const RUNS: &str = "/state/runs";

/// A permanent controller, which accepts tests. After a restart it continues all submitted tests.
pub fn add_hosting_controller(world: &mut World, lost_after: Duration) -> usize {
    let node = world.add_node("controller", CONTROLLER, vec![controller_address()], move |birth| {
        let config = HostConfig {
            runs: PathBuf::from(RUNS),
            lost_after,
            boot: birth.boot.clone(),
            wall_offset: birth.wall_offset,
            ..HostConfig::default()
        };
        let controller = lasting(Controller::bare(None), Path::new(STATE), None, birth);
        Box::new(with_runs(controller.hosting(config), birth))
    });
    world.nodes[node].reboots_one_in = 4;
    node
}

/// As the command line: resumes the runs that are not over, and loads those that are.
fn with_runs(mut controller: Controller, birth: &mut Birth<'_>) -> Controller {
    let below = birth.disk.paths_below(Path::new(RUNS));
    let runs = below.filter_map(|path| Some(Path::new(RUNS).join(path.strip_prefix(RUNS).ok()?.components().next()?)));
    let (mut going, mut over) = (Vec::new(), Vec::<Archived>::new());
    for directory in runs.collect::<BTreeSet<PathBuf>>() {
        let path = directory.join(ledger::FILE);
        if let Some(json) = birth.disk.get(directory.join(OVER)) {
            over.push(serde_json::from_slice(json).expect("it is replaced as a whole"));
            birth.disk.remove_all(&directory.join(RESOURCES));
        } else if let Some(bytes) = birth.disk.get(&path).map(<[u8]>::to_vec) {
            if !bytes.contains(&b'\n') {
                birth.disk.truncate(&path, 0);
                continue;
            }
            let past = Past::read(&path, bytes).unwrap_or_else(|why| panic!("{why}"));
            birth.disk.truncate(&path, past.whole() as usize);
            let files = birth.disk.list(&directory, &["**".to_owned()]).expect("a disk can be listed");
            going.push((directory, past.with_files(files)));
        } else if birth.disk.paths_below(&directory.join(RESOURCES)).next().is_some() {
            birth.disk.remove_all(&directory);
        }
    }
    going.sort_by_key(|(_, past)| past.place_in_queue());
    over.sort_by_key(|shelved| shelved.since);
    for (directory, past) in going {
        let mut time_line = Rewrite::of(directory.join(EVENTS), birth.disk);
        controller.take_up(&directory, &past, &mut time_line).unwrap_or_else(|why| panic!("{why}"));
    }
    controller.remembering(over)
}

/// As the command line: reads the ledger, and removes what a crash has torn.
fn lasting(controller: Controller, directory: &Path, terms: Option<Terms>, birth: &mut Birth<'_>) -> Controller {
    let path = directory.join(ledger::FILE);
    let rewrite_from = Some(2_000);
    let keep =
        Keep { path: path.clone(), boot: birth.boot.clone(), wall_offset: birth.wall_offset, terms, rewrite_from };
    let controller = controller.keeping(keep).in_pieces(1);
    let bytes = birth.disk.get(&path).unwrap_or_default().to_vec();
    if !bytes.contains(&b'\n') {
        birth.disk.truncate(&path, 0);
        return controller;
    }
    let past = Past::read(&path, bytes).unwrap_or_else(|why| panic!("{why}"));
    birth.disk.truncate(&path, past.whole() as usize);
    let files = birth.disk.list(directory, &["**".to_owned()]).expect("a disk can be listed");
    let mut time_line = Rewrite::of(directory.join(EVENTS), birth.disk);
    controller.resumed(&past.with_files(files), &mut time_line).unwrap_or_else(|why| panic!("{why}"))
}

/// As the command line: makes the time line from the ledger.
struct Rewrite<'a> {
    path: PathBuf,
    disk: &'a mut Disk,
    bytes: Vec<u8>,
}

impl<'a> Rewrite<'a> {
    fn of(path: PathBuf, disk: &'a mut Disk) -> Rewrite<'a> {
        Rewrite { path, disk, bytes: Vec::new() }
    }
}

impl TimeLine for Rewrite<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), FileError> {
        let bytes = std::mem::take(&mut self.bytes);
        match self.disk.get(&self.path) == Some(&*bytes) {
            true => Ok(()),
            false => self.disk.persist(&self.path, bytes).map_err(|error| FileError(error.text)),
        }
    }
}

pub fn add_slave(world: &mut World, host: usize, name: &str, once: bool) -> usize {
    add_labelled_slave(world, host, name, &[], once)
}

/// A slave that sends facts about its machine.
pub fn add_labelled_slave(world: &mut World, host: usize, name: &str, labels: &[(&str, &str)], once: bool) -> usize {
    add_any_slave(world, host, name, labels, once, Leave::WhenTold)
}

/// A slave that was launched, and leaves as `leave` says.
pub fn add_launched_slave(world: &mut World, host: usize, name: &str, once: bool, leave: Leave) -> usize {
    add_any_slave(world, host, name, &[], once, leave)
}

fn add_any_slave(
    world: &mut World,
    host: usize,
    name: &str,
    labels: &[(&str, &str)],
    once: bool,
    leave: Leave,
) -> usize {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let labels: BTreeMap<String, String> = labels.collect();
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
            orphan_after: ORPHAN_AFTER,
            labels: labels.clone(),
            utc: None,
            once,
            leave,
            keep: false,
            allow_crash: false,
            secret: None,
            uid: 1000,
        }))
    })
}

/// The standard output of a client.
pub type Output = Rc<RefCell<Vec<u8>>>;

/// A controller of rooms alone.
pub fn add_bare_controller(world: &mut World) -> usize {
    world.add_node("controller", CONTROLLER, vec![controller_address()], |_| {
        Box::new(Controller::bare(None).limited(few_strangers()))
    })
}

/// A small number of remembered members that have left and owe nothing, so that a stranger exceeds it.
fn few_strangers() -> Limits {
    Limits { away: 4, ..Limits::default() }
}

/// The room of the clients.
pub const ROOM: &str = "room";

/// A client in the room `room`, at a barrier or a sync as `member`.
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
        room: ROOM.to_owned(),
        member: Some(member.to_owned()),
        incarnation,
        seed,
        task,
        begun: None,
        timeout: meet.timeout.map(Duration::from_micros),
    }
}

/// A client whose standard output is kept.
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
