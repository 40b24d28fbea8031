//! Which run the beginning of an id means, and the code of the refusal if it means none.

use super::*;

/// Returns a controller with one slave that has served `count` runs, one after another. The last one was just
/// submitted.
fn lab_of(count: usize) -> (Lab, ConnId, Vec<String>) {
    let mut lab = Lab::new();
    let operator = lab.operator();
    let a = lab.slave("a", "i", None);
    let mut runs = Vec::new();
    for nr in 1..=count {
        runs.push(lab.submit(operator, &format!("s{nr}"), &test_for("a")));
        if nr < count {
            lab.serve(&runs[nr - 1], &[a]);
            assert_eq!(lab.state(operator, &runs[nr - 1]), "over");
        }
    }
    (lab, operator, runs)
}

/// Returns the common beginning of these ids.
fn beginning(runs: &[String]) -> String {
    let first = &runs[0];
    let shared = (0..first.len()).rev().find(|&end| runs.iter().all(|run| run.starts_with(&first[..end])));
    first[..shared.unwrap_or(0)].to_owned()
}

fn ends(lab: &mut Lab, operator: ConnId, run: &str) -> Value {
    lab.ask(operator, &Look { run: run.into(), end: true })
}

#[test]
fn a_beginning_of_an_id_means_the_one_active_run() {
    let (mut lab, operator, runs) = lab_of(3);
    let name = beginning(&runs);
    assert_eq!(lab.progress(operator, &name)["run"], runs[2]);
    assert_eq!(ends(&mut lab, operator, &name)["run"]["run"], runs[2]);
    assert_eq!(lab.progress(operator, &runs[0])["run"], runs[0], "a whole id means its run");
}

#[test]
fn among_finished_runs_the_latest_is_shown_and_none_is_cancelled() {
    let (mut lab, operator, mut runs) = lab_of(3);
    let a = lab.slave("a", "i", None);
    lab.serve(&runs[2], &[a]);
    runs.truncate(3);
    let name = beginning(&runs);
    assert_eq!(lab.progress(operator, &name)["run"], runs[2]);
    let denied = ends(&mut lab, operator, &name);
    assert_eq!((&denied["type"], &denied["code"]), (&"denied".into(), &"no-such-run".into()), "{denied}");
    assert!(denied["reason"].as_str().is_some_and(|why| why.contains(&runs[2])), "{denied}");
    assert_eq!(ends(&mut lab, operator, &runs[0])["run"]["run"], runs[0]);
}

#[test]
fn several_active_runs_are_listed_and_none_is_chosen() {
    let (mut lab, operator, runs) = lab_of(2);
    let third = lab.submit(operator, "another", &test_for("a"));
    let going = [runs[1].clone(), third];
    for end in [false, true] {
        let denied = lab.ask(operator, &Look { run: beginning(&going).into(), end });
        assert_eq!(denied["code"], "ambiguous", "{denied}");
        let reason = denied["reason"].as_str().unwrap_or_default();
        assert!(going.iter().all(|run| reason.contains(run.as_str())) && !reason.contains(&runs[0]), "{reason}");
    }
    for nobody in ["", "zzz"] {
        assert_eq!(lab.ask(operator, &Look { run: nobody.into(), end: false })["code"], "no-such-run");
    }
}
