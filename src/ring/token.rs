//! The token: the right to work, and how far the work has come.

use serde::{Deserialize, Serialize};

/// The serial code of every token.
pub const TOKEN_CODE: u64 = 407_246;

/// How far one message may take the epoch: a forged one cannot use them all up.
const EPOCH_LEAP_MAX: u64 = 1 << 32;

/// The greatest epoch that a node believes in that knows of none.
const FIRST_EPOCH_MAX: u64 = 1 << 48;

/// The greatest hop that is believed.
const HOP_MAX: u64 = 1 << 62;

/// A token, as it stands in messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub serial_code: u64,
    /// How far the work has come: the length of the data, or what measures it.
    pub progress: u64,
    /// Who made it. Its owner is another one most of the time.
    pub author_node_id: String,
    /// Which of its author's tokens it is.
    pub author_token_revision: u64,
}

impl Token {
    pub fn new(progress: u64, author: &str, revision: u64) -> Token {
        Token { serial_code: TOKEN_CODE, progress, author_node_id: author.to_owned(), author_token_revision: revision }
    }

    /// Strongest first in a mixed ring: greater progress, then greater author id, as strings, then greater revision.
    pub fn strength(&self) -> (u64, &str, u64) {
        (self.progress, &self.author_node_id, self.author_token_revision)
    }
}

/// Where a token stands, and its fencing token: every token that is made has a new epoch, every hand-over adds one to
/// the hop. What the token guards can refuse whoever comes with a lower pair. Originals have none: then it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Fence {
    pub epoch: u64,
    pub hop: u64,
}

impl Fence {
    /// Of a token that was made just now.
    pub fn of_epoch(epoch: u64) -> Fence {
        Fence { epoch, hop: 0 }
    }

    /// Behind one more hand-over.
    pub fn next(self) -> Fence {
        Fence { hop: self.hop.saturating_add(1), ..self }
    }

    /// Whether somebody who knows of the epoch `known` believes in this one.
    pub fn is_credible(self, known: u64) -> bool {
        let leap = if known == 0 { FIRST_EPOCH_MAX } else { EPOCH_LEAP_MAX };
        self.epoch <= known.saturating_add(leap) && self.hop <= HOP_MAX
    }
}

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch, self.hop)
    }
}

/// How strong a token is: (epoch, hop) before everything else.
pub fn strength(fence: Fence, token: &Token) -> (Fence, (u64, &str, u64)) {
    (fence, token.strength())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_stronger_than_the_author_and_the_author_than_the_revision() {
        let ranked = [Token::new(5, "1", 0), Token::new(4, "9", 0), Token::new(4, "10", 7), Token::new(4, "10", 6)];
        assert!(ranked.is_sorted_by(|stronger, weaker| stronger.strength() > weaker.strength()));
    }

    #[test]
    fn a_newer_epoch_is_stronger_than_any_progress() {
        let (old, new) = (Token::new(900, "9", 9), Token::new(0, "1", 1));
        assert!(strength(Fence::of_epoch(2), &new) > strength(Fence { epoch: 1, hop: 77 }, &old));
        assert!(strength(Fence { epoch: 1, hop: 78 }, &new) > strength(Fence { epoch: 1, hop: 77 }, &old));
    }

    #[test]
    fn nobody_believes_in_an_epoch_that_uses_up_all_others() {
        assert!(Fence::of_epoch(5 + (1 << 32)).is_credible(5) && !Fence::of_epoch(6 + (1 << 32)).is_credible(5));
        assert!(Fence::of_epoch(1 << 40).is_credible(0), "who knows nothing comes to a ring that is old");
        assert!(!Fence { epoch: 1, hop: u64::MAX }.is_credible(1));
        assert!(!Fence::of_epoch(u64::MAX).is_credible(u64::MAX >> 1));
    }
}
