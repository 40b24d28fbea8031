//! How late deadlines are.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use arete::machine::{Input, Time};
use arete::reactor::Options;

use crate::{alone, connect, listening, plain, run};

/// The number of deadlines in a round.
const DEADLINES: usize = 51;
/// On a busy machine one round may be late because no processor is free. A loop that counts in milliseconds is always
/// late.
const ROUNDS: usize = 5;
/// The distance to a deadline: the smaller part of a millisecond, so that rounding up costs the larger part.
const AWAY: Duration = Duration::from_micros(1_150);
const MEDIAN_AT_MOST: Duration = Duration::from_micros(500);

/// The number of senders at the same time.
const PEERS: usize = 8;

/// The delays of the deadlines in a round, sorted.
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

    fn a_deadline_says_whether_bytes_are_still_unread() {
        let (reactor, address) = listening(Options::default());
        let mut peers: Vec<_> = (0..PEERS).map(|_| connect(address)).collect();
        let (mut accepted, mut spoke) = (0, None);
        let (mut heard, mut behind, mut told) = (BTreeSet::new(), None, 0);
        run(reactor, |now, input, out, wake| match input {
            Input::Accepted { .. } => {
                accepted += 1;
                if accepted == PEERS {
                    peers.iter_mut().for_each(|peer| peer.write_all(b"x").expect("it says something"));
                    spoke = Some(now);
                    *wake = Some(now + Duration::from_millis(1));
                }
            }
            Input::Received { conn, .. } => {
                heard.insert(conn);
                // Each takes longer than the part of a turn for other sources.
                std::thread::sleep(Duration::from_millis(60));
            }
            Input::Behind { since } => behind = Some(since),
            Input::Deadline if spoke.is_some() => {
                let since = behind.take();
                told += usize::from(since.is_some());
                let all = heard.len() == PEERS;
                assert!(all || since.or(spoke) <= spoke, "{} of {PEERS} are heard, and {since:?} was read", heard.len());
                *wake = Some(now + Duration::from_millis(1));
                if all && since.is_none() {
                    out.exit(0);
                }
            }
            _ => {}
        });
        assert!(told > 0, "nothing was ever behind");
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
            // Moved nearer, by another input; then moved away twice, and moved into the past.
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
