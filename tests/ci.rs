//! What CI servers read: workflow commands of GitHub Actions, JUnit files, and the jobs in `examples/ci`.

#![forbid(unsafe_code)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use arete::testfile::{self, json};
use common::{Ended, Needed, Place, files_below, missing, must, python, repository, skip};

/// The names of workflow commands that a runner knows.
const COMMANDS: [&str; 12] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "set-env",
    "set-output",
    "warning",
];

/// A runner of GitHub Actions as far as it looks for commands in a log. The two forms of a command, and how they are
/// stopped, are those of its documentation and of its source.
#[derive(Default)]
struct Runner {
    stopped: Option<String>,
    /// The commands that it has obeyed, with their texts.
    obeyed: Vec<(String, String)>,
}

impl Runner {
    /// Reads a log. A line ends at each of LF, CR and CRLF.
    fn read(&mut self, log: &str) {
        log.split(['\n', '\r']).for_each(|line| self.line(line));
    }

    fn line(&mut self, line: &str) {
        let Some((name, text)) = self.new_form(line).or_else(|| self.old_form(line)) else { return };
        match &self.stopped {
            Some(token) if *token == name => self.stopped = None,
            Some(_) => {}
            None if name == "stop-commands" => self.stopped = Some(text),
            None => self.obeyed.push((name, text)),
        }
    }

    fn knows(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        COMMANDS.contains(&name.as_str()) || name == "stop-commands" || self.stopped.as_deref() == Some(&name)
    }

    /// `::NAME PROPERTIES::TEXT`, perhaps after blanks.
    fn new_form(&self, line: &str) -> Option<(String, String)> {
        let (head, text) = line.trim_start().strip_prefix("::")?.split_once("::")?;
        let name = head.split(' ').next()?;
        self.knows(name)
            .then(|| (name.to_lowercase(), unescaped(&format!("{}|{text}", &head[name.len()..]))))
            .map(|(name, text)| (name.clone(), if name == "stop-commands" { text.replace('|', "") } else { text }))
    }

    /// `##[NAME PROPERTIES]TEXT`, anywhere in a line.
    fn old_form(&self, line: &str) -> Option<(String, String)> {
        let (head, text) = line.split_once("##[")?.1.split_once(']')?;
        let name = head.split(' ').next()?;
        self.knows(name).then(|| (name.to_lowercase(), text.to_owned()))
    }

    fn names(&self) -> Vec<&str> {
        self.obeyed.iter().map(|(name, _)| name.as_str()).collect()
    }
}

fn unescaped(text: &str) -> String {
    [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")]
        .iter()
        .fold(text.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

/// What a runner obeys in the output of a program: each stream alone, and none is stopped at the end.
fn obeyed(ended: &Ended) -> Runner {
    let (mut out, mut err) = (Runner::default(), Runner::default());
    out.read(&ended.stdout);
    err.read(&ended.stderr);
    assert_eq!(out.stopped, None, "commands are on again at the end: {}", ended.stdout);
    assert_eq!(err.obeyed, [], "{}", ended.stderr);
    out
}

/// Lines of a command that would do harm if a runner obeyed them.
const EVIL: &str = "::error::evil1\\n  ::set-env name=PATH::evil2\\n##[error]evil3\\nx\\r::add-path::/evil4\\n\
                    ::stop-commands::t\\n::endgroup::evil5\\nfoo ##[set-output name=a]evil6\\n";

fn evil_test(place: &Place, status: u8) {
    let shell = format!("printf '{EVIL}'; printf '{EVIL}' >&2; exit {status}").replace('\\', "\\\\");
    let name = "name: evil\nparams: {x: a}\nend: {idle: true, limit: 20}\nslaves: {s: [s]}\n";
    let entry = format!("schedules:\n  s:\n    - {{name: e, at: 0, shell: \"{shell}\"}}\n");
    place.write("t.yaml", format!("{name}{entry}"));
}

#[test]
fn the_runner_of_these_tests_obeys_both_forms_of_a_command() {
    let mut runner = Runner::default();
    runner.read("  ::error title=a%2Cb::x%0Ay\na ##[group]z\nno ::error::\n::unknown::\n::stop-commands::T0K\n::error::hidden\n");
    assert_eq!(runner.names(), ["error", "group"]);
    assert_eq!(runner.obeyed[0].1, " title=a,b|x\ny");
    assert_eq!(runner.stopped.as_deref(), Some("T0K"));
    let mut runner = Runner::default();
    runner.read(&format!("s e | x\r::add-path::/evil\n{}", EVIL.replace("\\n", "\n").replace("\\r", "\r")));
    assert_eq!(
        runner.names(),
        ["add-path", "error", "set-env", "error", "add-path"],
        "the lines do harm if nothing stops them"
    );
}

#[test]
fn no_text_of_a_slave_is_a_workflow_command() {
    for (status, code) in [(0, 0), (3, 1)] {
        for more in [&["--follow"][..], &[], &["--quiet"], &["--matrix", "x=1,2", "--follow"], &["--retries", "1"]] {
            let place = Place::new("github-evil");
            evil_test(&place, status);
            let program =
                place.arete(["run", "t.yaml", "--results", "r"].iter().chain(more)).env("GITHUB_ACTIONS", "true");
            let ended = program.env("RUST_LOG", "debug").run().exits_with(code);
            let runner = obeyed(&ended);
            let (groups, ends) = ("group", "endgroup");
            let count = |name: &str| runner.names().iter().filter(|it| **it == name).count();
            let known = ["group", "endgroup", "error", "warning"];
            assert!(runner.names().iter().all(|name| known.contains(name)), "{:?}", runner.obeyed);
            let runs = match more {
                ["--quiet"] => 0,
                ["--matrix", ..] => 2,
                ["--retries", ..] if status > 0 => 2,
                _ => 1,
            };
            assert_eq!((count(groups), count(ends)), (runs, runs), "{more:?}: {:?}", runner.obeyed);
            let errors: Vec<_> = runner.obeyed.iter().filter(|(name, _)| name == "error").collect();
            let expected = if status == 0 {
                0
            } else if more.contains(&"x=1,2") {
                2
            } else {
                1
            };
            assert_eq!(errors.len(), expected, "{more:?}: {:?}", runner.obeyed);
            assert_eq!(count("warning"), usize::from(more.contains(&"--retries") && status > 0), "{:?}", runner.obeyed);
            if let [(_, text), ..] = errors[..] {
                assert!(text.contains("evil s e|") && text.contains("exit status 3, expected 0\n"), "{text}");
                assert!(text.contains("::error::evil1\n"), "the tail is told as a text: {text}");
            }
        }
    }
}

#[test]
fn elsewhere_nothing_is_written_for_a_runner() {
    let place = Place::new("github-elsewhere");
    evil_test(&place, 3);
    for value in ["", "false"] {
        let results = format!("r{value}");
        let program = place.arete(["run", "t.yaml", "--results", &results]).env("GITHUB_ACTIONS", value);
        let stdout = program.run().exits_with(1).stdout;
        assert!(!stdout.contains("::group::") && !stdout.contains("::stop-commands::x"), "{stdout}");
        assert!(!stdout.lines().any(|line| line.starts_with("::")), "{stdout}");
    }
}

#[test]
fn a_failure_without_an_entry_is_an_annotation_too() {
    let place = Place::new("github-limit");
    let text = "name: late\nend: {trigger: go, limit: 1}\ntriggers: {go: 1}\nslaves: {s: [s]}\nschedules:\n  s:\n    - \
                {name: e, at: 0, service: true, shell: \"sleep 100\"}\n    - {name: n, at: 50, notify: go}\n";
    place.write("t.yaml", text);
    let ended = place.arete(["run", "t.yaml", "--results", "r"]).env("GITHUB_ACTIONS", "true").run().exits_with(1);
    let runner = obeyed(&ended);
    assert_eq!(runner.names(), ["group", "endgroup", "error"], "{}", ended.stdout);
    assert!(runner.obeyed[2].1.contains("limit"), "{:?}", runner.obeyed);
}

/// A test with failures, a skipped entry, and text that XML does not allow.
const ODD: &str = r#"
name: odd
params: {x: a}
end: {idle: true, limit: 20}
slaves: {"s[1-2]": [s]}
schedules:
  s:
    - {name: good, at: 0, shell: "true"}
    - {name: bad, at: 0, shell: "printf 'a <b> & \\001 ]]> \\033[31m\\377\\n' >&2; test -e PATH-@{param.x}-@{slave.name} || { touch PATH-@{param.x}-@{slave.name}; exit 3; }"}
    - {name: twice, poke: true, shell: "true"}
    - {name: poke, at: 0, shell: "arete poke twice; arete poke twice"}
"#;

/// JUnit files of all kinds of runs.
fn junit_files(place: &Place) -> Vec<PathBuf> {
    place.write("t.yaml", ODD.replace("PATH", &place.path("flag").display().to_string()));
    let mut made = Vec::new();
    for (name, more, code) in [
        ("single", &["-p", "x=s"][..], 1),
        ("matrix", &["--matrix", "x=<m>,\"n&"], 1),
        ("flaky", &["--retries", "2", "-p", "x=f"], 0),
        ("passed", &["-p", "x=f"], 0),
    ] {
        let file = format!("{name}.xml");
        let args = ["run", "t.yaml", "--results", name, "--junit", &file];
        place.arete(args.iter().chain(more)).run().exits_with(code);
        made.push(place.path(file));
    }
    let text = "name: fails\nparams: {x: a}\nend: {idle: true, limit: 20}\nslaves: {s: [s]}\nschedules: {s: [{name: e, at: \
                0, shell: \"exit 3\"}]}\n";
    place.write("fails.yaml", text);
    let args = ["run", "fails.yaml", "--retries", "1", "--results", "f", "--junit", "fails.xml"];
    place.arete(args).run().exits_with(1);
    made.push(place.path("fails.xml"));
    made
}

/// Where .ci/run puts the schema of the xunit plugin of Jenkins.
fn schemas() -> Vec<PathBuf> {
    let mut found = files_below(&repository().join("target/junit-schema"));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "xsd"));
    found
}

#[test]
fn junit_files_are_valid_for_the_schema_of_jenkins() {
    let test = "junit_files_are_valid_for_the_schema_of_jenkins";
    if let Some(why) = missing(&["xmllint"]) {
        return skip(test, &why, Needed::InCi);
    }
    let schemas = schemas();
    if schemas.is_empty() {
        return skip(test, "target/junit-schema is missing: .ci/run makes it", Needed::InCi);
    }
    let place = Place::new("junit-schema");
    for file in junit_files(&place) {
        let retried =
            fs::read_to_string(&file).is_ok_and(|text| text.contains("flakyFailure") || text.contains("rerunFailure"));
        let knows = |schema: &&PathBuf| fs::read_to_string(schema).is_ok_and(|text| text.contains("flakyFailure"));
        let schemas: Vec<&PathBuf> = schemas.iter().filter(|schema| !retried || knows(schema)).collect();
        assert!(schemas.iter().any(knows), "the schema with retries is there");
        for schema in &schemas {
            must(Command::new("xmllint").args(["--noout", "--nonet", "--schema"]).arg(schema).arg(&file));
        }
        // The schema does reject what is wrong.
        let wrong =
            place.write("wrong.xml", fs::read_to_string(&file).expect("a file").replace("<testcase ", "<case "));
        let checked =
            Command::new("xmllint").args(["--noout", "--nonet", "--schema"]).arg(schemas[0]).arg(wrong).output();
        assert!(!checked.expect("xmllint runs").status.success());
    }
}

/// Prints what junitparser, which is used to merge and to show such files, finds in one.
const READ: &str = r#"
import sys
from junitparser import JUnitXml
for suite in JUnitXml.fromfile(sys.argv[1]):
    print("suite", suite.name, suite.tests, suite.failures, suite.errors, suite.skipped)
    for case in suite:
        results = [(type(it).__name__, it.message) for it in case.result]
        print("case", case.classname, case.name, case.time >= 0, *(results or ["passed"]))
"#;

#[test]
fn junit_files_are_read_by_junitparser() {
    let test = "junit_files_are_read_by_junitparser";
    let there =
        |mut python: Command| python.args(["-c", "import junitparser"]).output().is_ok_and(|it| it.status.success());
    if !there(python()) {
        return skip(test, "the Python module junitparser is not installed", Needed::InCi);
    }
    let place = Place::new("junit-parser");
    let all = junit_files(&place);
    let read = |name: &str| {
        let file = all.iter().find(|file| file.file_stem().is_some_and(|stem| stem == name)).expect("it was made");
        must(python().args(["-c", READ]).arg(file))
    };
    let single = read("single");
    assert!(single.starts_with("suite odd 11 3 0 0\n"), "{single}");
    assert!(single.contains("case odd.s1 bad True ('Failure', 'exit status 3, expected 0')\n"), "{single}");
    assert!(single.contains("case odd.s2 twice #2 True passed\n"), "{single}");
    let matrix = read("matrix");
    let suites: Vec<&str> = matrix.lines().filter(|line| line.starts_with("suite ")).collect();
    assert_eq!(suites, ["suite odd x=<m> 11 3 0 0", "suite odd x=\"n& 11 3 0 0"]);
    assert!(read("flaky").starts_with("suite odd 11 0 0 0\n"), "{}", read("flaky"));
    assert!(read("passed").starts_with("suite odd 11 0 0 0\n"), "{}", read("passed"));
}

/// The jobs to copy.
const JOBS: [&str; 3] = ["github.yml", "gitlab-ci.yml", "Jenkinsfile"];

fn job(name: &str) -> String {
    let path = repository().join("examples/ci").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The strings in a value, with the values of keys.
fn strings(value: &json::Value, found: &mut Vec<String>) {
    match &value.kind {
        json::ValueKind::String(text) => found.extend(text.lines().map(str::to_owned)),
        json::ValueKind::List(items) => items.iter().for_each(|item| strings(item, found)),
        json::ValueKind::Object(keys) => keys.iter().for_each(|key| strings(&key.value, found)),
        _ => {}
    }
}

/// The commands of a job.
fn commands(name: &str) -> Vec<String> {
    let text = job(name);
    let mut lines = Vec::new();
    match name {
        "Jenkinsfile" => {
            assert_eq!(text.matches('{').count(), text.matches('}').count(), "its braces are balanced");
            let quoted = text.lines().filter_map(|line| line.trim().strip_prefix("sh '")?.strip_suffix('\''));
            lines.extend(quoted.map(str::to_owned));
        }
        _ => strings(&testfile::parse_any(&text).unwrap_or_else(|error| panic!("{name}: {error}")), &mut lines),
    }
    lines
}

#[test]
fn every_command_of_arete_in_the_jobs_for_ci_servers_works() {
    let place = Place::new("ci-jobs");
    let test = "name: smoke\nend: {idle: true, limit: 20}\nslaves: {a: [s]}\nschedules: {s: [{name: e, at: 0, shell: \"true\"}]}\n";
    for name in JOBS {
        let of_arete: Vec<String> = commands(name).into_iter().filter(|line| line.starts_with("arete ")).collect();
        assert!(of_arete.iter().any(|line| line.starts_with("arete run ")), "{name}: {of_arete:?}");
        // Nothing is hidden from this test.
        let mentioned =
            job(name).lines().filter(|line| line.contains("arete run") || line.contains("arete check")).count();
        assert_eq!(of_arete.len(), mentioned, "{name}: {of_arete:?}");
        let dir = place.path(name);
        place.write(&format!("{name}/smoke.yaml"), test);
        for line in of_arete {
            let words: Vec<&str> = line.split(' ').skip(1).collect();
            place.arete(&words).current_dir(&dir).run().exits_with(0);
        }
        let kept = files_below(&dir);
        for file in ["junit.xml", "results/smoke/attempt-1/summary.json"] {
            assert!(kept.contains(&dir.join(file)), "{name} keeps {file}: {kept:?}");
        }
        assert!(["junit.xml", "results/"].iter().all(|kept| job(name).matches(kept).count() > 1), "{name} keeps both");
        assert!(job(name).contains("cargo install --locked"), "{name} installs arete");
    }
    let jobs = fs::read_dir(repository().join("examples/ci")).expect("a directory").count();
    assert_eq!(jobs, JOBS.len(), "each is checked here");
    let page = fs::read_to_string(Path::new(repository()).join("man/arete-run.1")).expect("a page");
    assert!(JOBS.iter().all(|name| page.contains(name)), "the page names each");
}

#[test]
fn the_jobs_are_yaml_for_python_too() {
    let test = "the_jobs_are_yaml_for_python_too";
    let there = |mut python: Command| python.args(["-c", "import yaml"]).output().is_ok_and(|it| it.status.success());
    if !there(python()) {
        return skip(test, "the Python module yaml is not installed", Needed::InCi);
    }
    for name in JOBS.iter().filter(|name| name.ends_with(".yml")) {
        must(
            python()
                .args(["-c", "import sys, yaml; assert yaml.safe_load(open(sys.argv[1]))"])
                .arg(repository().join("examples/ci").join(name)),
        );
    }
}
