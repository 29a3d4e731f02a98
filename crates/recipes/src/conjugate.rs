//! Linear equations with many right-hand sides, of which no matrix is taken apart.
//!
//! Above: `doctor::ridge`, `prune::reconstruct`. Below: candle's tensors. Not here: what the equations are of.
//! Source: conjugate gradients, Hestenes and Stiefel 1952, <https://doi.org/10.6028/jres.049.044>.

use candle_core::{Result, Tensor};

/// What no step divides by: the square of a residual that is nothing, or a direction in which rounding left no curvature.
const LEAST: f64 = 1e-30;

/// The `V` of `A V = B`, column by column at once: `apply` is `A`, symmetric and positive definite, `rhs` is `B`, `(n, columns)`.
///
/// A residual is not looked at: after `steps` steps the solution is as near as it came, and few steps are a penalty of their own on what
/// `A` hardly tells apart.
pub(crate) fn conjugate_gradients(
    apply: impl Fn(&Tensor) -> Result<Tensor>,
    rhs: Tensor,
    steps: usize,
) -> Result<Tensor> {
    let dot = |a: &Tensor, b: &Tensor| a.mul(b)?.sum_keepdim(0);
    let ratio = |a: &Tensor, b: &Tensor| {
        let (is_some, one) = (b.gt(LEAST)?, b.ones_like()?);
        is_some.where_cond(&a.div(&is_some.where_cond(b, &one)?)?, &one.zeros_like()?)
    };
    let mut solution = rhs.zeros_like()?;
    let mut direction = rhs.clone();
    let mut residual = rhs;
    let mut square = dot(&residual, &residual)?;
    for _ in 0..steps {
        let applied = apply(&direction)?;
        let length = ratio(&square, &dot(&direction, &applied)?)?;
        solution = (solution + direction.broadcast_mul(&length)?)?;
        residual = (residual - applied.broadcast_mul(&length)?)?;
        let next = dot(&residual, &residual)?;
        direction = (&residual + direction.broadcast_mul(&ratio(&next, &square)?)?)?;
        square = next;
    }
    Ok(solution)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn as_many_steps_as_unknowns_solve_every_column() {
        let a = Tensor::new(&[[4.0f32, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]], &Device::Cpu);
        let (a, expected) = (a.unwrap(), [[1.0f32, 0.0], [-2.0, 0.5], [3.0, 0.0]]);
        let rhs = a.matmul(&Tensor::new(&expected, &Device::Cpu).unwrap()).unwrap();
        let found = conjugate_gradients(|v| a.matmul(v), rhs, 3).unwrap();
        for (found, expected) in found.to_vec2::<f32>().unwrap().iter().zip(expected) {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
            }
        }
        // Nothing is asked for, and nothing comes.
        let none = Tensor::zeros((3, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        let found = conjugate_gradients(|v| a.matmul(v), none, 30).unwrap();
        assert_eq!(found.to_vec2::<f32>().unwrap(), [[0.0; 2]; 3]);
    }
}
