//! Downloads against servers on this machine that misbehave.
//!
//! Above: `cargo test`. Below: `hub`. Not here: names, headers and variables (beside their code).

#[cfg(unix)]
mod caches;
mod faults;
mod processes;
mod records;
mod redirects;
mod server;
mod wheels;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::{Environment, Error, Hub, Limits, Progress, Result, digest, silent};
use crate::Check;
use server::{Fault, Server, Site};

const REPO: &str = "timm/tiny.in1k";
const FILE: &str = "model.safetensors";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Bytes that no shift of them equals.
fn content(len: usize) -> Vec<u8> {
    (0..).take(len).map(|i: u32| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes");
    std::fs::write(&path, bytes).unwrap();
    digest::sha256(&path).unwrap()
}

/// Small enough that a test sees everything in milliseconds.
fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(400),
        attempts: 4,
        window: 16 << 10,
        largest: 1 << 20,
        ..Limits::default()
    }
}

/// A hub over caches in a folder, which writes down the pauses that it should have made.
struct Here {
    folder: TempDir,
    hub: Hub,
    pauses: Arc<Mutex<Vec<Duration>>>,
}

impl Here {
    fn new(endpoint: &str) -> Self {
        Self::with(endpoint, &[])
    }

    fn with(endpoint: &str, variables: &[(&str, &str)]) -> Self {
        Self::at(tempfile::tempdir().unwrap(), endpoint, variables)
    }

    fn at(folder: TempDir, endpoint: &str, variables: &[(&str, &str)]) -> Self {
        let environment = environment(folder.path(), endpoint, variables);
        let mut hub = Hub::with_limits(environment, limits()).unwrap();
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&pauses);
        hub.transport.sleep = Arc::new(move |pause| written.lock().unwrap().push(pause));
        Self { folder, hub, pauses }
    }

    fn fetch(&self, sha256: &str) -> Result<PathBuf> {
        self.hub.fetch(REPO, FILE, sha256, &mut silent)
    }

    fn ms_paused(&self) -> Vec<u128> {
        self.pauses.lock().unwrap().iter().map(Duration::as_millis).collect()
    }

    /// Everything in the caches, as paths; locks are left out.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.folder.path(), self.folder.path(), &mut found);
        found.sort();
        found
    }
}

fn environment(folder: &Path, endpoint: &str, variables: &[(&str, &str)]) -> Environment {
    let path = |name: &str| Some(folder.join(name).into_os_string());
    let lookup = |name: &str| match name {
        "HF_HOME" => path("hf"),
        "TORCH_HOME" => path("torch"),
        "HF_ENDPOINT" => Some(endpoint.into()),
        _ => variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()),
    };
    Environment::from_variables(lookup).unwrap()
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let is_link = entry.file_type().unwrap().is_symlink();
        match entry.path() {
            path if path.is_dir() && !is_link => walk(root, &path, found),
            path if path.extension().is_some_and(|extension| extension == "lock") => {}
            path => found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()),
        }
    }
}

/// Where a file that came is.
fn snapshot() -> String {
    format!("hf/hub/models--timm--tiny.in1k/snapshots/{COMMIT}/{FILE}")
}

fn whole_cache(sha256: &str) -> Vec<String> {
    let repository = "hf/hub/models--timm--tiny.in1k";
    let blob = format!("{repository}/blobs/{sha256}");
    vec![blob, format!("{repository}/refs/main"), snapshot()]
}

#[test]
fn a_file_arrives_in_hugging_faces_layout() {
    let site = Site::new(content(5_000));
    let server = Server::start(site.clone());
    let here = Here::new(&server.url);
    let path = here.fetch(&site.sha256).unwrap();
    assert_eq!(path, here.folder.path().join(snapshot()));
    assert_eq!(std::fs::read(&path).unwrap(), content(5_000));
    assert_eq!(here.files(), whole_cache(&site.sha256));
    let link = std::fs::read_link(&path).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(&site.sha256));
    let main = here.folder.path().join("hf/hub/models--timm--tiny.in1k/refs/main");
    assert_eq!(std::fs::read_to_string(main).unwrap(), COMMIT);
    let asked = server.asked();
    assert_eq!(asked, ["HEAD bytes=", "GET bytes=0-4999"]);
}

#[test]
fn the_listener_hears_what_the_bytes_were_checked_against() {
    let site = Site::new(content(1_000));
    let plain = Site { is_plain: true, ..site.clone() };
    let whole = site.sha256.clone();
    for (site, sha256, expected) in [
        (&site, &whole[..], Check::Sha256),
        (&site, "", Check::Server),
        (&site, &whole[..10], Check::Server), // and against the ten digits
        (&plain, &whole[..10], Check::Prefix { digits: 10 }),
        (&plain, &whole[..], Check::Sha256),
        (&plain, "", Check::Length),
    ] {
        let server = Server::start(site.clone());
        let here = Here::new(&server.url);
        let mut heard = Vec::new();
        let mut listener = |progress: Progress<'_>| {
            if let Progress::Arrived { check, .. } = progress {
                heard.push(check);
            }
            ControlFlow::Continue(())
        };
        here.hub.fetch(REPO, FILE, sha256, &mut listener).unwrap();
        here.hub.fetch(REPO, FILE, sha256, &mut listener).unwrap(); // out of the cache
        assert_eq!(heard, [expected], "`{sha256}`, plain: {}", site.is_plain);
    }
}

#[test]
fn what_is_here_is_not_asked_about_again() {
    let site = Site::new(content(100));
    let server = Server::start(site.clone());
    let here = Here::new(&server.url);
    here.fetch("").unwrap();
    let asked = server.asked().len();
    for sha256 in ["", &site.sha256, &site.sha256[..8]] {
        here.fetch(sha256).unwrap();
    }
    assert_eq!(server.asked().len(), asked);
}

#[test]
fn a_large_file_comes_over_several_connections_in_windows() {
    let bytes = content(300_000);
    let server =
        Server::start(Site { delay: Duration::from_millis(10), ..Site::new(bytes.clone()) });
    let here = Here::new(&server.url);
    assert_eq!(std::fs::read(here.fetch("").unwrap()).unwrap(), bytes);
    assert_eq!(server.gets(), 300_000_usize.div_ceil(16 << 10));
    let most = server.most_at_once();
    assert!((2..=4).contains(&most), "{most} connections");
}

#[test]
fn the_listener_hears_every_byte_once_and_may_stop() {
    let bytes = content(200_000);
    let server = Server::start(Site { delay: Duration::from_millis(5), ..Site::new(bytes) });
    let here = Here::new(&server.url);
    let mut heard = Vec::new();
    let mut listener = |progress: Progress<'_>| {
        if let Progress::Received { bytes, total, .. } = progress {
            heard.push((bytes, total));
            if bytes > 50_000 {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    let error = here.hub.fetch(REPO, FILE, "", &mut listener).unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    assert!(heard.iter().all(|(_, total)| *total == Some(200_000)), "{heard:?}");
    assert!(heard.is_sorted() && heard.len() > 1, "{heard:?}");
    let part = here.files();
    assert!(part.len() == 1 && part[0].ends_with(".incomplete"), "{part:?}");

    let mut last = 0;
    let mut listener = |progress: Progress<'_>| {
        if let Progress::Received { bytes, .. } = progress {
            last = bytes;
        }
        ControlFlow::Continue(())
    };
    here.hub.fetch(REPO, FILE, "", &mut listener).unwrap();
    assert_eq!(last, 200_000);
}
