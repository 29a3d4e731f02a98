//! The one shape struct of a convolution.
//!
//! Above: every kernel, `engine`. Below: nothing. Not here: `Padding` as an enum (`graph::window`).
//! Tuples are `(height, width)`; padding is `[top, left, bottom, right]`, zeros.

use std::ops::Range;

use crate::sizes::checked_product;

/// A 2-D convolution of an `(n, h, w, c)` tensor to `(n, oh, ow, oc)` with a weight `(oc, c / groups, kh, kw)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) oc: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) groups: usize,
}

impl ConvShape {
    /// Describes a convolution; `None` if a size is zero, the groups do not divide both channel counts, the window does not fit into
    /// the padded image, or a number overflows.
    ///
    /// `oh = (h + top + bottom − dilation·(kernel − 1) − 1) / stride + 1`, likewise `ow`.
    #[must_use]
    pub fn new(
        [n, h, w, c]: [usize; 4],
        oc: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        [top, left, bottom, right]: [usize; 4],
        groups: usize,
    ) -> Option<Self> {
        let sizes = [n, h, w, c, oc, kernel[0], kernel[1], stride[0], stride[1]];
        if sizes.contains(&0) || dilation.contains(&0) || groups == 0 {
            return None;
        }
        if !c.is_multiple_of(groups) || !oc.is_multiple_of(groups) {
            return None;
        }
        let reach = |axis: usize| dilation[axis].checked_mul(kernel[axis] - 1)?.checked_add(1);
        let out = |size: usize, before: usize, after: usize, axis: usize| {
            let padded = size.checked_add(before)?.checked_add(after)?;
            let steps = padded.checked_sub(reach(axis)?)? / stride[axis];
            // How far kernels count along the axis: from the first row of padding to a window and a step behind the last.
            let far = padded.checked_add(reach(axis)?)?.checked_add(stride[axis])?;
            Some((steps + 1, far))
        };
        let ((oh, far_down), (ow, far_right)) = (out(h, top, bottom, 0)?, out(w, left, right, 1)?);
        checked_product([far_down, far_right, c.max(oc)])?;
        checked_product([n, h, w, c])?;
        checked_product([n, oh, ow, oc])?;
        checked_product([oc, c / groups, kernel[0], kernel[1]])?;
        Some(Self { n, h, w, c, oh, ow, oc, kernel, stride, dilation, top, left, groups })
    }

    /// The same convolution with fewer output positions, the first `oh` by `ow`: what a transposed convolution with output padding
    /// undoes. `None` if there are none, or not so many.
    #[must_use]
    pub fn with_output(self, [oh, ow]: [usize; 2]) -> Option<Self> {
        let fits = (1..=self.oh).contains(&oh) && (1..=self.ow).contains(&ow);
        fits.then_some(Self { oh, ow, ..self })
    }

    /// A linear layer as the pointwise convolution of `n` single pixels.
    #[must_use]
    pub fn linear(n: usize, in_features: usize, out_features: usize) -> Option<Self> {
        Self::new([n, 1, 1, in_features], out_features, [1; 2], [1; 2], [1; 2], [0; 4], 1)
    }

    /// The convolution that computes output rows `rows` alone, and the input rows it reads: an image can be convolved in bands.
    /// There may be no input rows, where the windows lie in padding alone.
    ///
    /// # Panics
    /// If there are no such rows, or `rows` is empty.
    ///
    /// # Examples
    /// ```
    /// use taper_kernels::ConvShape;
    /// let whole = ConvShape::new([1, 8, 8, 4], 4, [3, 3], [2, 2], [1, 1], [1; 4], 4).unwrap();
    /// let (band, rows) = whole.band(2..4);
    /// assert_eq!(rows, 3..8);
    /// assert_eq!(band.output_len(), whole.output_len() / 2);
    /// ```
    #[must_use]
    pub fn band(&self, rows: Range<usize>) -> (Self, Range<usize>) {
        let fits = rows.start < rows.end && rows.end <= self.oh;
        assert!(fits, "a band of rows {rows:?} of an output of {} rows", self.oh);
        let (first, above) = (rows.start * self.stride[0], self.top);
        let end = (first + self.rows_under(rows.len())).saturating_sub(above).min(self.h);
        let inputs = first.saturating_sub(above).min(end)..end;
        let top = above.saturating_sub(first);
        (Self { h: inputs.len(), oh: rows.len(), top, ..*self }, inputs)
    }

    /// Input rows under the windows of `rows` output rows, padding included.
    #[must_use]
    pub fn rows_under(&self, rows: usize) -> usize {
        let reach = (self.kernel[0] - 1) * self.dilation[0] + 1;
        rows.saturating_sub(1).saturating_mul(self.stride[0]).saturating_add(reach)
    }

    /// Rows of the output, and the elements of one.
    #[must_use]
    pub fn output_rows(&self) -> [usize; 2] {
        [self.oh, self.ow * self.oc]
    }

    /// Elements of the input, `n·h·w·c`.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output, `n·oh·ow·oc`.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.n * self.oh * self.ow * self.oc
    }

    /// Elements of the weight, `oc·(c / groups)·kh·kw`.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.oc * (self.c / self.groups) * self.kernel[0] * self.kernel[1]
    }

    /// Positions in the output of one channel over the batch, `n·oh·ow`.
    #[must_use]
    pub fn output_positions(&self) -> usize {
        self.n * self.oh * self.ow
    }

    /// Whether this is a 1x1 convolution with stride 1 and one group: a matrix product.
    #[must_use]
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == [1, 1]
            && self.groups == 1
            && (self.top, self.left) == (0, 0)
            && (self.oh, self.ow) == (self.h, self.w)
    }

    /// Whether each output channel has one filter over one input channel of its own.
    #[must_use]
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.c && self.oc == self.c && self.c > 1
    }
}

#[cfg(test)]
mod tests {
    use super::ConvShape;
    use crate::{Cpu, Epilogue, Isa, Source};
    use proptest::prelude::{prop_assert_eq, proptest};

    proptest! {
        /// Bit for bit, on every instruction set, for depthwise, grouped, dense and pointwise convolutions with any window.
        #[test]
        fn a_convolution_in_bands_is_the_whole_one(
            [h, w, per_group, groups] in [1..20usize, 1..12, 1..4, 1..6],
            [kernel, stride, dilation, pad] in [1..5usize, 1..4, 1..3, 0..4],
            [multiplier, rows] in [1..4usize, 1..6],
        ) {
            let (c, oc, pads) = (per_group * groups, multiplier * groups, [pad, 1, pad / 2, 1]);
            let Some(s) = ConvShape::new([1, h, w, c], oc, [kernel; 2], [stride; 2], [dilation; 2], pads, groups) else {
                return Ok(());
            };
            let values = |len: usize, seed: f32| -> Vec<f32> {
                (0..len).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
            };
            let (xs, weight) = (values(s.input_len(), 0.0), values(s.weight_len(), 0.5));
            for isa in Isa::here() {
                let mut cpu = Cpu::with_isa(2, isa).unwrap();
                let packed = cpu.pack(&s, &weight);
                let (mut whole, mut banded) = (vec![0.0; s.output_len()], vec![0.0; s.output_len()]);
                cpu.conv_packed(&s, Source::plain(&xs), &packed, Epilogue::default(), &mut whole);
                for (i, y) in banded.chunks_mut(rows * s.ow * oc).enumerate() {
                    let (band, inputs) = s.band(i * rows..(i * rows + rows).min(s.oh));
                    let xs = Source::plain(&xs[inputs.start * w * c..inputs.end * w * c]);
                    cpu.conv_packed(&band, xs, &packed, Epilogue::default(), y);
                }
                prop_assert_eq!(&whole, &banded, "{:?}", isa);
            }
        }
    }

    #[test]
    fn a_window_larger_than_the_padded_image_is_refused() {
        assert!(ConvShape::new([1, 2, 2, 1], 1, [5, 5], [1; 2], [1; 2], [1; 4], 1).is_none());
        assert!(ConvShape::new([1, 3, 3, 1], 1, [5, 5], [1; 2], [1; 2], [1; 4], 1).is_some());
    }

    #[test]
    fn a_map_moved_by_padding_is_no_matrix_product() {
        let padded = ConvShape::new([1, 1, 1, 1], 1, [1; 2], [1; 2], [1; 2], [0, 1, 0, 0], 1);
        let moved = padded.and_then(|shape| shape.with_output([1, 1])).unwrap();
        assert!(!moved.is_pointwise());
        assert!(ConvShape::linear(1, 1, 1).unwrap().is_pointwise());
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let huge = usize::MAX / 2;
        assert!(ConvShape::new([huge, 4, 4, 1], 1, [1; 2], [1; 2], [1; 2], [0; 4], 1).is_none());
    }

    #[test]
    fn stride_two_halves_and_rounds_up() {
        let s = ConvShape::new([1, 7, 8, 2], 2, [3, 3], [2, 2], [1, 1], [1; 4], 2).unwrap();
        assert_eq!((s.oh, s.ow), (4, 4));
        assert!(s.is_depthwise());
    }
}
