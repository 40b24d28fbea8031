//! The reports to a service manager, the sockets that it passes, and its requests to reload the configuration.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::{
    Needed, Pki, Place, Program, Running, SOON, have, holds_within, python, repository, skip, wait_for,
};

/// A manager that listens, and the messages that it has received.
struct Manager {
    socket: UnixDatagram,
    name: String,
    heard: Vec<String>,
}

impl Manager {
    /// A manager at a path of the place.
    fn new(place: &Place) -> Manager {
        let path = place.path("notify");
        Manager::at(SocketAddr::from_pathname(&path).expect("the path is short"), path.display().to_string())
    }

    fn at(address: SocketAddr, name: String) -> Manager {
        let socket = UnixDatagram::bind_addr(&address).expect("no other socket has this path");
        socket.set_nonblocking(true).expect("a socket can be made so");
        Manager { socket, name, heard: Vec::new() }
    }

    /// Reads the messages that have arrived.
    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }

    /// Waits for a message that contains this part, after the message of the previous wait.
    #[track_caller]
    fn hears(&mut self, part: &str) -> String {
        let mut found = None;
        let in_time = holds_within(SOON, || {
            self.listen();
            found = self.heard.iter().position(|message| message.contains(part));
            found.is_some()
        });
        assert!(in_time, "waited in vain for {part:?}; heard {:?}", self.heard);
        let at = found.expect("it was found");
        self.heard.drain(..=at).next_back().expect("it was found")
    }

    fn watches<'a>(&self, program: Program<'a>) -> Program<'a> {
        program.env("NOTIFY_SOCKET", &self.name)
    }
}

fn address_of(controller: &mut Running<'_>) -> String {
    controller.wait_for_output("listening on ");
    controller.stdout().lines().last().unwrap_or_default().trim_start_matches("listening on ").to_owned()
}

fn slave<'a>(place: &'a Place, controller: &str) -> Program<'a> {
    let slave = place.arete(["slave", "--name", "n1", "--dir", "work", "--controller", controller]);
    slave.env("XDG_RUNTIME_DIR", place.path("run"))
}

fn barrier<'a>(place: &'a Place, address: &str, name: &str, count: &str) -> Program<'a> {
    place.arete(["barrier", "b", "--count", count, "--timeout", "30s", "--as", name, "--controller", address])
}

#[test]
fn a_slave_is_ready_at_once_and_its_status_has_its_controller() {
    let place = Place::new("status");
    let mut manager = Manager::new(&place);
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let slave = manager.watches(slave(&place, &nobody.to_string())).start();
    manager.hears("READY=1");
    manager.hears(&format!("STATUS=no controller at {nobody}: connection refused"));
    let shell = format!("until [ -e '{}' ]; do sleep 0.1; done; arete notify t", place.path("go").display());
    let entry = serde_json::json!({"name": "wait", "at": 0, "shell": shell});
    let test = serde_json::json!({"name": "t", "end": {"trigger": "t", "limit": "50s"}, "triggers": {"t": 1},
        "schedules": {"s": [entry]}, "slaves": {"n1": ["s"]}});
    place.write("test.json", test.to_string());
    let address = nobody.to_string();
    let run = place.arete(["run", "test.json", "--results", "results", "--listen", &address]).start();
    manager.hears(&format!("STATUS=connected to {nobody}, run t-"));
    place.write("go", "");
    run.wait().exits_with(0);
    manager.hears(&format!("STATUS=no controller at {nobody}: "));
    slave.signal(Signal::TERM);
    manager.hears("STOPPING=1");
    slave.wait().exits_with(0);
}

#[test]
fn the_commands_of_a_slave_do_not_know_its_manager() {
    let place = Place::new("environment");
    let mut manager = Manager::new(&place);
    place.write(
        "test.json",
        r#"{"name": "t", "end": {"trigger": "t", "limit": "20s"}, "triggers": {"t": 1}, "schedules":
        {"s": [{"name": "env", "at": 0, "shell": "env; arete notify t"}]}, "slaves": {"n1": ["s"]}}"#,
    );
    let mut run = place.arete(["run", "test.json", "--results", "results", "--listen", "127.0.0.1:0"]).start();
    run.wait_for_output("listening on ");
    let said = run.stdout();
    let address = said.trim_start_matches("listening on ").split(',').next().expect("an address").to_owned();
    let variables = [
        ("WATCHDOG_USEC", "20000000"),
        ("WATCHDOG_PID", "1"),
        ("LISTEN_FDS", "0"),
        ("LISTEN_PID", "1"),
        ("LISTEN_FDNAMES", "a"),
    ];
    let slave =
        variables.iter().fold(manager.watches(slave(&place, &address)), |slave, (key, value)| slave.env(key, value));
    let _slave = slave.env("KEPT", "yes").start();
    manager.hears("READY=1");
    run.wait().exits_with(0);
    let environment = place.read("results/n1/env.out");
    assert!(environment.contains("KEPT=yes\n"), "{environment}");
    for variable in ["NOTIFY_SOCKET", "WATCHDOG", "LISTEN_"] {
        assert!(!environment.contains(variable), "{variable}: {environment}");
    }
}

#[test]
fn the_status_of_a_controller_has_its_peers() {
    let place = Place::new("controller-status");
    let name = format!("arete-service-{}", place.mark());
    let address = SocketAddr::from_abstract_name(&name).expect("the name is short");
    let mut manager = Manager::at(address, format!("@{name}"));
    let controller = place.arete(["controller", "--listen", "127.0.0.1:0"]);
    let mut controller = manager.watches(controller).start();
    let address = address_of(&mut controller);
    manager.hears("STATUS=0 slaves, 0 runs");
    manager.hears("READY=1");
    let _one = barrier(&place, &address, "a", "2").start();
    manager.hears("STATUS=0 slaves, 0 runs, 1 client");
    controller.signal(Signal::TERM);
    manager.hears("STOPPING=1");
    controller.wait().exits_with(0);
}

#[test]
fn the_watchdog_is_fed_by_the_loop_and_starves_when_it_is_stuck() {
    let place = Place::new("watchdog");
    let mut manager = Manager::new(&place);
    let controller = place.arete(["controller", "--listen", "127.0.0.1:0"]).env("WATCHDOG_USEC", "200000");
    let controller = manager.watches(controller).start();
    manager.hears("READY=1");
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
    controller.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", controller.pid());
    let is_stopped = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
    wait_for(SOON, "the controller to stop", is_stopped);
    manager.listen();
    manager.heard.clear();
    let fed = holds_within(Duration::from_millis(600), || {
        manager.listen();
        !manager.heard.is_empty()
    });
    assert!(!fed, "a stuck loop says nothing: {:?}", manager.heard);
    controller.signal(Signal::CONT);
    manager.hears("WATCHDOG=1");
}

#[test]
fn the_watchdog_of_another_process_is_not_fed() {
    let place = Place::new("other-watchdog");
    let mut manager = Manager::new(&place);
    let controller = place.arete(["controller", "--listen", "127.0.0.1:0"]);
    let controller = controller.env("WATCHDOG_USEC", "100000").env("WATCHDOG_PID", "1");
    let mut controller = manager.watches(controller).start();
    let address = address_of(&mut controller);
    let _one = barrier(&place, &address, "a", "2").start();
    // The status is updated every second, which is often enough to feed a watchdog.
    let mut all = Vec::new();
    wait_for(SOON, "a client in the status", || {
        manager.listen();
        all.append(&mut manager.heard);
        all.iter().any(|message| message.contains("1 client"))
    });
    assert!(!all.iter().any(|message| message.contains("WATCHDOG")), "{all:?}");
}

/// A controller with these sockets and options.
fn activated<'a>(place: &'a Place, sockets: &[&str], options: &[&str]) -> Program<'a> {
    let mut helper = python();
    helper.arg(repository().join("tests/service/activate.py")).args(sockets);
    helper.args(["--", env!("CARGO_BIN_EXE_arete"), "controller"]).args(options);
    place.program(helper)
}

#[test]
fn a_controller_takes_the_sockets_that_are_passed_to_it() {
    let test = "a_controller_takes_the_sockets_that_are_passed_to_it";
    if !have("python3") {
        return skip(test, "python3 is not installed", Needed::InCi);
    }
    let place = Place::new("activation");
    let local = format!("unix:{}", place.path("socket").display());
    let sockets = ["tcp:127.0.0.1:0", &local, "tcp:127.0.0.1:0"];
    let mut controller = activated(&place, &sockets, &["--listen", "192.0.2.1"]).start();
    let addresses = address_of(&mut controller);
    let addresses: Vec<_> = addresses.split(", ").collect();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    let other = barrier(&place, addresses[1], "b", "2").start();
    barrier(&place, addresses[0], "a", "2").run().exits_with(0);
    other.wait().exits_with(0);
    says_bye(UnixStream::connect(place.path("socket")).expect("the controller listens there"));
    controller.signal(Signal::TERM);
    controller.wait().exits_with(0);
    assert!(place.path("socket").exists(), "the file is the manager's");
}

/// A controller accepts the connection, and refuses what the peer sends.
#[track_caller]
fn says_bye(mut stream: UnixStream) {
    stream.set_read_timeout(Some(SOON)).expect("a socket has a timeout");
    stream.write_all(b"what\n").expect("the controller reads");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("the controller answers");
    assert!(line.starts_with(r#"{"type":"bye""#), "{line:?}");
}

#[test]
fn a_passed_socket_must_be_a_listener_and_safe() {
    let test = "a_passed_socket_must_be_a_listener_and_safe";
    if !have("python3") {
        return skip(test, "python3 is not installed", Needed::InCi);
    }
    let place = Place::new("wrong-sockets");
    let udp = activated(&place, &["tcp:127.0.0.1:0", "udp:127.0.0.1:0"], &[]).run().exits_with(1);
    udp.complains(&["descriptor 4 (socket1) of the service manager is not a TCP or Unix stream socket"]);
    let open = activated(&place, &["tcp:0.0.0.0:0"], &[]).run().exits_with(2);
    open.complains(&["the service manager's socket 0.0.0.0:", "without TLS everybody who can reach this address"]);
    let mut controller = activated(&place, &["tcp:0.0.0.0:0"], &["--insecure"]).start();
    address_of(&mut controller);
    // The sockets of another process are ignored.
    let other = place.arete(["controller"]).env("LISTEN_FDS", "1").env("LISTEN_PID", "1").run();
    other.exits_with(2).complains(&["--listen ADDRESS is required"]);
}

#[test]
fn a_controller_that_is_started_by_the_first_connection_answers_it() {
    let test = "a_controller_that_is_started_by_the_first_connection_answers_it";
    if !have("systemd-socket-activate") {
        return skip(test, "systemd-socket-activate is not installed", Needed::Nowhere);
    }
    let place = Place::new("first-connection");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let mut helper = Command::new("systemd-socket-activate");
    helper.args(["-l", &free.to_string(), env!("CARGO_BIN_EXE_arete"), "controller"]);
    let mut helper = place.program(helper).start();
    helper.wait_for_output("Listening on");
    barrier(&place, &free.to_string(), "a", "1").run().exits_with(0);
    helper.wait_for_output(&format!("listening on {free}"));
}

#[test]
fn certificates_are_renewed_without_losing_a_connection() {
    let place = Place::new("renewed");
    let pki = Pki::new(&place);
    let mut manager = Manager::new(&place);
    let own = pki.controller(&["127.0.0.1"]);
    let (a, b) = (pki.machine("a"), pki.machine("b"));
    let controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--tls"]).arg(&own);
    let mut controller = manager.watches(controller.env("RUST_LOG", "info")).start();
    let address = address_of(&mut controller);
    manager.hears("READY=1");
    let waits = barrier(&place, &address, "a", "2").arg("--tls").arg(&a).start();
    manager.hears("1 client");
    let names = |place: &Place| {
        let check =
            place.arete(["slave", "--check", "--name", "b", "--dir", "work", "--controller", &address, "--tls"]);
        check.arg(&b).run().exits_with(0).stdout
    };
    assert!(names(&place).contains("it proves to be controller, 127.0.0.1\n"));
    pki.controller(&["127.0.0.1", "10.9.8.7"]);
    controller.signal(Signal::HUP);
    assert!(manager.hears("RELOADING=1").contains("\nMONOTONIC_USEC="));
    manager.hears("READY=1");
    assert!(names(&place).contains("it proves to be controller, 127.0.0.1, 10.9.8.7\n"));
    // A wrong configuration changes nothing, and is reported.
    let key = place.read("lab/controller/key.pem");
    place.write("lab/controller/key.pem", "no key");
    controller.signal(Signal::HUP);
    manager.hears("RELOADING=1");
    manager.hears("READY=1\nSTATUS=not reloaded, the old configuration stays: --tls: ");
    controller.wait_for_output("the configuration stays as it was");
    assert!(names(&place).contains("10.9.8.7"));
    place.write("lab/controller/key.pem", key);
    // The members that were connected before are not disturbed.
    barrier(&place, &address, "b", "2").arg("--tls").arg(&b).run().exits_with(0);
    waits.wait().exits_with(0).complains(&[]);
    assert!(!controller.stderr().contains("lost"), "{}", controller.stderr());
}

#[test]
fn a_controller_reloads_its_configuration_on_request() {
    let place = Place::new("reload-controller");
    place.write("controller.json", r#"{"listen": "127.0.0.1:0", "value-max": "2KiB"}"#);
    let mut controller = place.arete(["controller", "--config", "controller.json"]).env("RUST_LOG", "info").start();
    let address = address_of(&mut controller);
    let sync = |bytes: usize| {
        let data = format!("\"{}\"", "x".repeat(bytes - 2));
        place.arete(["sync", "s", "--count", "1", "--data", &data, "--as", "a", "--controller", &address]).run()
    };
    sync(2000).exits_with(0);
    place.write("controller.json", r#"{"listen": "127.0.0.1:1", "value-max": "1KiB"}"#);
    controller.signal(Signal::HUP);
    controller.wait_for_output("controller.json:1: \"listen\": it has changed since the start: that needs a restart");
    controller.wait_for_output("the configuration was read again");
    sync(2000).exits_with(1).complains(&["a value has at most 1024 bytes"]);
    place.write("controller.json", "{\n\"value-max\": \"a lot\"}");
    controller.signal(Signal::HUP);
    controller.wait_for_output("controller.json:2: \"value-max\": ");
    controller.wait_for_output("the configuration stays as it was");
    sync(1000).exits_with(0);
    sync(2000).exits_with(1);
}

#[test]
fn a_slave_that_reloads_its_configuration_sends_its_new_labels_next_time() {
    let place = Place::new("reload-slave");
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has free ports");
    let controller = listener.local_addr().expect("it is bound").to_string();
    let config = |role: &str, name: &str| {
        let config =
            serde_json::json!({"controller": controller, "dir": "work", "name": name, "labels": {"role": role}});
        place.write("slave.json", config.to_string());
    };
    let hello = |stream: TcpStream| {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("the slave sends hello");
        serde_json::from_str::<serde_json::Value>(&line).expect("a hello is JSON")
    };
    config("client", "n1");
    let slave = place.arete(["slave", "--config", "slave.json"]).env("XDG_RUNTIME_DIR", place.path("run"));
    let mut slave = slave.start();
    let (first, _) = listener.accept().expect("the slave connects");
    assert_eq!(hello(first.try_clone().expect("a socket can be shared"))["labels"]["role"], "client");
    config("server", "n2");
    slave.signal(Signal::HUP);
    slave.wait_for_output("\"name\": it has changed since the start: that needs a restart");
    slave.wait_for_output("the configuration was read again");
    drop(first);
    let (second, _) = listener.accept().expect("the slave connects again");
    let said = hello(second);
    assert!(said["labels"]["role"] == "server" && said["name"] == "n1", "{said}");
}

#[test]
fn operators_reach_a_controller_through_a_socket_of_its_group() {
    let place = Place::new("operators");
    let path = place.path("made/arete.sock");
    let arete = env!("CARGO_BIN_EXE_arete");
    let script = format!("umask 077; exec {arete} controller --listen 127.0.0.1:0 --socket '{}'", path.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    let mut controller = place.program(shell).start();
    address_of(&mut controller);
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").mode() & 0o7777;
    assert_eq!(mode(&path), 0o660);
    assert_eq!(mode(path.parent().expect("it lies somewhere")), 0o750);
    says_bye(UnixStream::connect(&path).expect("the controller listens there"));
    let second = place.arete(["controller", "--listen", "127.0.0.1:0", "--socket"]).arg(&path).run().exits_with(7);
    second.complains(&["--socket ", "another process listens there; name another path"]);
    controller.signal(Signal::TERM);
    controller.wait().exits_with(0);
    assert!(!path.exists(), "the socket goes with its controller");
}

#[test]
fn the_journal_gets_priorities_and_others_the_name() {
    let place = Place::new("journal");
    let arete = env!("CARGO_BIN_EXE_arete");
    let to_journal = |what: &str| {
        let mut shell = Command::new("sh");
        let script = format!("JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec {arete} {what}");
        shell.args(["-c", &script]);
        place.program(shell).env("RUST_LOG", "debug").env("XDG_RUNTIME_DIR", place.path("run"))
    };
    let mut slave = to_journal("slave --controller 127.0.0.1:1 --name n1 --dir work").start();
    slave.wait_for_output("<4>controller 127.0.0.1:1: connection refused: ");
    slave.wait_for_output("<7>connecting to 127.0.0.1:1\n");
    assert!(slave.stderr().lines().all(|line| line.starts_with('<')), "{}", slave.stderr());
    let wrong = to_journal("slave").run().exits_with(2);
    assert!(wrong.stderr.starts_with("<3>arete slave: --controller ADDRESS is required"), "{}", wrong.stderr);
    let other = place.arete(["slave"]).env("JOURNAL_STREAM", "1:1").run().exits_with(2);
    assert!(other.stderr.starts_with("arete: arete slave: --controller ADDRESS is required"), "{}", other.stderr);
}
