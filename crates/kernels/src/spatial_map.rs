//! The one shape struct of all that mixes positions and leaves channels alone: padding, resizing, blurring, scaling.
//!
//! Above: `device`, `engine`, `ops`. Below: nothing. Not here: pooling (`pool_shape`), learned filters (`shape`).
//! Each output position is a weighted sum of input positions, and the weights are a product of one factor an axis. So the backward
//! pass is the same kernel with the transposed map.
//! Source: `torch.nn.functional.{pad, interpolate}`, PyTorch 2.x; blur pooling is Zhang 2019, <https://arxiv.org/abs/1904.11486>.

use crate::sizes::{MOST_LISTED, checked_product, listed};

/// Taps an axis of a binomial filter, at most: the outer ones of a longer filter are zero in double precision.
const MOST_BINOMIAL: usize = 1024;

/// What a position outside a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Zero.
    Zeros,
    /// The map mirrored, the border itself not repeated; reaches less than the size of the map.
    Reflect,
    /// The border.
    Replicate,
    /// The map again; reaches at most the size of the map.
    Circular,
}

/// How a map is resampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resampling {
    /// The element at `⌊i · size / out⌋`; by a factor, at `⌊i / factor⌋`.
    Nearest,
    /// Linear, half-pixel centers (`align_corners=False`).
    Bilinear,
    /// Linear, the corners stay where they are (`align_corners=True`).
    BilinearAligned,
    /// Cubic with `a = −0.75`, half-pixel centers.
    Bicubic,
}

/// One axis: for every output position the input positions it is a sum of, with their factors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// `starts[i] .. starts[i + 1]` are the taps of output `i`.
    starts: Vec<usize>,
    taps: Vec<(usize, f64)>,
}

/// `y[n, i, j, c] = Σ_{u ∈ rows(i)} Σ_{v ∈ cols(j)} a_u · b_v · x[n, u, v, c]`.
///
/// ```
/// use taper_kernels::{Cpu, Device, Edge, Source, SpatialMap};
/// // One row of three pixels, mirrored by two on both sides.
/// let map = SpatialMap::pad([1, 1, 3, 1], [0, 2, 0, 2], Edge::Reflect).unwrap();
/// let mut y = [0.0; 7];
/// Cpu::new(1).resample(&map, Source::plain(&[1.0, 2.0, 3.0]), &mut y);
/// assert_eq!(y, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SpatialMap {
    pub(crate) n: usize,
    pub(crate) size: [usize; 2],
    pub(crate) c: usize,
    pub(crate) axes: [Axis; 2],
}

impl Axis {
    /// Taps by output position; those of one input position are added up, and positions outside follow `edge`.
    fn new(
        size: usize,
        out: usize,
        edge: Edge,
        taps: impl Fn(usize) -> Option<Vec<(isize, f64)>>,
    ) -> Option<Self> {
        (1..=MOST_LISTED).contains(&size).then_some(())?;
        let mut all: Vec<(usize, f64)> = Vec::new();
        let starts = listed(out.checked_add(1)?, |i| {
            // What is before the first output is nothing.
            let taps = if i == 0 { Vec::new() } else { taps(i - 1)? };
            let first = all.len();
            for (position, factor) in taps {
                let Some(position) = edge.resolve(position, size)? else { continue };
                match all[first..].iter_mut().find(|(p, _)| *p == position) {
                    Some((_, sum)) => *sum += factor,
                    None => all.push((position, factor)),
                }
            }
            Some(all.len())
        })?;
        Some(Self { starts, taps: all })
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    #[inline(always)]
    pub(crate) fn taps(&self, i: usize) -> &[(usize, f64)] {
        &self.taps[self.starts[i]..self.starts[i + 1]]
    }

    fn transposed(&self, size: usize) -> Self {
        let mut lists = vec![Vec::new(); size];
        for i in 0..self.len() {
            self.taps(i).iter().for_each(|&(position, factor)| lists[position].push((i, factor)));
        }
        let mut starts = vec![0];
        starts.extend(lists.iter().scan(0, |sum, list| {
            *sum += list.len();
            Some(*sum)
        }));
        Self { starts, taps: lists.concat() }
    }
}

impl Edge {
    /// Where in a map of `size` a position lies: `Some(None)` for a zero, `None` if this edge does not reach so far.
    fn resolve(self, position: isize, size: usize) -> Option<Option<usize>> {
        let last = isize::try_from(size).ok()? - 1;
        let inside = (0..=last).contains(&position);
        let at = match self {
            _ if inside => position,
            Self::Zeros => return Some(None),
            Self::Reflect if position < 0 => -position,
            Self::Reflect => 2 * last - position,
            Self::Replicate => position.clamp(0, last),
            Self::Circular if position < 0 => position + last + 1,
            Self::Circular => position - last - 1,
        };
        (0..=last).contains(&at).then_some(Some(at.unsigned_abs()))
    }
}

impl SpatialMap {
    /// A map by its taps: `rows[i]` lists input rows with their factors for output row `i`, `cols` likewise. `None` if a size is zero,
    /// a tap lies outside, or a number overflows.
    #[must_use]
    pub fn new(
        shape: [usize; 4],
        rows: &[Vec<(usize, f64)>],
        cols: &[Vec<(usize, f64)>],
    ) -> Option<Self> {
        let axis = |size: usize, lists: &[Vec<(usize, f64)>]| {
            let outside = |&(position, _): &(usize, f64)| position >= size;
            if lists.iter().flatten().any(outside) {
                return None;
            }
            Axis::new(size, lists.len(), Edge::Zeros, |i| {
                Some(lists[i].iter().map(|&(p, factor)| (p.cast_signed(), factor)).collect())
            })
        };
        Self::of_axes(shape, axis(shape[1], rows)?, axis(shape[2], cols)?)
    }

    fn of_axes([n, h, w, c]: [usize; 4], rows: Axis, cols: Axis) -> Option<Self> {
        let map = Self { n, size: [h, w], c, axes: [rows, cols] };
        let [oh, ow] = map.out();
        let bounded = |sizes| checked_product(sizes).is_some_and(|len| len > 0);
        (bounded([n, h, w, c]) && bounded([n, oh, ow, c])).then_some(map)
    }

    /// `y = factor · x`.
    #[must_use]
    pub fn scale(shape @ [_, h, w, _]: [usize; 4], factor: f64) -> Option<Self> {
        let same = |size: usize, factor: f64| {
            Axis::new(size, size, Edge::Zeros, |i| Some(vec![(i.cast_signed(), factor)]))
        };
        Self::of_axes(shape, same(h, factor)?, same(w, 1.0)?)
    }

    /// More rows and columns: top, left, bottom, right. `None` also where the edge does not reach so far.
    #[must_use]
    pub fn pad(
        shape @ [_, h, w, _]: [usize; 4],
        [top, left, bottom, right]: [usize; 4],
        edge: Edge,
    ) -> Option<Self> {
        let out =
            [h.checked_add(top)?.checked_add(bottom)?, w.checked_add(left)?.checked_add(right)?];
        Self::filter(shape, out, [&[1.0], &[1.0]], [1, 1], [top, left], edge)
    }

    /// One filter for all channels, the product of a factor a row and a factor a column: output `i` begins at `i · stride − before`.
    /// `None` if a size is zero, the edge does not reach so far, a number overflows, or there are too many positions to list.
    #[must_use]
    pub fn filter(
        shape @ [_, h, w, _]: [usize; 4],
        out: [usize; 2],
        factors: [&[f64]; 2],
        stride: [usize; 2],
        before: [usize; 2],
        edge: Edge,
    ) -> Option<Self> {
        let axis = |axis: usize, size: usize| {
            let before = isize::try_from(before[axis]).ok()?;
            Axis::new(size, out[axis], edge, |i| {
                let begin = isize::try_from(i.checked_mul(stride[axis])?).ok()? - before;
                let taps = (0isize..).zip(factors[axis]);
                taps.map(|(u, &factor)| Some((begin.checked_add(u)?, factor))).collect()
            })
        };
        Self::of_axes(shape, axis(0, h)?, axis(1, w)?)
    }

    /// The binomial filter of `kernel` taps an axis, `before` positions of padding before the map; see [`SpatialMap::filter`].
    /// `None` also if the filter has no taps, or more than 1024.
    #[must_use]
    pub fn blur(
        shape: [usize; 4],
        out: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        before: [usize; 2],
        edge: Edge,
    ) -> Option<Self> {
        if kernel.iter().any(|taps| !(1..=MOST_BINOMIAL).contains(taps)) {
            return None;
        }
        let [rows, cols] = kernel.map(binomial);
        Self::filter(shape, out, [&rows, &cols], stride, before, edge)
    }

    /// Resamples to `out` rows and columns.
    #[must_use]
    pub fn resize(
        shape @ [_, h, w, _]: [usize; 4],
        out: [usize; 2],
        resampling: Resampling,
    ) -> Option<Self> {
        let axis = |axis: usize, size: usize| {
            out[axis].checked_mul(size)?;
            let ratio = size as f64 / out[axis] as f64;
            Axis::new(size, out[axis], Edge::Replicate, |i| match resampling {
                // In whole numbers, since a ratio is rounded.
                Resampling::Nearest => Some(vec![((i * size / out[axis]).cast_signed(), 1.0)]),
                Resampling::Bilinear | Resampling::BilinearAligned | Resampling::Bicubic => {
                    Some(resampling.taps(i, size, out[axis], ratio))
                }
            })
        };
        Self::of_axes(shape, axis(0, h)?, axis(1, w)?)
    }

    /// Resamples to `out` rows and columns, `⌊factor · size⌋` of them, at steps of `1 / factor` and not of `size / out`: PyTorch's
    /// `interpolate` with a `scale_factor`. `None` also for a factor that is not above 0.
    ///
    /// # Examples
    /// ```
    /// use taper_kernels::{Device, Reference, Resampling, Source, SpatialMap};
    /// let map = SpatialMap::resize_by([1, 1, 3, 1], [1, 4], [1.0, 1.5], Resampling::Bilinear).unwrap();
    /// let mut y = [0.0f64; 4];
    /// Reference.resample(&map, Source::plain(&[0.0, 3.0, 6.0]), &mut y);
    /// // (i + 0.5) / 1.5 − 0.5, not below 0, is 0, 1/2, 7/6, 11/6.
    /// assert!(y.iter().zip([0.0, 1.5, 3.5, 5.5]).all(|(y, expected): (&f64, f64)| (y - expected).abs() < 1e-9));
    /// ```
    #[must_use]
    pub fn resize_by(
        shape @ [_, h, w, _]: [usize; 4],
        out: [usize; 2],
        factor: [f64; 2],
        resampling: Resampling,
    ) -> Option<Self> {
        if factor.iter().any(|factor| factor.is_nan() || *factor <= 0.0) {
            return None;
        }
        let axis = |axis: usize, size: usize| {
            let step = 1.0 / factor[axis];
            Axis::new(size, out[axis], Edge::Replicate, |i| {
                Some(resampling.taps(i, size, out[axis], step))
            })
        };
        Self::of_axes(shape, axis(0, h)?, axis(1, w)?)
    }

    /// The map of the backward pass: from gradients of outputs to gradients of inputs.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let axes = [0, 1].map(|axis| self.axes[axis].transposed(self.size[axis]));
        Self { n: self.n, size: self.out(), c: self.c, axes }
    }

    /// Rows and columns of the output.
    #[must_use]
    pub fn out(&self) -> [usize; 2] {
        [self.axes[0].len(), self.axes[1].len()]
    }

    /// Channels, of input and output.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.c
    }

    /// Elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.n * self.size[0] * self.size[1] * self.c
    }

    /// Elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.n * self.axes[0].len() * self.axes[1].len() * self.c
    }
}

/// A row of Pascal's triangle over its sum.
fn binomial(taps: usize) -> Vec<f64> {
    let mut row = vec![1.0];
    for _ in 1..taps {
        let padded = |i: usize| row.get(i).copied().unwrap_or(0.0);
        row = (0..=row.len()).map(|i| 0.5 * (padded(i) + padded(i.wrapping_sub(1)))).collect();
    }
    row
}

impl Resampling {
    /// The taps of output `i` of `out` whose distance is `ratio` positions of the input.
    fn taps(self, i: usize, size: usize, out: usize, ratio: f64) -> Vec<(isize, f64)> {
        let center = match self {
            // In single precision, which decides at whole numbers: 49 / 49 is 1 there, and below 1 in double precision.
            Self::Nearest => {
                let at = (i as f32 * ratio as f32) as usize;
                return vec![(at.min(size - 1).cast_signed(), 1.0)];
            }
            // Negative coordinates count as zero, as in PyTorch.
            Self::Bilinear => ((i as f64 + 0.5) * ratio - 0.5).max(0.0),
            Self::BilinearAligned if out == 1 => 0.0,
            Self::BilinearAligned => i as f64 * (size - 1) as f64 / (out - 1) as f64,
            Self::Bicubic => (i as f64 + 0.5) * ratio - 0.5,
        };
        // Beyond the map there is its border, however far.
        let center = center.clamp(-2.0, size as f64 + 2.0);
        let (first, t) = (center.floor() as isize, center - center.floor());
        if self == Self::Bicubic {
            return (-1..=2).map(|k: isize| (first + k, cubic(t - k as f64))).collect();
        }
        vec![(first, 1.0 - t), (first + 1, t)]
    }
}

/// Keys' cubic kernel with `a = −0.75`.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    let x = x.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Edge, Resampling, SpatialMap, binomial};

    #[test]
    fn an_edge_that_does_not_reach_is_refused() {
        assert!(SpatialMap::pad([1, 3, 3, 1], [2; 4], Edge::Reflect).is_some());
        assert!(SpatialMap::pad([1, 3, 3, 1], [3, 0, 0, 0], Edge::Reflect).is_none());
        assert!(SpatialMap::pad([1, 3, 3, 1], [3; 4], Edge::Circular).is_some());
        assert!(SpatialMap::pad([1, 3, 3, 1], [0, 0, 4, 0], Edge::Circular).is_none());
    }

    #[test]
    fn factors_of_resizing_add_up_to_one() {
        for resampling in [Resampling::Nearest, Resampling::Bilinear, Resampling::Bicubic] {
            let map = SpatialMap::resize([1, 5, 7, 1], [9, 3], resampling).unwrap();
            for axis in &map.axes {
                for i in 0..axis.len() {
                    let sum: f64 = axis.taps(i).iter().map(|tap| tap.1).sum();
                    assert!((sum - 1.0).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn the_binomial_filter_is_a_row_of_pascals_triangle() {
        assert_eq!(binomial(1), [1.0]);
        assert_eq!(binomial(3), [0.25, 0.5, 0.25]);
        assert_eq!(binomial(5), [1.0, 4.0, 6.0, 4.0, 1.0].map(|v| v / 16.0));
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        let map = SpatialMap::resize([2, 4, 3, 1], [5, 8], Resampling::Bilinear).unwrap();
        let twice = map.transposed().transposed();
        assert_eq!(map.out(), twice.out());
        for (a, b) in map.axes.iter().zip(&twice.axes) {
            for i in 0..a.len() {
                let sorted = |taps: &[(usize, f64)]| {
                    let mut taps = taps.to_vec();
                    taps.sort_by_key(|tap| tap.0);
                    taps
                };
                assert_eq!(sorted(a.taps(i)), sorted(b.taps(i)));
            }
        }
    }
}
