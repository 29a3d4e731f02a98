//! Binary cross-entropy with logits: independent yes-or-no targets.
//!
//! Above: `loss`, `loss::focal`. Below: `loss::arguments`. Not here: one class out of many (`cross_entropy`).
//! Source: `torch.nn.BCEWithLogitsLoss`, checked in `tests/golden`.

use candle_core::{Result, Tensor};

use super::{Reduction, arguments};

const NAME: &str = "binary cross-entropy";

/// Binary cross-entropy of logits.
///
/// `loss[i] = −w[i] · (v[i] · y[i] · log σ(x[i]) + (1 − y[i]) · log(1 − σ(x[i])))` with the weight `w` and the positive weight
/// `v`, both 1 by default. The mean divides by the number of elements, whatever they weigh, as PyTorch's does.
///
/// # Numerics
/// No exponential overflows; the error of an element is a rounding error of 1 or of the element. Agrees with PyTorch
/// within 1e-5 (`f32`) and 1e-9 (`f64`) of the largest magnitude, gradients too (`tests/golden`).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::loss::BceWithLogits;
/// let logits = Tensor::new(&[[0.0f32, 90.0], [0.0, -90.0]], &Device::Cpu)?;
/// let targets = Tensor::new(&[[1.0f32, 1.0], [0.0, 0.0]], &Device::Cpu)?;
/// let loss = BceWithLogits::new().forward(&logits, &targets)?.to_scalar::<f32>()?;
/// assert!((loss - 0.5 * 2f32.ln()).abs() < 1e-6);
/// // A class with a positive example in four counts it three times.
/// let rare = Tensor::new(&[3.0f32, 1.0], &Device::Cpu)?;
/// let loss = BceWithLogits::new().with_pos_weight(&rare)?.forward(&logits, &targets)?;
/// assert!((loss.to_scalar::<f32>()? - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct BceWithLogits {
    weight: Option<Tensor>,
    pos_weight: Option<Tensor>,
    ignore_nan: bool,
    reduction: Reduction,
}

impl BceWithLogits {
    /// No weights, the mean.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A factor of each element, of any shape that broadcasts to the logits'.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if a factor is negative or not finite.
    pub fn with_weight(mut self, weight: &Tensor) -> crate::Result<Self> {
        self.weight = Some(arguments::factors("a weight", weight)?);
        Ok(self)
    }

    /// A factor of the positive part, of any shape that broadcasts to the logits': `(k)` is one for each class.
    /// Above 1 it favors recall, below 1 precision.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if a factor is negative or not finite.
    pub fn with_pos_weight(mut self, pos_weight: &Tensor) -> crate::Result<Self> {
        self.pos_weight = Some(arguments::factors("a positive weight", pos_weight)?);
        Ok(self)
    }

    /// Targets that are NaN are not known and count nowhere: the mean is that of the others, and 0 where there are none.
    #[must_use]
    pub fn with_ignore_nan(mut self) -> Self {
        self.ignore_nan = true;
        self
    }

    /// Mean, sum, or a loss for each element.
    #[must_use]
    pub fn with_reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// The loss of a batch.
    ///
    /// # Shapes
    /// - `logits`: any   - `targets`: the same; from 0 to 1, which is not checked
    /// - returns a scalar, or the shape of `logits` if nothing is reduced
    ///
    /// # Errors
    /// candle's error if the shapes differ, a weight does not broadcast to them, or there are no elements.
    pub fn forward(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (targets, known) = arguments::targets(NAME, (logits, targets), self.ignore_nan)?;
        let pos_weight = self.pos_weight.as_ref();
        let pos_weight =
            pos_weight.map(|it| arguments::factors_like("the positive weight", it, logits));
        let mut losses = elements(logits, &targets, pos_weight.transpose()?.as_ref())?;
        if let Some(weight) = &self.weight {
            losses = (losses * arguments::factors_like("the weight", weight, logits)?)?;
        }
        self.reduction.of_known(&losses, known.as_ref())
    }
}

/// `(1 − y) · x + (1 + (v − 1) · y) · softplus(−x)`: the formula without its two logarithms.
pub(super) fn elements(
    logits: &Tensor,
    targets: &Tensor,
    pos_weight: Option<&Tensor>,
) -> Result<Tensor> {
    let missed = softplus(&logits.neg()?)?;
    let missed = match pos_weight {
        Some(pos_weight) => (((pos_weight - 1.0)? * targets)? + 1.0)?.mul(&missed)?,
        None => missed,
    };
    (targets.affine(-1.0, 1.0)? * logits)? + missed
}

/// `log(1 + e^x) = log(e^−m + e^(x − m)) + m` for any `m`. With `m = max(x, 0)` nothing overflows, and because `m` is held
/// constant the gradient is `σ(x)` everywhere: those of `abs` and `relu` at 0, which candle sets to 1, do not enter.
fn softplus(xs: &Tensor) -> Result<Tensor> {
    let largest = xs.detach().relu()?;
    (largest.neg()?.exp()? + (xs - &largest)?.exp()?)?.log()? + largest
}
