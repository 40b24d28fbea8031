//! Two members that meet again and again during an attack, and the time of each meeting.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::{SOON, wait_for};
use crate::{connect, join};

/// The pause of the members between two meetings.
const REST: Duration = Duration::from_millis(5);

/// Members that meet in a thread of their own.
pub struct Good {
    enough: Arc<AtomicBool>,
    met: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Good {
    pub fn start(address: &str) -> Good {
        let (enough, met) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut members = ["g1", "g2"].map(|name| Member::join(address, name));
        let (until, counted) = (enough.clone(), met.clone());
        let thread = std::thread::spawn(move || {
            let mut took = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let id = took.len() as u64 + 1;
                let begin = Instant::now();
                members.iter_mut().for_each(|member| member.arrive(id));
                members.iter_mut().for_each(|member| member.is_released(id));
                took.push(begin.elapsed());
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(REST);
            }
            took
        });
        Good { enough, met, thread }
    }

    /// Waits for this number of more meetings.
    #[track_caller]
    pub fn go_on(&self, meetings: usize) {
        let now = self.met.load(Ordering::Relaxed);
        wait_for(SOON, "the good members to meet", || {
            assert!(!self.thread.is_finished(), "the good members were disturbed");
            self.met.load(Ordering::Relaxed) >= now + meetings
        });
    }

    /// Ends the meetings. Fails the test if one took longer than `most`.
    #[track_caller]
    pub fn were_undisturbed(self, most: Duration) {
        self.enough.store(true, Ordering::Relaxed);
        let mut took = self.thread.join().expect("the good members have met");
        took.sort_unstable();
        let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
        eprintln!("{} meetings of good members: median {median:?}, longest {longest:?}", took.len());
        assert!(longest < most, "a meeting took {longest:?}");
    }
}

/// A client that the test plays.
struct Member {
    name: &'static str,
    reader: BufReader<TcpStream>,
}

impl Member {
    fn join(address: &str, name: &'static str) -> Member {
        let stream = connect(address);
        stream.set_nodelay(true).unwrap();
        let mut member = Member { name, reader: BufReader::new(stream) };
        member.say(&join("good", name, name));
        assert!(member.hear().starts_with("{\"type\":\"welcome\""));
        member
    }

    fn say(&mut self, line: &str) {
        self.reader.get_mut().write_all(line.as_bytes()).expect("the controller reads");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("the controller sends a line");
        assert!(!line.is_empty(), "{} was hung up on", self.name);
        line
    }

    fn arrive(&mut self, id: u64) {
        let who = format!(r#""room":"good","barrier":"b","id":{id},"member":"{}""#, self.name);
        self.say(&format!("{{\"type\":\"arrive\",{who},\"party\":{{\"count\":2}}}}\n"));
    }

    fn is_released(&mut self, id: u64) {
        loop {
            let line = self.hear();
            if line.starts_with("{\"type\":\"check\"") {
                self.say("{\"type\":\"alive\"}\n");
                continue;
            }
            assert!(line.contains("\"released\"") && line.ends_with(&format!("\"ids\":[{id}]}}\n")), "{line}");
            return self.say(&format!("{{\"type\":\"heard\",\"room\":\"good\",\"ids\":[{id}]}}\n"));
        }
    }
}
