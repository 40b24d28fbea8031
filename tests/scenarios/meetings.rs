//! Barriers and syncs: named cases that the original programs, or comparable programs, get wrong.

use std::fmt::Write as _;

use arete::machine::Signal;
use arete::wire::PROTOCOL;
use serde_json::Value;

use crate::lab::{self, CONTROLLER, Output};
use crate::world::meet::Meet;
use crate::world::{MILLISECOND, SECOND, World};
use crate::{Lab, MINUTE};

/// Clients in a room of a controller that serves rooms alone.
struct Room {
    world: World,
    outputs: Vec<(usize, Output)>,
}

impl Room {
    fn closed() -> Room {
        let mut world = World::new(1, 8);
        world.trace.on = true;
        world.network.weather.spike_one_in = 0;
        lab::add_bare_controller(&mut world);
        Room { world, outputs: Vec::new() }
    }

    fn open() -> Room {
        let mut room = Room::closed();
        room.world.start(CONTROLLER);
        room
    }

    /// A room that the member `c0` serves.
    fn served(meet: &str) -> Room {
        let mut world = World::new(1, 8);
        world.trace.on = true;
        world.network.weather.spike_one_in = 0;
        let (word, rest) = meet.split_once(' ').expect("barrier NAME or sync NAME");
        let server = lab::add_server(&mut world, "c0", Meet::parse(word, rest));
        world.start(CONTROLLER);
        Room { world, outputs: vec![server] }
    }

    /// Starts a client on the host with its member's number: `c2` on host 2.
    fn client(&mut self, member: &str, meet: &str) -> usize {
        let (word, rest) = meet.split_once(' ').expect("barrier NAME or sync NAME");
        let host = member[1..2].parse().expect("a member is called c and a digit");
        let (node, output) = lab::add_client(&mut self.world, host, member, Meet::parse(word, rest));
        self.outputs.push((node, output));
        self.world.start(node);
        node
    }

    fn exit(&self, client: usize) -> Option<u8> {
        self.world.nodes[client].exit
    }

    /// Waits until these have exited, and returns their statuses.
    fn ends(&mut self, clients: &[usize]) -> Vec<u8> {
        let over = |world: &World| clients.iter().all(|client| world.nodes[*client].exit.is_some());
        if !self.world.run_until(5 * MINUTE, over) {
            panic!("{clients:?} do not end\n{}", self.trace());
        }
        clients.iter().filter_map(|client| self.exit(*client)).collect()
    }

    fn trace(&self) -> String {
        let lines: Vec<&str> = self.world.trace.last_lines().collect();
        lines.join("\n")
    }

    /// The lines that a client printed for people.
    fn says(&self, client: usize) -> String {
        String::from_utf8_lossy(&self.world.nodes[client].printed).into_owned()
    }

    /// A client's standard output.
    fn output(&self, client: usize) -> String {
        let (_, output) = self.outputs.iter().find(|(node, _)| *node == client).expect("it is a client");
        String::from_utf8_lossy(&output.borrow()).into_owned()
    }

    fn restart(&mut self, node: usize) {
        self.world.crash(node);
        self.world.start(node);
    }

    fn wait(&mut self, micros: u64) {
        self.world.run_for(micros);
    }
}

#[test]
fn all_members_get_one_verdict_although_a_connection_breaks_at_any_message() {
    for drop_at in 1..60 {
        let mut room = Room::open();
        room.world.network.weather.drop_at = Some(drop_at);
        let up = ["c1", "c2", "c3"].map(|member| room.client(member, "barrier up members=c1,c2,c3"));
        assert_eq!(room.ends(&up), [0, 0, 0], "a drop at send {drop_at}\n{}", room.trace());
        let gave = ["c1", "c2", "c3"].map(|it| room.client(it, &format!("sync s members=c1,c2,c3 value=\"{it}\"")));
        assert_eq!(room.ends(&gave), [0, 0, 0], "a drop at send {drop_at}\n{}", room.trace());
        let maps = gave.map(|client| room.output(client));
        assert_eq!(maps, [0; 3].map(|_| "{\"c1\":\"c1\",\"c2\":\"c2\",\"c3\":\"c3\"}\n"), "a drop at send {drop_at}");
    }
}

#[test]
fn a_member_that_was_cut_off_at_the_release_is_released_after_its_return() {
    let mut room = Room::open();
    let first = room.client("c1", "barrier up members=c1,c2");
    room.wait(SECOND);
    let second = room.client("c2", "barrier up members=c1,c2");
    // The last member gets its release. Then the other one is cut off, with its release on the way.
    let released = room.world.run_until(MINUTE, |world| world.nodes[second].exit.is_some() || world.now > 5 * SECOND);
    assert!(released);
    room.world.partition(CONTROLLER, 1);
    room.wait(3 * SECOND);
    room.world.heal(CONTROLLER, 1);
    assert_eq!(room.ends(&[first, second]), [0, 0]);
}

#[test]
fn a_loss_is_noticed_while_a_barrier_waits_and_is_named() {
    let mut room = Room::open();
    let dead = room.client("c1", "barrier up members=c1,c2,c3");
    let waits = room.client("c2", "barrier up members=c1,c2,c3");
    room.wait(2 * SECOND);
    // It sends nothing any more, and its connection is not closed.
    room.world.pause(dead);
    let begun = room.world.now;
    assert_eq!(room.ends(&[waits]), [5]);
    let took = room.world.now - begun;
    assert!(took < 20 * SECOND, "{took}");
    assert!(room.says(waits).contains("c1"), "{}", room.says(waits));
}

/// Four rounds of one tag at once.
const ROUNDS: &str = r#"{
    "name": "rounds", "grace": 1, "end": { "idle": true, "limit": "2min" },
    "schedules": { "all": [{ "name": "go", "at": 0, "shell": "mark go; STEPS" }] },
    "slaves": { "s[0-2]": ["all"] }
}"#;

#[test]
fn a_tag_is_used_again_at_once_and_its_rounds_never_mix() {
    let steps = ["barrier up members=s0,s1,s2; must"; 4].join("; ");
    let mut lab = Lab::started(&ROUNDS.replace("STEPS", &steps));
    let (code, summary) = lab.end();
    assert_eq!(code, 0, "{summary:#}");
    assert_eq!(lab.count(&[("event", "met"), ("verdict", "released")]), 4);
    assert_eq!(lab.count(&[("event", "met")]), 4);
}

#[test]
fn a_verdict_that_some_have_collected_is_kept_for_the_others() {
    let steps = "sleep 1000; barrier up members=s0,s1,s2; must; barrier up members=s0,s1,s2; must";
    let mut lab = Lab::started(&ROUNDS.replace("STEPS", steps));
    lab.wait_for(&[("event", "spawned"), ("slave", "s2")]);
    let released = |world: &World| {
        let log = world.file_of(CONTROLLER, "/results/events.jsonl");
        String::from_utf8_lossy(&log).contains("\"met\"")
    };
    assert!(lab.world.run_until(MINUTE, released));
    lab.world.partition(CONTROLLER, 3);
    lab.world.run_for(10 * SECOND);
    assert_eq!(lab.count(&[("event", "met")]), 1, "the others wait in the next round: {:#?}", lab.events());
    lab.world.heal(CONTROLLER, 3);
    let (code, summary) = lab.end();
    assert_eq!(code, 0, "{summary:#}");
    assert_eq!(lab.count(&[("event", "met"), ("verdict", "released")]), 2);
}

#[test]
fn a_failed_round_keeps_its_verdict_for_late_members_and_not_for_returning_ones() {
    let mut room = Room::open();
    let early = room.client("c1", "barrier up members=c1,c2,c3 timeout=20000");
    let aborts = room.client("c2", "barrier up members=c1,c2,c3 abort=no-disk");
    assert_eq!(room.ends(&[early, aborts]), [4, 4]);
    room.wait(10 * SECOND);
    let late = room.client("c3", "barrier up members=c1,c2,c3");
    assert_eq!(room.ends(&[late]), [4]);
    assert_eq!(room.says(late), "arete: barrier up: an earlier round failed: c2 aborted: no-disk\n");
    let again = ["c1", "c2", "c3"].map(|member| room.client(member, "barrier up members=c1,c2,c3"));
    assert_eq!(room.ends(&again), [0, 0, 0]);
}

#[test]
fn a_failed_round_keeps_its_verdict_as_long_as_its_timeout() {
    for (later, codes) in [(3 * SECOND, [3]), (7 * SECOND, [0])] {
        let mut room = Room::open();
        let early = room.client("c1", "barrier up members=c1,c2 timeout=5000");
        assert_eq!(room.ends(&[early]), [3]);
        assert_eq!(room.says(early), "arete: barrier up: timed out; missing: c2\n");
        room.wait(later);
        let late = room.client("c2", "barrier up members=c1,c2");
        if codes == [3] {
            assert_eq!(room.ends(&[late]), codes);
            assert_eq!(room.says(late), "arete: barrier up: an earlier round timed out; missing: c2\n");
        } else {
            room.wait(SECOND);
            let again = room.client("c1", "barrier up members=c1,c2");
            assert_eq!(room.ends(&[late, again]), [0, 0]);
        }
    }
}

#[test]
fn a_failed_round_has_no_verdict_for_another_party() {
    let mut room = Room::open();
    let early = room.client("c1", "barrier up members=c1,c2 timeout=5000");
    assert_eq!(room.ends(&[early]), [3]);
    let others = ["c2", "c3"].map(|member| room.client(member, "barrier up members=c2,c3"));
    assert_eq!(room.ends(&others), [0, 0]);
    let late = room.client("c2", "barrier up members=c2,c1");
    assert_eq!(room.ends(&[late]), [3]);
}

#[test]
fn a_member_that_died_and_came_back_takes_its_place_again() {
    let mut room = Room::open();
    let waits = room.client("c1", "barrier up members=c1,c2,c3");
    let dies = room.client("c2", "barrier up members=c1,c2,c3");
    room.wait(2 * SECOND);
    room.restart(dies);
    room.wait(2 * SECOND);
    assert_eq!(room.exit(waits), None);
    let last = room.client("c3", "barrier up members=c1,c2,c3");
    assert_eq!(room.ends(&[waits, dies, last]), [0, 0, 0]);
}

#[test]
fn a_member_that_does_not_return_within_five_seconds_is_lost() {
    let mut room = Room::open();
    let waits = room.client("c1", "barrier up members=c1,c2,c3");
    let dies = room.client("c2", "barrier up members=c1,c2,c3");
    room.wait(2 * SECOND);
    let begun = room.world.now;
    room.world.signal(dies, Signal::TERM);
    assert_eq!(room.ends(&[waits]), [5]);
    assert!((5 * SECOND..6 * SECOND).contains(&(room.world.now - begun)), "{}", room.world.now - begun);
    assert!(room.says(waits).contains("c2"), "{}", room.says(waits));
}

#[test]
fn a_stranger_is_refused_with_the_reason_and_the_members_continue() {
    let mut room = Room::open();
    let waits = room.client("c1", "barrier up members=c1,c2");
    room.wait(SECOND);
    let stranger = room.client("c3", "barrier up members=c1,c2");
    assert_eq!(room.ends(&[stranger]), [1]);
    assert!(room.says(stranger).contains("c3"), "{}", room.says(stranger));
    let last = room.client("c2", "barrier up members=c1,c2");
    assert_eq!(room.ends(&[waits, last]), [0, 0]);
}

#[test]
fn a_duplicate_is_refused_while_the_first_is_alive() {
    let mut room = Room::open();
    let first = room.client("c1", "barrier up members=c1,c2");
    room.wait(SECOND);
    let twin = room.client("c1", "barrier up members=c1,c2");
    assert_eq!(room.ends(&[twin]), [1]);
    assert_eq!(room.exit(first), None);
    let last = room.client("c2", "barrier up members=c1,c2");
    assert_eq!(room.ends(&[first, last]), [0, 0]);
}

#[test]
fn a_duplicate_takes_the_place_of_one_that_does_not_answer() {
    let mut room = Room::open();
    let first = room.client("c1", "barrier up members=c1,c2");
    room.wait(SECOND);
    room.world.pause(first);
    let second = room.client("c1", "barrier up members=c1,c2");
    room.wait(2 * SECOND);
    let last = room.client("c2", "barrier up members=c1,c2");
    assert_eq!(room.ends(&[second, last]), [0, 0]);
}

#[test]
fn a_duplicate_with_another_list_does_not_fail_the_round() {
    let mut room = Room::open();
    let first = room.client("c1", "barrier up members=c1,c2");
    room.wait(SECOND);
    let twin = room.client("c1", "barrier up members=c1,c3");
    assert_eq!(room.ends(&[twin]), [1]);
    assert_eq!(room.says(twin), "arete: barrier up: another process waits at \"up\" as c1\n");
    let last = room.client("c2", "barrier up members=c1,c2");
    assert_eq!(room.ends(&[first, last]), [0, 0]);
}

#[test]
fn a_member_that_replaced_a_duplicate_may_name_the_party() {
    let mut room = Room::open();
    let other = room.client("c2", "barrier up members=c1,c2,c3");
    room.wait(SECOND);
    let first = room.client("c1", "barrier up members=c1,c2,c3");
    room.wait(SECOND);
    room.world.pause(first);
    let second = room.client("c1", "barrier up members=c1,c2");
    assert_eq!(room.ends(&[second, other]), [1, 1]);
    assert!(
        room.says(other).contains("the members disagree: c2 says [c[1-3]], c1 says [c1, c2]"),
        "{}",
        room.says(other)
    );
}

#[test]
fn a_second_process_of_a_member_that_waits_can_abort() {
    let mut room = Room::open();
    let waits = room.client("c1", "barrier up members=c1,c2,c3");
    let other = room.client("c2", "barrier up members=c1,c2,c3");
    room.wait(SECOND);
    let aborts = room.client("c1", "barrier up members=c1,c2,c3 abort=no-disk");
    assert_eq!(room.ends(&[waits, other, aborts]), [4, 4, 4]);
    for client in [waits, other, aborts] {
        assert_eq!(room.says(client), "arete: barrier up: c1 aborted: no-disk\n");
    }
}

#[test]
fn when_members_disagree_each_one_learns_which_parties_were_named() {
    let mut room = Room::open();
    let one = room.client("c1", "barrier up members=c1,c2");
    room.wait(SECOND);
    let other = room.client("c2", "barrier up members=c1,c2,c3");
    assert_eq!(room.ends(&[one, other]), [1, 1]);
    for client in [one, other] {
        let said = room.says(client);
        assert!(
            said.contains("c1 says [c1, c2], c2 says [c[1-3]]") || said.contains("c2 says [c[1-3]], c1 says [c1, c2]"),
            "{said}"
        );
    }
}

#[test]
fn a_member_named_by_one_side_of_a_disagreement_gets_that_verdict() {
    let mut room = Room::open();
    let one = room.client("c1", "barrier up members=c1,c2");
    room.wait(SECOND);
    let other = room.client("c2", "barrier up members=c1,c2,c3");
    assert_eq!(room.ends(&[one, other]), [1, 1]);
    let late = room.client("c3", "barrier up members=c1,c2,c3");
    assert_eq!(room.ends(&[late]), [1]);
    let said = "an earlier round failed: the members disagree: c1 says [c1, c2], c2 says [c[1-3]]";
    assert!(room.says(late).contains(said), "{}", room.says(late));
}

/// Two members wait for a count of three, silent for longer than their freshness. One of them does not answer at
/// first.
fn two_of_three(meet: &str) -> (Room, usize, usize) {
    let mut room = Room::open();
    let [silent, waits] = ["c1", "c2"].map(|member| room.client(member, meet));
    room.wait(2 * SECOND);
    room.world.pause(silent);
    room.wait(MILLISECOND * 1_500);
    (room, silent, waits)
}

#[test]
fn a_count_releases_that_number_and_the_others_join_the_next_round() {
    let meet = "sync s count=3 alive value=1";
    let (mut room, silent, waits) = two_of_three(meet);
    let more: Vec<usize> = ["c3", "c4", "c5"].map(|member| room.client(member, meet)).into();
    room.wait(MILLISECOND * 500);
    room.world.resume(silent);
    assert_eq!(room.ends(&[silent, waits]), [0, 0]);
    room.wait(10 * SECOND);
    let over: Vec<bool> = more.iter().map(|client| room.exit(*client).is_some()).collect();
    assert_eq!(over.iter().filter(|over| **over).count(), 1, "{over:?}");
    let last = room.client("c6", meet);
    assert_eq!(room.ends(&[&more[..], &[last]].concat()), [0; 4]);
    let rounds: std::collections::BTreeSet<String> =
        [&more[..], &[silent, waits, last]].concat().iter().map(|client| room.output(*client)).collect();
    assert_eq!(rounds.len(), 2, "{rounds:?}");
    for map in rounds {
        assert_eq!(map.matches(":1").count(), 3, "{map}");
    }
}

#[test]
fn a_member_beyond_a_count_takes_the_place_of_a_lost_one() {
    let (mut room, silent, waits) = two_of_three("barrier up count=3");
    let more = ["c3", "c4"].map(|member| room.client(member, "barrier up count=3"));
    room.world.crash(silent);
    assert_eq!(room.ends(&[waits, more[0], more[1]]), [0, 0, 0]);
}

#[test]
fn a_member_beyond_a_count_takes_the_place_of_a_leaving_one_at_once() {
    let (mut room, silent, waits) = two_of_three("barrier up count=3");
    let more = ["c3", "c4"].map(|member| room.client(member, "barrier up count=3"));
    room.wait(MILLISECOND * 100);
    let begun = room.world.now;
    room.world.signal(waits, Signal::TERM);
    room.wait(MILLISECOND * 100);
    room.world.resume(silent);
    assert_eq!(room.ends(&[silent, more[0], more[1]]), [0, 0, 0]);
    assert!(room.world.now - begun < SECOND);
}

#[test]
fn a_member_beyond_a_count_waits_for_its_own_timeout() {
    let (mut room, silent, waits) = two_of_three("barrier up count=3");
    let third = room.client("c3", "barrier up count=3");
    room.wait(MILLISECOND * 100);
    let beyond = room.client("c4", "barrier up count=3 timeout=1000");
    assert_eq!(room.ends(&[beyond]), [3]);
    let said = "arete: barrier up: timed out; 3 others had arrived before, and their round was not over\n";
    assert_eq!(room.says(beyond), said);
    room.world.resume(silent);
    assert_eq!(room.ends(&[silent, waits, third]), [0, 0, 0]);
}

#[test]
fn six_and_four_are_ten_when_any_five_must_meet() {
    let mut room = Room::open();
    let meet = "barrier up count=5";
    let mut all: Vec<usize> = ["c1", "c2", "c3", "c4"].map(|member| room.client(member, meet)).into();
    room.wait(2 * SECOND);
    room.world.pause(all[0]);
    room.wait(MILLISECOND * 1_500);
    // Two members arrive while the controller waits for a sign of life of the first four.
    all.extend(["c5", "c6"].map(|member| room.client(member, meet)));
    room.wait(MILLISECOND * 500);
    room.world.resume(all[0]);
    room.wait(2 * SECOND);
    all.extend(["c7", "c1#x", "c2#x", "c3#x"].map(|member| room.client(member, meet)));
    assert_eq!(room.ends(&all), [0; 10]);
}

#[test]
fn a_round_ends_with_its_earliest_timeout_and_names_the_missing_members() {
    let mut room = Room::open();
    room.wait(SECOND);
    let begun = room.world.now;
    let patient = room.client("c1", "barrier up members=c1,c2,c3 timeout=60000");
    let hurried = room.client("c2", "barrier up members=c1,c2,c3 timeout=3000");
    assert_eq!(room.ends(&[patient, hurried]), [3, 3]);
    assert!((3 * SECOND..4 * SECOND).contains(&(room.world.now - begun)));
    assert!(room.says(patient).contains("c3"), "{}", room.says(patient));
}

#[test]
fn silent_slow_and_half_closed_peers_cost_the_others_nothing() {
    let mut room = Room::open();
    room.wait(SECOND);
    for index in 0..200 {
        let stranger = room.world.connect_stranger(7, &lab::controller_address()).expect("it listens");
        let mut line = String::new();
        let member = format!("x{index}");
        write!(line, "{{\"type\":\"join\",\"protocol\":{PROTOCOL},\"version\":\"v\",\"incarnation\":\"{member}\",")
            .unwrap();
        write!(line, "\"room\":\"room\",\"member\":\"{member}\"}}\n{{\"type\":\"arrive\",\"room\":\"ro").unwrap();
        let until = if index % 2 == 0 { 0 } else { line.len() };
        room.world.stranger_says(stranger, &line.as_bytes()[..until]);
    }
    room.wait(SECOND);
    let begun = room.world.now;
    let both = ["c1", "c2"].map(|member| room.client(member, "barrier up members=c1,c2"));
    assert_eq!(room.ends(&both), [0, 0]);
    assert!(room.world.now - begun < 100 * MILLISECOND, "{}", room.world.now - begun);
}

#[test]
fn a_timeout_fires_on_time_while_the_controller_is_out_of_reach() {
    for never_there in [true, false] {
        let mut room = if never_there { Room::closed() } else { Room::open() };
        room.wait(SECOND);
        let begun = room.world.now;
        let barrier = room.client("c1", "barrier up members=c1,c2 timeout=3000");
        let sync = room.client("c1", "sync data members=c1,c2 value=1 timeout=3000");
        room.wait(SECOND);
        room.world.partition(CONTROLLER, 1);
        assert_eq!(room.ends(&[barrier, sync]), [6, 6]);
        let took = room.world.now - begun;
        assert!((3 * SECOND..=4 * SECOND).contains(&took), "{took}");
        assert_eq!(room.output(sync), "");
    }
}

#[test]
fn a_member_that_arrives_before_the_controller_starts_is_not_lost() {
    let mut room = Room::closed();
    let early = room.client("c1", "barrier up members=c1,c2 timeout=60000");
    room.wait(20 * SECOND);
    room.world.start(CONTROLLER);
    let late = room.client("c2", "barrier up members=c1,c2");
    assert_eq!(room.ends(&[early, late]), [0, 0]);
}

#[test]
fn a_member_that_waits_while_the_controller_restarts_is_not_lost() {
    let mut room = Room::open();
    let early = room.client("c1", "sync up members=c1,c2 value=[1]");
    room.wait(SECOND);
    room.world.crash(CONTROLLER);
    room.wait(3 * SECOND);
    room.world.start(CONTROLLER);
    room.wait(5 * SECOND);
    let late = room.client("c2", "sync up members=c1,c2 value=[2]");
    assert_eq!(room.ends(&[early, late]), [0, 0]);
    assert_eq!(room.output(early), "{\"c1\":[1],\"c2\":[2]}\n");
}

#[test]
fn a_second_value_of_a_member_is_an_error_and_the_first_counts() {
    let mut lab = Lab::started(
        &ROUNDS.replace("[0-2]", "[0-1]").replace("mark go; STEPS", "mark go; sync d members=s0,s1 value=[1]").replace(
            "}] },",
            r#"}, { "name": "twice", "at": "500ms", "shell": "mark twice; sync d members=s0,s1 value=[2]; must" }] },"#,
        ),
    );
    lab.wait_for(&[("event", "met")]);
    let (_, summary) = lab.end();
    let outputs = ["s0/go.out", "s1/go.out"].map(|file| lab.result(file).map(str::to_owned));
    assert_eq!(outputs, [0; 2].map(|_| Some("{\"s0\":[1],\"s1\":[1]}\n".to_owned())), "{summary:#}");
}

#[test]
fn members_on_one_host_meet_each_other() {
    let mut room = Room::open();
    let names = ["c1#a", "c1#b", "c1"];
    let gave = names.map(|it| room.client(it, &format!("sync s members=c1,c1#a,c1#b value=\"{it}\"")));
    assert_eq!(room.ends(&gave), [0, 0, 0]);
    let map: Value = serde_json::from_str(&room.output(gave[0])).expect("a map is JSON");
    assert!(names.iter().all(|name| map[name] == **name), "{map}");
}

#[test]
fn a_value_that_is_too_large_is_refused_with_the_limit_named() {
    let mut room = Room::closed();
    room.world.network.weather.cut = false;
    room.world.start(CONTROLLER);
    let value = "1".repeat(4 * 1024 * 1024 + 1);
    let large = room.client("c1", &format!("sync s members=c1,c2 value=\"{value}\""));
    let (code, said) = (room.ends(&[large]), room.says(large));
    assert_eq!(code, [1], "{said}");
    assert!(said.contains("4194304"), "{said}");
}

#[test]
fn a_death_in_a_sync_is_recorded_and_the_survivors_get_the_data_that_was_there() {
    let mut room = Room::open();
    let dies = room.client("c1", "sync s members=c1,c2 value=\"last-words\"");
    room.wait(SECOND);
    room.world.crash(dies);
    room.wait(30 * SECOND);
    let survivor = room.client("c2", "sync s members=c1,c2 value=2");
    assert_eq!(room.ends(&[survivor]), [0]);
    assert_eq!(room.output(survivor), "{\"c1\":\"last-words\",\"c2\":2}\n");
}

#[test]
fn a_death_in_a_sync_of_all_alive_fails_it() {
    let mut room = Room::open();
    let dies = room.client("c1", "sync s members=c1,c2,c3 value=1 alive");
    let waits = room.client("c2", "sync s members=c1,c2,c3 value=2 alive");
    room.wait(SECOND);
    room.world.crash(dies);
    assert_eq!(room.ends(&[waits]), [5]);
    assert!(room.says(waits).contains("c1") && room.output(waits).is_empty(), "{}", room.says(waits));
}

#[test]
fn a_death_in_a_sync_of_a_run_is_in_its_log() {
    let json = r#"{
        "name": "death", "grace": 1, "end": { "idle": true, "limit": "2min" },
        "schedules": {
            "dies": [
                { "name": "gives", "at": 0, "shell": "mark gives; sync s members=s0,s1 value=1", "expect": "any" },
                { "name": "kill", "at": 2, "kill": "gives" }
            ],
            "lives": [{ "name": "late", "at": 9, "sync": "s", "members": ["s0", "s1"], "data": 2 }]
        },
        "slaves": { "s0": ["dies"], "s1": ["lives"] }
    }"#;
    let mut lab = Lab::started(json);
    lab.wait_for(&[("event", "away"), ("member", "s0"), ("session", "s")]);
    lab.wait_for(&[("event", "member-lost"), ("member", "s0"), ("session", "s")]);
    lab.wait_for(&[("event", "met"), ("verdict", "released")]);
    let (_, summary) = lab.end();
    let map = lab.result("s1/late.out");
    assert_eq!(map, Some("{\"s0\":1,\"s1\":2}\n"), "{summary:#} {:?}", lab.events());
}

#[test]
fn a_serving_member_that_aborts_stays_until_all_have_the_verdict_but_not_for_ever() {
    let mut room = Room::served("barrier up members=c0,c1,c2 abort=no-disk");
    room.world.run_for(2 * SECOND);
    let first = room.client("c1", "barrier up members=c0,c1,c2");
    assert_eq!(room.ends(&[first]), [4]);
    assert_eq!(room.exit(CONTROLLER), None, "c2 has not come");
    let second = room.client("c2", "barrier up members=c0,c1,c2");
    let begun = room.world.now;
    assert_eq!(room.ends(&[second, CONTROLLER]), [4, 4]);
    assert!(room.world.now < begun + SECOND, "all have heard it");
    let mut lonely = Room::served("barrier up members=c0,c1 abort=no-disk");
    assert_eq!(lonely.ends(&[CONTROLLER]), [4]);
    assert!((5 * SECOND..6 * SECOND).contains(&lonely.world.now), "{}", lonely.world.now);
}

#[test]
fn a_serving_member_that_gives_up_stays_for_late_members_while_the_verdict_is_kept() {
    let mut room = Room::served("barrier up members=c0,c1 timeout=3000");
    room.world.run_for(4 * SECOND);
    assert_eq!(room.exit(CONTROLLER), None, "c1 has not come");
    let late = room.client("c1", "barrier up members=c0,c1");
    let begun = room.world.now;
    assert_eq!(room.ends(&[late, CONTROLLER]), [3, 3]);
    assert!(room.says(late).contains("an earlier round"), "{}", room.says(late));
    assert!(room.world.now < begun + SECOND, "all have heard it");
    let mut lonely = Room::served("sync data members=c0,c1 value=1 timeout=1000");
    assert_eq!(lonely.ends(&[CONTROLLER]), [3]);
    assert!((1900 * MILLISECOND..3 * SECOND).contains(&lonely.world.now), "{}", lonely.world.now);
}

#[test]
fn a_serving_member_that_is_interrupted_leaves_at_once_unless_others_wait() {
    let mut alone = Room::served("barrier up members=c0,c1");
    alone.wait(SECOND);
    alone.world.signal(CONTROLLER, Signal::INT);
    assert_eq!((alone.ends(&[CONTROLLER]), alone.says(CONTROLLER)), (vec![130], String::new()));
    assert!(alone.world.now < 2 * SECOND, "{}", alone.world.now);
    for patient in [true, false] {
        let mut room = Room::served("barrier up members=c0,c1,c2");
        let waits = room.client("c1", "barrier up members=c0,c1,c2");
        room.wait(SECOND);
        room.world.signal(CONTROLLER, Signal::TERM);
        room.wait(SECOND);
        assert_eq!(room.exit(CONTROLLER), None, "c1 is to hear of it");
        assert_eq!(room.says(CONTROLLER).matches("interrupt again").count(), 1, "{}", room.says(CONTROLLER));
        if patient {
            assert_eq!(room.ends(&[waits, CONTROLLER]), [5, 130]);
            assert!(room.says(waits).contains("c0") && room.world.now < 8 * SECOND, "{}", room.says(waits));
        } else {
            room.world.signal(CONTROLLER, Signal::TERM);
            assert_eq!(room.ends(&[CONTROLLER]), [130]);
            assert!(room.world.now < 3 * SECOND, "{}", room.world.now);
        }
    }
}

#[test]
fn a_serving_member_does_not_wait_for_one_that_collects_nothing() {
    let mut room = Room::served("sync data members=c0,c1 value={\"nr\":1}");
    let mute = room.client("c1", "sync data members=c0,c1 value={\"nr\":2}");
    room.world.run_for(20 * MILLISECOND);
    room.world.pause(mute);
    let begun = room.world.now;
    assert_eq!(room.ends(&[CONTROLLER]), [0]);
    assert!(room.world.now < begun + 6 * SECOND, "{}", room.world.now - begun);
}
