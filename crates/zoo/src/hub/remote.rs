//! What the hub says about a file before it is downloaded.
//!
//! Above: `hub`. Below: `client`. Not here: the bytes (`transfer`).
//! The hub answers with a redirect to another host; its own headers name size, hash and commit.
//! Source: `huggingface_hub` 2.4 `file_download.py` `get_hf_file_metadata`.

use ureq::http::header::{CONTENT_LENGTH, ETAG};
use ureq::http::{HeaderMap, HeaderName, Method};

use super::client::{Client, text};
use super::digest::is_sha256;
use super::error::Error;
use super::retry::Failure;

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");

/// A file as the hub describes it. A mirror may leave anything out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Remote {
    /// Names the blob; the hash of weights, another one for small files.
    pub(super) etag: Option<String>,
    /// Of the repository's branch `main`.
    pub(super) commit: Option<String>,
    pub(super) size: Option<u64>,
}

impl Remote {
    /// Asks, once. A server that does not answer such questions says nothing.
    pub(super) fn ask(client: &Client, url: &str) -> Result<Self, Failure> {
        let is_enough = |headers: &HeaderMap| headers.contains_key(LINKED_ETAG);
        match client.send(&Method::HEAD, url, &[], is_enough) {
            Ok(answer) => Ok(Self::of(answer.headers(), answer.status().is_success())),
            Err(Failure::Fatal(Error::Status { status: 405 | 501, .. })) => Ok(Self::default()),
            Err(trouble) => Err(trouble),
        }
    }

    fn of(headers: &HeaderMap, is_file: bool) -> Self {
        let number = |name| text(headers, name).and_then(|text| text.parse().ok());
        let length = if is_file { number(&CONTENT_LENGTH) } else { None };
        let commit = text(headers, &COMMIT).filter(|text| is_commit(text));
        Self {
            etag: [LINKED_ETAG, ETAG].iter().find_map(|name| text(headers, name)).and_then(name_of),
            commit: commit.map(str::to_owned),
            size: number(&LINKED_SIZE).or(length),
        }
    }

    /// The hash, if that is what the `ETag` is.
    pub(super) fn sha256(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| is_sha256(etag))
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An `ETag` as the name of a file; none for what could lead elsewhere.
fn name_of(etag: &str) -> Option<String> {
    let name = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    (is_name && (1..=128).contains(&name.len())).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(HeaderName, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_hubs_own_words_come_before_those_of_the_host_it_redirects_to() {
        let (sha256, commit) = ("ab".repeat(32), "c".repeat(40));
        let linked = format!("\"{sha256}\"");
        let all = [
            (ETAG, "\"other\""),
            (CONTENT_LENGTH, "12"),
            (LINKED_ETAG, &linked),
            (LINKED_SIZE, "3400"),
            (COMMIT, &commit),
        ];
        let remote = Remote::of(&headers(&all), false);
        assert_eq!(remote.sha256(), Some(sha256.as_str()));
        assert_eq!((remote.commit.as_deref(), remote.size), (Some(commit.as_str()), Some(3400)));
        let plain = Remote::of(&headers(&all[..2]), true);
        assert_eq!((plain.sha256(), plain.size), (None, Some(12)));
        assert_eq!(Remote::of(&headers(&all[..2]), false).size, None);
    }

    #[test]
    fn an_etag_that_is_no_name_is_none() {
        assert_eq!(name_of("W/\"abc-1\"").as_deref(), Some("abc-1"));
        for wrong in ["\"../x\"", "\"a/b\"", "\"\"", "\"..\"", "\"a b\"", &"a".repeat(200)] {
            assert_eq!(name_of(wrong), None, "{wrong}");
        }
        assert_eq!(Remote::of(&headers(&[(COMMIT, "../../x")]), true), Remote::default());
    }
}
