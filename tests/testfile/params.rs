//! The params of a test: how they are declared, given and replaced.

use arete::testfile::{self, Authored, Given, Problem};

use super::{good, ship};

const TEST: &str = r#"
name: p
params:
  clients: 2
  rate: {default: 100M, help: of each client}
  verbose: false
end: {idle: true, limit: 1 min}
triggers: {go: "@{param.clients}"}
schedules:
  s:
    - {name: e, at: 0, shell: "run -r @{param.rate} -v @{param.verbose} @@{param.rate} @{slave.name}"}
slaves: {"client[1-@{param.clients}]": [s]}
"#;

fn read(text: &str, given: &[(&str, &str)]) -> Result<Authored, Vec<Problem>> {
    let given: Given = given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    testfile::read_file("t.yaml", text, &given, &mut ship)
}

fn problems(text: &str, given: &[(&str, &str)]) -> Vec<String> {
    read(text, given).expect_err("a test with a problem").iter().map(ToString::to_string).collect()
}

#[test]
fn params_are_replaced_in_values_numbers_and_keys() {
    let command = |test: &testfile::Test| test.slaves[0].entries[0].shell().expect("a command").text().into_owned();
    let Authored { test, json, .. } = read(TEST, &[]).expect("a test");
    assert_eq!((test.slaves.len(), test.triggers["go"]), (2, 2));
    assert_eq!(command(&test), "run -r 100M -v false @@{param.rate} @{slave.name}");
    assert_eq!(test.params.values().map(|value| &**value).collect::<Vec<_>>(), ["2", "100M", "false"]);
    assert_eq!(format!("{:?}", good(&json)), format!("{test:?}"), "a controller reads the same test");
    let given = [("clients", "8"), ("rate", "@{slave.name}"), ("verbose", "true")];
    let Authored { test, .. } = read(TEST, &given).expect("a test");
    assert_eq!((test.slaves.len(), test.triggers["go"]), (8, 8));
    assert_eq!(command(&test), "run -r @@{slave.name} -v true @@{param.rate} @{slave.name}", "a value is no template");
}

#[test]
fn wrong_params_are_told_once_with_what_to_give() {
    let with = |from: &str, to: &str| TEST.replace(from, to);
    for (text, given, says) in [
        (
            with("clients: 2", "clients: {help: how many}"),
            &[][..],
            "4:3: the param \"clients\" (how many) has no default: give it with -p clients=VALUE",
        ),
        (TEST.to_owned(), &[("clients", "many")], "4:3: the param \"clients\" is a number, and \"many\" was given"),
        (TEST.to_owned(), &[("verbose", "1")], "6:3: the param \"verbose\" is true or false, and \"1\" was given"),
        (TEST.to_owned(), &[("client", "1")], "3:1: the test has no param \"client\", did you mean \"clients\"?"),
        (
            with("-r @{param.rate}", "-r @{param.rat}"),
            &[],
            "11:31: the test declares no param \"rat\", did you mean \"rate\"?",
        ),
        (with("clients: 2", "clients: [2]"), &[], "4:12: a param is a string, a number or true or false, found a list"),
        (with("help: of", "hlp: of"), &[], "5:25: unknown key \"hlp\""),
        (with("  verbose: false\n", "  a b: 1\n"), &[], "6:3: "),
    ] {
        let found = problems(&text, given);
        assert!(found[0].starts_with(&format!("t.yaml:{says}")), "{found:#?}");
        assert_eq!(found.len(), 1, "{found:#?}");
    }
    let none = problems("name: t\nend: {duration: 1}\nschedules: {}\nslaves: {a: []}\n", &[("x", "1")]);
    assert_eq!(none, ["t.yaml:1:1: the test has no param \"x\"; none is declared"]);
}

#[test]
fn what_params_make_longer_has_a_bound() {
    let value = "x".repeat(60_000);
    let many = vec!["@{param.long}"; 1_000].join(" ");
    let text = TEST.replace("  clients: 2", &format!("  long: {value}\n  clients: 2")).replace("run -r", &many);
    let found = problems(&text, &[]);
    assert!(found[0].contains("stand for more than"), "{found:?}");
    let text = TEST.replace("  clients: 2", &format!("  long: {value}{value}\n  clients: 2"));
    assert!(problems(&text, &[])[0].contains("bytes of their values"));
    let many: String = (0..200).map(|nr| format!("  p{nr}: 1\n")).collect();
    assert!(problems(&TEST.replace("params:\n", &format!("params:\n{many}")), &[])[0].contains("at most 100 params"));
}
