#![no_main]

#[allow(dead_code)]
#[path = "../../tests/properties/machines.rs"]
mod machines;

// The first byte says which controller.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| match bytes {
    [which, script @ ..] if which % 4 == 0 => machines::check_rooms(script),
    [which, script @ ..] if which % 4 == 3 => machines::check_host(script),
    [which, script @ ..] => machines::check_run(script, which % 4 == 1),
    [] => {}
});
