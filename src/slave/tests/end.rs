//! Scenarios: the end of a run, and of the slave.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{AHEAD, World, entry, shell};
use crate::machine::{Exit, Input, Signal, removed};

fn stop(world: &mut World, now: bool) {
    say_stop(world, if now { "now" } else { "stop" });
}

fn say_stop(world: &mut World, how: &str) {
    world.tell(json!({"type": "stop", "run": "r1", "reason": "the end", "how": how}));
}

fn one() -> World {
    World::running(json!([shell("a", json!({"at": 0}), json!({}))]))
}

#[test]
fn a_stop_signals_once_waits_kills_after_the_grace_and_sweeps() {
    let mut world = one();
    stop(&mut world, false);
    assert_eq!(world.sweeps, [Signal::TERM]);
    assert_eq!(world.kills, []);
    world.pass(Duration::from_millis(9_999));
    assert_eq!(world.kills, []);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.kills, [("a".to_owned(), Signal::KILL)]);
    assert_eq!(world.take_said("stopped").len(), 0);
    world.exits("a", Exit::Signal(Signal::KILL));
    assert_eq!(world.reports().last().unwrap(), "exited a#1 stopped");
    assert_eq!(world.sweeps.len(), 2);
}

const CUT: &str = "cut off by the end of the run; if it is meant to run until then, make it a service";

#[test]
fn jobs_may_finish_while_services_go_on_and_nothing_begins() {
    let mut world = World::running(json!([
        shell("job", json!({"at": 0}), json!({})),
        shell("srv", json!({"at": 0}), json!({"service": true, "expect": {"of": []}})),
        shell("next", json!({"after": {"of": [{"entry": "job"}]}}), json!({})),
        shell("later", json!({"at": 5_000_000}), json!({})),
        shell("on", json!({"trigger": "go"}), json!({}))
    ]));
    say_stop(&mut world, "finish");
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go"}));
    world.pass(Duration::from_secs(9));
    assert_eq!((world.sweeps.len(), world.kills.len()), (0, 0));
    world.reports();
    world.exits("job", Exit::Code(1));
    assert_eq!(world.reports(), ["exited job#1 failed", "idle 1 with services"]);
    assert_eq!(world.started(), ["job", "srv"]);
    say_stop(&mut world, "cut");
    world.exits("srv", Exit::Signal(Signal::TERM));
    assert_eq!(world.reports(), ["exited srv#1 stopped"]);
}

#[test]
fn a_job_that_is_cut_off_has_failed_even_if_it_then_passes() {
    let mut world = World::running(json!([
        shell("job", json!({"at": 0}), json!({})),
        shell("srv", json!({"at": 0}), json!({"service": true})),
        entry("n", json!({"at": 0}), json!({"notify": {"trigger": "go"}}))
    ]));
    say_stop(&mut world, "finish");
    world.pass(Duration::from_secs(9));
    say_stop(&mut world, "cut");
    assert_eq!(world.sweeps, []);
    world.pass(Duration::from_secs(1));
    world.exits("job", Exit::Code(0));
    world.exits("srv", Exit::Code(1));
    let exited = |report: &&Value| report["event"] == "exited";
    let said = world.take_said("report");
    let of = |report: &Value| [&report["outcome"], &report["why"], &report["cut_off"]].map(Value::clone);
    let said: Vec<_> = said.iter().filter(exited).map(of).collect();
    assert_eq!(said[0], [json!("failed"), json!("cut off by the end of the run"), json!(true)]);
    assert_eq!(said[1], [json!("failed"), json!(CUT), json!(true)]);
    assert_eq!(said[2], [json!("stopped"), json!("the end of the run"), Value::Null]);
}

#[test]
fn a_job_that_was_asked_to_end_is_not_awaited_and_not_cut_off() {
    let kill = json!({"kill": {"entry": "slow", "signal": "SIGTERM"}});
    let mut world = World::running(json!([
        shell("slow", json!({"at": 0}), json!({})),
        shell("slow2", json!({"at": 0}), json!({})),
        entry("k", json!({"trigger": "go"}), kill),
        shell("k2", json!({"trigger": "go"}), json!({"command": ["kill @{slow2.pid}"]}))
    ]));
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go"}));
    world.exits("k2", Exit::Code(0));
    assert!(!world.reports().iter().any(|report| report.starts_with("idle")));
    say_stop(&mut world, "finish");
    assert_eq!(world.reports(), ["idle 1 with services"]);
    say_stop(&mut world, "cut");
    world.exits("slow", Exit::Signal(Signal::KILL));
    world.exits("slow2", Exit::Signal(Signal::KILL));
    assert_eq!(world.reports(), ["exited slow#1 stopped", "exited slow2#1 stopped"]);
}

#[test]
fn a_slave_that_was_away_gives_its_jobs_their_time_before_it_cuts_them_off() {
    let mut world = one();
    say_stop(&mut world, "cut");
    say_stop(&mut world, "cut");
    world.pass(Duration::from_millis(9_999));
    assert_eq!(world.sweeps, []);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.sweeps, [Signal::TERM]);
    world.exits("a", Exit::Signal(Signal::TERM));
    assert_eq!(world.reports().last().unwrap(), "exited a#1 failed");
    let mut other = one();
    say_stop(&mut other, "cut");
    other.exits("a", Exit::Code(0));
    assert!(other.reports().contains(&"exited a#1 passed".to_owned()));
    assert_eq!(other.sweeps.first(), Some(&Signal::TERM));
}

#[test]
fn jobs_get_their_time_again_if_the_controller_was_away_while_they_finished() {
    let mut world = one();
    say_stop(&mut world, "finish");
    world.reconnect(Some("r1"), 0);
    say_stop(&mut world, "cut");
    world.reconnect(Some("r1"), 0);
    say_stop(&mut world, "cut");
    world.pass(Duration::from_secs(8));
    assert_eq!(world.sweeps, []);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.sweeps, [Signal::TERM]);
}

#[test]
fn a_slave_searches_from_time_to_time_for_processes_that_commands_left() {
    let mut world = one();
    world.pass(Duration::from_secs(1));
    assert_eq!(world.sweeps, []);
    world.left = vec![1; 3].into();
    world.exits("a", Exit::Code(0));
    world.pass(Duration::from_millis(19));
    assert_eq!(world.sweeps, []);
    world.pass(Duration::from_millis(1 + 40 + 80));
    assert_eq!(world.sweeps, [Signal::NONE; 3]);
    assert!(!world.reports().contains(&"cleared".to_owned()));
    world.pass(Duration::from_millis(160));
    assert_eq!(world.reports(), ["cleared"]);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.sweeps.len(), 4);
}

#[test]
fn a_job_that_a_poke_begins_as_the_run_ends_is_awaited() {
    let mut world =
        World::running(json!([shell("quick", json!({"at": 0}), json!({})), shell("poked", json!("poke"), json!({}))]));
    world.exits("quick", Exit::Code(0));
    assert_eq!(world.reports().last().unwrap(), "idle 0");
    world.signal(Signal::USR1);
    say_stop(&mut world, "cut");
    assert_eq!(world.sweeps, []);
    world.exits("poked", Exit::Code(1));
    assert!(world.reports().contains(&"exited poked#1 failed".to_owned()));
    assert_eq!(world.sweeps.first(), Some(&Signal::TERM));
}

#[test]
fn leftover_processes_get_the_rest_of_the_grace_and_are_then_killed() {
    let mut world = one();
    world.left = [1].into();
    stop(&mut world, false);
    world.left = vec![1; 1_000].into();
    world.exits("a", Exit::Signal(Signal::TERM));
    world.pass(Duration::from_secs(9));
    assert!(world.sweeps[1..].iter().all(|signal| *signal == Signal::NONE), "{:?}", world.sweeps);
    world.left = vec![1; 5].into();
    world.pass(Duration::from_secs(2));
    assert!(world.sweeps.contains(&Signal::KILL), "{:?}", world.sweeps);
    assert_eq!(world.left.len(), 0);
    world.record_all();
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn processes_that_cannot_be_killed_are_reported_and_delay_nothing() {
    let mut world = one();
    stop(&mut world, false);
    world.left = vec![3; 1_000].into();
    world.exits("a", Exit::Code(0));
    world.pass(Duration::from_secs(60));
    let trouble = world.reports().into_iter().find(|report| report.starts_with("trouble"));
    assert_eq!(trouble.as_deref(), Some("trouble: 3 processes of this run cannot be killed and are left"));
}

#[test]
fn a_search_that_is_impossible_is_reported_once_as_a_warning() {
    let mut world = one();
    stop(&mut world, false);
    for _ in 0..2 {
        world.input(Input::Unseen { why: "/proc is not ours".to_owned() });
    }
    world.exits("a", Exit::Signal(Signal::TERM));
    let warnings = world.reports().into_iter().filter(|report| report.contains("/proc is not ours"));
    assert_eq!(warnings.collect::<Vec<_>>(), ["warning: /proc is not ours"]);
}

#[test]
fn a_timeout_no_longer_counts_once_the_end_has_begun() {
    let mut world = World::running(json!([shell("a", json!({"at": 0}), json!({"timeout": 2_000_000}))]));
    stop(&mut world, false);
    world.pass(Duration::from_secs(3));
    world.exits("a", Exit::Signal(Signal::TERM));
    assert_eq!(world.reports().last().unwrap(), "exited a#1 stopped");
}

#[test]
fn finally_entries_run_after_all_others_and_within_the_grace() {
    let mut world = World::running(json!([
        shell("a", json!({"at": 0}), json!({})),
        shell("f", json!("finally"), json!({})),
        shell("g", json!("finally"), json!({}))
    ]));
    stop(&mut world, false);
    assert_eq!(world.started(), ["a"]);
    world.exits("a", Exit::Signal(Signal::TERM));
    assert_eq!(world.started(), ["a", "f", "g"]);
    world.exits("f", Exit::Code(0));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.kills, [("g".to_owned(), Signal::TERM)]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.kills.last(), Some(&("g".to_owned(), Signal::KILL)));
    world.exits("g", Exit::Signal(Signal::KILL));
    assert_eq!(world.reports().last().unwrap(), "exited g#1 failed");
    world.tell(json!({"type": "recorded", "run": "r1", "seq": 100}));
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn nothing_new_starts_once_the_end_has_begun() {
    let mut world = World::running(json!([
        shell("a", json!({"at": 0}), json!({})),
        shell("later", json!({"at": 1_000_000}), json!({})),
        shell("then", json!({"after": {"of": [{"entry": "a"}]}}), json!({})),
        shell("p", json!("poke"), json!({})),
        shell("t", json!({"trigger": "go"}), json!({}))
    ]));
    stop(&mut world, false);
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go"}));
    world.signal(Signal::USR1);
    world.pass(Duration::from_secs(2));
    world.exits("a", Exit::Code(0));
    assert_eq!(world.started(), ["a"]);
}

#[test]
fn a_signal_after_the_end_trigger_is_no_failure() {
    let mut world = World::new();
    world.run(json!({"entries": [shell("a", json!({"at": 0}), json!({}))], "end_trigger": "end"}));
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "end"}));
    world.exits("a", Exit::Code(143));
    assert!(world.reports().contains(&"exited a#1 stopped".to_owned()));
}

#[test]
fn the_slave_has_stopped_only_when_everything_it_sent_is_answered() {
    let mut world = one();
    world.files.insert("/d/r1/output/a.out".into(), b"hello".to_vec());
    stop(&mut world, false);
    world.exits("a", Exit::Signal(Signal::TERM));
    assert_eq!(world.take_said("stopped").len(), 0);
    let output: Vec<Value> = world.take_said("output");
    assert_eq!(
        (&output[0]["file"], &output[0]["offset"], &output[0]["data"]),
        (&json!("a.out"), &json!(0), &json!("aGVsbG8="))
    );
    world.tell(json!({"type": "recorded", "run": "r1", "seq": 100}));
    assert_eq!(world.take_said("stopped").len(), 0);
    world.tell(json!({"type": "kept", "run": "r1", "file": "a.out", "length": 5}));
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn collected_files_are_shipped_at_the_end() {
    let mut world = World::running(json!([shell("a", json!({"at": 0}), json!({"collect": ["*.log"]}))]));
    world.files.insert("/d/r1/work/x.log".into(), b"log".to_vec());
    stop(&mut world, false);
    world.exits("a", Exit::Code(0));
    assert_eq!(world.take_said("output")[0]["file"], "a.files/x.log");
}

#[test]
fn an_empty_file_is_collected_too_and_a_refused_one_does_not_delay_the_end() {
    let mut world = World::running(json!([shell("a", json!({"at": 0}), json!({"collect": ["*.log"]}))]));
    world.files.insert("/d/r1/work/empty.log".into(), Vec::new());
    world.files.insert("/d/r1/work/other.log".into(), b"other".to_vec());
    stop(&mut world, false);
    world.exits("a", Exit::Code(0));
    let outputs = world.take_said("output");
    assert_eq!((&outputs[0]["file"], &outputs[0]["data"]), (&json!("a.files/empty.log"), &json!("")));
    let no = json!({"type": "kept", "run": "r1", "file": "a.files/other.log", "length": 0, "refused": "too many"});
    world.tell(no.clone());
    world.tell(no);
    let warnings = world.reports().iter().filter(|report| report.starts_with("warning")).count();
    assert_eq!(warnings, 1);
    world.tell(json!({"type": "recorded", "run": "r1", "seq": 100}));
    assert_eq!(world.take_said("stopped").len(), 0, "the empty file was not confirmed");
    world.tell(json!({"type": "kept", "run": "r1", "file": "a.files/empty.log", "length": 0}));
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn the_group_of_a_timed_out_command_is_killed_after_the_grace() {
    let mut world = World::running(json!([shell("a", json!({"at": 0}), json!({"timeout": 1_000_000}))]));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.kills, [("a".to_owned(), Signal::TERM)]);
    world.exits("a", Exit::Signal(Signal::TERM));
    world.pass(Duration::from_secs(9));
    assert_eq!(world.kills.len(), 1);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.kills.last(), Some(&("a".to_owned(), Signal::KILL)));
}

#[test]
fn an_immediate_stop_kills_everything_and_ships_nothing() {
    let mut world =
        World::running(json!([shell("a", json!({"at": 0}), json!({})), shell("f", json!("finally"), json!({}))]));
    world.files.insert("/d/r1/output/a.out".into(), b"hello".to_vec());
    stop(&mut world, true);
    assert_eq!(world.kills, [("a".to_owned(), Signal::KILL)]);
    world.exits("a", Exit::Signal(Signal::KILL));
    assert!(world.sweeps.iter().all(|signal| *signal == Signal::KILL));
    assert_eq!(world.started(), ["a"]);
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn a_run_that_was_not_started_has_stopped_at_once() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({}));
    stop(&mut world, false);
    assert_eq!(world.take_said("stopped").len(), 1);
    assert_eq!(world.sweeps, []);
    stop(&mut world, false);
    assert_eq!(world.take_said("stopped").len(), 1, "each stop is answered");
    world.tell(json!({"type": "dismissed", "run": "r1", "verdict": "failed"}));
    assert_eq!(removed(&world.spawned[0].1.argv), Some(&["r1".to_owned()][..]));
    stop(&mut world, false);
    assert_eq!(world.take_said("stopped").len(), 1, "also if the run is unknown");
}

#[test]
fn a_dismissed_run_leaves_no_directory_and_the_next_run_can_begin() {
    let mut world = one();
    world.exits("a", Exit::Code(0));
    stop(&mut world, false);
    world.record_all();
    world.tell(json!({"type": "dismissed", "run": "r1", "verdict": "passed"}));
    assert_eq!(removed(&world.spawned[1].1.argv), Some(&["r1".to_owned()][..]));
    world.tell(json!({"type": "prepare", "run": "r2", "test": "t", "grace": 0, "entries": []}));
    assert_eq!(world.take_said("ready").len(), 0, "not before the directory is gone");
    world.exits("rm", Exit::Code(0));
    assert_eq!(world.take_said("ready")[0]["run"], "r2");
    assert_eq!(world.exit, None);
}

#[test]
fn a_slave_for_one_run_exits_after_it() {
    let mut world = World::with(|config| {
        config.once = true;
        config.keep = true;
    });
    world.run(json!({}));
    stop(&mut world, false);
    world.record_all();
    assert_eq!(world.exit, None);
    world.tell(json!({"type": "dismissed", "run": "r1", "verdict": "failed"}));
    assert_eq!(world.exit, Some(0));
    assert!(world.spawned.is_empty(), "the directory is kept");
}

#[test]
fn a_slave_on_sigterm_stops_its_run_says_bye_and_exits() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130)] {
        let mut world = one();
        world.signal(signal);
        assert_eq!((world.exit, &world.sweeps[..]), (None, &[Signal::TERM][..]));
        world.exits("a", Exit::Signal(Signal::TERM));
        world.record_all();
        world.exits("rm", Exit::Code(0));
        assert_eq!(world.exit, Some(code));
        let bye = world.said.iter().find(|message| message["type"] == "bye");
        assert_eq!(bye.map(|bye| &bye["fatal"]), Some(&json!(false)));
    }
}

#[test]
fn a_slave_that_ends_its_part_before_the_run_ends_says_so() {
    let ends = |finishing: bool, told: bool| {
        let mut world = one();
        if finishing {
            say_stop(&mut world, "finish");
        }
        if told {
            stop(&mut world, false);
        }
        world.signal(Signal::TERM);
        world.exits("a", Exit::Signal(Signal::TERM));
        world.record_all();
        world.take_said("stopped").pop().expect("it has stopped")["by_itself"].clone()
    };
    assert_eq!(ends(false, false), json!(true));
    assert_eq!(ends(true, false), json!(true));
    assert_eq!(ends(true, true), Value::Null);
}

#[test]
fn a_slave_that_must_exit_begins_no_run() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"entries": [shell("a", json!({"at": 0}), json!({}))]}));
    world.tell(json!({"type": "start", "run": "r1", "at": world.now.as_micros() + AHEAD + 1_000}));
    world.now = world.now + Duration::from_millis(1);
    world.signal(Signal::TERM);
    assert!(world.started().is_empty(), "{:?}", world.started());
    assert_eq!(world.take_said("stopped").len(), 1);
    world.exits("rm", Exit::Code(0));
    assert_eq!(world.exit, Some(0));
}

#[test]
fn a_slave_that_must_exit_waits_only_seconds_for_a_silent_controller() {
    let mut world = one();
    world.signal(Signal::TERM);
    world.exits("a", Exit::Signal(Signal::TERM));
    world.pass(Duration::from_secs(4));
    world.exits("rm", Exit::Code(0));
    assert_eq!(world.exit, Some(0));
}

#[test]
fn an_idle_slave_exits_at_once_on_a_signal_and_a_busy_one_on_the_second() {
    let mut idle = World::new();
    idle.signal(Signal::INT);
    assert_eq!(idle.exit, Some(130));
    let mut busy = one();
    busy.signal(Signal::TERM);
    busy.signal(Signal::TERM);
    assert_eq!(busy.kills, [("a".to_owned(), Signal::KILL)]);
    assert_eq!(busy.sweeps.last(), Some(&Signal::KILL));
    assert_eq!(busy.exit, Some(130));
}

#[test]
fn a_notify_that_waits_does_not_delay_the_end() {
    let mut world = World::running(json!([entry("n", json!({"at": 0}), json!({"notify": {"trigger": "go"}}))]));
    stop(&mut world, false);
    assert_eq!(world.reports().last().unwrap(), "exited n#1 stopped");
    world.tell(json!({"type": "recorded", "run": "r1", "seq": 100}));
    assert_eq!(world.take_said("stopped").len(), 1);
}
