//! Least squares of one layer: what is summed over positions, and the weights that follow.
//!
//! Above: `prune::reconstruct`. Below: `conjugate`, candle's tensors. Not here: where the rows come from.

use candle_core::{DType, Device, Result, Tensor};

use crate::conjugate::conjugate_gradients;

/// The penalty on a weight's move, as a share of the mean square of what the layer reads.
const RIDGE: f64 = 0.01;

/// Steps of the solver.
const STEPS: usize = 50;

/// Sums over positions of what a layer reads, `x`, and what it made, `y`.
pub(super) struct Sums {
    rows: usize,
    /// `(taps, taps)` of `x xᵀ`, `(taps, outputs)` of `x yᵀ`.
    squares: Tensor,
    products: Tensor,
    /// `(1, taps)` and `(1, outputs)`.
    of_xs: Tensor,
    of_ys: Tensor,
}

/// What a layer becomes.
pub(super) struct Fitted {
    /// `(outputs, taps)`.
    pub(super) weight: Vec<f32>,
    /// By output, what is added; zeros where nothing can be.
    pub(super) offset: Vec<f32>,
}

impl Sums {
    pub(super) fn new(taps: usize, outputs: usize) -> Result<Self> {
        let zeros = |rows, columns| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu);
        Ok(Self {
            rows: 0,
            squares: zeros(taps, taps)?,
            products: zeros(taps, outputs)?,
            of_xs: zeros(1, taps)?,
            of_ys: zeros(1, outputs)?,
        })
    }

    /// Takes rows in, of `taps` and of `outputs` numbers.
    pub(super) fn add(&mut self, xs: &[f32], ys: &[f32]) -> Result<()> {
        let (taps, outputs) = self.products.dims2()?;
        let rows = xs.len() / taps.max(1);
        let xs = Tensor::from_slice(xs, (rows, taps), &Device::Cpu)?;
        let ys = Tensor::from_slice(ys, (rows, outputs), &Device::Cpu)?;
        let across = xs.t()?.contiguous()?;
        self.squares = (&self.squares + across.matmul(&xs)?)?;
        self.products = (&self.products + across.matmul(&ys)?)?;
        self.of_xs = (&self.of_xs + xs.sum_keepdim(0)?)?;
        self.of_ys = (&self.of_ys + ys.sum_keepdim(0)?)?;
        self.rows += rows;
        Ok(())
    }

    /// The weights nearest to the sums and to `weight`, `(outputs, taps)`, with an offset of each output or without.
    pub(super) fn fit(self, weight: &[f32], has_offset: bool) -> Result<Fitted> {
        let (taps, outputs) = self.products.dims2()?;
        let Self { mut squares, mut products, .. } = self;
        let rows = self.rows.max(1) as f64;
        let [mean_x, mean_y] = [(self.of_xs / rows)?, (self.of_ys / rows)?];
        if has_offset {
            let across = (mean_x.t()?.contiguous()? * rows)?;
            squares = (squares - across.matmul(&mean_x)?)?;
            products = (products - across.matmul(&mean_y)?)?;
        }
        let old = Tensor::from_slice(weight, (outputs, taps), &Device::Cpu)?.t()?.contiguous()?;
        let penalty = RIDGE * trace(&squares)? / taps.max(1) as f64 + f64::from(f32::MIN_POSITIVE);
        let missed = (&products - squares.matmul(&old)?)?;
        let moves = |v: &Tensor| squares.matmul(v)? + (v * penalty)?;
        let new = (old + conjugate_gradients(moves, missed, STEPS)?)?;
        let offset =
            if has_offset { (mean_y - mean_x.matmul(&new)?)? } else { mean_y.zeros_like()? };
        let values = |it: &Tensor| it.contiguous()?.flatten_all()?.to_vec1::<f32>();
        Ok(Fitted { weight: values(&new.t()?)?, offset: values(&offset)? })
    }
}

/// The sum along the diagonal.
fn trace(squares: &Tensor) -> Result<f64> {
    let n = squares.dim(0)?;
    let flat = squares.flatten_all()?.to_vec1::<f32>()?;
    Ok(flat.iter().step_by(n + 1).map(|&value| f64::from(value)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_without_rows_weights_stay() {
        // y = 3 x0 - 2 x1 + 5
        let xs = [0.5f32, -1.0, 1.5, 0.25, -2.0, 1.0, 0.0, 0.75, 1.0, -0.5];
        let ys: Vec<f32> = xs.chunks(2).map(|x| 3.0 * x[0] - 2.0 * x[1] + 5.0).collect();
        let mut sums = Sums::new(2, 1).unwrap();
        sums.add(&xs[..4], &ys[..2]).unwrap();
        sums.add(&xs[4..], &ys[2..]).unwrap();
        let Fitted { weight, offset } = sums.fit(&[1.0, 1.0], true).unwrap();
        let near = |value: f32, expected: f32| (value - expected).abs() < 0.1;
        assert!(near(weight[0], 3.0) && near(weight[1], -2.0), "{weight:?}");
        assert!(near(offset[0], 5.0), "{offset:?}");

        let Fitted { weight, offset } = Sums::new(2, 1).unwrap().fit(&[1.0, 7.0], true).unwrap();
        assert_eq!((weight, offset), (vec![1.0, 7.0], vec![0.0]));
    }
}
