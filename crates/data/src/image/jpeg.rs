//! JPEG pixels as libjpeg-turbo computes them, and whether a file is all there.
//!
//! Above: `image`. Below: `libjpeg-turbo-rs`. Not here: CMYK and what that crate refuses (the `image` crate).
//! Networks were trained on libjpeg's pixels. A decoder that rounds otherwise where colors are subsampled moves a probability by up
//! to 0.03 (decision note 0013).
//! Decoders fill the missing rows of a truncated file with grey and report success; training on grey would be worse than skipping
//! the file by name.
//! Source: ITU-T T.81, section B.1.1 (markers) and B.2 (order of segments).

use std::panic::catch_unwind;

use ::image::RgbImage;
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use super::{MAX_DECODER_BYTES, MAX_PIXELS};

/// The pixels of a grey or three-color picture of 8 bits; `None` for another one, and for one that the decoder refuses.
pub(super) fn decode(bytes: &[u8]) -> Option<RgbImage> {
    // What panics here is left to the other decoder, as what is refused.
    catch_unwind(|| {
        let limits = DecodeLimits {
            max_pixels: MAX_PIXELS as u64,
            max_memory: Some(MAX_DECODER_BYTES),
            ..DecodeLimits::default()
        };
        let mut decoder = Decoder::new(bytes).ok()?.with_limits(limits);
        let frame = decoder.header();
        if frame.precision != 8 || !matches!(frame.components.len(), 1 | 3) {
            return None;
        }
        decoder.set_output_format(PixelFormat::Rgb);
        let image = decoder.decode_image().ok()?;
        let [width, height] = [image.width, image.height].map(u32::try_from);
        RgbImage::from_raw(width.ok()?, height.ok()?, image.data)
    })
    .ok()
    .flatten()
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Whether the end marker follows the picture's data.
///
/// Walks the segments by their lengths, so the end marker of an embedded thumbnail does not count.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 0;
    loop {
        // Anything before the next marker is entropy-coded data (or filling).
        let Some(marker) = next_marker(bytes, &mut at) else { return false };
        match marker {
            EOI => return true,
            SOI | 0x01 => {} // markers without a segment
            _ => {
                let Some(&[high, low]) = bytes.get(at..at + 2) else { return false };
                at += usize::from(u16::from_be_bytes([high, low])).max(2);
                if marker == SOS && at >= bytes.len() {
                    return false;
                }
            }
        }
    }
}

/// The next marker's code at or after `at`, which moves behind it. Stuffed zeros and restart markers are data.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        *at += rest.iter().position(|&b| b == 0xff)? + 1;
        match *bytes.get(*at)? {
            0xff => {} // filling: the marker's code is still to come
            0x00 | 0xd0..=0xd7 => *at += 1,
            code => {
                *at += 1;
                return Some(code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    #[test]
    fn the_end_marker_of_a_thumbnail_does_not_count() {
        let thumbnail = [0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2, 0xff, 0xda, 0, 2, 7, 7];
        assert!(!is_complete(&thumbnail));
        let mut whole = thumbnail.to_vec();
        whole.extend([0xff, 0, 0xff, 0xd3, 9, 0xff, 0xff, 0xd9]);
        assert!(is_complete(&whole));
        whole.extend(b"trailing bytes");
        assert!(is_complete(&whole));
    }

    #[test]
    fn every_prefix_is_incomplete() {
        let whole =
            [0xff, 0xd8, 0xff, 0xdb, 0, 3, 1, 0xff, 0xda, 0, 3, 1, 5, 0xff, 0, 5, 0xff, 0xd9];
        assert!(is_complete(&whole));
        for n in 0..whole.len() {
            assert!(!is_complete(&whole[..n]), "{n}");
        }
    }
}
