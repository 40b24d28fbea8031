//! Clients that use all the memory that a controller has for its members, and leave. Also across a restart of the
//! controller.

use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use crate::common::Place;
use crate::good::Good;
use crate::{connect, controller, ends_well, join, memory};

/// The memory that the controller may use for its members, as its option, and in KiB.
const MEMORY: &str = "32MiB";
const MEMORY_KIB: u64 = 32 * 1024;

/// The memory that it may use in addition, in KiB: its own, lines that it reads, and a ledger while it is read.
const OVERHEAD_KIB: u64 = 48 * 1024;

/// The number of clients one after the other, and of the arrivals of each.
const CLIENTS: usize = 12;
const ARRIVALS: usize = 40;

/// A party of the greatest size, and the longest timeout of a member: 30 days, in microseconds.
const NAMES: usize = 10_000;
const PATIENCE: u64 = 30 * 24 * 3600 * 1_000_000;

const MEETING: Duration = Duration::from_millis(1500);
const TURN: Duration = Duration::from_millis(700);

/// The time until there is memory again: a client that has left is lost after 5 s.
const FREED_WITHIN: Duration = Duration::from_secs(10);

/// Makes `arrivals` arrivals, each with a party of its own, and leaves after all answers. Returns how many were
/// refused.
fn wants_all(address: &str, member: &str, arrivals: usize) -> usize {
    let stream = connect(address);
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let say = |line: &str| (&stream).write_all(line.as_bytes()).expect("the controller reads");
    say(&join("r", member, member));
    let names: Vec<String> = (1..NAMES).map(|nr| format!("\"n{nr}\"")).collect();
    for id in 1..=arrivals {
        let who = format!(r#""room":"r","barrier":"{member}-{id}","id":{id},"member":"{member}","timeout":{PATIENCE}"#);
        let party = format!(r#"{{"members":["{member}",{}]}}"#, names.join(","));
        say(&format!("{{\"type\":\"arrive\",{who},\"party\":{party}}}\n"));
    }
    let mut refused = 0;
    // The answers to the last arrivals may come after the first pong, and always come before the second.
    for _ in 0..2 {
        say("{\"type\":\"ping\",\"time\":77}\n");
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("the controller answers");
            assert!(!line.is_empty(), "{member} was hung up on");
            if line.contains("\"refused\"") {
                assert!(line.contains("--memory-max"), "{line}");
                refused += 1;
            }
            if line.starts_with("{\"type\":\"pong\"") {
                break;
            }
        }
    }
    refused
}

/// Waits until another member has memory for a party of the same size.
fn others_find_room(address: &str, member: &str) {
    let begin = Instant::now();
    for nr in 0.. {
        if wants_all(address, &format!("{member}{nr}"), 1) == 0 {
            return eprintln!("there was room again after {:?}", begin.elapsed());
        }
        assert!(begin.elapsed() < FREED_WITHIN, "the memory is not free again");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn clients_that_take_all_memory_for_30_days_and_leave_keep_no_client_out_even_after_a_restart() {
    let place = Place::new("memory");
    let options = ["--memory-max", MEMORY, "--state-dir", "state"];
    let (first, address) = controller(&place, &options);
    let good = Good::start(&address);
    for nr in 0..CLIENTS {
        let refused = wants_all(&address, &format!("greedy{nr}"), ARRIVALS);
        assert!(refused > ARRIVALS / 2, "{refused} were refused");
        good.go_on(1);
    }
    others_find_room(&address, "before");
    good.go_on(20);
    good.were_undisturbed(MEETING);
    let peak = memory(first.pid(), "VmHWM:");
    eprintln!("the first controller held {peak} KiB");
    assert!(peak < MEMORY_KIB + OVERHEAD_KIB, "the controller held {peak} KiB");
    // Dropping it kills it. The last clients have just left.
    wants_all(&address, "last", ARRIVALS);
    drop(first);

    let (second, address) = controller(&place, &options);
    let good = Good::start(&address);
    good.go_on(20);
    others_find_room(&address, "after");
    wants_all(&address, "again", ARRIVALS);
    good.go_on(20);
    good.were_undisturbed(MEETING);
    let peak = memory(second.pid(), "VmHWM:");
    assert!(peak < MEMORY_KIB + OVERHEAD_KIB, "the controller held {peak} KiB after the restart");
    ends_well(second, TURN);
}
