//! A stranger that joins a room again and again, each time with another name, and sends nothing.

use std::time::Duration;

use arete::machine::{Address, ConnId, Input, Machine, Outbox, Time};
use arete::wire::room::Join;
use arete::wire::{Message, PROTOCOL};

use crate::lab::{ROOM, controller_address};
use crate::world::World;

/// The interval of its joins.
const EVERY: Duration = Duration::from_millis(150);

pub struct PasserBy {
    to: Address,
    room: String,
    /// Makes its names differ from those of other lives.
    seed: u64,
    count: u64,
    next: Option<Time>,
    conn: Option<ConnId>,
    /// When it stops.
    until: Time,
}

impl PasserBy {
    fn new(to: Address, room: &str, seed: u64, until: Time) -> PasserBy {
        PasserBy { to, room: room.to_owned(), seed, count: 0, next: None, conn: None, until }
    }

    /// Adds a stranger that joins the clients' room until then.
    pub fn add(world: &mut World, host: usize, until: u64) -> usize {
        world.add_node("passer-by", host, vec![], move |birth| {
            Box::new(PasserBy::new(controller_address(), ROOM, birth.seed, Time::from_micros(until)))
        })
    }

    fn comes(&mut self, now: Time, out: &mut Outbox) {
        if let Some(conn) = self.conn.take() {
            out.close(conn, "it goes");
        }
        self.next = (now < self.until).then(|| now + EVERY);
        if self.next.is_some() {
            self.count += 1;
            self.conn = Some(out.connect(self.to.clone()));
        }
    }
}

impl Machine for PasserBy {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => self.comes(now, out),
            Input::Deadline if self.next.is_some_and(|at| at <= now) => self.comes(now, out),
            Input::Connected { conn, .. } => {
                let incarnation = format!("p{}-{:x}", self.count, self.seed).into();
                let (room, version) = (self.room.as_str().into(), "x".into());
                out.send(conn, Join { protocol: PROTOCOL, version, incarnation, room, member: None }.encode());
            }
            Input::Closed { conn, .. } if self.conn == Some(conn) => self.conn = None,
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.next
    }
}
