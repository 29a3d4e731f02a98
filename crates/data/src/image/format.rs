//! Which format a file has, from its first bytes.
//!
//! Above: `image`. Below: nothing. Not here: what follows the first bytes (`jpeg`, `png`, `webp`, `bmp`, `gif`).
//! Formats that are not read are known by name, so that a folder of them can be explained.
//! Source: the formats' definitions; ISO/IEC 14496-12, section 4.3 for the brands of HEIC and AVIF.

use crate::error::{Error, Result};

/// So many bytes from its beginning tell a file's format.
pub(super) const LONGEST_MAGIC: u64 = 16;

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    #[cfg(feature = "webp")]
    WebP,
    #[cfg(feature = "bmp")]
    Bmp,
    #[cfg(feature = "gif")]
    Gif,
}

impl Format {
    /// The format of a file.
    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Self::Png),
            #[cfg(feature = "webp")]
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            #[cfg(feature = "gif")]
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            #[cfg(feature = "bmp")]
            [b'B', b'M', ..] => Ok(Self::Bmp),
            _ => Err(left_out(bytes)
                .map(|(format, feature)| Error::FormatLeftOut { format, feature })
                .or_else(|| foreign(bytes).map(|format| Error::OtherFormat { format }))
                .unwrap_or(Error::UnknownFormat)),
        }
    }
}

/// The name of a format that is read, and the feature it is read with; asked only where that is off.
fn left_out(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(("WebP", "webp")),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(("GIF", "gif")),
        [b'B', b'M', ..] => Some(("BMP", "bmp")),
        _ => None,
    }
}

/// The name of a format that is not read.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some("TIFF"),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => container(brand),
        [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] | [0xff, 0x0a, ..] => Some("JPEG XL"),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => {
            Some("JPEG 2000")
        }
        [b'8', b'B', b'P', b'S', ..] => Some("Photoshop"),
        [0, 0, 1 | 2, 0, ..] => Some("icon"),
        [b'P', b'1'..=b'7', space, ..] if space.is_ascii_whitespace() => Some("PNM"),
        [b'%', b'P', b'D', b'F', ..] => Some("PDF"),
        [b'<', b's', b'v', b'g', ..] => Some("SVG"),
        _ => None,
    }
}

/// The name of a format in the container of ISO/IEC 14496-12, from its main brand.
fn container(brand: &[u8]) -> Option<&'static str> {
    match brand.get(..4)? {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => {
            Some("HEIC")
        }
        _ => None,
    }
}
