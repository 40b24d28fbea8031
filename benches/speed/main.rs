//! How fast triggers, barriers and syncs are: the controller compared with a minimal server, and with Redis.
//!
//! One client process for each server holds all connections, and plays the slaves or the members. It measures the time
//! from the last notify, arrival or value until the last answer has been received. All others have been processed
//! before, so this is the fan-out alone. Members confirm their verdicts after that time.
//!
//! The *limit* is a single-threaded server of this bench that counts lines and writes one line to every connection
//! ([`limit`]). Redis, if it is installed, does the same with INCR and PUBLISH, and with HSET and HGETALL. The servers
//! take turns, so that noise affects all of them, and a ratio compares rounds of the same turn. The client counts the
//! releases. A missing, early or repeated one ends the measurement.
//!
//! The ring is not compared with another server, but with the measured figures of the original program.
//!
//! `cargo bench` prints figures, and fails only if it cannot measure. `cargo bench -- --quick` makes fewer rounds.
//! `--only NAME,...` selects servers (limit, arete, redis) and rows (decode, fan, flood, barrier, late, sync, ring).

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

/// The first argument selects the role of this process. All processes of the bench run this program.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["client", rest @ ..] => client::main(rest),
        ["limit", rest @ ..] => limit::main(rest),
        // `cargo test --benches` builds and starts the bench, but does not want to wait for it.
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
