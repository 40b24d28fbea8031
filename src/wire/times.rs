//! Times in messages, with the same bound as in a test file and on a command line.

use serde::{Deserialize, Deserializer, de::Error};

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
    match u64::deserialize(from)? {
        0 => Err(D::Error::custom("the count of a notify is at least 1")),
        count => Ok(count),
    }
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
    fn a_notify_with_a_count_of_zero_is_malformed() {
        let line = |count: u64| format!(r#"{{"type":"notify","room":"r","trigger":"t","count":{count}}}"#);
        assert!(ToController::decode(line(1).as_bytes()).is_ok());
        let why = ToController::decode(line(0).as_bytes()).unwrap_err().to_string();
        assert!(why.contains("the count of a notify is at least 1"), "{why}");
    }
}
