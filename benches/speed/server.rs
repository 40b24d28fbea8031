//! The measured servers, each in its own process, and the client process that talks to it.

use std::fs::{File, read_to_string};
use std::io::{self, BufRead, BufReader, Error, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

use crate::rows::{Play, Row, Subject};
use crate::speech::{self, FLOOD};
use crate::table::{Sample, WARM_UP};

/// The words with which a server prints its address, which follows.
pub const LISTENING: &str = "listening on ";

/// The limit on the time until a server listens.
const START_WITHIN: Duration = Duration::from_secs(20);

/// A process that is killed when this value is dropped.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Server {
    pub process: Process,
    pub address: String,
    log: PathBuf,
}

impl Server {
    /// Starts a server for a row, with a directory of its own.
    pub fn start(row: &Row, subject: Subject, scratch: &Path) -> io::Result<Server> {
        let scratch = scratch.join(format!("{}-{subject:?}", row.name));
        std::fs::create_dir_all(&scratch)?;
        // Redis does not print its address in a form that a program can read, so it gets a port that was free just now.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = match subject {
            Subject::Limit => Command::new(std::env::current_exe()?),
            Subject::Redis => Command::new("redis-server"),
            _ => arete(),
        };
        let words = match subject {
            Subject::Limit => "limit",
            Subject::Clients => "controller --listen 127.0.0.1:0",
            Subject::Slaves => "run DIR/speed.json --listen 127.0.0.1:0 --results DIR/results",
            Subject::Redis => "--bind 127.0.0.1 --appendonly no --tcp-backlog 4096 --maxclients 19000 --save",
        };
        command.args(words.split_whitespace().map(|word| word.replace("DIR", &scratch.to_string_lossy())));
        match subject {
            Subject::Limit => command.arg(row.name),
            Subject::Redis => command.args(["", "--port", &free.port().to_string()]),
            _ => &mut command,
        };
        std::fs::write(scratch.join("speed.json"), test_file(row))?;
        if row.play == Play::Connections {
            command.env("RUST_LOG", "warn,arete::reactor=debug");
        }
        // Both streams are written to a file: an unread pipe would influence the measurement.
        let log = scratch.join("log");
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut server = Server { process: Process(command.spawn()?), address: free.to_string(), log };
        let deadline = Instant::now() + START_WITHIN;
        loop {
            if let Some(address) = server.says(LISTENING) {
                server.address = address;
                return Ok(server);
            }
            if subject == Subject::Redis && TcpStream::connect(free).is_ok() {
                return Ok(server);
            }
            if server.process.0.try_wait()?.is_some() || Instant::now() > deadline {
                let said = read_to_string(&server.log).unwrap_or_default();
                return Err(Error::other(format!("{subject:?}: it does not listen: {said}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the server in order. Then it may have more to say.
    pub fn end(&mut self) -> io::Result<()> {
        kill_process(Pid::from_child(&self.process.0), Signal::TERM)?;
        self.process.0.wait().map(|_| ())
    }

    /// Returns the word that follows these words in the log.
    pub fn says(&self, words: &str) -> Option<String> {
        let said = read_to_string(&self.log).ok()?;
        let (line, _) = said.split_once(words)?.1.split_once('\n')?;
        Some(line.split_whitespace().next()?.trim_end_matches([',', ';', '.']).to_owned())
    }
}

/// Returns whether `ARETE_BENCH_SERVER` runs the controller under callgrind.
pub fn counts_instructions() -> bool {
    std::env::var("ARETE_BENCH_SERVER").is_ok_and(|words| words.contains("callgrind"))
}

/// The program, or the words of `ARETE_BENCH_SERVER`.
pub fn arete() -> Command {
    let words = std::env::var("ARETE_BENCH_SERVER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_arete").to_owned());
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// A run in which every slave waits for a poke.
fn test_file(row: &Row) -> String {
    let names = match row.play {
        Play::Trigger => {
            (1..=row.size.2 + WARM_UP).map(|round| (speech::trigger(round), row.members() as u64)).collect()
        }
        Play::Notify(_) => vec![(FLOOD.to_owned(), arete::testfile::TRIGGER_MAX)],
        _ => Vec::new(),
    };
    let last = speech::member_name(row.connections().max(1) - 1);
    serde_json::json!({
        "name": "speed",
        "end": {"duration": "1h"},
        "triggers": names.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "schedules": {"idle": [{"name": "never", "poke": true, "shell": "true"}]},
        "slaves": {(format!("slave[00001-{}]", &last["slave".len()..])): ["idle"]},
    })
    .to_string()
}

/// A server and its client process.
pub struct Pair {
    pub server: Server,
    /// The resident memory of the server for each connection, in bytes.
    pub memory: f64,
    /// The time for the connections.
    pub connected: f64,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    _client: Process,
}

impl Pair {
    /// Starts both, and makes all connections.
    pub fn start(row: &Row, subject: Subject, scratch: &Path) -> io::Result<Pair> {
        let server = Server::start(row, subject, scratch)?;
        let pid = server.process.0.id();
        let before = resident(pid)?;
        let mut client = Command::new(std::env::current_exe()?)
            .args(["client", row.name, &format!("{subject:?}"), &server.address, &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map(Process)?;
        let commands = client.0.stdin.take().expect("the client's input is a pipe");
        let answers = BufReader::new(client.0.stdout.take().expect("the client's output is a pipe"));
        let mut pair = Pair { server, memory: 0.0, connected: 0.0, commands, answers, _client: client };
        pair.connected = pair.answer()?.time;
        pair.memory = (resident(pid)? - before) / row.connections() as f64;
        Ok(pair)
    }

    pub fn ask(&mut self, play: &str, round: u64) -> io::Result<Sample> {
        writeln!(self.commands, "{play} {round}")?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Sample> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let figures: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match figures[..] {
            [time, cpu, count] => Ok(Sample { time, cpu, count }),
            _ => Err(Error::other("the client gave up")),
        }
    }

    /// Tells callgrind to count from now on.
    pub fn count_instructions(&self) -> io::Result<()> {
        let pid = self.server.process.0.id().to_string();
        Command::new("callgrind_control").args(["--zero", &pid]).stdout(Stdio::null()).status().map(|_| ())
    }
}

/// The processor time of a process with one thread, in seconds.
pub fn cpu(process: u32) -> io::Result<f64> {
    let text = read_to_string(format!("/proc/{process}/schedstat"))?;
    let nanos: Option<f64> = text.split_whitespace().next().and_then(|word| word.parse().ok());
    nanos.map(|nanos| nanos / 1e9).ok_or_else(|| Error::other("no processor time in /proc"))
}

/// Returns 0 if a read or a write would block.
pub fn unless_it_would_block(done: io::Result<usize>) -> io::Result<usize> {
    done.or_else(|error| if error.kind() == io::ErrorKind::WouldBlock { Ok(0) } else { Err(error) })
}

/// Waits until a process waits, and has not run for a moment: everything that was sent to it has been processed.
pub fn wait_until_idle(process: u32) -> io::Result<()> {
    let mut before = 0.0;
    loop {
        let status = read_to_string(format!("/proc/{process}/stat"))?;
        let waits = status.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S"));
        let now = cpu(process)?;
        if waits && now == before {
            return Ok(());
        }
        before = now;
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// The resident memory of a process in bytes, exactly. The figure in `status` differs by some pages.
fn resident(process: u32) -> io::Result<f64> {
    let text = read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes: Option<f64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map(|it| it * 1024.0).ok_or_else(|| Error::other("no memory in /proc"))
}

/// Raises this process's limit on open files to the most that the system allows.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If the system refuses, connections beyond the limit fail with an error.
    let _ = setrlimit(Resource::Nofile, limit);
}
