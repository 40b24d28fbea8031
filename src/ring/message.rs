//! The messages of the ring: one in each datagram or connection, as JSON in the form of the original program.
//!
//! The normal mode adds one key, `arete`, which original programs ignore. With a shared secret every message is
//! [sealed](super::seal). No bytes may cause a panic here.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::NODES_MAX;
pub use super::limits::{DATA_MAX, DATAGRAM_MAX, ID_MAX, MESSAGE_MAX};
use super::seal::{Key, SealError, open, seal};
use super::token::{Fence, TOKEN_CODE, Token};
use crate::machine::Bytes;

/// Whether this is a valid id of a node: 1 to [`ID_MAX`] bytes without control characters.
pub fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_MAX && !id.chars().any(char::is_control)
}

/// The serial code of messages without a token.
const ASK_CODE: u64 = 581_831;
/// The serial code of messages about a token.
const HERE_CODE: u64 = 328_067;
/// The serial code of a hand-over.
const TAKE_CODE: u64 = 137_344;
/// The serial code of a state for watchers.
const STATE_CODE: u64 = 318_467;

/// The type of a message, with its content.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// The author is alive. Also the form of answers in the normal mode.
    Ping,
    /// The author looks for the token.
    WhereIsToken,
    /// The author is not the owner, and has heard of the token lately.
    TokenWasHereRecently,
    /// The author is the owner of this token.
    TokenIsHere(Token),
    /// The author makes this token, if no node objects.
    GeneratingToken(Token),
    /// The author hands the token over.
    TakeToken {
        /// The token.
        token: Token,
        /// The nodes that the author knows, with their addresses.
        nodes: BTreeMap<String, String>,
        /// The data that goes with the token.
        data: String,
    },
    /// The state of the author, for watchers.
    MyState {
        /// The name of its last state.
        old: String,
        /// The name of its present state.
        new: String,
    },
}

impl Body {
    /// Returns the type and the serial code.
    fn kind(&self) -> (&'static str, u64) {
        match self {
            Body::Ping => ("ping", ASK_CODE),
            Body::WhereIsToken => ("where is token", ASK_CODE),
            Body::TokenWasHereRecently => ("token was here recently", ASK_CODE),
            Body::TokenIsHere(_) => ("token is here", HERE_CODE),
            Body::GeneratingToken(_) => ("generating token", HERE_CODE),
            Body::TakeToken { .. } => ("take token", TAKE_CODE),
            Body::MyState { .. } => ("my state", STATE_CODE),
        }
    }
}

/// The part of a message that the normal mode adds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Extra {
    /// The random number of its author's start.
    pub boot: u64,
    /// The number of the message since that start: 1, 2, 3, ...
    pub nr: u64,
    /// The id of the receiver; `None`: all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The random number of the receiver's start; `None`: any start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_boot: Option<u64>,
    /// The `--members` of its author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<u32>,
    /// The epoch and the hop. In a hand-over: of the next owner. In `generating token`: of the copy that its author has.
    /// Otherwise: of the newest token that its author knows.
    #[serde(flatten)]
    pub fence: Fence,
    /// The epoch that its author wants (`generating token`), or the newest one that it has granted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub granted: u64,
    /// The id of the node that got the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_to: Option<String>,
    /// In `token is here`: the number of the heartbeat. In an answer: the number of the heartbeat that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat: Option<u64>,
    /// The data, in a `token is here` for one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Its author has stored the data of the heartbeat that it answers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stored: bool,
    /// Its author does not know the receiver yet, and asks it to prove that it is alive.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hello: bool,
    /// The number of the hello that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u64>,
    /// The nodes that do not answer its author, in a hand-over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The id of its author.
    pub author: String,
    /// Its type and content.
    pub body: Body,
    /// The part of the normal mode. `None`: from an original program, or in a ring that may have some.
    pub extra: Option<Extra>,
}

/// The JSON form of a message.
#[derive(Default, Serialize, Deserialize)]
struct Wire {
    serial_code: u64,
    #[serde(rename = "type")]
    kind: String,
    author_node_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Token>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old_state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new_state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arete: Option<Extra>,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageError {
    /// They are not sealed with our key.
    Seal(SealError),
    /// They are not JSON of the right form, for this reason.
    Json(String),
    /// An id is not valid.
    Id,
    /// This is not a type of a message.
    Type(String),
    /// The serial code does not belong to the type.
    Code {
        /// The subject of the code: a type in quotes, or a token.
        what: String,
        /// The code that it must have.
        expected: u64,
        /// The code that it has.
        found: u64,
    },
    /// A message of this type lacks a part.
    Lacks {
        /// The type.
        kind: String,
        /// The part.
        part: &'static str,
    },
    /// The data has this many bytes, which is more than [`DATA_MAX`].
    Data(usize),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageError::Seal(error) => error.fmt(f),
            MessageError::Json(error) => f.write_str(error),
            MessageError::Id => write!(f, "an id has 1 to {ID_MAX} bytes and no control characters"),
            MessageError::Type(kind) => write!(f, "no such message: type {kind:?}"),
            MessageError::Code { what, expected, found } => {
                write!(f, "the serial code of {what} is {expected}, not {found}")
            }
            MessageError::Lacks { kind, part } => write!(f, "a {kind:?} without {part}"),
            MessageError::Data(length) => write!(f, "data of {length} bytes; it may have {DATA_MAX}"),
        }
    }
}

impl std::error::Error for MessageError {}

impl Message {
    /// Returns the bytes of this message, sealed if there is a key.
    pub fn encode(&self, key: Option<&Key>) -> Bytes {
        let (kind, serial_code) = self.body.kind();
        let mut wire = Wire {
            serial_code,
            kind: kind.to_owned(),
            author_node_id: self.author.clone(),
            arete: self.extra.clone(),
            ..Wire::default()
        };
        match self.body.clone() {
            Body::Ping | Body::WhereIsToken | Body::TokenWasHereRecently => {}
            Body::TokenIsHere(token) | Body::GeneratingToken(token) => wire.token = Some(token),
            Body::TakeToken { token, nodes, data } => {
                wire.token = Some(token);
                wire.nodes = Some(nodes.into_iter().map(|(id, address)| (id, address.into())).collect());
                wire.data = Some(data);
            }
            Body::MyState { old, new } => (wire.old_state, wire.new_state) = (Some(old), Some(new)),
        }
        let plain = serde_json::to_vec(&wire).expect("names, numbers and texts always encode");
        match key {
            Some(key) => seal(key, plain).into(),
            None => plain.into(),
        }
    }

    /// Reads a message. Fails if the bytes are not a valid message, or if there is a key and they are not sealed with it.
    pub fn decode(bytes: &[u8], key: Option<&Key>) -> Result<Message, MessageError> {
        if let Some(key) = key {
            open(key, bytes).map_err(MessageError::Seal)?;
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| MessageError::Json(error.to_string()))?;
        let extra = wire.arete.iter();
        let named = extra.flat_map(|extra| extra.to.iter().chain(&extra.granted_to).chain(&extra.silent));
        let token = wire.token.iter().map(|token| &token.author_node_id);
        if !named.chain(token).chain([&wire.author_node_id]).all(|id| is_id(id)) {
            return Err(MessageError::Id);
        }
        let (author, extra, code, kind) =
            (wire.author_node_id.clone(), wire.arete.clone(), wire.serial_code, wire.kind.clone());
        let body = body(wire)?;
        let expected = body.kind().1;
        if code != expected {
            return Err(MessageError::Code { what: format!("{kind:?}"), expected, found: code });
        }
        Ok(Message { author, body, extra })
    }
}

fn body(wire: Wire) -> Result<Body, MessageError> {
    let lacks = |part| MessageError::Lacks { kind: wire.kind.clone(), part };
    let token = || {
        let token = wire.token.clone().ok_or_else(|| lacks("its token"))?;
        match token.serial_code {
            TOKEN_CODE => Ok(token),
            found => Err(MessageError::Code { what: "a token".to_owned(), expected: TOKEN_CODE, found }),
        }
    };
    Ok(match wire.kind.as_str() {
        "ping" => Body::Ping,
        "where is token" => Body::WhereIsToken,
        "token was here recently" => Body::TokenWasHereRecently,
        "token is here" => Body::TokenIsHere(token()?),
        "generating token" => Body::GeneratingToken(token()?),
        "take token" => {
            let token = token()?;
            let nodes = wire.nodes.as_ref().ok_or_else(|| lacks("its nodes"))?;
            let text = |(id, address): (&String, &serde_json::Value)| Some((id.clone(), address.as_str()?.to_owned()));
            let nodes = nodes.iter().filter(|(id, _)| is_id(id)).filter_map(text).take(NODES_MAX).collect();
            let data = wire.data.clone().ok_or_else(|| lacks("its data"))?;
            if data.len() > DATA_MAX {
                return Err(MessageError::Data(data.len()));
            }
            Body::TakeToken { token, nodes, data }
        }
        "my state" => {
            let old = wire.old_state.clone().ok_or_else(|| lacks("its old_state"))?;
            let new = wire.new_state.clone().ok_or_else(|| lacks("its new_state"))?;
            Body::MyState { old, new }
        }
        other => return Err(MessageError::Type(other.chars().take(40).collect())),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(body: Body) -> String {
        let message = Message { author: "17".into(), body, extra: None };
        String::from_utf8(message.encode(None).to_vec()).unwrap()
    }

    #[test]
    fn without_the_extra_key_messages_are_those_of_the_original() {
        let token = || Token::new(3, "9", 1);
        assert_eq!(plain(Body::Ping), r#"{"serial_code":581831,"type":"ping","author_node_id":"17"}"#);
        assert_eq!(
            plain(Body::TokenIsHere(token())),
            r#"{"serial_code":328067,"type":"token is here","author_node_id":"17","token":{"serial_code":407246,"progress":3,"author_node_id":"9","author_token_revision":1}}"#
        );
        let nodes = BTreeMap::from([("9".to_owned(), "10.0.0.9".to_owned())]);
        assert_eq!(
            plain(Body::TakeToken { token: token(), nodes, data: "3.1".into() }),
            r#"{"serial_code":137344,"type":"take token","author_node_id":"17","token":{"serial_code":407246,"progress":3,"author_node_id":"9","author_token_revision":1},"nodes":{"9":"10.0.0.9"},"data":"3.1"}"#
        );
        assert_eq!(
            plain(Body::MyState { old: "OWNER".into(), new: "WAITER".into() }),
            r#"{"serial_code":318467,"type":"my state","author_node_id":"17","old_state":"OWNER","new_state":"WAITER"}"#
        );
    }

    #[test]
    fn what_is_no_message_is_told_so() {
        let wrong = |text: &str| Message::decode(text.as_bytes(), None).unwrap_err().to_string();
        assert!(wrong("garbage").contains("expected"));
        assert!(wrong(r#"{"serial_code":1,"type":"ping","author_node_id":"1"}"#).contains("581831"));
        assert!(wrong(r#"{"serial_code":581831,"type":"pong","author_node_id":"1"}"#).contains("no such message"));
        assert!(wrong(r#"{"serial_code":581831,"type":"ping","author_node_id":""}"#).contains("an id has"));
        assert!(wrong(r#"{"serial_code":581831,"type":"ping","author_node_id":"a\nb"}"#).contains("control"));
        assert!(wrong(r#"{"serial_code":328067,"type":"token is here","author_node_id":"1"}"#).contains("its token"));
        let token = r#"{"serial_code":7,"progress":3,"author_node_id":"9","author_token_revision":1}"#;
        let here = format!(r#"{{"serial_code":328067,"type":"token is here","author_node_id":"1","token":{token}}}"#);
        assert!(wrong(&here).contains("407246"));
    }

    #[test]
    fn no_name_is_taken_over_that_is_none() {
        let token = r#"{"serial_code":407246,"progress":3,"author_node_id":"9","author_token_revision":1}"#;
        let nodes =
            format!(r#"{{"":"10.0.0.1","\u001b[31m":"10.0.0.2","{}":"10.0.0.3","8":"10.0.0.4"}}"#, "z".repeat(65));
        let text = format!(
            r#"{{"serial_code":137344,"type":"take token","author_node_id":"1","token":{token},"nodes":{nodes},"data":""}}"#
        );
        let Ok(Message { body: Body::TakeToken { nodes, .. }, .. }) = Message::decode(text.as_bytes(), None) else {
            panic!("it is a message")
        };
        assert_eq!(nodes.into_keys().collect::<Vec<_>>(), ["8"]);
        let text = text.replace(r#""author_node_id":"9""#, r#""author_node_id":"\n""#);
        assert!(Message::decode(text.as_bytes(), None).is_err());
    }

    #[test]
    fn keys_that_nobody_knows_are_ignored() {
        let text = r#"{"serial_code":581831,"type":"ping","author_node_id":"1","more":[1,{"a":null}]}"#;
        assert_eq!(Message::decode(text.as_bytes(), None).unwrap().body, Body::Ping);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes, None);
            let _ = Message::decode(&bytes, Some(&Key::new(b"secret".to_vec())));
        }

        #[test]
        fn what_is_said_is_heard(
            author in "[a-z0-9:]{1,64}", progress: u64, revision: u64, data in ".{0,100}", epoch: u64, hop: u64,
            sealed: bool,
        ) {
            let key = Key::new(b"secret".to_vec());
            let key = sealed.then_some(&key);
            let token = Token::new(progress, &author, revision);
            let nodes = BTreeMap::from([(author.clone(), "10.0.0.1".to_owned())]);
            let extra = Extra { fence: Fence { epoch, hop }, silent: vec![author.clone()], ..Extra::default() };
            let said = Message { author, body: Body::TakeToken { token, nodes, data }, extra: Some(extra) };
            prop_assert_eq!(Message::decode(&said.encode(key), key), Ok(said));
        }
    }
}
