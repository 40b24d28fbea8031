//! The test file, from outside: the examples are valid, every problem is found at its place, and the JSON Schema
//! agrees with the parser.

#![forbid(unsafe_code)]

#[path = "testfile/asserts.rs"]
mod asserts;
#[path = "testfile/bad.rs"]
mod bad;
#[path = "testfile/bad_faults.rs"]
mod bad_faults;
#[path = "testfile/bad_ready.rs"]
mod bad_ready;
#[path = "testfile/bad_slaves.rs"]
mod bad_slaves;
#[path = "testfile/commands.rs"]
mod commands;
#[path = "common/expensive.rs"]
mod expensive;
#[path = "testfile/faults.rs"]
mod faults;
#[path = "testfile/formats.rs"]
mod formats;
#[path = "testfile/matrix.rs"]
mod matrix;
#[path = "testfile/params.rs"]
mod params;
#[path = "testfile/pattern.rs"]
mod pattern;
#[path = "testfile/schema.rs"]
mod schema;
#[path = "testfile/worst.rs"]
mod worst;

use std::path::Path;
use std::time::Duration;

use arete::machine::{Exit, Signal};
use arete::session;
use arete::testfile::{self, Declared, End, OnFail, OnLost, Problem, Shipped, Test};
use arete::wire::readiness::{Readiness, ReadyCheck};
use arete::wire::rendezvous::Party;
use arete::wire::{Action, After, Condition, Entry, Expect, Policy, Shell, Verdict, When};
use asserts::OF_ASSERTS;
use bad::{BAD, Bad};
use bad_faults::OF_FAULTS;
use bad_ready::OF_READY;
use bad_slaves::OF_SLAVES;
use serde_json::Value;

/// Ships every file except `missing`.
fn ship(path: &str) -> Result<Shipped, String> {
    match path {
        "missing" => Err("no such file".to_owned()),
        _ => Ok(Shipped { path: path.into(), size: 3, sha256: "ab".repeat(32), executable: false }),
    }
}

fn parse(text: &str) -> Result<Test, Vec<Problem>> {
    testfile::parse("test.json", text, &mut ship)
}

const EXAMPLES: [&str; 3] = ["torrent.json", "relay.json", "barrier.json"];

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn good(text: &str) -> Test {
    parse(text).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())
    })
}

#[test]
fn the_torrent_example_gives_eight_clients_the_same_entries() {
    let test = good(&example("torrent.json"));
    let names: Vec<&str> = test.slaves.iter().map(|slave| slave.name.as_str()).collect();
    assert_eq!(names, ["client1", "client2", "client3", "client4", "client5", "client6", "client7", "client8"]);
    assert_eq!(test.triggers["stop-torrent"], 8);
    let first = &test.slaves[0].entries;
    assert!(test.slaves.iter().all(|slave| std::rc::Rc::ptr_eq(&slave.entries, first)));
    assert_eq!(first.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["ctorrent", "poke", "stop"]);
}

#[test]
fn slaves_have_addresses_one_for_all_or_one_each() {
    let test = good(
        r#"{"name": "t", "end": {"duration": 1}, "schedules": {"s": [], "t": []}, "slaves": {
            "a[1-2]": {"schedules": ["s"], "address": "10.0.0.[11-12]"},
            "b[1-2]": {"schedules": ["s"], "address": "root@lab"},
            "c": ["s"], "b1": {"schedules": ["t"], "address": "root@lab"}, "d": {"schedules": ["s"], "address": "::1"}}}"#,
    );
    let addresses: Vec<_> = test.slaves.iter().map(|slave| (&*slave.name, slave.address.as_deref())).collect();
    let named = |name, address| (name, Some(address));
    assert_eq!(
        addresses,
        [
            named("a1", "10.0.0.11"),
            named("a2", "10.0.0.12"),
            named("b1", "root@lab"),
            named("b2", "root@lab"),
            ("c", None),
            named("d", "::1")
        ]
    );
}

#[test]
fn the_relay_example_shows_every_run_policy_and_most_actions() {
    let test = good(&example("relay.json"));
    assert_eq!(test.slaves.iter().map(|slave| slave.entries.len()).collect::<Vec<_>>(), [4, 4, 4, 5]);
    assert_eq!(test.resources["leg"].1.file, "leg.sh");
    assert_eq!(test.triggers["in-place"], 3);
}

#[test]
fn the_barrier_example_declares_its_members_once() {
    let test = good(&example("barrier.json"));
    let hosts = Party::Members(vec!["server".to_owned(), "client".to_owned()]);
    let two_minutes = Some(Duration::from_secs(120));
    assert_eq!(test.barriers["server-up"], Declared { party: Some(hosts.clone()), timeout: two_minutes });
    assert_eq!(test.barriers["done"], Declared { party: Some(Party::Count(2)), timeout: None });
    assert_eq!(test.syncs["addresses"].party, Some(hosts));
    let up = Action::Barrier {
        barrier: "server-up".to_owned(),
        tag: None,
        party: None,
        timeout: Some(120_000_000),
        fresh: None,
        abort: None,
        harmonize: false,
        expect: Expect::default(),
    };
    assert!(test.slaves.iter().all(|slave| slave.entries.iter().any(|entry| entry.action == up)));
    assert_eq!(testfile::addresses_of(&test.slaves[0].entries[2]), ["server"]);
}

#[test]
fn every_key_of_a_meeting_reaches_the_entry() {
    let test = good(
        r##"{ "name": "t", "end": {"duration": 1},
             "groups": {"all": ["@clients", "s"], "clients": ["c[1-2]", "c[2-3]#x"]},
             "guests": ["ann#pen", "@clients", "c1"], "barriers": {"b": {"timeout": "2min"}}, "syncs": {"d": {"members": ["s", "@clients"]}},
             "schedules": { "s": [
               {"name": "e", "at": 0, "barrier": "b", "members": ["@all", "fe80::1#1", "@clients"], "fresh": 0,
                "harmonize": true},
               {"name": "f", "at": 0, "barrier": "any", "count": 10000, "as": "#one", "timeout": 3,
                "harmonize": false},
               {"name": "g", "at": 0, "sync": "d", "members": ["c2", "c1", "@clients", "s"], "all_alive": true,
                "data": [null, true, 1.5, {"": "@{slave.name} @{s.address}"}]},
               {"name": "k", "after": {"entry": "g", "exit": 5}, "barrier": "any", "count": 1}] },
             "slaves": {"s": ["s"]} }"##,
    );
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let clients = names(&["c1", "c2", "c2#x", "c3#x"]);
    assert_eq!(test.groups["clients"], clients);
    assert_eq!(test.groups["all"], names(&["c1", "c2", "c2#x", "c3#x", "s"]));
    let guests = names(&["ann#pen", "c1", "c2", "c2#x", "c3#x"]);
    assert_eq!(test.guests, guests.into_iter().collect());
    assert_eq!(test.barriers["b"], Declared { party: None, timeout: Some(Duration::from_secs(120)) });
    let entries = &test.slaves[0].entries;
    let expected = Action::Barrier {
        barrier: "b".to_owned(),
        tag: None,
        party: Some(Party::Members(names(&["c1", "c2", "c2#x", "c3#x", "s", "fe80::1#1"]))),
        timeout: Some(120_000_000),
        fresh: Some(0),
        abort: None,
        harmonize: true,
        expect: Expect::default(),
    };
    assert_eq!(entries[0].action, expected);
    let expected = Action::Barrier {
        barrier: "any".to_owned(),
        tag: Some("one".to_owned()),
        party: Some(Party::Count(10_000)),
        timeout: Some(3_000_000),
        fresh: None,
        abort: None,
        harmonize: false,
        expect: Expect::default(),
    };
    assert_eq!(entries[1].action, expected);
    let expected = Action::Sync {
        session: "d".to_owned(),
        tag: None,
        party: None,
        timeout: None,
        all_alive: true,
        value: serde_json::json!([null, true, 1.5, {"": "@{slave.name} @{s.address}"}]),
        expect: Expect::default(),
    };
    assert_eq!(entries[2].action, expected);
    assert_eq!(testfile::addresses_of(&entries[2]), ["s"]);
}

#[test]
fn a_barrier_entry_may_abort_and_list_the_statuses_with_which_it_passes() {
    let test = good(
        r##"{ "name": "t", "end": {"duration": 1}, "schedules": { "s": [
               {"name": "a", "at": 0, "barrier": "b", "count": 2, "abort": "no @{slave.name}, @{s.address}"},
               {"name": "b", "at": 0, "barrier": "b", "count": 2, "abort": "x", "expect": ["aborted", "released"]},
               {"name": "c", "at": 0, "barrier": "b", "count": 2, "expect": "any"},
               {"name": "d", "at": 0, "sync": "c", "count": 2, "data": 1, "expect": ["timed-out", 6, "lost"]}] },
             "slaves": {"s": ["s"]} }"##,
    );
    let entries = &test.slaves[0].entries;
    let of = |codes: &[i32]| Expect::Of(codes.iter().map(|code| Exit::Code(*code)).collect());
    let expected = entries.iter().map(|entry| match &entry.action {
        Action::Barrier { expect, abort, .. } => (expect.clone(), abort.is_some()),
        Action::Sync { expect, .. } => (expect.clone(), false),
        other => panic!("{other:?}"),
    });
    let expected: Vec<_> = expected.collect();
    assert_eq!(expected, [(of(&[4]), true), (of(&[4, 0]), true), (Expect::Any, false), (of(&[3, 6, 5]), false)]);
    assert_eq!(testfile::addresses_of(&entries[0]), ["s"]);
}

#[test]
fn members_of_ten_thousand_slaves_are_checked_quickly() {
    let test = good(
        r#"{"name": "t", "end": {"duration": 1}, "groups": {"all": ["n[00000-09999]"]},
            "barriers": {"b": {"members": ["@all"]}, "c": {"members": ["@all"]}},
            "schedules": {"s": [{"name": "e", "at": 0, "barrier": "b"}, {"name": "f", "at": 0, "barrier": "c"}]},
            "slaves": {"n[00000-09999]": ["s"]}}"#,
    );
    assert_eq!(test.groups["all"].len(), testfile::MEMBERS_MAX);
}

#[test]
fn every_problem_is_found_with_its_line_and_column() {
    for Bad { text, problems: listed, .. } in
        BAD.iter().chain(OF_SLAVES).chain(OF_READY).chain(OF_FAULTS).chain(OF_ASSERTS)
    {
        let problems = parse(text).expect_err(text);
        let found: Vec<String> = problems.iter().map(Problem::to_string).collect();
        let expected: Vec<String> = listed.iter().map(|problem| format!("test.json:{problem}")).collect();
        assert_eq!(found, expected, "\n{text}");
    }
}

#[test]
fn the_message_to_a_slave_has_a_bound() {
    let command = "x".repeat(testfile::COMMAND_MAX);
    let entry = |number: usize| format!(r#"{{"name": "e{number}", "at": 0, "shell": "{command}"}}"#);
    let test = |count: usize| {
        let entries: Vec<String> = (0..count).map(entry).collect();
        let entries = entries.join(",\n");
        format!(
            r#"{{"name": "t", "end": {{"duration": 1}}, "schedules": {{"s": [{entries}]}}, "slaves": {{"a": ["s"]}}}}"#
        )
    };
    good(&test(10));
    let problems = parse(&test(11)).unwrap_err();
    assert!(problems[0].message.starts_with("the entries of the slave \"a\" take 1"), "{}", problems[0]);

    let prepare = arete::wire::Prepare {
        run: "r".repeat(64).into(),
        test: "t".into(),
        serve_as: Some("s".repeat(64).into()),
        entries: good(&test(10)).slaves[0].entries.to_vec().into(),
        grace: 10_000_000,
        ..Default::default()
    };
    assert!(arete::wire::Message::encode(&prepare).len() <= arete::wire::LINE_MAX);
}

#[test]
fn defaults_are_those_of_the_manual() {
    let test = good(r#"{"name": "t", "end": {"duration": 1}, "schedules": {"s": []}, "slaves": {"a": ["s"]}}"#);
    assert_eq!((test.grace, test.on_fail, test.on_lost), (Duration::from_secs(10), OnFail::Continue, OnLost::Fail));
    assert!(test.triggers.is_empty() && test.resources.is_empty() && test.slaves[0].entries.is_empty());
}

#[test]
fn every_key_of_an_entry_reaches_the_entry() {
    let test = good(
        r#"{ "name": "t", "end": {"idle": true, "limit": "1min"}, "grace": 0, "on_fail": "end", "on_lost": "continue", "resources": {"r": {"file": "a/b.sh"}},
             "schedules": { "s": [
               {"name": "e", "at": "1.5s", "shell": "@{r.path} @{a.b.address} @@{", "expect": [0, "TERM"], "timeout": 2,
                "env": {"A": "@{e.pid}"}, "cwd": "d", "use_resources": ["r"], "collect": ["**/*.log"]},
               {"name": "k", "after": {"entry": "e", "exit": "SIGKILL"}, "kill": "e", "signal": "INT"},
               {"name": "x", "after": "k", "end": "failed"},
               {"name": "f", "finally": true, "shell": "true", "expect": "any"}] },
             "slaves": {"a.b": ["s"]} }"#,
    );
    assert_eq!((test.grace, test.on_fail, test.on_lost), (Duration::ZERO, OnFail::End, OnLost::Continue));
    assert_eq!(test.end, End::Idle { limit: Duration::from_secs(60) });
    let shell = |command: &str, expect| {
        Action::Shell(Box::new(Shell { command: vec![command.to_owned()], expect, ..Shell::default() }))
    };
    let entry = |name: &str, policy, action| Entry { name: name.to_owned(), policy, action };
    let after = |name: &str, when| {
        Policy::After(After { of: vec![Condition { entry: name.to_owned(), when }], any: false, delay: 0 })
    };
    let full = Action::Shell(Box::new(Shell {
        command: vec!["@{r.path} @{a.b.address} @@{".to_owned()],
        expect: Expect::Of(vec![Exit::Code(0), Exit::Signal(Signal::TERM)]),
        env: [("A".to_owned(), "@{e.pid}".to_owned())].into(),
        cwd: Some("d".to_owned()),
        timeout: Some(2_000_000),
        use_resources: vec!["r".to_owned()],
        collect: vec!["**/*.log".to_owned()],
        ..Shell::default()
    }));
    let kill = Action::Kill { entry: "e".to_owned(), signal: Signal::INT };
    let expected = [
        entry("e", Policy::At(1_500_000), full),
        entry("k", after("e", When::Exited(Exit::Signal(Signal::KILL))), kill),
        entry("x", after("k", When::Ended), Action::End { verdict: Verdict::Failed }),
        entry("f", Policy::Finally, shell("true", Expect::Any)),
    ];
    assert_eq!(test.slaves[0].entries[..], expected);
    assert_eq!(testfile::addresses_of(&expected[0]), ["a.b"]);
    assert_eq!(testfile::resources_of(&expected[0]).collect::<Vec<_>>(), ["r"]);
}

#[test]
fn a_test_may_select_machines_by_labels() {
    let test = good(
        r#"{"name": "t", "end": {"duration": 1}, "schedules": {"s": [], "u": [], "w": []},
            "slaves": {"any[1-2]": {"schedules": ["s"], "with": {"arch": "x86_64", "rack": "a 7/é"}},
                       "any2": ["u"], "spare": {"with": {}, "schedules": ["s"]}, "server": {"schedules": ["s"]},
                       "any[2-3]": {"schedules": ["w"], "with": {"rack": "a 7/é", "arch": "x86_64"}}}}"#,
    );
    let shown = |slave: &testfile::Slave| match &slave.with {
        Some(with) => format!("{} {with:?}", slave.name),
        None => slave.name.clone(),
    };
    let labels = r#"{"arch": "x86_64", "rack": "a 7/é"}"#;
    let expected = [
        format!("any1 {labels}"),
        format!("any2 {labels}"),
        "spare {}".to_owned(),
        "server".to_owned(),
        format!("any3 {labels}"),
    ];
    assert_eq!(test.slaves.iter().map(shown).collect::<Vec<_>>(), expected);
}

#[test]
fn ten_thousand_slaves_share_equal_entries() {
    let test = good(
        r#"{"name": "t", "end": {"duration": 1}, "schedules": {"s": [], "u": []},
            "slaves": {"n[00000-09999]": ["s"], "n[00000-00009]": ["u"]}}"#,
    );
    assert_eq!(test.slaves.len(), testfile::SLAVES_MAX);
    assert_eq!(test.slaves[9_999].name, "n09999");
    assert!(std::rc::Rc::ptr_eq(&test.slaves[10].entries, &test.slaves[9_999].entries));
    assert!(!std::rc::Rc::ptr_eq(&test.slaves[9].entries, &test.slaves[10].entries));
}

proptest::proptest! {
    #[test]
    fn a_damaged_file_has_problems_and_never_a_panic(
        which in 0usize..3, at: proptest::sample::Index, length in 0usize..30, put in "[\\[\\]{}:,\"@0-9a-z\\\\é\n-]{0,6}",
    ) {
        let mut text: Vec<char> = example(EXAMPLES[which]).chars().collect();
        let at = at.index(text.len());
        let end = (at + length).min(text.len());
        text.splice(at..end, put.chars());
        let text: String = text.into_iter().collect();
        if let Err(problems) = parse(&text) {
            proptest::prop_assert!(!problems.is_empty());
            let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
            proptest::prop_assert!(places.is_sorted() && places[0].0 >= 1 && places[0].1 >= 1);
        }
    }
}

fn json_schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("share/arete-test.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Whether the schema allows a text that is JSON.
fn schema_allows(schema: &Value, text: &str) -> bool {
    schema::allows(schema, schema, &serde_json::from_str(text).expect(text))
}

#[test]
fn the_schema_allows_the_examples_and_refuses_the_wrong_files() {
    let schema = json_schema();
    for name in EXAMPLES {
        assert!(schema_allows(&schema, &example(name)), "{name}");
    }
    let with = |labels: String| {
        format!(
            r#"{{"name": "t", "end": {{"duration": 1}}, "schedules": {{"s": []}},
                "slaves": {{"a": {{"schedules": ["s"], "with": {{{labels}}}}}}}}}"#
        )
    };
    let labels = |count: usize| (0..count).map(|nr| format!("\"k{nr}\": \"\"")).collect::<Vec<_>>().join(", ");
    for (labels, allowed) in [(String::new(), true), (labels(64), true), (labels(65), false)] {
        let text = with(labels);
        assert_eq!((schema_allows(&schema, &text), parse(&text).is_ok()), (allowed, allowed), "{text}");
    }
    let files = BAD.iter().chain(OF_SLAVES).chain(OF_READY).chain(OF_FAULTS).chain(OF_ASSERTS);
    for (text, refused) in files.filter_map(|bad| bad.by_schema.map(|refused| (bad.text, refused))) {
        assert_eq!(!schema_allows(&schema, text), refused, "{text}");
    }
}

#[test]
fn the_schema_and_the_parser_agree_about_single_values() {
    let schema = json_schema();
    let around = |key: &str, value: &str| {
        format!(
            r#"{{"name": "t", "end": {{"duration": 1}}, "resources": {{"r": {{"file": "f"}}}}, "slaves": {{"a": ["s"]}}, "schedules": {{"s": [
                {{"name": "e", "at": 0, "shell": "x"}}, {{"name": "v", "at": 0, "shell": "x", "{key}": {value}}}]}}}}"#
        )
        .replace(if key == "at" { r#""v", "at": 0,"# } else { "\0" }, r#""v","#)
    };
    let times = [
        "0",
        "0.5",
        "-1",
        "\"\"",
        "\"1h\"",
        "\"1h30min\"",
        "\"1min1h\"",
        "\"1.5s\"",
        "\"1.s\"",
        "\".5s\"",
        "\"5\"",
        "\"5 s\"",
        "\"1s1s\"",
        "\"0ms\"",
        "true",
        "2592000",
        "2592001",
    ];
    let expects = [
        "0",
        "255",
        "256",
        "-1",
        "\"any\"",
        "\"TERM\"",
        "[]",
        "[0]",
        "[\"any\"]",
        "[\"SIGTERM\", \"INT\", \"SIG64\"]",
        "[\"SIG65\"]",
        "[\"SIG16\", \"30\"]",
        "[\"SIG31\"]",
        "[\"SIG32\"]",
        "[\"sigterm\"]",
        "[[0]]",
        "[1.5]",
    ];
    let others = [
        ("cwd", "\"\""),
        ("cwd", "\"a\""),
        ("env", "{}"),
        ("env", "{\"A\": \"\"}"),
        ("env", "{\"\": \"\"}"),
        ("env", "{\"=\": \"\"}"),
        ("use_resources", "[]"),
        ("use_resources", "[\"r\"]"),
        ("collect", "[\"a/*\"]"),
        ("collect", "[\"\"]"),
        ("collect", "[\"/a\"]"),
        ("collect", "\"a\""),
        ("expect", "null"),
        ("signal", "\"TERM\""),
    ];
    let times = times.iter().flat_map(|value| [("at", *value), ("timeout", *value)]);
    let expects = expects.iter().map(|value| ("expect", *value));
    for (key, value) in times.chain(expects).chain(others) {
        let text = around(key, value);
        assert_eq!(schema_allows(&schema, &text), parse(&text).is_ok(), "{key}: {value}");
    }
}

#[test]
fn ready_is_read_with_its_defaults() {
    let test = good(
        r#"{ "name": "t", "end": {"idle": true, "limit": 60}, "triggers": {"up": 1},
             "schedules": { "s": [
               {"name": "a", "at": 0, "shell": "x", "service": true, "ready": {"port": 80, "trigger": "up"}},
               {"name": "b", "at": 0, "shell": "x", "ready": {"port": 80, "host": "@{n.address}", "within": "1s"}},
               {"name": "c", "at": 0, "shell": "x", "ready": {"log": "^up$"}},
               {"name": "d", "at": 0, "shell": "x", "ready": {"shell": "nc @{m.address}", "every": 1}},
               {"name": "e", "at": 0, "shell": "x", "ready": {"shell": "true"}},
               {"name": "f", "at": 0, "shell": "x", "ready": {"notify": true}},
               {"name": "g", "after": {"entry": "a", "ready": true}, "shell": "x"}] },
             "slaves": {"n": ["s"], "m": ["s"]} }"#,
    );
    let entries = &test.slaves[0].entries;
    let ready = |check, within, trigger: Option<&str>| Readiness { check, within, trigger: trigger.map(str::to_owned) };
    let shell = |command: &str, every| ReadyCheck::Shell { command: command.to_owned(), every };
    let expected = [
        ready(ReadyCheck::Port { port: 80, host: None }, 30_000_000, Some("up")),
        ready(ReadyCheck::Port { port: 80, host: Some("@{n.address}".to_owned()) }, 1_000_000, None),
        ready(ReadyCheck::Log("^up$".to_owned()), 30_000_000, None),
        ready(shell("nc @{m.address}", 1_000_000), 30_000_000, None),
        ready(shell("true", 200_000), 30_000_000, None),
        ready(ReadyCheck::Notify, 30_000_000, None),
    ];
    assert_eq!(entries.iter().filter_map(Entry::readiness).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
    assert_eq!(
        entries[6].policy,
        Policy::After(After { of: vec![Condition { entry: "a".to_owned(), when: When::Ready }], any: false, delay: 0 })
    );
    assert_eq!(entries.iter().filter_map(Entry::notifies).collect::<Vec<_>>(), ["up"]);
    let addresses = entries.iter().flat_map(testfile::addresses_of);
    assert_eq!(addresses.collect::<Vec<_>>(), ["n", "m"]);
}

#[test]
fn the_schema_has_the_keys_and_words_of_the_parser() {
    let schema = json_schema();
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    let keys = |pointer: &str| {
        let object = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
        sorted(object.as_object().unwrap().keys().cloned().collect())
    };
    let list = |pointer: &str| {
        let words = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).as_array().unwrap();
        sorted(words.iter().map(|word| word.as_str().unwrap().to_owned()).collect())
    };
    for (object, known) in testfile::keys() {
        let pointer = match object {
            "test" => "/properties".to_owned(),
            "after" | "schedule" | "notify" | "retries" => format!("/$defs/{object}/anyOf/1/properties"),
            other => format!("/$defs/{other}/properties"),
        };
        assert_eq!(keys(&pointer), sorted(known.into_iter().map(str::to_owned).collect()), "{object}");
    }
    for (key, words) in testfile::words() {
        let pointer = match key {
            "on_fail" => "/properties/on_fail/enum",
            "on_lost" => "/properties/on_lost/enum",
            "end" => "/$defs/entry/properties/end/enum",
            "signal" => "/$defs/signal/anyOf/0/enum",
            other => panic!("where does the schema have the words of {other}?"),
        };
        assert_eq!(list(pointer), sorted(words), "{key}");
    }
    let required = |pointer: &str| -> Vec<String> {
        let rules = schema.pointer(pointer).unwrap().as_array().unwrap();
        rules.iter().map(|rule| rule["required"][0].as_str().unwrap().to_owned()).collect()
    };
    let (policies, actions) = testfile::choices();
    assert_eq!(required("/$defs/entry/allOf/0/oneOf"), policies);
    assert_eq!(required("/$defs/entry/allOf/1/oneOf"), actions.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    let rules = schema.pointer("/$defs/entry/allOf").unwrap().as_array().unwrap();
    for option in actions.iter().flat_map(|(_, options)| *options) {
        let with = actions.iter().filter(|(_, options)| options.contains(option)).map(|(action, _)| *action);
        let with: Vec<&str> = with.collect();
        if let [action] = with[..] {
            assert_eq!(list(&format!("/$defs/entry/dependentRequired/{option}")), [action]);
            continue;
        }
        let absent = serde_json::json!({"properties": {*option: false}});
        let needed = with.iter().map(|action| serde_json::json!({"required": [action]}));
        let choices: Vec<Value> = std::iter::once(absent).chain(needed).collect();
        let rule = serde_json::json!({"anyOf": choices});
        assert!(rules.contains(&rule), "the schema lacks {rule}");
    }
}

fn manual() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/arete-test.5");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_manual_has_every_key_and_every_bound() {
    let manual = manual();
    for (object, keys) in testfile::keys() {
        for key in keys {
            assert!(manual.lines().any(|line| line == format!(".It Cm {key}")), "the key {key} of {object}");
        }
    }
    let bounds = [
        ("triggers", testfile::TRIGGERS_MAX),
        ("assertions", testfile::ASSERTS_MAX),
        ("resources", testfile::RESOURCES_MAX),
        ("groups", testfile::GROUPS_MAX),
        ("barriers and syncs", testfile::MEETINGS_MAX),
        ("members", testfile::MEMBERS_MAX),
        ("listed members", testfile::LISTED_MEMBERS_MAX),
        ("the initial value", testfile::TRIGGER_MAX as usize),
        ("slaves", testfile::SLAVES_MAX),
        ("entries", testfile::ENTRIES_MAX),
        ("labels", session::LABELS_MAX),
        ("bytes of a label", session::LABEL_MAX),
        ("bytes of a command", testfile::COMMAND_MAX),
        ("MiB", testfile::FILE_MAX / 1024 / 1024),
        ("seconds of grace", testfile::GRACE.as_secs() as usize),
        ("seconds to become ready", testfile::READY_WITHIN.as_secs() as usize),
        ("ms between checks", testfile::CHECK_EVERY.as_millis() as usize),
        ("bytes of a pattern", testfile::PATTERN_MAX),
        ("patterns", testfile::PATTERNS_MAX),
        ("names of slaves", testfile::COVERED_MAX),
        ("schedules given", testfile::GIVEN_MAX),
        ("sets of labels", testfile::WITH_MAX),
        ("entries of all slaves", testfile::ALL_ENTRIES_MAX),
        ("addresses", testfile::ADDRESSES_MAX),
        ("bytes told again", testfile::RETOLD_MAX),
        ("entries not shared", testfile::UNSHARED_MAX),
        ("MiB of entries not shared", testfile::UNSHARED_BYTES_MAX / 1024 / 1024),
        ("problems", testfile::PROBLEMS_MAX),
        ("variables", testfile::VARIABLES_MAX),
        ("schedules", testfile::SCHEDULES_MAX),
        ("keys and values", testfile::VALUES_MAX),
        ("conditions", testfile::CONDITIONS_MAX),
        ("retries", testfile::RETRIES_MAX as usize),
        ("days", testfile::TIME_MAX.as_secs() as usize / 86_400),
    ];
    let words: Vec<&str> = manual.split(|char: char| !char.is_ascii_alphanumeric()).collect();
    for (what, bound) in bounds {
        assert!(words.contains(&bound.to_string().as_str()), "{what}: {bound}");
    }
}

#[test]
fn the_tests_in_the_manual_are_right() {
    let manual = manual();
    let tests = manual.split(".Bd -literal\n").skip(1).map(|from| from.split(".Ed").next().unwrap());
    let read = |text| testfile::read_file("test.yaml", text, &Default::default(), &mut ship);
    let names: Vec<String> = tests.map(|text| read(text).expect("a test").test.name).collect();
    assert_eq!(names, ["hello", "torrent", "upload", "two-hosts", "ping", "download"]);
}

#[test]
fn the_schema_has_the_bounds_of_the_parser() {
    let schema = json_schema();
    for (pointer, bound) in [
        ("/properties/triggers/maxProperties", testfile::TRIGGERS_MAX as u64),
        ("/properties/triggers/additionalProperties/maximum", testfile::TRIGGER_MAX),
        ("/properties/resources/maxProperties", testfile::RESOURCES_MAX as u64),
        ("/properties/assert/maxProperties", testfile::ASSERTS_MAX as u64),
        ("/properties/groups/maxProperties", testfile::GROUPS_MAX as u64),
        ("/properties/barriers/maxProperties", testfile::MEETINGS_MAX as u64),
        ("/properties/syncs/maxProperties", testfile::MEETINGS_MAX as u64),
        ("/$defs/slave/properties/with/maxProperties", session::LABELS_MAX as u64),
        ("/$defs/slave/properties/with/additionalProperties/maxLength", session::LABEL_MAX as u64),
        ("/$defs/conditions/maxItems", testfile::CONDITIONS_MAX as u64),
        ("/$defs/retries/anyOf/0/maximum", testfile::RETRIES_MAX),
        ("/$defs/count/maximum", testfile::MEMBERS_MAX as u64),
        ("/$defs/template/maxLength", testfile::COMMAND_MAX as u64),
        ("/$defs/time/maximum", testfile::TIME_MAX.as_secs()),
    ] {
        assert_eq!(schema.pointer(pointer).and_then(Value::as_u64), Some(bound), "{pointer}");
    }
}
