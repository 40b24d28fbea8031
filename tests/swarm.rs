//! The original example, word for word: eight BitTorrent clients download a file, report when they have it, and are
//! stopped when all have it. Tracker, seeder and clients are real programs.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::torrent::{self, FILE_NAME, Swarm};
use common::{Lab, Needed, Place, Running, is_root, missing, repository, skip};

const CLIENTS: usize = 8;

/// Longer than the test file's own limit, so that arete reports the failure.
const DEADLINE: Duration = Duration::from_secs(150);

/// The address of the controller.
const PORT: u16 = 4711;

fn client(nr: usize) -> String {
    format!("client{nr}")
}

fn example() -> String {
    fs::read_to_string(repository().join("examples/torrent.json")).expect("the example is there")
}

/// Waits for the controller and the slaves, and compares the run with the promises of the example.
fn judge(place: &Place, swarm: Swarm, controller: Running, slaves: Vec<Running>) {
    let ended = controller.wait().exits_with(0);
    slaves.into_iter().for_each(|slave| drop(slave.wait().exits_with(0)));
    eprintln!("the swarm took {:.2?}", ended.took);

    let summary = place.summary("results");
    assert_eq!(summary["verdict"], "passed");
    assert_eq!(summary["triggers"]["stop-torrent"]["notified"], CLIENTS);
    assert_eq!(summary["triggers"]["stop-torrent"]["left"], 0);
    for (event, times) in [("joined", 8), ("poked", 8), ("triggered", 1), ("heard", 8), ("lost", 0), ("stopped", 8)] {
        assert_eq!(place.count("results", event), times, "events called {event}");
    }
    for nr in 1..=CLIENTS {
        let entries = &summary["slaves"][client(nr)]["entries"];
        assert_eq!(entries["ctorrent"][0]["outcome"], "stopped", "{nr}");
        assert_eq!(entries["stop"][0]["outcome"], "passed", "{nr}");
        let files = place.find(&format!("work/{}", client(nr)), FILE_NAME);
        assert!(files.len() == 1 && swarm.is_the_file(&files[0]), "the download of {}: {files:?}", client(nr));
    }
    swarm.stop();
    place.assert_nothing_left();
    place.assert_no_temporary_files();
}

#[test]
fn eight_clients_in_eight_namespaces_download_a_file_and_are_stopped_together() {
    let test = "eight_clients_in_eight_namespaces_download_a_file_and_are_stopped_together";
    if let Some(why) = missing(&torrent::PROGRAMS) {
        return skip(test, &why, Needed::InCi);
    }
    let clients: Vec<_> = (1..=CLIENTS).map(client).collect();
    let hosts: Vec<_> =
        ["tracker", "seeder", "controller"].into_iter().chain(clients.iter().map(String::as_str)).collect();
    let Some(lab) = Lab::new(test, &hosts) else { return };
    let place = Place::new("swarm");
    let swarm =
        Swarm::start(&place, lab.address("tracker"), lab.address("seeder"), |host, program| lab.command(host, program));
    place.write("torrent.json", example());

    let listen = format!("{}:{PORT}", lab.address("controller"));
    let mut command = lab.arete("controller");
    command.args(["run", "torrent.json", "--listen", &listen, "--results", "results", "--wait", "30s"]);
    command.arg("--insecure");
    let controller = place.program(command).deadline(DEADLINE).start();
    let slave = |name: &String| {
        let mut command = lab.arete(name);
        command.args(["slave", "--insecure", "--controller", &listen, "--name", name, "--once", "--keep", "--dir"]);
        command.arg(place.path("work").join(name));
        place.program(command).deadline(DEADLINE).start()
    };
    let slaves = clients.iter().map(slave).collect();
    judge(&place, swarm, controller, slaves);
}

/// The user `nobody`, or the user who runs the tests.
fn as_ordinary_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command
}

#[test]
fn eight_clients_of_an_ordinary_user_on_one_machine_do_the_same() {
    let test = "eight_clients_of_an_ordinary_user_on_one_machine_do_the_same";
    if let Some(why) = missing(&torrent::PROGRAMS) {
        return skip(test, &why, Needed::InCi);
    }
    let place = Place::new("user");
    let address = |nr: usize| Ipv4Addr::new(127, 0, 77, u8::try_from(nr).expect("few addresses"));
    let swarm = Swarm::start(&place, address(101), address(102), |_, program| Command::new(program));
    // The clients share one machine, so each uses an address of its own. The rest is the example.
    let test_file = example().replace("ctorrent -X", "ctorrent -i $ADDRESS -I $ADDRESS -X");
    assert!(test_file.contains("$ADDRESS"), "the example starts ctorrent in another way");
    place.write("torrent.json", test_file);
    // The build's directory may be closed to other users.
    let arete = place.path("arete");
    fs::copy(env!("CARGO_BIN_EXE_arete"), &arete).expect("the program can be copied");
    place.make_writable_for_all();

    let listen = format!("{}:{PORT}", address(100));
    let mut command = as_ordinary_user(&arete);
    command.args(["run", "torrent.json", "--listen", &listen, "--results", "results", "--wait", "30s"]);
    let controller = place.program(command).deadline(DEADLINE).start();
    let slave = |nr: usize| {
        let mut command = as_ordinary_user(&arete);
        command.args(["slave", "--controller", &listen, "--name", &client(nr), "--once", "--keep", "--dir"]);
        command.arg(place.path("work").join(client(nr)));
        place.program(command).env("ADDRESS", address(nr).to_string()).deadline(DEADLINE).start()
    };
    let slaves = (1..=CLIENTS).map(slave).collect();
    judge(&place, swarm, controller, slaves);
}
