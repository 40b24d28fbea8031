//! The services on booted machines: the package is installed, units are started, restarted and reloaded, tests run,
//! and the package is purged.

#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;

mod machine;
mod operate;
mod purge;
mod reload;
mod restart;
mod runs;
mod watchdog;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use common::package::{PROGRAMS, make_package};
use common::{Lab, Needed, Pki, Place, Running, missing, skip};
use machine::Machine;
use serde_json::{Value, json};

/// The machines of a lab.
const CONTROLLER: &str = "controller";
const SLAVES: [&str; 3] = ["slave1", "slave2", "slave3"];

/// The units.
const CONTROLLER_UNIT: &str = "arete-controller.service";
const SOCKET_UNIT: &str = "arete-controller.socket";
const SLAVE_UNIT: &str = "arete-slave.service";

/// The address at which operators on the controller's machine reach it.
const SOCKET: &str = "/run/arete/controller.sock";

/// The operator who may connect from other machines.
const OPERATOR: &str = "olga";

/// Longer than a test file's own limit, so that arete reports the failure.
const DEADLINE: Duration = Duration::from_secs(90);

/// The network and the directory of a test, or `None` if it is skipped.
fn prepared(test: &str, hosts: &[&str]) -> Option<(Lab, Place)> {
    if let Some(why) = machine::why_not().or_else(|| missing(&PROGRAMS)) {
        skip(test, &why, Needed::InCi);
        return None;
    }
    Some((Lab::new(test, hosts)?, Place::new("booted")))
}

/// Makes the package once for all tests, and copies it to the test's directory.
fn package(place: &Place) -> PathBuf {
    static PACKAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let made = PACKAGE.get_or_init(|| fs::read(make_package(place)).expect("the package can be read"));
    place.write("arete.deb", made)
}

/// Machines on which the package is installed and the units are not started.
fn installed<'a>(place: &'a Place, lab: &Lab, names: &[&str]) -> Vec<Machine<'a>> {
    let package = package(place);
    let machines = Machine::boot(place, lab, names);
    for machine in &machines {
        assert!(!machine.path("/usr/bin/arete").exists(), "arete is installed on this machine already");
        machine.install(&package);
    }
    machines
}

/// A controller and its slaves with configurations and certificates. The units are not started.
struct Configured<'a> {
    pki: Pki<'a>,
    address: String,
    controller: Machine<'a>,
    slaves: Vec<Machine<'a>>,
}

impl<'a> Configured<'a> {
    fn new(place: &'a Place, lab: &Lab, slaves: &[&str]) -> Configured<'a> {
        let mut machines = installed(place, lab, &[&[CONTROLLER], slaves].concat());
        let pki = Pki::new(place);
        let address = lab.address(CONTROLLER).to_string();
        copy_certificates(&pki.controller(&[&address]), &machines[0]);
        let settings =
            json!({ "listen": address, "tls": "/etc/arete/tls", "operators": [OPERATOR], "lost-after": "5s" });
        configure(&machines[0], "controller", &settings);
        for (machine, name) in machines[1..].iter().zip(slaves) {
            copy_certificates(&pki.machine(name), machine);
            let settings = json!({ "controller": address, "tls": "/etc/arete/tls", "name": name, "keep": true });
            configure(machine, "slave", &settings);
        }
        let controller = machines.remove(0);
        Configured { pki, address, controller, slaves: machines }
    }

    fn start_controller(&self) {
        self.controller.systemctl(&["enable", "--now", CONTROLLER_UNIT]);
    }

    fn start_slaves(&self) {
        self.slaves.iter().for_each(|slave| drop(slave.systemctl(&["enable", "--now", SLAVE_UNIT])));
    }

    /// Starts all units, and waits until every slave is connected.
    fn start(&self) {
        self.start_controller();
        self.start_slaves();
        self.wait_for_status(&several(self.slaves.len(), "slave"));
    }

    /// Waits until systemd shows this status of the controller.
    #[track_caller]
    fn wait_for_status(&self, status: &str) {
        self.controller.wait_for_property(CONTROLLER_UNIT, "StatusText", status);
    }

    /// Starts a run as root on the controller's machine.
    fn start_run(&self, test_file: &str) -> Running<'a> {
        self.start_run_into(test_file, "results")
    }

    fn start_run_into(&self, test_file: &str, results: &str) -> Running<'a> {
        let words = ["arete", "run", test_file, "--controller", SOCKET, "--wait", "30s", "--results", results];
        self.controller.program(&words).deadline(DEADLINE).start()
    }

    /// Runs a command for the controller as root on its machine, which needs no options.
    #[track_caller]
    fn ask(&self, words: &[&str]) -> String {
        let words = [&["arete"], words, &["--timeout", "20s"]].concat();
        self.controller.program(&words).run().exits_with(0).stdout
    }

    /// `arete status --json`.
    #[track_caller]
    fn status(&self) -> Value {
        serde_json::from_str(&self.ask(&["status", "--json"])).expect("the status is JSON")
    }
}

/// A count in the controller's status.
fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A test with a command on one slave that ends when the file with the test's name exists.
fn gated(place: &Place, name: &str, slave: &str) -> String {
    let shell = format!("echo begun; while [ ! -e /var/lib/arete/slave/go-{name} ]; do sleep 0.05; done; echo done");
    let test = json!({
        "name": name,
        "end": { "idle": true, "limit": "1min" },
        "schedules": { "wait": [{ "name": "wait", "at": 0, "shell": shell }] },
        "slaves": { slave: ["wait"] },
    });
    let file = format!("{name}.json");
    place.write(&file, test.to_string());
    file
}

/// Lets the command of a gated test end.
fn open_gate(slave: &Machine, name: &str) {
    slave.write(&format!("/var/lib/arete/slave/go-{name}"), "");
}

/// Copies certificates as an administrator may do it who changes nothing else: the key is readable for root only.
fn copy_certificates(from: &Path, machine: &Machine) {
    for file in fs::read_dir(from).expect("certificates were made").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let to = machine.path(&format!("/etc/arete/tls/{name}"));
        fs::copy(file.path(), &to).expect("a file can be copied");
        let mode = if name == "key.pem" { 0o600 } else { 0o644 };
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).expect("a mode can be set");
    }
}

/// Adds settings to the configuration of the package.
fn configure(machine: &Machine, which: &str, settings: &Value) {
    let path = format!("/etc/arete/{which}.json");
    let text = fs::read_to_string(machine.path(&path)).expect("the package brings a configuration");
    let mut all: Value = serde_json::from_str(&text).expect("the configuration is JSON");
    for (key, value) in settings.as_object().expect("settings have names") {
        all[key] = value.clone();
    }
    machine.write(&path, serde_json::to_vec_pretty(&all).expect("a value is JSON"));
}

/// Changes a setting of a unit, as an administrator does.
fn drop_in(machine: &Machine, unit: &str, text: &str) {
    machine.write(&format!("/etc/systemd/system/{unit}.d/test.conf"), text);
    machine.systemctl(&["daemon-reload"]);
}

/// The path of a file of the repository in the test's directory.
fn copy_from_repository(place: &Place, from: &str, to: &str) -> PathBuf {
    place.write(to, fs::read(common::repository().join(from)).unwrap_or_else(|error| panic!("{from}: {error}")))
}
