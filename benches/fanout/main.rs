//! How fast a trigger reaches many slaves: the controller beside a minimal server that does nothing else, and Redis.
//!
//! One client process a server holds all its connections, plays the slaves, and takes the time from the moment it
//! sends the last notify to the moment it has received the last `triggered`. The notifies before the last one have
//! been answered by then, so this is the fan-out alone. The *limit* is a single-threaded server of this bench that
//! counts lines and writes one line to every connection ([`limit`]). Redis, where it is installed, does the same with
//! one PUBLISH to subscribers. Rounds go from server to server in turn, so that noise hits all alike.
//!
//! `cargo bench` prints figures, and fails only when it cannot measure. `cargo bench -- --quick` takes fewer rounds,
//! `--only SERVER,...` leaves the other servers out.

mod client;
mod decode;
mod limit;
mod plan;
mod report;
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
            eprintln!("fanout: {}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}
