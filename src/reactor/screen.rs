//! The terminal on standard output: its size, and whether it obeys the escape sequences of a live picture.
//!
//! A terminal that may not obey them must get plain lines, as a file does.

use std::fs;
use std::path::{Path, PathBuf};

/// The columns and rows of a terminal that does not know its size.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// Families of terminals that follow ANSI X3.64 in moving the cursor and erasing. For these the name is enough, because a
/// container often has no terminfo.
const FAMILIES: [&str; 15] = [
    "xterm",
    "screen",
    "tmux",
    "linux",
    "rxvt",
    "vt100",
    "vt220",
    "ansi",
    "alacritty",
    "kitty",
    "foot",
    "wezterm",
    "konsole",
    "putty",
    "st",
];

/// The directories of terminfo, in addition to those that the environment names.
const TERMINFO: [&str; 4] = ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo"];

/// The longest entry, in bytes.
const ENTRY_MAX: u64 = 64 * 1024;

/// The sequences in an entry that move the cursor up, and that erase to the end of the screen.
const MOVES_UP: [&[u8]; 2] = [b"\x1b[%p1%dA", b"\x1b[A"];
const ERASES: [&[u8]; 2] = [b"\x1b[J", b"\x1b[0J"];

/// Returns the columns and rows of the terminal on standard output, if it can show a live picture.
pub fn terminal_size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    let term = std::env::var("TERM").ok()?;
    if !is_capable(&term, &terminfo()) {
        return None;
    }
    Some(if size.ws_col > 0 && size.ws_row > 0 { (size.ws_col, size.ws_row) } else { USUAL_SIZE })
}

/// Whether standard output shows colours, and the user wants them.
pub fn shows_colors() -> bool {
    terminal_size().is_some() && wants_colors()
}

/// Whether the user wants colours: NO_COLOR is unset or empty.
pub fn wants_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns the directories of terminfo.
fn terminfo() -> Vec<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = named("HOME").map(|home| Path::new(&home).join(".terminfo"));
    let several = named("TERMINFO_DIRS").unwrap_or_default();
    let several = std::env::split_paths(&several).filter(|path| !path.as_os_str().is_empty()).collect::<Vec<_>>();
    let own = named("TERMINFO").map(PathBuf::from).into_iter().chain(home);
    own.chain(several).chain(TERMINFO.map(PathBuf::from)).collect()
}

/// Whether a terminal of this name moves the cursor up and erases.
fn is_capable(term: &str, terminfo: &[PathBuf]) -> bool {
    let belongs = |family: &&str| {
        term.strip_prefix(*family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', '+']))
    };
    if FAMILIES.iter().any(belongs) {
        return true;
    }
    let Some(first) = term.chars().next().filter(|_| !term.contains('/')) else { return false };
    let entries = terminfo.iter().map(|directory| directory.join(first.to_string()).join(term));
    entries.filter_map(|entry| read(&entry)).next().is_some_and(|entry| draws(&entry))
}

fn read(entry: &Path) -> Option<Vec<u8>> {
    let is_entry = fs::metadata(entry).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= ENTRY_MAX);
    is_entry.then(|| fs::read(entry).ok()).flatten()
}

/// Whether an entry of terminfo has the sequences that a picture needs.
fn draws(entry: &[u8]) -> bool {
    let has = |which: &[&[u8]]| which.iter().any(|sequence| memchr::memmem::find(entry, sequence).is_some());
    has(&MOVES_UP) && has(&ERASES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_drawn_on_if_its_name_or_its_entry_says_that_it_obeys() {
        let directory = std::env::temp_dir().join(format!("arete-terminfo-{}", std::process::id()));
        for (name, entry) in [("queer", "\x1b[%p1%dA \x1b[J"), ("paper", "\r\n"), ("dumb", "\r\n")] {
            let folder = directory.join(&name[..1]);
            fs::create_dir_all(&folder).expect("a directory can be made");
            fs::write(folder.join(name), entry).expect("a file can be written");
        }
        let capable = |term: &str| is_capable(term, std::slice::from_ref(&directory));
        for good in ["xterm", "xterm-256color", "screen.xterm", "linux", "tmux-256color", "st", "queer"] {
            assert!(capable(good), "{good}");
        }
        for bad in ["", "dumb", "unknown", "paper", "network", "stranger", "../q/queer", "/etc/passwd"] {
            assert!(!capable(bad), "{bad:?}");
        }
        fs::remove_dir_all(directory).expect("it can be removed");
    }
}
