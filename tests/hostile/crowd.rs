//! Very many peers, slow ones, and those that stop half-way.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::{Needed, Place, SOON, skip, wait_for};
use crate::good::Good;
use crate::{connect, connect_from, controller, ends_well, half_close, is_open, join, memory};

/// How many connections come at once, if the system allows so many.
const CROWD: u64 = 20_000;

/// The fewest that are a crowd.
const SMALL_CROWD: u64 = 4_000;

/// Descriptors of this process and of the controller beside those of the crowd.
const SPARE: u64 = 600;

/// What a controller may hold of that crowd, in KiB: each at most the piece of a line, 16 MiB in all, and its place.
const CROWD_MEMORY_KIB: u64 = 64 * 1024;

/// The longest that a meeting of others may take meanwhile, on a busy machine and without optimization.
const MEETING: Duration = Duration::from_millis(1500);

/// The same for a turn of the loop.
const TURN: Duration = Duration::from_millis(500);

/// Lets this process, and the controller that it starts, have as many descriptors as it may. Answers with how large a
/// crowd can be.
fn raise_limit() -> u64 {
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let wanted = (CROWD + SPARE).max(hard);
    if setrlimit(Resource::Nofile, limit(wanted)).is_err() {
        setrlimit(Resource::Nofile, limit(hard)).expect("a limit can be as it is");
    }
    (getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) - SPARE).min(CROWD)
}

#[test]
fn twenty_thousand_connections_that_say_nothing_or_half_a_line_disturb_nobody() {
    let test = "twenty_thousand_connections_that_say_nothing_or_half_a_line_disturb_nobody";
    let crowd = raise_limit();
    if crowd < SMALL_CROWD {
        return skip(test, "the limit of open files is too low for a crowd", Needed::InCi);
    }
    eprintln!("a crowd of {crowd}");
    let place = Place::new("crowd");
    let (controller, address) = controller(&place, &[]);
    let good = Good::start(&address);
    let crowd: Vec<_> = (0..crowd)
        .map(|nr| {
            let source = [127, 0, 1 + (nr / 5_000) as u8, 1];
            let mut stream = connect_from(source, &address).expect("the controller accepts");
            match nr % 4 {
                0 => drop(stream.write_all(b"{\"type\":\"join\",\"protocol\":1,")),
                1 => half_close(&stream),
                _ => {}
            }
            stream
        })
        .collect();
    good.go_on(20);
    let begin = Instant::now();
    wait_for(SOON * 2, "the crowd to be turned away", || crowd.iter().all(|stream| !is_open(stream)));
    eprintln!("the last of the crowd was turned away after another {:?}", begin.elapsed());
    good.go_on(20);
    let peak = memory(controller.pid(), "VmHWM:");
    assert!(peak < CROWD_MEMORY_KIB, "the controller held {peak} KiB");
    good.were_undisturbed(MEETING);
    ends_well(controller, TURN);
}

#[test]
fn who_comes_when_there_are_as_many_connections_as_were_allowed_is_turned_away_and_can_come_later() {
    let place = Place::new("as-many");
    let (controller, address) = controller(&place, &["--connections-max", "50"]);
    let good = Good::start(&address);
    let crowd: Vec<_> = (0..200).map(|_| connect(&address)).collect();
    wait_for(SOON, "the others to be turned away", || {
        let open = crowd.iter().filter(|stream| is_open(stream)).count();
        assert!(open <= 200, "{open}");
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
fn who_says_its_join_a_byte_at_a_time_is_not_waited_for() {
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
