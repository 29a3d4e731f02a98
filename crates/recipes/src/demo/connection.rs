//! A visitor's connection: as long as it may take, and what is left of it.
//!
//! Above: `demo`. Below: `demo::{answer, request, response}`. Not here: what is asked and answered.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::answer::Desk;
use super::request::{self, MAX_UPLOAD, Method, Visitor};
use super::response::{Response, Status};

/// How long a head may take to arrive: browsers open connections that they may never use.
const HEAD: Duration = Duration::from_secs(2);

/// How long the rest of a request may take, and as long an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what was sent too much is listened to, so that the answer is read before the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long nobody looks whether to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// A socket until a moment, or until all is to stop, after which everything is [`ErrorKind::TimedOut`].
struct Until<'s> {
    socket: &'s TcpStream,
    stop: &'s AtomicBool,
    end: Instant,
}

impl<'s> Until<'s> {
    fn new(socket: &'s TcpStream, time: Duration, stop: &'s AtomicBool) -> Self {
        Self { socket, stop, end: Instant::now() + time }
    }

    /// How long may be waited before somebody has to look again.
    fn glance(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() || self.stop.load(Ordering::Relaxed) {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(Some(left.min(GLANCE)))
    }
}

/// Whether nothing has happened yet.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(self.glance()?)?;
            match self.socket.read(buffer) {
                Err(error) if is_early(&error) => {}
                done => return done,
            }
        }
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.socket.set_write_timeout(self.glance()?)?;
            match self.socket.write(bytes) {
                Err(error) if is_early(&error) => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Visitor for Until<'_> {
    fn head_is_here(&mut self) {
        self.end = Instant::now() + PATIENCE;
    }
}

/// Reads one request and answers it, whatever it is.
pub(super) fn serve(visitor: &TcpStream, desk: &Desk<'_>, stop: &AtomicBool) {
    let answered = catch_unwind(AssertUnwindSafe(|| {
        let request = match request::read(&mut Until::new(visitor, HEAD, stop), desk.port()) {
            Ok(request) => request,
            Err(refusal) => return (*refusal, true),
        };
        (desk.answer(&request), request.method != Method::Head)
    }));
    let (response, with_body) = answered.unwrap_or_else(|_| {
        let words = "this picture has met a mistake of ours: please tell the project";
        (Response::refusal(Status::InternalServerError, words), true)
    });
    say(visitor, &response.to_bytes(with_body), stop);
}

/// Answers without having listened.
pub(super) fn send_away(visitor: &TcpStream, stop: &AtomicBool) {
    say(visitor, &Response::busy().to_bytes(true), stop);
}

/// Somebody who leaves before the answer does not matter to us.
fn say(visitor: &TcpStream, bytes: &[u8], stop: &AtomicBool) {
    if Until::new(visitor, PATIENCE, stop).write_all(bytes).is_err() {
        return;
    }
    drop(visitor.shutdown(Shutdown::Write));
    let rest = Until::new(visitor, FAREWELL, stop).take(2 * MAX_UPLOAD);
    drop(io::copy(&mut { rest }, &mut io::sink()));
}
