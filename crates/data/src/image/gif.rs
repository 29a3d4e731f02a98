//! GIF files: the first frame on its canvas.
//!
//! Above: `image`. Below: the `gif` crate. Not here: the frames that follow, and how they replace each other.
//! As in Pillow: the canvas grows to hold the frame; what the frame leaves free is transparent if the frame has a transparent
//! color (which is white here), else of the first color; a color that the palette lacks is black.
//! Source: the specification of `GIF89a`, sections 18 to 23.

use std::num::NonZeroU64;

use ::gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, Frame, MemoryLimit};
use ::image::{DynamicImage, RgbImage};

use super::{MAX_PIXELS, check_dimensions};
use crate::error::{Error, Result};

/// The pixels.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage> {
    let (mut decoder, width, height) = open(bytes)?;
    let frame = decoder.current_frame_info().ok_or(Error::Truncated { format: "GIF" })?.clone();
    let mut indices = vec![0; usize::from(frame.width) * usize::from(frame.height)];
    decoder.read_into_buffer(&mut indices).map_err(damaged)?;
    let palette = decoder.palette().map_err(damaged)?;
    let color = |index: u8| match palette.chunks_exact(3).nth(index.into()) {
        _ if Some(index) == frame.transparent => [255; 3],
        Some(rgb) => [rgb[0], rgb[1], rgb[2]],
        None => [0; 3],
    };
    let colors: Vec<[u8; 3]> = (0..=255).map(color).collect();
    let free = frame.transparent.unwrap_or(0);
    let mut pixels = Vec::with_capacity(width * height * 3);
    for index in on_canvas(&frame, &indices, width, height, free) {
        pixels.extend(colors[usize::from(index)]);
    }
    let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or_default());
    RgbImage::from_raw(width, height, pixels)
        .map(DynamicImage::ImageRgb8)
        .ok_or(Error::Truncated { format: "GIF" })
}

/// The `(width, height)` of the canvas.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(usize, usize)> {
    open(bytes).map(|(_, width, height)| (width, height))
}

/// A decoder that has read the first frame's header, and the canvas' width and height, which are acceptable.
fn open(bytes: &[u8]) -> Result<(Decoder<&[u8]>, usize, usize)> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    if let Some(limit) = NonZeroU64::new(MAX_PIXELS as u64) {
        options.set_memory_limit(MemoryLimit::Bytes(limit));
    }
    let mut decoder = options.read_info(bytes).map_err(damaged)?;
    let screen = [decoder.width(), decoder.height()].map(usize::from);
    let Some(frame) = decoder.next_frame_info().map_err(damaged)? else {
        return Err(Error::Truncated { format: "GIF" });
    };
    let width = screen[0].max(usize::from(frame.left) + usize::from(frame.width));
    let height = screen[1].max(usize::from(frame.top) + usize::from(frame.height));
    check_dimensions(width, height)?;
    check_dimensions(frame.width.into(), frame.height.into())?;
    Ok((decoder, width, height))
}

/// The canvas' indices, row by row, `free` where the frame is not.
fn on_canvas(frame: &Frame<'_>, indices: &[u8], width: usize, height: usize, free: u8) -> Vec<u8> {
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let columns = usize::from(frame.width);
    let mut canvas = vec![free; width * height];
    for (row, pixels) in indices.chunks_exact(columns).enumerate() {
        let at = (top + row) * width + left;
        canvas[at..at + columns].copy_from_slice(pixels);
    }
    canvas
}

fn damaged(error: DecodingError) -> Error {
    match error {
        DecodingError::UnexpectedEof => Error::Truncated { format: "GIF" },
        other => Error::Damaged { format: "GIF", what: other.to_string() },
    }
}
