//! The cost of TLS, printed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{Pki, Place, SOON, wait_for};
use crate::controller;
use crate::peer::Identity;

/// The number of idle members.
const IDLE: usize = 200;

/// The number of measured handshakes.
const HANDSHAKES: u32 = 300;

/// The number of members that meet, and of meetings.
const MEMBERS: usize = 100;
const ROUNDS: u64 = 200;

/// The resident memory of a process, in KiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("memory");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

#[test]
fn the_cost_of_an_idle_member_and_of_a_handshake_is_printed() {
    let place = Place::new("tls-figures");
    let pki = Pki::new(&place);
    let (server, address) = controller(&place, &pki.controller(&["127.0.0.1"]));
    let identity = Identity::read(&pki.machine("m"));
    let join = |nr: usize| {
        let mut stream = identity.patient(&address);
        let line = format!(
            "{{\"type\":\"join\",\"protocol\":1,\"version\":\"x\",\"incarnation\":\"i{nr}\",\"room\":\"r\"}}\n"
        );
        stream.write_all(line.as_bytes()).expect("it is sent");
        assert!(stream.read(&mut [0; 1000]).expect("a welcome") > 10);
        stream
    };
    let warm = join(IDLE);
    let before = memory(server.pid());
    let members: Vec<_> = (0..IDLE).map(join).collect();
    let held = (memory(server.pid()) - before) * 1024 / IDLE as u64;
    eprintln!("an idle member over TLS: {held} bytes");
    drop((members, warm));
    assert!(held < 64 * 1024, "{held} bytes");

    let begin = Instant::now();
    (0..HANDSHAKES as usize).for_each(|nr| drop(join(1000 + nr)));
    let each = begin.elapsed() / HANDSHAKES;
    eprintln!("a connection, a handshake and a join, one after another: {each:?}");
    assert!(each < Duration::from_millis(100));
    wait_for(SOON, "the controller to be alive", || memory(server.pid()) > 0);
}

/// Sends the join of a member, and waits for the welcome.
fn join(mut stream: impl Read + Write, member: usize) -> impl Read + Write {
    let line = format!(
        "{{\"type\":\"join\",\"protocol\":1,\"version\":\"x\",\"incarnation\":\"i{member}\",\"room\":\"r\",\"member\":\"m#{member}\"}}\n"
    );
    stream.write_all(line.as_bytes()).expect("it is sent");
    assert!(stream.read(&mut [0; 1000]).expect("a welcome") > 10);
    stream
}

/// The median time from the first arrival to the last verdict.
fn median_round(mut members: Vec<impl Read + Write>) -> Duration {
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let begin = Instant::now();
        for (nr, member) in members.iter_mut().enumerate() {
            let line = format!(
                "{{\"type\":\"arrive\",\"room\":\"r\",\"barrier\":\"b\",\"id\":{round},\"member\":\"m#{nr}\",\"party\":{{\"count\":{MEMBERS}}}}}\n"
            );
            member.write_all(line.as_bytes()).expect("it arrives");
        }
        for member in &mut members {
            let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
            while !said.ends_with(b"\n") {
                let count = member.read(&mut buffer).expect("a verdict");
                said.extend_from_slice(&buffer[..count]);
            }
            assert!(String::from_utf8_lossy(&said).contains("\"released\""), "{}", String::from_utf8_lossy(&said));
        }
        rounds.push(begin.elapsed());
    }
    rounds.sort();
    rounds[rounds.len() / 2]
}

#[test]
fn the_cost_of_a_barrier_of_a_hundred_without_and_with_tls_is_printed() {
    let place = Place::new("tls-barrier");
    let pki = Pki::new(&place);
    let (_server, address) = controller(&place, &pki.controller(&["127.0.0.1"]));
    let identity = Identity::read(&pki.machine("m"));
    let secure = median_round((0..MEMBERS).map(|nr| join(identity.patient(&address), nr)).collect());
    let mut plain = place.arete(["controller", "--listen", "127.0.0.1:0"]).start();
    plain.wait_for_output("listening on ");
    let address = plain.stdout().trim_start_matches("listening on ").trim().to_owned();
    let connect = || {
        let stream = TcpStream::connect(&address).expect("it connects");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        stream
    };
    let plainly = median_round((0..MEMBERS).map(|nr| join(connect(), nr)).collect());
    eprintln!("a barrier of {MEMBERS}, both ends counted: plainly {plainly:?}, over TLS {secure:?}");
    assert!(secure < Duration::from_secs(1));
}
