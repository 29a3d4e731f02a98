//! The bytes of a file: over several connections, gone on with where they stopped.
//!
//! Above: `hub`. Below: `state`, `shared`, `client`. Not here: whether they are the right ones (`digest`).
//! An unfinished file is a prefix of the whole, always: windows of it come over several connections, in any order, and are
//! appended in theirs. So its length is all that the next attempt, or the next process, has to know.
//! Threads bring the windows; the thread that called tells the listener. Who stops waits for none of them.

mod shared;
mod state;

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::error::{Error, Result};
use super::limits::Limits;
use super::progress::{Listener, Progress};
use super::retry::Failure;
use shared::SharedTransfer;
use state::State;

/// How often the listener is told.
const TELL: Duration = Duration::from_millis(100);

/// Sleeps, or in tests writes down for how long it should have.
pub(super) type Sleep = Arc<dyn Fn(Duration) + Send + Sync>;

/// How to ask for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferMode {
    /// In windows, after what is already here.
    Windows,
    /// From its first byte, in one answer.
    Whole,
}

/// What is there afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All bytes, of one answer.
    Whole,
    /// All bytes, of several answers.
    Pieces,
    /// The server contradicts itself about ranges.
    Ranges,
}

/// What is needed for any transfer.
#[derive(Clone)]
pub(super) struct Transport {
    pub(super) client: Client,
    pub(super) limits: Limits,
    pub(super) sleep: Sleep,
}

/// One file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileRequest<'a> {
    pub(super) url: &'a str,
    /// What to call it.
    pub(super) file: &'a str,
    /// Where its bytes go.
    pub(super) part: &'a Path,
    /// Bytes of the whole, if they were announced.
    pub(super) announced: Option<u64>,
}

/// Completes `request.part`.
///
/// # Errors
/// Everything that goes wrong, more often than is borne; [`Error::Stopped`] by the listener.
pub(super) fn transfer(
    transport: &Transport,
    request: &FileRequest<'_>,
    mode: TransferMode,
    listener: &mut Listener<'_>,
) -> Result<Outcome> {
    let state = begin(request, mode, &transport.limits)?;
    let is_complete = state.is_complete();
    let work = Arc::new(SharedTransfer::new(transport.clone(), request, mode, state));
    if is_complete {
        let (bytes, total) = (request.announced.unwrap_or(0), request.announced);
        tell(&work, listener, Progress::Received { file: request.file, bytes, total })?;
        return Ok(Outcome::Pieces);
    }
    let mut threads = 0;
    loop {
        let wanted = work.wanted_threads();
        while threads < wanted {
            spawn(&work)?;
            threads += 1;
        }
        let seen = work.wait(TELL);
        if let Some((pause, reason)) = &seen.note {
            tell(&work, listener, Progress::Pausing { pause: *pause, reason })?;
        }
        let (bytes, total) = (seen.bytes, seen.total);
        tell(&work, listener, Progress::Received { file: request.file, bytes, total })?;
        match seen.end {
            None => {}
            Some(Ok(outcome)) => return work.sync().map(|()| outcome),
            Some(Err(Failure::Ranges)) => return Ok(Outcome::Ranges),
            Some(Err(trouble)) => return Err(trouble.into_error()),
        }
    }
}

/// Opens the unfinished file and looks how far it is.
fn begin(request: &FileRequest<'_>, mode: TransferMode, limits: &Limits) -> Result<State> {
    if let Some(bytes) = request.announced.filter(|&bytes| bytes > limits.largest) {
        let url = request.url.to_owned();
        return Err(Error::TooLarge { url, bytes, limit: limits.largest });
    }
    let open = OpenOptions::new().create(true).append(true).open(request.part);
    let file = open.map_err(Error::file("write", request.part))?;
    let have = file.metadata().map_err(Error::file("read", request.part))?.len();
    let is_too_long = request.announced.is_some_and(|announced| have > announced);
    let mut state = State::new(file, request.announced, *limits);
    if mode == TransferMode::Whole || is_too_long {
        state.restart(request.part, have)?;
    } else {
        state.resume(have);
    }
    Ok(state)
}

fn spawn(work: &Arc<SharedTransfer>) -> Result<()> {
    let work = Arc::clone(work);
    let part = work.part.clone();
    let builder = std::thread::Builder::new().name("taper-download".to_owned());
    let spawned = builder.spawn(move || work.run());
    spawned.map(drop).map_err(Error::file("start a thread for", part))
}

fn tell(work: &SharedTransfer, listener: &mut Listener<'_>, progress: Progress<'_>) -> Result<()> {
    if listener(progress).is_break() {
        work.stop();
        return Err(Error::Stopped);
    }
    Ok(())
}
