//! Peers that join and leave very often, which is logged.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::common::Place;
use crate::good::Good;
use crate::{connect, join, listening};

/// The number of members that join and leave as fast as they can.
const JOINS: usize = 5_000;

/// The limit on the log at the end, in bytes. Each join is a line of 20 bytes and more.
const LOG_MAX: usize = 16 * 1024;

/// The number of lines that one place in the program may log at once, and in each later second.
const BURST: usize = 200;

const MEETING: Duration = Duration::from_millis(1500);

#[test]
fn a_flood_of_joins_leaves_a_short_log_with_the_number_of_dropped_lines() {
    let place = Place::new("log");
    let program = place.arete(["controller", "--listen", "127.0.0.1:0"]).env("RUST_LOG", "info");
    let mut controller = program.deadline(Duration::from_secs(120)).start();
    let address = listening(&mut controller);
    let good = Good::start(&address);
    let begin = Instant::now();
    for nr in 0..JOINS {
        let mut stream = connect(&address);
        stream.write_all(join("r", &format!("m{nr}"), &format!("i{nr}")).as_bytes()).expect("it reads");
        // When it answers, it has logged the join.
        let _ = stream.read(&mut [0]).expect("it answers");
    }
    let took = begin.elapsed();
    eprintln!("{JOINS} joins took {took:?}");
    good.go_on(5);
    good.were_undisturbed(MEETING);
    controller.signal(rustix::process::Signal::TERM);
    let log = controller.wait().exits_with(0).stderr;
    assert!(log.len() < LOG_MAX, "the log has {} bytes: {}", log.len(), &log[..2_000]);
    let written = log.lines().filter(|line| line.contains("room r: m")).count();
    // Two more have joined, in another room.
    assert!((BURST - 2..=BURST + took.as_secs() as usize + 2).contains(&written), "{written} lines in {took:?}");
    let left_out = |line: &str| {
        let (before, _) = line.split_once(" more log lines like those before were not written")?;
        before.rsplit(' ').next()?.parse::<usize>().ok()
    };
    let told = log.lines().filter_map(left_out).any(|left_out| (JOINS..=JOINS + 2).contains(&(written + left_out)));
    assert!(told, "{written} lines of {JOINS} are written, without the number of the others: {log}");
}
