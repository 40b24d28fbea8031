//! Wrong values of slaves, as in `bad.rs`.

use super::bad::Bad;

#[rustfmt::skip]
pub const OF_SLAVES: &[Bad] = &[
    Bad { by_schema: Some(true), problems: &[
        r##"4:21: the value of a slave needs the key "schedules""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"with": {}}} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"4:42: unknown key "wiht", did you mean "with"?"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"schedules": ["s"], "wiht": {}}} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"4:35: "schedules" is a list, found a string"##,
        r##"4:48: "with" is an object, found a list"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"schedules": "s", "with": ["arch"]}} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"4:35: the slave "a" has no schedule: name at least one"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"schedules": []}} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"5:2: "a b" cannot name a label: a name has 1 to 64 characters: ASCII letters, digits, ".", "_" and "-"; the first is a letter, a digit or "_""##,
        r##"6:10: the value of a label is a string, found a number"##,
        r##"7:2: the label "role" has a control character in it"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"schedules": ["s"], "with": {
 "a b": "x",
 "cpus": 4,
 "role": "a\u009bb"}}} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"5:1: the label "role" is longer than 256 bytes"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"schedules": ["s"], "with": {
"role": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}} }"## },
    Bad { by_schema: None, problems: &[
        r##"4:69: the key "arch" appears twice"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"a": {"schedules": ["s"], "with": {"arch": "x86_64", "arch": "x86_64"}}} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"5:26: the slave "n2" has the schedule "s" twice"##,
        r##"5:40: the slave "n2" has other labels in "with" of an earlier key"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "triggers": {"go": 1}, "resources": {"r": {"file": "f"}},
"schedules": {"s": [
{"name": "e", "at": 0, "shell": "x"}
]}, "slaves": {"n[1-2]": {"schedules": ["s"], "with": {"arch": "x86_64"}},
"n[2-3]": {"schedules": ["s"], "with": {}}} }"## },
];
