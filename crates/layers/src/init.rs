//! Initializers for candle: tensors, whole models through a `VarBuilder`, and residual branches that begin at zero.
//!
//! Above: users of candle. Below: `taper_model::init`, which draws the numbers. Not here: initial weights of a graph
//! (`taper_model::Model::random`).
//! candle's own generator cannot be seeded on a CPU; here the same seed and name give the same bits.

mod seeded;
mod zero_gamma;

use candle_core::{DType, Device, Shape, Tensor};
pub use taper_model::init::{Distribution, Fan, Fans, Initializer, Nonlinearity};

use crate::error::{Result, at};

pub use seeded::{from_hint, var_builder};
pub use zero_gamma::{last_norms, zero_gamma, zero_named};

/// A new parameter, `f32` on the CPU.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) if the initializer needs fans and the shape has fewer than two axes.
///
/// # Examples
/// ```
/// use taper_layers::init::{Initializer, tensor};
/// let truncated = Initializer::truncated_normal(0.0, 0.02, -0.04, 0.04)?;
/// let weight = tensor(&truncated, (8, 4, 3, 3), 7, "conv.weight")?;
/// assert!(weight.abs()?.max_all()?.to_scalar::<f32>()? <= 0.04);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tensor(
    initializer: &Initializer,
    shape: impl Into<Shape>,
    seed: u64,
    name: &str,
) -> Result<Tensor> {
    like(initializer, &shape.into(), (seed, name), DType::F32, &Device::Cpu)
}

/// A parameter of another type or elsewhere; the values are those of `f32`.
fn like(
    initializer: &Initializer,
    shape: &Shape,
    (seed, name): (u64, &str),
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let values = initializer.values(shape.dims(), seed, name)?;
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu);
    tensor.and_then(|it| it.to_dtype(dtype)?.to_device(device)).map_err(at(name))
}

#[cfg(test)]
mod tests;
