//! Strangers get no access: certificates on both sides between machines, a secret on one machine, and the messages
//! about wrong certificates.

mod common;
#[path = "strangers/figures.rs"]
mod figures;
#[path = "strangers/here.rs"]
mod here;
#[path = "strangers/openssl.rs"]
mod openssl;
#[path = "strangers/owned.rs"]
mod owned;
#[path = "strangers/peer.rs"]
mod peer;
#[path = "strangers/revoked.rs"]
mod revoked;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Pki, Place, Running, SOON, repository, wait_for};
use peer::{Identity, speak, until_closed};

/// The slaves of the relay.
const RUNNERS: [&str; 4] = ["judge", "runner1", "runner2", "runner3"];

/// A controller of rooms on 127.0.0.1 with this directory for `--tls`. Returns it with its address.
fn controller<'a>(place: &'a Place, tls: &Path) -> (Running<'a>, String) {
    let mut running = place.arete(["controller", "--listen", "127.0.0.1:0", "--tls"]).arg(tls).start();
    running.wait_for_output("listening on ");
    let address = running.stdout().trim_start_matches("listening on ").trim().to_owned();
    (running, address)
}

fn barrier<'a>(place: &'a Place, address: &str, name: &str) -> common::Program<'a> {
    place.arete(["barrier", "b", "--count", "1", "--timeout", "5s", "--as", name, "--controller", address])
}

/// Copies a directory for `--tls`, as to another machine.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("it is there").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("it is copied");
    }
}

/// Starts a slave that keeps trying, and waits until its output contains all of `parts`.
fn slave_says(place: &Place, address: &str, name: &str, tls: &Path, parts: &[&str]) {
    let mut slave = place
        .arete(["slave", "--controller", address, "--once", "--name", name, "--dir"])
        .arg(place.path("work").join(name))
        .arg("--tls")
        .arg(tls)
        .start();
    for part in parts {
        slave.wait_for_output(part);
    }
}

#[test]
fn the_relay_runs_over_tls_while_a_thousand_strangers_stop_in_the_middle_of_a_handshake() {
    let place = Place::new("tls-relay");
    let pki = Pki::new(&place);
    let relay = repository().join("examples/relay.json");
    let mut run = place
        .arete(["run", "--listen", "127.0.0.1:0", "--results", "results", "--wait", "30s", "--tls"])
        .arg(pki.controller(&["127.0.0.1"]))
        .arg(relay)
        .start();
    run.wait_for_output("listening on ");
    let said = run.stdout();
    let address = said.trim_start_matches("listening on ").split(',').next().expect("an address").to_owned();
    let strangers: Vec<_> = (0..1000).map(|nr| peer::half_handshake(&address, nr)).collect();
    let slaves: Vec<_> = RUNNERS
        .iter()
        .map(|name| {
            let dir = place.path("work").join(name);
            let slave = place.arete(["slave", "--once", "--controller", &address, "--name", name, "--dir"]);
            slave.arg(dir).arg("--tls").arg(pki.machine(name)).start()
        })
        .collect();
    let ended = run.wait().exits_with(0);
    assert!(ended.took < SOON, "{:?}", ended.took);
    slaves.into_iter().for_each(|slave| drop(slave.wait().exits_with(0)));
    drop(strangers);
    assert_eq!(place.summary("results")["verdict"], "passed");
    place.assert_nothing_left();
}

#[test]
fn a_slave_and_a_client_act_under_the_names_of_their_certificates_alone() {
    let place = Place::new("tls-names");
    let pki = Pki::new(&place);
    let node1 = pki.issue(&["node1", "--address", "10.0.0.1"]);
    place.write("t.json", r#"{"name": "t", "end": {"idle": true, "limit": "9s"}, "schedules": {"s": [{"name": "x", "at": 0, "shell": "true"}]}, "slaves": {"node1": ["s"], "node2": ["s"]}}"#);
    let mut run = place
        .arete(["run", "t.json", "--listen", "127.0.0.1:0", "--results", "results", "--wait", "8s", "--tls"])
        .arg(pki.controller(&["127.0.0.1"]))
        .start();
    run.wait_for_output("listening on ");
    let address = run.stdout().trim_start_matches("listening on ").split(',').next().expect("an address").to_owned();

    // The program checks its own certificate first.
    let slave = place.arete(["slave", "--once", "--controller", &address, "--name", "node2", "--dir", "w", "--tls"]);
    slave
        .arg(&node1)
        .run()
        .exits_with(1)
        .complains(&["it is for node1, 10.0.0.1 and not for node2", "pki issue DIR node2"]);
    barrier(&place, &address, "node2#a").arg("--tls").arg(&node1).run().exits_with(1).complains(&["not for node2"]);

    // The controller checks it too, and does not rely on that.
    let identity = Identity::read(&node1);
    let hello = |name: &str| {
        format!("{{\"type\":\"hello\",\"protocol\":1,\"version\":\"x\",\"name\":\"{name}\",\"incarnation\":\"i\"}}\n")
    };
    let refused = speak(&address, &identity, &hello("node2"));
    assert!(refused.contains("\"bye\"") && refused.contains("node1, 10.0.0.1 and not for \\\"node2\\\""), "{refused}");
    assert!(refused.contains("\"fatal\":true"), "{refused}");
    let welcome = speak(&address, &identity, &hello("node1"));
    assert!(welcome.contains("\"welcome\"") && welcome.contains("\"prepare\""), "{welcome}");
    let join = |member: &str| {
        format!(
            "{{\"type\":\"join\",\"protocol\":1,\"version\":\"x\",\"incarnation\":\"j\",\"room\":\"r\",\"member\":\"{member}\"}}\n"
        )
    };
    for (member, may) in [("node1#a", true), ("10.0.0.1", true), ("node2", false), ("node2#node1", false)] {
        let said = speak(&address, &identity, &join(member));
        assert_eq!(said.contains("\"welcome\""), may, "{member}: {said}");
    }
    // A client with a certificate may connect without a member's name.
    let nobody = join("x").replace(",\"member\":\"x\"", "");
    assert!(speak(&address, &identity, &nobody).contains("\"welcome\""));
    run.signal(rustix::process::Signal::INT);
    run.wait().exits_with(130);
    assert_eq!(place.count("results", "refused"), 1);
}

#[test]
fn both_ends_learn_why_a_certificate_is_not_valid() {
    let place = Place::new("tls-refused");
    let pki = Pki::new(&place);
    let (old, good, lost) = (place.path("old"), pki.machine("good"), place.path("lost"));
    copy(&pki.machine("gone"), &old);
    pki.revoke("gone");
    let (server, address) = controller(&place, &pki.controller(&["127.0.0.1"]));
    barrier(&place, &address, "good").arg("--tls").arg(&good).run().exits_with(0);

    // Revoked, and its own list does not have it.
    slave_says(&place, &address, "gone", &old, &["the other end has refused us: our certificate was revoked"]);
    // Revoked, and its own list has it.
    let known = place.arete(["slave", "--controller", &address, "--name", "gone", "--dir", "w", "--tls"]);
    known.arg(place.path("lab/gone")).run().exits_with(1).complains(&["it was revoked", "issue a new one"]);

    // The path of the list is wrong. A revoked machine must not be accepted for that reason.
    let astray = place.path("astray");
    copy(&good, &astray);
    fs::remove_file(astray.join("crl.pem")).expect("it has a list");
    std::os::unix::fs::symlink("/nowhere/crl.pem", astray.join("crl.pem")).expect("a link can be made");
    let listens = place.arete(["controller", "--listen", "127.0.0.1:0", "--tls"]).arg(&astray);
    listens.run().exits_with(1).complains(&["astray/crl.pem"]);
    // The key of the authority must be readable for its owner only.
    fs::set_permissions(place.path("lab/ca.key"), fs::Permissions::from_mode(0o644)).expect("it is ours");
    place.arete(["pki", "issue", "lab", "x"]).run().exits_with(1).complains(&["lab/ca.key", "chmod 600"]);

    // Another authority: the one that the slave trusts has not signed the controller's certificate.
    place.arete(["pki", "init", "other"]).run().exits_with(0);
    place.arete(["pki", "issue", "other", "good"]).run().exits_with(0);
    let other = place.path("other/good");
    slave_says(&place, &address, "good", &other, &["its certificate was signed by another authority than ours"]);
    // It trusts the controller, and the controller does not trust it.
    copy(&other, &lost);
    let both = [place.read("other/good/ca.pem"), place.read("lab/ca.pem")].concat();
    place.write("lost/ca.pem", both);
    fs::remove_file(lost.join("crl.pem")).expect("it has a list of the other authority");
    slave_says(
        &place,
        &address,
        "good",
        &lost,
        &["the other end has refused us: our certificate was signed by another"],
    );

    // Connects to an address that is not in its certificate.
    let named = address.replace("127.0.0.1", "localhost");
    let words = ["its certificate is for controller, 127.0.0.1 and not for localhost", "--address localhost"];
    slave_says(&place, &named, "good", &good, &words);

    // No TLS at one end.
    barrier(&place, &address, "good").run().exits_with(1).complains(&["this controller speaks TLS", "--tls DIR"]);
    let mut plain = place.arete(["controller", "--listen", "127.0.0.1:0"]).start();
    plain.wait_for_output("listening on ");
    let plain_address = plain.stdout().trim_start_matches("listening on ").trim().to_owned();
    slave_says(&place, &plain_address, "good", &good, &["the other end does not speak TLS", "--tls DIR to both"]);

    // If the time is up, the program repeats why there was no connection, and does not blame the controller.
    let args = ["barrier", "up", "--as", "good", "--count", "2", "--timeout", "1s", "--controller", &named, "--tls"];
    let last = place.arete(args).arg(&good).run().exits_with(6).stderr;
    let last = last.lines().last().unwrap_or_default();
    assert!(
        last.contains("out of reach (its certificate is for controller, 127.0.0.1 and not for localhost)"),
        "{last}"
    );

    // No certificate at all: the peer gets the reason, and it is logged.
    let said = until_closed(&address, &Identity::read(&good).without_certificate());
    assert!(said.contains("CertificateRequired"), "{said}");
    wait_for(SOON, "the controller to say all that", || {
        let said = server.stderr();
        ["its certificate was revoked", "signed by another authority", "it does not speak TLS", "no certificate"]
            .iter()
            .all(|part| said.contains("127.0.0.1 was turned away: ") && said.contains(part))
    });
}

#[test]
fn the_message_about_an_expired_certificate_has_its_time_and_the_clock() {
    let place = Place::new("tls-times");
    let pki = Pki::new(&place);
    let good = pki.machine("good");
    for (name, from, until, words) in [
        ("old", -48, -24, ["it expired at ", "the clock of this machine is at "]),
        ("young", 24, 48, ["it is valid from ", "set the clock"]),
    ] {
        let dir = pki.machine(name);
        openssl::sign_for_hours(&place, name, &dir, from, until);
        let slave = place.arete(["slave", "--controller", "127.0.0.1:1", "--name", name, "--dir", "w", "--tls"]);
        slave.arg(&dir).run().exits_with(1).complains(&words);
    }
    // A controller's certificate, seen by a slave, and a slave's, seen by a controller.
    let server = pki.controller(&["127.0.0.1"]);
    let expired = Identity::read(&place.path("lab/old"));
    let (running, address) = controller(&place, &server);
    let said = until_closed(&address, &expired);
    assert!(said.contains("CertificateExpired"), "{said}");
    wait_for(SOON, "the controller to say so", || {
        running.stderr().contains("turned away: its certificate expired at ")
    });
    openssl::sign_for_hours(&place, "controller", &server, -48, -24);
    let server = peer::serve(&Identity::read(&server));
    slave_says(&place, &server, "good", &good, &["its certificate expired at ", "set the clock"]);
}

#[test]
fn a_stolen_slave_cannot_play_the_controller() {
    let place = Place::new("tls-stolen");
    let pki = Pki::new(&place);
    let good = pki.machine("good");
    let stolen = pki.issue(&["stolen", "--address", "127.0.0.1"]);
    let listen = ["controller", "--listen", "127.0.0.1:0", "--tls"];
    place
        .arete(listen)
        .arg(&stolen)
        .run()
        .exits_with(1)
        .complains(&["it is not for a controller", "--controller --address"]);
    let address = peer::serve(&Identity::read(&stolen));
    slave_says(&place, &address, "good", &good, &["its certificate is not for this role"]);
}

#[test]
fn files_for_tls_that_are_wrong_are_named_with_what_to_do() {
    let place = Place::new("tls-files");
    let pki = Pki::new(&place);
    let (one, two) = (pki.machine("one"), pki.machine("two"));
    let wrong = |dir: &Path, words: &[&str]| {
        let slave = place.arete(["slave", "--controller", "127.0.0.1:1", "--name", "one", "--dir", "w", "--tls"]);
        slave.arg(dir).run().exits_with(1).complains(words);
    };
    let broken = |name: &str, file: &str, text: &[u8]| {
        let dir = place.path(name);
        copy(&one, &dir);
        fs::write(dir.join(file), text).expect("it is written");
        dir
    };
    wrong(&place.path("nowhere"), &["nowhere/ca.pem: it does not exist", "arete pki issue"]);
    let open = broken("open", "cert.pem", &fs::read(one.join("cert.pem")).unwrap());
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(open.join("key.pem"), fs::Permissions::from_mode(mode)).unwrap();
        wrong(&open, &["open/key.pem: users other than its owner can read it: run \"chmod 600 ", "issue a new one"]);
    }
    wrong(
        &broken("mixed", "key.pem", &fs::read(two.join("key.pem")).unwrap()),
        &["key.pem is not the key of cert.pem"],
    );
    wrong(&broken("empty", "cert.pem", b""), &["cert.pem: there is no certificate in it"]);
    wrong(&broken("keyless", "key.pem", b"x"), &["key.pem: there is no private key in it"]);
    wrong(&broken("listless", "crl.pem", b"x"), &["crl.pem: there is no revocation list in it"]);
    place.arete(["pki", "init", "other"]).run().exits_with(0);
    let other = broken("other-ca", "ca.pem", place.read("other/ca.pem").as_bytes());
    fs::remove_file(other.join("crl.pem")).unwrap();
    wrong(&other, &["cert.pem: no authority of ", "has signed it"]);
    // A service manager protects the credentials of a service in its own way.
    fs::set_permissions(open.join("key.pem"), fs::Permissions::from_mode(0o440)).unwrap();
    let credentials = place
        .arete([
            "barrier",
            "b",
            "--as",
            "one",
            "--count",
            "1",
            "--timeout",
            "100ms",
            "--controller",
            "127.0.0.1:1",
            "--tls",
        ])
        .arg(&open)
        .env("CREDENTIALS_DIRECTORY", &open);
    credentials.run().exits_with(6);
}

#[test]
fn beyond_this_machine_plain_speech_is_refused_with_the_commands_that_help() {
    let place = Place::new("insecure");
    place.write("t.json", fs::read(repository().join("examples/hello.yaml")).unwrap());
    let commands: [(&[&str], &str); 7] = [
        (&["controller", "--listen", "0.0.0.0:0"], "issue lab controller --controller --address ADDRESS"),
        (&["run", "t.json", "--listen", "192.0.2.1"], "issue lab controller --controller --address 192.0.2.1"),
        (&["slave", "--controller", "192.0.2.1", "--name", "node1"], "issue lab node1"),
        (&["barrier", "b", "--count", "2", "--as", "ann#1", "--controller", "192.0.2.1"], "issue lab ann"),
        (
            &["sync", "b", "--count", "2", "--as", "ann", "--data", "1", "--serve", "[::]:7"],
            "issue lab ann --controller",
        ),
        (&["notify", "go", "--controller", "lab.example"], "issue lab NAME"),
        (&["trigger", "list", "--controller", "lab.example"], "issue lab NAME"),
    ];
    for (words, issue) in commands {
        let ended = place.arete(words).run().exits_with(2);
        ended.complains(&["without TLS", "arete pki init lab", issue, "--tls lab/", "--insecure"]);
    }
    assert!(!place.path("results").exists(), "nothing was begun");
    let mut open = place.arete(["controller", "--listen", "0.0.0.0:0", "--insecure"]).start();
    open.wait_for_output("listening on ");
    assert!(open.stderr().contains("--insecure: --listen 0.0.0.0:0 is not encrypted"), "{}", open.stderr());
    let both = ["controller", "--listen", "127.0.0.1:0", "--insecure", "--tls", "x"];
    place.arete(both).run().exits_with(2).complains(&["cannot be used with"]);
    place.arete(["run", "t.json", "--tls", "x"]).run().exits_with(2).complains(&["--tls goes with --listen"]);
    place.arete(["wait", "go", "--tls", "x"]).run().exits_with(2).complains(&["--tls goes with --controller"]);
}

#[test]
fn a_member_that_serves_its_room_meets_itself_and_others_over_tls() {
    let place = Place::new("tls-serve");
    let pki = Pki::new(&place);
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("its address").to_string()
    };
    let server = pki.issue(&["ann", "--controller", "--address", "127.0.0.1"]);
    let words =
        |name: &'static str| ["sync", "s", "--members", "ann,bob", "--timeout", "20s", "--data", "1", "--as", name];
    let ann = place.arete(words("ann")).arg("--serve").arg(&address).arg("--tls").arg(server).start();
    let bob = place.arete(words("bob")).arg("--controller").arg(&address).arg("--tls").arg(pki.machine("bob")).run();
    assert_eq!(bob.exits_with(0).stdout, "{\"ann\":1,\"bob\":1}\n");
    assert_eq!(ann.wait().exits_with(0).stdout, "{\"ann\":1,\"bob\":1}\n");
}

#[test]
fn an_authority_issues_lists_and_revokes() {
    let place = Place::new("pki");
    let pki = Pki::new(&place);
    let mode = |path: &str| fs::metadata(place.path(path)).expect("it is there").permissions().mode() & 0o777;
    pki.issue(&["node1", "--days", "7"]);
    assert_eq!((mode("lab"), mode("lab/ca.key"), mode("lab/ca.pem")), (0o700, 0o600, 0o644));
    assert_eq!((mode("lab/node1"), mode("lab/node1/key.pem"), mode("lab/node1/cert.pem")), (0o700, 0o600, 0o644));
    pki.controller(&["10.0.0.1", "lab.example"]);
    let again = place.arete(["pki", "issue", "lab", "node1"]).run().exits_with(0);
    again.complains(&["1 earlier certificate is still valid for node1"]);
    let list = || {
        let ended = place.arete(["pki", "list", "lab", "--json"]).run().exits_with(0);
        let lines = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON"));
        lines.collect::<Vec<serde_json::Value>>()
    };
    let all = list();
    let names: Vec<_> = all.iter().map(|one| (one["name"].as_str().unwrap(), one["role"].as_str().unwrap())).collect();
    assert_eq!(names, [("controller", "controller"), ("node1", "machine"), ("node1", "machine")]);
    assert_eq!(all[0]["names"], serde_json::json!(["controller", "10.0.0.1", "lab.example"]));
    // One by its serial number, the other by its name.
    let serial = all[1]["serial"].as_str().unwrap().to_owned();
    pki.revoke(&serial);
    let revoked = |nr: usize| list()[nr]["revoked"] == true;
    assert!(revoked(1) && !revoked(2) && list()[1]["revoked_at"].is_string());
    pki.revoke("node1");
    assert!(revoked(1) && revoked(2) && !revoked(0));
    assert_eq!(place.read("lab/crl.pem"), place.read("lab/node1/crl.pem"), "copies are ready to be copied");
    let table = place.arete(["pki", "list", "lab"]).run().exits_with(0).stdout;
    assert_eq!(table.matches("revoked 20").count(), 2, "{table}");
    let wrong = |words: &[&str], code: i32, part: &str| {
        place.arete(["pki"].iter().chain(words)).run().exits_with(code).complains(&[part]);
    };
    wrong(&["init", "lab"], 1, "the directory is not empty");
    wrong(&["issue", "nowhere", "x"], 1, "it is not the directory of an authority");
    wrong(&["issue", "lab", "a/b"], 2, "a name has 1 to 64");
    wrong(&["issue", "lab", "ca.pem"], 2, "the authority has a file of this name");
    wrong(&["issue", "lab", "x", "--address", "h:1"], 2, "without a port");
    wrong(&["revoke", "lab", "nobody"], 1, "no certificate was issued for");
}
