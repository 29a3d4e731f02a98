//! Transposed convolution, and what it shares with the gradient of an input: products whose rows are added back to windows (col2im).
//!
//! Above: `cpu::device`, `matrix::backward`. Below: `matrix::flipped`, `cpu::{gemm, pack}`. Not here: depthwise ones with a stride
//! (`cpu::depthwise`).
//! A transposed convolution is the input's gradient of a convolution from `y` to `x`, but in a program that trains nothing: it goes into
//! no sink, and shares the forward pass's products, so that such a program holds no code of gradients.

use std::ops::Range;

use super::flipped::{flip, pack_flipped};
use super::{Merged, TILE, panel_of};
use crate::cpu::choice::{ForwardKernel, Input};
use crate::cpu::gemm::{Factors, ONE_RUN, ONE_SEGMENT, Output, ROW_BLOCK, multiply};
use crate::cpu::pack::Panels;
use crate::cpu::team::{SendMutPtr, SendPtr, part_of};
use crate::cpu::{Cpu, Packed, Part, depthwise};
use crate::simd::{Kernel, Simd};
use crate::{Activation, ConvShape, Epilogue, Source};

/// See [`crate::Device::conv_transpose`].
pub(in crate::cpu) fn transpose(
    cpu: &mut Cpu,
    s: &ConvShape,
    xs: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    if let Some(flipped) = flip(s) {
        let kernel = ForwardKernel::of(&flipped, cpu.isa, cpu.threads(), Input::Stored);
        let mut packed = cpu.take_packed();
        if s.is_pointwise() {
            // Flipped or not, one tap is the same, and these panels are the weights as they lie.
            packed.panels = Panels::new(cpu.isa, s.oc, s.weight_len() / s.oc);
            pack_backward(cpu, s, weight, &packed.panels.clone(), &mut packed);
        } else {
            pack_flipped(cpu, s, &flipped, weight, &mut packed);
        }
        let epilogue = Epilogue { bias, ..Epilogue::default() };
        cpu.run_forward::<false>(
            kernel,
            &flipped,
            Source::plain(xs),
            None,
            &packed,
            epilogue,
            y,
            None,
        );
        cpu.packed = packed;
    } else if s.is_depthwise() {
        depthwise::transpose(cpu, s, xs, weight, bias, y);
    } else {
        scattered(cpu, s, xs, weight, bias, y);
    }
}

/// Strides above 1: a product a group, added to the bias window by window.
fn scattered(
    cpu: &mut Cpu,
    s: &ConvShape,
    xs: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let merged = Merged::new(s, cpu.isa.lanes());
    let s = &merged.shape;
    let k = s.weight_len() / s.oc;
    let panels = Panels::new(cpu.isa, s.oc / s.groups, k);
    let mut packed = cpu.take_packed();
    pack_backward(cpu, s, &merged.spread(weight), &panels, &mut packed);
    match bias {
        Some(bias) => y.chunks_exact_mut(bias.len()).for_each(|y| y.copy_from_slice(bias)),
        None => y.fill(0.0),
    }
    let (xs, y) = (SendPtr(xs.as_ptr()), SendMutPtr(y.as_mut_ptr()));
    let (isa, parts) = (cpu.isa, cpu.team.threads());
    let scratch = SendMutPtr(cpu.parts.as_mut_ptr());
    for group in 0..s.groups {
        let b = SendPtr(packed.data[group * panels.len()..].as_ptr());
        cpu.team.run(|p| {
            // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
            let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
            part.tile.reserve(TILE * k.next_multiple_of(isa.lanes()));
            // Whole images, for windows meet.
            let range = part_of(s.output_positions(), s.oh * s.ow, p, parts);
            let tile = SendMutPtr(part.tile.as_mut_ptr());
            let job = ScatterPart { s, group, range, xs, b, panels: panels.count(), tile, y };
            // SAFETY: `isa` is one of this machine; parts have images of their own, within the slices that `Cpu` checked
            // against the shape.
            unsafe { isa.run(job) };
        });
    }
    cpu.packed = packed;
}

struct ScatterPart<'a> {
    s: &'a ConvShape,
    group: usize,
    /// Positions of `x`.
    range: Range<usize>,
    xs: SendPtr<f32>,
    /// The group's packed weights, and their panels.
    b: SendPtr<f32>,
    panels: usize,
    tile: SendMutPtr<f32>,
    y: SendMutPtr<f32>,
}

impl Kernel for ScatterPart<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let s = self.s;
        let (out, k) = (s.oc / s.groups, s.weight_len() / s.oc);
        let stride = k.next_multiple_of(S::LANES);
        let finish = Output {
            y: self.tile,
            stride,
            bias: SendPtr::NULL,
            residual: SendPtr::NULL,
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
            activation: Activation::Identity,
            sums: SendMutPtr::NULL,
            sums_stride: 0,
        };
        for row in self.range.clone().step_by(TILE) {
            let rows = row..(row + TILE).min(self.range.end);
            // SAFETY: the rows lie in the range this part was given; the tile has room for `TILE` rows of whole vectors.
            unsafe {
                let factors = Factors {
                    a: SendPtr(self.xs.get().add(row * s.oc + self.group * out)),
                    a_strides: [s.oc, 1],
                    runs: ONE_RUN,
                    segments: ONE_SEGMENT,
                    b: self.b,
                    b_stride: None,
                    k: out,
                    n: k,
                    block: ROW_BLOCK,
                    halves: SendMutPtr::NULL,
                };
                multiply::<S, Output>(&factors, 0..rows.len(), 0..self.panels, finish);
                scatter::<S>(s, self.group, rows, (self.tile.get(), stride), self.y);
            }
        }
    }
}

/// Packs the weight of each group, `oc / groups` by `k`.
pub(super) fn pack_backward(
    cpu: &mut Cpu,
    s: &ConvShape,
    weight: &[f32],
    panels: &Panels,
    packed: &mut Packed,
) {
    packed.data.reserve(s.groups * panels.len());
    let (taps, len) = (s.kernel[0] * s.kernel[1], panels.k * panels.n);
    let to = SendMutPtr(packed.data.as_mut_ptr());
    cpu.for_parts(s.groups * panels.count(), |_, tasks, _| {
        for task in tasks {
            let (group, i) = (task / panels.count(), task % panels.count());
            // SAFETY: panels do not overlap, and every task has one of its own.
            let panel = unsafe { panel_of(to, panels, group, i) };
            panels.pack_backward(&weight[group * len..][..len], taps, i, panel);
        }
    });
}

/// Adds the rows of a product, `stride` apart, to the positions that their windows came from.
///
/// # Safety
/// The rows have `k` columns in whole vectors, and the images that `range` lies in belong to the caller.
#[inline(always)]
pub(super) unsafe fn scatter<S: Simd>(
    s: &ConvShape,
    group: usize,
    range: Range<usize>,
    (from, stride): (*const f32, usize),
    image: SendMutPtr<f32>,
) {
    let per_group = s.c / s.groups;
    for (i, row) in range.enumerate() {
        let (n, rest) = (row / (s.oh * s.ow), row % (s.oh * s.ow));
        let (oh, ow) = (rest / s.ow, rest % s.ow);
        for u in 0..s.kernel[0] {
            let ih = (oh * s.stride[0] + u * s.dilation[0]).wrapping_sub(s.top);
            for v in 0..s.kernel[1] {
                let iw = (ow * s.stride[1] + v * s.dilation[1]).wrapping_sub(s.left);
                if ih >= s.h || iw >= s.w {
                    continue;
                }
                let to = ((n * s.h + ih) * s.w + iw) * s.c + group * per_group;
                let column = (u * s.kernel[1] + v) * per_group;
                let mut c = 0;
                while c < per_group {
                    let lanes = S::LANES.min(per_group - c);
                    // SAFETY: the position lies in the image, which belongs to this part; the column in the row.
                    unsafe {
                        let to = image.get().add(to + c);
                        let g = S::load_some(from.add(i * stride + column + c), lanes);
                        S::store_some(to, S::add(S::load_some(to, lanes), g), lanes);
                    }
                    c += S::LANES;
                }
            }
        }
    }
}
