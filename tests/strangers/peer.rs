//! A TLS peer that a test controls.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// The silence after which a peer is assumed to send nothing more.
const QUIET: Duration = Duration::from_millis(500);

/// The content of a directory for `--tls`, unchecked.
pub struct Identity {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub fn read(dir: &Path) -> Identity {
        let read = |file: &str| fs::read(dir.join(file)).expect("the file exists");
        let all = |file: &str| {
            let certificates = CertificateDer::pem_slice_iter(&read(file)).collect::<Result<Vec<_>, _>>();
            certificates.expect("certificates")
        };
        let mut roots = RootCertStore::empty();
        all("ca.pem").into_iter().for_each(|root| roots.add(root).expect("an authority"));
        let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).expect("a key");
        Identity { roots: Arc::new(roots), chain: all("cert.pem"), key }
    }

    pub fn without_certificate(mut self) -> Identity {
        self.chain.clear();
        self
    }

    fn client(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).expect("TLS");
        let config = config.with_root_certificates(self.roots.clone());
        Arc::new(match self.chain.is_empty() {
            true => config.with_no_client_auth(),
            false => config.with_client_auth_cert(self.chain.clone(), self.key.clone_key()).expect("it fits"),
        })
    }

    pub fn connect(&self, address: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let session = ClientConnection::new(self.client(), name).expect("a session");
        let stream = TcpStream::connect(address).expect("it connects");
        stream.set_read_timeout(Some(QUIET)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        StreamOwned::new(session, stream)
    }
}

impl Identity {
    /// The same, for a test that waits for its answers.
    pub fn patient(&self, address: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let stream = self.connect(address);
        stream.sock.set_read_timeout(Some(super::SOON)).expect("a timeout");
        stream
    }
}

/// Sends this and returns everything that is received until the end, or until the peer is silent.
pub fn speak(address: &str, identity: &Identity, text: &str) -> String {
    let mut stream = identity.connect(address);
    stream.write_all(text.as_bytes()).expect("it is sent");
    let (mut said, mut buffer) = (Vec::new(), [0; 65536]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        said.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Connects, and returns how the other end closes the connection.
pub fn until_closed(address: &str, identity: &Identity) -> String {
    let mut stream = identity.connect(address);
    stream.sock.set_read_timeout(Some(super::SOON)).expect("a timeout");
    let (written, mut said) = (stream.write_all(b"\n"), [0; 1]);
    match written.and_then(|()| stream.read(&mut said)) {
        Ok(_) => "it was closed in order".to_owned(),
        Err(error) => format!("{error} {error:?}"),
    }
}

/// Serves TLS with this identity until the test ends. Returns the address.
pub fn serve(identity: &Identity) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(identity.roots.clone(), provider.clone());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).expect("TLS");
    let config = config.with_client_cert_verifier(verifier.build().expect("a verifier"));
    let config = Arc::new(config.with_single_cert(identity.chain.clone(), identity.key.clone_key()).expect("it fits"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = ServerConnection::new(config.clone()).expect("a session");
            let _ = StreamOwned::new(session, stream).read(&mut [0; 100]);
        }
    });
    address
}

/// A connection that has sent the beginning of a handshake.
pub fn half_handshake(address: &str, nr: usize) -> TcpStream {
    let beginning = [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3];
    let mut stream = TcpStream::connect(address).expect("it connects");
    stream.write_all(&beginning[..nr % beginning.len()]).expect("it is sent");
    stream
}
