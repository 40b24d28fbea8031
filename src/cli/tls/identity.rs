//! Who this process is to others, and which peers it accepts: the options `--tls` and `--insecure`.
//!
//! They are turned into a configuration of TLS before anything is dialled or listened on. Without a certificate nothing
//! outside of loopback may be reached, unless `--insecure` says so.

use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arete::reactor::{Tls, addresses_of, plain};
use arete::wire::{Bye, Code, Message};
use clap::Args;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, ServerConfig};

use crate::cli::address::{self, Way, host_of, with_port};
use crate::cli::error::{Error, shown};
use crate::cli::owned::{self, Foreign};
use crate::cli::source::{self, MARK_BYTES, Takes, Unread};
use crate::cli::tls::certificate::{self, Certificate};
use crate::cli::tls::trust::{self, Trust};
use crate::cli::tls::words::in_words;

/// The files of a directory for `--tls`.
pub const AUTHORITY_FILE: &str = "ca.pem";
pub const CERTIFICATE_FILE: &str = "cert.pem";
pub const KEY_FILE: &str = "key.pem";
pub const REVOKED_FILE: &str = "crl.pem";

/// The longest of these files, in bytes.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// The bits of a file's mode by which others than its owner may do anything.
pub const OTHERS: u32 = 0o077;

/// The credential of a service that holds its key, if the service's user may not read the file: systemd makes it with
/// `LoadCredential=tls:DIR`.
const KEY_CREDENTIAL: &str = "tls_key.pem";

/// The names that mean this machine wherever they are looked up.
const LOCAL_NAMES: [&str; 2] = ["localhost", "ip6-localhost"];

/// How this process and those at other addresses know each other.
#[derive(Args, Clone, Default)]
pub struct Security {
    /// Prove who this is and have the others prove it, with the ca.pem, cert.pem, key.pem and crl.pem in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "insecure", global = true)]
    pub tls: Option<PathBuf>,
    /// Speak plainly to other machines, and trust whoever is there
    #[arg(long, global = true)]
    pub insecure: bool,
}

/// What an address is used for.
#[derive(Clone, Copy)]
pub enum Use<'a> {
    /// A controller listens there.
    Listen,
    /// A room is served there, for this member of the same process too.
    Serve(Option<&'a str>),
    /// A slave of this name connects to it.
    Slave(&'a str),
    /// A client connects to it, for this member if there is one.
    Client(Option<&'a str>),
}

impl<'a> Use<'a> {
    fn listens(self) -> bool {
        matches!(self, Use::Listen | Use::Serve(_))
    }

    /// Returns the name that the certificate must have.
    fn name(self) -> Option<&'a str> {
        match self {
            Use::Listen => None,
            Use::Slave(name) => Some(name),
            Use::Serve(member) | Use::Client(member) => member.and_then(|member| member.split('#').next()),
        }
    }
}

impl Security {
    /// Whether one of the options is given.
    pub fn is_given(&self) -> bool {
        self.tls.is_some() || self.insecure
    }

    /// Returns these options, or the earlier ones if none is given.
    pub fn or(self, tls: Option<PathBuf>, insecure: bool) -> Security {
        if self.is_given() { self } else { Security { tls, insecure } }
    }

    /// Returns the absolute path of the certificates' directory.
    pub fn directory(&self) -> Option<PathBuf> {
        self.tls.as_ref().map(|directory| std::path::absolute(directory).unwrap_or_else(|_| directory.clone()))
    }

    /// Reads the certificates again, and returns how TLS is spoken with them.
    pub fn renewed(&self, what: Use<'_>) -> Result<Option<Tls>, Error> {
        self.tls.as_deref().map(|dir| Identity::load(dir)?.tls(what)).transpose()
    }

    /// Describes a certificate that is valid.
    pub fn describe(&self) -> Option<String> {
        let identity = Identity::load(self.tls.as_ref()?).ok()?;
        let (file, until) = (identity.dir.join(CERTIFICATE_FILE), certificate::date(identity.own.until));
        Some(format!("{}: for {}, until {until}", file.display(), identity.own.names.join(", ")))
    }

    pub fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// Fails if an option is given that needs an address.
    pub fn without_address(&self, option: &str) -> Result<(), Error> {
        let given = if self.insecure { "--insecure" } else { "--tls" };
        match self.is_given() {
            true => Err(Error::usage(format!("{given} goes with {option}"))),
            false => Ok(()),
        }
    }

    /// Returns how TLS is spoken at `address`, which `option` names; `None`: it is not. Fails if another machine would be
    /// spoken to without TLS and `--insecure` is not given.
    pub fn at(&self, option: &str, address: &str, what: Use<'_>) -> Result<Option<Tls>, Error> {
        let way = if what.listens() { Way::Listen } else { Way::Dial };
        address::check(address, way).map_err(|why| Error::usage(format!("{option} {}: {why}", shown(address))))?;
        if let Some(dir) = &self.tls {
            return Identity::load(dir)?.tls(what).map(Some);
        }
        if is_here(address, what) {
            if self.insecure {
                log::warn!("--insecure: {option} {address} is text to plainly: every user of this machine may do that");
            }
            return Ok(None);
        }
        let danger = match what {
            Use::Listen => "whoever reaches this address can run commands on every slave, or act as anybody",
            Use::Serve(_) => "whoever reaches this address can act as anybody there",
            Use::Slave(_) => "whoever answers there, or stands in between, can run commands on this machine",
            Use::Client(_) => "nobody knows who answers there, and the controller does not know who asks",
        };
        if self.insecure {
            log::warn!("--insecure: {option} {address} is text to plainly: {danger}");
            return Ok(None);
        }
        Err(Error::usage(format!("{option} {address}: without TLS {danger}\n{}", how_to_fix(address, what))))
    }
}

/// Returns the commands that make the missing certificate.
fn how_to_fix(address: &str, what: Use<'_>) -> String {
    let host = host_of(address);
    // A zone names a network of this machine only, so no certificate has one.
    let host = host.split('%').next().unwrap_or(&host).to_owned();
    let unspecified = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    let host = if unspecified { "ADDRESS".to_owned() } else { host };
    let whose = what.name().unwrap_or(if what.listens() { "controller" } else { "NAME" });
    let issue = if what.listens() { format!("{whose} --controller --address {host}") } else { whose.to_owned() };
    format!(
        "make certificates once, on a machine that you trust:\n\
         \x20   arete pki init lab\n\
         \x20   arete pki issue lab {issue}\n\
         copy the directory lab/{whose} here, and add --tls lab/{whose}; arete help security tells the rest\n\
         or add --insecure, if every machine on the network may do that"
    )
}

/// Whether only this machine can use an address.
fn is_here(address: &str, what: Use<'_>) -> bool {
    let host = host_of(address);
    if let Ok(ip) = host.split('%').next().unwrap_or(&host).parse::<IpAddr>() {
        return ip.to_canonical().is_loopback();
    }
    let named = LOCAL_NAMES.contains(&&*host);
    if !what.listens() {
        return named;
    }
    // An address to listen at is looked up, so this is certain.
    addresses_of(&with_port(address))
        .is_ok_and(|mut addresses| addresses.all(|address| address.ip().to_canonical().is_loopback()))
}

/// A certificate with its key, and what verifies those of others.
struct Identity {
    dir: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    own: Certificate,
    key: PrivateKeyDer<'static>,
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    fn load(dir: &Path) -> Result<Identity, Error> {
        let wrong = |file: &str, what: &str| Error::failed(format!("--tls: {}: {what}", dir.join(file).display()));
        check_directory(dir)?;
        let authorities = certificates(dir, AUTHORITY_FILE)?;
        let chain = certificates(dir, CERTIFICATE_FILE)?;
        let own = Certificate::read(&chain[0]).map_err(|error| wrong(CERTIFICATE_FILE, &error))?;
        let key = PrivateKeyDer::from_pem_slice(&read(dir, KEY_FILE)?);
        let key = key.map_err(|_| wrong(KEY_FILE, "there is no private key in it, in PEM and without a password"))?;
        // A broken link is an error, not an absent file.
        let absent = |error: std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        let revoked = match dir.join(REVOKED_FILE).symlink_metadata().is_err_and(absent) {
            false => revocations(dir)?,
            true => Vec::new(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = Trust::new(authorities, &chain, revoked, provider.clone()).map_err(|error| match error {
            trust::TrustError::Authorities(what) => wrong(AUTHORITY_FILE, &what),
            trust::TrustError::Lists(what) => wrong(REVOKED_FILE, &what),
        })?;
        let identity = Identity { dir: dir.to_owned(), chain, own, key, trust, provider };
        identity.check()?;
        Ok(identity)
    }

    /// Fails if no peer would accept this certificate.
    fn check(&self) -> Result<(), Error> {
        let (now, Certificate { from, until, names, .. }) = (certificate::wall_clock(), &self.own);
        let clock = certificate::date(now);
        if *until < now {
            let until = certificate::date(*until);
            return Err(self.wrong(&format!(
                "it expired at {until}, and this machine's clock says {clock}: issue it anew with \"arete pki issue\", or set the \
                 clock right"
            )));
        }
        if *from > now {
            let from = certificate::date(*from);
            return Err(self.wrong(&format!(
                "it is valid from {from} on, and this machine's clock says {clock}: set the clock right"
            )));
        }
        if names.is_empty() {
            return Err(self.wrong("it names no host in its subject alternative name, and so nobody"));
        }
        match self.judged_by_itself()? {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => Err(self.wrong(&format!(
                "no authority of {} has signed it: both must come from one \"arete pki\" directory",
                self.dir.join(AUTHORITY_FILE).display()
            ))),
            Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)) => {
                Err(self.wrong("it was revoked, or an authority above it: issue it anew with \"arete pki issue\""))
            }
            // The role is checked later, when it is known.
            _ => Ok(()),
        }
    }

    /// Verifies the certificate as another machine with these files would.
    fn judged_by_itself(&self) -> Result<Result<(), rustls::Error>, Error> {
        let ((own, above), now) = (self.chain.split_at(1), UnixTime::now());
        if self.own.is_machines {
            let verifier = self.trust.of_clients().map_err(|why| self.no_use(&why))?;
            return Ok(verifier.verify_client_cert(&own[0], above, now).map(drop));
        }
        let verifier = self.trust.of_controllers().map_err(|why| self.no_use(&why))?;
        let Ok(name) = ServerName::try_from(self.own.names[0].to_string()) else { return Ok(Ok(())) };
        Ok(verifier.verify_server_cert(&own[0], above, &name, &[], now).map(drop))
    }

    fn wrong(&self, what: &str) -> Error {
        Error::failed(format!("--tls: {}: {what}", self.dir.join(CERTIFICATE_FILE).display()))
    }

    fn tls(&self, what: Use<'_>) -> Result<Tls, Error> {
        for warning in self.trust.warnings() {
            log::warn!("--tls: {}: {warning}", self.dir.join(REVOKED_FILE).display());
        }
        let listens = what.listens();
        if listens && !self.own.is_controllers {
            return Err(self.wrong(
                "it is no controller's: \"arete pki issue DIR NAME --controller --address ADDRESS\" makes one",
            ));
        }
        let dials = !matches!(what, Use::Listen);
        if dials && !self.own.is_machines {
            return Err(self.wrong("it is for servers alone: its extended key usage must allow clients too"));
        }
        if let Some(name) = what.name().filter(|name| !self.own.names.iter().any(|own| **own == **name)) {
            let names = self.own.names.join(", ");
            return Err(self.wrong(&format!(
                "it is for {names} and not for {name}: \"arete pki issue DIR {name}\" makes one that is"
            )));
        }
        Ok(Tls {
            accepted_by: listens.then(|| self.trust.of_clients()).transpose().map_err(|why| self.no_use(&why))?,
            dialled_by: dials.then(|| self.trust.of_controllers()).transpose().map_err(|why| self.no_use(&why))?,
            accepts: listens.then(|| self.accepts()).transpose()?,
            dials: dials.then(|| self.dials()).transpose()?,
            // The member of this process connects to the room by any address.
            dialled_name: listens.then(|| ServerName::try_from(self.own.names[0].to_string()).ok()).flatten(),
            to_the_plain: speaks_tls(),
            names: certificate::proven_names,
            in_words,
        })
    }

    fn accepts(&self) -> Result<Arc<ServerConfig>, Error> {
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.no_use(&error.to_string()))?
            .with_client_cert_verifier(self.trust.of_clients().map_err(|why| self.no_use(&why))?)
            .with_single_cert(self.chain.clone(), self.key.clone_key());
        let mut config = config.map_err(|error| self.no_use(&in_words(&error)))?;
        // Sessions are not resumed, so that a certificate that was revoked meanwhile is found.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }

    fn dials(&self) -> Result<Arc<ClientConfig>, Error> {
        let verifier = self.trust.of_controllers().map_err(|why| self.no_use(&why))?;
        let config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.no_use(&error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key());
        let mut config = config.map_err(|error| self.no_use(&in_words(&error)))?;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn no_use(&self, why: &str) -> Error {
        Error::failed(format!("--tls {}: {why}", self.dir.display()))
    }
}

/// Returns the answer to a peer that does not speak TLS.
fn speaks_tls() -> arete::machine::Bytes {
    let reason = "this controller speaks TLS: connect with --tls DIR, with a certificate of its authority";
    Bye { code: Code::Tls, reason: reason.into(), fatal: true }.encode()
}

/// Reads the certificates in a file. Fails if there is none.
fn certificates(dir: &Path, file: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(dir, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let wrong = |what: &str| Error::failed(format!("--tls: {}: {what}", dir.join(file).display()));
    let certificates = certificates.map_err(|_| wrong("a certificate in it is damaged"))?;
    match certificates.is_empty() {
        true => Err(wrong("there is no certificate in it, in PEM")),
        false => Ok(certificates),
    }
}

/// Reads the revocation lists in a file: one of each authority that signs certificates.
fn revocations(dir: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let bytes = read(dir, REVOKED_FILE)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    let path = dir.join(REVOKED_FILE);
    match lists {
        Ok(lists) if !lists.is_empty() => Ok(lists),
        _ => Err(Error::failed(format!("--tls: {}: there is no revocation list in it, in PEM", path.display()))),
    }
}

/// Reads a file of the directory. Fails if it is a key that other users can read.
fn read(dir: &Path, file: &str) -> Result<Vec<u8>, Error> {
    let handed_over = if file == KEY_FILE { handed_over_key(&dir.join(file)) } else { None };
    let is_credential = handed_over.is_some() || is_credential(dir);
    let path = handed_over.unwrap_or_else(|| dir.join(file));
    let unreadable = |error: std::io::Error| {
        let what = match error.kind() {
            std::io::ErrorKind::NotFound => format!(
                "it is not there: a directory for --tls holds {AUTHORITY_FILE}, {CERTIFICATE_FILE}, {KEY_FILE} and, if \
                 certificates were revoked, {REVOKED_FILE}, as \"arete pki issue\" makes it"
            ),
            _ => format!("cannot read it: {}", plain(&error)),
        };
        Error::failed(format!("--tls: {}: {what}", path.display()))
    };
    let opened = source::open(&path, Takes::Files).map_err(|why| match why {
        Unread::Io(error) => unreadable(error),
        why => Error::failed(format!("--tls: {}: {why}", path.display())),
    });
    let (mut opened, _) = opened?;
    let metadata = opened.metadata().map_err(unreadable)?;
    if file == KEY_FILE && metadata.mode() & OTHERS != 0 && !is_credential {
        return Err(Error::failed(format!(
            "--tls: {path}: others than its owner may read it: \"chmod 600 {path}\" forbids that; if somebody may have, \
             issue it anew",
            path = path.display()
        )));
    }
    if !is_credential {
        let foreign = |foreign: Foreign| Error::failed(format!("--tls: {}", foreign.of(&path)));
        owned::relies_on(&metadata).map_err(foreign)?;
    }
    let mut bytes = Vec::new();
    opened.by_ref().take(FILE_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.starts_with(MARK_BYTES) {
        bytes.drain(..MARK_BYTES.len());
    }
    Ok(bytes)
}

/// Fails if another user can replace a file of the directory, and with it the authorities that this process trusts.
fn check_directory(dir: &Path) -> Result<(), Error> {
    // If the directory does not exist, reading its first file says so.
    if is_credential(dir) || !dir.is_dir() {
        return Ok(());
    }
    owned::relies_on_names_in(dir).map_err(|foreign| Error::failed(format!("--tls {}", foreign.of(dir))))
}

/// Returns the credential that replaces a key which only root may read.
fn handed_over_key(key: &Path) -> Option<PathBuf> {
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    let refused = source::open(key, Takes::Files).is_err_and(|why| matches!(why, Unread::Io(error) if refused(&error)));
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute());
    credentials.filter(|_| refused).map(|dir| dir.join(KEY_CREDENTIAL)).filter(|path| path.is_file())
}

/// Whether a directory holds the credentials of a service. The service manager protects these itself.
fn is_credential(dir: &Path) -> bool {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    credentials.is_some_and(|credentials| credentials.is_absolute() && dir.starts_with(credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_on_this_machine_may_be_plain() {
        let client = Use::Client(None);
        for here in ["127.0.0.1", "127.9.8.7:5", "[::1]:5", "::1", "localhost", "LOCALHOST:7373", "::ffff:127.0.0.1"] {
            assert!(is_here(here, client) && Security::default().at("--controller", here, client).is_ok(), "{here}");
        }
        for there in [
            "10.0.0.1",
            "0.0.0.0",
            "a.localhost",
            "::",
            "[::]:1",
            "lab",
            "localhost.example",
            "fe80::1%lo",
            "127.0.0.1.example",
        ] {
            assert!(!is_here(there, client), "{there}");
        }
        for (listens, at) in
            [(true, "127.0.0.1:0"), (true, "localhost"), (false, "0.0.0.0"), (false, "no.such.host.invalid")]
        {
            assert_eq!(is_here(at, Use::Listen), listens, "{at}");
        }
    }

    #[test]
    fn a_refusal_says_the_commands_that_help() {
        let refused = |address, what| match Security::default().at("--controller", address, what) {
            Err(error) => error.message,
            Ok(_) => panic!("{address} is refused"),
        };
        let slave = refused("10.0.0.1", Use::Slave("node1"));
        for part in [
            "--controller 10.0.0.1: ",
            "arete pki init lab",
            "arete pki issue lab node1\n",
            "--tls lab/node1",
            "--insecure",
        ] {
            assert!(slave.contains(part), "{part}: {slave}");
        }
        assert!(refused("10.0.0.1:99", Use::Listen).contains("issue lab controller --controller --address 10.0.0.1\n"));
        assert!(refused("0.0.0.0", Use::Listen).contains("--address ADDRESS\n"));
        assert!(refused("lab", Use::Client(Some("ann#1"))).contains("issue lab ann\n"));
    }
}
