//! Gradient clipping: by the norm of all gradients together, value by value, or unit by unit against the weights.
//!
//! Above: `train::step`. Below: candle's `GradStore`. Not here: the step (`optimizer`).
//! Source: `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_`, PyTorch 2.x, Pascanu et al. 2013, <https://arxiv.org/abs/1211.5063>; timm's
//! `adaptive_clip_grad`, Brock et al. 2021, <https://arxiv.org/abs/2102.06171>.

use candle_core::{CpuStorage, Tensor, Var, backprop::GradStore};

use crate::error::{Error, Result, check};
use crate::{Optimizer, Role, Rule};

/// How gradients are made smaller before a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// So that the norm of all together is at most this: [`clip_grad_norm`].
    Norm(f64),
    /// So that no value is larger than this, or smaller than its negative: [`clip_grad_value`].
    Value(f64),
    /// So that of each unit the norm is at most this share of that of its weights, the layer that gives the outputs left out:
    /// [`adaptive_clip_grad`].
    Adaptive(f64),
}

impl Clip {
    /// Refuses limits that are none.
    ///
    /// # Errors
    /// [`Error::Setting`] with the limit's name.
    pub fn check(self) -> Result<()> {
        let (name, limit) = match self {
            Clip::Norm(limit) => ("clip_norm", limit),
            Clip::Value(limit) => ("clip_value", limit),
            Clip::Adaptive(limit) => ("agc", limit),
        };
        check_limit(name, limit)
    }

    /// Clips the gradients of an optimizer's parameters; returns the norm of all before, if it was asked for.
    ///
    /// # Errors
    /// As the functions that do it.
    pub fn apply<R: Rule>(
        self,
        grads: &mut GradStore,
        optimizer: &Optimizer<R>,
    ) -> Result<Option<f64>> {
        match self {
            Clip::Norm(limit) => clip_grad_norm(grads, optimizer.vars(), limit).map(Some),
            Clip::Value(limit) => clip_grad_value(grads, optimizer.vars(), limit).map(|()| None),
            Clip::Adaptive(factor) => {
                let clipped = optimizer.params().filter(|(info, _)| info.role != Role::Head);
                adaptive_clip_grad(grads, clipped.map(|(_, var)| var), factor).map(|()| None)
            }
        }
    }
}

fn check_limit(name: &'static str, limit: f64) -> Result<()> {
    check(name, limit, f64::MIN_POSITIVE..f64::INFINITY, "a number above 0")
}

/// Scales the gradients of `vars` so that their common Euclidean norm is at most `max_norm`; returns the norm before.
///
/// `factor = min(1, max_norm / (norm + 1e-6))`, `norm = √Σ g²` over every element of every gradient.
///
/// # Numerics
/// The sum runs in `f64` in the order of `vars`. A norm that is not finite is returned and changes nothing (PyTorch
/// would spread it over all gradients); the caller decides.
///
/// # Errors
/// [`Error::Setting`] if `max_norm` is not above 0, [`Error::Tensor`] if a gradient is not `f32` or `f64` on the CPU.
///
/// # Examples
/// ```
/// use candle_core::{Device, Var};
/// let w = Var::new(&[3.0f32, 4.0], &Device::Cpu)?;
/// let mut grads = (w.sqr()? * 0.5)?.sum_all()?.backward()?; // the gradient is w, its norm is 5
/// assert_eq!(taper_optim::clip_grad_norm(&mut grads, [&w], 1.0)?, 5.0);
/// assert!((grads.get(&w).unwrap().to_vec1::<f32>()?[0] - 0.6).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clip_grad_norm<'a>(
    grads: &mut GradStore,
    vars: impl IntoIterator<Item = &'a Var>,
    max_norm: f64,
) -> Result<f64> {
    check_limit("max_norm", max_norm)?;
    let vars: Vec<&Var> = vars.into_iter().collect();
    let mut total = 0.0;
    for grad in vars.iter().filter_map(|var| grads.get(var)) {
        total += sum_of_squares(grad).map_err(in_clipping)?;
    }
    let norm = total.sqrt();
    let factor = max_norm / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        for var in vars {
            if let Some(grad) = grads.get(var) {
                let scaled = grad.affine(factor, 0.0).map_err(in_clipping)?;
                grads.insert(var, scaled);
            }
        }
    }
    Ok(norm)
}

/// Puts every value of the gradients of `vars` between `-limit` and `limit`.
///
/// # Numerics
/// A NaN stays one.
///
/// # Errors
/// [`Error::Setting`] if `limit` is not above 0, [`Error::Tensor`] if candle refuses.
///
/// # Examples
/// ```
/// use candle_core::{Device, Var};
/// let w = Var::new(&[3.0f32, -0.25], &Device::Cpu)?;
/// let mut grads = (w.sqr()? * 0.5)?.sum_all()?.backward()?; // the gradient is w
/// taper_optim::clip_grad_value(&mut grads, [&w], 0.5)?;
/// assert_eq!(grads.get(&w).unwrap().to_vec1::<f32>()?, [0.5, -0.25]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clip_grad_value<'a>(
    grads: &mut GradStore,
    vars: impl IntoIterator<Item = &'a Var>,
    limit: f64,
) -> Result<()> {
    check_limit("clip_value", limit)?;
    for var in vars {
        if let Some(grad) = grads.get(var) {
            let clipped = grad.clamp(-limit, limit).map_err(in_clipping)?;
            grads.insert(var, clipped);
        }
    }
    Ok(())
}

/// The least norm of weights that is taken for one, and that a gradient's is divided by: timm's.
const LEAST_WEIGHT: f64 = 1e-3;
const LEAST_GRADIENT: f64 = 1e-6;

/// Adaptive gradient clipping: scales the gradient of each unit so that its norm is at most `factor` times that of its weights.
///
/// A unit is a row of the first axis: a filter, or an output of a linear layer; a vector is one unit. `g *= m / max(‖g‖, 1e-6)` where
/// `‖g‖ ≥ m = factor · max(‖w‖, 1e-3)`.
///
/// # Numerics
/// Norms are summed in the precision of the gradient.
///
/// # Errors
/// [`Error::Setting`] if `factor` is not above 0, [`Error::Tensor`] if candle refuses.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor, Var};
/// let w = Var::new(&[[3.0f32, 4.0], [0.0, 10.0]], &Device::Cpu)?; // rows of norm 5 and 10
/// let mut grads = (w.as_tensor() * &Tensor::new(&[[0.1f32], [2.0]], &Device::Cpu)?.broadcast_as((2, 2))?)?.sum_all()?.backward()?;
/// taper_optim::adaptive_clip_grad(&mut grads, [&w], 0.1)?;
/// let grad = grads.get(&w).unwrap().to_vec2::<f32>()?;
/// assert_eq!(grad[0], [0.1, 0.1]); // of norm 0.14 at most 0.5
/// assert!((grad[1][0].hypot(grad[1][1]) - 1.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adaptive_clip_grad<'a>(
    grads: &mut GradStore,
    vars: impl IntoIterator<Item = &'a Var>,
    factor: f64,
) -> Result<()> {
    check_limit("agc", factor)?;
    for var in vars {
        if let Some(grad) = grads.get(var) {
            let clipped = clipped_unit_by_unit(var, grad, factor).map_err(in_clipping)?;
            grads.insert(var, clipped);
        }
    }
    Ok(())
}

fn clipped_unit_by_unit(
    weight: &Tensor,
    grad: &Tensor,
    factor: f64,
) -> candle_core::Result<Tensor> {
    let rows = if grad.rank() > 1 { grad.dim(0)? } else { 1 };
    let as_rows = |tensor: &Tensor| tensor.detach().contiguous()?.reshape((rows, ()));
    let norms = |rows: &Tensor| rows.sqr()?.sum_keepdim(1)?.sqrt();
    let rows_of_grad = as_rows(grad)?;
    let most = (norms(&as_rows(weight)?)?.maximum(LEAST_WEIGHT)? * factor)?;
    let norm = norms(&rows_of_grad)?;
    let clipped = rows_of_grad.broadcast_mul(&most.div(&norm.maximum(LEAST_GRADIENT)?)?)?;
    let is_small = norm.lt(&most)?.broadcast_as(clipped.shape())?;
    is_small.where_cond(&rows_of_grad, &clipped)?.reshape(grad.shape())
}

/// `Σ g²`, in `f64` and in the order of the gradient.
pub(crate) fn sum_of_squares(grad: &Tensor) -> candle_core::Result<f64> {
    let grad = grad.contiguous()?;
    let (storage, layout) = grad.storage_and_layout();
    let (candle_core::Storage::Cpu(storage), Some((start, end))) =
        (&*storage, layout.contiguous_offsets())
    else {
        candle_core::bail!("gradients are needed on the CPU; call `to_device(&Device::Cpu)`")
    };
    Ok(match storage {
        CpuStorage::F64(values) => values[start..end].iter().map(|g| g * g).sum(),
        storage => {
            let values = &storage.as_slice::<f32>()?[start..end];
            values.iter().map(|&g| f64::from(g) * f64::from(g)).sum()
        }
    })
}

fn in_clipping(source: candle_core::Error) -> Error {
    Error::Tensor { name: "gradient clipping".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn store(gradients: &[(&Var, &[f32])]) -> GradStore {
        let mut grads = GradStore::default();
        for (var, values) in gradients {
            grads.insert(var, Tensor::new(*values, &Device::Cpu).unwrap());
        }
        grads
    }

    #[test]
    fn a_small_norm_changes_nothing() {
        let var = Var::new(&[0.0f32, 0.0], &Device::Cpu).unwrap();
        let mut grads = store(&[(&var, &[0.3, 0.4])]);
        let norm = clip_grad_norm(&mut grads, [&var], 1.0).unwrap();
        assert!((norm - 0.5).abs() < 1e-7);
        assert_eq!(grads.get(&var).unwrap().to_vec1::<f32>().unwrap(), [0.3, 0.4]);
    }

    #[test]
    fn the_norm_is_over_all_gradients_together() {
        let [a, b] = [0, 1].map(|_| Var::new(&[0.0f32], &Device::Cpu).unwrap());
        let mut grads = store(&[(&a, &[3.0]), (&b, &[4.0])]);
        assert!((clip_grad_norm(&mut grads, [&a, &b], 2.5).unwrap() - 5.0).abs() < 1e-12);
        let clipped = |var| grads.get(var).unwrap().to_vec1::<f32>().unwrap()[0];
        assert!((clipped(&a) - 1.5).abs() < 1e-5 && (clipped(&b) - 2.0).abs() < 1e-5);
    }

    #[test]
    fn an_infinite_norm_is_returned_and_leaves_the_gradients() {
        let var = Var::new(&[0.0f32, 0.0], &Device::Cpu).unwrap();
        let mut grads = store(&[(&var, &[f32::INFINITY, 1.0])]);
        assert!(clip_grad_norm(&mut grads, [&var], 1.0).unwrap().is_infinite());
        assert_eq!(
            grads.get(&var).unwrap().to_vec1::<f32>().unwrap()[1].to_bits(),
            1.0f32.to_bits()
        );
        assert!(clip_grad_norm(&mut grads, [&var], f64::NAN).is_err());
    }
}
