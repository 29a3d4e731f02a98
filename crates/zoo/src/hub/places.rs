//! Names that become paths, and folders that files are looked for in.
//!
//! Above: `hub`. Below: `digest`. Not here: Hugging Face's cache (`cache`).
//! A name of a stranger never leads out of a folder.

use std::path::{Path, PathBuf};

use super::digest::{Published, move_aside, sha256};
use super::error::{Error, Result};

/// `name` or `organization/name`.
pub(super) fn check_repository(name: &str) -> Result<()> {
    let is_one = name.split('/').count() <= 2 && name.split('/').all(is_plain);
    let what = "repository of the hub (organization/name)";
    if is_one { Ok(()) } else { Err(Error::Name { what, name: shortened(name) }) }
}

/// A path inside a repository.
pub(super) fn check_file(name: &str) -> Result<()> {
    let is_one = name.split('/').all(is_plain);
    let what = "file of a repository";
    if is_one { Ok(()) } else { Err(Error::Name { what, name: shortened(name) }) }
}

/// The last part of an address, or of a path in a package.
pub(super) fn file_name(address: &str) -> Result<&str> {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    let name = path.rsplit('/').next().unwrap_or(path);
    let what = "address of a file";
    let is_one = is_plain(name) && path.trim_end_matches(name).ends_with('/');
    if is_one { Ok(name) } else { Err(Error::Name { what, name: shortened(address) }) }
}

/// Letters, digits, `.`, `_`, `-` and `+`, not beginning with a dot: the same in an address and in a path.
fn is_plain(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    (1..=200).contains(&part.len()) && part.bytes().all(is_plain) && !part.starts_with('.')
}

fn shortened(name: &str) -> String {
    name.chars().take(200).collect()
}

/// Where a file of a repository may be in a folder that stands for the hub.
pub(super) fn in_folder(
    folder: &Path,
    repo: &str,
    file: &str,
    published: Published<'_>,
) -> Vec<PathBuf> {
    let name = repo.rsplit('/').next().unwrap_or(repo);
    let mut paths = vec![folder.join(repo).join(file), folder.join(name).join(file)];
    if let Some((_, extension)) = file.rsplit_once('.') {
        paths.push(folder.join(format!("{name}.{extension}")));
    }
    if !published.is_empty() {
        paths.push(folder.join(file)); // `model.safetensors` says not of what; the hash does
    }
    paths.dedup();
    paths
}

/// The first of `paths` that is there and is the published file.
///
/// # Errors
/// [`Error::Hash`] if one is there and none is right.
pub(super) fn first(paths: &[PathBuf], published: Published<'_>) -> Result<Option<PathBuf>> {
    let mut wrong = None;
    for path in paths.iter().filter(|path| path.is_file()) {
        let got = sha256(path)?;
        if published.accepts(&got) {
            return Ok(Some(path.clone()));
        }
        let from = path.display().to_string();
        wrong = wrong.or(Some(Error::Hash {
            from,
            got,
            published: published.0.to_owned(),
            kept: None,
        }));
    }
    wrong.map_or(Ok(None), Err)
}

/// Whether `path` is the published file; another one of that name is moved aside.
pub(super) fn is_intact(path: &Path, hashes: &[Published<'_>]) -> Result<bool> {
    if !path.is_file() {
        return Ok(false);
    }
    let got = sha256(path)?;
    if hashes.iter().all(|hash| hash.accepts(&got)) {
        return Ok(true);
    }
    move_aside(path, &got)?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        assert!(check_repository("timm/mobilenetv3_small_100.lamb_in1k").is_ok());
        assert!(check_repository("gpt2").is_ok() && check_file("a/b.json").is_ok());
        for wrong in ["", "/", "a/b/c", "../x", "a/..", "a b/c", "a/b?c", "a\\b", "a/%2e", "é/x"] {
            assert!(check_repository(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "/etc/passwd", "a//b", "../x", "a/../../b", ".git", "a\0"] {
            assert!(check_file(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_has_the_name_of_its_file() {
        assert_eq!(file_name("https://a.test/b/net-0123.pth?x=/y").unwrap(), "net-0123.pth");
        assert_eq!(file_name("pkg/weights/net.pth").unwrap(), "net.pth");
        for wrong in ["https://a.test/", "https://a.test/..", "net", "https://a.test/a%2fb"] {
            assert!(file_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_is_looked_through_in_order() {
        let of = |published| in_folder("/f".as_ref(), "o/n.tag", "model.safetensors", published);
        let bare =
            ["/f/o/n.tag/model.safetensors", "/f/n.tag/model.safetensors"].map(PathBuf::from);
        let named = PathBuf::from("/f/n.tag.safetensors");
        assert_eq!(of(Published("")), [&bare[..], std::slice::from_ref(&named)].concat());
        assert_eq!(of(Published("0123456789")).last().unwrap(), Path::new("/f/model.safetensors"));
    }
}
