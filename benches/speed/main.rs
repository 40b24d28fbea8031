//! How fast triggers, barriers and syncs are: the controller beside a minimal server that does nothing else, and Redis.
//!
//! One client process a server holds all its connections, plays the slaves or the members, and takes the time from the
//! moment it sends the last notify, arrival or value to the moment it has received the last answer to it. All before
//! the last one have been taken by then, so this is the fan-out alone. That the verdicts were heard is said after that
//! time. The *limit* is a single-threaded server of this bench that counts lines and writes one line to every
//! connection ([`limit`]). Redis, where it is installed, does the same with INCR and PUBLISH to subscribers, and HSET
//! and HGETALL. Rounds go from server to server in turn, so that noise hits all alike, and ratios are of the rounds of
//! one turn. The client counts what it hears; a release that is missing, early or doubled ends the measurement.
//!
//! The ring has no other server beside it: its figures stand beside those that the original program was measured to have.
//!
//! `cargo bench` prints figures, and fails only when it cannot measure. `cargo bench -- --quick` takes fewer rounds,
//! `--only NAME,...` leaves out the other servers (limit, arete, redis) and the other rows (decode, fan, flood,
//! barrier, late, sync, ring).

#![forbid(unsafe_code)]

mod client;
mod decode;
mod limit;
mod plan;
mod report;
mod ring;
mod server;
mod speech;

use std::process::ExitCode;

/// What this process is asked for; the parts of the bench are processes of this same program.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["client", rest @ ..] => client::main(rest),
        ["limit", rest @ ..] => limit::main(rest),
        // `cargo test --benches` builds and starts it, but does not want to wait for it.
        _ if !words.contains(&"--bench") => return ExitCode::SUCCESS,
        _ => plan::main(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("speed: {}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}
