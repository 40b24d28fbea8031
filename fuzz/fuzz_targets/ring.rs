#![no_main]

#[path = "../../tests/properties/ring.rs"]
mod ring;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ring::check(bytes));
