//! Optimizers over named candle variables: groups, rules, schedules, clipping, state that saves and resumes.
//!
//! Above: `train`. Below: candle's `Var` and `GradStore`. Not here: which parameters are trained (`layers::Network`),
//! averaging of gradients over machines (`distributed`).
//! Every rule follows PyTorch 2.x and is held to ten of its steps in `tests/golden.rs`. Steps write the variables in
//! place, in the order of the groups, and give the same bits on every run.
//!
//! ```
//! use candle_core::{Device, Var};
//! use taper_optim::{Group, Optimizer, Schedule, Sgd};
//!
//! let w = Var::new(&[3.0f32, -2.0], &Device::Cpu)?;
//! let group = Group::new("all", vec![("w".to_owned(), w.clone())]).with_weight_decay(1e-4);
//! let mut optimizer = Optimizer::from_groups(vec![group], Sgd { momentum: 0.9, ..Sgd::default() })?;
//! let schedule = Schedule::cosine(0.05, 150).with_warmup(10);
//! for step in 0..150 {
//!     let grads = w.sqr()?.sum_all()?.backward()?;
//!     optimizer.step_at(&grads, schedule.lr_at(step))?;
//! }
//! assert!(w.to_vec1::<f32>()?.iter().all(|w| w.abs() < 0.05));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod candle_face;
mod clip;
mod error;
mod group;
mod optimizer;
mod plateau;
mod rule;
mod rules;
mod schedule;

pub use candle_face::Settings;
pub use clip::{Clip, adaptive_clip_grad, clip_grad_norm, clip_grad_value};
pub use error::{Error, Result};
pub use group::{Group, split_by_decay};
pub use optimizer::Optimizer;
pub use plateau::{Better, Plateau, Scores};
pub use rule::{Begins, Cells, ParamInfo, Passes, Role, Rule, Slices, Slot, Step, Sums};
pub use rules::{
    Adam, AdamW, Adan, AdjustLr, Lamb, Lion, Lookahead, Muon, NAdam, RmsProp, RmsPropTf, Sgd,
};
pub use schedule::{Decay, Schedule};
