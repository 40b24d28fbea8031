//! The options `--tls` and `--insecure`: the identity of this process, and the peers that it accepts.
//!
//! They become a TLS configuration before the process connects or listens. Without a certificate, only loopback must be
//! used, unless `--insecure` is given.

use std::fmt::Display;
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
use crate::cli::error::Error;
use crate::cli::owned;
use crate::cli::source::{self, MARK_BYTES, Takes, Unread};
use crate::cli::tls::certificate::{self, Certificate};
use crate::cli::tls::trust::Trust;
use crate::cli::tls::words::in_words;

/// The files of a directory for `--tls`.
pub const AUTHORITY_FILE: &str = "ca.pem";
pub const CERTIFICATE_FILE: &str = "cert.pem";
pub const KEY_FILE: &str = "key.pem";
pub const REVOKED_FILE: &str = "crl.pem";

/// The longest of these files, in bytes.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// The mode bits that give users other than the owner any access.
pub const OTHERS: u32 = 0o077;

/// The credential with the key, for a service whose user cannot read the file. systemd creates it with
/// `LoadCredential=tls:DIR`.
const KEY_CREDENTIAL: &str = "tls_key.pem";

/// The names that mean this machine on every machine.
const LOCAL_NAMES: [&str; 2] = ["localhost", "ip6-localhost"];

/// How this process and its peers prove their identity.
#[derive(Args, Clone, Default)]
pub struct Security {
    /// Use TLS, with the ca.pem, cert.pem, key.pem and crl.pem in this directory; both ends prove their identity
    #[arg(long, value_name = "DIR", conflicts_with = "insecure", global = true)]
    pub tls: Option<PathBuf>,
    /// Do not encrypt connections to other machines, and trust every machine of the network
    #[arg(long, global = true)]
    pub insecure: bool,
}

/// What this process does at an address.
#[derive(Clone, Copy)]
pub enum Use<'a> {
    /// It listens as a controller.
    Listen,
    /// It serves a room, also for this member of its own.
    Serve(Option<&'a str>),
    /// It connects as a slave with this name.
    Slave(&'a str),
    /// It connects as a client, for this member if there is one.
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

    /// Reads the certificates again, and returns the TLS configuration with them.
    pub fn renewed(&self, usage: Use<'_>) -> Result<Option<Tls>, Error> {
        self.tls.as_deref().map(|dir| Identity::load(dir)?.tls(usage)).transpose()
    }

    /// Returns a description of the certificate, if it is valid.
    pub fn describe(&self) -> Option<String> {
        let identity = Identity::load(self.tls.as_ref()?).ok()?;
        let (file, until) = (identity.dir.join(CERTIFICATE_FILE), certificate::date(identity.own.until));
        Some(format!("{}: for {}, until {until}", file.display(), identity.own.names.join(", ")))
    }

    /// Fails if one of the options is given, because it needs the option `option`.
    pub fn without_address(&self, option: &str) -> Result<(), Error> {
        let given = if self.insecure { "--insecure" } else { "--tls" };
        match self.is_given() {
            true => Err(Error::usage(format!("{given} goes with {option}"))),
            false => Ok(()),
        }
    }

    /// Returns the TLS configuration for the address of an option. `None` means no TLS. Fails if the address is not of this
    /// machine, and neither `--tls` nor `--insecure` is given.
    pub fn at(&self, option: &str, address: &str, usage: Use<'_>) -> Result<Option<Tls>, Error> {
        let way = if usage.listens() { Way::Listen } else { Way::Dial };
        address::check(option, address, way)?;
        if let Some(dir) = &self.tls {
            return Identity::load(dir)?.tls(usage).map(Some);
        }
        if is_local(address, usage) {
            if self.insecure {
                log::warn!("--insecure: {option} {address} is not encrypted: every user of this machine can connect");
            }
            return Ok(None);
        }
        let danger = match usage {
            Use::Listen => {
                "everybody who can reach this address can run commands on every slave, and act as any member"
            }
            Use::Serve(_) => "everybody who can reach this address can act as any member",
            Use::Slave(_) => "any machine that answers there, or is on the path, can run commands on this machine",
            Use::Client(_) => {
                "the identity of the controller is unknown to you, and yours is unknown to the controller"
            }
        };
        if self.insecure {
            log::warn!("--insecure: {option} {address} is not encrypted: {danger}");
            return Ok(None);
        }
        Err(Error::usage(format!("{option} {address}: without TLS {danger}\n{}", how_to_fix(address, usage))))
    }
}

/// Returns the commands that make the missing certificate.
fn how_to_fix(address: &str, usage: Use<'_>) -> String {
    let host = host_of(address);
    // A zone is valid on this machine only, so a certificate cannot contain it.
    let host = host.split('%').next().unwrap_or(&host).to_owned();
    let unspecified = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    let host = if unspecified { "ADDRESS".to_owned() } else { host };
    let name = usage.name().unwrap_or(if usage.listens() { "controller" } else { "NAME" });
    let issue = if usage.listens() { format!("{name} --controller --address {host}") } else { name.to_owned() };
    format!(
        "create certificates once, on a machine that you trust:\n\
         \x20   arete pki init lab\n\
         \x20   arete pki issue lab {issue}\n\
         copy the directory lab/{name} to this machine, and add --tls lab/{name}; see arete help security\n\
         or add --insecure, if you trust every machine of the network"
    )
}

/// Whether only this machine can use an address.
fn is_local(address: &str, usage: Use<'_>) -> bool {
    let host = host_of(address);
    if let Ok(ip) = host.split('%').next().unwrap_or(&host).parse::<IpAddr>() {
        return ip.to_canonical().is_loopback();
    }
    if !usage.listens() {
        return LOCAL_NAMES.contains(&&*host);
    }
    // The addresses that this process listens on can be looked up, unlike the view of another machine.
    addresses_of(&with_port(address))
        .is_ok_and(|mut addresses| addresses.all(|address| address.ip().to_canonical().is_loopback()))
}

/// The certificate of this process with its key, and the authorities that it trusts.
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
        let wrong = |file: &str, why: &dyn Display| in_file(dir, file, why);
        // If the directory does not exist, reading its first file reports that.
        if dir.is_dir() && !is_credential(dir) {
            owned::relies_on_names_in(dir).map_err(Error::foreign("--tls ", dir))?;
        }
        let authorities = certificates(dir, AUTHORITY_FILE)?;
        let chain = certificates(dir, CERTIFICATE_FILE)?;
        let own = Certificate::read(&chain[0]);
        let own = own.map_err(|error| wrong(CERTIFICATE_FILE, &format_args!("not a valid certificate: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(&read(dir, KEY_FILE)?);
        let key = key.map_err(|_| wrong(KEY_FILE, &"there is no private key in it, in PEM and without a password"))?;
        // A broken link is an error, not an absent file.
        let absent = |error: std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        let revoked = match dir.join(REVOKED_FILE).symlink_metadata().is_err_and(absent) {
            false => revocations(dir)?,
            true => Vec::new(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = Trust::new(authorities, &chain, revoked, provider.clone())
            .map_err(|error| wrong(if error.is_about_lists() { REVOKED_FILE } else { AUTHORITY_FILE }, &error))?;
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
                "it expired at {until}, and the clock of this machine is at {clock}: issue a new one with \"arete pki issue\", \
                 or set the clock"
            )));
        }
        if *from > now {
            let from = certificate::date(*from);
            return Err(self.wrong(&format!(
                "it is valid from {from}, and the clock of this machine is at {clock}: set the clock"
            )));
        }
        if names.is_empty() {
            return Err(
                self.wrong("its subject alternative name names no host: issue a new one with \"arete pki issue\"")
            );
        }
        match self.verified_by_itself()? {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => Err(self.wrong(&format!(
                "no authority of {} has signed it: both must be from the same \"arete pki\" directory",
                self.dir.join(AUTHORITY_FILE).display()
            ))),
            Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)) => {
                Err(self.wrong("it was revoked, or an authority above it: issue a new one with \"arete pki issue\""))
            }
            // The role is checked later, when the use is known.
            _ => Ok(()),
        }
    }

    /// Verifies the certificate as another machine with these files would.
    fn verified_by_itself(&self) -> Result<Result<(), rustls::Error>, Error> {
        let ((own, above), now) = (self.chain.split_at(1), UnixTime::now());
        if self.own.is_machines {
            let verifier = self.trust.of_clients().map_err(|error| self.unusable(&error))?;
            return Ok(verifier.verify_client_cert(&own[0], above, now).map(drop));
        }
        let verifier = self.trust.of_controllers().map_err(|error| self.unusable(&error))?;
        let Ok(name) = ServerName::try_from(self.own.names[0].to_string()) else { return Ok(Ok(())) };
        Ok(verifier.verify_server_cert(&own[0], above, &name, &[], now).map(drop))
    }

    fn wrong(&self, why: &str) -> Error {
        in_file(&self.dir, CERTIFICATE_FILE, &why)
    }

    /// Returns the TLS configuration. Fails if the certificate is not valid for this use.
    fn tls(&self, usage: Use<'_>) -> Result<Tls, Error> {
        for warning in self.trust.warnings() {
            log::warn!("--tls: {}: {warning}", self.dir.join(REVOKED_FILE).display());
        }
        let listens = usage.listens();
        if listens && !self.own.is_controllers {
            return Err(self.wrong(
                "it is not for a controller: issue one with \"arete pki issue DIR NAME --controller --address ADDRESS\"",
            ));
        }
        let dials = !matches!(usage, Use::Listen);
        if dials && !self.own.is_machines {
            return Err(self.wrong("it is for servers only: its extended key usage must also allow clients"));
        }
        if let Some(name) = usage.name().filter(|name| !self.own.names.iter().any(|own| **own == **name)) {
            let names = self.own.names.join(", ");
            return Err(self.wrong(&format!(
                "it is for {names} and not for {name}: issue one with \"arete pki issue DIR {name}\""
            )));
        }
        Ok(Tls {
            accepted_by: listens.then(|| self.trust.of_clients()).transpose().map_err(|error| self.unusable(&error))?,
            dialled_by: dials
                .then(|| self.trust.of_controllers())
                .transpose()
                .map_err(|error| self.unusable(&error))?,
            accepts: listens.then(|| self.accepts()).transpose()?,
            dials: dials.then(|| self.dials()).transpose()?,
            // The member of this process connects to its room by an address that the certificate need not contain.
            dialled_name: listens.then(|| ServerName::try_from(self.own.names[0].to_string()).ok()).flatten(),
            to_the_plain: answer_without_tls(),
            names: certificate::proven_names,
            in_words,
        })
    }

    fn accepts(&self) -> Result<Arc<ServerConfig>, Error> {
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.unusable(&error))?
            .with_client_cert_verifier(self.trust.of_clients().map_err(|error| self.unusable(&error))?)
            .with_single_cert(self.chain.clone(), self.key.clone_key());
        let mut config = config.map_err(|error| self.unusable(&in_words(&error)))?;
        // Sessions are not resumed, because the certificate may have been revoked since.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }

    fn dials(&self) -> Result<Arc<ClientConfig>, Error> {
        let verifier = self.trust.of_controllers().map_err(|error| self.unusable(&error))?;
        let config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.unusable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key());
        let mut config = config.map_err(|error| self.unusable(&in_words(&error)))?;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn unusable(&self, why: &dyn Display) -> Error {
        Error::failed(format!("--tls {}: {why}", self.dir.display()))
    }
}

/// Returns the error that a file of the directory is wrong.
fn in_file(dir: &Path, file: &str, why: &dyn Display) -> Error {
    Error::failed(format!("--tls: {}: {why}", dir.join(file).display()))
}

/// Returns the answer to a peer that does not use TLS.
fn answer_without_tls() -> arete::machine::Bytes {
    let reason = "this controller speaks TLS: connect with --tls DIR, with a certificate of its authority";
    Bye { code: Code::Tls, reason: reason.into(), fatal: true }.encode()
}

/// Reads the certificates in a file. Fails if there is none.
fn certificates(dir: &Path, file: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(dir, file)?;
    match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
        Err(_) => Err(in_file(dir, file, &"a certificate in it is damaged")),
        Ok(certificates) if certificates.is_empty() => {
            Err(in_file(dir, file, &"there is no certificate in it, in PEM"))
        }
        Ok(certificates) => Ok(certificates),
    }
}

/// Reads the revocation lists in a file: one of each authority that signs certificates.
fn revocations(dir: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let bytes = read(dir, REVOKED_FILE)?;
    match CertificateRevocationListDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
        Ok(lists) if !lists.is_empty() => Ok(lists),
        _ => Err(in_file(dir, REVOKED_FILE, &"there is no revocation list in it, in PEM")),
    }
}

/// Reads a file of the directory. Fails if it is a key that other users can read.
fn read(dir: &Path, file: &str) -> Result<Vec<u8>, Error> {
    let credential = if file == KEY_FILE { key_credential(&dir.join(file)) } else { None };
    let is_credential = credential.is_some() || is_credential(dir);
    let path = credential.unwrap_or_else(|| dir.join(file));
    let unreadable = |error: std::io::Error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => format!(
                "it does not exist: a directory for --tls contains {AUTHORITY_FILE}, {CERTIFICATE_FILE}, {KEY_FILE} and, \
                 if certificates were revoked, {REVOKED_FILE}: create it with \"arete pki issue\""
            ),
            _ => format!("cannot read it: {}", plain(&error)),
        };
        Error::failed(format!("--tls: {}: {why}", path.display()))
    };
    let opened = source::open(&path, Takes::Files).map_err(|why| match why {
        Unread::Io(error) => unreadable(error),
        why => Error::failed(format!("--tls: {}: {why}", path.display())),
    });
    let (mut opened, _) = opened?;
    let metadata = opened.metadata().map_err(unreadable)?;
    if file == KEY_FILE && metadata.mode() & OTHERS != 0 && !is_credential {
        return Err(Error::failed(format!(
            "--tls: {path}: users other than its owner can read it: run \"chmod 600 {path}\"; if somebody may have read it, \
             issue a new one",
            path = path.display()
        )));
    }
    if !is_credential {
        owned::relies_on(&metadata).map_err(Error::foreign("--tls: ", &path))?;
    }
    let mut bytes = Vec::new();
    opened.by_ref().take(FILE_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.starts_with(MARK_BYTES) {
        bytes.drain(..MARK_BYTES.len());
    }
    Ok(bytes)
}

/// Returns the credential with the key, if this user cannot read the file of the key.
fn key_credential(key: &Path) -> Option<PathBuf> {
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    let refused = source::open(key, Takes::Files).is_err_and(|why| matches!(why, Unread::Io(error) if refused(&error)));
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute());
    credentials.filter(|_| refused).map(|dir| dir.join(KEY_CREDENTIAL)).filter(|path| path.is_file())
}

/// Whether a directory contains the credentials of a service. The service manager protects these itself.
fn is_credential(dir: &Path) -> bool {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    credentials.is_some_and(|credentials| credentials.is_absolute() && dir.starts_with(credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_need_no_tls() {
        let client = Use::Client(None);
        for local in ["127.0.0.1", "127.9.8.7:5", "[::1]:5", "::1", "localhost", "LOCALHOST:7373", "::ffff:127.0.0.1"] {
            assert!(
                is_local(local, client) && Security::default().at("--controller", local, client).is_ok(),
                "{local}"
            );
        }
        for remote in [
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
            assert!(!is_local(remote, client), "{remote}");
        }
        for (listens, at) in
            [(true, "127.0.0.1:0"), (true, "localhost"), (false, "0.0.0.0"), (false, "no.such.host.invalid")]
        {
            assert_eq!(is_local(at, Use::Listen), listens, "{at}");
        }
    }

    #[test]
    fn a_refusal_contains_the_commands_that_help() {
        let refused = |address, usage| match Security::default().at("--controller", address, usage) {
            Err(error) => error.to_string(),
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
