#![no_main]

#[path = "../../tests/properties/testfile.rs"]
mod testfile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| testfile::check(bytes));
