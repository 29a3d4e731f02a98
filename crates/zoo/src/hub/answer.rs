//! What the headers of an answer say about its bytes.
//!
//! Above: `transfer`. Below: ureq's headers. Not here: statuses and redirects (`client`).
//! Source: RFC 9110, sections 8.8.3, 13.1.5, 14.4.

use ureq::http::HeaderMap;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};

use super::client::text;

/// First byte, the one after the last, and bytes of the whole: `Content-Range: bytes 100-199/200`.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(u64, u64, u64)> {
    let (range, total) = text(headers, &CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    Some((number(start)?, number(last)?.checked_add(1)?, number(total)?))
}

/// Bytes of the whole when a range is beyond it: `Content-Range: bytes */200`.
pub(super) fn unsatisfied(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_RANGE)?.strip_prefix("bytes */")?.trim().parse().ok()
}

pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.parse().ok()
}

/// The name of this version of the file, if byte ranges of it fit together.
pub(super) fn entity(headers: &HeaderMap) -> Option<String> {
    text(headers, &ETAG).filter(|etag| etag.starts_with('"')).map(str::to_owned)
}

/// Whether it says that it is a page for people, which no weights are.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    text(headers, &CONTENT_TYPE).is_some_and(|kind| {
        ["text/html", "application/xhtml+xml"].iter().any(|page| kind.starts_with(page))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranged(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_RANGE, value.parse().unwrap())])
    }

    #[test]
    fn ranges_are_read_and_nonsense_is_none() {
        assert_eq!(content_range(&ranged("bytes 100-199/200")), Some((100, 200, 200)));
        assert_eq!(unsatisfied(&ranged("bytes */200")), Some(200));
        let endless = format!("bytes 0-{}/9", u64::MAX);
        for wrong in ["bytes */200", "bytes 1-2/*", "bytes -1-2/3", "1-2/3", "", &endless] {
            assert_eq!(content_range(&ranged(wrong)), None, "{wrong}");
        }
        assert_eq!(unsatisfied(&ranged("bytes 1-2/3")), None);
    }

    #[test]
    fn weak_names_do_not_hold_pieces_together() {
        let named = |etag: &str| entity(&HeaderMap::from_iter([(ETAG, etag.parse().unwrap())]));
        assert_eq!(named("\"a\"").as_deref(), Some("\"a\""));
        assert_eq!(named("W/\"a\""), None);
    }
}
