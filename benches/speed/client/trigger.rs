//! The rows of triggers: the time until all slaves hear of one, and how many notifies are answered.

use std::io::{self, Error, Write};
use std::time::{Duration, Instant};

use super::{Client, Peer};
use crate::speech::{self, Kind};

/// The number of unanswered notifies on each connection in the throughput rows.
pub const IN_FLIGHT: u64 = 32;

impl Client {
    /// One trigger: sends all notifies but one, waits for their answers, then sends the last one. Returns the time
    /// from the last notify until the first and the last `triggered` have been received.
    pub fn round(&mut self, round: u64) -> io::Result<(Duration, Duration)> {
        let notify = self.speech.notify(round);
        let last = self.peers.len() - 1;
        let listeners = self.peers.len() - usize::from(self.speech.kind == Kind::Redis);
        let triggered = self.speech.triggered(round);
        if self.speech.kind != Kind::Redis {
            self.notify_all_but_one(round, &notify)?;
        }
        let mut missing = listeners;
        let mut first = None;
        let begin = Instant::now();
        self.peers[last].stream.write_all(&notify)?;
        self.until("hear that the trigger has fired", |peer, line| {
            if line != triggered {
                return Ok(false);
            }
            if peer.round == round {
                return Err(Error::other("a connection heard twice that a trigger has fired"));
            }
            peer.round = round;
            missing -= 1;
            first.get_or_insert_with(|| begin.elapsed());
            Ok(missing == 0)
        })?;
        Ok((first.unwrap_or_default(), begin.elapsed()))
    }

    fn notify_all_but_one(&mut self, round: u64, notify: &[u8]) -> io::Result<()> {
        let mut missing = self.peers.len() - 1;
        let answer = self.speech.answer(round);
        for peer in &mut self.peers[..missing] {
            peer.stream.write_all(notify)?;
        }
        self.until("be answered its notify", |_, line| {
            missing -= usize::from(line.starts_with(&answer));
            Ok(missing == 0)
        })
    }

    /// Keeps [`IN_FLIGHT`] notifies on every connection for `time`. Returns how many were answered, and the exact
    /// time.
    pub fn flood(&mut self, time: Duration) -> io::Result<(u64, Duration)> {
        let redis = self.speech.kind == Kind::Redis;
        let (before, after) = self.speech.flood_parts();
        let decrements = speech::redis_decrement().repeat(IN_FLIGHT as usize);
        let mut lines = Vec::new();
        let mut say = |peer: &mut Peer| {
            lines.clear();
            for count in peer.sent + 1..=peer.sent + IN_FLIGHT {
                if redis {
                    continue;
                }
                lines.extend_from_slice(&before);
                speech::push_count(&mut lines, count);
                lines.extend_from_slice(after);
            }
            peer.sent += IN_FLIGHT;
            peer.stream.write_all(if redis { &decrements } else { &lines })
        };
        let answer = self.speech.flood_answer();
        let begin = Instant::now();
        for peer in &mut self.peers {
            say(peer)?;
        }
        let (mut waiting, mut count) = (self.peers.len(), 0);
        self.until("be answered its notifies", |peer, line| {
            let Some(number) = line.strip_prefix(&answer[..]) else { return Ok(false) };
            peer.answered = if redis { peer.answered + 1 } else { speech::read_count(number) };
            if peer.answered < peer.sent {
                return Ok(false);
            }
            count += IN_FLIGHT;
            if begin.elapsed() < time {
                say(peer)?;
            } else {
                waiting -= 1;
            }
            Ok(waiting == 0)
        })?;
        Ok((count, begin.elapsed()))
    }
}
