//! Which neighboring convolutions run together in bands of rows, and where the rows between them are kept.
//!
//! Above: `inference`. Below: `fused`, `taper-graph`'s windows. Not here: running a band (`taper-engine`), which convolutions are
//! neighbors (`inference`).
//! A value between two stages is held in a ring with room for the rows that a band of the last stage needs. Every row is computed once
//! by a thread.

use std::ops::Range;

use taper_graph::{Extent, Window};

use crate::{FusedGraph, Unit, UnitOp};

/// Bytes between the stages from which on bands are worth their trouble: twice what a core's second cache holds. Below, what is
/// written is still there when it is read (measured with 1 MiB, docs/performance.md).
const WORTH: usize = 2 << 20;

/// Threads that share an image compute the rows at the edges of their shares twice: at most this part of all rows, one in so many.
const SHARED: usize = 16;

/// Bytes that a band may take between the stages: half of that cache.
const BAND: usize = 512 << 10;

/// Elements between which every ring begins: a cache line.
const UNIT: usize = 16;

/// Sizes of a unit that a convolution's kernel runs, for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvSize {
    window: Window,
    groups: usize,
    xs: Extent,
    ys: Extent,
}

impl ConvSize {
    /// `None` for a unit that is no convolution, linear layer or norm.
    #[must_use]
    pub fn new(unit: &Unit, extents: &[Extent]) -> Option<Self> {
        let (xs, ys) = (extents[unit.inputs[0]], extents[unit.output]);
        let (window, groups) = match unit.op {
            UnitOp::Conv { conv, .. } => (conv.window, conv.groups),
            UnitOp::Linear { .. } => (Window::point(), 1),
            UnitOp::BatchNorm => (Window::point(), xs.channels()),
            UnitOp::ConvTranspose { .. }
            | UnitOp::Add
            | UnitOp::Mul
            | UnitOp::GlobalMean
            | UnitOp::Pool { .. }
            | UnitOp::LpPool { .. }
            | UnitOp::AdaptivePool { .. }
            | UnitOp::Border { .. }
            | UnitOp::Pad { .. }
            | UnitOp::Scale { .. }
            | UnitOp::BlurPool { .. }
            | UnitOp::Resize { .. }
            | UnitOp::Concat
            | UnitOp::Slice { .. }
            | UnitOp::Shuffle { .. }
            | UnitOp::Attention { .. }
            | UnitOp::GroupNorm { .. }
            | UnitOp::LayerNorm { .. }
            | UnitOp::PRelu { .. }
            | UnitOp::Flatten
            | UnitOp::Copy
            | UnitOp::Dropout { .. }
            | UnitOp::DropPath { .. } => return None,
        };
        Some(Self { window, groups, xs, ys })
    }

    /// Whether this is a 1x1 convolution with stride 1 and one group: a matrix product.
    #[must_use]
    pub fn is_pointwise(&self) -> bool {
        let [top, left, ..] = self.window.pads(self.xs.size());
        (self.window.kernel, self.window.stride) == ([1, 1], [1, 1])
            && self.groups == 1
            && (top, left) == (0, 0)
            && self.xs.size() == self.ys.size()
    }

    /// Whether each output channel has one filter over one input channel of its own.
    #[must_use]
    pub fn is_depthwise(&self) -> bool {
        let channels = self.xs.channels();
        channels > 1 && self.groups == channels && self.ys.channels() == channels
    }

    /// Rows of the output, and the elements of one.
    fn output_rows(&self) -> [usize; 2] {
        let [h, w] = self.ys.size();
        [h, w * self.ys.channels()]
    }

    /// Input rows under the windows of `rows` output rows, padding included.
    fn rows_under(&self, rows: usize) -> usize {
        self.window.span(0, rows)
    }
}

/// Stages that run in bands, for one size of image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandPlan {
    /// Units, in order.
    pub units: Vec<usize>,
    /// Rows of what the first stage reads.
    pub height: usize,
    /// Rows of the last stage's output in a band.
    pub rows: usize,
    /// Where in a thread's scratch the values between the stages lie.
    pub rings: Vec<Range<usize>>,
}

impl BandPlan {
    /// How a chain of convolutions runs in bands that `threads` share; `None` where layer after layer is as fast.
    pub(super) fn new(
        fused: &FusedGraph,
        chain: &[usize],
        extents: &[Extent],
        threads: usize,
    ) -> Option<Self> {
        let sizes = chain.iter().map(|&u| ConvSize::new(&fused.units[u], extents));
        let sizes: Vec<ConvSize> = sizes.collect::<Option<_>>()?;
        let ([first, ..], Some((last, before))) = (sizes.as_slice(), sizes.split_last()) else {
            return None;
        };
        let between: usize = before.iter().map(|size| size.ys.len()).sum();
        let repeats = |(before, size): (&ConvSize, &ConvSize)| {
            let overlap = (2 * size.rows_under(1)).saturating_sub(size.rows_under(2));
            threads.saturating_sub(1) * overlap * SHARED > before.output_rows()[0]
        };
        if between * size_of::<f32>() < WORTH || before.iter().zip(&sizes[1..]).any(repeats) {
            return None;
        }
        let fits = |rows: usize| {
            rings(&sizes, rows).last().map_or(0, |ring| ring.end) * size_of::<f32>() <= BAND
        };
        let [all, _] = last.output_rows();
        let most = (2..=all).take_while(|&rows| fits(rows)).last().unwrap_or(1);
        let rows = all.div_ceil(all.div_ceil(most));
        let [height, _] = first.xs.size();
        Some(Self { units: chain.to_vec(), height, rows, rings: rings(&sizes, rows) })
    }

    /// Elements of a thread's scratch.
    #[must_use]
    pub fn scratch(&self) -> usize {
        self.rings.last().map_or(0, |ring| ring.end)
    }
}

/// Where the values between stages lie when `rows` rows of the last one's output are computed at a time.
fn rings(sizes: &[ConvSize], rows: usize) -> Vec<Range<usize>> {
    let mut lens = Vec::with_capacity(sizes.len());
    let mut rows = rows;
    for (before, size) in sizes.iter().zip(&sizes[1..]).rev() {
        let [all, row] = before.output_rows();
        rows = size.rows_under(rows).min(all);
        lens.push((rows * row).next_multiple_of(UNIT));
    }
    let mut end = 0;
    let rings = lens.iter().rev().map(|len| {
        end += len;
        end - len..end
    });
    rings.collect()
}
