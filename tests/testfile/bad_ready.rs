//! Wrong values of `ready`, and of an `after` that waits for it, as in `bad.rs`.

use super::Bad;

#[rustfmt::skip]
pub const OF_READY: &[Bad] = &[
    Bad { by_schema: Some(true), problems: &[
        r##"3:48: "ready" needs a check: one of "port", "log", "shell" or "notify""##,
        r##"4:60: "ready" has only one of "port" and "log": remove one of them"##,
        r##"5:61: "host" goes only with "port""##,
        r##"5:74: "every" goes only with "shell""##,
        r##"6:57: "port" is a whole number from 1 to 65535, found 0"##,
        r##"6:70: "within" must be longer than 0, such as "5s""##,
        r##"7:59: "notify" is true or absent, found false"##,
        r##"8:39: "ready" goes only with a command"##,
        r##"9:47: "ready" does not go with "finally": nothing starts when the run has ended"##,
        r##"10:47: "service" does not go with "finally": the run waits for its exit"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "schedules": {"s": [

{"name": "e0", "at": 0, "shell": "x", "ready": {}},
{"name": "e1", "at": 0, "shell": "x", "ready": {"port": 1, "log": "x"}},
{"name": "e2", "at": 0, "shell": "x", "ready": {"log": "x", "host": "h", "every": 1}},
{"name": "e3", "at": 0, "shell": "x", "ready": {"port": 0, "within": 0}},
{"name": "e4", "at": 0, "shell": "x", "ready": {"notify": false}},
{"name": "e5", "at": 0, "kill": "e0", "ready": {"notify": true}},
{"name": "e6", "finally": true, "shell": "x", "ready": {"notify": true}},
{"name": "e7", "finally": true, "shell": "x", "service": true}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"3:60: "log" is not a valid regular expression: unclosed group"##,
        r##"4:56: "log" is not a valid regular expression: it is too complex"##,
        r##"5:76: unknown trigger "og", did you mean "go"?"##,
        r##"6:62: @{nobody.address}: unknown slave "nobody"; known: "a""##,
        r##"7:35: "e6" has no "ready": add one with a check"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "schedules": {"s": [

{"name": "e0", "at": 0, "shell": "x", "ready": {"log": "up ("}},
{"name": "e1", "at": 0, "shell": "x", "ready": {"log": "(?:\\w{200}){200}"}},
{"name": "e2", "at": 0, "shell": "x", "ready": {"notify": true, "trigger": "og"}},
{"name": "e3", "at": 0, "shell": "x", "ready": {"shell": "nc @{nobody.address}"}},
{"name": "e4", "after": {"entry": "e6", "ready": true}, "shell": "x"},
{"name": "e6", "at": 0, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"4:41: "ready" does not go with "exit": an entry runs either when the other one is ready or when it has exited"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "schedules": {"s": [
{"name": "e0", "at": 0, "shell": "x", "ready": {"port": 80}},

{"name": "e1", "after": {"entry": "e0", "ready": true, "exit": 0}, "shell": "x"}
]}, "slaves": {"a": ["s"]} }"## },
];
