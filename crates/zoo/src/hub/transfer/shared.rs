//! The threads of a transfer: each claims a window, brings it, and hands it on in order.
//!
//! Above: `transfer`. Below: `client`, `answer`, `state`. Not here: what is done with the whole (`hub`).

use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ureq::Body;
use ureq::http::header::{IF_RANGE, RANGE};
use ureq::http::{Method, Response};

use super::super::answer::{content_range, entity, is_page, length, unsatisfied};
use super::super::error::{Error, Result};
use super::super::limits::Limits;
use super::super::retry::Failure;
use super::state::{State, Window};
use super::{FileRequest, Outcome, TransferMode, Transport};

const BLOCK: usize = 1 << 16;

/// What the threads share.
pub(super) struct SharedTransfer {
    transport: Transport,
    url: String,
    pub(super) part: PathBuf,
    mode: TransferMode,
    state: Mutex<State>,
    changed: Condvar,
}

/// What the listener is told.
pub(super) struct Seen {
    pub(super) bytes: u64,
    pub(super) total: Option<u64>,
    pub(super) note: Option<(Duration, String)>,
    pub(super) end: Option<std::result::Result<Outcome, Failure>>,
}

impl SharedTransfer {
    pub(super) fn new(
        transport: Transport,
        request: &FileRequest<'_>,
        mode: TransferMode,
        state: State,
    ) -> Self {
        Self {
            transport,
            url: request.url.to_owned(),
            part: request.part.to_owned(),
            mode,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One, until a range came as it was asked for; then as many as there are windows.
    pub(super) fn wanted_threads(&self) -> usize {
        let state = self.state();
        let left = state.total.unwrap_or(0).saturating_sub(state.next);
        let windows = left.div_ceil(self.transport.limits.window.max(1));
        let others = usize::try_from(windows).unwrap_or(usize::MAX);
        let most = if state.has_ranges { self.transport.limits.connections } else { 1 };
        others.saturating_add(1).min(most).max(1)
    }

    /// What happened in the last while; at once if there is news.
    pub(super) fn wait(&self, longest: Duration) -> Seen {
        let waited =
            self.changed.wait_timeout_while(self.state(), longest, |state| !state.has_news);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.has_news = false;
        Seen {
            bytes: state.written + state.ahead,
            total: state.total,
            note: state.note.take(),
            end: state.end.take(),
        }
    }

    /// Lets the threads end.
    pub(super) fn stop(&self) {
        self.state().over(None);
        self.changed.notify_all();
    }

    /// Has the system write what it holds back.
    pub(super) fn sync(&self) -> Result<()> {
        self.state().file.sync_all().map_err(Error::file("write", &self.part))
    }

    /// The life of a thread.
    pub(super) fn run(&self) {
        while let Some(window) = self.claim() {
            if let Err(trouble) = self.bring(window) {
                self.state().over(Some(Err(trouble)));
            }
            self.changed.notify_all();
        }
    }

    /// The next window, as soon as it is not too far ahead of the file.
    fn claim(&self) -> Option<Window> {
        let Limits { window, connections, .. } = self.transport.limits;
        let furthest = window.max(1).saturating_mul(connections.max(1) as u64);
        let mut state = self.state();
        while !state.is_over && state.next >= state.written.saturating_add(furthest) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let at = state.next;
        if state.is_over || state.total.is_some_and(|total| at >= total) {
            return None;
        }
        let end = at.saturating_add(window.max(1)).min(state.total.unwrap_or(u64::MAX));
        state.next = end;
        Some(Window { at, end, buffer: Vec::new() })
    }

    /// Asks for a window until it is whole.
    fn bring(&self, mut window: Window) -> std::result::Result<(), Failure> {
        while window.reached() < window.end && !self.state().is_over {
            let Err(trouble) = self.ask(&mut window) else { continue };
            let Failure::Again { url, reason, after } = trouble else { return Err(trouble) };
            let pause = {
                let mut state = self.state();
                let received = state.received;
                let pause = state.retry.pause(url, reason.clone(), after, received)?;
                state.note = Some((pause, reason));
                state.has_news = true;
                pause
            };
            self.changed.notify_all();
            (self.transport.sleep)(pause);
        }
        let mut state = self.state();
        state.append(&self.part, &mut window)?;
        if !window.buffer.is_empty() {
            state.waiting.insert(window.at, window.buffer);
        }
        Ok(())
    }

    /// Asks once.
    fn ask(&self, window: &mut Window) -> std::result::Result<(), Failure> {
        let from = window.reached();
        let mut headers = Vec::new();
        if self.mode == TransferMode::Windows {
            let to =
                if window.end == u64::MAX { String::new() } else { (window.end - 1).to_string() };
            headers.push((RANGE, format!("bytes={from}-{to}")));
            headers.extend(self.state().entity.clone().map(|entity| (IF_RANGE, entity)));
        }
        let response = self.transport.client.send(&Method::GET, &self.url, &headers, |_| false)?;
        if response.status().is_success() && is_page(response.headers()) {
            return Err(Error::Html { url: self.url.clone() }.into());
        }
        match response.status().as_u16() {
            206 if self.mode == TransferMode::Windows => self.piece(window, from, response),
            200 => self.whole(window, response),
            416 if self.mode == TransferMode::Windows => self.beyond(window, &response),
            status => Err(Error::Status { url: self.url.clone(), status }.into()),
        }
    }

    /// Bytes from where they were asked for.
    fn piece(
        &self,
        window: &mut Window,
        from: u64,
        response: Response<Body>,
    ) -> std::result::Result<(), Failure> {
        let Some((start, end, total)) = content_range(response.headers()) else {
            return Err(Failure::Ranges);
        };
        if start != from || end <= start || end > window.end.min(total) {
            return Err(Failure::Ranges);
        }
        {
            let mut state = self.state();
            if state.has_ranges && state.total != Some(total) {
                return Err(Failure::Ranges);
            }
            state.learn(&self.url, total)?;
            state.has_news |= !state.has_ranges; // now more threads are of use
            state.has_ranges = true;
            state.answers += 1;
            if state.entity.is_none() {
                state.entity = entity(response.headers());
            }
        }
        window.end = window.end.min(total);
        self.receive(window, response.into_body(), Some(end - start))
    }

    /// All bytes from the first one on, whatever was asked for.
    fn whole(
        &self,
        window: &mut Window,
        response: Response<Body>,
    ) -> std::result::Result<(), Failure> {
        let length = length(response.headers());
        {
            let mut state = self.state();
            if state.has_ranges {
                return Err(Failure::Ranges); // another version than the one that the ranges are of
            }
            if let Some(length) = length {
                state.learn(&self.url, length)?;
            }
            let have = state.written;
            state.restart(&self.part, have)?;
            state.answers = 1;
            let end = state.total.unwrap_or(u64::MAX);
            *window = Window { at: 0, end, buffer: Vec::new() };
            state.next = end;
        }
        self.receive(window, response.into_body(), length)?;
        let mut state = self.state();
        if length.is_none() {
            let written = state.written;
            state.learn(&self.url, written)?;
        }
        window.end = window.reached();
        if state.is_complete() {
            state.finish();
        }
        Ok(())
    }

    /// Nothing is left to send, or what is here is of another file.
    fn beyond(
        &self,
        window: &mut Window,
        response: &Response<Body>,
    ) -> std::result::Result<(), Failure> {
        let mut state = self.state();
        match unsatisfied(response.headers()) {
            Some(total) if total == state.written && total == window.reached() => {
                state.learn(&self.url, total)?;
                window.end = total;
                state.finish();
                Ok(())
            }
            _ => Err(Failure::Ranges),
        }
    }

    /// Reads an answer of `length` bytes, or to its end.
    fn receive(
        &self,
        window: &mut Window,
        body: Body,
        length: Option<u64>,
    ) -> std::result::Result<(), Failure> {
        let again = |reason: String| Failure::Again { url: self.url.clone(), reason, after: None };
        let cut_off = || again("the connection was cut off".to_owned());
        let mut reader = body.into_reader();
        let mut block = vec![0; BLOCK];
        let mut left = length.unwrap_or(u64::MAX);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            match reader.read(&mut block[..most]) {
                Ok(0) if length.is_none() => return Ok(()),
                Ok(0) => return Err(cut_off()),
                Ok(n) => {
                    left -= n as u64;
                    self.take(window, &block[..n])?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(cut_off()),
                Err(error) => return Err(again(error.to_string())),
            }
        }
        Ok(())
    }

    fn take(&self, window: &mut Window, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        if state.is_over {
            return Err(Error::Stopped);
        }
        window.buffer.extend_from_slice(bytes);
        state.received += bytes.len() as u64;
        state.ahead += bytes.len() as u64;
        let (reached, limit) = (window.reached(), state.limits.largest);
        if reached > limit {
            return Err(Error::TooLarge { url: self.url.clone(), bytes: reached, limit });
        }
        let written = state.written;
        state.append(&self.part, window)?;
        if state.written != written {
            self.changed.notify_all();
        }
        Ok(())
    }
}
