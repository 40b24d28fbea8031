//! What the package leaves when it is removed, and when it is purged.

use std::collections::BTreeSet;

use super::machine::Machine;
use super::{CONTROLLER, CONTROLLER_UNIT, SLAVE_UNIT, SOCKET_UNIT, configure, installed, package, prepared};
use serde_json::json;

/// Files of the system that list every package and every user that ever existed.
const THE_SYSTEMS: [&str; 8] = [
    "/var/lib/dpkg/",
    "/var/log/",
    "/var/cache/",
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/.pwd.lock",
];

/// All files of a machine, except for the system's own records.
fn files(machine: &Machine) -> BTreeSet<String> {
    let listed = machine.shell("find /etc /usr /var /run /opt /srv /home -xdev -path /run/systemd -prune -o -print");
    let own = |path: &&str| THE_SYSTEMS.iter().any(|system| path.starts_with(system));
    listed.lines().filter(|path| !own(path)).map(str::to_owned).collect()
}

#[test]
fn a_purge_of_a_running_package_leaves_neither_files_nor_units_nor_processes() {
    let test = "purge::a_purge_of_a_running_package_leaves_neither_files_nor_units_nor_processes";
    let Some((lab, place)) = prepared(test, &[CONTROLLER]) else { return };
    let deb = package(&place);
    let machines = Machine::boot(&place, &lab, &[CONTROLLER]);
    let machine = &machines[0];
    let before = files(machine);
    machine.install(&deb);
    assert_eq!(machine.property(CONTROLLER_UNIT, "ActiveState"), "inactive", "the package started a unit");
    configure(machine, "slave", &json!({ "controller": "127.0.0.1", "name": "self" }));
    machine.systemctl(&["enable", "--now", SOCKET_UNIT, CONTROLLER_UNIT, SLAVE_UNIT]);
    machine.wait_for_property(SLAVE_UNIT, "StatusText", "127.0.0.1");

    machine.write("/etc/arete/tls/key.pem", "what an administrator has copied here");

    machine.shell("dpkg --remove --no-triggers arete");
    for unit in [SOCKET_UNIT, CONTROLLER_UNIT, SLAVE_UNIT] {
        assert_eq!(machine.property(unit, "LoadState"), "not-found", "{unit}");
    }
    for user in ["arete", "arete-slave"] {
        assert_eq!(machine.processes_of(user), "", "{user}");
    }
    assert!(machine.path("/etc/arete/slave.json").exists(), "a removal takes the configuration");
    assert!(machine.path("/var/lib/arete/controller").exists(), "a removal takes the state");

    machine.shell("dpkg --purge --no-triggers arete");
    let left: Vec<_> = files(machine).difference(&before).cloned().collect();
    assert!(left.is_empty(), "left behind: {left:#?}");
}

#[test]
fn an_upgrade_restarts_the_controller_and_leaves_the_slave_alone() {
    let test = "purge::an_upgrade_restarts_the_controller_and_leaves_the_slave_alone";
    let Some((lab, place)) = prepared(test, &[CONTROLLER]) else { return };
    let machines = installed(&place, &lab, &[CONTROLLER]);
    let machine = &machines[0];
    configure(machine, "slave", &json!({ "controller": "127.0.0.1", "name": "self" }));
    machine.systemctl(&["start", CONTROLLER_UNIT, SLAVE_UNIT]);
    machine.wait_for_property(SLAVE_UNIT, "StatusText", "127.0.0.1");
    let (controller, slave) = (machine.main_pid(CONTROLLER_UNIT), machine.main_pid(SLAVE_UNIT));
    machine.shell("cp /etc/arete/slave.json /root/kept.json");
    machine.install(&package(&place));
    assert_ne!(machine.main_pid(CONTROLLER_UNIT), controller);
    assert_eq!(machine.main_pid(SLAVE_UNIT), slave);
    machine.wait_for_property(SLAVE_UNIT, "StatusText", "127.0.0.1");
    machine.shell("cmp /etc/arete/slave.json /root/kept.json");
}
