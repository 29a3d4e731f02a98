//! How a picture must be turned to be upright: EXIF's tag 274, or XMP's `tiff:Orientation`.
//!
//! Above: `jpeg`, `png`, `webp`. Below: nothing. Not here: where a file keeps them (the formats), turning (the `image` crate).
//! EXIF goes first; XMP counts only where EXIF has no orientation, as in Pillow's `ImageOps.exif_transpose`. Metadata that cannot
//! be parsed is no reason to refuse the pixels.
//! Source: CIPA DC-008 (EXIF 2.32), section 4.6; TIFF 6.0, section 2; Adobe XMP part 1, section 7.

use ::image::metadata::Orientation;

const EXIF: &[u8] = b"Exif\0\0";
const TAG: u16 = 274;

/// The orientation that a file's EXIF and XMP blocks, if it has any, agree on.
pub(super) fn of(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    exif.and_then(in_exif)
        .or_else(|| xmp.and_then(in_xmp))
        .and_then(|value| u8::try_from(value).ok().and_then(Orientation::from_exif))
        .unwrap_or(Orientation::NoTransforms)
}

/// The tag's value in a TIFF directory, with or without JPEG's prefix.
fn in_exif(mut block: &[u8]) -> Option<u32> {
    for _ in 0..2 {
        block = block.strip_prefix(EXIF).unwrap_or(block);
    }
    let read = match block.get(..4)? {
        b"II*\0" | b"II\0*" => Reader { block, is_little: true },
        b"MM\0*" | b"MM*\0" => Reader { block, is_little: false },
        _ => return None,
    };
    let directory = usize::try_from(read.u32(4)?).ok()?;
    let entries = usize::from(read.u16(directory)?);
    let mut found = None; // of several, the last counts
    for entry in 0..entries {
        let at = directory.checked_add(2 + 12 * entry)?;
        match read.u16(at) {
            Some(TAG) => found = read.integer(at).or(found),
            Some(_) => {}
            None => break,
        }
    }
    found
}

/// Numbers of a TIFF block in its byte order.
struct Reader<'a> {
    block: &'a [u8],
    is_little: bool,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.block.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes(at)?;
        Some(if self.is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes(at)?;
        Some(if self.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// The first value of the directory entry at `at`, if it is of a type for whole numbers.
    ///
    /// The standard says SHORT; cameras and programs also write the longer types. A value of up to four bytes stands in the entry.
    fn integer(&self, at: usize) -> Option<u32> {
        let (kind, count) = (self.u16(at + 2)?, self.u32(at + 4)?);
        let size: u32 = match kind {
            6 => 1,          // SBYTE
            3 | 8 => 2,      // SHORT, SSHORT
            4 | 9 | 13 => 4, // LONG, SLONG, IFD
            _ => return None,
        };
        let value = match count.checked_mul(size)? {
            0 => return None,
            1..=4 => at + 8,
            _ => usize::try_from(self.u32(at + 8)?).ok()?,
        };
        match size {
            1 => self.bytes::<1>(value).map(|[byte]| u32::from(byte)),
            2 => self.u16(value).map(u32::from),
            _ => self.u32(value),
        }
    }
}

/// The digit of the first `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
fn in_xmp(packet: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut rest = packet;
    while let Some(at) = rest.windows(NAME.len()).position(|window| window == NAME) {
        rest = &rest[at + NAME.len()..];
        let digit = match rest {
            [b'=', b'"' | b'\'', digit, ..] | [b'>', digit, ..] => char::from(*digit).to_digit(10),
            _ => None,
        };
        if digit.is_some() {
            return digit;
        }
    }
    None
}

#[cfg(test)]
mod tests;
