//! Vectors of x86-64: 16 lanes with AVX-512 F, 8 with AVX2 and FMA.
//!
//! Above: `simd`. Below: `std::arch`. Not here: detection (`simd::Isa`).
//! Every method is unsafe for the one reason `Simd` states: the features must be enabled where it inlines.
//! `min` and `max` return their second operand when one is a NaN, so the value goes second.

use std::arch::x86_64::{
    __m256, __m256i, __m512, _CMP_EQ_OQ, _CMP_GT_OQ, _CMP_LT_OQ, _CMP_UNORD_Q, _MM_FROUND_NO_EXC,
    _MM_FROUND_TO_NEAREST_INT, _mm_loadu_ps, _mm256_add_epi32, _mm256_add_ps, _mm256_and_ps,
    _mm256_blendv_ps, _mm256_castpd_ps, _mm256_castps_pd, _mm256_castps128_ps256,
    _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtps_epi32, _mm256_div_ps, _mm256_fmadd_ps,
    _mm256_insertf128_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps,
    _mm256_maskstore_ps, _mm256_max_ps, _mm256_min_ps, _mm256_movemask_ps, _mm256_mul_ps,
    _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps,
    _mm256_sub_ps, _mm256_unpackhi_pd, _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps,
    _mm512_add_epi32, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps128_ps512,
    _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtps_epi32, _mm512_div_ps, _mm512_fmadd_ps,
    _mm512_insertf32x4, _mm512_loadu_ps, _mm512_mask_cmp_ps_mask, _mm512_mask_mov_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_maskz_mov_ps, _mm512_max_ps,
    _mm512_min_ps, _mm512_mul_ps, _mm512_roundscale_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_slli_epi32, _mm512_storeu_ps, _mm512_sub_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
    _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::{Simd, Task};

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const PANEL: usize = 4;
    const TILES: bool = true;

    #[inline(always)]
    unsafe fn call<T: Task<Self>>(task: T) {
        #[target_feature(enable = "avx512f,avx2,fma")]
        #[inline(never)]
        unsafe fn enter<T: Task<Avx512>>(task: T) {
            // SAFETY: the features are enabled here; the rest is the caller's.
            unsafe { task.run() }
        }
        // SAFETY: see the card.
        unsafe { enter(task) }
    }
    #[inline(always)]
    unsafe fn columns(p: *const f32, stride: usize) -> [__m512; 4] {
        // SAFETY: see the card; four elements of every row are read.
        unsafe {
            let quad = |i: usize| _mm_loadu_ps(p.add(i * stride));
            // Rows i, i + 4, i + 8 and i + 12, a quarter each: transposed by quarters, the lanes are in order.
            let rows = |i: usize| {
                let x = _mm512_castps128_ps512(quad(i));
                let x = _mm512_insertf32x4::<1>(x, quad(i + 4));
                let x = _mm512_insertf32x4::<2>(x, quad(i + 8));
                _mm512_insertf32x4::<3>(x, quad(i + 12))
            };
            let [a, b, c, d] = [0, 1, 2, 3].map(rows);
            let ab =
                [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)].map(|x| _mm512_castps_pd(x));
            let cd =
                [_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)].map(|x| _mm512_castps_pd(x));
            [
                _mm512_unpacklo_pd(ab[0], cd[0]),
                _mm512_unpackhi_pd(ab[0], cd[0]),
                _mm512_unpacklo_pd(ab[1], cd[1]),
                _mm512_unpackhi_pd(ab[1], cd[1]),
            ]
            .map(|x| _mm512_castpd_ps(x))
        }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        // SAFETY: see the card.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, lanes: usize) -> __m512 {
        // SAFETY: see the card; masked lanes are not touched.
        unsafe { _mm512_maskz_loadu_ps(first(lanes), p) }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: __m512, lanes: usize) {
        // SAFETY: see the card; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(p, first(lanes), v) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn clamp(z: __m512, low: __m512, high: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_min_ps(high, _mm512_max_ps(low, z)) }
    }
    #[inline(always)]
    unsafe fn larger(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the card. `max` gives `b` when either is a NaN.
        unsafe {
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
            _mm512_mask_mov_ps(_mm512_max_ps(a, b), is_nan, a)
        }
    }
    #[inline(always)]
    unsafe fn where_equal(g: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), g) }
    }
    #[inline(always)]
    unsafe fn has_nan(a: __m512) -> bool {
        // SAFETY: see the card.
        unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a) != 0 }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe { _mm512_roundscale_ps::<0>(a) }
    }
    #[inline(always)]
    unsafe fn power_of_two(n: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    unsafe fn gate(g: __m512, z: __m512, low: __m512, high: __m512) -> __m512 {
        // SAFETY: see the card.
        unsafe {
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(z, low);
            _mm512_maskz_mov_ps(_mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(above, z, high), g)
        }
    }
}

/// A mask of the first `lanes` of sixteen.
#[inline(always)]
fn first(lanes: usize) -> u16 {
    ((1u32 << lanes) - 1) as u16
}

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const PANEL: usize = 2;

    #[inline(always)]
    unsafe fn call<T: Task<Self>>(task: T) {
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        unsafe fn enter<T: Task<Avx2>>(task: T) {
            // SAFETY: the features are enabled here; the rest is the caller's.
            unsafe { task.run() }
        }
        // SAFETY: see the card.
        unsafe { enter(task) }
    }
    #[inline(always)]
    unsafe fn columns(p: *const f32, stride: usize) -> [__m256; 4] {
        // SAFETY: see the card; four elements of every row are read.
        unsafe {
            let quad = |i: usize| _mm_loadu_ps(p.add(i * stride));
            // Rows i and i + 4, a half each: transposed by halves, the lanes are in order.
            let rows = |i: usize| {
                let x = _mm256_castps128_ps256(quad(i));
                _mm256_insertf128_ps::<1>(x, quad(i + 4))
            };
            let [a, b, c, d] = [0, 1, 2, 3].map(rows);
            let ab =
                [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)].map(|x| _mm256_castps_pd(x));
            let cd =
                [_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)].map(|x| _mm256_castps_pd(x));
            [
                _mm256_unpacklo_pd(ab[0], cd[0]),
                _mm256_unpackhi_pd(ab[0], cd[0]),
                _mm256_unpacklo_pd(ab[1], cd[1]),
                _mm256_unpackhi_pd(ab[1], cd[1]),
            ]
            .map(|x| _mm256_castpd_ps(x))
        }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        // SAFETY: see the card.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, lanes: usize) -> __m256 {
        // SAFETY: see the card; masked lanes are not touched.
        unsafe { _mm256_maskload_ps(p, first_of_eight(lanes)) }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: __m256, lanes: usize) {
        // SAFETY: see the card; masked lanes are not touched.
        unsafe { _mm256_maskstore_ps(p, first_of_eight(lanes), v) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn clamp(z: __m256, low: __m256, high: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_min_ps(high, _mm256_max_ps(low, z)) }
    }
    #[inline(always)]
    unsafe fn larger(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the card. `max` gives `b` when either is a NaN.
        unsafe {
            let is_nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a);
            _mm256_blendv_ps(_mm256_max_ps(a, b), a, is_nan)
        }
    }
    #[inline(always)]
    unsafe fn where_equal(g: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b), g) }
    }
    #[inline(always)]
    unsafe fn has_nan(a: __m256) -> bool {
        // SAFETY: see the card.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)) != 0 }
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn round(a: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn power_of_two(n: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    unsafe fn gate(g: __m256, z: __m256, low: __m256, high: __m256) -> __m256 {
        // SAFETY: see the card.
        unsafe {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(z, low);
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(z, high);
            _mm256_and_ps(_mm256_and_ps(above, below), g)
        }
    }
}

/// All bits set in the first `lanes` of eight.
#[inline(always)]
unsafe fn first_of_eight(lanes: usize) -> __m256i {
    const ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: `lanes` is at most eight, so eight elements from `8 - lanes` on lie in the table; features as in the card.
    unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(8 - lanes).cast()) }
}
