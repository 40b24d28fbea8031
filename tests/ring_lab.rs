//! A ring of real nodes on several hosts, joined by a bridge. The simulator shows the same in virtual time; here the
//! program, the network and the clock are real.
//!
//! If a promise names a figure, the periods are those of the original, otherwise they are shorter.

#![forbid(unsafe_code)]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::ring::{ORIGINAL, Ring, SHORT, assert_in_order, assert_increasing, workers};
use common::{Lab, Place, SOON, holds_within, wait_for};
use rustix::process::Signal;

/// The limit on the time until the first token, with the periods of the original: three pings, answer and generating
/// times.
const FIRST_OWNER: Duration = Duration::from_millis(6_500);

/// The limit on the time until a killed owner has a working successor, with the periods of the original. It includes
/// half a second for a busy machine.
const NEXT_OWNER: Duration = Duration::from_millis(6_500);

/// The limit on the time until all nodes are in rotation again after a partition.
const REJOINED: Duration = Duration::from_secs(10);

/// The hosts of the largest lab.
const HOSTS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// The ring of a scenario.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    nodes: usize,
    /// With `--members`.
    members: bool,
}

const fn variant(name: &'static str, nodes: usize, members: bool) -> Variant {
    Variant { name, nodes, members }
}

/// The same ring with and without `--members`.
const fn both(nodes: usize) -> [Variant; 2] {
    [variant("members", nodes, true), variant("plain", nodes, false)]
}

/// Plays a scenario with several rings at the same time, each in its own lab, because they mostly wait.
fn play(test: &str, variants: &[Variant], scenario: impl Fn(&Place, &Lab, Variant) + Sync) {
    let labs: Option<Vec<Lab>> = variants.iter().map(|variant| Lab::new(test, &HOSTS[..variant.nodes])).collect();
    let Some(labs) = labs else { return };
    thread::scope(|scope| {
        for (lab, variant) in labs.iter().zip(variants) {
            let scenario = &scenario;
            scope.spawn(move || {
                let place = Place::new(&format!("ring-lab-{}", variant.name));
                scenario(&place, lab, *variant);
                place.assert_no_temporary_files();
            });
        }
    });
}

/// A ring with a node on each host of the lab. All nodes get these options.
fn ring<'a>(place: &'a Place, lab: &'a Lab, variant: Variant, options: &str) -> Ring<'a> {
    let members = if variant.members { format!("--members {}", variant.nodes) } else { String::new() };
    let options: Vec<String> = format!("{options} {members}").split_whitespace().map(str::to_owned).collect();
    Ring::new(place, variant.name, move |node| {
        let mut command = lab.arete(HOSTS[node]);
        command.args(["ring", "--interface", "eth0", "--id", HOSTS[node]]).args(&options);
        command
    })
}

/// Nodes by their numbers.
fn all(variant: Variant) -> Vec<usize> {
    (0..variant.nodes).collect()
}

#[test]
fn nodes_that_start_together_have_one_owner_and_the_token_visits_all_in_order() {
    let test = "nodes_that_start_together_have_one_owner_and_the_token_visits_all_in_order";
    let variants = [
        variant("three-members", 3, true),
        variant("five-members", 5, true),
        variant("three-plain", 3, false),
        variant("five-plain", 5, false),
    ];
    play(test, &variants, |place, lab, variant| {
        let ring = ring(place, lab, variant, &format!("{ORIGINAL} --hold 500ms")).start_all(0..variant.nodes);
        let first = ring.wait_for_next_step(FIRST_OWNER);
        assert_eq!(first.data, "", "no node has worked yet");
        let rounds = 2 * variant.nodes + 1;
        let steps = ring.wait_for_steps(SOON, "two rounds", |steps| steps.len() >= rounds);
        assert_in_order(&steps, variant.nodes);
    });
}

#[test]
fn an_owner_that_is_killed_has_a_successor_within_six_seconds() {
    let test = "an_owner_that_is_killed_has_a_successor_within_six_seconds";
    let variants =
        [variant("three-members", 3, true), variant("five-members", 5, true), variant("three-plain", 3, false)];
    play(test, &variants, |place, lab, variant| {
        let ring = ring(place, lab, variant, &format!("{ORIGINAL} --hold 700ms")).start_all(0..variant.nodes);
        ring.wait_for_next_step(FIRST_OWNER);
        ring.wait_until_all_work(SOON, 0, &all(variant));
        let killed = ring.wait_for_next_step(SOON);
        ring.signal(killed.node, Signal::KILL);
        let at = Instant::now();
        let next = ring.wait_for_next_step(NEXT_OWNER);
        eprintln!("{}: the next owner worked {:.2} s after", variant.name, at.elapsed().as_secs_f64());
        assert_ne!(next.node, killed.node);
        assert!(next.token.0 > killed.token.0, "it is a new token: {killed:?}, {next:?}");
        assert!(next.data.starts_with(&killed.data), "the data of the hand-over is kept: {killed:?}, {next:?}");
        let others: Vec<usize> = all(variant).into_iter().filter(|node| *node != killed.node).collect();
        let steps = ring.wait_until_all_work(SOON, ring.steps().len(), &others);
        assert_increasing(&steps);
    });
}

#[test]
fn the_data_of_a_hand_over_survives_the_crash_of_its_giver_and_of_its_taker() {
    let test = "the_data_of_a_hand_over_survives_the_crash_of_its_giver_and_of_its_taker";
    play(test, &both(3), |place, lab, variant| {
        let ring = ring(place, lab, variant, &format!("{SHORT} --hold 100ms")).start_all(0..3);
        ring.wait_until_all_work(SOON, 0, &all(variant));
        for round in 0..8 {
            // The taker works, so it has acknowledged the hand-over.
            let taken = ring.wait_for_next_step(SOON);
            let dead = if round % 2 == 0 { taken.node } else { (taken.node + 2) % 3 };
            ring.signal(dead, Signal::KILL);
            let before = ring.steps().len();
            let others: Vec<usize> = (0..3).filter(|node| *node != dead).collect();
            ring.wait_until_all_work(SOON, before, &others);
            ring.start(dead);
            ring.wait_until_all_work(SOON, ring.steps().len(), &all(variant));
        }
        assert_increasing(&ring.steps());
    });
}

#[test]
fn a_node_that_is_resumed_starts_nothing_with_an_old_token() {
    let test = "a_node_that_is_resumed_starts_nothing_with_an_old_token";
    play(test, &[both(3), both(4)].concat(), |place, lab, variant| {
        let nodes = variant.nodes;
        let ring = ring(place, lab, variant, &format!("{SHORT} --hold 150ms")).start_all(0..nodes);
        ring.wait_until_all_work(SOON, 0, &all(variant));
        // The next owner, and the current one: when it starts a step, and while it holds the token.
        for (next, after) in [(1, 0), (0, 0), (0, 60), (1, 60), (0, 120), (1, 120)] {
            let step = ring.wait_for_next_step(SOON);
            let (hung, began) = ((step.node + next) % nodes, Instant::now());
            wait_for(SOON, "the moment", || began.elapsed() >= Duration::from_millis(after));
            ring.signal(hung, Signal::STOP);
            let others: Vec<usize> = all(variant).into_iter().filter(|node| *node != hung).collect();
            let from = ring.steps().len();
            ring.wait_for_steps(SOON, "the others to go on", |steps| {
                let by = |node: &usize| steps[from..].iter().filter(|step| step.node == *node).count();
                others.iter().all(|node| by(node) >= 2)
            });
            let from = ring.steps().len();
            ring.signal(hung, Signal::CONT);
            ring.wait_until_all_work(SOON, from, &all(variant));
        }
        assert_increasing(&ring.steps());
    });
}

#[test]
fn an_interface_that_goes_down_and_up_costs_a_while_and_no_node() {
    let test = "an_interface_that_goes_down_and_up_costs_a_while_and_no_node";
    play(test, &both(3), |place, lab, variant| {
        let ring = ring(place, lab, variant, &format!("{SHORT} --hold 150ms")).start_all(0..3);
        ring.wait_until_all_work(SOON, 0, &all(variant));
        // The step of another node, and the owner's.
        for away in [1, 0, 2, 0] {
            let step = ring.wait_for_next_step(SOON);
            let off = (step.node + away) % 3;
            lab.interface_down(HOSTS[off]);
            let from = ring.steps().len();
            let others: Vec<usize> = (0..3).filter(|node| *node != off).collect();
            ring.wait_for_steps(SOON, "the others to go on", |steps| {
                let by = |node: &usize| steps[from..].iter().filter(|step| step.node == *node).count();
                others.iter().all(|node| by(node) >= 2)
            });
            lab.interface_up(HOSTS[off]);
            let from = ring.steps().len();
            ring.wait_until_all_work(REJOINED, from, &all(variant));
            (0..3).for_each(|node| ring.assert_runs(node));
            one_token(&ring, variant);
        }
        if variant.members {
            assert_increasing(&ring.steps());
        }
    });
}

/// Waits until one token passes all nodes in order.
#[track_caller]
fn one_token(ring: &Ring, variant: Variant) {
    let rounds = 2 * variant.nodes;
    ring.wait_for_steps(REJOINED, "one token", |steps| {
        let last = &steps[steps.len().saturating_sub(rounds)..];
        let goes_round = |pair: &[common::ring::Step]| {
            let (one, next) = (&pair[0], &pair[1]);
            next.node == (one.node + 1) % variant.nodes && next.token == (one.token.0, one.token.1 + 1)
        };
        last.len() == rounds && last.windows(2).all(goes_round)
    });
}

#[test]
fn of_five_the_side_of_three_continues_and_the_side_of_two_stops_and_reports_why() {
    let test = "of_five_the_side_of_three_continues_and_the_side_of_two_stops_and_reports_why";
    play(test, &[variant("owner-cut-off", 5, true), variant("owner-stays", 5, true)], |place, lab, variant| {
        let ring = ring(place, lab, variant, &format!("{ORIGINAL} --hold 400ms")).start_all(0..5);
        ring.wait_until_all_work(SOON, 0, &all(variant));
        let owner = ring.wait_for_next_step(SOON).node;
        let first = if variant.name == "owner-cut-off" { owner } else { (owner + 1) % 5 };
        let (small, large): (Vec<usize>, Vec<usize>) = (0..5).partition(|node| [first, (first + 2) % 5].contains(node));
        let pairs = small.iter().flat_map(|a| large.iter().map(move |b| (HOSTS[*a], HOSTS[*b])));
        pairs.clone().for_each(|(a, b)| lab.cut(a, b));
        let from = ring.steps().len();
        wait_for(SOON, "the side of two to say why it stops", || {
            let says =
                |node: &usize| ring.log(*node).contains("of 5 members") && ring.log(*node).contains("3 are needed");
            small.iter().all(says)
        });
        ring.wait_until_all_work(SOON, from, &large);
        let from = ring.steps().len();
        let works = || workers(&ring.steps()[from..]).iter().any(|node| small.contains(node));
        assert!(!holds_within(Duration::from_secs(3), works), "the side of two works");
        pairs.for_each(|(a, b)| lab.heal(a, b));
        let from = ring.steps().len();
        ring.wait_until_all_work(REJOINED, from, &all(variant));
        assert_increasing(&ring.steps());
    });
}

#[test]
fn without_members_both_sides_of_a_partition_continue_and_in_the_end_there_is_one_token() {
    let test = "without_members_both_sides_of_a_partition_continue_and_in_the_end_there_is_one_token";
    play(test, &[variant("plain", 5, false)], |place, lab, variant| {
        let ring = ring(place, lab, variant, &format!("{SHORT} --hold 100ms")).start_all(0..5);
        ring.wait_until_all_work(SOON, 0, &all(variant));
        for _ in 0..2 {
            let pairs = [0, 3].iter().flat_map(|a| [1, 2, 4].iter().map(move |b| (HOSTS[*a], HOSTS[*b])));
            pairs.clone().for_each(|(a, b)| lab.cut(a, b));
            let both = |steps: &[common::ring::Step], from: usize| {
                let by = |node: usize| steps[from..].iter().filter(|step| step.node == node).count();
                (0..5).all(|node| by(node) > 3)
            };
            let from = ring.steps().len();
            ring.wait_for_steps(SOON, "both sides to work", |steps| both(steps, from));
            pairs.for_each(|(a, b)| lab.heal(a, b));
            one_token(&ring, variant);
        }
    });
}

/// A key file that only its owner may read.
fn key(place: &Place, name: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = place.write(name, format!("{name}, the secret of a ring"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("the file is ours");
    path.display().to_string()
}

#[test]
fn a_node_with_another_secret_or_none_gets_nothing_and_disturbs_nothing() {
    let test = "a_node_with_another_secret_or_none_gets_nothing_and_disturbs_nothing";
    // With periods that are long enough for a busy machine, so that no new token is made.
    play(test, &both(5), |place, lab, variant| {
        let (right, wrong) = (key(place, "right.key"), key(place, "wrong.key"));
        let three = Variant { nodes: 3, ..variant };
        let ring = ring(place, lab, three, &format!("{ORIGINAL} --hold 100ms --key-file {right}")).start_all(0..3);
        let steps = ring.wait_until_all_work(SOON, 0, &[0, 1, 2]);
        let epoch = steps[steps.len() - 1].token.0;
        let member = if variant.members { " --members 3" } else { "" };
        let options = [format!("{ORIGINAL} --key-file {wrong}{member}"), format!("{ORIGINAL}{member}")];
        let strangers = Ring::new(place, &format!("{}-strangers", variant.name), |node| {
            let mut command = lab.arete(HOSTS[node]);
            // Each would be the last in order, and the strongest.
            command.args(["ring", "--interface", "eth0", "--id", &format!("z{node}")]);
            command.args(options[node - 3].split_whitespace());
            command
        });
        strangers.start(3);
        strangers.start(4);
        let from = ring.steps().len();
        // The node without a secret hears a ring that it cannot join. The other one hears no ring, and makes a token
        // itself.
        let told = |node: usize, text: &str| strangers.log(node).contains(text);
        wait_for(SOON, "the strangers to have looked", || told(3, "-> generating") && told(4, "the token is at"));
        wait_for(SOON, "all to say what is wrong", || {
            let ours = |node| ring.log(node).contains("10.77.0.4 says what is not sealed with our key");
            (0..3).all(ours) && told(3, "is not sealed with our key") && told(4, "this node needs --key-file too")
        });
        let steps = ring.wait_for_steps(SOON, "the ring to go on", |steps| steps.len() > from + 12);
        assert_in_order(&steps[from..], 3);
        assert_eq!(steps[steps.len() - 1].token.0, epoch, "no node accepted the token");
        let theirs = strangers.steps();
        assert!(theirs.iter().all(|step| step.data.chars().all(|digit| "34".contains(digit))), "they got {theirs:?}");
        assert!(!variant.members || theirs.is_empty(), "a stranger has no majority: {theirs:?}");
    });
}
