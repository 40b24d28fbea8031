//! What holds of the wire whatever the bytes: cutting them elsewhere changes nothing, no line panics a decoder, and a
//! message that was read is written and read again as itself.

use arete::wire::{ControlReply, ControlRequest, Cut, Frames, FromController, Notify, ToController};

/// A line is never longer here, so that a short input can go over it.
const LINE_MAX_MOST: usize = 4096;

/// What a stream was cut into. Of a line that is too long only that there was one: how much of it is seen depends on
/// where the stream was cut.
#[derive(Debug, PartialEq)]
enum Piece {
    Line(Vec<u8>),
    Over,
}

/// The first byte says how the rest is cut, the second how long a line may be.
pub fn check(bytes: &[u8]) {
    let [step, max, stream @ ..] = bytes else { return };
    let max = if *max == 0 { LINE_MAX_MOST } else { usize::from(*max) };
    let whole = cut([stream], max, stream);
    assert_eq!(cut(stream.chunks(usize::from(*step) + 1), max, stream), whole, "steps of {}", step + 1);
    let (head, tail) = stream.split_at(usize::from(*step).min(stream.len()));
    assert_eq!(cut([head, tail], max, stream), whole, "cut at {step}");
    assert_eq!(fed(stream.chunks(1), max), fed([stream], max), "what a peer that is refused has said before");
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
        assert!(frames.held() < max, "no more is held than a line may have");
    }
    pieces
}

/// The lines before the first that is too long, and whether there is one.
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

/// Reads a line as everything that it could be.
pub fn check_line(line: &[u8]) {
    macro_rules! reads_back {
        ($($kind:ident)*) => {$(
            if let Ok(message) = $kind::decode(line) {
                let said = message.encode();
                let (newline, text) = said.split_last().expect("a message is a line");
                assert!(*newline == b'\n' && !text.contains(&b'\n'), "one line: {}", String::from_utf8_lossy(&said));
                let again = $kind::decode(text);
                assert!(
                    again.as_ref() == Ok(&message) || is_inexact(text),
                    "{message:?}\nwas read again as\n{again:?}"
                );
            }
        )*};
    }
    reads_back!(ToController FromController ControlRequest ControlReply);
    // The quick reader of notifies and the full one are of one mind.
    if let Ok(ToController::Notify(notify)) = ToController::decode(line) {
        assert_eq!(serde_json::from_slice::<Notify>(line).ok(), Some(notify));
    }
}

/// A fraction in the value of an entry's sync is read to the nearest number but one: it need not read back as itself.
fn is_inexact(text: &[u8]) -> bool {
    text.starts_with(b"{\"type\":\"prepare\"") && text.windows(6).any(|part| part == b"\"sync\"")
}
