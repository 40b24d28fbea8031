//! Configuration files and `--check`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::common::{Ended, Needed, Pki, Place, is_root, skip};

/// The problem with this configuration of a slave.
#[track_caller]
fn wrong(place: &Place, text: &str) -> Ended {
    place.write("slave.json", text);
    place.arete(["slave", "--config", "slave.json"]).run().exits_with(2)
}

#[test]
fn every_mistake_in_a_configuration_is_reported_with_its_file_line_and_key() {
    let place = Place::new("mistakes");
    let text = r#"{
        "controller": "127.0.0.1",
        "orphan-after": "soon",
        "labels": {"role": "client", "no name": "x"},
        "nmae": "a",
        "once": "yes",
        "dir": ["a"],
        "keep": true, "keep": false,
        "tls": "a",
        "insecure": true
    }"#;
    wrong(&place, text).complains(&[
        "arete: slave.json:3: \"orphan-after\": \"soon\" is not a time",
        "arete: slave.json:4: \"labels\": \"no name\" cannot name a label",
        "arete: slave.json:5: unknown key \"nmae\", did you mean \"name\"?",
        "arete: slave.json:6: \"once\": it is true or false, found a string",
        "arete: slave.json:7: \"dir\": it is a string or a number, found a list",
        "arete: slave.json:8: the key \"keep\" is here twice",
        "arete: slave.json:10: \"insecure\": ",
    ]);
    wrong(&place, "{\n\"controller\": \"a\",\n}").complains(&["arete: slave.json:2: remove this \",\""]);
    wrong(&place, "[]").complains(&["arete: slave.json:1: a configuration is an object"]);
    for alone in ["config", "check", "help", "secret"] {
        wrong(&place, &format!("{{\"{alone}\": true}}")).complains(&["unknown key"]);
    }
    place
        .arete(["controller", "--config", "none.json"])
        .run()
        .exits_with(2)
        .complains(&["none.json: it does not exist"]);
    let far = r#"{"controller": "192.0.2.1"}"#;
    wrong(&place, far).complains(&["arete: slave.json:1: \"controller\" 192.0.2.1: without TLS"]);
}

#[test]
fn the_command_line_wins_over_the_configuration() {
    let place = Place::new("wins");
    place.write("controller.json", r#"{"listen": "nowhere.invalid", "tls": "none", "rejoin": 1, "value-max": "1KiB"}"#);
    let mut controller =
        place.arete(["controller", "--config", "controller.json", "--listen", "127.0.0.1:0", "--insecure"]).start();
    controller.wait_for_output("listening on 127.0.0.1:");
    let address = controller.stdout().trim_start_matches("listening on ").trim().to_owned();
    // Options that only the file has are used.
    let data = format!("\"{}\"", "x".repeat(2000));
    let sync = place.arete(["sync", "s", "--count", "1", "--data", &data, "--as", "a", "--controller", &address]);
    sync.run().exits_with(1).complains(&["a value has at most 1024 bytes"]);
}

#[test]
fn a_slave_that_a_run_starts_here_reads_no_configuration() {
    let test = "a_slave_that_a_run_starts_here_reads_no_configuration";
    let place = Place::new("usual");
    place.write("etc/arete/slave.json", r#"{"controller": "127.0.0.1:1", "tls": "/nowhere", "once": 7}"#);
    place.write("etc/arete/controller.json", "{}");
    let hides = |command: &str| {
        let script = format!("mount --bind '{}' /etc && exec {command}", place.path("etc").display());
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", &script]);
        unshare
    };
    if !is_root() || !hides("true").status().is_ok_and(|status| status.success()) {
        return skip(test, "only root may hide /etc", Needed::InCi);
    }
    let arete = env!("CARGO_BIN_EXE_arete");
    let said = place.program(hides(&format!("{arete} slave"))).run().exits_with(2);
    said.complains(&["/etc/arete/slave.json:1: \"once\": it is true or false, found a number"]);
    place
        .program(hides(&format!("{arete} controller")))
        .run()
        .exits_with(2)
        .complains(&["in /etc/arete/controller.json"]);
    place.write(
        "test.json",
        r#"{"name": "t", "triggers": {"t": 1}, "end": {"trigger": "t", "limit": "20s"}, "schedules": {"s": [{"name": "a", "at": 0, "notify": "t"}]},
        "slaves": {"x": ["s"]}}"#,
    );
    place.program(hides(&format!("{arete} run test.json"))).run().exits_with(0);
    // If a configuration file cannot be read, the program does not start without it.
    let unread = place.write("etc/arete/slave.json", "{}");
    fs::set_permissions(unread, fs::Permissions::from_mode(0o000)).expect("a mode can be set");
    let nobody = format!("setpriv --reuid 65534 --clear-groups {arete} slave");
    fs::set_permissions(place.dir(), fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    let cannot = "/etc/arete/slave.json: cannot read it: permission denied; let this user read it";
    place.program(hides(&nobody)).run().exits_with(1).complains(&[cannot]);
}

#[test]
fn the_hello_of_a_slave_has_its_labels() {
    use std::io::{BufRead, BufReader};
    let place = Place::new("labels");
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has free ports");
    let controller = listener.local_addr().expect("it is bound").to_string();
    place.write("slave.json", r#"{"labels": {"role": "client", "rack": "a,b", "os": "other"}, "name": "n1"}"#);
    let args = ["slave", "--config", "slave.json", "--dir", "work", "--controller", &controller];
    let _slave = place.arete(args).env("XDG_RUNTIME_DIR", place.path("run")).start();
    let (stream, _) = listener.accept().expect("the slave connects");
    let mut hello = String::new();
    BufReader::new(stream).read_line(&mut hello).expect("the slave sends hello");
    let hello: serde_json::Value = serde_json::from_str(&hello).expect("a hello is JSON");
    let labels = serde_json::json!({"arch": std::env::consts::ARCH, "os": "other", "rack": "a,b", "role": "client"});
    assert_eq!(hello["labels"], labels, "{hello}");
}

#[test]
fn a_check_finds_nothing_wrong_and_starts_nothing() {
    let place = Place::new("check");
    let pki = Pki::new(&place);
    let (tls, own) = (pki.controller(&["127.0.0.1"]), pki.machine("n1"));
    let config = serde_json::json!({"listen": "127.0.0.1:0", "tls": tls, "state-dir": "state"});
    place.write("controller.json", config.to_string());
    let said = place.arete(["controller", "--config", "controller.json", "--check"]).run().exits_with(0).stdout;
    for part in [
        "configuration: controller.json\n",
        "certificate: ",
        "state directory: state can be made\n",
        "nothing is wrong\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let mut controller = place.arete(["controller", "--config", "controller.json"]).start();
    controller.wait_for_output("listening on ");
    let address = controller.stdout().trim_start_matches("listening on ").trim().to_owned();
    let config = serde_json::json!({"controller": address, "name": "n1", "tls": own, "dir": "work"});
    place.write("slave.json", config.to_string());
    let said = place.arete(["slave", "--config", "slave.json", "--check"]).run().exits_with(0).stdout;
    for part in [
        "configuration: slave.json\n",
        "name: n1\n",
        "labels: arch=",
        "work directory: work can be made\n",
        &format!("controller {address}: reached, it proves to be controller, 127.0.0.1\n"),
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!place.path("work").exists(), "a check leaves nothing");
    let config = serde_json::json!({"listen": address, "tls": tls, "state-dir": "state"});
    place.write("controller.json", config.to_string());
    let said = place.arete(["controller", "--config", "controller.json", "--check"]).run().exits_with(0).stdout;
    for part in [&*format!("listen {address}:"), "state directory: state is"] {
        assert!(said.contains(&format!("{part} in use, which is right if this controller runs already\n")), "{said}");
    }
    let state: Vec<_> = fs::read_dir(place.path("state")).expect("the controller works there").flatten().collect();
    assert!(state.iter().all(|entry| !entry.file_name().to_string_lossy().contains("check")), "{state:?}");
}

#[test]
fn a_check_reports_all_problems_with_their_remedies() {
    let place = Place::new("check-wrong");
    let pki = Pki::new(&place);
    let tls = pki.controller(&["127.0.0.1"]);
    let n1 = pki.machine("n1");
    let mut controller = place.arete(["controller", "--listen", "127.0.0.1:0", "--tls"]).arg(&tls).start();
    controller.wait_for_output("listening on ");
    let address = controller.stdout().trim_start_matches("listening on ").trim().to_owned();
    let check = |more: &[&str], tls: &std::path::Path| {
        place.write("file", "");
        let args = ["slave", "--check", "--dir", "file/below", "--tls"];
        more.iter().fold(place.arete(args).arg(tls), |program, word| program.arg(word)).run().exits_with(1)
    };
    // The name, the directory and the address, all in one.
    let unused_port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has free ports");
        listener.local_addr().expect("it is bound").to_string()
    };
    check(&["--name", "n2", "--controller", &unused_port], &n1).complains(&[
        "it is for n1 and not for n2: issue one with \"arete pki issue DIR n2\"",
        "work directory: cannot write in file/below: ",
        "--dir",
        "nothing listens at 127.0.0.1:",
    ]);
    check(&["--name", "n1", "--controller", "no.such.host.invalid"], &n1)
        .complains(&["the name no.such.host.invalid cannot be looked up", "use its address"]);
    fs::set_permissions(n1.join("key.pem"), fs::Permissions::from_mode(0o644)).expect("a mode can be set");
    check(&["--name", "n1", "--controller", &address], &n1).complains(&["chmod 600"]);
    // A certificate of another authority.
    place.arete(["pki", "init", "other"]).run().exits_with(0);
    place.arete(["pki", "issue", "other", "n1"]).run().exits_with(0);
    check(&["--name", "n1", "--controller", &address], &place.path("other/n1"))
        .complains(&["its certificate was signed by another authority than ours"]);
    place.write("file", "");
    let socket = ["controller", "--check", "--listen", "127.0.0.1:0", "--state-dir", "state", "--socket", "file"];
    place.arete(socket).run().exits_with(1).complains(&["--socket file: the file exists and is not a socket"]);
    let missing = place.arete(["controller", "--config", "missing.json"]).run();
    missing.exits_with(2).complains(&["missing.json: it does not exist: create it, or leave --config out"]);
    let plain = place.arete(["slave", "--check", "--name", "n1", "--controller", "192.0.2.1:1"]).run();
    plain.exits_with(2).complains(&["--controller 192.0.2.1:1: without TLS", "add --tls lab/n1"]);
}
