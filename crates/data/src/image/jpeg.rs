//! JPEG pixels as libjpeg-turbo computes them, or the reason why a file is refused.
//!
//! Above: `image`. Below: `segments`, `planes`, `orientation`, `libjpeg-turbo-rs`. Not here: turning (`image`).
//! Networks were trained on libjpeg's pixels. A decoder that rounds otherwise where colors are subsampled moves a probability by up
//! to 0.03 (decision note 0013). Decoders fill what is missing or damaged with grey and report success; training on grey would be
//! worse than skipping the file by name, so the strict ways of this one are used, and `segments` looks for what they let pass.

mod planes;
mod segments;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use super::{MAX_DECODER_BYTES, MAX_PIXELS, check_dimensions, orientation};
use crate::error::{Error, Result};

/// The most scans that are read. Encoders write about ten; thousands of empty ones are an attack on the reader's time.
const MAX_SCANS: usize = 500;

/// The pixels, and how they must be turned.
pub(super) fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation)> {
    segments::check(bytes)?;
    let mut decoder = open(bytes)?;
    let orientation = orientation::of(decoder.exif_data(), decoder.xmp_data());
    let frame = decoder.header().clone();
    let (width, height, rgb) = if planes::are_needed(&frame) {
        let color = decoder.jpeg_color_space();
        planes::to_rgb(&decoder.decode_raw().map_err(refused)?, &frame, color)?
    } else {
        decoder.set_output_format(PixelFormat::Rgb);
        decoder.set_block_smoothing(true); // as libjpeg, where a progressive file stops refining
        let image = decoder.decode_image().map_err(refused)?;
        (image.width, image.height, image.data)
    };
    let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or_default());
    let image =
        RgbImage::from_raw(width, height, rgb).ok_or_else(|| damaged("its size is wrong"))?;
    Ok((image.into(), orientation))
}

/// Width and height before turning.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(usize, usize)> {
    let decoder = open(bytes)?;
    Ok((decoder.header().width.into(), decoder.header().height.into()))
}

/// A decoder that has read the headers and found them acceptable.
fn open(bytes: &[u8]) -> Result<Decoder<'_>> {
    let limits = DecodeLimits {
        max_pixels: MAX_PIXELS as u64,
        max_memory: Some(MAX_DECODER_BYTES),
        max_scans: MAX_SCANS,
        ..DecodeLimits::default()
    };
    let decoder = Decoder::new_with_limits(bytes, limits).map_err(refused)?;
    let frame = decoder.header();
    check_dimensions(frame.width.into(), frame.height.into())?;
    if frame.precision != 8 {
        return Err(unsupported(format!("samples of {} bits; 8 are read", frame.precision)));
    }
    if !matches!(frame.components.len(), 1 | 3 | 4) {
        return Err(unsupported(format!(
            "{} components; 1, 3 or 4 are read",
            frame.components.len()
        )));
    }
    Ok(decoder)
}

/// What the decoder refuses, in this crate's words.
fn refused(error: JpegError) -> Error {
    match error {
        JpegError::UnexpectedEof => Error::Truncated { format: "JPEG" },
        JpegError::Unsupported(what) => unsupported(what),
        JpegError::LimitExceeded { .. } | JpegError::AllocationFailed { .. } => {
            unsupported(error.to_string())
        }
        JpegError::CorruptData(what) => damaged(what),
        other => damaged(other.to_string()),
    }
}

fn damaged(what: impl Into<String>) -> Error {
    Error::Damaged { format: "JPEG", what: what.into() }
}

fn unsupported(what: impl Into<String>) -> Error {
    Error::Unsupported { format: "JPEG", what: what.into() }
}
