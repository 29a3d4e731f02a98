//! Distillation: a student's softened softmax against a teacher's.
//!
//! Above: `loss`, training with a teacher. Below: `loss::arguments`, candle's `log_softmax`. Not here: the cross-entropy with the
//! true classes that is usually added (`cross_entropy`).
//! Source: Hinton et al. 2015, section 2, <https://arxiv.org/abs/1503.02531>; `torch.nn.KLDivLoss`, checked in `tests/golden`.

use candle_core::{Result, Tensor};
use candle_nn::ops::log_softmax;

use super::{Reduction, arguments};

const NAME: &str = "distillation";

/// Divergence of a student from its teacher at a temperature.
///
/// `loss[i] = T² · Σ_j p[i, j] · log(p[i, j] / q[i, j])`, `p = softmax(teacher / T)`, `q = softmax(student / T)`. The mean divides
/// by `n` (PyTorch's `batchmean`). The factor `T²` keeps the size of the gradients, `T · (q − p)`, when `T` changes.
///
/// # Numerics
/// Agrees with PyTorch within 1e-5 (`f32`) and 1e-9 (`f64`) of the largest magnitude, gradients too (`tests/golden`).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::loss::Distillation;
/// let teacher = Tensor::new(&[[2.0f32, 1.0, -1.0]], &Device::Cpu)?;
/// let student = Tensor::new(&[[1.0f32, 1.0, 0.0]], &Device::Cpu)?;
/// let loss = Distillation::new(4.0)?;
/// assert!(loss.forward(&student, &teacher)?.to_scalar::<f32>()? > 0.1);
/// assert!(loss.forward(&teacher, &teacher)?.to_scalar::<f32>()?.abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Distillation {
    temperature: f64,
    reduction: Reduction,
}

impl Distillation {
    /// The mean over the batch at a temperature: above 1 softens, 1 leaves as it is.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if the temperature is not a finite number above 0.
    pub fn new(temperature: f64) -> crate::Result<Self> {
        let temperature = arguments::positive("the temperature", temperature)?;
        Ok(Self { temperature, reduction: Reduction::Mean })
    }

    /// Mean, sum, or a loss for each row.
    #[must_use]
    pub fn with_reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// The loss of a batch. No gradient goes to the teacher.
    ///
    /// # Shapes
    /// - `student`: `(n, k)` logits   - `teacher`: the same   - returns a scalar, or `(n)` if nothing is reduced
    ///
    /// # Errors
    /// candle's error if the shapes differ or the batch is empty.
    pub fn forward(&self, student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
        arguments::rows(NAME, student)?;
        let teacher = arguments::same(NAME, student, &teacher.detach())?;
        let log_q = log_softmax(&(student / self.temperature)?, 1)?;
        let log_p = log_softmax(&(teacher / self.temperature)?, 1)?;
        let losses = (log_p.exp()? * (log_p - log_q)?)?.sum(1)?;
        self.reduction.of(&(losses * self.temperature.powi(2))?)
    }
}
