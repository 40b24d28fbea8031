//! The syntax of variables, `@{...}`, in the texts of a test.
//!
//! This file knows which variables exist and how they are written. The slave knows their values.

use std::fmt;

/// The beginning of a variable.
const OPEN: &str = "@{";

/// The notation for a literal `@{`.
const LITERAL: &str = "@@{";

/// The variable whose value each slave has for itself.
pub const SLAVE_INDEX: &str = "@{slave.index}";

/// All variables, for messages.
const FORMS: &str = "@{arete-slave-poke}, @{arete-slave-pid}, @{slave.name}, @{slave.index}, @{slave.count}, \
                     @{slave.workdir}, @{run.id}, @{ENTRY.pid}, @{RESOURCE.path}, @{SLAVE.address}, @{group.NAME} and \
                     @{group.NAME.addresses}";

/// A variable of a test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    /// A shell command that pokes this slave.
    SlavePoke,
    /// The process id of this slave.
    SlavePid,
    /// The name of this slave.
    SlaveName,
    /// The number of this slave in the order of the test, from 1.
    SlaveIndex,
    /// The number of slaves of the test.
    SlaveCount,
    /// The work directory of this run on this slave.
    SlaveWorkdir,
    /// The id of the run.
    RunId,
    /// The process id of the latest run of this entry of the slave.
    Pid(String),
    /// The path of this resource on this slave.
    Path(String),
    /// The address of the slave of this name, as the controller sees it.
    Address(String),
    /// The members of this group, separated by blanks. The reader of the test replaces it.
    Group(String),
    /// The addresses of the members of this group, separated by blanks. The reader of the test replaces it.
    GroupAddresses(String),
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variable::SlavePoke => f.write_str("@{arete-slave-poke}"),
            Variable::SlavePid => f.write_str("@{arete-slave-pid}"),
            Variable::SlaveName => f.write_str("@{slave.name}"),
            Variable::SlaveIndex => f.write_str(SLAVE_INDEX),
            Variable::SlaveCount => f.write_str("@{slave.count}"),
            Variable::SlaveWorkdir => f.write_str("@{slave.workdir}"),
            Variable::RunId => f.write_str("@{run.id}"),
            Variable::Pid(entry) => write!(f, "@{{{entry}.pid}}"),
            Variable::Path(resource) => write!(f, "@{{{resource}.path}}"),
            Variable::Address(slave) => write!(f, "@{{{slave}.address}}"),
            Variable::Group(group) => write!(f, "@{{group.{group}}}"),
            Variable::GroupAddresses(group) => write!(f, "@{{group.{group}.addresses}}"),
        }
    }
}

impl Variable {
    /// Reads the text between `@{` and `}`. Only the last dot separates, because the name of a slave may have dots.
    fn from_inner(inner: &str) -> Option<Variable> {
        match inner {
            "arete-slave-poke" => return Some(Variable::SlavePoke),
            "arete-slave-pid" => return Some(Variable::SlavePid),
            "slave.name" => return Some(Variable::SlaveName),
            "slave.index" => return Some(Variable::SlaveIndex),
            "slave.count" => return Some(Variable::SlaveCount),
            "slave.workdir" => return Some(Variable::SlaveWorkdir),
            "run.id" => return Some(Variable::RunId),
            _ => {}
        }
        match inner.rsplit_once('.')? {
            ("", _) | ("group", "") => None,
            (entry, "pid") => Some(Variable::Pid(entry.to_owned())),
            (resource, "path") => Some(Variable::Path(resource.to_owned())),
            (slave, "address") => Some(Variable::Address(slave.to_owned())),
            (group, "addresses") => Some(Variable::GroupAddresses(group.strip_prefix("group.")?.to_owned())),
            _ => inner.strip_prefix("group.").map(|group| Variable::Group(group.to_owned())),
        }
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Literal text; never empty.
    Text(String),
    /// A variable, which is replaced just before use.
    Variable {
        /// The byte of the template at which its `@{` begins.
        at: usize,
        /// Which variable it is.
        variable: Variable,
    },
}

/// A part of a text that begins like a variable and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The byte of the text at which the part begins.
    pub at: usize,
    /// The text between `@{` and `}`; `None` if there is no `}`.
    pub unknown: Option<String>,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unknown {
            Some(inner) => write!(f, "unknown variable @{{{inner}}}: the variables are {FORMS}")?,
            None => f.write_str("\"@{\" without \"}\"")?,
        }
        f.write_str(": write \"@@{\" for a literal \"@{\"")
    }
}

impl std::error::Error for TemplateError {}

/// Why a text with variables has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpandError<E> {
    /// The text is wrong.
    Template(TemplateError),
    /// A variable has no value.
    Variable {
        /// The variable.
        variable: Variable,
        /// Why it has none.
        cause: E,
    },
}

impl<E: fmt::Display> fmt::Display for ExpandError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpandError::Template(error) => error.fmt(f),
            ExpandError::Variable { variable, cause } => write!(f, "{variable}: {cause}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for ExpandError<E> {}

/// Cuts a text into literal text and variables. Fails at the first part that begins like a variable and is none.
pub fn parse(text: &str) -> Result<Vec<Segment>, TemplateError> {
    segments(text).collect()
}

/// Cuts a text like [`parse`], one segment at a time. Continues after an error.
pub fn segments(text: &str) -> Segments<'_> {
    Segments { text, at: 0 }
}

/// The segments of a text, in order.
pub struct Segments<'a> {
    text: &'a str,
    /// The byte at which the next segment begins.
    at: usize,
}

impl Segments<'_> {
    /// Reads the variable that begins here.
    fn variable(&mut self) -> Result<Segment, TemplateError> {
        let at = self.at;
        let after = &self.text[at + OPEN.len()..];
        let Some(end) = after.find('}') else {
            self.at = self.text.len();
            return Err(TemplateError { at, unknown: None });
        };
        self.at += OPEN.len() + end + 1;
        let inner = &after[..end];
        let variable = Variable::from_inner(inner);
        let variable = variable.ok_or_else(|| TemplateError { at, unknown: Some(inner.to_owned()) })?;
        Ok(Segment::Variable { at, variable })
    }
}

impl Iterator for Segments<'_> {
    type Item = Result<Segment, TemplateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut plain = String::new();
        loop {
            let rest = &self.text[self.at..];
            if rest.starts_with(OPEN) && plain.is_empty() {
                return Some(self.variable());
            }
            if rest.is_empty() || rest.starts_with(OPEN) {
                return (!plain.is_empty()).then_some(Ok(Segment::Text(plain)));
            }
            if rest.starts_with(LITERAL) {
                plain.push_str(OPEN);
                self.at += LITERAL.len();
            } else {
                let skipped = usize::from(rest.starts_with('@'));
                let next = rest[skipped..].find('@').map_or(rest.len(), |next| next + skipped);
                plain.push_str(&rest[..next]);
                self.at += next;
            }
        }
    }
}

/// Replaces each variable by the value that `resolve` returns. Fails if the text is wrong or a variable has no value.
pub fn expand<E>(
    text: &str,
    resolve: &mut dyn FnMut(&Variable) -> Result<String, E>,
) -> Result<String, ExpandError<E>> {
    let mut expanded = String::with_capacity(text.len());
    for part in parse(text).map_err(ExpandError::Template)? {
        match part {
            Segment::Text(text) => expanded.push_str(&text),
            Segment::Variable { variable, .. } => match resolve(&variable) {
                Ok(value) => expanded.push_str(&value),
                Err(cause) => return Err(ExpandError::Variable { variable, cause }),
            },
        }
    }
    Ok(expanded)
}

/// Returns all variables of a test with these entries, resources and slaves, as they are written.
pub fn known<'a>(
    entries: impl IntoIterator<Item = &'a str>,
    resources: impl IntoIterator<Item = &'a str>,
    slaves: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let plain = [
        Variable::SlavePoke,
        Variable::SlavePid,
        Variable::SlaveName,
        Variable::SlaveIndex,
        Variable::SlaveCount,
        Variable::SlaveWorkdir,
        Variable::RunId,
    ];
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
    fn the_last_dot_separates_the_name_from_the_property() {
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
        let literal = |text: &str| expand::<()>(text, &mut |variable| panic!("{variable}"));
        assert_eq!(literal("a @@{x.pid} b@c.d @ {}@"), Ok("a @{x.pid} b@c.d @ {}@".to_owned()));
        assert_eq!(literal("@@@{"), Ok("@@{".to_owned()));
        assert_eq!(literal(""), Ok(String::new()));
    }

    #[test]
    fn a_variable_without_an_end_and_an_unknown_one_are_errors_at_their_places() {
        let error = parse("é @{torrent.path").unwrap_err();
        let message = "\"@{\" without \"}\": write \"@@{\" for a literal \"@{\"";
        assert_eq!((error.at, &*error.to_string()), (3, message));
        for unknown in ["@{}", "@{x}", "@{.pid}", "@{x.pidd}", "@{slave.nam}", "@{x.pid }"] {
            let error = parse(&format!("xy{unknown}")).unwrap_err();
            let message = error.to_string();
            assert!(error.at == 2 && message.starts_with(&format!("unknown variable {unknown}: ")), "{message}");
        }
        let errors: Vec<_> = segments("@{a} @{slave.name} @{b} @{c").filter_map(Result::err).collect();
        assert_eq!(errors.iter().map(|error| error.at).collect::<Vec<_>>(), [0, 19, 24], "reading continues");
    }

    #[test]
    fn a_variable_without_a_value_is_named() {
        let mut resolve = |variable: &Variable| match variable {
            Variable::SlaveName => Ok("client1".to_owned()),
            _ => Err("it does not run"),
        };
        assert_eq!(expand("on @{slave.name}", &mut resolve), Ok("on client1".to_owned()));
        let error = expand("@{ct.pid}", &mut resolve).unwrap_err();
        assert_eq!(error.to_string(), "@{ct.pid}: it does not run");
    }
}
