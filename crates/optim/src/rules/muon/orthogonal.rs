//! A matrix with all its singular values brought near to 1, by a polynomial of it that only multiplies matrices.
//!
//! Above: `rules::muon`. Below: the matrix product of `taper_kernels`, which is its pointwise convolution. Not here: the momentum.
//! Source: Newton-Schulz iteration with the coefficients of Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon/>: steep at zero,
//! so that few iterations are enough, and singular values end between 0.7 and 1.2 and not at 1.

use taper_kernels::{Activation, ConvShape, Cpu, Device, Epilogue, Real, Reference, Source};

use crate::rule::round;

const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// Values row by row, with rows and columns.
#[derive(Debug, Clone)]
pub(super) struct Matrix<T> {
    pub(super) sides: [usize; 2],
    pub(super) values: Vec<T>,
}

/// Numbers of which there are matrix products.
pub(super) trait Product: Real {
    /// Writes `a·bᵀ` `(n, m)` of `a` `(n, k)` and `b` `(m, k)`.
    fn product(shape: &ConvShape, a: &[Self], b: &[Self], to: &mut [Self]);
}

fn plain<T>() -> Epilogue<'static, T> {
    Epilogue { bias: None, residual: None, activation: Activation::Identity }
}

impl Product for f32 {
    fn product(shape: &ConvShape, a: &[f32], b: &[f32], to: &mut [f32]) {
        Cpu::new(1).conv_forward(shape, Source::plain(a), b, plain(), to, None);
    }
}

impl Product for f64 {
    fn product(shape: &ConvShape, a: &[f64], b: &[f64], to: &mut [f64]) {
        Reference.conv_forward(shape, Source::plain(a), b, plain(), to, None);
    }
}

impl<T: Product> Matrix<T> {
    fn transposed(&self) -> Self {
        let [rows, columns] = self.sides;
        let row = |j: usize| (0..rows).map(move |i| self.values[i * columns + j]);
        Self { sides: [columns, rows], values: (0..columns).flat_map(row).collect() }
    }

    /// `self·otherᵀ`; zeros if there is nothing to multiply.
    fn times_transposed(&self, other: &Self) -> Self {
        let ([n, k], [m, _]) = (self.sides, other.sides);
        let mut values = vec![T::default(); n * m];
        let shape = ConvShape::new([1, n, 1, k], m, [1; 2], [1; 2], [1; 2], [0; 4], 1);
        if let Some(shape) = shape {
            T::product(&shape, &self.values, &other.values, &mut values);
        }
        Self { sides: [n, m], values }
    }

    /// `a·self + b·other`, of the same sides.
    fn combined(&self, a: f64, other: &Self, b: f64) -> Self {
        let (a, b): (T, T) = (round(a), round(b));
        let values = self.values.iter().zip(&other.values).map(|(&x, &y)| a * x + b * y);
        Self { sides: self.sides, values: values.collect() }
    }

    /// The iteration from the matrix over its norm, or over `eps` if that is smaller.
    pub(super) fn orthogonalized(&self, steps: u64, eps: f64) -> Self {
        let [rows, columns] = self.sides;
        if rows > columns {
            return self.transposed().orthogonalized(steps, eps).transposed();
        }
        let square = |x: &T| x.to_f64() * x.to_f64();
        let norm = self.values.iter().map(square).sum::<f64>().sqrt().max(eps);
        let by: T = round(norm);
        let values = self.values.iter().map(|&x| x / by).collect();
        let mut xs = Self { sides: self.sides, values };
        let [a, b, c] = COEFFICIENTS;
        for _ in 0..steps {
            let gram = xs.times_transposed(&xs);
            let polynomial = gram.combined(b, &gram.times_transposed(&gram), c);
            xs = xs.combined(a, &polynomial.times_transposed(&xs.transposed()), 1.0);
        }
        xs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(sides: [usize; 2]) -> Matrix<f64> {
        let values = (0..sides[0] * sides[1]).map(|i| ((i * i + 3 * i) as f64).sin());
        Matrix { sides, values: values.collect() }
    }

    #[test]
    fn a_product_is_the_sum_over_the_shared_side_in_both_precisions() {
        let (a, b) = (matrix([5, 7]), matrix([4, 7]));
        let narrow = |m: &Matrix<f64>| -> Matrix<f32> {
            Matrix { sides: m.sides, values: m.values.iter().map(|&x| round(x)).collect() }
        };
        let (wide, short) = (a.times_transposed(&b), narrow(&a).times_transposed(&narrow(&b)));
        for i in 0..5 {
            for j in 0..4 {
                let expected: f64 = (0..7).map(|k| a.values[7 * i + k] * b.values[7 * j + k]).sum();
                assert!((wide.values[4 * i + j] - expected).abs() < 1e-12);
                assert!((f64::from(short.values[4 * i + j]) - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn rows_of_a_wide_matrix_come_out_nearly_orthonormal_and_a_tall_one_is_its_mirror() {
        let wide = matrix([5, 9]).orthogonalized(5, 1e-7);
        let gram = wide.times_transposed(&wide);
        for i in 0..5 {
            for (j, value) in gram.values[5 * i..5 * (i + 1)].iter().enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 0.5, "{:?}", gram.values);
            }
        }
        let tall = matrix([5, 9]).transposed().orthogonalized(5, 1e-7);
        assert_eq!(tall.transposed().values, wide.values);
    }

    #[test]
    fn a_matrix_of_zeros_stays_one() {
        let zeros = Matrix { sides: [4, 6], values: vec![0.0f64; 24] };
        assert!(zeros.orthogonalized(5, 1e-7).values.iter().all(|x| x.abs() < f64::MIN_POSITIVE));
    }
}
