//! Losses of a difference: squared error, Huber's, smooth L1.
//!
//! Above: `loss`. Below: `loss::arguments`. Not here: losses of logits (`cross_entropy`, `binary`).
//! Shapes are arbitrary and equal: nothing is broadcast. The mean is over all elements.
//! Source: `torch.nn.MSELoss`, `HuberLoss` and `SmoothL1Loss`, checked in `tests/golden`.

use candle_core::{Result, Tensor};

use super::{Reduction, arguments};

/// Squared error: `loss[i] = (x[i] − y[i])²`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::loss::Mse;
/// let xs = Tensor::new(&[[1.0f32], [4.0]], &Device::Cpu)?;
/// let targets = Tensor::new(&[[2.0f32], [1.0]], &Device::Cpu)?;
/// assert_eq!(Mse::new().forward(&xs, &targets)?.to_scalar::<f32>()?, 5.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Mse {
    ignore_nan: bool,
    reduction: Reduction,
}

impl Mse {
    /// The mean.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
    /// - `xs`: any   - `targets`: the same   - returns a scalar, or that shape if nothing is reduced
    ///
    /// # Errors
    /// candle's error if the shapes differ or there are no elements.
    pub fn forward(&self, xs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (targets, known) = arguments::targets("squared error", (xs, targets), self.ignore_nan)?;
        self.reduction.of_known(&(xs - targets)?.sqr()?, known.as_ref())
    }
}

/// Huber's loss: squared for small differences, linear for large ones.
///
/// `loss[i] = d² / 2` where `|d| ≤ delta`, `delta · (|d| − delta / 2)` elsewhere, `d = x[i] − y[i]`.
///
/// # Source
/// Huber 1964, "Robust Estimation of a Location Parameter", <https://doi.org/10.1214/aoms/1177703732>.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::loss::{Huber, Reduction};
/// let xs = Tensor::new(&[1.0f32, 10.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[0.0f32, 0.0], &Device::Cpu)?;
/// let loss = Huber::new(2.0)?.with_reduction(Reduction::None);
/// assert_eq!(loss.forward(&xs, &targets)?.to_vec1::<f32>()?, [0.5, 18.0]);
/// assert!(Huber::new(0.0).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Huber {
    delta: f64,
    ignore_nan: bool,
    reduction: Reduction,
}

impl Huber {
    /// The mean; linear from a difference of `delta`. PyTorch's default is 1.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if `delta` is not a finite number above 0.
    pub fn new(delta: f64) -> crate::Result<Self> {
        let delta = arguments::positive("Huber's delta", delta)?;
        Ok(Self { delta, ignore_nan: false, reduction: Reduction::Mean })
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
    /// - `xs`: any   - `targets`: the same   - returns a scalar, or that shape if nothing is reduced
    ///
    /// # Errors
    /// candle's error if the shapes differ or there are no elements.
    pub fn forward(&self, xs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (targets, known) = arguments::targets("Huber's loss", (xs, targets), self.ignore_nan)?;
        self.reduction.of_known(&elements(xs, &targets, self.delta)?, known.as_ref())
    }
}

/// Smooth L1: Huber's loss with `delta = beta`, divided by `beta`, so that the linear part has slope 1.
///
/// `loss[i] = d² / (2 · beta)` where `|d| < beta`, `|d| − beta / 2` elsewhere, `d = x[i] − y[i]`.
///
/// # Source
/// Girshick 2015, equation 3, <https://arxiv.org/abs/1504.08083>.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::loss::{Reduction, SmoothL1};
/// let xs = Tensor::new(&[1.0f32, 10.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[0.0f32, 0.0], &Device::Cpu)?;
/// let loss = SmoothL1::new(2.0)?.with_reduction(Reduction::None);
/// assert_eq!(loss.forward(&xs, &targets)?.to_vec1::<f32>()?, [0.25, 9.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SmoothL1 {
    beta: f64,
    ignore_nan: bool,
    reduction: Reduction,
}

impl SmoothL1 {
    /// The mean; linear from a difference of `beta`. PyTorch's default is 1, and it takes 0 too.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if `beta` is not a finite number above 0.
    pub fn new(beta: f64) -> crate::Result<Self> {
        let beta = arguments::positive("beta of smooth L1", beta)?;
        Ok(Self { beta, ignore_nan: false, reduction: Reduction::Mean })
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
    /// - `xs`: any   - `targets`: the same   - returns a scalar, or that shape if nothing is reduced
    ///
    /// # Errors
    /// candle's error if the shapes differ or there are no elements.
    pub fn forward(&self, xs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (targets, known) = arguments::targets("smooth L1", (xs, targets), self.ignore_nan)?;
        let losses = (elements(xs, &targets, self.beta)? / self.beta)?;
        self.reduction.of_known(&losses, known.as_ref())
    }
}

/// Huber's loss of each element as `c · d − c² / 2`, where `c` is `d` cut to `[−delta, delta]`. Held constant, `c` is also the
/// gradient, on both sides of the seams and at them.
fn elements(xs: &Tensor, targets: &Tensor, delta: f64) -> Result<Tensor> {
    let difference = (xs - targets)?;
    let cut = difference.detach().clamp(-delta, delta)?;
    (&cut * difference)? - (cut.sqr()? * 0.5)?
}
