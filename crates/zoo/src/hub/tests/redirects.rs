//! Redirects, and who is told the token.
//!
//! Above: `hub::tests`. Below: `server`. Not here: faults of bytes (`faults`).

use super::*;

const TOKEN: (&str, &str) = ("HF_TOKEN", "hf_secret");

/// A hub that redirects to another host, as the public one does.
fn hub_and_store(bytes: Vec<u8>, faults: &[Fault]) -> (Server, Server) {
    let store = Server::start(Site { is_plain: true, ..Site::failing(bytes.clone(), faults) });
    let redirect = Some(format!("{}/store/file?signature=x", store.url));
    (Server::start(Site { redirect, ..Site::new(bytes) }), store)
}

#[test]
fn the_token_goes_to_the_endpoint_and_to_no_other_host() {
    let (hub, store) = hub_and_store(content(50_000), &[]);
    let here = Here::with(&hub.url, &[TOKEN]);
    let path = here.fetch("").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content(50_000));
    assert_eq!(
        here.files(),
        whole_cache(&sha256(&content(50_000))),
        "named by the hub's own words"
    );
    let is_told = |asked: &server::Asked| asked.token.as_deref() == Some("Bearer hf_secret");
    assert!(hub.requests().iter().all(is_told) && hub.requests().len() > 1);
    assert!(store.requests().iter().all(|asked| asked.token.is_none()));
    assert!(store.requests().iter().all(|asked| asked.path == "/store/file?signature=x"));
    assert!(store.requests().iter().all(|asked| asked.method == "GET"), "HEAD stays at the hub");
}

#[test]
fn without_a_token_none_is_sent() {
    let server = Server::start(Site::new(content(10)));
    Here::new(&server.url).fetch("").unwrap();
    assert!(server.requests().iter().all(|asked| asked.token.is_none()));
}

#[test]
fn files_of_other_addresses_are_asked_for_without_the_token() {
    let server = Server::start(Site { is_plain: true, ..Site::new(content(10)) });
    let here = Here::with("http://127.0.0.1:9", &[TOKEN]);
    here.hub.fetch_url(&format!("{}/net.pth", server.url), "", &mut silent).unwrap();
    assert!(server.requests().iter().all(|asked| asked.token.is_none()));
}

#[test]
fn a_store_that_fails_is_asked_again_through_the_hub() {
    let (hub, store) = hub_and_store(content(1_000), &[Fault::Cut(10), Fault::Status(500, None)]);
    Here::new(&hub.url).fetch("").unwrap();
    assert_eq!((hub.gets(), store.gets()), (3, 3));
}

#[test]
fn a_loop_of_redirects_ends() {
    let server = Server::start(Site { redirect: Some("/again".to_owned()), ..Site::new(vec![]) });
    let here = Here::new(&server.url);
    let error = here.fetch("").unwrap_err();
    assert!(matches!(error, Error::Redirects { limit: 10, .. }), "{error}");
    assert_eq!(server.requests().len(), 11);
    assert_eq!(here.files(), [""; 0]);
}

#[test]
fn redirects_to_nowhere_are_told() {
    for to in ["", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://"] {
        let site = Site { is_plain: true, redirect: Some(to.to_owned()), ..Site::new(vec![]) };
        let server = Server::start(site);
        let error = Here::new(&server.url).fetch("").unwrap_err();
        assert!(matches!(error, Error::Redirect { .. }), "`{to}`: {error}");
    }
}

#[test]
fn signatures_are_not_shown() {
    let (hub, _store) = hub_and_store(content(10), &[Fault::Status(403, None)]);
    let error = Here::new(&hub.url).fetch("").unwrap_err().to_string();
    assert!(error.contains("/store/file") && !error.contains("signature"), "{error}");
}
