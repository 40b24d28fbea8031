//! The measured servers, each in its own process, and the client process that talks to it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Error, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::speech::{self, FLOOD, Kind, Play};

/// The limit on the time until a server listens.
const START_WITHIN: Duration = Duration::from_secs(10);

/// The interval of the clients' signs of life, for servers that require them.
const PING_EVERY: Duration = Duration::from_secs(4);

/// What a server does for its clients.
#[derive(Clone, Copy)]
pub enum Work {
    /// This number of triggers. Each one fires after a notify of every slave.
    Fan { slaves: usize, rounds: u64 },
    /// One trigger that never fires.
    Flood { slaves: usize },
    /// A barrier of `members` members, each a client. With arete, `on_slave` members share a slave.
    Barrier { members: usize, on_slave: usize },
    /// The same with a client for each member, where the last member is late.
    Late { members: usize },
    /// A sync of `members` members.
    Sync { members: usize },
}

impl Work {
    fn members(self) -> usize {
        match self {
            Work::Fan { slaves, .. } | Work::Flood { slaves } => slaves,
            Work::Barrier { members, .. } | Work::Late { members } | Work::Sync { members } => members,
        }
    }

    fn connections(self, kind: Kind) -> usize {
        match self {
            Work::Barrier { members, on_slave } if kind == Kind::Arete => members / on_slave,
            _ => self.members(),
        }
    }

    fn play(self) -> Play {
        match self {
            Work::Fan { .. } => Play::Fan,
            Work::Flood { .. } => Play::Flood,
            Work::Barrier { on_slave: 1, .. } => Play::Members,
            Work::Barrier { .. } => Play::Slaves,
            Work::Late { .. } => Play::Late,
            Work::Sync { .. } => Play::Sync,
        }
    }
}

/// A process that is killed when this value is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server and its client process.
pub struct Pair {
    pub kind: Kind,
    /// The memory of the server for each connection, in bytes.
    pub memory: Option<u64>,
    client: Process,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    pinged: Instant,
    _server: Process,
}

impl Pair {
    /// Starts both, and makes all connections.
    pub fn start(kind: Kind, work: Work, scratch: &Path) -> io::Result<Pair> {
        let log = scratch.join(format!("{}.log", kind.name()));
        let (server, address) = start_server(kind, work, scratch, &log)
            .map_err(|error| Error::other(format!("{error}; it said: {}", tail(&log))))?;
        let before = resident(&server.0);
        let connections = work.connections(kind);
        let mut client = Command::new(std::env::current_exe()?)
            .args(["client", kind.name(), &address.to_string(), &connections.to_string()])
            .args([&work.members().to_string(), work.play().name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map(Process)?;
        let commands = client.0.stdin.take().expect("the client's input is a pipe");
        let answers = BufReader::new(client.0.stdout.take().expect("the client's output is a pipe"));
        let mut pair = Pair { kind, memory: None, client, commands, answers, pinged: Instant::now(), _server: server };
        pair.answer().map_err(|error| Error::other(format!("{error}; the server said: {}", tail(&log))))?;
        let after = resident(&pair._server.0);
        pair.memory = before.zip(after).map(|(before, after)| after.saturating_sub(before) / connections as u64);
        Ok(pair)
    }

    /// Sends the signs of life of the slaves or the clients, if they are due.
    pub fn ping(&mut self) -> io::Result<()> {
        if self.kind == Kind::Arete && self.pinged.elapsed() >= PING_EVERY {
            self.ask("ping")?;
            self.pinged = Instant::now();
        }
        Ok(())
    }

    /// The peak memory of the server, in bytes.
    pub fn peak(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self._server.0.id())).ok()?;
        kilobytes(&text, "VmHWM:")
    }

    /// One trigger, barrier or sync. Returns the time from the last notify, arrival or value until the first and the
    /// last connection had the answer.
    pub fn round(&mut self, round: u64) -> io::Result<[Duration; 2]> {
        self.ping()?;
        let answer = self.ask(&format!("round {round}"))?;
        Ok(numbers(&answer)?.map(Duration::from_nanos))
    }

    /// Sends notifies for `time`. Returns how many were answered in a second.
    pub fn flood(&mut self, time: Duration) -> io::Result<f64> {
        let answer = self.ask(&format!("flood {}", time.as_millis()))?;
        let [count, nanos] = numbers(&answer)?;
        Ok(count as f64 / Duration::from_nanos(nanos).as_secs_f64())
    }

    fn ask(&mut self, command: &str) -> io::Result<String> {
        writeln!(self.commands, "{command}")?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            let status = self.client.0.wait()?;
            return Err(Error::other(format!("the client of {} gave up: {status}", self.kind.name())));
        }
        Ok(line)
    }
}

fn numbers(answer: &str) -> io::Result<[u64; 2]> {
    let words: Vec<u64> = answer.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    words.try_into().map_err(|_| Error::other(format!("no figures: {answer:?}")))
}

fn start_server(kind: Kind, work: Work, scratch: &Path, log: &Path) -> io::Result<(Process, SocketAddr)> {
    let mut command = match kind {
        Kind::Limit => limit(work)?,
        Kind::Arete => arete(work, scratch)?,
        Kind::Redis => return redis(work, log),
    };
    let mut server = Process(quiet(&mut command, log)?.spawn()?);
    let address = wait_for(&mut server, || said_address(log))?;
    Ok((server, address))
}

/// Both streams are written to the log, which is a file: an unread pipe would influence the measurement.
fn quiet<'a>(command: &'a mut Command, log: &Path) -> io::Result<&'a mut Command> {
    let log = File::create(log)?;
    Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log))
}

fn limit(work: Work) -> io::Result<Command> {
    let goal = match work {
        Work::Flood { .. } => u64::MAX,
        _ => work.members() as u64,
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["limit", &goal.to_string(), work.play().name()]);
    Ok(command)
}

/// The real controller: a bare one for clients, or a run in which every slave waits for a poke.
fn arete(work: Work, scratch: &Path) -> io::Result<Command> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arete"));
    if !work.play().is_run() {
        command.args(["controller", "--listen", "127.0.0.1:0"]);
        return Ok(command);
    }
    let test = scratch.join("speed.json");
    std::fs::write(&test, test_file(work))?;
    let results = scratch.join("results");
    if results.exists() {
        std::fs::remove_dir_all(&results)?;
    }
    command.arg("run").arg(test).args(["--listen", "127.0.0.1:0", "--results"]).arg(results);
    Ok(command)
}

fn test_file(work: Work) -> String {
    let triggers: Vec<String> = match work {
        Work::Fan { slaves, rounds } => {
            (0..=rounds).map(|round| format!("\"{}\": {slaves}", speech::trigger_name(round))).collect()
        }
        Work::Barrier { .. } | Work::Late { .. } | Work::Sync { .. } => Vec::new(),
        Work::Flood { .. } => vec![format!("\"{FLOOD}\": {}", arete::testfile::TRIGGER_MAX)],
    };
    let last = speech::slave_name(work.connections(Kind::Arete) - 1);
    let numbers = &last["slave".len()..];
    format!(
        r#"{{
  "name": "speed",
  "end": {{ "duration": "1h" }},
  "triggers": {{ {} }},
  "schedules": {{ "idle": [{{ "name": "never", "poke": true, "shell": "true" }}] }},
  "slaves": {{ "slave[00001-{numbers}]": ["idle"] }}
}}
"#,
        triggers.join(", ")
    )
}

/// Redis does not print its address in a form that a program can read, so it gets a port that was free just now.
fn redis(work: Work, log: &Path) -> io::Result<(Process, SocketAddr)> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let mut command = Command::new("redis-server");
    command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--maxclients", &(work.members() + 10).to_string(), "--tcp-backlog", "4096"]);
    let mut server = Process(quiet(&mut command, log)?.spawn()?);
    wait_for(&mut server, || TcpStream::connect(address).ok())?;
    Ok((server, address))
}

/// Returns whether Redis can be started on this machine.
pub fn redis_is_installed() -> bool {
    let asked = Command::new("redis-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

fn wait_for<T>(server: &mut Process, mut ready: impl FnMut() -> Option<T>) -> io::Result<T> {
    let deadline = Instant::now() + START_WITHIN;
    while Instant::now() < deadline {
        if let Some(found) = ready() {
            return Ok(found);
        }
        if let Some(status) = server.0.try_wait()? {
            return Err(Error::other(format!("it ended before it listened, {status}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(Error::other(format!("it does not listen after {} s", START_WITHIN.as_secs())))
}

fn said_address(log: &Path) -> Option<SocketAddr> {
    let said = std::fs::read_to_string(log).ok()?;
    let (_, rest) = said.split_once(speech::LISTENING)?;
    let (line, _) = rest.split_once('\n')?;
    line.split_whitespace().next()?.trim_end_matches([',', ';', '.']).parse().ok()
}

fn tail(log: &Path) -> String {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" / ")
}

/// The resident memory of a process in bytes, exactly. The figure in `status` differs by some pages.
fn resident(process: &Child) -> Option<u64> {
    let path: PathBuf = format!("/proc/{}/smaps_rollup", process.id()).into();
    let text = std::fs::read_to_string(path).ok()?;
    kilobytes(&text, "Rss:")
}

/// A figure from /proc, in bytes.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
