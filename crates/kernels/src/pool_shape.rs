//! The one shape struct of pooling: sliding windows and adaptive ones alike.
//!
//! Above: `device`, `engine`, `ops`. Below: nothing. Not here: the mean over a whole map, which needs no windows (`Device::pool_forward`).
//! Source: `torch.nn.MaxPool2d`, `AvgPool2d` (ceil mode, `count_include_pad`) and `AdaptiveAvgPool2d`, PyTorch 2.x.

use crate::sizes::{checked_product, listed};

/// The positions a window covers along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// First position inside the map.
    pub(crate) start: usize,
    /// Positions inside, a dilation apart.
    pub(crate) count: usize,
    /// Positions that count for a mean.
    pub(crate) size: usize,
}

/// How a pooling window slides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolWindow {
    /// Taps along `(h, w)`.
    pub kernel: [usize; 2],
    /// Step along `(h, w)`.
    pub stride: [usize; 2],
    /// Distance of neighboring taps along `(h, w)`.
    pub dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub pads: [usize; 4],
    /// Whether a mean counts padding as zeros.
    pub counts_padding: bool,
}

/// A pooling of an `(n, h, w, c)` tensor to `(n, oh, ow, c)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolShape {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    pub(crate) rows: Vec<Span>,
    pub(crate) cols: Vec<Span>,
    pub(crate) dilation: [usize; 2],
}

impl PoolShape {
    /// Windows that slide, `out` of them along each axis; `None` if a size is zero, a window lies wholly outside the map, or there
    /// are too many to list.
    ///
    /// ```
    /// use taper_kernels::{PoolShape, PoolWindow};
    /// let window = PoolWindow { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pads: [1; 4], counts_padding: false };
    /// let shape = PoolShape::sliding([1, 112, 112, 64], &window, [56, 56]).unwrap();
    /// assert_eq!(shape.output_len(), 56 * 56 * 64);
    /// ```
    #[must_use]
    pub fn sliding([n, h, w, c]: [usize; 4], window: &PoolWindow, out: [usize; 2]) -> Option<Self> {
        if [n, h, w, c].contains(&0) || window.stride.contains(&0) || window.dilation.contains(&0) {
            return None;
        }
        let spans = |axis: usize, size: usize| listed(out[axis], |i| window.span(axis, size, i));
        Self { n, h, w, c, rows: spans(0, h)?, cols: spans(1, w)?, dilation: window.dilation }
            .sound()
    }

    /// Windows that cut the map into `out` nearly equal parts along each axis: part `i` of `m` is `⌊i·size/m⌋ .. ⌈(i+1)·size/m⌉`.
    /// `None` as for [`PoolShape::sliding`].
    #[must_use]
    pub fn adaptive([n, h, w, c]: [usize; 4], out: [usize; 2]) -> Option<Self> {
        if [n, h, w, c].contains(&0) {
            return None;
        }
        let span = |i: usize, size: usize, out: usize| {
            let start = i.checked_mul(size)? / out;
            let count = (i + 1).checked_mul(size)?.div_ceil(out) - start;
            Some(Span { start, count, size: count })
        };
        let spans = |axis: usize, size: usize| listed(out[axis], |i| span(i, size, out[axis]));
        Self { n, h, w, c, rows: spans(0, h)?, cols: spans(1, w)?, dilation: [1; 2] }.sound()
    }

    fn sound(self) -> Option<Self> {
        checked_product([self.n, self.h, self.w, self.c])?;
        checked_product([self.n, self.rows.len(), self.cols.len(), self.c])?;
        (!self.rows.is_empty() && !self.cols.is_empty()).then_some(self)
    }

    /// Channels, of input and output.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.c
    }

    /// Elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.n * self.rows.len() * self.cols.len() * self.c
    }

    /// Windows along each axis: rows and columns of the output.
    #[must_use]
    pub fn out(&self) -> [usize; 2] {
        [self.rows.len(), self.cols.len()]
    }

    /// The pixel of window `(oh, ow)` that its maximum is taken from, and the gradient of the maximum goes to; `at(pixel)` is a value.
    /// PyTorch's: of equals the first, and if there are NaNs the last of them.
    ///
    /// # Panics
    /// If there is no such window.
    ///
    /// ```
    /// use taper_kernels::PoolShape;
    /// let shape = PoolShape::adaptive([1, 1, 4, 1], [1, 1]).unwrap();
    /// assert_eq!(shape.largest(0, 0, |pixel| [1.0, 3.0, 3.0, 2.0][pixel]), 1);
    /// assert_eq!(shape.largest(0, 0, |pixel| [f32::NAN, 3.0, f32::NAN, 9.0][pixel]), 2);
    /// ```
    pub fn largest<T: PartialOrd>(&self, oh: usize, ow: usize, at: impl Fn(usize) -> T) -> usize {
        let first = self.rows[oh].start * self.w + self.cols[ow].start;
        self.pixels(oh, ow).fold(first, |best, pixel| {
            let x = at(pixel);
            let is_nan = x.partial_cmp(&x).is_none();
            if is_nan || x > at(best) { pixel } else { best }
        })
    }

    /// One over what a mean in this window is divided by.
    pub(crate) fn share(&self, oh: usize, ow: usize) -> f64 {
        1.0 / (self.rows[oh].size as f64 * self.cols[ow].size as f64)
    }

    /// Positions of the map that window `(oh, ow)` covers, in row-major order, as indices of pixels of one image.
    ///
    /// # Panics
    /// If there is no such window.
    #[inline(always)]
    pub fn pixels(&self, oh: usize, ow: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let (row, col, [dh, dw], w) = (self.rows[oh], self.cols[ow], self.dilation, self.w);
        (0..row.count).flat_map(move |u| {
            let first = (row.start + u * dh) * w + col.start;
            (0..col.count).map(move |v| first + v * dw)
        })
    }
}

impl PoolWindow {
    /// Window `i` along an axis of `size` positions; `None` if none of them is inside.
    fn span(&self, axis: usize, size: usize, i: usize) -> Option<Span> {
        let (kernel, dilation) = (self.kernel[axis], self.dilation[axis]);
        let (before, after) = (self.pads[axis], self.pads[axis + 2]);
        // Counted from the first row of padding.
        let first = i.checked_mul(self.stride[axis])?;
        let skipped = before.saturating_sub(first).div_ceil(dilation);
        let inside = (before.checked_add(size)?).checked_sub(first)?.div_ceil(dilation).min(kernel);
        let count = inside.checked_sub(skipped).filter(|count| *count > 0)?;
        let padded = before.checked_add(size)?.checked_add(after)?;
        let reached = kernel.min(padded.checked_sub(first)?);
        let size = if self.counts_padding { reached } else { count };
        Some(Span { start: first + skipped * dilation - before, count, size })
    }
}

#[cfg(test)]
mod tests {
    use super::{PoolShape, PoolWindow, Span};

    #[test]
    fn spans_are_cut_at_the_border_and_counted_as_asked() {
        let window = PoolWindow {
            kernel: [3, 2],
            stride: [2, 1],
            dilation: [1, 2],
            pads: [1, 0, 1, 0],
            counts_padding: true,
        };
        let shape = PoolShape::sliding([1, 4, 4, 1], &window, [2, 2]).unwrap();
        let span = |start, count, size| Span { start, count, size };
        assert_eq!(shape.rows, [span(0, 2, 3), span(1, 3, 3)]);
        assert_eq!(shape.cols, [span(0, 2, 2), span(1, 2, 2)]);
        assert_eq!(shape.pixels(0, 1).collect::<Vec<_>>(), [1, 3, 5, 7]);
    }

    #[test]
    fn a_window_in_the_padding_alone_is_refused() {
        let window = PoolWindow {
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pads: [1; 4],
            counts_padding: false,
        };
        assert!(PoolShape::sliding([1, 2, 2, 1], &window, [4, 4]).is_none());
    }

    #[test]
    fn adaptive_windows_overlap_where_sizes_do_not_divide() {
        let shape = PoolShape::adaptive([1, 5, 5, 1], [3, 3]).unwrap();
        let starts: Vec<_> = shape.rows.iter().map(|s| (s.start, s.count)).collect();
        assert_eq!(starts, [(0, 2), (1, 3), (3, 2)]);
    }
}
