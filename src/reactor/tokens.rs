//! Tokens of the poll: the kind of a source, and its place among those of its kind, in one number.

use mio::Token;

/// The kind of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceKind {
    Signals,
    Listener,
    Console,
    Lookup,
    Alarm,
    Datagrams,
    Probe,
    Ear,
    Conn,
}

const KINDS: [SourceKind; 9] = [
    SourceKind::Signals,
    SourceKind::Listener,
    SourceKind::Console,
    SourceKind::Lookup,
    SourceKind::Alarm,
    SourceKind::Datagrams,
    SourceKind::Probe,
    SourceKind::Ear,
    SourceKind::Conn,
];

/// Makes the token of the source that has this place among those of its kind.
pub fn token(kind: SourceKind, index: usize) -> Token {
    Token(index * KINDS.len() + kind as usize)
}

/// Returns the kind and the place of the source that a token means.
pub fn source(token: Token) -> (SourceKind, usize) {
    (KINDS[token.0 % KINDS.len()], token.0 / KINDS.len())
}
