//! A machine of your own: a chat server, under the reactor and in a simulated world. Read it from the top to the bottom.
//!
//! ```text
//! cargo run --example machine [HOST:PORT]      # then, in several terminals: nc 127.0.0.1 7000
//! cargo test --example machine                 # the same server, in virtual time, with partitions
//! ```
//!
//! A client sends its name in the first line. Every later line goes to all members, also to the one that wrote it:
//! therefore all members read the same lines in the same order.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use arete::machine::{Bytes, ConnId, Input, Machine, Outbox, Signal, Time, Timers, harmless};
use arete::reactor::{Options, Reactor};
use arete::wire::Frames;

/// A member that sends nothing for this long has left. After a partition TCP alone would notice it only hours later.
const SILENT_AFTER: Duration = Duration::from_secs(300);

/// The longest line, in bytes with the newline. The server closes a connection that exceeds it.
const LINE_MAX: usize = 1024;

/// The server. It has state and no access to the world: no socket, no clock, no file.
#[derive(Default)]
struct Chat {
    clients: BTreeMap<ConnId, Client>,
    /// One deadline for each client. Everything that the client sends moves it.
    silent: Timers<ConnId>,
    /// Set if bytes that arrived after this instant may still be unread.
    behind: Option<Time>,
}

#[derive(Default)]
struct Client {
    /// `None` until its first line.
    name: Option<String>,
    /// The beginning of a line that has not ended yet: TCP cuts the stream anywhere.
    frames: Frames,
}

impl Chat {
    fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let (mut frames, mut lines) = (std::mem::take(&mut client.frames), Vec::new());
        let fed = frames.feed(bytes, LINE_MAX, |line| {
            // Without control characters: otherwise a member could write to the terminals of the others.
            lines.push(harmless(&String::from_utf8_lossy(line)).into_owned());
            true
        });
        client.frames = frames;
        self.silent.set(conn, now + SILENT_AFTER);
        for line in lines {
            self.line(conn, line, out);
        }
        if let Err(bound) = fed {
            self.part(conn, &bound.to_string(), out);
        }
    }

    fn line(&mut self, conn: ConnId, line: String, out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let text = match &client.name {
            Some(name) => format!("{name}: {line}\n"),
            None => format!("* {} joined\n", client.name.insert(line)),
        };
        self.tell_all(text, out);
    }

    fn tell_all(&self, text: String, out: &mut Outbox) {
        // The text exists once. The queues of all connections share it.
        let bytes: Bytes = text.into_bytes().into();
        for (&conn, _) in self.clients.iter().filter(|(_, client)| client.name.is_some()) {
            out.send(conn, bytes.clone());
        }
    }

    /// Closes a connection. No `Input::Closed` follows, so the client is removed here.
    fn part(&mut self, conn: ConnId, why: &str, out: &mut Outbox) {
        out.close(conn, why);
        self.gone(conn, why, out);
    }

    fn gone(&mut self, conn: ConnId, why: &str, out: &mut Outbox) {
        self.silent.cancel(&conn);
        if let Some(Client { name: Some(name), .. }) = self.clients.remove(&conn) {
            self.tell_all(format!("* {name} left: {why}\n"), out);
        }
    }
}

impl Machine for Chat {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Accepted { conn, .. } => {
                self.clients.insert(conn, Client::default());
                self.silent.set(conn, now + SILENT_AFTER);
            }
            Input::Received { conn, bytes } => self.received(now, conn, bytes, out),
            Input::Closed { conn, reason } => self.gone(conn, &reason, out),
            Input::Behind { since } => self.behind = Some(since),
            Input::Deadline => {
                // A client is silent only if everything that it sent until its deadline was read.
                let read = self.behind.take().unwrap_or(now);
                while let Some(conn) = self.silent.pop_due(read) {
                    self.part(conn, "silent for 5 minutes", out);
                }
            }
            Input::Signal(_) => out.exit(0),
            // The other inputs answer effects that this machine never asks for.
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.silent.next()
    }
}

/// The real world: the reactor owns the sockets and the clock, and calls the machine until the machine exits.
fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let serve = || -> Result<u8, Box<dyn std::error::Error>> {
        let mut reactor = Reactor::new(Options { signals: vec![Signal::INT, Signal::TERM], ..Options::default() })?;
        let (_, address) = reactor.listen_tcp(address.parse()?)?;
        println!("listening on {address}");
        Ok(reactor.run(&mut Chat::default()))
    };
    serve().map_or_else(
        |error| {
            eprintln!("machine: {address}: {error}");
            ExitCode::FAILURE
        },
        ExitCode::from,
    )
}

/// A simulated world: one server, clients, a network that delays, cuts and partitions, and virtual time. Five minutes of
/// silence take no time, and a seed replays each run exactly.
#[cfg(test)]
mod tests {
    use arete::machine::{Effect, ListenerId, Peer};
    use fastrand::Rng;

    use super::*;

    /// A connection, as its client sees it.
    #[derive(Default)]
    struct Link {
        to_server: Vec<u8>,
        to_client: Vec<u8>,
        /// Everything that the client has read.
        seen: String,
        /// In a partition nothing passes. TCP keeps the bytes, and delivers them when the partition is healed.
        cut: bool,
        closed: bool,
    }

    struct World {
        now: Time,
        rng: Rng,
        chat: Chat,
        out: Outbox,
        links: BTreeMap<ConnId, Link>,
    }

    impl World {
        fn new(seed: u64) -> World {
            let (chat, out, links) = (Chat::default(), Outbox::new(), BTreeMap::new());
            World { now: Time::from_micros(1), rng: Rng::with_seed(seed), chat, out, links }
        }

        /// A turn, as the reactor makes it: one input for the machine, then its effects in order.
        fn tell(&mut self, input: Input<'_>) {
            self.chat.handle(self.now, input, &mut self.out);
            for effect in self.out.drain() {
                match effect {
                    Effect::Send { conn, bytes } => {
                        let link = self.links.get_mut(&conn).expect("a connection of this world");
                        assert!(!link.closed, "sent to a closed connection");
                        link.to_client.extend_from_slice(&bytes);
                    }
                    Effect::Close { conn, .. } => {
                        let link = self.links.get_mut(&conn).expect("a connection of this world");
                        link.closed = true;
                        link.to_server.clear();
                        // The reactor lets a closed connection linger for seconds only; a partition lasts longer.
                        if link.cut {
                            link.to_client.clear();
                        }
                    }
                    other => panic!("a chat server does not do this: {other:?}"),
                }
            }
        }

        fn connect(&mut self, name: &str) -> ConnId {
            let conn = ConnId(self.out.next_serial());
            self.links.insert(conn, Link::default());
            let peer = Peer::Inet(([127, 0, 0, 1], 1).into());
            self.tell(Input::Accepted { conn, listener: ListenerId(0), peer });
            self.write(conn, name);
            conn
        }

        fn write(&mut self, conn: ConnId, line: &str) {
            let link = self.links.get_mut(&conn).expect("a connection of this world");
            if !link.closed {
                link.to_server.extend_from_slice(format!("{line}\n").as_bytes());
            }
        }

        fn partition(&mut self, conn: ConnId, cut: bool) {
            self.links.get_mut(&conn).expect("a connection of this world").cut = cut;
        }

        fn seen(&self, conn: ConnId) -> &str {
            &self.links[&conn].seen
        }

        /// Moves some bytes over one link, in one of both directions. Returns false if no bytes are on their way.
        fn step(&mut self) -> bool {
            let busy = |link: &Link| !link.cut && (!link.to_server.is_empty() || !link.to_client.is_empty());
            let busy: Vec<ConnId> = self.links.iter().filter(|(_, link)| busy(link)).map(|(&conn, _)| conn).collect();
            let Some(conn) = self.rng.choice(busy) else { return false };
            let link = self.links.get_mut(&conn).expect("just listed");
            if link.to_server.is_empty() || (!link.to_client.is_empty() && self.rng.bool()) {
                let length = self.rng.usize(1..=link.to_client.len());
                let bytes: Vec<u8> = link.to_client.drain(..length).collect();
                link.seen.push_str(std::str::from_utf8(&bytes).expect("the names here are ASCII"));
            } else {
                let length = self.rng.usize(1..=link.to_server.len());
                let bytes: Vec<u8> = link.to_server.drain(..length).collect();
                self.tell(Input::Received { conn, bytes: &bytes });
            }
            true
        }

        /// Delivers everything that can be delivered, then jumps to the next deadline, as often as `time` allows.
        fn pass(&mut self, time: Duration) {
            let end = self.now + time;
            loop {
                while self.step() {}
                let due = self.chat.next_deadline().filter(|&at| at <= end);
                self.now = due.unwrap_or(end).max(self.now);
                if due.is_none() {
                    return;
                }
                self.tell(Input::Deadline);
            }
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_short_partition_only_delays_lines() {
        let mut world = World::new(1);
        let alice = world.connect("alice");
        world.pass(MINUTE);
        let bob = world.connect("bob");
        world.pass(MINUTE);
        world.partition(bob, true);
        world.write(bob, "do you hear me?");
        world.write(alice, "hello");
        world.pass(MINUTE);
        assert_eq!(world.seen(alice), "* alice joined\n* bob joined\nalice: hello\n");
        assert_eq!(world.seen(bob), "* bob joined\n");
        world.partition(bob, false);
        world.pass(MINUTE);
        assert_eq!(world.seen(bob), "* bob joined\nalice: hello\nbob: do you hear me?\n");
        assert!(world.seen(alice).ends_with(world.seen(bob)));
    }

    #[test]
    fn a_member_behind_a_long_partition_leaves_after_five_minutes() {
        let mut world = World::new(2);
        let (alice, bob) = (world.connect("alice"), world.connect("bob"));
        world.pass(MINUTE);
        world.partition(bob, true);
        for _ in 0..3 {
            world.pass(MINUTE);
            world.write(alice, "are you there?");
        }
        world.pass(MINUTE - Duration::from_micros(1));
        assert!(!world.seen(alice).contains("left"), "{}", world.seen(alice));
        world.pass(Duration::from_micros(1));
        assert!(world.seen(alice).ends_with("* bob left: silent for 5 minutes\n"), "{}", world.seen(alice));
        assert!(world.links[&bob].closed && !world.links[&alice].closed);
    }

    #[test]
    fn all_members_read_the_same_lines_in_the_same_order_on_any_network() {
        for seed in 0..1_000 {
            let mut world = World::new(seed);
            // The observer is never cut off, and writes often enough to stay: it reads everything.
            let observer = world.connect("observer");
            world.pass(MINUTE);
            let mut members = Vec::new();
            for round in 0..40 {
                match world.rng.usize(0..4) {
                    0 if members.len() < 5 => members.push(world.connect(&format!("member-{round}"))),
                    1 if !members.is_empty() => {
                        let (member, cut) = (members[world.rng.usize(..members.len())], world.rng.bool());
                        world.partition(member, cut);
                    }
                    _ => members.iter().for_each(|&member| world.write(member, &format!("in round {round}"))),
                }
                // Some bytes of this round arrive, others wait for the next one.
                for _ in 0..world.rng.usize(0..20) {
                    world.step();
                }
                if round % 4 == 0 {
                    world.write(observer, "here");
                    world.pass(MINUTE);
                }
            }
            members.iter().for_each(|&member| world.partition(member, false));
            world.pass(MINUTE);
            for &member in &members {
                let (all, seen) = (world.seen(observer), world.seen(member));
                assert!(all.contains(seen), "seed {seed}: {} read\n{seen}\nof\n{all}", member.0);
                assert!(world.links[&member].closed || all.ends_with(seen), "seed {seed}: {} lacks lines", member.0);
            }
        }
    }
}
