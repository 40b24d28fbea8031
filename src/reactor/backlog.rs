//! The instant up to which everything that arrived was read.
//!
//! A long turn, or peers that send more than a turn reads, leave bytes in sockets. Until these are read, their authors only
//! seem to be silent. The ready sources are read one after another, so this file counts rounds: once every source that was
//! ready at an instant has been read from, every peer that had sent something by then was heard.

use std::time::Duration;

use super::limits::EVENTS;
use crate::machine::Time;

/// The least delay that a machine hears of.
const BEHIND_MIN: Duration = Duration::from_millis(50);

/// The state of the sources that wait to be read from.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Everything that arrived by then has been read, at least the beginning of each source.
    read: Time,
    round: Option<Round>,
}

/// A round through the sources that are ready.
#[derive(Debug)]
struct Round {
    /// It covers everything that arrived by then.
    since: Time,
    /// The number of polls that may still bring sources that were ready then: one poll brings at most [`EVENTS`].
    polls: usize,
    /// The round is over when this number of sources has been taken from the queue since the loop began. `None`: not all
    /// sources of the round are known.
    until: Option<u64>,
}

impl Backlog {
    /// Notes that a poll has brought `events` events, and that `joined` sources have joined the queue since the loop began.
    pub fn polled(&mut self, now: Time, events: usize, joined: u64, connections: usize) {
        let all = events < EVENTS;
        let round = self.round.get_or_insert(Round { since: now, polls: 1 + connections / EVENTS, until: None });
        if round.until.is_none() {
            round.polls = round.polls.saturating_sub(1);
            round.until = (all || round.polls == 0).then_some(joined);
        }
    }

    /// Notes that `taken` sources have been taken from the queue since the loop began.
    pub fn served(&mut self, taken: u64) {
        let is_over = |round: &mut Round| round.until.is_some_and(|until| until <= taken);
        if let Some(round) = self.round.take_if(is_over) {
            self.read = round.since;
        }
    }

    /// Returns since when bytes of peers may not have been read, if that is long enough to matter.
    pub fn behind(&self, now: Time) -> Option<Time> {
        (now.since(self.read) >= BEHIND_MIN).then_some(self.read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    #[test]
    fn what_waited_before_a_long_turn_is_behind_until_each_source_was_read_once() {
        let mut backlog = Backlog::default();
        backlog.polled(at(0), 3, 3, 3);
        backlog.served(3);
        assert_eq!(backlog.behind(at(10)), None);
        // Ten sources are ready, and the first of them takes three seconds.
        backlog.polled(at(100), 10, 13, 10);
        backlog.served(4);
        assert_eq!(backlog.behind(at(3_100)), Some(at(0)));
        // The others are read in the next turns, while the first goes on talking.
        backlog.polled(at(3_100), 1, 14, 10);
        backlog.served(12);
        assert_eq!(backlog.behind(at(3_120)), Some(at(0)));
        backlog.polled(at(3_120), 0, 14, 10);
        backlog.served(14);
        assert_eq!(backlog.behind(at(3_140)), Some(at(100)), "it covers what had come before the long turn");
        backlog.polled(at(3_140), 0, 14, 10);
        backlog.served(14);
        assert_eq!(backlog.behind(at(3_150)), None);
    }

    #[test]
    fn one_poll_that_is_full_may_leave_out_some_that_were_ready() {
        let mut backlog = Backlog::default();
        backlog.polled(at(100), EVENTS, EVENTS as u64, EVENTS * 2 - 1);
        backlog.served(EVENTS as u64);
        assert_eq!(backlog.behind(at(100)), Some(at(0)));
        backlog.polled(at(120), EVENTS, 2 * EVENTS as u64, EVENTS * 2 - 1);
        backlog.served(2 * EVENTS as u64);
        assert_eq!(backlog.behind(at(140)), None, "no source was left out twice");
    }
}
