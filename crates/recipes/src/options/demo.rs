//! What the page to try a model on needs to know.
//!
//! Above: `demo`, the binary's flags. Below: `at_least`. Not here: how it is served (`demo`).

use super::{at_least, check_threads};
use crate::error::Result;

/// What the page to try a model on needs to know.
///
/// ```
/// use taper_recipes::DemoOptions;
///
/// let options = DemoOptions::new("mobilenetv2_100");
/// assert_eq!((options.port, options.top), (DemoOptions::PORT, 5));
/// let error = DemoOptions { top: 0, ..options }.check().unwrap_err();
/// assert_eq!(error.to_string(), "`top` is 0, it must be 1 or more");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoOptions {
    /// A name of the zoo, a model file, or what [`weights_of`](crate::weights_of) says.
    pub model: String,
    /// The port on 127.0.0.1; 0 for any that is free.
    pub port: u16,
    /// Classes to name for each picture, 1 or more; fewer if the model has fewer.
    pub top: usize,
    /// Threads of computing; 0 for all there are.
    pub threads: usize,
}

impl DemoOptions {
    /// The port when none is named.
    pub const PORT: u16 = 7860;

    /// The five likeliest classes, on [`DemoOptions::PORT`] and all threads.
    pub fn new(model: impl Into<String>) -> Self {
        Self { model: model.into(), port: Self::PORT, top: 5, threads: 0 }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) for no classes or too many threads.
    pub fn check(&self) -> Result<()> {
        check_threads(self.threads)?;
        at_least("top", self.top, 1)
    }
}
