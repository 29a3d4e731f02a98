//! PNG files: their end, which may be missing, and the orientation.
//!
//! Above: `image`. Below: `orientation`, the `image` crate, `flate2`. Not here: filters, palettes, interlacing (the `image` crate).
//! A file without its last chunk, or cut behind its last pixel, is read, as by Pillow; one that is cut before is refused. Of an
//! animation the default image is read.
//! Source: W3C PNG (third edition), sections 5 and 11; RFC 1950 and 1951. How `ImageMagick` and `ExifTool` write profiles as text.

use std::borrow::Cow;
use std::io::Read;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageFormat};
use flate2::read::ZlibDecoder;

use super::{check_dimensions, open, orientation};
use crate::error::{Error, Result};

/// The longest text or profile that is unpacked, in bytes: EXIF has at most 64 KiB, written in hexadecimal.
const MAX_TEXT: u64 = 1 << 20;

/// Where the first chunk begins.
const SIGNATURE: usize = 8;

/// The pixels, and how they must be turned.
pub(super) fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation)> {
    if let Some((width, height)) = dimensions(bytes) {
        check_dimensions(width, height)?; // before memory is asked for to complete the file
    }
    let whole = with_end(bytes)?;
    let decoder = open(&whole, ImageFormat::Png)?;
    let image = DynamicImage::from_decoder(decoder).map_err(|source| Error::Decode { source })?;
    Ok((image, orientation_of(bytes)))
}

/// Width and height that the file announces: the first chunk is the header, by the format's definition.
pub(super) fn dimensions(bytes: &[u8]) -> Option<(usize, usize)> {
    Some((word(bytes, 16)?, word(bytes, 20)?))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(word)).ok()
}

/// A chunk; of the last one of a cut file, what there is of its data.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    /// Where its length stands in the file.
    at: usize,
    kind: &'a [u8],
    data: &'a [u8],
}

/// The chunks, up to the end chunk or the end of the file.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut next = SIGNATURE;
    std::iter::from_fn(move || {
        let at = next;
        let length = word(bytes, at)?;
        let kind = bytes.get(at + 4..at + 8)?;
        let end = (at + 8).saturating_add(length);
        next = end.saturating_add(4);
        let data = &bytes[at + 8..end.min(bytes.len())];
        kind.iter().all(u8::is_ascii_alphabetic).then_some(Chunk { at, kind, data })
    })
}

/// The file, or if its end chunk is missing and all pixels are there, a copy that has it.
fn with_end(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    if chunks(bytes).any(|chunk| chunk.kind == b"IEND") {
        return Ok(bytes.into());
    }
    let Some(first) = chunks(bytes).find(|chunk| chunk.kind == b"IDAT") else {
        return Err(Error::Truncated { format: "PNG" });
    };
    let packed: Vec<u8> = chunks(bytes)
        .skip_while(|chunk| chunk.kind != b"IDAT")
        .take_while(|chunk| chunk.kind == b"IDAT")
        .flat_map(|chunk| chunk.data)
        .copied()
        .collect();
    let expected = raw_length(bytes).ok_or(Error::Truncated { format: "PNG" })?;
    let mut raw = Vec::new();
    // What is missing or damaged behind the last pixel does not matter; what is missing before it shows in the length.
    let _ = ZlibDecoder::new(packed.as_slice()).take(expected).read_to_end(&mut raw);
    if (raw.len() as u64) < expected {
        return Err(Error::Truncated { format: "PNG" });
    }
    let mut whole = bytes[..first.at].to_vec();
    push_chunk(&mut whole, b"IDAT", &stored(&raw));
    push_chunk(&mut whole, b"IEND", &[]);
    Ok(whole.into())
}

/// The bytes of all rows with their filters, from the header: `ceil(width * bits / 8) + 1` for each, pass by pass if interlaced.
fn raw_length(bytes: &[u8]) -> Option<u64> {
    /// Adam7: first column and row, and the steps to the next.
    const PASSES: [[u64; 4]; 7] = [
        [0, 0, 8, 8],
        [4, 0, 8, 8],
        [0, 4, 4, 8],
        [2, 0, 4, 4],
        [0, 2, 2, 4],
        [1, 0, 2, 2],
        [0, 1, 1, 2],
    ];
    let (width, height) = dimensions(bytes)?;
    let (width, height) = (width as u64, height as u64);
    let &[depth, color, _, _, interlace] = bytes.get(24..29)? else { return None };
    let samples = match color {
        0 | 3 => 1,
        4 => 2,
        2 => 3,
        6 => 4,
        _ => return None,
    };
    let rows = |width: u64, height: u64| match width {
        0 => 0,
        _ => height * ((width * samples * u64::from(depth)).div_ceil(8) + 1),
    };
    Some(match interlace {
        0 => rows(width, height),
        _ => PASSES
            .iter()
            .map(|[x, y, dx, dy]| {
                rows(
                    width.saturating_sub(*x).div_ceil(*dx),
                    height.saturating_sub(*y).div_ceil(*dy),
                )
            })
            .sum(),
    })
}

/// A zlib stream that holds the bytes as they are.
#[expect(clippy::cast_possible_truncation, reason = "blocks have at most 65,535 bytes")]
fn stored(raw: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 0xffff;
    let mut stream = vec![0x78, 0x01];
    let n = raw.len().div_ceil(BLOCK);
    for (i, block) in raw.chunks(BLOCK).enumerate() {
        let length = block.len() as u16;
        stream.push(u8::from(i + 1 == n));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(raw).to_be_bytes());
    stream
}

/// RFC 1950's checksum; sums of 5,552 bytes do not overflow.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for block in bytes.chunks(5552) {
        for &byte in block {
            a += u32::from(byte);
            b += a;
        }
        a %= 65_521;
        b %= 65_521;
    }
    b << 16 | a
}

#[expect(clippy::cast_possible_truncation, reason = "pixels of a picture within the limits fit")]
fn push_chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(data);
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    file.extend(crc.sum().to_be_bytes());
}

/// From the chunk `eXIf`, a text chunk with a raw profile in hexadecimal, or XMP.
fn orientation_of(bytes: &[u8]) -> Orientation {
    let (mut exif, mut xmp) = (None, None);
    for chunk in chunks(bytes) {
        match chunk.kind {
            b"eXIf" => exif = Some(Cow::Borrowed(chunk.data)),
            b"tEXt" | b"zTXt" | b"iTXt" => match text(&chunk) {
                Some((b"Raw profile type exif" | b"Raw profile type APP1", text)) => {
                    exif = exif.or_else(|| raw_profile(&text).map(Cow::Owned));
                }
                Some((b"XML:com.adobe.xmp", packet)) => xmp = Some(packet),
                _ => {}
            },
            b"IEND" => break,
            _ => {}
        }
    }
    orientation::of(exif.as_deref(), xmp.as_deref())
}

/// Keyword and text of a text chunk, unpacked.
fn text<'a>(chunk: &Chunk<'a>) -> Option<(&'a [u8], Cow<'a, [u8]>)> {
    let (keyword, rest) = split_at_zero(chunk.data)?;
    let (is_packed, text) = match chunk.kind {
        b"tEXt" => (false, rest),
        b"zTXt" => (true, rest.get(1..)?), // behind the compression method
        _ => {
            let (&[is_packed, _method], rest) = rest.split_first_chunk()?;
            let (_language, rest) = split_at_zero(rest)?;
            let (_translated_keyword, text) = split_at_zero(rest)?;
            (is_packed != 0, text)
        }
    };
    if !is_packed {
        return Some((keyword, text.into()));
    }
    let mut unpacked = Vec::new();
    ZlibDecoder::new(text).take(MAX_TEXT).read_to_end(&mut unpacked).ok()?;
    Some((keyword, unpacked.into()))
}

fn split_at_zero(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.iter().position(|&byte| byte == 0)?;
    Some((&data[..at], &data[at + 1..]))
}

/// The bytes of a profile that is written as a line break, a name, a length and hexadecimal digits in lines.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.splitn(4, |&byte| byte == b'\n');
    let (_empty, _name, _length, digits) =
        (lines.next()?, lines.next()?, lines.next()?, lines.next()?);
    let nibbles: Vec<u8> = digits
        .iter()
        .filter_map(|&byte| {
            char::from(byte).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok())
        })
        .collect();
    Some(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests;
