#![no_main]

#[allow(dead_code)]
#[path = "../../tests/properties/machines.rs"]
mod machines;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| machines::check_slave(bytes));
