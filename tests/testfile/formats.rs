//! Test files in YAML: the same tests, the same messages, and places that people find.

use arete::testfile::{self, Authored, Problem};

use super::{EXAMPLES, example, good, ship};

fn read(text: &str) -> Result<Authored, Vec<Problem>> {
    testfile::read_file("t.yaml", text, &Default::default(), &mut ship)
}

fn problems(text: &str) -> Vec<String> {
    read(text).expect_err("a test with a problem").iter().map(ToString::to_string).collect()
}

/// A test whose only entry is this line of YAML.
fn with_entry(entry: &str) -> String {
    format!("name: t\nend: {{duration: 1}}\nslaves: {{a: [s]}}\nschedules:\n  s:\n{entry}\n")
}

#[test]
fn every_example_is_the_same_test_in_both_formats() {
    for name in EXAMPLES {
        let json = example(name);
        // A line that begins with another character than "{" is YAML, and JSON is YAML too.
        let yaml = read(&format!("# {name}\n{json}")).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(format!("{:?}", yaml.test), format!("{:?}", good(&json)), "{name}");
        assert_eq!(format!("{:?}", good(&yaml.json)), format!("{:?}", good(&json)), "{name}, as it is kept");
    }
}

#[test]
fn the_first_example_is_yaml_and_is_kept_as_json() {
    let Authored { test, json, warnings } = read(&example("hello.yaml")).expect("a test");
    assert_eq!(test.slaves.iter().map(|slave| &*slave.name).collect::<Vec<_>>(), ["server", "client1", "client2"]);
    assert_eq!(test.barriers["up"], test.barriers["all-done"], "an alias repeats a value");
    assert_eq!(warnings, []);
    assert_eq!(format!("{:?}", good(&json)), format!("{test:?}"));
}

#[test]
fn problems_of_yaml_have_the_places_of_its_lines() {
    let unknown = "    - name: e\n      at: 0\n      shell: ";
    for (text, places) in [
        ("name: t\nend: {duration: x}\nslaves: {a: []}\nschedules: {}\n".to_owned(), &["2:17"][..]),
        (with_entry("    - {name: e, at: 0, shel: ls}"), &["6:24"]),
        (with_entry(&format!("{unknown}ls @{{nobody.pid}}")), &["8:17"]),
        (
            with_entry(&format!("{unknown}|\n        one\n        two @{{nobody.pid}} and @{{none.pid}}")),
            &["10:13", "10:31"],
        ),
        (with_entry(&format!("{unknown}\"one\n        two @{{nobody.pid}}\"")), &["9:13"]),
        (with_entry("    - {name: e, at: 0, shell: 'it''s @{nobody.pid}'}"), &["6:38"]),
        ("name: t\nname: u\nend: {duration: 1}\nslaves: {a: []}\nschedules: {}\n".to_owned(), &["2:1"]),
        ("name: [\n".to_owned(), &["2:1"]),
        ("just words\n".to_owned(), &["1:1"]),
    ] {
        let found = problems(&text);
        let at: Vec<&str> =
            found.iter().filter_map(|problem| problem.strip_prefix("t.yaml:")?.split(": ").next()).collect();
        assert!(at.starts_with(places) || at.iter().any(|at| places == [*at]), "{text}: {found:#?}");
    }
}

#[test]
fn what_yaml_1_1_would_read_differently_is_told_or_is_a_word() {
    let entry = |entry: &str| read(&with_entry(entry));
    let shell = entry("    - {name: e, at: 0, shell: yes}").expect("a word").json;
    assert!(shell.contains("\"shell\": \"yes\""), "{shell}");
    let service = problems(&with_entry("    - {name: e, at: 0, shell: x, service: yes}"));
    assert!(service[0].starts_with("t.yaml:6:43: ") && service[0].contains("true or absent"), "{service:?}");
    let octal = problems(&with_entry("    - {name: e, at: 010, shell: x}"));
    assert_eq!(octal.len(), 1);
    assert!(octal[0].starts_with("t.yaml:6:21: ") && octal[0].contains("octal"), "{octal:?}");
}
