//! What the verdict of a barrier or a sync means to a shell and to a person.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::RawJson;
use crate::wire::rendezvous::{Met, OutcomeKind, RoundVerdict};
use crate::{exit_code, text};

/// What a member heard of its round, or that it heard nothing in time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoundResult {
    /// Absent: no verdict was heard in time.
    pub verdict: Option<OutcomeKind>,
    /// The members that were missing, lost or did not agree.
    pub who: Vec<String>,
    /// Without a verdict: why none was heard; empty: the controller is out of reach.
    pub reason: String,
}

impl From<&RoundVerdict<'_>> for RoundResult {
    fn from(verdict: &RoundVerdict<'_>) -> RoundResult {
        let reason = verdict.reason.clone().into_owned();
        RoundResult { verdict: Some(verdict.verdict), who: verdict.who.clone(), reason }
    }
}

impl From<&Met<'_>> for RoundResult {
    fn from(met: &Met<'_>) -> RoundResult {
        RoundResult { verdict: met.verdict, who: met.who.clone(), reason: met.reason.clone().into_owned() }
    }
}

impl RoundResult {
    /// No verdict was heard in time, from a controller that is there or is not, and why it is not.
    pub fn none(there: bool, why_away: &str) -> RoundResult {
        let reason = match there {
            true => "the controller is there and has not answered yet".to_owned(),
            false => out_of_reach("controller", why_away),
        };
        RoundResult { reason, ..RoundResult::default() }
    }

    /// Returns whether the round released its members.
    pub fn released(&self) -> bool {
        self.verdict == Some(OutcomeKind::Released)
    }

    /// The exit status of `arete barrier` and `arete sync`, and of entries that do the same.
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            Some(OutcomeKind::Released) => exit_code::PASSED,
            Some(OutcomeKind::TimedOut) => exit_code::TIME_LIMIT,
            Some(OutcomeKind::Aborted) => exit_code::ABORTED,
            Some(OutcomeKind::Lost) => exit_code::LOST,
            Some(OutcomeKind::Disagreed | OutcomeKind::Refused) => exit_code::FAILED,
            None => exit_code::NO_VERDICT,
        }
    }

    /// What a person reads: `barrier server-up: timed out; missing: client2`. Nothing when all is well. `waited`: how
    /// long it was waited for.
    pub fn in_words(&self, what: &str, waited: Option<Duration>) -> Option<String> {
        let verdict = match self.verdict {
            Some(OutcomeKind::Released) => return None,
            None => {
                let within = waited.map(|waited| format!(" within {}", text::duration(waited))).unwrap_or_default();
                let why = if self.reason.is_empty() { "the controller is out of reach" } else { &self.reason };
                return Some(format!(
                    "{what}: no verdict was heard{within}: {why}, and the others may have been released"
                ));
            }
            Some(OutcomeKind::TimedOut) => "timed out",
            Some(OutcomeKind::Aborted) => "aborted",
            Some(OutcomeKind::Lost) => "a member was lost",
            Some(OutcomeKind::Disagreed) => "the members disagree",
            Some(OutcomeKind::Refused) => "refused",
        };
        if !self.reason.is_empty() {
            // Another has chosen it: it stays a line, and moves no cursor.
            let reason = self.reason.replace(text::is_obeyed, " ");
            return Some(format!("{what}: {reason}"));
        }
        let who: Vec<&str> = self.who.iter().map(String::as_str).collect();
        let who = if who.is_empty() { String::new() } else { format!(": {}", text::list(&who)) };
        Some(format!("{what}: {verdict}{who}"))
    }
}

/// That there is no connection to the controller, and why, if that is known: it need not be the controller's fault.
pub fn out_of_reach(controller: &str, why: &str) -> String {
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    format!("the {controller} is out of reach{why}")
}

/// What a person reads whose notify came when the trigger had fired: what those who wait are told is settled then.
pub fn too_late(trigger: &str) -> String {
    format!(
        "notify {trigger}: the trigger has fired already, so the data reaches nobody: notify before it fires, or give it \
         a higher count"
    )
}

/// One notify that had data.
#[derive(Deserialize)]
struct Notified<'a> {
    #[serde(borrow)]
    from: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Who has notified without a name.
const NOBODY: &str = "-";

/// A member's name as one word that is not [`NOBODY`]: spaces, what a terminal would obey, and a dash that is all of it, as
/// JSON may write them.
fn as_word(member: &str) -> String {
    match member {
        "" => NOBODY.to_owned(),
        NOBODY => "\\u002d".to_owned(),
        _ => {
            let escaped = |letter: char| match letter == ' ' || text::is_obeyed(letter) {
                true => format!("\\u{:04x}", letter as u32),
                false => letter.to_string(),
            };
            member.chars().map(escaped).collect()
        }
    }
}

/// Who notified with what, a line each: `MEMBER DATA`, the data as JSON. The first space ends the name, and a message is
/// one line, so each line has one meaning.
pub fn notes_in_lines(notes: &RawJson<'_>) -> Result<String, String> {
    let notes: Vec<Notified<'_>> = serde_json::from_str(notes.json.get()).map_err(|error| error.to_string())?;
    let line = |note: &Notified<'_>| format!("{} {}\n", as_word(&note.from), note.data.get());
    let lines: String = notes.iter().map(line).collect();
    // It stays text: what is escaped is ASCII.
    Ok(String::from_utf8(text::harmless_json(lines.into_bytes())).unwrap_or_default())
}

/// A sync's map as a shell gets it: one line.
pub fn map_as_line(map: &RawJson<'_>) -> Vec<u8> {
    let json = map.json.get();
    let mut line = Vec::with_capacity(json.len() + 1);
    line.extend_from_slice(json.as_bytes());
    let mut line = text::harmless_json(line);
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_a_line_each_in_their_order() {
        let json = r#"[{"from":"b","data":{"x": 1}},{"from":"","data":"- 1"},{"from":"a#1","data":"s\nt"}]"#;
        let json = RawValue::from_string(json.to_owned()).unwrap();
        let lines = "b {\"x\": 1}\n- \"- 1\"\na#1 \"s\\nt\"\n";
        let rude = RawValue::from_string("[{\"from\":\"b\\u001b\",\"data\":\"\u{9b}2J\"}]".to_owned()).unwrap();
        assert_eq!(notes_in_lines(&RawJson { json: &rude }).unwrap(), "b\\u001b \"\\u009b2J\"\n");
        assert_eq!(map_as_line(&RawJson { json: &rude }).iter().filter(|byte| byte.is_ascii_control()).count(), 1);
        assert_eq!(notes_in_lines(&RawJson { json: &json }).unwrap(), lines);
        assert_eq!(["", "-", "a b#", "ż\u{202e}"].map(as_word), ["-", "\\u002d", "a\\u0020b#", "ż\\u202e"]);
    }

    #[test]
    fn every_verdict_has_its_exit_status_and_all_but_a_release_their_words() {
        let heard = |verdict| RoundResult { verdict, who: vec!["c2".to_owned()], reason: String::new() };
        let code = |verdict| heard(verdict).exit_code();
        use OutcomeKind::*;
        assert_eq!([Released, TimedOut, Aborted, Lost].map(|kind| code(Some(kind))), [0, 3, 4, 5]);
        assert_eq!([code(Some(Disagreed)), code(Some(Refused)), code(None)], [1, 1, 6]);
        assert_eq!(heard(Some(Released)).in_words("barrier up", None), None);
        assert_eq!(heard(Some(Lost)).in_words("barrier up", None).unwrap(), "barrier up: a member was lost: c2");
        let rude = RoundResult { reason: "a aborted: no\ndisk\u{1b}[2J".to_owned(), ..heard(Some(Aborted)) };
        assert_eq!(rude.in_words("barrier up", None).unwrap(), "barrier up: a aborted: no disk [2J");
        let words = heard(None).in_words("sync s", Some(Duration::from_secs(2))).unwrap();
        assert!(words.starts_with("sync s: no verdict was heard within 2s: the controller is out of reach"), "{words}");
        let away = RoundResult::none(false, "connection refused").in_words("sync s", None).unwrap();
        assert!(away.contains(": the controller is out of reach (connection refused), and the others"), "{away}");
        let there = RoundResult::none(true, "").in_words("sync s", None).unwrap();
        assert!(there.starts_with("sync s: no verdict was heard: the controller is there"), "{there}");
        assert_eq!((RoundResult::none(true, "").exit_code(), RoundResult::none(false, "").exit_code()), (6, 6));
    }
}
