//! A picture's bytes to 8-bit RGB pixels, upright, on white.
//!
//! Above: `dataset`. Below: the `image` crate, `jpeg`. Not here: resizing (`transform`), which files to read (`folder`).
//! Pixels are `(h, w, 3)`, row by row. The format is found from the content, never from the file's name. The EXIF
//! orientation is applied (torchvision's loader ignores it), transparency is composed on white (torchvision drops
//! it), 16-bit samples are rounded to 8 bits, of an animation the first frame is read, CMYK follows Adobe's inverted
//! convention as in Pillow. JPEG pixels are libjpeg-turbo's to the bit, and so Pillow's. Files are hostile: sizes are
//! checked before memory is asked for, nothing panics.

mod jpeg;

use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::{Error, Result};

/// The largest `width * height` that is read: 134 million, more than today's largest camera sensors.
pub const MAX_PIXELS: usize = 1 << 27;

/// The longest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 29;

/// What a decoder may allocate, in bytes: [`MAX_PIXELS`] at 8 bytes (RGBA, 16 bits).
const MAX_DECODER_BYTES: u64 = 8 << 27;

/// An RGB picture, 8 bits a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    height: usize,
    width: usize,
    rgb: Vec<u8>,
}

impl Image {
    /// A picture of `(height, width, 3)` samples.
    ///
    /// # Errors
    /// [`Error::Dimensions`] without pixels or with more than [`MAX_PIXELS`], [`Error::Pixels`] if `rgb` has
    /// another length than `height * width * 3`.
    ///
    /// # Examples
    /// ```
    /// let white = taper_data::Image::new(2, 5, vec![255; 2 * 5 * 3])?;
    /// assert_eq!((white.height(), white.width()), (2, 5));
    /// # Ok::<(), taper_data::Error>(())
    /// ```
    pub fn new(height: usize, width: usize, rgb: Vec<u8>) -> Result<Self> {
        check_dimensions(width, height)?;
        let expected = height * width * 3;
        if rgb.len() != expected {
            return Err(Error::Pixels { height, width, expected, got: rgb.len() });
        }
        Ok(Self { height, width, rgb })
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The samples, `(height, width, 3)`, red, green, blue.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

/// Reads and decodes a file.
///
/// # Errors
/// Those of [`decode`], and [`Error::Read`], [`Error::NotRegular`], [`Error::FileTooLong`].
pub fn read(path: &Path) -> Result<Image> {
    decode(&read_bytes(path)?)
}

/// Decodes a JPEG, PNG, WebP, BMP or GIF file given as bytes.
///
/// # Errors
/// [`Error::UnknownFormat`], [`Error::Dimensions`] (before any pixel is allocated), [`Error::Truncated`],
/// [`Error::Decode`]; [`Error::Decoder`] if the decoder panics.
///
/// # Examples
/// ```
/// # fn main() -> taper_data::Result<()> {
/// // A BMP of one blue pixel.
/// let mut bmp = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".to_vec();
/// bmp.extend([0; 24]);
/// bmp.extend([255, 0, 0, 0]);
/// let image = taper_data::image::decode(&bmp)?;
/// assert_eq!(image.rgb(), [0, 0, 255]);
/// # Ok(())
/// # }
/// ```
pub fn decode(bytes: &[u8]) -> Result<Image> {
    guarded(|| {
        let (mut decoder, format) = open(bytes)?;
        if format == ImageFormat::Jpeg && !jpeg::is_complete(bytes) {
            return Err(Error::Truncated { format: "JPEG" });
        }
        // Metadata that cannot be parsed is no reason to refuse the pixels.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let as_libjpeg = (format == ImageFormat::Jpeg).then(|| jpeg::decode(bytes)).flatten();
        let mut image = match as_libjpeg {
            Some(image) => DynamicImage::ImageRgb8(image),
            None => {
                DynamicImage::from_decoder(decoder).map_err(|source| Error::Decode { source })?
            }
        };
        image.apply_orientation(orientation);
        let (width, height) = (image.width() as usize, image.height() as usize);
        Image::new(height, width, rgb_on_white(image))
    })
}

/// The `(height, width)` that a file's header announces, before orientation.
///
/// # Errors
/// Those of [`decode`] that the header can show.
pub fn header(bytes: &[u8]) -> Result<(usize, usize)> {
    guarded(|| {
        let (width, height) = open(bytes)?.0.dimensions();
        Ok((height as usize, width as usize))
    })
}

/// The bytes of a regular file of sensible length.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let wrap = |source| Error::Read { path: path.to_path_buf(), source };
    // Asked before opening: opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(wrap)?.is_file() {
        return Err(Error::NotRegular);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(wrap)?;
    let got = bytes.len() as u64;
    if got > MAX_FILE_BYTES {
        return Err(Error::FileTooLong { got, limit: MAX_FILE_BYTES });
    }
    Ok(bytes)
}

/// A decoder that has read the header and found its dimensions acceptable.
fn open(bytes: &[u8]) -> Result<(impl ImageDecoder + '_, ImageFormat)> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|source| Error::Decode { source: ::image::ImageError::IoError(source) })?;
    let Some(
        format @ (ImageFormat::Jpeg
        | ImageFormat::Png
        | ImageFormat::WebP
        | ImageFormat::Bmp
        | ImageFormat::Gif),
    ) = reader.format()
    else {
        return Err(Error::UnknownFormat);
    };
    if let (ImageFormat::Png, Some((width, height))) = (format, png_dimensions(bytes)) {
        check_dimensions(width, height)?; // the decoder asks for a row's memory while it reads the header
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|source| Error::Decode { source })?;
    let (width, height) = decoder.dimensions();
    check_dimensions(width as usize, height as usize)?;
    Ok((decoder, format))
}

/// Width and height that a PNG announces: the first chunk is the header, by the format's definition.
fn png_dimensions(bytes: &[u8]) -> Option<(usize, usize)> {
    let side = |at: usize| {
        let word: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(word) as usize)
    };
    Some((side(16)?, side(20)?))
}

fn check_dimensions(width: usize, height: usize) -> Result<()> {
    match width.checked_mul(height) {
        Some(1..=MAX_PIXELS) => Ok(()),
        _ => Err(Error::Dimensions { width, height, limit: MAX_PIXELS }),
    }
}

/// Turns a decoder's panic into an error: one file must not end a run of hours.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Nothing outlives a panic but the error: the closures own their decoder and borrow only the file's bytes.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "it panicked".to_owned());
        Err(Error::Decoder { message })
    })
}

/// The samples as 8-bit RGB, transparency composed on white: `(c * a + 255 * (255 - a)) / 255`, rounded.
#[expect(clippy::cast_possible_truncation, reason = "a weighted mean of two bytes is a byte")]
fn rgb_on_white(image: DynamicImage) -> Vec<u8> {
    if !image.color().has_alpha() {
        return image.into_rgb8().into_raw();
    }
    let rgba = image.into_rgba8();
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for pixel in rgba.as_raw().chunks_exact(4) {
        let alpha = u32::from(pixel[3]);
        rgb.extend(
            pixel[..3]
                .iter()
                .map(|&c| ((2 * (u32::from(c) * alpha + 255 * (255 - alpha)) + 255) / 510) as u8),
        );
    }
    rgb
}

#[cfg(test)]
mod tests;
