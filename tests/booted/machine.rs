//! A booted machine: a container with systemd, the root file system of this machine below a layer of its own, and the
//! network of a host of the lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Lab, Place, Program, Running, SOON, find, holds_within, must, wait_for};

/// The programs that a machine needs.
pub const PROGRAMS: [&str; 6] = ["systemd-nspawn", "systemctl", "journalctl", "unshare", "nsenter", "setpriv"];

/// The path of the test's directory on a machine.
pub const SHARED: &str = "/mnt";

/// Boots. The mounts are private, and disappear with the last process of the machine. A control group for each machine
/// separates the units of several machines. The arguments: the root, the control group, the network, the shared
/// directory, and the name.
const BOOT: &str = r#"
set -eu
root=$1 group=$2 network=$3 shared=$4 name=$5
for top in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    if [ -e "$top/cgroup.procs" ]; then
        mkdir "$top/$group"
        echo $$ >"$top/$group/cgroup.procs"
    fi
done
mkdir -p /run/systemd/nspawn
mount -t tmpfs nspawn /run/systemd/nspawn
mount --bind / "$root"
exec setpriv --pdeathsig KILL systemd-nspawn --quiet --boot --directory="$root" --volatile=overlay \
    --network-namespace-path="$network" --register=no --keep-unit --console=pipe --link-journal=no \
    --bind="$shared:/mnt" --hostname="$name" --machine="$group" -- --unit=basic.target
"#;

/// A machine that runs until it is dropped.
pub struct Machine<'a> {
    place: &'a Place,
    name: String,
    group: String,
    /// The first process of the machine.
    leader: u32,
    nspawn: Option<Running<'a>>,
}

impl<'a> Machine<'a> {
    /// Boots these hosts, all at the same time.
    pub fn boot(place: &'a Place, lab: &Lab, names: &[&str]) -> Vec<Machine<'a>> {
        let started: Vec<_> = names.iter().map(|name| Machine::start(place, lab, name)).collect();
        started.into_iter().map(Machine::booted).collect()
    }

    fn start(place: &'a Place, lab: &Lab, name: &str) -> Machine<'a> {
        let root = place.path(format!("root-{name}"));
        fs::create_dir(&root).expect("a directory can be made in the test's own");
        let group = format!("{}-{name}", place.mark());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", BOOT, "boot"]);
        command.arg(root).arg(&group).arg(lab.network(name)).arg(place.dir()).arg(name);
        let nspawn = place.program(command).start();
        Machine { place, name: name.to_owned(), group, leader: 0, nspawn: Some(nspawn) }
    }

    fn booted(mut self) -> Machine<'a> {
        let nspawn = self.nspawn.as_mut().expect("it was started");
        let pid = nspawn.pid();
        wait_for(SOON, "the first process of a machine", || {
            assert!(nspawn.is_running(), "systemd-nspawn ended: {}{}", nspawn.stdout(), nspawn.stderr());
            self.leader = init_below(pid).unwrap_or(0);
            self.leader != 0
        });
        wait_for(SOON, "a machine to be booted", || {
            let state = self.command("systemctl").arg("is-system-running").output().expect("nsenter can be run");
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            ["running", "degraded"].contains(&state.as_str())
        });
        self
    }

    /// A command that runs a program on the machine, as root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader.to_string()]);
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"]);
        command.arg(program).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
        command
    }

    /// The same as a program of the test, with the shared directory as its working directory.
    pub fn program(&self, words: &[&str]) -> Program<'a> {
        let mut command = self.command("env");
        command.args(["--chdir", SHARED]).args(words);
        self.place.program(command).env("TMPDIR", "/tmp")
    }

    /// Runs a shell script on the machine to its end.
    pub fn try_shell(&self, script: &str) -> Output {
        self.command("sh").args(["-c", script]).output().expect("nsenter can be run")
    }

    /// The same. Fails the test if the script fails.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        must(self.command("sh").args(["-ec", script]))
    }

    #[track_caller]
    pub fn systemctl(&self, words: &[&str]) -> String {
        must(self.command("systemctl").args(words))
    }

    /// A property of a unit in systemd.
    pub fn property(&self, unit: &str, property: &str) -> String {
        must(self.command("systemctl").args(["show", "--value", "--property", property, unit])).trim().to_owned()
    }

    /// The main process of a unit, by its number on the machine.
    #[track_caller]
    pub fn main_pid(&self, unit: &str) -> u32 {
        self.property(unit, "MainPID").parse().expect("a pid is a number")
    }

    #[track_caller]
    pub fn wait_for_property(&self, unit: &str, property: &str, wanted: &str) {
        let what = format!("{unit} on {} to have {property}={wanted}", self.name);
        wait_for(SOON, &what, || self.property(unit, property).contains(wanted));
    }

    /// The lines of a unit in the journal, and those of the service manager about the unit.
    pub fn journal(&self, unit: &str) -> Vec<Value> {
        let lines = must(self.command("journalctl").args(["--output=json", "--no-pager", "--unit", unit]));
        lines.lines().map(|line| serde_json::from_str(line).expect("the journal is JSON")).collect()
    }

    /// Waits for a line of a unit that contains `part`. Returns the line.
    #[track_caller]
    pub fn wait_for_journal(&self, unit: &str, part: &str) -> Value {
        let mut found = None;
        wait_for(SOON, &format!("{unit} on {} to say {part:?}", self.name), || {
            let says = |line: &Value| line["MESSAGE"].as_str().is_some_and(|message| message.contains(part));
            found = self.journal(unit).into_iter().find(says);
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// The path of a file of the machine, for the test.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.leader))
    }

    #[track_caller]
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().expect("a file lies in a directory")).expect("directories can be made");
        fs::write(file, text).unwrap_or_else(|error| panic!("cannot write {path} of {}: {error}", self.name));
    }

    /// Installs a package from the test's directory.
    #[track_caller]
    pub fn install(&self, package: &Path) {
        let inside = Path::new(SHARED).join(package.strip_prefix(self.place.dir()).expect("it lies there"));
        must(self.command("dpkg").args(["--install", "--force-unsafe-io", "--no-triggers"]).arg(inside));
    }

    /// Sends a signal to the main process of a unit alone.
    #[track_caller]
    pub fn signal(&self, unit: &str, signal: &str) {
        let pid = self.main_pid(unit);
        assert_ne!(pid, 0, "{unit} does not run");
        self.shell(&format!("kill -{signal} {pid}"));
    }

    /// The processes of a user.
    pub fn processes_of(&self, user: &str) -> String {
        String::from_utf8_lossy(&self.try_shell(&format!("ps -o pid=,args= -u {user}")).stdout).into_owned()
    }

    fn show(&self) {
        eprintln!("==== the journal of {}", self.name);
        let units = ["--unit", "arete-*", "--no-pager", "--output=short-precise", "--lines=100"];
        if let Ok(output) = self.command("journalctl").args(units).output() {
            eprintln!("{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if self.leader != 0 {
            if std::thread::panicking() {
                self.show();
            }
            // All processes of a machine end with its first one.
            let leader = i32::try_from(self.leader).ok().and_then(Pid::from_raw).expect("a process has a pid");
            let _ = kill_process(leader, Signal::KILL);
        }
        if let Some(mut nspawn) = self.nspawn.take() {
            holds_within(Duration::from_secs(5), || !nspawn.is_running());
        }
        for top in ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"] {
            let group = Path::new(top).join(&self.group);
            holds_within(Duration::from_secs(5), || {
                remove_groups(&group);
                !group.exists()
            });
        }
    }
}

/// Removes a control group and those below it, if they have no processes.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// The child of `pid` that is the first process of a namespace.
fn init_below(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().filter_map(|child| child.parse().ok()).find(|child: &u32| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let namespaces = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        namespaces.split_whitespace().count() > 1 && namespaces.ends_with("\t1")
    })
}

/// Why machines cannot be booted here. `None` if they can.
pub fn why_not() -> Option<String> {
    if let Some(why) = crate::common::missing(&PROGRAMS) {
        return Some(format!("{why} (Debian: systemd-container)"));
    }
    if !crate::common::is_root() {
        return Some("it needs root, to boot machines".to_owned());
    }
    let writable = find("mount").is_some() && Path::new("/sys/fs/cgroup").is_dir();
    (!writable).then(|| "control groups are not mounted at /sys/fs/cgroup".to_owned())
}
