//! Several hosts on one machine: network namespaces joined by a bridge.
//!
//! The bridge is in a namespace of its own, the switch. Therefore the rest of the machine does not see the lab, and a
//! cut between two hosts does not change their namespaces.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Needed, find, is_root, missing, must, skip};

/// Set for a test that runs itself again as the root of a user namespace.
const INSIDE: &str = "ARETE_TEST_INSIDE_USER_NAMESPACE";

/// The beginning of every namespace's name. The pid of the test process follows.
const PREFIX: &str = "aretetest";

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A bridge and its hosts. They are removed when it is dropped.
pub struct Lab {
    prefix: String,
    hosts: Vec<String>,
}

impl Lab {
    /// A lab with these hosts, or `None` if the test is already over: it was skipped, or it ran and passed in a user
    /// namespace. `test` is the full name of the calling test.
    pub fn new(test: &str, hosts: &[&str]) -> Option<Lab> {
        if let Some(why) = missing(&["ip", "nft"]) {
            skip(test, &why, Needed::InCi);
            return None;
        }
        if !is_root() {
            run_inside_user_namespace(test);
            return None;
        }
        remove_stale();
        let prefix = format!("{PREFIX}{}-{}-", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let lab = Lab { prefix, hosts: hosts.iter().map(|&host| host.to_owned()).collect() };
        lab.build();
        Some(lab)
    }

    fn build(&self) {
        let switch = self.namespace("switch");
        ip(&["netns", "add", &switch]);
        ip(&["-n", &switch, "link", "add", "name", "br0", "type", "bridge"]);
        ip(&["-n", &switch, "link", "set", "br0", "up"]);
        let rules = "table bridge lab {\n set cuts { type ifname . ifname; }\n chain forward { type filter hook forward \
                     priority 0; iifname . oifname @cuts drop; }\n}";
        nft(&switch, rules);
        for host in &self.hosts {
            let name = self.namespace(host);
            ip(&["netns", "add", &name]);
            ip(&["-n", &name, "link", "set", "lo", "up"]);
            self.plug(host);
        }
    }

    /// Gives a host its interface.
    pub fn plug(&self, host: &str) {
        let nr = self.index(host);
        let (switch, name, port) = (self.namespace("switch"), self.namespace(host), port_name(nr));
        ip(&["-n", &switch, "link", "add", "name", &port, "type", "veth", "peer", "name", "eth0", "netns", &name]);
        ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"]);
        ip(&["-n", &name, "addr", "add", &format!("{}/24", address_of(nr)), "dev", "eth0"]);
        ip(&["-n", &name, "link", "set", "eth0", "up"]);
    }

    /// Removes a host's interface.
    pub fn unplug(&self, host: &str) {
        ip(&["-n", &self.namespace(host), "link", "del", "eth0"]);
    }

    /// Sets a host's interface down, from within.
    pub fn interface_down(&self, host: &str) {
        ip(&["-n", &self.namespace(host), "link", "set", "eth0", "down"]);
    }

    pub fn interface_up(&self, host: &str) {
        ip(&["-n", &self.namespace(host), "link", "set", "eth0", "up"]);
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// The file with which a process enters a host's network.
    pub fn network(&self, host: &str) -> PathBuf {
        self.index(host);
        Path::new("/run/netns").join(self.namespace(host))
    }

    fn index(&self, host: &str) -> usize {
        self.hosts.iter().position(|name| name == host).unwrap_or_else(|| panic!("the lab has no host {host}"))
    }

    /// The address of a host.
    pub fn address(&self, host: &str) -> Ipv4Addr {
        address_of(self.index(host))
    }

    /// A command that runs a program on a host.
    pub fn command(&self, host: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.index(host);
        let mut command = Command::new(find("ip").expect("a lab has ip"));
        command.args(["netns", "exec", &self.namespace(host)]).arg(program);
        command
    }

    /// The program under test, on a host.
    pub fn arete(&self, host: &str) -> Command {
        self.command(host, env!("CARGO_BIN_EXE_arete"))
    }

    /// Drops all packets between `a` and `b`, without an error to either.
    pub fn cut(&self, a: &str, b: &str) {
        self.change_cuts("add", a, b);
    }

    /// Removes a cut.
    pub fn heal(&self, a: &str, b: &str) {
        self.change_cuts("delete", a, b);
    }

    fn change_cuts(&self, verb: &str, a: &str, b: &str) {
        let (a, b) = (port_name(self.index(a)), port_name(self.index(b)));
        let pairs = format!("{{ \"{a}\" . \"{b}\", \"{b}\" . \"{a}\" }}");
        nft(&self.namespace("switch"), &format!("{verb} element bridge lab cuts {pairs}"));
    }

    /// Resets every TCP connection between two hosts that sends something, until [`stop_resetting`].
    ///
    /// [`stop_resetting`]: Lab::stop_resetting
    pub fn reset(&self, a: &str, b: &str) {
        for (host, other) in [(a, b), (b, a)] {
            let rules = "table inet lab {\n chain input { type filter hook input priority 0; }\n}\n";
            let rule = format!(
                "add rule inet lab input ip saddr {} tcp flags & rst != rst reject with tcp reset",
                self.address(other)
            );
            nft(&self.namespace(host), &format!("{rules}{rule}"));
        }
    }

    /// Removes all resets between two hosts.
    pub fn stop_resetting(&self, a: &str, b: &str) {
        for host in [a, b] {
            nft(&self.namespace(host), "delete table inet lab");
        }
    }

    /// Unplugs a host's cable.
    pub fn link_down(&self, host: &str) {
        self.set_link(host, "down");
    }

    pub fn link_up(&self, host: &str) {
        self.set_link(host, "up");
    }

    fn set_link(&self, host: &str, state: &str) {
        ip(&["-n", &self.namespace("switch"), "link", "set", &port_name(self.index(host)), state]);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.hosts.iter().map(String::as_str).chain(["switch"]) {
            remove(&self.namespace(name));
        }
    }
}

fn port_name(nr: usize) -> String {
    format!("port{nr}")
}

fn address_of(nr: usize) -> Ipv4Addr {
    let nr = u8::try_from(nr + 1).ok().filter(|&nr| nr < 255).expect("a lab has fewer than 254 hosts");
    Ipv4Addr::new(10, 77, 0, nr)
}

#[track_caller]
fn ip(args: &[&str]) {
    must(Command::new(find("ip").expect("a lab has ip")).args(args));
}

#[track_caller]
fn nft(namespace: &str, rules: &str) {
    let (ip, nft) = (find("ip").expect("a lab has ip"), find("nft").expect("a lab has nft"));
    must(Command::new(ip).args(["netns", "exec", namespace]).arg(nft).arg(rules));
}

fn remove(namespace: &str) {
    let _ = Command::new(find("ip").expect("a lab has ip")).args(["netns", "del", namespace]).output();
}

/// Removes what killed test processes have left.
fn remove_stale() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            remove(&name);
        }
    }
}

/// Runs only the calling test again, as the root of a new user namespace with its own network, mounts and processes.
fn run_inside_user_namespace(test: &str) {
    let namespaces = ["-Urnm", "--pid", "--fork", "--mount-proc"];
    let prepare = "mount -t tmpfs tmpfs /run";
    let possible = Command::new("unshare").args(namespaces).args(["sh", "-c", prepare]).output();
    if std::env::var_os(INSIDE).is_some() || !possible.is_ok_and(|output| output.status.success()) {
        return skip(test, "it needs root or user namespaces", Needed::InCi);
    }
    let own = std::env::current_exe().expect("a test knows its program");
    let script = format!("{prepare} && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["sh", "-c", &script, "sh"]).arg(own).args(["--exact", test, "--nocapture"]);
    let output = command.env(INSIDE, "1").output().expect("unshare could be run a moment ago");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "in a user namespace:\n{said}");
}
