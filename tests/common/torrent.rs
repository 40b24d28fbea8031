//! The fixed parts of a swarm: the file, its torrent, the tracker and the seeder, all real programs.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use super::{Place, Running, SOON, find, must, python, repository, wait_for};

/// The programs that a swarm needs.
pub const PROGRAMS: [&str; 2] = ["ctorrent", "python3"];

/// The address of the tracker.
const TRACKER_PORT: u16 = 6969;

/// The size of the file that is shared.
const FILE_BYTES: usize = 20 * 1024 * 1024;

/// The name of the file that is shared.
pub const FILE_NAME: &str = "demo.bin";

/// A running tracker and a running seeder.
pub struct Swarm<'a> {
    pub torrent: PathBuf,
    pub data: Vec<u8>,
    tracker: Running<'a>,
    seeder: Running<'a>,
}

impl<'a> Swarm<'a> {
    /// Makes `demo.torrent` in the place's directory and starts the tracker and the seeder. `on(host, program)`
    /// returns a command that runs a program on the host `tracker` or `seeder`. The addresses of the hosts are given.
    pub fn start(
        place: &'a Place,
        tracker: Ipv4Addr,
        seeder: Ipv4Addr,
        on: impl Fn(&str, &std::ffi::OsStr) -> Command,
    ) -> Swarm<'a> {
        let data = random_bytes();
        place.write(&format!("seed/{FILE_NAME}"), &data);
        let torrent = make_torrent(place, tracker);
        let ctorrent = find("ctorrent").expect("a swarm has ctorrent");

        let mut command = on("tracker", python().get_program());
        command.arg("-I").arg(repository().join("tests/common/tracker.py"));
        command.arg(tracker.to_string()).arg(TRACKER_PORT.to_string());
        let mut tracker = place.program(command).start();
        tracker.wait_for_output("listening");

        let mut command = on("seeder", ctorrent.as_os_str());
        command.args(["-i", &seeder.to_string(), "-I", &seeder.to_string(), "-p", "2706"]).arg(&torrent);
        let seeder = place.program(command).current_dir(place.path("seed")).start();
        wait_for(SOON, "the tracker to hear of the seeder", || tracker.stderr().contains("GET /announce"));
        Swarm { torrent, data, tracker, seeder }
    }

    /// Returns whether these are the bytes of the shared file.
    pub fn is_the_file(&self, path: &std::path::Path) -> bool {
        fs::read(path).is_ok_and(|bytes| bytes == self.data)
    }

    /// Ends the tracker and the seeder.
    pub fn stop(self) {}
}

fn make_torrent(place: &Place, tracker: Ipv4Addr) -> PathBuf {
    let torrent = place.path("demo.torrent");
    let url = format!("http://{tracker}:{TRACKER_PORT}/announce");
    let ctorrent = find("ctorrent").expect("a swarm has ctorrent");
    let mut command = Command::new(ctorrent);
    command.args(["-t", "-s"]).arg(&torrent).args(["-u", &url, "-l", "262144", FILE_NAME]);
    must(command.current_dir(place.path("seed")));
    torrent
}

fn random_bytes() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(8);
    let mut bytes = vec![0; FILE_BYTES];
    random.fill(&mut bytes);
    bytes
}
