//! Losses as candle operations: what a network gives and what it should have given, to a number.
//!
//! Above: `train::step`, users of `Network::value_and_grad`. Below: `loss::{argument, cross_entropy, binary, focal, distillation, distance}`.
//! Not here: metrics (`train::metrics`), mixing of targets (`data`).
//! Logits are `(n, k)` for `k` classes, or `(n, k, h, w)` for a class at each position; logarithms are natural. A loss is made with settings that were checked, so its
//! `forward` can fail for tensors only. All work in `f32` and `f64`; results have the type of the first argument.

mod argument;
mod arguments;
mod binary;
mod cross_entropy;
mod distance;
mod distillation;
mod focal;

use candle_core::{Result, Tensor};

pub use argument::Loss;
pub use binary::BceWithLogits;
pub use cross_entropy::CrossEntropy;
pub use distance::{Huber, Mse, SmoothL1};
pub use distillation::Distillation;
pub use focal::{SigmoidFocal, SoftmaxFocal};

/// What becomes of the losses of single rows or elements; the words are PyTorch's.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::loss::{Mse, Reduction};
/// let xs = Tensor::new(&[1.0f64, 2.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[0.0f64, 0.0], &Device::Cpu)?;
/// let mse = |reduction| Mse::new().with_reduction(reduction).forward(&xs, &targets);
/// assert_eq!(mse(Reduction::Mean)?.to_scalar::<f64>()?, 2.5);
/// assert_eq!(mse(Reduction::Sum)?.to_scalar::<f64>()?, 5.0);
/// assert_eq!(mse(Reduction::None)?.to_vec1::<f64>()?, [1.0, 4.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Their mean, a scalar. Each loss says what it divides by.
    #[default]
    Mean,
    /// Their sum, a scalar.
    Sum,
    /// They stay as they are.
    None,
}

impl Reduction {
    fn of(self, losses: &Tensor) -> Result<Tensor> {
        match self {
            Self::Mean => losses.mean_all(),
            Self::Sum => losses.sum_all(),
            Self::None => Ok(losses.clone()),
        }
    }

    /// The same of those that are `known`, 1 or 0 each, or of all; losses of the others are 0, and so is the mean of none.
    fn of_known(self, losses: &Tensor, known: Option<&Tensor>) -> Result<Tensor> {
        let Some(known) = known else { return self.of(losses) };
        let losses = (losses * known)?;
        match self {
            Self::Mean => losses.sum_all()? / known.sum_all()?.maximum(1.0)?,
            Self::Sum | Self::None => self.of(&losses),
        }
    }
}

/// Softmax cross-entropy with hard targets and label smoothing, mean over the batch: the short form of [`CrossEntropy`].
///
/// `loss = −mean_i ((1 − s) · log p[i, target_i] + s / k · Σ_j log p[i, j])`, `p = softmax(logits)`, `s = label_smoothing`.
///
/// # Shapes
/// - `logits`: `(n, k)`, floating point   - `targets`: `(n)`, `u32`   - returns a scalar of the logits' type
///
/// # Errors
/// Those of [`CrossEntropy`], as candle's.
///
/// # Source
/// Szegedy et al. 2016, section 7, <https://arxiv.org/abs/1512.00567>.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let logits = Tensor::new(&[[0.0f32, 0.0], [0.0, 0.0]], &Device::Cpu)?;
/// let targets = Tensor::new(&[0u32, 1], &Device::Cpu)?;
/// let loss = taper_layers::loss::cross_entropy(&logits, &targets, 0.1)?;
/// assert!((loss.to_scalar::<f32>()? - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    CrossEntropy::new().with_label_smoothing(label_smoothing)?.forward(logits, targets)
}

#[cfg(test)]
mod tests;
