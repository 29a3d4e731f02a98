//! What is told while a file comes.
//!
//! Above: `hub`, its callers. Below: `Check`. Not here: how it is shown.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::Check;

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
    /// The whole file is here under its name.
    Arrived {
        /// What was downloaded.
        file: &'a str,
        /// What its bytes were checked against.
        check: Check,
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

/// Tells that a file is whole, which is too late to stop.
pub(super) fn arrived(listener: &mut Listener<'_>, file: &str, check: Check) {
    match listener(Progress::Arrived { file, check }) {
        ControlFlow::Continue(()) | ControlFlow::Break(()) => {}
    }
}
