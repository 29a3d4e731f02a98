//! Antialiased resizing of 8-bit RGB pictures, bit for bit as Pillow does it.
//!
//! Above: `train`, `eval`. Below: `crop`. Not here: where to cut (`crop`).
//! Two passes, each rounded to 8 bits; weights in fixed point with 22 fractional bits. When a picture shrinks, the
//! filter widens with it (antialiasing). Only the rows and columns that are kept are computed.
//! Ours and not `fast_image_resize`: it always resizes rows first, with 16-bit weights, and so differs from Pillow, on
//! which published accuracies rest, by up to 22 of 255 on noise (bicubic; measured with its version 6.1).
//! Source: Pillow 13.0 `src/libImaging/Resample.c` (`ImagingResampleInner`, `precompute_coeffs`,
//! `normalize_coeffs_8bpc`). Before version 13 Pillow never changed the order of passes ([`rows_first`]).

use std::ops::Range;

use super::crop::Rect;
use crate::error::Result;
use crate::image::Image;

/// The resampling filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// A triangle of half width 1.
    Bilinear,
    /// Keys' cubic convolution with a = -0.5, of half width 2.
    Bicubic,
}

impl Interpolation {
    /// Half the filter's width at scale 1, pixels.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// The filter at distance `x`, pixels. In Pillow's order of operations, which decides the last bit.
    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bilinear | Self::Bicubic => 0.0,
        }
    }
}

/// Fractional bits of the weights: 32 less 8 of the sample and 2 for overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Half a unit of the result: rounds the shift.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Columns the vertical pass sums at a time, in registers.
const LANES: usize = 32;

/// Resizes pictures, keeping its buffers between calls.
#[derive(Debug, Default)]
pub struct Resampler {
    columns: Taps,
    rows: Taps,
    /// What the first pass makes.
    between: Vec<u8>,
    output: Vec<u8>,
}

impl Resampler {
    /// Cuts `region` out of the image, resizes it to `size` (height, width), returns the part `keep` of the result,
    /// `(keep.height, keep.width, 3)`.
    ///
    /// # Errors
    /// [`crate::Error::Rect`] unless `region` lies inside of the image and `keep` inside of `size`, and neither is empty.
    ///
    /// # Cost
    /// 2 · support · max(1, scale) taps of 3 MACs for each pixel of either pass.
    pub fn resize(
        &mut self,
        image: &Image,
        region: Rect,
        size: [usize; 2],
        keep: Rect,
        interpolation: Interpolation,
    ) -> Result<&[u8]> {
        region.must_be_inside("the part to resize", [image.height(), image.width()])?;
        keep.must_be_inside("the part to keep", size)?;
        let Self { columns, rows, between, output } = self;
        columns.fill(region.width, size[1], keep.left..keep.left + keep.width, interpolation);
        rows.fill(region.height, size[0], keep.top..keep.top + keep.height, interpolation);
        let used_columns = columns.used();
        let used_rows = rows.used();
        let stride = 3 * image.width();
        let source = |row: usize, column: usize| {
            &image.rgb()[(region.top + row) * stride + 3 * (region.left + column)..]
        };

        let row_len = 3 * keep.width;
        output.resize(keep.height * row_len, 0);
        if rows_first(region, size) {
            let between_len = 3 * used_columns.len();
            between.resize(keep.height * between_len, 0);
            for (y, out) in between.chunks_exact_mut(between_len).enumerate() {
                let (start, weights) = rows.of(y);
                sum_rows(source(start, used_columns.start), stride, weights, out);
            }
            let lines = between.chunks_exact(between_len).zip(output.chunks_exact_mut(row_len));
            for (line, out) in lines {
                sum_columns(line, used_columns.start, columns, out);
            }
        } else {
            between.resize(used_rows.len() * row_len, 0);
            for (y, out) in used_rows.clone().zip(between.chunks_exact_mut(row_len)) {
                sum_columns(&source(y, 0)[..3 * region.width], 0, columns, out);
            }
            for (y, out) in output.chunks_exact_mut(row_len).enumerate() {
                let (start, weights) = rows.of(y);
                sum_rows(&between[(start - used_rows.start) * row_len..], row_len, weights, out);
            }
        }
        Ok(output)
    }
}

/// Whether the rows are summed before the columns: if the height shrinks by more than twice what the width does.
///
/// The order shows in the last bits, because the result of the first pass is rounded and cut to 0–255.
fn rows_first(region: Rect, size: [usize; 2]) -> bool {
    let shrink = |from: usize, to: usize| from as i128 - to as i128;
    let height = shrink(region.height, size[0]);
    height > 0 && height > 2 * shrink(region.width, size[1])
}

/// One line of pixels, whose first is column `first`, resized.
fn sum_columns(line: &[u8], first: usize, columns: &Taps, out: &mut [u8]) {
    for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
        let (start, weights) = columns.of(x);
        let (mut red, mut green, mut blue) = (HALF, HALF, HALF);
        for (source, &weight) in line[3 * (start - first)..].chunks_exact(3).zip(weights) {
            red += i32::from(source[0]) * weight;
            green += i32::from(source[1]) * weight;
            blue += i32::from(source[2]) * weight;
        }
        pixel[0] = byte(red);
        pixel[1] = byte(green);
        pixel[2] = byte(blue);
    }
}

/// The weighted sum of lines `stride` bytes apart, from the first of `lines` on.
fn sum_rows(lines: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    let mut done = 0;
    for lanes in out.chunks_mut(LANES) {
        let n = lanes.len();
        let mut sums = [HALF; LANES];
        for (row, &weight) in weights.iter().enumerate() {
            let at = row * stride + done;
            for (sum, &sample) in sums.iter_mut().zip(&lines[at..at + n]) {
                *sum += i32::from(sample) * weight;
            }
        }
        for (sample, &sum) in lanes.iter_mut().zip(&sums) {
            *sample = byte(sum);
        }
        done += n;
    }
}

/// The sum without its fractional bits, cut to 0–255.
#[expect(clippy::cast_sign_loss, reason = "clamped")]
fn byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// For every kept output position along one axis, the inputs it sums and their weights.
#[derive(Debug, Default)]
struct Taps {
    starts: Vec<usize>,
    lens: Vec<usize>,
    /// `stride` weights a position, the first `len` of them used.
    weights: Vec<i32>,
    stride: usize,
    exact: Vec<f64>,
}

impl Taps {
    /// The inputs and weights of kept position `i`.
    fn of(&self, i: usize) -> (usize, &[i32]) {
        let at = i * self.stride;
        (self.starts[i], &self.weights[at..at + self.lens[i]])
    }

    /// The inputs that any kept position sums. Starts and ends both grow with the position.
    fn used(&self) -> Range<usize> {
        match (self.starts.first(), self.starts.last(), self.lens.last()) {
            (Some(&first), Some(&last), Some(len)) => first..last + len,
            _ => 0..0,
        }
    }

    /// Computes the taps that turn `inputs` samples into `outputs`, for the outputs in `keep`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positions within a picture, cut at 0 as Pillow does"
    )]
    fn fill(
        &mut self,
        inputs: usize,
        outputs: usize,
        keep: Range<usize>,
        interpolation: Interpolation,
    ) {
        let scale = inputs as f64 / outputs as f64;
        let filter_scale = scale.max(1.0);
        let support = interpolation.support() * filter_scale;
        let inverse = 1.0 / filter_scale;
        self.stride = support.ceil() as usize * 2 + 1;
        self.starts.clear();
        self.lens.clear();
        self.weights.clear();
        for position in keep {
            let center = (position as f64 + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(inputs);
            self.exact.clear();
            self.exact.extend(
                (start..end).map(|i| interpolation.weight((i as f64 - center + 0.5) * inverse)),
            );
            let total: f64 = self.exact.iter().sum();
            self.starts.push(start);
            self.lens.push(end - start);
            let filled = self.weights.len();
            self.weights.extend(self.exact.iter().map(|&weight| fixed_point(weight, total)));
            self.weights.resize(filled + self.stride, 0);
        }
    }
}

/// `weight / total` in fixed point, rounded half away from zero.
#[expect(clippy::cast_possible_truncation, reason = "weights lie within -1 and 2")]
fn fixed_point(weight: f64, total: f64) -> i32 {
    // `x != 0` as Pillow has it; a total of 0 leaves the weights, all 0, alone.
    let normalized = if total == 0.0 { weight } else { weight / total };
    let scaled = normalized * f64::from(1_i32 << PRECISION_BITS);
    if normalized < 0.0 { (scaled - 0.5) as i32 } else { (scaled + 0.5) as i32 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Interpolation, Rect, Resampler};
    use crate::image::Image;
    use crate::random::Rng;

    fn noise(height: usize, width: usize, seed: u64) -> Image {
        let mut rng = Rng::keyed([seed]);
        let rgb = (0..height * width * 3).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
        Image::new(height, width, rgb).unwrap()
    }

    fn either() -> impl Strategy<Value = Interpolation> {
        prop_oneof![Just(Interpolation::Bilinear), Just(Interpolation::Bicubic)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]
        #[test]
        fn a_constant_stays_constant(
            from in [1_usize..90, 1_usize..90], to in [1_usize..90, 1_usize..90],
            grey: u8, filter in either(),
        ) {
            let image = Image::new(from[0], from[1], vec![grey; from[0] * from[1] * 3]).unwrap();
            let mut resampler = Resampler::default();
            let out = resampler.resize(&image, Rect::whole(from), to, Rect::whole(to), filter).unwrap();
            prop_assert!(out.iter().all(|&sample| sample == grey));
            prop_assert_eq!(out.len(), to[0] * to[1] * 3);
        }

        #[test]
        fn the_same_size_is_the_identity(h in 1_usize..40, w in 1_usize..40, seed: u64, filter in either()) {
            let image = noise(h, w, seed);
            let mut resampler = Resampler::default();
            let out = resampler.resize(&image, Rect::whole([h, w]), [h, w], Rect::whole([h, w]), filter).unwrap();
            prop_assert_eq!(out, image.rgb());
        }

        #[test]
        fn keeping_a_part_is_cutting_it_from_the_whole(
            from in [1_usize..60, 1_usize..60], to in [8_usize..60, 8_usize..60],
            seed: u64, filter in either(),
        ) {
            let image = noise(from[0], from[1], seed);
            let mut resampler = Resampler::default();
            let whole =
                resampler.resize(&image, Rect::whole(from), to, Rect::whole(to), filter).unwrap().to_vec();
            let keep = Rect { top: 3, left: 2, height: to[0] - 5, width: to[1] - 4 };
            let part = resampler.resize(&image, Rect::whole(from), to, keep, filter).unwrap();
            for y in 0..keep.height {
                let at = ((keep.top + y) * to[1] + keep.left) * 3;
                let n = keep.width * 3;
                prop_assert_eq!(&part[y * n..(y + 1) * n], &whole[at..at + n]);
            }
        }

        #[test]
        fn rectangles_outside_are_refused(
            from in [1_usize..9, 1_usize..9], to in [1_usize..9, 1_usize..9],
            region in [0_usize..12, 0_usize..12, 0_usize..12, 0_usize..12],
            keep in [0_usize..12, 0_usize..12, 0_usize..12, 0_usize..12],
        ) {
            let rect = |[top, left, height, width]: [usize; 4]| Rect { top, left, height, width };
            let inside = |[top, left, height, width]: [usize; 4], [h, w]: [usize; 2]| {
                height > 0 && width > 0 && top + height <= h && left + width <= w
            };
            let mut resampler = Resampler::default();
            let image = noise(from[0], from[1], 0);
            let out = resampler.resize(&image, rect(region), to, rect(keep), Interpolation::Bilinear);
            prop_assert_eq!(out.is_ok(), inside(region, from) && inside(keep, to));
        }
    }
}
