//! Writing the ledger of rooms anew, without what is over and forgotten.
//!
//! It is done in pieces, one in a turn, into a file beside the ledger, so that no turn is long and no copy of all that is
//! known is ever held. Meanwhile the ledger goes on, and each fact that comes stands in both: in the new one behind the
//! pieces that were written before it. What it is about may come in a later piece, which says it as it is then. So the
//! facts of rounds are good in any order, and those of a trigger wait until the trigger itself is there. When all is said
//! the new file takes the ledger's place, in one step: whenever the controller is killed, one of them is whole.

use std::borrow::Cow;

use crate::controller::Controller;
use crate::controller::ledger::Fact;
use crate::controller::rewrite::{PIECE, Rewrite};
use crate::machine::{Outbox, Time};

impl Controller {
    /// Writes a ledger of rooms anew, a piece more.
    pub(in crate::controller) fn rewrite_if_long(&mut self, now: Time, out: &mut Outbox) {
        if !self.ledger.is_open() {
            return;
        }
        if let (Some(keep), Some(header)) = (&self.keep, &self.header)
            && self.ledger.is_long()
            && self.is_rewritten(&self.ledger)
        {
            let facts = [
                Fact::Rewriting,
                Fact::Resumed { boot: Cow::from(&keep.boot), shift: self.shift },
                Fact::LastRound(self.rooms.last_round()),
            ];
            let piece = keep.rewrite_from.map_or(PIECE, |from| PIECE.min(from / 4));
            self.ledger.rewrite(Rewrite::begin(&keep.path, header, now, piece, &facts, out));
        }
        let Some(mut rewrite) = self.ledger.take_rewrite() else { return };
        if rewrite.write_more(now, &self.processes, self.rooms.by_name(), out) {
            let (path, length) = rewrite.finish();
            self.ledger.rewritten(path, length, out);
        } else {
            self.ledger.rewrite(rewrite);
        }
    }
}
