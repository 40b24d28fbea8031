//! Wrong test files, the problems of each, and whether the JSON Schema finds them too.

/// A wrong file.
pub struct Bad {
    pub text: &'static str,
    /// All problems, as `LINE:COLUMN: message`.
    pub problems: &'static [&'static str],
    /// Whether the schema refuses it. `Some(false)`: the problem is about names or places. `None`: the schema cannot be
    /// asked, because the file is not JSON or has a key twice.
    pub by_schema: Option<bool>,
}

#[rustfmt::skip]
pub const BAD: &[Bad] = &[
    Bad { by_schema: None, problems: &[r#"1:1: expected a value, but the file ends here"#], text: "" },
    Bad { by_schema: None, problems: &[r#"1:13: remove this ",": JSON has no comma before "}""#], text: r#"{"name": "t",
}"# },
    Bad { by_schema: None, problems: &[r#"2:9: expected a value; write strings in double quotes"#], text: r#"{
"name": 't'}"# },
    Bad { by_schema: None, problems: &[r#"1:14: expected "," or "}" in the object; JSON has no comments"#], text: r#"{"name": "t" // the name
}"# },
    Bad { by_schema: None, problems: &[r#"1:10: "t has no quotation mark at its end: add it, or write a line break as \n"#], text: r#"{"name": "t"# },
    Bad { by_schema: None, problems: &[r#"1:12: \q is not an escape of JSON: write a backslash as \\"#], text: r#"{"name": "\q"}"# },
    Bad { by_schema: None, problems: &[r#"1:4: expected the end of the file, found x"#], text: r#"{} x"# },
    Bad { by_schema: None, problems: &[r#"1:7: "01" is not a number: remove the zeros at its beginning, or write it in double quotes"#], text: r#"{"a": 01}"# },
    Bad { by_schema: None, problems: &[r#"1:6: expected "," or "]" in the list, but the file ends here"#], text: r#"[1, 2"# },
    Bad { by_schema: None, problems: &[r#"1:17: this string has a tab after "ab": write it as \t"#], text: "{\"name\":     \"ab\tc\"}" },
    Bad { by_schema: None, problems: &[r#"1:10: "5s" is not a number: write it in double quotes"#], text: r#"{"name": 5s}"# },
    Bad { by_schema: None, problems: &[r#"1:2: expected a key in double quotes, found name: write "name""#], text: r#"{name: "t"}"# },
    Bad { by_schema: None, problems: &[r#"1:10: expected a value, found True: write true"#], text: r#"{"name": True}"# },
    Bad { by_schema: None, problems: &[r#"1:14: expected "," or "}" in the object, found '"': add a "," before it"#], text: r#"{"name": "t" "end": 1}"# },
    Bad { by_schema: None, problems: &[r#"1:12: expected "," or "}" in the object, found hi: write a quotation mark inside a string as \""#], text: r#"{"name": ""hi""}"# },
    Bad { by_schema: None, problems: &[r#"1:12: expected "," or "}" in the object, found ']': add the missing bracket before it"#], text: r#"[{"name": 1]"# },
    Bad { by_schema: Some(true), problems: &[
        r#"3:1: an entry needs an action: one of "shell", "script", "exec", "file", "notify", "kill", "end", "barrier", "sync", "pause", "partition", "network", "fill", "clock" or "crash""#,
        r#"3:35: "timeout": "5 m" has the unknown unit "m": the units are h, min, s and ms"#,
        r#"3:52: "expect" is a number, "any" or a list such as [0, 3, "SIGTERM"], found "SIGTERM": write ["SIGTERM"]"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "timeout": "5 m", "expect": "SIGTERM"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:34: unknown variable @{a.ip}: the address of a slave is @{a.address}"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "@{a.ip}"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:1: a test is an object, found a list"#], text: r#"[]"# },
    Bad { by_schema: Some(true), problems: &[
        r#"1:1: a test needs the key "end""#,
        r#"1:1: a test needs the key "name""#,
        r#"1:1: a test needs the key "schedules""#,
        r#"1:1: a test needs the key "slaves""#,
    ], text: r#"{}"# },
    Bad { by_schema: Some(true), problems: &[r#"1:109: unknown key "tigger", did you mean "triggers"?"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}}, "tigger": 1,
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:109: unknown key "banana"; known: "$schema", "name", "params", "matrix", "end", "grace", "on_fail", "on_lost", "triggers", "groups", "guests", "barriers", "syncs", "resources", "assert", "schedules" and "slaves""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}}, "banana": 1,
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: None, problems: &[r#"1:109: the key "name" appears twice"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}}, "name": "u",
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:11: "a/b" cannot name a test: a name has 1 to 64 characters: ASCII letters, digits, ".", "_" and "-"; the first is a letter, a digit or "_""#], text: r#"{ "name": "a/b", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:11: the name of a test is a string, found a number"#], text: r#"{ "name": 7, "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"1:118: "grace": "1h 30" has a number without a unit: write seconds as a number, or a string such as "250ms", "90s", "2min" or "1h30min""#,
        r#"1:138: "on_fail" is "continue" or "end", found "stop""#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}}, "grace": "1h 30", "on_fail": "stop",
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:120: "$schema" is a string, found a number"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}}, "$schema": 1,
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:23: "end" needs a way to end: one of "duration", "trigger" or "idle""#], text: r#"{ "name": "t", "end": {}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:36: "duration" must be longer than 0, such as "5s""#], text: r#"{ "name": "t", "end": {"duration": 0}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:39: "limit" does not go with "duration", which is a limit itself"#], text: r#"{ "name": "t", "end": {"duration": 5, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:23: "end" needs the key "limit": how long the test may take before it fails"#], text: r#"{ "name": "t", "end": {"idle": true}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:32: "idle" is true or absent, found false"#], text: r#"{ "name": "t", "end": {"idle": false, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:23: "end" needs the key "limit": how long the test may take before it fails"#], text: r#"{ "name": "t", "end": {"trigger": "go"}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"1:35: unknown trigger "goo", did you mean "go"?"#], text: r#"{ "name": "t", "end": {"trigger": "goo", "limit": "2min"}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:41: "end" has only one of "trigger" and "duration": remove one of them"#], text: r#"{ "name": "t", "end": {"trigger": "go", "duration": 3, "limit": 3}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:47: "limit": "2m" has the unknown unit "m": the units are h, min, s and ms"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": "2m"}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:47: "limit": a time is not negative, found -1: write for example "30s""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": -1}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:36: "duration": 2592001 s is too long: a time is at most 30 days"#], text: r#"{ "name": "t", "end": {"duration": 2592001}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:36: "duration" must be longer than 0, such as "5s""#], text: r#"{ "name": "t", "end": {"duration": "0s"}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:23: "end" is an object, found a number"#], text: r#"{ "name": "t", "end": 5, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:70: the initial value of trigger "go" is a whole number from 1 to 1000000000, found 0"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 0}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"1:70: the initial value of trigger "go" is a whole number from 1 to 1000000000, found 1.5"#,
        r#"1:75: ".x" cannot name a trigger: a name has 1 to 64 characters: ASCII letters, digits, ".", "_" and "-"; the first is a letter, a digit or "_""#,
        r#"1:81: the initial value of trigger ".x" is a whole number from 1 to 1000000000, found a string"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1.5, ".x": "1"}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:63: "triggers" is an object, found a list"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": [], "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"1:102: the resource "r" cannot be shipped: missing: no such file"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "missing"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"1:93: a resource needs the key "file""#,
        r#"1:94: unknown key "flie", did you mean "file"?"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"flie": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"1:102: "dir/" is not the path of a file"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "dir/"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"1:93: a resource is an object, found a string"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": "f"},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"3:1: an entry needs a run-policy: one of "at", "poke", "trigger", "after" or "finally""#,
        r#"3:15: unknown key "tigger", did you mean "trigger"?"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "tigger": "go", "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:24: an entry has only one of "at" and "poke": remove one of them"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "poke": true, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:1: an entry needs an action: one of "shell", "script", "exec", "file", "notify", "kill", "end", "barrier", "sync", "pause", "partition", "network", "fill", "clock" or "crash""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:38: an entry has only one of "shell" and "notify": remove one of them"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "notify": "go"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"3:21: "at": "1h30" has a number without a unit: write seconds as a number, or a string such as "250ms", "90s", "2min" or "1h30min""#,
        r#"3:29: an entry has only one of "at" and "poke": remove one of them"#,
        r#"3:37: "poke" is true or absent, found false"#,
        r#"3:53: "shell" is empty"#,
        r#"3:57: an entry has only one of "shell" and "notify": remove one of them"#,
        r#"3:67: unknown trigger "goo", did you mean "go"?"#,
        r#"3:85: "timeout" must be longer than 0, such as "5s""#,
        r#"4:24: "after" needs an entry or a list of entries: one of "entry", "all" or "any""#,
        r#"4:33: "exit" is a whole number from 0 to 255, found 300"#,
        r#"4:38: "ready" does not go with "exit": an entry runs either when the other one is ready or when it has exited"#,
        r#"4:47: "ready" is true or absent, found a number"#,
        r#"4:61: unknown variable @{x}: the variables are @{arete-slave-poke}, @{arete-slave-pid}, @{slave.name}, @{slave.index}, @{slave.count}, @{slave.workdir}, @{run.id}, @{ENTRY.pid}, @{RESOURCE.path}, @{SLAVE.address}, @{group.NAME} and @{group.NAME.addresses}: write "@@{" for a literal "@{""#,
        r#"4:66: @{r.path}: add "r" to "use_resources" of this entry"#,
        r#"4:76: unknown variable @{y}: the variables are @{arete-slave-poke}, @{arete-slave-pid}, @{slave.name}, @{slave.index}, @{slave.count}, @{slave.workdir}, @{run.id}, @{ENTRY.pid}, @{RESOURCE.path}, @{SLAVE.address}, @{group.NAME} and @{group.NAME.addresses}: write "@@{" for a literal "@{""#,
        r#"4:81: "@{" without "}": write "@@{" for a literal "@{""#,
        r#"4:101: unknown variable @{z}: the variables are @{arete-slave-poke}, @{arete-slave-pid}, @{slave.name}, @{slave.index}, @{slave.count}, @{slave.workdir}, @{run.id}, @{ENTRY.pid}, @{RESOURCE.path}, @{SLAVE.address}, @{group.NAME} and @{group.NAME.addresses}: write "@@{" for a literal "@{""#,
        r#"5:35: the barrier "b" has no members: add "members" or "count" here or in "barriers""#,
        r##"5:46: "as" is "#" and a tag, such as "#first", found "b""##,
        r#"5:61: "expect" is an empty list: the entry could never pass"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": "1h30", "poke": false, "shell": "", "notify": "goo", "timeout": 0},
{"name": "f", "after": {"exit": 300, "ready": 1}, "shell": "@{x} @{r.path} @{y} @{r", "env": {"A": "@{z}"}},
{"name": "g", "at": 0, "barrier": "b", "as": "b", "expect": []}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:1: an entry needs the key "name""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:10: "e.x" cannot name an entry: a name has 1 to 64 characters: ASCII letters, digits, "_" and "-"; the first is a letter, a digit or "_""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e.x", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:23: "poke" is true or absent, found false"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "poke": false, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:15: "finally" goes only with a command: when it runs, the run has ended"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "finally": true, "notify": "go"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:26: unknown trigger "goo", did you mean "go"?"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "trigger": "goo", "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:34: unknown trigger "stop"; known: "go""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "notify": "stop"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"3:21: "at": "1h30" has a number without a unit: write seconds as a number, or a string such as "250ms", "90s", "2min" or "1h30min""#,
        r#"3:38: "shell" is empty"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": "1h30", "shell": ""}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"3:32: "e" is not a command, a barrier, a sync or a fault: there is nothing to kill"#,
        r#"3:47: unknown signal "SIGTREM", did you mean "SIGTERM"?"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "kill": "e", "signal": "SIGTREM"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:38: "signal" goes only with "kill""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "signal": "TERM"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"3:40: "env" goes only with a command"#,
        r#"3:51: "expect" goes only with a command, "barrier" or "sync""#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "notify": "go", "env": {}, "expect": 1}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:31: "end" is "passed" or "failed", found "pass""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "end": "pass"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"3:52: an item of "expect" is a whole number from 0 to 255, found 256"#,
        r#"3:65: an item of "expect" is a number from 0 to 255 or the name of a signal, found null"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "expect": [0, 256, "TERM", null]}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:48: "expect" is an empty list: the command could never pass"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "expect": []}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:48: "expect" is a number, "any" or a list such as [0, 3, "SIGTERM"], found "all""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "expect": "all"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"3:46: "A=B" cannot name an environment variable"#,
        r#"3:63: a value of "env" is a string, found a list"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "env": {"A=B": "x", "C": []}}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"3:45: "cwd" is a string, found a number"#,
        r#"3:59: "timeout" must be longer than 0, such as "5s""#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "cwd": 1, "timeout": 0}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:56: unknown resource "rr"; known: "r""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "use_resources": ["rr"]}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:61: the resource "r" appears twice"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "use_resources": ["r", "r"]}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:50: the pattern "/etc/*" leaves the directory of the entry: write a relative path without "..""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "collect": ["/etc/*"]}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[
        r#"3:50: the pattern "../*" leaves the directory of the entry: write a relative path without "..""#,
        r#"3:58: the pattern "[a" is not valid: invalid range pattern"#,
        r#"3:64: the pattern "***" is not valid: wildcards are either regular `*` or recursive `**`"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "collect": ["../*", "[a", "***"]}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:33: "shell" contains a NUL character"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "a\u0000b"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:40: unknown variable @{slave.nmae}, did you mean "@{slave.name}"?"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "\"é\" @{slave.nmae}"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[
        r#"3:36: @{r.path}: add "r" to "use_resources" of this entry"#,
        r#"3:62: @{q.path}: unknown resource "q"; known: "r""#,
        r#"3:83: "@{" without "}": write "@@{" for a literal "@{""#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x @{r.path}", "env": {"A": "@{q.path}"}, "cwd": "@{r"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[
        r#"3:34: @{f.pid}: the slave "a" has no entry "f"; known: "e""#,
        r#"3:43: @{b.address}: unknown slave "b"; known: "a""#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "@{f.pid} @{b.address}"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:24: "after" is the name of an entry, a list or an object, found a number"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "after": 1, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:24: "after" needs an entry or a list of entries: one of "entry", "all" or "any""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "after": {"exit": 0}, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:47: "exit" is a whole number from 0 to 255, found 300"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "after": {"entry": "e", "exit": 300}, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"3:1: an entry is an object, found a string"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
"e"
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:24: the slave "a" has no entry "xx"; known: "e" and "x""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "after": "xx", "shell": "x"},
{"name": "x", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:32: the slave "a" has no entry "y"; known: "e" and "x""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "kill": "y"},
{"name": "x", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:24: these entries wait for each other for ever: "e" after "e""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "after": "e", "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:24: these entries wait for each other for ever: "a" after "c" after "b" after "a""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "a", "after": "c", "shell": "x"},
{"name": "b", "after": "a", "shell": "x"},
{"name": "c", "after": "b", "shell": "x"},
{"name": "d", "after": "a", "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"3:24: "f" runs when the run has ended: nothing can run after it"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "after": "f", "shell": "x"},
{"name": "f", "finally": true, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[
        r#"3:34: "p" is not a command, a barrier or a sync: it has no exit status"#,
        r#"3:66: @{p.pid}: "p" is not a command: it has no process"#,
        r#"5:32: "p" is not a command, a barrier, a sync or a fault: there is nothing to kill"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "after": {"entry": "p", "exit": 0}, "shell": "kill @{p.pid}"},
{"name": "p", "poke": true, "notify": "go"},
{"name": "k", "at": 0, "kill": "p"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"4:1: the schedule "s" has two entries "x": rename one"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "x", "at": 0, "shell": "x"},
{"name": "x", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"4:15: a test needs at least one slave"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {} }"# },
    Bad { by_schema: Some(true), problems: &[r#"4:21: the slave "a" has no schedule: name at least one"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": []} }"# },
    Bad { by_schema: Some(false), problems: &[r#"4:22: unknown schedule "ss"; known: "s""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["ss"]} }"# },
    Bad { by_schema: Some(true), problems: &[r#"4:21: the value of a slave is a list or an object, found a string"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": "s"} }"# },
    Bad { by_schema: Some(true), problems: &[r#"4:21: the value of a slave needs the key "schedules""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"address": "b"}} }"# },
    Bad { by_schema: Some(true), problems: &[r#"4:42: unknown key "adress", did you mean "address"?"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"schedules": ["s"], "adress": "b"}} }"# },
    Bad { by_schema: Some(true), problems: &[r#"4:53: "-oProxyCommand=x" is not an address: write a host name, an IP address or USER@HOST of at most 255 bytes"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"schedules": ["s"], "address": "-oProxyCommand=x"}} }"# },
    Bad { by_schema: Some(false), problems: &[r#"4:58: "b[1-2]" expands to 2 addresses for 3 slaves: write one address, or one for each slave"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a[1-3]": {"schedules": ["s"], "address": "b[1-2]"}} }"# },
    Bad { by_schema: Some(false), problems: &[r#"4:85: the slave "a1" has the schedule "s" twice"#, r#"4:102: the slave "a1" has the address "b" from an earlier key"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a[1-2]": {"schedules": ["s"], "address": "b"}, "a1": {"schedules": ["s"], "address": "c"}} }"# },
    Bad { by_schema: Some(true), problems: &[r#"4:16: "a b" cannot name a slave: a name has 1 to 64 characters: ASCII letters, digits, ".", "_" and "-"; the first is a letter, a digit or "_""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a b": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"4:16: "summary.json" cannot name a slave: the results have a file of that name"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"summary.json": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[
        r#"4:16: "n[3-1]": the range "3-1" runs backwards: write 1-3"#,
        r#"4:33: "n[1" has a "[" without a "]" after it"#,
        r#"4:47: "n[x]": "x" is not a range: write numbers of at most 9 digits, such as [001-128] or [1,3,5-7]"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"n[3-1]": ["s"], "n[1": ["s"], "n[x]": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"4:16: "n[1-200000]" expands to 200000 names: at most 10000 are allowed"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"n[1-200000]": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"4:36: a test has at most 10000 slaves"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"n[1-9000]": ["s"], "m[1-9000]": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"4:44: the slave "n2" has the schedule "s" twice"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"n[1-3]": ["s"], "n[2-9]": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"4:29: the slave "n2" has the schedule "s" twice"#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"n[1-3,2]": ["s"]} }"# },
    Bad { by_schema: None, problems: &[
        r#"4:28: the key "a" appears twice"#,
        r#"4:34: the slave "a" has the schedule "s" twice"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"], "a": ["s"]} }"# },
    Bad { by_schema: Some(false), problems: &[r#"5:87: the slave "a2" has two entries "e": one from "s" and one from "u""#], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
],
"u": [{"name": "e", "poke": true, "shell": "y"}]}, "slaves": {"a[1-2]": ["s"], "a2": ["u"]} }"# },
    Bad { by_schema: Some(true), problems: &[
        r#"5:1: "b c" cannot name a schedule: a name has 1 to 64 characters: ASCII letters, digits, ".", "_" and "-"; the first is a letter, a digit or "_""#,
        r#"5:17: a schedule is a list, found a number"#,
    ], text: r#"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
],
"b c": [], "v": 1}, "slaves": {"a": ["s", "v"]} }"# },
    Bad { by_schema: Some(true), problems: &[r##"2:11: "guests" is a list, found a string"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"guests": "ann",
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[r##"2:12: unknown group "people"; none is declared"##, r##"2:23: "n[3-1]": the range "3-1" runs backwards: write 1-3"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"guests": ["@people", "n[3-1]"],
 "schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[r##"2:11: "groups" is an object, found a list"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"groups": [],
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"2:12: "g h" cannot name a group: a name has 1 to 64 characters: ASCII letters, digits, ".", "_" and "-"; the first is a letter, a digit or "_""##,
        r##"2:31: the group "e" is an empty list: name at least one member"##,
        r##"2:41: a member is a string, found a number"##,
        r##"2:50: the group "o" is a list, found a string"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"groups": {"g h": ["a"], "e": [], "n": [1], "o": "a"},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"2:26: "a\u{7}" cannot name a member: write HOST or HOST#TAG, each of at most 255 bytes without control characters"##,
        r##"2:37: "#a" cannot name a member: write HOST or HOST#TAG, each of at most 255 bytes without control characters"##,
        r##"2:43: "a#\u{9b}" cannot name a member: write HOST or HOST#TAG, each of at most 255 bytes without control characters"##,
        r##"2:55: unknown group ""; known: "g""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"groups": {"g": ["a b#", "a\u0007", "#a", "a#\u009b", "@"]},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"2:18: unknown group "h"; known: "g", "clients" and "k""##,
        r##"2:24: "n[3-1]": the range "3-1" runs backwards: write 1-3"##,
        r##"2:59: unknown group "client", did you mean "clients"?"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"groups": {"g": ["@h", "n[3-1]"], "clients": ["c"], "k": ["@client"]},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"2:49: these groups contain each other: "a" contains "b" contains "c" contains "a""##,
        r##"2:75: these groups contain each other: "e" contains "e""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"groups": {"a": ["@b"], "b": ["x", "@c"], "c": ["@a"], "d": ["@a"], "e": ["@e"]},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"2:18: "n[1-10001]" expands to 10001 names: at most 10000 are allowed"##,
        r##"2:52: the group "h" has more than 10000 members"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"groups": {"g": ["n[1-10001]"], "h": ["n[1-9000]", "m[1-9000]"]},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[r##"2:84: all lists of members of a test have at most 30000 members together: declare a barrier or a sync once instead of listing its members at each entry"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"groups": {"g0": ["n[1-10000]"], "g1": ["n[1-10000]"], "g2": ["n[1-10000]"], "g3": ["n[1-10000]"]},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"2:13: "barriers" is an object, found a number"##,
        r##"2:25: "syncs" is an object, found a list"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"barriers": 1, "syncs": [],
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"2:38: "count" does not go with "members": remove one of them"##,
        r##"2:57: unknown key "cuont", did you mean "count"?"##,
        r##"2:75: a barrier is an object, found a number"##,
        r##"2:78: "u\tv" cannot name a barrier: a name has 1 to 255 bytes of UTF-8 without control characters"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"barriers": {"x": {"members": ["a"], "count": 2}, "y": {"cuont": 2}, "z": 3, "u\tv": {"count": 1}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"2:29: "count" is a whole number from 1 to 10000, found 0"##,
        r##"2:48: "count" is a whole number from 1 to 10000, found 10001"##,
        r##"2:71: "count" is a whole number from 1 to 10000, found a string"##,
        r##"2:94: "timeout" must be longer than 0, such as "5s""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"barriers": {"x": {"count": 0}, "y": {"count": 10001}, "z": {"count": "5"}, "u": {"timeout": 0}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"2:28: "members" is a list, found a string"##,
        r##"2:51: "members" is an empty list: name at least one member"##,
        r##"2:73: "timeout": "2m" has the unknown unit "m": the units are h, min, s and ms"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"syncs": {"x": {"members": "a"}, "y": {"members": []}, "z": {"timeout": "2m"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[r##"2:44: "x" is already the name of a barrier: rename the sync"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"barriers": {"x": {"count": 2}}, "syncs": {"x": {"count": 2}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"4:35: the barrier "up" has no members: add "members" or "count" here or in "barriers""##,
        r##"5:32: the sync "ip" has no members, did you mean "ips"?"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"barriers": {"up": {"timeout": 5}, "server-up": {"count": 2}}, "syncs": {"ips": {"count": 2}},
"schedules": {"s": [
{"name": "e", "at": 0, "barrier": "up"},
{"name": "f", "at": 0, "sync": "ip", "data": 1}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[r##"4:35: the barrier "sever-up" has no members, did you mean "server-up"?"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"barriers": {"server-up": {"count": 2}},
"schedules": {"s": [
{"name": "e", "at": 0, "barrier": "sever-up"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"4:35: "members" differs from what "barriers" declares for "x": remove it here"##,
        r##"5:35: "count" differs from what "barriers" declares for "y": remove it here"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"barriers": {"x": {"members": ["a", "b"]}, "y": {"count": 2}},
"schedules": {"s": [
{"name": "e", "at": 0, "barrier": "x", "members": ["a"]},
{"name": "f", "at": 0, "barrier": "y", "count": 3}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[r##"3:58: "count" does not go with "members": remove one of them"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "barrier": "x", "members": ["a"], "count": 3}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"3:35: "" cannot name a barrier: a name has 1 to 255 bytes of UTF-8 without control characters"##,
        r##"4:35: "barrier" is a string, found a number"##,
        r##"5:58: "as" is "#" and a tag, such as "#first", found "b""##,
        r##"6:58: "as": a tag has at most 255 bytes of UTF-8 without control characters"##,
        r##"6:76: "fresh": a time is not negative, found -1: write for example "30s""##,
        r##"6:91: "timeout" must be longer than 0, such as "5s""##,
        r##"6:107: "harmonize" is true or false, found a number"##,
        r##"7:61: "abort" is the reason, 1 to 2000 bytes long, such as "no disk""##,
        r##"7:76: "expect" is "released", "timed-out", "aborted" or "lost", found "TERM""##,
        r##"8:62: "expect" is an empty list: the entry could never pass"##,
        r##"9:63: an item of "expect" is a whole number from 0 to 255, found 256"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "barrier": "", "count": 3},
{"name": "f", "at": 0, "barrier": 5, "count": 3},
{"name": "g", "at": 0, "barrier": "x", "count": 3, "as": "b"},
{"name": "h", "at": 0, "barrier": "x", "count": 3, "as": "#b\tc", "fresh": -1, "timeout": 0, "harmonize": 1},
{"name": "i", "at": 0, "barrier": "x", "count": 3, "abort": " ", "expect": "TERM"},
{"name": "j", "at": 0, "barrier": "x", "count": 3, "expect": []},
{"name": "k", "at": 0, "barrier": "x", "count": 3, "expect": [256]}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"3:1: "sync" needs the key "data": the value that this member gives"##,
        r##"4:63: "fresh" goes only with "barrier""##,
        r##"4:75: "harmonize" goes only with "barrier""##,
        r##"4:94: "signal" goes only with "kill""##,
        r##"5:52: "data" goes only with "sync""##,
        r##"5:63: "all_alive" goes only with "sync""##,
        r##"5:82: "cwd" goes only with a command"##,
        r##"6:63: "abort" goes only with "barrier""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "sync": "x", "count": 3},
{"name": "f", "at": 0, "sync": "x", "count": 3, "data": null, "fresh": 1, "harmonize": true, "signal": "TERM"},
{"name": "g", "at": 0, "barrier": "x", "count": 3, "data": 1, "all_alive": true, "cwd": "x"},
{"name": "h", "at": 0, "sync": "x", "count": 3, "data": null, "abort": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"3:38: "members" goes only with "barrier" or "sync""##,
        r##"3:56: "count" goes only with "barrier" or "sync""##,
        r##"3:68: "as" goes only with "barrier" or "sync""##,
        r##"4:37: "timeout" goes only with a command, "barrier" or "sync""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x", "members": ["a"], "count": 2, "as": "#b"},
{"name": "f", "at": 0, "kill": "e", "timeout": 3}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[r##"3:15: "finally" goes only with a command: when it runs, the run has ended"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "finally": true, "barrier": "x", "count": 3}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"3:15: "finally" goes only with a command: when it runs, the run has ended"##,
        r##"3:81: "all_alive" is true or false, found a number"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "finally": true, "sync": "x", "count": 3, "data": 1, "all_alive": 0}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"3:65: @{nobody.address}: unknown slave "nobody"; known: "a""##,
        r##"3:86: @{r.path}: only a command uses resources"##,
        r##"3:99: "@{" without "}": write "@@{" for a literal "@{""##,
        r##"3:112: @{f.pid}: the slave "a" has no entry "f"; known: "e""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "sync": "x", "count": 3, "data": {"a": ["@{nobody.address}", "@{r.path}", "@{x"], "b": "@{f.pid}"}}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: None, problems: &[r##"3:66: the key "a" appears twice"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "sync": "x", "count": 3, "data": {"a": 1, "a": 2}}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"4:35: the slave "c4" is not among the members of the barrier "x": "c1", "c2", "c3", "s#1" and "w""##,
        r##"5:35: the slave "c1", as "c1#1", is not among the members of the barrier "x": "c1", "c2", "c3", "s#1" and "w""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"groups": {"all": ["c[1-3]", "s#1"]}, "barriers": {"x": {"members": ["@all", "w"]}},
"schedules": {"s": [
{"name": "e", "at": 0, "barrier": "x"},
{"name": "f", "at": 0, "barrier": "x", "as": "#1"}
]}, "slaves": {"c[1-5]": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[r##"4:49: unknown group "al", did you mean "all"?"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"groups": {"all": ["c[1-3]"]},
"schedules": {"s": [
{"name": "e", "at": 0, "sync": "x", "members": ["@al", "c1"], "data": 0}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"4:74: @{e.pid}: "e" is not a command: it has no process"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "barrier": "x", "count": 2},
{"name": "f", "after": {"entry": "e", "exit": "SIGTERM"}, "shell": "kill @{e.pid}"},
{"name": "h", "at": 1, "kill": "e"},
{"name": "g", "after": {"entry": "e", "exit": 3}, "notify": "go"}
]}, "slaves": {"a": ["s"]} }"## },
];
