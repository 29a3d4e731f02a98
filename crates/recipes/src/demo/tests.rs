//! The page over real sockets, with whatever a visitor may send.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use taper_model::{Confidence, Familiarity};

use super::request::{self, MAX_UPLOAD, Method, Request, Visitor};
use super::response::Status;
use super::{Demo, WAITING, WORKERS};
use crate::source::ModelSource;
use crate::{DemoOptions, Silent};

/// Serves while `visit` runs.
fn served<T>(visit: impl FnOnce(SocketAddr) -> T) -> T {
    served_of("mobilenetv2_100", visit)
}

fn served_of<T>(model: &str, visit: impl FnOnce(SocketAddr) -> T) -> T {
    let stop = AtomicBool::new(false);
    let options = DemoOptions { port: 0, threads: 1, ..DemoOptions::new(model) };
    let demo = Demo::open(&options, &stop, &mut Silent).unwrap();
    thread::scope(|scope| {
        let server = scope.spawn(|| demo.serve(&stop));
        let got = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| visit(demo.address())));
        stop.store(true, Ordering::Relaxed);
        server.join().unwrap().unwrap();
        got.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Sends bytes and gives the whole answer, which is empty where the server has given up on us.
fn send(address: SocketAddr, bytes: &[u8]) -> String {
    let mut visitor = TcpStream::connect(address).unwrap();
    visitor.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let _ = visitor.write_all(bytes); // the server may answer and close before it has heard all
    let _ = visitor.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = visitor.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn upload(address: SocketAddr, picture: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST /look HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Length: {}\r\n\r\n",
        picture.len()
    )
    .into_bytes();
    bytes.extend_from_slice(picture);
    bytes
}

fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or("none")
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

fn ant() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    taper_data::sample_set::export(dir.path()).unwrap();
    std::fs::read(dir.path().join("train/animal/ant.png")).unwrap()
}

#[test]
fn a_picture_gets_classes_and_a_heat_map() {
    served(|address| {
        let answer = send(address, &upload(address, &ant()));
        assert_eq!(status(&answer), "200", "{answer}");
        let seen = body(&answer);
        let likeliest = seen["predictions"].as_array().unwrap();
        assert_eq!(likeliest.len(), 5);
        assert_eq!(seen["of"], likeliest[0]["class"]);
        for picture in ["input", "heat"] {
            assert!(seen[picture].as_str().unwrap().starts_with("data:image/png;base64,"));
        }
        assert_ne!(seen["input"], seen["heat"]);

        let about = body(&send(
            address,
            format!("GET /model HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes(),
        ));
        assert_eq!(
            (about["classes"].as_u64(), about["max_upload"].as_u64()),
            (Some(1000), Some(MAX_UPLOAD))
        );
    });
}

/// Probabilities are those of the model's temperature, and what is unlike the pictures it knows is said to be.
#[test]
fn a_calibrated_model_tells_what_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let source = ModelSource::resolve("mobilenetv2_100").unwrap();
    let model = source.load(&AtomicBool::new(false), &mut Silent).unwrap();
    let first = |answer: &str| body(answer)["predictions"][0]["probability"].as_f64().unwrap();
    let plain = served(|address| first(&send(address, &upload(address, &ant()))));
    for (threshold, is_known) in [(1.0, false), (-1.0, true)] {
        let familiarity = Familiarity::new(&vec![1280f32.sqrt().recip(); 1280], 1280).unwrap();
        let familiarity = familiarity.with_threshold(threshold, 0.95).unwrap();
        let confidence = Confidence::new(4.0, 10).unwrap().with_familiarity(familiarity);
        let file = dir.path().join("model.safetensors");
        model.clone().with_confidence(Some(confidence)).unwrap().save(&file).unwrap();
        served_of(&file.display().to_string(), |address| {
            let answer = send(address, &upload(address, &ant()));
            assert_eq!(body(&answer)["is_known"].as_bool(), Some(is_known), "{answer}");
            assert!(first(&answer) < 0.8 * plain, "{} {plain}", first(&answer));
        });
    }
}

#[test]
fn the_page_loads_its_own_files_and_no_others() {
    served(|address| {
        for (path, kind) in
            [("/", "text/html"), ("/demo.css", "text/css"), ("/demo.js", "text/javascript")]
        {
            let answer =
                send(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes());
            assert_eq!(status(&answer), "200", "{path}");
            assert!(answer.contains(&format!("Content-Type: {kind}")), "{path}");
            assert!(answer.contains("Content-Security-Policy: default-src 'none'"), "{path}");
            let text = answer.split_once("\r\n\r\n").unwrap().1;
            assert!(!text.contains("http:") && !text.contains("https:"), "{path}");
            let head = send(
                address,
                format!("HEAD {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes(),
            );
            assert_eq!(
                head.split_once("\r\n\r\n").unwrap(),
                (answer.split_once("\r\n\r\n").unwrap().0, "")
            );
        }
    });
}

/// What is wrong with each, and what is answered.
fn wrong(address: SocketAddr) -> Vec<(Vec<u8>, &'static str)> {
    let host = format!("Host: {address}\r\n");
    let post = |rest: &str| format!("POST /look HTTP/1.1\r\n{host}{rest}").into_bytes();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{host}\r\n").into_bytes();
    vec![
        (Vec::new(), "400"),
        (b"\0\x01\x02\n\n".to_vec(), "400"),
        (b"GET / HTTP/1.1\r\nHost: ".to_vec(), "400"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "403"),
        (b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_vec(), "403"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n".to_vec(), "403"),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n").into_bytes(), "400"),
        (format!("DELETE / HTTP/1.1\r\n{host}\r\n").into_bytes(), "405"),
        (get("/look"), "405"),
        (get("/../../etc/passwd"), "404"),
        (get("/model.safetensors"), "404"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n").into_bytes(), "405"),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc").into_bytes(), "400"),
        (post("\r\n"), "411"),
        (post("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "411"),
        (post("Content-Length: \r\n\r\n"), "400"),
        (post("Content-Length: -1\r\n\r\n"), "400"),
        (post("Content-Length: +1\r\n\r\nx"), "400"),
        (post("Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), "400"),
        (post("Content-Length: 99999999999999999999999\r\n\r\n"), "413"),
        (post(&format!("Content-Length: {}\r\n\r\n", MAX_UPLOAD + 1)), "413"),
        (post("Content-Length: 10\r\n\r\nshort"), "400"),
        (post("Content-Length: 0\r\n\r\n"), "400"),
        (post("Content-Length: 9\r\n\r\nno image!"), "422"),
        (post("Origin: http://example.org\r\nContent-Length: 9\r\n\r\nno image!"), "403"),
        (post("Origin: null\r\nContent-Length: 9\r\n\r\nno image!"), "403"),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "A: b\r\n".repeat(100)).into_bytes(), "431"),
        (format!("GET / HTTP/1.1\r\n{host}A: {}", "b".repeat(40 << 10)).into_bytes(), "431"),
    ]
}

#[test]
fn whatever_is_wrong_is_said_and_a_thousand_of_them_leave_it_serving() {
    served(|address| {
        for (bytes, expected) in wrong(address) {
            let answer = send(address, &bytes);
            let sent = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            assert_eq!(status(&answer), expected, "{sent}: {answer}");
            assert!(
                body(&answer)["error"].as_str().is_some_and(|words| !words.is_empty()),
                "{sent}"
            );
        }
        let ant = ant();
        let whole = upload(address, &ant);
        for round in 0..1000usize {
            // The picture cut short, with a byte changed, and requests cut anywhere.
            let cut = round * 7919 % whole.len();
            let mut bytes = match round % 3 {
                0 => upload(address, &ant[..ant.len() * (round % 97) / 97]),
                1 => whole[..cut].to_vec(),
                _ => whole.clone(),
            };
            if round % 3 == 2 {
                bytes[cut] ^= 1 << (round % 8);
            }
            let answer = send(address, &bytes);
            assert_ne!(status(&answer), "500", "round {round}: {answer}");
        }
        assert_eq!(status(&send(address, &whole)), "200");
    });
}

/// Visitors who say nothing hold their places for a moment; who comes then is told so, also while he is sending a picture.
#[test]
fn visitors_who_say_nothing_do_not_end_it() {
    served(|address| {
        let picture = upload(address, &vec![0; 1 << 20]);
        let mut silent = Vec::new();
        // On a machine that is busy the first may have had their moment before the last has come.
        let mut answers = (0..8).map(|_| {
            let more = (0..WORKERS + WAITING).map(|_| TcpStream::connect(address).unwrap());
            silent.extend(more);
            send(address, &picture)
        });
        assert!(answers.any(|answer| status(&answer) == "503"));
        drop(answers);
        drop(silent);
        let page = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
        // Those who wait are found to have left one after the other.
        let mut answers = (0..200).map(|_| {
            thread::sleep(Duration::from_millis(20));
            send(address, page.as_bytes())
        });
        assert!(answers.any(|answer| status(&answer) == "200"));
    });
}

/// Who has said nothing yet is left without a word when it stops, and not waited for.
#[test]
fn it_stops_while_visitors_are_waited_for() {
    let silent = served(|address| -> Vec<TcpStream> {
        (0..WORKERS + WAITING).map(|_| TcpStream::connect(address).unwrap()).collect()
    });
    for mut visitor in silent {
        let mut answer = Vec::new();
        let _ = visitor.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
}

/// A visitor in memory, who says the bytes in pieces of a size.
struct Memory<'b> {
    bytes: &'b [u8],
    piece: usize,
    heard: Vec<u8>,
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut piece = &self.bytes[..self.piece.min(self.bytes.len())];
        piece.read(buffer).inspect(|&got| self.bytes = &self.bytes[got..])
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.heard.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Visitor for Memory<'_> {
    fn head_is_here(&mut self) {}
}

#[test]
fn a_browser_does_not_name_port_80() {
    let read = |host: &str, port| {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\r\n");
        let mut visitor = Memory { bytes: bytes.as_bytes(), piece: 1 << 20, heard: Vec::new() };
        request::read(&mut visitor, port).is_ok()
    };
    assert!(read("127.0.0.1", 80) && read("localhost:80", 80) && read("localhost:7860", 7860));
    assert!(!read("127.0.0.1", 7860) && !read("127.0.0.1:7860", 80) && !read("example.org", 80));
}

#[test]
fn who_waits_for_a_word_gets_it() {
    let bytes = b"POST /look?x=1 HTTP/1.1\r\nhost: localhost:9\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc";
    let mut visitor = Memory { bytes, piece: 1 << 20, heard: Vec::new() };
    let request = request::read(&mut visitor, 9).unwrap();
    let (method, path) = (Method::Post, "/look".to_owned());
    assert_eq!(request, Request { method, path, body: b"abc".to_vec() });
    assert_eq!(visitor.heard, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = DemoOptions { port, ..DemoOptions::new("mobilenetv2_100") };
    let error = Demo::open(&options, &AtomicBool::new(false), &mut Silent).unwrap_err();
    assert!(error.is_request() && error.to_string().contains(&port.to_string()), "{error}");
}

proptest! {
    /// In whatever pieces a request arrives, and whatever follows it, it is the same.
    #[test]
    fn requests_arrive_in_pieces(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        rest in proptest::collection::vec(any::<u8>(), 0..50),
        piece in 1usize..400,
    ) {
        let head = format!("POST /look HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: {}\r\n\r\n", body.len());
        let bytes = [head.as_bytes(), &body, &rest].concat();
        let mut visitor = Memory { bytes: &bytes, piece, heard: Vec::new() };
        let request = request::read(&mut visitor, 80).unwrap();
        prop_assert_eq!(request.body, body);
    }

    /// Nothing that can be sent makes reading panic, and refusals are the visitor's.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        line in "(GET|POST|HEAD|PUT)? ?[ -~]{0,20} HTTP/1\\.[01]\r\n",
        piece in 1usize..100,
    ) {
        let bytes = [line.as_bytes(), &bytes].concat();
        let mut visitor = Memory { bytes: &bytes, piece, heard: Vec::new() };
        if let Err(refusal) = request::read(&mut visitor, 80) {
            prop_assert!(!matches!(refusal.status, Status::Ok | Status::InternalServerError));
        }
    }
}
