//! Faults that a test injects on purpose, on several hosts: they are in effect, they spare the controller, and all are undone.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Lab, Needed, Place, Running, find, missing, must, repository, skip, wait_for};
use rustix::process::Signal;
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(60);

const PORT: u16 = 4712;

/// What the commands of the tests run.
const TALK: &str = r#"
import os, socket, subprocess, sys, time
what, rest = sys.argv[1], sys.argv[2:]
def ask(host):
    c = socket.create_connection((host, 4000), timeout=0.5)
    c.settimeout(0.5)
    c.sendall(b"hello")
    return c, c.recv(5) == b"hello"
if what == "serve":
    s = socket.create_server(("", 4000))
    while True:
        c = s.accept()[0]
        if os.fork() == 0:
            while True:
                got = c.recv(5)
                if not got: os._exit(0)
                c.sendall(got)
elif what == "hold":
    c, heard = ask(rest[0])
    assert heard
    subprocess.run(["arete", "notify", "cut"], check=True)
    try:
        while True:
            c.sendall(b"again")
            c.recv(5)
            time.sleep(0.02)
    except TimeoutError: pass
    try:
        ask(rest[0])
        sys.exit("a new connection is not cut")
    except TimeoutError: pass
    subprocess.run(["arete", "notify", "held"], check=True, timeout=2)
    c.settimeout(20)
    assert len(c.recv(5)) > 0, "the connection goes on when the partition is over"
elif what == "hear":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", 4001))
    count = 0
    print("hears", flush=True)
    while True:
        s.recv(9)
        count += 1
        open("heard.tmp", "w").write(str(count))
        os.rename("heard.tmp", "heard")
elif what == "shout":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while True:
        try: s.sendto(b"x", (rest[0], 4001))
        except PermissionError: pass  # what the slave itself drops
        time.sleep(0.02)
elif what == "grows":
    def read(): return int(open("heard").read()) if os.path.exists("heard") else 0
    time.sleep(0.3)
    before = read()
    time.sleep(0.7)
    print(before, read())
    assert (read() > before) == (rest[0] == "yes")
"#;

/// A test on several hosts, with the script `talk.py`.
struct Hosts {
    lab: Lab,
    place: Place,
}

impl Hosts {
    fn new(test: &str, hosts: &[&str]) -> Option<Hosts> {
        let lab = Lab::new(test, hosts)?;
        let place = Place::new("faults");
        place.write("talk.py", TALK);
        Some(Hosts { lab, place })
    }

    /// Writes the test, with `talk` for the command that runs the script.
    fn write(&self, text: &str) {
        let talk = format!("/usr/bin/env python3 -I {}", self.place.path("talk.py").display());
        self.place.write("t.yaml", text.replace("TALK", &talk));
    }

    fn address(&self, controller: &str) -> String {
        format!("{}:{PORT}", self.lab.address(controller))
    }

    /// Starts the controller on a host.
    fn controller(&self, host: &str) -> Running<'_> {
        let mut command = self.lab.arete(host);
        command.args(["run", "t.yaml", "--insecure", "--results", "results", "--wait", "20s", "--listen"]);
        command.arg(self.address(host));
        self.place.program(command).deadline(DEADLINE).start()
    }

    /// The command of a slave on the host of its name.
    fn slave_of(&self, name: &str, controller: &str, before: &[&str]) -> Command {
        let mut words = before.to_vec();
        words.push(env!("CARGO_BIN_EXE_arete"));
        let mut command = self.lab.command(name, words[0]);
        command.args(&words[1..]).args(["slave", "--insecure", "--controller", &self.address(controller)]);
        command.args(["--name", name, "--dir"]).arg(self.place.path("work").join(name));
        command
    }

    fn slave(&self, name: &str, controller: &str) -> Running<'_> {
        self.place.program(self.slave_of(name, controller, &[])).arg("--once").deadline(DEADLINE).start()
    }

    /// Runs the test, which must pass. The controller is on the first host.
    #[track_caller]
    fn passes(&self, controller: &str, slaves: &[&str]) {
        let running = self.controller(controller);
        let slaves: Vec<Running<'_>> = slaves.iter().map(|name| self.slave(name, controller)).collect();
        running.wait().exits_with(0);
        slaves.into_iter().for_each(|slave| _ = slave.wait().exits_with(0));
        self.place.assert_nothing_left();
    }

    /// The tables of arete on a host.
    fn tables(&self, host: &str) -> Vec<String> {
        let listed = must(self.lab.command(host, find("nft").expect("a lab has nft")).args(["list", "tables"]));
        listed.lines().filter(|line| line.contains("arete-")).map(str::to_owned).collect()
    }

    /// The place of the first event for which this holds.
    #[track_caller]
    fn position(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> usize {
        let events = self.place.events("results");
        events.iter().position(is_it).unwrap_or_else(|| panic!("no event: {what}"))
    }
}

fn is_fault(event: &Value, entry: &str, state: &str) -> bool {
    event["event"] == "fault" && event["entry"] == entry && event["state"] == state
}

#[test]
fn a_partition_cuts_open_connections_and_new_ones_but_not_the_controller_on_one_of_the_machines() {
    let test = "a_partition_cuts_open_connections_and_new_ones_but_not_the_controller_on_one_of_the_machines";
    let Some(hosts) = Hosts::new(test, &["a", "b", "c"]) else { return };
    hosts.write(
        r#"
name: cut
end: {idle: true, limit: 40s}
triggers: {up: 1, cut: 1, held: 1}
schedules:
  net: [{name: cut, trigger: cut, partition: {between: [a, b]}, for: 3s}]
  a:
    - {name: hold, trigger: up, shell: "TALK hold @{b.address}", timeout: 30s}
  b: [{name: serve, at: 0, service: true, shell: "TALK serve", ready: {port: 4000, trigger: up}}]
  c: [{name: x, at: 0, shell: "true"}]
slaves: {a: [net, a], b: [net, b], c: [c]}
"#,
    );
    // The controller has the address of b, and both slaves apply the partition.
    hosts.passes("b", &["a", "b", "c"]);
    let held = hosts.position("held", |event| event["event"] == "notified" && event["trigger"] == "held");
    let undone = hosts.position("undone", |event| is_fault(event, "cut", "undone"));
    assert!(held < undone, "the controller is reached during the partition");
    assert_eq!(hosts.place.count("results", "disconnected"), hosts.place.count("results", "rejoined"));
    assert_eq!(hosts.place.count("results", "rejoined"), 0);
    assert!(["a", "b"].iter().all(|host| hosts.tables(host).is_empty()));
}

#[test]
fn a_one_way_partition_drops_what_the_first_side_sends_and_nothing_else() {
    let test = "a_one_way_partition_drops_what_the_first_side_sends_and_nothing_else";
    let Some(hosts) = Hosts::new(test, &["a", "b", "controller"]) else { return };
    hosts.write(
        r#"
name: one-way
end: {idle: true, limit: 40s}
triggers: {up: 2, cut: 1}
groups: {others: [b]}
schedules:
  both:
    - {name: hear, at: 0, service: true, shell: "TALK hear", ready: {log: hears, trigger: up}}
  a:
    - {name: shout, trigger: up, service: true, shell: "TALK shout @{b.address}"}
    - {name: open, trigger: up, shell: "TALK grows yes"}
    - {name: cut, after: {entry: open, exit: 0}, partition: {between: [a, "@others"], one_way: true}}
    - {name: tell, after: cut, notify: cut}
    - {name: heard, after: cut, shell: "TALK grows yes"}
  b:
    - {name: shout, trigger: up, service: true, shell: "TALK shout @{a.address}"}
    - {name: open, trigger: up, shell: "TALK grows yes"}
    - {name: heard, trigger: cut, shell: "TALK grows no"}
slaves: {a: [both, a], b: [both, b]}
"#,
    );
    hosts.passes("controller", &["a", "b"]);
    assert!(hosts.tables("a").is_empty(), "the end of the run undoes it");
}

#[test]
fn the_partition_of_a_killed_slave_is_undone_by_heal_and_by_its_next_start() {
    let test = "the_partition_of_a_killed_slave_is_undone_by_heal_and_by_its_next_start";
    let Some(hosts) = Hosts::new(test, &["a", "b", "controller"]) else { return };
    hosts.write(
        r#"
name: left
end: {duration: 50s}
schedules:
  net:
    - {name: cut, at: 0, partition: {between: [a, b]}}
    - {name: service, at: 0, service: true, shell: "exec sleep 1000"}
    - {name: hold, at: 500ms, pause: service}
slaves: {a: [net], b: [net]}
"#,
    );
    let controller = hosts.controller("controller");
    let [a, b] = ["a", "b"].map(|name| hosts.slave(name, "controller"));
    let began = || hosts.place.events("results").iter().filter(|event| event["state"] == "began").count();
    wait_for(DEADLINE, "both partitions and both pauses", || began() == 4);
    assert!(["a", "b"].iter().all(|host| hosts.tables(host).len() == 1));
    let heal = |name: &str| {
        let mut command = hosts.lab.arete(name);
        command.args(["slave", "--heal", "--name", name, "--dir"]).arg(hosts.place.path("work").join(name));
        hosts.place.program(command).run()
    };
    heal("a").exits_with(1).complains(&["another slave works in"]);
    for slave in [a, b] {
        slave.signal(Signal::KILL);
        slave.wait();
    }
    assert!(["a", "b"].iter().all(|host| hosts.tables(host).len() == 1));
    let healed = heal("a").exits_with(0);
    assert!(healed.stdout.contains("undone: a is cut from b (entry cut of run "), "{}", healed.stdout);
    assert!(hosts.tables("a").is_empty() && hosts.tables("b").len() == 1);
    let healed = heal("a").exits_with(0);
    assert!(healed.stdout.contains("no fault is left"), "{}", healed.stdout);
    let mut next = hosts.place.program(hosts.slave_of("b", "controller", &[])).start();
    let said = || next.stderr().contains("undone, which an earlier slave has injected: b is cut from a");
    wait_for(DEADLINE, "the next start of b", || hosts.tables("b").is_empty() && said());
    assert!(next.is_running(), "{}", next.stderr());
    drop((next, controller));
    hosts.place.assert_nothing_left();
}

#[test]
fn a_partition_without_the_right_is_refused_before_the_start() {
    let test = "a_partition_without_the_right_is_refused_before_the_start";
    if let Some(why) = missing(&["setpriv"]) {
        return skip(test, &why, Needed::InCi);
    }
    let Some(hosts) = Hosts::new(test, &["a", "b"]) else { return };
    hosts.write(
        r#"
name: refused
end: {idle: true, limit: 20s}
schedules:
  a: [{name: cut, at: 0, partition: {between: [a, b]}}, {name: x, at: 0, shell: "true"}]
  b: [{name: x, at: 0, shell: "true"}]
slaves: {a: [a], b: [b]}
"#,
    );
    let controller = hosts.controller("b");
    let setpriv = find("setpriv").expect("it was found").display().to_string();
    let without = hosts.slave_of("a", "b", &[&setpriv, "--bounding-set=-net_admin"]);
    let a = hosts.place.program(without).arg("--once").deadline(DEADLINE).start();
    let b = hosts.slave("b", "b");
    controller.wait().exits_with(7);
    drop((a, b));
    let why = hosts.place.summary("results")["why"].to_string();
    assert!(why.contains("slave a") || why.contains('a'), "{why}");
    assert!(why.contains("a partition needs the right CAP_NET_ADMIN: run the slave as root"), "{why}");
    assert_eq!(hosts.place.count("results", "started"), 0);
}

/// Whether this kernel has netem.
fn has_netem() -> bool {
    let mut command = Command::new("unshare");
    command.args(["-n", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]);
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_worse_network_is_in_effect_or_refused_where_the_kernel_has_no_netem() {
    let test = "a_worse_network_is_in_effect_or_refused_where_the_kernel_has_no_netem";
    if let Some(why) = missing(&["tc", "unshare"]) {
        return skip(test, &why, Needed::InCi);
    }
    let Some(hosts) = Hosts::new(test, &["a", "b"]) else { return };
    hosts.write(
        r#"
name: slow
end: {idle: true, limit: 30s}
triggers: {up: 1}
schedules:
  a:
    - {name: slow, trigger: up, network: {delay: 300ms, to: b}}
    - {name: late, after: slow, shell: "TALK hold @{b.address}", expect: 1}
  b: [{name: serve, at: 0, service: true, shell: "TALK serve", ready: {port: 4000, trigger: up}}]
slaves: {a: [a], b: [b]}
"#,
    );
    if has_netem() {
        return hosts.passes("b", &["a", "b"]);
    }
    let controller = hosts.controller("b");
    let slaves = [hosts.slave("a", "b"), hosts.slave("b", "b")];
    controller.wait().exits_with(7);
    drop(slaves);
    let why = hosts.place.summary("results")["why"].to_string();
    assert!(why.contains("load the module sch_netem"), "{why}");
    assert_eq!(hosts.place.count("results", "started"), 0);
}

#[test]
fn a_full_file_system_has_what_is_left_and_is_empty_again_after_a_kill() {
    let test = "a_full_file_system_has_what_is_left_and_is_empty_again_after_a_kill";
    if let Some(why) = missing(&["unshare", "mount", "dd"]) {
        return skip(test, &why, Needed::InCi);
    }
    let Some(hosts) = Hosts::new(test, &["a"]) else { return };
    let small = hosts.place.path("small");
    fs::create_dir(&small).expect("there is room");
    hosts.write(
        &r#"
name: full
end: {idle: true, limit: 30s}
schedules:
  a:
    - {name: full, at: 0, fill: {path: SMALL, leave: 1MiB}}
    - {name: less, after: full, shell: "dd if=/dev/zero of=SMALL/x bs=64k count=15; rm SMALL/x"}
    - {name: more, after: {entry: less, exit: 0}, shell: "dd if=/dev/zero of=SMALL/x bs=64k count=32", expect: 1}
    - {name: mend, after: {entry: more, exit: 1}, kill: full}
    - {name: room, after: mend, shell: "dd if=/dev/zero of=SMALL/x bs=64k count=32; rm SMALL/x; test -z \"$(ls -A SMALL)\""}
slaves: {a: [a]}
"#
        .replace("SMALL", &small.display().to_string()),
    );
    let controller = hosts.controller("a");
    let mount = format!("mount -t tmpfs -o size=8m none {} && exec \"$@\"", small.display());
    let slave = hosts.slave_of("a", "a", &["unshare", "-m", "sh", "-c", &mount, "sh"]);
    let slave = hosts.place.program(slave).arg("--once").deadline(DEADLINE).start();
    controller.wait().exits_with(0);
    slave.wait().exits_with(0);
}

/// Whether this process may set the clock, as the check of a slave sees it.
fn may_set_the_clock() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & 1 << 25 != 0)
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("there is room");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn a_clock_is_moved_and_then_set_to_the_right_time() {
    let test = "a_clock_is_moved_and_then_set_to_the_right_time";
    if !may_set_the_clock() {
        return skip(test, "it may not set the clock", Needed::Nowhere);
    }
    let place = Place::new("clock");
    // A program that only notes what it should do, so that the clock of this machine stays as it is.
    fs::create_dir(place.path("bin")).expect("there is room");
    let note = place.path("set");
    write_program(&place.path("bin/date"), &format!("#!/bin/sh\necho \"$@\" >> {}\n", note.display()));
    place.write(
        "t.yaml",
        r#"
name: clock
end: {idle: true, limit: 30s}
schedules: {a: [{name: late, at: 0, clock: {step: 1h}, for: 500ms}]}
slaves: {a: [a]}
"#,
    );
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let begun = now();
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    place.arete(["run", "t.yaml", "--results", "results"]).env("PATH", path).deadline(DEADLINE).run().exits_with(0);
    let set = place.read("set");
    let times: Vec<f64> =
        set.lines().map(|line| line.strip_prefix("-u -s @").expect("a time").parse().expect("a number")).collect();
    let [moved, back] = times[..] else { panic!("{set}") };
    assert!((begun + 3600.0..now() + 3600.0).contains(&moved), "{moved}, and it began at {begun}");
    assert!((begun + 0.5..now()).contains(&back), "{back}, and it began at {begun}");
}

#[test]
fn a_paused_service_stands_still_goes_on_and_can_be_killed() {
    let place = Place::new("pause");
    place.write(
        "t.yaml",
        r#"
name: pause
end: {idle: true, limit: 30s}
schedules:
  a:
    - {name: count, at: 0, service: true, shell: "(while :; do i=$((i+1)); echo $i > new; mv new n; sleep 0.01; done)",
       ready: {shell: "test -s n"}}
    - {name: hold, after: {entry: count, ready: true}, pause: count, for: 1s}
    - {name: still, at: 0, shell: "until test -e go; do sleep 0.05; done; x=$(cat n); sleep 0.4; test $x = $(cat n)"}
    - {name: go, after: {entry: count, ready: true}, shell: "sleep 0.2; touch go"}
    - {name: again, after: hold, shell: "x=$(cat n); sleep 0.4; test $x != $(cat n)"}
    - {name: stop, after: {entry: again, exit: 0}, pause: count}
    - {name: end, after: stop, kill: count}
slaves: {a: [a]}
"#,
    );
    place.arete(["run", "t.yaml", "--results", "results"]).deadline(DEADLINE).run().exits_with(0);
    let states: Vec<String> = place
        .events("results")
        .iter()
        .filter(|event| event["event"] == "fault")
        .map(|event| format!("{} {}", event["entry"].as_str().unwrap_or(""), event["state"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(states, ["hold began", "hold undone", "stop began", "stop undone"]);
    let stopped = place.events("results").iter().any(|event| {
        event["event"] == "exited" && event["entry"] == "count" && event["why"] == "entry end sent SIGTERM"
    });
    assert!(stopped, "the service was killed while it was paused");
    place.assert_nothing_left();
}

#[test]
fn a_crash_is_refused_unless_the_slave_allows_it() {
    let place = Place::new("crash");
    let test = "{name: crash, end: {idle: true, limit: 20s}, schedules: {a: [{name: boom, at: 0, crash: true}]}, slaves: {a: [a]}}";
    place.write("t.yaml", format!("# YAML\n{test}\n"));
    place.arete(["run", "t.yaml", "--results", "results"]).deadline(DEADLINE).run().exits_with(7);
    let why = place.summary("results")["why"].to_string();
    assert!(why.contains("start the slave with --allow crash"), "{why}");
    assert_eq!(place.count("results", "started"), 0);
}

#[test]
fn the_failover_of_the_examples_loses_no_acknowledged_write() {
    let test = "the_failover_of_the_examples_loses_no_acknowledged_write";
    let Some(hosts) = Hosts::new(test, &["controller", "primary", "standby", "client"]) else { return };
    let text = fs::read_to_string(repository().join("examples/failover.yaml")).expect("it is an example");
    hosts.write(&text);
    fs::create_dir(hosts.place.path("failover")).expect("there is room");
    fs::copy(repository().join("examples/failover/kv.py"), hosts.place.path("failover/kv.py")).expect("there is room");
    hosts.passes("controller", &["primary", "standby", "client"]);
    let said = hosts.place.read("results/client/writes.out");
    assert!(said.contains("acknowledged by the primary: ") && said.contains("by the standby: 20"), "{said}");
    let cut = hosts.position("the partition", |event| is_fault(event, "cut", "began"));
    let undone = hosts.position("its end", |event| is_fault(event, "cut", "undone"));
    let written = hosts.position("the writer", |event| event["event"] == "exited" && event["entry"] == "writes");
    assert!(cut < written && written < undone, "the writer ends during the partition");
}
