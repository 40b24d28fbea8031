//! The triggers that a shell command names after `arete notify` and `arete wait`, for the warnings.
//!
//! This is not a shell. A word that the shell would expand (`$x`, a pattern, a command) is ignored, and so is a command
//! in quotes.

/// The subcommands whose first word is a trigger, and their options with a value. Any other option may select another
/// room, whose triggers the test does not know.
const SUBCOMMANDS: [(&str, &[&str]); 2] = [("notify", &["--data", "--as", "--timeout"]), ("wait", &["--timeout"])];

/// Commands that print their words instead of running them.
const PRINTERS: [&str; 3] = ["echo", "printf", ":"];

/// A trigger that a command names.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// `notify` or `wait`.
    pub subcommand: &'static str,
    /// The name of the trigger.
    pub trigger: String,
    /// The byte of the command at which the name begins.
    pub at: usize,
}

/// A word of a simple command.
struct Word {
    at: usize,
    text: String,
    /// The shell expands nothing in it.
    plain: bool,
}

/// Returns the triggers that a command passes to arete.
pub fn named(text: &str) -> Vec<Named> {
    simple_commands(text).iter().filter_map(|words| named_by(words)).collect()
}

fn named_by(words: &[Word]) -> Option<Named> {
    let arete = words.iter().position(|word| word.text == "arete" || word.text.ends_with("/arete"))?;
    if words[..arete].iter().any(|word| PRINTERS.contains(&word.text.as_str())) {
        return None;
    }
    let (subcommand, options) =
        SUBCOMMANDS.iter().find(|(name, _)| words.get(arete + 1).is_some_and(|it| it.text == *name))?;
    let mut rest = words[arete + 2..].iter();
    while let Some(word) = rest.next() {
        if !word.text.starts_with('-') {
            let known = word.plain && !word.text.contains("@{");
            return known.then(|| Named { subcommand, trigger: word.text.clone(), at: word.at });
        }
        let name = word.text.split('=').next().unwrap_or_default();
        if !options.contains(&name) {
            return None;
        }
        if !word.text.contains('=') {
            rest.next();
        }
    }
    None
}

/// Returns the words of each simple command, in order.
fn simple_commands(text: &str) -> Vec<Vec<Word>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<Word> = None;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let ends =
            letter.is_whitespace() || ";&|()`<>{}".contains(letter) && !(word.is_some() && "{}".contains(letter));
        if ends || (letter == '#' && word.is_none()) {
            if let (Some(done), Some(words)) = (word.take(), commands.last_mut()) {
                words.push(done);
            }
            match letter {
                '#' => while letters.next_if(|(_, letter)| *letter != '\n').is_some() {},
                '\n' => commands.push(Vec::new()),
                _ if letter.is_whitespace() => {}
                _ => commands.push(Vec::new()),
            }
            continue;
        }
        // A backslash at the end of a line joins it with the next one.
        if letter == '\\' && letters.next_if(|(_, next)| *next == '\n').is_some() {
            continue;
        }
        let now = word.get_or_insert_with(|| Word { at, text: String::new(), plain: true });
        match letter {
            '\'' | '"' => {
                while let Some((_, inner)) = letters.next_if(|(_, inner)| *inner != letter) {
                    now.plain &= letter == '\'' || !"$`\\".contains(inner);
                    now.text.push(inner);
                }
                letters.next();
            }
            '\\' => now.text.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => {
                now.plain &= !"$*?[~".contains(letter);
                now.text.push(letter);
            }
        }
    }
    if let (Some(done), Some(words)) = (word, commands.last_mut()) {
        words.push(done);
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_triggers_that_a_command_names_are_found_and_no_others() {
        for (text, wanted) in [
            ("arete notify up", vec![("notify", "up", 13)]),
            ("sleep 1 && arete notify up; arete wait go", vec![("notify", "up", 24), ("wait", "go", 39)]),
            ("while ! nc -z h 1; do sleep 1; done\n/usr/bin/arete notify 'up'", vec![("notify", "up", 58)]),
            ("(arete notify up) & x=$(arete wait --timeout 5s go)", vec![("notify", "up", 14), ("wait", "go", 48)]),
            ("X=1 exec arete notify --data=1 --as h#1 up", vec![("notify", "up", 40)]),
            ("arete notify --data \"a b\" up", vec![("notify", "up", 26)]),
            ("{ arete notify up; }", vec![("notify", "up", 15)]),
            ("arete notify \\\n up", vec![("notify", "up", 16)]),
            ("arete notify \"$T\"; arete notify $T; arete notify @{slave.name}-up", vec![]),
            ("arete notify --room other up; arete notify --controller lab up", vec![]),
            ("echo arete notify up # arete notify gone", vec![]),
            ("sh -c 'arete notify up'; printf \"arete notify up\"", vec![]),
            ("arete poke x; arete notify; arete; notify up", vec![]),
        ] {
            let found = named(text);
            let found: Vec<_> = found.iter().map(|it| (it.subcommand, it.trigger.as_str(), it.at)).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }
}
