//! The manual agrees with the program.

#![forbid(unsafe_code)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ended, Needed, Place, have, repository, skip};

/// All pages, without the symbolic links.
fn pages() -> Vec<PathBuf> {
    let directory = fs::read_dir(repository().join("man")).expect("the manual lies in man/");
    let mut pages: Vec<_> = directory.flatten().map(|entry| entry.path()).filter(|path| !path.is_symlink()).collect();
    pages.retain(|path| {
        path.extension().is_some_and(|section| section.to_str().is_some_and(|s| s.parse::<u8>().is_ok()))
    });
    pages.sort();
    pages
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a section of a page.
fn section(page: &str, name: &str) -> String {
    let lines = page.lines().skip_while(|line| *line != format!(".Sh {name}")).skip(1);
    lines.take_while(|line| !line.starts_with(".Sh ")).fold(String::new(), |text, line| text + line + "\n")
}

/// The lines of a page that begin an item of a list.
fn items_of_page(page: &str) -> String {
    page.lines().filter(|line| line.starts_with(".It ")).fold(String::new(), |text, line| text + line + "\n")
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

/// The long options in a help text.
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

/// The help of a subcommand and of its own subcommands, as one text.
fn whole_help(place: &Place, args: &[&str]) -> String {
    let own = help(place, &[args, &["--help"]].concat());
    let below = listed_below(&own, "Commands:").into_iter().filter(|name| name != "help");
    let below: String = below.map(|name| whole_help(place, &[args, &[name.as_str()]].concat())).collect();
    own + &below
}

/// The page of a subcommand: `man/arete-NAME.1` or `.8`, which may be a link to a page for several subcommands.
fn page_of(subcommand: &str) -> PathBuf {
    let files = [1, 8].map(|section| repository().join(format!("man/arete-{subcommand}.{section}")));
    let file = files.into_iter().find(|file| file.exists()).unwrap_or_else(|| {
        panic!(
            "man/arete-{subcommand}.1 or .8 is missing: write it, or link it to the page that describes {subcommand}"
        )
    });
    file.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The subcommands, by the pages that describe them.
fn subcommands_by_page(place: &Place) -> BTreeMap<PathBuf, Vec<String>> {
    let mut by_page = BTreeMap::<_, Vec<_>>::new();
    for subcommand in subcommands(place) {
        by_page.entry(page_of(&subcommand)).or_default().push(subcommand);
    }
    by_page
}

/// Options that only arete(1) describes, for all pages.
const OF_EVERY_COMMAND: [&str; 2] = ["help", "version"];

/// Options that arete(1) describes under Certificates. The other pages refer to it.
const CERTIFICATES: [&str; 2] = ["tls", "insecure"];

/// Options that arete-barrier(1) describes under Where. A synopsis has WHERE for them.
const WHERE: [&str; 6] = ["controller", "serve", "room", "as", "tls", "insecure"];

fn without(options: &BTreeSet<String>, others: &[&str]) -> BTreeSet<String> {
    options.iter().filter(|option| !others.contains(&option.as_str())).cloned().collect()
}

#[test]
fn every_option_is_on_the_page_of_its_subcommand_and_every_option_there_exists() {
    let place = Place::new("manual");
    for (page, subcommands) in subcommands_by_page(&place) {
        let helps = subcommands.iter().map(|name| whole_help(&place, &[name]));
        let of_help = without(&options_of_help(&helps.collect::<String>()), &OF_EVERY_COMMAND);
        let text = read(&page);
        let told = options_of_page(&items_of_page(&text));
        assert_the_same_options(&page, "an item for", &without(&told, &OF_EVERY_COMMAND), &of_help);
        let synopsis = section(&text, "SYNOPSIS");
        let shown = without(&options_of_page(&synopsis), &OF_EVERY_COMMAND);
        let elsewhere: &[&str] = if synopsis.contains("Ar WHERE") { &WHERE } else { &[] };
        assert_the_same_options(&page, "in its synopsis", &without(&shown, elsewhere), &without(&of_help, elsewhere));
        for subcommand in subcommands {
            let shown = synopsis.contains(&format!(".Nm arete\n.Cm {subcommand}\n"))
                || synopsis.contains(&format!(".Nm arete {subcommand}\n"));
            assert!(shown, "{} does not show arete {subcommand} in its synopsis", page.display());
        }
    }
    let page = repository().join("man/arete.1");
    let told = without(&options_of_page(&items_of_page(&read(&page))), &CERTIFICATES);
    assert_the_same_options(
        &page,
        "an item for",
        &told,
        &options_of_help(&(help(&place, &["--help"]) + &help(&place, &["help", "--help"]))),
    );
}

/// If a page names options of other subcommands, they must exist too.
#[test]
fn every_option_that_any_page_names_exists() {
    let place = Place::new("named-options");
    let of_help = options_of_help(&(whole_help(&place, &[]) + &help(&place, &["help", "--help"])));
    assert!(["listen", "members", "json", "help"].iter().all(|option| of_help.contains(*option)), "{of_help:?}");
    for page in pages() {
        let invented: Vec<_> = options_of_page(&read(&page)).difference(&of_help).cloned().collect();
        assert!(invented.is_empty(), "arete has no options {invented:?}, which {} names", page.display());
    }
}

/// Fails the test if a page lacks an option, or names one that does not exist.
#[track_caller]
fn assert_the_same_options(page: &Path, how: &str, of_page: &BTreeSet<String>, of_help: &BTreeSet<String>) {
    let page = page.display();
    let missing: Vec<_> = of_help.difference(of_page).collect();
    assert!(missing.is_empty(), "{page} lacks {how} the options {missing:?}");
    let invented: Vec<_> = of_page.difference(of_help).collect();
    assert!(invented.is_empty(), "the subcommands of {page} have no options {invented:?}, but it has {how} them");
}

#[test]
fn the_page_of_the_ring_describes_each_of_its_subcommands() {
    let place = Place::new("ring-manual");
    let page = read(&repository().join("man/arete-ring.8"));
    for subcommand in listed_below(&help(&place, &["ring", "--help"]), "Commands:") {
        assert!(page.lines().any(|line| line == format!(".Ss arete ring {subcommand}")), "{subcommand}");
    }
}

/// The subcommands that `arete-status.1` describes.
const OF_STATUS: [&str; 5] = ["status", "runs", "attach", "stop", "results"];

#[test]
fn the_page_of_the_status_describes_all_subcommands_about_runs() {
    let page = read(&repository().join("man/arete-status.1"));
    for subcommand in OF_STATUS {
        assert!(page.lines().any(|line| line == format!(".Ss arete {subcommand}")), "{subcommand}");
    }
}

#[test]
fn every_subcommand_is_listed_in_the_first_page_with_its_own() {
    let place = Place::new("subcommands");
    let listed = section(&read(&repository().join("man/arete.1")), "DESCRIPTION");
    assert!(listed.contains(".It Cm help\n"));
    for subcommand in subcommands(&place) {
        let item = format!(".It Cm {subcommand}");
        assert!(listed.lines().any(|line| line == item), "man/arete.1 has no item {item}");
        let link = format!(".Xr arete-{subcommand} ");
        assert!(listed.contains(&link), "man/arete.1 does not point to the page of {subcommand}");
    }
}

/// The references in a text to pages of arete, as file names.
fn references(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(".Xr arete"));
    let words = lines.map(|rest| rest.split(' ').collect::<Vec<_>>());
    words.map(|words| format!("arete{}.{}", words[0], words[1])).collect()
}

#[test]
fn the_pages_refer_to_each_other_and_to_existing_pages_only() {
    let see_also = |page: &Path| references(&section(&read(page), "SEE ALSO"));
    for page in pages() {
        let name = page.file_name().and_then(|name| name.to_str()).expect("a page has a name").to_owned();
        for other in references(&read(&page)) {
            assert!(repository().join("man").join(&other).exists(), "man/{name} points to {other}, which is not there");
        }
        assert!(see_also(&page).contains("arete.1") || name == "arete.1", "man/{name} does not point to arete(1)");
        for other in see_also(&page) {
            let back = see_also(&repository().join("man").join(&other));
            assert!(back.contains(&name), "man/{other} does not point back to {name} under SEE ALSO");
        }
    }
}

#[test]
fn every_page_of_a_command_has_examples_and_its_exit_status() {
    let status = |page: &str| -> BTreeSet<String> {
        section(page, "EXIT STATUS").lines().filter_map(|line| line.strip_prefix(".It ")).map(str::to_owned).collect()
    };
    let all = status(&read(&repository().join("man/arete.1")));
    for page in pages() {
        let (text, name) = (read(&page), page.display());
        assert!(section(&text, "EXAMPLES").len() > 20 || !is_of_a_command(&page), "{name} has no EXAMPLES");
        let of_page = status(&text);
        assert!(of_page.contains("0") && of_page.contains("2") || !is_of_a_command(&page), "{name}: EXIT STATUS");
        let unknown: Vec<_> = of_page.difference(&all).collect();
        assert!(unknown.is_empty(), "{name} has the exit statuses {unknown:?}, which arete(1) does not have");
    }
}

fn is_of_a_command(page: &Path) -> bool {
    page.extension().is_some_and(|section| section == "1" || section == "8")
}

/// `man arete-sync` opens the right page: each name of a page is a file, and each link is a name of its page.
#[test]
fn every_name_of_a_page_opens_it() {
    for file in fs::read_dir(repository().join("man")).expect("the manual lies in man/").flatten() {
        let path = file.path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a page has a name").to_owned();
        let names = section(&read(&path), "NAME");
        let mut named = names.lines().filter_map(|line| line.strip_prefix(".Nm "));
        let (found, page) = (named.any(|other| other.trim_end_matches(" ,") == name), path.display());
        assert!(found, "{page} does not name {name} under NAME");
        for other in names.lines().filter_map(|line| line.strip_prefix(".Nm ")) {
            let link =
                path.with_file_name(other.trim_end_matches(" ,")).with_extension(path.extension().unwrap_or_default());
            assert!(link.exists(), "{page} names {other}, but there is no {}", link.display());
            assert_eq!(link.canonicalize().ok(), path.canonicalize().ok(), "{}", link.display());
        }
    }
}

/// The names of all pages and links.
fn files() -> Vec<String> {
    let directory = fs::read_dir(repository().join("man")).expect("the manual lies in man/").flatten();
    directory.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[test]
fn help_lists_every_page_and_the_program_carries_each_as_it_is() {
    let place = Place::new("help");
    let listed = help(&place, &["help"]);
    for file in files() {
        let (name, _) = file.rsplit_once('.').expect("a page has a section");
        let with_section = file.trim_start_matches("arete-");
        // If two pages have the same name, only the page of the command can be opened by it.
        let names = match with_section == "results.5" {
            true => vec![with_section, &file],
            false => vec![name.trim_start_matches("arete-"), name, with_section],
        };
        let stands = listed.lines().any(|line| line.split([' ', ',']).any(|word| word == names[0]));
        assert!(stands, "arete help does not list {}:\n{listed}", names[0]);
        let text = read(&repository().join("man").join(&file));
        for called in names {
            let ended = place.arete(["help", "--source", called]).run().exits_with(0);
            assert!(ended.stdout == text, "arete help --source {called} is not man/{file}: is it in src/cli/help.rs?");
        }
    }
}

/// The output of `arete help` on a machine that has only these programs, each a script or a link to the installed one.
fn helped(place: &Place, programs: &[(&str, Option<&str>)], args: &[&str]) -> Ended {
    let bin = place.path(format!("bin-{}", place.serial()));
    fs::create_dir(&bin).expect("a new directory has room for another");
    for (name, script) in programs {
        let file = bin.join(name);
        match script {
            Some(script) => {
                fs::write(&file, script).expect("a script can be written");
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it can be made to run");
            }
            None => symlink(common::find(name).expect("it was looked for"), file).expect("a link can be made"),
        }
    }
    place.arete(args).env("PATH", bin).run()
}

#[test]
fn help_shows_the_page_with_man_or_mandoc_or_names_what_to_install() {
    let place = Place::new("viewers");
    let cat = "#!/bin/sh\necho \"shown by ${0##*/}\"\nwhile read -r line; do echo \"$line\"; done <\"$2\"\n";
    let ended = helped(&place, &[("man", Some(cat)), ("mandoc", Some(cat))], &["help", "sync"]).exits_with(0);
    assert!(ended.stdout.starts_with("shown by man\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains(".Dt ARETE-BARRIER 1"), "{}", ended.stdout);
    let fails = "#!/bin/sh\necho this man cannot >&2\nexit 1\n";
    let ended = helped(&place, &[("man", Some(fails)), ("mandoc", Some(cat))], &["help", "test"]).exits_with(0);
    assert!(ended.stdout.starts_with("shown by mandoc\n") && ended.stderr.is_empty(), "{}", ended.stdout);
    let ended = helped(&place, &[], &["help", "run"]).exits_with(1);
    assert!(ended.stdout.contains("Usage: arete run"), "{}", ended.stdout);
    ended.complains(&["arete: help run: ", "arete-run(1)", "install man-db", "arete help --source run"]);
    let ended = helped(&place, &[], &["help", "security"]).exits_with(1);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    place.assert_no_temporary_files();
}

#[test]
fn help_shows_the_page_with_the_programs_that_there_are() {
    let test = "help_shows_the_page_with_the_programs_that_there_are";
    let place = Place::new("real-viewers");
    for (viewer, needed) in [("man", Needed::Nowhere), ("mandoc", Needed::InCi)] {
        if !have(viewer) {
            skip(test, &format!("{viewer} is not installed"), needed);
            continue;
        }
        // man finds other programs by their names.
        let ended = match viewer {
            "man" => place.arete(["help", "pki"]).run().exits_with(0),
            _ => helped(&place, &[(viewer, None)], &["help", "pki"]).exits_with(0),
        };
        let shown = ended.stdout;
        assert!(shown.contains("ARETE-PKI(1)") && shown.contains("$ arete pki init lab"), "{viewer}: {shown}");
    }
}

#[test]
fn help_suggests_a_topic() {
    let place = Place::new("topics");
    place.arete(["help", "barier"]).run().exits_with(2).complains(&["arete: help: ", "did you mean \"barrier\"?"]);
    let page = place.arete(["help", "ring", "demo", "--source"]).run().exits_with(0).stdout;
    assert_eq!(page, place.arete(["help", "ring", "--source"]).run().exits_with(0).stdout);
    place.arete(["help", "weather"]).run().exits_with(2).complains(&["\"weather\"", "arete help lists the topics"]);
    place.arete(["help", "--source"]).run().exits_with(2).complains(&["TOPIC"]);
}

#[test]
fn every_page_of_the_manual_is_free_of_warnings() {
    let test = "every_page_of_the_manual_is_free_of_warnings";
    if !have("mandoc") {
        return skip(test, "mandoc is not installed", Needed::InCi);
    }
    let pages = pages();
    let names: Vec<_> = pages.iter().filter_map(|page| page.file_name()?.to_str()).collect();
    for name in ["arete.1", "arete-status.1", "arete-test.5", "arete-results.5", "arete-protocol.7", "arete-security.7"]
    {
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
    let readme = fs::read_to_string(repository().join("README.md")).expect("README.md exists");
    let ci = fs::read_to_string(repository().join(".ci/run")).expect(".ci/run exists");
    let last = ci.lines().rfind(|line| line.starts_with("step ")).expect(".ci/run takes steps");
    let command = last.trim_start_matches("step ");
    let told = readme.lines().any(|line| line.trim_start_matches([' ', '$']) == command);
    assert!(told, "README.md has no line `{command}`, with which .ci/run ends");
}
