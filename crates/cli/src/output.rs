//! Where words go: people read standard output, unless a program reads it.
//!
//! Above: every command. Below: `serde_json`. Not here: the progress bar (`progress`).

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use taper_recipes::Error;

use crate::signals;

/// Sends words to standard output, or to standard error when a program reads standard output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Output { json }
    }

    /// Prints a line for people.
    pub(crate) fn say(self, line: impl AsRef<str>) {
        if self.json {
            eprintln!("{}", line.as_ref());
        } else {
            println!("{}", line.as_ref());
        }
    }

    /// Prints a line about something that is not as it should be.
    pub(crate) fn warn(self, line: impl AsRef<str>) {
        eprintln!("{}", line.as_ref());
    }

    /// Prints `value` as one line of JSON, if a program reads.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<()> {
        if self.json {
            let mut out = io::stdout().lock();
            serde_json::to_writer(&mut out, value)?;
            writeln!(out)?;
        }
        Ok(())
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }
}

/// 2 if the request was wrong, 130 if it was stopped, 1 if the work failed.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Error>() {
        Some(Error::Stopped) => ExitCode::from(signals::STOPPED),
        Some(error) if error.is_request() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
