//! Efficient convolutional networks on candle: every Taper crate behind one door.
//!
//! Each module is a crate of its own, `taper-<module>`, and a feature of this one. All are on by default except `cost`, which brings
//! `plan`, `distributed`, and `prune`; with
//! `default-features = false, features = ["classifier"]` a program that classifies needs no candle. With `hub`, `zoo` finds and
//! downloads weights; with `pth`, `model` reads the files of `torch.save`.
//!
//! ```
//! use taper::recipes::{PredictOptions, predict};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # taper::data::sample_set::export(dir.path())?;
//! # let picture = dir.path().join("train/animal/ant.png");
//! let options = PredictOptions::new("mobilenetv2_100", vec![picture]);
//! for prediction in predict(&options)? {
//!     let likeliest = &prediction?.predictions[0];
//!     println!("{} ({:.0} %)", likeliest.class, 100.0 * likeliest.probability);
//! }
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "classifier")]
pub use taper_classifier as classifier;
#[cfg(feature = "cost")]
pub use taper_cost as cost;
#[cfg(feature = "data")]
pub use taper_data as data;
#[cfg(feature = "distributed")]
pub use taper_distributed as distributed;
#[cfg(feature = "engine")]
pub use taper_engine as engine;
#[cfg(feature = "engine")]
pub use taper_graph as graph;
#[cfg(feature = "layers")]
pub use taper_layers as layers;
#[cfg(feature = "engine")]
pub use taper_model as model;
#[cfg(feature = "ops")]
pub use taper_ops as ops;
#[cfg(feature = "optim")]
pub use taper_optim as optim;
#[cfg(feature = "cost")]
pub use taper_plan as plan;
#[cfg(feature = "prune")]
pub use taper_prune as prune;
#[cfg(feature = "recipes")]
pub use taper_recipes as recipes;
#[cfg(feature = "report")]
pub use taper_report as report;
#[cfg(feature = "train")]
pub use taper_train as train;
#[cfg(feature = "transfer")]
pub use taper_transfer as transfer;
#[cfg(feature = "zoo")]
pub use taper_zoo as zoo;
