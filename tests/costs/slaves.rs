//! Slaves of a run.

use crate::Case;
use crate::peer::{Loop, Peer, hello};

pub const CASES: &[Case] = &[
    ("hello", hellos),
    ("state", state),
    ("ready", ready),
    ("unready", unready),
    ("fetch", fetch),
    ("report", reports),
    ("report", tails),
    ("output", output),
    ("output", files),
    ("waits", waits),
    ("stopped", stopped),
    ("notify", notify),
];

/// Sends a line of the slave's run `times` times, then waits until all have been read.
fn says(it: &Loop<'_>, times: usize, line: impl Fn(&str, usize) -> String) -> Peer {
    let (mut peer, run) = it.serves();
    peer.lines((0..times).map(|nr| line(&run, nr)));
    peer.settles();
    peer
}

fn hellos(it: &Loop<'_>) {
    let labels: Vec<String> = (0..64).map(|nr| format!("\"l{nr}\":\"{}\"", "v".repeat(200))).collect();
    let labels = format!(",\"labels\":{{{}}}", labels.join(","));
    for nr in 0..500 {
        it.peer(&hello("a", &format!("i{nr}"), &labels));
    }
    let peers: Vec<_> = (0..500).map(|nr| it.peer(&hello(&format!("s{nr}"), "i", &labels))).collect();
    peers.iter().for_each(|peer| peer.hears("welcome"));
    it.joins("last").settles();
}

fn state(it: &Loop<'_>) {
    says(it, 30, |run, nr| {
        let notified: Vec<String> = (0..5_000).map(|trigger| format!("\"t{trigger:04}\":{}", nr + 1)).collect();
        format!(r#"{{"type":"state","run":"{run}","notified":{{{}}},"triggered":[]}}"#, notified.join(","))
    });
}

fn ready(it: &Loop<'_>) {
    says(it, 50_000, |run, _| format!(r#"{{"type":"ready","run":"{run}"}}"#));
}

fn unready(it: &Loop<'_>) {
    let reason = "\\u001b[2J".repeat(10_000);
    says(it, 20, |run, _| format!(r#"{{"type":"unready","run":"{run}","reason":"{reason}"}}"#));
}

fn fetch(it: &Loop<'_>) {
    says(it, 5_000, |run, nr| format!(r#"{{"type":"fetch","run":"{run}","resource":"r","offset":{}}}"#, nr * 512));
}

fn report(run: &str, nr: usize, what: &str) -> String {
    format!(r#"{{"type":"report","run":"{run}","seq":{},"time":1,"event":{what}}}"#, nr + 1)
}

fn reports(it: &Loop<'_>) {
    says(it, 60_000, |run, nr| {
        let entry = nr / 3 % 200;
        let what = match nr % 3 {
            0 => format!(r#""spawned","entry":"e{entry}","nr":{nr},"pid":7"#),
            1 => format!(
                r#""exited","entry":"e{entry}","nr":{},"exit":{{"code":1}},"outcome":"failed","why":"x""#,
                nr - 1
            ),
            _ => r#""idle","heard":0"#.to_owned(),
        };
        report(run, nr, &what)
    });
}

fn tails(it: &Loop<'_>) {
    let text = "\\u202e".repeat(2_000);
    says(it, 5_000, |run, nr| {
        let what = match nr % 2 {
            0 => format!(r#""tail","entry":"e1","nr":{nr},"text":"{text}""#),
            _ => format!(r#""warning","text":"{text}""#),
        };
        report(run, nr, &what)
    });
}

/// One long piece after another.
fn output(it: &Loop<'_>) {
    let piece = "eHh4".repeat(64 * 1024 / 3);
    says(it, 400, |run, nr| {
        let offset = nr * (64 * 1024 / 3) * 3;
        format!(r#"{{"type":"output","run":"{run}","file":"e1.out","offset":{offset},"data":"{piece}"}}"#)
    });
}

/// More files than a slave may ship.
fn files(it: &Loop<'_>) {
    says(it, 25_000, |run, nr| {
        let file = format!("e1.files/{}/{nr}", "d/".repeat(nr % 30));
        format!(r#"{{"type":"output","run":"{run}","file":"{}","offset":0,"data":"eA=="}}"#, file.replace("//", "/"))
    });
}

fn waits(it: &Loop<'_>) {
    let waits: Vec<String> = (0..1_000).map(|nr| format!(r#"{{"entry":"e{nr}","trigger":"t{nr:04}"}}"#)).collect();
    let waits = waits.join(",");
    says(it, 200, |run, _| format!(r#"{{"type":"waits","run":"{run}","waits":[{waits}]}}"#));
}

fn stopped(it: &Loop<'_>) {
    says(it, 20_000, |run, _| format!(r#"{{"type":"stopped","run":"{run}"}}"#));
}

/// Every trigger of the run, in a line of its own.
fn notify(it: &Loop<'_>) {
    says(it, 50_000, |run, nr| {
        let (trigger, count) = (nr % 5_000, nr / 5_000 + 1);
        format!(r#"{{"type":"notify","room":"{run}","trigger":"t{trigger:04}","count":{count}}}"#)
    });
}
