//! The work step: a command that gets the data and gives the new data, and what measures how far the work has come.
//!
//! It runs under `/bin/sh -c`, in a process group of its own. Exit status 0 means done, anything else leaves the data as
//! it was.

use std::path::PathBuf;

use super::limits::DATA_MAX;
use super::token::Fence;
use crate::machine::{ChildId, Command, Exit, Outbox, ReadId, Signal};

/// How much of what a failed step has complained of is told, in bytes.
const COMPLAINT_MAX: usize = 400;

/// The longest number that the command for the progress may print, in bytes.
const NUMBER_MAX: usize = 64;

/// What the step writes: the new data.
const OUTPUT: &str = "step.out";
/// What the command for the progress writes.
const NUMBER: &str = "progress.out";
/// What both complain of.
const ERRORS: &str = "step.err";

/// What works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Done by the owner of the token, once a hop.
    pub step: String,
    /// Prints how far the data has come; `None`: its length in characters.
    pub progress: Option<String>,
    /// Where the outputs of both lie for a moment.
    pub dir: PathBuf,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    Done {
        data: String,
        progress: u64,
    },
    /// The data stays as it was.
    Failed(String),
}

#[derive(Debug)]
enum Stage {
    Step(ChildId),
    /// What it failed of, and what it has said about that.
    Complaint(ReadId, String),
    Output(ReadId),
    Measure(ChildId, String),
    Number(ReadId, String),
    Over,
}

/// A step that runs.
#[derive(Debug)]
pub struct Work {
    config: Config,
    env: Vec<(String, String)>,
    stage: Stage,
}

impl Work {
    /// Starts a step on this data.
    pub fn start(config: &Config, fence: Fence, progress: u64, data: &str, out: &mut Outbox) -> Work {
        let env = [
            ("ARETE_TOKEN_EPOCH", fence.epoch.to_string()),
            ("ARETE_TOKEN_HOP", fence.hop.to_string()),
            ("ARETE_TOKEN_PROGRESS", progress.to_string()),
        ];
        let env: Vec<_> = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let command = command(config, &config.step, &env, data, OUTPUT);
        Work { config: config.clone(), env, stage: Stage::Step(out.spawn(command)) }
    }

    /// Kills it, with all that it has started in its group.
    pub fn kill(self, out: &mut Outbox) {
        if let Stage::Step(child) | Stage::Measure(child, _) = self.stage {
            out.kill_group(child, Signal::KILL);
        }
    }

    /// A child has ended, or could not be started. The outcome, when there is one.
    pub fn exited(&mut self, child: ChildId, end: Result<Exit, String>, out: &mut Outbox) -> Option<StepOutcome> {
        let what = match &self.stage {
            Stage::Step(running) if *running == child => "the work step",
            Stage::Measure(running, _) if *running == child => "the command for the progress",
            _ => return None,
        };
        let exit = match end {
            Ok(exit) => exit,
            Err(error) => return Some(StepOutcome::Failed(format!("{what} cannot be started: {error}"))),
        };
        // What it has left behind in its group works no longer.
        out.kill_group(child, Signal::KILL);
        let file = |name: &str| self.config.dir.join(name);
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            _ if exit != Exit::Code(0) => {
                Stage::Complaint(out.read(file(ERRORS), 0, COMPLAINT_MAX), format!("{what} failed: {exit}"))
            }
            Stage::Measure(_, data) => Stage::Number(out.read(file(NUMBER), 0, NUMBER_MAX), data),
            _ => Stage::Output(out.read(file(OUTPUT), 0, DATA_MAX + 1)),
        };
        None
    }

    /// An output was read. The outcome, when there is one.
    pub fn read(&mut self, read: ReadId, result: Result<&[u8], String>, out: &mut Outbox) -> Option<StepOutcome> {
        match &mut self.stage {
            Stage::Complaint(asked, why) if *asked == read => {
                let said = String::from_utf8_lossy(result.unwrap_or_default()).trim().to_owned();
                Some(StepOutcome::Failed(if said.is_empty() { std::mem::take(why) } else { format!("{why}: {said}") }))
            }
            Stage::Output(asked) if *asked == read => match text(result) {
                Ok(data) => self.measure(data, out),
                Err(why) => Some(StepOutcome::Failed(format!("the output of the work step {why}"))),
            },
            Stage::Number(asked, data) if *asked == read => {
                let data = std::mem::take(data);
                Some(match text(result).and_then(|number| parse(&number)) {
                    Ok(progress) => StepOutcome::Done { data, progress },
                    Err(why) => StepOutcome::Failed(format!("the output of the command for the progress {why}")),
                })
            }
            _ => None,
        }
    }

    fn measure(&mut self, data: String, out: &mut Outbox) -> Option<StepOutcome> {
        let Some(measure) = &self.config.progress else {
            let progress = data.chars().count() as u64;
            return Some(StepOutcome::Done { data, progress });
        };
        let command = command(&self.config, measure, &self.env, &data, NUMBER);
        self.stage = Stage::Measure(out.spawn(command), data);
        None
    }
}

fn command(config: &Config, text: &str, env: &[(String, String)], data: &str, stdout: &str) -> Command {
    Command {
        argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()],
        env: env.to_vec(),
        stdin: Some(data.as_bytes().to_vec()),
        stdout: Some(config.dir.join(stdout)),
        stderr: Some(config.dir.join(ERRORS)),
        dies_with_us: true,
        ..Command::default()
    }
}

fn text(result: Result<&[u8], String>) -> Result<String, String> {
    let bytes = result.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > DATA_MAX {
        return Err(format!("has more than {DATA_MAX} bytes"));
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| "is not UTF-8".to_owned())
}

fn parse(number: &str) -> Result<u64, String> {
    number.trim().parse().map_err(|_| "is not a whole number".to_owned())
}
