//! The row of syncs: the time from the last value until all members have the map.
//!
//! The maps of all members do not fit in memory together. Therefore their bytes are only counted, and one connection's
//! map is kept and compared with the values.

use std::io::{self, Error, Write};
use std::time::{Duration, Instant};

use super::{Client, Peer};
use crate::speech::{self, Kind, VALUE_BYTES};

/// The part of a line that is kept: enough to recognize its type.
const HEAD_MAX: usize = 160;

/// What one connection has received in this round.
#[derive(Default, Clone)]
struct Tally {
    /// The current line: its beginning and its length up to now.
    head: Vec<u8>,
    length: usize,
    /// The bytes of the map, and for Redis the number of lines that are missing.
    map: usize,
    lines: usize,
    done: bool,
}

impl Client {
    /// One round: sends all values but one, waits until they have been processed, then sends the last one. Returns the
    /// time from the last value until the first and the last connection had the whole map.
    pub fn exchange(&mut self, round: u64) -> io::Result<(Duration, Duration)> {
        let at = self.peers.len() - 1;
        for index in 0..at {
            let mut says = self.value(round, index);
            if self.speech.kind == Kind::Arete {
                says.extend_from_slice(&speech::ping(self.micros()));
            }
            self.peers[index].stream.write_all(&says)?;
        }
        self.await_taken(at)?;
        let last = self.value(round, at);
        let expected = self.map_bytes();
        let kept_by = round as usize % self.peers.len();
        let mut tallies = vec![Tally::default(); self.peers.len()];
        let (mut missing, mut first, mut kept) = (self.peers.len(), None, Vec::new());
        let (kind, take, released) = (self.speech.kind, speech::redis_take(round), self.speech.released(round));
        let begin = Instant::now();
        self.peers[at].stream.write_all(&last)?;
        if kind == Kind::Redis {
            self.peers[at].stream.write_all(&speech::redis_publish(round))?;
        }
        self.read_until("have its map", |peer, bytes| {
            let tally = &mut tallies[peer.index];
            if peer.index == kept_by {
                kept.extend_from_slice(bytes);
            }
            cut(tally, bytes, |tally| match kind {
                Kind::Redis => redis_line(peer, tally, &released, &take),
                _ => arete_line(peer, tally, kind, &released),
            })?;
            if tally.done && peer.round != round {
                let wrong = tally.map.abs_diff(expected);
                if peer.round + 1 != round || wrong > 0 {
                    return Err(Error::other(format!("connection {} has {wrong} bytes too many or few", peer.index)));
                }
                peer.round = round;
                missing -= 1;
                first.get_or_insert_with(|| begin.elapsed());
            }
            Ok(missing == 0)
        })?;
        let times = (first.unwrap_or_default(), begin.elapsed());
        self.compare(&kept)?;
        self.tidy(round)?;
        Ok(times)
    }

    /// The line with which connection `index` gives its value.
    fn value(&self, round: u64, index: usize) -> Vec<u8> {
        let value = value(index);
        match self.speech.kind {
            Kind::Arete => self.speech.give(round, index, self.peers.len(), &value),
            // In the form that the map uses, so that the limit only concatenates the values.
            Kind::Limit => format!("\"{}\":{value}\n", speech::slave_name(index)).into_bytes(),
            Kind::Redis => speech::redis_give(round, index, &value),
        }
    }

    fn await_taken(&mut self, mut missing: usize) -> io::Result<()> {
        let kind = self.speech.kind;
        let answer = match kind {
            Kind::Arete => b"{\"type\":\"pong\"".to_vec(),
            Kind::Limit => self.speech.answer(1),
            Kind::Redis => b":1\r".to_vec(),
        };
        self.until("have its value taken", |_, line| {
            missing -= usize::from(line.starts_with(&answer));
            Ok(missing == 0)
        })
    }

    /// The length of the map. For Redis it is the length of all lines, otherwise the length between the braces.
    fn map_bytes(&self) -> usize {
        let name = speech::slave_name(0).len();
        let count = self.peers.len();
        match self.speech.kind {
            Kind::Redis => {
                let pair = format!("${name}\r\n\r\n${VALUE_BYTES}\r\n\r\n").len() + name + VALUE_BYTES;
                format!("%{count}\r\n").len() + count * pair
            }
            _ => count * (name + "\"\":,".len() + VALUE_BYTES) - ",".len(),
        }
    }

    /// Returns whether the map of one connection has the right values.
    fn compare(&self, kept: &[u8]) -> io::Result<()> {
        if self.speech.kind == Kind::Redis {
            return Ok(());
        }
        let line = kept.split(|&byte| byte == b'\n').find(|line| line.starts_with(MAP));
        let parsed: serde_json::Value = serde_json::from_slice(line.unwrap_or_default())?;
        let right = |index| {
            let value = value(index);
            parsed["map"][speech::slave_name(index)].as_str() == Some(value.trim_matches('"'))
        };
        match (0..self.peers.len()).find(|&index| !right(index)) {
            Some(index) => Err(Error::other(format!("the map lacks the value of {}", speech::slave_name(index)))),
            None => Ok(()),
        }
    }

    /// The commands to send after a round, outside the measured time.
    fn tidy(&mut self, round: u64) -> io::Result<()> {
        match self.speech.kind {
            Kind::Limit => Ok(()),
            Kind::Arete => {
                let heard = self.speech.heard(round);
                self.peers.iter_mut().try_for_each(|peer| peer.stream.write_all(&heard))
            }
            Kind::Redis => {
                let at = self.peers.len() - 1;
                self.peers[at].stream.write_all(&speech::redis_forget(round))?;
                self.until("have its map removed", |peer, line| Ok(peer.index == at && line == b":1\r"))
            }
        }
    }
}

/// The beginning of a map.
const MAP: &[u8] = b"{\"type\":\"map\"";

/// The value of one member, as JSON. It is different for each member, and [`VALUE_BYTES`] long.
fn value(index: usize) -> String {
    let name = speech::slave_name(index);
    format!("\"{name:x<width$}\"", width = VALUE_BYTES - "\"\"".len())
}

/// Counts the received bytes, and calls `each` at the end of every line.
fn cut(tally: &mut Tally, mut rest: &[u8], mut each: impl FnMut(&mut Tally) -> io::Result<()>) -> io::Result<()> {
    while let Some(end) = memchr::memchr(b'\n', rest) {
        add(tally, &rest[..=end]);
        each(tally)?;
        tally.head.clear();
        tally.length = 0;
        rest = &rest[end + 1..];
    }
    add(tally, rest);
    Ok(())
}

fn add(tally: &mut Tally, bytes: &[u8]) {
    let room = HEAD_MAX.saturating_sub(tally.head.len());
    tally.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    tally.length += bytes.len();
}

/// A line with a map. With arete, a line with a verdict follows.
fn arete_line(peer: &mut Peer, tally: &mut Tally, kind: Kind, released: &[u8]) -> io::Result<()> {
    let line = tally.head.trim_ascii_end();
    if line.starts_with(MAP) {
        let key = b"\"map\":{";
        let at = line.windows(key.len()).position(|window| window == key).unwrap_or(line.len());
        let twice = tally.map > 0;
        tally.map = tally.length.saturating_sub(at + key.len() + speech::MAP_END.len());
        tally.done = kind == Kind::Limit;
        if twice {
            return Err(Error::other(format!("connection {} has two maps", peer.index)));
        }
    } else if line.starts_with(b"{\"type\":\"verdict\"") {
        if tally.map == 0 || tally.done || !line.ends_with(released) {
            return Err(Error::other(format!("not a release after a map: {}", String::from_utf8_lossy(line))));
        }
        tally.done = true;
    } else {
        super::answer_check(peer, line)?;
    }
    Ok(())
}

/// A published release, after which the map is requested, or a line of the map.
fn redis_line(peer: &mut Peer, tally: &mut Tally, released: &[u8], take: &[u8]) -> io::Result<()> {
    if tally.lines > 0 {
        tally.lines -= 1;
        tally.map += tally.length;
        tally.done = tally.lines == 0;
    } else if let Some(count) = tally.head.strip_prefix(b"%") {
        // A length and a text for each name and each value.
        tally.lines = 4 * speech::read_count(count) as usize;
        tally.map = tally.length;
    } else if tally.head.strip_suffix(b"\n") == Some(released) {
        peer.stream.write_all(take)?;
    }
    Ok(())
}
