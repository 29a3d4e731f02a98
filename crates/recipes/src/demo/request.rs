//! What a visitor asks, read within bounds.
//!
//! Above: `demo::connection`. Below: `httparse`, which reads the head. Not here: sockets and clocks (`demo::connection`), what is answered (`demo::answer`).
//! Source: RFC 9112. Of it, what a browser sends: one request a connection, and a body whose length is said before.

use std::io::{self, ErrorKind, Read, Write};

use super::response::{Response, Status};

/// The largest picture, in bytes.
pub(super) const MAX_UPLOAD: u64 = 32 << 20;

/// The longest head, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Header fields at most.
const MAX_FIELDS: usize = 64;

/// What is taken from a socket at once, in bytes.
const PIECE: usize = 16 << 10;

/// Who sends a request.
pub(super) trait Visitor: Read + Write {
    /// From now on a body may take its time.
    fn head_is_here(&mut self);
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
}

/// A request, whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Without what stands behind `?`.
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

/// What the head says.
struct Head {
    method: Method,
    path: String,
    length: Option<u64>,
    waits_for_word: bool,
    /// Bytes of the head in what was read.
    end: usize,
}

/// Reads a request from somebody at `port`.
///
/// # Errors
/// The answer, for a request that is none, too long, too slow, or sent by another page than ours.
pub(super) fn read(visitor: &mut impl Visitor, port: u16) -> Result<Request, Box<Response>> {
    let mut buffer = Vec::new();
    let head = loop {
        if more(visitor, &mut buffer)?.contains(&b'\n')
            && let Some(head) = head(&buffer, port)?
        {
            break head;
        }
        if buffer.len() > MAX_HEAD {
            return refuse(Status::HeaderFieldsTooLarge, "the request's head is too long");
        }
    };
    visitor.head_is_here();
    let length = match (head.method, head.length) {
        (Method::Post, None) => {
            return refuse(Status::LengthRequired, "an upload has to say how long it is");
        }
        (Method::Post, Some(length)) if length > MAX_UPLOAD => return Err(Box::new(too_large())),
        (Method::Post, Some(length)) => length,
        (Method::Get | Method::Head, Some(length)) if length > 0 => {
            return refuse(Status::BadRequest, "only an upload has a body");
        }
        (Method::Get | Method::Head, _) => 0,
    };
    if head.waits_for_word && length > 0 {
        visitor.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|error| unreadable(&error))?;
    }
    let mut body = buffer.split_off(head.end);
    let missing = length.saturating_sub(body.len() as u64);
    visitor.take(missing).read_to_end(&mut body).map_err(|error| unreadable(&error))?;
    if (body.len() as u64) < length {
        return refuse(Status::BadRequest, "the upload ended before all of it was here");
    }
    body.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    Ok(Request { method: head.method, path: head.path, body })
}

/// The answer to a picture that is too large.
pub(super) fn too_large() -> Response {
    let words = format!(
        "the picture is larger than {} MB, the most that is taken here: make it smaller",
        MAX_UPLOAD >> 20
    );
    Response::refusal(Status::ContentTooLarge, &words)
}

/// Reads on, and gives what came.
fn more<'b>(visitor: &mut impl Read, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Box<Response>> {
    let start = buffer.len();
    buffer.resize(start + PIECE, 0);
    let got = visitor.read(&mut buffer[start..]).map_err(|error| unreadable(&error))?;
    buffer.truncate(start + got);
    if got == 0 {
        return refuse(Status::BadRequest, "the request ended before all of it was here");
    }
    Ok(&buffer[start..])
}

/// The head, if all of it is there.
fn head(bytes: &[u8], port: u16) -> Result<Option<Head>, Box<Response>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let end = match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return refuse(Status::HeaderFieldsTooLarge, "the request has too many header fields");
        }
        Err(_) => return refuse(Status::BadRequest, "this is no request of HTTP/1.1"),
    };
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => return refuse(Status::MethodNotAllowed, "only GET, HEAD and POST are known here"),
    };
    let path = request.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().to_owned();
    is_from_here(&request, port)?;
    if field(&request, "transfer-encoding")?.is_some() {
        return refuse(Status::LengthRequired, "an upload has to say how long it is");
    }
    let length = match field(&request, "content-length")? {
        None => None,
        Some(digits) => match number(digits) {
            Some(length) => Some(length),
            None => return refuse(Status::BadRequest, "the upload's length is no number"),
        },
    };
    let waits_for_word = field(&request, "expect")?.is_some();
    Ok(Some(Head { method, path, length, waits_for_word, end }))
}

/// Refuses names of other machines that lead here, and requests that other pages have a browser send.
fn is_from_here(request: &httparse::Request<'_, '_>, port: u16) -> Result<(), Box<Response>> {
    // A browser does not name port 80.
    let ours = |host: &str| {
        let name = host.strip_suffix(&format!(":{port}")).or((port == 80).then_some(host));
        matches!(name, Some("127.0.0.1" | "localhost"))
    };
    let host = field(request, "host")?;
    if !host.is_some_and(&ours) {
        return refuse(Status::Forbidden, "this page is for the machine that it runs on");
    }
    let origin = field(request, "origin")?;
    let from_us = |origin: &str| origin.strip_prefix("http://").is_some_and(ours);
    if origin.is_some_and(|origin| !from_us(origin)) {
        return refuse(Status::Forbidden, "another page has sent this");
    }
    Ok(())
}

/// The value of a header field that may come once.
fn field<'r>(
    request: &httparse::Request<'_, 'r>,
    name: &str,
) -> Result<Option<&'r str>, Box<Response>> {
    let mut found = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let Some(first) = found.next() else { return Ok(None) };
    match (str::from_utf8(first.value), found.next()) {
        (Ok(value), None) => Ok(Some(value.trim())),
        _ => refuse(Status::BadRequest, &format!("the request's `{name}` is not one value")),
    }
}

/// Digits and nothing else; one that does not fit is as large as can be.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn unreadable(error: &io::Error) -> Box<Response> {
    Box::new(match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            Response::refusal(Status::RequestTimeout, "the request took too long")
        }
        _ => Response::refusal(Status::BadRequest, "the request ended before all of it was here"),
    })
}

fn refuse<T>(status: Status, words: &str) -> Result<T, Box<Response>> {
    Err(Box::new(Response::refusal(status, words)))
}
