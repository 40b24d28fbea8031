//! Tests of at most 1 MiB, which is what a controller hears in one message, that are made to be expensive to judge. What
//! is counted is the time of the processor, so that a busy machine changes nothing.

use std::time::Duration;

use arete::testfile::{self, Shipped};
use rustix::time::{ClockId, clock_gettime};

/// How much of the processor's time judging one may take here, where little is optimized: in a release a tenth of it.
const COST_MAX: Duration = Duration::from_secs(4);

/// What a controller hears in one message.
const MESSAGE_MAX: usize = 1 << 20;

fn cost() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// `count` items of a list or members of an object.
fn each(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// A test with these parts; what is empty is what it must have.
fn test(top: &str, schedules: &str, slaves: &str) -> String {
    let schedules = if schedules.is_empty() { r#""s":[]"# } else { schedules };
    let slaves = if slaves.is_empty() { r#""a":["s"]"# } else { slaves };
    format!(r#"{{"name":"t","end":{{"duration":5}},{top}"schedules":{{{schedules}}},"slaves":{{{slaves}}}}}"#)
}

fn entries(count: usize, rest: impl Fn(usize) -> String) -> String {
    format!(r#""s":[{}]"#, each(count, |nr| format!(r#"{{"name":"e{nr}",{}}}"#, rest(nr))))
}

/// The worst of each kind, by name, and whether it is a right test.
fn worst() -> Vec<(&'static str, String, bool)> {
    let notify = |count, name: fn(usize) -> String| entries(count, |nr| format!(r#""at":0,"notify":"{}""#, name(nr)));
    let names = |count| {
        let triggers = each(count, |nr| format!(r#""tr-number-{nr:04}-of-names":1"#));
        test(&format!(r#""triggers":{{{triggers}}},"#), &notify(count, |nr| format!("yx-mumbre-{nr:04}-fo-nemas")), "")
    };
    let long = |what: &str| what.repeat(400_000);
    let group = r#""groups":{"g":["a[1-99999]"]},"#;
    let chain = |rest: &str| {
        entries(4_000, |nr| match nr {
            0 => r#""at":0,"shell":"x""#.to_owned(),
            _ => format!(r#""after":"e{}",{rest}"#, nr - 1),
        })
    };
    let own = |count, big: &str| {
        let schedules = format!(r#""b":[{big}],{}"#, each(count, |nr| format!(r#""s{nr}":[]"#)));
        test("", &schedules, &each(count, |nr| format!(r#""a{nr}":["b","s{nr}"]"#)))
    };
    let big = |count, command: &str| each(count, |nr| format!(r#"{{"name":"e{nr}","at":0,"shell":"{command}"}}"#));
    let circle = each(990, |nr| format!(r#""g{nr}":["@g{}"]"#, nr + 1));
    vec![
        ("300 unknown names", names(300), false),
        ("unknown names", names(5_000), false),
        (
            "long names",
            test(&format!(r#""triggers":{{"{}":1}},"#, long("x")), &notify(1, |_| "y".repeat(400_000)), ""),
            false,
        ),
        (
            "the last of many triggers",
            test(
                &format!(r#""triggers":{{{}}},"#, each(5_000, |nr| format!(r#""t{nr}":1"#))),
                &notify(4_000, |_| "t4999".to_owned()),
                "",
            ),
            true,
        ),
        (
            "variables behind escapes",
            test("", &entries(8, |_| format!(r#""at":0,"shell":"\\{}""#, r"@{e0.pid}\\".repeat(8_000))), ""),
            true,
        ),
        (
            "many schedules for many slaves",
            test(
                "",
                &each(40_000, |nr| format!(r#""s{nr}":[]"#)),
                &format!(r#""a[1-99999]":[{}]"#, each(40_000, |nr| format!(r#""s{nr}""#))),
            ),
            false,
        ),
        (
            "many schedules for one slave",
            test(
                "",
                &each(40_000, |nr| format!(r#""s{nr}":[]"#)),
                &format!(r#""a":[{}]"#, each(40_000, |nr| format!(r#""s{nr}""#))),
            ),
            true,
        ),
        (
            "keys that cover the same",
            test("", "", &each(24_000, |nr| format!(r#""a[1-{},{}-99999]":["s"]"#, nr + 1, nr + 2))),
            false,
        ),
        (
            "addresses",
            test("", "", &each(15_000, |nr| format!(r#""a{nr}":{{"schedules":["s"],"address":"a[1-99999]"}}"#))),
            false,
        ),
        ("entries that are not shared", own(20_000, &big(4_000, "x")), false),
        ("bytes that are not shared", own(18_000, &big(4, &"x".repeat(99_000))), false),
        (
            "slaves at barriers",
            test(
                &format!(r#"{group}"barriers":{{"b":{{"members":["@g"]}}}},"#),
                &entries(4_000, |_| r#""at":0,"barrier":"b""#.to_owned()),
                r#""a[1-99999]":["s"]"#,
            ),
            true,
        ),
        (
            "regular expressions",
            test(
                "",
                &entries(4_000, |nr| format!(r#""at":0,"shell":"x","ready":{{"log":"(\\w{{9}}|{nr}x){{9}}"}}"#)),
                "",
            ),
            false,
        ),
        (
            "items that stand for the same members",
            test(
                &format!(
                    r#""groups":{{"g":[{}]}},"#,
                    each(39_000, |nr| format!(r#""a[1-{},{}-99999]""#, nr + 1, nr + 2))
                ),
                "",
                "",
            ),
            false,
        ),
        (
            "long lists at each entry",
            test(group, &entries(12_000, |_| r#""at":0,"barrier":"b","members":["@g"]"#.to_owned()), ""),
            false,
        ),
        (
            "a circle of groups",
            test(&format!(r#""groups":{{{circle},"g990":[{}]}},"#, each(100_000, |_| r#""@g0""#.to_owned())), "", ""),
            false,
        ),
        (
            "barriers and syncs",
            test(
                &format!(
                    r#""barriers":{{{}}},"syncs":{{{}}},"#,
                    each(40_000, |nr| format!(r#""b{nr}":{{}}"#)),
                    each(40_000, |nr| format!(r#""c{nr}":{{}}"#))
                ),
                "",
                "",
            ),
            false,
        ),
        ("ranges of one", test("", "", &format!(r#""a[1-99999]{}":["s"]"#, "[0]".repeat(150))), false),
        (
            "a long name of a schedule",
            test("", &format!(r#""{}":[{}]"#, long("L"), each(30_000, |_| r#"{"name":"e"}"#.to_owned())), ""),
            false,
        ),
        ("a long chain", test("", &chain(r#""shell":"x""#), ""), true),
        ("a long chain of notifies", test(r#""triggers":{"go":1},"#, &chain(r#""notify":"go""#), ""), true),
        (
            "commands of many slaves",
            test(
                &format!(r#""triggers":{{{}}},"#, each(1_000, |nr| format!(r#""t{nr}":1"#))),
                &entries(4_000, |nr| format!(r#""at":0,"shell":"x {nr} {}""#, "y".repeat(150))),
                r#""a[1-99999]":["s"]"#,
            ),
            true,
        ),
        (
            "unknown names in commands",
            test(
                &format!(r#""triggers":{{{}}},"#, each(1_000, |nr| format!(r#""tr-number-{nr:04}-of-names":1"#))),
                &entries(1_000, |nr| format!(r#""at":0,"shell":"arete wait yx-mumbre-{nr:04}-fo-nemas""#)),
                "",
            ),
            true,
        ),
        ("options", test("", &entries(10, |_| format!(r#""at":0,"shell":"{}""#, "-notify ".repeat(12_000))), ""), true),
        ("problems", format!(r#"{{"schedules":{{"s":[{}]}}}}"#, each(500_000, |_| "1".to_owned())), false),
        ("unknown keys", format!("{{{}}}", each(80_000, |nr| format!(r#""k{nr}":1"#))), false),
    ]
}

#[test]
fn a_test_that_is_made_to_be_expensive_is_not() {
    for (what, text, right) in worst() {
        assert!(text.len() <= MESSAGE_MAX, "{what}: {} bytes", text.len());
        let begun = cost();
        let shipped = |file: &str| Shipped { path: file.into(), size: 1, sha256: "0".repeat(64), executable: false };
        let test = testfile::parse("t.json", &text, &mut |file| Ok(shipped(file)));
        let judged = cost() - begun;
        if let Ok(test) = &test {
            testfile::warnings::of("t.json", &text, test);
        }
        let warned = cost() - begun - judged;
        println!("{what}: judged in {judged:?}, warned of in {warned:?}");
        assert!(judged < COST_MAX && warned < COST_MAX, "{what}: judged in {judged:?}, warned of in {warned:?}");
        let problems = test.as_ref().err().map_or(&[][..], Vec::as_slice);
        let first = problems.first().map(|problem| problem.message.chars().take(200).collect::<String>());
        assert_eq!(test.is_ok(), right, "{what}: {first:?}");
        assert!(problems.len() <= testfile::PROBLEMS_MAX + 1, "{what}: {}", problems.len());
        assert!(problems.iter().all(|problem| problem.message.len() < 4_100), "{what}");
    }
}

#[test]
fn the_problems_that_are_not_told_are_told_of() {
    let problems =
        testfile::parse("t.json", &format!("{{{}}}", each(2_000, |nr| format!(r#""k{nr}":1"#))), &mut |_| {
            Err("none".to_owned())
        });
    let problems = problems.unwrap_err();
    assert_eq!(problems.len(), testfile::PROBLEMS_MAX + 1);
    let last = problems.last().unwrap();
    assert_eq!(last.message, "there are more problems than these 1000: mend them first");
}
