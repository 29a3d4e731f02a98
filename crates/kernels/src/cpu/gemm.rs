//! The matrix product under every pointwise and dense convolution: register tiles over packed panels.
//!
//! Above: `cpu::matrix`. Below: `simd`, `cpu::{team, unroll}`. Not here: threads, caches of weights, gathering of windows.
//! `C[m, n] = Σ_k A[m, k] · B[k, n]`. `A` is read element by element through two strides, so it may lie transposed; `B` lies in
//! panels of one to four vectors, row by row, padded with zeros to whole vectors. A tile of `MR` rows and `NV` vectors lives in
//! registers: 6x64 with AVX-512 needs 24 accumulators, 4 registers for `B` and one for `A`, of 32.
//! What happens to a finished tile is a [`Finish`]: written, normalized by an epilogue, masked, or counted.
//! Tiles are unrolled by [`each`] and never indexed by a variable: an array that is has an address, and the compiler then writes
//! accumulators to memory in the inner loop (measured: 78 instead of 190 GFLOP/s).

mod finish;
pub(crate) mod halves;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles;

use super::team::{SendMutPtr, SendPtr};
use super::unroll::each;
use crate::simd::{Simd, Task};

pub(crate) use finish::{Accumulate, AccumulateSome, IntoSink, Output, Overwrite};

/// The usual [`Factors::block`]: a multiple of most tiles' rows, and small enough that `A` stays near.
pub(crate) const ROW_BLOCK: usize = 48;

/// Columns of a panel of `B` in vectors, by how many there are: as few panels as registers allow, of nearly equal width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Widths {
    panels: usize,
    vectors: usize,
}

impl Widths {
    /// `vectors` of columns, at most `most` in a panel.
    #[inline(always)]
    pub(crate) fn new(vectors: usize, most: usize) -> Self {
        Self { panels: vectors.div_ceil(most), vectors }
    }
    #[inline(always)]
    pub(crate) fn panels(self) -> usize {
        self.panels
    }
    /// The vector at which panel `i` starts.
    #[inline(always)]
    pub(crate) fn start(self, i: usize) -> usize {
        self.vectors * i / self.panels.max(1)
    }
}

/// The two factors of a product.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a> {
    pub(crate) a: SendPtr<f32>,
    /// Elements from one row of `A` to the next, and from one column to the next.
    pub(crate) a_strides: [usize; 2],
    /// Rows of `A` lie `a_strides[0]` apart in runs of this length; runs are this many elements apart.
    pub(crate) runs: [usize; 2],
    /// Where in a row of `A` each `k` columns of it begin: windows of a dense convolution lie in several image rows.
    pub(crate) segments: &'a [usize],
    pub(crate) b: SendPtr<f32>,
    /// Elements between rows of an unpacked `B`; `None` when it lies in panels.
    pub(crate) b_stride: Option<usize>,
    /// Columns of a segment.
    pub(crate) k: usize,
    /// Columns of `B` and `C`.
    pub(crate) n: usize,
    /// Rows that share a pass over all panels: few where `A` should stay near, all where `B` should.
    pub(crate) block: usize,
    /// Scratch for factors rounded to bfloat16, where the product is one of those, and panels of `B` hold pairs of them; else null.
    pub(crate) halves: SendMutPtr<f32>,
}

/// One run of any length, one segment: a plain matrix.
pub(crate) const ONE_RUN: [usize; 2] = [usize::MAX, 0];
pub(crate) const ONE_SEGMENT: &[usize] = &[0];

/// Takes finished tiles.
pub(crate) trait Finish: Copy {
    /// Takes rows `row ..` and columns `col ..` of `C`; the last vector has `last` lanes.
    ///
    /// # Safety
    /// The rows and columns lie within what the finish was made for.
    unsafe fn take<S: Simd, const MR: usize, const NV: usize>(
        self,
        tile: [[S::V; NV]; MR],
        row: usize,
        col: usize,
        last: usize,
    );

    /// Called when all tiles of rows `rows` and columns `cols` are taken.
    ///
    /// # Safety
    /// As [`Finish::take`].
    #[inline(always)]
    unsafe fn after<S: Simd>(self, _rows: std::ops::Range<usize>, _cols: std::ops::Range<usize>) {}
}

/// Lanes of vector `v` of `NV`, of which the last may be short.
#[inline(always)]
fn lanes_of<S: Simd, const NV: usize>(v: usize, last: usize) -> usize {
    if v + 1 == NV { last } else { S::LANES }
}

/// Multiplies rows `rows` of `A` with panels `panels` of `B`.
///
/// # Safety
/// `A` and `B` hold what the strides, `k` and `n` reach, `B` padded to whole vectors.
#[inline(always)]
pub(crate) unsafe fn multiply<S: Simd, F: Finish>(
    f: &Factors<'_>,
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
    finish: F,
) {
    if const { S::TILES } && !f.halves.get().is_null() {
        // SAFETY: the caller's promise; scratch is given where there are tiles.
        return unsafe { halves::multiply(f, rows, panels, finish) };
    }
    let widths = Widths::new(f.n.div_ceil(S::LANES), S::PANEL);
    let mut row = rows.start;
    while row < rows.end {
        let block = row..row.saturating_add(f.block).min(rows.end);
        for panel in panels.clone() {
            let (start, end) = (widths.start(panel), widths.start(panel + 1));
            let col = start * S::LANES;
            let last = (f.n - (end - 1) * S::LANES).min(S::LANES);
            let c = Columns { f, rows: block.clone(), col, last, finish };
            // SAFETY: the caller's promise, for this block and panel.
            unsafe {
                if const { S::PANEL == 4 } {
                    match end - start {
                        4 => S::call(Column::<F, 6, 3, 2, 4>(c)),
                        3 => S::call(Column::<F, 8, 4, 2, 3>(c)),
                        2 => S::call(Column::<F, 12, 6, 3, 2>(c)),
                        _ => S::call(Column::<F, 16, 8, 4, 1>(c)),
                    }
                } else {
                    match end - start {
                        2 => S::call(Column::<F, 6, 3, 2, 2>(c)),
                        _ => S::call(Column::<F, 8, 4, 2, 1>(c)),
                    }
                }
                finish.after::<S>(block.clone(), col..(end * S::LANES).min(f.n));
            }
        }
        row = block.end;
    }
}

/// One panel's share of a block of rows.
struct Columns<'a, F> {
    f: &'a Factors<'a>,
    rows: std::ops::Range<usize>,
    col: usize,
    last: usize,
    finish: F,
}

/// Columns by full tiles, half and quarter tiles, single rows.
struct Column<'a, F, const MR: usize, const HALF: usize, const QUARTER: usize, const NV: usize>(
    Columns<'a, F>,
);

impl<S: Simd, F: Finish, const MR: usize, const HALF: usize, const QUARTER: usize, const NV: usize>
    Task<S> for Column<'_, F, MR, HALF, QUARTER, NV>
{
    #[inline(always)]
    unsafe fn run(self) {
        let Columns { f, rows, col, last, finish } = self.0;
        // SAFETY: the caller's promise.
        unsafe { column::<S, F, MR, HALF, QUARTER, NV>(f, rows, col, last, finish) }
    }
}

#[inline(always)]
unsafe fn column<
    S: Simd,
    F: Finish,
    const MR: usize,
    const HALF: usize,
    const QUARTER: usize,
    const NV: usize,
>(
    f: &Factors<'_>,
    rows: std::ops::Range<usize>,
    col: usize,
    last: usize,
    finish: F,
) {
    let (b, stride) = match f.b_stride {
        Some(stride) => (col, stride),
        None => (col * f.k * f.segments.len(), NV * S::LANES),
    };
    let mut row = rows.start;
    // SAFETY: the caller's promise; tiles stay within `rows` and within a run.
    unsafe {
        let b = f.b.get().add(b);
        while row < rows.end {
            let [run_len, run_stride] = f.runs;
            let (run, at) = (row / run_len, row % run_len);
            let end = rows.end.min(row.saturating_add(run_len - at));
            let mut a = f.a.get().add(run * run_stride + at * f.a_strides[0]);
            let take = |a: &mut *const f32, row: &mut usize, count: usize| {
                *a = a.add(count * f.a_strides[0]);
                *row += count;
            };
            while row + MR <= end {
                tile::<S, F, MR, NV>(f, a, b, stride, row, col, last, finish);
                take(&mut a, &mut row, MR);
            }
            if row < end && end < rows.end && row + MR <= rows.end {
                // A tile of less than all rows costs as many loads of `B` as a full one.
                let first = f.a.get();
                let place = |row: usize| {
                    first.add(row / run_len * run_stride + row % run_len * f.a_strides[0])
                };
                tile_across::<S, F, MR, NV>(f, place, b, stride, row, col, last, finish);
                row += MR;
                continue;
            }
            while row + HALF <= end {
                tile::<S, F, HALF, NV>(f, a, b, stride, row, col, last, finish);
                take(&mut a, &mut row, HALF);
            }
            while row + QUARTER <= end {
                tile::<S, F, QUARTER, NV>(f, a, b, stride, row, col, last, finish);
                take(&mut a, &mut row, QUARTER);
            }
            while row < end {
                tile::<S, F, 1, NV>(f, a, b, stride, row, col, last, finish);
                take(&mut a, &mut row, 1);
            }
        }
    }
}

/// As [`tile`], for rows that lie in several runs; `place` says where.
#[inline(always)]
unsafe fn tile_across<S: Simd, F: Finish, const MR: usize, const NV: usize>(
    f: &Factors<'_>,
    place: impl Fn(usize) -> *const f32,
    b: *const f32,
    b_stride: usize,
    row: usize,
    col: usize,
    last: usize,
    finish: F,
) {
    // SAFETY: as `tile`.
    unsafe {
        let mut acc = [[S::zero(); NV]; MR];
        let mut rows = [std::ptr::null::<f32>(); MR];
        each!(R < MR, rows[R] = place(row + R));
        let k_stride = f.a_strides[1];
        let mut b = b;
        for segment in f.segments {
            let mut at = *segment;
            for _ in 0..f.k {
                let mut bs = [S::zero(); NV];
                each!(V < 4 max NV, bs[V] = S::load(b.add(V * S::LANES)));
                each!(R < MR, {
                    let x = S::splat(*rows[R].add(at));
                    each!(V < 4 max NV, acc[R][V] = S::fma(x, bs[V], acc[R][V]));
                });
                at += k_stride;
                b = b.add(b_stride);
            }
        }
        finish.take::<S, MR, NV>(acc, row, col, last);
    }
}

/// `MR` rows times `NV` vectors, in registers.
#[inline(always)]
unsafe fn tile<S: Simd, F: Finish, const MR: usize, const NV: usize>(
    f: &Factors<'_>,
    a: *const f32,
    b: *const f32,
    b_stride: usize,
    row: usize,
    col: usize,
    last: usize,
    finish: F,
) {
    // SAFETY: the caller's promise: `MR` rows of `A`, `k` rows of `NV` vectors of `B` a segment.
    unsafe {
        let mut acc = [[S::zero(); NV]; MR];
        let [row_stride, k_stride] = f.a_strides;
        let mut b = b;
        for segment in f.segments {
            let mut a = a.add(*segment);
            for _ in 0..f.k {
                let mut bs = [S::zero(); NV];
                each!(V < 4 max NV, bs[V] = S::load(b.add(V * S::LANES)));
                each!(R < MR, {
                    let x = S::splat(*a.add(R * row_stride));
                    each!(V < 4 max NV, acc[R][V] = S::fma(x, bs[V], acc[R][V]));
                });
                a = a.add(k_stride);
                b = b.add(b_stride);
            }
        }
        finish.take::<S, MR, NV>(acc, row, col, last);
    }
}
