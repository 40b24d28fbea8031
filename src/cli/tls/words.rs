//! Messages about TLS errors, with the next step.

use std::fmt::Write;

use rustls::{AlertDescription, CertificateError, Error, InconsistentKeys};

use crate::cli::tls::certificate::{date, wall_clock};

/// The longest text of a peer in a message, in characters.
const SHOWN_MAX: usize = 80;

/// Returns the message about an error of TLS.
pub fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::NoCertificatesPresented => {
            "it has shown no certificate: it needs --tls DIR, with a certificate of the same authority".to_owned()
        }
        Error::AlertReceived(alert) => received(*alert),
        Error::InvalidMessage(_) => {
            "the other end does not speak TLS: give --tls DIR to both ends, or to neither; if it is not arete, write the port \
             of a controller as HOST:PORT"
                .to_owned()
        }
        Error::PeerIncompatible(why) => {
            format!(
                "the other end does not speak TLS 1.3 as arete does ({why:?}): make sure that it is arete"
            )
        }
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "key.pem is not the key of cert.pem: both must be from the same \"arete pki issue\"; a service with its key in a \
             credential needs a restart for a new key"
                .to_owned()
        }
        Error::InconsistentKeys(_) => "key.pem has a key of an unknown kind".to_owned(),
        other => format!("TLS: {}", printable(&other.to_string())),
    }
}

/// Returns the message about the certificate of the other end.
fn certificate(error: &CertificateError) -> String {
    use CertificateError as Kind;
    match error {
        Kind::ExpiredContext { not_after, .. } => format!(
            "its certificate expired at {}, and the clock of this machine is at {}: issue a new one with \"arete pki \
             issue\", or set the clock",
            date(not_after.as_secs() as i64),
            date(wall_clock())
        ),
        Kind::Expired => "its certificate has expired: issue a new one with \"arete pki issue\"".to_owned(),
        Kind::NotValidYetContext { not_before, .. } => format!(
            "its certificate is valid from {}, and the clock of this machine is at {}: set the clocks",
            date(not_before.as_secs() as i64),
            date(wall_clock())
        ),
        Kind::NotValidYet => "its certificate is not valid yet: set the clocks".to_owned(),
        Kind::UnknownIssuer | Kind::BadSignature => "its certificate was signed by another authority than ours: both \
                                                       ends need certificates of the same \"arete pki\" directory"
            .to_owned(),
        Kind::NotValidForNameContext { expected, presented } => {
            let host = printable(&expected.to_str());
            format!(
                "its certificate is for {} and not for {host}: connect to one of these, or issue a new one with \"arete pki \
                 issue DIR NAME --controller --address {host}\"",
                presented_names(presented)
            )
        }
        Kind::NotValidForName => "its certificate is not for this address: issue a new one with \"arete \
                                   pki issue DIR NAME --controller --address ADDRESS\""
            .to_owned(),
        Kind::Revoked => "its certificate was revoked, or an authority above it: if it may connect, issue a new one with \"arete pki issue\"".to_owned(),
        Kind::UnknownRevocationStatus => {
            "crl.pem has no list of the authority that signed its certificate: add the list of that authority".to_owned()
        }
        Kind::InvalidPurpose | Kind::InvalidPurposeContext { .. } => {
            "its certificate is not for this role: issue one for a controller with \"arete pki issue DIR NAME --controller\"; \
             other authorities must set the extended key usage serverAuth for a controller, and clientAuth for a slave or a \
             client"
                .to_owned()
        }
        other => format!(
            "its certificate is not valid ({}): issue a new one with \"arete pki issue\"",
            printable(&other.to_string())
        ),
    }
}

/// Returns the message about an alert that the other end sent.
fn received(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::CertificateExpired => {
            "our certificate has expired or is not valid yet: issue a new one with \"arete pki issue\", or set the clocks"
        }
        AlertDescription::CertificateRevoked => {
            "our certificate was revoked, or an authority above it: issue a new one with \"arete pki issue\""
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "our certificate was signed by another authority than its own: both ends need certificates of the same \"arete pki\" \
             directory"
        }
        AlertDescription::CertificateRequired => "it requires a certificate: use --tls DIR",
        AlertDescription::UnsupportedCertificate => {
            "our certificate is not for this role: issue one for a controller with \"arete pki issue DIR NAME --controller\""
        }
        AlertDescription::BadCertificate => {
            "our certificate is not valid, or not for the address to which it connected: see its log; \"arete pki issue DIR \
             NAME --controller --address ADDRESS\" issues one for ADDRESS"
        }
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            "it does not speak TLS 1.3 as arete does: make sure that it is arete"
        }
        other => {
            return format!("the other end has refused us (TLS alert {}): see its log", u8::from(other));
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
        [] => "no host".to_owned(),
        names => names.iter().take(8).map(bare).collect::<Vec<_>>().join(", "),
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
    fn a_text_of_a_peer_in_a_message_has_no_control_characters() {
        let error = CertificateError::NotValidForNameContext {
            expected: "lab".try_into().unwrap(),
            presented: vec!["DnsName(\"a\x1b[2Jb\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()],
        };
        let message = in_words(&Error::InvalidCertificate(error));
        assert!(message.contains("for a\\u{1b}[2Jb, 10.0.0.1 and not for lab"), "{message}");
    }
}
