//! `arete completions`: prints the completion script of a shell, generated from the parser's own table.

use arete::exit_code;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::args::Arguments;
use crate::cli::error::Error;
use crate::cli::stdout;

pub fn run(shell: Shell) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(&Arguments::command()), "arete", &mut script);
    stdout::print(script).map(|()| exit_code::PASSED)
}

/// Returns the command without hidden subcommands and options, because the generators would offer them.
fn shown(whole: &Command) -> Command {
    // clap takes only static names. The leak is small, and this process ends soon.
    let name: &'static str = whole.get_name().to_owned().leak();
    let shown_command = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(whole.get_version().is_none())
        .disable_help_subcommand(whole.is_disable_help_subcommand_set())
        .args(whole.get_arguments().filter(|arg| !arg.is_hide_set()).cloned())
        .subcommands(whole.get_subcommands().filter(|sub| !sub.is_hide_set()).map(shown));
    match whole.get_about() {
        Some(about) => shown_command.about(about.clone()),
        None => shown_command,
    }
}
