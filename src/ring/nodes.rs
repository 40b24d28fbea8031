//! The other nodes: where they are, when messages from them arrived, and whether a message is new.
//!
//! With a key a node is *known* once it has answered a hello of ours, which binds its present start to ours. A message of
//! another start, or from before that answer, is a replay. A recorded message must never be accepted again, whatever this
//! node has forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::limits::NODES_MAX;
use super::message::Extra;
use crate::machine::Time;

/// The most messages of a node that may overtake another one. Older messages are refused as replays.
const WINDOW: u64 = 512;

/// Another node.
#[derive(Debug, Clone)]
pub struct Node {
    pub address: Ipv4Addr,
    /// When its last new message arrived.
    pub heard: Option<Time>,
    /// When the last message was sent to it.
    told: Option<Time>,
    /// It gets no token until a message from it arrives, or for a while.
    pub lost: Option<Lost>,
    /// The number of its start; with a key, the one that it has proven.
    pub boot: Option<u64>,
    said: Said,
}

impl Node {
    fn at(address: Ipv4Addr) -> Node {
        Node { address, heard: None, told: None, lost: None, boot: None, said: Said::default() }
    }

    /// Whether the last connection to it could not be made.
    pub fn is_unreachable(&self) -> bool {
        self.lost.is_some_and(|lost| lost.why == Why::Unreachable)
    }
}

/// Why a node gets no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No connection to it can be made, even if messages from it arrive.
    Unreachable,
    /// It does not answer.
    Silent,
    /// It got the token, and did not acknowledge it.
    Swallows,
}

/// A node that gets no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    pub since: Time,
    why: Why,
    /// The number of hand-overs in a row that it did not acknowledge.
    times: u32,
    /// When a connection to it was last tried.
    probed: Time,
}

/// The messages of a start that have arrived.
#[derive(Debug, Clone, Default)]
struct Said {
    /// Messages up to this number are from before the proof, and may have been recorded.
    before: u64,
    last: u64,
    /// The numbers among the last [`WINDOW`] that have arrived.
    recent: BTreeSet<u64>,
}

impl Said {
    /// Accepts messages from this number on.
    fn since(nr: u64) -> Said {
        Said { before: nr.saturating_sub(1), ..Said::default() }
    }

    /// Notes the number of a message. Returns whether the message is new.
    fn note_number(&mut self, nr: u64) -> bool {
        let oldest = self.last.saturating_sub(WINDOW).max(self.before);
        if nr <= oldest || !self.recent.insert(nr) {
            return false;
        }
        self.last = self.last.max(nr);
        self.recent = self.recent.split_off(&self.last.saturating_sub(WINDOW));
        true
    }
}

/// The source of a message under a node's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A known node.
    Known,
    /// A node that was not known until now.
    New,
    /// A node that must prove that it is alive before its messages count; `true`: ask it now.
    Unproven(bool),
    /// A replay, or one node too many. The text is for the log.
    Refused(&'static str),
}

/// All other nodes.
#[derive(Debug)]
pub struct Nodes {
    by_id: BTreeMap<String, Node>,
    /// The hellos without an answer, by id and address, with their numbers and when they were sent. A node that has not
    /// answered takes no place in `by_id`.
    hellos: BTreeMap<(String, Ipv4Addr), (u64, Time)>,
    most: usize,
    /// Authors must prove that they are alive, because there is a key.
    sealed: bool,
    /// The time without messages after which a node makes room for another. `None`: never, because two majorities could exist
    /// then.
    stale: Option<Duration>,
}

impl Nodes {
    /// Returns no nodes yet, for at most `most` nodes. `sealed`: there is a key. `stale`: the time without messages after
    /// which a node makes room for another.
    pub fn new(most: usize, sealed: bool, stale: Option<Duration>) -> Nodes {
        Nodes { by_id: BTreeMap::new(), hellos: BTreeMap::new(), most: most.min(NODES_MAX), sealed, stale }
    }

    /// Makes room for one more node. Returns whether there is room.
    fn make_room(&mut self, now: Time) -> bool {
        if self.by_id.len() < self.most {
            return true;
        }
        let oldest = self.by_id.iter().min_by_key(|(_, node)| node.heard).map(|(id, node)| (id.clone(), node.heard));
        match (oldest, self.stale) {
            (Some((id, heard)), Some(stale)) if heard.is_none_or(|at| now.since(at) > stale) => {
                self.by_id.remove(&id);
                true
            }
            _ => false,
        }
    }

    pub fn get(&self, id: &str) -> Option<&Node> {
        self.by_id.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.by_id.iter().map(|(id, node)| (&**id, node))
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Notes that a message under a name has arrived, and returns its source. `ours` is the number of our own start, `every`
    /// how often a node is asked for a proof.
    pub fn hear(
        &mut self,
        now: Time,
        (id, address): (&str, Ipv4Addr),
        extra: Option<&Extra>,
        ours: u64,
        every: Duration,
    ) -> Origin {
        let proof = match extra.filter(|_| self.sealed) {
            Some(extra) if self.get(id).is_none_or(|node| node.boot != Some(extra.boot)) => {
                let hello = self.hellos.get(&(id.to_owned(), address));
                let answers = hello.is_some_and(|(nr, _)| extra.answers == Some(*nr));
                if !(answers && extra.to_boot == Some(ours)) {
                    return Origin::Unproven(hello.is_none_or(|(_, at)| now.since(*at) >= every));
                }
                true
            }
            _ => false,
        };
        let new = !self.by_id.contains_key(id);
        if new && !self.make_room(now) {
            return Origin::Refused("the limit of nodes is reached");
        }
        let node = self.by_id.entry(id.to_owned()).or_insert_with(|| Node::at(address));
        if let Some(extra) = extra {
            if proof {
                self.hellos.remove(&(id.to_owned(), address));
                (node.boot, node.said) = (Some(extra.boot), Said::since(extra.nr));
            }
            if self.sealed && !node.said.note_number(extra.nr) {
                return Origin::Refused("it was heard before");
            }
            node.boot = Some(extra.boot);
        }
        (node.address, node.heard) = (address, Some(now));
        if !node.is_unreachable() {
            node.lost = None;
        }
        if new { Origin::New } else { Origin::Known }
    }

    /// Adds a node that another node knows.
    pub fn add(&mut self, id: &str, address: Ipv4Addr) {
        if self.by_id.len() < self.most && !self.by_id.contains_key(id) {
            self.by_id.insert(id.to_owned(), Node::at(address));
        }
    }

    /// Notes that a hello was sent.
    pub fn asked(&mut self, now: Time, (id, address): (&str, Ipv4Addr), nr: u64) {
        if self.hellos.len() >= NODES_MAX {
            let oldest = self.hellos.iter().min_by_key(|(_, (_, at))| *at).map(|(whom, _)| whom.clone());
            oldest.map(|whom| self.hellos.remove(&whom));
        }
        self.hellos.insert((id.to_owned(), address), (nr, now));
    }

    /// Notes that a message was sent to a node.
    pub fn tell(&mut self, now: Time, id: &str) {
        if let Some(node) = self.by_id.get_mut(id) {
            node.told = Some(now);
        }
    }

    /// Whether no message was sent to a node for `every`.
    pub fn is_due(&self, now: Time, id: &str, every: Duration) -> bool {
        self.get(id).is_some_and(|node| node.told.is_none_or(|at| now.since(at) >= every))
    }

    /// Gives a node no token from now on. Returns whether that is new.
    pub fn lose(&mut self, now: Time, id: &str, why: Why) -> bool {
        let Some(node) = self.by_id.get_mut(id) else { return false };
        let news = node.lost.is_none();
        let times = node.lost.map_or(0, |lost| lost.times) + u32::from(why == Why::Swallows);
        let why = if times > 0 && why == Why::Silent { Why::Swallows } else { why };
        node.lost = Some(Lost { since: now, why, times, probed: now });
        news
    }

    /// Notes that a connection to a node was made. Unless it has swallowed the token, it may get the token again.
    pub fn reach(&mut self, id: &str) {
        if let Some(node) = self.by_id.get_mut(id)
            && node.lost.is_some_and(|lost| lost.why != Why::Swallows)
        {
            node.lost = None;
        }
    }

    /// Returns the nodes to which a connection must be tried again.
    pub fn due_probes(&mut self, now: Time, every: Duration) -> Vec<String> {
        let mut ids = Vec::new();
        for (id, node) in &mut self.by_id {
            let due = |lost: &&mut Lost| lost.why != Why::Swallows && now.since(lost.probed) >= every;
            if let Some(lost) = node.lost.as_mut().filter(due) {
                lost.probed = now;
                ids.push(id.clone());
            }
        }
        ids
    }

    /// Returns the nodes that are not lost and have sent a new message within `lately`.
    pub fn live(&self, now: Time, lately: Duration) -> impl Iterator<Item = &str> {
        let is_live = move |node: &Node| node.lost.is_none() && node.heard.is_some_and(|at| now.since(at) <= lately);
        self.iter().filter(move |(_, node)| is_live(node)).map(|(id, _)| id)
    }

    /// Whether a node may get the token: it is not lost, or was lost long enough ago to try again. `again` is the first such
    /// time.
    pub fn may_take(&self, now: Time, id: &str, again: Duration) -> bool {
        /// The number of times that the time until the next try doubles.
        const DOUBLINGS: u32 = 3;
        self.get(id).is_some_and(|node| match node.lost {
            None => node.boot.is_some() || !self.sealed,
            Some(lost) => now.since(lost.since) >= again * (1 << lost.times.min(DOUBLINGS)),
        })
    }

    /// Returns the next node after `from`, in the order of ids, that may get the token and is not in `except`.
    pub fn next_behind(&self, now: Time, from: &str, again: Duration, except: &BTreeSet<String>) -> Option<String> {
        let may = |id: &&String| self.may_take(now, id, again) && !except.contains(*id);
        let after = self.by_id.keys().filter(|id| id.as_str() > from).find(may);
        after.or_else(|| self.by_id.keys().filter(|id| id.as_str() < from).find(may)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const EVERY: Duration = Duration::from_millis(500);

    fn extra(boot: u64, nr: u64) -> Extra {
        Extra { boot, nr, ..Extra::default() }
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    #[test]
    fn the_next_is_the_next_id_as_a_string_and_behind_the_last_comes_the_first() {
        let mut nodes = Nodes::new(9, false, None);
        for id in ["9", "10", "30"] {
            nodes.hear(at(0), (id, HERE), None, 7, EVERY);
        }
        let next = |nodes: &Nodes, from: &str, now| nodes.next_behind(now, from, EVERY, &BTreeSet::new());
        assert_eq!(next(&nodes, "2", at(0)).as_deref(), Some("30"));
        assert_eq!(next(&nodes, "9", at(0)).as_deref(), Some("10"));
        nodes.lose(at(0), "10", Why::Unreachable);
        assert_eq!(next(&nodes, "9", at(0)).as_deref(), Some("30"));
        assert_eq!(next(&nodes, "9", at(500)).as_deref(), Some("10"), "it is tried again");
        nodes.lose(at(500), "10", Why::Swallows);
        assert_eq!(next(&nodes, "9", at(1_000)).as_deref(), Some("30"), "but later each time");
        assert!(nodes.due_probes(at(1_000), EVERY).is_empty(), "that it can be reached says nothing");
    }

    #[test]
    fn a_node_that_could_not_be_reached_may_get_the_token_when_it_can() {
        let mut nodes = Nodes::new(9, false, None);
        nodes.hear(at(0), ("9", HERE), None, 7, EVERY);
        assert!(nodes.lose(at(0), "9", Why::Unreachable) && !nodes.lose(at(0), "9", Why::Unreachable));
        assert_eq!((nodes.due_probes(at(499), EVERY).len(), nodes.due_probes(at(500), EVERY).len()), (0, 1));
        assert!(!nodes.may_take(at(500), "9", 100 * EVERY));
        nodes.reach("9");
        assert!(nodes.may_take(at(500), "9", 100 * EVERY));
    }

    #[test]
    fn without_a_key_every_start_is_believed() {
        let mut nodes = Nodes::new(1, false, None);
        assert_eq!(nodes.hear(at(0), ("a", HERE), Some(&extra(1, 1)), 7, EVERY), Origin::New);
        assert_eq!(nodes.hear(at(0), ("a", HERE), Some(&extra(2, 1)), 7, EVERY), Origin::Known);
        assert!(matches!(nodes.hear(at(0), ("b", HERE), Some(&extra(2, 1)), 7, EVERY), Origin::Refused(_)));
    }

    #[test]
    fn who_has_proven_nothing_takes_no_place_and_no_answer_from_another() {
        let mut nodes = Nodes::new(1, true, None);
        let elsewhere = Ipv4Addr::new(10, 0, 0, 99);
        assert_eq!(nodes.hear(at(0), ("old", elsewhere), Some(&extra(9, 1)), 7, EVERY), Origin::Unproven(true));
        nodes.asked(at(0), ("old", elsewhere), 39);
        assert_eq!(nodes.hear(at(0), ("a", elsewhere), Some(&extra(8, 1)), 7, EVERY), Origin::Unproven(true));
        nodes.asked(at(0), ("a", elsewhere), 40);
        assert_eq!(nodes.hear(at(1), ("a", HERE), Some(&extra(1, 1)), 7, EVERY), Origin::Unproven(true));
        nodes.asked(at(1), ("a", HERE), 41);
        let answer = Extra { answers: Some(41), to_boot: Some(7), ..extra(1, 2) };
        assert_eq!(nodes.hear(at(2), ("a", HERE), Some(&answer), 7, EVERY), Origin::New);
    }

    #[test]
    fn a_node_that_is_heard_but_cannot_be_reached_stays_lost_until_it_can() {
        let mut nodes = Nodes::new(9, false, None);
        nodes.hear(at(0), ("a", HERE), None, 7, EVERY);
        for (why, lost) in [(Why::Silent, false), (Why::Unreachable, true)] {
            nodes.lose(at(0), "a", why);
            nodes.hear(at(1), ("a", HERE), None, 7, EVERY);
            assert_eq!(nodes.get("a").is_some_and(|node| node.lost.is_some()), lost, "{why:?}");
        }
        assert_eq!(nodes.live(at(1), EVERY).count(), 0);
        nodes.reach("a");
        assert_eq!(nodes.live(at(1), EVERY).count(), 1);
    }

    #[test]
    fn a_node_that_was_not_heard_for_long_makes_room_unless_there_is_a_majority_to_keep() {
        for (stale, origin) in [(Some(EVERY), true), (None, false)] {
            let mut nodes = Nodes::new(2, false, stale);
            nodes.hear(at(0), ("a", HERE), None, 7, EVERY);
            nodes.hear(at(100), ("b", HERE), None, 7, EVERY);
            assert!(matches!(nodes.hear(at(400), ("c", HERE), None, 7, EVERY), Origin::Refused(_)));
            assert_eq!(nodes.hear(at(501), ("c", HERE), None, 7, EVERY) == Origin::New, origin);
            assert_eq!(nodes.get("a").is_none(), origin);
        }
    }

    #[test]
    fn with_a_key_a_start_is_believed_once_it_has_answered_and_each_message_once() {
        let mut nodes = Nodes::new(9, true, None);
        let mut hear = |now, extra: Extra| nodes.hear(now, ("a", HERE), Some(&extra), 7, EVERY);
        assert_eq!(hear(at(0), extra(1, 5)), Origin::Unproven(true));
        nodes.asked(at(0), ("a", HERE), 40);
        let mut hear = |now, extra: Extra| nodes.hear(now, ("a", HERE), Some(&extra), 7, EVERY);
        assert_eq!(hear(at(1), extra(1, 6)), Origin::Unproven(false), "it was asked a moment ago");
        let to_another_start = Extra { answers: Some(40), to_boot: Some(6), ..extra(1, 7) };
        assert_eq!(hear(at(2), to_another_start), Origin::Unproven(false));
        let answer = Extra { answers: Some(40), to_boot: Some(7), ..extra(1, 7) };
        assert_eq!(hear(at(3), answer.clone()), Origin::New);
        assert!(matches!(hear(at(4), answer), Origin::Refused(_)));
        assert!(matches!(hear(at(4), extra(1, 6)), Origin::Refused(_)), "it may have been recorded before the proof");
        assert_eq!(hear(at(4), extra(1, 9)), Origin::Known);
        assert_eq!(hear(at(4), extra(1, 8)), Origin::Known, "one may overtake another");
        assert!(matches!(hear(at(4), extra(1, 8)), Origin::Refused(_)));
        assert_eq!(hear(at(5), extra(1, 9_000)), Origin::Known);
        assert!(matches!(hear(at(5), extra(1, 10)), Origin::Refused(_)), "it is older than the window");
        assert_eq!(hear(at(600), extra(2, 1)), Origin::Unproven(true), "another start has to prove itself too");
    }
}
