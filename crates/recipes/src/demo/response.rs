//! What is answered to a visitor.
//!
//! Above: `demo::{answer, connection}`. Below: `serde_json`. Not here: what is asked (`demo::request`).

use std::borrow::Cow;

use serde::Serialize;

/// Nothing but this page's own files is loaded, and no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Codes of HTTP. Source: RFC 9110, section 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    LengthRequired,
    ContentTooLarge,
    UnprocessableContent,
    HeaderFieldsTooLarge,
    InternalServerError,
    ServiceUnavailable,
}

impl Status {
    /// Number and words.
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::LengthRequired => "411 Length Required",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::UnprocessableContent => "422 Unprocessable Content",
            Self::HeaderFieldsTooLarge => "431 Request Header Fields Too Large",
            Self::InternalServerError => "500 Internal Server Error",
            Self::ServiceUnavailable => "503 Service Unavailable",
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: Status,
    /// Media type.
    kind: &'static str,
    body: Cow<'static, [u8]>,
}

#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
}

impl Response {
    /// A file of the page.
    pub(super) fn file(kind: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        let body = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self { status: Status::Ok, kind, body }
    }

    /// A value for the page's script.
    pub(super) fn json(status: Status, value: &impl Serialize) -> Self {
        let kind = "application/json";
        match serde_json::to_vec(value) {
            Ok(body) => Self { status, kind, body: body.into() },
            Err(_) => {
                Self { status: Status::InternalServerError, kind, body: b"{}".as_slice().into() }
            }
        }
    }

    /// What went wrong, in a sentence for the visitor.
    pub(super) fn refusal(status: Status, error: &str) -> Self {
        Self::json(status, &Refused { error })
    }

    pub(super) fn busy() -> Self {
        Self::refusal(
            Status::ServiceUnavailable,
            "too many pictures at once: try again in a moment",
        )
    }

    /// All of it as it is sent; without the body where only the head was asked for.
    pub(super) fn to_bytes(&self, with_body: bool) -> Vec<u8> {
        let (status, kind, length) = (self.status.line(), self.kind, self.body.len());
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\nCache-Control: no-store\r\n\
             Content-Security-Policy: {POLICY}\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\r\n"
        )
        .into_bytes();
        if with_body {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}
