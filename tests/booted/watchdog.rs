//! systemd detects a loop that is stuck, and restarts the service.

use super::{CONTROLLER, CONTROLLER_UNIT, Configured, SLAVE_UNIT, drop_in, prepared};

#[test]
fn a_controller_and_a_slave_that_are_stuck_are_started_again() {
    let test = "watchdog::a_controller_and_a_slave_that_are_stuck_are_started_again";
    let Some((lab, place)) = prepared(test, &[CONTROLLER, "slave1"]) else { return };
    let configured = Configured::new(&place, &lab, &["slave1"]);
    for (machine, unit) in [(&configured.controller, CONTROLLER_UNIT), (&configured.slaves[0], SLAVE_UNIT)] {
        drop_in(machine, unit, "[Service]\nWatchdogSec=1s\nRestartSec=100ms\n");
        machine.systemctl(&["start", unit]);
    }
    for (machine, unit) in [(&configured.controller, CONTROLLER_UNIT), (&configured.slaves[0], SLAVE_UNIT)] {
        assert_eq!(machine.property(unit, "NRestarts"), "0", "{unit} was restarted and not stuck");
        let before = machine.main_pid(unit);
        machine.signal(unit, "STOP");
        machine.wait_for_property(unit, "NRestarts", "1");
        machine.wait_for_property(unit, "ActiveState", "active");
        machine.wait_for_journal(unit, "Watchdog timeout");
        assert_ne!(machine.main_pid(unit), before);
    }
}
