//! Downloads against a server on this machine that misbehaves.
//!
//! Above: `cargo test`. Below: `fetch`, `http`. Not here: `pip` (no network in tests).

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use super::*;

/// How the server answers one request.
#[derive(Clone, Copy)]
enum Answer {
    /// All of it, or what the range asks for.
    Good,
    /// Promises all, sends this many bytes.
    CutOff(usize),
    /// All of it, whatever the range.
    RangeIgnored,
    /// As many bytes, but others.
    WrongBytes,
    /// No such file.
    NotFound,
}

/// Serves one answer a connection; returns the range of each request.
fn serve(answers: Vec<Answer>) -> (String, JoinHandle<Vec<Option<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/net.pth", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let serve_one = |answer| respond(listener.accept().unwrap().0, answer);
        answers.into_iter().map(serve_one).collect()
    });
    (url, server)
}

fn content() -> Vec<u8> {
    (0..100_000u32).map(|i| i.wrapping_mul(i).to_le_bytes()[1]).collect()
}

fn respond(mut stream: TcpStream, answer: Answer) -> Option<usize> {
    let mut range = None;
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap().to_lowercase();
        if let Some(from) = line.strip_prefix("range: bytes=") {
            range = from.trim_end_matches('-').parse().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    let all = content();
    let from = if matches!(answer, Answer::RangeIgnored) { 0 } else { range.unwrap_or(0) };
    let mut body = all[from..].to_vec();
    let status = match (answer, from) {
        (Answer::NotFound, _) => "404 Not Found".to_owned(),
        (_, 0) => "200 OK".to_owned(),
        _ => format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
            all.len() - 1,
            all.len()
        ),
    };
    if matches!(answer, Answer::WrongBytes) {
        body.iter_mut().for_each(|byte| *byte ^= 1);
    }
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    if let Answer::CutOff(len) = answer {
        body.truncate(len);
    }
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream.write_all(&body)); // the client may have hung up
    range
}

struct Outcome {
    fetched: Result<Vec<u8>>,
    ranges: Vec<Vec<Option<usize>>>,
    left: Vec<String>,
}

/// Fetches from one server for each list of answers; `part` is there before.
fn try_fetch(part: Option<&[u8]>, servers: &[&[Answer]]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let reference = dir.path().join("reference");
    fs::write(&reference, content()).unwrap();
    let sha256 = sha256(&reference).unwrap();
    fs::remove_file(reference).unwrap();
    if let Some(part) = part {
        fs::write(dir.path().join("net.pth.part"), part).unwrap();
    }
    let (urls, handles): (Vec<_>, Vec<_>) =
        servers.iter().map(|answers| serve(answers.to_vec())).unzip();
    let places = urls.into_iter().map(Place::Url).collect();
    let wanted = Wanted { file_name: "net.pth".to_owned(), sha256, places };
    let fetched = fetch(&wanted, dir.path(), &http::local_agent());
    let fetched = fetched.map(|path| fs::read(path).unwrap());
    let ranges = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
    let names = fs::read_dir(dir.path()).unwrap();
    let left = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    Outcome { fetched, ranges, left }
}

#[test]
fn a_file_arrives_under_its_name() {
    let outcome = try_fetch(None, &[&[Answer::Good]]);
    assert_eq!(outcome.fetched.unwrap(), content());
    assert_eq!(outcome.left, ["net.pth"]);
}

#[test]
fn a_download_that_is_cut_off_goes_on_where_it_stopped() {
    let outcome =
        try_fetch(None, &[&[Answer::CutOff(30_000), Answer::CutOff(20_000), Answer::Good]]);
    assert_eq!(outcome.fetched.unwrap(), content());
    assert_eq!(outcome.ranges, [[None, Some(30_000), Some(50_000)]]);
}

#[test]
fn an_earlier_run_is_taken_up_again() {
    let outcome = try_fetch(Some(&content()[..70_000]), &[&[Answer::Good]]);
    assert_eq!(outcome.fetched.unwrap(), content());
    assert_eq!(outcome.ranges, [[Some(70_000)]]);
}

#[test]
fn a_server_that_ignores_ranges_begins_again() {
    let outcome = try_fetch(Some(&content()[..70_000]), &[&[Answer::RangeIgnored]]);
    assert_eq!(outcome.fetched.unwrap(), content());
}

#[test]
fn leftovers_of_another_file_are_thrown_away() {
    let outcome = try_fetch(Some(&[7; 70_000]), &[&[Answer::Good, Answer::Good]]);
    assert_eq!(outcome.fetched.unwrap(), content());
    assert_eq!(outcome.ranges, [[Some(70_000), None]]);
}

#[test]
fn the_next_place_is_tried_after_a_missing_file_and_after_wrong_bytes() {
    let outcome = try_fetch(None, &[&[Answer::NotFound], &[Answer::WrongBytes], &[Answer::Good]]);
    assert_eq!(outcome.fetched.unwrap(), content());
    assert_eq!(outcome.left, ["net.pth"]);
}

#[test]
fn wrong_bytes_never_get_the_name_and_every_failure_is_told() {
    let outcome = try_fetch(None, &[&[Answer::NotFound], &[Answer::WrongBytes]]);
    let message = format!("{:#}", outcome.fetched.unwrap_err());
    assert!(message.contains("404") && message.contains("sha256"), "{message}");
    assert_eq!(outcome.left, Vec::<String>::new());
}

#[test]
fn a_connection_that_always_breaks_is_given_up_and_its_bytes_kept() {
    let outcome = try_fetch(None, &[&[Answer::CutOff(10); 4]]);
    let message = format!("{:#}", outcome.fetched.unwrap_err());
    assert!(message.contains("cut off"), "{message}");
    assert_eq!(outcome.left, ["net.pth.part"]);
}

#[test]
fn a_hash_of_eight_digits_is_a_prefix_and_fewer_are_none() {
    let wanted = |sha256: &str| {
        let (file_name, sha256) = ("x".to_owned(), sha256.to_owned());
        Wanted { file_name, sha256, places: Vec::new() }
    };
    let got = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889";
    assert!(wanted("b0353104").accepts(got) && wanted(got).accepts(got));
    assert!(!wanted("b0353105").accepts(got) && !wanted("b03").accepts(got));
}

#[test]
fn every_file_with_a_hash_is_wanted_by_its_name_from_all_its_places() {
    let mut n_wanted = 0;
    for record in taper_zoo::records() {
        let Ok(wanted) = Wanted::of(record) else { continue };
        n_wanted += 1;
        assert!(wanted.file_name.contains(&wanted.sha256[..8]), "{}", wanted.file_name);
        let same = record.sources.iter().filter(|source| source.sha256 == wanted.sha256);
        assert_eq!(wanted.places.len(), same.count());
    }
    assert!(n_wanted > 60, "{n_wanted}");
}
