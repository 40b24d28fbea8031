//! Of what kind a failure is that a slave reports.

use super::World;
use crate::controller::failures::Kind;
use crate::machine::Time;
use crate::wire::Happened;

#[test]
fn a_job_that_was_cut_off_is_a_kind_of_failure_of_its_own() {
    let mut world = World::new();
    let (_, run) = world.controller.runs.first_mut().expect("a run");
    let kind = |more: &str| {
        let exited = format!(r#"{{"what":"exited","entry":"x","nr":1,{more}}}"#);
        let what: Happened<'_> = serde_json::from_str(&exited).expect("a report");
        run.failure_in(Time::default(), 0, &what).map(|failure| failure.kind)
    };
    assert_eq!(kind(r#""outcome":"failed","cut_off":true,"why":"cut off""#), Some(Kind::CutOff));
    assert_eq!(kind(r#""outcome":"failed","why":"cut off""#), Some(Kind::Entry));
    assert_eq!(kind(r#""outcome":"stopped""#), None);
}
