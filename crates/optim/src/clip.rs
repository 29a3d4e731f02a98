//! Gradient clipping by the norm of all gradients together.
//!
//! Above: `train::step`. Below: candle's `GradStore`. Not here: the step (`optimizer`).
//! Source: `torch.nn.utils.clip_grad_norm_`, PyTorch 2.x; Pascanu et al. 2013, <https://arxiv.org/abs/1211.5063>.

use candle_core::{CpuStorage, Tensor, Var, backprop::GradStore};

use crate::error::{Error, Result, check};

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
    check("max_norm", max_norm, f64::MIN_POSITIVE..f64::INFINITY, "a number above 0")?;
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
