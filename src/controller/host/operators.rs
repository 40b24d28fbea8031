//! Operators: people and scripts that hand in tests, and watch the runs and the slaves of a permanent controller.

use serde::Serialize;

use crate::controller::host::archive::FileWaiter;
use crate::controller::host::submissions::Submission;
use crate::wire::LINE_MAX;
use crate::wire::operate::PAGE_MAX;

/// A page ends when its states have more bytes than this. With one more state, they still fit a line.
const PAGE_BYTES: usize = LINE_MAX / 2;

/// The state of an operator's connection.
#[derive(Default)]
pub struct Operator {
    pub submission: Option<Submission>,
    /// Its questions that wait for a file to grow.
    pub waits: Vec<FileWaiter>,
    /// How many of its questions about files are unanswered.
    pub asked: usize,
}

/// Returns the items of one page, and whether there are more. A page is one line, and slaves may have long labels.
pub fn page<T: Serialize>(items: impl Iterator<Item = T>) -> (Vec<T>, bool) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for item in items {
        if page.len() == PAGE_MAX || bytes > PAGE_BYTES {
            return (page, true);
        }
        bytes += serde_json::to_vec(&item).map_or(0, |json| json.len());
        page.push(item);
    }
    (page, false)
}
