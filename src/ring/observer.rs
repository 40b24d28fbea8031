//! The view of a ring from outside: its nodes, their states, and the place of the token.
//!
//! Nodes send their states to the port for watchers, and the broadcasts of owners, seekers and candidates arrive on the port
//! of the ring. An observer must never send anything. Names of nodes are shown on terminals, so they are made harmless, and
//! the number of nodes is bounded.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::limits::NODES_MAX;
use super::message::{Body, DATAGRAM_MAX, Message};
use super::seal::Key;
use super::token::{Fence, Token};
use crate::machine::Time;

/// The time without a message after which a node is silent.
pub const SILENT_AFTER: Duration = Duration::from_secs(10);

/// The time over which hops are counted, in seconds.
const MINUTE: u64 = 60;

/// A node, as its messages show it.
#[derive(Debug)]
pub struct NodeView {
    /// The address of its last message.
    pub address: Ipv4Addr,
    /// The name of its state; `None`: no message has shown it yet.
    pub state: Option<&'static str>,
    /// The last token that it had, and the progress.
    pub token: Option<(Fence, u64)>,
    /// When its last message arrived.
    pub heard: Time,
    /// No message has arrived for [`SILENT_AFTER`].
    pub silent: bool,
    hops: Hops,
}

impl NodeView {
    /// Returns how often it got the token in the last minute.
    pub fn hops(&self, now: Time) -> u32 {
        self.hops.count(now)
    }
}

/// The number of hops in each of the last seconds.
#[derive(Debug, Default)]
struct Hops {
    by_second: BTreeMap<u64, u32>,
}

impl Hops {
    fn add(&mut self, now: Time) {
        let second = now.as_micros() / 1_000_000;
        *self.by_second.entry(second).or_default() += 1;
        self.by_second = self.by_second.split_off(&second.saturating_sub(MINUTE));
    }

    fn count(&self, now: Time) -> u32 {
        let first = (now.as_micros() / 1_000_000 + 1).saturating_sub(MINUTE);
        self.by_second.range(first..).map(|(_, count)| count).sum()
    }
}

/// A change of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Its first message has arrived.
    New,
    /// Its state has changed.
    State,
    /// It got the token.
    Token,
    /// It has not been heard for [`SILENT_AFTER`].
    Silent,
}

impl News {
    /// Returns the name of the change in JSON.
    pub fn name(self) -> &'static str {
        match self {
            News::New => "new",
            News::State => "state",
            News::Token => "token",
            News::Silent => "silent",
        }
    }
}

/// All nodes that were seen.
#[derive(Debug, Default)]
pub struct Observer {
    nodes: BTreeMap<String, NodeView>,
    /// The newest token, and who had it last.
    newest: Option<(Fence, Token, String)>,
}

impl Observer {
    /// Returns all nodes with their ids, in the order of ids.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &NodeView)> {
        self.nodes.iter().map(|(id, seen)| (&**id, seen))
    }

    /// Returns the node of this id.
    pub fn get(&self, id: &str) -> Option<&NodeView> {
        self.nodes.get(id)
    }

    /// Returns the fence, the progress and the last owner of the newest token.
    pub fn token(&self) -> Option<(Fence, u64, &str)> {
        self.newest.as_ref().map(|(fence, token, id)| (*fence, token.progress, &**id))
    }

    /// Takes a datagram, and returns the changes. Ignores a datagram that is not a message, or that is not sealed with the key
    /// if there is one.
    pub fn hear(&mut self, now: Time, from: Ipv4Addr, bytes: &[u8], key: Option<&Key>) -> Vec<(String, News)> {
        if bytes.len() > DATAGRAM_MAX {
            return Vec::new();
        }
        let Ok(Message { author, body, extra }) = Message::decode(bytes, key) else { return Vec::new() };
        let id = harmless(&author);
        let mut news = Vec::new();
        if self.heard(now, &id, from) {
            news.push((id.clone(), News::New));
        }
        match body {
            Body::WhereIsToken => self.turn(&id, "seeker", &mut news),
            Body::GeneratingToken(_) => self.turn(&id, "generating", &mut news),
            Body::TokenIsHere(token) => {
                let fence = extra.map_or_else(Fence::default, |extra| extra.fence);
                self.token_is_here(now, &id, fence, &token, &mut news);
            }
            Body::MyState { new, .. } => {
                if let Some(state) = in_our_words(&new) {
                    self.set_state(now, &id, state, &mut news);
                }
            }
            Body::Ping | Body::TokenWasHereRecently | Body::TakeToken { .. } => {}
        }
        news
    }

    /// Notes a message of a node. Returns whether the node is new. If there are too many, the node with the oldest message
    /// makes room.
    fn heard(&mut self, now: Time, id: &str, from: Ipv4Addr) -> bool {
        if let Some(seen) = self.nodes.get_mut(id) {
            (seen.address, seen.heard, seen.silent) = (from, now, false);
            return false;
        }
        if self.nodes.len() >= NODES_MAX {
            let oldest = self.nodes.iter().min_by_key(|(_, seen)| seen.heard).map(|(id, _)| id.clone());
            oldest.and_then(|oldest| self.nodes.remove(&oldest));
        }
        let hops = Hops::default();
        let seen = NodeView { address: from, state: None, token: None, heard: now, silent: false, hops };
        self.nodes.insert(id.to_owned(), seen);
        true
    }

    fn turn(&mut self, id: &str, state: &'static str, news: &mut Vec<(String, News)>) {
        let Some(seen) = self.nodes.get_mut(id) else { return };
        if seen.state != Some(state) {
            seen.state = Some(state);
            news.push((id.to_owned(), News::State));
        }
    }

    /// Takes the state of a node. In a ring of original programs, where tokens have no order, a new owner is a hop.
    fn set_state(&mut self, now: Time, id: &str, state: &'static str, news: &mut Vec<(String, News)>) {
        let was_owner = self.nodes.get(id).is_some_and(|seen| seen.state == Some("owner"));
        self.turn(id, state, news);
        let Some(seen) = self.nodes.get_mut(id) else { return };
        let without_order = self.newest.as_ref().is_some_and(|(fence, ..)| *fence == Fence::default());
        if state == "owner" && !was_owner && without_order {
            seen.hops.add(now);
            news.push((id.to_owned(), News::Token));
        }
    }

    fn token_is_here(&mut self, now: Time, id: &str, fence: Fence, token: &Token, news: &mut Vec<(String, News)>) {
        let was_owner = self.nodes.get(id).is_some_and(|seen| seen.state == Some("owner"));
        self.turn(id, "owner", news);
        let Some(seen) = self.nodes.get_mut(id) else { return };
        let hops = match fence == Fence::default() {
            true => !was_owner,
            false => seen.token.is_none_or(|(last, _)| fence > last),
        };
        seen.token = Some((fence, token.progress));
        if hops {
            seen.hops.add(now);
            news.push((id.to_owned(), News::Token));
        }
        let newer = self.newest.as_ref().is_none_or(|(newest, last, _)| {
            super::token::strength(fence, token) >= super::token::strength(*newest, last)
        });
        if newer {
            self.hand_on(id, news);
            self.newest = Some((fence, token.clone(), id.to_owned()));
        }
    }

    /// Notes that the newest token is at this node: its last owner has become a waiter, even if its message was lost.
    fn hand_on(&mut self, id: &str, news: &mut Vec<(String, News)>) {
        let last = self.newest.as_ref().map(|(_, _, last)| last.clone()).filter(|last| last != id);
        if let Some(last) = last
            && self.nodes.get(&last).is_some_and(|seen| seen.state == Some("owner"))
        {
            self.turn(&last, "waiter", news);
        }
    }

    /// Returns the nodes that have become silent since the last call.
    pub fn look(&mut self, now: Time) -> Vec<(String, News)> {
        let quiet = self.nodes.iter_mut().filter(|(_, seen)| !seen.silent && now.since(seen.heard) >= SILENT_AFTER);
        quiet
            .map(|(id, seen)| {
                (seen.silent, seen.state) = (true, None);
                (id.clone(), News::Silent)
            })
            .collect()
    }
}

/// Returns our name of a state, which may have the name of the original program.
fn in_our_words(state: &str) -> Option<&'static str> {
    match state {
        "owner" | "OWNER" => Some("owner"),
        "waiter" | "WAITER" => Some("waiter"),
        "seeker" | "LOOSER" => Some("seeker"),
        "generating" | "GENERATING" => Some("generating"),
        _ => None,
    }
}

/// Returns a text of others with a question mark for each letter that a terminal obeys, and for each invisible one.
pub fn harmless(text: &str) -> String {
    let tame = |letter: char| match letter {
        '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '?',
        letter if crate::text::is_obeyed(letter) => '?',
        letter => letter,
    };
    text.chars().map(tame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::message::Extra;

    const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    fn say(observer: &mut Observer, millis: u64, author: &str, fence: Option<(u64, u64)>, body: Body) -> Vec<String> {
        let extra = fence.map(|(epoch, hop)| Extra { fence: Fence { epoch, hop }, ..Extra::default() });
        let message = Message { author: author.to_owned(), body, extra };
        let news = observer.hear(at(millis), HERE, &message.encode(None), None);
        news.into_iter().map(|(id, news)| format!("{id} {}", news.name())).collect()
    }

    fn here(progress: u64) -> Body {
        Body::TokenIsHere(Token::new(progress, "a", 1))
    }

    fn my_state(old: &str, new: &str) -> Body {
        Body::MyState { old: old.to_owned(), new: new.to_owned() }
    }

    #[test]
    fn a_token_that_is_somewhere_else_is_a_hop_and_its_former_owner_waits() {
        let mut observer = Observer::default();
        assert_eq!(say(&mut observer, 0, "a", Some((1, 0)), here(0)), ["a new", "a state", "a token"]);
        assert!(say(&mut observer, 500, "a", Some((1, 0)), here(1)).is_empty(), "the same token is no hop");
        assert_eq!(say(&mut observer, 900, "b", Some((1, 1)), here(1)), ["b new", "b state", "b token", "a state"]);
        assert_eq!(observer.get("a").and_then(|seen| seen.state), Some("waiter"));
        assert_eq!(observer.token(), Some((Fence { epoch: 1, hop: 1 }, 1, "b")));
        assert_eq!(observer.get("b").map(|seen| (seen.hops(at(1_000)), seen.hops(at(61_000)))), Some((1, 0)));
    }

    #[test]
    fn the_states_of_originals_are_said_in_our_words() {
        let mut observer = Observer::default();
        assert_eq!(say(&mut observer, 0, "7", None, my_state("WAITER", "LOOSER")), ["7 new", "7 state"]);
        assert_eq!(observer.get("7").and_then(|seen| seen.state), Some("seeker"));
        assert_eq!(say(&mut observer, 1, "7", None, Body::GeneratingToken(Token::new(0, "7", 1))), ["7 state"]);
        assert_eq!(say(&mut observer, 2, "7", None, here(0)), ["7 state", "7 token"]);
        assert!(say(&mut observer, 3, "7", None, my_state("GENERATING", "OWNER")).is_empty(), "it is known");
        assert_eq!(say(&mut observer, 4, "7", None, my_state("OWNER", "WAITER")), ["7 state"]);
        assert_eq!(say(&mut observer, 5, "7", None, my_state("WAITER", "OWNER")), ["7 state", "7 token"]);
        assert!(say(&mut observer, 6, "7", None, my_state("OWNER", "\x1b[31mEVIL")).is_empty());
    }

    #[test]
    fn a_node_that_says_nothing_is_silent_until_it_speaks() {
        let mut observer = Observer::default();
        say(&mut observer, 0, "a", None, Body::Ping);
        assert!(observer.look(at(9_999)).is_empty());
        assert_eq!(observer.look(at(10_000)), [("a".to_owned(), News::Silent)]);
        assert!(observer.look(at(10_001)).is_empty(), "it is said once");
        assert!(say(&mut observer, 10_002, "a", None, Body::Ping).is_empty());
        assert!(observer.get("a").is_some_and(|seen| !seen.silent));
    }

    #[test]
    fn there_is_room_for_so_many_nodes_and_the_one_that_was_heard_longest_ago_makes_room() {
        let mut observer = Observer::default();
        for number in 0..NODES_MAX as u64 + 5 {
            say(&mut observer, number, &format!("n{number}"), None, Body::Ping);
        }
        assert_eq!(observer.nodes().count(), NODES_MAX);
        assert!(observer.get("n4").is_none() && observer.get("n5").is_some());
    }

    #[test]
    fn what_is_not_sealed_with_the_key_is_not_seen() {
        let key = Key::new(b"0123456789abcdef".to_vec());
        let mut observer = Observer::default();
        let ping = || Message { author: "a".to_owned(), body: Body::Ping, extra: None };
        assert!(observer.hear(at(0), HERE, &ping().encode(None), Some(&key)).is_empty());
        assert_eq!(observer.hear(at(0), HERE, &ping().encode(Some(&key)), Some(&key)).len(), 1);
        assert!(observer.hear(at(0), HERE, b"garbage", None).is_empty());
    }

    #[test]
    fn what_nodes_call_themselves_cannot_move_the_cursor_or_turn_the_line() {
        assert_eq!(harmless("a\x1b[2J\u{9b}b\u{202e}c\u{2066}\u{feff}\u{1f}é"), "a?[2J?b?c???é");
    }
}
