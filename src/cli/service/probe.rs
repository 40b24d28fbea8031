//! Checks whether a controller can be reached: looks up its name, connects, and verifies its certificate.
//!
//! Without TLS, the probe sends one message, to which only a controller gives the expected answer. Each step has a time
//! limit.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use arete::link::{NO_CONTROLLER, next_step};
use arete::machine::{Cause, Reason};
use arete::reactor::{Tls, addresses_of, host_of, hung_up, plain, server_name};
use arete::wire::{Bye, Code, FromController, LINE_MAX, Message};
use rustls::{ClientConfig, ClientConnection};

use crate::cli::error::Error;
use crate::cli::tls::certificate;

/// The time limit of each step: the look-up, the connection, the handshake.
const STEP: Duration = Duration::from_secs(5);

/// The time that the controller has to refuse our certificate after the handshake.
const REFUSES_WITHIN: Duration = Duration::from_millis(500);

/// The bytes that are read at once.
const PIECE: usize = 4096;

/// Connects to the controller at an address. Returns what it proved.
pub fn controller(address: &str, tls: Option<&Tls>) -> Result<String, Error> {
    let stream = connect(&look_up(address)?)?;
    match tls.and_then(|tls| Some((tls, tls.dials.clone()?))) {
        Some((tls, config)) => handshake(stream, address, tls, config),
        None => check_answer(stream).map(|()| "reached; its identity is not checked".to_owned()),
    }
}

/// Fails if nothing listens at an address.
pub fn listener(address: &str) -> Result<(), Error> {
    connect(&look_up(address)?).map(drop)
}

/// Fails if it is not a controller: a controller gives one answer to a first message that is not a hello.
fn check_answer(mut stream: TcpStream) -> Result<(), Error> {
    let until = Instant::now() + STEP;
    let looking = Bye { code: Code::Leaves, reason: "only looking".into(), fatal: false }.encode();
    let _ = stream.set_write_timeout(Some(STEP)).and_then(|()| stream.write_all(&looking));
    let mut received = Vec::new();
    let ended = loop {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut piece = [0; PIECE];
        match stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut piece)) {
            Ok(0) => break hung_up(),
            Ok(count) => received.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break Reason::new(Cause::NoAnswer, "what listens there does not answer");
            }
            Err(error) => break arete::reactor::reason(&error),
        }
        if received.contains(&b'\n') || received.len() > LINE_MAX {
            break Reason::new(Cause::NoController, NO_CONTROLLER);
        }
    };
    let line = received.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let reason = match FromController::decode(line) {
        Ok(FromController::Bye(bye)) if bye.code == Code::FirstMessage => return Ok(()),
        Ok(FromController::Bye(bye)) => Reason::from(&*bye.reason),
        _ if received.is_empty() => ended,
        _ => Reason::new(Cause::NoController, NO_CONTROLLER),
    };
    let step = next_step(reason.cause).map(|step| format!(": {step}")).unwrap_or_default();
    Err(Error::failed(format!("{reason}{step}")))
}

/// Returns the addresses of `HOST:PORT`. The look-up needs a thread, because the resolver of the system has no time limit.
fn look_up(address: &str) -> Result<Vec<SocketAddr>, Error> {
    let (sender, receiver) = mpsc::channel();
    let name = address.to_owned();
    std::thread::spawn(move || sender.send(addresses_of(&name).map(Iterator::collect::<Vec<_>>)));
    let why = match receiver.recv_timeout(STEP) {
        Ok(Ok(addresses)) if !addresses.is_empty() => return Ok(addresses),
        Ok(Ok(_)) => "it has no address".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", STEP.as_secs()),
    };
    let host = host_of(address);
    Err(Error::failed(format!("the name {host} cannot be looked up: {why}; use its address, or fix the name service")))
}

fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let mut why = String::new();
    for address in addresses {
        match TcpStream::connect_timeout(address, STEP) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                why = match error.kind() {
                    ErrorKind::ConnectionRefused => format!(
                        "nothing listens at {address}: start \"arete controller\" or \"arete run --listen\" there, or write \
                         its port as HOST:PORT"
                    ),
                    ErrorKind::TimedOut | ErrorKind::WouldBlock => format!(
                        "{address} does not answer within {} s: is the machine up, and does a firewall block this port?",
                        STEP.as_secs()
                    ),
                    _ => format!("{address}: {}: is the address right, and the network up?", plain(&error)),
                }
            }
        }
    }
    Err(Error::failed(why))
}

/// Makes a TLS handshake, and waits [`REFUSES_WITHIN`] for the controller to refuse our certificate.
fn handshake(mut stream: TcpStream, address: &str, tls: &Tls, config: Arc<ClientConfig>) -> Result<String, Error> {
    let name = server_name(host_of(address)).map_err(|error| Error::failed(plain(&error)))?;
    let session = ClientConnection::new(config, name);
    let mut session = session.map_err(|error| Error::failed((tls.in_words)(&error)))?;
    let until = Instant::now() + STEP;
    while session.is_handshaking() || session.wants_write() {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let _ = stream.set_read_timeout(Some(left)).and_then(|()| stream.set_write_timeout(Some(left)));
        session.complete_io(&mut stream).map_err(|error| handshake_error(&error, tls))?;
    }
    let names = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|certificate| certificate::proven_names(certificate).join(", "))
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| "a machine without a name in its certificate".to_owned());
    let _ = stream.set_read_timeout(Some(REFUSES_WITHIN));
    match session.complete_io(&mut stream).err() {
        Some(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(handshake_error(&error, tls))
        }
        _ if session.reader().read(&mut [0]).is_ok_and(|count| count == 0) => {
            Err(Error::failed("it closed the connection after the TLS handshake: see its log"))
        }
        _ => Ok(format!("reached, it proves to be {names}")),
    }
}

fn handshake_error(error: &io::Error, tls: &Tls) -> Error {
    let advice = "is it a controller, and does it have --tls DIR?";
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    Error::failed(match (of_tls, error.kind()) {
        (Some(error), _) => (tls.in_words)(error),
        (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            format!("it closed the connection in the TLS handshake: {advice}")
        }
        (None, ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            format!("it does not continue the TLS handshake: {advice}")
        }
        _ => format!("the TLS handshake: {}", plain(error)),
    })
}
