//! What is told while a file comes.
//!
//! Above: `hub`, its callers. Below: nothing. Not here: how it is shown.

use std::ops::ControlFlow;
use std::time::Duration;

/// One thing to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Bytes came. Told at the start, some ten times a second, and at the end.
    Received {
        /// What is downloaded: repository and file, or address.
        file: &'a str,
        /// Bytes that are here, those of earlier runs included.
        bytes: u64,
        /// Bytes of the whole, once the server has told.
        total: Option<u64>,
    },
    /// Somebody else is downloading the same file and is waited for.
    Waiting {
        /// What is waited for.
        file: &'a str,
    },
    /// The server or the connection failed, and it is tried again.
    Pausing {
        /// How long.
        pause: Duration,
        /// What failed.
        reason: &'a str,
    },
}

/// Listens on the thread that called; `Break` stops the download, whose bytes are kept for the next one.
pub type Listener<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Listens to nothing.
pub fn silent(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
