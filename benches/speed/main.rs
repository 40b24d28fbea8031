//! How fast triggers, barriers and syncs are: the controller compared with the least that a server can do, and with
//! Redis.
//!
//! `cargo bench` prints a table. Each row is measured in repetitions. In each repetition all servers take turns, so that
//! noise affects all of them, and another one begins. The table has the medians, and the median of the ratios to the
//! limit, each within one repetition. A `!` marks a figure that misses its goal. The bench fails only if it cannot
//! measure. [`rows::ROWS`] lists the rows with their goals.
//!
//! - `barrier of N`: from the last arrival sent to the last release received. All others have arrived and have been
//!   processed before, so this is the fan-out alone. `clients` have joined a room of a bare controller; `slaves` serve a
//!   run. Members confirm their verdicts after that time.
//! - `all at once`: the same, but from the first arrival sent.
//! - `late`: the last member comes after 1.5 seconds. All others must show that they are alive before the release.
//! - `on 100 connections`: slaves of a run arrive for many members each.
//! - `trigger to N`: from the last notify sent to the last `triggered` received, by slaves of a run.
//! - `notify`: the time for one answered notify. The ratio is that of the rates. `32 in flight` means on each of 100
//!   connections.
//! - `sync of N`: from the last value sent to the last map received. Each value has 1 KiB.
//! - `memory a connection`: the resident memory of the server that 10,000 idle connections add, divided by their number.
//! - `arete barrier`, `arete notify`: from the start of the commands, one for each member, to the exit of the last one.
//!   The limit starts `true` as often.
//! - `200 slaves`: from the start of `arete run`, which launches them on this machine, to the first output of an entry.
//!   The limit starts and ends 200 times `true`.
//! - `connections` runs only by its name: 100,000 clients of one controller, or as many as the hard limit on open files
//!   allows. They are idle, then in barriers of 1,000, then in the fan-out of a trigger. It prints the longest turn of the
//!   controller's loop.
//!
//! `CPU` is the processor time of the server for each member, notify or value in all messages of a repetition. Noise moves
//! it least. The columns `arete` and `limit` compare the same work.
//!
//! The *limit* is a single-threaded server of this bench that recognizes a message by two bytes, and writes the bytes that
//! arete would write ([`limit`]). Redis does the same with INCRBY and PUBLISH, and with HSET and HGETALL. The client
//! ([`client`]) is a process for each server. It counts the releases: a missing, early or repeated one is an error.
//!
//! `cargo bench -- WORD...` measures the rows whose names contain one of the words; `--list` lists the names.
//!
//! To count the instructions of an operation, which can be repeated, start the controller under callgrind:
//!
//!     ARETE_BENCH_SERVER="valgrind --tool=callgrind target/release/arete" \
//!         cargo bench --features rustix/use-libc-auxv -- 'barrier of 100'
//!
//! The feature keeps rustix from reading the auxiliary vector that valgrind hides. The measured repetitions alone are
//! counted. Give `--callgrind-out-file=FILE` for a profile.

#![forbid(unsafe_code)]

mod client;
mod limit;
mod local;
mod rows;
mod server;
mod speech;
mod table;

use std::process::ExitCode;

use rows::ROWS;

/// The first argument selects the role of this process. All processes of the bench run this program.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let row = |name| ROWS.iter().find(|row| row.name == name).expect("a row of this program");
    let done = match words.as_slice() {
        ["client", name, subject, address, server] => client::main(row(*name), subject, address, server),
        ["limit", name] => limit::main(row(*name)),
        // `cargo test --benches` builds and starts the bench, but does not want to wait for it.
        _ if !words.contains(&"--bench") => Ok(()),
        _ if words.contains(&"--list") => {
            ROWS.iter().for_each(|row| println!("{}", row.name));
            Ok(())
        }
        _ => table::main(&words.into_iter().filter(|word| !word.starts_with('-')).collect::<Vec<_>>()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("speed: {error}");
            ExitCode::FAILURE
        }
    }
}
