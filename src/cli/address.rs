//! Addresses as people write them: `HOST`, `HOST:PORT`, and IPv6 addresses with or without brackets and zone.
//!
//! An address that can never work is refused when it is read, because a slave or a client retries an address for ever.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};

use arete::machine::Address;

use crate::cli::error::{Error, shown};

/// The default port of a controller.
pub const PORT: u16 = 7373;

/// The longest host name, and the longest part of one between dots, in bytes.
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Printable characters that no host name contains.
const NEVER_IN_A_NAME: &str = "/@#?[]%,;:\"'\\";

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To connect to it.
    Dial,
    /// To listen on it; port 0 means a free port.
    Listen,
}

/// Returns `HOST` or `HOST:PORT` as `HOST:PORT`.
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

/// Returns the host without brackets, in lower case.
pub fn host_of(address: &str) -> String {
    let address = with_port(address);
    let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// Fails if the address of an option can never be used in this way.
pub fn check(option: &str, address: &str, way: Way) -> Result<(), Error> {
    let wrong = |why: &dyn Display| Err(Error::usage(format!("{option} {}: {why}", shown(address))));
    if let Some((scheme, _)) = address.split_once("://") {
        return wrong(&format_args!("write HOST or HOST:PORT, without \"{scheme}://\""));
    }
    let whole = with_port(address);
    let (host, port) = whole.rsplit_once(':').unwrap_or((&whole, ""));
    match port.parse::<u16>() {
        _ if host.is_empty() => return wrong(&"the host is missing: write HOST or HOST:PORT"),
        Ok(0) if way == Way::Dial => return wrong(&"nothing can be reached at port 0: write HOST or HOST:PORT"),
        Ok(_) => {}
        Err(_) => {
            return wrong(&format_args!("a port is a number from 1 to {}: write HOST or HOST:PORT", u16::MAX));
        }
    }
    let is_multicast = if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let (ip, zone) = inside.split_once('%').map_or((inside, None), |(ip, zone)| (ip, Some(zone)));
        let Ok(ip) = ip.parse::<Ipv6Addr>() else {
            let rule = "write HOST, HOST:PORT or [IPV6]:PORT";
            return wrong(&format_args!("not a valid IPv6 address, but it has several colons: {rule}"));
        };
        if zone == Some("") || zone.is_none() && ip.is_unicast_link_local() {
            let rule = "a link-local address needs the interface of its network";
            return wrong(&format_args!("{rule}: write for example {ip}%eth0"));
        }
        ip.is_multicast()
    } else if let Ok(ip) = host.parse::<Ipv4Addr>() {
        ip.is_multicast() || ip.is_broadcast()
    } else {
        if host.split('.').count() == 4 && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return wrong(&"not a valid IPv4 address: each of its numbers is 0 to 255");
        }
        let never = |letter: &char| letter.is_control() || letter.is_whitespace() || NEVER_IN_A_NAME.contains(*letter);
        if let Some(letter) = host.chars().find(never) {
            return wrong(&format_args!("a host name cannot contain {letter:?}: write HOST or HOST:PORT"));
        }
        let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
        if host.len() > HOST_MAX || labels.any(|label| label.is_empty() || label.len() > LABEL_MAX) {
            let rule = format!("at most {HOST_MAX} bytes, and 1 to {LABEL_MAX} bytes between two dots");
            return wrong(&format_args!("a host name has {rule}"));
        }
        false
    };
    match (is_multicast, way) {
        (false, _) => Ok(()),
        (true, Way::Dial) => wrong(&"this is an address of many machines: write that of the controller's machine"),
        (true, Way::Listen) => wrong(&"this is an address of many machines: write an address of this machine"),
    }
}

/// Checks the address of an option to connect to, and adds the port.
pub fn named(address: &str, option: &str) -> Result<Address, Error> {
    check(option, address, Way::Dial).map(|()| Address::Inet(with_port(address)))
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
    fn an_address_that_can_never_be_reached_is_refused_with_the_reason() {
        let long = format!("{}.lab", "x".repeat(64));
        for (address, why) in [
            ("", "host is missing"),
            (":7373", "host is missing"),
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
            ("[lab]:1", "not a valid IPv6 address"),
            ("::1::2", "not a valid IPv6 address"),
            ("a:b:c", "not a valid IPv6 address"),
            ("fe80::1", "%eth0"),
            ("fe80::1%", "%eth0"),
            ("10.0.0.256", "not a valid IPv4 address"),
            ("255.255.255.255", "many machines"),
            ("224.0.0.1:5", "many machines"),
            ("ff02::1%eth0", "many machines"),
            ("a..b", "between two dots"),
            (&long, "between two dots"),
        ] {
            let error = check("--x", address, Way::Dial).expect_err(address).to_string();
            assert!(error.contains(why), "{address:?}: {error}");
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
            "[fe80::1%eth0]:7373",
            "m\u{fc}nchen",
        ] {
            assert!(check("--x", good, Way::Dial).is_ok(), "{good}");
        }
        for (address, is_valid) in [("0.0.0.0:0", true), ("[::]:0", true), ("lab:99999", false), ("ff02::1%lo", false)]
        {
            assert_eq!(check("--x", address, Way::Listen).is_ok(), is_valid, "{address}");
        }
    }
}
