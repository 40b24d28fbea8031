//! `arete pki`: an authority for a lab, and the certificates of its machines.
//!
//! An authority is a directory with `ca.pem` and `ca.key`, `crl.pem` with the revoked certificates, `.issued/SERIAL.pem` for
//! every certificate that was issued, and for each name a directory to be copied to its machine and used with `--tls`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arete::exit_code;
use arete::reactor::plain;
use arete::session::{check_name, is_host};
use clap::Subcommand;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::cli::error::{Error, FromIo, complain, shown};
use crate::cli::random::random;
use crate::cli::source::{self, Takes, Unread};
use crate::cli::stdout::print;
use crate::cli::tls::certificate::{Certificate, date, hex, wall_clock};
use crate::cli::tls::identity::{AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, OTHERS, REVOKED_FILE};
use crate::cli::values::number;
use crate::cli::{lock, owned};

/// The file of the authority's key.
const AUTHORITY_KEY: &str = "ca.key";

/// The directory with copies of all certificates. Names of machines cannot begin with a dot.
const ISSUED: &str = ".issued";

/// The validity of an authority and of its revocation lists, in days. An old list is accepted by all peers.
const AUTHORITY_DAYS: u64 = 3650;

/// The default validity of a certificate, in days.
const DAYS: u64 = 365;

/// The time before its issue from which a certificate is valid, because the clocks of other machines may be behind.
const BEFORE: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(86_400);

/// The longest certificate that this authority makes, in bytes.
const PEM_MAX: u64 = 1024 * 1024;

/// The modes of files that every user can read, and of those that only this user can read.
const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

#[derive(Subcommand)]
pub enum PkiSub {
    /// Create an authority, which signs the certificates of a lab
    Init {
        /// The directory, new or empty; a user who can read it can act as any machine of the lab
        dir: PathBuf,
    },
    /// Issue a key and a certificate in DIR/NAME, to be copied to one machine
    Issue {
        /// The directory of the authority
        dir: PathBuf,
        /// The name of the machine, which its slave and its members must have
        name: String,
        /// Issue a certificate for a controller
        #[arg(long)]
        controller: bool,
        /// Add an IP address or a host name, to which others connect, or under which members act
        #[arg(long = "address", value_name = "ADDRESS")]
        addresses: Vec<String>,
        /// The validity in days [default: 365]
        #[arg(long, value_name = "N", value_parser = |text: &str| number::<u64>(text, AUTHORITY_DAYS, "number of days"))]
        days: Option<u64>,
    },
    /// List all certificates that were issued
    List {
        /// The directory of the authority
        dir: PathBuf,
        /// Print one JSON object on each line
        #[arg(long)]
        json: bool,
    },
    /// Revoke all certificates of a name, or one by its serial number
    Revoke {
        /// The directory of the authority
        dir: PathBuf,
        /// The name of the machine, or the serial number of one certificate
        name: String,
    },
}

pub fn run(sub: PkiSub) -> Result<u8, Error> {
    match sub {
        PkiSub::Init { dir } => init(&dir)?,
        PkiSub::Issue { dir, name, controller, addresses, days } => {
            Authority::open(&dir)?.issue(&name, controller, &addresses, days.unwrap_or(DAYS))?;
            if controller && addresses.is_empty() {
                log::warn!(
                    "the certificate is only for the name {name}: use --address ADDRESS if others connect to an address"
                );
            }
        }
        PkiSub::List { dir, json } => Authority::open(&dir)?.list(json)?,
        PkiSub::Revoke { dir, name } => Authority::open(&dir)?.revoke(&name)?,
    }
    Ok(exit_code::PASSED)
}

fn cannot(action: &str, path: &Path) -> FromIo {
    Error::cannot(format_args!("{action} {}", path.display()))
}

/// Makes or replaces a file atomically. The file has this mode at any time.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let fresh = path.with_extension(format!("{:016x}", random()));
    let mut options = OpenOptions::new();
    let written = options.write(true).create_new(true).mode(mode).open(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&fresh);
        cannot("write", path)(error)
    })
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(cannot("make", path))
}

fn init(dir: &Path) -> Result<(), Error> {
    make_dir(dir, 0o700)?;
    let mut entries = fs::read_dir(dir).map_err(cannot("read", dir))?;
    if entries.next().is_some() {
        return Err(Error::failed(format!(
            "{}: the directory is not empty: an authority needs a new directory",
            dir.display()
        )));
    }
    let key = KeyPair::generate().map_err(cannot_sign)?;
    let mut params = valid(AUTHORITY_DAYS);
    params.distinguished_name.push(DnType::CommonName, format!("arete authority {:08x}", random() as u32));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(cannot_sign)?;
    write(&dir.join(AUTHORITY_KEY), &key.serialize_pem(), SECRET)?;
    write(&dir.join(AUTHORITY_FILE), &certificate.pem(), PUBLIC)?;
    make_dir(&dir.join(ISSUED), 0o700)?;
    Authority::open(dir)?.write_revoked(Vec::new(), 1)?;
    print(format!(
        "made the authority {0}: keep it where no other user can read it; issue certificates with arete pki issue {0} NAME\n",
        dir.display()
    ))
}

/// Returns the parameters of a certificate that is valid from now for a number of days, at most [`AUTHORITY_DAYS`].
fn valid(days: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = at(wall_clock()) - BEFORE;
    params.not_after = at(wall_clock()) + DAY * days as u32;
    let serial = [random().to_be_bytes(), random().to_be_bytes()].concat();
    // The first bits keep it positive and its length constant.
    params.serial_number = Some(SerialNumber::from([&[serial[0] & 0x3f | 0x40], &serial[1..]].concat()));
    params.use_authority_key_identifier_extension = true;
    params
}

/// Converts a time to the type of rcgen.
fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn cannot_sign(error: rcgen::Error) -> Error {
    Error::failed(format!("cannot make a certificate: {error}"))
}

/// A certificate that was issued.
struct Issued {
    name: String,
    certificate: Certificate,
    /// When it was revoked, in seconds since 1970.
    revoked: Option<i64>,
}

/// The content of a revocation list.
struct Revoked {
    number: u64,
    /// Serial numbers and times.
    entries: Vec<(Vec<u8>, i64)>,
}

/// An authority, locked as long as this value lives.
struct Authority {
    dir: PathBuf,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    until: i64,
    _lock: File,
}

impl Authority {
    fn open(dir: &Path) -> Result<Authority, Error> {
        let key_path = dir.join(AUTHORITY_KEY);
        let no_authority = |error: std::io::Error| {
            Error::failed(format!(
                "{}: {}: it is not the directory of an authority: create one with \"arete pki init DIR\"",
                key_path.display(),
                plain(&error)
            ))
        };
        let lock = File::open(&key_path).map_err(no_authority)?;
        let metadata = lock.metadata().map_err(no_authority)?;
        if metadata.mode() & OTHERS != 0 {
            return Err(Error::failed(format!(
                "{path}: users other than its owner can read the key of the authority: run \"chmod 600 {path}\"; if somebody \
                 may have read it, create another authority",
                path = key_path.display()
            )));
        }
        owned::relies_on(&metadata).map_err(Error::foreign("", &key_path))?;
        owned::relies_on_names_in(dir).map_err(Error::foreign("", dir))?;
        lock::wait(&lock, &key_path).map_err(cannot("lock", &key_path))?;
        let read = |path: &Path| fs::read_to_string(path).map_err(cannot("read", path));
        let pem = read(&dir.join(AUTHORITY_FILE))?;
        let wrong = |path: &Path, error: &dyn std::fmt::Display| Error::failed(format!("{}: {error}", path.display()));
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|error| wrong(&key_path, &error))?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|_| wrong(&dir.join(AUTHORITY_FILE), &"there is no certificate in it, in PEM"))?;
        let own = Certificate::read(&der).map_err(|error| wrong(&dir.join(AUTHORITY_FILE), &error))?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|error| wrong(&dir.join(AUTHORITY_FILE), &error))?;
        if own.until < wall_clock() {
            let ended = date(own.until);
            return Err(wrong(
                dir,
                &format!("the authority expired at {ended}: create another with \"arete pki init\""),
            ));
        }
        Ok(Authority { dir: dir.to_owned(), pem, issuer, until: own.until, _lock: lock })
    }

    fn issue(&self, name: &str, controller: bool, addresses: &[String], days: u64) -> Result<(), Error> {
        check_name("the owner of a certificate", name).map_err(Error::usage)?;
        let mut params = valid(days);
        params.not_after = params.not_after.min(at(self.until));
        params.distinguished_name.push(DnType::CommonName, name);
        for name in std::iter::once(name).chain(addresses.iter().map(String::as_str)) {
            params.subject_alt_names.push(alternative_name(name)?);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if controller {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let own = self.dir.join(name);
        if own.exists() && !own.is_dir() {
            return Err(Error::usage(format!(
                "{}: the authority has a file of this name: use another name",
                own.display()
            )));
        }
        let valid = self.issued()?.into_iter().filter(|issued| issued.name == name && issued.is_good()).count();
        let key = KeyPair::generate().map_err(cannot_sign)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(cannot_sign)?;
        let serial = params.serial_number.as_ref().map(|serial| hex(serial.as_ref())).unwrap_or_default();
        make_dir(&self.dir.join(ISSUED), 0o700)?;
        write(&self.dir.join(ISSUED).join(format!("{serial}.pem")), &certificate.pem(), PUBLIC)?;
        make_dir(&own, 0o700)?;
        write(&own.join(KEY_FILE), &key.serialize_pem(), SECRET)?;
        write(&own.join(CERTIFICATE_FILE), &certificate.pem(), PUBLIC)?;
        write(&own.join(AUTHORITY_FILE), &self.pem, PUBLIC)?;
        self.copy_revoked_to(&own)?;
        let until = date(params.not_after.unix_timestamp());
        print(format!("{}: for {name} until {until}; copy it to that machine, for --tls\n", own.display()))?;
        if valid > 0 {
            let (dir, are) = (self.dir.display(), if valid == 1 { "certificate is" } else { "certificates are" });
            complain(format_args!(
                "{valid} earlier {are} still valid for {name}: \"arete pki list {dir}\" shows the serial numbers, \
                 \"arete pki revoke {dir} SERIAL\" revokes one"
            ));
        }
        Ok(())
    }

    /// Returns all certificates that were issued, by name and time.
    fn issued(&self) -> Result<Vec<Issued>, Error> {
        let revoked = self.revoked()?.entries;
        let dir = self.dir.join(ISSUED);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(cannot("read", &dir))?,
        };
        let mut issued = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            // Other files in the directory are ignored.
            let bytes = match source::read(&path, PEM_MAX, Takes::Files) {
                Err(Unread::Io(error)) => return Err(cannot("read", &path)(error)),
                Err(_) => continue,
                Ok(bytes) => bytes,
            };
            // A crash may have left an incomplete file.
            let Ok(der) = CertificateDer::from_pem_slice(&bytes) else { continue };
            let Ok(certificate) = Certificate::read(&der) else { continue };
            let revoked = revoked.iter().find(|(serial, _)| hex(serial) == certificate.serial).map(|(_, time)| *time);
            let name = certificate.names.first().map(|name| name.to_string()).unwrap_or_default();
            issued.push(Issued { name, certificate, revoked });
        }
        issued.sort_by(|a, b| (&a.name, a.certificate.from).cmp(&(&b.name, b.certificate.from)));
        Ok(issued)
    }

    fn list(&self, json: bool) -> Result<(), Error> {
        let issued = self.issued()?;
        if json {
            return print(issued.iter().map(|issued| format!("{}\n", issued.as_json())).collect::<String>());
        }
        let width = issued.iter().map(|issued| issued.name.len()).max().unwrap_or(0).max("NAME".len());
        let mut text = format!("{:width$}  {:10}  {:20}  {:32}  STATE\n", "NAME", "ROLE", "UNTIL", "SERIAL");
        for issued in &issued {
            let Issued { name, certificate, .. } = issued;
            let (role, until) = (issued.role(), date(certificate.until));
            text += &format!("{name:width$}  {role:10}  {until:20}  {:32}  {}\n", certificate.serial, issued.state());
        }
        print(&text)
    }

    fn revoke(&self, name: &str) -> Result<(), Error> {
        let issued = self.issued()?;
        let is_named = |issued: &&Issued| issued.name == name || issued.certificate.serial == name;
        let named: Vec<&Issued> = issued.iter().filter(is_named).collect();
        if named.is_empty() {
            return Err(Error::failed(format!(
                "{}: no certificate was issued for {}: \"arete pki list\" shows all certificates",
                self.dir.display(),
                shown(name)
            )));
        }
        let mut list = self.revoked()?;
        let fresh: Vec<&&Issued> = named.iter().filter(|issued| issued.revoked.is_none()).collect();
        for issued in &fresh {
            list.entries.push((unhex(&issued.certificate.serial), wall_clock()));
        }
        self.write_revoked(list.entries, list.number + 1)?;
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.path().join(CERTIFICATE_FILE).is_file() {
                self.copy_revoked_to(&entry.path())?;
            }
        }
        print(format!(
            "{} revoked; copy {} to the --tls directory of every machine, and reload its controller or slave with SIGHUP\n",
            match fresh.len() {
                0 => "all certificates were already".to_owned(),
                1 => "1 certificate".to_owned(),
                count => format!("{count} certificates"),
            },
            self.dir.join(REVOKED_FILE).display()
        ))
    }

    fn revoked(&self) -> Result<Revoked, Error> {
        let path = self.dir.join(REVOKED_FILE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Revoked { number: 0, entries: Vec::new() });
            }
            other => other.map_err(cannot("read", &path))?,
        };
        let damaged = || Error::failed(format!("{}: there is no revocation list in it, in PEM", path.display()));
        let der = rustls::pki_types::CertificateRevocationListDer::from_pem_slice(&bytes).map_err(|_| damaged())?;
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|_| damaged())?;
        let digits = list.crl_number().map(|number| number.to_u64_digits()).unwrap_or_default();
        let entries = list
            .iter_revoked_certificates()
            .map(|entry| (entry.raw_serial().to_vec(), entry.revocation_date.timestamp()))
            .collect();
        Ok(Revoked { number: digits.first().copied().unwrap_or(0), entries })
    }

    fn write_revoked(&self, entries: Vec<(Vec<u8>, i64)>, number: u64) -> Result<(), Error> {
        let revoked_certs = entries.into_iter().map(|(serial, time)| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: at(time),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: at(wall_clock()) - BEFORE,
            next_update: at(self.until),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(cannot_sign)?;
        write(&self.dir.join(REVOKED_FILE), &list, PUBLIC)
    }

    fn copy_revoked_to(&self, dir: &Path) -> Result<(), Error> {
        let path = self.dir.join(REVOKED_FILE);
        match fs::read_to_string(&path) {
            Ok(list) => write(&dir.join(REVOKED_FILE), &list, PUBLIC),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(cannot("read", &path)(error)),
        }
    }
}

impl Issued {
    fn role(&self) -> &'static str {
        if self.certificate.is_controllers { "controller" } else { "machine" }
    }

    fn is_good(&self) -> bool {
        self.revoked.is_none() && self.certificate.until >= wall_clock()
    }

    fn state(&self) -> String {
        match self.revoked {
            Some(time) => format!("revoked {}", date(time)),
            None if self.certificate.until < wall_clock() => "expired".to_owned(),
            None => "good".to_owned(),
        }
    }

    fn as_json(&self) -> serde_json::Value {
        let Certificate { names, serial, from, until, .. } = &self.certificate;
        let mut json = serde_json::json!({
            "name": self.name, "role": self.role(), "names": names, "serial": serial, "from": date(*from),
            "until": date(*until), "revoked": self.revoked.is_some(),
        });
        if let Some(time) = self.revoked {
            json["revoked_at"] = date(time).into();
        }
        json
    }
}

/// Returns a name or an address in the form that a certificate has.
fn alternative_name(name: &str) -> Result<SanType, Error> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let wrong =
        || Error::usage(format!("--address {}: write a host name or an IP address, without a port", shown(name)));
    if !is_host(name) || name.contains(['#', ':', '%']) {
        return Err(wrong());
    }
    name.to_owned().try_into().map(SanType::DnsName).map_err(|_| wrong())
}

/// Returns the bytes of a serial number from its hexadecimal digits.
fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
