//! A picture's bytes to 8-bit RGB pixels, upright, on white.
//!
//! Above: `dataset`. Below: the `image` crate, `format`, `jpeg`, `png`, `webp`, `bmp`, `gif`. Not here: resizing (`transform`),
//! which files to read (`folder`).
//! Pixels are `(h, w, 3)`, row by row. The format is found from the content, never from the file's name. Pillow is the reference:
//! what it reads is read within 2 of its pixels (JPEG to the bit), and what it refuses as damaged is refused. Where it differs: the
//! orientation is applied, as by `ImageOps.exif_transpose` (torchvision's loader ignores it); transparency is composed on white
//! (torchvision drops it); 16-bit samples are rounded to 8 bits (of grey ones Pillow cuts off what is above 255); a file is refused
//! where Pillow shows grey or black for what is missing, and read where only its metadata is damaged. Files are hostile: sizes are
//! checked before memory is asked for, nothing panics.

#[cfg(feature = "bmp")]
mod bmp;
mod format;
#[cfg(feature = "gif")]
mod gif;
mod jpeg;
mod orientation;
mod png;
#[cfg(feature = "webp")]
mod webp;

use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::{Error, Result};
use format::Format;

/// The largest `width * height` that is read: 134 million, more than today's largest camera sensors.
pub const MAX_PIXELS: usize = 1 << 27;

/// The longest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 29;

/// Raised whenever a picture may be decoded to other pixels than before, by our code or by another version of a decoder.
#[cfg(feature = "disk-cache")]
pub(crate) const DECODER: &str = if cfg!(feature = "simd-jpeg") { "1 simd-jpeg" } else { "1" };

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

    /// The samples, to be changed in place.
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// The samples alone.
    pub(crate) fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// A picture of the same size with other samples, as many.
    pub(crate) fn with_rgb(&self, rgb: Vec<u8>) -> Self {
        debug_assert_eq!(rgb.len(), self.rgb.len());
        Self { rgb, ..*self }
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
/// [`Error::UnknownFormat`], [`Error::OtherFormat`], [`Error::FormatLeftOut`]; [`Error::Dimensions`] (before any pixel is allocated); [`Error::Truncated`],
/// [`Error::Damaged`], [`Error::Decode`] if it is broken; [`Error::Unsupported`]; [`Error::Decoder`] if the decoder panics.
///
/// # Examples
/// ```
/// # #[cfg(feature = "bmp")]
/// # fn main() -> taper_data::Result<()> {
/// // A BMP of one blue pixel.
/// let mut bmp = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".to_vec();
/// bmp.extend([0; 24]);
/// bmp.extend([255, 0, 0, 0]);
/// let image = taper_data::image::decode(&bmp)?;
/// assert_eq!(image.rgb(), [0, 0, 255]);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "bmp"))]
/// # fn main() {}
/// ```
pub fn decode(bytes: &[u8]) -> Result<Image> {
    decode_turned(bytes).map(|(image, _)| image)
}

/// As [`decode`], and whether the file says (EXIF, XMP) that its pixels have to be turned or mirrored to be upright, as they were then:
/// programs that pass that over see another picture.
///
/// # Errors
/// As [`decode`].
pub fn decode_turned(bytes: &[u8]) -> Result<(Image, bool)> {
    guarded(|| {
        let (mut image, orientation) = match Format::of(bytes)? {
            Format::Jpeg => jpeg::decode(bytes)?,
            Format::Png => png::decode(bytes)?,
            #[cfg(feature = "webp")]
            Format::WebP => webp::decode(bytes)?,
            #[cfg(feature = "bmp")]
            Format::Bmp => (bmp::decode(bytes)?, Orientation::NoTransforms),
            #[cfg(feature = "gif")]
            Format::Gif => (gif::decode(bytes)?, Orientation::NoTransforms),
        };
        image.apply_orientation(orientation);
        let (width, height) = (image.width() as usize, image.height() as usize);
        let is_turned = orientation != Orientation::NoTransforms;
        Ok((Image::new(height, width, rgb_on_white(image))?, is_turned))
    })
}

/// The `(height, width)` that a file's header announces, before orientation.
///
/// # Errors
/// Those of [`decode`] that the header can show.
pub fn header(bytes: &[u8]) -> Result<(usize, usize)> {
    guarded(|| {
        let of = |format| open(bytes, format).map(|decoder| decoder.dimensions());
        let (width, height) = match Format::of(bytes)? {
            Format::Jpeg => jpeg::dimensions(bytes)?,
            #[cfg(feature = "gif")]
            Format::Gif => gif::dimensions(bytes)?,
            Format::Png => sides(of(ImageFormat::Png)?),
            #[cfg(feature = "webp")]
            Format::WebP => sides(of(ImageFormat::WebP)?),
            #[cfg(feature = "bmp")]
            Format::Bmp => sides(of(ImageFormat::Bmp)?),
        };
        Ok((height, width))
    })
}

fn sides((width, height): (u32, u32)) -> (usize, usize) {
    (width as usize, height as usize)
}

/// Whether a file begins like one that is read.
pub(crate) fn sniff(path: &Path) -> Result<()> {
    Format::of(&first_bytes(path, format::LONGEST_MAGIC)?).map(|_| ())
}

/// The bytes of a regular file of sensible length, whatever they are.
///
/// # Errors
/// [`Error::Read`], [`Error::NotRegular`], [`Error::FileTooLong`].
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let bytes = first_bytes(path, MAX_FILE_BYTES + 1)?;
    let got = bytes.len() as u64;
    if got > MAX_FILE_BYTES {
        return Err(Error::FileTooLong { got, limit: MAX_FILE_BYTES });
    }
    Ok(bytes)
}

/// The first `limit` bytes of a regular file, or all.
fn first_bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let wrap = |source| Error::Read { path: path.to_path_buf(), source };
    // Asked before opening: opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(wrap)?.is_file() {
        return Err(Error::NotRegular);
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(wrap)?;
    Ok(bytes)
}

/// A decoder of the `image` crate that has read the header and found its dimensions acceptable.
fn open(bytes: &[u8], format: ImageFormat) -> Result<impl ImageDecoder + '_> {
    if let (ImageFormat::Png, Some((width, height))) = (format, png::dimensions(bytes)) {
        check_dimensions(width, height)?; // the decoder asks for a row's memory while it reads the header
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|source| Error::Decode { source })?;
    let (width, height) = sides(decoder.dimensions());
    check_dimensions(width, height)?;
    Ok(decoder)
}

pub(crate) fn check_dimensions(width: usize, height: usize) -> Result<()> {
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
