//! The log of a job on GitHub Actions: groups that fold, and failures as annotations.
//!
//! A runner obeys a line of the log that begins with `::`, and one that has `##[` in it, if it is the name of a command.
//! Text of slaves must never be such a line. Therefore commands are off while such text is printed, except for a token that
//! no slave can guess, and standard error, which a runner reads by itself, has no `##[`.

use crate::cli::ci::is_github;
use crate::cli::random::random;
use crate::cli::stdout;

/// The most annotations of one run. A runner shows 10 for each step.
pub const ANNOTATIONS_MAX: usize = 10;

/// The kinds of annotations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Error,
    Warning,
}

/// The log to which runs are printed.
#[derive(Clone, Copy)]
pub struct Log {
    github: bool,
}

impl Log {
    /// Returns the log of this process.
    pub fn of_environment() -> Log {
        Log { github: is_github() }
    }

    /// Returns what is printed before and after the output of a run. On GitHub Actions the title folds it; `heads` says
    /// whether it is printed elsewhere too.
    pub fn frame(self, title: Option<&str>, heads: bool) -> (String, String) {
        let Some(title) = title else { return self.guard() };
        if !self.github {
            return (if heads { format!("== {title}\n") } else { String::new() }, String::new());
        }
        let (before, after) = self.guard();
        (format!("::group::{}\n{before}", data(title)), format!("{after}::endgroup::\n"))
    }

    /// Returns what is printed before and after text of slaves.
    fn guard(self) -> (String, String) {
        match self.github {
            true => {
                let token = format!("{:016x}{:016x}", random(), random());
                (format!("::stop-commands::{token}\n"), format!("::{token}::\n"))
            }
            false => Default::default(),
        }
    }

    /// Calls a function that prints, with what [`frame`](Log::frame) returns before and after its output.
    pub fn within<T>(self, title: Option<&str>, heads: bool, prints: impl FnOnce() -> T) -> T {
        let (before, after) = self.frame(title, heads);
        stdout::print_if_possible(&before);
        let done = prints();
        stdout::print_if_possible(&after);
        done
    }

    /// Prints an annotation, unless this is no log of GitHub Actions.
    pub fn annotate(self, kind: Kind, title: &str, text: &str) {
        if self.github {
            stdout::print_if_possible(&annotation(kind, title, text));
        }
    }
}

fn annotation(kind: Kind, title: &str, text: &str) -> String {
    let name = match kind {
        Kind::Error => "error",
        Kind::Warning => "warning",
    };
    format!("::{name} title={}::{}\n", property(title), data(text))
}

/// Returns a text as the data of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Returns a text as the value of a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_command_or_its_property() {
        let text = "50% of\r\n::error::x, y: z";
        let line = annotation(Kind::Error, text, text);
        assert_eq!(line, "::error title=50%25 of%0D%0A%3A%3Aerror%3A%3Ax%2C y%3A z::50%25 of%0D%0A::error::x, y: z\n");
    }

    #[test]
    fn text_of_slaves_is_between_two_lines_with_a_token_that_is_never_the_same() {
        let log = Log { github: true };
        let (before, after) = log.frame(Some("a\n::b"), true);
        let token = before.strip_prefix("::group::a%0A::b\n::stop-commands::").expect("a group").trim_end().to_owned();
        assert!(token.len() == 32 && after == format!("::{token}::\n::endgroup::\n"), "{before}{after}");
        let (again, _) = log.frame(None, true);
        assert!(again.starts_with("::stop-commands::") && !again.contains(&token), "{again}");
        let elsewhere = Log { github: false };
        assert_eq!(elsewhere.frame(Some("t"), true), ("== t\n".to_owned(), String::new()));
        assert_eq!(elsewhere.frame(Some("t"), false), Default::default());
        assert_eq!(elsewhere.frame(None, true), Default::default());
    }
}
