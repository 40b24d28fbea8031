//! A partition: a table of nftables that drops the packets of other slaves, but not the connection to the controller.
//!
//! The rules run before connection tracking and know no state, so established connections are cut as well.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use arete::reactor::addresses_of;
use arete::slave::ControllerAt;

use crate::cli::error::Error;
use crate::cli::fault::tool::{Right, Tool, require};

const NFT: Tool = Tool { name: "nft", package: "nftables" };

/// The most addresses of a controller.
const CONTROLLERS_MAX: usize = 16;

/// The priority of the chains: before connection tracking.
const PRIORITY: i32 = -310;

/// Tries all kinds of rules in one transaction that leaves nothing.
pub fn check() -> Result<(), Error> {
    NFT.find()?;
    require(Right::NetAdmin, "a partition")?;
    let (v4, v6) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
    let table = format!("arete-check-{}", std::process::id());
    let at = ControllerAt { named: None, seen: Some(SocketAddr::new(v4, 7777)), here: true };
    let script = script(&table, &[v4, v6], &[v4, v6], &at) + &format!("delete table inet {table}\n");
    let tried = NFT.run(&["-f", "-"], &script).map(drop);
    tried.map_err(|error| Error::failed(format!("a partition is not possible here: {error}")))
}

/// Drops everything to some addresses, and everything from some addresses.
pub fn inject(table: &str, to: &[IpAddr], from: &[IpAddr], controller: &ControllerAt) -> Result<(), Error> {
    NFT.run(&["-f", "-"], &script(table, to, from, controller)).map(drop)
}

pub fn undo(table: &str) -> Result<(), Error> {
    // The first line makes the second one succeed if the table does not exist.
    let script = format!("add table inet {table}\ndelete table inet {table}\n");
    let advice = format!("remove it with \"nft delete table inet {table}\"");
    NFT.run(&["-f", "-"], &script).map(drop).map_err(|error| Error::failed(format!("{error}: {advice}")))
}

/// Returns the tables whose names begin with `prefix`.
pub fn tables(prefix: &str) -> Vec<String> {
    let listed = NFT.run(&["list", "tables", "inet"], "").unwrap_or_default();
    let names = listed.lines().filter_map(|line| line.trim().strip_prefix("table inet "));
    names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

/// Returns the addresses at which the controller may be.
pub fn places(controller: &ControllerAt) -> BTreeSet<SocketAddr> {
    let named = controller.named.as_deref().map(addresses_of);
    let found = named.into_iter().flatten().flatten().take(CONTROLLERS_MAX);
    found.chain(controller.seen).map(|at| SocketAddr::new(at.ip().to_canonical(), at.port())).collect()
}

fn script(table: &str, to: &[IpAddr], from: &[IpAddr], controller: &ControllerAt) -> String {
    let places = places(controller);
    let mut script = format!("add table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n");
    for (chain, side, addresses) in [("input", 's', from), ("output", 'd', to)] {
        script += &format!(" chain {chain} {{\n  type filter hook {chain} priority {PRIORITY}; policy accept;\n");
        for place in &places {
            script += &format!(
                "  {} {side}addr {} tcp {side}port {} accept;\n",
                family(place.ip()),
                place.ip(),
                place.port()
            );
        }
        if controller.here {
            // Others connect to the controller on this machine, at whichever address.
            let ports: BTreeSet<u16> = places.iter().map(SocketAddr::port).collect();
            let other_side = if side == 's' { 'd' } else { 's' };
            ports.iter().for_each(|port| script += &format!("  tcp {other_side}port {port} accept;\n"));
        }
        for family_of in ["ip", "ip6"] {
            let of_family: BTreeSet<String> =
                addresses.iter().filter(|ip| family(**ip) == family_of).map(IpAddr::to_string).collect();
            if !of_family.is_empty() {
                let all = of_family.into_iter().collect::<Vec<_>>().join(", ");
                script += &format!("  {family_of} {side}addr {{ {all} }} drop;\n");
            }
        }
        script += " }\n";
    }
    script + "}\n"
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_to_the_controller_is_accepted_before_anything_is_dropped() {
        let seen = "[::ffff:10.0.0.9]:7777".parse().ok();
        let at = ControllerAt { named: Some("10.0.0.8:7777".to_owned()), seen, here: false };
        let peers: Vec<IpAddr> = ["10.0.0.9", "fd00::9"].iter().map(|ip| ip.parse().expect("an address")).collect();
        let script = script("t", &peers, &[], &at);
        let (input, output) = script.split_once("chain output").expect("two chains");
        assert!(input.contains("ip saddr 10.0.0.9 tcp sport 7777 accept") && !input.contains("drop"), "{input}");
        let accepts = output.rfind("accept;").expect("it accepts");
        assert!(output.contains("ip daddr 10.0.0.8 tcp dport 7777 accept"), "{output}");
        assert!(output.find("ip daddr { 10.0.0.9 } drop").expect("it drops") > accepts, "{output}");
        assert!(output.find("ip6 daddr { fd00::9 } drop").expect("it drops") > accepts, "{output}");
    }

    #[test]
    fn a_controller_on_this_machine_is_reached_by_the_others() {
        let at = ControllerAt { named: None, seen: "127.0.0.1:7777".parse().ok(), here: true };
        let script = script("t", &[], &["10.0.0.9".parse().expect("an address")], &at);
        let (input, output) = script.split_once("chain output").expect("two chains");
        assert!(input.contains("tcp dport 7777 accept") && output.contains("tcp sport 7777 accept"), "{script}");
    }
}
