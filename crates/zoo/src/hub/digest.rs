//! Whether bytes are the right ones.
//!
//! Above: `hub`, `cache`, `wheel`. Below: sha2. Not here: where files are (`cache`, `places`).

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{Error, Result};

/// Digits from which on the beginning of a hash tells files apart.
const FEWEST: usize = 8;
/// Digits of a whole one.
const WHOLE: usize = 64;

/// A published hash: all of it, its beginning, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Published<'a>(pub(super) &'a str);

impl<'a> Published<'a> {
    /// Whether a file of that hash is the published one. Nothing published: any is. Fewer than 8 digits: none is.
    pub(super) fn accepts(self, sha256: &str) -> bool {
        self.0.is_empty() || (self.0.len() >= FEWEST && sha256.starts_with(self.0))
    }

    /// The hash, if all of it is published.
    pub(super) fn whole(self) -> Option<&'a str> {
        is_sha256(self.0).then_some(self.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// Whether `text` is a whole hash in small letters.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == WHOLE && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`Error::File`].
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::file("read", path))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 18];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(n) => hash.update(&block[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::file("read", path)(source)),
        }
    }
}

/// Hash of a text in hexadecimal.
pub(super) fn of_text(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a file begins as a page for people does.
pub(super) fn is_html(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::file("read", path))?;
    file.take(512).read_to_end(&mut start).map_err(Error::file("read", path))?;
    let text = String::from_utf8_lossy(&start).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    Ok(["<!doctype html", "<html", "<head", "<?xml"].iter().any(|tag| text.starts_with(tag)))
}

/// Whether a safetensors file is as long as its header says; of files of other kinds nothing is known.
pub(super) fn is_complete(path: &Path) -> Result<bool> {
    if path.extension().is_none_or(|extension| extension != "safetensors") {
        return Ok(true);
    }
    let file = File::open(path).map_err(Error::file("read", path))?;
    let len = file.metadata().map_err(Error::file("read", path))?.len();
    let announced = taper_model::tensors::announced_len(file).map_err(Error::file("read", path))?;
    Ok(announced == Some(len))
}

/// Moves a file that is not what its name says out of the way, beside it: `<name>.wrong-<8 digits>`.
pub(super) fn move_aside(path: &Path, got: &str) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(".incomplete");
    let aside = path.with_file_name(format!("{name}.wrong-{}", got.get(..FEWEST).unwrap_or(got)));
    fs::rename(path, &aside).map_err(Error::file("move aside", path))?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOT: &str = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889";

    #[test]
    fn eight_digits_are_a_beginning_and_fewer_are_none() {
        for right in [GOT, "b0353104", "b03531047f", ""] {
            assert!(Published(right).accepts(GOT), "{right}");
        }
        for wrong in ["b0353105", "b03", "b", "B0353104"] {
            assert!(!Published(wrong).accepts(GOT), "{wrong}");
        }
        assert_eq!((Published(GOT).whole(), Published("b0353104").whole()), (Some(GOT), None));
        assert!(!is_sha256(&GOT.to_uppercase()));
    }

    #[test]
    fn the_hash_is_that_of_fips_180() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((sha256(&path).unwrap(), of_text("abc")), (abc.to_owned(), abc.to_owned()));
    }

    #[test]
    fn pages_are_known_by_their_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let is_page = |bytes: &[u8]| {
            let path = folder.path().join("file");
            fs::write(&path, bytes).unwrap();
            is_html(&path).unwrap()
        };
        assert!(is_page(b"\n <!DOCTYPE html><html>") && is_page("\u{feff}<HTML>".as_bytes()));
        assert!(!is_page(b"PK\x03\x04") && !is_page(b"\x80\x02") && !is_page(b""));
    }
}
