//! What looking into a network needs to know.
//!
//! Above: `look`, the binary's flags. Below: `at_least`. Not here: how it is done (`look`).

use std::path::PathBuf;

use super::{at_least, check_threads};
use crate::error::{Error, Result};

/// What looking into a network needs to know.
///
/// ```
/// use taper_recipes::LookOptions;
///
/// let options = LookOptions::new("mobilenetv2_100", vec!["bee.jpg".into()], "bee");
/// assert_eq!((options.top, options.channels), (5, 16));
/// let error = LookOptions { channels: 0, ..options }.check().unwrap_err();
/// assert_eq!(error.to_string(), "`channels` is 0, it must be 1 or more");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LookOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// Files to look at.
    pub images: Vec<PathBuf>,
    /// The folder for the page and the pictures; it is made, and files of the same names in it are replaced.
    pub out: PathBuf,
    /// Nodes, scopes or outputs whose feature maps are shown; the ends of the stem and of every stage when empty.
    pub layers: Vec<String>,
    /// The class whose evidence is shown as heat, by name or index; each picture's likeliest when absent.
    pub class: Option<String>,
    /// Classes to name for each picture, 1 or more; fewer if the model has fewer.
    pub top: usize,
    /// Channels to show of each layer, 1 or more; fewer if the layer has fewer.
    pub channels: usize,
    /// Threads of computing; 0 for all there are.
    pub threads: usize,
}

impl LookOptions {
    /// Sixteen channels of the usual layers and the five likeliest classes, on all threads.
    pub fn new(model: impl Into<String>, images: Vec<PathBuf>, out: impl Into<PathBuf>) -> Self {
        LookOptions {
            model: model.into(),
            images,
            out: out.into(),
            layers: Vec::new(),
            class: None,
            top: 5,
            channels: 16,
            threads: 0,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`] for no classes or no channels, [`Error::NoImages`] for no pictures.
    pub fn check(&self) -> Result<()> {
        if self.images.is_empty() {
            return Err(Error::NoImages);
        }
        check_threads(self.threads)?;
        at_least("top", self.top, 1)?;
        at_least("channels", self.channels, 1)
    }
}
