//! How arete says durations and lists to people.

use std::time::Duration;

/// How many names of a list are said one by one.
const NAMES_SHOWN: usize = 10;

/// A duration as people write it, and as the test file takes it: `250ms`, `1.5s`, `2min`, `1h30min`.
pub fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    match millis {
        0 if !duration.is_zero() => format!("{}us", duration.as_micros()),
        0..1_000 => format!("{millis}ms"),
        _ if !millis.is_multiple_of(60_000) => format!("{}s", millis as f64 / 1_000.0),
        _ if hours == 0 => format!("{minutes}min"),
        _ if minutes == 0 => format!("{hours}h"),
        _ => format!("{hours}h{minutes}min"),
    }
}

/// `a, b, c and 17 more`: names for a message that stays short.
pub fn list(names: &[&str]) -> String {
    if names.len() <= NAMES_SHOWN + 1 {
        return names.join(", ");
    }
    format!("{} and {} more", names[..NAMES_SHOWN].join(", "), names.len() - NAMES_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let said = |millis| duration(Duration::from_millis(millis));
        assert_eq!([0, 250, 1_500, 2_000, 90_000].map(said), ["0ms", "250ms", "1.5s", "2s", "90s"]);
        assert_eq!([120_000, 5_400_000, 7_200_000].map(said), ["2min", "1h30min", "2h"]);
        assert_eq!(duration(Duration::from_micros(70)), "70us");
    }

    #[test]
    fn a_long_list_says_how_many_more_there_are() {
        let names: Vec<String> = (1..=13).map(|nr| format!("n{nr}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(list(&names[..2]), "n1, n2");
        assert!(list(&names).ends_with("n10 and 3 more"));
    }
}
