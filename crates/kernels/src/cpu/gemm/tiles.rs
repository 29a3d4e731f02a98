//! Products of bfloat16 on the matrix unit of x86-64 (AMX), summed in `f32`.
//!
//! Above: `cpu::gemm`. Below: `gemm::finish`, `simd`. Not here: which products are computed in bfloat16 (`cpu::matrix`).
//! A tile register holds 16 rows of 64 bytes. `TDPBF16PS` adds to a tile of 16x16 sums the product of 16 rows of 32 halves and 16 rows of 16
//! *pairs*: halves `2p` and `2p + 1` of a column of `B` lie side by side ("Intel 64 and IA-32 Architectures Software Developer's Manual",
//! volume 1, chapter 18). Four tiles of sums, 32x32, two of `A` and two of `B` are the eight there are.
//! Weights are paired when they are packed ([`pair_panel`]), rows of `A` are rounded into scratch a block at a time. Finished tiles go through
//! memory in the nearest cache to the same [`Finish`] as those of vectors.

use std::arch::asm;
use std::arch::x86_64::{
    __m256bh, __m256i, __m512bh, __m512i, _mm256_setzero_si256, _mm256_storeu_si256,
    _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16, _mm512_setzero_ps, _mm512_shuffle_i32x4,
    _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};
use std::ops::Range;
use std::sync::OnceLock;

use super::halves::{BLOCK, DEPTH, TILE, steps};
use super::{Factors, Finish, Widths};
use crate::cpu::unroll::each;
use crate::simd::{Avx512, Simd};

/// Whether this machine has the unit, and lets this process use it.
pub(crate) fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        let tiles = || {
            let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
            [22, 24].iter().all(|bit| features >> bit & 1 == 1)
        };
        let vectors = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16");
        vectors && tiles() && is_permitted()
    })
}

/// Asks the kernel for the state of tiles, which Linux gives to processes that ask (since 5.16), for all their threads.
fn is_permitted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let mut answer = ARCH_PRCTL;
    // SAFETY: a system call that reads two numbers and writes no memory.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// The shapes of the eight tiles, all whole; gives them back at the end.
struct Unit;

/// As `LDTILECFG` reads it.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Unit {
    /// # Safety
    /// [`is_here`].
    #[inline(always)]
    unsafe fn new() -> Self {
        const ALL: Shapes = {
            let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
            let mut i = 0;
            while i < 8 {
                (row_bytes[i], rows[i]) = (64, 16);
                i += 1;
            }
            Shapes { palette: 1, start: 0, reserved: [0; 14], row_bytes, rows }
        };
        static SHAPES: Shapes = ALL;
        // SAFETY: the unit is here, and the shapes are those of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
        Self
    }
}

impl Drop for Unit {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the unit is here, since this was made.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Sums of 32x32, on their way from tiles to a finish.
#[repr(C, align(64))]
struct Sums([f32; 4 * TILE * TILE]);

/// Elements between rows of [`Sums`].
const SUMS_STRIDE: usize = 2 * TILE;

/// Where a product's halves lie: rows of `A` and rows of pairs of `B`, so many bytes apart.
#[derive(Clone, Copy)]
struct Halves {
    a: *const u16,
    a_bytes: usize,
    b: *const u16,
    b_bytes: usize,
    steps: usize,
}

/// One block of sums: zeroed, added up over all steps, stored. `$add` is what a step does with its tiles.
macro_rules! sum {
    ($name:ident, [$($zero:literal),*], [$($add:literal),*], [$($store:literal),*]) => {
        /// # Safety
        /// The unit is configured; rows of `A` and of pairs of `B` are readable for all steps, whole tiles of them.
        #[inline(always)]
        unsafe fn $name(h: Halves, to: &mut Sums) {
            let to = to.0.as_mut_ptr();
            // SAFETY: the caller's promise; the sums of four tiles fit.
            unsafe {
                asm!(
                    $($zero,)*
                    "2:",
                    $($add,)*
                    "add {a}, 64",
                    "add {low}, 64",
                    "add {b}, {b_step}",
                    "dec {steps}",
                    "jnz 2b",
                    $($store,)*
                    a = inout(reg) h.a => _,
                    low = inout(reg) h.a.byte_add(TILE * h.a_bytes) => _,
                    a_bytes = in(reg) h.a_bytes,
                    b = inout(reg) h.b => _,
                    b_bytes = in(reg) h.b_bytes,
                    b_step = in(reg) TILE * h.b_bytes,
                    steps = inout(reg) h.steps => _,
                    to = in(reg) to,
                    stride = in(reg) SUMS_STRIDE * size_of::<f32>(),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

sum!(
    sum_tall_wide,
    ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"],
    [
        "tileloadd tmm4, [{a} + {a_bytes}]",
        "tileloadd tmm6, [{b} + {b_bytes}]",
        "tileloadd tmm7, [{b} + {b_bytes} + 64]",
        "tileloadd tmm5, [{low} + {a_bytes}]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7"
    ],
    [
        "tilestored [{to} + {stride}], tmm0",
        "tilestored [{to} + {stride} + 64], tmm1",
        "tilestored [{to} + {stride} + 2048], tmm2",
        "tilestored [{to} + {stride} + 2112], tmm3"
    ]
);
sum!(
    sum_tall,
    ["tilezero tmm0", "tilezero tmm2"],
    [
        "tileloadd tmm4, [{a} + {a_bytes}]",
        "tileloadd tmm6, [{b} + {b_bytes}]",
        "tileloadd tmm5, [{low} + {a_bytes}]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm2, tmm5, tmm6"
    ],
    ["tilestored [{to} + {stride}], tmm0", "tilestored [{to} + {stride} + 2048], tmm2"]
);
sum!(
    sum_wide,
    ["tilezero tmm0", "tilezero tmm1"],
    [
        "tileloadd tmm4, [{a} + {a_bytes}]",
        "tileloadd tmm6, [{b} + {b_bytes}]",
        "tileloadd tmm7, [{b} + {b_bytes} + 64]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7"
    ],
    ["tilestored [{to} + {stride}], tmm0", "tilestored [{to} + {stride} + 64], tmm1"]
);
sum!(
    sum_one,
    ["tilezero tmm0"],
    [
        "tileloadd tmm4, [{a} + {a_bytes}]",
        "tileloadd tmm6, [{b} + {b_bytes}]",
        "tdpbf16ps tmm0, tmm4, tmm6"
    ],
    ["tilestored [{to} + {stride}], tmm0"]
);

/// As [`super::multiply`], with `B` in panels of pairs ([`pair_panel`]) and `A`, whose columns lie side by side, rounded into scratch.
///
/// # Safety
/// [`is_here`]; as [`super::multiply`]; `f.halves` has room for [`scratch_of_rows`](super::halves::scratch_of_rows).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
#[inline(never)]
pub(super) unsafe fn multiply<F: Finish>(
    f: &Factors<'_>,
    rows: Range<usize>,
    panels: Range<usize>,
    finish: F,
) {
    debug_assert!(f.a_strides[1] == 1 && f.b_stride.is_none(), "columns of `A` side by side");
    let k = f.k * f.segments.len();
    let a_bytes = steps(k) * DEPTH * size_of::<u16>();
    let widths = Widths::new(f.n.div_ceil(Avx512::LANES), Avx512::PANEL);
    let a = f.halves.get().cast::<u16>();
    // SAFETY: the caller's promise.
    unsafe {
        let _unit = Unit::new();
        let mut row = rows.start;
        while row < rows.end {
            let block = row..(row + BLOCK).min(rows.end);
            round_rows(f, block.clone(), a, steps(k) * DEPTH);
            for panel in panels.clone() {
                let [start, end] = [panel, panel + 1].map(|i| widths.start(i) * TILE);
                let b = f.b.get().add(start * k).cast::<u16>();
                let b_bytes = (end - start) * size_of::<f32>();
                let halves = Halves { a, a_bytes, b, b_bytes, steps: steps(k) };
                blocks(halves, block.clone(), start..end.min(f.n), finish);
                finish.after::<Avx512>(block.clone(), start..end.min(f.n));
            }
            row = block.end;
        }
    }
}

/// As [`super::multiply`], with `A` transposed and `B` as it lies, both of few terms, rounded into scratch.
///
/// # Safety
/// [`is_here`]; as [`super::multiply`]; rows of `A`, as they lie, and of `B` are whole vectors; `f.halves` has room for
/// [`scratch_of_columns`](super::halves::scratch_of_columns) of `rows.end` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
#[inline(never)]
pub(super) unsafe fn multiply_transposed<F: Finish>(
    f: &Factors<'_>,
    rows: Range<usize>,
    b_stride: usize,
    finish: F,
) {
    let (m, steps) = (rows.end.next_multiple_of(TILE), steps(f.k));
    let a = f.halves.get().cast::<u16>();
    let a_bytes = steps * DEPTH * size_of::<u16>();
    // SAFETY: the caller's promise.
    unsafe {
        let b = a.byte_add(m * a_bytes);
        let b_bytes = f.n.next_multiple_of(TILE) * size_of::<f32>();
        for step in 0..steps {
            for column in (0..m).step_by(TILE) {
                let mut pairs = [_mm512_loadu_si512([0_u8; 64].as_ptr().cast()); TILE];
                for (p, pair) in pairs.iter_mut().enumerate() {
                    let at = step * DEPTH + 2 * p;
                    let from = f.a.get().wrapping_add(at * f.a_strides[1] + column);
                    *pair = pair_of(from, f.a_strides[1], f.k.saturating_sub(at));
                }
                let to = a.byte_add(column * a_bytes + step * 64);
                for (i, row) in transposed(pairs).into_iter().enumerate() {
                    _mm512_storeu_si512(to.byte_add(i * a_bytes).cast(), row);
                }
            }
            for p in 0..TILE {
                let at = step * DEPTH + 2 * p;
                for column in (0..f.n).step_by(TILE) {
                    let from = f.b.get().wrapping_add(at * b_stride + column);
                    let pair = pair_of(from, b_stride, f.k.saturating_sub(at));
                    let row = step * TILE + p;
                    _mm512_storeu_si512(b.byte_add(row * b_bytes + 4 * column).cast(), pair);
                }
            }
        }
        let _unit = Unit::new();
        blocks(Halves { a, a_bytes, b, b_bytes, steps }, rows, 0..f.n, finish);
    }
}

/// Rows `rows` and columns `columns` of a product whose halves begin with those.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
unsafe fn blocks<F: Finish>(h: Halves, rows: Range<usize>, columns: Range<usize>, finish: F) {
    let mut sums = Sums([0.0; 4 * TILE * TILE]);
    // SAFETY: the caller's promise.
    unsafe {
        for column in columns.clone().step_by(2 * TILE) {
            let wide = columns.end - column > TILE;
            let b = h.b.byte_add((column - columns.start) * size_of::<f32>());
            for row in rows.clone().step_by(2 * TILE) {
                let count = (rows.end - row).min(2 * TILE);
                let here = Halves { a: h.a.byte_add((row - rows.start) * h.a_bytes), b, ..h };
                match (count > TILE, wide) {
                    (true, true) => sum_tall_wide(here, &mut sums),
                    (true, false) => sum_tall(here, &mut sums),
                    (false, true) => sum_wide(here, &mut sums),
                    (false, false) => sum_one(here, &mut sums),
                }
                let last = columns.end - column - if wide { TILE } else { 0 };
                let at = [row, column];
                if wide {
                    take::<F, 2>(&sums, count, at, last.min(TILE), finish);
                } else {
                    take::<F, 1>(&sums, count, at, last, finish);
                }
            }
        }
    }
}

/// Hands `rows` rows of `NV` vectors to a finish.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
#[inline(never)]
unsafe fn take<F: Finish, const NV: usize>(
    sums: &Sums,
    rows: usize,
    [row, column]: [usize; 2],
    last: usize,
    finish: F,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut done = 0;
        while done + 8 <= rows {
            let tile = sums_at::<8, NV>(sums, done);
            finish.take::<Avx512, 8, NV>(tile, row + done, column, last);
            done += 8;
        }
        while done < rows {
            let tile = sums_at::<1, NV>(sums, done);
            finish.take::<Avx512, 1, NV>(tile, row + done, column, last);
            done += 1;
        }
    }
}

/// # Safety
/// AVX-512; the rows are there.
#[inline(always)]
unsafe fn sums_at<const MR: usize, const NV: usize>(
    sums: &Sums,
    first: usize,
) -> [[<Avx512 as Simd>::V; NV]; MR] {
    // SAFETY: the caller's promise.
    unsafe {
        let from = sums.0.as_ptr().add(first * SUMS_STRIDE);
        let mut tile = [[Avx512::zero(); NV]; MR];
        each!(R < MR, {
            each!(V < 4 max NV, tile[R][V] = Avx512::load(from.add(R * SUMS_STRIDE + V * TILE)));
        });
        tile
    }
}

/// Rounds rows of `A` into scratch, `stride` halves apart, zeros behind the last column.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
unsafe fn round_rows(f: &Factors<'_>, rows: Range<usize>, to: *mut u16, stride: usize) {
    let [run_len, run_stride] = f.runs;
    for (i, row) in rows.enumerate() {
        // SAFETY: the caller's promise; what is written behind a row is less than a vector, and the next row's, or scratch.
        unsafe {
            let a = f.a.get().add(row / run_len * run_stride + row % run_len * f.a_strides[0]);
            let start = to.add(i * stride);
            let mut to = start;
            for segment in f.segments {
                round(a.add(*segment), f.k, to);
                to = to.add(f.k);
            }
            while to < start.add(stride) {
                _mm256_storeu_si256(to.cast(), _mm256_setzero_si256());
                to = to.add(16);
            }
        }
    }
}

/// Rounds `len` numbers; writes whole vectors of 16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
unsafe fn round(from: *const f32, len: usize, to: *mut u16) {
    let mut i = 0;
    // SAFETY: the caller's promise; masked lanes are not touched.
    unsafe {
        while i + 32 <= len {
            let [low, high] = [0, 16].map(|half| _mm512_loadu_ps(from.add(i + half)));
            let both = bits(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(to.add(i).cast(), both);
            i += 32;
        }
        while i < len {
            let lanes = (1_u32 << (len - i).min(16)) - 1;
            let x = _mm512_maskz_loadu_ps(lanes as u16, from.add(i));
            // SAFETY: the same bits.
            let half = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
            _mm256_storeu_si256(to.add(i).cast(), half);
            i += 16;
        }
    }
}

fn bits(halves: __m512bh) -> __m512i {
    // SAFETY: the same bits.
    unsafe { std::mem::transmute(halves) }
}

/// A vector of pairs: 16 columns of a row, and of the next one, `stride` elements behind; zeros for those of `left` rows that are not there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
unsafe fn pair_of(from: *const f32, stride: usize, left: usize) -> __m512i {
    // Halves 0 and 16, 1 and 17, …
    static SIDE_BY_SIDE: [u16; 32] = {
        let mut places = [0; 32];
        let mut i = 0;
        while i < 32 {
            places[i] = i as u16 / 2 + i as u16 % 2 * 16;
            i += 1;
        }
        places
    };
    // SAFETY: the caller's promise, for the rows that are left.
    unsafe {
        let row = |i: usize| {
            if i < left { _mm512_loadu_ps(from.add(i * stride)) } else { _mm512_setzero_ps() }
        };
        let both = bits(_mm512_cvtne2ps_pbh(row(1), row(0)));
        _mm512_permutexvar_epi16(_mm512_loadu_si512(SIDE_BY_SIDE.as_ptr().cast()), both)
    }
}

/// Lane `j` of vector `i` becomes lane `i` of vector `j`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
fn transposed(x: [__m512i; TILE]) -> [__m512i; TILE] {
    let mut twos = x;
    for i in (0..TILE).step_by(2) {
        twos[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        twos[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    // Vector 4g + j: column j of every quarter of rows 4g to 4g + 3.
    let mut fours = twos;
    for i in (0..TILE).step_by(4) {
        fours[i] = _mm512_unpacklo_epi64(twos[i], twos[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(twos[i], twos[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(twos[i + 1], twos[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(twos[i + 1], twos[i + 3]);
    }
    let mut all = fours;
    for j in 0..4 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|i| fours[i + j]);
        let even = [_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d)];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d)];
        all[j] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        all[j + 4] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        all[j + 8] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        all[j + 12] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    all
}

/// See [`halves::pair_panel`](super::halves::pair_panel).
pub(super) fn pair_panel(panel: &mut [f32], k: usize) {
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
    unsafe fn pair(panel: *mut f32, k: usize, padded: usize) {
        for p in 0..steps(k) * TILE {
            for column in (0..padded).step_by(TILE) {
                // SAFETY: rows of `padded` elements; a row of pairs is written where rows were read before.
                unsafe {
                    let from = panel.wrapping_add(2 * p * padded + column);
                    let pair = pair_of(from, padded, k.saturating_sub(2 * p));
                    _mm512_storeu_si512(panel.add(p * padded + column).cast(), pair);
                }
            }
        }
    }
    // SAFETY: the unit is here, and with it these vectors; pairs of all steps are no more than `k` rows, of which there are at least a tile's.
    unsafe { pair(panel.as_mut_ptr(), k, panel.len() / k) };
}
