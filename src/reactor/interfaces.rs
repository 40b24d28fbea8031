//! The network interfaces of this host, with their IPv4 addresses.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use nix::errno::Errno;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// The broadcast address of the loopback interface.
const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);
/// The length of a hardware address, in bytes. Others are ignored.
const MAC_LENGTH: usize = 6;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as "eth0".
    pub name: String,
    /// Its addresses, each with the broadcast address of its network, if there is one.
    pub addresses: Vec<(Ipv4Addr, Option<Ipv4Addr>)>,
    /// Its hardware address. `None` for the loopback interface, where it is all zeros.
    pub mac: Option<[u8; MAC_LENGTH]>,
    /// It is the loopback interface.
    pub loopback: bool,
    /// It is up.
    pub up: bool,
}

impl Interface {
    /// Whether this host can send from `address` on the interface. The loopback interface has all of 127.0.0.0/8.
    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.loopback && address.is_loopback() || self.addresses.iter().any(|(own, _)| *own == address)
    }

    /// Returns the broadcast address of the network in which `address` is ours.
    pub fn broadcast(&self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        if self.loopback && address.is_loopback() {
            return Some(LOOPBACK_BROADCAST);
        }
        self.addresses.iter().find(|(own, _)| *own == address)?.1
    }
}

/// A failure to find an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceError {
    /// The system refuses to list them.
    Unlisted(Errno),
    /// No interface has this name.
    Unknown {
        /// The name.
        name: String,
        /// The names of the interfaces that exist.
        known: Vec<String>,
    },
}

impl fmt::Display for InterfaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InterfaceError::Unlisted(error) => write!(f, "cannot list the interfaces: {}", error.desc()),
            InterfaceError::Unknown { name, known } => {
                write!(f, "there is no interface {name}; there are: {}", known.join(", "))
            }
        }
    }
}

impl std::error::Error for InterfaceError {}

/// Returns the interface of that name. Fails if there is none, or if the system refuses to list them.
pub fn interface(name: &str) -> Result<Interface, InterfaceError> {
    let mut all = interfaces()?;
    match all.iter().position(|interface| interface.name == name) {
        Some(at) => Ok(all.swap_remove(at)),
        None => Err(InterfaceError::Unknown {
            name: name.to_owned(),
            known: all.into_iter().map(|interface| interface.name).collect(),
        }),
    }
}

/// Returns all interfaces, in the order of the system.
pub fn interfaces() -> Result<Vec<Interface>, InterfaceError> {
    let entries = getifaddrs().map_err(InterfaceError::Unlisted)?;
    let mut interfaces: Vec<Interface> = Vec::new();
    for entry in entries {
        // An address may have a label of its own: "eth0:1".
        let name = entry.interface_name.split(':').next().unwrap_or_default();
        let at = interfaces.iter().position(|interface| interface.name == name).unwrap_or(interfaces.len());
        if at == interfaces.len() {
            interfaces.push(Interface {
                name: name.to_owned(),
                addresses: Vec::new(),
                mac: None,
                loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
                up: entry.flags.contains(InterfaceFlags::IFF_UP),
            });
        }
        let interface = &mut interfaces[at];
        interface.mac = interface.mac.or_else(|| mac(&entry));
        interface.addresses.extend(address(&entry, interface.loopback));
    }
    Ok(interfaces)
}

fn mac(entry: &InterfaceAddress) -> Option<[u8; MAC_LENGTH]> {
    let link = entry.address.as_ref()?.as_link_addr()?;
    link.addr().filter(|mac| link.halen() == MAC_LENGTH && *mac != [0; MAC_LENGTH])
}

fn address(entry: &InterfaceAddress, loopback: bool) -> Option<(Ipv4Addr, Option<Ipv4Addr>)> {
    let own = inet(entry.address.as_ref())?;
    // If no broadcast address is set, the system returns the own address instead.
    let broadcast = match inet(entry.broadcast.as_ref()).filter(|broadcast| *broadcast != own) {
        _ if loopback => own.is_loopback().then_some(LOOPBACK_BROADCAST),
        None if entry.flags.contains(InterfaceFlags::IFF_BROADCAST) => last_of(own, inet(entry.netmask.as_ref())),
        named => named,
    };
    Some((own, broadcast))
}

fn inet(address: Option<&SockaddrStorage>) -> Option<Ipv4Addr> {
    Some(*SocketAddrV4::from(*address?.as_sockaddr_in()?).ip())
}

/// Returns the last address of a network, to which the system broadcasts even if the interface has no broadcast address set.
/// A network of one or two addresses has none.
fn last_of(own: Ipv4Addr, mask: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    let hosts = !mask?.to_bits();
    (hosts > 1).then(|| Ipv4Addr::from_bits(own.to_bits() | hosts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_the_loopback_interface_is_ours_and_all_hear_its_last() {
        let lo = interface("lo").expect("every host has it");
        assert!(lo.loopback && lo.mac.is_none());
        for ours in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 9, 8, 7]].map(Ipv4Addr::from) {
            assert!(lo.has(ours));
            assert_eq!(lo.broadcast(ours), Some(LOOPBACK_BROADCAST));
        }
        assert!(!lo.has(Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn an_interface_that_is_not_there_is_said_with_those_that_are() {
        let error = interface("eth77").expect_err("no host has that many").to_string();
        assert!(error.starts_with("there is no interface eth77; there are: ") && error.contains("lo"), "{error}");
    }

    #[test]
    fn a_network_of_one_or_two_addresses_has_no_broadcast_address() {
        let own = Ipv4Addr::new(10, 77, 0, 5);
        let last = |mask: [u8; 4]| last_of(own, Some(mask.into()));
        assert_eq!(last([255, 255, 255, 0]), Some(Ipv4Addr::new(10, 77, 0, 255)));
        assert_eq!(last([255, 255, 255, 254]), None);
        assert_eq!(last([255, 255, 255, 255]), None);
    }
}
