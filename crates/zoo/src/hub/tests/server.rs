//! A hub of one file on 127.0.0.1, with faults.
//!
//! Above: the tests of `hub`. Below: sockets. Not here: what is expected.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{COMMIT, sha256};

/// What goes wrong with one answer to GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// Promises all, sends this many bytes.
    Cut(usize),
    /// The connection closes without a word.
    Silent,
    /// This many bytes, then nothing more while the connection stays open.
    Stall(usize),
    /// A status, with or without `Retry-After`.
    Status(u16, Option<u64>),
    /// As many bytes, but others.
    OtherBytes,
    /// All of it, whatever the range.
    RangeIgnored,
    /// The right words about a range, and the bytes of another.
    RangeOfOtherBytes,
    /// Words about another range.
    RangeLie,
    /// Promises this many bytes more or fewer than there are.
    Length(i64),
    /// All of it, whatever the range, with a promise of this many bytes more or fewer.
    Whole(i64),
    /// A page for people, with this type.
    Html(&'static str),
    /// Compressed.
    Gzip,
    /// As a string of chunks, without a length.
    Chunked,
    /// Byte by byte, with pauses shorter than the longest silence.
    Slow,
}

/// What the server has.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: String,
    /// What HEAD says, where it is not as it should be.
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
    /// Without the hub's own headers.
    pub(super) is_plain: bool,
    /// Where requests are redirected to, with the hub's headers.
    pub(super) redirect: Option<String>,
    /// Pages by path, before anything else.
    pub(super) pages: Vec<(String, String)>,
    pub(super) delay: Duration,
    /// Of the answers to GET, one after the other.
    pub(super) faults: Vec<Fault>,
}

impl Site {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let sha256 = sha256(&bytes);
        Self {
            bytes,
            sha256,
            etag: None,
            size: None,
            is_plain: false,
            redirect: None,
            pages: Vec::new(),
            delay: Duration::ZERO,
            faults: Vec::new(),
        }
    }

    pub(super) fn failing(bytes: Vec<u8>, faults: &[Fault]) -> Self {
        Self { faults: faults.to_vec(), ..Self::new(bytes) }
    }
}

/// One request.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) range: String,
    pub(super) token: Option<String>,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    faults: Mutex<VecDeque<Fault>>,
    /// Requests without an answer, and the most there were.
    waiting: AtomicUsize,
    most: AtomicUsize,
    is_over: AtomicBool,
}

/// Ends when dropped.
pub(super) struct Server {
    pub(super) url: String,
    shared: Arc<Shared>,
}

impl Server {
    pub(super) fn start(site: Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let faults = Mutex::new(site.faults.clone().into());
        let shared = Arc::new(Shared { faults, ..Shared::default() });
        let (site, own) = (Arc::new(site), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if own.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let (site, shared) = (Arc::clone(&site), Arc::clone(&own));
                thread::spawn(move || {
                    // The client may hang up at any time.
                    drop(stream.and_then(|stream| serve(stream, &site, &shared)));
                });
            }
        });
        Self { url, shared }
    }

    pub(super) fn requests(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Method and range of each request.
    pub(super) fn asked(&self) -> Vec<String> {
        let text = |asked: &Asked| format!("{} bytes={}", asked.method, asked.range);
        self.requests().iter().map(text).collect()
    }

    pub(super) fn gets(&self) -> usize {
        self.requests().iter().filter(|asked| asked.method == "GET").count()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.url.trim_start_matches("http://"))); // wakes the listener
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Asked> {
    let mut asked = Asked::default();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let lower = line.to_lowercase();
        if asked.method.is_empty() {
            let mut words = line.split(' ').map(str::to_owned);
            asked.method = words.next().unwrap_or_default();
            asked.path = words.next().unwrap_or_default();
        } else if let Some(range) = lower.strip_prefix("range: bytes=") {
            range.clone_into(&mut asked.range);
        } else if lower.starts_with("authorization: ") {
            asked.token = Some(line["authorization: ".len()..].to_owned());
        }
    }
    Ok(asked)
}

fn serve(mut stream: TcpStream, site: &Site, shared: &Shared) -> std::io::Result<()> {
    let asked = read_request(&stream)?;
    shared.asked.lock().unwrap().push(asked.clone());
    let waiting = shared.waiting.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most.fetch_max(waiting, Ordering::SeqCst);
    thread::sleep(site.delay);
    shared.waiting.fetch_sub(1, Ordering::SeqCst);
    if let Some((_, page)) = site.pages.iter().find(|(path, _)| *path == asked.path) {
        let length = page.len();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
        );
    }
    let mut words = hub_headers(site);
    if let Some(to) = &site.redirect {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\n{words}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    if asked.method == "HEAD" {
        let size = site.bytes.len();
        words.push_str(&format!("Content-Length: {size}\r\nConnection: close\r\n\r\n"));
        return write!(stream, "HTTP/1.1 200 OK\r\n{words}");
    }
    let fault = shared.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
    answer(&mut stream, site, &asked, &fault)
}

fn hub_headers(site: &Site) -> String {
    if site.is_plain {
        return String::new();
    }
    let etag = site.etag.clone().unwrap_or_else(|| site.sha256.clone());
    let size = site.size.unwrap_or(site.bytes.len() as u64);
    format!("X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {size}\r\nX-Repo-Commit: {COMMIT}\r\n")
}

/// First byte and the one after the last that are asked for.
fn wanted(asked: &Asked, len: usize) -> Option<(usize, usize)> {
    let (from, to) = asked.range.split_once('-')?;
    let from = from.parse().unwrap();
    let to = to.parse().map_or(len, |to: usize| to.saturating_add(1).min(len));
    Some((from, to))
}

fn answer(
    stream: &mut TcpStream,
    site: &Site,
    asked: &Asked,
    fault: &Fault,
) -> std::io::Result<()> {
    let len = site.bytes.len();
    let is_whole = matches!(fault, Fault::RangeIgnored | Fault::Whole(_));
    let range = if is_whole { None } else { wanted(asked, len) };
    if let Some((from, _)) = range
        && from >= len
    {
        return write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{len}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let (from, to) = range.unwrap_or((0, len));
    let mut body = site.bytes[from..to].to_vec();
    let mut status = match range {
        None => "200 OK\r\n".to_owned(),
        Some(_) => format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{len}\r\n",
            to.max(1) - 1
        ),
    };
    status.push_str("ETag: \"v1\"\r\n");
    let mut promised = body.len() as i64;
    let mut sent = body.len();
    match *fault {
        Fault::Silent => return Ok(()),
        Fault::Cut(bytes) | Fault::Stall(bytes) => sent = bytes.min(sent),
        Fault::Status(code, after) => {
            status = format!("{code} No\r\n");
            after.iter().for_each(|after| status.push_str(&format!("Retry-After: {after}\r\n")));
            body = b"<html>no</html>".to_vec();
            (promised, sent) = (body.len() as i64, body.len());
        }
        Fault::OtherBytes => body.iter_mut().for_each(|byte| *byte ^= 1),
        Fault::RangeOfOtherBytes if range.is_some() => body.rotate_left(1),
        Fault::RangeLie if range.is_some() => {
            status =
                format!("206 Partial Content\r\nContent-Range: bytes {}-{to}/{len}\r\n", from + 1);
        }
        Fault::Length(more) | Fault::Whole(more) => promised = (promised + more).max(0),
        Fault::Html(kind) => {
            status = format!("200 OK\r\nContent-Type: {kind}\r\n");
            body = b"<!DOCTYPE html><html>please log in</html>".to_vec();
            (promised, sent) = (body.len() as i64, body.len());
        }
        Fault::Gzip => status.push_str("Content-Encoding: gzip\r\n"),
        _ => {}
    }
    let framing = match fault {
        Fault::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        _ => format!("Content-Length: {promised}\r\n"),
    };
    write!(stream, "HTTP/1.1 {status}{framing}Connection: close\r\n\r\n")?;
    let body = &body[..sent.min(body.len())];
    match fault {
        Fault::Slow => {
            for piece in body.chunks(body.len().div_ceil(8).max(1)) {
                stream.write_all(piece)?;
                thread::sleep(Duration::from_millis(80));
            }
        }
        Fault::Chunked => {
            for piece in body.chunks(1000) {
                write!(stream, "{:x}\r\n", piece.len())?;
                stream.write_all(piece)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
        _ => stream.write_all(body)?,
    }
    if matches!(fault, Fault::Stall(_)) {
        stream.flush()?;
        // Until the client has had enough.
        drop(std::io::Read::read(stream, &mut [0; 1]));
    }
    Ok(())
}
