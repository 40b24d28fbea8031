//! Malicious or broken peers do not harm others.
//!
//! In each test strangers attack a real controller, slave or client while good ones continue. The test checks that
//! those were not disturbed, that the memory stays within its bound, and that no bytes of a peer reach a terminal, a
//! log or a path without escapes. It prints the longest turn of the loop (`--nocapture`), for the figures in
//! `arete-protocol(7)`.

#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;

mod crowd;
mod deaf;
mod flood;
mod garbage;
mod good;
mod liar;
mod log;
mod memory;
mod names;
mod resets;
mod socket;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use common::{Place, Running, SOON};

/// A controller of rooms alone, and its address. At its end it prints how long its longest turn was.
fn controller<'a>(place: &'a Place, options: &[&str]) -> (Running<'a>, String) {
    let words = ["controller", "--listen", "127.0.0.1:0"];
    let program = place.arete(words.iter().chain(options)).env("RUST_LOG", "warn,arete::reactor=debug");
    let mut controller = program.deadline(Duration::from_secs(240)).start();
    let address = listening(&mut controller);
    (controller, address)
}

/// The address that a controller prints.
fn listening(controller: &mut Running<'_>) -> String {
    controller.wait_for_output("listening on ");
    let said = controller.stdout();
    said.split("listening on ").nth(1).and_then(|rest| rest.split([',', '\n']).next()).expect("an address").to_owned()
}

/// Ends a controller of rooms in order. Fails the test if a turn was longer than `turn`.
fn ends_well(controller: Running<'_>, turn: Duration) {
    eprintln!("the controller held {} KiB at most", memory(controller.pid(), "VmHWM:"));
    controller.signal(rustix::process::Signal::TERM);
    let ended = controller.wait().exits_with(0);
    let longest = ended.stderr.split("the longest turn of the loop took ").nth(1).expect("the longest turn is printed");
    let micros = longest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    eprintln!("the longest turn of the loop took {micros} us");
    assert!(Duration::from_micros(micros) < turn, "a turn took {micros} us");
}

/// A figure of the kernel about a process, in KiB.
fn memory(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(what)).expect("the kernel counts memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}

/// A connection on which no read or write takes longer than a test.
fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

/// A line that joins the room "r" of a bare controller.
fn join(room: &str, member: &str, incarnation: &str) -> String {
    let who = format!(r#""incarnation":"{incarnation}","room":"{room}","member":"{member}""#);
    format!("{{\"type\":\"join\",\"protocol\":1,\"version\":\"x\",{who}}}\n")
}

/// Ends a connection with a reset instead of an end of file.
fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket can be set to reset");
}

/// Returns whether the other end has not closed the connection. Drops what it has sent.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket can be set not to wait");
    let mut bytes = [0; 4096];
    loop {
        match (&mut &*stream).read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Sends bytes and reads until the other end closes the connection. Fails the test if it does not.
fn is_answered(address: &str, words: &[u8]) -> String {
    let mut stream = connect(address);
    // The other end may close the connection before it has read everything.
    let _ = stream.write_all(words);
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    let waited = end.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(!waited, "a connection is kept that says {:?}", String::from_utf8_lossy(&words[..words.len().min(60)]));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Closes the sending direction, and continues to read.
fn half_close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
}

/// Fails the test if a text contains bytes that control a terminal.
#[track_caller]
fn assert_harmless(what: &str, text: &str) {
    let bad = text.char_indices().find(|(_, c)| c.is_control() && !"\n\t".contains(*c));
    if let Some((at, c)) = bad {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        panic!("{what} holds {c:?}: {:?}", text[line..].lines().next());
    }
}
