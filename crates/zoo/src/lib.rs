//! Network families as tables, their registry and weight records.
//!
//! Above: `taper-transfer`, `taper-recipes`, xtask. Below: `taper-graph`, `taper-model`. Not here: running a network
//! (`taper-engine`).
//!
//! [`create`] makes a network of any registered architecture; [`pretrained`] a model with weights that are in the binary
//! (feature `embedded`: MobileNetV2, 7 MB) or, with the feature `hub`, in a cache or on the network; [`records`] lists
//! published weights.
//!
//! ```
//! let graph = taper_zoo::create("mobilenetv2_050", 10)?;
//! assert_eq!(graph.outputs().keys().collect::<Vec<_>>(), ["features", "logits", "pre_logits"]);
//! # Ok::<(), taper_zoo::Error>(())
//! ```

mod architecture;
mod classifier;
mod efficientnet;
mod efficientnet_edge;
mod efficientnet_lite;
mod efficientnet_v2;
mod error;
#[cfg(feature = "hub")]
pub mod hub;
pub mod imagenet;
mod lcnet;
mod lenet;
mod mnasnet;
mod mobile;
mod mobile_one;
mod mobilenet_v1;
pub mod mobilenet_v2;
mod mobilenet_v3;
mod mobilenet_v4;
#[cfg(feature = "hub")]
mod obtain;
mod options;
mod pretrained;
mod record;
mod rep_vit;
mod resnet;
mod scaling;
mod trained;
mod vgg;

pub use architecture::{Architecture, Family, architecture, architectures, create, families};
pub use error::{Error, Result};
#[cfg(feature = "hub")]
pub use obtain::pretrained_from;
pub use options::Options;
pub use pretrained::{Adaptation, embedded, pretrained, pretrained_with};
pub use record::{Check, Keys, Place, Record, WeightsSource, record, records};

#[cfg(test)]
mod tests;
