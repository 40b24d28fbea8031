//! The token: the right to work, with the progress of the work.

use serde::{Deserialize, Serialize};

/// The serial code of every token.
pub const TOKEN_CODE: u64 = 407_246;

/// The most that one message may raise the epoch. Otherwise a forged one could use all epochs up.
const EPOCH_LEAP_MAX: u64 = 1 << 32;

/// The greatest epoch that a node accepts before it knows one.
const FIRST_EPOCH_MAX: u64 = 1 << 48;

/// The greatest hop that is accepted.
const HOP_MAX: u64 = 1 << 62;

/// A token, with the fields of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Always [`TOKEN_CODE`].
    pub serial_code: u64,
    /// The progress of the work: the length of the data, or the output of the command for the progress.
    pub progress: u64,
    /// The id of the node that made it, which need not be its owner.
    pub author_node_id: String,
    /// Its number among the tokens of its author.
    pub author_token_revision: u64,
}

impl Token {
    /// Returns the token number `revision` of this author.
    pub fn new(progress: u64, author: &str, revision: u64) -> Token {
        Token { serial_code: TOKEN_CODE, progress, author_node_id: author.to_owned(), author_token_revision: revision }
    }

    /// Returns its strength in a ring with original programs, of which the greater is stronger: the progress, then the id of
    /// the author as a string, then the revision.
    pub fn strength(&self) -> (u64, &str, u64) {
        (self.progress, &self.author_node_id, self.author_token_revision)
    }
}

/// The fencing token. Every new token has a new epoch, and every hand-over adds one to the hop. A resource that the token
/// protects can refuse a lower pair. Among original programs it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Fence {
    /// The epoch of the token; 0: none.
    pub epoch: u64,
    /// The number of hand-overs in this epoch.
    pub hop: u64,
}

impl Fence {
    /// Returns the fence of a new token.
    pub fn of_epoch(epoch: u64) -> Fence {
        Fence { epoch, hop: 0 }
    }

    /// Returns the fence after one more hand-over.
    pub fn next(self) -> Fence {
        Fence { hop: self.hop.saturating_add(1), ..self }
    }

    /// Whether a node that knows the epoch `known` accepts this fence.
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

/// Returns the strength of a token in the normal mode: the fence comes first.
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
