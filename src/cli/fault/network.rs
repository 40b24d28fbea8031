//! A worse network: netem below a queue that lets the connection to the controller pass.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use arete::slave::ControllerAt;
use arete::wire::Conditions;

use crate::cli::error::Error;
use crate::cli::fault::partition::places;
use crate::cli::fault::tool::{Right, Tool, require};

const TC: Tool = Tool { name: "tc", package: "iproute2" };
const IP: Tool = Tool { name: "ip", package: "iproute2" };

/// The bands of packets that `to` does not name, by their type of service, as the kernel does by default.
const USUAL_BANDS: &str = "1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1";

/// The same if everything goes through netem, which is in the last band.
const LAST_BAND: &str = "3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3";

/// Tries netem in a network namespace of its own.
pub fn check() -> Result<(), Error> {
    [TC, IP].iter().try_for_each(|tool| tool.find().map(drop))?;
    require(Right::NetAdmin, "\"network\"")?;
    let tried = TC.run_apart(&["qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]).map(drop);
    tried.map_err(|error| {
        let advice = "load the module sch_netem, or use a kernel with CONFIG_NET_SCH_NETEM";
        Error::failed(format!("\"network\" is not possible here: {error}: {advice}"))
    })
}

pub fn inject(handle: u16, conditions: &Conditions, to: &[IpAddr], controller: &ControllerAt) -> Result<(), Error> {
    let places = places(controller);
    for interface in interfaces(to)? {
        for words in commands(&interface, handle, conditions, to, (&places, controller.here)) {
            let words: Vec<&str> = words.split(' ').collect();
            let done = TC.run(&words, "").map(drop);
            done.map_err(|error| Error::failed(format!("the interface {interface}: {error}")))?;
        }
    }
    Ok(())
}

/// Removes the queues with this handle from all interfaces.
pub fn undo(handle: u16) -> Result<(), Error> {
    let listed = TC.run(&["qdisc", "show"], "")?;
    let mark = format!("qdisc prio {handle:x}: dev ");
    for line in listed.lines().filter(|line| line.contains(" root ")) {
        let Some(interface) = line.strip_prefix(&mark).and_then(|rest| rest.split(' ').next()) else { continue };
        let advice = format!("remove it with \"tc qdisc del dev {interface} root\"");
        TC.run(&["qdisc", "del", "dev", interface, "root"], "")
            .map_err(|error| Error::failed(format!("{error}: {advice}")))?;
    }
    Ok(())
}

/// Returns the interfaces that lead to these addresses; without addresses, those with an address that others can reach.
fn interfaces(to: &[IpAddr]) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    for address in to {
        let route = IP.run(&["-o", "route", "get", &address.to_string()], "")?;
        let mut words = route.split_whitespace().skip_while(|word| *word != "dev").skip(1);
        let missing = || Error::failed(format!("no interface leads to {address}: is there a route?"));
        found.insert(words.next().ok_or_else(missing)?.to_owned());
    }
    if to.is_empty() {
        let listed = IP.run(&["-o", "address", "show", "up", "scope", "global"], "")?;
        let names = listed.lines().filter_map(|line| line.split_whitespace().nth(1));
        found.extend(names.map(|name| name.split('@').next().unwrap_or(name).to_owned()));
    }
    found.remove("lo");
    if found.is_empty() {
        return Err(Error::failed("no interface has an address that others can reach"));
    }
    Ok(found)
}

/// Returns the commands of tc for one interface, each without the name of the program.
fn commands(
    interface: &str,
    handle: u16,
    conditions: &Conditions,
    to: &[IpAddr],
    (controller, here): (&BTreeSet<SocketAddr>, bool),
) -> Vec<String> {
    let bands = if to.is_empty() { LAST_BAND } else { USUAL_BANDS };
    let mut netem = String::new();
    if let Some(delay) = conditions.delay {
        netem += &format!(" delay {delay}us");
        netem += &conditions.jitter.map(|jitter| format!(" {jitter}us")).unwrap_or_default();
    }
    if let Some(loss) = conditions.loss {
        netem += &format!(" loss random {}%", f64::from(loss) / 10_000.0);
    }
    netem += &conditions.rate.map(|rate| format!(" rate {rate}bit")).unwrap_or_default();
    let mut commands = vec![
        format!("qdisc add dev {interface} root handle {handle:x}: prio bands 4 priomap {bands}"),
        format!("qdisc add dev {interface} parent {handle:x}:4 netem{netem}"),
    ];
    // A filter of each protocol needs a priority of its own.
    let filter = |priority: u32, ip: IpAddr, matches: &str, band: u8| {
        let (protocol, priority) = if ip.is_ipv4() { ("ip", priority) } else { ("ipv6", priority + 1) };
        format!(
            "filter add dev {interface} parent {handle:x}: protocol {protocol} prio {priority} u32 {matches} \
             flowid {handle:x}:{band}"
        )
    };
    let family = |ip: IpAddr| if ip.is_ipv4() { ("ip", 32) } else { ("ip6", 128) };
    for place in controller {
        let ((word, length), ip, port) = (family(place.ip()), place.ip(), place.port());
        let tcp = format!("match {word} protocol 6 0xff");
        let matches = format!("match {word} dst {ip}/{length} {tcp} match {word} dport {port} 0xffff");
        commands.push(filter(1, ip, &matches, 1));
        if here {
            commands.push(filter(1, ip, &format!("{tcp} match {word} sport {port} 0xffff"), 1));
        }
    }
    for ip in to {
        let (word, length) = family(*ip);
        commands.push(filter(3, *ip, &format!("match {word} dst {ip}/{length}"), 4));
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_has_a_band_without_netem_and_the_named_slaves_have_one_with_it() {
        let conditions = Conditions {
            delay: Some(50_000),
            jitter: Some(5_000),
            loss: Some(12_500),
            rate: Some(1_000_000),
            to: Vec::new(),
        };
        let controller = ["10.0.0.9:7777".parse().expect("an address")].into();
        let to = ["10.0.0.2".parse().expect("an address"), "fd00::2".parse().expect("an address")];
        let commands = commands("eth0", 0xa123, &conditions, &to, (&controller, false));
        assert_eq!(
            commands,
            [
                "qdisc add dev eth0 root handle a123: prio bands 4 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1",
                "qdisc add dev eth0 parent a123:4 netem delay 50000us 5000us loss random 1.25% rate 1000000bit",
                "filter add dev eth0 parent a123: protocol ip prio 1 u32 match ip dst 10.0.0.9/32 match ip protocol 6 0xff \
                 match ip dport 7777 0xffff flowid a123:1",
                "filter add dev eth0 parent a123: protocol ip prio 3 u32 match ip dst 10.0.0.2/32 flowid a123:4",
                "filter add dev eth0 parent a123: protocol ipv6 prio 4 u32 match ip6 dst fd00::2/128 flowid a123:4",
            ]
        );
    }
}
