//! Connections that end at any point.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use crate::common::Place;
use crate::good::Good;
use crate::{connect, controller, ends_well, half_close, join, reset};

const MEETING: Duration = Duration::from_millis(1500);
const TURN: Duration = Duration::from_millis(500);

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Reset,
    Closed,
    /// The peer sends nothing more and does not close the connection.
    Half,
}

#[test]
fn a_connection_may_end_at_every_byte_of_its_first_message_and_of_another() {
    let place = Place::new("resets");
    let (controller, address) = controller(&place, &[]);
    let good = Good::start(&address);
    let hello = join("r", "m", "i");
    let arrival =
        "{\"type\":\"arrive\",\"room\":\"r\",\"barrier\":\"b\",\"id\":1,\"member\":\"m\",\"party\":{\"count\":2}}\n";
    let mut half = Vec::new();
    for end in [End::Reset, End::Closed, End::Half] {
        for at in 0..=hello.len() {
            let mut stream = connect(&address);
            let _ = stream.write_all(&hello.as_bytes()[..at]);
            ends(stream, end, &mut half);
        }
        for at in 0..=arrival.len() {
            let mut stream = connect(&address);
            // Each is a separate process, so that none receives the answers of another.
            let words = join("r", "m", &format!("i{end:?}{at}")) + &arrival[..at];
            let _ = stream.write_all(words.as_bytes());
            ends(stream, end, &mut half);
        }
    }
    good.go_on(20);
    drop(half);
    // The room still works.
    let mut stream = BufReader::new(connect(&address));
    let whole = join("after", "m", "last") + &arrival.replace("\"r\"", "\"after\"").replace(":2}", ":1}");
    stream.get_mut().write_all(whole.as_bytes()).unwrap();
    let mut heard = String::new();
    while !heard.contains("\"verdict\"") {
        assert!(stream.read_line(&mut heard).unwrap() > 0, "{heard}");
    }
    assert!(heard.contains("released"), "{heard}");
    good.were_undisturbed(MEETING);
    ends_well(controller, TURN);
}

fn ends(stream: std::net::TcpStream, end: End, half: &mut Vec<std::net::TcpStream>) {
    match end {
        End::Reset => reset(stream),
        End::Closed => drop(stream),
        End::Half => {
            half_close(&stream);
            half.push(stream);
        }
    }
}
