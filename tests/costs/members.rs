//! Members and clients of a room.

use arete::testfile::MEMBERS_MAX;
use arete::wire::rendezvous::{IDS_MAX, VALUE_MAX};

use crate::Case;
use crate::peer::{Loop, join};

pub const CASES: &[Case] = &[
    ("ping", ping),
    ("join", joins),
    ("create", create),
    ("delete", delete),
    ("list", list),
    ("watch", watch),
    ("notify", notify),
    ("notify", notify_with_data),
    ("arrive", arrive_with_many),
    ("arrive", arrive_at_many),
    ("arrive", arrive_until_all_time_out),
    ("arrive", arrive_with_names_that_fold_badly),
    ("give", give),
    ("give", give_nested),
    ("gone", gone),
    ("heard", heard),
    ("alive", alive),
    ("bye", bye),
];

/// Not messages: the entries of a ledger of rooms when it is rewritten.
pub const LEDGERS: &[Case] =
    &[("triggers", ledger_of_triggers), ("rounds", ledger_of_rounds), ("unheard", ledger_of_unheard)];

/// A name of the greatest length.
fn long(nr: usize) -> String {
    format!("{nr:0>60}")
}

fn trigger(kind: &str, name: &str, more: &str) -> String {
    format!(r#"{{"type":"{kind}","room":"r","trigger":"{name}"{more}}}"#)
}

fn ping(it: &Loop<'_>) {
    let mut peer = it.joins("m");
    peer.lines((0..200_000).map(|nr| format!(r#"{{"type":"ping","time":{nr}}}"#)));
    peer.settles();
}

fn joins(it: &Loop<'_>) {
    let peers: Vec<_> = (0..500).map(|nr| it.peer(&join(&long(nr)))).collect();
    drop(peers);
    for round in 0..5 {
        for nr in 0..1_000 {
            it.peer(&join(&format!("{round}-{nr}")));
        }
    }
    it.joins("last").settles();
}

fn create(it: &Loop<'_>) {
    let mut peer = it.joins("m");
    for _ in 0..2 {
        peer.lines((0..6_000).map(|nr| trigger("create", &long(nr), r#","count":1"#)));
    }
    peer.settles();
}

fn delete(it: &Loop<'_>) {
    create(it);
    let mut peer = it.joins("m");
    for _ in 0..2 {
        peer.lines((0..6_000).map(|nr| trigger("delete", &long(nr), "")));
    }
    peer.settles();
}

fn list(it: &Loop<'_>) {
    create(it);
    let mut peer = it.joins("m");
    peer.lines((0..500).map(|_| r#"{"type":"list","room":"r"}"#.to_owned()));
    peer.settles();
}

fn watch(it: &Loop<'_>) {
    create(it);
    let mut peers: Vec<_> = (0..20).map(|nr| it.joins(&format!("m{nr}"))).collect();
    for peer in &mut peers {
        peer.lines((0..5_000).map(|nr| trigger("watch", &long(nr), "")));
    }
    peers[0].lines((0..50_000).map(|_| trigger("watch", &long(1), "")));
    peers.iter_mut().for_each(|peer| peer.settles());
    // Everything that they wait for fires.
    peers[0].lines((0..5_000).map(|nr| trigger("notify", &long(nr), r#","count":1"#)));
    peers.iter_mut().for_each(|peer| peer.settles());
}

fn notify(it: &Loop<'_>) {
    let mut peer = it.joins("m");
    peer.lines([trigger("create", "t", r#","count":18446744073709551615"#)].into_iter());
    peer.lines((0..200_000).map(|nr| trigger("notify", "t", &format!(r#","count":{nr}"#))));
    peer.settles();
}

/// A trigger with the most data, for many members that wait for it.
fn notify_with_data(it: &Loop<'_>) {
    let mut others: Vec<_> = (0..150).map(|nr| it.peer(&join(&format!("w{nr}")))).collect();
    let mut peer = it.joins("m");
    peer.lines([trigger("create", "t", r#","count":14"#)].into_iter());
    peer.settles();
    others.iter_mut().for_each(|other| other.lines([trigger("watch", "t", "")].into_iter()));
    others.iter_mut().for_each(|other| other.settles());
    let data = "x".repeat(65_000);
    peer.lines((1..=14).map(|nr| trigger("notify", "t", &format!(r#","count":{nr},"data":"{data}""#))));
    peer.settles();
    others.iter().for_each(|other| other.hears("\"triggered\""));
}

/// Makes and removes a trigger until a ledger is rewritten, and then once more.
fn makes_the_ledger_long(it: &Loop<'_>) {
    let mut peer = it.joins("long");
    for _ in 0..2 {
        let begin = it.ledger();
        for _ in 0..1_000 {
            peer.lines((0..500).flat_map(|_| [trigger("create", "x", r#","count":1"#), trigger("delete", "x", "")]));
            peer.settles();
            if it.ledger() != begin {
                break;
            }
        }
        assert_ne!(it.ledger(), begin, "the ledger was not rewritten");
    }
}

/// The most triggers of a room. One of them has the most members that have notified it, and some carry the most data.
fn ledger_of_triggers(it: &Loop<'_>) {
    let mut peer = it.joins("m");
    let data = "x".repeat(65_000);
    for nr in 0..12 {
        peer.lines([trigger("create", &long(nr), r#","count":1000"#)].into_iter());
        let note = |count| trigger("notify", &long(nr), &format!(r#","count":{count},"data":"{data}""#));
        peer.lines((1..=14).map(note));
    }
    peer.lines((20..5_000).map(|nr| trigger("create", &long(nr), r#","count":1000000"#)));
    peer.settles();
    for nr in 0..3_000 {
        let mut other = it.peer(&join(&format!("o{nr}")));
        other.lines([trigger("notify", &long(4_999), r#","count":1"#)].into_iter());
    }
    peer.settles();
    makes_the_ledger_long(it);
}

/// Failed rounds whose verdicts are kept, each of as many members as may meet.
fn ledger_of_rounds(it: &Loop<'_>) {
    let names: Vec<String> = (0..MEMBERS_MAX).map(|nr| format!("\"{}\"", long(nr))).collect();
    let party = format!(r#"{{"members":["m",{}]}}"#, names[1..].join(","));
    let mut peer = it.joins("m");
    for id in 1..12 {
        peer.lines([arrive(&format!("b{id}"), id, &party)].into_iter());
        peer.settles();
        // Their deadlines pass one after the other, because the cost of many deadlines in one turn is not a cost of
        // the ledger.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    std::thread::sleep(std::time::Duration::from_secs(2));
    makes_the_ledger_long(it);
}

/// Verdicts that were not confirmed: of many rounds, of one round, and with large maps.
fn ledger_of_unheard(it: &Loop<'_>) {
    let mut peers: Vec<_> = (0..10).map(|nr| it.joins(&format!("m{nr}"))).collect();
    for (nr, peer) in peers.iter_mut().enumerate() {
        let at = |id: usize| {
            let who = format!(r#""room":"r","barrier":"{}","id":{id},"member":"m{nr}""#, long(id));
            format!(r#"{{"type":"arrive",{who},"timeout":60000000,"party":{{"count":{}}}}}"#, 1 + 9 * (id % 2))
        };
        peer.lines((1..900).map(at));
        peer.settles();
    }
    let text = format!("\"{}\"", "x".repeat(VALUE_MAX - 2));
    for (nr, peer) in peers.iter_mut().enumerate().take(3) {
        let who = format!(r#""room":"r","session":"s{nr}","id":10000,"member":"m{nr}","timeout":1000000"#);
        peer.lines([format!(r#"{{"type":"give",{who},"party":{{"count":1}},"value":{text}}}"#)].into_iter());
        peer.settles();
    }
    makes_the_ledger_long(it);
}

fn arrive(barrier: &str, id: usize, party: &str) -> String {
    format!(
        r#"{{"type":"arrive","room":"r","barrier":"{barrier}","id":{id},"member":"m","timeout":1000000,"party":{party}}}"#
    )
}

/// The largest party, again and again.
fn arrive_with_many(it: &Loop<'_>) {
    let names: Vec<String> = (0..MEMBERS_MAX).map(|nr| format!("\"n{nr}\"")).collect();
    let party = format!(r#"{{"members":["m",{}]}}"#, names[1..].join(","));
    let mut peer = it.joins("m");
    peer.lines((1..80).map(|id| arrive(&format!("b{id}"), id, &party)));
    peer.settles();
    drop(peer);
    // The member's rounds end when it leaves. Other members are not disturbed.
    let mut other = it.joins("o");
    other.settles();
}

/// Two members disagree about many names with many numbers, which a message would show as ranges.
fn arrive_with_names_that_fold_badly(it: &Loop<'_>) {
    let names = |letter: char| -> Vec<String> {
        (0..9_000).map(|nr| format!("\"{nr:05}{}\"", format!("{letter}1").repeat(120))).collect()
    };
    let mut peers = [it.joins("m"), it.joins("v")];
    for (peer, (member, letter)) in peers.iter_mut().zip([("m", 'a'), ("v", 'b')]) {
        let party = names(letter).join(",");
        let arrive = |id: usize| {
            format!(
                r#"{{"type":"arrive","room":"r","barrier":"b{id}","id":{id},"member":"{member}","timeout":1,"party":{{"members":["{member}",{party}]}}}}"#
            )
        };
        peer.lines((1..3).map(arrive));
    }
    peers.iter_mut().for_each(|peer| peer.settles());
}

/// Large rounds whose deadlines pass at the same time.
fn arrive_until_all_time_out(it: &Loop<'_>) {
    let names: Vec<String> = (1..MEMBERS_MAX).map(|nr| format!("\"n{nr}\"")).collect();
    let party = format!(r#"{{"members":["m",{}]}}"#, names.join(","));
    let mut peer = it.joins("m");
    let soon = |id: usize| arrive(&format!("b{id}"), id, &party).replace("1000000", "800000");
    peer.lines((1..=40).map(soon));
    for id in 1..=40 {
        peer.hears(&format!("\"ids\":[{id}]"));
    }
}

fn arrive_at_many(it: &Loop<'_>) {
    let mut peer = it.joins("m");
    peer.lines((1..20_000).map(|id| arrive(&long(id), id, r#"{"count":2}"#)));
    peer.settles();
    drop(peer);
    it.joins("m").settles();
}

fn value(value: &str) -> String {
    let who = r#""room":"r","session":"s","id":1,"member":"m","timeout":1000000"#;
    format!(r#"{{"type":"give",{who},"party":{{"count":1}},"value":{value}}}"#)
}

/// A value of the greatest length.
fn give(it: &Loop<'_>) {
    let mut peer = it.joins("m");
    peer.lines([value(&format!("\"{}\"", "x".repeat(VALUE_MAX - 2)))].into_iter());
    peer.settles();
}

fn give_nested(it: &Loop<'_>) {
    let mut peer = it.joins("m");
    let numbers = "1,".repeat(VALUE_MAX / 2);
    peer.lines([value(&format!("[{}1]", &numbers[..VALUE_MAX - 8])), value(&"[".repeat(1 << 20))].into_iter());
    peer.settles();
}

fn ids(kind: &str) -> String {
    let ids: Vec<String> = (0..IDS_MAX).map(|id| id.to_string()).collect();
    format!(r#"{{"type":"{kind}","room":"r","ids":[{}]}}"#, ids.join(","))
}

fn gone(it: &Loop<'_>) {
    arrive_at_many(it);
    let mut peer = it.joins("m");
    peer.lines((1..20_000).map(|id| arrive(&long(id), id, r#"{"count":2}"#)));
    peer.lines((0..4).map(|_| ids("gone")));
    peer.settles();
}

fn heard(it: &Loop<'_>) {
    let mut peer = it.joins("m");
    peer.lines((1..20_000).map(|id| arrive(&long(id), id, r#"{"count":1}"#)));
    peer.lines((0..4).map(|_| ids("heard")));
    peer.settles();
}

fn alive(it: &Loop<'_>) {
    let mut peer = it.joins("m");
    peer.lines((1..10_000).map(|id| arrive(&long(id), id, r#"{"count":2}"#)));
    peer.lines((0..100_000).map(|_| r#"{"type":"alive"}"#.to_owned()));
    peer.settles();
}

fn bye(it: &Loop<'_>) {
    for nr in 0..500 {
        let mut peer = it.peer(&join(&long(nr)));
        peer.say(
            format!("{{\"type\":\"bye\",\"reason\":\"{}\",\"fatal\":true}}\n", "\\u202e".repeat(10_000)).as_bytes(),
        );
    }
    it.joins("last").settles();
}
