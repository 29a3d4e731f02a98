//! Pictures to classes: a model, what it expects of pictures, and a session, behind one call that serves threads.
//!
//! Above: `recipes`, programs that only classify. Below: `data`, `engine`, `model`. Not here: models by name (`zoo`), training (`train`).
//!
//! ```
//! use taper_classifier::{Classifier, ClassifierOptions};
//! use taper_data::{Image, sample_set};
//! # use taper_graph::{Bias, GraphBuilder, PoolKind};
//! # use taper_model::{Model, Preprocess};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("model.safetensors");
//! # let mut b = GraphBuilder::new(3)?;
//! # let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
//! # let xs = b.linear("classifier", xs, 2, Bias::With)?;
//! # b.output("logits", xs)?;
//! # let classes = vec!["ants".to_owned(), "bees".to_owned()];
//! # Model::random(b.build()?, 0, Preprocess::imagenet(), classes)?.save(&path)?;
//! # sample_set::export(dir.path())?;
//! # let file = dir.path().join("val/vehicle/bus.png");
//! let classifier = Classifier::load(&path, &ClassifierOptions::default())?;
//! let of_file = classifier.classify(&file, 1)?;
//! let of_bytes = classifier.classify(&std::fs::read(&file)?, 1)?; // as they come over a network
//! let of_pixels = classifier.classify(&taper_data::image::read(&file)?, 1)?;
//! assert!(of_file == of_bytes && of_bytes == of_pixels);
//! println!("{:.0} % {}", 100.0 * of_file[0].probability, of_file[0].class);
//!
//! // One classifier serves all threads.
//! std::thread::scope(|scope| {
//!     let calls = [0; 4].map(|_| scope.spawn(|| classifier.classify(&file, 1)));
//!     calls.map(|call| assert_eq!(call.join().ok().and_then(Result::ok), Some(of_file.clone())));
//! });
//! # Ok(())
//! # }
//! ```

mod classifier;
mod error;
mod input;
mod likeliest;
mod pool;
mod preprocess;

pub use classifier::{Classifier, ClassifierOptions, Recognition, class_names};
pub use error::{Error, Result};
pub use input::Input;
pub use likeliest::{ClassProbability, likeliest, mean_of_views};
pub use preprocess::{eval_transform, eval_views, train_transform};

#[cfg(test)]
mod tests;
