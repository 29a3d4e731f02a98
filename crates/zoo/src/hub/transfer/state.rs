//! How far a transfer is: what is in the file, what waits, what is claimed.
//!
//! Above: `transfer`, `shared`. Below: the file. Not here: who brings the bytes (`shared`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::super::error::{Error, Result};
use super::super::limits::Limits;
use super::super::retry::{Failure, RetryPolicy};
use super::Outcome;

/// How far it is.
pub(super) struct State {
    pub(super) file: File,
    /// Bytes in the file, which are the first ones of the whole.
    pub(super) written: u64,
    /// The first byte that no thread has claimed.
    pub(super) next: u64,
    /// Bytes of the whole.
    pub(super) total: Option<u64>,
    pub(super) announced: Option<u64>,
    pub(super) limits: Limits,
    /// Bytes that came, over all attempts.
    pub(super) received: u64,
    /// Bytes that wait for earlier ones.
    pub(super) ahead: u64,
    /// Whole windows that wait, by their first byte.
    pub(super) waiting: BTreeMap<u64, Vec<u8>>,
    /// What the server calls the version that it sends ranges of.
    pub(super) entity: Option<String>,
    /// Whether a range came as it was asked for.
    pub(super) has_ranges: bool,
    /// Answers that the file is made of.
    pub(super) answers: usize,
    pub(super) retry: RetryPolicy,
    pub(super) note: Option<(Duration, String)>,
    pub(super) end: Option<std::result::Result<Outcome, Failure>>,
    pub(super) is_over: bool,
    /// Something that the calling thread should know at once.
    pub(super) has_news: bool,
}

/// Bytes that one thread brings: `buffer` begins at `at`, the window ends before `end`.
pub(super) struct Window {
    pub(super) at: u64,
    pub(super) end: u64,
    pub(super) buffer: Vec<u8>,
}

impl Window {
    pub(super) fn reached(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }
}

impl State {
    pub(super) fn new(file: File, announced: Option<u64>, limits: Limits) -> Self {
        Self {
            file,
            written: 0,
            next: 0,
            total: announced,
            announced,
            limits,
            received: 0,
            ahead: 0,
            waiting: BTreeMap::new(),
            entity: None,
            has_ranges: false,
            answers: 0,
            retry: RetryPolicy::new(limits),
            note: None,
            end: None,
            is_over: false,
            has_news: false,
        }
    }

    /// After `have` bytes of an earlier run.
    pub(super) fn resume(&mut self, have: u64) {
        (self.written, self.next) = (have, have);
        self.answers = usize::from(have > 0);
    }

    /// From the first byte, without the `have` that are there.
    pub(super) fn restart(&mut self, part: &Path, have: u64) -> Result<()> {
        if have > 0 {
            self.file.set_len(0).map_err(Error::file("write", part))?;
        }
        (self.written, self.next, self.ahead, self.answers) = (0, 0, 0, 0);
        Ok(())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.total == Some(self.written)
    }

    /// Takes note of the size that an answer tells.
    pub(super) fn learn(&mut self, url: &str, total: u64) -> Result<()> {
        if total > self.limits.largest {
            let limit = self.limits.largest;
            return Err(Error::TooLarge { url: url.to_owned(), bytes: total, limit });
        }
        match self.announced {
            Some(announced) if announced != total => {
                Err(Error::Size { url: url.to_owned(), got: total, announced })
            }
            _ => {
                self.total = Some(total);
                Ok(())
            }
        }
    }

    /// Appends what is next in the file: the window's bytes, and windows that waited for them.
    pub(super) fn append(&mut self, part: &Path, window: &mut Window) -> Result<()> {
        if self.is_over || window.at != self.written {
            return Ok(()); // once it is over, the file is somebody else's
        }
        self.write(part, &window.buffer)?;
        window.at = self.written;
        window.buffer.clear();
        while let Some(bytes) = self.waiting.remove(&self.written) {
            self.write(part, &bytes)?;
        }
        if self.is_complete() {
            self.finish();
        }
        Ok(())
    }

    fn write(&mut self, part: &Path, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::file("write", part))?;
        self.written += bytes.len() as u64;
        self.ahead = self.ahead.saturating_sub(bytes.len() as u64);
        Ok(())
    }

    pub(super) fn finish(&mut self) {
        let outcome = if self.answers > 1 { Outcome::Pieces } else { Outcome::Whole };
        self.over(Some(Ok(outcome)));
    }

    /// The first end is the one that counts.
    pub(super) fn over(&mut self, end: Option<std::result::Result<Outcome, Failure>>) {
        if !self.is_over {
            (self.end, self.is_over, self.has_news) = (end, true, true);
        }
    }
}
