//! Where words go: people read standard output, unless a program reads it.
//!
//! Above: every command. Below: `serde_json`, `failure`. Not here: the progress bar (`progress`).
//! Whoever reads may stop to (`| head`), and a disk may be full: the first word that cannot be written is remembered, the work is
//! asked to stop, and the command ends with that error.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use serde::Serialize;

use crate::failure::Unwritten;

/// Sends words to standard output, or to standard error when a program reads standard output.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    /// What ends the work.
    stop: Arc<AtomicBool>,
    failed: Rc<RefCell<Option<io::Error>>>,
}

impl Output {
    /// For a command that cannot be asked to stop on its way.
    pub(crate) fn new(json: bool) -> Self {
        Self::stopping(json, Arc::default())
    }

    /// For work that ends when `stop` is set.
    pub(crate) fn stopping(json: bool, stop: Arc<AtomicBool>) -> Self {
        Output { json, stop, failed: Rc::default() }
    }

    /// Prints a line for people.
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        if self.json {
            self.warn(line);
        } else {
            let mut out = io::stdout().lock();
            let line =
                if out.is_terminal() { harmless(line.as_ref()) } else { line.as_ref().to_owned() };
            self.keep(written(&mut out, &line));
        }
    }

    /// Prints a line about something that is not as it should be.
    pub(crate) fn warn(&self, line: impl AsRef<str>) {
        // Of standard error, only a reader who left is worth a word: there is nowhere to complain about it.
        match complain(line.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.keep(Err(error)),
            _ => {}
        }
    }

    /// Prints `value` as one line of JSON, if a program reads.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        if self.json {
            let text = serde_json::to_string(value)?;
            self.keep(written(&mut io::stdout().lock(), &text));
        }
        self.check()
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Fails if a word could not be written.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failed.borrow_mut().take() {
            Some(error) => Err(Unwritten(error).into()),
            None => Ok(()),
        }
    }

    fn keep(&self, written: io::Result<()>) {
        if let Err(error) = written {
            self.stop.store(true, Ordering::Relaxed);
            self.failed.borrow_mut().get_or_insert(error);
        }
    }
}

/// Prints a line on standard error; there is nobody to tell if that fails, but those who wait for the reader.
pub(crate) fn complain(line: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    let line = if out.is_terminal() { harmless(line) } else { line.to_owned() };
    written(&mut out, &line)
}

/// What of a line a terminal would take for a command, as a file's or a class's name can have it, becomes a replacement character.
fn harmless(line: &str) -> String {
    let is_command = |c: char| c.is_control() && c != '\n' && c != '\t';
    line.chars().map(|c| if is_command(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Writes a whole line, so that an error of its end is not lost in a buffer.
fn written(to: &mut impl Write, line: &str) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes())?;
    to.flush()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_no_commands_to_a_terminal() {
        assert_eq!(super::harmless("a\u{1b}[31mred\tb\nc\r"), "a\u{fffd}[31mred\tb\nc\u{fffd}");
    }
}
