//! Members meet: from a shell at a controller without a run, at one of themselves, and inside a run.

#![forbid(unsafe_code)]

mod common;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{Ended, Needed, Place, Running, SOON, have, skip, wait_for};
use rustix::process::Signal;

/// A controller without a run, and its address.
fn controller(place: &Place) -> (Running<'_>, String) {
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    (controller, address)
}

/// Starts `arete WORDS --controller ADDRESS`.
fn at<'a>(place: &'a Place, address: &str, words: &[&str]) -> Running<'a> {
    place.arete(words).arg("--controller").arg(address).start()
}

fn barrier<'a>(place: &'a Place, address: &str, name: &str, more: &[&str]) -> Running<'a> {
    at(place, address, &[&["barrier", "up", "--as", name], more].concat())
}

/// An address without a listener.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("it has an address").to_string()
}

fn released(ended: Ended) {
    let ended = ended.exits_with(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
}

#[test]
fn two_processes_meet_at_a_bare_controller_and_again_at_the_same_tag() {
    let place = Place::new("meet");
    let (_controller, address) = controller(&place);
    for _ in 0..3 {
        let mut first = barrier(&place, &address, "a", &["--members", "a,b#1"]);
        std::thread::sleep(Duration::from_millis(100));
        assert!(first.is_running());
        let second = barrier(&place, &address, "b#1", &["--members", "b#1,a"]);
        released(first.wait());
        released(second.wait());
    }
}

#[test]
fn any_three_meet_at_one_instant() {
    let place = Place::new("count");
    let (_controller, address) = controller(&place);
    let members = ["a", "b", "c"].map(|name| barrier(&place, &address, name, &["--count", "3", "--harmonize"]));
    for member in members {
        released(member.wait());
    }
}

#[test]
fn a_timeout_names_the_missing_members() {
    let place = Place::new("missing");
    let (_controller, address) = controller(&place);
    let waits = barrier(&place, &address, "a", &["--members", "a,b,client[1-2]", "--timeout", "500ms"]);
    let ended = waits.wait().exits_with(3).complains(&["barrier up", "b, client[1-2]"]);
    assert!(ended.took >= Duration::from_millis(500) && ended.took < Duration::from_secs(5), "{:?}", ended.took);
}

#[test]
fn an_abort_reaches_all_members_with_its_reason() {
    let place = Place::new("abort");
    let (_controller, address) = controller(&place);
    let first = barrier(&place, &address, "a", &["--members", "a,b,c"]);
    std::thread::sleep(Duration::from_millis(100));
    let abort = barrier(&place, &address, "b", &["--members", "a,b,c", "--abort", "no disk"]);
    for member in [first, abort, barrier(&place, &address, "c", &["--members", "a,b,c"])] {
        member.wait().exits_with(4).complains(&["b", "no disk"]);
    }
}

#[test]
fn members_that_disagree_learn_which_parties_were_named_and_strangers_are_refused() {
    let place = Place::new("disagree");
    let (_controller, address) = controller(&place);
    let first = barrier(&place, &address, "a", &["--members", "a,b"]);
    std::thread::sleep(Duration::from_millis(100));
    barrier(&place, &address, "x", &["--members", "a,b"]).wait().exits_with(1).complains(&["x"]);
    let second = barrier(&place, &address, "b", &["--members", "a,b,c"]);
    for member in [first, second] {
        member.wait().exits_with(1).complains(&["a says [a, b]", "b says [a, b, c]"]);
    }
}

#[test]
fn a_member_that_is_killed_is_lost_after_its_time_to_return() {
    let place = Place::new("lost");
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--rejoin", "1s"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    let survivor = barrier(&place, &address, "a", &["--members", "a,b,c"]);
    let victim = barrier(&place, &address, "b", &["--members", "a,b,c"]);
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    victim.signal(Signal::KILL);
    survivor.wait().exits_with(5).complains(&["b was lost"]);
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
    let logged = ["b is away from barrier up", "b is lost to barrier up", "barrier up: b was lost"];
    let logged = logged.map(|what| format!("arete: room default: {what}\n"));
    wait_for(SOON, "the log of the death", || logged.iter().all(|line| controller.stderr().contains(line)));
    assert_eq!(controller.stderr().lines().count(), 3, "arrivals are not logged: {}", controller.stderr());
}

#[test]
fn a_member_that_returns_with_its_name_takes_its_place_again() {
    let place = Place::new("back");
    let (_controller, address) = controller(&place);
    let first = barrier(&place, &address, "a", &["--members", "a,b"]);
    std::thread::sleep(Duration::from_millis(200));
    first.signal(Signal::KILL);
    assert!(!first.wait().status.success());
    let again = barrier(&place, &address, "a", &["--members", "a,b"]);
    std::thread::sleep(Duration::from_millis(200));
    released(barrier(&place, &address, "b", &["--members", "a,b"]).wait());
    released(again.wait());
}

#[test]
fn an_early_member_waits_for_the_controller_and_exits_with_6_without_an_answer() {
    let place = Place::new("early");
    let address = free_address();
    let early = ["a", "b"].map(|name| barrier(&place, &address, name, &["--members", "a,b", "--timeout", "30s"]));
    let in_vain = barrier(&place, &address, "c", &["--members", "c", "--timeout", "200ms"]);
    let ended = in_vain.wait().exits_with(6).complains(&["no verdict was heard within 200ms", "may have been"]);
    assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
    let _controller = place.arete(["controller", "--listen", &address]).start();
    for member in early {
        assert_eq!(member.wait().code(), 0);
    }
}

#[test]
fn a_controller_that_restarts_empty_learns_which_members_wait() {
    let place = Place::new("restart");
    let address = free_address();
    let first = place.arete(["controller", "--listen", &address]).start();
    let waits = barrier(&place, &address, "a", &["--members", "a,b"]);
    std::thread::sleep(Duration::from_millis(300));
    first.signal(Signal::KILL);
    let _ = first.wait();
    let _second = place.arete(["controller", "--listen", &address]).start();
    let other = barrier(&place, &address, "b", &["--members", "a,b"]);
    assert_eq!((waits.wait().code(), other.wait().code()), (0, 0));
}

#[test]
fn an_interrupted_member_leaves_at_once() {
    let place = Place::new("interrupt");
    let (_controller, address) = controller(&place);
    let waits = barrier(&place, &address, "a", &["--members", "a,b"]);
    std::thread::sleep(Duration::from_millis(300));
    waits.signal(Signal::INT);
    waits.wait().exits_with(130);
}

#[test]
fn a_member_serves_the_room_itself_until_the_others_have_their_verdict() {
    let place = Place::new("serve");
    let address = free_address();
    let words = |name: &'static str| ["sync", "s", "--members", "m,a,b", "--as", name, "--data", name];
    let others = ["a", "b"].map(|name| at(&place, &address, &words(name)));
    let master = place.arete(words("m")).arg("--serve").arg(&address).start();
    let map = "{\"a\":\"a\",\"b\":\"b\",\"m\":\"m\"}\n";
    assert_eq!(master.wait().exits_with(0).stdout, map);
    for member in others {
        assert_eq!(member.wait().exits_with(0).stdout, map);
    }
    let (_controller, taken) = controller(&place);
    let second = place.arete(words("m")).arg("--serve").arg(&taken).run();
    second.exits_with(7).complains(&["address already in use", &format!("--controller {taken}")]);
}

#[test]
fn a_sync_gives_all_members_the_same_map_of_any_json() {
    let place = Place::new("sync");
    let (_controller, address) = controller(&place);
    place.write("value.json", "{\"list\": [1,\n 2.50],\n\"x\": null}\n");
    let long = place.write("long.txt", "x".repeat(3_000_000));
    let sync = |name: &str, data: &str| {
        at(&place, &address, &["sync", "session-7", "--members", "a,b,c", "--as", name, "--data", data])
    };
    let members = [sync("a", "@value.json"), sync("b", "plain text"), sync("c", &format!("@{}", long.display()))];
    let maps = members.map(|member| member.wait().exits_with(0).stdout);
    assert!(maps[0] == maps[1] && maps[1] == maps[2], "not the same bytes");
    assert_eq!(maps[0].matches('\n').count(), 1);
    let map: serde_json::Value = serde_json::from_str(&maps[0]).expect("it is JSON");
    assert_eq!(map["a"], serde_json::json!({"list": [1, 2.5], "x": null}));
    assert_eq!(map["b"], "plain text");
    assert_eq!(map["c"].as_str().map(str::len), Some(3_000_000));
}

#[test]
fn the_data_of_a_sync_may_come_from_standard_input() {
    let place = Place::new("stdin");
    let (_controller, address) = controller(&place);
    let script = format!(
        "echo '{{\"n\": 1}}' | '{}' sync s --count 1 --as a --data - --controller {address}",
        env!("CARGO_BIN_EXE_arete")
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]);
    assert_eq!(place.program(shell).run().exits_with(0).stdout, "{\"a\":{\"n\": 1}}\n");
}

/// Runs a shell script in which `$arete` is the program and `$at` the controller's address.
fn shell(place: &Place, address: &str, script: &str) -> Ended {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script]).env("arete", env!("CARGO_BIN_EXE_arete")).env("at", address);
    place.program(shell).run()
}

#[test]
fn a_time_limit_counts_from_the_start_of_the_command() {
    let place = Place::new("slow-data");
    let (_controller, address) = controller(&place);
    let sync = "$arete sync s --members a,b --as a --data - --timeout 2s --controller $at";
    let ended = shell(&place, &address, &format!("(sleep 1.5; echo 1) | {sync}")).exits_with(3).complains(&["b"]);
    assert!(ended.took >= Duration::from_secs(2) && ended.took < Duration::from_secs(3), "{:?}", ended.took);
}

#[test]
fn a_value_that_never_ends_does_not_stop_the_time() {
    let place = Place::new("endless-data");
    let (_controller, address) = controller(&place);
    // A process that has both ends of a pipe never reads its end.
    let endless = |command: &str, code| {
        let begin = format!("mkfifo p$$; exec 3<>p$$; echo 1 >&3; {command} --timeout 500ms --controller $at <&3");
        let ended =
            shell(&place, &address, &begin).exits_with(code).complains(&["not complete within 500ms", "--data"]);
        assert!(ended.took >= Duration::from_millis(500) && ended.took < Duration::from_secs(3), "{:?}", ended.took);
    };
    endless("$arete sync s --members a,b --as a --data -", 6);
    endless("$arete sync s --members a,b --as a --data @p$$", 6);
    endless("$arete notify go --data -", 3);
}

#[test]
fn triggers_of_a_room_are_made_notified_with_data_and_waited_for() {
    let place = Place::new("triggers");
    let (_controller, address) = controller(&place);
    let run = |words: &[&str]| at(&place, &address, words).wait();
    run(&["trigger", "create", "go", "2"]).exits_with(0);
    run(&["trigger", "create", "go", "2"]).exits_with(0);
    assert_eq!(run(&["trigger", "list"]).exits_with(0).stdout, "go 2 of 2\n");
    let waits = at(&place, &address, &["wait", "go"]);
    run(&["notify", "go", "--as", "a", "--data", "{\"x\": 1}"]).exits_with(0);
    run(&["notify", "go", "--data", "hello"]).exits_with(0);
    let told = "a {\"x\": 1}\n- \"hello\"\n";
    assert_eq!(waits.wait().exits_with(0).stdout, told);
    assert_eq!(run(&["wait", "go"]).exits_with(0).stdout, told);
    assert_eq!(run(&["trigger", "list"]).exits_with(0).stdout, "go 0 of 2 fired\n");
    let late = run(&["notify", "go", "--as", "c", "--data", "late"]).exits_with(0);
    late.complains(&["notify go", "fired already", "is dropped"]);
    assert_eq!(run(&["notify", "go", "--as", "c"]).exits_with(0).stderr, "");
    assert_eq!(run(&["wait", "go"]).exits_with(0).stdout, told);
    assert_eq!(run(&["trigger", "list", "--room", "other"]).exits_with(0).stdout, "");
    run(&["trigger", "delete", "go"]).exits_with(0);
    run(&["notify", "go", "--as", "a"]).exits_with(1).complains(&["go"]);
}

#[test]
fn options_that_exclude_each_other_are_wrong_usage() {
    let place = Place::new("usage");
    for words in [
        &["barrier", "up", "--controller", "c", "--serve", "c", "--as", "a"][..],
        &["barrier", "up", "--controller", "c", "--members", "a"],
        &["barrier", "up", "--controller", "c", "--as", "#x"],
        &["barrier", "up", "--members", "a", "--count", "2", "--controller", "c", "--as", "a"],
        &["barrier", "up", "--count", "0", "--controller", "c", "--as", "a"],
        &["barrier", "up", "--members", "a,,b", "--controller", "c", "--as", "a"],
        &["sync", "s", "--controller", "c", "--as", "a"],
        &["trigger", "create", "go", "0", "--controller", "c"],
        &["trigger", "list"],
        &["wait", "go", "--room", "x"],
        &["controller"],
    ] {
        place.arete(words).run().exits_with(2).complains(&["arete: "]);
    }
    let limited =
        ["barrier up --as a --count 2", "sync s --as a --count 1 --data 1", "notify go", "wait go", "trigger list"];
    for words in limited.map(|words| format!("{words} --controller c --timeout 0")) {
        let ended = place.arete(words.split(' ')).run().exits_with(2);
        ended.complains(&["--timeout", "longer than 0", "leave it out"]);
    }
    for words in
        [&["barrier", "up", "--count", "2"][..], &["sync", "s", "--count", "2", "--data", "1"], &["wait", "go"]]
    {
        place.arete(words).run().exits_with(2).complains(&["ARETE_SOCKET", "--controller"]);
    }
}

#[test]
fn names_are_any_text_and_are_shown_harmlessly() {
    let place = Place::new("names");
    let (_controller, address) = controller(&place);
    let members = ["127.0.0.1#1", "host#", "\u{17b} b#c, d[1]"];
    let list = serde_json::to_string(&members).expect("they are strings");
    let sync =
        |name: &&str| at(&place, &address, &["sync", "127.0.0.1#1", "--as", name, "--members", &list, "--data", "1"]);
    let syncs: Vec<_> = members.iter().map(sync).collect();
    for ended in syncs.into_iter().map(Running::wait) {
        let map = "{\"127.0.0.1#1\":1,\"host#\":1,\"\u{17b} b#c, d[1]\":1}\n";
        assert_eq!(ended.exits_with(0).stdout, map);
    }
    let long = "x".repeat(255);
    released(barrier(&place, &address, &format!("{long}#{long}"), &["--count", "1"]).wait());
    let turned = ["barrier", "up\u{202e}", "--as", "a", "--members", "a,b\u{202e}", "--timeout", "200ms"];
    let ended = at(&place, &address, &turned).wait().exits_with(2);
    assert!(!ended.stderr.contains('\u{202e}'), "{}", ended.stderr);
}

#[test]
fn a_member_in_the_default_room_gets_a_hint_if_a_run_has_that_barrier() {
    let place = Place::new("elsewhere");
    let test = r#"{ "name": "t", "end": { "duration": 60 }, "barriers": { "up": { "count": 2 } },
        "schedules": { "s": [{ "name": "e", "poke": true, "shell": "true" }] }, "slaves": { "a": ["s"] } }"#;
    place.write("t.json", test);
    let mut run = place.arete(["run", "t.json", "--listen", "127.0.0.1:0", "--results", "results"]).start();
    run.wait_for_output("listening on 127.0.0.1:");
    let said = format!("{}{}", run.stdout(), run.stderr());
    let address = said.split("listening on ").nth(1).and_then(|rest| rest.split([',', '\n']).next());
    let mut waits = barrier(&place, address.expect("it says where"), "m", &["--count", "2"]);
    waits.wait_for_output("has a barrier \"up\": use --room t-");
    assert!(waits.is_running());
    waits.signal(Signal::TERM);
    waits.wait().exits_with(130);
}

#[test]
fn entries_that_abort_and_that_expect_it_pass() {
    let place = Place::new("expect");
    place.write(
        "t.json",
        r#"{ "name": "expect", "end": { "idle": true, "limit": "1min" },
  "barriers": { "up": { "members": ["a", "b", "c"] }, "alone": { "count": 9, "timeout": "200ms" } },
  "schedules": {
    "waits": [{ "name": "waits", "at": 0, "barrier": "up", "expect": "aborted" }],
    "aborts": [
      { "name": "aborts", "at": 0.2, "barrier": "up", "abort": "no disk on @{slave.name}" },
      { "name": "alone", "at": 0, "barrier": "alone", "expect": ["timed-out"] } ] },
  "slaves": { "a": ["waits"], "b": ["waits"], "c": ["aborts"] } }"#,
    );
    place.arete(["run", "t.json", "--results", "results"]).run().exits_with(0);
    assert!(place.read("results/events.jsonl").contains("c aborted: no disk on c"));
}

#[test]
fn a_mistyped_option_is_answered_with_the_right_one() {
    let place = Place::new("careless");
    let (_controller, address) = controller(&place);
    let long = "x".repeat(10_000);
    let wrong = |words: &[&str], code: i32, says: &[&str]| {
        let ended = place.arete(words).run().exits_with(code).complains(says);
        assert!(ended.stderr.starts_with("arete: ") && ended.stderr.len() < 500, "{}", ended.stderr);
    };
    let barrier = ["barrier", "up", "--as", "a", "--controller", &address];
    for (more, says) in [
        (&["--members", "a, b"][..], &["\" b\"", "no spaces"][..]),
        (&["--members", "a,"], &["a name is missing", "one comma"]),
        (&["--members", &long], &["--members \"xxx", "..."]),
        (&["--members", "@a b"], &["group of a test file", "a name has"]),
        (&["--count", "2", "--room", "a b"], &["--room: \"a b\" cannot name a room: a name has"]),
        (&["--count", "2", "--abort", " "], &["--abort: give a reason"]),
        (&["--count", "10001"], &["--count", "from 1 to 10000"]),
    ] {
        wrong(&[&barrier, more].concat(), 2, says);
    }
    wrong(&["barrier", &long, "--as", "a", "--controller", "c"], 2, &["barrier \"xxx", "...\": a name has"]);
    for nowhere in ["", "127.0.0.1:99999", ":7373", "127.0.0.1:0"] {
        let says = ["--controller \"", "write HOST or HOST:PORT"];
        wrong(&["barrier", "up", "--as", "a", "--count", "1", "--controller", nowhere], 2, &says);
    }
    let served = ["barrier", "up", "--as", "a", "--count", "1", "--serve", "127.0.0.1:0"];
    wrong(&served, 2, &["--serve \"127.0.0.1:0\"", "write HOST or HOST:PORT"]);
    let much = ["trigger", "create", "go", "1000000001", "--controller", &address];
    wrong(&much, 2, &["1000000001", "from 1 to 1000000000"]);
    wrong(
        &["wait", "go", "--controller", &address],
        1,
        &["no trigger \"go\" in room \"default\"", "arete trigger create"],
    );
    let absent = ["wait", "go", "--timeout", "100ms", "--controller", &free_address()];
    wrong(&absent, 3, &["not done within 100ms: the controller", "is out of reach"]);
    wrong(
        &["sync", "s", "--as", "a", "--count", "1", "--controller", &address, "--data", "@gone"],
        1,
        &["--data @gone: no such file"],
    );
    wrong(&["notify", "go", "--controller", &address, "--data", "@-"], 2, &["--data @-: standard input is - alone"]);
    wrong(
        &["barrier", "up", "--count", "1", "--as", "a", "--serve", "192.0.2.1:7", "--insecure"],
        7,
        &["--serve 192.0.2.1:7: cannot listen on 192.0.2.1:7: cannot assign", "of this machine"],
    );
    let no_slave = place.arete(["barrier", "up", "--count", "1"]).env("ARETE_SOCKET", "/gone").run().exits_with(1);
    no_slave.complains(&["no answer from the slave at /gone: no such file", "ARETE_SOCKET names"]);
    let bytes = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    let binary = place.arete(["notify", "go", "--controller", &address, "--data"]).arg(bytes).run();
    binary.exits_with(2).complains(&["arete: --data: the value is not UTF-8", "base64"]);
}

/// A run of three slaves with these commands, which ends when no command runs.
fn run_of(place: &Place, commands: [&str; 3]) {
    let [server, client1, client2] = commands.map(|command| serde_json::Value::from(command).to_string());
    place.write(
        "t.json",
        format!(
            r#"{{ "name": "members", "end": {{ "idle": true, "limit": "1min" }},
  "schedules": {{
    "server": [{{ "name": "main", "at": 0, "shell": {server} }}],
    "client1": [{{ "name": "main", "at": 0, "shell": {client1} }}],
    "client2": [{{ "name": "main", "at": 0, "shell": {client2} }}] }},
  "slaves": {{ "server": ["server"], "client1": ["client1"], "client2": ["client2"] }} }}"#
        ),
    );
    place.arete(["run", "t.json", "--results", "results"]).run().exits_with(0);
}

#[test]
fn commands_of_a_run_meet_as_their_slaves() {
    let place = Place::new("run");
    let barrier = "arete barrier server-up --members client1,client2,server --timeout 120s";
    let five = "arete barrier done --count 5";
    let more = "(arete barrier done --count 5 --as '#second' & arete barrier done --count 5; wait)";
    run_of(
        &place,
        [
            &format!("sleep 0.3; echo up > up; {barrier} && {five}"),
            &format!("{barrier} && {more}"),
            &format!("{barrier} && {more}"),
        ],
    );
}

#[test]
fn a_sync_gives_a_client_the_address_of_its_server() {
    if !have("jq") {
        return skip("a_sync_gives_a_client_the_address_of_its_server", "jq is not installed", Needed::Nowhere);
    }
    let place = Place::new("addresses");
    let line = r#"ip=$(arete sync addresses --members server,client1 --data "$(hostname -I)" | jq -r .server)"#;
    let line = format!("{line}; test \"$ip\" = \"$(hostname -I)\"");
    run_of(&place, [&line, &line, "true"]);
}

#[test]
fn an_abort_and_a_missing_member_reach_the_commands_of_a_run() {
    let place = Place::new("run-abort");
    let told = |code: i32, words: &str| format!("test $? = {code} && grep -q '{words}' err");
    let abort = |more: &str| format!("arete barrier server-up --members client1,client2,server {more} 2> err");
    let lonely = "arete barrier later --members server,ghost --timeout 300ms 2> err";
    run_of(
        &place,
        [
            &format!("{}; {}; {lonely}; {}", abort("--abort 'no disk'"), told(4, "no disk"), told(3, "ghost")),
            &format!("{}; {}", abort(""), told(4, "server.*no disk")),
            &format!("{}; {}", abort(""), told(4, "server.*no disk")),
        ],
    );
}

#[test]
fn entries_meet_and_the_entries_after_them_run() {
    let place = Place::new("entries");
    place.write(
        "t.json",
        r#"{ "name": "entries", "end": { "idle": true, "limit": "1min" },
  "groups": { "clients": ["client[1-2]"] },
  "barriers": { "server-up": { "members": ["@clients", "server"], "timeout": "2min" } },
  "syncs": { "addresses": { "members": ["server", "client1"] } },
  "schedules": {
    "server": [
      { "name": "up", "at": 0, "barrier": "server-up" },
      { "name": "give", "after": "up", "sync": "addresses", "data": { "of": "@{slave.name}" } } ],
    "client1": [
      { "name": "up", "at": 0, "shell": "arete barrier server-up --members @clients,server" },
      { "name": "give", "after": "up", "shell": "arete sync addresses --data 17" } ],
    "client2": [{ "name": "up", "at": 0, "barrier": "server-up" }] },
  "slaves": { "server": ["server"], "client1": ["client1"], "client2": ["client2"] } }"#,
    );
    place.arete(["run", "t.json", "--results", "results"]).run().exits_with(0);
    let map = "{\"client1\":17,\"server\":{\"of\":\"server\"}}\n";
    for slave in ["server", "client1"] {
        assert_eq!(place.read(format!("results/{slave}/give.out")), map, "{slave}");
    }
}

#[test]
fn a_value_that_is_too_long_is_refused_with_the_limit() {
    let place = Place::new("limits");
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--value-max", "1KiB"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim().rsplit(' ').next().expect("it says where").to_owned();
    let long = "x".repeat(2_000);
    let sync = at(&place, &address, &["sync", "s", "--count", "1", "--as", "a", "--data", &long]);
    sync.wait().exits_with(1).complains(&["1024"]);
}

#[test]
fn a_notify_of_a_run_carries_data_to_waiting_commands() {
    let place = Place::new("run-notes");
    place.write(
        "t.json",
        r#"{ "name": "notes", "end": { "idle": true, "limit": "1min" }, "triggers": { "go": 2 },
  "schedules": {
    "waits": [{ "name": "main", "at": 0, "shell": "arete wait go" }],
    "says": [
      { "name": "main", "at": 0, "shell": "arete notify go --data '{\"at\": 1}'" },
      { "name": "late", "trigger": "go", "shell": "arete notify go --data 2" } ] },
  "slaves": { "w": ["waits"], "a": ["says"], "b": ["says"] } }"#,
    );
    place.arete(["run", "t.json", "--results", "results"]).run().exits_with(0);
    let mut lines: Vec<String> = place.read("results/w/main.out").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["a {\"at\": 1}", "b {\"at\": 1}"]);
    for slave in ["a", "b"] {
        let said = place.read(format!("results/{slave}/late.err"));
        assert!(said.starts_with("arete: notify go: the trigger has fired already"), "{slave}: {said}");
    }
}

#[test]
fn many_members_of_many_processes_meet_and_all_are_released() {
    let place = Place::new("many");
    let (_controller, address) = controller(&place);
    let members: Vec<Running<'_>> =
        (0..30).map(|nr| barrier(&place, &address, &format!("m{nr}"), &["--members", "m[0-29]"])).collect();
    members.into_iter().for_each(|member| released(member.wait()));
}
