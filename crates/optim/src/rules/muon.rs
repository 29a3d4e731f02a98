//! Muon: the momentum of a matrix with all its singular values brought near to 1; `AdamW` for everything that is no matrix.
//!
//! Above: `rules`. Below: `rules::{adamw, muon::orthogonal}`, `rule`. Not here: which layer gives the outputs (`group`).
//! Source: Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon/>; Liu et al. 2025, <https://arxiv.org/abs/2502.16982>;
//! `torch.optim.Muon`, PyTorch 2.11, and timm's `Muon` for which parameters are matrices. Both iterate in bf16, this in the parameter's
//! own precision.

mod orthogonal;

use super::AdamW;
use super::check_momentum;
use crate::error::{Result, check};
use crate::rule::{
    Cells, NO_SUMS, ParamInfo, Passes, Role, Rule, Slices, Slot, Step, Sums, as_f64, round,
};
use orthogonal::{Matrix, Product};

/// The least rows and columns of a matrix, and how many times more columns than rows, or rows than columns, it may have: timm's.
const LEAST_SIDE: usize = 4;
const MOST_ASPECT: usize = 128;

/// Settings of `Muon`; the defaults are PyTorch's, with the rate adjusted as in [`Muon::adjust`] so that one rate and one weight decay
/// serve it and its `AdamW`.
///
/// For a matrix of `a` rows and `b` columns: `m += (1 − momentum)(g − m)`, `u = g + momentum·(m − g)` (without Nesterov `u = m`),
/// `x = u / ‖u‖`, five times `x = 3.4445·x − 4.775·(x·xᵀ)·x + 2.0315·(x·xᵀ)²·x`, `p *= 1 − lr·weight_decay`, and `p −= lr · r · x`. A
/// convolution's weight is a matrix of `out` rows. A depthwise one is none, nor the weight of the layer that gives the outputs, nor one
/// with fewer than 4 rows or columns, or 128 times more of the ones than of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Muon {
    /// Decay rate of the momentum, in `[0, 1)`. Default 0.95.
    pub momentum: f64,
    /// Looks one step ahead. Default true.
    pub nesterov: bool,
    /// How often the iteration goes on. Default 5.
    pub ns_steps: u64,
    /// Least norm that a momentum is divided by, above 0. Default 1e-7.
    pub eps: f64,
    /// What the rate of a matrix is multiplied by. Default [`AdjustLr::MatchRmsAdamW`].
    pub adjust: AdjustLr,
    /// The rule of everything else. Default that of [`AdamW`].
    pub rest: AdamW,
}

/// What the rate of a matrix of `a` rows and `b` columns is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdjustLr {
    /// `√max(1, a / b)`, as Jordan et al. do.
    Original,
    /// `0.2·√max(a, b)`: a step is as long as one of `AdamW` is on the average (Liu et al.).
    MatchRmsAdamW,
}

impl Default for Muon {
    fn default() -> Self {
        let adjust = AdjustLr::MatchRmsAdamW;
        let rest = AdamW::default();
        Self { momentum: 0.95, nesterov: true, ns_steps: 5, eps: 1e-7, adjust, rest }
    }
}

impl Muon {
    /// Rows and columns of a parameter that is a matrix.
    fn matrix(param: &ParamInfo<'_>) -> Option<[usize; 2]> {
        let (&[rows, inputs, ..], Role::Weight) = (param.shape, param.role) else { return None };
        let columns: usize = param.shape.iter().skip(1).product();
        let (less, more) = (rows.min(columns), rows.max(columns));
        let fits = inputs > 1 && less >= LEAST_SIDE && more <= MOST_ASPECT * less;
        fits.then_some([rows, columns])
    }

    #[expect(clippy::cast_precision_loss, reason = "sides of matrices stay far below 2^53")]
    fn ratio(&self, [rows, columns]: [usize; 2]) -> f64 {
        match self.adjust {
            AdjustLr::Original => (rows as f64 / columns as f64).max(1.0).sqrt(),
            AdjustLr::MatchRmsAdamW => 0.2 * (rows.max(columns) as f64).sqrt(),
        }
    }

    fn apply<T: Product>(&self, sides: [usize; 2], step: &Step<'_>, slices: Slices<'_, T>) {
        let Slices { param, grad, slots: [mean] } = slices else { return };
        let (take, keep): (T, T) = (round(1.0 - self.momentum), round(self.momentum));
        let ahead = mean.iter_mut().zip(grad).map(|(m, &g)| {
            *m += take * (g - *m);
            if self.nesterov { g + keep * (*m - g) } else { *m }
        });
        let momentum = Matrix { sides, values: ahead.collect() };
        let direction = momentum.orthogonalized(self.ns_steps, self.eps);
        let shrink: T = round(1.0 - step.lr * step.weight_decay);
        let lr: T = round(step.lr * self.ratio(sides));
        for (p, &u) in param.iter_mut().zip(&direction.values) {
            *p = shrink * *p - lr * u;
        }
    }
}

impl Rule for Muon {
    fn slots(&self, param: &ParamInfo<'_>) -> Vec<Slot> {
        match Self::matrix(param) {
            Some(_) => vec![Slot::zeros("momentum_buffer")],
            None => self.rest.slots(param),
        }
    }

    fn check(&self) -> Result<()> {
        check_momentum(self.momentum)?;
        check("ns_steps", as_f64(self.ns_steps), 1.0..100.0, "from 1 to 99")?;
        super::check_eps(self.eps)?;
        self.rest.check()
    }

    fn passes(&self, param: &ParamInfo<'_>, _weight_decay: f64) -> Passes {
        Passes { count: 1, whole: Self::matrix(param).is_some() }
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        match (Self::matrix(&step.param), cells) {
            (None, cells) => return self.rest.update(step, cells),
            (Some(sides), Cells::F32(slices)) => self.apply(sides, step, slices),
            (Some(sides), Cells::F64(slices)) => self.apply(sides, step, slices),
        }
        NO_SUMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_those_of_timm() {
        let is_matrix =
            |shape: &[usize], role| Muon::matrix(&ParamInfo { name: "w", shape, role }).is_some();
        for (shape, expected) in [
            (&[96, 1, 3, 3][..], false), // depthwise
            (&[32, 3, 3, 3], true),
            (&[96, 16, 1, 1], true),
            (&[8, 8, 3, 3], true),
            (&[6, 1280], false), // 213 times more columns
            (&[2, 8], false),
            (&[1280], false),
        ] {
            assert_eq!(is_matrix(shape, Role::Weight), expected, "{shape:?}");
        }
        assert!(!is_matrix(&[100, 1280], Role::Head) && is_matrix(&[100, 1280], Role::Weight));
    }
}
