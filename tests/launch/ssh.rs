//! Slaves that are launched by ssh, through a daemon that the test starts.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Map, Value, json};

use super::common::{Needed, Place, Running, SOON, find, missing, must, skip, strays, wait_for};
use super::{naps, run, test_of, wait_until_all_are_gone};

const PROGRAMS: [&str; 3] = ["ssh", "sshd", "ssh-keygen"];

/// The address of the daemon: this machine, but not the address of the controller.
const HOST: &str = "127.0.0.2";

/// The number of slaves that log in at the same time. Without `MaxStartups` the daemon would reset some of them.
const SLAVES: usize = 12;

/// A test whose slaves are all on the daemon's machine.
fn test(slaves: usize, seconds: f64) -> String {
    let slave = |nr| (format!("s{nr}"), json!({"schedules": ["s"], "address": HOST}));
    test_of(seconds, (0..slaves).map(slave).collect::<Map<String, Value>>())
}

/// Starts a daemon, and writes an `ssh` that connects to it into the directory that is first in the PATH of the place.
/// Returns `None` if the test was skipped.
fn daemon<'a>(place: &'a Place, test: &str) -> Option<Running<'a>> {
    if let Some(why) = missing(&PROGRAMS) {
        skip(test, &why, Needed::InCi);
        return None;
    }
    if super::common::is_root() {
        // The directory in which the daemon confines its process for clients that have not logged in.
        std::fs::create_dir_all("/run/sshd").expect("root can make it");
    }
    for key in ["host", "key"] {
        must(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(place.path(key)));
    }
    let port = free_port();
    let dir = place.dir().display();
    let arete = PathBuf::from(env!("CARGO_BIN_EXE_arete"));
    let bin = arete.parent().expect("a program lies in a directory").display();
    let mark = format!("{}={}", super::common::place::MARK, place.mark());
    place.write(
        "sshd_config",
        format!(
            "Port {port}\nListenAddress {HOST}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/key.pub\nStrictModes no\n\
             MaxStartups 200\nPidFile none\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             SetEnv PATH={bin}:/usr/bin:/bin XDG_STATE_HOME={dir} {mark}\n"
        ),
    );
    place.write(
        "ssh_config",
        format!(
            "Port {port}\nIdentityFile {dir}/key\nIdentitiesOnly yes\nStrictHostKeyChecking no\n\
             UserKnownHostsFile /dev/null\nLogLevel ERROR\n"
        ),
    );
    let ssh = find("ssh").expect("it exists");
    let wrapper = place.write("bin/ssh", format!("#!/bin/sh\nexec {} -F {dir}/ssh_config \"$@\"\n", ssh.display()));
    must(Command::new("chmod").arg("755").arg(wrapper));
    // The daemon executes itself again, so it must be called by its absolute path.
    let mut sshd = Command::new(find("sshd").expect("it exists"));
    sshd.args(["-D", "-e", "-f"]).arg(place.path("sshd_config"));
    let mut daemon = place.program(sshd).start();
    daemon.wait_for_output("Server listening on");
    Some(daemon)
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((HOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// The ssh processes of the controller.
fn clients(place: &Place) -> Vec<strays::Stray> {
    let ssh = format!("{} -F", find("ssh").expect("it exists").display());
    strays::of(place.mark(), place.dir()).into_iter().filter(|stray| stray.command.starts_with(&ssh)).collect()
}

/// The slaves that ssh has started.
fn slaves(place: &Place) -> usize {
    let slave = |stray: &strays::Stray| stray.command.starts_with("arete slave");
    strays::of(place.mark(), place.dir()).iter().filter(|stray| slave(stray)).count()
}

#[test]
fn slaves_launched_by_ssh_end_with_the_run() {
    let place = Place::new("ssh");
    let Some(daemon) = daemon(&place, "ssh::slaves_launched_by_ssh_end_with_the_run") else { return };
    place.write("t.json", test(SLAVES, 0.2));
    run(&place, &["--launch", "ssh", "--listen", "127.0.0.1:0"]).wait().exits_with(0);
    assert_eq!(naps(&place), SLAVES);
    wait_for(SOON, "the slaves to be gone", || slaves(&place) == 0);
    drop(daemon);
    wait_until_all_are_gone(&place);
}

#[test]
fn an_ssh_that_is_killed_takes_nothing_with_it_and_leaves_nothing() {
    let place = Place::new("ssh-killed");
    let Some(daemon) = daemon(&place, "ssh::an_ssh_that_is_killed_takes_nothing_with_it_and_leaves_nothing") else {
        return;
    };
    place.write("t.json", test(3, 2.0));
    let controller = run(&place, &["--launch", "ssh", "--listen", "127.0.0.1:0"]);
    wait_for(SOON, "all to nap", || naps(&place) == 3);
    assert_eq!(clients(&place).len(), 3);
    clients(&place).iter().for_each(strays::Stray::kill);
    controller.wait().exits_with(0);
    wait_for(SOON, "the slaves to be gone", || slaves(&place) == 0);
    drop(daemon);
    wait_until_all_are_gone(&place);
}

#[test]
fn slaves_elsewhere_end_when_their_controller_is_killed() {
    let place = Place::new("ssh-alone");
    let Some(daemon) = daemon(&place, "ssh::slaves_elsewhere_end_when_their_controller_is_killed") else { return };
    place.write("t.json", test(3, 40.0));
    let template = "ssh {address} arete slave --controller {controller} --name {name} --orphan-after 1s";
    let controller = run(&place, &["--launch", template, "--listen", "127.0.0.1:0"]);
    wait_for(SOON, "all to nap", || naps(&place) == 3);
    controller.signal(Signal::KILL);
    drop(controller);
    wait_for(SOON, "ssh to be gone", || clients(&place).is_empty());
    wait_for(SOON, "the slaves to be gone", || slaves(&place) == 0);
    drop(daemon);
    wait_until_all_are_gone(&place);
}

#[test]
fn an_ssh_that_cannot_connect_fails_the_run_with_its_own_message() {
    let place = Place::new("ssh-nobody");
    let Some(daemon) = daemon(&place, "ssh::an_ssh_that_cannot_connect_fails_the_run_with_its_own_message") else {
        return;
    };
    drop(daemon);
    place.write("t.json", test(1, 1.0));
    let ended = run(&place, &["--launch", "ssh", "--listen", "127.0.0.1:0"]).wait().exits_with(7);
    for part in ["slave s0 was lost: its launcher ended before it had joined: exit status 255: ", "Connection refused"]
    {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    wait_until_all_are_gone(&place);
}
