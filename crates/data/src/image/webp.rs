//! WebP files: whether they are all there, and the orientation.
//!
//! Above: `image`. Below: `orientation`, the `image` crate. Not here: VP8 and VP8L (the `image` crate).
//! Of an animation the first frame is read.
//! Source: Google's WebP container specification (RFC 9649, section 2).

use std::borrow::Cow;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageFormat};

use super::{open, orientation};
use crate::error::{Error, Result};

/// The pixels, and how they must be turned.
pub(super) fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation)> {
    let riff = riff(bytes).ok_or(Error::Truncated { format: "WebP" })?;
    let honest = with_true_flags(bytes, riff);
    let decoder = open(&honest, ImageFormat::WebP)?;
    let image = DynamicImage::from_decoder(decoder).map_err(|source| Error::Decode { source })?;
    let find = |kind: &[u8; 4]| chunks(riff).find(|chunk| chunk.0 == kind).map(|chunk| chunk.1);
    Ok((image, orientation::of(find(b"EXIF"), find(b"XMP "))))
}

/// The file, or one whose extended header announces no metadata that it lacks: the decoder would look for them.
fn with_true_flags<'a>(bytes: &'a [u8], riff: &[u8]) -> Cow<'a, [u8]> {
    const ANNOUNCED: [(u8, &[u8]); 3] = [(0x20, b"ICCP"), (0x08, b"EXIF"), (0x04, b"XMP ")];
    /// Where the flags stand, if the extended header is the first chunk, as it must be.
    const FLAGS: usize = 20;
    let flags = match chunks(riff).next() {
        Some((b"VP8X", &[flags, ..])) => flags,
        _ => return bytes.into(),
    };
    let has = |kind| chunks(riff).any(|chunk| chunk.0 == kind);
    let absent = ANNOUNCED.iter().filter(|(flag, kind)| flags & flag != 0 && !has(*kind));
    let absent = absent.fold(0, |absent, (flag, _)| absent | flag);
    if absent == 0 {
        return bytes.into();
    }
    let mut honest = bytes.to_vec();
    honest[FLAGS] &= !absent;
    honest.into()
}

/// The chunks' bytes, of the length that the file announces.
fn riff(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::try_from(word(bytes, 4)?).ok()?;
    bytes.get(12..length.checked_add(8)?)
}

/// Kind and data of every chunk; data are padded to an even length.
fn chunks(mut riff: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(word(riff, 4)?).ok()?;
        let (kind, data) = (riff.get(..4)?, riff.get(8..length.checked_add(8)?)?);
        riff = riff.get(8 + length + length % 2..).unwrap_or_default();
        Some((kind, data))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
