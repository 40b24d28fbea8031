//! The token ring with the real program: nodes on the loopback interface, options that they refuse, the demo and the
//! watcher.

#![forbid(unsafe_code)]

mod common;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use common::program::{Ended, Running};
use common::ring::free_ports;
use common::{Lab, Place, SOON, must, repository, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// The first 300 digits, from `bc -l`. A spigot after Gibbons gives the same.
const PI: &str = "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214\
                  808651328230664709384460955058223172535940812848111745028410270193852110555964462294895493038196442881097566\
                  593344612847564823378678316527120190914564856692346034861045432664821339360726024914127372458700";

/// Appends a letter to the data.
const ADD_ONE: &str = "cat; printf x";

/// Nodes on the loopback interface with short periods.
struct Nodes<'a> {
    place: &'a Place,
    ports: (u16, u16),
    running: RefCell<Vec<Option<Running<'a>>>>,
    more: Vec<String>,
}

/// A token in the log of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Token {
    epoch: u64,
    hop: u64,
    progress: u64,
    node: usize,
}

impl<'a> Nodes<'a> {
    /// Starts `count` nodes, with these options in addition to the common ones.
    fn start(place: &'a Place, count: usize, work: &str, more: &[&str]) -> Nodes<'a> {
        let more = ["--work", work].iter().chain(more).map(|word| (*word).to_owned()).collect();
        let nodes = Nodes { place, ports: free_ports(), running: RefCell::default(), more };
        for number in 1..=count {
            let node = nodes.place.arete(nodes.args(number)).deadline(Duration::from_secs(120)).start();
            nodes.running.borrow_mut().push(Some(node));
        }
        nodes
    }

    fn args(&self, number: usize) -> Vec<String> {
        let (udp, state) = self.ports;
        let fixed = format!(
            "ring --interface lo --address 127.0.77.{number} --state-dir state{number} --udp-port {udp} --tcp-port {udp} \
             --state-port {state} --heartbeat 50ms --waiter 250ms --ask 50ms --answer 250ms --generating 250ms"
        );
        fixed.split_whitespace().map(str::to_owned).chain(self.more.iter().cloned()).collect()
    }

    /// All tokens in the logs of all nodes, in their order.
    fn tokens(&self) -> Vec<Token> {
        let running = self.running.borrow();
        let logs = running.iter().enumerate().filter_map(|(node, running)| Some((node, running.as_ref()?.stdout())));
        let mut tokens: Vec<Token> = logs.flat_map(|(node, log)| tokens_of(node, &log)).collect();
        tokens.sort();
        tokens
    }

    fn last_token(&self) -> Option<Token> {
        self.tokens().last().copied()
    }

    #[track_caller]
    fn wait_for_tokens(&self, what: &str, enough: impl Fn(&[Token]) -> bool) -> Vec<Token> {
        wait_for(SOON, what, || enough(&self.tokens()));
        self.tokens()
    }

    fn signal(&self, node: usize, signal: Signal) {
        self.running.borrow()[node].as_ref().expect("it runs").signal(signal);
    }

    #[track_caller]
    fn end(&self, node: usize) -> Ended {
        self.running.borrow_mut()[node].take().expect("it runs").wait()
    }

    fn data(&self, node: usize) -> String {
        let text = self.place.read(format!("state{}/data.json", node + 1));
        let json: serde_json::Value = serde_json::from_str(&text).expect("the data is JSON");
        json["data"].as_str().expect("it has data").to_owned()
    }
}

fn tokens_of(node: usize, log: &str) -> Vec<Token> {
    let parse = |line: &str| {
        let (_, rest) = line.split_once(" token ")?;
        let (fence, progress) = rest.split_once(" is here, progress ")?;
        let (epoch, hop) = fence.split_once('.')?;
        Some(Token { epoch: epoch.parse().ok()?, hop: hop.parse().ok()?, progress: progress.parse().ok()?, node })
    };
    log.lines().filter_map(parse).collect()
}

/// The number of different nodes that have had the token.
fn visited(tokens: &[Token]) -> usize {
    tokens.iter().map(|token| token.node).collect::<BTreeSet<_>>().len()
}

#[test]
fn three_nodes_find_each_other_and_each_hop_makes_pi_longer_by_one() {
    let place = Place::new("ring-cold");
    let step = format!("sh '{}'", repository().join("examples/pi.sh").display());
    let nodes = Nodes::start(&place, 3, &step, &["--members", "3", "--hold", "20ms"]);
    let tokens = nodes.wait_for_tokens("four rounds", |tokens| tokens.len() >= 12 && visited(tokens) == 3);
    let last = tokens.last().expect("there are some").epoch;
    let tokens: Vec<_> = tokens.into_iter().filter(|token| token.epoch == last).collect();
    for pair in tokens.windows(2) {
        assert_eq!(pair[1].hop, pair[0].hop + 1, "no hop is left out, none is twice: {pair:?}");
        assert_eq!(pair[1].progress, pair[0].progress + 1, "one more a hop: {pair:?}");
        assert_eq!(pair[1].node, (pair[0].node + 1) % 3, "in the order of ids: {pair:?}");
    }
    let data = nodes.data(tokens[tokens.len() - 1].node);
    assert!(data.len() > 8 && PI.starts_with(&data), "{data}");
}

#[test]
fn an_owner_that_is_killed_is_replaced_and_no_acknowledged_data_is_lost() {
    let place = Place::new("ring-kill");
    let nodes = Nodes::start(&place, 3, ADD_ONE, &["--members", "3", "--hold", "100ms"]);
    nodes.wait_for_tokens("everybody to have had the token", |tokens| visited(tokens) == 3);
    let killed = nodes.last_token().expect("a node has it");
    nodes.signal(killed.node, Signal::KILL);
    let tokens = nodes.wait_for_tokens("the two others to pass a newer token on", |tokens| {
        let newer: Vec<_> = tokens.iter().filter(|token| token.epoch > killed.epoch).copied().collect();
        visited(&newer) == 2
    });
    let first = tokens.iter().find(|token| token.epoch > killed.epoch).expect("it was waited for");
    assert!(first.progress >= killed.progress, "{first:?} continues from {killed:?}");
    assert!(tokens.iter().all(|token| token.epoch <= killed.epoch || token.node != killed.node));
}

#[test]
fn an_owner_that_gets_a_signal_hands_the_token_on_first() {
    let place = Place::new("ring-term");
    let nodes = Nodes::start(&place, 3, ADD_ONE, &["--hold", "10min"]);
    let first = nodes.wait_for_tokens("a token", |tokens| !tokens.is_empty())[0];
    // Its step runs, and then it would hold the token for long.
    wait_for(SOON, "the step", || place.path(format!("state{}/step.out", first.node + 1)).exists());
    wait_for(SOON, "the others to report it", || {
        let running = nodes.running.borrow();
        running.iter().flatten().filter(|node| node.stdout().contains("-> waiter")).count() == 2
    });
    nodes.signal(first.node, Signal::TERM);
    let ended = nodes.end(first.node).exits_with(0);
    assert!(ended.stdout.contains(&format!("hands token {}.1 to ", first.epoch)), "{}", ended.stdout);
    let next = nodes.wait_for_tokens("the next to have it", |tokens| !tokens.is_empty())[0];
    assert_eq!((next.epoch, next.hop), (first.epoch, 1), "it is the same token");
}

#[test]
fn nodes_with_a_secret_pass_the_token_on_and_a_watcher_without_it_sees_nothing() {
    let place = Place::new("ring-key");
    let key = key_file(&place, "ring.key", "a secret of all nodes\n", 0o600);
    let other = key_file(&place, "other.key", "a secret of somebody else\n", 0o600);
    let key = key.display().to_string();
    let nodes = Nodes::start(&place, 2, ADD_ONE, &["--hold", "50ms", "--key-file", &key]);
    let watch = |key: &str| {
        let (udp, state) = (nodes.ports.0.to_string(), nodes.ports.1.to_string());
        let args = ["ring", "watch", "--udp-port", &udp, "--state-port", &state, "--key-file", key];
        place.arete(args).start()
    };
    let (mut ours, others) = (watch(&key), watch(&other.display().to_string()));
    nodes.wait_for_tokens("the token at both", |tokens| visited(tokens) == 2);
    ours.wait_for_output("\"event\":\"token\"");
    others.signal(Signal::TERM);
    assert_eq!(others.wait().exits_with(0).stdout, "");
}

#[test]
fn a_watcher_prints_a_line_of_json_for_all_that_changes() {
    let place = Place::new("ring-watch");
    let nodes = Nodes::start(&place, 2, ADD_ONE, &["--hold", "50ms"]);
    let (udp, state) = (nodes.ports.0.to_string(), nodes.ports.1.to_string());
    let mut watch =
        place.arete(["ring", "watch", "--interface", "lo", "--udp-port", &udp, "--state-port", &state]).start();
    for node in ["127.0.77.1", "127.0.77.2"] {
        watch.wait_for_output(&format!("\"event\":\"token\",\"node\":\"{node}\",\"address\":\"{node}\""));
    }
    watch.signal(Signal::INT);
    let ended = watch.wait().exits_with(130);
    let lines = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("each line is JSON"));
    let lines: Vec<serde_json::Value> = lines.collect();
    let token = lines.iter().rfind(|line| line["event"] == "token").expect("it was waited for");
    assert_eq!(token["state"], "owner");
    assert!(token["epoch"].as_u64() > Some(0) && token["progress"].is_u64() && token["hops_a_minute"].is_u64());
    assert!(lines.iter().any(|line| line["event"] == "new") && lines.iter().any(|line| line["state"] == "waiter"));
}

#[test]
fn a_demo_and_a_watcher_end_when_their_reader_closes_the_pipe() {
    let place = Place::new("ring-unread");
    let arete = env!("CARGO_BIN_EXE_arete");
    let head = |command: &str| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("'{arete}' ring {command} | head -n 3")]);
        let shown = place.program(shell).deadline(Duration::from_secs(30)).run().exits_with(0).stdout;
        assert_eq!(shown.lines().count(), 3, "{shown}");
    };
    head("demo -n 3 --hold 50ms");
    let nodes = Nodes::start(&place, 2, ADD_ONE, &["--hold", "50ms"]);
    head(&format!("watch --udp-port {} --state-port {}", nodes.ports.0, nodes.ports.1));
    drop(nodes);
    place.assert_nothing_left();
}

#[test]
fn the_demo_shows_digits_that_grow_and_a_recovery_and_leaves_nothing() {
    let place = Place::new("ring-demo");
    let mut demo = place.arete(["ring", "demo", "--hold", "50ms"]).start();
    demo.wait_for_output("  3.14159265");
    let log = demo.stdout();
    for node in 1..=5 {
        assert!(log.contains(&format!("  node{node}  runs at 127.0.")), "{log}");
        assert!(log.contains(&format!("  node{node}  has token ")), "{log}");
    }
    let pid =
        log.lines().find_map(|line| line.split_once("node3  runs at ")?.1.split_once("(pid ")?.1.strip_suffix(')'));
    let pid: i32 = pid.and_then(|pid| pid.parse().ok()).expect("the pid of node3 is printed");
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("it runs");
    demo.wait_for_output("node3  died of SIGKILL; the demo does not start it again; 4 of 5 go on");
    let hops = |log: &str| log.lines().filter(|line| line.contains("has token")).count();
    let before = hops(&demo.stdout());
    wait_for(SOON, "the others to go on", || hops(&demo.stdout()) > before + 8);
    demo.signal(Signal::INT);
    let ended = demo.wait().exits_with(130);
    let last = ended.stdout.lines().rfind(|line| line.contains("has token")).expect("it was waited for");
    let digits = last.split_once("  3.").map(|(_, digits)| format!("3.{digits}")).expect("it has digits");
    assert!(PI.starts_with(digits.split("...").next().unwrap_or_default()), "{digits}");
    place.assert_nothing_left();
    place.assert_no_temporary_files();
}

#[test]
fn each_step_gives_one_character_more_of_pi() {
    let place = Place::new("ring-pi");
    let step = repository().join("examples/pi.sh");
    let next = |digits: &str| {
        let input = place.write("digits", digits);
        let command = format!("'{}' < '{}'", step.display(), input.display());
        must(std::process::Command::new("sh").args(["-c", &command]))
    };
    let mut digits = String::new();
    for _ in 0..20 {
        let more = next(&digits);
        assert_eq!(more.len(), digits.len() + 1);
        digits = more;
    }
    for length in [20, 99, 200, PI.len() - 1] {
        assert_eq!(next(&PI[..length]), PI[..=length], "after {length} characters");
    }
}

fn key_file(place: &Place, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = place.write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the file is ours");
    path
}

/// A node with these options does not start.
#[track_caller]
fn refuses(place: &Place, args: &str, code: i32, says: &[&str]) {
    let args: Vec<&str> = ["ring"].into_iter().chain(args.split_whitespace()).collect();
    place.arete(&args).deadline(SOON).run().exits_with(code).complains(&["arete: "]).complains(says);
    place.assert_no_temporary_files();
}

#[test]
fn a_node_with_wrong_options_reports_them_before_it_starts() {
    let place = Place::new("ring-refused");
    let refused = |args: &str, code, says: &[&str]| refuses(&place, &format!("--work cat {args}"), code, says);
    refused("", 2, &["--interface <IF>"]);
    refused("--interface eth77", 1, &["there is no interface eth77; there are: ", "lo"]);
    refused(
        "--interface lo --address 10.1.2.3",
        1,
        &["--address 10.1.2.3: lo does not have this address, but 127.0.0.1"],
    );
    refused("--interface lo --members 3", 2, &["--state-dir"]);
    refused("--interface lo --members 0 --state-dir s", 2, &["--members", "from 1 to 1024"]);
    refused("--interface lo --members 3 --state-dir s --compat", 2, &["--compat", "cannot be used with"]);
    refused("--interface lo --id=", 2, &["--id", "1 to 64 bytes"]);
    refused("--interface lo --waiter 1s", 2, &["--waiter 1s is too short for --heartbeat 500ms", "more than 1s"]);
    refused("--interface lo --udp-port 4000 --state-port 4000", 2, &["--udp-port and --state-port are both 4000"]);
    refused("--interface lo --state-dir /proc/here", 1, &["--state-dir /proc/here: cannot make it"]);
    place.write("file", "");
    refused("--interface lo --state-dir file", 1, &["--state-dir file: cannot make it"]);
    refuses(&place, "--interface lo", 2, &["--work <CMD>"]);
    refuses(&place, "--interface lo --work ./step.sh", 1, &["--work: cannot run ./step.sh: no such file"]);
    refuses(
        &place,
        "--interface lo --work no-such-step",
        1,
        &["--work: cannot run no-such-step: no such program on the PATH"],
    );
    place.write("step.sh", "cat\n");
    refuses(&place, "--interface lo --work ./step.sh", 1, &["it is not executable: run \"chmod +x ./step.sh\""]);
    refuses(&place, "--interface lo --work cat --progress ./nothing", 1, &["--progress: cannot run ./nothing"]);
}

#[test]
fn a_secret_that_others_can_read_or_guess_is_refused() {
    let place = Place::new("ring-secret");
    let refused = |file: PathBuf, says: &str| {
        let file = file.display();
        refuses(&place, &format!("--work cat --interface lo --key-file {file}"), 1, &["--key-file ", says]);
    };
    let secret = "0123456789abcdef";
    refused(key_file(&place, "group", secret, 0o640), "chmod 600");
    refused(key_file(&place, "all", secret, 0o604), "chmod 600");
    refused(key_file(&place, "empty", "\n", 0o600), "it is empty");
    refused(key_file(&place, "short", "0123456789abcde\n", 0o600), "it has 15 bytes: a secret has at least 16 bytes");
    refused(place.path("absent"), "cannot read it: no such file");
    if rustix::process::geteuid().is_root() {
        let foreign = key_file(&place, "foreign", secret, 0o600);
        std::os::unix::fs::chown(&foreign, Some(65534), None).expect("root may");
        refused(foreign, "it belongs to user 65534");
    }
    key_file(&place, "compat", secret, 0o600);
    refuses(&place, "--work cat --interface lo --compat --key-file compat", 2, &["cannot be used with"]);
}

#[test]
fn ports_and_state_directories_are_for_one_node_each() {
    let place = Place::new("ring-in-use");
    let nodes = Nodes::start(&place, 1, ADD_ONE, &[]);
    wait_for(SOON, "the first node", || {
        nodes.running.borrow()[0].as_ref().is_some_and(|node| !node.stdout().is_empty())
    });
    let (udp, state) = nodes.ports;
    let ports = format!("--work cat --interface lo --udp-port {udp} --tcp-port {udp} --state-port {state}");
    let same_address =
        format!("--tcp-port {udp}: cannot listen on 127.0.77.1:{udp}: address already in use; stop the other node");
    refuses(&place, &format!("{ports} --address 127.0.77.1"), 7, &[&same_address]);
    let same_directory = "--state-dir state1: another node uses it";
    refuses(&place, &format!("{ports} --address 127.0.77.2 --state-dir state1"), 1, &[same_directory]);
    let (taken, _) = free_ports();
    let _socket = UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], taken))).expect("it was free");
    let in_use = format!("--udp-port {taken}: another program has UDP port {taken}");
    refuses(&place, &format!("--work cat --interface lo --udp-port {taken} --address 127.0.77.3"), 7, &[&in_use]);
}

#[test]
fn an_interface_that_no_ring_can_be_on_is_refused() {
    let Some(lab) = Lab::new("an_interface_that_no_ring_can_be_on_is_refused", &["a"]) else { return };
    let place = Place::new("ring-interface");
    let refused = |says: &str| {
        let mut node = lab.arete("a");
        node.args(["ring", "--interface", "eth0", "--work", "cat"]);
        place.program(node).deadline(SOON).run().exits_with(1).complains(&[says]);
    };
    let ip = |args: &[&str]| must(lab.command("a", "ip").args(args));
    ip(&["address", "flush", "dev", "eth0"]);
    refused("--interface eth0 has no IPv4 address: \"ip address add ADDRESS/LENGTH dev eth0\" gives it one");
    ip(&["address", "add", "10.77.0.1/32", "dev", "eth0"]);
    refused("--interface eth0 has no broadcast address for 10.77.0.1");
    ip(&["address", "add", "10.78.0.1/24", "dev", "eth0"]);
    let mut node = lab.arete("a");
    node.args(["ring", "--interface", "eth0", "--work", "cat"]);
    let mut node = place.program(node).start();
    node.wait_for_output(" at 10.78.0.1, ");
    node.signal(Signal::TERM);
    node.wait().exits_with(0);
    lab.interface_down("a");
    refused("--interface eth0 is down: \"ip link set eth0 up\" brings it up");
}
