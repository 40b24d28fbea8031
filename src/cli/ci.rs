//! Whether a CI server reads what this process prints.

use std::borrow::Cow;

/// Returns whether this process runs in a job of GitHub Actions.
pub fn is_github() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// Returns a line for standard error in which a runner of GitHub Actions finds no command. The lines of this program begin
/// with its name, so only the old form of a command, which may be anywhere in a line, must be broken.
pub fn defused(line: &str) -> Cow<'_, str> {
    match line.contains("##[") && is_github() {
        true => Cow::Owned(line.replace("##[", "?#[")),
        false => Cow::Borrowed(line),
    }
}
