//! Focal loss: cross-entropy that counts examples less the better they are known, for yes-or-no targets and for classes.
//!
//! Above: `loss`. Below: `loss::{binary, arguments}`, candle. Not here: the loss without focus (`binary`, `cross_entropy`).
//! Source: Lin et al. 2017, <https://arxiv.org/abs/1708.02002>; the sigmoid form is `torchvision.ops.sigmoid_focal_loss`, checked in
//! `tests/golden`.

use candle_core::{DType, Result, Tensor};
use candle_nn::ops::{log_softmax, sigmoid};

use super::{Reduction, arguments, binary};

/// Focal loss of independent yes-or-no targets.
///
/// `loss[i] = a · (1 − q)^gamma · bce[i]` with the probability of the target, `q = σ(x) · y + (1 − σ(x)) · (1 − y)`, and its
/// balance, `a = alpha · y + (1 − alpha) · (1 − y)`; `a = 1` without `alpha`.
///
/// # Numerics
/// `1 − q` is summed from sigmoids and not subtracted, so that it keeps its digits where an example is known well. Agrees
/// with torchvision within 1e-5 (`f32`) and 1e-9 (`f64`) of the largest magnitude, gradients too (`tests/golden`).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::loss::{Reduction, SigmoidFocal};
/// let logits = Tensor::new(&[0.0f32, 4.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[1.0f32, 1.0], &Device::Cpu)?;
/// let loss = SigmoidFocal::new().with_alpha(None)?.with_reduction(Reduction::None);
/// let losses = loss.forward(&logits, &targets)?.to_vec1::<f32>()?;
/// assert!((losses[0] - 0.25 * 2f32.ln()).abs() < 1e-6);
/// assert!(losses[1] < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SigmoidFocal {
    alpha: Option<f64>,
    gamma: f64,
    ignore_nan: bool,
    reduction: Reduction,
}

impl Default for SigmoidFocal {
    fn default() -> Self {
        let (gamma, ignore_nan, reduction) = (2.0, false, Reduction::Mean);
        Self { alpha: Some(0.25), gamma, ignore_nan, reduction }
    }
}

impl SigmoidFocal {
    /// `alpha` 0.25 and `gamma` 2, the paper's best, and the mean over all elements, where torchvision's default reduces nothing
    /// (the paper divides by the number of positive anchors, which is [`Reduction::Sum`] and a division).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The weight of positive elements, from 0 to 1; negative ones get the rest. `None` balances nothing (torchvision's −1).
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) outside of that.
    pub fn with_alpha(mut self, alpha: Option<f64>) -> crate::Result<Self> {
        self.alpha = alpha.map(|alpha| arguments::within("alpha", alpha, 0.0..=1.0)).transpose()?;
        Ok(self)
    }

    /// How much less known examples count; 0 is plain binary cross-entropy.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if `gamma` is negative or not finite.
    pub fn with_gamma(mut self, gamma: f64) -> crate::Result<Self> {
        self.gamma = arguments::not_negative("gamma", gamma)?;
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
    /// candle's error if the shapes differ or there are no elements.
    pub fn forward(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (targets, known) =
            arguments::targets("focal loss", (logits, targets), self.ignore_nan)?;
        let mut losses = binary::elements(logits, &targets, None)?;
        if self.gamma != 0.0 {
            let negatives = targets.affine(-1.0, 1.0)?;
            let unknown =
                ((sigmoid(logits)? * negatives)? + (sigmoid(&logits.neg()?)? * &targets)?)?;
            losses = (losses * focus(&unknown, self.gamma)?)?;
        }
        if let Some(alpha) = self.alpha {
            losses = (losses * targets.affine(2.0 * alpha - 1.0, 1.0 - alpha)?)?;
        }
        self.reduction.of_known(&losses, known.as_ref())
    }
}

/// Focal loss of one class out of many.
///
/// `loss[i] = −w[y_i] · (1 − p[i, y_i])^gamma · log p[i, y_i]`, `p = softmax(logits)`. The mean divides by the number of rows, whatever the
/// classes weigh; of maps, every position is a row.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::loss::{SoftmaxFocal, cross_entropy};
/// let logits = Tensor::new(&[[2.0f64, 1.0, -1.0], [0.0, 3.0, 0.0]], &Device::Cpu)?;
/// let targets = Tensor::new(&[0u32, 1], &Device::Cpu)?;
/// let loss = SoftmaxFocal::new().forward(&logits, &targets)?.to_scalar::<f64>()?;
/// assert!(loss < cross_entropy(&logits, &targets, 0.0)?.to_scalar::<f64>()? / 4.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SoftmaxFocal {
    weight: Option<Tensor>,
    gamma: f64,
    reduction: Reduction,
}

impl Default for SoftmaxFocal {
    fn default() -> Self {
        Self { weight: None, gamma: 2.0, reduction: Reduction::Mean }
    }
}

impl SoftmaxFocal {
    /// No weights, `gamma` 2, the mean.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A factor for each class, `(k)`: the paper's balance.
    ///
    /// # Errors
    /// Those of [`CrossEntropy::with_weight`](super::CrossEntropy::with_weight).
    pub fn with_weight(mut self, weight: &Tensor) -> crate::Result<Self> {
        self.weight = Some(arguments::class_weights(weight)?);
        Ok(self)
    }

    /// How much less known examples count; 0 is plain cross-entropy.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if `gamma` is negative or not finite.
    pub fn with_gamma(mut self, gamma: f64) -> crate::Result<Self> {
        self.gamma = arguments::not_negative("gamma", gamma)?;
        Ok(self)
    }

    /// Mean, sum, or a loss for each row.
    #[must_use]
    pub fn with_reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// The loss of a batch.
    ///
    /// # Shapes
    /// - `logits`: `(n, k)`   - `targets`: `(n)`, `u32`   - returns a scalar, or `(n)` if nothing is reduced
    /// - of maps `(n, k, h, w)`, `(n, h, w)` and `(n, h, w)`
    ///
    /// # Errors
    /// candle's error if shapes or types differ from these, the batch is empty, or a class is not below `k`.
    pub fn forward(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (logits, targets, shape) = arguments::as_rows("focal loss", logits, targets)?;
        let losses = self.of_rows(&logits, &targets)?;
        if losses.rank() == 0 { Ok(losses) } else { losses.reshape(shape) }
    }

    fn of_rows(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (n, k) = arguments::rows("focal loss", logits)?;
        let targets = arguments::classes("focal loss", targets, (n, k))?;
        let column = targets.unsqueeze(1)?;
        let log_p = log_softmax(logits, 1)?;
        let mut losses = log_p.gather(&column, 1)?.squeeze(1)?.neg()?;
        if self.gamma != 0.0 {
            let ones = column.ones_like()?.to_dtype(logits.dtype())?;
            let others = log_p.ones_like()?.scatter_add(&column, &ones.neg()?, 1)?;
            let unknown = (log_p.exp()? * others)?.sum(1)?;
            losses = (losses * focus(&unknown, self.gamma)?)?;
        }
        if let Some(weight) = &self.weight {
            let weight = arguments::weights_like(weight, logits, k)?;
            losses = (losses * weight.index_select(&targets, 0)?)?;
        }
        self.reduction.of(&losses)
    }
}

/// `unknown^gamma`. The smallest normal number is added, which changes none but a 0, whose gradient would be infinite for
/// `gamma < 1`.
fn focus(unknown: &Tensor, gamma: f64) -> Result<Tensor> {
    let smallest = match unknown.dtype() {
        DType::F64 => f64::MIN_POSITIVE,
        _ => f64::from(f32::MIN_POSITIVE),
    };
    (unknown + smallest)?.powf(gamma)
}
