//! One machine: the secret of an embedded run, and the control socket of a slave.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::common::{Needed, Place, SOON, is_root, python, skip, strays, wait_for};

const TEST: &str = r#"{"name": "t", "end": {"idle": true, "limit": "30s"},
    "schedules": {"s": [{"name": "env", "at": 0, "shell": "env > env; cat /proc/$PPID/cmdline > ppid; while [ ! -e GO ]; do sleep 0.05; done"}]},
    "slaves": {"s0": ["s"], "s1": ["s"]}}"#;

/// Sends a line to a plain address and returns the first answer.
fn ask(address: &str, line: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it connects");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream.write_all(line.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("it is answered");
    answer
}

#[test]
fn an_embedded_run_takes_its_own_slaves_alone() {
    let place = Place::new("secret");
    let go = place.path("go");
    place.write("t.json", TEST.replace("GO", &go.display().to_string()));
    let run = place.arete(["run", "t.json", "--results", "results"]).start();
    wait_for(SOON, "the commands to run", || place.count("results", "spawned") == 2);
    let all = strays::of(place.mark(), place.dir());
    let slave = all.iter().find(|stray| stray.command.contains(" slave ")).expect("a slave runs");
    let secret = fs::read_to_string(format!("/proc/{}/fd/0", slave.pid)).expect("its standard input");
    assert_eq!(secret.len(), 32, "{secret:?}");
    for stray in &all {
        let environ = fs::read(format!("/proc/{}/environ", stray.pid)).unwrap_or_default();
        let words = fs::read(format!("/proc/{}/cmdline", stray.pid)).unwrap_or_default();
        let shown = String::from_utf8_lossy(&[environ, words].concat()).into_owned();
        assert!(!shown.contains(&secret), "{}: {shown}", stray.command);
    }
    let mut words = slave.command.split(' ').skip_while(|word| *word != "--controller");
    let address = words.nth(1).expect("it has its controller's address").to_owned();
    let hello = |more: &str| {
        ask(
            &address,
            &format!(
                "{{\"type\":\"hello\",\"protocol\":1,\"version\":\"x\",\"name\":\"s0\",\"incarnation\":\"i\"{more}}}\n"
            ),
        )
    };
    let wrong = format!(",\"secret\":\"{}\"", secret.chars().rev().collect::<String>());
    for said in [hello(""), hello(",\"secret\":\"\""), hello(&wrong)] {
        assert!(said.contains("\"bye\"") && said.contains("admits no other peer"), "{said}");
    }
    // With the secret, the hello gets further: the name is already in use.
    let said = hello(&format!(",\"secret\":\"{secret}\""));
    assert!(said.contains("another slave called s0 is connected"), "{said}");
    let run_id = place.events("results").iter().find_map(|event| event["run"].as_str().map(str::to_owned));
    let room = run_id.unwrap_or_else(|| "default".to_owned());
    let join =
        format!("{{\"type\":\"join\",\"protocol\":1,\"version\":\"x\",\"incarnation\":\"j\",\"room\":\"{room}\"}}\n");
    assert!(ask(&address, &join).contains("admits no other peer"));
    place.write("go", "");
    run.wait().exits_with(0);
    for file in ["results/events.jsonl", "results/summary.json", "results/s0/arete.log"] {
        assert!(!place.read(file).contains(&secret), "{file}");
    }
    place.assert_nothing_left();
}

/// Sends a poke to the control socket, and prints the answer.
const POKE: &str = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                    try: s.sendall(b'{\"type\":\"poke\"}\\n')\nexcept BrokenPipeError: pass\nprint(s.makefile().read())";

#[test]
fn the_control_socket_answers_its_own_user_and_root_alone() {
    let test = "the_control_socket_answers_its_own_user_and_root_alone";
    if !is_root() {
        return skip(test, "it needs root, to be another user", Needed::Nowhere);
    }
    let place = Place::new("socket");
    let runtime = place.path("run");
    let mut slave = place
        .arete(["slave", "--controller", "127.0.0.1:1", "--name", "s", "--dir", "w"])
        .env("XDG_RUNTIME_DIR", &runtime)
        .start();
    let socket = runtime.join("arete").join(format!("{}.sock", slave.pid()));
    wait_for(SOON, "the control socket", || socket.exists());
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(&runtime.join("arete"))), (0o600, 0o700));
    let ask = |user: &str| {
        let mut command = Command::new("setpriv");
        let own = [format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()];
        command.args(own).arg(python().get_program()).args(["-I", "-c", POKE]).arg(&socket);
        place.program(command).run()
    };
    assert!(ask("0").exits_with(0).stdout.contains("no run is in progress"));
    // Another user cannot even connect to it.
    ask("65534").exits_with(1).complains(&["PermissionError"]);
    // With open modes, the slave still refuses the request of another user.
    place.make_writable_for_all();
    for (path, mode) in [(runtime.join("arete"), 0o755), (socket.clone(), 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("modes can be changed");
    }
    let refused = ask("65534").exits_with(0).stdout;
    assert!(refused.contains("only that user and root"), "{refused}");
    assert!(ask("0").exits_with(0).stdout.contains("no run is in progress") && slave.is_running());
}
