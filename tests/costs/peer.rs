//! A controller that is measured, and peers that send any line and read all answers.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;

use crate::common::{Place, Running, SOON, wait_for};

/// The length of the received bytes that a peer keeps: the last ones.
const KEPT: usize = 16 << 20;

/// A controller and its address.
pub struct Loop<'a> {
    controller: Running<'a>,
    pub place: &'a Place,
    pub address: String,
    /// The directory for its runs: in memory if the system has such a place, because the time of a disk is not caused
    /// by a peer.
    state: PathBuf,
}

impl<'a> Loop<'a> {
    fn start(place: &'a Place, keeps: bool) -> Loop<'a> {
        let name = place.dir().file_name().expect("a name");
        let shared = Path::new("/dev/shm");
        let state = if shared.is_dir() { shared.join(name) } else { place.path("state") };
        let words = ["controller", "--listen", "127.0.0.1:0"];
        let options = keeps.then(|| ["--state-dir", state.to_str().expect("a name of letters")]).into_iter().flatten();
        let program = place.arete(words.into_iter().chain(options)).env("RUST_LOG", "warn,arete::reactor=debug");
        let mut controller = program.deadline(Duration::from_secs(120)).start();
        controller.wait_for_output("listening on ");
        let said = controller.stdout();
        let address = said.split("listening on ").nth(1).and_then(|rest| rest.split([',', '\n']).next());
        Loop { place, address: address.expect("an address").to_owned(), state, controller }
    }

    /// The inode of the ledger of rooms. It changes when the ledger is rewritten.
    pub fn ledger(&self) -> u64 {
        fs::metadata(self.state.join("state.jsonl")).expect("a ledger").ino()
    }

    pub fn hand_in(&self, file: &str) -> String {
        let ended = self.place.arete(["run", file, "--controller", &self.address, "--detach"]).run();
        let said = format!("{}{}", ended.stdout, ended.stderr);
        ended.exits_with(0);
        said
    }

    /// A peer that has sent `first`.
    pub fn peer(&self, first: &str) -> Peer {
        let stream = TcpStream::connect(&self.address).expect("it accepts");
        stream.set_write_timeout(Some(SOON)).expect("a timeout");
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let (mut reads, tail) = (stream.try_clone().expect("a handle"), heard.clone());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 18];
            while let Ok(n @ 1..) = reads.read(&mut buffer) {
                let mut tail = tail.lock().expect("no thread panics with it");
                let over = (tail.len() + n).saturating_sub(KEPT).min(tail.len());
                tail.drain(..over);
                tail.extend_from_slice(&buffer[..n]);
            }
            tail.lock().expect("no thread panics with it").extend_from_slice(b"<closed>");
        });
        let mut peer = Peer { stream, heard, pings: 1_000_000 };
        peer.say(first.as_bytes());
        peer
    }

    pub fn joins(&self, member: &str) -> Peer {
        let peer = self.peer(&join(member));
        peer.hears("welcome");
        peer
    }

    pub fn operates(&self) -> Peer {
        let peer = self.peer("{\"type\":\"operate\",\"protocol\":1,\"version\":\"x\"}\n");
        peer.hears("welcome");
        peer
    }

    /// The slave `a` after the start of its run, and the id of the run.
    pub fn serves(&self) -> (Peer, String) {
        let mut peer = self.peer(&hello("a", "i", ""));
        peer.hears("\"prepare\"");
        let said = peer.heard();
        let run = said.split("\"prepare\",\"run\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let run = run.expect("the id of the run").to_owned();
        peer.say(format!("{{\"type\":\"ready\",\"run\":\"{run}\"}}\n").as_bytes());
        peer.hears("\"type\":\"start\"");
        (peer, run)
    }

    /// Ends the controller in order. Returns the processor time of its longest turn, and its peak memory in KiB.
    pub fn ends(self) -> (Duration, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.controller.pid())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts memory");
        let peak = peak.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number of KiB");
        self.controller.signal(rustix::process::Signal::TERM);
        let ended = self.controller.wait().exits_with(0);
        let _ = fs::remove_dir_all(&self.state);
        let longest =
            ended.stderr.split("the longest turn of the loop took ").nth(1).expect("the longest turn is printed");
        let micros = longest.split(" us, ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        (Duration::from_micros(micros.expect("a number")), peak)
    }
}

/// A controller of rooms alone.
pub fn of_rooms(place: &Place) -> Loop<'_> {
    Loop::start(place, false)
}

/// A controller that accepts runs from operators.
pub fn of_runs(place: &Place) -> Loop<'_> {
    Loop::start(place, true)
}

/// The same, with a run `big` that waits for its slave `a`. The run has 5,000 triggers and a resource.
pub fn of_a_run(place: &Place) -> Loop<'_> {
    let it = of_runs(place);
    fs::write(place.path("r.bin"), vec![7; 3 << 20]).expect("a file");
    let triggers: serde_json::Map<_, _> = (0..5_000).map(|nr| (format!("t{nr:04}"), json!(1_000))).collect();
    let entries: Vec<_> = (0..200).map(|nr| json!({"name": format!("e{nr}"), "poke": true, "shell": "x"})).collect();
    let test = json!({"name": "big", "end": {"idle": true, "limit": "1h"}, "grace": 0, "triggers": triggers,
        "resources": {"r": {"file": "r.bin"}},
        "schedules": {"s": entries, "u": [{"name": "use", "poke": true, "shell": "x", "use_resources": ["r"]}]},
        "slaves": {"a": ["s", "u"]}});
    place.write("big.json", test.to_string());
    it.hand_in("big.json");
    it
}

pub struct Peer {
    stream: TcpStream,
    heard: Arc<Mutex<Vec<u8>>>,
    pings: u64,
}

impl Peer {
    /// Sends a line. The controller may have closed the connection.
    pub fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends many lines.
    pub fn lines(&mut self, lines: impl Iterator<Item = String>) {
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            if bytes.len() > 1 << 20 {
                self.say(&bytes);
                bytes.clear();
            }
        }
        self.say(&bytes);
    }

    /// The last received bytes.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.tail()).into_owned()
    }

    fn tail(&self) -> MutexGuard<'_, Vec<u8>> {
        self.heard.lock().expect("no thread panics with it")
    }

    fn has_heard(&self, words: &str) -> bool {
        memchr::memmem::find(&self.tail(), words.as_bytes()).is_some()
    }

    #[track_caller]
    pub fn hears(&self, words: &str) {
        wait_for(SOON, words, || {
            let end = || self.heard().chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect::<String>();
            assert!(self.has_heard(words) || !self.has_heard("<closed>"), "not {words}: {}", end());
            self.has_heard(words)
        });
    }

    /// Waits until the controller has read everything or has closed the connection.
    #[track_caller]
    pub fn settles(&mut self) {
        self.pings += 1;
        let time = format!("\"time\":{},", self.pings);
        self.say(format!("{{\"type\":\"ping\",{}}}\n", time.trim_end_matches(',')).as_bytes());
        wait_for(SOON, "a pong, or the end", || self.has_heard(&time) || self.has_heard("<closed>"));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Joins the room `r`.
pub fn join(member: &str) -> String {
    format!(
        "{{\"type\":\"join\",\"protocol\":1,\"version\":\"x\",\"incarnation\":\"i-{member}\",\"room\":\"r\",\"member\":\"{member}\"}}\n"
    )
}

pub fn hello(name: &str, incarnation: &str, more: &str) -> String {
    format!(
        "{{\"type\":\"hello\",\"protocol\":1,\"version\":\"x\",\"name\":\"{name}\",\"incarnation\":\"{incarnation}\"{more}}}\n"
    )
}
