//! Transfer learning: new heads, freezing, and features computed once.
//!
//! Above: `recipes`. Below: `model`, `engine`, `layers`. Not here: the training loop (`train`), which model to begin with (`zoo`).
//!
//! ```
//! use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
//! use taper_model::{Model, Preprocess};
//! use taper_transfer::{Freeze, replace_head};
//!
//! let mut b = GraphBuilder::new(3)?;
//! let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::With)?;
//! let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
//! b.output("pre_logits", xs)?;
//! let logits = b.linear("classifier", xs, 1000, Bias::With)?;
//! b.output("logits", logits)?;
//! let pretrained = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
//!
//! let model = replace_head(&pretrained, &["ant".into(), "bee".into()], 0)?;
//! assert_eq!(model.tensor("classifier.weight").unwrap().shape, [2, 8]);
//! let mut network = taper_layers::Network::new(&model, &candle_core::Device::Cpu)?;
//! "backbone".parse::<Freeze>()?.apply(&mut network)?;
//! let trained: Vec<String> = network.trainable().into_iter().map(|(name, _)| name).collect();
//! assert_eq!(trained, ["classifier.weight", "classifier.bias"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod features;
mod freeze;
mod head;
mod imprint;
mod mix;

pub use error::{Error, Result};
pub use features::Features;
pub use freeze::{Freeze, freeze_norms, parts_from_the_end};
pub use head::{attach_head, detach_head, replace_head};
pub use imprint::{OtherFeatures, imprint, mean_features, usual_features};
pub use mix::mixed_head;
