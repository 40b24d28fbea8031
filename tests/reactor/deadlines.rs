//! How late deadlines are.

use std::time::Duration;

use arete::machine::{Input, Time};

use crate::{alone, plain, run};

/// Deadlines of one round.
const DEADLINES: usize = 51;
/// On a busy machine one round may be late for want of a processor; a loop that counts in milliseconds always is.
const ROUNDS: usize = 5;
/// How far away they are: the smaller part of a millisecond, so that rounding up costs the larger.
const AWAY: Duration = Duration::from_micros(1_150);
const MEDIAN_AT_MOST: Duration = Duration::from_micros(500);

/// How late each of a round's deadlines came, sorted.
fn lateness() -> Vec<Duration> {
    let mut late = Vec::new();
    let mut due: Option<Time> = None;
    run(plain(), |now, input, out, wake| {
        if !matches!(input, Input::Begin | Input::Deadline) {
            return;
        }
        match due {
            Some(at) if now < at => return,
            Some(at) => late.push(now.since(at)),
            None => {}
        }
        if late.len() == DEADLINES {
            return out.exit(0);
        }
        due = Some(now + AWAY);
        *wake = due;
    });
    late.sort();
    late
}

alone! {
    fn deadlines_are_met_to_a_fraction_of_a_millisecond() {
        let mut medians = Vec::new();
        while medians.len() < ROUNDS {
            let median = lateness()[DEADLINES / 2];
            if median < MEDIAN_AT_MOST {
                return;
            }
            medians.push(median);
        }
        panic!("the medians of {ROUNDS} rounds are {medians:?}");
    }

    fn a_deadline_that_moves_nearer_further_and_away_still_comes() {
        let mut heard = Vec::new();
        let mut begin = None;
        run(plain(), |now, input, out, wake| match input {
            Input::Begin => {
                begin = Some(now);
                *wake = Some(now + Duration::from_secs(5));
                out.connect(arete::machine::Address::Inet("127.0.0.1:1".to_owned()));
            }
            // Nearer, from within another input; then further twice, and long past.
            Input::Closed { .. } => *wake = Some(now + Duration::from_millis(20)),
            Input::Deadline if wake.is_some_and(|at| at <= now) => {
                heard.push(now.since(begin.expect("it began")));
                *wake = match heard.len() {
                    1 => Some(now + Duration::from_millis(30)),
                    2 => Some(now + Duration::from_millis(60)),
                    3 => Some(Time::from_micros(0)),
                    _ => None,
                };
                if heard.len() == 4 {
                    out.exit(0);
                }
            }
            _ => {}
        });
        assert_eq!(heard.len(), 4);
        assert!(heard[0] >= Duration::from_millis(20) && heard[0] < Duration::from_secs(2), "{heard:?}");
        assert!(heard[1] >= heard[0] + Duration::from_millis(30), "{heard:?}");
        assert!(heard[3] < Duration::from_secs(4), "{heard:?}");
    }
}
