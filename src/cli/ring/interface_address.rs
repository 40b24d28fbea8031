//! Where a node is: an interface, an address of it, and the address that all of its network hear.

use std::net::Ipv4Addr;

use arete::reactor::{self, Interface};

use crate::cli::error::Error;

/// An interface, and our address there.
pub struct InterfaceAddress {
    pub name: String,
    pub address: Ipv4Addr,
    pub broadcast: Ipv4Addr,
    pub mac: Option<[u8; 6]>,
}

/// Finds the place of a node; an error says what the interface lacks.
pub fn find(name: &str, asked: Option<Ipv4Addr>) -> Result<InterfaceAddress, Error> {
    let interface = interface(name)?;
    let with_broadcast = interface.addresses.iter().find(|(_, broadcast)| broadcast.is_some());
    let Some(&(first, _)) = with_broadcast.or(interface.addresses.first()) else {
        let advice = format!("\"ip address add ADDRESS/LENGTH dev {name}\" gives it one");
        return Err(Error::failed(format!("--interface {name} has no IPv4 address: {advice}")));
    };
    let address = asked.unwrap_or(first);
    if !interface.has(address) {
        let there: Vec<String> = interface.addresses.iter().map(|(own, _)| own.to_string()).collect();
        let there = there.join(", ");
        return Err(Error::failed(format!("--address {address} is no address of {name}, which has {there}")));
    }
    let Some(broadcast) = interface.broadcast(address) else {
        let lacks = format!("--interface {name} has no broadcast address for {address}");
        return Err(Error::failed(format!(
            "{lacks}: a ring needs a network where one can speak to all, not a point-to-point link"
        )));
    };
    Ok(InterfaceAddress { name: interface.name, address, broadcast, mac: interface.mac })
}

/// An interface that is up.
pub fn interface(name: &str) -> Result<Interface, Error> {
    let interface = reactor::interface(name).map_err(|error| Error::failed(format!("--interface {name}: {error}")))?;
    if !interface.up {
        let advice = format!("\"ip link set {name} up\" brings it up");
        return Err(Error::failed(format!("--interface {name} is down: {advice}")));
    }
    Ok(interface)
}
