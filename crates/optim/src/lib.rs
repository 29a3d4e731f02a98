//! Optimizers over named candle variables: groups, rules, schedules, clipping, state that saves and resumes.
//!
//! Above: `train`. Below: candle's `Var` and `GradStore`. Not here: which parameters are trained (`layers::Network`),
//! averaging of gradients over machines (`distributed`).
//! Four things make a step, each by itself:
//! - A **rule** says how a value moves along its gradient: [`Sgd`], [`Adam`], [`AdamW`], [`NAdam`], [`RmsProp`], [`RmsPropTf`], [`Lamb`], [`Lion`], [`Adan`],
//!   [`Muon`], any of them within [`Lookahead`], or one's own [`Rule`]. Each is a file with its paper's formula, held to ten steps of PyTorch
//!   or timm in `f32` and `f64` (`tests/golden.rs`).
//! - **Groups** give parameters their rate, weight decay and role: [`Group`], [`split_by_decay`].
//! - A **schedule** gives the rate of a step, a pure function: [`Schedule`] with its [`Decay`].
//! - **Clipping** makes gradients smaller before: [`Clip`].
//!
//! An [`Optimizer`] is a rule over groups. It writes the variables in place, on all cores, with the same bits on any number of them, and
//! its state is saved and restored by name ([`Optimizer::state`], [`Optimizer::load_state`]).
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
//! Matrices by Muon and the rest by its AdamW, the first layer slower, gradients clipped, and the state as a checkpoint keeps it:
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use taper_optim::{Clip, Decay, Group, Muon, Optimizer, Role, Schedule};
//!
//! let var = |rows: usize, columns: usize| Var::randn(0f32, 0.3, (rows, columns), &Device::Cpu);
//! let (first, head) = (var(8, 8)?, var(8, 2)?);
//! let groups = || vec![
//!     Group::new("first", vec![("first".to_owned(), first.clone())]).with_lr_scale(0.5).with_weight_decay(0.01),
//!     Group::new("head", vec![("head".to_owned(), head.clone())]).with_role(Role::Head),
//! ];
//! let mut optimizer = Optimizer::from_groups(groups(), Muon::default())?.with_threads(2);
//! let schedule = Schedule::new(0.02, Decay::Polynomial { total_steps: 60, power: 2.0, floor: 1e-4 }).with_warmup(5);
//! let xs = Tensor::eye(8, DType::F32, &Device::Cpu)?;
//! let loss = || xs.matmul(first.as_tensor())?.relu()?.matmul(head.as_tensor())?.affine(1.0, -1.0)?.sqr()?.mean_all();
//! let before = loss()?.to_scalar::<f32>()?;
//! for step in 0..60 {
//!     let mut grads = loss()?.backward()?;
//!     Clip::Norm(1.0).apply(&mut grads, &optimizer)?;
//!     optimizer.step_at(&grads, schedule.lr_at(step))?;
//! }
//! assert!(loss()?.to_scalar::<f32>()? < before);
//! let mut resumed = Optimizer::from_groups(groups(), Muon::default())?;
//! resumed.load_state(&optimizer.state()?)?; // `first.momentum_buffer`, `head.exp_avg`, …
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
