//! Softmax cross-entropy with classes or probabilities as targets, class weights and label smoothing.
//!
//! Above: `loss`. Below: `loss::arguments`, candle's `log_softmax`. Not here: independent yes-or-no targets (`binary`),
//! hard examples weighted up (`focal`).
//! Source: `torch.nn.CrossEntropyLoss`, checked in `tests/golden`.

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::ops::log_softmax;

use super::{Reduction, arguments};

const NAME: &str = "cross-entropy";

/// Softmax cross-entropy.
///
/// With `log p = log_softmax(logits)`, weights `w` (1 without) and smoothing `s`, a row costs
///
/// - for a class `y`: `−(1 − s) · w[y] · log p[y] − s / k · Σ_j w[j] · log p[j]`
/// - for probabilities `t`: `−Σ_j ((1 − s) · t[j] + s / k) · w[j] · log p[j]`
///
/// The mean divides by `Σ_i w[y_i]` for classes and by the number of rows for probabilities, as PyTorch's does. Of maps, every position
/// is a row.
///
/// # Numerics
/// The largest logit of a row is subtracted first, so no exponential overflows. Agrees with PyTorch within 1e-5 (`f32`)
/// and 1e-9 (`f64`) of the largest magnitude, gradients too (`tests/golden`).
///
/// # Source
/// Smoothing: Szegedy et al. 2016, section 7, <https://arxiv.org/abs/1512.00567>. Probabilities as they arise from mixing
/// images: Zhang et al. 2018, <https://arxiv.org/abs/1710.09412>.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::loss::CrossEntropy;
/// let weights = Tensor::new(&[1.0f32, 3.0], &Device::Cpu)?;
/// let loss = CrossEntropy::new().with_weight(&weights)?.with_label_smoothing(0.1)?;
/// let logits = Tensor::new(&[[0.0f32, 0.0], [0.0, 0.0]], &Device::Cpu)?;
/// let classes = Tensor::new(&[0u32, 1], &Device::Cpu)?;
/// let mixed = Tensor::new(&[[0.7f32, 0.3], [0.0, 1.0]], &Device::Cpu)?;
/// assert!((loss.forward(&logits, &classes)?.to_scalar::<f32>()? - 2f32.ln()).abs() < 1e-6);
/// assert!(loss.forward(&logits, &mixed)?.to_scalar::<f32>()? > 2f32.ln());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct CrossEntropy {
    weight: Option<Tensor>,
    label_smoothing: f64,
    ignore_index: Option<u32>,
    reduction: Reduction,
}

impl CrossEntropy {
    /// No weights, no smoothing, the mean.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A factor for each class, `(k)`.
    ///
    /// # Errors
    /// [`Error::ClassWeights`](crate::Error::ClassWeights) if there is not one axis, [`Error::Setting`](crate::Error::Setting)
    /// if a factor is negative or not finite.
    pub fn with_weight(mut self, weight: &Tensor) -> crate::Result<Self> {
        self.weight = Some(arguments::class_weights(weight)?);
        Ok(self)
    }

    /// The share of every target, from 0 to 1, that is spread evenly over all classes.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) outside of that.
    pub fn with_label_smoothing(mut self, label_smoothing: f64) -> crate::Result<Self> {
        self.label_smoothing = arguments::within("label smoothing", label_smoothing, 0.0..=1.0)?;
        Ok(self)
    }

    /// A class that stands for none, 255 in many segmentation data sets: its rows cost nothing and do not count in the mean.
    #[must_use]
    pub fn with_ignore_index(mut self, ignore_index: u32) -> Self {
        self.ignore_index = Some(ignore_index);
        self
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
    /// - `logits`: `(n, k)`   - `targets`: classes `(n)`, `u32`, or probabilities `(n, k)`, floating point
    /// - or `logits`: `(n, k, h, w)`   - `targets`: classes `(n, h, w)`, or probabilities `(n, k, h, w)`
    /// - returns a scalar, or `(n)`, `(n, h, w)` if nothing is reduced
    ///
    /// That probabilities are not negative and sum to 1 is not checked.
    ///
    /// # Errors
    /// candle's error if shapes or types differ from these, the batch is empty, a class is not below `k`, or the weights of
    /// all targets are 0, or all are ignored, and their mean is asked for.
    pub fn forward(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (logits, targets, shape) = arguments::as_rows(NAME, logits, targets)?;
        let losses = self.of_rows(&logits, &targets)?;
        if losses.rank() == 0 { Ok(losses) } else { losses.reshape(shape) }
    }

    fn of_rows(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (n, k) = arguments::rows(NAME, logits)?;
        let weight = self.weight.as_ref().map(|it| arguments::weights_like(it, logits, k));
        let weight = weight.transpose()?;
        let log_p = log_softmax(logits, 1)?;
        if targets.dtype().is_float() && targets.dims() != [n] {
            let targets = arguments::same(NAME, logits, targets)?;
            return self.reduction.of(&self.of_probabilities(&log_p, &targets, weight.as_ref())?);
        }
        let Some(ignored) = self.ignore_index else {
            let targets = arguments::classes(NAME, targets, (n, k))?;
            return self.of_classes(&log_p, &targets, weight.as_ref(), None);
        };
        let counted = targets.ne(ignored)?;
        let targets = counted.where_cond(targets, &targets.zeros_like()?)?;
        let targets = arguments::classes(NAME, &targets, (n, k))?;
        let counted = counted.to_dtype(log_p.dtype())?;
        self.of_classes(&log_p, &targets, weight.as_ref(), Some(&counted))
    }

    fn of_probabilities(
        &self,
        log_p: &Tensor,
        targets: &Tensor,
        weight: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (s, k) = (self.label_smoothing, log_p.dim(1)? as f64);
        let smoothed = if s == 0.0 { targets.clone() } else { targets.affine(1.0 - s, s / k)? };
        spread(&(smoothed * log_p)?, weight)
    }

    fn of_classes(
        &self,
        log_p: &Tensor,
        targets: &Tensor,
        weight: Option<&Tensor>,
        counted: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (s, k) = (self.label_smoothing, log_p.dim(1)? as f64);
        let weight_of_target = weight.map(|it| it.index_select(targets, 0)).transpose()?;
        let weight_of_target = match (weight_of_target, counted) {
            (Some(weight), Some(counted)) => Some((weight * counted)?),
            (weight, counted) => weight.or_else(|| counted.cloned()),
        };
        let mut losses = log_p.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?;
        if let Some(weight) = &weight_of_target {
            losses = (losses * weight)?;
        }
        if s != 0.0 {
            let mut spread = spread(log_p, weight)?;
            if let Some(counted) = counted {
                spread = (spread * counted)?;
            }
            losses = ((losses * (1.0 - s))? + (spread * (s / k))?)?;
        }
        match weight_of_target {
            Some(weight) if self.reduction == Reduction::Mean => {
                losses.sum_all()? / total(&weight)?
            }
            _ => self.reduction.of(&losses),
        }
    }
}

/// `−Σ_j w[j] · terms[i, j]`, a number a row.
fn spread(terms: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
    match weight {
        Some(weight) => terms.broadcast_mul(weight)?.sum(1)?.neg(),
        None => terms.sum(1)?.neg(),
    }
}

/// What the weighted mean divides by.
fn total(weight_of_target: &Tensor) -> Result<f64> {
    let total = weight_of_target.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
    if total == 0.0 {
        bail!("all targets have weight 0 or are ignored, so their mean is not defined")
    }
    Ok(total)
}
