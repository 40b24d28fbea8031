//! Scenarios: from the hello to the runs of entries.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::world::{AHEAD, World, entry, shell};
use crate::machine::{Command, Exit, Input, Signal};

#[test]
fn hello_comes_first_and_names_no_run() {
    let mut world = World::new();
    let hello = world.connect(None, 0);
    assert_eq!(hello["name"], "node1");
    assert_eq!(hello["incarnation"], "abc");
    assert_eq!(hello.get("run"), None);
}

#[test]
fn the_slave_is_ready_only_when_its_clock_is_measured() {
    let mut world = World::new();
    world.pongs = None;
    world.connect(None, 0);
    world.prepare(json!({}));
    assert_eq!(world.take_said("ready").len(), 0);
    world.pongs = Some(AHEAD);
    world.pass(Duration::from_secs(6));
    assert_eq!(world.take_said("ready").len(), 1);
}

#[test]
fn resources_are_fetched_checked_and_written_before_the_slave_is_ready() {
    let mut world = World::new();
    world.connect(None, 0);
    let hash: String = Sha256::digest(b"hello").iter().map(|byte| format!("{byte:02x}")).collect();
    let empty: String = Sha256::digest(b"").iter().map(|byte| format!("{byte:02x}")).collect();
    world.prepare(json!({"resources": [
        {"name": "none", "file": "none", "size": 0, "sha256": empty},
        {"name": "r", "file": "x.txt", "size": 5, "sha256": hash, "executable": true}]}));
    let fetch = world.take_said("fetch");
    assert_eq!((fetch.len(), &fetch[0]["resource"], &fetch[0]["offset"]), (1, &json!("r"), &json!(0)));
    assert_eq!(world.take_said("ready").len(), 0);
    world.tell(json!({"type": "chunk", "run": "r1", "resource": "r", "offset": 0, "data": "aGVsbG8="}));
    assert_eq!(world.take_said("ready").len(), 1);
    assert_eq!(world.files[std::path::Path::new("/d/r1/resources/r/x.txt")], b"hello");
    assert!(world.files.contains_key(std::path::Path::new("/d/r1/resources/none/none")));
}

#[test]
fn at_most_four_pieces_of_a_resource_are_outstanding() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"resources": [{"name": "r", "file": "x", "size": 10_000_000, "sha256": ""}]}));
    assert_eq!(world.take_said("fetch").len(), 4);
}

#[test]
fn a_resource_with_another_hash_makes_the_slave_unready() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"resources": [{"name": "r", "file": "x", "size": 5, "sha256": "00"}]}));
    world.tell(json!({"type": "chunk", "run": "r1", "resource": "r", "offset": 0, "data": "aGVsbG8="}));
    let reason = world.take_said("unready")[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("SHA-256"), "{reason}");
}

#[test]
fn a_name_that_leads_out_of_the_directory_makes_the_slave_unready() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"resources": [{"name": "r", "file": "../x", "size": 0, "sha256": "00"}]}));
    assert_eq!(world.take_said("unready").len(), 1);
    world.tell(json!({"type": "stop", "run": "r1", "reason": "unready", "how": "stop"}));
    assert_eq!(world.take_said("stopped").len(), 1);
}

#[test]
fn at_entries_run_relative_to_the_start_on_the_controllers_clock() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"entries": [
        shell("late", json!({"at": 2_000_000}), json!({})), shell("first", json!({"at": 0}), json!({}))]}));
    world.tell(json!({"type": "start", "run": "r1", "at": world.now.as_micros() + AHEAD + 500_000}));
    world.pass(Duration::from_millis(499));
    assert_eq!(world.started(), [""; 0]);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.started(), ["first"]);
    assert_eq!(world.reports(), ["begun", "spawned first#1"]);
    world.pass(Duration::from_millis(1_999));
    assert_eq!(world.started(), ["first"]);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.started(), ["first", "late"]);
}

#[test]
fn a_start_that_has_passed_starts_at_once_and_in_order() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"entries": [
        shell("b", json!({"at": 20}), json!({})), shell("a", json!({"at": 10}), json!({}))]}));
    world.tell(json!({"type": "start", "run": "r1", "at": world.now.as_micros() + AHEAD - 100}));
    assert_eq!(world.started(), ["a", "b"]);
    assert_eq!(world.take_said("report")[0]["late"], 0.0001);
}

#[test]
fn a_command_gets_its_environment_directory_and_variables() {
    let mut world = World::running(json!([shell(
        "a",
        json!({"at": 0}),
        json!({
        "command": ["x '@{arete-slave-poke}' @{slave.name} @@{y}"], "cwd": "sub", "env": {"W": "@{slave.workdir}"}})
    )]));
    let command = &world.spawned[0].1;
    assert_eq!(command.argv, ["/bin/sh", "-c", "x 'kill -USR1 4242' node1 @{y}"]);
    assert_eq!(command.cwd.as_deref().unwrap().to_str(), Some("/d/r1/work/sub"));
    assert_eq!(command.stdout.as_deref().unwrap().to_str(), Some("/d/r1/output/a.out"));
    let env: Vec<String> = command.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected = [
        "ARETE_SOCKET=/s/sock",
        "ARETE_SLAVE=node1",
        "ARETE_DIR=/d",
        "ARETE_RUN=r1",
        "ARETE_ENTRY=a",
        "ARETE_ENTRY_NR=1",
        "W=/d/r1/work",
    ];
    assert_eq!(env, expected);
    assert!(command.arete_on_path);
    world.exits("a", Exit::Code(0));
    assert_eq!(world.reports(), ["begun", "spawned a#1", "exited a#1 passed", "idle 0"]);
}

#[test]
fn a_slave_that_serves_under_another_name_does_so_in_this_run_only() {
    let entries =
        json!([shell("a", json!({"at": 0}), json!({"command": ["x @{slave.name} @{any1.address} @{any2.address}"]}))]);
    let mut world = World::new();
    world.run(json!({"serve_as": "any2", "entries": entries, "addresses": {"any1": "192.0.2.1", "any2": "192.0.2.9"}}));
    let slave = |command: &Command| command.env.iter().find(|(name, _)| name == "ARETE_SLAVE").unwrap().1.clone();
    let command = &world.spawned[0].1;
    assert_eq!(command.argv[2], "x any2 192.0.2.1 192.0.2.9");
    assert_eq!(slave(command), "any2");
    world.prepare(json!({"run": "r2", "entries": [shell("b", json!({"at": 0}), json!({}))]}));
    world.exits("a", Exit::Signal(Signal::KILL));
    world.exits("rm", Exit::Code(0));
    assert_eq!(world.take_said("ready")[0]["run"], "r2");
    world.tell(json!({"type": "start", "run": "r2", "at": world.now.as_micros() + AHEAD}));
    assert_eq!(slave(&world.spawned.last().unwrap().1), "node1");
}

#[test]
fn a_slave_cannot_serve_under_a_name_that_is_not_valid() {
    let mut world = World::new();
    world.connect(None, 0);
    world.prepare(json!({"serve_as": "../a"}));
    let unready = world.take_said("unready");
    let reason = unready[0]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("\"../a\" cannot name a slave: a name has"), "{reason}");
    assert!(world.spawned.is_empty());
}

#[test]
fn the_pid_of_an_entry_is_that_of_its_running_process_and_never_stale() {
    let entries = json!([
        shell("uses", json!({"at": 0}), json!({"command": ["kill @{srv.pid}"]})),
        shell("srv", json!({"at": 0}), json!({})),
        shell("again", json!({"trigger": "go"}), json!({"command": ["kill @{srv.pid}"]}))
    ]);
    let mut world = World::running(entries);
    assert_eq!(world.reports()[1], "exited uses#1 failed", "srv has not started yet");
    world.exits("srv", Exit::Code(0));
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go"}));
    let exited = world.take_said("report").into_iter().find(|it| it["entry"] == "again").unwrap();
    let why = exited["why"].as_str().unwrap();
    assert!(why.contains("@{srv.pid}") && why.contains("does not run") && why.contains("@{slave.name}"), "{why}");
    assert_eq!(world.started(), ["srv"]);
}

#[test]
fn a_command_waits_for_the_pid_of_one_that_is_just_starting() {
    let world = World::running(json!([
        shell("srv", json!({"at": 0}), json!({})),
        shell("uses", json!({"at": 0}), json!({"command": ["kill @{srv.pid}"]}))
    ]));
    assert_eq!(world.spawned[1].1.argv[2], "kill 101");
}

#[test]
fn after_runs_on_the_exit_that_it_names() {
    let mut world = World::running(json!([
        shell("a", json!({"at": 0}), json!({"expect": "any"})),
        shell("any", json!({"after": {"of": [{"entry": "a"}]}}), json!({})),
        shell("bad", json!({"after": {"of": [{"entry": "a", "when": {"exited": {"code": 3}}}]}}), json!({})),
        shell("good", json!({"after": {"of": [{"entry": "a", "when": {"exited": {"code": 0}}}]}}), json!({}))
    ]));
    world.exits("a", Exit::Code(3));
    assert_eq!(world.started(), ["a", "any", "bad"]);
}

#[test]
fn an_entry_waits_for_several_others_and_for_its_delay() {
    let both = json!([{"entry": "a"}, {"entry": "b", "when": "failed"}]);
    let mut world = World::running(json!([
        shell("a", json!({"at": 0}), json!({})),
        shell("b", json!({"at": 0}), json!({})),
        shell("all", json!({"after": {"of": both, "delay": 2_000_000}}), json!({})),
        shell("any", json!({"after": {"of": both, "any": true}}), json!({}))
    ]));
    world.exits("b", Exit::Code(1));
    assert_eq!(world.started(), ["a", "b", "any"]);
    world.exits("a", Exit::Code(0));
    world.exits("any", Exit::Code(0));
    world.reports();
    world.pass(Duration::from_micros(1_900_000));
    assert_eq!(world.reports(), ["cleared"], "a slave that waits for a delay is not idle");
    world.pass(Duration::from_micros(200_000));
    assert_eq!(world.started(), ["a", "b", "any", "all"]);
}

#[test]
fn a_delay_ends_with_the_run_and_the_entry_does_not_begin() {
    let mut world = World::running(json!([
        shell("a", json!({"at": 0}), json!({})),
        shell("b", json!({"after": {"of": [{"entry": "a"}], "delay": 2_000_000}}), json!({}))
    ]));
    world.exits("a", Exit::Code(0));
    world.tell(json!({"type": "stop", "run": "r1", "reason": "x", "how": "finish"}));
    world.pass(Duration::from_micros(3_000_000));
    assert_eq!(world.started(), ["a"]);
}

#[test]
fn a_job_that_fails_is_tried_again_and_passes_at_a_later_attempt() {
    let retries = json!({"times": 2, "delay": 1_000_000});
    let mut world = World::running(json!([
        shell("a", json!({"at": 0}), json!({"retries": retries})),
        shell("then", json!({"after": {"of": [{"entry": "a"}]}}), json!({}))
    ]));
    world.exits("a", Exit::Code(1));
    assert_eq!(world.reports(), ["begun", "spawned a#1", "exited a#1 retried"]);
    world.pass(Duration::from_micros(900_000));
    assert_eq!(world.started(), ["a"], "its delay is not over");
    world.pass(Duration::from_micros(200_000));
    assert_eq!(world.reports(), ["cleared", "spawned a#2"]);
    assert!(world.spawned[1].1.stdout.as_deref().unwrap().ends_with("a.2.out"));
    world.exits("a", Exit::Code(0));
    let exited = world.take_said("report").into_iter().find(|it| it["event"] == "exited").unwrap();
    assert_eq!((&exited["outcome"], &exited["attempt"]), (&json!("passed"), &json!(2)));
    assert_eq!(world.started(), ["a", "a", "then"]);
}

#[test]
fn the_last_attempt_fails_and_one_that_was_killed_or_cut_off_is_the_last() {
    let retries = json!({"times": 1, "delay": 1_000_000});
    let job = || shell("a", json!({"at": 0}), json!({"retries": retries}));
    let mut world = World::running(json!([job()]));
    world.exits("a", Exit::Code(1));
    world.pass(Duration::from_micros(1_100_000));
    world.exits("a", Exit::Code(1));
    assert!(world.reports().contains(&"exited a#2 failed".to_owned()));
    let kill = || entry("k", json!("poke"), json!({"kill": {"entry": "a", "signal": "SIGTERM"}}));
    let mut world = World::running(json!([job(), kill()]));
    world.exits("a", Exit::Code(1));
    world.reports();
    world.signal(Signal::USR1);
    let expected = ["poked  by signal", "spawned k#1", "exited a#2 stopped", "exited k#1 passed", "idle 0"];
    assert_eq!(world.reports(), expected, "a kill ends the wait for an attempt");
    let mut world = World::running(json!([job()]));
    world.exits("a", Exit::Code(1));
    world.reports();
    world.tell(json!({"type": "stop", "run": "r1", "reason": "x", "how": "cut"}));
    world.pass(Duration::from_micros(60_000_000));
    world.exits("a", Exit::Signal(Signal::TERM));
    assert!(world.reports().contains(&"exited a#2 failed".to_owned()), "the end of the run does not forget a job");
}

#[test]
fn a_notify_may_have_data_with_variables() {
    let action = json!({"notify": {"trigger": "go", "data": {"who": "@{slave.name}", "n": 1}}});
    let mut world = World::running(json!([entry("n", json!({"at": 0}), action)]));
    assert_eq!(world.take_said("notify")[0]["data"], json!({"who": "node1", "n": 1}));
}

#[test]
fn a_signal_pokes_all_and_numbers_their_runs() {
    let mut world = World::running(json!([shell("p", json!("poke"), json!({})), shell("q", json!("poke"), json!({}))]));
    world.reports();
    world.signal(Signal::USR1);
    world.signal(Signal::USR1);
    let expected = ["poked  by signal", "spawned p#1", "spawned q#1", "poked  by signal", "spawned p#2", "spawned q#2"];
    assert_eq!(world.reports(), expected);
    assert!(world.spawned[2].1.stdout.as_deref().unwrap().ends_with("p.2.out"));
}

#[test]
fn a_trigger_that_is_sent_twice_acts_once_and_settles_with_its_entries() {
    let mut world = World::running(json!([
        shell("t", json!({"trigger": "go"}), json!({})),
        shell("then", json!({"after": {"of": [{"entry": "t"}]}}), json!({}))
    ]));
    assert_eq!(world.reports(), ["begun", "idle 0"]);
    for _ in 0..2 {
        world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go"}));
    }
    assert_eq!(world.reports(), ["heard go", "spawned t#1"]);
    world.exits("t", Exit::Code(0));
    assert_eq!(world.reports(), ["exited t#1 passed", "spawned then#1"]);
    world.exits("then", Exit::Code(1));
    assert_eq!(world.reports(), ["exited then#1 failed", "settled go", "idle 1"]);
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "end"}));
    assert_eq!(world.reports(), ["heard end", "settled end", "idle 2"]);
}

#[test]
fn a_notify_entry_goes_on_until_the_controller_has_counted_it() {
    let mut world = World::running(json!([entry("n", json!({"at": 0}), json!({"notify": {"trigger": "go"}}))]));
    assert_eq!(world.take_said("notify")[0]["count"], 1);
    assert_eq!(world.reports(), ["begun", "spawned n#1"]);
    world.tell(json!({"type": "noted", "room": "r1", "trigger": "go", "count": 1, "left": 0}));
    assert_eq!(world.reports(), ["exited n#1 passed", "idle 0"]);
}

#[test]
fn a_kill_entry_stops_running_commands_and_passes_without_any() {
    let mut world = World::running(json!([
        shell("srv", json!({"at": 0}), json!({})),
        entry("stop", json!("poke"), json!({"kill": {"entry": "srv", "signal": "SIGTERM"}}))
    ]));
    world.signal(Signal::USR1);
    assert_eq!(world.kills, [("srv".to_owned(), Signal::TERM)]);
    world.exits("srv", Exit::Signal(Signal::TERM));
    world.signal(Signal::USR1);
    let reports = world.reports().join(", ");
    assert!(reports.contains("exited stop#1 passed, exited srv#1 stopped"), "{reports}");
    assert!(reports.contains("exited stop#2 passed"), "{reports}");
}

#[test]
fn the_group_of_a_process_that_died_of_a_signal_gets_the_same_signal() {
    let mut world = World::running(json!([shell("srv", json!({"at": 0}), json!({}))]));
    world.exits("srv", Exit::Signal(Signal::INT));
    assert_eq!(world.kills, [("srv".to_owned(), Signal::INT)]);
    assert_eq!(world.reports()[2], "exited srv#1 failed");
}

#[test]
fn a_command_that_runs_too_long_gets_sigterm_then_sigkill_and_has_failed() {
    let mut world = World::running(json!([shell("a", json!({"at": 0}), json!({"timeout": 2_000_000}))]));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.kills, [("a".to_owned(), Signal::TERM)]);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.kills[1..], [("a".to_owned(), Signal::KILL)]);
    world.exits("a", Exit::Signal(Signal::KILL));
    let exited = world.take_said("report").into_iter().find(|it| it["event"] == "exited").unwrap();
    assert_eq!((&exited["outcome"], &exited["why"]), (&json!("failed"), &json!("ran longer than 2s")));
}

#[test]
fn a_command_that_cannot_be_started_has_failed_and_counts_as_exited() {
    let mut world = World::running(json!([
        shell("a", json!({"trigger": "go"}), json!({})),
        shell("b", json!({"after": {"of": [{"entry": "a"}]}}), json!({}))
    ]));
    let child = crate::machine::ChildId(999);
    world.input(Input::SpawnFailed { child, error: "of another".into() });
    world.tell(json!({"type": "triggered", "room": "r1", "trigger": "go"}));
    assert_eq!(world.started(), ["a"]);
    let child = world.spawned[0].0;
    world.input(Input::SpawnFailed { child, error: "no memory".into() });
    assert_eq!(world.started(), ["a", "b"]);
}

#[test]
fn an_end_entry_requests_the_end() {
    let mut world = World::running(json!([entry("e", json!({"at": 0}), json!({"end": {"verdict": "failed"}}))]));
    assert_eq!(world.reports(), ["begun", "spawned e#1", "end e failed", "exited e#1 passed", "idle 0"]);
}

#[test]
fn garbage_from_the_controller_closes_the_connection_and_the_slave_tries_again() {
    let lines: [&[u8]; 5] =
        [b"GET / HTTP/1.1\r\n", b"\xff\xfe\n", b"{\"type\":\"?\"}\n", b"{\"type\":\"start\"}\n", b"[]\n"];
    for line in lines {
        let mut world = World::running(json!([shell("a", json!({"at": 0}), json!({}))]));
        let conn = world.conn.unwrap();
        world.input(Input::Received { conn, bytes: line });
        assert_eq!(world.closed, [conn], "{line:?}");
        world.pass(Duration::from_secs(2));
        let hello = world.connect(Some("r1"), 0);
        assert_eq!(hello["run"], "r1");
        assert_eq!(world.kills, []);
    }
}

/// The report of a start ends the idleness that was reported before.
#[test]
fn a_slave_is_idle_again_once_its_service_is_known_to_run() {
    let mut world = World::running(json!([shell("srv", json!({"at": 0}), json!({"service": true}))]));
    assert_eq!(world.reports().last().map(String::as_str), Some("idle 0 with services"));
    world.exits("srv", Exit::Code(0));
    assert_eq!(world.reports().last().map(String::as_str), Some("idle 0"));
}
