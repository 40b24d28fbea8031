//! The assertions of a test: what each form means, and wrong ones, as in `bad.rs`.

use arete::testfile::{Assert, Figure};

use super::bad::Bad;
use super::good;

#[test]
fn an_assertion_is_a_number_a_comparison_or_an_object() {
    let test = good(
        r##"{ "name": "t", "end": {"idle": true, "limit": 9}, "groups": {"all": ["@some", "b"], "some": ["a1"]},
             "assert": {"x": 0, "y": ">= 500 Mbit/s", "z": {"max": "20ms", "min": 5, "mean": "2", "count": ">3", "of": "a*"},
                        "v": {"each": "< 5", "of": ["@all", "a[1-2]"]}, "w": {"sum": -1.5e3, "of": ["b", "a1"]}},
             "schedules": {"s": []}, "slaves": {"a[1-3]": ["s"], "b": ["s"]} }"##,
    );
    let shown = |Assert { name, of, bounds }: &Assert| {
        let bounds: Vec<String> = bounds.iter().map(|(figure, bound)| format!("{figure:?} {bound}")).collect();
        let slaves = of.as_ref().map(|of| of.slaves.iter().cloned().collect::<Vec<_>>().join(" "));
        format!("{name}: {} of {}", bounds.join(", "), slaves.unwrap_or_else(|| "all".to_owned()))
    };
    let found: Vec<String> = test.asserts.iter().map(shown).collect();
    let wanted = [
        "x: Each == 0 of all",
        "y: Each >= 500 Mbit/s of all",
        "z: Min >= 5, Max <= 20 ms, Mean == 2, Count > 3 of a1 a2 a3",
        "v: Each < 5 of a1 a2 b",
        "w: Sum == -1500 of a1 b",
    ];
    assert_eq!(found, wanted);
    let of = |nr: usize| test.asserts[nr].of.as_ref().map(|of| of.text.as_str());
    assert_eq!((of(1), of(2), of(3)), (None, Some("a*"), Some("@all, a[1-2]")));
    assert_eq!(test.asserts[0].bounds[0].0, Figure::Each);
}

#[rustfmt::skip]
pub const OF_ASSERTS: &[Bad] = &[
    Bad { by_schema: Some(true), problems: &[
        r##"2:12: "x y" cannot name a measurement: a name has 1 to 64 characters: ASCII letters, digits, ".", "_" and "-"; the first is a letter, a digit or "_""##,
        r##"2:27: the bound of "x" is a number, or a comparison such as ">= 500 Mbit/s", found true"##,
        r##"2:38: the bound of "y": write a comparison (>=, <=, >, <, ==) and a number with its unit, such as ">= 500 Mbit/s""##,
        r##"2:54: the bound of "z": the number is at most 1e100"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9},
"assert": {"x y": 1, "x": true, "y": "fast",    "z": 1e101},
"schedules": {"s": []}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"2:17: an assertion needs a bound: one of "each", "min", "max", "mean", "median", "sum" or "count""##,
        r##"2:18: unknown key "mx", did you mean "max"?"##,
        r##"2:33: an assertion needs a bound: one of "each", "min", "max", "mean", "median", "sum" or "count""##,
        r##"2:50: "max": write a comparison (>=, <=, >, <, ==) and a number with its unit, such as ">= 500 Mbit/s""##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9},
"assert": {"x": {"mx": 1}, "y": {}, "z": {"max": "=> 5"}},
"schedules": {"s": []}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"2:27: "count" has no unit: it is the number of the values"##,
        r##"2:48: "max": "m s" is not a unit: a unit has 1 to 32 bytes without spaces and control characters, and begins with no digit and no sign"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9},
"assert": {"x": {"count": "5 s"}, "y": {"max": "5 m s"}},
"schedules": {"s": []}, "slaves": {"a": ["s"]} }"## },
    Bad { by_schema: Some(false), problems: &[
        r##"2:34: the test has no slave "b"; known: "a1""##,
        r##"2:69: no slave of the test has a name like "b*""##,
        r##"2:99: unknown group "g"; none is declared"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9},
"assert": {"x": {"max": 1, "of": "b"}, "y": {"max": 1, "of": ["a*", "b*"]}, "z": {"max": 1, "of": "@g"}},
"schedules": {"s": []}, "slaves": {"a1": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[
        r##"2:34: "of" is an empty list: name at least one slave"##,
        r##"2:62: a slave in "of" is a string, found a number"##,
    ], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9},
"assert": {"x": {"max": 1, "of": []}, "y": {"max": 1, "of": [5]}},
"schedules": {"s": []}, "slaves": {"a1": ["s"]} }"## },
    Bad { by_schema: Some(true), problems: &[r##"2:11: "assert" is an object, found a list"##], text: r##"{ "name": "t", "end": {"idle": true, "limit": 9},
"assert": ["x"],
"schedules": {"s": []}, "slaves": {"a1": ["s"]} }"## },
];
