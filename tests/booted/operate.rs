//! Who may operate a controller that is a service, and what the controller shows of its slaves and runs.

use serde_json::json;

use super::common::{SOON, wait_for};
use super::{
    CONTROLLER, CONTROLLER_UNIT, Configured, OPERATOR, SLAVE_UNIT, SLAVES, configure, gated, open_gate, prepared,
};

#[test]
fn two_runs_at_the_same_time_are_in_the_status_with_all_slaves() {
    let test = "operate::two_runs_at_the_same_time_are_in_the_status_with_all_slaves";
    let Some((lab, place)) = prepared(test, &[&[CONTROLLER], &SLAVES[..]].concat()) else { return };
    let configured = Configured::new(&place, &lab, &SLAVES);
    configured.start();
    configured.wait_for_status("3 slaves, 0 runs");
    let one = configured.start_run_into(&gated(&place, "one", "slave1"), "one");
    configured.wait_for_status("3 slaves, 1 run");
    let other = configured.start_run_into(&gated(&place, "other", "slave2"), "other");
    configured.wait_for_status("3 slaves, 2 runs");
    for results in ["one", "other"] {
        wait_for(SOON, "the command to run", || place.count(results, "spawned") == 1);
    }
    let status = configured.status();
    let runs_of: Vec<_> =
        status["slaves"].as_array().expect("a list").iter().map(|slave| slave["run"].is_string()).collect();
    assert_eq!(runs_of, [true, true, false], "{status}");
    assert!(
        status["slaves"].as_array().expect("a list").iter().all(|slave| slave["connected"].is_number()),
        "{status}"
    );
    assert_eq!(status["runs"].as_array().map(Vec::len), Some(2), "{status}");

    // A third run waits for a slave that is not free.
    let third = configured.start_run_into(&gated(&place, "third", "slave1"), "third");
    configured.wait_for_status("3 slaves, 2 runs, 1 queued");
    open_gate(&configured.slaves[1], "other");
    other.wait().exits_with(0);
    open_gate(&configured.slaves[0], "third");
    open_gate(&configured.slaves[0], "one");
    one.wait().exits_with(0);
    third.wait().exits_with(0);
    configured.wait_for_status("3 slaves, 0 runs");
    let table = configured.ask(&["runs"]);
    assert_eq!(table.matches(" passed ").count(), 3, "{table}");
    for slave in &configured.slaves {
        assert_eq!(slave.property(SLAVE_UNIT, "NRestarts"), "0");
    }
}

#[test]
fn the_socket_is_for_the_group_and_a_reload_changes_the_operators_of_other_machines() {
    let test = "operate::the_socket_is_for_the_group_and_a_reload_changes_the_operators_of_other_machines";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    configured.start();
    let (controller, slave) = (&configured.controller, &configured.slaves[0]);
    controller.shell("useradd --no-create-home --groups arete ann && useradd --no-create-home eve");
    let status_as = |user: &str| {
        let words =
            ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "arete", "status", "--timeout", "20s"];
        controller.program(&words).run()
    };
    let seen = status_as("ann").exits_with(0).stdout;
    assert!(seen.contains("slave1"), "{seen}");
    status_as("eve").exits_with(1).complains(&["/run/arete/controller.sock: permission denied", "usermod -aG arete"]);

    configured.pki.machine(OPERATOR);
    configured.pki.machine("otto");
    let from_afar = |who: &str| {
        let tls = format!("lab/{who}");
        let words = ["arete", "runs", "--controller", &configured.address, "--tls", &tls, "--timeout", "20s"];
        slave.program(&words).run()
    };
    from_afar(OPERATOR).exits_with(0);
    from_afar("otto").exits_with(1).complains(&["the certificate is for otto", "--operators"]);
    configure(controller, "controller", &json!({ "operators": ["otto"] }));
    controller.systemctl(&["reload", CONTROLLER_UNIT]);
    controller.wait_for_journal(CONTROLLER_UNIT, "the configuration was read again");
    from_afar("otto").exits_with(0);
    from_afar(OPERATOR).exits_with(1).complains(&["the certificate is for olga"]);
    configured.wait_for_status("1 slave, 0 runs");
}
