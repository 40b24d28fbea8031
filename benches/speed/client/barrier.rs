//! The rows of barriers: the time from the last arrival until all members are released.

use std::io::{self, Error, Write};
use std::time::{Duration, Instant};

use arete::wire::FromController;
use arete::wire::rendezvous;

use super::{Client, Peer};
use crate::speech::{self, Kind, Play};

/// The delay of the last member of a late barrier. A shorter silence still counts as fresh, so the controller would
/// not ask.
const LATE: Duration = Duration::from_millis(1_200);

/// The beginning of a verdict of any kind.
const VERDICT: &[u8] = b"{\"type\":\"verdict\"";

impl Client {
    /// One round: sends all arrivals but one, waits until they have been processed, then sends the last one. Returns
    /// the time from the last arrival until the first and the last connection were released.
    pub fn meet(&mut self, round: u64) -> io::Result<(Duration, Duration)> {
        if self.speech.kind == Kind::Redis {
            return self.meet_at_redis(round);
        }
        let last = self.arrive_all_but_one(round)?;
        if self.speech.play == Play::Late {
            std::thread::sleep(LATE);
        }
        let times = self.release(round, &last)?;
        if self.speech.kind == Kind::Arete {
            let heard = self.speech.heard(round);
            for peer in &mut self.peers {
                peer.stream.write_all(&heard)?;
            }
        }
        Ok(times)
    }

    /// Returns what the last member will send.
    fn arrive_all_but_one(&mut self, round: u64) -> io::Result<Vec<u8>> {
        let connections = self.peers.len();
        let party = connections * self.speech.members;
        let arete = self.speech.kind == Kind::Arete;
        let ping = speech::ping(self.micros());
        let mut last = Vec::new();
        for peer in &mut self.peers {
            let mut lines = Vec::new();
            for nr in 0..self.speech.members {
                lines.append(&mut last);
                last = self.speech.arrive(round, peer.index, nr, party);
            }
            if peer.index + 1 < connections {
                lines.append(&mut last);
            }
            // The answer to a ping shows that everything before it has been processed.
            if arete {
                lines.extend_from_slice(&ping);
            }
            peer.stream.write_all(&lines)?;
        }
        let answer = if arete { b"{\"type\":\"pong\"".to_vec() } else { self.speech.answer(round) };
        let mut missing = if arete { connections } else { connections - 1 };
        self.until("have its arrival taken", |_, line| {
            missing -= usize::from(line.starts_with(&answer));
            if line.starts_with(VERDICT) {
                return Err(early(line));
            }
            Ok(missing == 0)
        })?;
        Ok(last)
    }

    fn release(&mut self, round: u64, last: &[u8]) -> io::Result<(Duration, Duration)> {
        let mut missing = self.peers.len();
        let at = missing - 1;
        let mut first = None;
        let released = self.speech.released(round);
        let slaves = self.speech.kind == Kind::Arete && self.speech.play == Play::Slaves;
        let ids: Vec<u64> = (0..self.speech.members).map(|nr| self.speech.arrival(round, nr)).collect();
        let begin = Instant::now();
        self.peers[at].stream.write_all(last)?;
        self.until("be released", |peer, line| {
            if !line.starts_with(VERDICT) {
                return Ok(false);
            }
            let right = if slaves { releases(line, &ids) } else { line.ends_with(&released) };
            if !right {
                return Err(Error::other(format!("not a release: {}", String::from_utf8_lossy(line))));
            }
            take_release(peer, round)?;
            missing -= 1;
            first.get_or_insert_with(|| begin.elapsed());
            Ok(missing == 0)
        })?;
        Ok((first.unwrap_or_default(), begin.elapsed()))
    }

    /// Every member counts. The last one publishes that all have arrived.
    fn meet_at_redis(&mut self, round: u64) -> io::Result<(Duration, Duration)> {
        let arrive = speech::redis_arrive(round);
        self.count_all_but_one(&arrive, 1)?;
        let mut missing = self.peers.len();
        let (at, mut first) = (missing - 1, None);
        let released = self.speech.released(round);
        let all = format!(":{missing}\r");
        let publish = speech::redis_publish(round);
        let begin = Instant::now();
        self.peers[at].stream.write_all(&arrive)?;
        self.until("be released", |peer, line| {
            if peer.index == at && peer.answered + 1 == round && line == all.as_bytes() {
                peer.answered = round;
                peer.stream.write_all(&publish)?;
            }
            if line != released {
                return Ok(false);
            }
            take_release(peer, round)?;
            missing -= 1;
            first.get_or_insert_with(|| begin.elapsed());
            Ok(missing == 0)
        })?;
        let times = (first.unwrap_or_default(), begin.elapsed());
        // Its answer follows the answer to the publication.
        self.peers[at].stream.write_all(&speech::redis_forget(round))?;
        self.until("have its counter removed", |peer, line| Ok(peer.index == at && line == b":1\r"))?;
        Ok(times)
    }

    /// All connections but the last send the same command to Redis. Each receives `answers` answers.
    fn count_all_but_one(&mut self, says: &[u8], answers: usize) -> io::Result<()> {
        let at = self.peers.len() - 1;
        let mut missing = at * answers;
        for peer in &mut self.peers[..at] {
            peer.stream.write_all(says)?;
        }
        if missing == 0 {
            return Ok(());
        }
        self.until("be counted", |peer, line| {
            missing -= usize::from(peer.index != at && line.starts_with(b":"));
            Ok(missing == 0)
        })
    }
}

/// A connection is released once in each round.
fn take_release(peer: &mut Peer, round: u64) -> io::Result<()> {
    if peer.round + 1 != round {
        return Err(Error::other(format!("connection {} was released twice, or not in each round", peer.index)));
    }
    peer.round = round;
    Ok(())
}

fn early(line: &[u8]) -> Error {
    Error::other(format!("a verdict before all had arrived: {}", String::from_utf8_lossy(line)))
}

/// Returns whether the verdict releases exactly these arrivals.
fn releases(line: &[u8], ids: &[u64]) -> bool {
    let Ok(FromController::RoundVerdict(mut verdict)) = FromController::decode(line) else { return false };
    verdict.ids.sort_unstable();
    verdict.verdict == rendezvous::OutcomeKind::Released && verdict.ids == ids
}
