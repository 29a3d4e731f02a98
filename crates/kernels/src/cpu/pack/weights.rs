//! Weights into the panels of a forward pass.
//!
//! Above: `cpu::matrix`. Below: `simd`. Not here: where panels lie (`cpu::pack`), the backward matrix (`Panels::pack_backward`).
//! A weight lies output by output, a panel has the outputs side by side: a transposition, four columns of a vector of outputs at a
//! time. One element at a time costs twice the product of a 7x7 image with 512 · 512 · 9 weights.

use super::Panels;
use crate::Isa;
use crate::simd::{Kernel, Simd};

impl Panels {
    /// Packs panel `i` of the forward matrix of weights `(n, per_group, taps)`: row `t · per_group + c` is tap `t` of channel `c`.
    pub(crate) fn pack_forward(
        &self,
        isa: Isa,
        weight: &[f32],
        taps: usize,
        i: usize,
        panel: &mut [f32],
    ) {
        let (columns, padded) = (self.columns(i), self.padded(i));
        let weight = &weight[columns.start * self.k..columns.end * self.k];
        assert!(panel.len() >= self.k * padded && self.lanes == isa.lanes());
        let job = Transpose { weight, k: self.k, taps, padded, panel: &mut *panel };
        // SAFETY: `isa` is one of this machine; the slices hold all that their sizes say.
        unsafe { isa.run(job) };
        self.finish(panel);
    }
}

/// Writes `weight`, rows of `k`, as columns of a panel whose rows have `padded` elements.
struct Transpose<'a> {
    weight: &'a [f32],
    k: usize,
    taps: usize,
    padded: usize,
    panel: &'a mut [f32],
}

impl Kernel for Transpose<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { weight, k, padded, .. } = self;
        let outputs = weight.len() / k.max(1);
        for first in (0..padded).step_by(S::LANES) {
            let mut row = WeightRow::new(k / self.taps, self.taps);
            let mut j = 0;
            if first + S::LANES <= outputs {
                while j + 4 <= k {
                    // SAFETY: `LANES` outputs of `k` elements follow `first`, and the panel has `k` rows.
                    unsafe {
                        let from = weight.as_ptr().add(first * k + j);
                        for column in S::columns(from, k) {
                            let to = self.panel.as_mut_ptr().add(row.at() * padded + first);
                            S::store(to, column);
                            row.next();
                        }
                    }
                    j += 4;
                }
            }
            for j in j..k {
                let to = &mut self.panel[row.at() * padded + first..][..S::LANES];
                for (lane, to) in to.iter_mut().enumerate() {
                    let o = first + lane;
                    *to = if o < outputs { weight[o * k + j] } else { 0.0 };
                }
                row.next();
            }
        }
    }
}

/// The row of a panel for one column of the weights after the other: channels of `taps` taps become taps of `per_group` channels.
struct WeightRow {
    per_group: usize,
    taps: usize,
    tap: usize,
    channel: usize,
}

impl WeightRow {
    #[inline(always)]
    fn new(per_group: usize, taps: usize) -> Self {
        Self { per_group, taps, tap: 0, channel: 0 }
    }
    #[inline(always)]
    fn at(&self) -> usize {
        self.tap * self.per_group + self.channel
    }
    #[inline(always)]
    fn next(&mut self) {
        self.tap += 1;
        if self.tap == self.taps {
            (self.tap, self.channel) = (0, self.channel + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_its_place_and_padding_is_zero() {
        for isa in Isa::here() {
            for (n, per_group, taps) in [(1, 1, 1), (16, 3, 9), (37, 5, 25), (70, 8, 1), (33, 2, 2)]
            {
                let k = per_group * taps;
                let weight: Vec<f32> = (1..=n * k).map(|x| x as f32).collect();
                let panels = Panels::new(isa, k, n);
                let mut packed = vec![f32::NAN; panels.len()];
                for i in 0..panels.count() {
                    let panel = &mut packed[panels.place(i)];
                    panels.pack_forward(isa, &weight, taps, i, panel);
                    let (columns, padded) = (panels.columns(i), panels.padded(i));
                    for (place, &value) in panel.iter().enumerate() {
                        let (row, column) = (place / padded, columns.start + place % padded);
                        let (t, c) = (row / per_group, row % per_group);
                        let expected =
                            if column < n { weight[column * k + c * taps + t] } else { 0.0 };
                        let same = value.to_bits() == expected.to_bits();
                        assert!(same, "{isa:?}, {n} of {per_group}x{taps}: {value}, {expected}");
                    }
                }
            }
        }
    }
}
