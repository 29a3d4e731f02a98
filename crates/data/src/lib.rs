//! From image files to batches: folders, decoding, transforms, sampling and parallel prefetch.
//!
//! Above: `recipes`, `train`. Below: the `image`, `libjpeg-turbo-rs` and `flate2` crates. Not here: what a network wants to see (`model::Preprocess`), losses.
//! A batch is a pure function of (samples, transform, seed, epoch): the same on any number of threads. Samples may be files, bytes or
//! pixels in memory ([`Sample`]), and a [`Transform`] may be one of your own.
//!
//! ```
//! use taper_data::{Interpolation, Loader, LoaderOptions, Order, TrainTransform, sample_set};
//!
//! # fn main() -> taper_data::Result<()> {
//! let dataset = sample_set::emoji6()?;
//! assert_eq!(dataset.classes, ["animal", "clothing", "face", "food", "tool", "vehicle"]);
//!
//! let transform = TrainTransform::imagenet([32, 32], Interpolation::Bilinear)?;
//! let options = LoaderOptions { order: Order::Shuffled, ..LoaderOptions::default() };
//! let loader = Loader::new(&dataset.train, transform.into(), &options)?;
//! for batch in loader.epoch(0, 0) {
//!     let batch = batch?;
//!     assert_eq!(batch.xs.len(), batch.targets.len() * 32 * 32 * 3);
//! }
//! # Ok(())
//! # }
//! ```

mod array;
pub mod augment;
pub mod batch;
pub mod cache;
pub mod dataset;
mod error;
pub mod folder;
pub mod idx;
pub mod image;
pub mod likeness;
pub mod loader;
pub mod mix;
mod parallel;
pub mod random;
pub mod sample_set;
pub mod source;
#[cfg(feature = "table")]
pub mod table;
pub mod targets;
pub mod transform;

pub use array::Array;
pub use batch::{Batch, Rendition};
pub use cache::{Cache, CacheUsage};
pub use dataset::{Check, Dataset, Sample, Skipped};
pub use error::{Error, Result};
pub use folder::ImageFolder;
pub use image::Image;
pub use loader::{Loader, LoaderOptions, Order};
pub use mix::Mix;
pub use parallel::MAX_THREADS;
pub use source::Source;
pub use targets::{Target, TargetKind, Targets};
pub use transform::{EvalTransform, Interpolation, Normalize, Resize, TrainTransform, Transform};
