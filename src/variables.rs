//! The syntax of `@{...}` in commands: what a variable can be, not what it stands for.

use std::fmt;

/// How a variable begins.
const OPEN: &str = "@{";

/// How a literal `@{` is written.
const LITERAL: &str = "@@{";

/// What a variable can be, for messages.
const FORMS: &str = "@{arete-slave-poke}, @{arete-slave-pid}, @{slave.name}, @{slave.workdir}, @{ENTRY.pid}, \
                     @{RESOURCE.path} and @{SLAVE.address}";

/// What stands between `@{` and `}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    /// A command that pokes this slave.
    SlavePoke,
    /// The process id of this slave.
    SlavePid,
    /// The name of this slave.
    SlaveName,
    /// The work directory of this run on this slave.
    SlaveWorkdir,
    /// The process id of the latest run of this entry of the slave.
    Pid(String),
    /// Where this resource lies on this slave.
    Path(String),
    /// The address of the slave of this name, as the controller sees it.
    Address(String),
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variable::SlavePoke => f.write_str("@{arete-slave-poke}"),
            Variable::SlavePid => f.write_str("@{arete-slave-pid}"),
            Variable::SlaveName => f.write_str("@{slave.name}"),
            Variable::SlaveWorkdir => f.write_str("@{slave.workdir}"),
            Variable::Pid(entry) => write!(f, "@{{{entry}.pid}}"),
            Variable::Path(resource) => write!(f, "@{{{resource}.path}}"),
            Variable::Address(slave) => write!(f, "@{{{slave}.address}}"),
        }
    }
}

impl Variable {
    /// Reads what stands between `@{` and `}`. The last dot decides: the name of a slave may hold dots.
    fn from_inner(inner: &str) -> Option<Variable> {
        match inner {
            "arete-slave-poke" => return Some(Variable::SlavePoke),
            "arete-slave-pid" => return Some(Variable::SlavePid),
            "slave.name" => return Some(Variable::SlaveName),
            "slave.workdir" => return Some(Variable::SlaveWorkdir),
            _ => {}
        }
        match inner.rsplit_once('.')? {
            ("", _) => None,
            (entry, "pid") => Some(Variable::Pid(entry.to_owned())),
            (resource, "path") => Some(Variable::Path(resource.to_owned())),
            (slave, "address") => Some(Variable::Address(slave.to_owned())),
            _ => None,
        }
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Stands for itself; never empty.
    Text(String),
    /// Is replaced just before use.
    Variable {
        /// The byte of the template at which its `@{` begins.
        at: usize,
        /// Which variable it is.
        variable: Variable,
    },
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The byte of the text at which the wrong variable begins.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Cuts a text into what stands for itself and what is a variable.
pub fn parse(text: &str) -> Result<Vec<Segment>, TemplateError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('@') {
        plain.push_str(&text[at..at + found]);
        at += found;
        let rest = &text[at..];
        if rest.starts_with(LITERAL) {
            plain.push_str(OPEN);
            at += LITERAL.len();
        } else if let Some(after) = rest.strip_prefix(OPEN) {
            let (variable, length) = variable(after).map_err(|message| TemplateError { at, message })?;
            if !plain.is_empty() {
                parts.push(Segment::Text(std::mem::take(&mut plain)));
            }
            parts.push(Segment::Variable { at, variable });
            at += OPEN.len() + length;
        } else {
            plain.push('@');
            at += 1;
        }
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        parts.push(Segment::Text(plain));
    }
    Ok(parts)
}

/// The variable that `after`, the text after `@{`, begins with, and its length with the `}`.
fn variable(after: &str) -> Result<(Variable, usize), String> {
    let Some(end) = after.find('}') else {
        return Err("\"@{\" without \"}\": write \"@@{\" for a literal \"@{\"".to_owned());
    };
    let inner = &after[..end];
    let variable = Variable::from_inner(inner).ok_or_else(|| {
        format!("unknown variable @{{{inner}}}: there are {FORMS}; write \"@@{{\" for a literal \"@{{\"")
    })?;
    Ok((variable, end + 1))
}

/// Puts in what `resolve` says each variable stands for; its error gets the name of the variable before it.
pub fn expand(text: &str, resolve: &mut dyn FnMut(&Variable) -> Result<String, String>) -> Result<String, String> {
    let mut whole = String::with_capacity(text.len());
    for part in parse(text).map_err(|error| error.message)? {
        match part {
            Segment::Text(text) => whole.push_str(&text),
            Segment::Variable { variable, .. } => {
                let value = resolve(&variable).map_err(|why| format!("{variable}: {why}"))?;
                whole.push_str(&value);
            }
        }
    }
    Ok(whole)
}

/// Every variable that there is where there are these entries, resources and slaves, as it is written.
pub fn known<'a>(
    entries: impl IntoIterator<Item = &'a str>,
    resources: impl IntoIterator<Item = &'a str>,
    slaves: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let plain = [Variable::SlavePoke, Variable::SlavePid, Variable::SlaveName, Variable::SlaveWorkdir];
    let entries = entries.into_iter().map(|name| Variable::Pid(name.to_owned()));
    let resources = resources.into_iter().map(|name| Variable::Path(name.to_owned()));
    let slaves = slaves.into_iter().map(|name| Variable::Address(name.to_owned()));
    plain.into_iter().chain(entries).chain(resources).chain(slaves).map(|variable| variable.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_cut_into_text_and_variables() {
        let parts = parse("ctorrent -X '@{arete-slave-poke}' @{torrent.path}").unwrap();
        let expected = [
            Segment::Text("ctorrent -X '".to_owned()),
            Segment::Variable { at: 13, variable: Variable::SlavePoke },
            Segment::Text("' ".to_owned()),
            Segment::Variable { at: 34, variable: Variable::Path("torrent".to_owned()) },
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn the_last_dot_cuts_the_name_from_what_is_asked_of_it() {
        let parts = parse("@{node-1.example.org.address}").unwrap();
        let variable = Variable::Address("node-1.example.org".to_owned());
        assert_eq!(parts, [Segment::Variable { at: 0, variable }]);
    }

    #[test]
    fn every_variable_reads_back_as_it_is_written() {
        for text in known(["e", "slave"], ["r"], ["s.t"]) {
            match &parse(&text).unwrap()[..] {
                [Segment::Variable { at: 0, variable }] => assert_eq!(variable.to_string(), text),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_doubled_at_sign_makes_the_brace_literal() {
        let literal = |text: &str| expand(text, &mut |variable| panic!("{variable}"));
        assert_eq!(literal("a @@{x.pid} b@c.d @ {}@"), Ok("a @{x.pid} b@c.d @ {}@".to_owned()));
        assert_eq!(literal("@@@{"), Ok("@@{".to_owned()));
        assert_eq!(literal(""), Ok(String::new()));
    }

    #[test]
    fn a_variable_that_does_not_end_or_that_nobody_knows_is_an_error_at_its_place() {
        let error = parse("é @{torrent.path").unwrap_err();
        assert_eq!((error.at, &error.message[..]), (3, "\"@{\" without \"}\": write \"@@{\" for a literal \"@{\""));
        for unknown in ["@{}", "@{x}", "@{.pid}", "@{x.pidd}", "@{slave.nam}", "@{x.pid }"] {
            let error = parse(&format!("xy{unknown}")).unwrap_err();
            assert!(error.at == 2 && error.message.starts_with(&format!("unknown variable {unknown}: ")), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        let mut resolve = |variable: &Variable| match variable {
            Variable::SlaveName => Ok("client1".to_owned()),
            _ => Err("it does not run".to_owned()),
        };
        assert_eq!(expand("on @{slave.name}", &mut resolve), Ok("on client1".to_owned()));
        assert_eq!(expand("@{ct.pid}", &mut resolve), Err("@{ct.pid}: it does not run".to_owned()));
    }
}
