//! `arete help`: opens a page of the manual with man(1) or mandoc(1).
//!
//! The program contains the pages. Therefore they match its version, and need not be installed.

use std::fs::File;
use std::io::{IsTerminal, Seek, Write};
use std::process::{Child, Command, Stdio};

use arete::exit_code;
use arete::testfile::suggest;
use clap::CommandFactory;
use rustix::fs::MemfdFlags;

use crate::cli::args::{Arguments, HelpOptions};
use crate::cli::error::Error;
use crate::cli::stdout;

/// The source of each page, with the name of its file.
macro_rules! pages {
    ($($file:literal)*) => { &[$(($file, include_str!(concat!("../../man/", $file)))),*] };
}

/// All pages, the most important first. If two have the same name, the first is opened.
const PAGES: &[(&str, &str)] = pages! {
    "arete.1" "arete-run.1" "arete-status.1" "arete-barrier.1" "arete-record.1" "arete-compare.1" "arete-slave.8" "arete-controller.8" "arete-pki.1"
    "arete-ring.8" "arete-test.5" "arete-results.5" "arete-config.5" "arete-examples.7" "arete-lab.7" "arete-security.7" "arete-protocol.7"
};

/// Standard input as a file, because man needs a file.
const PAGE: &str = "/proc/self/fd/0";

/// The programs that show a page. The first that is installed is used.
const VIEWERS: &[(&str, &[&str])] = &[("man", &["-l", PAGE]), ("mandoc", &["-a", PAGE])];

/// The width of the longest names that are on one line with their description.
const NAMES_WIDTH: usize = 20;

struct Page {
    /// `arete-run.1`.
    file: &'static str,
    text: &'static str,
}

impl Page {
    fn all() -> impl Iterator<Item = Page> {
        PAGES.iter().map(|&(file, text)| Page { file, text })
    }

    /// Returns the page about a topic: `run`, `arete-run`, or with its section `results.5`.
    fn about(topic: &str) -> Option<Page> {
        let topic = topic.strip_prefix("arete-").unwrap_or(topic);
        let is = |page: &Page, name: &str| name == topic || format!("{name}.{}", page.section()) == topic;
        Page::all().find(|page| page.topics().any(|name| is(page, name)))
    }

    /// Returns the topics in the NAME section.
    fn topics(&self) -> impl Iterator<Item = &'static str> {
        let names = self.text.lines().take_while(|line| !line.starts_with(".Nd "));
        names.filter_map(|line| {
            let name = line.strip_prefix(".Nm ")?.trim_end_matches(" ,");
            Some(name.strip_prefix("arete-").unwrap_or(name))
        })
    }

    fn description(&self) -> &'static str {
        self.text.lines().find_map(|line| line.strip_prefix(".Nd ")).unwrap_or_default()
    }

    fn section(&self) -> &'static str {
        self.file.rsplit_once('.').map_or("", |(_, section)| section)
    }

    /// Returns the topics that open this page, with the section if another page has the same topic.
    fn opened_by(&self) -> Vec<String> {
        let opens = |name: &&str| Page::about(name).is_some_and(|page| page.file == self.file);
        let names = self.topics().map(|name| match opens(&name) {
            true => name.to_owned(),
            false => format!("{name}.{}", self.section()),
        });
        names.collect()
    }

    /// Returns the title, such as `arete-run(1)`.
    fn title(&self) -> String {
        let (name, section) = self.file.rsplit_once('.').unwrap_or((self.file, ""));
        format!("{name}({section})")
    }
}

pub fn run(options: HelpOptions) -> Result<u8, Error> {
    let Some(topic) = options.topic else {
        return stdout::print(list()).map(|()| exit_code::PASSED);
    };
    let Some(page) = Page::about(&topic) else {
        let names: Vec<_> = Page::all().flat_map(|page| page.topics().collect::<Vec<_>>()).collect();
        let hint = suggest::slip(&topic, names).unwrap_or_else(|| "; arete help lists the topics".to_owned());
        return Err(Error::usage(format!("help: no such topic: {topic:?}{hint}")));
    };
    if options.source {
        return stdout::print(page.text).map(|()| exit_code::PASSED);
    }
    for (viewer, args) in VIEWERS {
        if let Some(formatted) = show(&page, viewer, args) {
            return stdout::print(formatted).map(|()| exit_code::PASSED);
        }
    }
    stdout::print(options_of(&topic).unwrap_or_default())?;
    Err(Error::failed(format!(
        "help {topic}: no program here can show the page {}: install man-db or mandoc\n\
         help {topic}: `arete help --source {topic}` prints the source of the page",
        page.title()
    )))
}

/// Returns the topics, with the description of each page.
fn list() -> String {
    let mut text = "Topics of the manual; arete help TOPIC opens the page.\n\n".to_owned();
    for page in Page::all() {
        let (names, about) = (page.opened_by().join(", "), page.description());
        if names.len() > NAMES_WIDTH {
            text += &format!("  {names}\n  {:NAMES_WIDTH$}  {about}\n", "");
        } else {
            text += &format!("  {names:NAMES_WIDTH$}  {about}\n");
        }
    }
    text + "\narete COMMAND --help shows the options of a command.\n"
}

/// Returns the output of `--help`, if the topic is a subcommand.
fn options_of(topic: &str) -> Option<String> {
    let mut command = Arguments::command();
    command.build();
    Some(command.find_subcommand_mut(topic)?.render_help().to_string() + "\n")
}

/// Shows the page with a program on a terminal, or formats it. Returns the text that must still be printed; `None` if the
/// program is not installed or fails.
fn show(page: &Page, viewer: &str, args: &[&str]) -> Option<Vec<u8>> {
    let mut input = File::from(rustix::fs::memfd_create(page.file, MemfdFlags::CLOEXEC).ok()?);
    input.write_all(page.text.as_bytes()).and_then(|()| input.rewind()).ok()?;
    let mut command = Command::new(viewer);
    command.args(args).stdin(input).stderr(Stdio::null());
    if std::env::var_os("MANLESS").is_none() {
        // The prompt of less. By default it would show the name of the file, which means nothing to the user.
        command.env("MANLESS", format!(" {} line %lt (h for help, q to quit)", page.title()));
    }
    // The viewer may ignore errors of standard output, so it prints only on a terminal.
    if !std::io::stdout().is_terminal() {
        command.stdout(Stdio::piped());
    }
    command
        .spawn()
        .and_then(Child::wait_with_output)
        .ok()
        .filter(|ended| ended.status.success())
        .map(|ended| ended.stdout)
}
