//! The total of notifies that a peer has stated and that is not counted yet.
//!
//! Totals of one trigger that follow each other in one input are counted as one, the highest. Whatever else the peer says
//! must be handled after what it has stated before.

use crate::wire::Notify;

/// The last statement, if there is one. Its texts keep their memory for the next input.
#[derive(Debug, Default)]
pub struct Stated {
    room: String,
    trigger: String,
    /// 0: nothing is stated.
    count: u64,
}

impl Stated {
    /// Takes a statement over, unless it carries data, or one about another trigger is not counted yet. Returns whether it
    /// was taken over.
    pub fn merge(&mut self, notify: &Notify<'_>) -> bool {
        if notify.data.is_some() {
            return false;
        }
        if self.count == 0 {
            self.room.push_str(&notify.room);
            self.trigger.push_str(&notify.trigger);
        } else if self.trigger != notify.trigger || self.room != notify.room {
            return false;
        }
        self.count = self.count.max(notify.count);
        true
    }

    /// Returns the statement.
    pub fn notify(&self) -> Option<Notify<'_>> {
        let (room, trigger) = (self.room.as_str().into(), self.trigger.as_str().into());
        (self.count > 0).then_some(Notify { room, trigger, count: self.count, data: None })
    }

    /// Forgets the statement, because it is counted.
    pub fn clear(&mut self) {
        self.room.clear();
        self.trigger.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_total_of_one_trigger_is_kept() {
        let mut stated = Stated::default();
        let notify =
            |trigger: &'static str, count| Notify { room: "r".into(), trigger: trigger.into(), count, data: None };
        assert_eq!(stated.notify(), None);
        assert!([3, 5, 4].into_iter().all(|count| stated.merge(&notify("t", count))));
        assert!(!stated.merge(&notify("u", 1)) && !stated.merge(&Notify { room: "s".into(), ..notify("t", 6) }));
        assert_eq!(stated.notify(), Some(notify("t", 5)));
        stated.clear();
        assert!(stated.notify().is_none() && stated.merge(&notify("u", 1)));
        assert_eq!(stated.notify(), Some(notify("u", 1)));
    }
}
