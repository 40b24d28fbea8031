//! Seals: with a shared key every message carries an HMAC-SHA256 (RFC 2104) of all bytes before it.
//!
//! The seal is the last key of the message's object, because then it covers the bytes that were sent, not what a parser
//! made of them. A seal does not show that a message is new: `nodes.rs` refuses replays.

use std::fmt::{self, Write};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The bytes before the seal.
const BEFORE: &[u8] = b",\"seal\":\"";

/// The bytes after the seal.
const BEHIND: &[u8] = b"\"}";

/// The length of a seal in hexadecimal digits.
const DIGITS: usize = 64;

/// The secret that all nodes of a ring share. It is never printed.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// Returns the key that consists of these bytes, as many as there are.
    pub fn new(secret: Vec<u8>) -> Key {
        Key(secret)
    }

    fn mac(&self, covered: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length will do");
        mac.update(covered);
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Why a message is not sealed with our key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// The message has no seal.
    Missing,
    /// The seal is not a number in hexadecimal digits.
    Malformed,
    /// The seal was made with another key, or the message was changed.
    OtherKey,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SealError::Missing => "it has no seal",
            SealError::Malformed => "its seal is not a number",
            SealError::OtherKey => "its seal was not made with our key",
        })
    }
}

impl std::error::Error for SealError {}

/// Returns the object, which ends with `}`, with its seal.
pub fn seal(key: &Key, mut object: Vec<u8>) -> Vec<u8> {
    debug_assert_eq!(object.last(), Some(&b'}'));
    object.pop();
    let seal = key.mac(&object).finalize().into_bytes();
    object.extend_from_slice(BEFORE);
    let digits = seal.iter().fold(String::with_capacity(DIGITS), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    object.extend_from_slice(digits.as_bytes());
    object.extend_from_slice(BEHIND);
    object
}

/// Whether an object looks sealed, with any key.
pub fn is_sealed(object: &[u8]) -> bool {
    let before = object.len().checked_sub(BEFORE.len() + DIGITS + BEHIND.len()).map(|at| &object[at..]);
    before.is_some_and(|rest| rest.starts_with(BEFORE) && rest.ends_with(BEHIND))
}

/// Checks the seal of an object. Fails if the object is not sealed with this key.
pub fn open(key: &Key, object: &[u8]) -> Result<(), SealError> {
    let covered = object.len().checked_sub(BEFORE.len() + DIGITS + BEHIND.len());
    let (covered, rest) = covered.map(|at| object.split_at(at)).ok_or(SealError::Missing)?;
    let digits = rest.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(BEHIND)).ok_or(SealError::Missing)?;
    let digits = std::str::from_utf8(digits).map_err(|_| SealError::Malformed)?;
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let seal: Option<Vec<u8>> = (0..DIGITS).step_by(2).map(byte).collect();
    let seal = seal.ok_or(SealError::Malformed)?;
    key.mac(covered).verify_slice(&seal).map_err(|_| SealError::OtherKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_covers_every_byte_before_it() {
        let key = Key::new(b"secret".to_vec());
        let sealed = seal(&key, br#"{"a":1}"#.to_vec());
        assert_eq!(open(&key, &sealed), Ok(()));
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert!(open(&key, &other).is_err(), "byte {at}");
        }
        assert!(open(&Key::new(b"another".to_vec()), &sealed).is_err());
        assert!(open(&key, br#"{"a":1}"#).is_err() && open(&key, b"").is_err());
        assert!(is_sealed(&sealed) && !is_sealed(br#"{"a":1}"#) && !is_sealed(b""));
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", Key::new(b"secret".to_vec())), "Key");
    }
}
