//! Numbers in messages that have bounds: times, with the same bound as in a test file and on a command line, the counts of
//! notifies, and the ids of arrivals.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error};

use super::names::by_name;

/// The longest time, in microseconds: 30 days.
pub const TIME_MAX: u64 = 30 * 24 * 3600 * 1_000_000;

/// Reads a time in microseconds that may be absent. Fails if it is longer than [`TIME_MAX`].
pub fn bounded<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match Option::<u64>::deserialize(from)? {
        Some(time) if time > TIME_MAX => {
            Err(D::Error::custom(format!("a time is at most {TIME_MAX} microseconds, 30 days, not {time}")))
        }
        time => Ok(time),
    }
}

/// Reads the count of a notify. Fails if it is 0, because a notify is itself at least one.
pub fn counted<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    positive(u64::deserialize(from)?, "the count of a notify is at least 1")
}

/// Reads the counts of notifies by trigger. Fails if one is 0.
pub fn counted_each<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let counts = by_name(from)?;
    counts.values().try_for_each(|&count| positive(count, "the count of a notify is at least 1").map(drop))?;
    Ok(counts)
}

/// Reads the id of an arrival. Fails if it is 0, because the first is 1.
pub fn numbered<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    positive(u64::deserialize(from)?, "the id of an arrival is at least 1")
}

/// Fails for this reason if a number is 0.
fn positive<E: Error>(number: u64, why: &str) -> Result<u64, E> {
    if number == 0 { Err(E::custom(why)) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use crate::wire::ToController;

    #[test]
    fn a_message_with_a_time_beyond_the_maximum_is_malformed() {
        let arrive = r#"{"type":"arrive","room":"r","barrier":"b","id":1,"member":"a","#;
        let give = r#"{"type":"give","room":"r","session":"s","id":1,"member":"a","value":1,"#;
        let submit = r#"{"type":"submit","submission":"x","file":"t.json","test":"","#;
        for (head, key) in
            [(arrive, "timeout"), (arrive, "fresh"), (give, "timeout"), (submit, "wait"), (submit, "lost_after")]
        {
            let line = |time: u64| format!("{head}\"{key}\":{time}}}");
            assert!(ToController::decode(line(super::TIME_MAX).as_bytes()).is_ok(), "{}", line(super::TIME_MAX));
            for time in [super::TIME_MAX + 1, u64::MAX] {
                let why = ToController::decode(line(time).as_bytes()).expect_err(&line(time)).to_string();
                assert!(why.contains("a time is at most 2592000000000 microseconds"), "{why}");
            }
        }
    }

    #[test]
    fn a_count_or_an_id_of_zero_is_malformed() {
        let (count, id) = ("the count of a notify is at least 1", "the id of an arrival is at least 1");
        for (line, reason) in [
            (r#"{"type":"notify","room":"r","trigger":"t","count":#}"#, count),
            (r#"{"type":"state","run":"r","notified":{"s":7,"t":#}}"#, count),
            (r#"{"type":"arrive","room":"r","barrier":"b","id":#,"member":"a"}"#, id),
            (r#"{"type":"give","room":"r","session":"s","id":#,"member":"a","value":1}"#, id),
        ] {
            assert!(ToController::decode(line.replace('#', "1").as_bytes()).is_ok(), "{line}");
            let why = ToController::decode(line.replace('#', "0").as_bytes()).expect_err(line).to_string();
            assert!(why.contains(reason), "{why}");
        }
    }
}
