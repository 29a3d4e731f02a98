//! A data set in MNIST's four files: pictures and labels, to train on and to test on.
//!
//! Above: users of the crate. Below: `idx`. Not here: the names of the classes, which no file has; batches (`random` for their order).
//! Source: `LeCun`, Cortes, Burges, "The MNIST database of handwritten digits"; Xiao, Rasul, Vollgraf 2017,
//! <https://arxiv.org/abs/1708.07747> (Fashion-MNIST).

use std::path::{Path, PathBuf};

use super::{Array, read};
use crate::error::{Error, Result};

/// Which of the two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The files that begin with `train`.
    Train,
    /// The files that begin with `t10k`.
    Test,
}

/// One part of a data set: gray pictures and their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mnist {
    /// Gray values, `(n, h, w)`, contiguous: 0 is background.
    pub pixels: Vec<u8>,
    /// `[n, h, w]`, none of them 0.
    pub shape: [usize; 3],
    /// Classes, `(n)`.
    pub labels: Vec<u8>,
}

impl Mnist {
    /// Reads `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or the two of `t10k`, in a folder.
    ///
    /// A file may end in `.gz`, and have a dot in place of the hyphen before `idx`, as some tools unpack them.
    ///
    /// # Errors
    /// [`Error::IdxMissing`] if the folder has no such file; those of [`read`]; [`Error::IdxShape`], as the source of
    /// [`Error::Idx`], if the arrays are no pictures and no labels; [`Error::IdxCounts`] if there are not as many of both.
    ///
    /// # Examples
    /// ```
    /// use taper_data::idx::{Mnist, Part};
    /// let dir = tempfile::tempdir()?;
    /// let images = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 9, 0, 0, 0, 9];
    /// std::fs::write(dir.path().join("t10k-images-idx3-ubyte"), images)?;
    /// std::fs::write(dir.path().join("t10k-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 2, 4, 1])?;
    /// let test = Mnist::open(dir.path(), Part::Test)?;
    /// assert_eq!((test.shape, test.labels), ([2, 1, 3], vec![4, 1]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: &Path, part: Part) -> Result<Self> {
        let images_path = find(dir, part, "images", "idx3")?;
        let labels_path = find(dir, part, "labels", "idx1")?;
        let Array { shape, bytes: pixels } = read(&images_path)?;
        let shape = match shape[..] {
            [n, h, w] if !pixels.is_empty() => [n, h, w],
            _ => return Err(misshapen(images_path, shape, "the shape (n, h, w), none of them 0")),
        };
        let Array { shape: labels_shape, bytes: labels } = read(&labels_path)?;
        if labels_shape.len() != 1 {
            return Err(misshapen(labels_path, labels_shape, "the shape (n)"));
        }
        if labels.len() != shape[0] {
            let (dir, images) = (dir.to_path_buf(), shape[0]);
            return Err(Error::IdxCounts { dir, images, labels: labels.len() });
        }
        Ok(Self { pixels, shape, labels })
    }
}

#[cfg(feature = "candle")]
impl Mnist {
    /// The pictures and labels as candle tensors; the bytes are moved, not copied, if the device is the CPU.
    ///
    /// # Shapes
    /// - returns `(n, h, w)` and `(n)`, both `u8`
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device has no memory left, or a field was changed so that the shape no longer fits.
    ///
    /// # Examples
    /// ```
    /// use candle_core::{DType, Device};
    /// let set = taper_data::idx::Mnist { pixels: vec![255; 2 * 3 * 4], shape: [2, 3, 4], labels: vec![1, 0] };
    /// let (images, labels) = set.into_tensors(&Device::Cpu)?;
    /// let xs = (images.unsqueeze(1)?.to_dtype(DType::F32)? / 255.0)?; // (n, 1, h, w), from 0 to 1
    /// assert_eq!(xs.dims(), [2, 1, 3, 4]);
    /// assert_eq!(labels.to_vec1::<u8>()?, [1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_tensors(
        self,
        device: &candle_core::Device,
    ) -> Result<(candle_core::Tensor, candle_core::Tensor)> {
        use candle_core::Tensor;
        let Self { pixels, shape: [n, h, w], labels } = self;
        let tensors = || {
            Ok((Tensor::from_vec(pixels, (n, h, w), device)?, Tensor::from_vec(labels, n, device)?))
        };
        tensors().map_err(|source| Error::Tensor { source })
    }
}

/// The first file there is of the four names it may have.
fn find(dir: &Path, part: Part, what: &str, idx: &str) -> Result<PathBuf> {
    let part = match part {
        Part::Train => "train",
        Part::Test => "t10k",
    };
    let names = ['-', '.'].map(|mark| format!("{part}-{what}{mark}{idx}-ubyte"));
    let paths =
        names.iter().flat_map(|name| ["", ".gz"].map(|end| dir.join(format!("{name}{end}"))));
    let found = paths.into_iter().find(|path| path.exists());
    found.ok_or_else(|| Error::IdxMissing { dir: dir.to_path_buf(), names })
}

fn misshapen(path: PathBuf, got: Vec<usize>, expected: &'static str) -> Error {
    Error::Idx { path, source: Box::new(Error::IdxShape { got, expected }) }
}
