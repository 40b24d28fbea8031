//! Certificates that another program has made.

use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};

use crate::common::{Needed, Place, have, must, skip};
use crate::peer::{Identity, serve};
use crate::{barrier, controller, slave_says};

/// Replaces the certificate in a directory for `--tls` by one that is valid between two times, in hours from now.
pub fn sign_for_hours(place: &Place, name: &str, dir: &Path, from: i64, until: i64) {
    let read = |path: &str| place.read(path);
    let key = KeyPair::from_pem(&read("lab/ca.key")).expect("the authority's key");
    let issuer = Issuer::from_ca_cert_pem(&read("lab/ca.pem"), key).expect("the authority");
    let own = KeyPair::from_pem(&std::fs::read_to_string(dir.join("key.pem")).unwrap()).expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned(), "127.0.0.1".to_owned()]).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now + time::Duration::hours(from);
    params.not_after = now + time::Duration::hours(until);
    let certificate = params.signed_by(&own, &issuer).expect("a certificate");
    std::fs::write(dir.join("cert.pem"), certificate.pem()).expect("it is written");
}

/// Makes, with openssl alone, an authority, one below it, and certificates with keys of three kinds.
const MAKE: &str = r#"set -e
authority='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign'
openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -out ca.pem -days 30 -subj /CN=root \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout middle.key -out middle.csr -subj /CN=middle
echo "$authority" > ca.ext
openssl x509 -req -in middle.csr -CA ca.pem -CAkey root.key -CAcreateserial -days 30 -extfile ca.ext -out middle.pem
issue() { # NAME USAGE NAMES
    mkdir -p $1
    openssl req -new -key $1.key -out $1.csr -subj /CN=$1
    printf 'subjectAltName=%s\n' "$3" > $1.ext
    if [ -n "$2" ]; then echo "extendedKeyUsage=$2" >> $1.ext; fi
    openssl x509 -req -in $1.csr -CA middle.pem -CAkey middle.key -CAcreateserial -days 30 -extfile $1.ext -out $1.leaf
    cat $1.leaf middle.pem > $1/cert.pem
    cp ca.pem $1/ca.pem
    install -m 600 $1.key $1/key.pem
}
openssl genrsa -traditional -out server.key 2048
openssl ecparam -name prime256v1 -genkey -noout -out sec1.key
openssl genpkey -algorithm ed25519 -out pkcs8.key
openssl ecparam -name prime256v1 -genkey -out roleless.key
issue server serverAuth DNS:server,IP:127.0.0.1
issue sec1 clientAuth DNS:sec1
issue pkcs8 clientAuth DNS:pkcs8,DNS:*.example
issue roleless '' DNS:roleless,IP:127.0.0.1
"#;

#[test]
fn certificates_of_an_authority_that_openssl_has_made_work() {
    let test = "certificates_of_an_authority_that_openssl_has_made_work";
    if !have("openssl") {
        return skip(test, "openssl is not installed", Needed::InCi);
    }
    let place = Place::new("openssl");
    must(Command::new("sh").args(["-c", MAKE]).current_dir(place.dir()));
    let (_server, address) = controller(&place, &place.path("server"));
    for name in ["sec1", "pkcs8", "roleless"] {
        barrier(&place, &address, name).arg("--tls").arg(place.path(name)).run().exits_with(0);
    }
    let roleless = serve(&Identity::read(&place.path("roleless")));
    slave_says(&place, &roleless, "sec1", &place.path("sec1"), &["its certificate is not for this role"]);
    // A wildcard is not a valid name, and a certificate without a role is not valid for a controller.
    let wildcard = barrier(&place, &address, "a.example").arg("--tls").arg(place.path("pkcs8")).run();
    wildcard.exits_with(1).complains(&["it is for pkcs8 and not for a.example"]);
    let listen = ["controller", "--listen", "127.0.0.1:0", "--tls"];
    place.arete(listen).arg(place.path("roleless")).run().exits_with(1).complains(&["it is not for a controller"]);
    place
        .arete(["barrier", "b", "--as", "server", "--count", "1", "--controller", &address, "--tls"])
        .arg(place.path("server"))
        .run()
        .exits_with(1)
        .complains(&["it is for servers only"]);
}
