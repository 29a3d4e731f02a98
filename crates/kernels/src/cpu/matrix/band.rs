//! A few rows of a convolution's input, made ready in cache: normalized, padded with zeros, one group's channels.
//!
//! Above: `cpu::matrix::forward`. Below: `cpu::pack`. Not here: products.
//! In a padded band every window is affine in its position, so a dense convolution is a matrix product that reads the band where it
//! lies: a row of `A` a position, a segment a row of taps. Nothing is gathered window by window.

use crate::ConvShape;
use crate::cpu::pack::Rows;
use crate::simd::Simd;
use crate::sizes::product;

/// Positions of a band's output, about: enough to reuse a panel of weights.
const POSITIONS: usize = 112;

/// Sizes of a band.
#[derive(Clone, Copy)]
pub(super) struct Band {
    /// Output rows.
    pub(super) rows: usize,
    /// Pixels of a padded input row.
    pub(super) width: usize,
    /// Channels of a pixel.
    pub(super) pixel: usize,
    stride: usize,
    reach: usize,
}

impl Band {
    pub(super) fn new(s: &ConvShape) -> Self {
        let reach = |axis: usize| (s.kernel[axis] - 1) * s.dilation[axis] + 1;
        Self {
            rows: POSITIONS.div_ceil(s.ow).min(s.oh),
            width: (s.ow - 1) * s.stride[1] + reach(1),
            pixel: s.c / s.groups,
            stride: s.stride[0],
            reach: reach(0),
        }
    }

    /// Input rows under `rows` output rows.
    fn inputs(&self, rows: usize) -> usize {
        (rows - 1) * self.stride + self.reach
    }

    /// Elements.
    pub(super) fn len(&self) -> usize {
        product([self.inputs(self.rows), self.width, self.pixel])
    }

    /// Where the taps of a window lie, seen from its first: one segment a row of taps where those are neighbors, else one a tap.
    pub(super) fn segments(&self, s: &ConvShape) -> Vec<usize> {
        let row = |u: usize| u * s.dilation[0] * self.width * self.pixel;
        if s.dilation[1] == 1 {
            return (0..s.kernel[0]).map(row).collect();
        }
        let tap = |u: usize, v: usize| row(u) + v * s.dilation[1] * self.pixel;
        (0..s.kernel[0]).flat_map(|u| (0..s.kernel[1]).map(move |v| tap(u, v))).collect()
    }

    /// Reads the input rows under output rows `oh .. oh + count` of image `n`.
    ///
    /// # Safety
    /// The rows exist, and `to` has room for [`Band::len`] elements.
    #[inline(always)]
    pub(super) unsafe fn fill<S: Simd>(
        &self,
        rows: &Rows,
        n: usize,
        oh: usize,
        count: usize,
        to: *mut f32,
    ) {
        let (s, row_len) = (&rows.shape, self.width * self.pixel);
        let left = s.left.min(self.width);
        let inside = s.w.min(self.width - left);
        for i in 0..self.inputs(count) {
            let ih = (oh * s.stride[0] + i).wrapping_sub(s.top);
            // SAFETY: row `i` lies in the band; pixels that are read lie in the image.
            unsafe {
                let to = to.add(i * row_len);
                if ih >= s.h {
                    to.write_bytes(0, row_len);
                    continue;
                }
                to.write_bytes(0, left * self.pixel);
                let right = left + inside;
                to.add(right * self.pixel).write_bytes(0, (self.width - right) * self.pixel);
                rows.read_pixels::<S>((n * s.h + ih) * s.w, inside, to.add(left * self.pixel));
            }
        }
    }
}
