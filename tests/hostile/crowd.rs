//! Very many peers, slow peers, and peers that stop in the middle of something.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::common::{Needed, Place, SOON, have, python, skip, wait_for};
use crate::good::Good;
use crate::{connect, controller, ends_well, is_open, join, memory};

/// The number of addresses of a crowd. Each has a process of its own, because one process cannot have enough
/// descriptors for all connections.
const SOURCES: usize = 4;

/// The number of connections from each address.
const FROM_EACH: usize = 5_000;

/// The most memory that a controller may use for that crowd, in KiB: the started lines, 16 MiB in all, and the
/// connections.
const CROWD_MEMORY_KIB: u64 = 64 * 1024;

/// The limit on a meeting of other members meanwhile, on a busy machine and without optimization.
const MEETING: Duration = Duration::from_millis(1500);

/// The same for a turn of the loop.
const TURN: Duration = Duration::from_millis(500);

#[test]
fn twenty_thousand_connections_with_nothing_or_half_a_line_disturb_no_other() {
    let test = "twenty_thousand_connections_with_nothing_or_half_a_line_disturb_no_other";
    if !have("python3") {
        return skip(test, "python3 is not installed", Needed::InCi);
    }
    let place = Place::new("crowd");
    let (controller, address) = controller(&place, &[]);
    let good = Good::start(&address);
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let crowd = (1..=SOURCES).map(|nr| {
        let mut command = python();
        command.args(["-c", include_str!("crowd.py"), host, port, &FROM_EACH.to_string(), &format!("127.0.{nr}.1")]);
        place.program(command).deadline(SOON * 6).start()
    });
    let mut crowd: Vec<_> = crowd.collect();
    crowd.iter_mut().for_each(|part| part.wait_for_output("all have come"));
    good.go_on(20);
    let begin = Instant::now();
    crowd.into_iter().for_each(|part| drop(part.wait().exits_with(0)));
    eprintln!("the last of the crowd was turned away after another {:?}", begin.elapsed());
    good.go_on(20);
    let peak = memory(controller.pid(), "VmHWM:");
    assert!(peak < CROWD_MEMORY_KIB, "the controller held {peak} KiB");
    good.were_undisturbed(MEETING);
    ends_well(controller, TURN);
}

#[test]
fn a_connection_beyond_the_limit_is_closed_and_can_return_later() {
    let place = Place::new("as-many");
    let (controller, address) = controller(&place, &["--connections-max", "50"]);
    let good = Good::start(&address);
    let crowd: Vec<_> = (0..200).map(|_| connect(&address)).collect();
    // They are closed earlier than for their silence.
    wait_for(Duration::from_secs(6), "the others to be turned away", || {
        let open = crowd.iter().filter(|stream| is_open(stream)).count();
        open <= 48
    });
    good.go_on(20);
    drop(crowd);
    let mut late = connect(&address);
    wait_for(SOON, "a place to be free", || {
        if !is_open(&late) {
            late = connect(&address);
        }
        late.set_nonblocking(false).unwrap();
        let _ = late.write_all(join("r", "late", "late").as_bytes());
        std::thread::sleep(Duration::from_millis(20));
        is_open(&late)
    });
    good.were_undisturbed(MEETING);
    ends_well(controller, TURN);
}

#[test]
fn a_join_byte_by_byte_is_closed_after_the_time_for_a_hello() {
    let place = Place::new("slow");
    let (controller, address) = controller(&place, &[]);
    let good = Good::start(&address);
    let words = join("r", "slow", "slow");
    let mut slow: Vec<_> = (0..300).map(|_| (connect(&address), 0)).collect();
    let begin = Instant::now();
    while !slow.is_empty() {
        assert!(begin.elapsed() < SOON, "{} slow peers are still there", slow.len());
        slow.retain_mut(|(stream, said)| {
            stream.set_nonblocking(true).unwrap();
            let byte = words.as_bytes()[*said % 60];
            *said += 1;
            stream.write_all(&[byte]).is_ok() && is_open(stream)
        });
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(begin.elapsed() > Duration::from_secs(9), "they were given their time: {:?}", begin.elapsed());
    good.were_undisturbed(MEETING);
    ends_well(controller, TURN);
}
