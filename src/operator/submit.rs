//! Submits a test and its files.
//!
//! The id of a submission makes it safe to send it again after a reconnect: the controller accepts it once, and the
//! files continue where they were.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::pending_requests::{Next, Question, Talk};
use crate::machine::ReadId;
use crate::testfile::{Shipped, Test};
use crate::wire::operate::{Offer, Submit, Upload, Wanted};
use crate::wire::{CHUNK_MAX, LINE_MAX, Message};
use crate::{exit_code, text};

/// The most pieces without an answer.
const WINDOW: usize = 8;

/// A test to be run.
#[derive(Debug, Clone)]
pub struct Submission {
    /// A random text that identifies the submission.
    pub id: String,
    /// The name of the test file.
    pub file: String,
    /// The contents of the test file.
    pub text: String,
    /// The test.
    pub test: Rc<Test>,
    /// The files of the resources, by their names in the test file.
    pub shipped: BTreeMap<String, Shipped>,
    /// How long the run may wait in the queue and for its slaves. `None`: without a limit.
    pub wait: Option<Duration>,
    /// After how long without a connection a slave is lost. `None`: as the controller is configured.
    pub lost_after: Option<Duration>,
}

impl Submission {
    fn message(&self) -> Submit<'_> {
        let offer =
            |file: &Shipped| Offer { size: file.size, sha256: file.sha256.clone(), executable: file.executable };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Submit {
            submission: self.id.as_str().into(),
            file: self.file.as_str().into(),
            test: self.text.as_str().into(),
            files: self.shipped.iter().map(|(name, file)| (name.clone(), offer(file))).collect(),
            wait: self.wait.map(micros),
            lost_after: self.lost_after.map(micros),
        }
    }

    /// Fails if the submission is too long for a message. The error is its length and the limit, in bytes.
    pub fn fits(&self) -> Result<(), (usize, usize)> {
        // Some bytes for the type and the newline.
        let length =
            serde_json::to_vec(&self.message()).map_or(usize::MAX, |line| line.len() + Submit::TYPE.len() + 16);
        if length <= LINE_MAX { Ok(()) } else { Err((length, LINE_MAX)) }
    }

    /// Returns the path and the length of each file, by its hash.
    fn by_content(&self) -> BTreeMap<&str, (&PathBuf, u64)> {
        self.shipped.values().map(|file| (file.sha256.as_str(), (&file.path, file.size))).collect()
    }
}

/// A submission that is being sent.
pub struct Submitting {
    pub what: Submission,
    /// It was sent at least once, so the controller may have it.
    pub said: bool,
    /// The wanted files by hash, and the offset of the next piece.
    wanted: BTreeMap<String, u64>,
    /// The controller has named the wanted files on this connection, so further answers confirm pieces.
    asked_for: bool,
    reading: Option<(ReadId, String, u64)>,
    /// How many pieces have no answer yet.
    on_their_way: usize,
}

impl Submitting {
    pub fn new(what: Submission) -> Submitting {
        let wanted = BTreeMap::new();
        Submitting { what, said: false, wanted, asked_for: false, reading: None, on_their_way: 0 }
    }

    /// The controller is connected, perhaps again.
    pub fn begin(&mut self, talk: &mut Talk<'_>) {
        (self.asked_for, self.reading, self.on_their_way) = (false, None, 0);
        self.wanted.clear();
        self.said |= talk.ask(Question::Submit, &self.what.message());
    }

    /// The controller names the wanted files, or confirms a piece.
    pub fn wanted(&mut self, wanted: Wanted<'_>, talk: &mut Talk<'_>) -> Next {
        if wanted.submission != self.what.id {
            return Next::On;
        }
        self.on_their_way = self.on_their_way.saturating_sub(1);
        if !std::mem::replace(&mut self.asked_for, true) {
            let known = self.what.by_content();
            if let Some(strange) = wanted.files.keys().find(|sha256| !known.contains_key(sha256.as_str())) {
                let why =
                    format!("the controller wants a file that this test does not ship: {}", text::harmless(strange));
                return Next::Failed { code: exit_code::FAILED, why };
            }
            self.wanted = wanted.files;
        }
        self.pump(talk);
        Next::On
    }

    /// Reads the next piece, unless the window is full.
    fn pump(&mut self, talk: &mut Talk<'_>) {
        if self.reading.is_some() || self.on_their_way >= WINDOW {
            return;
        }
        let Some((sha256, &offset)) = self.wanted.first_key_value() else { return };
        let known = self.what.by_content();
        let Some((path, _)) = known.get(sha256.as_str()) else { return };
        let read = talk.out.read((*path).clone(), offset, CHUNK_MAX);
        self.reading = Some((read, sha256.clone(), offset));
    }

    /// A piece was read.
    pub fn read(&mut self, read: ReadId, result: Result<&[u8], impl fmt::Display>, talk: &mut Talk<'_>) -> Next {
        let Some((_, sha256, offset)) = self.reading.take_if(|(expected, ..)| *expected == read) else {
            return Next::On;
        };
        let known = self.what.by_content();
        let Some(&(path, size)) = known.get(sha256.as_str()) else { return Next::On };
        let data = match result {
            Ok(data) if !data.is_empty() || offset >= size => data,
            Ok(_) => return changed(path, &"the file has become shorter"),
            Err(error) => return changed(path, &error),
        };
        let end = offset.saturating_add(data.len() as u64);
        if end > size {
            return changed(path, &"the file has become longer");
        }
        let upload = Upload {
            submission: self.what.id.as_str().into(),
            sha256: sha256.as_str().into(),
            offset,
            data: data.to_vec(),
        };
        if !talk.ask(Question::Upload, &upload) {
            return Next::On;
        }
        self.on_their_way += 1;
        if end == size {
            self.wanted.remove(&sha256);
        } else {
            self.wanted.insert(sha256, end);
        }
        self.pump(talk);
        Next::On
    }
}

fn changed(path: &std::path::Path, what: &impl fmt::Display) -> Next {
    let why = format!("cannot read {}: {what}; submit the test again", path.display());
    Next::Failed { code: exit_code::FAILED, why }
}
