//! The matrix of a test: how it is declared, and which combinations it has.

use std::time::Duration;

use arete::testfile::{self, Axis, COMBINATIONS_MAX, Choices, Combinations, End, Problem};

use super::{parse, ship};

const TEST: &str = r#"
name: m
params: {clients: 2, rate: 10M, other: x}
matrix:
  clients: [2, 4, 8]
  rate: [10M, "@{param.other}"]
  exclude: [{clients: 8, rate: 10M}]
end: {idle: true, limit: 1 min}
schedules: {s: [{name: e, at: 0, shell: "run @{param.rate}"}]}
slaves: {"client[1-@{param.clients}]": [s]}
"#;

fn axis(name: &str, values: &[&str]) -> Axis {
    Axis { name: name.to_owned(), values: values.iter().map(|value| (*value).to_owned()).collect() }
}

fn of(text: &str, chosen: &[Axis]) -> Result<Combinations, Vec<Problem>> {
    testfile::combinations("t.yaml", text, chosen)
}

fn names(text: &str, chosen: &[Axis]) -> Vec<String> {
    of(text, chosen).expect("a matrix").list.iter().map(ToString::to_string).collect()
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_last_param_changes_first_and_excluded_combinations_are_left_out() {
    let other = "@{param.other}";
    let all = [
        "clients=2,rate=10M".to_owned(),
        format!("clients=2,rate={other}"),
        "clients=4,rate=10M".to_owned(),
        format!("clients=4,rate={other}"),
        format!("clients=8,rate={other}"),
    ];
    assert_eq!(names(TEST, &[]), all);
    assert!(of(TEST, &[]).expect("a matrix").warnings.is_empty());
    let json = r#"{"params": {"a": 1, "b": true}, "matrix": {"a": [1, 2.5], "b": [true, "x"]}}"#;
    assert_eq!(names(json, &[]), ["a=1,b=true", "a=1,b=x", "a=2.5,b=true", "a=2.5,b=x"]);
    assert!(names("{\"name\": \"t\"}", &[]).is_empty());
}

#[test]
fn values_of_the_command_line_replace_those_of_the_same_param() {
    assert_eq!(names(TEST, &[axis("rate", &["1M"]), axis("other", &["y", "z"])]).len(), 6);
    let chosen = [axis("clients", &["8"])];
    assert_eq!(names(TEST, &chosen), ["clients=8,rate=@{param.other}"]);
    // Only the values of the author must be among the excluded ones.
    assert!(of(TEST, &[axis("clients", &["1"])]).expect("a matrix").warnings.is_empty());
    assert_eq!(names("{\"params\": {\"a\": 1}}", &[axis("a", &["1", "2"])]), ["a=1", "a=2"]);
}

#[test]
fn a_controller_gets_one_combination_and_no_matrix() {
    let combination = &of(TEST, &[]).expect("a matrix").list[3];
    let choices = Choices { params: combination.values(), limit: Some(Duration::from_millis(1500)) };
    let read = testfile::read_chosen("t.yaml", TEST, &choices, &mut ship).expect("a test");
    assert!(!read.json.contains("matrix") && !read.json.contains("exclude"), "{}", read.json);
    assert_eq!((read.test.slaves.len(), &read.test.end), (4, &End::Idle { limit: Duration::from_millis(1500) }));
    let command = &read.test.slaves[0].entries[0].shell().expect("a command").command;
    assert_eq!(command[..], ["run @@{param.other}"], "a value is no template");
    assert_eq!(parse(&read.json).expect("the same test"), read.test);
    let with = read.json.replacen("{", "{\"matrix\": {},", 1);
    assert!(told(&parse(&with).expect_err("it has a matrix"))[0].contains("a controller runs one combination"));
    let json = "{\"name\": \"t\", \"matrix\": {}, \"end\": {\"duration\": 1}, \"schedules\": {}, \"slaves\": {}}";
    let read = testfile::read_chosen("t", json, &Choices::default(), &mut ship).expect_err("no slaves");
    assert!(told(&read).iter().all(|problem| !problem.contains("matrix")), "{read:?}");
}

#[test]
fn a_limit_from_outside_needs_a_limit_in_the_test() {
    let choices = Choices { limit: Some(Duration::from_secs(5)), ..Choices::default() };
    let text = TEST.replace("{idle: true, limit: 1 min}", "{duration: 5}");
    let found = testfile::read_chosen("t.yaml", &text, &choices, &mut ship).expect_err("it has no limit");
    assert!(told(&found)[0].starts_with("t.yaml:8:1: --limit: this test ends after its \"duration\""), "{found:?}");
    let text = TEST.replace("{idle: true, limit: 1 min}", "{idle: true}");
    let read = testfile::read_chosen("t.yaml", &text, &choices, &mut ship).expect("now it has a limit");
    assert!(read.json.contains("\"limit\": 5"), "{}", read.json);
}

#[test]
fn wrong_matrices_are_told_at_their_places() {
    let with = |from: &str, to: &str| TEST.replace(from, to);
    let long: Vec<String> = (0..501).map(|nr| nr.to_string()).collect();
    for (text, says) in [
        (
            with("  clients: [2", "  client: [2"),
            "5:3: the test declares no param \"client\", did you mean \"clients\"?",
        ),
        (with("[2, 4, 8]", "[2, 4, 2]"), "5:19: the value \"2\" appears twice"),
        (with("[2, 4, 8]", "[2, \"2\"]"), "5:16: the value \"2\" appears twice"),
        (with("[2, 4, 8]", "[]"), "5:12: the param \"clients\" has no value in the matrix"),
        (with("[2, 4, 8]", "2"), "5:12: what a param has in the matrix is a list, found a number"),
        (with("[2, 4, 8]", "[[2]]"), "5:13: a param is a string, a number or true or false, found a list"),
        (with("[2, 4, 8]", "[null]"), "5:13: a param is a string, a number or true or false, found null"),
        (with("{clients: 8, rate", "{client: 8, rate"), "7:14: the matrix has no param \"client\""),
        (with("{clients: 8, rate: 10M}", "{}"), "7:13: an item of \"exclude\" names at least one param"),
        (with("[{clients: 8, rate: 10M}]", "x"), "7:12: \"exclude\" is a list, found a string"),
        (
            with("{clients: 8, rate: 10M}", "{clients: 2}, {clients: 4}, {clients: 8}"),
            "4:1: \"exclude\" leaves no combination of the matrix",
        ),
        (with("2, 4, 8", &long.join(", ")), "4:1: a matrix has at most 1000 combinations"),
        (TEST.replace("matrix:\n", "matrix: [\n"), "6:3: this is not YAML"),
    ] {
        let found = told(&of(&text, &[]).expect_err(&text));
        assert!(found[0].starts_with(&format!("t.yaml:{says}")), "{found:#?}");
    }
    assert_eq!(COMBINATIONS_MAX, 1_000);
    let text = with("[{clients: 8, rate: 10M}]", "[{clients: 8}, {clients: 16}]");
    let warnings = told(&of(&text, &[]).expect("a matrix").warnings);
    assert_eq!(warnings, ["t.yaml:7:27: this item of \"exclude\" matches no combination of the matrix"]);
    let many: Vec<Axis> = (0..80).map(|nr| axis(&format!("p{nr}"), &["a", "b"])).collect();
    assert!(told(&of(TEST, &many).expect_err("too many"))[0].contains("at most 1000 combinations"));
}
