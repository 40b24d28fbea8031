//! The services on machines that are booted: the package installed, the units started, runs, restarts, reloads and the
//! package purged.

#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;

mod machine;
mod purge;
mod reload;
mod restart;
mod runs;
mod watchdog;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::package::{self, make_package};
use common::{Lab, Needed, Pki, Place, missing, skip};
use machine::Machine;
use serde_json::{Value, json};

/// The machines of a lab.
const CONTROLLER: &str = "controller";
const SLAVES: [&str; 3] = ["slave1", "slave2", "slave3"];

/// The units.
const CONTROLLER_UNIT: &str = "arete-controller.service";
const SOCKET_UNIT: &str = "arete-controller.socket";
const SLAVE_UNIT: &str = "arete-slave.service";

/// The network and the directory of a test, or `None` if it is skipped.
fn prepared(test: &str, hosts: &[&str]) -> Option<(Lab, Place)> {
    if let Some(why) = machine::why_not().or_else(|| missing(&package::PROGRAMS)) {
        skip(test, &why, Needed::InCi);
        return None;
    }
    Some((Lab::new(test, hosts)?, Place::new("booted")))
}

/// Machines on which the package is installed and nothing is started.
fn installed<'a>(place: &'a Place, lab: &Lab, names: &[&str]) -> Vec<Machine<'a>> {
    let package = make_package(place);
    let machines = Machine::boot(place, lab, names);
    for machine in &machines {
        assert!(!machine.path("/usr/bin/arete").exists(), "arete is installed on this machine already");
        machine.install(&package);
    }
    machines
}

/// A controller and its slaves, configured and with certificates; nothing is started.
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
        configure(&machines[0], "controller", &json!({ "listen": address, "tls": "/etc/arete/tls" }));
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
}

/// Copies certificates as root does who knows of nothing else: the key is root's.
fn copy_certificates(from: &Path, machine: &Machine) {
    for file in fs::read_dir(from).expect("certificates were made").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let to = machine.path(&format!("/etc/arete/tls/{name}"));
        fs::copy(file.path(), &to).expect("a file can be copied");
        let mode = if name == "key.pem" { 0o600 } else { 0o644 };
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).expect("a mode can be set");
    }
}

/// Adds settings to the configuration that the package has brought.
fn configure(machine: &Machine, which: &str, settings: &Value) {
    let path = format!("/etc/arete/{which}.json");
    let text = fs::read_to_string(machine.path(&path)).expect("the package brings a configuration");
    let mut all: Value = serde_json::from_str(&text).expect("the configuration is JSON");
    for (key, value) in settings.as_object().expect("settings have names") {
        all[key] = value.clone();
    }
    machine.write(&path, serde_json::to_vec_pretty(&all).expect("a value is JSON"));
}

/// Sets something in a unit, as an administrator does.
fn drop_in(machine: &Machine, unit: &str, text: &str) {
    machine.write(&format!("/etc/systemd/system/{unit}.d/test.conf"), text);
    machine.systemctl(&["daemon-reload"]);
}

/// Where a file of the repository lies in the test's directory.
fn copy_from_repository(place: &Place, from: &str, to: &str) -> PathBuf {
    place.write(to, fs::read(common::repository().join(from)).unwrap_or_else(|error| panic!("{from}: {error}")))
}
