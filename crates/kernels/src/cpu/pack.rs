//! Weights in the order kernels read them, and rows of inputs and gradients made ready in cache.
//!
//! Above: `cpu::matrix`. Below: `pack::weights`, `simd`, `cpu::views`. Not here: products.
//! Column `(u·kw + v)·c/groups + i` of a gathered row is tap `(u, v)` of input channel `i` of the group.

mod weights;

use super::gemm::{Widths, halves};
use super::views::{GradientView, SourceView};
use crate::simd::Simd;
use crate::{ConvShape, Isa, MatmulPrecision};

/// Where a matrix's panels lie: `k` rows, `n` columns rounded up to vectors of `lanes`, in panels of at most `most` vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) lanes: usize,
    most: usize,
    /// Whether rows hold pairs of bfloat16; see `gemm::halves`.
    paired: bool,
}

impl Panels {
    pub(crate) fn new(isa: Isa, k: usize, n: usize) -> Self {
        Self { k, n, lanes: isa.lanes(), most: isa.panel(), paired: false }
    }

    /// The same for products in this precision: of numbers that are worth rounding.
    pub(crate) fn in_precision(self, precision: MatmulPrecision) -> Self {
        Self { paired: precision == MatmulPrecision::Bf16 && halves::is_worth(self.k), ..self }
    }

    /// Whether products with them are in bfloat16.
    pub(crate) fn is_paired(&self) -> bool {
        self.paired
    }

    /// Rounds a packed panel, where it lies, if that is what panels are to hold.
    fn finish(&self, panel: &mut [f32]) {
        if self.paired {
            halves::pair_panel(panel, self.k);
        }
    }

    /// Elements of the packed matrix.
    pub(crate) fn len(&self) -> usize {
        self.k * self.n.next_multiple_of(self.lanes)
    }

    fn widths(&self) -> Widths {
        Widths::new(self.n.div_ceil(self.lanes), self.most)
    }

    /// How many panels there are.
    pub(crate) fn count(&self) -> usize {
        self.widths().panels()
    }

    /// Packs panel `i` of the backward matrix of weights `(k, per_group, taps)`: column `t · per_group + c` is tap `t` of channel `c`.
    pub(crate) fn pack_backward(&self, weight: &[f32], taps: usize, i: usize, panel: &mut [f32]) {
        let (columns, padded, per_group) = (self.columns(i), self.padded(i), self.n / taps);
        for (weight, row) in weight.chunks_exact(self.n).zip(panel.chunks_exact_mut(padded)) {
            if taps == 1 {
                let (row, rest) = row.split_at_mut(columns.len());
                row.copy_from_slice(&weight[columns.clone()]);
                rest.fill(0.0);
                continue;
            }
            let (mut t, mut c) = (columns.start / per_group, columns.start % per_group);
            let (row, rest) = row.split_at_mut(columns.len());
            rest.fill(0.0);
            for to in row {
                *to = weight[c * taps + t];
                c += 1;
                if c == per_group {
                    (t, c) = (t + 1, 0);
                }
            }
        }
        self.finish(panel);
    }

    /// The columns of panel `i`.
    fn columns(&self, i: usize) -> std::ops::Range<usize> {
        let [start, end] = [i, i + 1].map(|i| self.widths().start(i) * self.lanes);
        start..end.min(self.n)
    }

    /// Elements of a row of panel `i`.
    fn padded(&self, i: usize) -> usize {
        self.columns(i).len().next_multiple_of(self.lanes)
    }

    /// Where panel `i` lies.
    pub(crate) fn place(&self, i: usize) -> std::ops::Range<usize> {
        let start = self.columns(i).start * self.k;
        start..start + self.padded(i) * self.k
    }
}

/// The rows of a convolution's input as a matrix: one row an output position, one column a tap and channel of `group`.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) shape: ConvShape,
    pub(crate) source: SourceView,
    pub(crate) plain: bool,
    pub(crate) group: usize,
}

impl Rows {
    /// Columns.
    pub(crate) fn k(&self) -> usize {
        self.shape.c / self.shape.groups * self.shape.kernel[0] * self.shape.kernel[1]
    }

    /// Writes rows `rows` to `to`, `stride` apart, in whole vectors.
    ///
    /// # Safety
    /// The rows exist, and `to` has room for `rows.len() · stride` elements.
    #[inline(always)]
    pub(crate) unsafe fn gather<S: Simd>(
        &self,
        rows: std::ops::Range<usize>,
        to: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.shape.is_pointwise() {
                self.gather_pointwise::<S>(rows, to, stride);
            } else {
                for (i, row) in rows.enumerate() {
                    self.gather_window::<S>(row, to.add(i * stride), stride);
                }
            }
        }
    }

    /// Reads this group's channels of `count` pixels from pixel `first` on, without gaps.
    ///
    /// # Safety
    /// The pixels exist, and `to` has room.
    #[inline(always)]
    pub(crate) unsafe fn read_pixels<S: Simd>(&self, first: usize, count: usize, to: *mut f32) {
        let (c, pixel) = (self.shape.c, self.shape.c / self.shape.groups);
        // SAFETY: the caller's promise.
        unsafe {
            if self.plain && pixel == c {
                let from = self.source.data.get().add(first * c);
                to.copy_from_nonoverlapping(from, count * c);
                return;
            }
            for i in 0..count {
                let channel = self.group * pixel;
                self.copy::<S>((first + i) * c + channel, channel, pixel, to.add(i * pixel));
            }
            self.source.activate_rows::<S>(to, [1, 0, count * pixel]);
        }
    }

    #[inline(always)]
    unsafe fn gather_pointwise<S: Simd>(
        &self,
        rows: std::ops::Range<usize>,
        to: *mut f32,
        stride: usize,
    ) {
        let channels = self.shape.c;
        let mut c = 0;
        while c < channels {
            let lanes = S::LANES.min(channels - c);
            // SAFETY: rows exist, `c + lanes <= channels`, and `stride` holds whole vectors.
            unsafe {
                let k = self.source.channel::<S>(c, lanes);
                let step = self.source.strip(rows.len());
                for first in rows.clone().step_by(step) {
                    let strip = first..(first + step).min(rows.end);
                    let to = to.add((first - rows.start) * stride + c);
                    for (i, row) in strip.clone().enumerate() {
                        let x = self.source.read_straight::<S>(row * channels + c, lanes, &k);
                        S::store(to.add(i * stride), x);
                    }
                    self.source.activate_rows::<S>(to, [strip.len(), stride, S::LANES]);
                }
            }
            c += S::LANES;
        }
    }

    #[inline(always)]
    unsafe fn gather_window<S: Simd>(&self, row: usize, to: *mut f32, stride: usize) {
        let s = &self.shape;
        let (n, rest) = (row / (s.oh * s.ow), row % (s.oh * s.ow));
        let (oh, ow) = (rest / s.ow, rest % s.ow);
        let per_group = s.c / s.groups;
        for i in 0..stride {
            // SAFETY: `to` has room for `stride` elements.
            unsafe { *to.add(i) = 0.0 };
        }
        for u in 0..s.kernel[0] {
            let ih = (oh * s.stride[0] + u * s.dilation[0]).wrapping_sub(s.top);
            if ih >= s.h {
                continue;
            }
            for v in 0..s.kernel[1] {
                let iw = (ow * s.stride[1] + v * s.dilation[1]).wrapping_sub(s.left);
                if iw >= s.w {
                    continue;
                }
                let from = ((n * s.h + ih) * s.w + iw) * s.c + self.group * per_group;
                let column = (u * s.kernel[1] + v) * per_group;
                // SAFETY: position `(n, ih, iw)` lies in the image, the column in the row.
                unsafe {
                    let to = to.add(column);
                    self.copy::<S>(from, self.group * per_group, per_group, to);
                    self.source.activate_rows::<S>(to, [1, 0, per_group]);
                }
            }
        }
    }

    /// Reads `len` channels from flat index `from` on, without a curved activation.
    #[inline(always)]
    unsafe fn copy<S: Simd>(&self, from: usize, channel: usize, len: usize, to: *mut f32) {
        let mut i = 0;
        while i < len {
            let lanes = S::LANES.min(len - i);
            // SAFETY: the caller's promise.
            unsafe {
                let k = self.source.channel::<S>(channel + i, lanes);
                let x = self.source.read_straight::<S>(from + i, lanes, &k);
                S::store_some(to.add(i), x, lanes);
            }
            i += S::LANES;
        }
    }
}

/// Writes rows `rows` of a gradient's columns `first .. first + n` to `to`, `stride` apart, in whole vectors.
///
/// # Safety
/// The rows exist in a gradient of `channels` channels, and `to` has room.
#[inline(always)]
pub(crate) unsafe fn gather_gradient<S: Simd>(
    gradient: &GradientView,
    channels: usize,
    [first, n]: [usize; 2],
    rows: std::ops::Range<usize>,
    to: *mut f32,
    stride: usize,
) {
    let mut c = 0;
    while c < n {
        let lanes = S::LANES.min(n - c);
        // SAFETY: the caller's promise.
        unsafe {
            let k = gradient.channel::<S>(first + c, lanes);
            for (i, row) in rows.clone().enumerate() {
                let g = gradient.read::<S>(row * channels + first + c, lanes, &k);
                S::store(to.add(i * stride + c), g);
            }
        }
        c += S::LANES;
    }
}

/// Adds this part's sums to its totals, and clears them.
pub(crate) fn flush(sums: &mut [f32], totals: &mut [f64]) {
    for (sum, total) in sums.iter_mut().zip(totals) {
        *total += f64::from(*sum);
        *sum = 0.0;
    }
}
