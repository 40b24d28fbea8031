//! The memory that the controller holds for members and clients, in bytes, within one limit: values and maps of syncs,
//! parties, arrivals, outcomes, triggers with the data of notifies, and incomplete lines.
//!
//! Each holder owns a [`Held`], which returns the bytes when it is dropped, so that no bytes are lost however a holder
//! ends. A request that does not fit is refused with a [`Shortage`]. What must not be refused [holds](Budget::hold)
//! beyond the limit; that is only what was admitted in another form.
//!
//! Each process has a share, so that a greedy process leaves memory for others.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::machine::{Bytes, IdMap, LARGE};

/// Requests up to this size, in bytes, may use the part that is reserved for small ones.
const SMALL: usize = 64 * 1024;

/// 1/16 of the budget is reserved for small requests, so that large values cannot keep other members from meeting.
const FOR_SMALL: usize = 16;

/// The share of a process: 1/8 of the budget for a client, 1/2 for a slave, which acts for many members.
const CLIENT_SHARE: usize = 8;
const SLAVE_SHARE: usize = 2;

/// All triggers of clients may hold 1/4 of the budget together. They outlive the processes that create them, so the
/// shares of processes alone would let one process after another fill the memory.
const TRIGGERS_SHARE: usize = 4;

/// The account of those triggers among the processes; no process has this number.
const TRIGGERS: u64 = u64::MAX;

/// Failed rounds are evicted when less than 1/8 of the budget is left.
const SPARE: usize = 8;

/// Why a request for memory is refused. All sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortage {
    /// Too little of the whole budget is left.
    Budget { max: usize, left: usize, needed: usize },
    /// The process would exceed its share.
    Share { slave: bool, share: usize, held: usize, needed: usize },
    /// The triggers of clients would exceed their share.
    Triggers { share: usize, held: usize, needed: usize },
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortage::Budget { max, left, needed } => write!(
                f,
                "the controller may hold {max} bytes of its members (--memory-max); {left} are left, and this needs \
                 {needed}: try again later"
            ),
            Shortage::Share { slave, share, held, needed } => write!(
                f,
                "one {} may hold {share} bytes of the memory for members (--memory-max); it holds {held}, and this needs \
                 {needed}: try again when its other barriers and syncs are over",
                if *slave { "slave" } else { "client" }
            ),
            Shortage::Triggers { share, held, needed } => write!(
                f,
                "all triggers of rooms may hold {share} bytes of the memory for members (--memory-max), with the data of \
                 notifies; they hold {held}, and this needs {needed}: delete triggers that are not needed any more \
                 (arete trigger delete)"
            ),
        }
    }
}

impl std::error::Error for Shortage {}

/// The process that pays for memory.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    pub process: u64,
    pub slave: bool,
}

/// The budget. All clones share one account.
#[derive(Debug, Clone)]
pub struct Budget(Rc<Account>);

#[derive(Debug)]
struct Account {
    max: Cell<usize>,
    /// Each process may hold at least this much, even in a small budget.
    least: Cell<usize>,
    held: Cell<usize>,
    /// The part that is charged to each process.
    of: RefCell<IdMap<u64, usize>>,
    /// Lines that have no holder here but still wait in the queues of peers, with their sizes.
    leaving: RefCell<Vec<(Bytes, usize)>>,
}

impl Default for Budget {
    /// Returns a budget without a limit.
    fn default() -> Budget {
        Budget::new(usize::MAX)
    }
}

impl Budget {
    pub fn new(max: usize) -> Budget {
        Budget(Rc::new(Account {
            max: Cell::new(max),
            least: Cell::new(0),
            held: Cell::new(0),
            of: RefCell::default(),
            leaving: RefCell::default(),
        }))
    }

    /// Sets the limit, and what each process may always hold, in bytes.
    pub fn set_max(&self, max: usize, least: usize) {
        self.0.max.set(max);
        self.0.least.set(least);
    }

    /// Returns how much is held, in bytes.
    pub fn held(&self) -> usize {
        self.0.held.get()
    }

    pub fn max(&self) -> usize {
        self.0.max.get()
    }

    /// Holds `bytes`. Fails if too little is left.
    pub fn admit(&self, bytes: usize) -> Result<Held, Shortage> {
        if self.left_for(bytes) < bytes {
            self.sweep();
        }
        let left = self.left_for(bytes);
        if left < bytes {
            return Err(Shortage::Budget { max: self.max(), left, needed: bytes });
        }
        Ok(self.hold(bytes))
    }

    /// Holds `bytes` for a process. Fails if too little is left, or the process has used its share.
    pub fn admit_for(&self, asker: Asker, bytes: usize) -> Result<Held, Shortage> {
        let Asker { process, slave } = asker;
        let part = if slave { SLAVE_SHARE } else { CLIENT_SHARE };
        let share = (self.max() / part).max(self.0.least.get()).min(self.max());
        let held = self.held_for(process);
        if held + bytes > share {
            return Err(Shortage::Share { slave, share, held, needed: bytes });
        }
        let mut held = self.admit(bytes)?;
        held.charge = Charge::new(self, process, bytes);
        Ok(held)
    }

    /// Checks whether a process may make a trigger of clients hold `bytes` more.
    pub fn admits_to_triggers(&self, asker: Asker, bytes: usize) -> Result<(), Shortage> {
        self.admit_for(asker, bytes)?;
        let share = (self.max() / TRIGGERS_SHARE).max(self.0.least.get()).min(self.max());
        let held = self.held_for(TRIGGERS);
        if held + bytes > share {
            return Err(Shortage::Triggers { share, held, needed: bytes });
        }
        Ok(())
    }

    /// Returns how much is charged to a process, in bytes.
    pub fn held_for(&self, process: u64) -> usize {
        self.0.of.borrow().get(&process).copied().unwrap_or(0)
    }

    /// Returns whether `bytes` would be admitted.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        if self.left_for(bytes) < bytes {
            self.sweep();
        }
        self.left_for(bytes) >= bytes
    }

    /// Returns how much must be free at the end of an input, if evicting failed rounds can achieve it, in bytes.
    pub fn spare(&self) -> usize {
        self.max() / SPARE
    }

    /// Returns how much is left for a request of `bytes`.
    fn left_for(&self, bytes: usize) -> usize {
        let max = self.max();
        let max = if bytes > SMALL { max - max / FOR_SMALL } else { max };
        max.saturating_sub(self.held())
    }

    /// Holds `bytes` beyond the limit if necessary.
    pub fn hold(&self, bytes: usize) -> Held {
        self.0.held.set(self.held() + bytes);
        Held { budget: self.clone(), bytes, charge: Charge::default() }
    }

    /// Holds `bytes` beyond the limit if necessary, and charges a part to a process.
    pub fn hold_for(&self, process: u64, bytes: usize, charged: usize) -> Held {
        let mut held = self.hold(bytes);
        held.charge = Charge::new(self, process, charged);
        held
    }

    fn give_back(&self, bytes: usize) {
        debug_assert!(bytes <= self.held(), "only held bytes are returned");
        self.0.held.set(self.held() - bytes);
    }

    /// Returns the bytes of lines that have left the queues of all peers.
    pub fn sweep(&self) {
        self.0.leaving.borrow_mut().retain(|(line, bytes)| {
            let waits = Rc::strong_count(line) > 1;
            if !waits {
                self.give_back(*bytes);
            }
            waits
        });
    }
}

/// The bytes that are charged to one process.
#[derive(Debug, Default)]
pub struct Charge(Option<(Budget, u64, usize)>);

impl Charge {
    pub fn new(budget: &Budget, process: u64, bytes: usize) -> Charge {
        if bytes == 0 {
            return Charge(None);
        }
        *budget.0.of.borrow_mut().entry(process).or_default() += bytes;
        Charge(Some((budget.clone(), process, bytes)))
    }
}

/// The bytes that a trigger holds for one process, which may be unknown after a restart.
#[derive(Debug, Default)]
pub struct TriggerCharge {
    _own: Charge,
    _all: Charge,
}

impl TriggerCharge {
    /// `lasts`: the trigger exists until a client deletes it.
    pub fn new(budget: &Budget, process: Option<u64>, bytes: usize, lasts: bool) -> TriggerCharge {
        let charge = |process| Charge::new(budget, process, bytes);
        TriggerCharge {
            _own: process.map(charge).unwrap_or_default(),
            _all: if lasts { charge(TRIGGERS) } else { Charge::default() },
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let Some((budget, process, bytes)) = self.0.take() else { return };
        let mut of = budget.0.of.borrow_mut();
        if let Some(have) = of.get_mut(&process) {
            *have -= bytes;
            if *have == 0 {
                of.remove(&process);
            }
        }
    }
}

/// Bytes of the budget.
#[derive(Debug, Default)]
pub struct Held {
    budget: Budget,
    bytes: usize,
    charge: Charge,
}

impl Held {
    /// Ends the charge to a process.
    pub fn disown(&mut self) {
        self.charge = Charge::default();
    }

    /// Holds more bytes, beyond the limit if necessary.
    pub fn grow(&mut self, bytes: usize) {
        self.budget.0.held.set(self.budget.held() + bytes);
        self.bytes += bytes;
    }

    /// Returns bytes to the budget. The charge to a process stays.
    pub fn shrink(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes, "only held bytes are returned");
        self.budget.give_back(bytes);
        self.bytes -= bytes;
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Clone for Held {
    /// Holds the same number of bytes again.
    fn clone(&self) -> Held {
        self.budget.hold(self.bytes)
    }
}

impl PartialEq for Held {
    /// Always equal, because the cost of a value is not part of its identity.
    fn eq(&self, _: &Held) -> bool {
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// A line for many peers. It is counted here until the last queue has sent it, because a long line counts little
/// against each peer.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedLine {
    bytes: Bytes,
    held: Held,
}

impl SharedLine {
    /// Replaces what was admitted for the line.
    pub fn new(bytes: Bytes, budget: &Budget) -> SharedLine {
        let held = budget.hold(bytes.len());
        SharedLine { bytes, held }
    }

    /// Returns the line for a queue.
    pub fn share(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl std::ops::Deref for SharedLine {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for SharedLine {
    fn drop(&mut self) {
        if self.bytes.len() > LARGE && Rc::strong_count(&self.bytes) > 1 {
            let waits = (self.bytes.clone(), std::mem::take(&mut self.held.bytes));
            self.held.budget.0.leaving.borrow_mut().push(waits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_holders_return_their_bytes_and_excess_is_refused() {
        let budget = Budget::new(1_000);
        let mut first = budget.admit(600).unwrap();
        let refused = budget.admit(401).unwrap_err().to_string();
        assert!(refused.contains("1000 bytes") && refused.contains("--memory-max"), "{refused}");
        let second = first.clone();
        assert_eq!(budget.held(), 1_200);
        drop(second);
        first.grow(100);
        first.shrink(300);
        assert_eq!((budget.held(), first.bytes()), (400, 400));
        drop(first);
        assert_eq!(budget.held(), 0);
        assert!(budget.admit(1_000).is_ok());
    }

    #[test]
    fn a_process_has_a_share_and_a_client_can_always_hold_one_value() {
        let budget = Budget::new(1_600);
        let client = |process| Asker { process, slave: false };
        let first = budget.admit_for(client(1), 150).unwrap();
        let refused = budget.admit_for(client(1), 51).unwrap_err().to_string();
        assert!(refused.contains("may hold 200 bytes") && refused.contains("it holds 150"), "{refused}");
        let mut own = budget.admit_for(client(1), 50).unwrap();
        assert!(budget.admit_for(client(2), 200).is_ok());
        assert!(budget.admit_for(Asker { process: 3, slave: true }, 801).is_err());
        assert!(budget.admit_for(Asker { process: 3, slave: true }, 800).is_ok());
        own.disown();
        assert_eq!((budget.held_for(1), budget.held()), (150, 200));
        drop((first, own));
        assert!(budget.0.of.borrow().is_empty() && budget.held() == 0);
        budget.set_max(1_600, 500);
        assert!(budget.admit_for(client(1), 500).is_ok() && budget.admit_for(client(1), 501).is_err());
    }

    #[test]
    fn all_triggers_of_clients_have_one_share_together() {
        let budget = Budget::new(1_600);
        let client = |process| Asker { process, slave: false };
        let take = |process| {
            budget.admits_to_triggers(client(process), 150)?;
            Ok::<_, Shortage>(TriggerCharge::new(&budget, Some(process), 150, true))
        };
        let (_first, second) = (take(1).unwrap(), take(2).unwrap());
        assert_eq!(take(1).unwrap_err(), Shortage::Share { slave: false, share: 200, held: 150, needed: 150 });
        assert_eq!(take(3).unwrap_err(), Shortage::Triggers { share: 400, held: 300, needed: 150 });
        let of_a_run = TriggerCharge::new(&budget, Some(3), 150, false);
        assert_eq!((budget.held_for(3), budget.held_for(TRIGGERS)), (150, 300));
        drop((second, of_a_run));
        assert!(take(3).is_ok());
    }

    #[test]
    fn large_requests_leave_room_for_small_ones() {
        let budget = Budget::new(16 * SMALL * 2);
        let large = SMALL + 1;
        let all: Vec<Held> = std::iter::from_fn(|| budget.admit(large).ok()).collect();
        assert!(budget.max() - budget.held() >= 2 * SMALL, "{} of {large}", all.len());
        assert!(budget.admit(SMALL).is_ok());
    }

    #[test]
    fn a_long_line_is_held_until_the_last_queue_has_sent_it() {
        let budget = Budget::new(10 * LARGE);
        let line = SharedLine::new(Bytes::from(vec![b'x'; 2 * LARGE]), &budget);
        let queued = line.share();
        drop(line);
        budget.sweep();
        assert_eq!(budget.held(), 2 * LARGE);
        drop(queued);
        assert!(budget.admit(9 * LARGE).is_ok(), "a request sweeps before it is refused");
        assert_eq!(budget.held(), 0);
        let short = SharedLine::new(Bytes::from(vec![b'x'; LARGE]), &budget);
        let queued = short.share();
        drop(short);
        assert_eq!((budget.held(), queued.len()), (0, LARGE));
    }
}
