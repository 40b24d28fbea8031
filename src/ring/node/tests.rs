//! The behaviour of a node among original programs, byte for byte: the table of states, row for row.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::machine::stage::Stage;
use crate::machine::{Bytes, ChildId, Command, Effect, Exit, ListenerId, SocketId};
use crate::ring::{Periods, TCP_PORT, UDP_PORT, work};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const PING: &str = r#"{"serial_code":581831,"type":"ping","author_node_id":"5"}"#;
const WHERE: &str = r#"{"serial_code":581831,"type":"where is token","author_node_id":"5"}"#;
const RECENTLY: &str = r#"{"serial_code":581831,"type":"token was here recently","author_node_id":"5"}"#;

const MS: Duration = Duration::from_millis(1);

/// A node of a ring with originals.
type Bench = Stage<Ring>;

fn token(progress: u64, author: &str, revision: u64) -> String {
    format!(
        r#"{{"serial_code":407246,"progress":{progress},"author_node_id":"{author}","author_token_revision":{revision}}}"#
    )
}

fn here(from: &str, token: &str) -> String {
    format!(r#"{{"serial_code":328067,"type":"token is here","author_node_id":"{from}","token":{token}}}"#)
}

fn generating(from: &str, token: &str) -> String {
    format!(r#"{{"serial_code":328067,"type":"generating token","author_node_id":"{from}","token":{token}}}"#)
}

fn ask(kind: &str, from: &str) -> String {
    format!(r#"{{"serial_code":581831,"type":"{kind}","author_node_id":"{from}"}}"#)
}

fn take(from: &str, token: &str, nodes: &str, data: &str) -> String {
    format!(
        r#"{{"serial_code":137344,"type":"take token","author_node_id":"{from}","token":{token},"nodes":{nodes},"data":"{data}"}}"#
    )
}

/// The address of the node of that number.
fn address(id: &str) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, id.parse().expect("ids are small numbers here"))
}

impl Bench {
    fn new() -> Bench {
        let work = work::Config { step: "./step.sh".into(), progress: None, dir: "/work".into() };
        let config = Config {
            id: "5".into(),
            address: OURS,
            broadcast: Ipv4Addr::new(10, 0, 0, 255),
            udp_port: UDP_PORT,
            tcp_port: TCP_PORT,
            state_port: None,
            periods: Periods::default(),
            compat: true,
            members: None,
            key: None,
            boot: 1,
            work,
            state: None,
            wall_offset: 0,
        };
        Stage::begin(Ring::new(config), ())
    }

    /// One that knows nodes 3 and 9, and has said its first pings.
    fn seeker() -> Bench {
        let mut bench = Bench::new();
        bench.pass(1_600 * MS);
        for id in ["3", "9"] {
            bench.hear(id, &ask("ping", id));
        }
        bench.said_to_one();
        bench.asked.clear();
        assert_eq!(bench.machine.state(), "seeker");
        bench
    }

    /// A broadcast of an original.
    fn hear(&mut self, from: &str, text: &str) {
        let from = SocketAddr::from((address(from), 40_000));
        self.input(Input::Datagram { socket: SocketId(0), from, bytes: text.as_bytes() });
    }

    /// A message of an original on a connection of its own, in two pieces.
    fn hear_alone(&mut self, from: &str, text: &str) {
        let conn = self.accept(ListenerId(0), Peer::Inet(SocketAddr::from((address(from), 40_000))));
        let (one, two) = text.as_bytes().split_at(text.len() / 2);
        self.input(Input::Received { conn, bytes: one });
        self.input(Input::Received { conn, bytes: two });
        self.input(Input::Closed { conn, reason: "closed by the peer".into() });
    }

    /// Returns the messages to all nodes since the last call.
    fn said_to_all(&mut self) -> Vec<String> {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("messages are text");
        let said = self.asked.extract_if(.., |effect| matches!(effect, Effect::Datagram { .. }));
        let said = said.map(|effect| {
            let Effect::Datagram { to, bytes, .. } = effect else { unreachable!("just seen") };
            assert_eq!(to, SocketAddr::from(([10, 0, 0, 255], UDP_PORT)));
            text(&bytes)
        });
        said.collect()
    }

    /// Returns the messages to single nodes since the last call. Establishes every connection.
    fn said_to_one(&mut self) -> Vec<(String, String)> {
        let mut said = Vec::new();
        while let Some((conn, to)) = self.dialled.first().cloned() {
            let peer = Peer::Inet(SocketAddr::from((OURS, TCP_PORT)));
            self.input(Input::Connected { conn, peer, local: None });
            said.push((to.to_string(), self.take(conn)));
            assert!(self.closed.contains(&conn), "one message a connection");
        }
        said
    }

    /// The connection that was asked for first cannot be made. Returns where it should lead.
    fn refuse_connection(&mut self) -> String {
        let (conn, to) = self.dialled.remove(0);
        self.close(conn);
        to.to_string()
    }

    /// The process that was started last.
    fn step(&self) -> (ChildId, Command) {
        self.spawned.last().expect("the owner works").clone()
    }

    /// The work step is done, and has written this.
    fn work(&mut self, output: &str) {
        let (child, command) = self.step();
        self.files.insert(command.stdout.expect("its output is a file"), output.into());
        self.input(Input::Exited { child, exit: Exit::Code(0) });
    }

    /// An owner that got this token from 3.
    fn owner(token: &str) -> Bench {
        let mut bench = Bench::seeker();
        bench.hear_alone("3", &take("3", token, r#"{"3":"10.0.0.3","9":"10.0.0.9"}"#, "3.14"));
        assert_eq!(bench.machine.state(), "owner");
        bench
    }

    fn waiter() -> Bench {
        let mut bench = Bench::seeker();
        bench.hear("9", &here("9", &token(4, "9", 1)));
        assert_eq!(bench.machine.state(), "waiter");
        assert_eq!(bench.said_to_one(), [("10.0.0.9:8239".to_owned(), PING.to_owned())]);
        bench
    }

    fn generating() -> Bench {
        let mut bench = Bench::seeker();
        bench.pass(2_000 * MS);
        assert_eq!(bench.machine.state(), "generating");
        bench.asked.clear();
        bench
    }
}

#[test]
fn a_node_pings_three_times_and_then_seeks() {
    let mut bench = Bench::new();
    bench.pass(1_400 * MS);
    assert_eq!(bench.said_to_all(), [PING, PING, PING]);
    bench.pass(200 * MS);
    assert_eq!(bench.said_to_all(), [WHERE]);
    bench.pass(500 * MS);
    assert_eq!(bench.said_to_all(), [WHERE], "at every ask time");
}

#[test]
fn a_broadcast_of_an_unknown_node_is_answered_and_a_second_one_is_not() {
    let mut bench = Bench::new();
    bench.hear("9", &ask("ping", "9"));
    assert_eq!(bench.said_to_one(), [("10.0.0.9:8239".to_owned(), PING.to_owned())]);
    bench.hear("9", &ask("ping", "9"));
    assert_eq!(bench.said_to_one(), []);
}

#[test]
fn a_seeker_without_an_answer_makes_a_token_and_without_an_objection_owns_it() {
    let mut bench = Bench::seeker();
    bench.pass(2_000 * MS);
    let ours = generating("5", &token(0, "5", 1));
    assert!(bench.said_to_all().contains(&ours));
    bench.pass(2_000 * MS);
    assert_eq!(bench.machine.state(), "owner");
    assert!(bench.said_to_all().contains(&here("5", &token(0, "5", 1))));
    let (_, command) = bench.step();
    assert_eq!((command.argv[2].as_str(), command.stdin.as_deref()), ("./step.sh", Some(&b""[..])));
}

#[test]
fn an_answer_restarts_the_times_of_a_seeker_and_a_token_makes_it_a_waiter() {
    let mut bench = Bench::seeker();
    bench.pass(1_900 * MS);
    bench.hear_alone("9", &ask("token was here recently", "9"));
    bench.pass(1_900 * MS);
    assert_eq!(bench.machine.state(), "seeker");
    bench.hear("9", &here("9", &token(4, "9", 1)));
    assert_eq!(bench.machine.state(), "waiter");
    bench.pass(1_900 * MS);
    bench.hear("9", &here("9", &token(4, "9", 1)));
    bench.pass(1_900 * MS);
    assert_eq!(bench.machine.state(), "waiter");
    bench.pass(200 * MS);
    assert_eq!(bench.machine.state(), "seeker");
}

#[test]
fn a_seeker_answers_a_weaker_candidate_with_its_own_and_leaves_it_to_a_stronger_one() {
    let mut bench = Bench::seeker();
    bench.hear("3", &generating("3", &token(0, "3", 8)));
    let ours = generating("5", &token(0, "5", 1));
    assert_eq!(bench.machine.state(), "generating");
    assert_eq!(bench.said_to_all(), [ours.as_str()]);
    assert_eq!(bench.said_to_one(), [("10.0.0.3:8239".to_owned(), ours)]);
    let mut bench = Bench::seeker();
    bench.pass(1_900 * MS);
    bench.hear("9", &generating("9", &token(0, "9", 1)));
    bench.pass(1_900 * MS);
    assert_eq!(bench.machine.state(), "seeker", "its timers start again");
}

#[test]
fn a_candidate_gives_way_to_a_stronger_one_and_to_a_token() {
    let mut bench = Bench::generating();
    bench.hear("3", &generating("3", &token(0, "3", 8)));
    assert_eq!(bench.machine.state(), "generating");
    assert_eq!(bench.said_to_one(), [("10.0.0.3:8239".to_owned(), generating("5", &token(0, "5", 1)))]);
    bench.hear("9", &generating("9", &token(0, "9", 1)));
    assert_eq!(bench.machine.state(), "seeker");
    let mut bench = Bench::generating();
    bench.hear("3", &here("3", &token(0, "3", 1)));
    assert_eq!(bench.machine.state(), "waiter", "an existing token is stronger than one that is being made");
    let mut bench = Bench::generating();
    bench.hear_alone("3", &ask("token was here recently", "3"));
    assert_eq!(bench.machine.state(), "seeker");
}

#[test]
fn a_waiter_says_that_the_token_was_here_recently() {
    let mut bench = Bench::waiter();
    // Also to who had the token last.
    let candidates = ["3", "9"].map(|id| (id, generating(id, &token(9, "9", 9))));
    for (from, text) in [("3", ask("where is token", "3"))].into_iter().chain(candidates) {
        bench.hear(from, &text);
        assert_eq!(bench.said_to_one(), [(format!("10.0.0.{from}:8239"), RECENTLY.to_owned())]);
    }
}

#[test]
fn an_owner_works_on_the_data_and_hands_token_and_result_to_the_next_in_order() {
    let mut bench = Bench::owner(&token(4, "3", 7));
    assert!(bench.said_to_all().contains(&here("5", &token(4, "3", 7))));
    bench.said_to_one();
    assert_eq!(bench.step().1.stdin.as_deref(), Some(&b"3.14"[..]));
    bench.work("3.141");
    bench.pass(1_900 * MS);
    assert_eq!(bench.machine.state(), "owner", "it holds the token");
    bench.pass(200 * MS);
    let nodes = r#"{"3":"10.0.0.3","5":"10.0.0.5","9":"10.0.0.9"}"#;
    assert_eq!(
        bench.said_to_one().last(),
        Some(&("10.0.0.9:8239".to_owned(), take("5", &token(5, "3", 7), nodes, "3.141")))
    );
    assert_eq!(bench.machine.state(), "waiter");
}

#[test]
fn a_node_that_cannot_be_reached_is_passed_over() {
    let mut bench = Bench::owner(&token(4, "3", 7));
    bench.said_to_one();
    bench.work("3.141");
    bench.pass(2_100 * MS);
    assert_eq!(bench.refuse_connection(), "10.0.0.9:8239");
    let said = bench.said_to_one();
    assert_eq!(said.last().map(|(to, _)| to.as_str()), Some("10.0.0.3:8239"), "{said:?}");
}

#[test]
fn a_connection_that_is_given_up_says_ping_because_an_original_would_become_deaf_of_silence() {
    let mut bench = Bench::owner(&token(4, "3", 7));
    bench.said_to_one();
    bench.work("3.141");
    bench.pass(2_100 * MS);
    bench.hear("9", &here("9", &token(9, "9", 9)));
    let conn = *bench.closed.last().expect("it hands over");
    assert_eq!(bench.take(conn), PING);
}

#[test]
fn an_owner_answers_whoever_does_not_know_where_the_token_is() {
    let ours = || here("5", &token(4, "3", 7));
    let mut bench = Bench::owner(&token(4, "3", 7));
    bench.said_to_one();
    bench.asked.clear();
    bench.hear("9", &ask("where is token", "9"));
    assert_eq!((bench.said_to_all(), bench.said_to_one()), (vec![], vec![("10.0.0.9:8239".to_owned(), ours())]));
    for text in [generating("9", &token(9, "9", 9)), here("9", &token(3, "9", 9))] {
        bench.hear("9", &text);
        assert_eq!(bench.said_to_one(), [("10.0.0.9:8239".to_owned(), ours())]);
        assert_eq!(bench.said_to_all(), [ours()]);
    }
    bench.hear("9", &ours().replacen("\"5\"", "\"9\"", 1));
    assert_eq!((bench.said_to_all(), bench.said_to_one()), (vec![], vec![]), "equal tokens are the same token");
}

#[test]
fn an_owner_that_hears_of_a_stronger_token_stops_its_work_and_waits() {
    let mut bench = Bench::owner(&token(4, "3", 7));
    bench.said_to_one();
    let (child, _) = bench.step();
    bench.hear("9", &here("9", &token(5, "3", 7)));
    assert_eq!(bench.machine.state(), "waiter");
    assert_eq!(bench.said_to_one(), [("10.0.0.9:8239".to_owned(), PING.to_owned())]);
    assert!(bench.asked.contains(&Effect::KillGroup { child, signal: Signal::KILL }));
}

#[test]
fn a_token_that_is_older_than_what_was_heard_of_is_refused_and_so_is_a_second_one() {
    let mut bench = Bench::waiter();
    bench.hear_alone("3", &take("3", &token(3, "9", 1), "{}", "3.1"));
    assert_eq!(bench.machine.state(), "waiter");
    assert_eq!(bench.said_to_one(), [("10.0.0.3:8239".to_owned(), RECENTLY.to_owned())]);
    let mut bench = Bench::owner(&token(4, "3", 7));
    bench.said_to_one();
    bench.hear_alone("9", &take("9", &token(9, "9", 1), "{}", "gone?"));
    assert_eq!(bench.said_to_one(), [("10.0.0.9:8239".to_owned(), here("5", &token(4, "3", 7)))]);
}

#[test]
fn a_step_that_fails_leaves_the_data_as_it_was_and_the_token_goes_on() {
    let mut bench = Bench::owner(&token(4, "3", 7));
    bench.said_to_one();
    let (child, _) = bench.step();
    bench.input(Input::SpawnFailed { child, error: "no such shell".into() });
    bench.pass(2_100 * MS);
    let nodes = r#"{"3":"10.0.0.3","5":"10.0.0.5","9":"10.0.0.9"}"#;
    let said = bench.said_to_one();
    assert_eq!(said.last().map(|(_, text)| text.clone()), Some(take("5", &token(4, "3", 7), nodes, "3.14")));
}
