//! The server, asked by several clients at once.
//!
//! Above: nothing. Below: `docs/programs/serve.rs`. Not here: the classifier's own tests (`taper-classifier`).
#![expect(clippy::unwrap_used, reason = "a test says where it fails by failing there")]

#[path = "../../docs/programs/serve.rs"]
#[expect(dead_code, reason = "`main` reads the command line, which a test has none of")]
mod program;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use taper_classifier::{Classifier, ClassifierOptions};
use taper_data::sample_set;
use taper_graph::{Activation, Bias, Conv, GraphBuilder, PoolKind};
use taper_model::{Model, Preprocess};

/// A small network, saved and loaded again as a user's would be.
fn classifier() -> Classifier {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("stem", b.input(), Conv::dense(8, 3, 2), Bias::With).unwrap();
    let xs = b.activation("act", xs, Activation::Relu).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let logits = b.linear("classifier", xs, 2, Bias::With).unwrap();
    b.output("logits", logits).unwrap();
    let preprocess = Preprocess { input_size: [48, 64], ..Preprocess::imagenet() };
    let classes = ["ants", "bees"].map(str::to_owned).to_vec();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    Model::random(b.build().unwrap(), 1, preprocess, classes).unwrap().save(&path).unwrap();
    Classifier::load(&path, &ClassifierOptions::default()).unwrap()
}

/// The status line and the body of the answer.
fn ask(address: SocketAddr, request: &[u8]) -> (String, serde_json::Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

fn post(picture: &[u8]) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", picture.len());
    [head.as_bytes(), picture].concat()
}

#[test]
fn four_threads_answer_as_one_and_refuse_what_is_no_picture() {
    let dir = tempfile::tempdir().unwrap();
    sample_set::export(dir.path()).unwrap();
    let folder = std::fs::read_dir(dir.path().join("val/animal")).unwrap();
    let pictures: Vec<Vec<u8>> =
        folder.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(pictures.len() > 8);

    let classifier = classifier();
    let alone: Vec<_> = pictures
        .iter()
        .map(|bytes| serde_json::to_value(classifier.classify(bytes, 5).unwrap()).unwrap())
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| program::serve(&listener, &classifier, &stop));
        let clients = [0, 1, 2, 3, 4, 5].map(|first| {
            let (pictures, alone) = (&pictures, &alone);
            scope.spawn(move || {
                for at in (0..pictures.len()).map(|i| (i + first) % pictures.len()) {
                    let (status, found) = ask(address, &post(&pictures[at]));
                    assert_eq!((status.as_str(), &found), ("HTTP/1.1 200 OK", &alone[at]));
                }
            })
        });
        let rude = scope.spawn(move || {
            let (status, refused) = ask(address, &post(b"no picture"));
            assert_eq!(status, "HTTP/1.1 400 Bad Request");
            let reason = refused["error"].as_str().unwrap();
            assert!(reason.contains("it is no JPEG, PNG, WebP, BMP or GIF file"), "{reason}");
            let (status, _) = ask(address, b"GET / HTTP/1.1\r\n\r\n");
            assert_eq!(status, "HTTP/1.1 411 Length Required");
        });
        // All have ended before any of it is judged, so that the server ends too.
        let joined: Vec<_> =
            clients.into_iter().chain([rude]).map(|client| client.join()).collect();
        stop.store(true, Ordering::Relaxed);
        for _ in 0..program::THREADS {
            drop(TcpStream::connect(address)); // wakes one
        }
        assert!(joined.iter().all(Result::is_ok), "a client was answered otherwise");
    });
}
