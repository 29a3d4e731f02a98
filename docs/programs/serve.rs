//! A server that says what pictures show: bytes come in over HTTP, classes go out as JSON, on four threads over one classifier.
//!
//! ```text
//! cargo run --release -p taper-tests --example serve -- ants-and-bees/model.safetensors 127.0.0.1:8080
//! curl --data-binary @picture.jpg http://127.0.0.1:8080/
//! ```
//! Above: nothing. Below: `taper-classifier`, `serde_json`, the standard library. Not here: what a server on the open network needs.
#![expect(clippy::print_stdout, reason = "a program prints")]

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use taper_classifier::{Classifier, ClassifierOptions};

/// Threads that serve.
pub(crate) const THREADS: usize = 4;
/// Classes of an answer.
const TOP: usize = 5;
/// The longest picture and the longest head of a request that are read, bytes.
const LONGEST_PICTURE: u64 = 32 << 20;
const LONGEST_HEAD: u64 = 16 << 10;
/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let model = args.next().ok_or("which model file?")?;
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let classifier = Classifier::load(model, &ClassifierOptions::default())?;
    let listener = TcpListener::bind(address)?;
    println!("{} classes at http://{}", classifier.classes().len(), listener.local_addr()?);
    serve(&listener, &classifier, &AtomicBool::new(false));
    Ok(())
}

/// Answers requests until `stop` is set and one more connection for each thread has come.
pub(crate) fn serve(listener: &TcpListener, classifier: &Classifier, stop: &AtomicBool) {
    let work = || {
        while let Ok((client, _)) = listener.accept() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            // A client that went away is no reason to stop.
            let _ = answer(&client, classifier);
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
}

/// Reads one request and answers it.
fn answer(client: &TcpStream, classifier: &Classifier) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let (status, body) = match picture(&mut BufReader::new(client))? {
        Some(bytes) => match classifier.classify(&bytes, TOP) {
            Ok(found) => ("200 OK", serde_json::to_string(&found)?),
            Err(error) => ("400 Bad Request", refusal(&error)),
        },
        None => {
            ("411 Length Required", r#"{"error":"POST a picture with its Content-Length"}"#.into())
        }
    };
    let length = body.len();
    write!(
        &mut &*client,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The body of a request; none without a length, or with one beyond reason.
fn picture(request: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut head = request.by_ref().take(LONGEST_HEAD);
    let (mut length, mut line) = (None, String::new());
    while head.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok().filter(|&bytes: &u64| bytes <= LONGEST_PICTURE);
        }
        line.clear();
    }
    let Some(length) = length else { return Ok(None) };
    let mut body = Vec::new();
    request.take(length).read_to_end(&mut body)?;
    Ok(Some(body))
}

/// The error with its causes.
fn refusal(error: &dyn Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        reason = format!("{reason}: {deeper}");
        cause = deeper.source();
    }
    serde_json::json!({ "error": reason }).to_string()
}
