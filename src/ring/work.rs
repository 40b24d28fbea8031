//! The work step: a command that gets the data and prints the new data, and a command that measures the progress.
//!
//! Both run under `/bin/sh -c`, each in a process group of its own. Only a step that exits with status 0 changes the data.

use std::fmt;
use std::path::PathBuf;

use super::limits::DATA_MAX;
use super::token::Fence;
use crate::machine::{ChildId, Command, Exit, Outbox, ReadId, Signal, SystemError};

/// The most of a failed command's standard error that is logged, in bytes.
const COMPLAINT_MAX: usize = 400;

/// The longest number that the command for the progress may print, in bytes.
const NUMBER_MAX: usize = 64;

/// The file for the new data.
const OUTPUT: &str = "step.out";
/// The file for the progress.
const NUMBER: &str = "progress.out";
/// The file for the standard error of both commands.
const ERRORS: &str = "step.err";

/// The configuration of the work.
#[derive(Debug, Clone)]
pub struct Config {
    /// The command of the step, which the owner of the token runs once a hop.
    pub step: String,
    /// The command that prints the progress of the data. `None`: the progress is the length of the data, in characters.
    pub progress: Option<String>,
    /// The directory for the outputs of both commands.
    pub dir: PathBuf,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The new data.
    pub data: String,
    /// Its progress.
    pub progress: u64,
}

/// A command of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The step.
    Step,
    /// The command for the progress.
    Progress,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Step => "the work step",
            Part::Progress => "the command for the progress",
        })
    }
}

/// Why a step has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepError {
    /// A command cannot be started.
    NotStarted(Part, SystemError),
    /// A command has not exited with status 0.
    Exited {
        /// The command.
        part: Part,
        /// How it ended.
        exit: Exit,
        /// The beginning of its standard error.
        complaint: String,
    },
    /// The output of a command cannot be read.
    Unread(Part, SystemError),
    /// The output of a command has more than [`DATA_MAX`] bytes.
    TooLong(Part),
    /// The output of a command is not UTF-8.
    NotUtf8(Part),
    /// The progress is not a whole number.
    NotANumber,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepError::NotStarted(part, error) => write!(f, "{part} cannot be started: {error}"),
            StepError::Exited { part, exit, complaint } if complaint.is_empty() => write!(f, "{part} failed: {exit}"),
            StepError::Exited { part, exit, complaint } => write!(f, "{part} failed: {exit}: {complaint}"),
            StepError::Unread(part, error) => write!(f, "the output of {part} cannot be read: {error}"),
            StepError::TooLong(part) => write!(f, "the output of {part} has more than {DATA_MAX} bytes"),
            StepError::NotUtf8(part) => write!(f, "the output of {part} is not UTF-8"),
            StepError::NotANumber => write!(f, "the output of {} is not a whole number", Part::Progress),
        }
    }
}

impl std::error::Error for StepError {}

/// The outcome of a step.
pub type StepOutcome = Result<Done, StepError>;

#[derive(Debug)]
enum Stage {
    /// The step runs.
    Step(ChildId),
    /// A command has failed, and its standard error is read.
    Complaint(ReadId, Part, Exit),
    /// The new data is read.
    Output(ReadId),
    /// The progress of the new data is measured.
    Measure(ChildId, String),
    /// The progress of the new data is read.
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

    /// Kills the command that runs, and its process group.
    pub fn kill(self, out: &mut Outbox) {
        if let Stage::Step(child) | Stage::Measure(child, _) = self.stage {
            out.kill_group(child, Signal::KILL);
        }
    }

    /// Handles that a child has ended, or could not be started. Returns the outcome if the step is over.
    pub fn exited(&mut self, child: ChildId, end: Result<Exit, SystemError>, out: &mut Outbox) -> Option<StepOutcome> {
        let part = match &self.stage {
            Stage::Step(running) if *running == child => Part::Step,
            Stage::Measure(running, _) if *running == child => Part::Progress,
            _ => return None,
        };
        let exit = match end {
            Ok(exit) => exit,
            Err(error) => return Some(Err(StepError::NotStarted(part, error))),
        };
        // Processes that the command has left in its group must not go on with the work.
        out.kill_group(child, Signal::KILL);
        let file = |name: &str| self.config.dir.join(name);
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            _ if exit != Exit::Code(0) => Stage::Complaint(out.read(file(ERRORS), 0, COMPLAINT_MAX), part, exit),
            Stage::Measure(_, data) => Stage::Number(out.read(file(NUMBER), 0, NUMBER_MAX), data),
            _ => Stage::Output(out.read(file(OUTPUT), 0, DATA_MAX + 1)),
        };
        None
    }

    /// Handles that an output was read. Returns the outcome if the step is over.
    pub fn read(&mut self, read: ReadId, result: Result<&[u8], SystemError>, out: &mut Outbox) -> Option<StepOutcome> {
        match &mut self.stage {
            &mut Stage::Complaint(asked, part, exit) if asked == read => {
                let complaint = String::from_utf8_lossy(result.unwrap_or_default()).trim().to_owned();
                Some(Err(StepError::Exited { part, exit, complaint }))
            }
            Stage::Output(asked) if *asked == read => match text(Part::Step, result) {
                Ok(data) => self.measure(data, out),
                Err(error) => Some(Err(error)),
            },
            Stage::Number(asked, data) if *asked == read => {
                let data = std::mem::take(data);
                let number = text(Part::Progress, result)
                    .and_then(|number| number.trim().parse().map_err(|_| StepError::NotANumber));
                Some(number.map(|progress| Done { data, progress }))
            }
            _ => None,
        }
    }

    fn measure(&mut self, data: String, out: &mut Outbox) -> Option<StepOutcome> {
        let Some(measure) = &self.config.progress else {
            let progress = data.chars().count() as u64;
            return Some(Ok(Done { data, progress }));
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

/// Returns the output of a command as text.
fn text(part: Part, result: Result<&[u8], SystemError>) -> Result<String, StepError> {
    let bytes = result.map_err(|error| StepError::Unread(part, error))?;
    if bytes.len() > DATA_MAX {
        return Err(StepError::TooLong(part));
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| StepError::NotUtf8(part))
}
