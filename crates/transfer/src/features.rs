//! Features computed once: what a frozen backbone says about every image, when images do not change between epochs.
//!
//! Above: `recipes`. Below: `engine::Session`. Not here: reading images (`data`), training on the vectors (`train::Vectors`).

use taper_engine::{Session, SessionOptions};
use taper_model::Model;

use crate::error::Result;

/// Collects the `pre_logits` vectors of images, batch by batch.
///
/// # Cost
/// One inference and `4·c` bytes an image: 5 KiB for MobileNetV2.
#[derive(Debug)]
pub struct Features {
    session: Session,
    values: Vec<f32>,
}

impl Features {
    /// Compiles the backbone of a model; `threads` 0 means all cores.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if the graph has no output `pre_logits` or cannot be compiled.
    pub fn new(model: &Model, threads: usize) -> Result<Self> {
        let options = SessionOptions { threads, output: "pre_logits".to_owned() };
        Ok(Self { session: Session::new(model, &options)?, values: Vec::new() })
    }

    /// Adds a batch.
    ///
    /// # Shapes
    /// - `xs`: `(n, h, w, c)`, contiguous   - `shape`: `[n, h, w]`
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if the batch does not fit the network.
    pub fn extend(&mut self, xs: &[f32], shape: [usize; 3]) -> Result<()> {
        let vectors = self.session.run(xs, shape)?;
        self.values.extend_from_slice(vectors);
        Ok(())
    }

    /// The vectors so far, `(images, c)`, in the order they were added.
    pub fn finish(self) -> Vec<f32> {
        self.values
    }
}
