//! Reloads, and sockets that systemd has opened.

use serde_json::json;

use super::common::{SOON, wait_for};
use super::{
    CONTROLLER, CONTROLLER_UNIT, Configured, SLAVE_UNIT, SOCKET, SOCKET_UNIT, configure, copy_certificates, gated,
    installed, open_gate, prepared,
};

/// The serial number of the certificate that the controller shows.
fn serial_shown(configured: &Configured<'_>) -> String {
    let script = format!(
        "openssl s_client -connect {}:7373 </dev/null 2>/dev/null | openssl x509 -noout -serial",
        configured.address
    );
    configured.controller.shell(&script).trim().to_owned()
}

/// The connections of a controller, by the names of the peers.
fn connections(configured: &Configured<'_>) -> Vec<String> {
    let shown = configured.controller.shell("ss -Htn state established '( sport = 7373 )'");
    shown.lines().filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect()
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload_and_no_connection_is_lost() {
    let test = "reload::a_renewed_certificate_is_shown_after_a_reload_and_no_connection_is_lost";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    configured.start_controller();
    let (controller, slave) = (&configured.controller, &configured.slaves[0]);
    let waits = ["arete", "barrier", "lunch", "--count", "2", "--as", "slave1", "--tls", "lab/slave1"];
    let waits = slave.program(&[&waits[..], &["--controller", &configured.address]].concat()).start();
    wait_for(SOON, "a member to be connected", || !connections(&configured).is_empty());
    let (stands, pid, first) =
        (connections(&configured), controller.main_pid(CONTROLLER_UNIT), serial_shown(&configured));
    assert_eq!(stands.len(), 1);

    // A new key that only root may read was not handed over. The old certificate stays, and the journal contains the
    // reason.
    copy_certificates(&configured.pki.controller(&[&configured.address]), controller);
    controller.systemctl(&["reload", CONTROLLER_UNIT]);
    controller.wait_for_journal(CONTROLLER_UNIT, "key.pem is not the key of cert.pem");
    controller.wait_for_property(CONTROLLER_UNIT, "ActiveState", "active");
    assert_eq!(serial_shown(&configured), first);

    // A key that the service may read is used.
    controller.shell("chown arete /etc/arete/tls/key.pem");
    controller.systemctl(&["reload", CONTROLLER_UNIT]);
    wait_for(SOON, "the new certificate", || serial_shown(&configured) != first);
    assert_eq!(connections(&configured), stands);
    assert_eq!(controller.main_pid(CONTROLLER_UNIT), pid);
    assert_eq!(controller.property(CONTROLLER_UNIT, "ActiveState"), "active");

    let arrives = ["arete", "barrier", "lunch", "--count", "2", "--as", "slave1#2", "--tls", "lab/slave1"];
    slave.program(&[&arrives[..], &["--controller", &configured.address]].concat()).run().exits_with(0);
    waits.wait().exits_with(0);
}

#[test]
fn a_reloaded_slave_continues_its_run_and_ignores_a_wrong_configuration() {
    let test = "reload::a_reloaded_slave_continues_its_run_and_ignores_a_wrong_configuration";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    configured.start();
    let slave = &configured.slaves[0];
    let run = configured.start_run(&gated(&place, "reload", "slave1"));
    wait_for(SOON, "the command to run", || place.count("results", "spawned") == 1);
    let before = slave.main_pid(SLAVE_UNIT);
    for (settings, status) in [
        (json!({ "labels": "nonsense" }), "the old configuration"),
        (json!({ "labels": { "role": "client" } }), "connected"),
    ] {
        configure(slave, "slave", &settings);
        slave.systemctl(&["reload", SLAVE_UNIT]);
        slave.wait_for_property(SLAVE_UNIT, "StatusText", status);
        slave.wait_for_property(SLAVE_UNIT, "ActiveState", "active");
    }
    assert_eq!(slave.main_pid(SLAVE_UNIT), before);
    open_gate(slave, "reload");
    run.wait().exits_with(0);
    assert_eq!(place.count("results", "disconnected"), 0);
}

#[test]
fn the_first_connection_starts_a_controller_with_sockets_of_systemd() {
    let test = "reload::the_first_connection_starts_a_controller_with_sockets_of_systemd";
    let Some((lab, place)) = prepared(test, &[CONTROLLER]) else { return };
    let machines = installed(&place, &lab, &[CONTROLLER]);
    let controller = &machines[0];
    controller.systemctl(&["enable", "--now", SOCKET_UNIT]);
    assert_eq!(controller.property(CONTROLLER_UNIT, "ActiveState"), "inactive");
    assert_eq!(controller.shell("stat -c '%U %G %a' /run/arete/controller.sock"), "arete arete 660\n");
    let create = ["arete", "trigger", "create", "go", "2", "--controller", "127.0.0.1", "--timeout", "20s"];
    controller.program(&create).run().exits_with(0);
    assert_eq!(controller.property(CONTROLLER_UNIT, "ActiveState"), "active");
    // The socket outlives the service, and the counts outlive both.
    controller.systemctl(&["stop", CONTROLLER_UNIT]);
    assert_eq!(controller.property(CONTROLLER_UNIT, "ActiveState"), "inactive");
    assert!(controller.path(SOCKET).exists());
    let list = ["arete", "trigger", "list", "--controller", "127.0.0.1", "--timeout", "20s"];
    let listed = controller.program(&list).run().exits_with(0).stdout;
    assert!(listed.contains("go"), "{listed}");
    // A connection of an operator to the other socket starts the service, too.
    controller.systemctl(&["stop", CONTROLLER_UNIT]);
    let status = controller.program(&["arete", "status", "--timeout", "20s"]).run().exits_with(0).stdout;
    assert!(status.contains("runs: none"), "{status}");
    assert_eq!(controller.property(CONTROLLER_UNIT, "ActiveState"), "active");
    assert_eq!(controller.shell(&format!("stat -c '%U %G %a' {SOCKET}")), "arete arete 660\n");
}
