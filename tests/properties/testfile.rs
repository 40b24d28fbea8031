//! The properties of every text as a test file: it is a valid test, or it has problems at places of the text.

use arete::session::{is_entry_name, is_name};
use arete::testfile::{self, Problem, Shipped, Test};

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    check_with(text, |ship| testfile::parse("t.json", text, ship));
    // A file that does not begin with "{" is YAML. What is kept of it is the same test.
    check_with(text, |ship| {
        let read = testfile::read_file("t.yaml", text, &Default::default(), ship)?;
        let kept = testfile::parse("t.json", &read.json, ship).expect("a test that was read is a test");
        assert_eq!(format!("{kept:?}"), format!("{:?}", read.test));
        Ok(kept)
    });
}

type Ship<'a> = dyn FnMut(&str) -> Result<Shipped, String> + 'a;

fn check_with(text: &str, read: impl FnOnce(&mut Ship<'_>) -> Result<Test, Vec<Problem>>) {
    let mut ship = |file: &str| {
        if file.len().is_multiple_of(2) {
            return Err("it is not there".to_owned());
        }
        Ok(Shipped { path: file.into(), size: file.len() as u64, sha256: "0".repeat(64), executable: false })
    };
    match read(&mut ship) {
        Ok(test) => {
            assert!(is_name(&test.name) && !test.slaves.is_empty());
            for slave in &test.slaves {
                assert!(is_name(&slave.name));
                for entry in slave.entries.iter() {
                    assert!(is_entry_name(&entry.name));
                    assert!(testfile::resources_of(entry).all(|name| test.resources.contains_key(name)));
                    let known = |address: &String| test.slaves.iter().any(|other| other.name == *address);
                    assert!(testfile::addresses_of(entry).iter().all(known));
                }
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
            assert!(places.is_sorted(), "{places:?}");
            let lines = text.split('\n').count();
            assert!(places.iter().all(|(line, column)| (1..=lines).contains(line) && *column >= 1), "{places:?}");
            for problem in &problems {
                assert!(!problem.to_string().contains(arete::machine::is_obeyed), "{problem}");
            }
        }
    }
}
