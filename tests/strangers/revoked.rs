//! Revocation: of authorities and of machines, and lists that are outdated, forged or missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::process::Signal;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

use crate::common::{Needed, Pki, Place, Running, SOON, have, holds_within, must, skip, wait_for};
use crate::peer::{Identity, serve};
use crate::{barrier, controller, copy, slave_says};

/// Makes, with openssl alone, an authority and two below it, `up` and `down`, of which it revokes `down`. Makes also a
/// controller and a machine of each, and the lists of all three.
const MAKE: &str = r#"set -e
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n' > ca.ext
ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $ec -keyout root.key -out root.pem -days 30 -subj /CN=root \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
for middle in up down; do
    openssl req $ec -keyout $middle.key -out $middle.csr -subj /CN=$middle
    openssl x509 -req -in $middle.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 -extfile ca.ext -out $middle.pem
done
issue() { # NAME AUTHORITY USAGE
    mkdir $1
    openssl req $ec -keyout $1/key.pem -out $1.csr -subj /CN=$1
    chmod 600 $1/key.pem
    printf 'subjectAltName=DNS:%s,IP:127.0.0.1\nextendedKeyUsage=%s\n' $1 $3 > $1.ext
    openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 30 -extfile $1.ext -out $1.leaf
    cat $1.leaf $2.pem > $1/cert.pem
    cp root.pem $1/ca.pem
}
for middle in up down; do
    issue $middle-ctl $middle serverAuth,clientAuth
    issue $middle-only $middle serverAuth
    issue $middle-node $middle clientAuth
done
list() { # AUTHORITY [REVOKED]
    : > $1.db; echo 01 > $1.nr
    printf '[ca]\ndefault_ca=x\n[x]\ndatabase=%s.db\ncrlnumber=%s.nr\ndefault_md=sha256\ndefault_crl_days=30\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n' $1 $1 > $1.cnf
    ca="openssl ca -config $1.cnf -keyfile $1.key -cert $1.pem"
    if [ -n "$2" ]; then $ca -revoke $2; fi
    $ca -gencrl -out $1.crl
}
list root down.pem
list up
list down
"#;

/// A place with the files of [`MAKE`]. Returns `None` if openssl is not installed.
fn made(name: &str, test: &str) -> Option<Place> {
    if !have("openssl") {
        skip(test, "openssl is not installed", Needed::InCi);
        return None;
    }
    let place = Place::new(name);
    must(Command::new("sh").args(["-c", MAKE]).current_dir(place.dir()));
    Some(place)
}

/// Writes these lists into a directory for `--tls`.
fn give(place: &Place, dir: &str, lists: &[&str]) -> PathBuf {
    let all: String = lists.iter().map(|list| place.read(format!("{list}.crl"))).collect();
    place.write(&format!("{dir}/crl.pem"), all);
    place.path(dir)
}

const REVOKED: &str = "the other end has refused us: our certificate was revoked, or an authority above it";

#[test]
fn no_member_of_a_revoked_authority_is_accepted_and_no_controller_of_one_is_trusted() {
    let test = "no_member_of_a_revoked_authority_is_accepted_and_no_controller_of_one_is_trusted";
    let Some(place) = made("middle", test) else { return };
    let (_server, address) = controller(&place, &give(&place, "up-ctl", &["root", "up", "down"]));
    let (good, gone) = (place.path("up-node"), place.path("down-node"));
    barrier(&place, &address, "up-node").arg("--tls").arg(&good).run().exits_with(0);
    barrier(&place, &address, "down-node").arg("--tls").arg(&gone).run().exits_with(6).complains(&[REVOKED]);
    slave_says(&place, &address, "down-node", &gone, &[REVOKED]);

    // The other direction: the peers that connect to it have the list, and it does not.
    let knows = give(&place, "up-node", &["root", "up", "down"]);
    for server in ["down-ctl", "down-only"] {
        let false_one = serve(&Identity::read(&place.path(server)));
        slave_says(&place, &false_one, "up-node", &knows, &["its certificate was revoked, or an authority above it"]);
    }
    let right_one = serve(&Identity::read(&place.path("up-only")));
    let said = crate::peer::until_closed(&right_one, &Identity::read(&knows));
    assert!(!said.contains("Revoked"), "{said}");

    // Its own machines learn of it when they start.
    for (dir, words) in [
        ("down-ctl", &["controller", "--listen", "127.0.0.1:0"][..]),
        ("down-only", &["controller", "--listen", "127.0.0.1:0"]),
        ("down-node", &["slave", "--controller", "127.0.0.1:1", "--name", "down-node", "--dir", "w"]),
    ] {
        let tls = give(&place, dir, &["root", "up", "down"]);
        let ended = place.arete(words).arg("--tls").arg(tls).run().exits_with(1);
        ended.complains(&["cert.pem: it was revoked, or an authority above it"]);
    }
}

#[test]
fn a_revoked_authority_is_not_trusted_although_the_file_of_trusted_ones_has_it() {
    let test = "a_revoked_authority_is_not_trusted_although_the_file_of_trusted_ones_has_it";
    let Some(place) = made("anchors", test) else { return };
    let all = ["root", "up", "down"].map(|authority| place.read(format!("{authority}.pem"))).concat();
    place.write("up-ctl/ca.pem", all);
    let (server, address) = controller(&place, &give(&place, "up-ctl", &["root", "up", "down"]));
    assert!(server.stderr().contains("CN=down in ca.pem was revoked"), "{}", server.stderr());
    barrier(&place, &address, "up-node").arg("--tls").arg(place.path("up-node")).run().exits_with(0);
    barrier(&place, &address, "down-node").arg("--tls").arg(place.path("down-node")).run().exits_with(6);
}

#[test]
fn a_missing_list_of_a_higher_authority_refuses_no_peer() {
    let test = "a_missing_list_of_a_higher_authority_refuses_no_peer";
    let Some(place) = made("listless", test) else { return };
    // Without the root's list, `down` is not known to be revoked. Its own list has no issuer that this directory
    // knows.
    let (server, address) = controller(&place, &give(&place, "up-ctl", &["up", "down"]));
    assert!(server.stderr().contains("list 2 is of CN=down"), "{}", server.stderr());
    for name in ["up-node", "down-node"] {
        barrier(&place, &address, name).arg("--tls").arg(place.path(name)).run().exits_with(0);
    }
    drop(server);
    // If there are any lists, there must be one of the authority that has signed a certificate itself.
    let (_server, address) = controller(&place, &give(&place, "up-ctl", &["root", "up"]));
    place.write("down.crl", "");
    let (_other, without) = controller(&place, &give(&place, "up-ctl", &["up"]));
    barrier(&place, &without, "down-node").arg("--tls").arg(place.path("down-node")).run().exits_with(6);
    barrier(&place, &address, "up-node").arg("--tls").arg(place.path("up-node")).run().exits_with(0);
}

/// The same list with another last bit, which belongs to its signature.
fn forged(path: &Path) -> String {
    let der = CertificateRevocationListDer::from_pem_slice(&fs::read(path).expect("it is there")).expect("a list");
    let mut der = der.as_ref().to_vec();
    *der.last_mut().expect("it is not empty") ^= 1;
    format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", BASE64_STANDARD.encode(der))
}

#[test]
fn a_list_with_a_wrong_signature_is_refused_and_the_old_one_stays() {
    let place = Place::new("forged");
    let pki = Pki::new(&place);
    let (server, good, gone) = (pki.controller(&["127.0.0.1"]), pki.machine("good"), place.path("gone"));
    copy(&pki.machine("gone"), &gone);
    pki.revoke("gone");
    let list = server.join("crl.pem");
    let (right, wrong) = (fs::read_to_string(&list).expect("it is there"), forged(&list));
    let (mut running, address) = controller(&place, &server);

    let words = ["crl.pem: the signature of list 1 is not that of CN=arete authority ", "copy the authority's crl.pem"];
    fs::write(&list, &wrong).expect("it is written");
    let again = || place.arete(["controller", "--listen", "127.0.0.1:0", "--tls"]).arg(&server);
    again().run().exits_with(1).complains(&words);
    again().arg("--check").run().exits_with(1).complains(&words);
    fs::write(good.join("crl.pem"), &wrong).expect("it is written");
    let slave = ["slave", "--controller", &address, "--name", "good", "--dir", "w", "--check", "--tls"];
    place.arete(slave).arg(&good).run().exits_with(1).complains(&words);
    fs::write(good.join("crl.pem"), &right).expect("it is written");

    let come = |name: &str, dir: &Path, code| {
        barrier(&place, &address, name).arg("--tls").arg(dir).run().exits_with(code);
    };
    let mut reload = |text: &str, words: &[&str]| {
        let before = running.stderr().len();
        fs::write(&list, text).expect("it is written");
        running.signal(Signal::HUP);
        let said = || running.stderr()[before..].to_owned();
        wait_for(SOON, "the reload", || words.iter().all(|word| said().contains(word)));
        assert!(running.is_running());
    };
    reload(&wrong, &[&words[..], &["the configuration stays as it was"]].concat());
    come("good", &good, 0);
    come("gone", &gone, 6);

    // Changes that would refuse all peers in other ways.
    place.arete(["pki", "init", "other"]).run().exits_with(0);
    reload(&place.read("other/crl.pem"), &["of no authority of ca.pem", "the configuration stays as it was"]);
    let both = [right.clone(), right.clone()].concat();
    reload(&both, &["lists 1 and 2 are both of CN=arete authority ", "the configuration stays as it was"]);
    come("good", &good, 0);
    come("gone", &gone, 6);
}

/// The limit on the time until a reload takes effect.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_reload_closes_only_connections_of_revoked_certificates_and_removed_operators() {
    let place = Place::new("doubts");
    let pki = Pki::new(&place);
    let server = pki.controller(&["127.0.0.1"]);
    // Copies, because these machines do not have the new list.
    for name in ["good", "gone", "boss", "aide", "temp"] {
        copy(&pki.machine(name), &place.path(name));
    }
    let configure = |operators: &[&str]| {
        let config = serde_json::json!({"listen": "127.0.0.1:0", "tls": server, "state-dir": place.path("state"),
            "operators": operators});
        place.write("controller.json", config.to_string());
    };
    configure(&["boss", "aide", "temp"]);
    let mut running = place.arete(["controller", "--config", "controller.json"]).env("RUST_LOG", "info").start();
    running.wait_for_output("listening on ");
    let said = running.stdout();
    let address = said.trim_start_matches("listening on ").split([',', '\n']).next().expect("an address").to_owned();
    let with = |name: &str, words: &[&str]| {
        let ours = place.path(name);
        let more = ["--controller", &*address, "--tls", ours.to_str().expect("letters")];
        place.arete(words.iter().chain(&more))
    };
    let slave = |name: &str| {
        let dir = place.path("work").join(name).join("w");
        let slave = with(name, &["slave", "--name", name, "--dir", dir.to_str().expect("letters")]).start();
        wait_for(SOON, "the slave to be there", || {
            let status = with("boss", &["status", "--json"]).run().exits_with(0).stdout;
            status.contains(&format!("\"{name}\""))
        });
        slave
    };
    let (mut good, gone) = (slave("good"), slave("gone"));
    let waits = |name: &str| with(name, &["barrier", "b", "--count", "3", "--timeout", "60s", "--as", name]).start();
    let (mut good_waits, gone_waits) = (waits("good"), waits("gone"));
    let until = format!("until [ -e '{}' ]; do sleep 0.05; done", place.path("end").display());
    let test = serde_json::json!({"name": "t", "end": {"idle": true, "limit": "60s"}, "slaves": {"good": ["s"]},
        "schedules": {"s": [{"name": "x", "at": 0, "shell": until}]}});
    place.write("t.json", test.to_string());
    let mut boss = with("boss", &["run", "t.json"]).start();
    boss.wait_for_output("x started");
    let id = with("boss", &["runs", "--json"]).run().exits_with(0).stdout;
    let id = id.split("\"run\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a run").to_owned();
    let follows = |name: &str| {
        let mut follows = with(name, &["attach", &id]).start();
        follows.wait_for_output("x started");
        follows
    };
    let (aide, temp) = (follows("aide"), follows("temp"));

    pki.revoke("gone");
    pki.revoke("aide");
    configure(&["boss", "aide"]);
    running.signal(Signal::HUP);
    let hung_up = [
        ("gone", &gone, "revoked"),
        ("its member", &gone_waits, "revoked"),
        ("aide", &aide, "revoked"),
        ("temp", &temp, "the certificate is for temp"),
    ];
    let heard = |who: &Running<'_>, words: &str| holds_within(HEARD_WITHIN, || who.stderr().contains(words));
    let missing = hung_up.iter().filter(|(_, who, words)| !heard(who, words));
    let missing: Vec<(&str, String)> = missing.map(|(name, who, _)| (*name, who.stderr())).collect();
    assert!(missing.is_empty(), "not closed, or without the reason: {missing:?}");
    assert!(good_waits.is_running() && boss.is_running() && good.is_running());
    for who in [&good, &good_waits, &boss] {
        assert!(!who.stderr().contains("revoked"), "{}", who.stderr());
    }
    // It would report that its connection was lost.
    assert_eq!(good.stderr(), "");
    for name in ["other", "third"] {
        copy(&pki.machine(name), &place.path(name));
    }
    let last = [waits("other"), waits("third")];
    last.into_iter().chain([good_waits]).for_each(|member| drop(member.wait().exits_with(0)));
    place.write("end", "");
    boss.wait().exits_with(0);
}
