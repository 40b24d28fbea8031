//! TLS on connections: what each end proves, and that the bytes and the bounds are the same as without TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arete::machine::{Address, Bytes, Input};
use arete::reactor::{HANDSHAKE_MAX, HANDSHAKES_MAX, Options, Reactor, Tls};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use crate::{LIMIT, alone, connect, listening, run};

/// An authority, and the certificates that it has signed.
struct Lab {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

type Signed = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Lab {
    fn new() -> Lab {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a certificate").der().clone();
        Lab { root, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, names: &[&str]) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let chain = vec![params.signed_by(&key, &self.issuer).expect("a certificate").der().clone()];
        (chain, PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("an authority");
        Arc::new(roots)
    }

    fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots(), provider.clone()).build();
        let (chain, key) = self.sign(&["server", "127.0.0.1"]);
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).expect("TLS");
        let config = config.with_client_cert_verifier(verifier.expect("a verifier")).with_single_cert(chain, key);
        Arc::new(config.expect("it fits"))
    }

    fn client(&self, name: &str) -> Arc<ClientConfig> {
        self.client_with_chain_of(name, 0)
    }

    /// The same, with a chain of more than `bytes` bytes, which does not help the verification.
    fn client_with_chain_of(&self, name: &str, bytes: usize) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (mut chain, key) = self.sign(&[name]);
        chain.extend(std::iter::repeat_n(self.root.clone(), bytes.div_ceil(self.root.len())));
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).expect("TLS");
        let config = config.with_root_certificates(self.roots()).with_client_auth_cert(chain, key);
        Arc::new(config.expect("it fits"))
    }

    fn tls(&self) -> Tls {
        Tls {
            accepted_by: None,
            dialled_by: None,
            accepts: Some(self.server()),
            dials: Some(self.client("client")),
            dialled_name: None,
            to_the_plain: b"speak TLS\n".as_slice().into(),
            names: |der| {
                let named = [b"client".as_slice(), b"server"].into_iter().filter(|name| contains(der, name));
                named.map(|name| String::from_utf8_lossy(name).into()).collect()
            },
            in_words: |error| format!("{error:?}"),
        }
    }

    fn listening(&self, options: Options) -> (Reactor, SocketAddr) {
        listening(Options { tls: Some(self.tls()), ..options })
    }

    /// A client that does not use the reactor, with small buffers.
    fn connect(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        self.connect_with_chain_of(address, 0)
    }

    fn connect_with_chain_of(&self, address: SocketAddr, bytes: usize) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("server").expect("a name");
        let session = ClientConnection::new(self.client_with_chain_of("client", bytes), name).expect("a session");
        StreamOwned::new(session, narrow(address))
    }
}

fn contains(der: &[u8], name: &[u8]) -> bool {
    der.windows(name.len()).any(|window| window == name)
}

/// A connection with the smallest buffers that the system allows.
fn narrow(address: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    sockopt::set_socket_recv_buffer_size(&socket, 2048).expect("a small buffer");
    sockopt::set_socket_send_buffer_size(&socket, 2048).expect("a small buffer");
    connect(&socket, &address).expect("it connects");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    stream
}

/// The first message of a handshake.
fn client_hello(lab: &Lab) -> Vec<u8> {
    let name = ServerName::try_from("server").expect("a name");
    let mut session = ClientConnection::new(lab.client("client"), name).expect("a session");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("memory takes it");
    hello
}

/// Waits until the other end has closed the connection, and returns what it had sent.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return said,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return said,
            Err(error) => panic!("it is not closed: {error}"),
        }
    }
}

alone! {
    fn messages_of_every_size_return_over_tls_through_small_buffers() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options { max_queue: 64 << 20, ..Options::default() });
        let client = thread::spawn(move || {
            for size in [1, 63, 4095, 16_383, 16_384, 16_385, 65_537, 1_000_003] {
                let sent: Vec<u8> = (0..size).map(|i| (i * 7 + i / 251) as u8).collect();
                let mut stream = lab.connect(address);
                // In pieces, so that neither end has to hold all bytes.
                let mut got = Vec::new();
                for piece in sent.chunks(10_000) {
                    stream.write_all(piece).expect("it writes");
                    let mut back = vec![0; piece.len()];
                    stream.read_exact(&mut back).expect("it is echoed");
                    got.extend_from_slice(&back);
                }
                assert!(got == sent, "{size} bytes came back changed");
            }
            lab.connect(address).write_all(b"q").expect("it writes");
        });
        let mut accepted = 0;
        let code = run(reactor, |_, input, out, _| match input {
            Input::Accepted { peer, .. } => {
                assert_eq!(peer.names(), Some([Box::from("client")].as_slice()));
                accepted += 1;
            }
            Input::Received { bytes: b"q", .. } if accepted == 9 => out.exit(7),
            Input::Received { conn, bytes } => out.send(conn, bytes.into()),
            _ => {}
        });
        assert_eq!(code, 7);
        client.join().expect("the client is content");
    }

    fn a_long_message_that_two_share_arrives_at_both_and_then_the_end() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options::default());
        let long: Bytes = (0..16 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let expected = long.to_vec();
        let read = |mut stream: StreamOwned<ClientConnection, TcpStream>| {
            thread::spawn(move || {
                let mut got = Vec::new();
                stream.write_all(b"x").expect("the peer sends bytes");
                // An end without a close alert would be an error.
                stream.read_to_end(&mut got).expect("it reads to the end");
                got
            })
        };
        let readers = [read(lab.connect(address)), read(lab.connect(address))];
        let mut conns = Vec::new();
        run(reactor, |now, input, out, wake| {
            if let Input::Received { conn, bytes: b"x" } = input {
                conns.push(conn);
                if conns.len() == 2 {
                    for conn in &conns {
                        out.send(*conn, b"<".as_slice().into());
                        out.send(*conn, long.clone());
                        out.send(*conn, b">".as_slice().into());
                    }
                }
            }
            // Closed only when the readers have received most bytes, because a closed connection lingers for a short
            // time.
            *wake = Some(now + Duration::from_millis(20));
            if conns.len() == 2 && !readers.iter().any(|reader| reader.is_finished()) && Rc::strong_count(&long) == 1 {
                conns.drain(..).for_each(|conn| out.close(conn, "everything is sent"));
            }
            if readers.iter().all(|reader| reader.is_finished()) {
                out.exit(0);
            }
        });
        for reader in readers {
            let got = reader.join().expect("it read");
            assert!(got.len() == expected.len() + 2 && got[1..got.len() - 1] == expected[..], "{} bytes", got.len());
        }
    }

    fn the_last_piece_of_a_message_arrives_also_when_the_socket_was_full_before_it() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options::default());
        let client = thread::spawn(move || {
            let mut stream = lab.connect(address);
            for kilobytes in 0..40 {
                stream.write_all(&[kilobytes]).expect("it asks");
                // By now the socket at the other end is full.
                thread::sleep(Duration::from_millis(20));
                let mut long = vec![0; length(kilobytes)];
                stream.read_exact(&mut long).expect("it is answered in full");
            }
            stream.write_all(b"q").expect("it writes");
        });
        fn length(kilobytes: u8) -> usize {
            (3 << 20) + usize::from(kilobytes) * 4096
        }
        run(reactor, |_, input, out, _| match input {
            Input::Received { bytes: b"q", .. } => out.exit(0),
            Input::Received { conn, bytes: &[kilobytes] } => out.send(conn, vec![7; length(kilobytes)].into()),
            Input::Received { bytes, .. } => panic!("{bytes:?}"),
            _ => {}
        });
        client.join().expect("the client is content");
    }

    fn both_ends_get_the_name_of_the_other_and_early_bytes_arrive() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options::default());
        let (mut said, mut names) = (Vec::new(), Vec::new());
        run(reactor, |_, input, out, _| match input {
            Input::Begin => {
                let conn = out.connect(Address::Inet(address.to_string()));
                out.send(conn, b"early".as_slice().into());
                // Closed before the handshake is complete. The bytes that were sent before are still delivered.
                let other = out.connect(Address::Inet(address.to_string()));
                out.send(other, b"and gone".as_slice().into());
                out.close(other, "everything is sent");
            }
            Input::Accepted { peer, .. } => names.push(peer.names().map(<[_]>::to_vec)),
            Input::Connected { peer, local, .. } => {
                assert!(local.is_some() && peer.address() == Some(address));
                names.push(peer.names().map(<[_]>::to_vec));
            }
            Input::Received { bytes, .. } => {
                said.push(String::from_utf8_lossy(bytes).into_owned());
                if said.len() == 2 {
                    out.exit(0);
                }
            }
            _ => {}
        });
        said.sort();
        names.sort();
        let named = |name: &str| Some(vec![Box::from(name)]);
        assert_eq!(said, ["and gone", "early"]);
        assert_eq!(names, [named("client"), named("client"), named("server")]);
    }

    fn a_peer_without_tls_is_refused_with_the_reason_and_causes_no_input() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options::default());
        let client = thread::spawn(move || {
            let mut plain = connect(address);
            plain.write_all(b"{\"type\":\"hello\"}\n").expect("it writes");
            assert_eq!(until_closed(&mut plain), b"speak TLS\n");
            lab.connect(address).write_all(b"q").expect("it writes");
        });
        let mut accepted = 0;
        run(reactor, |_, input, out, _| match input {
            Input::Accepted { .. } => accepted += 1,
            Input::Received { .. } => out.exit(0),
            _ => {}
        });
        assert_eq!(accepted, 1);
        client.join().expect("the client is content");
    }

    fn a_peer_without_tls_or_with_another_name_is_not_accepted() {
        let (lab, other) = (Lab::new(), Lab::new());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let plain = listener.local_addr().expect("its address");
        thread::spawn(move || {
            let mut stream = listener.accept().expect("somebody comes").0;
            let _ = stream.write_all(b"{\"type\":\"bye\"}\n");
            until_closed(&mut stream);
        });
        let tls = Tls { accepts: Some(other.server()), ..lab.tls() };
        let (reactor, stranger) = listening(Options { tls: Some(tls), ..Options::default() });
        let (mut reasons, mut told) = (Vec::new(), 0);
        run(reactor, |_, input, out, _| match input {
            Input::Begin => {
                let plain = out.connect(Address::Inet(plain.to_string()));
                out.send(plain, b"secret".as_slice().into());
                out.connect(Address::Inet(stranger.to_string()));
            }
            Input::Closed { reason, .. } => {
                reasons.push(reason.words);
                if reasons.len() == 2 {
                    out.exit(0);
                }
            }
            Input::Connected { .. } | Input::Accepted { .. } => told += 1,
            _ => {}
        });
        reasons.sort();
        assert!(reasons[0].contains("BadSignature") && reasons[1].contains("InvalidContentType"), "{reasons:?}");
        assert_eq!(told, 0);
    }

    fn resets_at_every_byte_of_a_handshake_disturb_no_other() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options::default());
        let client = thread::spawn(move || {
            let hello = client_hello(&lab);
            for end in 0..hello.len() {
                let mut stream = connect(address);
                stream.write_all(&hello[..end]).expect("it writes");
                if end % 2 == 0 {
                    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("it resets");
                }
            }
            lab.connect(address).write_all(b"q").expect("it writes");
        });
        let mut accepted = 0;
        run(reactor, |_, input, out, _| match input {
            Input::Accepted { .. } => accepted += 1,
            Input::Received { .. } => out.exit(0),
            Input::Closed { reason, .. } if accepted == 0 => panic!("no authority has signed it: {reason}"),
            _ => {}
        });
        assert_eq!(accepted, 1);
        client.join().expect("the client is content");
    }

    fn a_thousand_half_handshakes_keep_no_client_out() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options::default());
        let client = thread::spawn(move || {
            let hello = client_hello(&lab);
            let half = |nr: usize| {
                let mut stream = connect(address);
                stream.write_all(&hello[..nr % hello.len()]).expect("it writes");
                stream
            };
            let idle: Vec<_> = (0..2 * HANDSHAKES_MAX).map(half).collect();
            let begin = Instant::now();
            let mut good = lab.connect(address);
            good.write_all(b"q").expect("it writes");
            good.read_exact(&mut [0]).expect("it is answered");
            assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
            drop(idle);
        });
        let mut accepted = 0;
        run(reactor, |_, input, out, _| match input {
            Input::Accepted { .. } => accepted += 1,
            Input::Received { conn, .. } => {
                out.send(conn, b"a".as_slice().into());
                out.exit(0);
            }
            _ => {}
        });
        assert_eq!(accepted, 1);
        client.join().expect("the client is content");
    }

    fn a_handshake_that_is_too_slow_or_too_long_is_ended() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options::default());
        let client = thread::spawn(move || {
            let mut slow = connect(address);
            slow.write_all(&client_hello(&lab)[..100]).expect("it writes");
            let begin = Instant::now();
            let mut long = lab.connect_with_chain_of(address, HANDSHAKE_MAX);
            let said = long.write_all(b"a long chain").and_then(|()| long.read(&mut [0]));
            assert!(!matches!(said, Ok(1..)), "{said:?}");
            assert!(begin.elapsed() < Duration::from_secs(5), "the long one: {:?}", begin.elapsed());
            until_closed(&mut slow);
            assert!(begin.elapsed() < Duration::from_secs(13), "the slow one: {:?}", begin.elapsed());
            lab.connect(address).write_all(b"q").expect("it writes");
        });
        let mut accepted = 0;
        run(reactor, |_, input, out, _| match input {
            Input::Accepted { .. } => accepted += 1,
            Input::Received { bytes: b"q", .. } => out.exit(0),
            _ => {}
        });
        assert_eq!(accepted, 1);
        client.join().expect("the client is content");
    }

    fn bytes_in_one_piece_with_the_end_of_a_handshake_do_not_belong_to_it() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options::default());
        let name = ServerName::try_from("server").expect("a name");
        let mut session = ClientConnection::new(lab.client("client"), name).expect("a session");
        let client = std::thread::spawn(move || {
            let mut socket = TcpStream::connect(address).expect("it connects");
            while session.is_handshaking() {
                while session.wants_write() {
                    session.write_tls(&mut socket).expect("it is taken");
                }
                session.read_tls(&mut socket).expect("it answers");
                session.process_new_packets().expect("as it should");
            }
            session.set_buffer_limit(None);
            session.writer().write_all(&[b'x'; 48 * 1024]).expect("it is taken");
            let mut all = Vec::new();
            while session.wants_write() {
                session.write_tls(&mut all).expect("it is taken");
            }
            socket.write_all(&all).expect("it is taken");
            until_closed(&mut socket);
        });
        let mut received = 0;
        run(reactor, |_, input, out, _| match input {
            Input::Received { bytes, .. } => {
                received += bytes.len();
                if received == 48 * 1024 {
                    out.exit(0);
                }
            }
            Input::Closed { reason, .. } => panic!("{reason}"),
            _ => {}
        });
        client.join().expect("it ends");
    }

    fn a_stream_that_is_cut_off_is_a_closed_connection() {
        let lab = Lab::new();
        let (reactor, address) = lab.listening(Options::default());
        let client = thread::spawn(move || {
            let mut stream = lab.connect(address);
            stream.write_all(b"half a li").expect("it writes");
            stream.sock.shutdown(std::net::Shutdown::Write).expect("it ends");
            until_closed(&mut stream.sock);
        });
        let (mut said, mut why) = (Vec::new(), String::new());
        run(reactor, |_, input, out, _| match input {
            Input::Received { bytes, .. } => said.extend_from_slice(bytes),
            Input::Closed { reason, .. } => {
                why = reason.words;
                out.exit(0);
            }
            _ => {}
        });
        assert_eq!((said.as_slice(), why.as_str()), (b"half a li".as_slice(), "the peer closed the connection"));
        client.join().expect("the client is content");
    }

    fn a_peer_that_does_not_read_what_is_sealed_for_it_is_dropped() {
        let lab = Lab::new();
        let options = Options { stalled_after: Duration::from_millis(300), max_queue: 32 << 20, ..Options::default() };
        let (reactor, address) = lab.listening(options);
        let deaf = thread::spawn(move || {
            let mut stream = lab.connect(address);
            stream.write_all(b"x").expect("it writes");
            stream.read_exact(&mut [0; 1000]).expect("it reads the beginning");
            stream
        });
        let mut why = String::new();
        run(reactor, |_, input, out, _| match input {
            Input::Received { conn, .. } => out.send(conn, vec![7; 4 << 20].into()),
            Input::Closed { reason, .. } => {
                why = reason.words;
                out.exit(0);
            }
            _ => {}
        });
        assert!(why.starts_with("it does not read: "), "{why}");
        drop(deaf.join().expect("it read a little"));
    }
}
