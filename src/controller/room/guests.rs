//! The clients that may enter the room of a run: its slaves, the guests that its test names, and operators of the controller.
//!
//! A member of the room can fire the trigger that ends the run. Therefore a valid certificate is not enough.

use crate::controller::run::run::Run;
use crate::controller::session::authorization::{Stranger, names_in_words};
use crate::machine::Peer;
use crate::wire::room::Join;

/// Checks whether a client that joins may enter the room of this run. `operates`: it is a proven operator, who could
/// end the run anyway. Where peers prove no names, a client is the member that it claims to be, and may look without a
/// name.
pub fn may_enter(run: &Run, peer: &Peer, join: &Join<'_>, operates: bool) -> Result<(), Stranger> {
    if operates || matches!((peer, &join.member), (Peer::Inet(_) | Peer::Local { .. }, None)) {
        return Ok(());
    }
    let (is_invited, who) = match &join.member {
        Some(member) => (run.invites(member), member.to_string()),
        None => {
            let names = peer.names().unwrap_or_default();
            let who = match names {
                [] => "a client without a name".to_owned(),
                names => names_in_words(names),
            };
            (names.iter().any(|name| run.invites(name)), who)
        }
    };
    match is_invited {
        true => Ok(()),
        false => Err(Stranger::Guest { run: run.id.clone(), who }),
    }
}

/// Checks whether this client may notify in the room of this run. A client that joined without a name may only look.
pub fn may_notify(run: &Run, peer: &Peer, member: Option<&str>, operates: bool) -> Result<(), Stranger> {
    if operates || member.is_some() || peer.names().is_some() {
        return Ok(());
    }
    Err(Stranger::Notifier { run: run.id.clone() })
}
