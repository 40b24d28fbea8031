//! The content of a certificate: its names, its roles and its validity.

use std::net::IpAddr;

use arete::session;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::nom::Err::{Error as Broken, Failure, Incomplete};
use x509_parser::prelude::FromDer;

/// The most names of a certificate that are read.
const NAMES_MAX: usize = 256;

/// The parts of a certificate that arete reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The names and addresses in its subject alternative name that are valid for a host.
    pub names: Vec<Box<str>>,
    /// Its extended key usage allows servers. A controller needs this; without an extended key usage it is not set.
    pub is_controllers: bool,
    /// Its extended key usage allows clients. Every other machine needs this; without an extended key usage it is set.
    pub is_machines: bool,
    /// In hexadecimal digits.
    pub serial: String,
    /// In seconds since 1970.
    pub from: i64,
    pub until: i64,
}

impl Certificate {
    pub fn read(der: &[u8]) -> Result<Certificate, X509Error> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| match error {
            Incomplete(_) => X509Error::InvalidCertificate,
            Broken(error) | Failure(error) => error,
        })?;
        let usage = parsed.extended_key_usage()?;
        Ok(Certificate {
            names: names(&parsed),
            is_controllers: usage.as_ref().is_some_and(|usage| usage.value.server_auth),
            is_machines: usage.as_ref().is_none_or(|usage| usage.value.client_auth || usage.value.any),
            serial: hex(parsed.raw_serial()),
            from: parsed.validity().not_before.timestamp(),
            until: parsed.validity().not_after.timestamp(),
        })
    }
}

/// Returns the names that a verified certificate proves.
pub fn proven_names(der: &CertificateDer<'_>) -> Vec<Box<str>> {
    Certificate::read(der).map(|certificate| certificate.names).unwrap_or_default()
}

fn names(parsed: &X509Certificate<'_>) -> Vec<Box<str>> {
    let Ok(Some(alternative)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |general: &GeneralName<'_>| match general {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|ip| ip.to_string()),
        _ => None,
    };
    let names = alternative.value.general_names.iter().filter_map(name);
    // A name that is not valid for a host, such as a wildcard, proves nothing.
    names.filter(|name| session::is_host(name)).map(Box::from).take(NAMES_MAX).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Returns a serial number in hexadecimal digits, without the leading zero that makes it positive.
pub fn hex(serial: &[u8]) -> String {
    let from = serial.iter().position(|byte| *byte != 0).unwrap_or(serial.len());
    serial[from..].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a time of a certificate, for people.
pub fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "never".to_owned(), |time| time.to_string())
}

/// Returns the seconds since 1970 by this machine's clock.
pub fn wall_clock() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_written_the_same_with_and_without_its_sign_byte() {
        assert_eq!(hex(&[0, 0x8f, 0]), "8f00");
        assert_eq!(hex(&[0x0f]), "0f");
        assert_eq!(hex(&[0]), "");
    }

    #[test]
    fn data_that_is_not_a_certificate_proves_nothing() {
        assert!(Certificate::read(b"garbage").is_err());
        assert!(proven_names(&CertificateDer::from(vec![0x30, 0x82, 0xff, 0xff])).is_empty());
    }
}
