//! One picture with a name and a target.
//!
//! Above: `dataset`, `loader`. Below: `image`, `cache`. Not here: many of them (`dataset`).

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Check;
use crate::cache::{Cache, Kept};
use crate::error::{Error, Result};
use crate::image::{self, Image};
use crate::targets::Target;

/// A picture with a name and a target: a file, or an encoded or decoded picture in memory.
///
/// Copies share what is in memory.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use taper_data::{Image, Sample};
///
/// let drawn = Sample::from_image("drawn", 1, Arc::new(Image::new(2, 2, vec![255; 12])?));
/// assert_eq!(drawn.image()?.rgb(), [255; 12]);
/// let broken = Sample::from_bytes("broken", 0, *b"no picture");
/// assert_eq!(broken.image().unwrap_err().chain(), "`broken` is not usable: it is no JPEG, PNG, WebP, BMP or GIF file");
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sample {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) contents: Contents,
    /// Length of the encoded picture.
    pub(super) bytes: u64,
    /// Bytes of its pixels, once it was checked.
    pixels: Option<u64>,
    kept: Kept,
}

/// Where a picture is.
#[derive(Debug, Clone)]
pub(super) enum Contents {
    File(PathBuf),
    Static(&'static [u8]),
    Bytes(Arc<[u8]>),
    Image(Arc<Image>),
    Planes(Planes),
    #[cfg_attr(
        not(feature = "webdataset"),
        expect(dead_code, reason = "only shards are files of many")
    )]
    Member(Member),
}

/// A picture in an array of many: its gray values, or all its red, all its green and all its blue values.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    all: Arc<Vec<u8>>,
    start: usize,
    size: [usize; 2],
    layout: Layout,
}

/// The values of a picture in an array.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    Gray,
    Rgb,
}

impl Layout {
    fn planes(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

impl Planes {
    pub(super) fn values(&self) -> &[u8] {
        let length = self.layout.planes() * self.size[0] * self.size[1];
        self.all.get(self.start..self.start + length).unwrap_or_default()
    }

    fn image(&self) -> Result<Image> {
        let [height, width] = self.size;
        let pixels = height * width;
        let values = self.values();
        let rgb = match self.layout {
            Layout::Gray => values.iter().flat_map(|&gray| [gray; 3]).collect(),
            Layout::Rgb => (0..pixels.min(values.len() / 3))
                .flat_map(|at| [values[at], values[pixels + at], values[2 * pixels + at]])
                .collect(),
        };
        Image::new(height, width, rgb)
    }
}

/// An encoded picture in a file of many.
#[derive(Debug, Clone)]
pub(super) struct Member {
    file: Arc<Path>,
    offset: u64,
    length: u64,
}

impl Member {
    fn read(&self) -> Result<Vec<u8>> {
        if self.length > image::MAX_FILE_BYTES {
            return Err(Error::FileTooLong { got: self.length, limit: image::MAX_FILE_BYTES });
        }
        let read = || {
            let mut file = File::open(&self.file)?;
            file.seek(SeekFrom::Start(self.offset))?;
            let mut bytes = Vec::new();
            file.take(self.length).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|source| Error::Read { path: self.file.to_path_buf(), source })
    }
}

impl Sample {
    /// A file, which is not touched yet.
    #[must_use]
    pub fn from_file(name: impl Into<String>, target: impl Into<Target>, path: PathBuf) -> Self {
        Self::new(name.into(), target.into(), Contents::File(path), 0)
    }

    /// An encoded picture that is part of the program.
    #[must_use]
    pub fn from_static(
        name: impl Into<String>,
        target: impl Into<Target>,
        bytes: &'static [u8],
    ) -> Self {
        Self::new(name.into(), target.into(), Contents::Static(bytes), bytes.len())
    }

    /// An encoded picture in memory: the contents of a JPEG, PNG, WebP, BMP or GIF file, not decoded yet.
    #[must_use]
    pub fn from_bytes(
        name: impl Into<String>,
        target: impl Into<Target>,
        bytes: impl Into<Arc<[u8]>>,
    ) -> Self {
        let bytes = bytes.into();
        let length = bytes.len();
        Self::new(name.into(), target.into(), Contents::Bytes(bytes), length)
    }

    /// A decoded picture in memory.
    #[must_use]
    pub fn from_image(
        name: impl Into<String>,
        target: impl Into<Target>,
        image: impl Into<Arc<Image>>,
    ) -> Self {
        let image = image.into();
        let length = image.rgb().len();
        Self::new(name.into(), target.into(), Contents::Image(image), length)
    }

    /// A picture of `size`, `(h, w)`, in an array of many, from `start` on.
    pub(crate) fn from_planes(
        name: String,
        class: u32,
        all: &Arc<Vec<u8>>,
        start: usize,
        size: [usize; 2],
        layout: Layout,
    ) -> Self {
        let contents = Contents::Planes(Planes { all: Arc::clone(all), start, size, layout });
        Self::new(name, class.into(), contents, layout.planes() * size[0] * size[1])
    }

    /// An encoded picture of `length` bytes in a file of many.
    #[cfg(feature = "webdataset")]
    pub(crate) fn from_member(
        name: String,
        class: u32,
        file: Arc<Path>,
        offset: u64,
        length: u64,
    ) -> Self {
        let contents = Contents::Member(Member { file, offset, length });
        Self { bytes: length, ..Self::new(name, class.into(), contents, 0) }
    }

    fn new(name: String, target: Target, contents: Contents, length: usize) -> Self {
        Self { name, target, contents, bytes: length as u64, pixels: None, kept: Kept::default() }
    }

    /// Its name within the data set, such as `train/bees/1.jpg`; `/` on every system.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the network should give for it.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The same picture with another target.
    #[must_use]
    pub fn with_target(self, target: impl Into<Target>) -> Self {
        Self { target: target.into(), ..self }
    }

    /// Bytes of its file, or of what is in memory of it; 0 of a file that was not read yet.
    #[must_use]
    pub fn encoded_bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of its pixels, as its header announces them where it is not decoded; 0 if that cannot be read.
    #[must_use]
    pub fn decoded_bytes(&self) -> u64 {
        match &self.contents {
            Contents::Image(_) => self.bytes,
            Contents::Planes(Planes { size: [h, w], .. }) => 3 * (h * w) as u64,
            Contents::File(_) | Contents::Static(_) | Contents::Bytes(_) | Contents::Member(_) => {
                let of_header = || self.encoded().map_or(0, |encoded| announced(&encoded));
                self.pixels.unwrap_or_else(of_header)
            }
        }
    }

    /// Bytes that it holds in memory itself, without what a [`Cache`] keeps.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        match &self.contents {
            Contents::Bytes(_) | Contents::Image(_) | Contents::Planes(_) => self.bytes,
            Contents::File(_) | Contents::Static(_) | Contents::Member(_) => 0,
        }
    }

    /// The index of its class, if that is what the network should give.
    #[must_use]
    pub fn class(&self) -> Option<u32> {
        self.target.class()
    }

    /// Its file, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.contents {
            Contents::File(path) => Some(path),
            Contents::Static(_)
            | Contents::Bytes(_)
            | Contents::Image(_)
            | Contents::Planes(_)
            | Contents::Member(_) => None,
        }
    }

    /// Whether its pixels are kept: in memory, or in a [`Cache`].
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self.contents, Contents::Image(_) | Contents::Planes(_)) || self.kept.is_kept()
    }

    /// Lets a cache keep its pixels, unless one does.
    pub(crate) fn keep_in(&mut self, cache: &Cache) {
        if !self.kept.has_cache() {
            self.kept = Kept::by(cache);
        }
    }

    /// Its pixels: those kept, or decoded now.
    ///
    /// # Errors
    /// [`Error::Sample`] with its name; the cause is one of [`image::read`].
    pub fn image(&self) -> Result<Arc<Image>> {
        self.image_in(&mut Vec::new())
    }

    /// The same, with memory that pixels from a file may be read into; it is taken then.
    pub(crate) fn image_in(&self, buffer: &mut Vec<u8>) -> Result<Arc<Image>> {
        match &self.contents {
            Contents::Image(image) => return Ok(Arc::clone(image)),
            Contents::Planes(planes) => return planes.image().map(Arc::new),
            Contents::File(_) | Contents::Static(_) | Contents::Bytes(_) | Contents::Member(_) => {}
        }
        if let Some(image) = self.kept.get(buffer) {
            return Ok(image);
        }
        let decoded = self.encoded().and_then(|encoded| self.kept.decode(&encoded, buffer));
        decoded
            .map_err(|source| Error::Sample { name: self.name.clone(), source: Box::new(source) })
    }

    /// The encoded picture; nothing of one that is decoded.
    fn encoded(&self) -> Result<Cow<'_, [u8]>> {
        match &self.contents {
            Contents::File(path) => image::read_bytes(path).map(Cow::Owned),
            Contents::Static(bytes) => Ok(Cow::Borrowed(bytes)),
            Contents::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Contents::Member(member) => member.read().map(Cow::Owned),
            Contents::Image(_) | Contents::Planes(_) => Ok(Cow::Borrowed(&[])),
        }
    }

    /// Reads it once as `check` says.
    pub(super) fn check(&mut self, check: Check) -> Result<()> {
        if let Contents::Image(_) | Contents::Planes(_) = self.contents {
            return Ok(());
        }
        let decodes = match check {
            Check::Nothing => return Ok(()),
            Check::Headers => false,
            Check::Pixels => true,
        };
        let encoded = self.encoded()?;
        match decodes {
            true => self.kept.check(&encoded)?,
            false => drop(image::header(&encoded)?),
        }
        let (length, pixels) = (encoded.len() as u64, announced(&encoded));
        (self.bytes, self.pixels) = (length, Some(pixels));
        Ok(())
    }
}

/// Bytes of the pixels that a header announces.
fn announced(encoded: &[u8]) -> u64 {
    image::header(encoded).map_or(0, |(height, width)| 3 * (height * width) as u64)
}
