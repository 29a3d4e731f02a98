//! What embedding pictures and finding similar ones need to know.
//!
//! Above: `embed`, `similar`, the binary's flags. Below: `at_least`. Not here: how it is done (`embed`, `similar`).

use std::path::PathBuf;

use super::{FineTuneOptions, at_least, check_threads};
use crate::error::Result;

/// What embedding needs to know.
///
/// ```
/// use taper_recipes::EmbedOptions;
///
/// let options = EmbedOptions::new("photos", "photos.npy");
/// assert_eq!(options.model, "mobilenetv2_100.tv_in1k");
/// assert!(EmbedOptions { batch_size: 0, ..options }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// A folder of pictures, in classes or not.
    pub data: PathBuf,
    /// The file, in the format that its extension says: `.safetensors`, `.npy` or `.csv`. One that is there is replaced.
    pub out: PathBuf,
    /// Pictures a batch, 1 or more.
    pub batch_size: usize,
    /// Threads of computing and of reading pictures; 0 for all there are.
    pub threads: usize,
}

impl EmbedOptions {
    /// With the network that is fine-tuned by default, on all threads.
    pub fn new(data: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        EmbedOptions {
            model: FineTuneOptions::default().model,
            data: data.into(),
            out: out.into(),
            batch_size: 32,
            threads: 0,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) for a batch of nothing.
    pub fn check(&self) -> Result<()> {
        check_threads(self.threads)?;
        at_least("batch_size", self.batch_size, 1)
    }
}

/// What finding similar pictures needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// The picture.
    pub image: PathBuf,
    /// A folder of pictures, in classes or not, or what [`embed`](crate::embed) wrote of one as `.safetensors` with the same model.
    pub within: PathBuf,
    /// How many are named, 1 or more; fewer if there are fewer.
    pub top: usize,
    /// Pictures a batch, 1 or more.
    pub batch_size: usize,
    /// Threads of computing and of reading pictures; 0 for all there are.
    pub threads: usize,
}

impl SimilarOptions {
    /// The five most similar for the network that is fine-tuned by default, on all threads.
    pub fn new(image: impl Into<PathBuf>, within: impl Into<PathBuf>) -> Self {
        SimilarOptions {
            model: FineTuneOptions::default().model,
            image: image.into(),
            within: within.into(),
            top: 5,
            batch_size: 32,
            threads: 0,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) for a batch of nothing or no neighbors.
    pub fn check(&self) -> Result<()> {
        check_threads(self.threads)?;
        at_least("top", self.top, 1)?;
        at_least("batch_size", self.batch_size, 1)
    }
}
