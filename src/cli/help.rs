//! `arete help`: the manual, which the program carries with it, so that the page is of this very program and is there
//! also where nothing was installed. man(1) shows it, or mandoc(1).

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

/// A page by the name of its file, as it is written.
macro_rules! pages {
    ($($file:literal)*) => { &[$(($file, include_str!(concat!("../../man/", $file)))),*] };
}

/// Every page of the manual, those that are read first before the others. Of two with one name the first is opened.
const PAGES: &[(&str, &str)] = pages! {
    "arete.1" "arete-run.1" "arete-status.1" "arete-barrier.1" "arete-slave.8" "arete-controller.8" "arete-pki.1"
    "arete-ring.8" "arete-test.5" "arete-results.5" "arete-config.5" "arete-lab.7" "arete-security.7" "arete-protocol.7"
};

/// Where a page that is given on standard input is read: man asks for a file.
const PAGE: &str = "/proc/self/fd/0";

/// What shows a page, the first that there is.
const VIEWERS: &[(&str, &[&str])] = &[("man", &["-l", PAGE]), ("mandoc", &["-a", PAGE])];

/// The widest names that stand on one line with what they are about.
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

    /// The page that tells of something: `run`, `arete-run`, or with its section `results.5`.
    fn about(topic: &str) -> Option<Page> {
        let topic = topic.strip_prefix("arete-").unwrap_or(topic);
        let is = |page: &Page, name: &str| name == topic || format!("{name}.{}", page.section()) == topic;
        Page::all().find(|page| page.topics().any(|name| is(page, name)))
    }

    /// What it tells of, by its NAME section.
    fn topics(&self) -> impl Iterator<Item = &'static str> {
        let names = self.text.lines().take_while(|line| !line.starts_with(".Nd "));
        names.filter_map(|line| Some(short(line.strip_prefix(".Nm ")?.trim_end_matches(" ,"))))
    }

    fn description(&self) -> &'static str {
        self.text.lines().find_map(|line| line.strip_prefix(".Nd ")).unwrap_or_default()
    }

    fn section(&self) -> &'static str {
        self.file.rsplit_once('.').map_or("", |(_, section)| section)
    }

    /// What opens it: its topics, with its section where another page comes first.
    fn opened_by(&self) -> Vec<String> {
        let opens = |name: &&str| Page::about(name).is_some_and(|page| page.file == self.file);
        let names = self.topics().map(|name| match opens(&name) {
            true => name.to_owned(),
            false => format!("{name}.{}", self.section()),
        });
        names.collect()
    }

    /// `arete-run(1)`.
    fn title(&self) -> String {
        let (name, section) = self.file.rsplit_once('.').unwrap_or((self.file, ""));
        format!("{name}({section})")
    }
}

/// A name of the manual without what all have in common.
fn short(name: &str) -> &str {
    name.strip_prefix("arete-").unwrap_or(name)
}

pub fn run(options: HelpOptions) -> Result<u8, Error> {
    let Some(topic) = options.topic else {
        return stdout::print(list()).map(|()| exit_code::PASSED);
    };
    let Some(page) = Page::about(&topic) else {
        let names: Vec<_> = Page::all().flat_map(|page| page.topics().collect::<Vec<_>>()).collect();
        let hint = suggest::slip(&topic, names).unwrap_or_else(|| "; arete help lists the topics".to_owned());
        return Err(Error::usage(format!("help: there is no topic {topic:?}{hint}")));
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
        "help {topic}: nothing here can show the page {}: install man-db, or mandoc;\n\
         help {topic}: `arete help --source {topic}` prints it as it is written",
        page.title()
    )))
}

/// The topics, with what each page is about.
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

/// What `--help` says, if it is a subcommand: better than nothing.
fn options_of(topic: &str) -> Option<String> {
    let mut command = Arguments::command();
    command.build();
    Some(command.find_subcommand_mut(topic)?.render_help().to_string() + "\n")
}

/// Has a program show the page on a terminal, or else format it. Returns what is still to be printed; `None`: the program is
/// not there, or cannot do it.
fn show(page: &Page, viewer: &str, args: &[&str]) -> Option<Vec<u8>> {
    let input = as_file(page).ok()?;
    let mut command = Command::new(viewer);
    command.args(args).stdin(input).stderr(Stdio::null());
    if std::env::var_os("MANLESS").is_none() {
        // What stands below the page in less, by default the name of a file that nobody knows.
        command.env("MANLESS", format!(" {} line %lt (h for help, q to quit)", page.title()));
    }
    // What it prints itself it may lose without a word, so it prints only where a person looks on.
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

/// The page as a file that nobody has to remove.
fn as_file(page: &Page) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create(page.file, MemfdFlags::CLOEXEC)?);
    file.write_all(page.text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
