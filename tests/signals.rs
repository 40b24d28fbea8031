//! Signals: those that arete inherits and must receive, and those that it sends to its commands.

#![forbid(unsafe_code)]

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Needed, Place, Program, SOON, have, missing, skip, wait_for};
use rustix::process::Signal;

/// Far less than the grace of these tests.
const SOONER_THAN_THE_GRACE: Duration = Duration::from_secs(15);

/// A test of one slave with these entries, and with a grace that is longer than the test.
fn test(place: &Place, end: &str, entries: &str) {
    let text = format!(
        r#"{{ "name": "t", "end": {end}, "grace": "50s", "slaves": {{ "a": ["s"] }}, "schedules": {{ "s": [{entries}] }} }}"#
    );
    place.write("t.json", text);
}

/// arete, started by env(1), which ignores or blocks signals for it.
fn arete_with<'a>(place: &'a Place, signals: &[&str], args: &[&str]) -> Program<'a> {
    let mut command = Command::new("env");
    command.args(signals).arg(env!("CARGO_BIN_EXE_arete")).args(args);
    place.program(command)
}

/// Returns whether env(1) can do that. If not, prints that the test is skipped.
fn env_can(test: &str) -> bool {
    let can = Command::new("env").args(["--ignore-signal=HUP", "--block-signal=HUP", "true"]).output();
    let can = can.is_ok_and(|output| output.status.success());
    if !can {
        skip(test, "env(1) has no --ignore-signal: coreutils 8.31 have", Needed::InCi);
    }
    can
}

#[test]
fn a_run_under_nohup_continues_when_its_terminal_is_closed() {
    if !env_can("a_run_under_nohup_continues_when_its_terminal_is_closed") {
        return;
    }
    let place = Place::new("nohup");
    test(&place, r#"{"duration": 2}"#, r#"{"name": "x", "at": 0, "shell": "exec sleep 100"}"#);
    for (ignored, code) in [(&["--ignore-signal=HUP"][..], 0), (&[], 130)] {
        let results = format!("results-{code}");
        let mut running = arete_with(&place, ignored, &["run", "t.json", "--results", &results]).start();
        running.wait_for_output("x started");
        running.signal(Signal::HUP);
        running.wait().exits_with(code);
    }
    place.assert_nothing_left();
}

#[test]
fn commands_start_with_no_signal_ignored_or_blocked_even_if_arete_did() {
    if !env_can("commands_start_with_no_signal_ignored_or_blocked_even_if_arete_did") {
        return;
    }
    let place = Place::new("dispositions");
    let look = r#"{"name": "look", "at": 0, "shell": "grep -E '^Sig(Blk|Ign):' /proc/self/status"}"#;
    let own = r#"{"name": "quit", "at": 0, "shell": "kill -QUIT $$", "expect": ["QUIT"]}"#;
    test(&place, r#"{"idle": true, "limit": "1min"}"#, &format!("{look}, {own}"));
    // All signals that can be blocked: TSTP and the like too, and some of the real-time signals.
    let ignored =
        "--ignore-signal=HUP,INT,QUIT,ABRT,USR1,USR2,PIPE,ALRM,TERM,CHLD,TSTP,TTIN,TTOU,XCPU,XFSZ,PWR,RTMIN+3,RTMAX";
    let blocked = "--block-signal=HUP,INT,QUIT,USR1,USR2,PIPE,ALRM,TERM,CHLD,XCPU,RTMIN+3";
    arete_with(&place, &[ignored, blocked], &["run", "t.json", "--results", "results"]).run().exits_with(0);
    let said = place.read("results/a/look.out");
    assert_eq!(said, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn every_long_subcommand_ends_at_a_signal_although_its_parent_blocked_it() {
    if !env_can("every_long_subcommand_ends_at_a_signal_although_its_parent_blocked_it") {
        return;
    }
    let place = Place::new("blocked");
    let blocked = ["--block-signal=HUP,INT,USR1,TERM,CHLD"];
    let mut controller = arete_with(&place, &blocked, &["controller", "--listen", "127.0.0.1:0"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    test(&place, r#"{"duration": 100}"#, r#"{"name": "x", "at": 0, "shell": "exec sleep 100"}"#);
    arete_with(&place, &[], &["trigger", "--controller", &address, "create", "up", "1"]).run().exits_with(0);
    let dir = place.path("work").display().to_string();
    let at = ["--controller", &address];
    for (args, code) in [
        (vec!["run", "t.json", "--results", "results"], 130),
        (vec!["slave", "--controller", "127.0.0.1:1", "--name", "a", "--dir", &dir], 0),
        ([&["wait", "up"][..], &at].concat(), 130),
        ([&["barrier", "b", "--count", "2", "--as", "a"][..], &at].concat(), 130),
        ([&["sync", "s", "--count", "2", "--as", "a", "--data", "1"][..], &at].concat(), 130),
    ] {
        let mut running = arete_with(&place, &blocked, &args).start();
        let mask = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
            status.contains("SigBlk:\t0000000000000000") && status.contains("SigCgt:") && !catches_nothing(&status)
        };
        wait_for(SOON, &format!("{args:?} to hear signals"), mask);
        if args[0] == "run" {
            running.wait_for_output("x started");
        }
        running.signal(Signal::TERM);
        running.wait().exits_with(code);
    }
    controller.signal(Signal::TERM);
    controller.wait().exits_with(0);
    place.assert_nothing_left();
}

/// Returns whether a process has no handler for SIGTERM, so that a signal would end it before it has begun.
fn catches_nothing(status: &str) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
    u64::from_str_radix(caught.trim(), 16).is_ok_and(|caught| caught & (1 << (15 - 1)) == 0)
}

/// A command that stops itself, and prints a line if it receives SIGTERM nevertheless.
fn stopped(name: &str, more: &str) -> String {
    let shell = format!("trap 'echo cleaned >> $ARETE_DIR/../cleaned-{name}; exit 0' TERM; kill -STOP $$; sleep 100");
    format!(r#"{{"name": "{name}", "at": 0, "shell": "{shell}" {more}}}"#)
}

#[test]
fn a_stopped_command_gets_the_signal_that_ends_it() {
    let place = Place::new("stopped");
    let away = "cat > away.sh <<'END'\ntrap 'echo cleaned > $ARETE_DIR/../cleaned-away; exit 0' TERM\nkill -STOP $$\nsleep 100\nEND\n\
                setsid sh away.sh & while ! grep -q 'State:.T' /proc/$!/status; do sleep 0.01; done";
    let away = format!(r#"{{"name": "away", "at": 0, "shell": {}}}"#, serde_json::Value::from(away));
    let entries = [
        stopped("killed", ""),
        r#"{"name": "kill", "at": 1, "kill": "killed"}"#.to_owned(),
        stopped("late", r#", "timeout": "1s", "expect": "any""#),
        stopped("end", ""),
        away,
    ];
    test(&place, r#"{"duration": 3}"#, &entries.join(", "));
    // --keep, because the command prints its line into a file in the slave's directory.
    let ended = place.arete(["run", "t.json", "--results", "results", "--keep"]).run().exits_with(1);
    assert!(ended.took < SOONER_THAN_THE_GRACE, "{:?}", ended.took);
    for name in ["killed", "late", "end", "away"] {
        assert_eq!(place.find("tmp", &format!("cleaned-{name}")).len(), 1, "{name}: {}", ended.stdout);
    }
    let failures = place.summary("results")["failures"].clone();
    assert!(
        failures.to_string().contains("late") && failures.as_array().is_some_and(|all| all.len() == 1),
        "{failures}"
    );
    place.assert_nothing_left();
}

#[test]
fn signals_are_named_as_people_name_them() {
    let place = Place::new("names");
    let waits = |name: &str, number: u8| {
        format!(
            r#"{{"name": "{name}", "at": 0, "shell": "trap 'exit 7' {number}; touch {name}; while :; do sleep 0.01; done", "expect": [7]}}"#
        )
    };
    let kill = |entry: &str, signal: &str| {
        format!(r#"{{"name": "kill-{entry}", "at": 1, "kill": "{entry}", "signal": {signal}}}"#)
    };
    let dies = |name: &str, number: u8, expect: &str| {
        format!(r#"{{"name": "{name}", "at": 0, "shell": "kill -{number} $$", "expect": [{expect}]}}"#)
    };
    let entries = [
        waits("real", 37),
        kill("real", r#""SIGRTMIN+3""#),
        waits("last", 63),
        kill("last", r#""rtmax-1""#),
        waits("power", 30),
        kill("power", r#""SIGPWR""#),
        waits("number", 12),
        kill("number", "12"),
        waits("text", 12),
        kill("text", r#""12""#),
        dies("nine", 9, r#""9""#),
        dies("stack", 16, r#""stkflt""#),
        dies("upper", 40, r#""SIGRTMIN+6""#),
        r#"{"name": "then", "after": {"entry": "stack", "exit": "SIGSTKFLT"}, "shell": "true"}"#.to_owned(),
    ];
    test(&place, r#"{"idle": true, "limit": "1min"}"#, &entries.join(", "));
    place.arete(["run", "t.json", "--results", "results"]).run().exits_with(0);
    assert_eq!(place.count("results", "spawned"), entries.len(), "all of them ran, \"then\" too");
}

#[test]
fn a_command_that_opens_the_terminal_fails_at_once() {
    if let Some(why) = missing(&["script"]) {
        return skip("a_command_that_opens_the_terminal_fails_at_once", &why, Needed::InCi);
    }
    let place = Place::new("tty");
    let asks = r#"{"name": "asks", "at": 0, "shell": "if read answer </dev/tty; then exit 1; fi; ps -o tty= -p $$"}"#;
    let step =
        r#"{"name": "own", "at": 0, "shell": "test $(ps -o sid= -p $$) = $$ && test $(ps -o pgid= -p $$) = $$"}"#;
    test(&place, r#"{"idle": true, "limit": "30s"}"#, &format!("{asks}, {step}"));
    let mut script = Command::new("script");
    let arete = env!("CARGO_BIN_EXE_arete");
    script.args(["--quiet", "--return", "--command", &format!("'{arete}' run t.json --results results"), "typescript"]);
    let ended = place.program(script).run();
    assert_eq!((ended.code(), place.summary("results")["verdict"].as_str()), (0, Some("passed")), "{}", ended.stdout);
    assert_eq!(place.read("results/a/asks.out").trim(), "?");
    assert!(have("ps"), "procps is installed");
}
