//! The rows whose connections are not the bench's: the commands of arete, and a run that launches its slaves.

use std::io::{self, BufRead, BufReader, Error};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::rows::{Row, Subject};
use crate::server::{self, Process, Server};
use crate::table::{Measure, Sample};

type Measures<'a> = io::Result<Vec<(Subject, Measure<'a>)>>;

/// Starts all commands at once. Returns the time until all have exited.
fn run(commands: impl Iterator<Item = Command>) -> io::Result<f64> {
    let begin = Instant::now();
    let quiet = |mut command: Command| command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let started: Vec<Child> = commands.map(quiet).collect::<io::Result<_>>()?;
    for mut child in started {
        let status = child.wait()?;
        if !status.success() {
            return Err(Error::other(format!("a command failed: {status}")));
        }
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn limit<'a>(count: usize) -> (Subject, Measure<'a>) {
    let run = move |_| run((0..count).map(|_| Command::new("true"))).map(sample);
    (Subject::Limit, Box::new(run))
}

fn sample(time: f64) -> Sample {
    Sample { time, cpu: f64::NAN, count: 1.0 }
}

/// `arete barrier` or `arete notify`, `count` at a time, at a bare controller.
pub fn commands<'a>(row: &'static Row, name: &'static str, count: usize, scratch: &Path) -> Measures<'a> {
    let server = Server::start(row, Subject::Clients, scratch)?;
    let at = ["--controller".to_owned(), server.address.clone()];
    let arete = || Command::new(env!("CARGO_BIN_EXE_arete"));
    let mut create = arete();
    create.args(["trigger", "create", "speed", "1000000"]).args(&at);
    run([create].into_iter())?;
    let measure = move |_| {
        let pid = server.process.0.id();
        let before = server::cpu(pid)?;
        let commands = (0..count).map(|nr| {
            let mut command = arete();
            command.args([name, "speed", "--as", &format!("m{nr}")]).args(&at);
            if name == "barrier" {
                command.args(["--count", &count.to_string()]);
            }
            command
        });
        let time = run(commands)?;
        server::wait_until_idle(pid)?;
        Ok(Sample { time, cpu: (server::cpu(pid)? - before) / count as f64, count: count as f64 })
    };
    Ok(vec![limit(count), (Subject::Clients, Box::new(measure))])
}

/// `arete run` with slaves of its own.
pub fn embedded<'a>(count: usize, scratch: &Path) -> Measures<'a> {
    let (test, results) = (scratch.join("embedded.json"), scratch.join("embedded"));
    let text = serde_json::json!({
        "name": "embedded",
        "end": {"idle": true, "limit": "1min"},
        "schedules": {"first": [{"name": "first", "at": 0, "shell": "echo entered"}]},
        "slaves": {(format!("slave[001-{count}]")): ["first"]},
    });
    std::fs::write(&test, text.to_string())?;
    let measure = move |round: u64| {
        let mut command = server::arete();
        command.arg("run").arg(&test).args(["--follow", "--results"]).arg(results.join(round.to_string()));
        let begin = Instant::now();
        let mut run = Process(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let mut lines = BufReader::new(run.0.stdout.take().expect("a pipe")).lines();
        let first = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("entered")));
        let time = begin.elapsed().as_secs_f64();
        let (rest, status) = (lines.last(), run.0.wait()?);
        if first.is_none() || !status.success() {
            return Err(Error::other(format!("the run did not pass: {status}, {rest:?}")));
        }
        Ok(sample(time))
    };
    Ok(vec![limit(count), (Subject::Slaves, Box::new(measure))])
}
