//! Several at once: threads, processes, and a process that is killed.
//!
//! Above: `hub::tests`. Below: this test binary, started again. Not here: other faults (`faults`).

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

const FOLDER: &str = "TAPER_TEST_HUB_FOLDER";
const ENDPOINT: &str = "TAPER_TEST_HUB_ENDPOINT";

/// A process that downloads into `folder`.
fn start(folder: &Path, endpoint: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hub::tests::processes::a_process_of_its_own"])
        .env(FOLDER, folder)
        .env(ENDPOINT, endpoint)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What [`start`] starts; by itself it does nothing.
#[test]
fn a_process_of_its_own() {
    let (Some(folder), Ok(endpoint)) = (std::env::var_os(FOLDER), std::env::var(ENDPOINT)) else {
        return;
    };
    let environment = environment(folder.as_ref(), &endpoint, &[]);
    let limits = Limits { silence: Duration::from_secs(20), ..limits() };
    Hub::with_limits(environment, limits).unwrap().fetch(REPO, FILE, "", &mut silent).unwrap();
}

#[test]
fn two_processes_download_once() {
    let site = Site { delay: Duration::from_millis(20), ..Site::new(content(100_000)) };
    let server = Server::start(site.clone());
    let here = Here::new(&server.url);
    let mut children = [(); 2].map(|()| start(here.folder.path(), &server.url));
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_eq!(server.gets(), 100_000_usize.div_ceil(16 << 10));
    assert_eq!(here.files(), whole_cache(&site.sha256));
}

#[test]
fn two_threads_download_once_and_the_second_says_that_it_waits() {
    let site = Site { delay: Duration::from_millis(40), ..Site::new(content(50_000)) };
    let server = Server::start(site.clone());
    let here = Here::new(&server.url);
    let waited = Mutex::new(0);
    let fetch = || {
        let mut listener = |progress: Progress<'_>| {
            if matches!(progress, Progress::Waiting { .. }) {
                *waited.lock().unwrap() += 1;
            }
            ControlFlow::Continue(())
        };
        here.hub.fetch(REPO, FILE, "", &mut listener).unwrap()
    };
    std::thread::scope(|scope| {
        [scope.spawn(fetch), scope.spawn(fetch)].map(|it| it.join().unwrap())
    });
    assert_eq!(server.gets(), 4);
    assert!(*waited.lock().unwrap() > 0);
    assert_eq!(here.files(), whole_cache(&site.sha256));
}

#[test]
fn a_process_that_is_killed_leaves_a_beginning_that_is_gone_on_with() {
    let site = Site::failing(content(10_000), &[Fault::Stall(4_000)]);
    let server = Server::start(site.clone());
    let here = Here::new(&server.url);
    let mut child = start(here.folder.path(), &server.url);
    let blobs = here.folder.path().join("hf/hub/models--timm--tiny.in1k/blobs");
    let part = blobs.join(format!("{}.incomplete", site.sha256));
    let began = Instant::now();
    while std::fs::metadata(&part).map_or(0, |metadata| metadata.len()) < 4_000 {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing came");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(std::fs::read(here.fetch("").unwrap()).unwrap(), content(10_000));
    assert_eq!(server.asked().last().unwrap(), "GET bytes=4000-9999");
    assert_eq!(here.files(), whole_cache(&site.sha256));
}
