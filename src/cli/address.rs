//! Addresses as people write them: `HOST`, `HOST:PORT`, an IPv6 address with or without brackets, and with its zone.
//! What can never work is refused at once, wherever it is written, because a slave or a client tries an address for
//! ever.

use std::net::{Ipv4Addr, Ipv6Addr};

use arete::machine::Address;

use crate::cli::error::{Error, shown};

/// The port of a controller, where an address names none.
pub const PORT: u16 = 7373;

/// The longest host name, and the longest part of one between dots, in bytes.
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// What no host name has in it, though no control character or space.
const NEVER_IN_A_NAME: &str = "/@#?[]%,;:\"'\\";

/// What is to be done at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is connected to.
    Dial,
    /// Others come to it; port 0 is one that is free.
    Listen,
}

/// `HOST` or `HOST:PORT` as `HOST:PORT`.
pub fn with_port(address: &str) -> String {
    let bracketed = address.starts_with('[');
    let has_port = match address.rsplit_once(':') {
        Some((host, port)) => port.bytes().all(|byte| byte.is_ascii_digit()) && (!bracketed || host.ends_with(']')),
        None => false,
    };
    let colons = address.matches(':').count();
    match (has_port, bracketed, colons) {
        (_, false, 2..) => format!("[{address}]:{PORT}"),
        (true, _, _) => address.to_owned(),
        (false, _, _) => format!("{address}:{PORT}"),
    }
}

/// The host without brackets.
pub fn host_of(address: &str) -> String {
    let address = with_port(address);
    let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// Fails with what is wrong and what to do, if nobody can ever do at this address what shall be done.
pub fn check(address: &str, way: Way) -> Result<(), String> {
    if let Some((scheme, _)) = address.split_once("://") {
        return Err(format!("write HOST or HOST:PORT, without \"{scheme}://\""));
    }
    let whole = with_port(address);
    let (host, port) = whole.rsplit_once(':').unwrap_or((&whole, ""));
    if host.is_empty() {
        return Err("no host is named: write HOST or HOST:PORT".to_owned());
    }
    match port.parse::<u16>() {
        Ok(0) if way == Way::Dial => return Err("nothing can be reached at port 0: write HOST or HOST:PORT".to_owned()),
        Ok(_) => {}
        Err(_) => return Err(format!("a port is a number from 1 to {}: write HOST or HOST:PORT", u16::MAX)),
    }
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => check_v6(inside, way),
        None => check_name(host, way),
    }
}

fn check_v6(host: &str, way: Way) -> Result<(), String> {
    let (ip, zone) = host.split_once('%').map_or((host, None), |(ip, zone)| (ip, Some(zone)));
    let Ok(ip) = ip.parse::<Ipv6Addr>() else {
        return Err("it has several colons and is no IPv6 address: write HOST, HOST:PORT or [IPV6]:PORT".to_owned());
    };
    if zone == Some("") || zone.is_none() && ip.is_unicast_link_local() {
        return Err(format!("say which network this link-local address is in, by an interface: {ip}%eth0"));
    }
    unless_of_many(ip.is_multicast(), way)
}

fn check_name(host: &str, way: Way) -> Result<(), String> {
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return unless_of_many(ip.is_multicast() || ip.is_broadcast(), way);
    }
    if host.split('.').count() == 4 && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err("it is no IPv4 address: each of its numbers is 0 to 255".to_owned());
    }
    let never = |letter: char| letter.is_control() || letter.is_whitespace() || NEVER_IN_A_NAME.contains(letter);
    if let Some(letter) = host.chars().find(|letter| never(*letter)) {
        return Err(format!("no host name has {letter:?} in it: write HOST or HOST:PORT"));
    }
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let bad_label = |label: &str| label.is_empty() || label.len() > LABEL_MAX;
    match host.len() > HOST_MAX || labels.into_iter().any(bad_label) {
        true => Err(format!(
            "no host name is like this: it has {HOST_MAX} bytes at most, and 1 to {LABEL_MAX} between dots"
        )),
        false => Ok(()),
    }
}

/// Nobody speaks TCP with several machines at once.
fn unless_of_many(of_many: bool, way: Way) -> Result<(), String> {
    match of_many {
        true => Err(match way {
            Way::Dial => {
                "it is an address of many machines: name that of the one where a controller listens".to_owned()
            }
            Way::Listen => "it is an address of many machines: name one of this machine".to_owned(),
        }),
        false => Ok(()),
    }
}

/// Checks an address to connect to, and adds the port. `option` is the option that names it.
pub fn named(address: &str, option: &str) -> Result<Address, Error> {
    let wrong = |why| Error::usage(format!("{option} {}: {why}", shown(address)));
    check(address, Way::Dial).map(|()| Address::Inet(with_port(address))).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_gets_the_port_of_a_controller() {
        for (written, whole) in [
            ("host", "host:7373"),
            ("host:1", "host:1"),
            ("::1", "[::1]:7373"),
            ("[::1]", "[::1]:7373"),
            ("[::1]:5", "[::1]:5"),
            ("fe80::2:7", "[fe80::2:7]:7373"),
            ("fe80::1%eth0", "[fe80::1%eth0]:7373"),
            ("[fe80::1%eth0]", "[fe80::1%eth0]:7373"),
            ("[fe80::1%2]:5", "[fe80::1%2]:5"),
        ] {
            assert_eq!(with_port(written), whole);
            assert_eq!(host_of(written), whole.rsplit_once(':').unwrap().0.trim_matches(['[', ']']));
        }
    }

    #[test]
    fn what_can_never_be_dialled_is_refused_with_the_reason() {
        let long = format!("{}.lab", "x".repeat(64));
        for (wrong, why) in [
            ("", "no host"),
            (":7373", "no host"),
            ("lab:", "a port is a number"),
            ("lab:99999", "a port is a number"),
            ("lab:http", "':'"),
            ("lab:-1", "':'"),
            ("lab:0", "port 0"),
            ("[::1]:0", "port 0"),
            ("http://lab:7373", "without \"http://\""),
            ("tcp://lab", "without \"tcp://\""),
            ("ann@lab", "'@'"),
            ("lab/x", "'/'"),
            ("a lab", "' '"),
            ("lab,mab", "','"),
            ("[lab]:1", "no IPv6 address"),
            ("::1::2", "no IPv6 address"),
            ("a:b:c", "no IPv6 address"),
            ("fe80::1", "%eth0"),
            ("fe80::1%", "%eth0"),
            ("10.0.0.256", "no IPv4 address"),
            ("255.255.255.255", "many machines"),
            ("224.0.0.1:5", "many machines"),
            ("ff02::1%eth0", "many machines"),
            ("a..b", "like this"),
            (&long, "like this"),
        ] {
            let said = check(wrong, Way::Dial).expect_err(wrong);
            assert!(said.contains(why), "{wrong:?}: {said}");
        }
        for good in [
            "lab",
            "lab.",
            "lab:1",
            "a-b_c.lab:65535",
            "10.0.0.1",
            "127.1",
            "::1",
            "[::1]:5",
            "fe80::1%eth0",
            "m\u{fc}nchen",
        ] {
            assert_eq!(check(good, Way::Dial), Ok(()), "{good}");
        }
        assert_eq!(check("[fe80::1%eth0]:7373", Way::Dial), Ok(()));
        assert_eq!((check("0.0.0.0:0", Way::Listen), check("[::]:0", Way::Listen)), (Ok(()), Ok(())));
        assert!(check("lab:99999", Way::Listen).is_err() && check("ff02::1%lo", Way::Listen).is_err());
    }
}
