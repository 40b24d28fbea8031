//! Random numbers from the system, for seeds and for names that must be unique or secret.

/// Returns a random number of 64 bits.
pub fn random() -> u64 {
    let mut bytes = [0; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    debug_assert_eq!(filled, Ok(bytes.len()), "the system always gives a few random bytes at once");
    u64::from_ne_bytes(bytes)
}
