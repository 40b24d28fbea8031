//! Tests of the lab itself, because other tests rely on it.

#![forbid(unsafe_code)]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::torrent::{self, Swarm};
use common::{Lab, Needed, Place, SOON, missing, python, skip, wait_for};

const LISTEN: &str = "import socket,sys\ns=socket.create_server((sys.argv[1],4000))\nprint('listening',flush=True)\n\
                      while True: c=s.accept()[0]; c.sendall(c.recv(9)); c.close()";
const ASK: &str = "import socket,sys\nc=socket.create_connection((sys.argv[1],4000),timeout=0.5)\nc.settimeout(0.5)\n\
                   c.sendall(b'hello'); assert c.recv(9)==b'hello'";

fn script(command: Command, text: &str, address: String) -> Command {
    let mut command = command;
    command.args(["-I", "-c", text, &address]);
    command
}

#[test]
fn hosts_hear_each_other_until_they_are_cut_and_again_when_healed() {
    let Some(lab) = Lab::new("hosts_hear_each_other_until_they_are_cut_and_again_when_healed", &["a", "b", "c"]) else {
        return;
    };
    let place = Place::new("lab");
    let python = python();
    let listen = script(lab.command("b", python.get_program()), LISTEN, lab.address("b").to_string());
    let mut server = place.program(listen).start();
    server.wait_for_output("listening");
    let hears = |from: &str| {
        let ask = script(lab.command(from, python.get_program()), ASK, lab.address("b").to_string());
        place.program(ask).run().status.success()
    };
    assert!(hears("a") && hears("c"));
    lab.cut("a", "b");
    assert!(!hears("a") && hears("c"));
    lab.heal("a", "b");
    wait_for(SOON, "a to hear b again", || hears("a"));
    lab.reset("a", "b");
    let begin = Instant::now();
    assert!(!hears("a") && begin.elapsed() < Duration::from_millis(450), "a reset is heard at once");
    lab.stop_resetting("a", "b");
    assert!(hears("a"));
    lab.link_down("c");
    assert!(!hears("c"));
    lab.link_up("c");
    wait_for(SOON, "c to hear b again", || hears("c"));
    drop(server);
    place.assert_nothing_left();
}

#[test]
fn a_process_that_outlives_its_test_is_found() {
    let place = Place::new("strays");
    let mut command = Command::new("setsid");
    command.args(["sleep", "300"]);
    let sleeper = place.program(command).start();
    let left = || common::strays::of(place.mark(), place.dir());
    wait_for(SOON, "the sleeper to be seen", || left().iter().any(|stray| stray.command.starts_with("sleep 300")));
    drop(sleeper);
    left().iter().for_each(common::strays::Stray::kill);
    place.assert_nothing_left();
}

#[test]
fn a_swarm_without_arete_downloads_and_needs_a_second_sigterm_to_end() {
    let test = "a_swarm_without_arete_downloads_and_needs_a_second_sigterm_to_end";
    if let Some(why) = missing(&torrent::PROGRAMS) {
        return skip(test, &why, Needed::InCi);
    }
    let Some(lab) = Lab::new(test, &["tracker", "seeder", "leech1", "leech2"]) else { return };
    let place = Place::new("ctorrent");
    let swarm =
        Swarm::start(&place, lab.address("tracker"), lab.address("seeder"), |host, program| lab.command(host, program));
    let leech = |host: &str| {
        std::fs::create_dir(place.path(host)).unwrap();
        let mut command = lab.command(host, "ctorrent");
        command.args(["-X", "touch done"]).arg(&swarm.torrent);
        place.program(command).current_dir(place.path(host)).start()
    };
    let mut leeches = [leech("leech1"), leech("leech2")];
    for host in ["leech1", "leech2"] {
        wait_for(SOON, "a download to end", || place.path(host).join("done").exists());
        assert!(swarm.is_the_file(&place.path(host).join(torrent::FILE_NAME)));
    }
    let [first, _] = &mut leeches;
    first.signal(rustix::process::Signal::TERM);
    std::thread::sleep(Duration::from_millis(20));
    assert!(first.is_running(), "ctorrent says goodbye to its tracker for a minute");
    first.signal(rustix::process::Signal::TERM);
    wait_for(SOON, "a second SIGTERM to end it", || !first.is_running());
    drop(leeches);
    swarm.stop();
    place.assert_nothing_left();
}
