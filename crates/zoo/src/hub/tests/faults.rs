//! Every fault: a whole, verified file, or a clear error and nothing half in the cache.
//!
//! Above: `hub::tests`. Below: `server`. Not here: redirects (`redirects`).

use proptest::prelude::*;
use proptest::test_runner::Config as ProptestConfig;

use super::*;

/// The outcome of a download from a server with these faults.
fn try_fetch(len: usize, faults: &[Fault]) -> (Here, Server, Result<PathBuf>) {
    let site = Site::failing(content(len), faults);
    let server = Server::start(site.clone());
    let here = Here::new(&server.url);
    let fetched = here.fetch(&site.sha256);
    (here, server, fetched)
}

/// The file came whole.
fn check(len: usize, faults: &[Fault]) -> (Here, Server) {
    let (here, server, fetched) = try_fetch(len, faults);
    assert_eq!(std::fs::read(fetched.unwrap()).unwrap(), content(len), "{faults:?}");
    assert_eq!(here.files(), whole_cache(&sha256(&content(len))), "{faults:?}");
    (here, server)
}

/// It did not, nothing is under its name, and the message has these words.
fn refused(len: usize, faults: &[Fault], words: &[&str]) -> (Here, Server) {
    let (here, server, fetched) = try_fetch(len, faults);
    let message = fetched.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert!(here.files().iter().all(|path| is_aside(path)), "{:?}", here.files());
    (here, server)
}

fn is_aside(path: &str) -> bool {
    path.contains("/blobs/") && (path.ends_with(".incomplete") || path.contains(".wrong-"))
}

#[test]
fn a_download_that_is_cut_off_goes_on_where_it_stopped() {
    let (_, server) = check(10_000, &[Fault::Cut(3_000), Fault::Cut(2_000)]);
    let ranges = ["GET bytes=0-9999", "GET bytes=3000-9999", "GET bytes=5000-9999"];
    assert_eq!(server.asked()[1..], ranges);
}

#[test]
fn failures_of_the_server_are_borne_with_longer_and_longer_pauses() {
    let (here, _) =
        check(100, &[Fault::Status(500, None), Fault::Silent, Fault::Status(502, None)]);
    assert_eq!(here.ms_paused(), [500, 1000, 2000]);
}

#[test]
fn a_busy_server_says_how_long_to_wait() {
    let (here, _) = check(100, &[Fault::Status(429, Some(7)), Fault::Status(503, Some(1))]);
    assert_eq!(here.ms_paused(), [7000, 1000]);
    let (here, _) = refused(100, &[Fault::Status(429, Some(3600))], &["busy", "3600 s"]);
    assert_eq!(here.ms_paused(), [0; 0]);
}

#[test]
fn a_server_that_always_fails_is_given_up() {
    let cuts = vec![Fault::Cut(10); 9];
    let (here, server) = refused(1_000, &cuts, &["cut off", "4 times", "kept"]);
    assert_eq!((server.gets(), here.files().len()), (4, 1));
    let (_, server) = refused(1_000, &vec![Fault::Status(500, None); 9], &["500", "4 times"]);
    assert_eq!(server.gets(), 4);
}

#[test]
fn what_will_not_change_is_asked_once() {
    for (status, word) in [(401, "HF_TOKEN"), (403, "terms"), (404, "no such file"), (418, "418")] {
        let (here, server) = refused(100, &[Fault::Status(status, None)], &[word]);
        assert_eq!((server.gets(), here.ms_paused().len()), (1, 0), "{status}");
    }
}

#[test]
fn a_server_that_stalls_is_left_and_a_slow_one_is_not() {
    let (_, server) = check(1_000, &[Fault::Stall(400)]);
    assert_eq!(server.asked()[1..], ["GET bytes=0-999", "GET bytes=400-999"]);
    let (_, server) = check(1_000, &[Fault::Slow]); // 8 pieces take longer than one silence may
    assert_eq!(server.gets(), 1);
}

#[test]
fn ranges_that_are_ignored_or_wrong_end_in_the_whole_at_once() {
    check(50_000, &[Fault::RangeIgnored]);
    check(50_000, &[Fault::Cut(100), Fault::RangeIgnored]);
    check(50_000, &[Fault::None, Fault::RangeIgnored]);
    check(50_000, &[Fault::None, Fault::RangeLie]);
    let (_, server) = check(50_000, &vec![Fault::RangeOfOtherBytes; 4]);
    assert_eq!(server.asked().last().unwrap(), "GET bytes=");
}

#[test]
fn lengths_that_are_wrong_are_noticed() {
    check(100, &[Fault::Length(10)]); // the range says how many come
    check(100, &[Fault::Length(-10)]); // another request for the rest
    for more in [-10, 10] {
        let got = format!("{} bytes", 100 + more);
        refused(100, &[Fault::Whole(more)], &[&got, "100 were announced"]);
    }
    let site = Site { size: Some(140), ..Site::new(content(100)) };
    let server = Server::start(site);
    let error = Here::new(&server.url).fetch("").unwrap_err().to_string();
    assert!(error.contains("100 bytes") && error.contains("140 were announced"), "{error}");
}

#[test]
fn a_body_without_a_length_is_read_to_its_end() {
    let site = Site {
        is_plain: true,
        faults: vec![Fault::RangeIgnored, Fault::Chunked],
        ..Site::new(content(5_000))
    };
    let server = Server::start(site.clone());
    let path = Here::new(&server.url).fetch(&site.sha256).unwrap();
    assert!(path.ends_with(format!("{}/{FILE}", super::super::NO_COMMIT)), "{path:?}");
    check(5_000, &[Fault::Chunked]);
}

#[test]
fn more_than_the_limit_is_not_downloaded() {
    let error = try_fetch((1 << 20) + 1, &[]).2.unwrap_err().to_string();
    assert!(error.contains("1048577 bytes") && error.contains("1048576"), "{error}");
}

#[test]
fn pages_and_compressed_answers_are_no_weights() {
    refused(100, &[Fault::Html("text/html; charset=utf-8")], &["HTML", "HF_ENDPOINT"]);
    let plain = Site {
        is_plain: true,
        faults: vec![Fault::Html("application/octet-stream")],
        ..Site::new(content(41)) // as long as the page
    };
    let server = Server::start(plain);
    let here = Here::new(&server.url);
    let error = here.fetch("").unwrap_err();
    assert!(matches!(error, Error::Html { .. }), "{error}");
    assert_eq!(here.files(), [""; 0]);
    refused(100, &[Fault::Gzip], &["gzip"]);
}

#[test]
fn a_wrong_file_is_kept_aside_with_both_hashes_in_the_message() {
    let got = sha256(&content(100).iter().map(|byte| byte ^ 1).collect::<Vec<u8>>());
    let published = sha256(&content(100));
    let aside = format!(".wrong-{}", &got[..8]);
    let (here, _) = refused(100, &vec![Fault::OtherBytes; 9], &[&got, &published, &aside]);
    assert_eq!(here.files().len(), 1);
}

#[test]
fn a_hub_that_announces_another_hash_is_not_even_asked_for_the_file() {
    let server = Server::start(Site::new(content(100)));
    let here = Here::new(&server.url);
    let other = "ab".repeat(32);
    let error = here.fetch(&other).unwrap_err().to_string();
    assert!(error.contains(&other) && error.contains(&sha256(&content(100))), "{error}");
    assert_eq!((server.gets(), here.files().len()), (0, 0));
    // Its own word is held against it, too.
    let lying = Server::start(Site { etag: Some(other.clone()), ..Site::new(content(100)) });
    let error = Here::new(&lying.url).fetch("").unwrap_err();
    assert!(matches!(&error, Error::Hash { published, .. } if *published == other), "{error}");
}

#[test]
fn leftovers_of_another_file_are_thrown_away() {
    let site = Site::new(content(50_000));
    let server = Server::start(site.clone());
    for left in [10, 50_000, 60_000] {
        let here = Here::new(&server.url);
        let blobs = here.folder.path().join("hf/hub/models--timm--tiny.in1k/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(format!("{}.incomplete", site.sha256)), vec![7; left]).unwrap();
        here.fetch(&site.sha256).unwrap();
        assert_eq!(here.files(), whole_cache(&site.sha256), "{left}");
    }
}

#[test]
fn no_connection_is_told() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let here = Here::new(&format!("http://{port}"));
    let error = here.fetch("").unwrap_err().to_string();
    assert!(error.contains("refused") && error.contains("4 times"), "{error}");
    assert_eq!(here.files(), [""; 0]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_nothing_gets_the_name() {
    let site = Site::new(content(50_000));
    let server = Server::start(site.clone());
    let here = Here::new(&server.url);
    let blobs = here.folder.path().join("hf/hub/models--timm--tiny.in1k/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", site.sha256));
    std::os::unix::fs::symlink("/dev/full", &part).unwrap(); // writing there fails as on a full disk
    let error = here.fetch(&site.sha256).unwrap_err();
    let Error::File { action: "write", source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert!(here.files().iter().all(|path| is_aside(path)), "{:?}", here.files());
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => (0..60_000_usize).prop_map(Fault::Cut),
        1 => Just(Fault::Silent),
        1 => prop_oneof![Just(500), Just(502), Just(503), Just(429)]
            .prop_map(|status| Fault::Status(status, None)),
        1 => Just(Fault::Status(429, Some(2))),
        1 => Just(Fault::OtherBytes),
        1 => Just(Fault::RangeIgnored),
        1 => Just(Fault::RangeOfOtherBytes),
        1 => Just(Fault::RangeLie),
        1 => (-50..50_i64).prop_map(Fault::Length),
        1 => (-50..50_i64).prop_map(Fault::Whole),
        1 => Just(Fault::Chunked),
        1 => Just(Fault::None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn any_faults_end_in_the_whole_file_or_a_clear_error(
        len in 0..60_000_usize,
        faults in prop::collection::vec(any_fault(), 0..8),
    ) {
        let site = Site::failing(content(len), &faults);
        let server = Server::start(site.clone());
        let here = Here::new(&server.url);
        match here.fetch(&site.sha256) {
            Ok(path) => {
                prop_assert!(std::fs::read(path).unwrap() == content(len));
                let aside = here.files().into_iter().filter(|path| is_aside(path)).count();
                prop_assert_eq!(aside, 0);
            }
            Err(error) => {
                prop_assert!(here.files().iter().all(|path| is_aside(path)), "{:?}", here.files());
                let is_clear = matches!(
                    error,
                    Error::Broken { .. } | Error::Hash { .. } | Error::Size { .. }
                );
                prop_assert!(is_clear, "{}", error);
                // The faults are over: what was left is no obstacle.
                let rest = server.gets();
                let mut tries = 0;
                while here.fetch(&site.sha256).is_err() {
                    tries += 1;
                    prop_assert!(tries < 8, "{} requests before", rest);
                }
                prop_assert!(std::fs::read(here.fetch("").unwrap()).unwrap() == content(len));
            }
        }
    }
}
