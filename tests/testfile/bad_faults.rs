//! Wrong faults, as in `bad.rs`.

use super::Bad;

#[rustfmt::skip]
pub const OF_FAULTS: &[Bad] = &[
    Bad { by_schema: Some(true), problems: &[
        r##"3:48: "for" must be longer than 0, such as "5s""##,
        r##"4:37: "partition" needs the key "between""##,
        r##"5:48: "between" has 2 to 100 sides, each a slave, a group or a list, such as ["a", ["b", "c"]]; found 1"##,
        r##"6:35: "network" changes nothing: add "delay", "loss" or "rate""##,
        r##"7:48: "jitter" goes only with "delay""##,
        r##"8:43: "loss" is a share of the packets from "0.0001%" to "100%", such as "1%", found "1""##,
        r##"9:43: "rate" is a number of bits per second with the unit bit, Kbit, Mbit or Gbit, such as "100Mbit", from "1Kbit" to "1000Gbit"; found "100Mb""##,
        r##"10:32: "fill" needs the key "leave""##,
        r##"11:53: "leave" is a number of bytes, or a string such as "64KiB", "1MiB" or "2GiB""##,
        r##"12:46: "for" goes only with "pause", "partition", "network", "fill" or "clock""##,
        r##"13:34: "crash" is true or absent, found false"##,
        r##"14:33: "clock" needs the key "step""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "schedules": {"s": [
{"name": "db", "at": 0, "shell": "x"},
{"name": "e0", "at": 0, "pause": "db", "for":  0},
{"name": "e1", "at": 0, "partition":{}},
{"name": "e2", "at": 0, "partition":{"between":["a"]}},
{"name": "e3", "at": 0, "network":{"to": "b"}},
{"name": "e4", "at": 0, "network":{"loss":"1%","jitter": 1}},
{"name": "e5", "at": 0, "network":{"loss":"1"}},
{"name": "e6", "at": 0, "network":{"rate":"100Mb"}},
{"name": "e7", "at": 0, "fill":{"path": "/x"}},
{"name": "e8", "at": 0, "fill":{"path":"/x","leave":"1MB"}},
{"name": "e9", "at": 0, "crash": true,       "for": 1},
{"name": "f0", "at": 0, "crash": false},
{"name": "f1", "at": 0, "clock":{}}
]}, "slaves": {"a": ["s"], "b": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"3:34: the slave "a" has no entry "bd", did you mean "db"?"##,
        r##"4:34: "e0" is not a command: there is nothing to pause"##,
        r##"5:56: unknown slave "q"; known: "a", "b" and "c""##,
        r##"6:55: the slave "a" is on two sides: remove it from one"##,
        r##"7:53: unknown group "all"; none is declared"##,
        r##"8:41: "step": "soon" is not a time: write seconds as a number, or a string such as "250ms", "90s", "2min" or "1h30min""##,
        r##"9:41: "step" is not 0: write "1h" or "-90s""##,
        r##"10:44: "delay" is at most 600 s"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "schedules": {"s": [
{"name": "db", "at": 0, "shell": "x"},
{"name": "e0", "at": 0, "pause": "bd"},
{"name": "e1", "at": 0, "pause": "e0"},
{"name": "e2", "at": 0, "partition":{"between": ["a",  "q"]}},
{"name": "e3", "at": 0, "partition":{"between": ["a", ["a", "b"]]}},
{"name": "e4", "at": 0, "partition":{"between":["a","@all"]}},
{"name": "e5", "at": 0, "clock":{"step":"soon"}},
{"name": "e6", "at": 0, "clock":{"step":0}},
{"name": "e7", "at": 0, "network":{"delay":"11min"}}
]}, "slaves": {"a": ["s"], "b": ["s"], "c": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"3:51: the entry "cut" cannot cut "a" from "b": a slave cuts only its own connections, so give the schedule "s" to one of these two, and start the entry there with a trigger"##,
        r##"4:51: the entry "two" cannot cut "a" from "b": a slave cuts only its own connections, so give the schedule "s" to one of these two, and start the entry there with a trigger"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "schedules": {"s": [
{"name": "ok", "at": 0, "partition": {"between": ["c", ["a", "b"]]}},
{"name": "cut", "at":0, "partition": {"between": ["a", "b"]}},
{"name": "two", "at":0, "partition": {"between": ["a", "b", "c"], "one_way": true}}
], "n": [{"name": "x", "at": 0, "shell": "x"}]}, "slaves": {"a": ["n"], "b": ["n"], "c": ["s"]} }"## },
];
