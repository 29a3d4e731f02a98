//! Least squares of one layer: what is summed over positions, and the weights that follow.
//!
//! Above: `prune::reconstruct`. Below: `conjugate`, candle's tensors. Not here: where the rows come from.

use candle_core::{DType, Device, Result, Tensor};

use crate::conjugate::conjugate_gradients;

/// The penalty on a weight's move, as a share of the mean square of what the layer reads.
const RIDGE: f64 = 0.01;

/// Steps of the solver.
const STEPS: usize = 50;

/// Sums over positions of what a layer reads, `x`, and what it made, `y`, both less a constant near their means: squares of what hardly varies
/// around a large mean would be lost in rounding.
pub(super) struct Sums {
    rows: usize,
    /// Whether what the layer makes may be moved by a constant.
    has_offset: bool,
    /// `(1, taps)` and `(1, outputs)`: the constants; the means of the first rows, or zeros without an offset.
    from: Option<[Tensor; 2]>,
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
    pub(super) fn new(taps: usize, outputs: usize, has_offset: bool) -> Result<Self> {
        let zeros = |rows, columns| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu);
        Ok(Self {
            rows: 0,
            has_offset,
            from: None,
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
        let [from_x, from_y] = match &self.from {
            Some(from) => from.clone(),
            None if self.has_offset => [xs.mean_keepdim(0)?, ys.mean_keepdim(0)?],
            None => [self.of_xs.zeros_like()?, self.of_ys.zeros_like()?],
        };
        let (xs, ys) = (xs.broadcast_sub(&from_x)?, ys.broadcast_sub(&from_y)?);
        let across = xs.t()?.contiguous()?;
        self.squares = (&self.squares + across.matmul(&xs)?)?;
        self.products = (&self.products + across.matmul(&ys)?)?;
        self.of_xs = (&self.of_xs + xs.sum_keepdim(0)?)?;
        self.of_ys = (&self.of_ys + ys.sum_keepdim(0)?)?;
        self.rows += rows;
        self.from = Some([from_x, from_y]);
        Ok(())
    }

    /// The weights nearest to the sums and to `weight`, `(outputs, taps)`, with an offset of each output where there may be one. None where no rows
    /// came, or numbers are too large to be squared: then the layer stays as it is.
    pub(super) fn fit(self, weight: &[f32]) -> Result<Option<Fitted>> {
        let (taps, outputs) = self.products.dims2()?;
        let Self { mut squares, mut products, from: Some([from_x, from_y]), .. } = self else {
            return Ok(None);
        };
        let rows = self.rows.max(1) as f64;
        let [mean_x, mean_y] = [(self.of_xs / rows)?, (self.of_ys / rows)?];
        if self.has_offset {
            let across = (mean_x.t()?.contiguous()? * rows)?;
            squares = (squares - across.matmul(&mean_x)?)?;
            products = (products - across.matmul(&mean_y)?)?;
        }
        // In units in which squares are about 1: a power of two, which rounds nothing.
        let unit = (trace(&squares)? / taps.max(1) as f64).log2().round().exp2();
        if !unit.is_finite() {
            return Ok(None);
        }
        let mut new =
            Tensor::from_slice(weight, (outputs, taps), &Device::Cpu)?.t()?.contiguous()?;
        // What does not vary tells of nothing: weights stay, and the offset alone follows.
        if unit > f64::from(f32::MIN_POSITIVE) {
            (squares, products) = ((squares / unit)?, (products / unit)?);
            let penalty = RIDGE * trace(&squares)? / taps.max(1) as f64;
            let missed = (&products - squares.matmul(&new)?)?;
            let moves = |v: &Tensor| squares.matmul(v)? + (v * penalty)?;
            new = (new + conjugate_gradients(moves, missed, STEPS)?)?;
        }
        let offset = match self.has_offset {
            true => ((mean_y + from_y)? - (mean_x + from_x)?.matmul(&new)?)?,
            false => mean_y.zeros_like()?,
        };
        let values = |it: &Tensor| it.contiguous()?.flatten_all()?.to_vec1::<f32>();
        let fitted = Fitted { weight: values(&new.t()?)?, offset: values(&offset)? };
        let is_finite = fitted.weight.iter().chain(&fitted.offset).all(|value| value.is_finite());
        Ok(is_finite.then_some(fitted))
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

    /// `y = 3 x0 - 2 x1 + 5` in units of `unit`, around `mean` of them.
    fn line(unit: f32, mean: f32) -> Option<Fitted> {
        let xs = [0.5f32, -1.0, 1.5, 0.25, -2.0, 1.0, 0.0, 0.75, 1.0, -0.5];
        let ys = xs.chunks(2).map(|x| 3.0 * x[0] - 2.0 * x[1] + mean + 5.0);
        let ys: Vec<f32> = ys.map(|y| y * unit).collect();
        let xs = xs.map(|x| (x + mean) * unit);
        let mut sums = Sums::new(2, 1, true).unwrap();
        sums.add(&xs[..4], &ys[..2]).unwrap();
        sums.add(&xs[4..], &ys[2..]).unwrap();
        sums.fit(&[1.0, 1.0]).unwrap()
    }

    #[test]
    fn a_line_is_found_of_large_and_of_small_numbers_and_far_from_zero() {
        for (unit, mean) in [(1.0, 0.0), (1e-14, 0.0), (1e13, 0.0), (1.0, 2e4), (1e-6, -3e4)] {
            let Fitted { weight, offset } = line(unit, mean).unwrap();
            let near = |value: f32, expected: f32| (value - expected).abs() < 0.1;
            assert!(near(weight[0], 3.0) && near(weight[1], -2.0), "{unit} {mean}: {weight:?}");
            if mean == 0.0 {
                assert!(near(offset[0] / unit, 5.0), "{unit}: {offset:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_fitted_stays_as_it_is() {
        assert!(Sums::new(2, 1, true).unwrap().fit(&[1.0, 7.0]).unwrap().is_none());
        for unit in [1e25, f32::INFINITY, f32::NAN] {
            assert!(line(unit, 0.0).is_none(), "{unit}");
        }
        // Of what does not vary the weights do, and the outputs keep their mean.
        let mut sums = Sums::new(2, 1, true).unwrap();
        sums.add(&[3.0, 4.0, 3.0, 4.0], &[9.0, 11.0]).unwrap();
        let Fitted { weight, offset } = sums.fit(&[1.0, 1.0]).unwrap().unwrap();
        assert_eq!((weight, offset), (vec![1.0, 1.0], vec![3.0]));
    }
}
