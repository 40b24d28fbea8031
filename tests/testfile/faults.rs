//! The actions that inject faults, as the parser reads them.

use arete::testfile;
use arete::wire::{Action, Conditions, Harm, Injection};

use super::good;

#[test]
fn faults_are_read_with_their_units_their_groups_and_their_times() {
    let test = good(
        r#"{ "name": "t", "end": {"idle": true, "limit": 60}, "groups": {"rest": ["b", "c"]},
             "schedules": { "s": [
               {"name": "db", "at": 0, "shell": "x"},
               {"name": "e0", "at": 0, "pause": "db", "for": "3s"},
               {"name": "e1", "at": 0, "partition": {"between": ["a", "@rest"]}},
               {"name": "e2", "at": 0, "partition": {"between": [["a"], "b", "c"], "one_way": true}, "for": 1},
               {"name": "e3", "at": 0, "network":
                 {"delay": "50ms", "jitter": "5ms", "loss": "1.25%", "rate": "100Mbit", "to": ["b"]}},
               {"name": "e4", "at": 0, "fill": {"path": "@{slave.workdir}", "leave": "1MiB"}},
               {"name": "e5", "at": 0, "clock": {"step": "-1h"}},
               {"name": "e6", "at": 0, "crash": true},
               {"name": "e7", "after": "e1", "kill": "e1"}] },
             "slaves": {"a": ["s"], "b": ["s"], "c": ["s"]} }"#,
    );
    let entries = &test.slaves[0].entries;
    let injected: Vec<Injection> = entries.iter().filter_map(|entry| entry.injection().cloned()).collect();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let stays = |what| Injection { what, lasts: None };
    let lasts = |what, micros| Injection { what, lasts: Some(micros) };
    let conditions = Conditions {
        delay: Some(50_000),
        jitter: Some(5_000),
        loss: Some(12_500),
        rate: Some(100_000_000),
        to: names(&["b"]),
    };
    let sides = vec![names(&["a"]), names(&["b", "c"])];
    let three = vec![names(&["a"]), names(&["b"]), names(&["c"])];
    assert_eq!(
        injected,
        [
            lasts(Harm::Pause { entry: "db".to_owned() }, 3_000_000),
            stays(Harm::Partition { sides, one_way: false }),
            lasts(Harm::Partition { sides: three, one_way: true }, 1_000_000),
            stays(Harm::Network(conditions)),
            stays(Harm::Fill { path: "@{slave.workdir}".to_owned(), leave: 1 << 20 }),
            stays(Harm::Clock { step: -3_600_000_000 }),
            stays(Harm::Crash),
        ]
    );
    assert!(matches!(&entries[8].action, Action::Kill { entry, .. } if entry == "e1"));
    let addresses: Vec<String> = entries.iter().flat_map(testfile::addresses_of).collect();
    assert_eq!(addresses, ["a", "b", "c", "a", "b", "c", "b"]);
}
