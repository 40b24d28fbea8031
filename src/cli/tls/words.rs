//! Failures of TLS, in words that say what to do next.

use std::fmt::Write;

use rustls::{AlertDescription, CertificateError, Error, InconsistentKeys};

use crate::cli::tls::certificate::{date, wall_clock};

/// The longest text of a peer that a message repeats, in characters.
const SHOWN_MAX: usize = 80;

/// Returns what went wrong, and the next step.
pub fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::NoCertificatesPresented => {
            "it has shown no certificate: it needs --tls DIR, with one of the same authority".to_owned()
        }
        Error::AlertReceived(alert) => received(*alert),
        Error::InvalidMessage(_) => {
            "the other end does not speak TLS: give --tls DIR to both, or to none; if it is no \
                                     arete at all, name the port of a controller as HOST:PORT"
                .to_owned()
        }
        Error::PeerIncompatible(why) => {
            format!(
                "the other end does not speak TLS 1.3 as arete does ({why:?}): see that it is arete that speaks there"
            )
        }
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "key.pem is not the key of cert.pem: both come from one \"arete pki issue\"; a service that was handed its key as \
             a credential gets another when it is restarted"
                .to_owned()
        }
        Error::InconsistentKeys(_) => "key.pem is of a kind that is not known here".to_owned(),
        other => format!("TLS: {}", printable(&other.to_string())),
    }
}

/// Returns what is wrong with the other end's certificate.
fn certificate(error: &CertificateError) -> String {
    use CertificateError as Wrong;
    match error {
        Wrong::ExpiredContext { not_after, .. } => format!(
            "its certificate expired at {}, and this machine's clock says {}: issue it anew with \"arete pki issue\", or \
             set the clock right",
            date(not_after.as_secs() as i64),
            date(wall_clock())
        ),
        Wrong::Expired => "its certificate has expired: issue it anew with \"arete pki issue\"".to_owned(),
        Wrong::NotValidYetContext { not_before, .. } => format!(
            "its certificate is valid from {} on, and this machine's clock says {}: set the clocks right",
            date(not_before.as_secs() as i64),
            date(wall_clock())
        ),
        Wrong::NotValidYet => "its certificate is not valid yet: set the clocks right".to_owned(),
        Wrong::UnknownIssuer | Wrong::BadSignature => "its certificate was signed by another authority than ours: both \
                                                       ends need certificates of one \"arete pki\" directory"
            .to_owned(),
        Wrong::NotValidForNameContext { expected, presented } => {
            let host = printable(&expected.to_str());
            format!(
                "its certificate is for {} and not for {host}: dial it by one of these, or issue it anew with \"arete pki \
                 issue DIR NAME --controller --address {host}\"",
                presented_names(presented)
            )
        }
        Wrong::NotValidForName => "its certificate is not for the address that was dialled: issue it anew with \"arete \
                                   pki issue DIR NAME --controller --address ADDRESS\""
            .to_owned(),
        Wrong::Revoked => "its certificate was revoked, or an authority above it: issue it anew with \"arete pki issue\", if it may come back".to_owned(),
        Wrong::UnknownRevocationStatus => {
            "crl.pem says nothing about the authority that signed its certificate: add that authority's list to it".to_owned()
        }
        Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => {
            "its certificate is not for this role: a controller's is issued with \"arete pki issue DIR NAME --controller\"; \
             elsewhere its extended key usage must be serverAuth for a controller, clientAuth for a slave or a client"
                .to_owned()
        }
        other => format!(
            "its certificate is not good ({}): issue it anew with \"arete pki issue\"",
            printable(&other.to_string())
        ),
    }
}

/// Returns what the other end reports about our certificate.
fn received(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::CertificateExpired => {
            "our certificate has expired or is not valid yet: issue it anew with \"arete pki issue\", or set the clocks right"
        }
        AlertDescription::CertificateRevoked => {
            "our certificate was revoked, or an authority above it: issue it anew with \"arete pki issue\""
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "our certificate was signed by another authority than its own: both ends need certificates of one \"arete pki\" \
             directory"
        }
        AlertDescription::CertificateRequired => "it wants a certificate: give one with --tls DIR",
        AlertDescription::UnsupportedCertificate => {
            "our certificate is not for this role: a controller's is issued with \"arete pki issue DIR NAME --controller\""
        }
        AlertDescription::BadCertificate => {
            "our certificate is not good, or not for the address by which we were dialled: its own message says which; \
             \"arete pki issue DIR NAME --controller --address ADDRESS\" makes one that is for ADDRESS"
        }
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            "it does not speak TLS 1.3 as arete does: see that it is arete that speaks there"
        }
        other => {
            return format!("the other end has refused us (TLS alert {}): its own message says why", u8::from(other));
        }
    };
    format!("the other end has refused us: {why}")
}

/// Returns `DnsName("a")` and `IpAddress(10.0.0.1)` as `a, 10.0.0.1`.
fn presented_names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        printable(inner.trim_matches('"'))
    };
    match presented {
        [] => "nobody".to_owned(),
        some => some.iter().take(8).map(bare).collect::<Vec<_>>().join(", "),
    }
}

/// Returns a text of a peer, shortened and without control characters.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars().take(SHOWN_MAX) {
        match letter {
            ' '..='~' => shown.push(letter),
            _ => {
                let _ = write!(shown, "{}", letter.escape_default());
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_peer_has_written_reaches_a_terminal_raw() {
        let error = CertificateError::NotValidForNameContext {
            expected: "lab".try_into().unwrap(),
            presented: vec!["DnsName(\"a\x1b[2Jb\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()],
        };
        let said = in_words(&Error::InvalidCertificate(error));
        assert!(said.contains("for a\\u{1b}[2Jb, 10.0.0.1 and not for lab"), "{said}");
    }
}
