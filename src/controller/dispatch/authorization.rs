//! What a peer must have proven before it may act under a name.
//!
//! Where TLS is spoken, the reactor vouches for the names of a peer's certificate, and it acts under those alone. A run
//! that has started its slaves itself lets in whoever knows what it has told them. Anywhere else everybody is believed:
//! whoever lets a controller listen there has said so.

use crate::controller::Controller;
use crate::controller::reply::refusal;
use crate::controller::session::authorization::NO_RUN;
use crate::wire::{Bye, Code, ToController};

/// What a stranger is told who begins with anything else.
const FIRST_MESSAGE: &str = "the first message must be a hello, a join or an operate";

impl Controller {
    /// What a stranger is told who begins otherwise; with a bye begins who only looks whether slaves may come here.
    pub(in crate::controller) fn begins_otherwise(&self, message: &ToController<'_>) -> Bye<'static> {
        let takes_none = self.host.is_none() && self.runs.values().next().is_none();
        let looks = matches!(message, ToController::Bye(_));
        match looks && takes_none {
            true => refusal(Code::NoRun, NO_RUN.to_owned()),
            false => refusal(Code::FirstMessage, FIRST_MESSAGE.to_owned()),
        }
    }
}
