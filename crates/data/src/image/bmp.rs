//! BMP files, with what programs leave out of them.
//!
//! Above: `image`. Below: the `image` crate. Not here: headers, palettes, bit fields, run lengths (the `image` crate).
//! An alpha channel of zeros is an unused one. The padding behind the last row may be missing.
//! Source: Microsoft's documentation of BITMAPFILEHEADER, BITMAPINFOHEADER and BITMAPV5HEADER.

use std::borrow::Cow;

use ::image::{DynamicImage, ImageFormat};

use super::open;
use crate::error::{Error, Result};

/// The pixels.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage> {
    let whole = with_padding(bytes)?;
    let decoder = open(&whole, ImageFormat::Bmp)?;
    let mut image =
        DynamicImage::from_decoder(decoder).map_err(|source| Error::Decode { source })?;
    if let DynamicImage::ImageRgba8(rgba) = &mut image
        && rgba.pixels().all(|pixel| pixel.0[3] == 0)
    {
        rgba.pixels_mut().for_each(|pixel| pixel.0[3] = 255);
    }
    Ok(image)
}

/// The file, or one whose last row is filled to a multiple of four bytes.
fn with_padding(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    let Some(layout) = layout(bytes) else { return Ok(bytes.into()) };
    if layout.start < 26 {
        let what =
            format!("its pixels are said to begin at byte {}, inside of the header", layout.start);
        return Err(Error::Damaged { format: "BMP", what });
    }
    let missing = layout.end.saturating_sub(bytes.len());
    if missing == 0 || missing > layout.padding {
        return Ok(bytes.into());
    }
    let mut whole = bytes.to_vec();
    whole.resize(layout.end, 0);
    Ok(whole.into())
}

/// Where the rows of a picture lie that is not compressed.
struct Layout {
    start: usize,
    end: usize,
    /// Bytes that follow every row.
    padding: usize,
}

fn layout(bytes: &[u8]) -> Option<Layout> {
    let word = |at: usize| -> Option<i32> {
        bytes.get(at..at + 4)?.try_into().ok().map(i32::from_le_bytes)
    };
    let half = |at: usize| -> Option<u16> {
        bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
    };
    let start = usize::try_from(word(10)?).ok()?;
    let (width, height, bits) = match word(14)? {
        12 => (u32::from(half(18)?), u32::from(half(20)?), half(24)?),
        _ if matches!(word(30)?, 0 | 3 | 6) => {
            (word(18)?.unsigned_abs(), word(22)?.unsigned_abs(), half(28)?)
        }
        _ => return None, // run lengths
    };
    let row = usize::try_from(u64::from(width) * u64::from(bits)).ok()?.div_ceil(8);
    let padding = row.next_multiple_of(4) - row;
    let end = usize::try_from(height).ok()?.checked_mul(row + padding)?.checked_add(start)?;
    Some(Layout { start, end, padding })
}
