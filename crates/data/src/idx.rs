//! IDX files, MNIST's format: arrays of unsigned bytes with a header of big-endian lengths, plain or compressed by gzip.
//!
//! Above: `idx::mnist`, users of the crate. Below: `flate2`. Not here: pictures in image formats (`folder`), the files of one
//! data set (`idx::mnist`).
//! A file is judged by its content and not by its name. No length is trusted: a header that announces more than its file can hold
//! is refused before memory is taken, and no more is decompressed than it announces.
//! Source: `LeCun`, Cortes, Burges, "The MNIST database of handwritten digits", section "File formats"; gzip is RFC 1952.

mod mnist;

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};

pub use mnist::{Mnist, Part};

/// The longest array that is read, in bytes: 1 GiB. The longest of MNIST's kin, EMNIST by class, has 0.51 GiB.
const LONGEST: u64 = 1 << 30;

/// How many bytes one byte of gzip can become at most: deflate copies up to 258 bytes for 2 bits.
const GZIP_RATIO: u64 = 1032;

/// The first bytes of a gzip stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An array of bytes with any number of axes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// The lengths of its axes, the slowest first: `[n, h, w]` for pictures, `[n]` for labels.
    pub shape: Vec<usize>,
    /// Its elements, as many as the product of `shape`.
    pub bytes: Vec<u8>,
}

/// Reads an IDX file of unsigned bytes, plain or gzip.
///
/// # Errors
/// [`Error::Read`] if the file cannot be opened; [`Error::Idx`] with the reason as its source if it is no regular file, begins
/// otherwise than an IDX file of unsigned bytes, is cut off, damaged or longer than its header says, or announces more than
/// a file of its length can hold or 1 GiB.
///
/// # Examples
/// ```
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("labels");
/// std::fs::write(&path, [0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1])?; // unsigned bytes, one axis, of length 3
/// let labels = taper_data::idx::read(&path)?;
/// assert_eq!((labels.shape, labels.bytes), (vec![3], vec![7, 2, 1]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: &Path) -> Result<Array> {
    let at = |source| Error::Read { path: path.to_path_buf(), source };
    let metadata = std::fs::metadata(path).map_err(at)?;
    let array = if metadata.is_file() {
        decode(File::open(path).map_err(at)?, metadata.len())
    } else {
        Err(Error::NotRegular)
    };
    array.map_err(|source| Error::Idx { path: path.to_path_buf(), source: Box::new(source) })
}

/// Reads from the beginning of a file of `length` bytes.
fn decode(file: impl Read + Seek, length: u64) -> Result<Array> {
    let mut file = BufReader::new(file);
    let mut start = [0; 2];
    let is_gzip = fill(&mut file, &mut start, "IDX").is_ok() && start == GZIP;
    file.rewind().map_err(|source| Error::Stream { source })?;
    if is_gzip {
        array(MultiGzDecoder::new(file), "gzip", length.saturating_mul(GZIP_RATIO))
    } else {
        array(file, "IDX", length)
    }
}

/// Reads an array from a stream that gives `most` bytes or fewer.
fn array(mut stream: impl Read, format: &'static str, most: u64) -> Result<Array> {
    let shape = header(&mut stream, format)?;
    let limit = LONGEST.min(most.saturating_sub(4 + 4 * shape.len() as u64));
    let expected = shape.iter().try_fold(1, |product: u64, &axis| product.checked_mul(axis.into()));
    let Some(expected) = expected.filter(|&expected| expected <= limit) else {
        return Err(Error::IdxTooLong { shape, limit });
    };
    let shape = shape.into_iter().map(|axis| axis as usize).collect();
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    stream.by_ref().take(expected).read_to_end(&mut bytes).map_err(|it| broken(it, format))?;
    let got = bytes.len() as u64;
    if got < expected {
        return Err(Error::IdxTruncated { shape, expected, got });
    }
    match stream.read(&mut [0]).map_err(|it| broken(it, format))? {
        0 => Ok(Array { shape, bytes }),
        _ => Err(Error::IdxTrailing { shape, expected }),
    }
}

/// The lengths of the axes, after two zero bytes, the type of the elements and the number of axes.
fn header(stream: &mut impl Read, format: &'static str) -> Result<Vec<u32>> {
    let mut magic = [0; 4];
    fill(stream, &mut magic, format)?;
    let [0, 0, 8, axes] = magic else {
        return Err(Error::IdxMagic { got: magic });
    };
    let mut axis = [0; 4];
    (0..axes).map(|_| fill(stream, &mut axis, format).map(|()| u32::from_be_bytes(axis))).collect()
}

fn fill(stream: &mut impl Read, bytes: &mut [u8], format: &'static str) -> Result<()> {
    stream.read_exact(bytes).map_err(|source| broken(source, format))
}

/// What an error of the stream says about the file.
fn broken(source: std::io::Error, format: &'static str) -> Error {
    match source.kind() {
        ErrorKind::UnexpectedEof => Error::Truncated { format },
        _ => Error::Stream { source },
    }
}

#[cfg(test)]
mod tests;
