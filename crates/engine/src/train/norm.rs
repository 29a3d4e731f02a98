//! What a trainer keeps for each batch norm, and the formulas of its two passes.
//!
//! Above: `train::{forward, backward}`. Below: `taper-plan`. Not here: sums over positions (`kernels`).
//! With `σ = √(var + ε)` over `m` values a channel, `z = γ·(y − μ)/σ + β`:
//! `dβ = Σ dz`, `dγ = Σ dz·(y − μ)/σ`, and `dy = γ/σ·(dz − Σdz/m − (y − μ)/σ²·Σdz·(y − μ)/m)`; with running statistics the last two
//! terms are absent. Source: Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>.

use taper_kernels::{Affine, NormGradient, Real};
use taper_plan::fused::Norm;

/// Per-channel numbers of one norm; all empty for a value without.
#[derive(Debug, Default)]
pub(super) struct NormState<T> {
    pub(super) mean: Vec<T>,
    pub(super) var: Vec<T>,
    scale: Vec<T>,
    shift: Vec<T>,
    a: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
    /// `Σ dz` and `Σ dz·(y − mean)`.
    pub(super) sum: Vec<f64>,
    pub(super) dot: Vec<f64>,
    /// Both over all parts of a batch, if there are several.
    pub(super) of_all: Option<(Vec<f64>, Vec<f64>)>,
    /// Values a channel, of all parts.
    pub(super) count: usize,
}

impl<T: Real> NormState<T> {
    /// Of a value without a norm there are no channels.
    pub(super) fn new(c: usize) -> Self {
        let zeros = || vec![T::default(); c];
        Self {
            mean: zeros(),
            var: zeros(),
            scale: zeros(),
            shift: zeros(),
            a: zeros(),
            b: zeros(),
            c: zeros(),
            sum: vec![0.0; c],
            dot: vec![0.0; c],
            of_all: None,
            count: 0,
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.mean.len()
    }

    /// `scale = γ/σ`, `shift = β − μ·scale`.
    pub(super) fn prepare(&mut self, norm: &Norm, params: &[&[T]]) {
        let [gamma, beta] = [0, 1].map(|i| params[norm.params[i].index()]);
        for c in 0..self.scale.len() {
            let inverse = self.inverse(c, norm.eps);
            let scale = gamma[c].to_f64() * inverse;
            self.scale[c] = T::from_f64(scale);
            self.shift[c] = T::from_f64(beta[c].to_f64() - self.mean[c].to_f64() * scale);
        }
    }

    fn inverse(&self, c: usize, eps: f64) -> f64 {
        1.0 / (self.var[c].to_f64() + eps).sqrt()
    }

    pub(super) fn affine(&self) -> Option<Affine<'_, T>> {
        (!self.scale.is_empty()).then_some(Affine { scale: &self.scale, shift: &self.shift })
    }

    /// Computes `dy = a·dz + b·y + c` from the sums, and writes the gradients of scale and shift where there is room.
    pub(super) fn differentiate(
        &mut self,
        norm: &Norm,
        params: &[&[T]],
        batch: bool,
        gradients: &mut [Vec<T>],
    ) {
        let gamma = params[norm.params[0].index()];
        let count = self.count as f64;
        for (c, gamma) in gamma.iter().enumerate() {
            let inverse = self.inverse(c, norm.eps);
            let a = gamma.to_f64() * inverse;
            self.a[c] = T::from_f64(a);
            let (sum, dot) = match &self.of_all {
                Some((sum, dot)) => (sum[c], dot[c]),
                None => (self.sum[c], self.dot[c]),
            };
            let b = if batch { -a * inverse * inverse * dot / count } else { 0.0 };
            let constant = if batch { -a * sum / count - b * self.mean[c].to_f64() } else { 0.0 };
            self.b[c] = T::from_f64(b);
            self.c[c] = T::from_f64(constant);
            let own = [self.dot[c] * inverse, self.sum[c]];
            for (param, value) in [norm.params[0], norm.params[1]].into_iter().zip(own) {
                if let Some(slot) = gradients[param.index()].get_mut(c) {
                    *slot = T::from_f64(value);
                }
            }
        }
    }

    /// The way back through the norm; call [`NormState::differentiate`] first.
    pub(super) fn gradient<'a>(&'a self, y: &'a [T]) -> Option<NormGradient<'a, T>> {
        (!self.a.is_empty()).then_some(NormGradient { y, a: &self.a, b: &self.b, c: &self.c })
    }
}
