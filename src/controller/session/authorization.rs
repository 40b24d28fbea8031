//! The proofs that a peer needs before it may act under a name.
//!
//! With TLS, the reactor verifies the names in a peer's certificate, and the peer acts only under those. A run that
//! starts its slaves itself admits the peers that know its secret. Otherwise every peer is believed, because the person
//! who started the controller has allowed that.

use std::fmt;
use std::hint::black_box;

use crate::machine::Peer;
use crate::wire::room::Join;

/// The reason for a slave that connects to a controller without runs.
pub const NO_RUN: &str =
    "this controller has no run; it serves rooms alone: \"arete controller --state-dir DIR\" takes tests";

/// A claim that a peer has not proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stranger {
    /// That it is this host: its certificate is for other names.
    Certificate {
        /// The names of its certificate.
        names: String,
        /// The host that it claims to be.
        host: String,
    },
    /// That the run has started it: it does not know the secret.
    Secret,
    /// That it may enter the room of this run.
    Guest {
        /// The id of the run.
        run: String,
        /// The peer, for a message.
        who: String,
    },
    /// That it may notify in the room of this run.
    Notifier {
        /// The id of the run.
        run: String,
    },
    /// That it may operate the controller, as this user of the machine.
    User {
        /// The user's number.
        uid: u32,
    },
    /// That it may operate the controller: its certificate is for other names.
    Operator {
        /// The names of its certificate.
        names: String,
    },
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stranger::Certificate { names, host } => write!(
                f,
                "the certificate is for {names} and not for {host:?}: use that name, or a certificate that \"arete pki \
                 issue DIR NAME\" makes for this one"
            ),
            Stranger::Secret => f.write_str("this run has started its slaves itself, and admits no other peer"),
            Stranger::Guest { run, who } => write!(
                f,
                "the room of run {run} is for its slaves and its guests, and {who} is neither: name it in \"guests\" of \
                 the test, or meet in another room"
            ),
            Stranger::Notifier { run } => write!(
                f,
                "run {run} accepts notifies only from its slaves and its guests: say who you are with --as NAME, a slave \
                 or one of \"guests\" in the test"
            ),
            Stranger::User { uid } => write!(f, "user {uid} may not operate this controller here"),
            Stranger::Operator { names } => write!(
                f,
                "the certificate is for {names}, which may not operate this controller: its option --operators lists who \
                 may"
            ),
        }
    }
}

impl std::error::Error for Stranger {}

/// Checks whether a peer may act for a host: the name of a slave, or of a member without its tag.
pub fn may_act_for(peer: &Peer, name: &str) -> Result<(), Stranger> {
    let Some(proven) = peer.names() else { return Ok(()) };
    let host = name.split_once('#').map_or(name, |(host, _)| host);
    if proven.iter().any(|own| **own == *host) {
        return Ok(());
    }
    Err(Stranger::Certificate { names: names_in_words(proven), host: host.to_owned() })
}

/// How many names of a certificate a message shows.
const NAMES_SHOWN: usize = 8;

/// Returns the names that a certificate proves, for a message.
pub fn names_in_words(proven: &[Box<str>]) -> String {
    match proven {
        [] => "no name (it has no host name or address in its subject alternative name)".to_owned(),
        some => some.iter().take(NAMES_SHOWN).map(|name| &**name).collect::<Vec<_>>().join(", "),
    }
}

/// Checks the secret that only the slaves of this run have received.
pub fn check_secret(secret: Option<&str>, said: Option<&str>) -> Result<(), Stranger> {
    match secret {
        Some(secret) if !same(secret.as_bytes(), said.unwrap_or_default().as_bytes()) => Err(Stranger::Secret),
        _ => Ok(()),
    }
}

/// Checks whether a client may join. Clients have no secret, but may prove their names.
pub fn may_join(peer: &Peer, secret: Option<&str>, join: &Join<'_>) -> Result<(), Stranger> {
    check_secret(secret, None)?;
    join.member.as_deref().map_or(Ok(()), |member| may_act_for(peer, member))
}

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
        Peer::proven(([10, 0, 0, 1], 5).into(), names)
    }

    #[test]
    fn a_certificate_is_valid_only_for_its_own_names() {
        let peer = proven(&["node1", "10.0.0.1"]);
        for own in ["node1", "node1#a", "10.0.0.1", "10.0.0.1#x"] {
            assert_eq!(may_act_for(&peer, own), Ok(()), "{own}");
        }
        for other in ["node", "node11", "node2#node1", "", "#node1", "NODE1", "10.0.0.11"] {
            let refused = may_act_for(&peer, other).expect_err(other).to_string();
            assert!(refused.contains("for node1, 10.0.0.1 and not for "), "{refused}");
        }
        assert!(may_act_for(&proven(&[]), "node1").unwrap_err().to_string().contains("for no name"));
    }

    #[test]
    fn without_proofs_every_peer_is_believed() {
        assert_eq!(may_act_for(&Peer::Inet(([127, 0, 0, 1], 5).into()), "anybody"), Ok(()));
    }

    #[test]
    fn a_run_with_a_secret_admits_only_peers_that_know_it() {
        assert_eq!(check_secret(None, None), Ok(()));
        assert_eq!(check_secret(None, Some("x")), Ok(()));
        assert_eq!(check_secret(Some("s3"), Some("s3")), Ok(()));
        for wrong in [None, Some(""), Some("s"), Some("s4"), Some("s33"), Some("S3")] {
            assert!(check_secret(Some("s3"), wrong).is_err(), "{wrong:?}");
        }
    }
}
