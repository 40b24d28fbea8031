//! The manual and the program say the same.

#![forbid(unsafe_code)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{Needed, Place, have, repository, skip};

fn pages() -> Vec<PathBuf> {
    let directory = fs::read_dir(repository().join("man")).expect("the manual lies in man/");
    let mut pages: Vec<_> = directory.flatten().map(|entry| entry.path()).collect();
    pages.retain(|path| {
        path.extension().is_some_and(|section| section.to_str().is_some_and(|s| s.parse::<u8>().is_ok()))
    });
    pages.sort();
    pages
}

fn help(place: &Place, args: &[&str]) -> String {
    place.arete(args).run().exits_with(0).stdout
}

/// The first words of the indented lines below `heading`.
fn listed_below(help: &str, heading: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != heading).skip(1);
    let listed = lines.take_while(|line| line.starts_with(' ') || line.is_empty());
    let entries = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    entries.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

fn subcommands(place: &Place) -> Vec<String> {
    let mut found = listed_below(&help(place, &["--help"]), "Commands:");
    found.retain(|name| name != "help");
    assert!(!found.is_empty(), "the help lists subcommands");
    found
}

/// The long options that a help names.
fn options_of_help(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',', '=', '['])).filter(|word| word.starts_with("--"));
    words.map(|word| word.trim_start_matches('-').to_owned()).filter(|word| !word.is_empty()).collect()
}

/// The long options that a page names with `.Fl -name` or `Fl -name`.
fn options_of_page(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with('.')) {
        let words: Vec<_> = line.trim_start_matches('.').split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| pair[0] == "Fl") {
            if let Some(name) = pair[1].strip_prefix('-') {
                found.insert(name.trim_end_matches(',').to_owned());
            }
        }
    }
    found
}

#[test]
fn every_option_stands_in_the_manual_and_every_option_of_the_manual_exists() {
    let place = Place::new("manual");
    let mut of_help = options_of_help(&help(&place, &["--help"]));
    let elsewhere = |name: &String| name == "ring" || OF_STATUS.contains(&name.as_str());
    for subcommand in subcommands(&place).into_iter().filter(|name| !elsewhere(name)) {
        of_help.extend(options_of_help(&help(&place, &[&subcommand, "--help"])));
    }
    for args in [["pki", "issue", "--help"], ["pki", "list", "--help"]] {
        of_help.extend(options_of_help(&help(&place, &args)));
    }
    assert_the_same_options("man/arete.1", &of_help);
    assert!(of_help.contains("listen") && of_help.contains("help"));
}

/// The subcommands of which `arete-status.1` tells.
const OF_STATUS: [&str; 5] = ["status", "runs", "attach", "stop", "results"];

#[test]
fn what_looks_after_runs_has_a_page_of_its_own_with_all_its_options() {
    let place = Place::new("status-manual");
    let mut of_help = BTreeSet::new();
    let page = fs::read_to_string(repository().join("man/arete-status.1")).expect("man/arete-status.1 is there");
    for subcommand in OF_STATUS {
        of_help.extend(options_of_help(&help(&place, &[subcommand, "--help"])));
        assert!(page.lines().any(|line| line == format!(".Ss arete {subcommand}")), "{subcommand}");
    }
    assert_the_same_options("man/arete-status.1", &of_help);
    assert!(of_help.contains("watch") && of_help.contains("output"));
}

#[test]
fn the_ring_has_a_page_of_its_own_with_all_its_options() {
    let place = Place::new("ring-manual");
    let mut of_help = BTreeSet::new();
    for args in [&["ring", "--help"][..], &["ring", "demo", "--help"], &["ring", "watch", "--help"]] {
        of_help.extend(options_of_help(&help(&place, args)));
    }
    assert_the_same_options("man/arete-ring.8", &of_help);
    assert!(of_help.contains("members") && of_help.contains("nodes"));
    let page = fs::read_to_string(repository().join("man/arete-ring.8")).expect("man/arete-ring.8 is there");
    for subcommand in listed_below(&help(&place, &["ring", "--help"]), "Commands:") {
        assert!(page.lines().any(|line| line == format!(".Ss arete ring {subcommand}")), "{subcommand}");
    }
}

/// Fails the test when a page lacks an option, or names one that there is not.
#[track_caller]
fn assert_the_same_options(path: &str, of_help: &BTreeSet<String>) {
    let page = fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let of_page = options_of_page(&page);
    let missing: Vec<_> = of_help.difference(&of_page).collect();
    assert!(missing.is_empty(), "{path} lacks the options {missing:?}");
    let invented: Vec<_> = of_page.difference(of_help).collect();
    assert!(invented.is_empty(), "arete has no options {invented:?}, which {path} names");
}

#[test]
fn every_subcommand_stands_in_the_manual() {
    let place = Place::new("subcommands");
    let page = fs::read_to_string(repository().join("man/arete.1")).expect("man/arete.1 is there");
    for subcommand in subcommands(&place) {
        let named = page.lines().any(|line| line.starts_with(".") && line.contains(&format!("Cm {subcommand}")));
        assert!(named, "man/arete.1 does not name the subcommand {subcommand} with Cm");
    }
}

#[test]
fn every_page_of_the_manual_is_free_of_warnings() {
    let test = "every_page_of_the_manual_is_free_of_warnings";
    if !have("mandoc") {
        return skip(test, "mandoc is not installed", Needed::InCi);
    }
    let pages = pages();
    let names: Vec<_> = pages.iter().filter_map(|page| page.file_name()?.to_str()).collect();
    for name in ["arete.1", "arete-status.1", "arete-test.5", "arete-protocol.7", "arete-security.7", "arete-ring.8"] {
        assert!(names.contains(&name), "man/{name} is missing");
    }
    let output =
        Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output().expect("mandoc runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn every_page_of_the_manual_is_formatted_by_groff_without_a_word() {
    let test = "every_page_of_the_manual_is_formatted_by_groff_without_a_word";
    if !have("groff") {
        return skip(test, "groff is not installed", Needed::InCi);
    }
    for page in pages() {
        let output = Command::new("groff").args(["-mdoc", "-Tutf8", "-ww"]).arg(&page).output().expect("groff runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", page.display());
    }
}

#[test]
fn these_tests_can_fail() {
    let help = "Usage: x\n\nCommands:\n  run    Runs\n  check  Checks\n\nOptions:\n  -h, --help\n      --listen <ADDR>  Or `--other`\n";
    assert_eq!(listed_below(help, "Commands:"), ["run", "check"]);
    assert!(options_of_help(help).contains("listen") && options_of_help(help).contains("help"));
    assert_eq!(options_of_page(".It Fl -listen Ar ADDR\n.Op Fl h | Fl -keep\ntext Fl -no").len(), 2);
}

#[test]
fn the_readme_and_the_ci_run_the_same_test_command() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("README.md is there");
    let ci = fs::read_to_string(repository().join(".ci/run")).expect(".ci/run is there");
    let last = ci.lines().rfind(|line| line.starts_with("step ")).expect(".ci/run takes steps");
    let command = last.trim_start_matches("step ");
    let told = readme.lines().any(|line| line.trim_start_matches([' ', '$']) == command);
    assert!(told, "README.md has no line `{command}`, with which .ci/run ends");
}
