//! Slaves that are launched by Slurm, in a cluster of virtual nodes that the test starts.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Map, Value, json};

use super::common::{Needed, Place, Running, SOON, find, is_root, missing, must, skip, wait_for};
use super::{naps, test_of, wait_until_all_are_gone};

const PROGRAMS: [&str; 6] = ["munged", "slurmctld", "slurmd", "srun", "sinfo", "scancel"];

/// The number of nodes.
const NODES: usize = 3;

/// A cluster. Its daemons end when it is dropped.
struct Cluster<'a> {
    place: &'a Place,
    daemons: Vec<Running<'a>>,
}

impl<'a> Cluster<'a> {
    /// `None` if the test was skipped.
    fn start(place: &'a Place, test: &str) -> Option<Cluster<'a>> {
        if let Some(why) = missing(&PROGRAMS) {
            skip(test, &why, Needed::InCi);
            return None;
        }
        if !is_root() {
            skip(test, "it needs root", Needed::Nowhere);
            return None;
        }
        let mut cluster = Cluster { place, daemons: Vec::new() };
        cluster.start_munge();
        place.write("slurm.conf", cluster.config());
        for dir in ["state", "spool"] {
            std::fs::create_dir(place.path(dir)).expect("a new directory has room");
        }
        cluster.daemon("slurmctld", &["-D".to_owned(), "-i".to_owned()]);
        for nr in 0..NODES {
            cluster.daemon("slurmd", &["-D".to_owned(), "-N".to_owned(), node(nr)]);
        }
        wait_for(SOON, "the nodes to be idle", || cluster.is_idle());
        Some(cluster)
    }

    fn is_idle(&self) -> bool {
        let sinfo = self.command("sinfo").args(["-h", "-o", "%D %t"]).output();
        sinfo.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == format!("{NODES} idle"))
    }

    fn start_munge(&mut self) {
        let key = self.place.write("munge/key", [7; 128]);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).expect("it is ours");
        let option = |name: &str, file: &str| format!("--{name}={}", self.place.path("munge").join(file).display());
        let files = [
            ("key-file", "key"),
            ("socket", "socket"),
            ("pid-file", "pid"),
            ("log-file", "log"),
            ("seed-file", "seed"),
        ];
        let mut options: Vec<String> = files.map(|(name, file)| option(name, file)).to_vec();
        // The directories above are those of all temporary files.
        options.extend(["--foreground".to_owned(), "--force".to_owned()]);
        self.daemon("munged", &options);
        wait_for(SOON, "munge to listen", || self.place.path("munge/socket").exists());
    }

    fn config(&self) -> String {
        let dir = self.place.dir().display();
        let host = must(&mut Command::new("hostname")).trim().to_owned();
        let mut ports = free_ports(NODES + 1).into_iter();
        let mut port = move || ports.next().expect("there are enough");
        let mut config = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmUser=root\nSlurmdUser=root\n\
             AuthType=auth/munge\nAuthInfo=socket={dir}/munge/socket\nStateSaveLocation={dir}/state\n\
             SlurmdSpoolDir={dir}/spool/%n\nSlurmctldPidFile={dir}/ctld.pid\nSlurmdPidFile={dir}/%n.pid\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSwitchType=switch/none\nMpiDefault=none\n\
             SlurmdParameters=config_overrides\nReturnToService=2\nKillWait=2\n\
             PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n",
            port()
        );
        for nr in 0..NODES {
            let node = node(nr);
            config += &format!("NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=4\n", port());
        }
        config
    }

    fn daemon(&mut self, program: &str, options: &[String]) {
        let mut command = self.command(program);
        command.args(options);
        self.daemons.push(self.place.program(command).start());
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(find(program).expect("it is there"));
        command.env("SLURM_CONF", self.place.path("slurm.conf"));
        command
    }

    fn run(&self, args: &[&str]) -> Running<'a> {
        let state = self.place.dir();
        let run = self.place.arete(["run", "t.json", "--results", "r"].iter().chain(args));
        run.env("SLURM_CONF", self.place.path("slurm.conf")).env("XDG_STATE_HOME", state).start()
    }

    fn stop(self) {
        for daemon in self.daemons.into_iter().rev() {
            daemon.signal(Signal::TERM);
            daemon.wait();
        }
        wait_until_all_are_gone(self.place);
    }
}

fn node(nr: usize) -> String {
    format!("node{nr}")
}

/// The test of the cluster: a slave on each node, with the name of the node.
fn test(seconds: f64) -> String {
    test_of(seconds, (0..NODES).map(|nr| (node(nr), json!(["s"]))).collect::<Map<String, Value>>())
}

fn free_ports(count: usize) -> Vec<u16> {
    let bind = || std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let listeners: Vec<_> = (0..count).map(|_| bind()).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect()
}

#[test]
fn slurm_starts_all_slaves_in_one_step_and_their_nodes_name_them() {
    let place = Place::new("slurm");
    let test_name = "slurm::slurm_starts_all_slaves_in_one_step_and_their_nodes_name_them";
    let Some(cluster) = Cluster::start(&place, test_name) else { return };
    place.write("t.json", test(0.2));
    cluster.run(&["--launch", "srun"]).wait().exits_with(0);
    assert_eq!(naps(&place), NODES);
    // And one slave for each node, under any name.
    place.write(
        "t.json",
        test_of(0.2, Map::from_iter([("x".to_owned(), json!({"schedules": ["s"], "address": node(1)}))])),
    );
    std::fs::rename(place.path("r"), place.path("first")).expect("results can be moved");
    let template = "srun --nodelist={address} --nodes=1 --ntasks=1 arete slave --controller {controller} --name {name}";
    cluster.run(&["--launch", template]).wait().exits_with(0);
    cluster.stop();
}

#[test]
fn nothing_is_left_on_the_nodes_when_srun_or_the_controller_is_killed() {
    let place = Place::new("slurm-killed");
    let test_name = "slurm::nothing_is_left_on_the_nodes_when_srun_or_the_controller_is_killed";
    let Some(cluster) = Cluster::start(&place, test_name) else { return };
    let left = || super::common::strays::of(place.mark(), place.dir());
    let slaves_are_gone = || left().iter().all(|stray| !stray.command.contains("arete slave"));

    place.write("t.json", test(2.0));
    let controller = cluster.run(&["--launch", "srun"]);
    wait_for(SOON, "all to nap", || naps(&place) == NODES);
    let launchers: Vec<_> = left().into_iter().filter(|stray| stray.command.starts_with("srun ")).collect();
    assert!(!launchers.is_empty());
    launchers.iter().for_each(super::common::strays::Stray::kill);
    controller.wait();
    wait_for(SOON, "the slaves to be gone", slaves_are_gone);
    // For a while, Slurm may know only that srun has ended.
    must(cluster.command("scancel").arg("--user=root"));
    wait_for(SOON, "the nodes to be idle", || cluster.is_idle());
    std::fs::rename(place.path("r"), place.path("first")).expect("results can be moved");

    place.write("t.json", test(30.0));
    let template =
        "srun --nodelist={addresses} --nodes={count} arete slave --controller {controller} --orphan-after 1s";
    let controller = cluster.run(&["--launch", template]);
    wait_for(SOON, "all to nap", || naps(&place) == NODES);
    controller.signal(Signal::KILL);
    drop(controller);
    wait_for(SOON, "the slaves to be gone", slaves_are_gone);
    cluster.stop();
}
