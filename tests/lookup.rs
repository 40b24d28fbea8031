//! A controller that a slave knows by its host name.

#![forbid(unsafe_code)]

mod common;

use common::{Place, Running, SOON, wait_for};
use rustix::process::Signal;

/// A test of the slave `a`, which runs one entry.
const TEST: &str = r#"{"name": "t", "end": {"idle": true, "limit": "20s"},
  "schedules": {"s": [{"name": "one", "at": 0, "shell": "echo '@{a.address}'"}]}, "slaves": {"a": ["s"]}}"#;

fn slave<'a>(place: &'a Place, controller: &str) -> Running<'a> {
    let args = ["slave", "--controller", controller, "--name", "a", "--dir", "a", "--once"];
    place.arete(args).env("XDG_RUNTIME_DIR", place.path("run")).start()
}

#[test]
fn a_slave_finds_its_controller_by_a_host_name() {
    let place = Place::new("lookup");
    place.write("t.json", TEST);
    let args = ["run", "t.json", "--listen", "localhost:0", "--results", "results"];
    let mut run = place.arete(args).start();
    run.wait_for_output("listening on ");
    let said = run.stdout();
    let address =
        said.split("listening on ").nth(1).and_then(|rest| rest.split([',', ' ']).next()).expect("an address");
    let port = address.rsplit(':').next().expect("a port");
    let slave = slave(&place, &format!("localhost:{port}"));
    run.wait().exits_with(0);
    slave.wait().exits_with(0);
    let said = place.read("results/a/one.out");
    assert!(["127.0.0.1\n", "::1\n"].contains(&said.as_str()), "{said:?}");
    place.assert_nothing_left();
}

#[test]
fn a_slave_that_cannot_look_up_its_controller_reports_it_and_keeps_trying() {
    let place = Place::new("unknown-host");
    let args = ["slave", "--insecure", "--controller", "no-such-host.invalid", "--name", "a", "--dir", "a"];
    let mut slave = place
        .arete(args)
        .env("XDG_RUNTIME_DIR", place.path("run"))
        .env("RUST_LOG", "arete::slave=warn,arete::link=warn,arete::machine=debug")
        .start();
    slave.wait_for_output("arete: controller no-such-host.invalid:7373: ");
    let attempts = |slave: &Running| slave.stderr().matches("connecting to no-such-host.invalid:7373").count();
    wait_for(SOON, "a third attempt", || attempts(&slave) >= 3);
    assert!(slave.is_running(), "{}", slave.stderr());
    let said = slave.stderr();
    assert_eq!(said.matches("trying again").count(), 1, "it is reported once:\n{said}");
    slave.signal(Signal::TERM);
    slave.wait().exits_with(0);
    place.assert_nothing_left();
}
