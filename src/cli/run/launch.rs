//! `--launch` of `arete run`: the commands that start the slaves of a run, on this or on other machines.
//!
//! A template is a shell command in which placeholders in braces are replaced for each slave. A template with neither
//! `{name}` nor `{address}` starts all slaves at once, as `srun` does. Each value must be one word for the shell.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use arete::controller::Launcher;
use arete::testfile::{Slave, Test, suggest};

use crate::cli::address::{PORT, with_port};
use crate::cli::error::Error;
use crate::cli::tls::identity::Security;
use crate::cli::work_dir::own_program;

/// The launcher that starts the slaves on this machine.
pub const LOCAL: &str = "local";

/// The names of launchers that need no template.
const NAMED: [&str; 3] = [LOCAL, "srun", "ssh"];

/// The placeholders of a template.
const PLACEHOLDERS: [&str; 6] = ["address", "addresses", "arete", "controller", "count", "name"];

/// The directory of the certificate on each machine, for the built-in templates.
const INSTALLED_TLS: &str = "/etc/arete/tls";

/// A command with placeholders.
#[derive(Debug, PartialEq)]
pub struct Template {
    /// The option with its value, for messages.
    option: String,
    pieces: Vec<Segment>,
    /// Each slave has a process of its own.
    each: bool,
    /// The name of each slave must be its address.
    names_are_addresses: bool,
}

#[derive(Debug, PartialEq)]
enum Segment {
    Text(String),
    /// The place of a placeholder among [`PLACEHOLDERS`].
    Placeholder(usize),
}

/// The value of `--launch`.
#[derive(Debug, PartialEq)]
pub enum Launch {
    Local,
    By(Template),
}

impl Launch {
    /// Reads the option. Fails if the launcher or a placeholder is unknown.
    pub fn read(value: &str, listen: Option<&str>, security: &Security) -> Result<Launch, Error> {
        let wrong = |why: &dyn fmt::Display| Error::usage(format!("--launch {value}: {why}"));
        let text = match value {
            LOCAL => return Ok(Launch::Local),
            "ssh" if listen.is_none() => {
                return Err(wrong(&format_args!(
                    "the slaves connect to this machine: add --listen ADDRESS, an address that they can reach{}",
                    examples(PORT)
                )));
            }
            "ssh" => ssh(security),
            "srun" => srun(security),
            other if other.trim().is_empty() => return Err(wrong(&"write a command that starts a slave")),
            other if is_word(other) => {
                let hint = suggest::hint(other, NAMED);
                return Err(wrong(&format_args!("unknown launcher{hint}; a command needs placeholders or arguments")));
            }
            other => other.to_owned(),
        };
        let (pieces, named) = pieces(&text).map_err(|error| wrong(&error))?;
        let each = named.contains(&"name") || named.contains(&"address");
        let option = format!("--launch {value}");
        Ok(Launch::By(Template { option, pieces, each, names_are_addresses: value == "srun" }))
    }
}

impl Template {
    /// Returns the commands for the slaves of a test. The controller listens at `address`, and `listen` is the option.
    pub fn launcher(&self, test: &Test, listen: Option<&str>, address: SocketAddr) -> Result<Launcher, Error> {
        if let Some(slave) =
            test.slaves.iter().find(|slave| self.names_are_addresses && address_of(slave) != slave.name)
        {
            return Err(Error::usage(format!(
                "{}: the slave {:?} has the address {:?}, but srun starts a slave with the name of its node: rename it, \
                 or use --launch 'srun --nodelist={{address}} --nodes=1 --ntasks=1 --overlap arete slave --launched \
                 --controller {{controller}} --name {{name}}'",
                self.option,
                slave.name,
                address_of(slave)
            )));
        }
        let controller = if self.needs("controller") { self.address_for(listen, address)? } else { String::new() };
        let own = if self.needs("arete") { own_program()?.to_string_lossy().into_owned() } else { String::new() };
        let fill = |slaves: &[&Slave]| self.fill(slaves, &controller, &own);
        let slaves: Vec<&Slave> = test.slaves.iter().collect();
        let commands = match self.each {
            true => slaves.iter().enumerate().map(|(ix, slave)| (vec![ix], fill(&[slave]))).collect(),
            false => vec![((0..slaves.len()).collect(), fill(&slaves))],
        };
        Ok(Launcher { commands })
    }

    fn needs(&self, placeholder: &str) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Segment::Placeholder(nr) if PLACEHOLDERS[*nr] == placeholder))
    }

    fn fill(&self, slaves: &[&Slave], controller: &str, own: &str) -> String {
        let value = |placeholder: &str| match placeholder {
            "name" => slaves[0].name.clone(),
            "address" => address_of(slaves[0]).to_owned(),
            "addresses" => slaves.iter().map(|slave| address_of(slave)).collect::<Vec<_>>().join(","),
            "arete" => own.to_owned(),
            "controller" => controller.to_owned(),
            _ => slaves.len().to_string(),
        };
        let pieces = self.pieces.iter().map(|piece| match piece {
            Segment::Text(text) => text.clone(),
            Segment::Placeholder(nr) => quoted(&value(PLACEHOLDERS[*nr])).into_owned(),
        });
        pieces.collect()
    }

    /// Returns the address to which slaves connect. It has the host of `listen`, because a certificate may name that host.
    fn address_for(&self, listen: Option<&str>, address: SocketAddr) -> Result<String, Error> {
        let Some(listen) = listen else { return Ok(address.to_string()) };
        if address.ip().is_unspecified() {
            return Err(Error::usage(format!(
                "{}: slaves cannot connect to {listen}, which means all addresses of this machine: use an address that they \
                 can reach{}, or write one in the command instead of {{controller}}",
                self.option,
                examples(address.port())
            )));
        }
        let with_port = with_port(listen);
        let host = with_port.rsplit_once(':').map_or(listen, |(host, _)| host);
        Ok(format!("{host}:{}", address.port()))
    }
}

/// Returns the address at which a slave is started.
fn address_of(slave: &Slave) -> &str {
    slave.address.as_deref().unwrap_or(&slave.name)
}

/// Returns the template of `ssh`. It uses batch mode, because the user could not answer a question of ssh.
fn ssh(security: &Security) -> String {
    format!(
        "exec ssh -o BatchMode=yes {{address}} arete slave --launched --controller {{controller}} --name {{name}}{}",
        options(security)
    )
}

/// Returns the template of `srun`. It is one step for all slaves, so that Slurm grants all nodes or none.
fn srun(security: &Security) -> String {
    format!(
        "exec srun --nodelist={{addresses}} --nodes={{count}} --ntasks={{count}} --ntasks-per-node=1 \
         arete slave --launched --controller {{controller}}{}",
        options(security)
    )
}

fn options(security: &Security) -> String {
    match security {
        Security { tls: Some(_), .. } => format!(" --tls {INSTALLED_TLS}"),
        Security { insecure: true, .. } => " --insecure".to_owned(),
        _ => String::new(),
    }
}

/// Returns examples of `--listen` with the addresses of this machine.
fn examples(port: u16) -> String {
    let interfaces = arete::reactor::interfaces().unwrap_or_default();
    let up = interfaces.iter().filter(|interface| interface.up && !interface.loopback);
    let addresses: Vec<_> = up.flat_map(|interface| &interface.addresses).take(3).collect();
    let addresses: Vec<_> = addresses.iter().map(|(ip, _)| format!("--listen {}:{port}", IpAddr::V4(*ip))).collect();
    match addresses.is_empty() {
        true => String::new(),
        false => format!(", such as {}", addresses.join(" or ")),
    }
}

/// Whether a text is a name rather than a command.
fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Splits a template into pieces, and returns the placeholders in it. Braces of the shell are not changed: those after a
/// `$`, and those around anything except a lower-case word. Doubled braces become single ones.
fn pieces(text: &str) -> Result<(Vec<Segment>, Vec<&'static str>), Error> {
    let (mut pieces, mut named, mut plain) = (Vec::new(), Vec::new(), String::new());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        plain += before;
        let (doubled, inside) = match from.strip_prefix("{{") {
            Some(inside) => (true, inside),
            None => (false, &from[1..]),
        };
        let word = &inside
            [..inside.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(inside.len())];
        let after = &inside[word.len()..];
        let (closed, shell) = (after.starts_with('}') && !word.is_empty(), before.ends_with('$'));
        if doubled && closed && after.starts_with("}}") {
            plain += &format!("{{{word}}}");
            rest = &after[2..];
        } else if doubled || !closed || shell {
            plain.push('{');
            rest = &from[1..];
        } else {
            let nr = PLACEHOLDERS.iter().position(|known| *known == word);
            let nr = nr.ok_or_else(|| {
                let hint = suggest::hint(word, PLACEHOLDERS);
                let rule = format!("write {{{{{word}}}}} to pass {{{word}}} to the shell");
                Error::usage(format!("unknown placeholder {{{word}}}{hint}; {rule}"))
            })?;
            pieces.push(Segment::Text(std::mem::take(&mut plain)));
            pieces.push(Segment::Placeholder(nr));
            named.push(PLACEHOLDERS[nr]);
            rest = &after[1..];
        }
    }
    plain += rest;
    pieces.push(Segment::Text(plain));
    Ok((pieces, named))
}

/// Quotes a word for the shell, if it needs quotes.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@%+=,".contains(&byte);
    match !word.is_empty() && word.bytes().all(plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', "'\\''"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = r#"{"name": "t", "end": {"duration": 1}, "schedules": {"s": []},
        "slaves": {"a": ["s"], "b": {"schedules": ["s"], "address": "root@10.0.0.2"}}}"#;

    fn test(text: &str) -> Test {
        arete::testfile::parse("t", text, &mut |_| Err(String::new())).expect("the test is right")
    }

    fn launcher(value: &str, listen: Option<&str>, address: SocketAddr) -> Result<Launcher, Error> {
        match Launch::read(value, listen, &Security::default())? {
            Launch::By(template) => template.launcher(&test(TEST), listen, address),
            Launch::Local => panic!("{value} is a command"),
        }
    }

    /// The commands that a template makes for a controller that listens at `listen`.
    fn commands(value: &str, listen: &str) -> Vec<String> {
        let address = with_port(listen).parse().unwrap_or(SocketAddr::from(([10, 0, 0, 1], 99)));
        launcher(value, Some(listen), address).unwrap().commands.into_iter().map(|(_, command)| command).collect()
    }

    fn refused(value: &str, listen: Option<&str>) -> String {
        let address = listen.map(with_port).and_then(|text| text.parse().ok());
        let address = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 99)));
        launcher(value, listen, address).expect_err("it is refused").to_string()
    }

    #[test]
    fn each_slave_has_a_command_of_its_own_if_the_template_names_it() {
        assert_eq!(
            commands("ssh {address} arete slave --controller {controller} --name {name}", "10.0.0.1"),
            [
                "ssh a arete slave --controller 10.0.0.1:7373 --name a",
                "ssh root@10.0.0.2 arete slave --controller 10.0.0.1:7373 --name b"
            ]
        );
    }

    #[test]
    fn a_template_that_names_no_slave_starts_all_at_once() {
        assert_eq!(commands("clush -w {addresses} x {count}", "10.0.0.1"), ["clush -w a,root@10.0.0.2 x 2"]);
    }

    #[test]
    fn slaves_connect_to_the_host_of_the_option_and_the_port_that_was_chosen() {
        assert_eq!(commands("x {name} {controller}", "lab.example:0")[0], "x a lab.example:99");
        assert_eq!(commands("x {name} {controller}", "::1")[0], "x a '[::1]:7373'");
        let error = refused("x {name} {controller}", Some("0.0.0.0"));
        assert!(error.contains("cannot connect to 0.0.0.0"), "{error}");
        assert_eq!(commands("x {name} lab:7373", "0.0.0.0")[0], "x a lab:7373");
    }

    #[test]
    fn the_built_in_launchers_are_complete_commands() {
        let ssh = commands("ssh", "10.0.0.1");
        let slave = "arete slave --launched --controller 10.0.0.1:7373";
        assert_eq!(ssh[1], format!("exec ssh -o BatchMode=yes root@10.0.0.2 {slave} --name b"));
        assert!(refused("ssh", None).contains("--listen ADDRESS"));
        let srun = refused("srun", Some("10.0.0.1"));
        assert!(srun.contains("\"b\" has the address \"root@10.0.0.2\"") && srun.contains("{address}"), "{srun}");
        let insecure = Security { tls: None, insecure: true };
        let tls = Security { tls: Some("x".into()), insecure: false };
        for (security, option) in [(insecure, " --insecure"), (tls, " --tls /etc/arete/tls")] {
            assert!(super::ssh(&security).ends_with(option) && super::srun(&security).ends_with(option));
        }
        assert_eq!(Launch::read("local", None, &Security::default()).ok(), Some(Launch::Local));
    }

    #[test]
    fn the_error_about_an_unknown_word_suggests_a_known_one() {
        for (value, part) in [
            ("shs", "unknown launcher, did you mean \"ssh\"?"),
            ("x {adress}", "unknown placeholder {adress}, did you mean \"address\"?"),
            ("x {host}", "write {{host}} to pass {host} to the shell"),
            (" ", "write a command that starts a slave"),
        ] {
            let error = refused(value, Some("10.0.0.1"));
            assert!(error.starts_with(&format!("--launch {value}: ")) && error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_braces_of_the_shell_are_left_alone() {
        for (text, becomes) in [
            ("x ${name} {name}", "x ${name} a"),
            ("awk '{{print}}' {name}", "awk '{print}' a"),
            ("{ x {name}; }", "{ x a; }"),
            ("x {name}{1,2} {a,b} {} { {A} {name", "x a{1,2} {a,b} {} { {A} {name"),
            ("x {{name}} {{ {name} }}", "x {name} {{ a }}"),
        ] {
            assert_eq!(commands(text, "10.0.0.1")[0], becomes, "{text}");
        }
    }

    #[test]
    fn a_word_is_one_word_for_the_shell() {
        for (word, becomes) in
            [("a-1.b", "a-1.b"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''"), ("$x", "'$x'")]
        {
            assert_eq!(quoted(word), becomes);
        }
    }
}
