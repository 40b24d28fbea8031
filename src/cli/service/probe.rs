//! Whether a controller can be reached: its name is looked up, a connection is made, and with TLS it proves who it is.
//!
//! Without TLS the probe sends one message, which a controller that takes slaves answers in one way. Each step has a
//! time limit.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use arete::link::{NO_CONTROLLER, next_step};
use arete::machine::{Cause, Reason};
use arete::reactor::{Tls, addresses_of, host_of, hung_up, plain, reason, server_name};
use arete::wire::{Bye, Code, FromController, LINE_MAX, Message};
use rustls::{ClientConfig, ClientConnection};

use crate::cli::tls::certificate;

/// The time limit of each step: the look-up, the connection, the handshake.
const STEP: Duration = Duration::from_secs(5);

/// The time that the other end has to refuse our certificate after the handshake.
const REFUSES_WITHIN: Duration = Duration::from_millis(500);

/// The bytes that are read at once.
const PIECE: usize = 4096;

/// Reaches the controller at an address. Returns what it proved, or why it failed and what to do about it.
pub fn reach(address: &str, tls: Option<&Tls>) -> Result<String, String> {
    let stream = connect(&look_up(address)?)?;
    match tls.and_then(|tls| Some((tls, tls.dials.clone()?))) {
        Some((tls, config)) => handshake(stream, address, tls, config),
        None => listens(stream).map(|()| "reached; it is not asked who it is".to_owned()),
    }
}

/// Fails if nothing listens at an address.
pub fn stands(address: &str) -> Result<(), String> {
    connect(&look_up(address)?).map(drop)
}

/// Fails if no controller that takes slaves listens: it has one answer to a first message that is not a hello.
fn listens(mut stream: TcpStream) -> Result<(), String> {
    let until = Instant::now() + STEP;
    let looking = Bye { code: Code::Leaves, reason: "only looking".into(), fatal: false }.encode();
    let _ = stream.set_write_timeout(Some(STEP)).and_then(|()| stream.write_all(&looking));
    let mut heard = Vec::new();
    let ended = loop {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut piece = [0; PIECE];
        match stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut piece)) {
            Ok(0) => break hung_up(),
            Ok(count) => heard.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break Reason::new(Cause::NoAnswer, "what listens there says nothing");
            }
            Err(error) => break reason(&error),
        }
        if heard.contains(&b'\n') || heard.len() > LINE_MAX {
            break Reason::new(Cause::NoController, NO_CONTROLLER);
        }
    };
    let line = heard.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let wrong = match FromController::decode(line) {
        Ok(FromController::Bye(bye)) if bye.code == Code::FirstMessage => return Ok(()),
        Ok(FromController::Bye(bye)) => Reason::from(&*bye.reason),
        _ if heard.is_empty() => ended,
        _ => Reason::new(Cause::NoController, NO_CONTROLLER),
    };
    let step = next_step(wrong.cause).map(|step| format!(": {step}")).unwrap_or_default();
    Err(format!("{wrong}{step}"))
}

/// Returns the addresses of `HOST:PORT`. The look-up has a thread, because the system's resolver has no time limit.
fn look_up(address: &str) -> Result<Vec<SocketAddr>, String> {
    let (answer, answered) = mpsc::channel();
    let asked = address.to_owned();
    std::thread::spawn(move || answer.send(addresses_of(&asked).map(Iterator::collect::<Vec<_>>)));
    let host = host_of(address);
    let then = "give its address, or mend the name service of this machine";
    match answered.recv_timeout(STEP) {
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        Ok(Ok(_)) => Err(format!("the name {host} has no address; {then}")),
        Ok(Err(why)) => Err(format!("the name {host} cannot be looked up: {why}; {then}")),
        Err(_) => Err(format!("nobody has told the address of {host} in {} s; {then}", STEP.as_secs())),
    }
}

fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = String::new();
    for address in addresses {
        match TcpStream::connect_timeout(address, STEP) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                why = match error.kind() {
                    ErrorKind::ConnectionRefused => format!(
                        "nothing listens at {address}: start \"arete controller\" or \"arete run --listen\" there, or give its \
                         port as HOST:PORT"
                    ),
                    ErrorKind::TimedOut | ErrorKind::WouldBlock => format!(
                        "{address} does not answer within {} s: is the machine up, and does a firewall let this port through?",
                        STEP.as_secs()
                    ),
                    _ => format!("{address}: {}: is the address right, and the network up?", plain(&error)),
                }
            }
        }
    }
    Err(why)
}

/// Makes a TLS handshake, and waits [`REFUSES_WITHIN`] for the other end to refuse our certificate.
fn handshake(mut stream: TcpStream, address: &str, tls: &Tls, config: Arc<ClientConfig>) -> Result<String, String> {
    let name = server_name(host_of(address)).map_err(|error| plain(&error))?;
    let mut session = ClientConnection::new(config, name).map_err(|error| (tls.in_words)(&error))?;
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
        .unwrap_or_else(|| "nobody, its certificate names no host".to_owned());
    let _ = stream.set_read_timeout(Some(REFUSES_WITHIN));
    match session.complete_io(&mut stream).err() {
        Some(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(handshake_error(&error, tls))
        }
        _ if session.reader().read(&mut [0]).is_ok_and(|count| count == 0) => {
            Err("it closed the connection after the TLS handshake: its log says why".to_owned())
        }
        _ => Ok(format!("reached, it proves to be {names}")),
    }
}

fn handshake_error(error: &std::io::Error, tls: &Tls) -> String {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return (tls.in_words)(error);
    }
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            "it closed the connection in the TLS handshake: is it a controller, and has it --tls DIR?".to_owned()
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            "it does not go on with the TLS handshake: is it a controller, and has it --tls DIR?".to_owned()
        }
        _ => format!("the TLS handshake: {}", plain(error)),
    }
}
