//! The forward pass of convolutions that are matrix products.
//!
//! Above: `cpu::matrix`. Below: `cpu::{gemm, pack}`. Not here: packing of weights (`cpu::matrix`).

use super::TILE;
use crate::cpu::gemm::{Factors, Output, multiply};
use crate::cpu::pack::{Rows, flush};
use crate::cpu::team::{Fixed, Shared, part_of};
use crate::cpu::views::SourceView;
use crate::cpu::{Cpu, Packed, Part};
use crate::simd::{Kernel, Simd};
use crate::{ConvShape, Epilogue, Moments, Source};

/// Rows of a part are a multiple of this, the rows of most tiles.
const ROW_UNIT: usize = 6;
/// With fewer rows than this a part, parts take panels instead.
const MIN_ROWS: usize = 16;

/// See [`crate::Device::conv_forward`].
pub(in crate::cpu) fn forward(
    cpu: &mut Cpu,
    s: &ConvShape,
    xs: Source<'_, f32>,
    packed: &Packed,
    epilogue: Epilogue<'_, f32>,
    y: &mut [f32],
    moments: Option<Moments<'_, f32>>,
) {
    let (m, out) = (s.output_positions(), s.oc / s.groups);
    let padded = s.oc.next_multiple_of(cpu.isa.lanes());
    let parts = cpu.team.threads();
    cpu.clear_totals(2 * padded, moments.is_some());
    let by_columns = m < MIN_ROWS * parts && packed.panels.count() >= parts;
    let (low, high) = epilogue.activation.bounds();
    for group in 0..s.groups {
        let rows = Rows { shape: *s, source: SourceView::new(xs), plain: xs.is_plain(), group };
        let k = rows.k();
        let to = Shared(y[group * out..].as_mut_ptr());
        let (isa, panels) = (cpu.isa, packed.panels);
        let b = Fixed(packed.data[group * panels.len()..].as_ptr());
        let scratch = Shared(cpu.parts.as_mut_ptr());
        let counted = moments.is_some();
        let offset = |p: Option<&[f32]>| Fixed::maybe(p.map(|p| &p[group * out..]));
        let (bias, residual) = (offset(epilogue.bias), offset(epilogue.residual));
        cpu.team.run(parts, |p| {
            let (rows_here, columns) = if by_columns {
                (0..m, part_of(panels.count(), 1, p, parts))
            } else {
                (part_of(m, ROW_UNIT, p, parts), 0..panels.count())
            };
            if rows_here.is_empty() || columns.is_empty() {
                return;
            }
            // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
            let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
            part.tile.reserve(TILE * k.next_multiple_of(panels.lanes));
            let sums = if counted {
                part.sums.reserve(2 * padded + 16);
                part.sums.fill(0.0);
                Shared(part.sums[group * out..].as_mut_ptr())
            } else {
                Shared(std::ptr::null_mut())
            };
            let finish = Output {
                y: to,
                stride: s.oc,
                bias,
                residual,
                low: low as f32,
                high: high as f32,
                sums,
                sums_stride: padded,
            };
            let job = ForwardPart { rows, range: rows_here, columns, b, finish, part };
            // SAFETY: `isa` is one of this machine; parts write to rows or columns of their own, within the slices that
            // `Cpu` checked against the shape.
            unsafe { isa.run(job) };
        });
    }
    if let Some(moments) = moments {
        cpu.moments(y, padded, moments);
    }
}

struct ForwardPart<'a> {
    rows: Rows,
    range: std::ops::Range<usize>,
    /// Panels.
    columns: std::ops::Range<usize>,
    b: Fixed<f32>,
    finish: Output,
    part: &'a mut Part,
}

impl Kernel for ForwardPart<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { rows, range, columns, b, finish, part } = self;
        let k = rows.k();
        let stride = k.next_multiple_of(S::LANES);
        let mut row = range.start;
        while row < range.end {
            let end = (row + TILE).min(range.end);
            // SAFETY: rows lie in the range this part was given; the tile has room for `TILE` rows of whole vectors.
            unsafe {
                let (a, a_stride) = match rows.in_place() {
                    Some((data, stride)) => (Fixed(data.get().add(row * stride)), stride),
                    None => {
                        rows.gather::<S>(row..end, part.tile.as_mut_ptr(), stride);
                        (Fixed(part.tile.as_ptr()), stride)
                    }
                };
                let factors = Factors {
                    a,
                    a_strides: [a_stride, 1],
                    b,
                    b_stride: None,
                    k,
                    n: rows.shape.oc / rows.shape.groups,
                };
                let mut finish = finish;
                finish.y = Shared(finish.y.get().add(row * finish.stride));
                if !finish.residual.is_null() {
                    finish.residual = Fixed(finish.residual.get().add(row * finish.stride));
                }
                multiply::<S, Output>(&factors, 0..end - row, columns.clone(), finish);
            }
            if !finish.sums.get().is_null() {
                flush(&mut part.sums, &mut part.totals);
            }
            row = end;
        }
    }
}
