//! Runs graphs on slices: inference with [`Session`], training with [`Trainer`].
//!
//! Above: `layers`, `transfer`, `recipes`. Below: `graph`, `plan`, `cost`, `kernels`, `model`. Not here: candle, losses, optimizers, files.
//!
//! Both obey a plan of `taper-plan`: a convolution, the norm and the activation behind it become one *unit*
//! with one stored tensor. A session folds the norm into the weights, packs them once and keeps one arena. A trainer keeps
//! every stored tensor until its gradient is done, in one arena that stays between steps; normalization and activation are
//! recomputed whenever a tensor is read, so nothing else is stored. What no trained parameter lies below runs as inference.
//!
//! ```
//! use taper_engine::{Device as _, Reference, Trainer};
//! use taper_graph::{Bias, GraphBuilder};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut b = GraphBuilder::new(1)?;
//! let pooled = b.global_pool("pool", b.input(), taper_graph::PoolKind::Avg, true)?;
//! let logits = b.linear("classifier", pooled, 1, Bias::With)?;
//! b.output("logits", logits)?;
//! let graph = b.build()?;
//!
//! // Mean of a 1x2 image, times 3, plus 1; gradients in double precision.
//! let mut trainer = Trainer::new(&graph, "logits", &[true, true], Reference)?;
//! let params: [&[f64]; 2] = [&[3.0], &[1.0]];
//! assert_eq!(trainer.forward(&params, &[2.0, 4.0], [1, 1, 2], 0)?, [10.0]);
//! let mut gradients = vec![Vec::new(); 2];
//! trainer.backward(&params, &[1.0], &mut gradients)?;
//! assert_eq!(gradients, [[3.0], [1.0]]);
//! # Ok(()) }
//! ```

mod arena;
mod calibrate;
mod error;
mod kernel;
mod random;
mod recalibrate;
mod session;
mod spread;
mod train;

pub use calibrate::{
    CalibrateOptions, CopySizes, Pace, calibrate, calibration_network, machine, measure_roof,
    time_passes,
};
pub use error::{Error, Result};
pub use recalibrate::{Recalibration, with_batch_statistics};
pub use session::{Session, SessionOptions, UnitTime};
pub use spread::Spread;
pub use taper_kernels::{Cpu, Device, Isa, MatmulPrecision, Real, Reference};
/// What a program that runs a model file needs beside a session.
pub use taper_model::{Interpolation, Model, Precision, Preprocess};
pub use taper_plan::Recompute;
pub use train::{BatchPart, ObserveParts, SumOverParts, Trainer};
