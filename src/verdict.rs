//! The results of barriers, syncs and triggers as commands report them: the exit status for a shell, and the words for a
//! person.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::RawJson;
use crate::wire::rendezvous::{Met, OutcomeKind, RoundVerdict};
use crate::{exit_code, text};

/// How much longer than its timeout a member waits for the controller's own verdict, while the controller is connected.
pub const VERDICT_SLACK: Duration = Duration::from_millis(250);

/// The verdict that a member received for its round, or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoundResult {
    /// The verdict. `None`: none was received in time.
    pub verdict: Option<OutcomeKind>,
    /// The members that were missing, lost or did not agree.
    pub who: Vec<String>,
    /// Why the round ended so, if another member or the controller gave a reason. Without a verdict: why none was
    /// received; empty means that the controller is out of reach.
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
    /// Returns the result of a member that received no verdict in time. `connected`: whether it has a connection to the
    /// controller; `why_away`: why it has none, empty if that is not known.
    pub fn none(connected: bool, why_away: &str) -> RoundResult {
        let reason = match connected {
            true => "the controller is connected and has not answered yet".to_owned(),
            false => out_of_reach("controller", why_away),
        };
        RoundResult { reason, ..RoundResult::default() }
    }

    /// Returns whether the round released its members.
    pub fn released(&self) -> bool {
        self.verdict == Some(OutcomeKind::Released)
    }

    /// Returns the exit status of `arete barrier` and `arete sync`, and of entries that do the same.
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

    /// Returns the result for people, such as `barrier server-up: timed out; missing: client2`; `None` if the round
    /// released its members. `meeting` is the kind and the name, `waited` is the time limit of the member, if it has one.
    pub fn in_words(&self, meeting: &str, waited: Option<Duration>) -> Option<String> {
        let verdict = match self.verdict {
            Some(OutcomeKind::Released) => return None,
            None => {
                let within = waited.map(|waited| format!(" within {}", text::duration(waited))).unwrap_or_default();
                let why = if self.reason.is_empty() { "the controller is out of reach" } else { &self.reason };
                return Some(format!(
                    "{meeting}: no verdict was heard{within}: {why}, and the others may have been released"
                ));
            }
            Some(OutcomeKind::TimedOut) => "timed out",
            Some(OutcomeKind::Aborted) => "aborted",
            Some(OutcomeKind::Lost) => "a member was lost",
            Some(OutcomeKind::Disagreed) => "the members disagree",
            Some(OutcomeKind::Refused) => "refused",
        };
        if !self.reason.is_empty() {
            // Another member may have written it, so it must not control the terminal or span several lines.
            let reason = self.reason.replace(text::is_obeyed, " ");
            return Some(format!("{meeting}: {reason}"));
        }
        let who: Vec<&str> = self.who.iter().map(String::as_str).collect();
        let who = if who.is_empty() { String::new() } else { format!(": {}", text::list(&who)) };
        Some(format!("{meeting}: {verdict}{who}"))
    }
}

/// Returns the statement that `controller` is out of reach, with the reason unless it is empty. The reason matters
/// because the cause may be on this machine.
pub fn out_of_reach(controller: &str, why: &str) -> String {
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    format!("the {controller} is out of reach{why}")
}

/// Returns the warning about a notify with data that arrived after the trigger had fired. The commands that wait have
/// received the data of the earlier notifies by then.
pub fn too_late(trigger: &str) -> String {
    format!(
        "notify {trigger}: the trigger has fired already, so this data is dropped: notify before it fires, or give the \
         trigger a higher count"
    )
}

/// A notify that had data.
#[derive(Deserialize)]
struct Notified<'a> {
    #[serde(borrow)]
    from: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The word for a notify without a member.
const NO_MEMBER: &str = "-";

/// Returns a member's name as one word. Spaces, control characters, and a name that is just [`NO_MEMBER`] are escaped as
/// in JSON.
fn as_word(member: &str) -> String {
    match member {
        "" => NO_MEMBER.to_owned(),
        NO_MEMBER => "\\u002d".to_owned(),
        _ => {
            let escaped = |letter: char| match letter == ' ' || text::is_obeyed(letter) {
                true => format!("\\u{:04x}", letter as u32),
                false => letter.to_string(),
            };
            member.chars().map(escaped).collect()
        }
    }
}

/// Returns the notifies that had data, one line each: `MEMBER DATA`, with the data as JSON. The first space ends the
/// name, and JSON on the wire has no line breaks, so the lines are unambiguous. Fails if `notes` is not a list of
/// notifies.
pub fn notes_in_lines(notes: &RawJson<'_>) -> Result<String, serde_json::Error> {
    let notes: Vec<Notified<'_>> = serde_json::from_str(notes.json.get())?;
    let line = |note: &Notified<'_>| format!("{} {}\n", as_word(&note.from), note.data.get());
    let lines: String = notes.iter().map(line).collect();
    // Escapes are ASCII, so this stays UTF-8.
    Ok(String::from_utf8(text::harmless_json(lines.into_bytes())).unwrap_or_default())
}

/// Returns the map of a sync as one line for a shell.
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
    fn every_verdict_has_an_exit_status_and_words_unless_it_is_a_release() {
        let result = |verdict| RoundResult { verdict, who: vec!["c2".to_owned()], reason: String::new() };
        let code = |verdict| result(verdict).exit_code();
        use OutcomeKind::*;
        assert_eq!([Released, TimedOut, Aborted, Lost].map(|kind| code(Some(kind))), [0, 3, 4, 5]);
        assert_eq!([code(Some(Disagreed)), code(Some(Refused)), code(None)], [1, 1, 6]);
        assert_eq!(result(Some(Released)).in_words("barrier up", None), None);
        assert_eq!(result(Some(Lost)).in_words("barrier up", None).unwrap(), "barrier up: a member was lost: c2");
        let rude = RoundResult { reason: "a aborted: no\ndisk\u{1b}[2J".to_owned(), ..result(Some(Aborted)) };
        assert_eq!(rude.in_words("barrier up", None).unwrap(), "barrier up: a aborted: no disk [2J");
        let words = result(None).in_words("sync s", Some(Duration::from_secs(2))).unwrap();
        assert!(words.starts_with("sync s: no verdict was heard within 2s: the controller is out of reach"), "{words}");
        let away = RoundResult::none(false, "connection refused").in_words("sync s", None).unwrap();
        assert!(away.contains(": the controller is out of reach (connection refused), and the others"), "{away}");
        let there = RoundResult::none(true, "").in_words("sync s", None).unwrap();
        assert!(there.starts_with("sync s: no verdict was heard: the controller is connected"), "{there}");
        assert_eq!((RoundResult::none(true, "").exit_code(), RoundResult::none(false, "").exit_code()), (6, 6));
    }
}
