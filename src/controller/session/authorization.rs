//! What a peer must have proven before it may act under a name.
//!
//! With TLS, the reactor verifies the names in a peer's certificate, and the peer acts only under those. A run that
//! starts its slaves itself admits the peers that know its secret. Otherwise every peer is believed, because the person
//! who started the controller has allowed that.

use std::hint::black_box;

use crate::machine::Peer;
use crate::wire::room::Join;

/// The reason for a slave that connects to a controller without runs.
pub const NO_RUN: &str =
    "this controller has no run; it serves rooms alone: \"arete controller --state-dir DIR\" takes tests";

/// Checks whether a peer may act for a host: the name of a slave, or of a member without its tag.
pub fn may_act_for(peer: &Peer, name: &str) -> Result<(), String> {
    let Some(proven) = peer.names() else { return Ok(()) };
    let host = name.split_once('#').map_or(name, |(host, _)| host);
    if proven.iter().any(|own| **own == *host) {
        return Ok(());
    }
    let own = whose(proven);
    Err(format!(
        "the certificate is for {own} and not for {host:?}: use that name, or a certificate that \"arete pki issue DIR \
         NAME\" makes for this one"
    ))
}

/// How many names of a certificate a message shows.
const NAMES_SHOWN: usize = 8;

/// Returns the names that a certificate proves, for a message.
pub fn whose(proven: &[Box<str>]) -> String {
    match proven {
        [] => "no name (it has no host name or address in its subject alternative name)".to_owned(),
        some => some.iter().take(NAMES_SHOWN).map(|name| &**name).collect::<Vec<_>>().join(", "),
    }
}

/// Checks the secret that only the slaves of this run have received.
pub fn knows(secret: Option<&str>, said: Option<&str>) -> Result<(), String> {
    match secret {
        Some(secret) if !same(secret.as_bytes(), said.unwrap_or_default().as_bytes()) => Err(NOT_OURS.to_owned()),
        _ => Ok(()),
    }
}

/// Checks whether a client may join. Clients have no secret, but may prove their names.
pub fn may_join(peer: &Peer, secret: Option<&str>, join: &Join<'_>) -> Result<(), String> {
    knows(secret, None)?;
    join.member.as_deref().map_or(Ok(()), |member| may_act_for(peer, member))
}

const NOT_OURS: &str = "this run has started its slaves itself, and admits no other peer";

/// Compares in constant time, so that the duration does not reveal a correct prefix.
fn same(secret: &[u8], said: &[u8]) -> bool {
    let differ = |differ: u8, (one, other): (&u8, &u8)| black_box(differ | (one ^ other));
    secret.len() == said.len() && secret.iter().zip(said).fold(0, differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven(names: &[&str]) -> Peer {
        let names: Vec<Box<str>> = names.iter().map(|name| Box::from(*name)).collect();
        Peer::Proven { address: ([10, 0, 0, 1], 5).into(), names: names.into() }
    }

    #[test]
    fn a_certificate_is_good_for_its_own_names_alone() {
        let peer = proven(&["node1", "10.0.0.1"]);
        for own in ["node1", "node1#a", "10.0.0.1", "10.0.0.1#x"] {
            assert_eq!(may_act_for(&peer, own), Ok(()), "{own}");
        }
        for other in ["node", "node11", "node2#node1", "", "#node1", "NODE1", "10.0.0.11"] {
            let refused = may_act_for(&peer, other).expect_err(other);
            assert!(refused.contains("for node1, 10.0.0.1 and not for "), "{refused}");
        }
        assert!(may_act_for(&proven(&[]), "node1").unwrap_err().contains("for no name"));
    }

    #[test]
    fn where_nobody_proves_anything_everybody_is_believed() {
        assert_eq!(may_act_for(&Peer::Inet(([127, 0, 0, 1], 5).into()), "anybody"), Ok(()));
    }

    #[test]
    fn a_run_with_a_secret_takes_those_who_know_it() {
        assert_eq!(knows(None, None), Ok(()));
        assert_eq!(knows(None, Some("x")), Ok(()));
        assert_eq!(knows(Some("s3"), Some("s3")), Ok(()));
        for wrong in [None, Some(""), Some("s"), Some("s4"), Some("s33"), Some("S3")] {
            assert!(knows(Some("s3"), wrong).is_err(), "{wrong:?}");
        }
    }
}
