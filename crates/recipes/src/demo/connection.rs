//! A visitor's connection: as long as it may take, and what is left of it.
//!
//! Above: `demo`. Below: `demo::{answer, request, response}`. Not here: what is asked and answered.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::answer::Desk;
use super::request::{self, MAX_UPLOAD, Method};
use super::response::{Response, Status};

/// How long a request may take to arrive, and as long an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what was sent too much is listened to, so that the answer is read before the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// A socket until a moment, after which everything is [`ErrorKind::TimedOut`].
struct Until<'s> {
    socket: &'s TcpStream,
    end: Instant,
}

impl<'s> Until<'s> {
    fn new(socket: &'s TcpStream, time: Duration) -> Self {
        Self { socket, end: Instant::now() + time }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Reads one request and answers it, whatever it is.
pub(super) fn serve(visitor: &TcpStream, desk: &Desk<'_>) {
    let answered = catch_unwind(AssertUnwindSafe(|| {
        let request = match request::read(&mut Until::new(visitor, PATIENCE), desk.port()) {
            Ok(request) => request,
            Err(refusal) => return (*refusal, true),
        };
        (desk.answer(&request), request.method != Method::Head)
    }));
    let (response, with_body) = answered.unwrap_or_else(|_| {
        let words = "this picture has met a mistake of ours: please tell the project";
        (Response::refusal(Status::InternalServerError, words), true)
    });
    say(visitor, &response.to_bytes(with_body));
}

/// Answers without having listened.
pub(super) fn send_away(visitor: &TcpStream, response: &Response) {
    let mut until = Until::new(visitor, Duration::from_millis(100));
    drop(until.write_all(&response.to_bytes(true)));
    drop(visitor.shutdown(Shutdown::Write));
}

/// Somebody who leaves before the answer does not matter to us.
fn say(visitor: &TcpStream, bytes: &[u8]) {
    if Until::new(visitor, PATIENCE).write_all(bytes).is_err() {
        return;
    }
    drop(visitor.shutdown(Shutdown::Write));
    let rest = Until::new(visitor, FAREWELL).take(2 * MAX_UPLOAD);
    drop(io::copy(&mut { rest }, &mut io::sink()));
}
