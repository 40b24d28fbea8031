//! The part of regular expressions that the schema uses: `^ $ [...] ( | ) ? * + {m,n} \x`.

/// The next part of a text, with its repetitions.
struct Piece {
    atom: Atom,
    least: usize,
    most: usize,
}

enum Atom {
    Class { not: bool, ranges: Vec<(char, char)> },
    Group(Vec<Vec<Piece>>),
    Start,
    End,
}

/// Whether `pattern` is found in `text`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut reader: Vec<char> = pattern.chars().rev().collect();
    let alternatives = alternatives(&mut reader);
    assert!(reader.is_empty(), "{pattern:?} is more than the validator of the tests can read");
    let text: Vec<char> = text.chars().collect();
    (0..=text.len()).any(|at| any(&alternatives, &text, at, &mut |_| true))
}

fn alternatives(rest: &mut Vec<char>) -> Vec<Vec<Piece>> {
    let mut alternatives = vec![Vec::new()];
    while let Some(next) = rest.pop() {
        let atom = match next {
            ')' => {
                rest.push(')');
                break;
            }
            '|' => {
                alternatives.push(Vec::new());
                continue;
            }
            '(' => {
                let inner = self::alternatives(rest);
                assert_eq!(rest.pop(), Some(')'));
                Atom::Group(inner)
            }
            '[' => class(rest),
            '^' => Atom::Start,
            '$' => Atom::End,
            '\\' => single(rest.pop().unwrap()),
            other => single(other),
        };
        let (least, most) = repetition(rest);
        alternatives.last_mut().unwrap().push(Piece { atom, least, most });
    }
    alternatives
}

fn single(char: char) -> Atom {
    Atom::Class { not: false, ranges: vec![(char, char)] }
}

fn class(rest: &mut Vec<char>) -> Atom {
    let not = rest.pop_if(|next| *next == '^').is_some();
    let mut ranges = Vec::new();
    loop {
        let first = match rest.pop().unwrap() {
            ']' => return Atom::Class { not, ranges },
            '\\' => rest.pop().unwrap(),
            other => other,
        };
        let range = rest.last() == Some(&'-') && rest[rest.len() - 2] != ']';
        let last = if range { rest.pop().and_then(|_| rest.pop()).unwrap() } else { first };
        ranges.push((first, last));
    }
}

fn repetition(rest: &mut Vec<char>) -> (usize, usize) {
    match rest.last() {
        Some('?') => rest.pop().map_or((1, 1), |_| (0, 1)),
        Some('*') => rest.pop().map_or((1, 1), |_| (0, usize::MAX)),
        Some('+') => rest.pop().map_or((1, 1), |_| (1, usize::MAX)),
        Some('{') => {
            let end = rest.iter().rposition(|char| *char == '}').unwrap();
            let inside: String = rest.split_off(end).into_iter().rev().collect();
            let (least, most) = inside.trim_matches(['{', '}']).split_once(',').unwrap();
            (least.parse().unwrap(), most.parse().unwrap())
        }
        _ => (1, 1),
    }
}

fn any(alternatives: &[Vec<Piece>], text: &[char], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    alternatives.iter().any(|pieces| sequence(pieces, 0, text, at, then))
}

/// Whether the text matches the pieces from `at` on, and `then` accepts the place after them. The first piece has matched
/// `met` times already.
fn sequence(pieces: &[Piece], met: usize, text: &[char], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return then(at) };
    let mut again = |next: usize| (next > at || met == 0) && sequence(pieces, met + 1, text, next, then);
    let more = met < piece.most
        && match &piece.atom {
            Atom::Start => at == 0 && again(at),
            Atom::End => at == text.len() && again(at),
            Atom::Group(inner) => any(inner, text, at, &mut again),
            Atom::Class { not, ranges } => {
                let within = |char: &char| ranges.iter().any(|(first, last)| (first..=last).contains(&char)) != *not;
                text.get(at).is_some_and(within) && again(at + 1)
            }
        };
    more || met >= piece.least && sequence(rest, 0, text, at, then)
}

#[test]
fn patterns_match_exactly_their_texts() {
    for (pattern, text, expected) in [
        ("^[a-c_-]{0,2}$", "a-", true),
        ("^[a-c_-]{0,2}$", "a-b", false),
        ("^(SIG)?(3[2-9]|6)$", "SIG33", true),
        ("^(SIG)?(3[2-9]|6)$", "SIG3", false),
        ("^([0-9]+(\\.[0-9]+)?h)?([0-9]+s)?$", "1.5h30s", true),
        ("^([0-9]+(\\.[0-9]+)?h)?([0-9]+s)?$", "1.h", false),
        ("^[^/]", "a/b", true),
        ("^[^/]", "/b", false),
        ("[1-9]", "00100", true),
        ("^x*$", "", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
