//! A map times a gate on its way into a product: the scale of a squeeze-and-excite costs no pass of its own.
//!
//! Above: `cpu::matrix::forward`. Below: `cpu::choice`, `simd`. Not here: how a gate is computed, gates without a pointwise convolution
//! behind them (`cpu::elementwise`).
//! In `Σ_c x[p, c]·g[c]·w[c, o]` either factor may take the gate: the rows of `x`, a tile at a time in scratch, or a copy of the
//! weights, once an image. Which of them is chosen in `cpu::choice`.

use std::ops::Range;

use crate::cpu::choice::Operand;
use crate::cpu::gemm::Widths;
use crate::cpu::pack::Rows;
use crate::cpu::team::SendPtr;
use crate::cpu::trace::{Path, took};
use crate::simd::Simd;

/// A gate, `(n, c)`, as a part of the product sees it.
#[derive(Clone, Copy)]
pub(super) struct Gate {
    pub(super) data: SendPtr<f32>,
    /// The image whose gate the weights in scratch were multiplied by.
    pub(super) image: Option<usize>,
}

impl Gate {
    pub(super) fn new(gate: &[f32]) -> Self {
        Self { data: SendPtr(gate.as_ptr()), image: None }
    }
}

/// The factors for some rows of one image, one of them times the gate: where those rows begin, their distance, and the panels.
///
/// # Safety
/// The rows and their image's factors exist, `b` is all panels and which of them are needed, and `tile` has room for the rows or, with
/// [`Operand::WeightsScaled`], for all panels.
#[inline(always)]
pub(super) unsafe fn gated<S: Simd>(
    Rows { shape: s, source, .. }: &Rows,
    gate: &mut Gate,
    operand: Operand,
    rows: Range<usize>,
    (b, panels): (SendPtr<f32>, Range<usize>),
    tile: *mut f32,
) -> (SendPtr<f32>, usize, SendPtr<f32>) {
    let image = rows.start / (s.oh * s.ow);
    // SAFETY: the caller's promise.
    unsafe {
        let factors = gate.data.get().add(image * s.c);
        if operand == Operand::WeightsScaled {
            if gate.image != Some(image) {
                took(Path::WeightsScaled);
                scale_panels::<S>(b, factors, [s.c, s.oc], panels, tile);
                gate.image = Some(image);
            }
            (SendPtr(source.data.get().add(rows.start * s.c)), s.c, SendPtr(tile))
        } else {
            took(Path::Scaled);
            let stride = s.c.next_multiple_of(S::LANES);
            scale_rows::<S>(source.data, factors, s.c, rows, tile, stride);
            (SendPtr(tile), stride, b)
        }
    }
}

/// Writes `x[p, c]·g[c]` for rows `rows` of a map of `c` channels to `to`, `stride` apart, in whole vectors.
///
/// # Safety
/// The rows exist, `gate` has `c` elements, and `to` has room for `rows.len() · stride`.
#[inline(always)]
pub(super) unsafe fn scale_rows<S: Simd>(
    xs: SendPtr<f32>,
    gate: *const f32,
    c: usize,
    rows: Range<usize>,
    to: *mut f32,
    stride: usize,
) {
    for (i, row) in rows.enumerate() {
        for at in (0..c).step_by(S::LANES) {
            let lanes = S::LANES.min(c - at);
            // SAFETY: `at + lanes <= c`, and `stride` holds whole vectors.
            unsafe {
                let x = S::load_some(xs.get().add(row * c + at), lanes);
                let x = S::mul(x, S::load_some(gate.add(at), lanes));
                S::store(to.add(i * stride + at), x);
            }
        }
    }
}

/// Writes `w[c, o]·g[c]` for panels `panels` of the packed weight `(c, n)` to the same places of `to`.
///
/// # Safety
/// `from` and `to` hold the whole packed weight, and `gate` has `c` elements.
#[inline(always)]
pub(super) unsafe fn scale_panels<S: Simd>(
    from: SendPtr<f32>,
    gate: *const f32,
    [c, n]: [usize; 2],
    panels: Range<usize>,
    to: *mut f32,
) {
    let widths = Widths::new(n.div_ceil(S::LANES), S::PANEL);
    for panel in panels {
        let [start, end] = [panel, panel + 1].map(|i| widths.start(i) * S::LANES);
        for row in 0..c {
            let first = start * c + row * (end - start);
            // SAFETY: a panel has `c` rows of whole vectors, behind those before it.
            unsafe {
                let factor = S::splat(*gate.add(row));
                for at in (first..first + end - start).step_by(S::LANES) {
                    S::store(to.add(at), S::mul(S::load(from.get().add(at)), factor));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Activation, ConvShape, Cpu, Device, Epilogue, Isa, Reference, Source};
    use proptest::prelude::{any, prop_assert, proptest};

    /// `len` values in `-1..1` that look random.
    fn values(seed: u32, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((seed % 977) as f32 + i as f32 * 12.9898).sin()).collect()
    }

    proptest! {
        /// On every instruction set, with either factor gated, over several images and threads, and few rows as well as many.
        #[test]
        fn a_gate_read_by_a_convolution_equals_one_written_before_it(
            [n, h, w] in [1..4usize, 1..14, 1..14],
            [c, oc] in [1..90usize, 1..150],
            [seed, seed_weight] in any::<[u32; 2]>(),
            has_residual in any::<bool>(),
            threads in 1..4usize,
        ) {
            let shape = ConvShape::new([n, h, w, c], oc, [1; 2], [1; 2], [1; 2], [0; 4], 1).unwrap();
            let (xs, gate) = (values(seed, shape.input_len()), values(seed_weight, n * c));
            let (weight, bias) = (values(seed_weight, shape.weight_len()), values(seed, oc));
            let residual = values(seed, shape.output_len());
            let residual = has_residual.then_some(&residual[..]);
            let epilogue = Epilogue { bias: Some(&bias), residual, activation: Activation::HardSwish };
            let (mut product, mut truth) = (xs.clone(), vec![0.0; shape.output_len()]);
            let factors = [&xs, &gate].map(|factor| Source::plain(&factor[..]));
            Reference.mul(n, h * w, c, factors[0], factors[1], &mut product);
            let product = Source::plain(&product[..]);
            Reference.conv_forward(&shape, product, &weight, epilogue, &mut truth, None);
            let largest = truth.iter().fold(0.1_f32, |largest, y| largest.max(y.abs()));
            for isa in Isa::here() {
                let mut cpu = Cpu::with_isa(threads, isa).unwrap();
                let (packed, mut y) = (cpu.pack(&shape, &weight), vec![0.0; truth.len()]);
                cpu.conv_gated(&shape, &xs, &gate, &packed, epilogue, &mut y);
                for (y, truth) in y.iter().zip(&truth) {
                    prop_assert!((y - truth).abs() <= 2e-5 * largest, "{y} {truth} on {isa:?}");
                }
                let mut alone = vec![0.0; truth.len()];
                Cpu::with_isa(1, isa).unwrap().conv_gated(&shape, &xs, &gate, &packed, epilogue, &mut alone);
                prop_assert!(y == alone, "{threads} threads give other bits on {isa:?}");
            }
        }
    }
}
