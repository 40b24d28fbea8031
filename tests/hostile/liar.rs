//! A false controller: slaves and clients that connect to one do nothing harmful, report the problem, and write only
//! below their directory.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::assert_harmless;
use crate::common::place::files_below;
use crate::common::{Place, SOON, wait_for};
use crate::flood::nasty_lines;

const WELCOME: &str = "{\"type\":\"welcome\",\"protocol\":1,\"version\":\"x\",\"run\":\"r\"}\n";

/// The limit on the time of a lie. The other end may close the connection before.
const LIE: Duration = Duration::from_millis(400);

/// The lines of a liar to any peer.
fn lies() -> Vec<Vec<u8>> {
    let mut lies: Vec<Vec<u8>> = nasty_lines().into_iter().map(|line| [line, b"\n".to_vec()].concat()).collect();
    // The lines of a liar that was believed before.
    lies.extend(nasty_lines().into_iter().map(|line| [WELCOME.as_bytes(), &line, b"\n"].concat()));
    let entry = r#"{"name":"x","policy":{"at":0},"action":{"shell":{"command":["true"]}}}"#;
    let prepare = |run: &str, entries: &str, resources: &str| {
        format!(
            "{WELCOME}{{\"type\":\"prepare\",\"run\":\"{run}\",\"test\":\"t\",\"entries\":[{entries}],\"resources\":[{resources}],\"triggers\":[\"t\"],\"grace\":18446744073709551615}}\n"
        )
    };
    let pongs = "{\"type\":\"pong\",\"time\":0,\"now\":18446744073709551615}\n".repeat(10);
    let resource = |name: &str, file: &str, size: &str| {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        format!(r#"{{"name":"{name}","file":"{file}","size":{size},"sha256":"{hash}"}}"#)
    };
    for (run, entries, resources) in [
        ("../../escaped", entry.to_owned(), String::new()),
        ("r", entry.replace("\"x\"", "\"../escaped\""), String::new()),
        ("r", entry.replace("\"x\"", "\"a\\u001b[2J\""), String::new()),
        ("r", String::new(), resource("f", "../../escaped", "0")),
        ("r", String::new(), resource("../escaped", "f", "0")),
        ("r", String::new(), resource("f", "\\u001b[2J", "18446744073709551615")),
        ("r", entry.replace("true", "\\u0000"), String::new()),
    ] {
        let start = format!("{{\"type\":\"start\",\"run\":\"{run}\",\"at\":18446744073709551615}}\n");
        lies.push(format!("{}{pongs}{start}", prepare(run, &entries, &resources)).into_bytes());
    }
    lies.push([WELCOME.as_bytes(), b"{\"type\":\"verdict\",\"room\":\"r\",\"round\":1,\"verdict\":\"aborted\",\"reason\":\"\\u001b[2J\\u009b\\n\",\"who\":[\"\\u001b\"],\"ids\":[1]}\n"].concat());
    lies.push(vec![b'x'; 3 << 20]);
    lies
}

/// A controller that sends one line to the first peer, and closes the connection.
fn liar(lie: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(LIE))?;
        stream.set_write_timeout(Some(SOON))?;
        let _ = stream.read(&mut [0; 65_536]);
        let _ = stream.write_all(&lie);
        let mut buffer = [0; 65_536];
        while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
        std::io::Result::Ok(())
    });
    address
}

#[test]
fn a_slave_believes_no_liar_and_lives() {
    let place = Place::new("liar");
    let slaves: Vec<_> = (lies().into_iter().enumerate())
        .map(|(nr, lie)| {
            let (address, dir) = (liar(lie), format!("work/{nr}"));
            let words = ["slave", "--controller", &address, "--name", &format!("s{nr}"), "--dir", &dir];
            place.arete(words).env("RUST_LOG", "debug").start()
        })
        .collect();
    for slave in &slaves {
        wait_for(SOON, "a slave to try again", || slave.stderr().matches("connecting to ").count() > 1);
    }
    for slave in slaves {
        slave.signal(rustix::process::Signal::TERM);
        let ended = slave.wait().exits_with(0);
        assert_harmless("the log of a slave", &ended.stderr);
    }
    for file in files_below(place.dir()) {
        assert_harmless("a path", &file.display().to_string());
        assert!(!file.display().to_string().contains("escaped"), "{}", file.display());
    }
    place.assert_nothing_left();
}

#[test]
fn a_client_believes_no_liar_and_ends_in_time() {
    let place = Place::new("liar-client");
    for clients in lies().chunks(16) {
        let started: Vec<_> = (clients.iter().enumerate())
            .map(|(nr, lie)| {
                let address = liar(lie.clone());
                let what: &[&str] = match nr % 4 {
                    0 => &["barrier", "b", "--as", "m", "--count", "2"],
                    1 => &["sync", "s", "--as", "m", "--count", "2", "--data", "1"],
                    2 => &["wait", "t"],
                    _ => &["trigger", "list"],
                };
                let place_of = ["--controller", &address, "--room", "r", "--timeout", "1"];
                place.arete(what.iter().chain(&place_of)).start()
            })
            .collect();
        for client in started {
            let ended = client.wait();
            assert!([1, 3, 4, 6].contains(&ended.code()), "{}: {}{}", ended.code(), ended.stdout, ended.stderr);
            assert_harmless("what a client prints", &format!("{}{}", ended.stdout, ended.stderr));
            assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        }
    }
    place.assert_nothing_left();
}
