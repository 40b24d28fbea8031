//! The certificates that this machine accepts: an authority in `ca.pem` signed them, and no list in `crl.pem` revokes them.
//!
//! The signature of a list must be verified when the list is read. Otherwise TLS would detect a wrong one only at the next
//! handshake, and then reject every peer.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore, SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::cli::tls::certificate::{Certificate, hex};

/// Why `ca.pem` or `crl.pem` is not valid. Lists are numbered from 1.
#[derive(Debug)]
pub enum TrustError {
    /// `ca.pem` has a certificate that is not of an authority.
    NotAnAuthority(TlsError),
    /// Every authority in `ca.pem` was revoked.
    AllRevoked,
    /// `crl.pem` has only lists of these other authorities.
    OtherLists(String),
    Damaged(usize),
    /// Two lists are of the same authority.
    SameIssuer(usize, usize, String),
    WrongSignature(usize, String),
    /// The key usage of this issuer does not allow lists.
    KeyUsage(usize, String),
}

impl TrustError {
    /// Whether the error is in `crl.pem`, not in `ca.pem`.
    pub fn is_about_lists(&self) -> bool {
        !matches!(self, TrustError::NotAnAuthority(_) | TrustError::AllRevoked)
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrustError::NotAnAuthority(error) => {
                write!(f, "a certificate in it is not valid for an authority: {error}")
            }
            TrustError::AllRevoked => f.write_str("all authorities in it were revoked"),
            TrustError::OtherLists(issuers) => write!(
                f,
                "it has lists of {issuers} only, and of no authority of ca.pem: every peer would be rejected; copy the \
                 crl.pem of that authority"
            ),
            TrustError::Damaged(nr) => write!(f, "list {nr} in it is damaged: copy the file again"),
            TrustError::SameIssuer(one, other, issuer) => {
                write!(f, "lists {one} and {other} are both of {issuer}: remove the older one")
            }
            TrustError::WrongSignature(nr, issuer) => {
                write!(f, "the signature of list {nr} is not that of {issuer}: copy the authority's crl.pem again")
            }
            TrustError::KeyUsage(nr, issuer) => {
                write!(f, "list {nr} is of {issuer}, whose key usage does not allow lists (cRLSign)")
            }
        }
    }
}

impl std::error::Error for TrustError {}

/// Authorities and their revocation lists, verified.
pub struct Trust {
    authorities: Arc<RootCertStore>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    provider: Arc<CryptoProvider>,
    warnings: Vec<String>,
}

impl Trust {
    /// Verifies the content of `ca.pem` (`authorities`), `cert.pem` (`chain`) and `crl.pem` (`lists`).
    pub fn new(
        authorities: Vec<CertificateDer<'static>>,
        chain: &[CertificateDer<'static>],
        lists: Vec<CertificateRevocationListDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Trust, TrustError> {
        let mut warnings = Vec::new();
        let read = read_lists(&lists)?;
        let above = chain.iter().skip(1);
        let known: Vec<Authority<'_>> = (authorities.iter().map(|der| (der, true)))
            .chain(above.map(|der| (der, false)))
            .filter_map(|(der, is_anchor)| {
                Some(Authority { is_anchor, parsed: X509Certificate::from_der(der).ok()?.1 })
            })
            .collect();
        let mut verified = Vec::new();
        for list in &read {
            match list.verify(&known, &provider)? {
                true => verified.push(list),
                false => warnings.push(format!(
                    "list {} is of {}, whose certificate is neither in ca.pem nor in cert.pem: it is verified only when a \
                     peer sends that certificate",
                    list.nr, list.issuer
                )),
            }
        }
        if verified.is_empty() && !read.is_empty() {
            let issuers: Vec<_> = read.iter().map(|list| list.issuer.as_str()).collect();
            return Err(TrustError::OtherLists(issuers.join("; ")));
        }
        let mut store = RootCertStore::empty();
        for (der, authority) in authorities.iter().zip(authorities.iter().map(|der| X509Certificate::from_der(der))) {
            let authority = authority.ok().map(|(_, authority)| authority);
            if let Some(authority) = authority.filter(|authority| verified.iter().any(|list| list.revokes(authority))) {
                // A verifier does not check whether its trust anchors were revoked.
                warnings.push(format!("{} in ca.pem was revoked: it is not trusted", authority.subject()));
                continue;
            }
            store.add(der.clone()).map_err(TrustError::NotAnAuthority)?;
        }
        if store.is_empty() {
            return Err(TrustError::AllRevoked);
        }
        drop(read);
        Ok(Trust { authorities: Arc::new(store), lists, provider, warnings })
    }

    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the verifier for the certificates of peers that connect.
    pub fn of_clients(&self) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
        let verifier = |whole: bool| {
            let builder = WebPkiClientVerifier::builder_with_provider(self.authorities.clone(), self.provider.clone())
                .with_crls(self.lists.iter().cloned());
            match whole {
                true => builder.allow_unknown_revocation_status().build(),
                false => builder.only_check_end_entity_revocation().build(),
            }
        };
        Ok(Arc::new(WholeChain { own: verifier(false)?, whole: verifier(true)? }))
    }

    /// Returns the verifier for the certificates of controllers, which must have that role.
    pub fn of_controllers(&self) -> Result<Arc<dyn ServerCertVerifier>, VerifierBuilderError> {
        let verifier = |whole: bool| {
            let builder = WebPkiServerVerifier::builder_with_provider(self.authorities.clone(), self.provider.clone())
                .with_crls(self.lists.iter().cloned());
            match whole {
                true => builder.allow_unknown_revocation_status().build(),
                false => builder.only_check_end_entity_revocation().build(),
            }
        };
        Ok(Arc::new(ControllersOnly { chain: WholeChain { own: verifier(false)?, whole: verifier(true)? } }))
    }
}

/// The certificate of an authority.
struct Authority<'a> {
    /// It is in `ca.pem`, so it is trusted.
    is_anchor: bool,
    parsed: X509Certificate<'a>,
}

/// A revocation list, and the authority that it names.
struct List<'a> {
    /// The number in the file, from 1.
    nr: usize,
    der: &'a [u8],
    issuer: String,
    parsed: CertificateRevocationList<'a>,
}

/// Reads the lists. Fails if two are of one authority, because only one of them would be used.
fn read_lists<'a>(lists: &'a [CertificateRevocationListDer<'static>]) -> Result<Vec<List<'a>>, TrustError> {
    let mut read: Vec<List<'a>> = Vec::new();
    for (ix, der) in lists.iter().enumerate() {
        let (nr, der) = (ix + 1, der.as_ref());
        let (_, parsed) = CertificateRevocationList::from_der(der).map_err(|_| TrustError::Damaged(nr))?;
        let list = List { nr, der, issuer: parsed.issuer().to_string(), parsed };
        if let Some(other) = read.iter().find(|other| other.replaces(&list)) {
            return Err(TrustError::SameIssuer(other.nr, nr, list.issuer));
        }
        read.push(list);
    }
    Ok(read)
}

impl List<'_> {
    /// Whether both lists are of the same authority, for all its certificates.
    fn replaces(&self, other: &List<'_>) -> bool {
        let is_part = |list: &List<'_>| {
            let mut extensions = list.parsed.extensions().iter();
            extensions.any(|it| matches!(it.parsed_extension(), ParsedExtension::IssuingDistributionPoint(_)))
        };
        self.parsed.issuer().as_raw() == other.parsed.issuer().as_raw() && !is_part(self) && !is_part(other)
    }

    /// Whether a known authority has signed the list. Fails if the authority is known and the signature is wrong.
    fn verify(&self, known: &[Authority<'_>], provider: &CryptoProvider) -> Result<bool, TrustError> {
        let issuer = self.parsed.issuer().as_raw();
        let candidates: Vec<_> = known.iter().filter(|it| it.parsed.subject().as_raw() == issuer).collect();
        if candidates.is_empty() {
            return Ok(false);
        }
        let signed = |it: &&&Authority<'_>| is_signed(self.der, it.parsed.public_key().raw, provider).unwrap_or(false);
        let Some(signer) = candidates.iter().find(signed) else {
            return Err(TrustError::WrongSignature(self.nr, self.issuer.clone()));
        };
        let usage = signer.parsed.key_usage().ok().flatten();
        if !signer.is_anchor && usage.is_some_and(|usage| !usage.value.crl_sign()) {
            return Err(TrustError::KeyUsage(self.nr, self.issuer.clone()));
        }
        Ok(true)
    }

    /// Whether this list revokes the certificate of an authority.
    fn revokes(&self, authority: &X509Certificate<'_>) -> bool {
        let serial = hex(authority.raw_serial());
        let mut entries = self.parsed.iter_revoked_certificates();
        authority.issuer().as_raw() == self.parsed.issuer().as_raw()
            && entries.any(|entry| hex(entry.raw_serial()) == serial)
    }
}

/// Whether the key of this `SubjectPublicKeyInfo` has signed this list, with an algorithm of the handshake. Returns `None` if
/// one of them is not DER.
fn is_signed(list: &[u8], key: &[u8], provider: &CryptoProvider) -> Option<bool> {
    let (list, _) = element(list)?;
    let (message, rest) = element(list.inside)?;
    let (algorithm, rest) = element(rest)?;
    let (signature, _) = element(rest)?;
    let (key, _) = element(key)?;
    let (key_algorithm, rest) = element(key.inside)?;
    let (key, _) = element(rest)?;
    // The first byte of a bit string is the number of unused bits at its end.
    let (signature, key) = (signature.inside.get(1..)?, key.inside.get(1..)?);
    Some(provider.signature_verification_algorithms.all.iter().any(|known| {
        known.signature_alg_id().as_ref() == algorithm.inside
            && known.public_key_alg_id().as_ref() == key_algorithm.inside
            && known.verify_signature(key, message.whole, signature).is_ok()
    }))
}

/// An element of DER.
struct Element<'a> {
    /// With its header.
    whole: &'a [u8],
    /// The content.
    inside: &'a [u8],
}

/// Splits off the first element. Returns `None` if the bytes are not a whole element.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let first = usize::from(*bytes.get(1)?);
    let (length, head) = match first {
        0..=0x7f => (first, 2),
        0x81..=0x84 => {
            let head = 2 + (first & 0x7f);
            (bytes.get(2..head)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), head)
        }
        _ => return None,
    };
    let end = head.checked_add(length)?;
    Some((Element { whole: bytes.get(..end)?, inside: bytes.get(head..end)? }, bytes.get(end..)?))
}

/// Two verifiers that must both accept a certificate. The first requires a list of the authority that signed it. The second
/// also checks the authorities above, whose lists may be missing, because many authorities have none.
#[derive(Debug)]
struct WholeChain<V: ?Sized> {
    own: Arc<V>,
    whole: Arc<V>,
}

/// Defines the methods about signatures, which both verifier traits have. They call the same method of a field of `self`.
macro_rules! delegate_signatures {
    ($($field:ident).+) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, TlsError> {
            self.$($field).+.verify_tls12_signature(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, TlsError> {
            self.$($field).+.verify_tls13_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$($field).+.supported_verify_schemes()
        }
    };
}

impl ClientCertVerifier for WholeChain<dyn ClientCertVerifier> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.own.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        self.own.verify_client_cert(end_entity, intermediates, now)?;
        self.whole.verify_client_cert(end_entity, intermediates, now)
    }

    delegate_signatures!(own);
}

/// Rejects certificates without the role of a server, such as a stolen certificate of a slave.
#[derive(Debug)]
struct ControllersOnly {
    chain: WholeChain<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ControllersOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let WholeChain { own, whole } = &self.chain;
        own.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let verified = whole.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        match Certificate::read(end_entity) {
            Ok(certificate) if certificate.is_controllers => Ok(verified),
            _ => Err(TlsError::InvalidCertificate(CertificateError::InvalidPurpose)),
        }
    }

    delegate_signatures!(chain.own);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_ends_at_its_length_and_an_incomplete_one_is_refused() {
        let (first, rest) = element(&[0x30, 2, 7, 8, 9]).unwrap();
        assert_eq!((first.whole, first.inside, rest), (&[0x30, 2, 7, 8][..], &[7, 8][..], &[9][..]));
        let long = [&[0x30, 0x82, 1, 0][..], &[5; 256]].concat();
        assert_eq!(element(&long).unwrap().0.inside, &[5; 256]);
        for cut in [
            &[][..],
            &[0x30],
            &[0x30, 2, 7],
            &[0x30, 0x82, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(element(cut).is_none(), "{cut:?}");
        }
    }
}
