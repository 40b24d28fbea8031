//! The properties of every stream of bytes: other cuts of the stream give the same lines, no line panics a decoder, and a
//! message that was read is written and read again as the same message.

use arete::wire::{ControlReply, ControlRequest, Cut, Frames, FromController, Notify, ToController};

/// The highest limit on a line in these checks, so that a short input can exceed it.
const LINE_MAX_MOST: usize = 4096;

/// A piece of a stream. An oversized line has no content here, because the part that is seen depends on the cuts.
#[derive(Debug, PartialEq)]
enum Piece {
    Line(Vec<u8>),
    Over,
}

/// Checks a stream. The first byte selects the cuts of the rest, the second the longest line.
pub fn check(bytes: &[u8]) {
    let [step, max, stream @ ..] = bytes else { return };
    let max = if *max == 0 { LINE_MAX_MOST } else { usize::from(*max) };
    let whole = cut([stream], max, stream);
    assert_eq!(cut(stream.chunks(usize::from(*step) + 1), max, stream), whole, "steps of {}", step + 1);
    let (head, tail) = stream.split_at(usize::from(*step).min(stream.len()));
    assert_eq!(cut([head, tail], max, stream), whole, "cut at {step}");
    assert_eq!(fed(stream.chunks(1), max), fed([stream], max), "the lines before the first oversized one");
    for piece in &whole {
        if let Piece::Line(line) = piece {
            check_line(line);
        }
    }
}

fn cut<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, max: usize, stream: &[u8]) -> Vec<Piece> {
    let (mut frames, mut pieces) = (Frames::default(), Vec::new());
    for chunk in chunks {
        let done = frames.cut(chunk, max, |cut| {
            pieces.push(match cut {
                Cut::Line(line) => {
                    assert!(!line.is_empty() && line.len() < max && !line.contains(&b'\n'));
                    Piece::Line(line.to_vec())
                }
                Cut::Over(beginning) => {
                    assert!(beginning.is_empty() || stream.windows(beginning.len()).any(|part| part == beginning));
                    Piece::Over
                }
            });
            true
        });
        assert_eq!(done, Ok(()));
        assert!(frames.held() < max, "at most the bytes of one line are held");
    }
    pieces
}

/// Returns the lines before the first oversized one, and whether there is one.
fn fed<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, max: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut frames, mut lines) = (Frames::default(), Vec::new());
    let over = chunks.into_iter().any(|chunk| {
        let whole = frames.feed(chunk, max, |line| {
            lines.push(line.to_vec());
            true
        });
        whole.is_err()
    });
    (lines, over)
}

/// Decodes a line as a message of every kind of receiver.
pub fn check_line(line: &[u8]) {
    macro_rules! reads_back {
        ($($kind:ident)*) => {$(
            if let Ok(message) = $kind::decode(line) {
                let line = message.encode();
                let (newline, text) = line.split_last().expect("a message is a line");
                assert!(*newline == b'\n' && !text.contains(&b'\n'), "one line: {}", String::from_utf8_lossy(&line));
                let again = $kind::decode(text);
                assert!(
                    again.as_ref() == Ok(&message) || is_inexact(text),
                    "{message:?}\nwas read again as\n{again:?}"
                );
            }
        )*};
    }
    reads_back!(ToController FromController ControlRequest ControlReply);
    // The quick reader of notifies and the full one agree.
    if let Ok(ToController::Notify(notify)) = ToController::decode(line) {
        assert_eq!(serde_json::from_slice::<Notify>(line).ok(), Some(notify));
    }
}

/// Whether the message has a fraction in the value of an entry's sync. It is read with a small error, so that it may
/// differ when it is read again.
fn is_inexact(text: &[u8]) -> bool {
    text.starts_with(b"{\"type\":\"prepare\"") && text.windows(6).any(|part| part == b"\"sync\"")
}
