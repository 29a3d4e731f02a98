//! A loss as an argument: of all outputs of a network and all targets, whatever it is made of.
//!
//! Above: `train`. Below: the losses of `loss`. Not here: their formulas.

use candle_core::{Result, Tensor};

use super::{
    BceWithLogits, CrossEntropy, Distillation, Huber, Mse, SigmoidFocal, SmoothL1, SoftmaxFocal,
};
use crate::NamedTensors;

/// What training makes small: a number from outputs and targets.
///
/// Every loss of this module is one, for a network with one output and targets of one kind. A closure is one for any number:
/// ```
/// use candle_core::Tensor;
/// use taper_layers::NamedTensors;
/// use taper_layers::loss::{CrossEntropy, Loss, SmoothL1};
/// let (class, place) = (CrossEntropy::new(), SmoothL1::new(1.0)?);
/// let loss = |outputs: &NamedTensors, targets: &NamedTensors| {
///     let class = class.forward(outputs.get("class")?, targets.get("class")?)?;
///     let place = place.forward(outputs.get("place")?, targets.get("place")?)?;
///     class + (place * 0.5)?
/// };
/// # use candle_core::Device;
/// let (logits, label) = (Tensor::new(&[[4f32, 0.0]], &Device::Cpu)?, Tensor::new(&[0u32], &Device::Cpu)?);
/// let outputs = NamedTensors::new([("class", logits), ("place", Tensor::new(&[[1f32]], &Device::Cpu)?)]);
/// let targets = NamedTensors::new([("class", label), ("place", Tensor::new(&[[4f32]], &Device::Cpu)?)]);
/// assert!(loss.loss(&outputs, &targets)?.to_scalar::<f32>()? > 1.25);
/// assert!(class.loss(&outputs, &targets).is_err()); // of which one?
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Loss {
    /// The loss of a batch, a scalar.
    ///
    /// # Shapes
    /// - `outputs`: `(n, k)` each, `(n, k, h, w)` of maps   - `targets`: what the data has, `(n)`, `(n, k)`, `(n, h, w)`, …
    ///
    /// # Errors
    /// candle's error if the tensors are not those it needs.
    fn loss(&self, outputs: &NamedTensors, targets: &NamedTensors) -> Result<Tensor>;
}

impl<F: Fn(&NamedTensors, &NamedTensors) -> Result<Tensor>> Loss for F {
    fn loss(&self, outputs: &NamedTensors, targets: &NamedTensors) -> Result<Tensor> {
        self(outputs, targets)
    }
}

macro_rules! of_one_output {
    ($($loss:ty),+) => {$(
        impl Loss for $loss {
            fn loss(&self, outputs: &NamedTensors, targets: &NamedTensors) -> Result<Tensor> {
                self.forward(outputs.single()?, targets.single()?)
            }
        }
    )+};
}

of_one_output!(
    BceWithLogits,
    CrossEntropy,
    Distillation,
    Huber,
    Mse,
    SigmoidFocal,
    SmoothL1,
    SoftmaxFocal
);
