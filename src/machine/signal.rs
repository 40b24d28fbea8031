//! Signals: their numbers, and the one table of their names.
//!
//! Numbers are those of Linux on all machines except MIPS, SPARC, Alpha and PA-RISC. Real-time signals are counted as
//! the GNU C library, the shell and kill(1) count them, because the library reserves the kernel's first two. No other
//! file may translate between a name and a number.

use serde::{Deserialize, Serialize};

/// A signal, by its number on this system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Signal(pub i32);

impl Signal {
    /// No signal: a [sweep](super::Effect::Sweep) with it only counts.
    pub const NONE: Signal = Signal(0);
    /// The terminal was closed; for a service, read the configuration again.
    pub const HUP: Signal = Signal(1);
    /// Interrupt, as by Ctrl-C.
    pub const INT: Signal = Signal(2);
    /// Quit, as by Ctrl-\.
    pub const QUIT: Signal = Signal(3);
    /// Kill at once. No process can handle it.
    pub const KILL: Signal = Signal(9);
    /// For the use of the program. A slave takes it as a poke.
    pub const USR1: Signal = Signal(10);
    /// Terminate.
    pub const TERM: Signal = Signal(15);
    /// Continue a stopped process.
    pub const CONT: Signal = Signal(18);
    /// Stop. A process cannot ignore it.
    pub const STOP: Signal = Signal(19);

    /// Returns its name: `"SIGTERM"` for 15, `"SIGRTMIN+3"` for 37, and `"SIG32"` for a number without a name.
    pub fn name(self) -> String {
        name(self.0)
    }

    /// Returns the signal called `SIGTERM`, `TERM`, `term`, `15` or `SIG15`; `None` if no signal has that name.
    pub fn from_name(name: &str) -> Option<Signal> {
        number(name).map(Signal)
    }

    /// Returns all signals that have a name of their own, in the order of their numbers.
    pub fn named() -> impl Iterator<Item = Signal> {
        (1..=MAX).map(Signal).filter(|signal| has_name(signal.0))
    }

    /// Whether the signal asks a program to end. A stopped process receives it only when it continues, so SIGCONT
    /// follows each of these. Signals with another use, such as SIGUSR1, are not among them.
    pub const fn asks_to_end(self) -> bool {
        asks_to_end(self.0)
    }
}

impl Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Signal, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Signal::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("no signal is called {name:?}")))
    }
}

/// The highest number of a signal.
const MAX: i32 = 64;

/// The first and the last real-time signal.
const RT_MIN: i32 = 34;
const RT_MAX: i32 = 64;

/// From this number on real-time signals are counted from the last one.
const RT_UPPER: i32 = 50;

/// The names of the signals from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// Further names of some signals.
const ALIASES: [(&str, i32); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

/// Whether it is one of HUP, INT, QUIT, ILL, TRAP, ABRT, BUS, FPE, KILL, SEGV, TERM, XCPU, XFSZ and SYS.
const fn asks_to_end(number: i32) -> bool {
    matches!(number, 1..=9 | 11 | 15 | 24 | 25 | 31)
}

fn has_name(number: i32) -> bool {
    (1..=NAMES.len() as i32).contains(&number) || (RT_MIN..=RT_MAX).contains(&number)
}

/// Returns the name of a signal, with its number if it has none.
fn name(number: i32) -> String {
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    match (index.and_then(|index| NAMES.get(index)), number) {
        (Some(name), _) => format!("SIG{name}"),
        (None, RT_MIN) => "SIGRTMIN".to_owned(),
        (None, RT_MAX) => "SIGRTMAX".to_owned(),
        (None, RT_MIN..RT_UPPER) => format!("SIGRTMIN+{}", number - RT_MIN),
        (None, RT_UPPER..RT_MAX) => format!("SIGRTMAX-{}", RT_MAX - number),
        (None, _) => format!("SIG{number}"),
    }
}

/// Returns the signal of a name, with or without SIG, in upper or lower case, or of a number.
fn number(name: &str) -> Option<i32> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = || NAMES.iter().position(|known| *known == short).map(|index| index as i32 + 1);
    let alias = || ALIASES.iter().find(|(alias, _)| *alias == short).map(|(_, number)| *number);
    named()
        .or_else(alias)
        .or_else(|| real_time(short))
        .or_else(|| count(short).filter(|number| (1..=MAX).contains(number)))
}

/// `RTMIN`, `RTMIN+N`, `RTMAX-N`, `RTMAX`.
fn real_time(short: &str) -> Option<i32> {
    let from = |rest: &str, sign: char| match rest {
        "" => Some(0),
        _ => count(rest.strip_prefix(sign)?),
    };
    let number = match (short.strip_prefix("RTMIN"), short.strip_prefix("RTMAX")) {
        (Some(rest), _) => RT_MIN.checked_add(from(rest, '+')?),
        (_, Some(rest)) => RT_MAX.checked_sub(from(rest, '-')?),
        _ => None,
    };
    number.filter(|number| (RT_MIN..=RT_MAX).contains(number))
}

/// Reads a number of digits, without a sign.
fn count(text: &str) -> Option<i32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_one_name_that_means_it() {
        for signal in 1..=MAX {
            assert_eq!(number(&name(signal)), Some(signal), "{}", name(signal));
            assert_eq!(number(&signal.to_string()), Some(signal));
            assert_eq!(number(&format!("SIG{signal}")), Some(signal));
        }
        let names = [1, 9, 16, 30, 31, 32, 34, 37, 49, 50, 63, 64].map(name);
        assert_eq!(
            names.join(" "),
            "SIGHUP SIGKILL SIGSTKFLT SIGPWR SIGSYS SIG32 SIGRTMIN SIGRTMIN+3 SIGRTMIN+15 SIGRTMAX-14 SIGRTMAX-1 SIGRTMAX"
        );
    }

    #[test]
    fn a_name_may_be_written_as_people_do() {
        for (written, meant) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("Kill", 9),
            ("PWR", 30),
            ("SIGSTKFLT", 16),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
            ("RTMIN+0", 34),
            ("RTMAX-30", 34),
            ("SIGCLD", 17),
            ("poll", 29),
            ("9", 9),
        ] {
            assert_eq!(number(written), Some(meant), "{written}");
        }
        for wrong in [
            "",
            "SIG",
            "0",
            "65",
            "-9",
            "+9",
            "RTMIN-1",
            "RTMIN+31",
            "RTMAX+1",
            "RTMAX-31",
            "SIGSIGTERM",
            "TERM ",
            "RTMIN+99999999999",
        ] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn signals_that_only_say_something_do_not_ask_to_end() {
        let ask: Vec<&str> =
            NAMES.into_iter().zip(1..).filter(|(_, signal)| asks_to_end(*signal)).map(|(name, _)| name).collect();
        assert_eq!(ask.join(" "), "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL SEGV TERM XCPU XFSZ SYS");
    }
}
