//! A run or a ring on a terminal: the output, and the keys.

#![forbid(unsafe_code)]

mod common;

use common::{Needed, Place, Program, SOON, missing, python, repository, skip};

/// Runs `arete run` on a terminal. `mood` selects what the person there does, see `common/pty.py`.
fn on_a_terminal<'a>(place: &'a Place, size: &str, mood: &str, args: &[&str]) -> Program<'a> {
    arete_on_a_terminal(place, size, mood, "run", args)
}

fn arete_on_a_terminal<'a>(place: &'a Place, size: &str, mood: &str, subcommand: &str, args: &[&str]) -> Program<'a> {
    let mut command = python();
    command.arg(repository().join("tests/common/pty.py")).args([size, mood, env!("CARGO_BIN_EXE_arete"), subcommand]);
    command.args(args).env_remove("NO_COLOR").env("TERM", "xterm");
    place.program(command)
}

/// The content of an endless screen after this output. It knows only the control sequences that arete uses.
#[track_caller]
fn screen(shown: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut at = 0;
    let mut parts = shown.split('\x1b');
    put(parts.next().unwrap_or_default(), &mut lines, &mut at);
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).expect("a control sequence ends");
        let count = || part[1..end].parse::<usize>().expect("a number of lines");
        match &part[end..=end] {
            "A" => at = at.checked_sub(count()).expect("not above what was shown"),
            "J" => lines.truncate(at),
            "m" => {}
            other => panic!("{other:?} is not known in {part:?}"),
        }
        lines.resize(lines.len().max(at + 1), String::new());
        put(&part[end + 1..], &mut lines, &mut at);
    }
    lines
}

fn put(text: &str, lines: &mut Vec<String>, at: &mut usize) {
    for c in text.chars() {
        match c {
            '\r' => {}
            '\n' => {
                *at += 1;
                lines.resize(lines.len().max(*at + 1), String::new());
            }
            c => lines[*at].push(c),
        }
    }
}

/// Returns whether a test is possible. If not, prints that it is skipped.
fn is_possible(test: &str) -> bool {
    let missing = missing(&["python3"]);
    if let Some(why) = &missing {
        skip(test, why, Needed::InCi);
    }
    missing.is_none()
}

fn relay() -> String {
    repository().join("examples/relay.json").display().to_string()
}

/// A picture was drawn and removed completely, and the summary is on the screen.
#[track_caller]
fn assert_drawn_and_erased(shown: &str) {
    let drawn = shown.matches("slaves connected").count();
    assert!(drawn >= 2, "the picture was drawn {drawn} times:\n{shown}");
    let screen = screen(shown);
    assert!(!screen.iter().any(|line| line.contains("slaves connected")), "{screen:#?}");
    assert!(screen.iter().any(|line| line.starts_with("relay passed after ")), "{screen:#?}");
    assert!(screen.iter().any(|line| line.ends_with(" leg-1 fired")), "{screen:#?}");
    assert!(screen.iter().any(|line| line == "  run          3 passed"), "{screen:#?}");
}

#[test]
fn the_picture_is_drawn_and_removed_in_the_end() {
    if !is_possible("the_picture_is_drawn_and_removed_in_the_end") {
        return;
    }
    let place = Place::new("picture");
    let ended = on_a_terminal(&place, "100x30", "watch", &[&relay()]).run().exits_with(0);
    assert_drawn_and_erased(&ended.stdout);
    assert!(ended.stdout.contains("\x1b[36m"), "a trigger that fires has a colour");
    place.assert_nothing_left();
}

#[test]
fn colours_can_be_turned_off() {
    if !is_possible("colours_can_be_turned_off") {
        return;
    }
    let place = Place::new("no-color");
    let ended = on_a_terminal(&place, "100x30", "watch", &[&relay()]).env("NO_COLOR", "1").run().exits_with(0);
    assert_drawn_and_erased(&ended.stdout);
    let colours: Vec<_> = ended.stdout.split('\x1b').skip(1).filter(|part| part.contains('m')).collect();
    assert!(!colours.iter().any(|part| part.find('m') < part.find(['A', 'J'])), "{colours:?}");
}

#[test]
fn a_window_that_changes_its_size_does_no_harm() {
    if !is_possible("a_window_that_changes_its_size_does_no_harm") {
        return;
    }
    let place = Place::new("resize");
    let ended = on_a_terminal(&place, "100x30", "resize", &[&relay()]).run().exits_with(0);
    assert!(ended.stdout.contains("relay passed after "), "{}", ended.stdout);
    assert!(!ended.stdout.contains("panicked"), "{}", ended.stdout);
    place.assert_nothing_left();
}

#[test]
fn ctrl_c_typed_at_the_terminal_ends_the_run_in_order() {
    if !is_possible("ctrl_c_typed_at_the_terminal_ends_the_run_in_order") {
        return;
    }
    let place = Place::new("ctrl-c");
    place.write("t.json", LONG.replace("COMMAND", "sleep 300"));
    let args = ["t.json", "--results", "results"];
    let ended = on_a_terminal(&place, "80x24", "interrupt", &args).run().exits_with(130);
    assert!(ended.took < SOON, "{:?}", ended.took);
    assert!(!screen(&ended.stdout).iter().any(|line| line.contains("slaves connected")), "{}", ended.stdout);
    let summary = place.summary("results");
    assert_eq!(summary["verdict"], "interrupted");
    assert_eq!(summary["slaves"]["a"]["entries"]["long"][0]["outcome"], "stopped");
    place.assert_nothing_left();
}

#[test]
fn a_terminal_without_a_reader_does_not_stop_the_run() {
    if !is_possible("a_terminal_without_a_reader_does_not_stop_the_run") {
        return;
    }
    let place = Place::new("unread");
    place.write("t.json", LONG.replace("COMMAND", "yes | head -c 3000000"));
    let args = ["t.json", "--results", "results", "--follow"];
    let ended = on_a_terminal(&place, "80x24", "ignore", &args).run().exits_with(0);
    assert!(ended.took < SOON, "{:?}", ended.took);
    assert_eq!(place.read("results/a/long.out").len(), 3_000_000);
    place.assert_nothing_left();
}

#[test]
fn the_demo_of_the_ring_is_a_table_until_ctrl_c_is_typed() {
    if !is_possible("the_demo_of_the_ring_is_a_table_until_ctrl_c_is_typed") {
        return;
    }
    let place = Place::new("ring-table");
    let args = ["demo", "-n", "3", "--hold", "50ms"];
    let ended =
        arete_on_a_terminal(&place, "100x30", "interrupt:: 3.14159", "ring", &args).run().exits_with(130).stdout;
    let screen = screen(&ended);
    let title: Vec<_> = screen.iter().filter(|line| line.starts_with("token ")).collect();
    assert!(title.len() == 1 && title[0].contains(": 3.14159"), "the table is on the screen once: {screen:#?}");
    for node in 1..=3 {
        let row = screen.iter().filter(|line| line.contains("  127.0.") && line.starts_with(&format!("node{node}")));
        assert_eq!(row.count(), 1, "{screen:#?}");
    }
    place.assert_nothing_left();
    place.assert_no_temporary_files();
}

#[test]
fn a_watcher_of_a_ring_shows_a_table() {
    if !is_possible("a_watcher_of_a_ring_shows_a_table") {
        return;
    }
    let place = Place::new("watch-table");
    let port = 9_000 + std::process::id() % 450 * 2;
    let (udp, state) = (port.to_string(), (port + 1).to_string());
    let ports = ["--udp-port", &udp, "--state-port", &state];
    let node = ["ring", "--interface", "lo", "--work", "cat", "--tcp-port", &udp, "--hold", "100ms"];
    let node = place.arete(node.iter().chain(&ports)).start();
    let mut args = vec!["watch", "--interface", "lo"];
    args.extend(ports);
    let ended = arete_on_a_terminal(&place, "100x30", "interrupt:127.0.0.1  owner", "ring", &args).run();
    let screen = screen(&ended.exits_with(130).stdout);
    let title = format!("lo, UDP ports {udp} and {state}: 1 node, token ");
    assert!(screen[0].starts_with(&title), "{screen:#?}");
    assert!(screen[1].starts_with("node       address    state  token"), "{screen:#?}");
    assert!(screen[2].starts_with("127.0.0.1  127.0.0.1  owner"), "{screen:#?}");
    drop(node);
}

/// A test of one slave with one command.
const LONG: &str = r#"{"name": "t", "end": {"idle": true, "limit": "5min"},
  "schedules": {"s": [{"name": "long", "at": 0, "shell": "COMMAND"}]}, "slaves": {"a": ["s"]}}"#;
