//! The model file: one safetensors file holding graph, weights, preprocessing, classes and provenance.
//!
//! Above: `taper-engine`, `taper-layers`, `taper-zoo`. Below: `taper-graph`. Not here: running a network (`taper-engine`),
//! which networks there are (`taper-zoo`), pictures (`taper-data`).
//!
//! [`Model`] is a graph with its weights, checked to fit. [`Model::load`] and [`Model::save`] are the file;
//! [`tensors::read`] reads other projects' weights (`.safetensors`, and `.pth` without executing anything), and a [`KeyMap`]
//! brings their names in.

mod card;
mod channels;
mod classifier;
mod confidence;
mod error;
mod file;
pub mod init;
mod keymap;
mod mismatch;
mod model;
mod reparameterize;
mod task;
mod tensor;
pub mod tensors;

pub use card::{Interpolation, Preprocess, Provenance};
pub use channels::adapt_channels;
pub use classifier::{
    carry_classifier, class_norm, mix_classifier, rescale_classifier, reset_classifier, set_class,
};
pub use confidence::{Confidence, Familiarity};
pub use error::{Error, Result};
pub use keymap::{KeyMap, Naming};
pub use mismatch::{ShapeMismatch, StateDictMismatch};
pub use model::{Model, ModelParts};
pub use reparameterize::reparameterize;
pub use task::Task;
pub use tensor::Tensor;
pub use tensors::Precision;

#[cfg(test)]
mod tests;
