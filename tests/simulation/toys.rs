//! Two toy machines that test the world itself: one counts lines, one says them until each has been counted.

use std::time::Duration;

use arete::machine::{Address, ConnId, Input, Machine, Outbox, Time};

/// Appends each new line to a file, and answers with how many it has.
#[derive(Default)]
pub struct Counter {
    heard: Vec<(ConnId, Vec<u8>)>,
    count: u64,
}

impl Machine for Counter {
    fn handle(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Accepted { conn, .. } => self.heard.push((conn, Vec::new())),
            Input::Closed { conn, .. } => self.heard.retain(|(other, _)| *other != conn),
            Input::Received { conn, bytes } => {
                let (_, held) = self.heard.iter_mut().find(|(other, _)| *other == conn).expect("accepted before");
                held.extend_from_slice(bytes);
                while let Some(end) = held.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = held.drain(..=end).collect();
                    let number: u64 = String::from_utf8_lossy(&line).trim().parse().expect("whole lines arrive");
                    if number == self.count + 1 {
                        self.count += 1;
                        out.append("/log".into(), line);
                    }
                    out.send(conn, format!("{}\n", self.count).into_bytes().into());
                }
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}

/// Says 1, 2, 3, ... each until it is answered, over as many connections as that takes.
pub struct Teller {
    pub to: Address,
    pub goal: u64,
    said: u64,
    conn: Option<ConnId>,
    open: bool,
    heard: Vec<u8>,
    again: Option<Time>,
}

impl Teller {
    const PATIENCE: Duration = Duration::from_secs(1);

    pub fn new(to: Address, goal: u64) -> Teller {
        Teller { to, goal, said: 0, conn: None, open: false, heard: Vec::new(), again: None }
    }

    fn say(&mut self, now: Time, out: &mut Outbox) {
        if let Some(conn) = self.conn
            && self.open
        {
            out.send(conn, format!("{}\n", self.said + 1).into_bytes().into());
            self.again = Some(now + Self::PATIENCE);
        }
    }

    fn connect(&mut self, now: Time, out: &mut Outbox) {
        self.conn = Some(out.connect(self.to.clone()));
        self.open = false;
        self.heard.clear();
        self.again = Some(now + Self::PATIENCE);
    }
}

impl Machine for Teller {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Begin => self.connect(now, out),
            Input::Connected { .. } => {
                self.open = true;
                self.say(now, out);
            }
            Input::Closed { .. } => {
                self.conn = None;
                self.again = Some(now + Duration::from_millis(100));
            }
            Input::Deadline if self.again.is_some_and(|at| at <= now) => {
                if let Some(conn) = self.conn {
                    out.close(conn, "no answer");
                }
                self.connect(now, out);
            }
            Input::Received { bytes, .. } => {
                self.heard.extend_from_slice(bytes);
                while let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = self.heard.drain(..=end).collect();
                    self.said = String::from_utf8_lossy(&line).trim().parse().expect("whole lines arrive");
                    if self.said == self.goal {
                        return out.exit(0);
                    }
                    self.say(now, out);
                }
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.again
    }
}
