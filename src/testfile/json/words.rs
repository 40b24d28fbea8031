//! What is wrong with a text that is not JSON, and what to write instead.

/// The most characters of a text that a message repeats.
const SHOWN: usize = 40;

/// Returns the message about `rest` of a text, which begins with something else than `expected`.
pub(super) fn unexpected(expected: &str, rest: &str) -> String {
    let Some(first) = rest.chars().next() else { return format!("{expected}, but the file ends here") };
    let word = word(rest);
    let advice = match first {
        '/' | '#' => return format!("{expected}; JSON has no comments"),
        '\'' | '\u{2018}'..='\u{201f}' => return format!("{expected}; write strings in double quotes"),
        '"' if expected.contains("\",\"") => ": add a \",\" before it".to_owned(),
        ']' | '}' if expected.contains("\",\"") => ": add the missing bracket before it".to_owned(),
        _ if word.is_empty() => String::new(),
        _ if expected.contains("\",\"") => ": write a quotation mark inside a string as \\\"".to_owned(),
        _ if !expected.ends_with("value") && !expected.contains("key in") => String::new(),
        _ => match word.to_lowercase().as_str() {
            known @ ("true" | "false" | "null") => format!(": write {known}"),
            "none" | "nil" | "undefined" => ": write null".to_owned(),
            "nan" | "infinity" => ": JSON has no such number".to_owned(),
            _ => format!(": write \"{word}\""),
        },
    };
    match word {
        "" => format!("{expected}, found {first:?}{advice}"),
        _ => format!("{expected}, found {word}{advice}"),
    }
}

/// Returns the letters, digits and marks at the beginning of a text, cut if they are long. Empty unless the first is a
/// letter.
fn word(text: &str) -> &str {
    let is_part = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    let end = text.char_indices().take(SHOWN).find(|(_, letter)| !is_part(*letter));
    let end = end.or_else(|| text.char_indices().nth(SHOWN)).map_or(text.len(), |(end, _)| end);
    if text.starts_with(char::is_alphabetic) { &text[..end] } else { "" }
}

/// Returns the message about a text that begins like a number and is none. It has only ASCII characters.
pub(super) fn number(text: &str) -> String {
    let digits = text.trim_start_matches('-');
    let advice = match digits.as_bytes() {
        [b'0', b'0'..=b'9', ..] => ": remove the zeros at its beginning, or write it in double quotes",
        [] => ": digits must follow the \"-\"",
        [.., b'.'] => ": digits must follow the \".\"",
        _ if ["nan", "inf", "infinity"].contains(&digits.to_ascii_lowercase().as_str()) => ": JSON has no such number",
        _ if digits.parse::<f64>().is_ok_and(f64::is_infinite) => ": it is too large",
        [.., b'a'..=b'z' | b'A'..=b'Z'] => ": write it in double quotes",
        _ => "",
    };
    format!("{:?} is not a number{advice}", &text[..text.len().min(SHOWN)])
}

/// Returns the message about a string without an end. `rest` begins after its first quotation mark.
pub(super) fn endless(rest: &str) -> String {
    let line = rest.lines().next().unwrap_or_default();
    let (end, more) = line.char_indices().nth(SHOWN).map_or((line.len(), ""), |(end, _)| (end, "..."));
    let shown = &line[..end];
    format!("\"{shown}{more} has no quotation mark at its end: add it, or write a line break as \\n")
}

/// Returns the message about what is wrong in a string, of which `before` is valid and `after` begins with the fault.
pub(super) fn in_string(before: &str, after: &str) -> String {
    let letter = after.chars().next().unwrap_or_default();
    if letter < ' ' {
        let (what, escape) = match letter {
            '\t' => ("a tab", "\\t".to_owned()),
            '\r' => ("a carriage return", "\\r".to_owned()),
            other => ("a control character", format!("\\u{:04x}", other as u32)),
        };
        let before = before.strip_prefix('"').unwrap_or(before);
        let from = before.char_indices().rev().nth(SHOWN).map_or(0, |(from, _)| from);
        return format!("this string has {what} after \"{}\": write it as {escape}", &before[from..]);
    }
    let escape = before.rfind('\\').map_or("", |at| &before[at..]);
    let escape = &escape[escape.char_indices().nth(SHOWN).map_or(0, |(from, _)| from)..];
    let digits = escape.strip_prefix("\\u").unwrap_or_default();
    let is_whole = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_whole && digits.starts_with(['d', 'D']) {
        return format!("{escape} is half of a character: write both escapes of the pair, or the character itself");
    }
    format!("{escape}{letter} is not an escape of JSON: write a backslash as \\\\")
}
