//! A picture as a program has it: a file, the bytes of one, or pixels.
//!
//! Above: `classifier`. Below: `data::image`. Not here: resizing (`preprocess`).

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taper_data::{Image, image};

use crate::error::{Error, Result};

/// A picture to classify. Made from references: `&path`, `&bytes`, `&image`.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A file.
    Path(&'a Path),
    /// The contents of a JPEG, PNG, WebP, BMP or GIF file.
    Bytes(&'a [u8]),
    /// Decoded pixels.
    Image(&'a Image),
}

impl<'a> Input<'a> {
    /// Its pixels.
    pub(crate) fn image(self) -> Result<Cow<'a, Image>> {
        let decoded = match self {
            Self::Path(path) => image::read(path),
            Self::Bytes(bytes) => image::decode(bytes),
            Self::Image(image) => return Ok(Cow::Borrowed(image)),
        };
        decoded.map(Cow::Owned).map_err(|source| self.unusable(source))
    }

    /// The error that says that it cannot be used.
    pub(crate) fn unusable(self, source: taper_data::Error) -> Error {
        Error::Picture { input: self.to_string(), source: Box::new(source) }
    }
}

impl fmt::Display for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "`{}`", path.display()),
            Self::Bytes(bytes) => write!(f, "a picture of {} bytes", bytes.len()),
            Self::Image(image) => {
                write!(f, "a picture of {}x{} pixels", image.width(), image.height())
            }
        }
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({self})")
    }
}

impl<'a> From<&'a Path> for Input<'a> {
    fn from(path: &'a Path) -> Self {
        Self::Path(path)
    }
}

impl<'a> From<&'a PathBuf> for Input<'a> {
    fn from(path: &'a PathBuf) -> Self {
        Self::Path(path)
    }
}

impl<'a> From<&'a [u8]> for Input<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Input<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Input<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Arc<[u8]>> for Input<'a> {
    fn from(bytes: &'a Arc<[u8]>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Image> for Input<'a> {
    fn from(image: &'a Image) -> Self {
        Self::Image(image)
    }
}

impl<'a> From<&'a Arc<Image>> for Input<'a> {
    fn from(image: &'a Arc<Image>) -> Self {
        Self::Image(image)
    }
}
