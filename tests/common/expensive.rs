//! Tests that are expensive to check, of at most 1 MiB, which is the longest message to a controller: the largest
//! valid ones, and the worst invalid ones.

/// `count` items of a list or members of an object.
pub fn each(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// A test with these parts. An empty part gets the least that it must have.
fn test(top: &str, schedules: &str, slaves: &str) -> String {
    let schedules = if schedules.is_empty() { r#""s":[]"# } else { schedules };
    let slaves = if slaves.is_empty() { r#""a":["s"]"# } else { slaves };
    format!(r#"{{"name":"t","end":{{"duration":5}},{top}"schedules":{{{schedules}}},"slaves":{{{slaves}}}}}"#)
}

fn entries(count: usize, rest: impl Fn(usize) -> String) -> String {
    format!(r#""s":[{}]"#, each(count, |nr| format!(r#"{{"name":"e{nr}",{}}}"#, rest(nr))))
}

/// The worst of each kind: its name, its text, and whether it is valid.
pub fn tests() -> Vec<(&'static str, String, bool)> {
    let notify = |count, name: fn(usize) -> String| entries(count, |nr| format!(r#""at":0,"notify":"{}""#, name(nr)));
    let names = |count| {
        let triggers = each(count, |nr| format!(r#""tr-number-{nr:04}-of-names":1"#));
        test(&format!(r#""triggers":{{{triggers}}},"#), &notify(count, |nr| format!("yx-mumbre-{nr:04}-fo-nemas")), "")
    };
    let long = |what: &str| what.repeat(400_000);
    let group = r#""groups":{"g":["a[1-9999]"]},"#;
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
            false,
        ),
        (
            "many schedules for many slaves",
            test(
                "",
                &each(5_000, |nr| format!(r#""s{nr}":[]"#)),
                &format!(r#""a[1-9999]":[{}]"#, each(5_000, |nr| format!(r#""s{nr}""#))),
            ),
            false,
        ),
        (
            "many schedules for one slave",
            test(
                "",
                &each(5_000, |nr| format!(r#""s{nr}":[]"#)),
                &format!(r#""a":[{}]"#, each(5_000, |nr| format!(r#""s{nr}""#))),
            ),
            true,
        ),
        (
            "keys that cover the same",
            test("", "", &each(9_000, |nr| format!(r#""a[1-{},{}-9999]":["s"]"#, nr + 1, nr + 2))),
            false,
        ),
        (
            "addresses",
            test("", "", &each(15_000, |nr| format!(r#""a{nr}":{{"schedules":["s"],"address":"a[1-9999]"}}"#))),
            false,
        ),
        ("entries that are not shared", own(5_000, &big(4_000, "x")), false),
        ("bytes that are not shared", own(5_000, &big(4, &"x".repeat(99_000))), false),
        (
            "slaves at barriers",
            test(
                &format!(r#"{group}"barriers":{{"b":{{"members":["@g"]}}}},"#),
                &entries(10, |_| r#""at":0,"barrier":"b""#.to_owned()),
                r#""a[1-9999]":["s"]"#,
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
            "items that name the same members",
            test(
                &format!(
                    r#""groups":{{"g":[{}]}},"#,
                    each(9_000, |nr| format!(r#""a[1-{},{}-9999]""#, nr + 1, nr + 2))
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
        ("ranges of one", test("", "", &format!(r#""a[1-9999]{}":["s"]"#, "[0]".repeat(150))), false),
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
                r#""a[1-25]":["s"]"#,
            ),
            true,
        ),
        (
            "commands of the most slaves",
            test("", &entries(10, |nr| format!(r#""at":0,"shell":"x {nr}""#)), r#""a[1-9999]":["s"]"#),
            true,
        ),
        (
            "too many entries",
            test("", &entries(4_000, |_| r#""at":0,"shell":"x""#.to_owned()), r#""a[1-9999]":["s"]"#),
            false,
        ),
        (
            "addresses of all",
            test(
                "",
                &entries(1, |_| format!(r#""at":0,"shell":"{}""#, each(300, |nr| format!("@{{a{}.address}}", nr + 1)))),
                r#""a[1-300]":["s"]"#,
            ),
            true,
        ),
        (
            "addresses of too many",
            test(
                "",
                &entries(9, |_| {
                    format!(r#""at":0,"shell":"{}""#, each(4_000, |nr| format!("@{{a{}.address}}", nr + 1)))
                }),
                r#""a[1-9999]":["s"]"#,
            ),
            false,
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
