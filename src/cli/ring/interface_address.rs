//! The network of a node: an interface, its own address there, and the broadcast address.

use std::net::Ipv4Addr;

use arete::reactor::{self, Interface};

use crate::cli::error::Error;

/// An interface, and the address of this node there.
pub struct InterfaceAddress {
    pub name: String,
    pub address: Ipv4Addr,
    pub broadcast: Ipv4Addr,
    pub mac: Option<[u8; 6]>,
}

/// Finds the address of a node. Fails if the interface is down, or has no such address or no broadcast address.
pub fn find(name: &str, address: Option<Ipv4Addr>) -> Result<InterfaceAddress, Error> {
    let interface = interface(name)?;
    let with_broadcast = interface.addresses.iter().find(|(_, broadcast)| broadcast.is_some());
    let Some(&(first, _)) = with_broadcast.or(interface.addresses.first()) else {
        let advice = format!("\"ip address add ADDRESS/LENGTH dev {name}\" gives it one");
        return Err(Error::failed(format!("--interface {name} has no IPv4 address: {advice}")));
    };
    let address = address.unwrap_or(first);
    if !interface.has(address) {
        let addresses: Vec<String> = interface.addresses.iter().map(|(own, _)| own.to_string()).collect();
        let addresses = addresses.join(", ");
        return Err(Error::failed(format!("--address {address}: {name} does not have this address, but {addresses}")));
    }
    let Some(broadcast) = interface.broadcast(address) else {
        let error = format!("--interface {name} has no broadcast address for {address}");
        return Err(Error::failed(format!("{error}: a ring needs broadcasts, so it cannot use a point-to-point link")));
    };
    Ok(InterfaceAddress { name: interface.name, address, broadcast, mac: interface.mac })
}

/// Returns an interface. Fails if it is down.
pub fn interface(name: &str) -> Result<Interface, Error> {
    let interface = reactor::interface(name).map_err(|error| Error::failed(format!("--interface {name}: {error}")))?;
    if !interface.up {
        let advice = format!("\"ip link set {name} up\" brings it up");
        return Err(Error::failed(format!("--interface {name} is down: {advice}")));
    }
    Ok(interface)
}
